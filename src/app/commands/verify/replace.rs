//! What stands between the pipeline and the collection while it is repaired: a bad file keeps its name, and the ledger
//! its row, until better bytes are there, checked and on the disk.
//!
//! The order for one file: the new bytes are verified and, with `--decode`, decoded; the old file is kept in
//! `rejected`; the new one is renamed over it; the ledger learns of it. Killed in between, the next `verify` names the
//! file: as damaged, or as one that the ledger does not know.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::{BadFile, Problem, Verifier, undecodable_fact};
use crate::app::blocking::blocking;
use crate::job::{ImageKey, ImageName, Stem};
use crate::ledger::{Intent, Ledger, LedgerError, Placement};
use crate::outcome::Content;
use crate::sink::{Placed, Sink, SinkError};
use crate::verify::VerifiedImage;

/// The files that are to be replaced, and how far that is.
pub(super) struct Replacements {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) ledger: Arc<dyn Ledger>,
    verifier: Arc<Verifier>,
    clock: fn() -> Timestamp,
    files: HashMap<String, BadFile>,
    keys: HashMap<ImageKey, String>,
    /// Of files whose addresses are not known.
    stems: HashMap<Stem, String>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// By the name that the new file is to have.
    waiting: HashMap<ImageName, Replacement>,
    /// Files that are to get no other bytes any more: they have new ones, or their server has those that are there.
    settled: HashSet<String>,
    /// Files that have new bytes, and the names of those.
    replaced: HashMap<String, ImageName>,
    /// Images whose server has the bytes that are there already.
    unchanged: HashSet<ImageKey>,
}

/// New bytes for a bad file that wait for their turn.
struct Replacement {
    old: String,
    /// The image that they were fetched for, and others in its group that have the same bytes.
    intents: Vec<Intent>,
}

impl Replacements {
    pub(super) fn new(
        sink: Arc<dyn Sink>,
        ledger: Arc<dyn Ledger>,
        verifier: Arc<Verifier>,
        clock: fn() -> Timestamp,
        files: impl Iterator<Item = BadFile>,
        keys: HashMap<ImageKey, String>,
    ) -> Arc<Self> {
        let files: HashMap<_, _> = files.map(|bad| (bad.name.to_string(), bad)).collect();
        let addressed: HashSet<_> = keys.values().collect();
        let stems = files
            .values()
            .filter(|bad| !addressed.contains(&bad.name.to_string()))
            .map(|bad| (bad.name.stem(), bad.name.to_string()))
            .collect();
        Arc::new(Self {
            sink,
            ledger,
            verifier,
            clock,
            files,
            keys,
            stems,
            progress: Mutex::default(),
        })
    }

    /// The new name of each file that was replaced, and its old name.
    pub(super) fn new_names(&self) -> HashMap<ImageName, String> {
        let progress = self.progress.lock();
        let replaced = progress.replaced.iter();
        replaced
            .map(|(old, new)| (new.clone(), old.clone()))
            .collect()
    }

    /// Whether the image's server has the bytes that are there already, so that nothing was to be placed.
    pub(super) fn is_unchanged(&self, key: &ImageKey) -> bool {
        self.progress.lock().unchanged.contains(key)
    }

    /// Whether there are files among them whose addresses are not known.
    pub(super) fn has_unlisted(&self) -> bool {
        !self.stems.is_empty()
    }

    /// Whether the file of this image is to be mended.
    pub(super) fn is_bad(&self, key: &ImageKey) -> bool {
        self.keys.contains_key(key)
    }

    /// The file that the image is to mend.
    pub(super) fn bad_file(&self, key: &ImageKey, stem: &Stem) -> Option<&BadFile> {
        let name = self.keys.get(key).or_else(|| self.stems.get(stem))?;
        self.files.get(name)
    }

    /// Decides about images that were fetched together; nothing is written but the fact that a server has the same
    /// bytes. Right bytes come first: where several images share a bad file and their servers now differ, the file is
    /// for the image that it was fetched for.
    pub(super) async fn decide(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError> {
        let is_right = |intent: &Intent| {
            let bad = self.bad_file(&intent.key, &intent.name.stem());
            bad.is_some_and(|bad| same_bytes(&intent.content, &bad.content))
        };
        let numbered = group.into_iter().enumerate();
        let (right, others): (Vec<_>, Vec<_>) = numbered.partition(|(_, intent)| is_right(intent));
        let (mut placements, mut numbers, mut usual) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (number, intent) in right.into_iter().chain(others) {
            match self.decide_one(intent).await? {
                ControlFlow::Break(placement) => {
                    placements.insert(number, placement);
                }
                ControlFlow::Continue(intent) => {
                    numbers.push(number);
                    usual.push(intent);
                }
            }
        }
        if !usual.is_empty() {
            {
                let progress = self.progress.lock();
                // The ledger does not know yet that these names are taken.
                for intent in &mut usual {
                    if progress.waiting.contains_key(&intent.name) {
                        intent.name = intent.name.with_hash_suffix(&intent.content.hash);
                    }
                }
            }
            let usual = self.ledger.placing(usual).await?;
            placements.extend(numbers.into_iter().zip(usual));
        }
        Ok(placements.into_values().collect())
    }

    /// Gives the image back if it mends no file and is to be placed as usual.
    async fn decide_one(
        &self,
        intent: Intent,
    ) -> Result<ControlFlow<Placement, Intent>, LedgerError> {
        let Some((bad, is_unchanged)) = self.mended_by(&intent) else {
            return Ok(ControlFlow::Continue(intent));
        };
        if is_unchanged {
            let fact = undecodable_fact(&bad.content);
            self.ledger.note_skips(vec![fact], (self.clock)()).await?;
            let mut progress = self.progress.lock();
            progress.unchanged.insert(intent.key);
            progress.settled.insert(bad.name.to_string());
            return Ok(ControlFlow::Break(Placement::Duplicate(bad.name.clone())));
        }
        let old = bad.name.to_string();
        let extension = |name: &str| name.rsplit_once('.').map(|(_, end)| end.to_owned());
        // Another format needs another name.
        let name = if extension(&old) == extension(intent.name.as_str()) {
            bad.name.clone()
        } else {
            intent.name.clone()
        };
        let waiting = &mut self.progress.lock().waiting;
        let placement = match waiting.get_mut(&name) {
            Some(first) if first.old == old => {
                first.intents.push(intent);
                Placement::Duplicate(name)
            }
            // The new name is promised to the replacement of another file.
            Some(_) => return Ok(ControlFlow::Continue(intent)),
            None => {
                let intents = vec![intent];
                waiting.insert(name.clone(), Replacement { old, intents });
                Placement::New(name)
            }
        };
        Ok(ControlFlow::Break(placement))
    }

    /// The bad file that the image's bytes are to be put in place of, and whether it has these bytes already: the
    /// image's own file unless that gets other bytes, or one that was fetched as these bytes.
    fn mended_by(&self, intent: &Intent) -> Option<(&BadFile, bool)> {
        let progress = self.progress.lock();
        let is_open = |bad: &&BadFile| {
            let old = bad.name.to_string();
            let mut of_old = progress.waiting.values().filter(|first| first.old == old);
            !progress.settled.contains(&old)
                && of_old.all(|first| same_bytes(&first.intents[0].content, &intent.content))
        };
        let is_same = |bad: &BadFile| same_bytes(&intent.content, &bad.content);
        let is_unchanged = |bad: &BadFile| bad.problem == Problem::Undecodable && is_same(bad);
        let own = self.bad_file(&intent.key, &intent.name.stem());
        // A second image with the bytes that the file was left with.
        if let Some(bad) = own.filter(|bad| is_unchanged(bad))
            && !progress.replaced.contains_key(&bad.name.to_string())
        {
            return Some((bad, true));
        }
        if let Some(bad) = own.filter(is_open) {
            return Some((bad, false));
        }
        // The ledger would call it a duplicate of that file, whose bytes are not there.
        let same = |bad: &&BadFile| is_same(bad) && !is_unchanged(bad) && is_open(bad);
        own.and_then(|_| self.files.values().find(same))
            .map(|bad| (bad, false))
    }

    pub(super) async fn store(
        &self,
        image: VerifiedImage,
        name: ImageName,
    ) -> Result<Placed, SinkError> {
        let waiting = self.progress.lock().waiting.remove(&name);
        let Some(Replacement { old, mut intents }) = waiting else {
            return self.place(image, name).await;
        };
        let bad = &self.files[&old];
        // The bytes that were fetched first are right even where no decoder reads them.
        if !same_bytes(image.content(), &bad.content)
            && let Some(reason) = self.undecodable(&image).await
        {
            image.into_file().discard();
            let source = io::Error::other(format!(
                "the file that the server has now cannot be used either, so the old one stays: {reason}"
            ));
            return Err(SinkError::Name { name, source });
        }
        let (sink, cause) = (&self.sink, bad.cause());
        let renamed = name != bad.name;
        let is_there = bad.problem != Problem::Missing;
        let placed = if renamed {
            self.place(image, name).await?
        } else {
            if is_there {
                sink.keep_rejected(&bad.name, &bad.reason).await?;
            }
            sink.replace(image, name).await?
        };
        let Placed::Stored(stored) = &placed else {
            return Ok(placed);
        };
        for intent in &mut intents {
            intent.name = stored.clone();
        }
        let now = (self.clock)();
        let forgotten = self.ledger.forget(vec![(bad.name.clone(), cause)], now);
        forgotten.await.map_err(unrecorded)?;
        self.ledger.placing(intents).await.map_err(unrecorded)?;
        if renamed && is_there {
            sink.quarantine(&bad.name, &bad.reason).await?;
        }
        let mut progress = self.progress.lock();
        progress.settled.insert(old.clone());
        progress.replaced.insert(old, stored.clone());
        drop(progress);
        Ok(placed)
    }

    async fn place(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let mut placed = self.sink.place(vec![(image, name)]).await;
        placed.remove(0)
    }

    /// Why the pixels of new bytes cannot be decoded, with `--decode`.
    async fn undecodable(&self, image: &VerifiedImage) -> Option<String> {
        let verifier = Arc::clone(&self.verifier);
        let (path, content) = (image.file().path().to_owned(), *image.content());
        let decoded = blocking(move || {
            let Some(decoder) = &verifier.check.decoder else {
                return anyhow::Ok(());
            };
            decoder.decode(File::open(path)?, &content)?;
            Ok(())
        });
        decoded.await.err().map(|error| error.to_string())
    }
}

impl BadFile {
    /// What the ledger says of its image until the new bytes are recorded.
    fn cause(&self) -> String {
        match self.problem {
            Problem::Damaged | Problem::Undecodable => format!("it was damaged: {}", self.reason),
            Problem::Missing | Problem::Displaced => "it was missing".to_owned(),
        }
    }
}

fn same_bytes(one: &Content, other: &Content) -> bool {
    one.bytes == other.bytes && one.hash == other.hash
}

fn unrecorded(error: LedgerError) -> SinkError {
    SinkError::Storage {
        what: "recording a file that was fetched again".to_owned(),
        source: io::Error::other(error),
    }
}
