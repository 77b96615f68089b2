//! What a worker does for the sake of others that ask the same host from other machines.

use std::time::Instant;

use tokio::time::sleep;

use super::EngineError;
use super::worker::Worker;
use crate::job::Candidate;
use crate::outcome::{JobEnd, Outcome};
use crate::queue::{Ack, Lease};

impl Worker {
    /// Holds the lease until the host may be asked again: all workers together must not ask it more often.
    pub(super) async fn keep_pace(&self, lease: &Lease, start: Instant) {
        let left = lease.job.wait.saturating_sub(start.elapsed());
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
        lease: Lease,
        candidates: Vec<Candidate>,
    ) -> Result<(), EngineError> {
        let key = lease.job.key.clone();
        lease
            .report((self.run.clock)(), JobEnd::Elsewhere(candidates))
            .await?;
        lease.ack(Ack::Done).await?;
        self.reports.finished(key, Outcome::Queued).await;
        Ok(())
    }
}
