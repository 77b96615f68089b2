//! `wallhaul verify --repair`: what is damaged is set aside, the ledger lets go of it and of what is missing, and
//! the line that fetched them first fetches them again.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use async_trait::async_trait;
use tokio::sync::mpsc;
use url::Url;

use super::judge::FileVerdict;
use super::told::{Finding, Kind, Told};
use super::{BadFile, Findings, State, Verifier};
use crate::app::fetch::{WantedImages, reported, save_new};
use crate::app::hold::{aloud, hold};
use crate::app::visit::{Collection, ListingPages, SelectedSource, SiteSession};
use crate::app::{Environment, blocking};
use crate::config::Settings;
use crate::engine::{GivenLine, Quota};
use crate::exit::Exit;
use crate::job::{ImageKey, ImageName, Job, Stem};
use crate::ledger::{self, Ledger, Selection, StoredFile};
use crate::queue::{JobSender, QueueError};
use crate::site::{ImageSource, Pages};

/// Looks at a collection and fetches again what is not there as it was.
/// `None` when the collection is left to another run.
pub(super) async fn repair(
    look: Verifier,
    source: SelectedSource,
    settings: &Settings,
    world: &Environment,
) -> anyhow::Result<Option<Findings>> {
    let visit = SiteSession::open(source, settings, false).await?;
    let held = hold(
        &visit.directory,
        settings,
        world,
        &look.judge.shutdown,
        aloud(&settings.output),
    );
    let Some(sink) = held.await? else {
        return Ok(None);
    };
    let collection = Collection::open(sink, &visit.directory, settings)?;
    let (look, ledger) = (Arc::new(look), Arc::clone(&collection.ledger));
    let looking = Arc::clone(&look);
    let mut found = blocking(move || looking.over(&*ledger)).await?;
    if found.counts.stopped || found.repairable().next().is_none() {
        return Ok(Some(found));
    }
    let wanted = Wanted::read(&found, &*collection.ledger, &visit.source)?;
    if wanted.is_empty() {
        return Ok(Some(found));
    }
    forget(&found, &wanted, &collection, world).await?;

    let ledger = Arc::clone(&collection.ledger);
    let images = wanted.images(&visit.source);
    let mut settings = settings.clone();
    // Standard output is for the findings.
    settings.output.json = false;
    let (settings, shutdown, quota) = (&settings, &look.judge.shutdown, Quota::new(None, None));
    let bringing = async |events| {
        let run = visit.run(world, events, shutdown);
        save_new(&visit, settings, run, collection, &quota, images).await
    };
    let tally = reported(settings, bringing).await?;

    let looking = Arc::clone(&look);
    found = blocking(move || looking.recheck(&*ledger, found)).await?;
    found.exit = Exit::from_tally(&tally);
    Ok(Some(found))
}

/// Sets damaged files aside and has the ledger forget them and those that are missing. Killed between the two, the
/// next repair finds them missing.
async fn forget(
    found: &Findings,
    wanted: &Wanted,
    collection: &Collection,
    world: &Environment,
) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for BadFile {
        name,
        reason,
        state,
    } in found
        .repairable()
        .filter(|broken| !wanted.lost.contains(&broken.name))
    {
        let cause = match state {
            State::Damaged => {
                collection.sink.reject(name, reason).await?;
                format!("it was damaged: {reason}")
            }
            State::Missing | State::Displaced => "it was missing".to_owned(),
        };
        files.push((name.clone(), cause));
    }
    Ok(collection.ledger.forget(files, (world.clock)()).await?)
}

impl Findings {
    /// What can be fetched again under its name.
    fn repairable(&self) -> impl Iterator<Item = &BadFile> {
        self.broken
            .iter()
            .filter(|broken| broken.state != State::Displaced)
    }
}

impl Verifier {
    /// Looks once more at what was broken, and tells what is sound now. Blocks.
    fn recheck(&self, ledger: &dyn Ledger, mut found: Findings) -> anyhow::Result<Findings> {
        let names: HashSet<_> = found
            .repairable()
            .map(|broken| broken.name.clone())
            .collect();
        let mut files = ledger.files()?;
        files.retain(|filed| filed.saved && names.contains(&filed.name));
        let mut told = Told::new(&self.telling, self.out(), "verifying", files.len());
        told.counts = found.counts.clone();
        self.judge_each(
            &files,
            &mut told,
            |filed: &StoredFile, verdict, told| match verdict {
                FileVerdict::Sound { sum, unseen: _ } => {
                    found.note_sound(filed, sum, told);
                    let reason = "fetched again".to_owned();
                    told.tell(&Finding {
                        kind: Kind::Repaired,
                        name: filed.name.to_string(),
                        reason,
                    })
                }
                // It was told when it was found, and stands.
                FileVerdict::Damaged(_) | FileVerdict::Displaced(_) | FileVerdict::Missing => {
                    Ok(())
                }
            },
        )?;
        found.counts = told.counts;
        Ok(found)
    }
}

/// The images that are to be fetched again.
struct Wanted {
    keys: HashSet<ImageKey>,
    /// Where they were fetched from.
    addresses: Vec<String>,
    /// Of files whose addresses are not known, since the ledger was rebuilt.
    stems: HashSet<Stem>,
    /// Such files of a site that has no listing: nobody knows where they are from, and they are left as they are.
    lost: HashSet<ImageName>,
}

impl Wanted {
    fn read(found: &Findings, ledger: &dyn Ledger, source: &ImageSource) -> anyhow::Result<Self> {
        let mut unknown: HashSet<_> = found
            .repairable()
            .map(|broken| broken.name.to_string())
            .collect();
        let names = unknown.clone();
        let (mut keys, mut addresses) = (HashSet::new(), Vec::new());
        let saved = Selection {
            like: None,
            state: Some(ledger::RowState::Saved),
        };
        ledger.each(&saved, &mut |row| {
            if let Some(name) = row.name.filter(|name| names.contains(name)) {
                unknown.remove(&name);
                keys.insert(row.key);
                addresses.push(row.address);
            }
            ControlFlow::Continue(())
        })?;
        if let Some(other) = keys.iter().find(|key| key.site() != source.id().as_str()) {
            bail!(
                "the collection holds images of `{}`: name that site in place of `{}`",
                other.site(),
                source.id()
            );
        }
        let unknown = found
            .repairable()
            .filter(|broken| unknown.contains(&broken.name.to_string()));
        let unknown = unknown.map(|broken| broken.name.clone());
        let (stems, lost) = match source {
            ImageSource::Site(_) => (unknown.map(|name| name.stem()).collect(), HashSet::new()),
            ImageSource::Direct(_) => (HashSet::new(), unknown.collect()),
        };
        Ok(Self {
            keys,
            addresses,
            stems,
            lost,
        })
    }

    /// Where they come from: the site's listing, on any page, or their addresses if there is none.
    fn images(self, source: &ImageSource) -> WantedImages {
        let direct = match source {
            ImageSource::Site(site) => {
                let (site, pages, wanted) = (Arc::clone(site), Pages::default(), Mutex::new(self));
                return WantedImages::Listed(
                    ListingPages { site, pages },
                    Box::new(|jobs| Box::new(Only { wanted, jobs })),
                );
            }
            ImageSource::Direct(direct) => direct,
        };
        let image =
            |address: String| match Url::parse(&address).ok().and_then(|url| direct.image(&url)) {
                Some(image) => GivenLine::Image(Box::new(image)),
                None => GivenLine::Bad {
                    text: address,
                    cause: "it cannot be requested any more".to_owned(),
                },
            };
        let (sender, lines) = mpsc::channel(1);
        // The channel has room for the one batch that there is.
        let _ = sender.try_send(self.addresses.into_iter().map(image).collect());
        WantedImages::Given(lines)
    }

    /// Removes the image from the wanted ones; false if it is not among them.
    fn take(&mut self, job: &Job) -> bool {
        self.keys.remove(&job.key) || self.stems.remove(&Stem::new(&job.stem))
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.stems.is_empty()
    }
}

/// Hands on the jobs that are wanted; closed behind the last of them.
struct Only {
    wanted: Mutex<Wanted>,
    jobs: Box<dyn JobSender>,
}

#[async_trait]
impl JobSender for Only {
    async fn send(&self, job: Job) -> Result<(), QueueError> {
        let (taken, over) = {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            (wanted.take(&job), wanted.is_empty())
        };
        if taken {
            self.jobs.send(job).await?;
        }
        if over {
            Err(QueueError::Closed)
        } else {
            Ok(())
        }
    }
}
