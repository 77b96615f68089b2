//! The line: a producer, a queue, workers and a keeper, held together by what they hand on.

mod batch;
mod committer;
mod free_space;

mod hooks;
mod prefetch;
mod producer;
mod quota;
mod shutdown;
mod url_list;
mod worker;

use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;
use tokio::task::JoinSet;

pub use url_list::{Given, GivenLine};

pub use quota::Quota;
pub use shutdown::Shutdown;

use self::free_space::FreeSpaceGuard;
use crate::event::{Event, Events};
use crate::fetch::{Fetcher, Retry};
use crate::hooks::Hooks;
use crate::ledger::{Ledger, LedgerError, Record};
use crate::queue::{JobReceiver, JobSender, Queue, QueueError};
use crate::sink::{Sink, SinkError};
use crate::site::{ImageSource, Pages, Site};
use crate::verify::Limits;

/// The left half of the line: what it takes to find a site's images.
#[derive(Clone)]
pub struct Scan {
    /// The site.
    pub site: Arc<Site>,
    /// The door to it.
    pub fetcher: Arc<Fetcher>,
    /// What is known already.
    pub ledger: Arc<dyn Ledger>,
    /// Which pages.
    pub pages: Pages,
    /// Listing pages asked for ahead of the one being handed on.
    pub ahead: NonZeroUsize,
    /// What time it is.
    pub clock: fn() -> Timestamp,
    /// Where what happens is told.
    pub events: Events,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Where images come from.
pub enum Source {
    /// The site's listing.
    Listing(Scan),
    /// Addresses that the user gives.
    Given(Given),
}

impl Source {
    fn shutdown(&self) -> &Shutdown {
        match self {
            Self::Listing(scan) => &scan.shutdown,
            Self::Given(given) => &given.shutdown,
        }
    }
}

/// The right half of the line: what it takes to bring them home.
#[derive(Clone)]
pub struct Haul {
    /// The site, or the source of URLs that are on none.
    pub site: ImageSource,
    /// The door to it.
    pub fetcher: Arc<Fetcher>,
    /// When to try again.
    pub retry: Retry,
    /// Where what happened is remembered.
    pub ledger: Arc<dyn Ledger>,
    /// Where images go.
    pub sink: Arc<dyn Sink>,
    /// What an image may declare.
    pub limits: Limits,
    /// The user's commands, if there are any.
    pub hooks: Option<Hooks>,
    /// How much more may be saved.
    pub quota: Quota,
    /// What time it is.
    pub clock: fn() -> Timestamp,
    /// Where what happens is told.
    pub events: Events,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// A station that broke: the run cannot go on.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The place where images go.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// A page feeds that many workers for one round trip; so many more pages are asked for ahead.
const IMAGES_A_PAGE: usize = 28;

/// How many listing pages to ask for ahead, so that `jobs` workers never wait for the listing.
pub const fn pages_ahead(jobs: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(jobs.get().div_ceil(IMAGES_A_PAGE))
}

/// Reads the source to its end and puts every new image into `jobs`.
///
/// # Errors
///
/// When the ledger or the queue breaks; an unreadable listing is told as an event.
pub async fn scan(source: Source, jobs: Box<dyn JobSender>) -> Result<(), EngineError> {
    match source {
        Source::Listing(scan) => producer::run(scan, jobs).await,
        Source::Given(given) => url_list::run(given, jobs).await,
    }
}

/// Reads the source and brings every new image home with `jobs` workers, until all is done or the shutdown says so.
///
/// # Errors
///
/// The first station that broke; the others have ended by then.
pub async fn run(
    source: Source,
    haul: Haul,
    queue: Queue,
    jobs: NonZeroUsize,
) -> Result<(), EngineError> {
    haul.sink.parts().set_concurrency(jobs);
    // First of all: what a killed run had named is known then.
    recover(&haul).await?;
    let (shutdown, events) = (source.shutdown().clone(), haul.events.clone());
    let room = FreeSpaceGuard::new(&haul.sink, &shutdown);
    let mut stations = JoinSet::new();
    let mut wanted = None;
    if let Some(hooks) = haul.hooks.clone() {
        let (of_hooks, line) = hooks::HookRunner::open(&haul, hooks).await?;
        stations.spawn(station(shutdown.clone(), of_hooks.run()));
        wanted = Some(line);
    }
    stations.spawn(station(shutdown.clone(), scan(source, queue.sender)));
    let (line, arrivals) = batch::commit_queue();
    stations.spawn(station(
        shutdown.clone(),
        committer::Committer::new(&haul, room.clone(), wanted).run(arrivals),
    ));
    let receiver: Arc<dyn JobReceiver> = Arc::from(queue.receiver);
    let doubts = worker::RetriedOnce::default();
    for _ in 0..jobs.get() {
        let (receiver, line) = (Arc::clone(&receiver), line.clone());
        let worker =
            worker::Worker::new(haul.clone(), receiver, line, doubts.clone(), room.clone());
        stations.spawn(station(shutdown.clone(), worker.run()));
    }
    // The stations hold the last ends of all three lines: each ends when those before it did.
    let hands = line.hands();
    drop((haul, receiver, line));
    let mut ran = Ok(());
    let mut interrupted = false;
    loop {
        // Both are cancel-safe.
        let ended = tokio::select! {
            ended = stations.join_next() => ended,
            () = shutdown.interrupted(), if !interrupted => {
                interrupted = true;
                tell_of_hands(&events, hands.count());
                continue;
            }
        };
        let Some(ended) = ended.map(joined) else {
            break;
        };
        ran = ran.and(ended);
    }
    let ran = ran.and(room.ended().map_err(EngineError::from));
    if let Some(limit) = shutdown.limit().filter(|_| ran.is_ok()) {
        events.emit(Event::LimitReached { limit }).await;
    }
    ran
}

/// A station at work. Where one breaks nothing can be kept any more, so that very moment nothing more is asked for.
async fn station(
    shutdown: Shutdown,
    work: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), EngineError> {
    let ended = work.await;
    if ended.is_err() {
        shutdown.abort();
    }
    ended
}

/// Says why a run that somebody ends is not over at once, and what to do where that takes too long.
fn tell_of_hands(events: &Events, in_hand: usize) {
    let finish = match in_hand {
        0 => return,
        1 => "1 image in hand has a moment to finish".to_owned(),
        more => format!("{more} images in hand have a moment to finish"),
    };
    events.note(format!("{finish}; a second Ctrl-C drops what is left"));
}

/// Finishes what an earlier run was about to name when it was killed: no request is made for it.
async fn recover(haul: &Haul) -> Result<(), EngineError> {
    let Haul { ledger, sink, .. } = haul;
    let mut records = Vec::new();
    for unfinished in ledger.pending().await? {
        let key = unfinished.key;
        records.push(
            match sink.holds(&unfinished.name, &unfinished.content).await {
                Ok(Some(name)) => Record::Saved { key, name },
                // What cannot be read is not what was promised.
                Ok(None) | Err(SinkError::Name { .. }) => Record::Unplaced { key },
                Err(broken) => return Err(broken.into()),
            },
        );
    }
    if records.is_empty() {
        return Ok(());
    }
    // A name that was seen may not be on the disk yet: the run that gave it was killed before it could see to that.
    sink.flush().await?;
    if let Some(hooks) = &haul.hooks {
        let saved = records.iter().filter_map(|record| match record {
            Record::Saved { key, name: _ } => Some(key),
            Record::Unplaced { .. } | Record::Failed { .. } | Record::Hooks { .. } => None,
        });
        records.extend(hooks::due(hooks, saved));
    }
    Ok(ledger.record(records).await?)
}

/// A task's result; its panic is ours.
fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Warns of something that is no image's end.
async fn warn(events: &Events, message: impl Into<String>) {
    events
        .emit(Event::Warned {
            message: message.into(),
        })
        .await;
}
