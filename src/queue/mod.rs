//! The queue between the producer and the workers: a socket, opened by URL.

mod broker;
mod error;
mod forward;
mod lease;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod results;

#[cfg(test)]
mod contract;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::event::Events;
use crate::job::Job;

pub use self::broker::{
    Broker, Coordination, CoordinatorOptions, DeadJob, HostStatus, Login, Purge, QueueAdmin,
    QueueStatus, WorkerOptions,
};
pub use self::error::QueueError;
pub use self::forward::forwarded;
pub use self::lease::{Ack, Lease};
pub use self::results::{Depth, RESULTS_AT_ONCE, ReceivedResult};

/// Where jobs go in. The producer alone holds it: dropping it says that no more jobs come, so there is no flag to set
/// and none to forget.
#[async_trait]
pub trait JobSender: Send + Sync {
    /// Puts `job` into the queue, waiting while it is full. A sender that gathers jobs takes each for new.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach, or every receiver is gone.
    async fn send(&self, job: Job) -> Result<Sent, QueueError>;

    /// Called after the jobs of each page: a sender that gathers them passes them on now. Cancel-safe: nothing is
    /// passed on twice.
    ///
    /// # Errors
    ///
    /// As [`JobSender::send`].
    async fn flush(&self) -> Result<(), QueueError> {
        Ok(())
    }
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

/// Whether jobs come behind those that were taken from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoreJobs {
    /// Some wait in it, or it is open to the producer.
    Expected,
    /// The last one is taken, and only one that fails may come back.
    NotExpected,
    /// On a broker others have a say.
    Unknown,
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

    /// Whether more jobs are on their way, so that it pays to wait a moment for their images.
    fn more_jobs(&self) -> MoreJobs {
        MoreJobs::Unknown
    }

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
    /// The results that are there, at most [`RESULTS_AT_ONCE`] and the others of the last message; waits for one. Cancel-safe: results that were not
    /// returned, or not acknowledged, come again.
    ///
    /// # Errors
    ///
    /// When the queue is out of reach, or refuses.
    async fn next(&self) -> Result<Vec<ReceivedResult>, QueueError>;

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
