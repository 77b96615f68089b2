//! The producer in place of a listing: hands on the images whose addresses the user gives, as far as neither the
//! ledger nor this run has seen them.

use std::slice;

use tokio::sync::mpsc;

use super::EngineError;
use super::discover::Discovery;
use super::producer::Seen;
use crate::event::Event;
use crate::job::{ImageKey, ImageRef, Stem};
use crate::outcome::{Failure, Outcome, Stage};

/// One address that the user gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenLine {
    /// An image.
    Image(Box<ImageRef>),
    /// Nothing that can be asked for.
    Bad {
        /// What was written, cut where it is long.
        text: String,
        /// Where, and what is wrong with it.
        cause: String,
    },
}

/// Hands on what is given, to its end.
pub(super) async fn run(
    discovery: Discovery,
    mut given: mpsc::Receiver<Vec<GivenLine>>,
) -> Result<(), EngineError> {
    let mut seen = Seen::default();
    loop {
        let lines = tokio::select! {
            biased;
            () = discovery.run.shutdown.stopping() => return Ok(()),
            lines = given.recv() => lines,
        };
        let Some(lines) = lines else { break };
        if !hand_on(&discovery, &mut seen, lines).await? {
            return Ok(());
        }
    }
    let because = "the last address given was read".to_owned();
    discovery
        .run
        .events
        .emit(Event::ListingEnded { pages: 0, because })
        .await;
    Ok(())
}

/// Hands on what is new among these; false when nothing more may begin.
async fn hand_on(
    discovery: &Discovery,
    seen: &mut Seen,
    lines: Vec<GivenLine>,
) -> Result<bool, EngineError> {
    let (mut new, mut bad, mut repeated) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        match line {
            GivenLine::Bad { text, cause } => bad.push((text, cause)),
            GivenLine::Image(image) => {
                let mut image = *image;
                discovery.run.fetcher.home(slice::from_mut(&mut image));
                let resolved = match discovery.site.resolve(&image) {
                    Ok(resolved) => resolved,
                    Err(why) => {
                        bad.push((image.thumb.into(), why.to_string()));
                        continue;
                    }
                };
                let key = ImageKey::new(discovery.site.id(), &resolved.originals[0]);
                if seen.insert(&key) {
                    let stem = Stem::new(&resolved.stem);
                    new.push((discovery.job(key, image, resolved), stem));
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
    let known = discovery
        .ledger
        .known(asked, (discovery.run.clock)())
        .await?;
    let read = Event::AddressesRead {
        found: new.len() + bad.len(),
        known: known.len(),
        repeated,
    };
    discovery.run.events.emit(read).await;
    for (text, cause) in bad {
        let key = ImageKey::from_stored(format!("{} {text}", discovery.site.id()));
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
