//! What was fetched, from where, and under which name: the memory that makes a second run quick.

#[cfg(test)]
mod contract;
mod error;
mod memory;
mod rules;
mod sqlite;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use url::Url;

pub use error::LedgerError;

use crate::job::{ImageKey, ImageName, SiteId, Stem};
use crate::outcome::{Content, Failure};

/// The memory of one collection. Asked a page at a time, told a group at a time.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// What is known of these images; one that is not in the answer was never settled.
    ///
    /// `now` decides whether an image that was gone may be asked for again.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn known(
        &self,
        images: Vec<(ImageKey, Stem)>,
        now: Timestamp,
    ) -> Result<HashMap<ImageKey, KnownState>, LedgerError>;

    /// Writes down, durably, what is about to be given a name, and answers with the name each may have:
    /// in the order asked, each unlike every other name in the ledger even when folded. An image stands in a
    /// group once; what was promised to it before and not kept is taken back.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; nothing of the group is then written down.
    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, LedgerError>;

    /// Writes down how a group of images ended, in one transaction; twins after the image they share a file with.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; nothing of the group is then written down.
    async fn record(&self, group: Vec<Record>) -> Result<(), LedgerError>;

    /// Writes down files that lie in the collection and whose addresses are not known; answers with how many the
    /// ledger had no file of that name for. The others stay as they were written.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; nothing of them is then written down.
    async fn adopt(&self, files: Vec<(ImageName, Content)>) -> Result<usize, LedgerError>;

    /// What an earlier run was about to name when it was killed.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn unfinished(&self) -> Result<Vec<Unfinished>, LedgerError>;

    /// Hands the rows of `selection` to `row`, oldest first, until it breaks off. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn each(
        &self,
        selection: &Selection,
        row: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
    ) -> Result<(), LedgerError>;

    /// Every file the ledger knows of, by name. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn files(&self) -> Result<Vec<StoredFile>, LedgerError>;

    /// Lets go of files that are damaged or missing, each with the reason: what lay in them counts as failed and is
    /// asked for again, and their names are free.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; nothing of them is then written down.
    async fn forget(
        &self,
        files: Vec<(ImageName, String)>,
        at: Timestamp,
    ) -> Result<(), LedgerError>;

    /// What hooks wait to be run. Asked for first of all where there are hooks: without any, nothing is ever written
    /// down about them.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read, or not be made ready for them.
    async fn hooks_waiting(&self) -> Result<HooksWaiting, LedgerError>;

    /// The images whose hooks wait, at most `limit` of them below this number, the highest first. Numbers only grow.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn images_waiting(
        &self,
        below: i64,
        limit: usize,
    ) -> Result<Vec<ImageWaiting>, LedgerError>;

    /// The ledger in figures. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn stats(&self) -> Result<Stats, LedgerError>;
}

/// What the ledger knows of an image that a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownState {
    /// It is in the collection.
    Saved,
    /// The site said that it is gone; not to be asked for before `until`.
    Gone {
        /// When to ask again.
        until: Timestamp,
    },
    /// A file of this stem is there though no address was written down for it: the ledger was rebuilt.
    Adopted,
}

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The listing page.
    pub page: Url,
    /// The original's address.
    pub address: Url,
    /// The title on the page.
    pub title: Option<String>,
    /// The server's `ETag`.
    pub etag: Option<String>,
    /// The server's `Last-Modified`.
    pub last_modified: Option<String>,
}

/// An image about to be given a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its identity.
    pub key: ImageKey,
    /// Its site.
    pub site: SiteId,
    /// Where it came from.
    pub origin: Origin,
    /// The name it should have.
    pub name: ImageName,
    /// What its bytes are.
    pub content: Content,
    /// When it was fetched.
    pub at: Timestamp,
}

/// The name an image may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Nothing else has it.
    New(ImageName),
    /// A file of this name with the same bytes is in the collection: nothing needs placing.
    Duplicate(ImageName),
}

/// How an image ended, to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// It is under this name, which is the one it was promised unless a foreign file was in the way. Says
    /// nothing of an image that was never promised a name.
    Saved {
        /// Its identity, as in its [`Intent`].
        key: ImageKey,
        /// The name.
        name: ImageName,
    },
    /// It was promised a name and did not get there: the promise is taken back.
    Unplaced {
        /// Its identity.
        key: ImageKey,
    },
    /// It could not be had. One that is in the collection from before stays there.
    Failed {
        /// Its identity.
        key: ImageKey,
        /// Its site.
        site: SiteId,
        /// Why.
        failure: Failure,
        /// When.
        at: Timestamp,
        /// For one that is gone: when to ask again.
        until: Option<Timestamp>,
    },
    /// The user's commands wait to be run, or are done with.
    Hooks {
        /// For this image, or for the end of the run.
        of: Option<ImageKey>,
        /// How often they have failed; nothing once they are done with.
        failed: Option<u32>,
    },
}

/// What waits for the user's commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HooksWaiting {
    /// Images.
    pub images: u64,
    /// The end of a run; how often its commands have failed.
    pub end: Option<u32>,
}

/// An image that waits for the user's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageWaiting {
    /// Its number among those that wait.
    pub number: i64,
    /// How often its commands have failed.
    pub failed: u32,
    /// The image.
    pub image: LedgerRow,
}

/// A promise of a name that no end was written down for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The image.
    pub key: ImageKey,
    /// The name it was promised.
    pub name: ImageName,
    /// What its bytes are.
    pub content: Content,
}

/// A file of the collection, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name.
    pub name: ImageName,
    /// What it holds.
    pub content: Content,
    /// Whether it was seen under its name; otherwise a run was about to place it.
    pub saved: bool,
}

/// Which rows to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those whose address or file name holds this text, letter case aside.
    pub like: Option<String>,
    /// Only those in this state.
    pub state: Option<RowState>,
}

/// The states a row can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RowState {
    /// In the collection.
    Saved,
    /// Promised a name when a run was killed.
    Placing,
    /// Could not be had; asked for again by the next run.
    Failed,
    /// Gone from the site; left alone for a while.
    Gone,
}

impl RowState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Saved, Self::Placing, Self::Failed, Self::Gone];

    /// The state as the ledger and its listings spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Placing => "placing",
            Self::Failed => "failed",
            Self::Gone => "gone",
        }
    }
}

/// One row, as people and scripts read it. A field that does not apply is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerRow {
    /// The image.
    pub key: ImageKey,
    /// Its state.
    pub state: RowState,
    /// When it was fetched, or failed.
    pub at: Timestamp,
    /// Its file's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the file holds.
    #[serde(flatten)]
    pub content: Option<Content>,
    /// The listing page that showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The address asked.
    pub address: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The server's `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The server's `Last-Modified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Why it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// For one that is gone: when it is asked for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A ledger in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Images in the collection, by address.
    pub saved: u64,
    /// Files in the collection: fewer where two addresses gave the same bytes, more where addresses were lost.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Images that could not be had.
    pub failed: u64,
    /// Images gone from their site.
    pub gone: u64,
    /// Files by format, most first.
    pub formats: Vec<(String, u64)>,
    /// When the first image was fetched.
    pub first: Option<Timestamp>,
    /// When the last image was fetched.
    pub last: Option<Timestamp>,
}

/// Opens the ledger in `directory`, making it where there is none; one of an older schema is brought up to date, and
/// kept beside it. `durable` says that what was written down
/// outlasts a power cut; without it only the ledger itself does. Closed, whole and in one file, when dropped.
///
/// # Errors
///
/// When it cannot be read or written, is no ledger, is held by another program, or is of a newer schema; it is
/// then as it was.
pub fn open(directory: &Path, durable: bool) -> Result<Box<dyn Ledger>, LedgerError> {
    Ok(Box::new(sqlite::Sqlite::open(directory, durable)?))
}

/// Opens the ledger in `directory` to be read, beside a run that writes it or on a file system that cannot be
/// written; `None` where there is none yet.
///
/// # Errors
///
/// When it cannot be read, is no ledger, or is of another schema.
pub fn open_to_read(directory: &Path) -> Result<Option<Box<dyn Ledger>>, LedgerError> {
    let ledger = sqlite::Sqlite::open_to_read(directory)?;
    Ok(ledger.map(|ledger| Box::new(ledger) as Box<dyn Ledger>))
}

/// Whether there is no ledger in `directory`, or an empty file in its place.
pub fn is_blank(directory: &Path) -> bool {
    std::fs::metadata(directory.join(sqlite::NAME)).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound,
        |file| file.is_file() && file.len() == 0,
    )
}

/// Puts the ledger that was made in the folder `with` in the place of the one in `directory`, and answers with where
/// the old one is kept, if there was one: under a name with the time `at`. Nobody may be using either of them.
///
/// # Errors
///
/// When a file cannot be moved; the old ledger is then under one name or the other.
pub fn replace(
    directory: &Path,
    with: &Path,
    at: Timestamp,
) -> Result<Option<PathBuf>, LedgerError> {
    sqlite::replace::replace(directory, with, at)
}

/// A ledger that lasts as long as its run.
pub fn in_memory() -> Box<dyn Ledger> {
    Box::new(memory::Memory::default())
}
