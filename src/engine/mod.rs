//! The pipeline: a producer fills a queue, workers fetch what is in it, a committer saves what they fetched.
//!
//! It has two halves, joined by a queue of jobs. [`discover()`] knows the site and the ledger and makes jobs;
//! [`download()`] knows neither: a job carries what it needs of its site, and a [`Recorder`] takes the outcomes.
//! [`run`] is both in one process, with the user's hooks behind them.

mod archived;
mod attempt;
mod bad_images;
mod batch;
mod candidates;
mod collector;
mod committer;
mod deferred;
mod discover;
mod download;
mod free_space;
mod hooks;
mod in_progress;
mod original;
mod page_copy;
mod pipeline;
mod prefetch;
mod producer;
mod quota;
mod recorder;
mod recovery;
mod remote;
mod reports;
mod resume;
mod scan;
mod seen;
mod shared_host;
mod shutdown;
mod unfinished;
mod url_list;
mod worker;

use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;
use url::Url;

pub use candidates::first_original;
pub use discover::{DiscoverOptions, LateUrls, Source, discover, pages_ahead, pages_at_start};
pub use download::{DownloadOptions, download};
pub use page_copy::PageCopies;
pub use pipeline::{Pipeline, run};
pub use quota::Quota;
pub use recorder::{CompletedJob, LedgerRecorder, Recorder};
pub use recovery::recover;
pub use remote::RemoteRecorder;
pub use reports::{ReportMode, Reports};
pub use scan::{Scan, scan};
pub use shutdown::Shutdown;
pub use url_list::GivenLine;

use crate::event::Events;
use crate::fetch::Fetcher;
use crate::ledger::LedgerError;
use crate::queue::QueueError;
use crate::sink::SinkError;

/// Returns the time. A function, so that a test can give a fixed one.
pub type Clock = fn() -> Timestamp;

/// What every stage of a run shares. Cheap to clone.
#[derive(Clone)]
pub struct Run {
    /// The only way to the network.
    pub fetcher: Arc<Fetcher>,
    /// The wall clock, for what is recorded.
    pub clock: Clock,
    /// Where stages report what happened.
    pub events: Events,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl Run {
    /// The address that is requested for the canonical `address`, as [`Fetcher::shown_url`].
    pub(crate) fn shown(&self, address: &Url) -> Url {
        self.fetcher.shown_url(address)
    }
}

/// A stage broke, so that the run cannot go on.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The queue is out of reach.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The sink as a whole does not work.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Runs one stage. When it breaks, no other stage's work could be saved any more, so the run is aborted at that
/// moment and not when the stages are joined.
async fn stage(
    shutdown: Shutdown,
    work: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), EngineError> {
    let result = work.await;
    if result.is_err() {
        shutdown.abort();
    }
    result
}

/// The result of a task; its panic becomes ours. A panic is the only error there is: no task is cancelled while
/// something waits for it.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
