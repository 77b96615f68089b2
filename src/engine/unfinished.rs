//! The jobs of a run that are queued for workers elsewhere and have no result yet.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Quota, Run};
use crate::event::Event;
use crate::job::{Candidate, ImageKey, Job};
use crate::outcome::{Failure, Outcome, Skip, SkipReason, Stage};
use crate::queue::{JobSender, QueueError, Sent};

/// Jobs that are sent at a time. A broker that is sent one after the other answers each before the next: three times the
/// system calls, on both sides.
const SENT_AT_ONCE: usize = 16;

/// Their keys: shared by whoever sends them and whoever hears how they ended.
#[derive(Default)]
pub(super) struct Unfinished {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    keys: HashSet<ImageKey>,
    /// Whether no more come.
    closed: bool,
}

impl Unfinished {
    pub(super) fn is_over(&self) -> bool {
        self.is_over_after(0)
    }

    /// Whether this number of results, if all of them are waited for, would be the last.
    pub(super) fn is_over_after(&self, results: usize) -> bool {
        let state = self.state.lock();
        state.closed && state.keys.len() <= results
    }

    pub(super) fn count(&self) -> usize {
        self.state.lock().keys.len()
    }

    pub(super) fn add(&self, key: ImageKey) {
        self.state.lock().keys.insert(key);
    }

    /// Whether the job was waited for; it is not any more.
    pub(super) fn take(&self, key: &ImageKey) -> bool {
        self.state.lock().keys.remove(key)
    }

    pub(super) fn take_all(&self) -> HashSet<ImageKey> {
        std::mem::take(&mut self.state.lock().keys)
    }

    /// Returns when no more jobs come, if that was not known.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Sends jobs to workers elsewhere, many at a time, and remembers them.
pub(super) struct TrackedSender {
    pub(super) run: Run,
    pub(super) jobs: Box<dyn JobSender>,
    pub(super) unfinished: Arc<Unfinished>,
    /// How many may be saved: each takes one, until it has a result.
    pub(super) quota: Quota,
    /// Whether the run waits for results; otherwise each job ends, for the run, in the queue.
    pub(super) waits: bool,
    /// Those that are not sent yet.
    pub(super) gathered: Mutex<VecDeque<Job>>,
}

impl TrackedSender {
    async fn finished(&self, key: ImageKey, outcome: Outcome) {
        let finished = Event::ImageFinished { key, outcome };
        self.run.events.emit(finished).await;
    }

    async fn send_one(&self, job: Job) -> Result<(), QueueError> {
        let key = job.key.clone();
        let address = self.run.shown(job.first_url());
        let sent = self.jobs.send(job).await;
        match &sent {
            Ok(Sent::New | Sent::Waiting) if self.waits => return Ok(()),
            Ok(Sent::New | Sent::Waiting) => {
                if let Some(limit) = self.quota.spend() {
                    self.run.shutdown.stop_at(limit);
                }
                self.finished(key.clone(), Outcome::Queued).await;
            }
            Ok(Sent::Refused) => {
                self.quota.give_back();
                let skip = Skip::new(address, SkipReason::InQueue);
                self.finished(key.clone(), Outcome::Skipped(skip)).await;
            }
            Err(_) => {}
        }
        self.unfinished.take(&key);
        sent.map(|_| ())
    }
}

#[async_trait]
impl JobSender for TrackedSender {
    async fn send(&self, mut job: Job) -> Result<Sent, QueueError> {
        let masks = self.run.fetcher.masks();
        let is_secret = |candidate: &Candidate| masks.matches(candidate.url().as_str());
        if job.candidates.iter().any(is_secret) {
            let failure = Failure {
                stage: Stage::Rewrite,
                address: masks.apply_url(&job.page).to_string(),
                cause: "its address holds a secret, which is sent to no queue".to_owned(),
                attempts: 0,
                gone: false,
            };
            self.finished(job.key, Outcome::Failed(failure)).await;
            return Ok(Sent::Refused);
        }
        job.page = masks.apply_shared(&job.page);
        // Cancel-safe, and so is what follows: a job that is dropped is in no queue, or in it and known to it.
        if self.quota.take().now_or_never().is_none() {
            // It may be the jobs that wait here whose results free it.
            self.flush().await?;
            self.quota.take().await;
        }
        self.unfinished.add(job.key.clone());
        let is_full = {
            let mut gathered = self.gathered.lock();
            gathered.push_back(job);
            gathered.len() >= SENT_AT_ONCE
        };
        if is_full {
            self.flush().await?;
        }
        Ok(Sent::New)
    }

    async fn flush(&self) -> Result<(), QueueError> {
        // In their order, though not one after the other. Each leaves the others when its turn comes: what is left where
        // this is dropped is known not to be sent.
        let gathered = std::iter::from_fn(|| self.gathered.lock().pop_front());
        let sent = stream::iter(gathered).map(|job| self.send_one(job));
        sent.buffered(SENT_AT_ONCE).try_collect::<()>().await?;
        self.jobs.flush().await
    }
}

impl Drop for TrackedSender {
    fn drop(&mut self) {
        // The run was asked to stop: the next one finds them again.
        for job in self.gathered.get_mut().drain(..) {
            self.unfinished.take(&job.key);
            self.quota.give_back();
        }
        self.unfinished.state.lock().closed = true;
        self.unfinished.changed.notify_one();
    }
}
