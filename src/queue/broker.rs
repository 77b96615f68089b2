//! What a queue on a broker needs beyond one in memory: how it is reached, what each side asks of it, and who looks
//! after it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use url::Url;

use super::{JobSender, QueueError, ResultReceiver};
use crate::job::Job;

/// How a broker is reached.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Its address, without user and password.
    pub url: Url,
    /// Who we are.
    pub login: Login,
    /// A file with the certificates of authorities, in PEM; the system's where there is none.
    pub ca: Option<PathBuf>,
    /// Files with a certificate and its key, in PEM, by which the broker knows us.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether a broker that is not on this machine may be used without TLS.
    pub insecure: bool,
}

/// Who a program is to a broker.
#[derive(Clone)]
pub enum Login {
    /// Nobody in particular.
    Anonymous,
    /// A user with a password.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// Whoever has this token.
    Token(String),
    /// The owner of the nkey whose seed is in this file.
    Nkey(PathBuf),
    /// The owner of this credentials file, which has a JWT and a seed.
    Credentials(PathBuf),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password",
            Self::Token(_) => "Token",
            Self::Nkey(_) => "Nkey",
            Self::Credentials(_) => "Credentials",
        })
    }
}

/// What a run asks of the broker whose queue it fills. Runs that share a broker must agree in all but the collection.
#[derive(Debug, Clone)]
pub struct CoordinatorOptions {
    /// Whose results the run is to have: 1 to 32 of `0-9` and `a-z`, the same for each run of a collection.
    pub collection: String,
    /// The most jobs of a host that all workers together have at a time.
    pub host_cap: NonZeroUsize,
    /// The most jobs that the queue holds: [`JobSender::send`] waits beyond it.
    pub max_jobs: u64,
    /// The room for jobs on the broker's disk, in bytes, which it reserves; results and dead letters have as much each.
    pub max_bytes: u64,
    /// How long a worker may be silent before another one has its job.
    pub ack_wait: Duration,
}

impl CoordinatorOptions {
    /// What [`CoordinatorOptions::max_jobs`] is unless somebody says otherwise.
    pub const MAX_JOBS: u64 = 100_000;

    /// Room for [`CoordinatorOptions::MAX_JOBS`] jobs of 2.5 KiB.
    pub const MAX_BYTES: u64 = 256 << 20;

    /// What [`CoordinatorOptions::ack_wait`] is unless somebody says otherwise.
    pub const ACK_WAIT: Duration = Duration::from_secs(30);
}

/// What a worker process asks of the broker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Jobs that it works on at a time.
    pub slots: NonZeroUsize,
    /// Ends the deliveries once the queue has been empty, and no job here, for this long.
    pub until_idle: Option<Duration>,
}

/// A run's side of a broker's queue.
pub struct Coordination {
    /// Belongs to the producer.
    pub sender: Box<dyn JobSender>,
    /// Belongs to whoever records the results.
    pub results: Box<dyn ResultReceiver>,
}

/// Looks after a broker's queue.
#[async_trait]
pub trait QueueAdmin: Send + Sync {
    /// What is in the queue.
    ///
    /// # Errors
    ///
    /// When the broker is out of reach, or refuses: here as below.
    async fn status(&self) -> Result<QueueStatus, QueueError>;

    /// The dead letters with numbers above `after`, in their order, at most a few hundred of them; empty at the end.
    ///
    /// # Errors
    ///
    /// See [`QueueAdmin::status`].
    async fn dead(&self, after: u64) -> Result<Vec<DeadJob>, QueueError>;

    /// Queues the job of a dead letter again, under another name, and removes the letter. `false` where there is no
    /// such letter, or no job in it.
    ///
    /// # Errors
    ///
    /// See [`QueueAdmin::status`].
    async fn retry(&self, number: u64) -> Result<bool, QueueError>;

    /// Removes jobs or dead letters, and returns how many.
    ///
    /// # Errors
    ///
    /// See [`QueueAdmin::status`].
    async fn purge(&self, what: Purge<'_>) -> Result<u64, QueueError>;

    /// Delivers no job of `host` (see [`Job::host`]) for this long. `false` where the queue knows no such host.
    ///
    /// # Errors
    ///
    /// See [`QueueAdmin::status`].
    async fn pause(&self, host: &str, pause: Duration) -> Result<bool, QueueError>;
}

/// What is in a broker's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueStatus {
    /// Jobs that no worker has finished, those that workers have included.
    pub jobs: u64,
    /// Jobs that have left the queue since it was made: done, given up or removed.
    pub finished: u64,
    /// Results that no run has recorded.
    pub results: u64,
    /// Dead letters.
    pub dead: u64,
    /// Hosts with jobs, in alphabetical order.
    pub hosts: Vec<HostStatus>,
}

/// A host's jobs in a broker's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostStatus {
    /// As in [`Job::host`]; a hash where it is very long.
    pub host: String,
    /// Jobs that no worker has. May lag behind.
    pub waiting: u64,
    /// Jobs that workers have, or that wait for another attempt.
    pub in_flight: u64,
    /// Of the jobs in flight, those that were delivered more than once.
    pub redelivered: u64,
    /// The most jobs in flight.
    pub cap: u64,
    /// Until when nothing is delivered.
    pub paused_until: Option<Timestamp>,
}

/// A job that was given up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadJob {
    /// Its number among the dead letters.
    pub number: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// Whose it was.
    pub collection: String,
    /// The job; none where what was queued is none.
    pub job: Option<Job>,
    /// Why: may quote a server, so untrusted text.
    pub reason: String,
}

/// What [`QueueAdmin::purge`] removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge<'h> {
    /// Every job, those that workers have included.
    Jobs,
    /// The jobs of one host.
    Host(&'h str),
    /// The dead letters.
    Dead,
}
