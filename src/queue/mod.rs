//! The queue between the producer and the workers: a socket, opened by URL.

mod memory;

#[cfg(test)]
mod contract;

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use url::Url;

use crate::job::Job;

/// Where jobs go in. The producer alone holds it: dropping it says that no more jobs come, so there is no flag to set
/// and none to forget.
#[async_trait]
pub trait JobSender: Send + Sync {
    /// Puts `job` into the queue, waiting while it is full.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach, or every receiver is gone.
    async fn send(&self, job: Job) -> Result<(), QueueError>;
}

/// Where jobs come out; shared by all workers.
#[async_trait]
pub trait JobReceiver: Send + Sync {
    /// The next job, or `None` once the sender is dropped and every job is done. Cancel-safe: a job that was not
    /// returned is still in the queue.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach.
    async fn next(&self) -> Result<Option<Lease>, QueueError>;
}

/// A job that one worker has. Dropped without [`Lease::ack`] it goes back to the queue at once.
pub struct Lease {
    /// The job.
    pub job: Job,
    /// Counts from 1.
    pub attempt: u32,
    /// Taken by `ack`; still there when the lease is dropped without it.
    handle: Option<Box<dyn AckHandle>>,
}

impl Lease {
    fn new(job: Job, attempt: u32, handle: impl AckHandle + 'static) -> Self {
        Self {
            job,
            attempt,
            handle: Some(Box::new(handle)),
        }
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

/// A plug's side of a lease.
#[async_trait]
trait AckHandle: Send + Sync {
    async fn ack(self: Box<Self>, job: &Job, attempt: u32, ack: Ack) -> Result<(), QueueError>;

    /// Returns the job to the queue. Called from `Drop`, which cannot await: a plug over the network leaves it to the
    /// lease's deadline.
    fn nack(self: Box<Self>, job: &Job, attempt: u32);
}

/// What becomes of a leased job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It is delivered again.
    Retry {
        /// Not before this long from now.
        after: Duration,
    },
    /// It is removed: the image was saved, skipped or given up.
    Done,
}

/// Both ends of an open queue.
pub struct Queue {
    /// Belongs to the producer.
    pub sender: Box<dyn JobSender>,
    /// Shared by the workers.
    pub receiver: Box<dyn JobReceiver>,
}

/// Why a queue does not work.
#[derive(Debug, Error)]
pub enum QueueError {
    /// No plug serves this kind of URL.
    #[error("no queue for `{0}:` in this build: use `memory:`")]
    UnknownScheme(String),
    /// The other end is gone.
    #[error("the queue is closed")]
    Closed,
}

/// Opens the queue at `url`, holding at most `capacity` jobs.
///
/// # Errors
///
/// When no plug of this build serves the URL, or the queue is out of reach.
#[expect(
    clippy::unused_async,
    reason = "a plug that is reached over the network awaits here"
)]
pub async fn open(url: &Url, capacity: NonZeroUsize) -> Result<Queue, QueueError> {
    match url.scheme() {
        "memory" => Ok(memory::open(capacity)),
        scheme => Err(QueueError::UnknownScheme(scheme.to_owned())),
    }
}
