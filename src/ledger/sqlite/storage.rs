//! What the system says about the ledger's disk, where `SQLite` says only "disk I/O error" or
//! "unable to open".

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::ledger::LedgerError;

/// About what `SQLite` needs beside an empty ledger, in bytes: its log, and 32 KiB by which
/// connections coordinate.
const NEEDED: usize = 64 * 1024;

/// What an error of the system means for the ledger at `path`.
pub(super) fn refused(path: &Path, error: &io::Error) -> LedgerError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            LedgerError::Full { path, reason }
        }
        _ => LedgerError::Storage { path, reason },
    }
}

/// Finds out why `SQLite` could not work beside the ledger at `path`, by writing a file there;
/// `None` where that succeeds. `SQLite` keeps the system's error to itself, and asking it for that
/// takes `unsafe` code.
pub(super) fn find_cause(path: &Path) -> Option<LedgerError> {
    let probe = path.with_file_name("ledger.probe");
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .and_then(|mut file| {
            file.write_all(&vec![0; NEEDED])?;
            // Some file systems look for room only when the data are on their way to the disk.
            file.sync_all()
        });
    // After any error: it may be there in part. One that a killed run left is removed as well.
    let _ = fs::remove_file(&probe);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Some(refused(path, &error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_full_error_beside_the_ledger_asks_for_room_and_others_do_not() {
        let path = Path::new("x/ledger.db");
        for (kind, full) in [
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::QuotaExceeded, true),
            (io::ErrorKind::FileTooLarge, true),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            let error = refused(path, &io::Error::from(kind));
            assert_eq!(matches!(error, LedgerError::Full { .. }), full, "{error}");
            assert!(error.to_string().contains("x/ledger.db"), "{error}");
        }
    }

    #[test]
    fn the_cause_of_a_ledger_error_is_the_systems_and_a_healthy_folder_has_none() {
        let home = tempfile::tempdir().unwrap();
        assert!(find_cause(&home.path().join("ledger.db")).is_none());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let error = find_cause(&home.path().join("gone/ledger.db")).unwrap();
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}
