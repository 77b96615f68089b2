//! The producer of a URL list: enqueues the images whose URLs the user gives, in place of a site's listing.

use std::slice;

use tokio::sync::mpsc;

use super::EngineError;
use super::discover::{Discovery, NewImage};
use super::seen::{Seen, counts};
use crate::event::{Event, ListingEnd};
use crate::job::{ImageKey, ImageRef};
use crate::ledger::KnownState;
use crate::outcome::{Failure, Gone, Outcome, Stage};
use crate::site::ImageSource;

/// One URL that the user gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenLine {
    /// An image.
    Image {
        /// Where it is.
        image: Box<ImageRef>,
        /// Whether it is requested even if the site said lately that it is gone: who names one image wants to know
        /// about it now, a list is read again each night.
        ask_again: bool,
    },
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
pub(super) async fn enqueue(
    discovery: &Discovery,
    source: &ImageSource,
    seen: &mut Seen,
    lines: Vec<GivenLine>,
) -> Result<bool, EngineError> {
    let (mut new, mut bad, mut repeated) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        match line {
            GivenLine::Bad { text, cause } => bad.push((text, cause)),
            GivenLine::Image { image, ask_again } => {
                let mut image = *image;
                discovery
                    .run
                    .fetcher
                    .canonicalize(slice::from_mut(&mut image));
                let masks = discovery.run.fetcher.masks();
                let resolved = match source.resolve(&image, masks) {
                    Ok(resolved) => resolved,
                    Err(why) => {
                        bad.push((image.thumb.into(), why.to_string()));
                        continue;
                    }
                };
                if seen.insert(&resolved.key) {
                    let asks_again = ask_again || discovery.options.retry_gone;
                    new.push(NewImage::new(image, resolved, asks_again));
                } else {
                    repeated += 1;
                }
            }
        }
    }
    let known = discovery
        .look_up(&mut new, |image, candidates, masks| {
            source.stem(image, candidates, masks)
        })
        .await?;
    let (already_there, gone) = counts(&known);
    let read = Event::AddressesRead {
        found: new.len() + bad.len(),
        already_there,
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
    for (image, known) in new.into_iter().zip(known) {
        match known {
            Some(KnownState::Gone { since, until }) => {
                let gone = Gone {
                    address: discovery.run.shown(image.original()).into(),
                    since,
                    until,
                };
                let outcome = Outcome::Gone(gone);
                let key = image.resolved.key;
                let finished = Event::ImageFinished { key, outcome };
                discovery.run.events.emit(finished).await;
                continue;
            }
            Some(KnownState::Skipped(reason)) => {
                // Who gave its address wants to know.
                discovery.report_skip(image, reason, true).await;
                continue;
            }
            Some(KnownState::Saved) => continue,
            None => {}
        }
        if !discovery.send(discovery.job(image)).await? {
            return Ok(false);
        }
    }
    discovery.flush().await
}
