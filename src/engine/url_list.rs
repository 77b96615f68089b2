//! The producer of a URL list: enqueues the images whose URLs the user gives, in place of a site's listing.

use std::slice;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::producer::{Seen, gone};
use super::{EngineError, Shutdown};
use crate::event::{Event, Events, ListingEnd};
use crate::fetch::Fetcher;
use crate::job::{ImageKey, ImageRef, Job, Stem};
use crate::ledger::Ledger;
use crate::outcome::{Failure, Outcome, Stage};
use crate::queue::{JobSender, QueueError};
use crate::site::ImageSource;

/// All that is needed to find the images of a URL list.
pub struct Given {
    /// The site that they are on, or the source of those that are on none.
    pub source: ImageSource,
    /// The way to the network.
    pub fetcher: Arc<Fetcher>,
    /// Which images are known already.
    pub ledger: Arc<dyn Ledger>,
    /// The URLs, in batches.
    pub lines: mpsc::Receiver<Vec<GivenLine>>,
    /// The current time.
    pub clock: fn() -> Timestamp,
    /// Where events go.
    pub events: Events,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// One URL that the user gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenLine {
    /// An image.
    Image(Box<ImageRef>),
    /// Not a URL that can be requested.
    Bad {
        /// The text of the line, cut if it is long.
        text: String,
        /// Where it stands, and what is wrong with it.
        cause: String,
    },
}

/// Reads the list to its end and enqueues its images.
pub(super) async fn run(mut given: Given, jobs: Box<dyn JobSender>) -> Result<(), EngineError> {
    let mut seen = Seen::default();
    loop {
        let lines = tokio::select! {
            biased;
            () = given.shutdown.stopping() => return Ok(()),
            lines = given.lines.recv() => lines,
        };
        let Some(lines) = lines else { break };
        if !enqueue(&given, &mut seen, &*jobs, lines).await? {
            return Ok(());
        }
    }
    given
        .events
        .emit(Event::ListingEnded {
            pages: 0,
            page: None,
            reason: ListingEnd::UrlListRead,
        })
        .await;
    Ok(())
}

/// Enqueues what is new among these; false when the run stops.
async fn enqueue(
    given: &Given,
    seen: &mut Seen,
    jobs: &dyn JobSender,
    lines: Vec<GivenLine>,
) -> Result<bool, EngineError> {
    let (mut new, mut bad, mut repeated) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        match line {
            GivenLine::Bad { text, cause } => bad.push((text, cause)),
            GivenLine::Image(image) => {
                let mut image = *image;
                given.fetcher.canonicalize(slice::from_mut(&mut image));
                let resolved = match given.source.resolve(&image) {
                    Ok(resolved) => resolved,
                    Err(why) => {
                        bad.push((image.thumb.into(), why.to_string()));
                        continue;
                    }
                };
                let key = ImageKey::new(given.source.id(), resolved.candidates[0].url());
                if seen.insert(&key) {
                    let stem = Stem::new(&resolved.stem);
                    new.push((
                        Job {
                            key,
                            image,
                            resolved: Some(resolved),
                        },
                        stem,
                    ));
                } else {
                    repeated += 1;
                }
            }
        }
    }
    let asked = new
        .iter()
        .map(|(job, stem)| (job.key.clone(), stem.clone()))
        .collect();
    let known = given.ledger.known(asked, (given.clock)()).await?;
    let gone = gone(&known);
    let read = Event::AddressesRead {
        found: new.len() + bad.len(),
        already_there: known.len() - gone,
        gone,
        repeated,
    };
    given.events.emit(read).await;
    for (text, cause) in bad {
        let key = ImageKey::from_stored(format!("{} {text}", given.source.id()));
        let failure = Failure {
            stage: Stage::Rewrite,
            address: text,
            cause,
            attempts: 0,
            gone: false,
        };
        given
            .events
            .emit(Event::ImageFinished {
                key,
                outcome: Outcome::Failed(failure),
            })
            .await;
    }
    for (job, _stem) in new {
        if known.contains_key(&job.key) {
            continue;
        }
        let sent = tokio::select! {
            biased;
            () = given.shutdown.stopping() => return Ok(false),
            sent = jobs.send(job) => sent,
        };
        match sent {
            Ok(()) => {}
            Err(QueueError::Closed) => return Ok(false),
            Err(broken) => return Err(broken.into()),
        }
    }
    Ok(true)
}
