//! Why a place cannot be opened, written to or read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::local::{clone_error, is_fatal, storage_error};
use crate::event::{LockHolder, LockProcess};
use crate::job::ImageName;
use crate::part::Parts;
use crate::units::ByteSize;

/// Why an image could not be stored.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The place as a whole does not work: nothing more can be stored.
    #[error("{what}")]
    Storage {
        /// What was being done, naming the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Less is free than should stay free.
    #[error(
        "only {} are free in `{}`, less than the {} of --min-free-space: make room and run again, or give a smaller size",
        ByteSize(*.free), .path.display(), ByteSize(*.min)
    )]
    LowSpace {
        /// The folder.
        path: PathBuf,
        /// How many bytes are free.
        free: u64,
        /// How many should be.
        min: u64,
    },
    /// Another process works on the place.
    #[error("`{}` is held by another run{}: wait for it to end, as `--lock wait` does", .0.lock, process(.0))]
    Locked(LockHolder),
    /// This one name cannot be used.
    #[error("`{name}`")]
    Name {
        /// The name.
        name: ImageName,
        /// What the system said.
        source: io::Error,
    },
    /// The store is out of reach, or refuses.
    #[error("{what}")]
    Store {
        /// What was being done, naming the URL.
        what: String,
        /// What the store said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The URL, or what the environment says of its store, cannot be used.
    #[error("cannot use `{url}`: {reason}")]
    BadUrl {
        /// The URL.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// No plug serves this kind of URL.
    #[error("no sink for `{0}:` in this build: give a folder{hint}", hint = hint(.0))]
    UnknownScheme(String),
}

impl SinkError {
    /// What a failed write to a part means for the run: an error when nothing more can be stored, and nothing when
    /// only this image is affected.
    pub fn from_part_write(parts: &Parts, error: &io::Error) -> Option<Self> {
        is_fatal(error)
            .then(|| storage_error("writing an image to", parts.folder())(clone_error(error)))
    }

    /// Whether a failed write to a part is worth another try: the limit of open files was reached, and others will
    /// close some.
    pub fn is_transient(error: &io::Error) -> bool {
        use rustix::io::Errno;
        matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE)
        )
    }
}

/// Why a stored image cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Nothing has this name.
    #[error("missing")]
    Missing,
    /// Something that is not an image of ours has the name, or it may not even be examined. It is left alone.
    #[error("{0}")]
    NotAFile(String),
    /// It is a regular file and cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// The place is out of reach, which says nothing of the image.
    #[error(transparent)]
    OutOfReach(#[from] SinkError),
}

/// What a build with all features could do with a URL.
fn hint(scheme: &str) -> &'static str {
    match scheme {
        "s3" | "az" | "gs" => ", or build it with the feature `object-store`",
        _ => "",
    }
}

fn process(holder: &LockHolder) -> String {
    holder
        .process
        .map_or_else(String::new, |LockProcess { pid, since }| {
            format!(" (pid {pid}, since {since})")
        })
}
