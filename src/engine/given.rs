//! The producer in place of a listing: hands on the images whose addresses the user gives, as far as neither the
//! ledger nor this run has seen them.

use std::slice;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::producer::Seen;
use super::{EngineError, Shutdown};
use crate::event::{Event, Events};
use crate::fetch::Fetcher;
use crate::job::{ImageKey, ImageRef, Job, Stem};
use crate::ledger::Ledger;
use crate::outcome::{Failure, Outcome, Stage};
use crate::queue::{JobSender, QueueError};
use crate::site::Site;

/// What it takes to find the images that the user gives.
pub struct Given {
    /// The site that they are on.
    pub site: Arc<Site>,
    /// The door to it.
    pub fetcher: Arc<Fetcher>,
    /// What is known already.
    pub ledger: Arc<dyn Ledger>,
    /// The addresses, some at a time.
    pub lines: mpsc::Receiver<Vec<GivenLine>>,
    /// What time it is.
    pub clock: fn() -> Timestamp,
    /// Where what happens is told.
    pub events: Events,
    /// When to stop.
    pub shutdown: Shutdown,
}

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
pub(super) async fn run(mut given: Given, jobs: Box<dyn JobSender>) -> Result<(), EngineError> {
    let mut seen = Seen::default();
    loop {
        let lines = tokio::select! {
            biased;
            () = given.shutdown.stopping() => return Ok(()),
            lines = given.lines.recv() => lines,
        };
        let Some(lines) = lines else { break };
        if !hand_on(&given, &mut seen, &*jobs, lines).await? {
            return Ok(());
        }
    }
    let because = "the last address given was read".to_owned();
    given
        .events
        .emit(Event::ListingEnded { pages: 0, because })
        .await;
    Ok(())
}

/// Hands on what is new among these; false when nothing more may begin.
async fn hand_on(
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
                let resolved = match given.site.resolve(&image) {
                    Ok(resolved) => resolved,
                    Err(why) => {
                        bad.push((image.thumb.into(), why.to_string()));
                        continue;
                    }
                };
                let key = ImageKey::new(given.site.id(), &resolved.originals[0]);
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
    let read = Event::AddressesRead {
        found: new.len() + bad.len(),
        known: known.len(),
        repeated,
    };
    given.events.emit(read).await;
    for (text, cause) in bad {
        let key = ImageKey::from_stored(format!("{} {text}", given.site.id()));
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
        let pushed = tokio::select! {
            biased;
            () = given.shutdown.stopping() => return Ok(false),
            pushed = jobs.send(job) => pushed,
        };
        match pushed {
            Ok(()) => {}
            Err(QueueError::Closed) => return Ok(false),
            Err(broken) => return Err(broken.into()),
        }
    }
    Ok(true)
}
