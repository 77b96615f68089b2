//! Why a ledger does not work, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

/// Why a ledger does not work.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Something else has the ledger's name.
    #[error("`{}` is not a ledger ({reason}): `wallhaul ledger rebuild` makes one from the images", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// What was written down cannot be read any more.
    #[error("the ledger `{}` is damaged ({reason}): `wallhaul ledger rebuild` makes one from the images", path.display())]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A later version of the program wrote it.
    #[error("the ledger `{}` has schema {found}, this build knows {known}: use a newer wallhaul", path.display())]
    Newer {
        /// Its path.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The newest schema of this build.
        known: i32,
    },
    /// An earlier version of the program wrote it, and it cannot be read before it is brought up to date.
    #[error("the ledger `{}` has schema {found} of an earlier version: `wallhaul fetch` brings it up to date", path.display())]
    Older {
        /// Its path.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// Another program holds it.
    #[error("the ledger `{}` is held by another program: end it or wait for it, and run again", path.display())]
    Locked {
        /// Its path.
        path: PathBuf,
    },
    /// The disk or the file system does not let it be read or written.
    #[error(
        "the ledger `{}` cannot be read or written ({reason}): make room, give permission, \
         or keep the collection on another disk",
        path.display()
    )]
    Storage {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Its thread ended before its work did.
    #[error("the ledger `{}` closed before its time: run again", path.display())]
    Closed {
        /// Its path.
        path: PathBuf,
    },
}
