//! Replaces a ledger by a new one, and keeps the old one under a dated name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{NAME, storage};
use crate::ledger::LedgerError;

/// The files that `SQLite` keeps beside the ledger. The log is moved first: `SQLite` would apply an old log to a new file.
const SIDE_FILES: [&str; 2] = ["-wal", "-shm"];

/// `ledger::replace`.
pub(in crate::ledger) fn replace(
    directory: &Path,
    with: &Path,
    at: Timestamp,
) -> Result<Option<PathBuf>, LedgerError> {
    let path = directory.join(NAME);
    let replaced = keep_old(&path, at).and_then(|old| {
        fs::rename(with.join(NAME), &path)?;
        // A rename is on the disk only once its folder was flushed.
        File::open(directory)?.sync_all()?;
        Ok(old)
    });
    replaced.map_err(|error| storage::refused(&path, &error))
}

fn keep_old(path: &Path, at: Timestamp) -> io::Result<Option<PathBuf>> {
    let kept = free_name(path, &at.strftime("%Y%m%dT%H%M%SZ").to_string())?;
    for suffix in SIDE_FILES {
        move_if_there(&with_suffix(path, suffix), &with_suffix(&kept, suffix))?;
    }
    Ok(move_if_there(path, &kept)?.then_some(kept))
}

/// The first free path of `ledger-LABEL.db`, `ledger-LABEL-2.db` and so on.
pub(super) fn free_name(path: &Path, label: &str) -> io::Result<PathBuf> {
    let mut name = path.with_file_name(format!("ledger-{label}.db"));
    let mut number = 1;
    while is_there(&name)? || is_there(&with_suffix(&name, SIDE_FILES[0]))? {
        number += 1;
        name.set_file_name(format!("ledger-{label}-{number}.db"));
    }
    Ok(name)
}

fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::contract::{content, name};
    use crate::ledger::{is_blank, open};

    fn noon() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn the_old_ledger_and_its_log_are_kept_when_a_new_one_replaces_it() {
        let (home, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(home.path().join(NAME), "junk").unwrap();
        fs::write(home.path().join("ledger.db-wal"), "its log").unwrap();
        for (number, files) in [1, 2]
            .into_iter()
            .zip(["ledger-20261123T120000Z.db", "ledger-20261123T120000Z-2.db"])
        {
            let ledger = open(fresh.path(), true).unwrap();
            ledger
                .adopt(vec![(name("a.png"), content(number))])
                .await
                .unwrap();
            drop(ledger);
            let old = replace(home.path(), fresh.path(), noon()).unwrap();
            assert_eq!(old, Some(home.path().join(files)));
            assert_eq!(
                open(home.path(), true).unwrap().files().unwrap()[0].content,
                content(number)
            );
        }
        assert_eq!(
            fs::read(home.path().join("ledger-20261123T120000Z.db")).unwrap(),
            b"junk"
        );
        assert_eq!(
            fs::read(home.path().join("ledger-20261123T120000Z.db-wal")).unwrap(),
            b"its log"
        );
    }

    #[test]
    fn replacing_no_ledger_keeps_nothing() {
        let (home, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(is_blank(home.path()));
        drop(open(fresh.path(), true).unwrap());
        assert_eq!(replace(home.path(), fresh.path(), noon()).unwrap(), None);
        assert!(!is_blank(home.path()));
        fs::write(home.path().join(NAME), "").unwrap();
        assert!(is_blank(home.path()));
    }
}
