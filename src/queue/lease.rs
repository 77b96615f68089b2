//! A job that a worker has.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::QueueError;
use crate::job::Job;
use crate::outcome::{JobEnd, JobResult, ResultVersion};

/// A job that one worker has. Dropped without [`Lease::ack`] it goes back to the queue at once.
pub struct Lease {
    /// The job.
    pub job: Job,
    /// Counts from 1.
    pub attempt: u32,
    /// Taken by `ack`; still there when the lease is dropped without it.
    handle: Option<Arc<dyn AckHandle>>,
    /// The room that it takes among the jobs that a process works on at a time.
    pub(super) slot: Option<OwnedSemaphorePermit>,
    /// Dropped with it.
    companion: Option<Box<dyn Any + Send + Sync>>,
}

impl Lease {
    pub(super) fn new(job: Job, attempt: u32, handle: Arc<dyn AckHandle>) -> Self {
        Self {
            job,
            attempt,
            handle: Some(handle),
            slot: None,
            companion: None,
        }
    }

    /// Keeps something until the lease has ended.
    pub fn keep(&mut self, companion: impl Any + Send + Sync) {
        self.companion = Some(Box::new(companion));
    }

    /// Says that its worker has time for another job, while this one waits to be committed.
    pub fn free_slot(&mut self) {
        self.slot = None;
    }

    /// Whether another worker may have the job now, because the queue was not told for too long that this one works on
    /// it. [`Lease::ack`] says nothing then.
    pub fn is_lost(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.is_lost())
    }

    /// Returns when the lease is lost. Cancel-safe. Never for a queue in memory.
    pub async fn lost(&self) {
        match self.lost_token() {
            Some(lost) => lost.cancelled().await,
            None => std::future::pending().await,
        }
    }

    fn lost_token(&self) -> Option<&CancellationToken> {
        self.handle.as_ref()?.lost()
    }

    /// Sends how the job ended to the run that queued it. Durable when it returns.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach, or takes no results; the job must not be acknowledged then.
    pub async fn report(&self, at: Timestamp, end: JobEnd) -> Result<(), QueueError> {
        let handle = self.handle.as_ref().ok_or(QueueError::Closed)?;
        let result = JobResult {
            version: ResultVersion,
            job: self.job.clone(),
            attempt: self.attempt,
            at,
            end,
        };
        handle.report(&result).await
    }

    /// Says what becomes of the job and ends the lease.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach; the job will then be delivered again.
    pub async fn ack(mut self, ack: Ack) -> Result<(), QueueError> {
        match self.handle.take() {
            Some(handle) => handle.ack(&self.job, self.attempt, ack).await,
            None => Ok(()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.nack(&self.job, self.attempt);
        }
    }
}

/// A plug's side of a lease, or of all its leases.
#[async_trait]
pub(super) trait AckHandle: Send + Sync {
    /// Ends the lease. Called once, and then nothing else for it.
    async fn ack(&self, job: &Job, attempt: u32, ack: Ack) -> Result<(), QueueError>;

    /// Returns the job to the queue. Called from `Drop`, which cannot await: a plug over the network leaves it to the
    /// lease's deadline.
    fn nack(&self, job: &Job, attempt: u32);

    /// Cancelled when the lease is lost, if it can be.
    fn lost(&self) -> Option<&CancellationToken> {
        None
    }

    /// Whether it is lost by now, also where nobody has noticed yet: in a process that was frozen.
    fn is_lost(&self) -> bool {
        self.lost().is_some_and(CancellationToken::is_cancelled)
    }

    async fn report(&self, result: &JobResult) -> Result<(), QueueError> {
        let _ = result;
        Err(QueueError::Closed)
    }
}

/// What becomes of a leased job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// It is delivered again.
    Retry {
        /// Not before this long from now.
        after: Duration,
    },
    /// It is removed: the image was saved or skipped.
    Done,
    /// It is removed: the image was given up, and another worker would not fare better.
    Dead {
        /// Why, for whoever looks at the queue.
        reason: String,
    },
}
