//! `wallhaul verify --repair`: fetches damaged and missing files by the same pipeline that fetched them first. Each
//! stays as it is until its replacement is there.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::bail;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use url::Url;

use super::file_check::FileVerdict;
use super::replace::Replacements;
use super::views::{RepairLedger, RepairSink};
use super::{BadFile, Findings, Problem, Verifier, is_as_fetched};
use crate::app::blocking::blocking;
use crate::app::collection::{Collection, acquire_lock, entries, open_to_read};
use crate::app::console::{Finding, FindingKind, FindingWriter, note_on_stderr};
use crate::app::environment::Environment;
use crate::app::run::{WantedImages, new_run, reported, save_new};
use crate::app::targets::{SelectedSource, SiteSession};
use crate::config::Settings;
use crate::engine::{GivenLine, Quota};
use crate::exit::Exit;
use crate::job::{Candidate, ImageKey, ImageName, ImageRef, Job, SiteId, Stem};
use crate::ledger::{self, Ledger, Selection, StoredFile};
use crate::mask::MASK;
use crate::queue::{JobSender, QueueError, Sent};
use crate::site::{ImageSource, Pages};

/// Checks a collection and fetches what is damaged or missing. `None` when another run holds the collection and
/// `--lock skip` leaves it to that.
pub(super) async fn repair(
    verifier: Verifier,
    source: SelectedSource,
    settings: &Settings,
    environment: &Environment,
) -> anyhow::Result<Option<Findings>> {
    let session = SiteSession::open(source, settings, false).await?;
    let locking = acquire_lock(
        &session.location,
        settings,
        environment,
        &verifier.check.shutdown,
        note_on_stderr(&settings.output),
    );
    let Some(opened) = locking.await? else {
        return Ok(None);
    };
    let session_location = session.location.clone();
    let collection = Collection::open(opened, settings)?;
    let (verifier, ledger) = (Arc::new(verifier), Arc::clone(&collection.ledger));
    let facts = open_to_read(&session.location)?;
    let entries = entries(&*collection.sink).await?;
    let checking = Arc::clone(&verifier);
    let mut found = blocking(move || checking.check_all(&*ledger, &*facts, entries)).await?;
    if found.counts.stopped || found.repairable().next().is_none() {
        verifier.write_held_back(&mut found)?;
        return Ok(Some(found));
    }
    let wanted = Wanted::read(&found, &*collection.ledger, &session.source);
    if !wanted.as_ref().is_ok_and(|wanted| !wanted.is_empty()) {
        verifier.write_held_back(&mut found)?;
    }
    let wanted = wanted?;
    if wanted.is_empty() {
        return Ok(Some(found));
    }
    let ledger = Arc::clone(&collection.ledger);
    let bad_files = found
        .repairable()
        .filter(|bad| !wanted.lost.contains(&bad.name))
        .cloned();
    let replacements = Replacements::new(
        Arc::clone(&collection.sink),
        Arc::clone(&collection.ledger),
        Arc::clone(&verifier),
        environment.clock,
        bad_files,
        wanted.keys.clone(),
    );
    let collection = Collection {
        sink: Arc::new(RepairSink(Arc::clone(&replacements))),
        ledger: Arc::new(RepairLedger(Arc::clone(&replacements))),
        ..collection
    };
    let wanted = Arc::new(Mutex::new(wanted));
    let images = Wanted::images(&wanted, &session.source);
    let mut settings = settings.clone();
    // Standard output is for the findings.
    settings.output.json = false;
    let (settings, shutdown, quota) = (&settings, &verifier.check.shutdown, Quota::new(None, None));
    let fetching = async |events| {
        let run = new_run(&session, environment, events, shutdown).await;
        save_new(&session, settings, run, collection, &quota, images).await
    };
    let reported = reported(settings, fetching).await;
    if reported.is_err() {
        verifier.write_held_back(&mut found)?;
    }
    let tally = reported?;

    let checking = Arc::clone(&verifier);
    let facts = open_to_read(&session_location)?;
    found = blocking(move || {
        checking.check_repaired(&*ledger, &*facts, found, &replacements.new_names())
    })
    .await?;
    found.exit = Exit::from_tally(&tally);
    // A listing that was read to its end.
    if found.exit != Exit::Listing && !found.counts.stopped && !shutdown.is_stopping() {
        found.unlisted = wanted.lock().unlisted(&found);
    }
    Ok(Some(found))
}

impl Findings {
    /// What can be fetched again under its name.
    fn repairable(&self) -> impl Iterator<Item = &BadFile> {
        self.bad_files
            .iter()
            .filter(|bad| bad.problem != Problem::Displaced)
    }
}

impl Verifier {
    /// Checks the bad files once more, and prints those that were repaired. `new_names` has the old name of each file
    /// that was replaced. Blocks.
    fn check_repaired(
        &self,
        ledger: &dyn Ledger,
        facts: &dyn Ledger,
        mut found: Findings,
        new_names: &HashMap<ImageName, String>,
    ) -> anyhow::Result<Findings> {
        let names: HashSet<_> = found.repairable().map(|bad| bad.name.clone()).collect();
        let mut files = ledger.files()?;
        files.retain(|file| {
            file.saved && (names.contains(&file.name) || new_names.contains_key(&file.name))
        });
        let mut writer = FindingWriter::new(&self.output, self.out(), "verifying", files.len());
        writer.counts = found.counts.clone();
        let mut repaired = HashSet::new();
        self.check_each(
            &files,
            |file| self.check.verdict(file),
            &mut writer,
            |file: &StoredFile, verdict, writer| match verdict {
                FileVerdict::Intact { sum, undecoded: _ } => {
                    found.add_intact(file, sum, writer);
                    let new = file.name.to_string();
                    let name = new_names.get(&file.name).unwrap_or(&new).clone();
                    // Of images that shared a file, one may have the new name and another the old one.
                    if !repaired.insert(name.clone()) {
                        return Ok(());
                    }
                    if let Some(finding) = found.held_back.remove(&name) {
                        writer.write(&finding)?;
                    }
                    let reason = if name == new {
                        "fetched again".to_owned()
                    } else {
                        format!("fetched again as {new}")
                    };
                    writer.write(&Finding {
                        kind: FindingKind::Repaired,
                        name,
                        reason,
                    })
                }
                FileVerdict::Undecodable(reason)
                    if !found.as_fetched.contains(&file.name.to_string())
                        && is_as_fetched(facts, &file.content)? =>
                {
                    found.held_back.remove(&file.name.to_string());
                    found.add_as_fetched(file, &reason, writer)
                }
                // Printed when it was found or below, and still so.
                FileVerdict::Damaged(_)
                | FileVerdict::Undecodable(_)
                | FileVerdict::Displaced(_)
                | FileVerdict::Missing => Ok(()),
            },
        )?;
        found.counts = writer.counts;
        self.write_held_back(&mut found)?;
        Ok(found)
    }

    /// Prints what is undecodable and was not settled by fetching it again.
    fn write_held_back(&self, found: &mut Findings) -> anyhow::Result<()> {
        let mut writer = FindingWriter::new(&self.output, self.out(), "verifying", 0);
        writer.counts = found.counts.clone();
        for finding in mem::take(&mut found.held_back).into_values() {
            writer.write(&finding)?;
        }
        found.counts = writer.counts;
        Ok(())
    }
}

/// The images that are to be fetched again.
#[derive(Default)]
struct Wanted {
    /// Each with the file that it is in.
    keys: HashMap<ImageKey, String>,
    /// What each was fetched from.
    addresses: HashMap<ImageKey, String>,
    /// Of files whose addresses are not known because the ledger was rebuilt.
    stems: HashSet<Stem>,
    /// Such files of a site without a listing: their origin cannot be found out, so they are left as they are.
    lost: HashSet<ImageName>,
    /// Whether stored addresses may have lost a secret.
    has_secrets: bool,
}

impl Wanted {
    fn read(found: &Findings, ledger: &dyn Ledger, source: &ImageSource) -> anyhow::Result<Self> {
        let mut unknown: HashSet<_> = found.repairable().map(|bad| bad.name.to_string()).collect();
        let names = unknown.clone();
        let (mut keys, mut addresses) = (HashMap::new(), HashMap::new());
        let saved = Selection {
            like: None,
            state: Some(ledger::RowState::Saved),
            with_same_bytes: false,
        };
        ledger.each(&saved, &mut |row| {
            if let Some(name) = row.name.filter(|name| names.contains(name)) {
                unknown.remove(&name);
                addresses.insert(row.key.clone(), row.address);
                keys.insert(row.key, name);
            }
            ControlFlow::Continue(())
        })?;
        if let Some(other) = keys.keys().find(|key| key.site() != source.id().as_str()) {
            bail!(
                "the collection holds images of `{}`: name that site in place of `{}`",
                other.site(),
                source.id()
            );
        }
        let unknown = found
            .repairable()
            .filter(|broken| unknown.contains(&broken.name.to_string()));
        let unknown = unknown.map(|bad| bad.name.clone());
        let (stems, lost) = match source {
            ImageSource::Site(_) => (unknown.map(|name| name.stem()).collect(), HashSet::new()),
            ImageSource::Direct(_) => (HashSet::new(), unknown.collect()),
        };
        let has_secrets = match source {
            ImageSource::Site(site) => !site.requests().secrets.is_empty(),
            ImageSource::Direct(_) => false,
        };
        Ok(Self {
            keys,
            addresses,
            stems,
            lost,
            has_secrets,
        })
    }

    /// Whether a stored address lacks its secret, so that it cannot be requested.
    fn is_masked(&self, address: &Url) -> bool {
        self.has_secrets && address.as_str().contains(MASK)
    }

    /// Where they come from: the site's listing, on any page, which may have a newer address for an
    /// image; and their addresses, where that does not lead to them or there is none.
    fn images(wanted: &Arc<Mutex<Self>>, source: &ImageSource) -> WantedImages {
        let direct = match source {
            ImageSource::Site(site) => {
                let left = {
                    let (site, wanted) = (Arc::clone(site), Arc::clone(wanted));
                    Box::new(move || wanted.lock().lines(site.id(), &|url| site.image_at(url)))
                };
                let wanted = Arc::clone(wanted);
                return WantedImages::ListedThenGiven(
                    Arc::clone(site),
                    Pages::default(),
                    Box::new(|jobs| Box::new(WantedOnly { wanted, jobs })),
                    left,
                );
            }
            ImageSource::Direct(direct) => direct,
        };
        let (sender, lines) = mpsc::channel(1);
        let wanted = mem::take(&mut *wanted.lock());
        // The channel has a slot for the only batch.
        let _ = sender.try_send(wanted.lines(direct.id(), &|url| {
            let image = direct.image(url);
            image.ok_or_else(|| "it cannot be requested any more".to_owned())
        }));
        WantedImages::Given(lines)
    }

    /// The addresses of the images that are still wanted.
    fn lines(
        &self,
        id: &SiteId,
        image: &dyn Fn(&Url) -> Result<ImageRef, String>,
    ) -> Vec<GivenLine> {
        let line = |key: &ImageKey| {
            let address = self.addresses.get(key)?;
            // A key is the first candidate's; where the image was at a later one, that is added to
            // the job.
            let url = Url::parse(address).ok();
            let url = url
                .filter(|url| ImageKey::new(id, url) == *key)
                .or_else(|| Url::parse(key.address()?).ok());
            let found = url.ok_or_else(|| {
                let cause = if key.address().is_some() {
                    "it is not a URL"
                } else {
                    "the site knows the image by an id, and its listing shows it no more"
                };
                cause.to_owned()
            });
            let found = found.and_then(|url| {
                if self.is_masked(&url) {
                    let cause = "its address held a secret, which is not stored, and its listing shows it no more";
                    return Err(cause.to_owned());
                }
                image(&url)
            });
            Some(match found {
                Ok(image) => GivenLine::Image {
                    image: Box::new(image),
                    ask_again: true,
                },
                Err(cause) => GivenLine::Bad {
                    text: address.clone(),
                    cause,
                },
            })
        };
        self.keys.keys().filter_map(line).collect()
    }

    /// Removes the image from the wanted ones, and adds the address that it was fetched from to its
    /// candidates; false if it is not among them.
    fn take(&mut self, job: &mut Job) -> bool {
        let address = self.addresses.get(&job.key);
        let url = address.and_then(|address| Url::parse(address).ok());
        if let Some(url) = url.filter(|url| !self.is_masked(url)) {
            let key = ImageKey::new(&job.site, &url);
            let is_tried = |known: &Candidate| ImageKey::new(&job.site, known.url()) == key;
            if !job.candidates.iter().any(is_tried) {
                job.candidates.push(Candidate::Direct(url));
            }
        }
        self.keys.remove(&job.key).is_some() || self.stems.remove(&Stem::new(&job.stem))
    }

    /// The bad files whose images did not come by.
    fn unlisted(&self, found: &Findings) -> Vec<ImageName> {
        let left: HashSet<_> = self.keys.values().collect();
        found
            .repairable()
            .map(|bad| &bad.name)
            .filter(|name| left.contains(&name.to_string()) || self.stems.contains(&name.stem()))
            .cloned()
            .collect()
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.stems.is_empty()
    }
}

/// Forwards only the jobs that are wanted, and closes after the last one, which ends the listing early.
struct WantedOnly {
    wanted: Arc<Mutex<Wanted>>,
    jobs: Box<dyn JobSender>,
}

#[async_trait]
impl JobSender for WantedOnly {
    async fn send(&self, mut job: Job) -> Result<Sent, QueueError> {
        let (taken, over) = {
            // Held for the look-up only: `send` below may wait for a slot.
            let mut wanted = self.wanted.lock();
            (wanted.take(&mut job), wanted.is_empty())
        };
        if taken {
            self.jobs.send(job).await?;
        }
        (!over).then_some(Sent::New).ok_or(QueueError::Closed)
    }

    async fn flush(&self) -> Result<(), QueueError> {
        self.jobs.flush().await
    }
}
