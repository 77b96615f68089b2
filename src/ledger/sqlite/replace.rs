//! Puts a new ledger in the place of an old one, which is kept under a dated name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::NAME;
use crate::ledger::LedgerError;

/// What belongs to a ledger's file beside it. The log goes first: a new file must never meet an old log.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Does the work of [`crate::ledger::replace`].
pub(in crate::ledger) fn replace(
    directory: &Path,
    with: &Path,
    at: Timestamp,
) -> Result<Option<PathBuf>, LedgerError> {
    let path = directory.join(NAME);
    let replaced = put_aside(&path, at).and_then(|old| {
        fs::rename(with.join(NAME), &path)?;
        File::open(directory)?.sync_all()?;
        Ok(old)
    });
    replaced.map_err(|error| LedgerError::Storage {
        path,
        reason: error.to_string(),
    })
}

fn put_aside(path: &Path, at: Timestamp) -> io::Result<Option<PathBuf>> {
    let blocking = free_name(path, &at.strftime("%Y%m%dT%H%M%SZ").to_string())?;
    for beside in BESIDE {
        move_if_there(&with_end(path, beside), &with_end(&blocking, beside))?;
    }
    Ok(move_if_there(path, &blocking)?.then_some(blocking))
}

/// `ledger-20261123T120000Z.db`, or the next number behind the label that nothing has.
pub(super) fn free_name(path: &Path, label: &str) -> io::Result<PathBuf> {
    let mut name = path.with_file_name(format!("ledger-{label}.db"));
    let mut number = 1;
    while is_there(&name)? || is_there(&with_end(&name, BESIDE[0]))? {
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

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
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
    async fn the_old_ledger_is_kept_with_its_log_and_the_new_one_takes_its_place() {
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
    fn where_there_is_no_ledger_nothing_is_kept() {
        let (home, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(is_blank(home.path()));
        drop(open(fresh.path(), true).unwrap());
        assert_eq!(replace(home.path(), fresh.path(), noon()).unwrap(), None);
        assert!(!is_blank(home.path()));
        fs::write(home.path().join(NAME), "").unwrap();
        assert!(is_blank(home.path()));
    }
}
