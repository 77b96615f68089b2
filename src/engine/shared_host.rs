//! What a worker does for the sake of others that ask the same host from other machines.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::EngineError;
use super::attempt::AttemptError;
use super::batch::WorkerResult;
use super::worker::{Fetched, Worker};
use crate::job::{Candidate, ImageKey, Job, Tried};
use crate::outcome::{Failure, JobEnd, Outcome, Stage};
use crate::queue::{Ack, Lease};

/// How long a job is left in the queue that nobody can do now.
const POSTPONED: Duration = Duration::from_secs(60);

/// Bytes of a job that is queued again, at most: with what is around it in the queue it is below what that takes.
pub(super) const MAX_FORWARDED: usize = 60_000;

/// What is wrong with a longer one.
pub(super) const TOO_MANY_ADDRESSES: &str =
    "the pages that should lead to it name too many addresses";

/// How often this process has tried images of a shared queue. That counts deliveries, and each restart, freeze and pause
/// of a worker brings one: they must not use up the retries.
#[derive(Clone, Default)]
pub(super) struct Tries(Arc<Mutex<HashMap<ImageKey, u32>>>);

/// Images whose tries are remembered: others may have finished those that are not forgotten.
const REMEMBERED: usize = 100_000;

impl Tries {
    /// The number of the try that begins, from 1.
    pub(super) fn next(&self, key: &ImageKey) -> u32 {
        let mut tries = self.0.lock();
        if tries.len() >= REMEMBERED {
            tries.clear();
        }
        let number = tries.entry(key.clone()).or_insert(0);
        *number += 1;
        *number
    }

    /// The image has its outcome, or was not tried at all.
    pub(super) fn forget(&self, key: &ImageKey) {
        self.0.lock().remove(key);
    }
}

impl Worker {
    /// Holds the lease until the host may be asked again: all workers together must not ask it more often. From now on,
    /// as the last of several requests may just have been made.
    pub(super) async fn keep_pace(&self, lease: &Lease) {
        let left = lease.job.wait;
        if !left.is_zero() {
            tokio::select! {
                () = sleep(left) => {}
                () = self.run.shutdown.aborting() => {}
            }
        }
    }

    /// Returns a job to the run that queued it, to be queued for the host that comes next.
    pub(super) async fn forward(
        &self,
        mut lease: Lease,
        candidates: Vec<Candidate>,
        tried: Tried,
    ) -> Result<(), EngineError> {
        if let Some((address, cause)) = self.refused(&candidates, &lease.job) {
            let failure = Failure {
                stage: Stage::Rewrite,
                address,
                cause: cause.to_owned(),
                attempts: lease.attempt,
                gone: false,
            };
            self.commit(lease, WorkerResult::NoImage(Outcome::Failed(failure)))
                .await;
            return Ok(());
        }
        lease.job.tried = tried;
        let key = lease.job.key.clone();
        self.tries.forget(&key);
        lease
            .report((self.run.clock)(), JobEnd::Elsewhere(candidates))
            .await?;
        lease.ack(Ack::Done).await?;
        self.reports.finished(key, Outcome::Queued).await;
        Ok(())
    }

    /// Why these candidates cannot be sent to the queue, if so, with the address that it is about.
    fn refused(&self, candidates: &[Candidate], job: &Job) -> Option<(String, &'static str)> {
        let masks = self.run.fetcher.masks();
        let mut addresses = candidates.iter().map(Candidate::url);
        if let Some(address) = addresses.find(|address| masks.matches(address.as_str())) {
            let cause = "its address holds a secret, which is sent to no queue";
            return Some((masks.apply_url(address).to_string(), cause));
        }
        // A result that is larger than the broker takes would end this worker.
        let length = serde_json::to_string(candidates).map_or(0, |json| json.len());
        let is_too_long = length > MAX_FORWARDED;
        is_too_long.then(|| (masks.apply_url(&job.page).to_string(), TOO_MANY_ADDRESSES))
    }

    /// Returns a job that nobody can do now: the site takes no more requests, or the host does not answer. The queue
    /// keeps it, and perhaps it is another worker's then.
    pub(super) async fn postpone(&self, lease: Lease) -> Result<(), EngineError> {
        let key = lease.job.key.clone();
        self.tries.forget(&key);
        lease.ack(Ack::Retry { after: POSTPONED }).await?;
        self.reports.finished(key, Outcome::Interrupted).await;
        Ok(())
    }

    /// Tries an image, and once more at once where its bytes are bad or doubtful: what this worker remembers of them no
    /// other one does.
    pub(super) async fn fetch_twice(&self, lease: &Lease) -> Result<Fetched, AttemptError> {
        match self.fetch_or_recover(lease).await {
            Err(error)
                if error.is_bad_image()
                    && !lease.is_lost()
                    && self.retried.is_first(&lease.job.key) =>
            {
                self.fetch_or_recover(lease).await
            }
            result => result,
        }
    }
}
