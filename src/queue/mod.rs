//! The queue between the producer and the workers: a socket, opened by URL.

mod broker;
mod error;
mod memory;
#[cfg(feature = "nats")]
mod nats;

#[cfg(test)]
mod contract;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::event::Events;
use crate::job::Job;
use crate::outcome::{JobEnd, JobResult, ResultVersion};

pub use self::broker::{
    Broker, Coordination, CoordinatorOptions, DeadJob, HostStatus, Login, Purge, QueueAdmin,
    QueueStatus, WorkerOptions,
};
pub use self::error::QueueError;

/// Where jobs go in. The producer alone holds it: dropping it says that no more jobs come, so there is no flag to set
/// and none to forget.
#[async_trait]
pub trait JobSender: Send + Sync {
    /// Puts `job` into the queue, waiting while it is full.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach, or every receiver is gone.
    async fn send(&self, job: Job) -> Result<Sent, QueueError>;
}

/// What became of a job that was sent. A queue in memory takes every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the queue.
    New,
    /// An earlier run of this collection had put it there, and it is there still.
    Waiting,
    /// It is not queued, and no result of it will come: another collection's run has it in the queue, or it was there
    /// until a moment ago and the queue does not take it again so soon.
    Refused,
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

    /// Asks that no job of `host` (see [`Job::host`]) is delivered for this long, to any worker of the queue. A queue
    /// in memory leaves that to the fetcher, which all of its workers share.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach.
    async fn pause_host(&self, host: &str, pause: Duration) -> Result<(), QueueError> {
        let _ = (host, pause);
        Ok(())
    }

    /// Ends the deliveries: jobs that no worker has taken go back to the queue, and so does what leases that were
    /// dropped say. [`JobReceiver::next`] returns `None` from now on. For a broker the last call of a process.
    async fn close(&self) {}
}

/// Where a run learns how the jobs ended that it queued for workers elsewhere.
#[async_trait]
pub trait ResultReceiver: Send + Sync {
    /// The results that are there, at most [`RESULTS_AT_ONCE`]; waits for one. Cancel-safe: results that were not
    /// returned, or not acknowledged, come again.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach, or refuses.
    async fn next(&self) -> Result<Vec<ReceivedResult>, QueueError>;

    /// Queues a job again under another name, so that it is not taken for the one that it was.
    ///
    /// # Errors
    ///
    /// As [`JobSender::send`].
    async fn send_again(&self, job: Job) -> Result<(), QueueError>;

    /// How much is in the queue now.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// Removes what the broker kept for this run alone, at its end. The last call.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach; nothing is lost then.
    async fn close(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

/// The most results that [`ResultReceiver::next`] returns: as many as the ledger takes in one transaction.
pub const RESULTS_AT_ONCE: usize = 256;

/// How much is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that no worker has finished, those that workers have included.
    pub jobs: u64,
    /// Results for this collection that are not acknowledged.
    pub results: u64,
}

/// A result that came from a worker.
pub struct ReceivedResult {
    /// What the worker says.
    pub result: JobResult,
    handle: Box<dyn ResultHandle>,
}

impl ReceivedResult {
    /// Removes the result from the queue: what it says is recorded. The job of a failure goes to the dead letters first.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach; the result will then come again.
    pub async fn ack(self) -> Result<(), QueueError> {
        self.handle.ack(&self.result).await
    }
}

/// A plug's side of a result.
#[async_trait]
trait ResultHandle: Send + Sync {
    async fn ack(self: Box<Self>, result: &JobResult) -> Result<(), QueueError>;
}

/// A job that one worker has. Dropped without [`Lease::ack`] it goes back to the queue at once.
pub struct Lease {
    /// The job.
    pub job: Job,
    /// Counts from 1.
    pub attempt: u32,
    /// Taken by `ack`; still there when the lease is dropped without it.
    handle: Option<Box<dyn AckHandle>>,
    /// The room that it takes among the jobs that a process works on at a time.
    slot: Option<OwnedSemaphorePermit>,
}

impl Lease {
    fn new(job: Job, attempt: u32, handle: impl AckHandle + 'static) -> Self {
        Self {
            job,
            attempt,
            handle: Some(Box::new(handle)),
            slot: None,
        }
    }

    /// Says that its worker has time for another job, while this one waits to be committed.
    pub fn free_slot(&mut self) {
        self.slot = None;
    }

    /// Whether another worker may have the job now, because the queue was not told for too long that this one works on
    /// it. [`Lease::ack`] says nothing then.
    pub fn is_lost(&self) -> bool {
        self.lost_token()
            .is_some_and(CancellationToken::is_cancelled)
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

/// A plug's side of a lease.
#[async_trait]
trait AckHandle: Send + Sync {
    async fn ack(self: Box<Self>, job: &Job, attempt: u32, ack: Ack) -> Result<(), QueueError>;

    /// Returns the job to the queue. Called from `Drop`, which cannot await: a plug over the network leaves it to the
    /// lease's deadline.
    fn nack(self: Box<Self>, job: &Job, attempt: u32);

    /// Cancelled when the lease is lost, if it can be.
    fn lost(&self) -> Option<&CancellationToken> {
        None
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

/// Both ends of an open queue.
pub struct Queue {
    /// Belongs to the producer.
    pub sender: Box<dyn JobSender>,
    /// Shared by the workers.
    pub receiver: Box<dyn JobReceiver>,
}

/// Opens the queue at `url`, holding at most `capacity` jobs, for a run that is producer and workers in one process.
///
/// # Errors
///
/// When no plug of this build serves the URL.
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

/// Opens a broker's queue for the run that fills it and records the results.
///
/// # Errors
///
/// When no plug of this build serves the URL, the options are wrong, or the broker is out of reach or refuses.
#[cfg_attr(
    not(feature = "nats"),
    expect(clippy::unused_async, reason = "the plug of the feature `nats` awaits")
)]
pub async fn coordinate(
    broker: &Broker,
    options: &CoordinatorOptions,
    events: &Events,
) -> Result<Coordination, QueueError> {
    let _ = (options, events);
    match broker.url.scheme() {
        #[cfg(feature = "nats")]
        "nats" | "tls" => nats::coordinate(broker, options, events).await,
        scheme => Err(QueueError::UnknownScheme(scheme.to_owned())),
    }
}

/// Opens a broker's queue for a process that works on its jobs.
///
/// # Errors
///
/// As [`coordinate`].
#[cfg_attr(
    not(feature = "nats"),
    expect(clippy::unused_async, reason = "the plug of the feature `nats` awaits")
)]
pub async fn work(
    broker: &Broker,
    options: &WorkerOptions,
    events: &Events,
) -> Result<Arc<dyn JobReceiver>, QueueError> {
    let _ = (options, events);
    match broker.url.scheme() {
        #[cfg(feature = "nats")]
        "nats" | "tls" => nats::work(broker, options, events).await,
        scheme => Err(QueueError::UnknownScheme(scheme.to_owned())),
    }
}

/// Opens a broker's queue for somebody who looks after it.
///
/// # Errors
///
/// As [`coordinate`].
#[cfg_attr(
    not(feature = "nats"),
    expect(clippy::unused_async, reason = "the plug of the feature `nats` awaits")
)]
pub async fn administer(
    broker: &Broker,
    options: &CoordinatorOptions,
    events: &Events,
) -> Result<Box<dyn QueueAdmin>, QueueError> {
    let _ = (options, events);
    match broker.url.scheme() {
        #[cfg(feature = "nats")]
        "nats" | "tls" => nats::administer(broker, options, events).await,
        scheme => Err(QueueError::UnknownScheme(scheme.to_owned())),
    }
}
