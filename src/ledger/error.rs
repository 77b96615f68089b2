//! Why a ledger cannot be used, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

/// Why a ledger cannot be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file is not a ledger.
    #[error("`{}` is not a ledger ({reason}): `wallhaul ledger rebuild` makes one from the images", path.display())]
    Foreign {
        /// The ledger's path.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// Rows cannot be read any more.
    #[error("the ledger `{}` is damaged ({reason}): `wallhaul ledger rebuild` makes one from the images", path.display())]
    Damaged {
        /// The ledger's path.
        path: PathBuf,
        /// The first damage that was found.
        reason: String,
    },
    /// A later version of the program wrote it.
    #[error("the ledger `{}` has schema {found}, this build knows {known}: use a newer wallhaul", path.display())]
    Newer {
        /// The ledger's path.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The newest schema of this build.
        known: i32,
    },
    /// It was opened to be read, and has schema 2 or 3, which has to be migrated first.
    #[error("the ledger `{}` has schema {found} of an earlier version: `wallhaul fetch` brings it up to date", path.display())]
    Older {
        /// The ledger's path.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// Its schema is older than the oldest one that can be migrated.
    #[error("the ledger `{}` has schema {found}, which this build cannot read: `wallhaul ledger rebuild` makes a new one from the images", path.display())]
    TooOld {
        /// The ledger's path.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// Another program has it locked.
    #[error("the ledger `{}` is held by another program: end it or wait for it, and run again", path.display())]
    Locked {
        /// The ledger's path.
        path: PathBuf,
    },
    /// The disk has no room for it: it is full, out of inodes, or over a quota or a file size limit.
    #[error("there is no room for the ledger `{}` ({reason}): make room and run again", path.display())]
    Full {
        /// The ledger's path.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// The disk or the file system refused to read or write it.
    #[error(
        "the ledger `{}` cannot be read or written ({reason}): make room, give permission, \
         or keep the collection on another disk",
        path.display()
    )]
    Storage {
        /// The ledger's path.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// The ledger's thread ended before it answered.
    #[error("the ledger `{}` closed before its time: run again", path.display())]
    Closed {
        /// The ledger's path.
        path: PathBuf,
    },
    /// The run has no collection, so there is nothing to write to.
    #[error("this run has no ledger to write to")]
    Empty,
}
