//! A host as a worker sees it.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subject;

use super::streams::ConsumerInfo;
use super::subject::JOBS;

pub(super) struct Host {
    /// Where requests go.
    pub(super) next: Subject,
    /// Where they are answered.
    pub(super) inbox: Subject,
    pub(super) cap: usize,
    pub(super) ack_wait: Duration,
    /// Tells one consumer from the next of that name.
    created: String,
    /// Whether its last request brought a job, or jobs are said to wait.
    pub(super) has_jobs: bool,
    /// When the requests that wait there will end, in this order.
    pub(super) parked: VecDeque<Duration>,
    pub(super) rests_until: Duration,
    /// In how many looks in a row it was missing: pages of a list may shift.
    pub(super) missed: u32,
}

impl Host {
    pub(super) fn new(consumer: &ConsumerInfo, inbox: String) -> Self {
        Self {
            next: format!("$JS.API.CONSUMER.MSG.NEXT.{JOBS}.{}", consumer.name).into(),
            inbox: inbox.into(),
            cap: 1,
            ack_wait: consumer.ack_wait(),
            created: consumer.created.clone(),
            has_jobs: false,
            parked: VecDeque::new(),
            rests_until: Duration::ZERO,
            missed: 0,
        }
    }

    /// Takes in what the broker says of it, and whether its consumer is another one now.
    pub(super) fn is_another_after(&mut self, consumer: &ConsumerInfo) -> bool {
        self.missed = 0;
        let cap = consumer.max_ack_pending();
        self.cap = usize::try_from(cap).unwrap_or(usize::MAX).max(1);
        self.ack_wait = consumer.ack_wait();
        self.has_jobs = consumer.num_pending > 0
            && consumer.pause_remaining == 0
            && consumer.num_ack_pending < cap;
        let is_another = self.created != consumer.created;
        self.created.clone_from(&consumer.created);
        is_another
    }

    pub(super) fn may_ask(&self, now: Duration) -> bool {
        self.missed == 0 && self.rests_until <= now
    }
}
