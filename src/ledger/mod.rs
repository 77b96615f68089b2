//! The memory of a collection: which images it has, from where, under which names. It makes a second run quick.

#[cfg(test)]
mod contract;
mod empty;
mod error;
mod model;
mod sqlite;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;

pub use error::LedgerError;
pub use model::{
    Intent, Known, KnownState, LedgerRow, Origin, PendingHooks, PendingImageHooks,
    PendingPlacement, Placement, Record, RowState, Selection, Stats, StoredFile,
};

use crate::job::{ImageKey, ImageName, RulesHash, Stem};
use crate::outcome::Content;

/// The memory of one collection. Read a page at a time, written a group at a time.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Looks up the images of a listing page.
    ///
    /// `now` and `rules` decide whether an image that was gone or skipped is requested again: it is once its time is over,
    /// and by other rules.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn known(
        &self,
        images: Vec<ImageKey>,
        rules: RulesHash,
        now: Timestamp,
    ) -> Result<Known, LedgerError>;

    /// Of each of these images, in order, whether it is one of the files whose addresses are not known: whether one has
    /// its stem. Apart from [`Ledger::known`], as hardly any collection has such a file, and a name costs more than a look
    /// at the ledger.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn adopted(&self, images: Vec<(ImageKey, Stem)>) -> Result<Vec<bool>, LedgerError>;

    /// Decides which name each image gets, and records that durably before any file is placed.
    ///
    /// The answers are in the order of the group. No two files of a ledger ever have the same normalized name.
    /// A group holds an image once. An earlier placement of the same image that was not settled is withdrawn.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; then nothing of the group is written.
    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError>;

    /// Records how a group of images ended, in one transaction. A duplicate comes after the image whose file it
    /// shares.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; then nothing of the group is written.
    async fn record(&self, group: Vec<Record>) -> Result<(), LedgerError>;

    /// Adds files of the collection whose addresses are not known, and returns how many were added. A file whose name
    /// the ledger has already keeps its row.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; then none of them is written.
    async fn adopt(&self, files: Vec<(ImageName, Content)>) -> Result<usize, LedgerError>;

    /// The placements that an earlier run was killed before it could settle, in the order they were written.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn pending(&self) -> Result<Vec<PendingPlacement>, LedgerError>;

    /// Calls `row` for each row of `selection`, oldest first, until it returns `Break`. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn each(
        &self,
        selection: &Selection,
        row: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
    ) -> Result<(), LedgerError>;

    /// Every file the ledger knows of, sorted by name. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn files(&self) -> Result<Vec<StoredFile>, LedgerError>;

    /// Forgets damaged or missing files, each with the reason. Their images count as failed from now on and are
    /// fetched again, and their names are free.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; then none of them is forgotten.
    async fn forget(
        &self,
        files: Vec<(ImageName, String)>,
        at: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Remembers skipped images that are reported to the user, each with the reason. The answer says of each, in
    /// order, whether it is new: false when the same image was reported before for the same reason.
    ///
    /// A ledger that was opened to be read answers the same and writes nothing.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read or written; then none of them is remembered.
    async fn note_skips(
        &self,
        skips: Vec<(ImageKey, String)>,
        at: Timestamp,
    ) -> Result<Vec<bool>, LedgerError>;

    /// How many hooks are still to run. Forgets those whose images left the collection.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read or written.
    async fn pending_hooks(&self) -> Result<PendingHooks, LedgerError>;

    /// Up to `limit` images whose hooks are still to run, with numbers below `below`, highest first. A new image
    /// always gets a higher number than any before it, so a reader that counts down meets no new ones.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn pending_image_hooks(
        &self,
        below: i64,
        limit: usize,
    ) -> Result<Vec<PendingImageHooks>, LedgerError>;

    /// Counts images, files and bytes. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn stats(&self) -> Result<Stats, LedgerError>;
}

/// Opens the ledger in `directory`, or creates it. A ledger of schema 2 or 3 is brought up to date, and a copy of it
/// is kept beside it.
///
/// With `durable`, a group that was written survives a power cut; without, only the file's consistency does. Dropping
/// the ledger closes the file and folds its write-ahead log into it.
///
/// # Errors
///
/// When the file cannot be read or written, is not a ledger, is locked by another program, or has a schema that this
/// build cannot read. The file is not changed then.
pub fn open(directory: &Path, durable: bool) -> Result<Box<dyn Ledger>, LedgerError> {
    Ok(Box::new(sqlite::Sqlite::open(directory, durable)?))
}

/// Opens the ledger in `directory` for reading: beside a run that writes it, or on a read-only file system. `None`
/// where there is none yet.
///
/// # Errors
///
/// When the file cannot be read, is not a ledger, or has another schema.
pub fn open_to_read(directory: &Path) -> Result<Option<Box<dyn Ledger>>, LedgerError> {
    let ledger = sqlite::Sqlite::open_to_read(directory)?;
    Ok(ledger.map(|ledger| Box::new(ledger) as Box<dyn Ledger>))
}

/// A ledger without rows that refuses every write: for runs that keep nothing.
pub fn empty() -> Box<dyn Ledger> {
    Box::new(empty::Empty)
}

/// Whether `directory` has no ledger, or an empty file in its place.
pub fn is_blank(directory: &Path) -> bool {
    std::fs::metadata(directory.join(sqlite::NAME)).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound,
        |file| file.is_file() && file.len() == 0,
    )
}

/// Replaces the ledger in `directory` by the one in the folder `with`. Returns the path at which the old one is kept,
/// if there was one: a name with the time `at`. Neither may be open.
///
/// # Errors
///
/// When a file cannot be moved. The old ledger is then under its old name or under the dated one.
pub fn replace(
    directory: &Path,
    with: &Path,
    at: Timestamp,
) -> Result<Option<PathBuf>, LedgerError> {
    sqlite::replace::replace(directory, with, at)
}
