//! The committer: takes what workers finished, places images a group at a time, records them, and only then
//! acknowledges their jobs. A worker is free for the next image meanwhile, so durability never slows the network.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use url::Url;

use super::batch::{BatchReceiver, FinishedJob, WorkerResult};
use super::free_space::FreeSpaceGuard;
use super::{CompletedJob, EngineError, Quota, Recorder, Reports, Run};
use crate::job::{ImageKey, ImageName};
use crate::ledger::{Intent, Origin, Placement};
use crate::outcome::{Content, Duplicate, Failure, Outcome, Saved, Stage};
use crate::queue::{Ack, Lease};
use crate::sink::{Placed, Sink, SinkError};
use crate::site::fit_name;
use crate::verify::VerifiedImage;

/// Jobs that are acknowledged at a time: more were measured to buy nothing.
const ACKS_AT_ONCE: usize = 64;

pub(super) struct Committer {
    pub(super) run: Run,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) recorder: Arc<dyn Recorder>,
    pub(super) quota: Quota,
    pub(super) free_space: FreeSpaceGuard,
    pub(super) reports: Reports,
}

impl Committer {
    /// Commits group after group until the workers are gone.
    pub(super) async fn run(self, mut batches: BatchReceiver) -> Result<(), EngineError> {
        // Once the run is aborted no group is begun any more: dropping it returns its jobs to the queue.
        while let Some(group) = batches.next_batch().await {
            if self.run.shutdown.is_aborting() {
                break;
            }
            self.commit(group).await?;
            // Other programs may fill the disk as well, which counting our own bytes does not show.
            self.free_space.check();
        }
        Ok(self.sink.finish().await?)
    }

    /// Pending rows, data on disk, names, folder on disk, rows, acknowledgements, hooks, in this order: a kill
    /// between any two of them repeats work and loses none.
    async fn commit(&self, group: Vec<FinishedJob>) -> Result<(), EngineError> {
        let now = (self.run.clock)();
        let mut completed = Vec::with_capacity(group.len());
        let (mut images, mut intents, mut leases) = (
            Vec::with_capacity(group.len()),
            Vec::with_capacity(group.len()),
            Vec::with_capacity(group.len()),
        );
        for FinishedJob { lease, result } in group {
            match result {
                WorkerResult::NoImage(outcome) => completed.push(CompletedJob { lease, outcome }),
                WorkerResult::VerifiedImage(image) => {
                    let (image, origin) = *image;
                    intents.push(self.intent(&lease, origin, *image.content(), now));
                    images.push(image);
                    leases.push(lease);
                }
            }
        }
        let placed = self.place(images, intents).await;
        // Before the leases are dropped: workers would fetch again what cannot be saved.
        let outcomes = placed.inspect_err(|_| self.run.shutdown.abort())?;
        for outcome in &outcomes {
            self.settle_quota(outcome);
        }
        let placed = leases.into_iter().zip(outcomes);
        completed.extend(placed.map(|(lease, outcome)| CompletedJob { lease, outcome }));
        let saved = self.recorder.record(&completed, now).await?;
        for (key, outcome) in acknowledge(completed).await? {
            let outcome = self.as_requested(outcome);
            self.reports.finished(key, outcome).await;
        }
        if !saved.is_empty() {
            self.recorder.acknowledged(saved).await;
        }
        Ok(())
    }

    /// Spends the quota that the worker took for an image, or returns it: only an image that was fetched counts, also
    /// where its bytes were there before.
    fn settle_quota(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Saved(_) | Outcome::Duplicate(_) => {
                if let Some(limit) = self.quota.spend() {
                    self.run.shutdown.stop_at(limit);
                }
            }
            Outcome::AlreadyThere
            | Outcome::Gone(_)
            | Outcome::Skipped(_)
            | Outcome::Failed(_)
            | Outcome::Queued
            | Outcome::Interrupted => {
                self.quota.give_back();
            }
        }
    }

    /// Gives each verified image its name; the outcomes are in the order of the images.
    async fn place(
        &self,
        images: Vec<VerifiedImage>,
        intents: Vec<Intent>,
    ) -> Result<Vec<Outcome>, EngineError> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let origins: Vec<_> = intents
            .iter()
            .map(|intent| {
                let Origin {
                    address, capture, ..
                } = &intent.origin;
                (
                    intent.content,
                    address.clone(),
                    capture.clone().map(Box::new),
                )
            })
            .collect();
        let placements = self.recorder.placing(intents).await?;
        let mut group = Vec::with_capacity(images.len());
        let mut names = Vec::with_capacity(images.len());
        for (image, placement) in images.into_iter().zip(&placements) {
            match placement {
                Placement::New(name) => {
                    names.push((name.clone(), *image.content()));
                    group.push((image, name.clone()));
                }
                Placement::Duplicate(_) => image.into_file().discard(),
            }
        }
        // By the intended name: a duplicate in this group ends like the image with the same bytes.
        let mut results = HashMap::with_capacity(names.len());
        for ((wanted, content), placed) in names.into_iter().zip(self.sink.place(group).await) {
            let placed = match placed {
                Ok(Placed::Stored(name)) => Ok(Some(name)),
                // The answer was lost on its way, so the sink is asked again.
                Ok(Placed::Unknown) => self.sink.exists(&wanted, &content).await,
                Err(error) => Err(error),
            };
            let result = match placed {
                Ok(Some(name)) => Ok(name),
                Ok(None) => Err("it was not stored".to_owned()),
                Err(SinkError::Name { source, .. }) => Err(source.to_string()),
                Err(error) => return Err(error.into()),
            };
            results.insert(wanted, result);
        }
        let outcomes =
            placements
                .into_iter()
                .zip(origins)
                .map(|(placement, (content, address, capture))| {
                    let (wanted, duplicate) = match placement {
                        Placement::New(name) => (name, false),
                        Placement::Duplicate(name) => (name, true),
                    };
                    let name = match results.get(&wanted) {
                        Some(Ok(name)) => name.clone(),
                        Some(Err(cause)) => return unplaced(&address, &wanted, cause),
                        // A duplicate of a file that was there before this group.
                        None => wanted,
                    };
                    let address = Box::new(address);
                    if duplicate {
                        Outcome::Duplicate(Duplicate {
                            name,
                            address,
                            content,
                            capture,
                        })
                    } else {
                        Outcome::Saved(Saved {
                            name,
                            address,
                            content,
                            capture,
                        })
                    }
                });
        Ok(outcomes.collect())
    }

    fn intent(&self, lease: &Lease, origin: Origin, content: Content, at: Timestamp) -> Intent {
        let job = &lease.job;
        // The stem fits the place already where the job was made for it. A job of another machine may not.
        let name = job.name(content.format.extension());
        Intent {
            key: job.key.clone(),
            site: job.site.clone(),
            origin,
            name: fit_name(name, self.sink.longest_name()),
            content,
            at,
        }
    }

    /// The outcome as people see it. Records keep canonical addresses, because a site and its mirror share them;
    /// people are shown the address that was requested, where it is of use to them: an image that was not saved.
    fn as_requested(&self, mut outcome: Outcome) -> Outcome {
        let address = match &mut outcome {
            Outcome::Failed(failure) => &mut failure.address,
            Outcome::Skipped(skip) => &mut skip.address,
            Outcome::Saved(_)
            | Outcome::Duplicate(_)
            | Outcome::AlreadyThere
            | Outcome::Gone(_)
            | Outcome::Queued
            | Outcome::Interrupted => return outcome,
        };
        if let Ok(canonical) = Url::parse(address) {
            *address = self.run.shown(&canonical).into();
        }
        outcome
    }
}

/// Acknowledges the jobs of a group, many at a time: a broker takes a while for each. Answers with their images, in the
/// order of the group.
pub(super) async fn acknowledge(
    completed: Vec<CompletedJob>,
) -> Result<Vec<(ImageKey, Outcome)>, EngineError> {
    stream::iter(completed.into_iter().map(acknowledge_one))
        .buffered(ACKS_AT_ONCE)
        .try_collect()
        .await
}

async fn acknowledge_one(
    CompletedJob { lease, outcome }: CompletedJob,
) -> Result<(ImageKey, Outcome), EngineError> {
    let key = lease.job.key.clone();
    let ack = match &outcome {
        Outcome::Failed(failure) => Ack::Dead {
            reason: failure.cause.clone(),
        },
        Outcome::Saved(_)
        | Outcome::Duplicate(_)
        | Outcome::AlreadyThere
        | Outcome::Gone(_)
        | Outcome::Skipped(_)
        | Outcome::Queued
        | Outcome::Interrupted => Ack::Done,
    };
    lease.ack(ack).await?;
    Ok((key, outcome))
}

fn unplaced(address: &Url, name: &ImageName, cause: &str) -> Outcome {
    Outcome::Failed(Failure {
        stage: Stage::Place,
        address: address.to_string(),
        cause: format!("cannot save it as `{name}`: {cause}"),
        attempts: 1,
        gone: false,
    })
}
