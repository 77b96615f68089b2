//! What was fetched, from where, and under which name: the memory that makes a second run quick.

mod memory;
mod sqlite;

use std::collections::HashMap;
use std::ops::ControlFlow;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;
use url::Url;

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
    ) -> Result<HashMap<ImageKey, Past>, LedgerError>;

    /// Writes down, durably, what is about to be given a name, and answers with the name each may have:
    /// in the order asked, each unlike every other name in the ledger even when folded.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; nothing of the group is then written down.
    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Berth>, LedgerError>;

    /// Writes down how a group of images ended, in one transaction.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written; nothing of the group is then written down.
    async fn record(&self, group: Vec<Record>) -> Result<(), LedgerError>;

    /// What an earlier run was about to name when it was killed.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn unfinished(&self) -> Result<Vec<Unfinished>, LedgerError>;

    /// Hands the rows of `selection` to `row`, oldest first, until it breaks off.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn each(&self, selection: &Selection, row: &mut dyn FnMut(Row) -> ControlFlow<()>) -> Result<(), LedgerError>;

    /// The ledger in figures.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    fn stats(&self) -> Result<Stats, LedgerError>;
}

/// What the ledger knows of an image that a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
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
pub enum Berth {
    /// Nothing else has it.
    Free(ImageName),
    /// A file of this name with the same bytes is in the collection: nothing needs placing.
    Twin(ImageName),
}

/// How an image ended, to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// It is under this name, which is the one it was promised unless a foreign file was in the way.
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
    /// It could not be had.
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

/// Which rows to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those whose address or file name holds this text, letter case aside.
    pub like: Option<String>,
    /// Only those in this state.
    pub state: Option<State>,
}

/// The states a row can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In the collection.
    Saved,
    /// Promised a name when a run was killed.
    Placing,
    /// Could not be had; asked for again by the next run.
    Failed,
    /// Gone from the site; left alone for a while.
    Gone,
}

/// One row, as people and scripts read it. A field that does not apply is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The image.
    pub key: ImageKey,
    /// Its state.
    pub state: State,
    /// When it was fetched, or failed.
    pub at: Timestamp,
    /// Its file's name.
    pub name: Option<String>,
    /// What the file holds.
    #[serde(flatten)]
    pub content: Option<Content>,
    /// The listing page that showed it.
    pub page: Option<String>,
    /// The address asked.
    pub address: String,
    /// Its title.
    pub title: Option<String>,
    /// The server's `ETag`.
    pub etag: Option<String>,
    /// The server's `Last-Modified`.
    pub last_modified: Option<String>,
    /// Why it could not be had.
    pub cause: Option<String>,
    /// For one that is gone: when it is asked for again.
    pub until: Option<Timestamp>,
}

/// A ledger in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Images in the collection, by address.
    pub saved: u64,
    /// Files they lie in: fewer where two addresses gave the same bytes.
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

/// Why a ledger does not work.
#[derive(Debug, Error)]
pub enum LedgerError {}
