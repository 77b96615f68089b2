//! The queue between the producer and the workers: a socket with one plug a kind of address.

mod memory;

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use url::Url;

use crate::job::Job;

/// Where jobs go in. Held by the producer alone: dropping it is the end of the jobs.
#[async_trait]
pub trait JobSender: Send + Sync {
    /// Puts `job` into the queue, waiting while it is full.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach, or nobody is left to take the job.
    async fn send(&self, job: Job) -> Result<(), QueueError>;
}

/// Where jobs come out; shared by all workers.
#[async_trait]
pub trait JobReceiver: Send + Sync {
    /// The next job, or `None` once there will never be one again. Cancel-safe: a job that was not
    /// returned is still in the queue.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach.
    async fn next(&self) -> Result<Option<Lease>, QueueError>;
}

/// A job on loan from the queue. Dropped without a verdict it is given back at once.
pub struct Lease {
    /// The job.
    pub job: Job,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Taken by the verdict; still there when the lease is dropped without one.
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

    /// Tells the queue how it went and ends the loan.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach; somebody else will then see the job again.
    pub async fn ack(mut self, verdict: Ack) -> Result<(), QueueError> {
        match self.handle.take() {
            Some(handle) => handle.ack(&self.job, self.attempt, verdict).await,
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
    async fn ack(self: Box<Self>, job: &Job, attempt: u32, verdict: Ack) -> Result<(), QueueError>;

    /// Gives the job back; cannot wait, so a plug that is far away leaves it to its time-out.
    fn nack(self: Box<Self>, job: &Job, attempt: u32);
}

/// What becomes of a leased job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It has another try, not before this long from now.
    Retry {
        /// The pause.
        after: Duration,
    },
    /// It came to its end.
    Done,
}

/// Both ends of an open queue.
pub struct Queue {
    /// For the producer.
    pub sender: Box<dyn JobSender>,
    /// For the workers.
    pub receiver: Box<dyn JobReceiver>,
}

/// Why a queue does not work.
#[derive(Debug, Error)]
pub enum QueueError {
    /// No plug knows the address.
    #[error("no queue for `{0}:` in this build: use `memory:`")]
    Unknown(String),
    /// The other end is gone.
    #[error("the queue is closed")]
    Closed,
}

/// Opens the queue at `url`, holding at most `capacity` jobs.
///
/// # Errors
///
/// When no plug of this build knows the address, or the queue is out of reach.
pub fn open(url: &Url, capacity: NonZeroUsize) -> Result<Queue, QueueError> {
    match url.scheme() {
        "memory" => Ok(memory::open(capacity)),
        scheme => Err(QueueError::Unknown(scheme.to_owned())),
    }
}
