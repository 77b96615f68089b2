//! Opening the ledger's file: whose it is, which schema, and what to say when it cannot be used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};
use url::Url;

use super::migrate::migrate;
use super::promises::PendingPlacements;
use crate::ledger::LedgerError;

/// How long another program may hold the file before that is an error.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What tells a ledger from other `SQLite` files: "wall".
const APPLICATION: i32 = i32::from_be_bytes(*b"wall");

/// The version of `schema.sql`.
pub(super) const SCHEMA: i32 = 2;

/// A file up to this size is read through for damage when it is opened, in a fraction of a second.
const READ_THROUGH: u64 = 32 << 20;

/// Opens the ledger at `path` to write, making it where there is none.
pub(super) fn open(
    path: &Path,
    durable: bool,
    patience: Duration,
) -> Result<Connection, LedgerError> {
    let path = &whole(path)?;
    let told = |error| trouble(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(path, flags, patience).map_err(told)?;
    // What may not be written is opened to be read, and says so at the first image.
    if connection.is_readonly(MAIN_DB).map_err(told)? {
        return Err(LedgerError::Storage {
            path: path.clone(),
            reason: "it is read-only".to_owned(),
        });
    }
    let age = judge(&connection, path)?;
    if !matches!(age, Age::New) {
        read_through(&connection, path)?;
    }
    match age {
        Age::New => {}
        // What cannot be read is found while nothing was changed yet.
        Age::Ours => drop(PendingPlacements::read(&connection).map_err(told)?),
        Age::Older(found) => migrate(&mut connection, path, found)?,
    }
    if !settle_in(&mut connection, &age, durable).map_err(told)? {
        let reason = "its file system cannot share a log between programs".to_owned();
        return Err(LedgerError::Storage {
            path: path.clone(),
            reason,
        });
    }
    Ok(connection)
}

/// Opens the ledger at `path` to read; `None` where there is none.
pub(super) fn open_to_read(path: &Path) -> Result<Option<Connection>, LedgerError> {
    let path = &whole(path)?;
    if !path.exists() {
        return Ok(None);
    }
    // Opened as if to write where that is allowed: the last reader of a file that a killed run left can then put it
    // in order and leave no log behind.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let opened = connect(path, flags, PATIENCE).map_err(|error| trouble(path, &error));
    let judged = opened.and_then(|connection| {
        // Beside a file that may not be written, `SQLite` would leave a log that may not be written either.
        if connection
            .is_readonly(MAIN_DB)
            .map_err(|error| trouble(path, &error))?
            && !has_log(path)
        {
            return unchanging(path);
        }
        judge(&connection, path).map(|age| (connection, age))
    });
    let (connection, age) = match judged {
        // What a log holds would be left out, so this is only for a file without one.
        Err(LedgerError::Storage { .. }) if !has_log(path) => unchanging(path)?,
        judged => judged?,
    };
    only_read(&connection).map_err(|error| trouble(path, &error))?;
    match age {
        Age::New => Ok(None),
        Age::Ours => Ok(Some(connection)),
        Age::Older(found) => Err(LedgerError::Older {
            path: path.clone(),
            found,
        }),
    }
}

fn only_read(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "query_only", true)
}

/// Opens a file that nobody can write, on a file system where `SQLite` cannot make the files it talks over.
fn unchanging(path: &Path) -> Result<(Connection, Age), LedgerError> {
    let refused = || LedgerError::Storage {
        path: path.to_owned(),
        reason: "its path has no address".to_owned(),
    };
    let mut address = Url::from_file_path(path).map_err(|()| refused())?;
    address.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = connect(Path::new(address.as_str()), flags, PATIENCE)
        .map_err(|error| trouble(path, &error))?;
    let age = judge(&connection, path)?;
    Ok((connection, age))
}

fn connect(path: &Path, flags: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Until it is judged, nothing may change in the file, not even by closing it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(patience)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Whose file it is.
#[derive(Debug)]
enum Age {
    /// Nobody's: it is empty.
    New,
    /// A ledger of this schema.
    Ours,
    /// A ledger of an older schema: that one.
    Older(i32),
}

fn judge(connection: &Connection, path: &Path) -> Result<Age, LedgerError> {
    let (application, schema, things) = marks(connection).map_err(|error| trouble(path, &error))?;
    match (application, schema, things) {
        (0, 0, 0) => Ok(Age::New),
        (APPLICATION, SCHEMA, _) => Ok(Age::Ours),
        (APPLICATION, found @ 1..SCHEMA, _) => Ok(Age::Older(found)),
        (APPLICATION, found, _) if found > SCHEMA => Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known: SCHEMA,
        }),
        _ => {
            let reason = "it is another program's SQLite file".to_owned();
            Err(LedgerError::Foreign {
                path: path.to_owned(),
                reason,
            })
        }
    }
}

fn marks(connection: &Connection) -> rusqlite::Result<(i32, i32, u32)> {
    Ok((
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
    ))
}

/// Makes the tables where there are none, and finds out now rather than later whether the file can be written;
/// false where readers would have to wait for writers.
fn settle_in(connection: &mut Connection, age: &Age, durable: bool) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Ok(false);
    }
    connection.pragma_update(None, "synchronous", if durable { "full" } else { "normal" })?;
    // Names and keys fall all over their indices: 4 MB of them in memory, twice what a group touches, and 16 MB in the log
    // before it is folded back, so that a page is read and written once for many rows.
    connection.pragma_update(None, "cache_size", -4_000)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another start may have made them since the file was judged.
    if matches!(age, Age::New) && marks(&transaction)? == (0, 0, 0) {
        transaction.execute_batch(include_str!("schema.sql"))?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", SCHEMA)?;
    }
    transaction.commit()?;
    Ok(true)
}

fn read_through(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    if fs::metadata(path).is_ok_and(|file| file.len() > READ_THROUGH) {
        return Ok(());
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| trouble(path, &error))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(LedgerError::Damaged {
            path: path.to_owned(),
            reason: verdict,
        })
    }
}

/// The path from the root, so that no directory's name reads as an address; refuses what would hang when opened.
fn whole(path: &Path) -> Result<PathBuf, LedgerError> {
    let failed = |error: io::Error| LedgerError::Storage {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let path = std::path::absolute(path).map_err(failed)?;
    // A link is not followed: what it leads to may be anything, or be made of nothing.
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.is_file() => Err(LedgerError::Foreign {
            path,
            reason: "it is no plain file".to_owned(),
        }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(path),
    }
}

fn has_log(path: &Path) -> bool {
    fs::metadata(log(path)).is_ok_and(|log| log.len() > 0)
}

fn log(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Says what `SQLite`'s error means for the ledger at `path`.
pub(super) fn trouble(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::Foreign { path, reason },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Locked { path },
        Some(
            ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::NoLargeFileSupport
            | ErrorCode::OutOfMemory,
        ) => LedgerError::Storage { path, reason },
        _ => LedgerError::Damaged { path, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> [LedgerError; 2] {
        [
            open(path, true, PATIENCE).unwrap_err(),
            open_to_read(path).unwrap_err(),
        ]
    }

    #[test]
    fn a_newer_schema_is_refused_and_neither_it_nor_its_log_is_touched() {
        let home = tempfile::tempdir().unwrap();
        let newer = open(&home.path().join("newer.db"), true, PATIENCE).unwrap();
        newer
            .execute_batch("PRAGMA user_version = 7; CREATE TABLE moods (name TEXT)")
            .unwrap();
        let path = home.path().join("ledger.db");
        fs::copy(home.path().join("newer.db"), &path).unwrap();
        fs::copy(home.path().join("newer.db-wal"), log(&path)).unwrap();
        let before = (fs::read(&path).unwrap(), fs::read(log(&path)).unwrap());
        for error in refused(&path) {
            let told = error.to_string();
            assert!(
                told.contains("ledger.db") && told.contains("schema 7") && told.contains("knows 2"),
                "{told}"
            );
        }
        assert!(before == (fs::read(&path).unwrap(), fs::read(log(&path)).unwrap()));
    }

    #[test]
    fn another_programs_file_is_refused_and_not_touched() {
        for marks in [
            "",
            "PRAGMA user_version = 2;",
            "PRAGMA application_id = 42;",
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("ledger.db");
            let other = Connection::open(&path).unwrap();
            other
                .execute_batch(&format!("{marks} CREATE TABLE images (name TEXT)"))
                .unwrap();
            drop(other);
            let before = fs::read(&path).unwrap();
            for error in refused(&path) {
                assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
            }
            assert!(before == fs::read(&path).unwrap());
        }
    }

    #[test]
    fn what_is_no_whole_ledger_is_refused_by_its_path_and_not_touched() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        drop(open(&path, true, PATIENCE).unwrap());
        let whole = fs::read(&path).unwrap();
        let junk = b"<!DOCTYPE html>".repeat(400);
        let half = whole[..whole.len() / 2].to_vec();
        for bytes in [junk, vec![0; 8192], half, b"wall".to_vec()] {
            fs::write(&path, &bytes).unwrap();
            for error in refused(&path) {
                let told = error.to_string();
                assert!(
                    matches!(
                        error,
                        LedgerError::Foreign { .. } | LedgerError::Damaged { .. }
                    ),
                    "{told}"
                );
                assert!(
                    told.contains(path.to_str().unwrap())
                        && told.contains("wallhaul ledger rebuild"),
                    "{told}"
                );
            }
            assert!(fs::read(&path).unwrap() == bytes);
        }
    }

    #[test]
    fn a_page_with_wrong_bits_is_found_at_the_start() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        drop(open(&path, true, PATIENCE).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..4104].fill(0xff);
        fs::write(&path, &bytes).unwrap();
        let error = open(&path, true, PATIENCE).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
        assert!(fs::read(&path).unwrap() == bytes);
    }

    #[test]
    fn a_folder_of_that_name_is_refused() {
        let home = tempfile::tempdir().unwrap();
        for error in refused(home.path()) {
            assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
        }
    }

    #[test]
    fn an_empty_file_becomes_a_ledger_when_it_is_opened_to_write() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        fs::write(&path, "").unwrap();
        assert!(open_to_read(&path).unwrap().is_none());
        drop(open(&path, true, PATIENCE).unwrap());
        assert!(open_to_read(&path).unwrap().is_some());
    }

    #[test]
    fn where_there_is_no_ledger_a_reader_makes_none() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        assert!(open_to_read(&path).unwrap().is_none());
        assert!(!path.exists());
    }

    #[test]
    fn a_ledger_held_by_another_program_is_said_to_be() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let mut holder = open(&path, true, PATIENCE).unwrap();
        let held = holder
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        let error = open(&path, true, Duration::ZERO).unwrap_err();
        assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
        drop(held);
        assert!(open(&path, true, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("missing/ledger.db");
        let error = open(&path, true, PATIENCE).unwrap_err();
        assert!(matches!(error, LedgerError::Storage { .. }), "{error}");
        assert!(error.to_string().contains("missing/ledger.db"));
    }
}
