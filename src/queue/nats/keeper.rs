//! The leases of a process: renewed from their delivery to their acknowledgement, whatever their jobs are doing, and
//! given up in time when the broker does not confirm that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::super::QueueError;
use super::clock;
use super::link::{ANSWER, Link};
use super::subject::Delivery;

/// How often the leases are looked at: much shorter than any wait, and cheap where there are none.
const TICK: Duration = Duration::from_millis(100);

/// The leases, by their messages' numbers in the stream.
#[derive(Default)]
pub(super) struct Leases(Mutex<State>);

#[derive(Default)]
struct State {
    open: HashMap<u64, Entry>,
    /// When a lease was open last, by the [`clock`].
    busy: Duration,
}

struct Entry {
    reply: Subject,
    ack_wait: Duration,
    /// When the broker surely counted from, last.
    renewed: Duration,
    /// When a renewal was sent whose confirmation is awaited.
    asked: Option<Duration>,
    lost: CancellationToken,
}

impl Entry {
    /// When the lease is given up: a while before the broker does.
    fn deadline(&self) -> Duration {
        let margin = (self.ack_wait / 4).min(Duration::from_secs(5));
        self.renewed + self.ack_wait.saturating_sub(margin)
    }
}

impl Leases {
    /// Takes in a job that was delivered, and returns what is cancelled when its lease is lost. A lease of the same
    /// message is lost by that: the broker has taken it back.
    pub(super) fn open(
        &self,
        sequence: u64,
        reply: Subject,
        ack_wait: Duration,
    ) -> CancellationToken {
        let lost = CancellationToken::new();
        let now = clock::now();
        let entry = Entry {
            reply,
            ack_wait,
            renewed: now,
            asked: None,
            lost: lost.clone(),
        };
        let mut state = self.0.lock();
        state.busy = now;
        if let Some(earlier) = state.open.insert(sequence, entry) {
            earlier.lost.cancel();
        }
        lost
    }

    /// Whether a lease is lost, by now: a process that was frozen may be here before the keeper is.
    pub(super) fn is_lost(&self, sequence: u64, lost: &CancellationToken) -> bool {
        if lost.is_cancelled() {
            return true;
        }
        let state = self.0.lock();
        let overdue = state
            .open
            .get(&sequence)
            .is_some_and(|entry| entry.deadline() <= clock::now());
        drop(state);
        if overdue {
            lost.cancel();
        }
        lost.is_cancelled()
    }

    /// Ends a lease; not that of a later delivery.
    pub(super) fn close(&self, sequence: u64, reply: &Subject) {
        let mut state = self.0.lock();
        state.busy = clock::now();
        if state
            .open
            .get(&sequence)
            .is_some_and(|entry| entry.reply == *reply)
        {
            state.open.remove(&sequence);
        }
    }

    /// Gives up the leases of a consumer that is no more, or is another now.
    pub(super) fn lose_consumer(&self, name: &str) {
        self.0.lock().open.retain(|_, entry| {
            let of = Delivery::parse(&entry.reply).map(|delivery| delivery.consumer);
            let ends = of == Some(name);
            if ends {
                entry.lost.cancel();
            }
            !ends
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().open.is_empty()
    }

    /// For how long no lease was open.
    pub(super) fn idle(&self) -> Duration {
        let state = self.0.lock();
        if state.open.is_empty() {
            clock::now().saturating_sub(state.busy)
        } else {
            Duration::ZERO
        }
    }

    /// Counts the idle time from now.
    pub(super) fn touch(&self) {
        self.0.lock().busy = clock::now();
    }

    /// Gives up what was not confirmed in time, and returns what is to be renewed.
    fn due(&self, may_ask: bool) -> Vec<(u64, Subject)> {
        let now = clock::now();
        let mut due = Vec::new();
        self.0.lock().open.retain(|sequence, entry| {
            if entry.deadline() <= now {
                entry.lost.cancel();
                return false;
            }
            let last = entry.asked.unwrap_or(entry.renewed);
            if may_ask && now >= last + entry.ack_wait / 3 {
                entry.asked = Some(now);
                due.push((*sequence, entry.reply.clone()));
            }
            true
        });
        due
    }

    fn lose(&self, sequence: u64) {
        if let Some(entry) = self.0.lock().open.remove(&sequence) {
            entry.lost.cancel();
        }
    }

    fn confirmed(&self, sequence: u64) {
        if let Some(entry) = self.0.lock().open.get_mut(&sequence)
            && let Some(asked) = entry.asked.take()
        {
            // The broker counts from when it got the request, which was later.
            entry.renewed = asked;
        }
    }
}

/// Keeps the leases until `left` and the last of them is closed; `returned` are the subjects of jobs that go back.
pub(super) async fn keep(
    link: Arc<Link>,
    leases: Arc<Leases>,
    mut returned: mpsc::UnboundedReceiver<Subject>,
    left: CancellationToken,
) -> Result<(), QueueError> {
    let inbox = link.client.new_inbox();
    let mut confirmations = subscribe(&link, &inbox).await?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                // What is put in line while there is no connection would arrive much later.
                for (sequence, reply) in leases.due(link.is_connected()) {
                    let to = Subject::from(format!("{inbox}.{sequence}"));
                    let _ = link.client.publish_with_reply(reply, to, Bytes::from_static(b"+WPI")).await;
                }
            }
            confirmation = confirmations.next() => {
                let of = confirmation.as_ref().and_then(|message| Some((number(message)?, message)));
                match of {
                    // The server waits for no such word: the lease's consumer is gone.
                    Some((sequence, message)) if message.status.is_some() => leases.lose(sequence),
                    Some((sequence, _)) => leases.confirmed(sequence),
                    None => {}
                }
            }
            Some(reply) = returned.recv() => {
                if link.is_connected() {
                    let _ = link.client.publish(reply, Bytes::from_static(b"-NAK")).await;
                }
            }
        }
        if left.is_cancelled() && returned.is_empty() && leases.is_empty() {
            // The last word of the process: without it the jobs would wait for their leases to end.
            let _ = timeout(ANSWER, link.client.flush()).await;
            return Ok(());
        }
    }
}

/// Subscribes to what arrives below `inbox`, one token deeper.
pub(super) async fn subscribe(link: &Link, inbox: &str) -> Result<Subscriber, QueueError> {
    link.client
        .subscribe(format!("{inbox}.*"))
        .await
        .map_err(|error| link.error("asking", error.to_string()))
}

/// The number that a message's subject ends in.
pub(super) fn number(message: &Message) -> Option<u64> {
    message.subject.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(400);

    fn opened() -> (Leases, CancellationToken) {
        let leases = Leases::default();
        let lost = leases.open(1, "$JS.ACK.JOBS.a.1.1.1.1.0".into(), WAIT);
        (leases, lost)
    }

    #[test]
    fn a_lease_that_nobody_confirms_is_lost_before_the_broker_takes_it_back() {
        let (leases, lost) = opened();
        assert!(!leases.is_lost(1, &lost));
        std::thread::sleep(WAIT * 3 / 4);
        assert!(leases.is_lost(1, &lost));
        assert!(leases.due(true).is_empty() && leases.is_empty());
    }

    #[test]
    fn a_confirmed_renewal_counts_from_when_it_was_sent() {
        let (leases, lost) = opened();
        std::thread::sleep(WAIT / 2);
        assert_eq!(leases.due(false), []);
        assert_eq!(leases.due(true).len(), 1);
        leases.confirmed(1);
        std::thread::sleep(WAIT / 2);
        assert!(!leases.is_lost(1, &lost));
        std::thread::sleep(WAIT / 2);
        assert!(leases.is_lost(1, &lost));
    }

    #[test]
    fn a_second_delivery_of_a_job_takes_the_first_lease() {
        let (leases, first) = opened();
        let again: Subject = "$JS.ACK.JOBS.a.2.1.2.1.0".into();
        let second = leases.open(1, again.clone(), WAIT);
        assert!(first.is_cancelled() && !second.is_cancelled());
        leases.close(1, &"$JS.ACK.JOBS.a.1.1.1.1.0".into());
        assert!(!leases.is_empty());
        leases.close(1, &again);
        assert!(leases.is_empty());
    }
}
