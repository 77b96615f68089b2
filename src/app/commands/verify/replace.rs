//! What stands between the pipeline and the collection while it is repaired: a bad file keeps its name, and the ledger
//! its row, until better bytes are there, checked and on the disk.
//!
//! The order for one file: the new bytes are verified and, with `--decode`, decoded; the old file is kept in
//! `rejected`; the new one is renamed over it; the ledger learns of it. Killed in between, the next `verify` names the
//! file: as damaged, or as one that the ledger does not know.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{BadFile, Problem, Verifier, undecodable_fact};
use crate::app::blocking::blocking;
use crate::job::{ImageKey, ImageName, Stem};
use crate::ledger::{
    Intent, KnownState, Ledger, LedgerError, LedgerRow, PendingHooks, PendingImageHooks,
    PendingPlacement, Placement, Record, Selection, Stats, StoredFile,
};
use crate::outcome::Content;
use crate::sink::{
    EntryStream, LocalCollection, Placed, ReadError, Sink, SinkError, SinkReader, StoredImageReader,
};
use crate::verify::VerifiedImage;

/// The files that are to be replaced, and how far that is.
pub(super) struct Replacements {
    sink: Arc<dyn Sink>,
    ledger: Arc<dyn Ledger>,
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
    /// Files that have new bytes.
    replaced: HashSet<String>,
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

    /// The file that the image is to mend.
    fn bad_file(&self, key: &ImageKey, stem: &Stem) -> Option<&BadFile> {
        let name = self.keys.get(key).or_else(|| self.stems.get(stem))?;
        self.files.get(name)
    }

    /// Decides about an image that was fetched; nothing is written but the fact that a server has the same bytes.
    async fn decide(&self, intent: Intent) -> Result<Placement, LedgerError> {
        let Some(bad) = self.bad_file(&intent.key, &intent.name.stem()) else {
            return self.place_as_usual(intent).await;
        };
        let old = bad.name.to_string();
        if bad.problem == Problem::Undecodable && same_bytes(&intent.content, &bad.content) {
            let fact = undecodable_fact(&bad.content);
            self.ledger.note_skips(vec![fact], (self.clock)()).await?;
            self.progress.lock().unchanged.insert(intent.key);
            return Ok(Placement::Duplicate(bad.name.clone()));
        }
        let extension = |name: &str| name.rsplit_once('.').map(|(_, end)| end.to_owned());
        // Another format needs another name.
        let name = if extension(&old) == extension(intent.name.as_str()) {
            bad.name.clone()
        } else {
            intent.name.clone()
        };
        let as_usual = {
            let mut progress = self.progress.lock();
            if progress.replaced.contains(&old) {
                Some(intent)
            } else if let Some(first) = progress.waiting.get_mut(&name) {
                if first.old == old && same_bytes(&first.intents[0].content, &intent.content) {
                    first.intents.push(intent);
                    return Ok(Placement::Duplicate(name));
                }
                Some(intent)
            } else {
                let intents = vec![intent];
                progress
                    .waiting
                    .insert(name.clone(), Replacement { old, intents });
                None
            }
        };
        match as_usual {
            Some(intent) => self.place_as_usual(intent).await,
            None => Ok(Placement::New(name)),
        }
    }

    async fn place_as_usual(&self, intent: Intent) -> Result<Placement, LedgerError> {
        let mut placements = self.ledger.placing(vec![intent]).await?;
        Ok(placements.remove(0))
    }

    async fn store(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
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
        let (local, cause) = (self.local()?, bad.cause());
        let renamed = name != bad.name;
        let is_there = bad.problem != Problem::Missing;
        let placed = if renamed {
            self.place(image, name).await?
        } else {
            if is_there {
                local.keep_rejected(&bad.name, &bad.reason).await?;
            }
            self.sink.replace(image, name).await?
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
            local.quarantine(&bad.name, &bad.reason).await?;
        }
        self.progress.lock().replaced.insert(old);
        Ok(placed)
    }

    async fn place(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let mut placed = self.sink.place(vec![(image, name)]).await;
        placed.remove(0)
    }

    fn local(&self) -> Result<&dyn LocalCollection, SinkError> {
        self.sink.as_local().ok_or_else(|| SinkError::Storage {
            what: "only a collection in a folder can be repaired".to_owned(),
            source: io::Error::from(io::ErrorKind::Unsupported),
        })
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

fn same_bytes(one: &Content, other: &Content) -> bool {
    one.bytes == other.bytes && one.hash == other.hash
}

fn unrecorded(error: LedgerError) -> SinkError {
    SinkError::Storage {
        what: "recording a file that was fetched again".to_owned(),
        source: io::Error::other(error),
    }
}

/// The ledger as the pipeline sees it: it knows nothing of the bad files, so that they are fetched, and decides about
/// them as above.
pub(super) struct RepairLedger(pub(super) Arc<Replacements>);

#[async_trait]
impl Ledger for RepairLedger {
    async fn known(
        &self,
        images: Vec<(ImageKey, Stem)>,
        now: Timestamp,
    ) -> Result<HashMap<ImageKey, KnownState>, LedgerError> {
        let Self(files) = self;
        let others = images
            .into_iter()
            .filter(|(key, stem)| files.bad_file(key, stem).is_none());
        files.ledger.known(others.collect(), now).await
    }

    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError> {
        let mut placements = Vec::with_capacity(group.len());
        for intent in group {
            placements.push(self.0.decide(intent).await?);
        }
        Ok(placements)
    }

    async fn record(&self, mut group: Vec<Record>) -> Result<(), LedgerError> {
        let Self(files) = self;
        group.retain(|record| match record {
            // Nothing was to be placed.
            Record::Saved { key, name: _ } => !files.progress.lock().unchanged.contains(key),
            Record::Unplaced { .. } | Record::Failed { .. } | Record::Hooks { .. } => true,
        });
        files.ledger.record(group).await
    }

    async fn adopt(&self, files: Vec<(ImageName, Content)>) -> Result<usize, LedgerError> {
        self.0.ledger.adopt(files).await
    }

    async fn pending(&self) -> Result<Vec<PendingPlacement>, LedgerError> {
        self.0.ledger.pending().await
    }

    fn each(
        &self,
        selection: &Selection,
        row: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        self.0.ledger.each(selection, row)
    }

    fn files(&self) -> Result<Vec<StoredFile>, LedgerError> {
        self.0.ledger.files()
    }

    async fn forget(
        &self,
        files: Vec<(ImageName, String)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.ledger.forget(files, at).await
    }

    async fn note_skips(
        &self,
        skips: Vec<(ImageKey, String)>,
        at: Timestamp,
    ) -> Result<Vec<bool>, LedgerError> {
        self.0.ledger.note_skips(skips, at).await
    }

    async fn pending_hooks(&self) -> Result<PendingHooks, LedgerError> {
        self.0.ledger.pending_hooks().await
    }

    async fn pending_image_hooks(
        &self,
        below: i64,
        limit: usize,
    ) -> Result<Vec<PendingImageHooks>, LedgerError> {
        self.0.ledger.pending_image_hooks(below, limit).await
    }

    fn stats(&self) -> Result<Stats, LedgerError> {
        self.0.ledger.stats()
    }
}

/// The collection's folder as the pipeline sees it: a name that was decided above replaces a bad file.
pub(super) struct RepairSink(pub(super) Arc<Replacements>);

impl SinkReader for RepairSink {
    fn list(&self) -> EntryStream {
        self.0.sink.list()
    }

    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError> {
        self.0.sink.read(name)
    }
}

#[async_trait]
impl Sink for RepairSink {
    async fn place(
        &self,
        group: Vec<(VerifiedImage, ImageName)>,
    ) -> Vec<Result<Placed, SinkError>> {
        let mut placed = Vec::with_capacity(group.len());
        for (image, name) in group {
            placed.push(self.0.store(image, name).await);
        }
        placed
    }

    async fn exists(
        &self,
        name: &ImageName,
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError> {
        self.0.sink.exists(name, content).await
    }

    async fn replace(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        self.0.sink.replace(image, name).await
    }

    async fn finish(&self) -> Result<(), SinkError> {
        self.0.sink.finish().await
    }
}
