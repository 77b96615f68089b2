//! The values that pass between a run and its ledger.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use url::Url;

use crate::job::{ImageKey, ImageName, RulesHash, SiteId};
use crate::outcome::{Capture, Content, Failure, Skip, SkipReason};

/// Why an image of a listing need not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownState {
    /// It is in the collection.
    Saved,
    /// The site answered that it is gone.
    Gone {
        /// When it said so last.
        since: Timestamp,
        /// When to request it again.
        until: Timestamp,
    },
    /// It was left out by the same rules, too recently to be looked at again: why.
    Skipped(SkipReason),
}

/// What the ledger knows of the images that it was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Of each, in order, why it need not be fetched; `None` if it has to be.
    pub states: Vec<Option<KnownState>>,
    /// Whether the collection has files whose addresses are not known, as its ledger was rebuilt. An image without a
    /// state may be one of them, which [`super::Ledger::adopted`] answers by the image's name.
    pub has_adopted: bool,
}

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The listing page.
    pub page: Arc<Url>,
    /// The original's address.
    pub address: Url,
    /// The title on the page: untrusted text.
    pub title: Option<String>,
    /// The server's `ETag`.
    pub etag: Option<String>,
    /// The server's `Last-Modified`.
    pub last_modified: Option<String>,
    /// The web archive's capture, if it came from there.
    pub capture: Option<Capture>,
}

/// An image that is about to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its identity.
    pub key: ImageKey,
    /// Its site, which the key names as well.
    pub site: SiteId,
    /// Where it came from.
    pub origin: Origin,
    /// The name it gets if no other file has it.
    pub name: ImageName,
    /// What verification established about its bytes.
    pub content: Content,
    /// When it was fetched; kept to the second.
    pub at: Timestamp,
}

/// Where an image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Into a new file of this name.
    New(ImageName),
    /// The collection has the same bytes in the file of this name: nothing has to be placed.
    Duplicate(ImageName),
}

/// How an image ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Its file has this name: the one that was decided, or another if a foreign file was in the way. Ignored for an
    /// image without a placement.
    Saved {
        /// Its identity, as in its [`Intent`].
        key: ImageKey,
        /// The name its file got.
        name: ImageName,
    },
    /// It was to be placed and was not: the placement is withdrawn.
    Unplaced {
        /// Its identity.
        key: ImageKey,
    },
    /// It could not be fetched. An image that is in the collection from an earlier run stays there.
    Failed {
        /// Its identity.
        key: ImageKey,
        /// Its site, which the key names as well.
        site: SiteId,
        /// Why.
        failure: Failure,
        /// When.
        at: Timestamp,
        /// If it is gone: when to request it again.
        until: Option<Timestamp>,
        /// What it was looked for by: by other rules it is requested again at once.
        rules: RulesHash,
    },
    /// It was left out, and is not to be looked at again for a while. An image that is in the collection from an earlier
    /// run stays there.
    Skipped {
        /// Its identity.
        key: ImageKey,
        /// Why, and the address that said so.
        skip: Skip,
        /// Requests that were made for it.
        attempts: u32,
        /// When.
        at: Timestamp,
        /// When to look at it again.
        until: Timestamp,
        /// What it was looked for by: by other rules it is looked at again at once.
        rules: RulesHash,
    },
    /// The user's hooks are to run, or are done.
    Hooks {
        /// For this image, or for the end of the run.
        of: Option<ImageKey>,
        /// In how many runs they failed so far; `None` once they are done.
        failed: Option<u32>,
    },
}

/// Hooks that are still to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingHooks {
    /// For how many images.
    pub images: u64,
    /// For the end of a run: in how many runs they failed.
    pub end: Option<u32>,
}

/// An image whose hooks are still to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingImageHooks {
    /// Grows with each image that is added.
    pub number: i64,
    /// In how many runs they failed.
    pub failed: u32,
    /// The image.
    pub image: LedgerRow,
}

/// A placement that was written down and never settled: the run was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingPlacement {
    /// The image.
    pub key: ImageKey,
    /// The name that was decided.
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
    /// False if it was only about to be placed.
    pub saved: bool,
}

/// Which rows to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only rows whose address, site's own name or file name contains this text, in any letter case.
    pub like: Option<String>,
    /// Only rows in this state.
    pub state: Option<RowState>,
    /// Also every other row with the bytes of one of these, whatever its own address, name and state: the same image
    /// from another place.
    pub with_same_bytes: bool,
}

impl Selection {
    /// A test for rows of the selection.
    pub(super) fn filter(&self) -> impl Fn(&LedgerRow) -> bool + use<> {
        let state = self.state;
        let like = self.like.as_deref().map(str::to_lowercase);
        move |row| {
            let contains = |text: &str| {
                like.as_deref()
                    .is_none_or(|like| text.to_lowercase().contains(like))
            };
            state.is_none_or(|state| state == row.state)
                && (contains(&row.address)
                    || contains(row.key.identity())
                    || row.name.as_deref().is_some_and(contains))
        }
    }
}

/// The states of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RowState {
    /// In the collection.
    Saved,
    /// About to be placed when its run was killed.
    Placing,
    /// Could not be fetched; the next run tries again.
    Failed,
    /// Gone from the site; not requested again for a while.
    Gone,
    /// Left out; not looked at again for a while.
    Skipped,
}

impl RowState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Saved,
        Self::Placing,
        Self::Failed,
        Self::Gone,
        Self::Skipped,
    ];

    /// The state as listings and the `--state` flag spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Placing => "placing",
            Self::Failed => "failed",
            Self::Gone => "gone",
            Self::Skipped => "skipped",
        }
    }
}

/// One image, as people and scripts read it. A field that does not apply is left out.
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
    /// The address that was requested.
    pub address: String,
    /// Its title: untrusted text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The server's `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The server's `Last-Modified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// The web archive's capture, if it came from there.
    #[serde(flatten)]
    pub capture: Option<Capture>,
    /// Why it could not be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// If it is gone or skipped: when it is requested again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A collection in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Images in the collection, by address.
    pub saved: u64,
    /// Files in the collection: fewer than images where there are duplicates, more where addresses were lost.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Images that could not be fetched.
    pub failed: u64,
    /// Images gone from their site.
    pub gone: u64,
    /// Images left out, and not looked at again for a while.
    pub skipped: u64,
    /// Files by format, most first.
    pub formats: Vec<(String, u64)>,
    /// When the first image was fetched.
    pub first: Option<Timestamp>,
    /// When the last image was fetched.
    pub last: Option<Timestamp>,
}
