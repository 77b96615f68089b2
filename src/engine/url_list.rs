//! The producer of a URL list: enqueues the images whose URLs the user gives, in place of a site's listing.

use std::slice;

use tokio::sync::mpsc;

use super::EngineError;
use super::discover::Discovery;
use super::producer::{Seen, gone};
use crate::event::{Event, ListingEnd};
use crate::job::{ImageKey, ImageRef, Stem};
use crate::outcome::{Failure, Outcome, Stage};
use crate::site::ImageSource;

/// One URL that the user gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenLine {
    /// An image.
    Image(Box<ImageRef>),
    /// Not a URL that can be requested.
    Bad {
        /// The text of the line, cut if it is long.
        text: String,
        /// Where it is in the input, and what is wrong with it.
        cause: String,
    },
}

/// Reads the list to its end and enqueues its images.
pub(super) async fn run(
    discovery: Discovery,
    source: ImageSource,
    mut batches: mpsc::Receiver<Vec<GivenLine>>,
) -> Result<(), EngineError> {
    let mut seen = Seen::default();
    loop {
        // Both are cancel-safe. The stop comes first: a batch that was read must not begin new images any more.
        let lines = tokio::select! {
            biased;
            () = discovery.run.shutdown.stopping() => return Ok(()),
            lines = batches.recv() => lines,
        };
        let Some(lines) = lines else { break };
        if !enqueue(&discovery, &source, &mut seen, lines).await? {
            return Ok(());
        }
    }
    discovery
        .run
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
    discovery: &Discovery,
    source: &ImageSource,
    seen: &mut Seen,
    lines: Vec<GivenLine>,
) -> Result<bool, EngineError> {
    let (mut new, mut bad, mut repeated) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        match line {
            GivenLine::Bad { text, cause } => bad.push((text, cause)),
            GivenLine::Image(image) => {
                let mut image = *image;
                discovery
                    .run
                    .fetcher
                    .canonicalize(slice::from_mut(&mut image));
                let resolved = match source.resolve(&image) {
                    Ok(resolved) => resolved,
                    Err(why) => {
                        bad.push((image.thumb.into(), why.to_string()));
                        continue;
                    }
                };
                let key = ImageKey::new(source.id(), resolved.candidates[0].url());
                if seen.insert(&key) {
                    let job = discovery.job(key, image, resolved);
                    let stem = Stem::new(&job.stem);
                    new.push((job, stem));
                } else {
                    repeated += 1;
                }
            }
        }
    }
    let lookups = new
        .iter()
        .map(|(job, stem)| (job.key.clone(), stem.clone()))
        .collect();
    let known = discovery
        .ledger
        .known(lookups, (discovery.run.clock)())
        .await?;
    let gone = gone(&known);
    let read = Event::AddressesRead {
        found: new.len() + bad.len(),
        already_there: known.len() - gone,
        gone,
        repeated,
    };
    discovery.run.events.emit(read).await;
    for (text, cause) in bad {
        let key = ImageKey::from_stored(format!("{} {text}", source.id()));
        let failure = Failure {
            stage: Stage::Rewrite,
            address: text,
            cause,
            attempts: 0,
            gone: false,
        };
        discovery
            .run
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
        if !discovery.send(job).await? {
            return Ok(false);
        }
    }
    Ok(true)
}
