//! The ledger and the folder as the pipeline sees them while a collection is repaired.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::replace::Replacements;
use crate::job::{ImageKey, ImageName, RulesHash, Stem};
use crate::ledger::{
    Intent, Known, KnownState, Ledger, LedgerError, LedgerRow, PendingHooks, PendingImageHooks,
    PendingPlacement, Placement, Record, Selection, Stats, StoredFile,
};
use crate::outcome::Content;
use crate::sink::{EntryStream, Placed, ReadError, Sink, SinkError, SinkReader, StoredImageReader};
use crate::verify::VerifiedImage;

/// The ledger as the pipeline sees it: it knows nothing of the bad files, so that they are fetched, and has
/// [`Replacements`] decide about them.
pub(super) struct RepairLedger(pub(super) Arc<Replacements>);

#[async_trait]
impl Ledger for RepairLedger {
    async fn known(
        &self,
        images: Vec<ImageKey>,
        rules: RulesHash,
        now: Timestamp,
    ) -> Result<Known, LedgerError> {
        let Self(files) = self;
        if files.has_unlisted() {
            // An image may be wanted by its name, even where the ledger knows its key.
            return Ok(Known {
                states: vec![None; images.len()],
                has_adopted: true,
            });
        }
        let is_bad: Vec<_> = images.iter().map(|key| files.is_bad(key)).collect();
        let mut known = files.ledger.known(images, rules, now).await?;
        for (state, is_bad) in known.states.iter_mut().zip(is_bad) {
            state.take_if(|_| is_bad);
        }
        Ok(known)
    }

    async fn adopted(&self, images: Vec<(ImageKey, Stem)>) -> Result<Vec<bool>, LedgerError> {
        let Self(files) = self;
        let is_bad = |(key, stem): &(ImageKey, Stem)| files.bad_file(key, stem).is_some();
        let is_bad: Vec<_> = images.iter().map(is_bad).collect();
        let keys = images.iter().map(|(key, _stem)| key.clone()).collect();
        // By no rules: those of the good files alone count.
        let known = files
            .ledger
            .known(keys, RulesHash::default(), Timestamp::MAX);
        let states = known.await?.states.into_iter();
        let adopted = files.ledger.adopted(images).await?;
        let is_there = states
            .zip(adopted)
            .map(|(state, adopted)| adopted || state == Some(KnownState::Saved));
        Ok(is_there
            .zip(is_bad)
            .map(|(is_there, is_bad)| is_there && !is_bad)
            .collect())
    }

    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError> {
        self.0.decide(group).await
    }

    async fn record(&self, mut group: Vec<Record>) -> Result<(), LedgerError> {
        let Self(files) = self;
        group.retain(|record| match record {
            // Nothing was to be placed.
            Record::Saved { key, name: _ } => !files.is_unchanged(key),
            Record::Unplaced { .. }
            | Record::Failed { .. }
            | Record::Skipped { .. }
            | Record::Hooks { .. } => true,
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

/// The collection's folder as the pipeline sees it: a name that was decided for it replaces a bad file.
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

    fn longest_name(&self) -> usize {
        self.0.sink.longest_name()
    }

    async fn quarantine(&self, name: &ImageName, reason: &str) -> Result<(), SinkError> {
        self.0.sink.quarantine(name, reason).await
    }

    async fn keep_rejected(&self, name: &ImageName, reason: &str) -> Result<(), SinkError> {
        self.0.sink.keep_rejected(name, reason).await
    }
}
