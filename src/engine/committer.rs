//! The keeper: gathers what workers finished, gives images their names a group at a time, writes them
//! down, and only then lets go of their leases. So durability never slows the network.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::batch::{BatchReceiver, Finished, WorkerResult};
use super::free_space::FreeSpaceGuard;
use super::hooks::HookSender;
use super::{EngineError, Haul, Quota, Shutdown};
use crate::event::{Event, Events};
use crate::hooks::HookImage;
use crate::job::{ImageName, Job};
use crate::ledger::{Intent, Ledger, Origin, Placement, Record};
use crate::outcome::{Content, Duplicate, Failure, Outcome, Saved, Stage};
use crate::queue::{Ack, Lease};
use crate::sink::{Placed, Sink, SinkError};
use crate::site::ImageSource;
use crate::verify::VerifiedImage;

/// An image that is gone (404, 410) is left alone for this long.
const GONE_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) struct Committer {
    site: ImageSource,
    ledger: Arc<dyn Ledger>,
    sink: Arc<dyn Sink>,
    quota: Quota,
    clock: fn() -> Timestamp,
    events: Events,
    shutdown: Shutdown,
    room: FreeSpaceGuard,
    /// Where the user's commands are run, if there are any.
    hooks: Option<HookSender>,
}

impl Committer {
    pub(super) fn new(haul: &Haul, room: FreeSpaceGuard, hooks: Option<HookSender>) -> Self {
        Self {
            site: haul.site.clone(),
            ledger: Arc::clone(&haul.ledger),
            sink: Arc::clone(&haul.sink),
            quota: haul.quota.clone(),
            clock: haul.clock,
            events: haul.events.clone(),
            shutdown: haul.shutdown.clone(),
            room,
            hooks,
        }
    }

    /// Keeps group after group until the workers are gone.
    pub(super) async fn run(self, mut arrivals: BatchReceiver) -> Result<(), EngineError> {
        // Once the run is aborted no new group is begun: what is left of it goes back to the queue.
        while let Some(group) = arrivals.group().await {
            if self.shutdown.is_aborting() {
                break;
            }
            self.keep(group).await?;
            // Others may fill the disk as well.
            self.room.look();
        }
        Ok(())
    }

    /// Promises, data on disk, names, folder on disk, rows, leases, in this order: a kill between any two of
    /// them repeats work and loses none.
    async fn keep(&self, group: Vec<Finished>) -> Result<(), EngineError> {
        let now = (self.clock)();
        let mut ends = Vec::with_capacity(group.len());
        let (mut sounds, mut intents, mut leases) = (Vec::new(), Vec::new(), Vec::new());
        for Finished { lease, kept } in group {
            match kept {
                WorkerResult::Not(outcome) => ends.push((lease, outcome)),
                WorkerResult::VerifiedImage(sound) => {
                    let (sound, origin) = *sound;
                    intents.push(self.intent(&lease, origin, *sound.content(), now));
                    sounds.push(sound);
                    leases.push(lease);
                }
            }
        }
        let outcomes = self.place(sounds, intents).await?;
        for outcome in &outcomes {
            self.spend(outcome);
        }
        ends.extend(leases.into_iter().zip(outcomes));
        let mut records: Vec<_> = ends
            .iter()
            .filter_map(|(lease, outcome)| self.record(lease, outcome, now))
            .collect();
        let pictures = self.hooks.as_ref().map(|hooks| (hooks, pictures(&ends)));
        if let Some((hooks, pictures)) = &pictures {
            records.extend(hooks.due(pictures));
        }
        self.ledger.record(records).await?;
        for (lease, outcome) in ends {
            let key = lease.job.key.clone();
            lease.ack(Ack::Done).await?;
            self.events
                .emit(Event::ImageFinished { key, outcome })
                .await;
        }
        if let Some((hooks, pictures)) = pictures {
            hooks.hand_over(pictures).await;
        }
        Ok(())
    }

    /// Spends of the quota what an image came to: one that got no name costs nothing.
    fn spend(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Saved(_) | Outcome::Duplicate(_) => {
                if let Some(limit) = self.quota.spend() {
                    self.shutdown.stop_at(limit);
                }
            }
            Outcome::AlreadyThere
            | Outcome::Skipped(_)
            | Outcome::Failed(_)
            | Outcome::Interrupted => {
                self.quota.give_back();
            }
        }
    }

    fn intent(&self, lease: &Lease, origin: Origin, content: Content, at: Timestamp) -> Intent {
        let Job {
            key: _,
            image,
            resolved,
        } = &lease.job;
        // Named by the key's address, not by the candidate that brought the bytes: a name must not change
        // with what a server had on the day.
        let name = resolved
            .as_ref()
            .map(|resolved| resolved.name(content.format.extension()));
        let name = name.unwrap_or_else(|| {
            let original =
                Url::parse(lease.job.key.address()).unwrap_or_else(|_| origin.address.clone());
            self.site.name(image, &original, content.format)
        });
        Intent {
            key: lease.job.key.clone(),
            site: image.site.clone(),
            origin,
            name,
            content,
            at,
        }
    }

    /// Gives each sound image its name; answers in the order they came.
    async fn place(
        &self,
        sounds: Vec<VerifiedImage>,
        intents: Vec<Intent>,
    ) -> Result<Vec<Outcome>, EngineError> {
        if sounds.is_empty() {
            return Ok(Vec::new());
        }
        let origins: Vec<_> = intents
            .iter()
            .map(|intent| (intent.content, intent.origin.address.clone()))
            .collect();
        let berths = self.ledger.placing(intents).await?;
        let (mut group, mut promised) = (Vec::new(), Vec::new());
        for (sound, berth) in sounds.into_iter().zip(&berths) {
            match berth {
                Placement::New(name) => {
                    group.push((sound, name.clone()));
                    promised.push(name.clone());
                }
                Placement::Duplicate(_) => sound.into_file().discard(),
            }
        }
        let mut got = HashMap::with_capacity(promised.len());
        for (promised, placed) in promised.into_iter().zip(self.sink.place(group).await) {
            let name = match placed {
                Ok(Placed { name }) => Ok(name),
                Err(SinkError::Name { source, .. }) => Err(source.to_string()),
                Err(broken) => return Err(broken.into()),
            };
            got.insert(promised, name);
        }
        let ends = berths
            .into_iter()
            .zip(origins)
            .map(|(berth, (content, address))| {
                let (promised, duplicate) = match berth {
                    Placement::New(name) => (name, false),
                    Placement::Duplicate(name) => (name, true),
                };
                let name = match got.get(&promised) {
                    Some(Ok(name)) => name.clone(),
                    Some(Err(why)) => return unplaced(&address, &promised, why),
                    // The duplicate of a file that was there before this group.
                    None => promised,
                };
                if duplicate {
                    Outcome::Duplicate(Duplicate { name, content })
                } else {
                    Outcome::Saved(Saved {
                        name,
                        content,
                        warned: false,
                    })
                }
            });
        Ok(ends.collect())
    }

    fn record(&self, lease: &Lease, outcome: &Outcome, at: Timestamp) -> Option<Record> {
        let key = lease.job.key.clone();
        match outcome {
            Outcome::Saved(Saved { name, .. }) | Outcome::Duplicate(Duplicate { name, .. }) => {
                Some(Record::Saved {
                    key,
                    name: name.clone(),
                })
            }
            Outcome::Failed(failure) => {
                let until = failure
                    .gone
                    .then(|| at.checked_add(GONE_FOR).unwrap_or(Timestamp::MAX));
                let site = self.site.id().clone();
                Some(Record::Failed {
                    key,
                    site,
                    failure: failure.clone(),
                    at,
                    until,
                })
            }
            Outcome::AlreadyThere | Outcome::Skipped(_) | Outcome::Interrupted => None,
        }
    }
}

/// What of a group is new in the collection: a twin's file was there before.
fn pictures(ends: &[(Lease, Outcome)]) -> Vec<HookImage> {
    let picture = |(lease, outcome): &(Lease, Outcome)| match outcome {
        Outcome::Saved(Saved {
            name,
            content,
            warned: _,
        }) => {
            let Job {
                key,
                image,
                resolved: _,
            } = &lease.job;
            let (page, title) = (Some(image.page.to_string()), image.title.clone());
            Some(HookImage {
                key: key.clone(),
                name: name.clone(),
                content: *content,
                page,
                title,
            })
        }
        Outcome::Duplicate(_)
        | Outcome::AlreadyThere
        | Outcome::Skipped(_)
        | Outcome::Failed(_)
        | Outcome::Interrupted => None,
    };
    ends.iter().filter_map(picture).collect()
}

fn unplaced(address: &Url, name: &ImageName, why: &str) -> Outcome {
    let cause = format!("giving it the name `{name}`: {why}");
    Outcome::Failed(Failure {
        stage: Stage::Place,
        address: address.to_string(),
        cause,
        attempts: 1,
        gone: false,
    })
}
