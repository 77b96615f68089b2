//! What workers say of jobs.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::lease::AckHandle;
use super::{Ack, Lease, QueueError};
use crate::job::Job;
use crate::outcome::{Failure, JobEnd, JobResult, ResultVersion};

/// The most results that [`ResultReceiver::next`](super::ResultReceiver::next) returns: as many as the ledger takes in one transaction.
pub const RESULTS_AT_ONCE: usize = 256;

/// How much is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that no worker has finished, those that workers have included: of the hosts that this run has queued jobs
    /// for. Another run may have jobs of the same host.
    pub jobs: u64,
    /// Messages with results for this collection that are not acknowledged.
    pub results: u64,
}

/// A result that came from a worker.
pub struct ReceivedResult {
    /// What the worker says.
    pub result: JobResult,
    pub(super) handle: Box<dyn ResultHandle>,
}

impl ReceivedResult {
    /// Queues its job again, as `job`: under another name, so that it is not taken for the one that it was. Once, however
    /// often the result comes, and where several workers had the job.
    ///
    /// # Errors
    ///
    /// As [`JobSender::send`](super::JobSender::send).
    pub async fn forward(&self, job: Job) -> Result<(), QueueError> {
        self.handle.forward(job).await
    }

    /// The job, and how it ended. The lease is that of the result: to acknowledge it says that what the result says is
    /// recorded, and a result whose lease is dropped comes again. With [`Ack::Dead`] the job
    /// of a failure goes to the dead letters first.
    pub fn into_lease(self) -> (Lease, JobEnd, Timestamp) {
        let JobResult {
            version: _,
            job,
            attempt,
            at,
            end,
        } = self.result;
        let failure = match &end {
            JobEnd::Failed(failure) => Some(failure.clone()),
            JobEnd::Stored(_) | JobEnd::Skipped(_) | JobEnd::Elsewhere(_) => None,
        };
        let handle = ResultAck {
            at,
            failure,
            handle: self.handle,
        };
        (Lease::new(job, attempt, Arc::new(handle)), end, at)
    }
}

/// The lease of a result.
struct ResultAck {
    at: Timestamp,
    failure: Option<Failure>,
    handle: Box<dyn ResultHandle>,
}

#[async_trait]
impl AckHandle for ResultAck {
    async fn ack(&self, job: &Job, attempt: u32, ack: Ack) -> Result<(), QueueError> {
        let is_dead = matches!(ack, Ack::Dead { .. });
        let failure = self.failure.as_ref().filter(|_| is_dead);
        let dead = failure.map(|failure| JobResult {
            version: ResultVersion,
            job: job.clone(),
            attempt,
            at: self.at,
            end: JobEnd::Failed(failure.clone()),
        });
        self.handle.ack(dead).await
    }

    fn nack(&self, _job: &Job, _attempt: u32) {
        // The queue delivers it again once its time is over.
    }
}

/// A plug's side of a result.
#[async_trait]
pub(super) trait ResultHandle: Send + Sync {
    /// What the result says is recorded; `dead` is one whose job is to go to the dead letters.
    async fn ack(&self, dead: Option<JobResult>) -> Result<(), QueueError>;

    async fn forward(&self, job: Job) -> Result<(), QueueError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The side of a result that no queue has.
    struct NoQueue;

    #[async_trait]
    impl ResultHandle for NoQueue {
        async fn ack(&self, _dead: Option<JobResult>) -> Result<(), QueueError> {
            Ok(())
        }

        async fn forward(&self, _job: Job) -> Result<(), QueueError> {
            Ok(())
        }
    }

    impl ReceivedResult {
        /// A result for those that take them.
        pub(crate) fn without_queue(result: JobResult) -> Self {
            let handle = Box::new(NoQueue);
            Self { result, handle }
        }
    }
}
