//! Opens the ledger's file: finds out whose it is and which schema it has, and turns `SQLite`'s errors into ours.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension as _, TransactionBehavior,
};
use url::Url;

use super::cache::Cache;
use super::migrate::migrate;
use super::pending::PendingPlacements;
use super::storage;
use crate::ledger::LedgerError;

/// How long another program may hold the file before that is an error.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// `application_id`, which tells a ledger from other `SQLite` files: "wall".
const APPLICATION: i32 = i32::from_be_bytes(*b"wall");

/// `user_version`: the version of `images.sql` and `schema.sql`.
const SCHEMA: i32 = 4;

/// The ledger as a person reads it: every address with its file, then the files whose address is not known.
const VIEW: &str = include_str!("view.sql");

/// The oldest schema that can be migrated.
const OLDEST_SCHEMA: i32 = 2;

/// A file up to this size is checked for damage when it is opened, in a fraction of a second.
const CHECKED_BYTES: u64 = 32 << 20;

/// Prepared statements to keep: all that a run uses, so that none is compiled twice.
const STATEMENTS: usize = 32;

/// Opens the ledger at `path` to write, or creates it.
pub(super) fn open(
    path: &Path,
    durable: bool,
    lock_timeout: Duration,
) -> Result<Connection, LedgerError> {
    let path = &plain_path(path)?;
    create(path).map_err(|error| storage::refused(path, &error))?;
    let failed = |error| ledger_error(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let mut connection = connect(path, flags, lock_timeout).map_err(failed)?;
    // SQLite opens a file that may not be written for reading, and would report it only at the first image.
    if connection.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(LedgerError::Storage {
            path: path.clone(),
            reason: "it is read-only".to_owned(),
        });
    }
    let age = identify(&connection, path)?;
    // What the check reads need not be read again: 8 MB of pages in memory hold nearly 30,000 images, and are four times
    // what a group touches.
    connection
        .pragma_update(None, "cache_size", -8_000)
        .map_err(failed)?;
    if !matches!(age, Age::New) {
        check(&connection, path)?;
    }
    match age {
        Age::New => {}
        // Damage in the rows that are read first is found while nothing was changed yet.
        Age::Current => drop(Cache::read(&connection).map_err(failed)?),
        Age::Older(found) => migrate(&mut connection, path, found)?,
    }
    if !prepare(&mut connection, &age, durable).map_err(failed)? {
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
    let path = &plain_path(path)?;
    if !path.exists() {
        return Ok(None);
    }
    // Opened as if to write where that is allowed: the last reader of a file that a killed run left can then fold its
    // log into it. A read-only connection would leave the log, and need it for ever.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let opened = connect(path, flags, LOCK_TIMEOUT).map_err(|error| ledger_error(path, &error));
    let identified = opened.and_then(|connection| {
        // Beside a file that may not be written, SQLite would leave a log that may not be written either.
        if connection
            .is_readonly(MAIN_DB)
            .map_err(|error| ledger_error(path, &error))?
            && !has_log(path)
        {
            return connect_immutable(path);
        }
        identify(&connection, path).map(|age| (connection, age))
    });
    let (connection, age) = match identified {
        // An immutable file is read without its log, so this is only for a file that has none.
        Err(LedgerError::Storage { .. } | LedgerError::Full { .. }) if !has_log(path) => {
            connect_immutable(path)?
        }
        identified => identified?,
    };
    match age {
        Age::New => Ok(None),
        Age::Current => {
            forbid_writes(&connection).map_err(|error| ledger_error(path, &error))?;
            Ok(Some(connection))
        }
        Age::Older(found) => Err(LedgerError::Older {
            path: path.clone(),
            found,
        }),
    }
}

/// Creates the file, empty, where there is none. Not left to `SQLite`, which makes files that only their owner may
/// write: here the umask decides, as it does for the images. A group may keep a collection together then, for the
/// files beside the ledger get its permissions.
fn create(path: &Path) -> io::Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    match created {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn forbid_writes(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "query_only", true)
}

/// Whether the connection was opened by [`open_to_read`].
pub(super) fn only_reads(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_query_value(None, "query_only", |row| row.get(0))
}

/// Opens a file on a file system where `SQLite` cannot create the files by which connections coordinate. It is read as
/// one that nobody changes.
fn connect_immutable(path: &Path) -> Result<(Connection, Age), LedgerError> {
    let refused = || LedgerError::Storage {
        path: path.to_owned(),
        reason: "its path has no address".to_owned(),
    };
    let mut address = Url::from_file_path(path).map_err(|()| refused())?;
    address.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = connect(Path::new(address.as_str()), flags, LOCK_TIMEOUT)
        .map_err(|error| ledger_error(path, &error))?;
    let age = identify(&connection, path)?;
    Ok((connection, age))
}

fn connect(path: &Path, flags: OpenFlags, lock_timeout: Duration) -> rusqlite::Result<Connection> {
    // A connection stays on one thread at a time, so SQLite's own mutex would only cost time.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Until it is identified nothing may change in the file, not even by closing it, which would fold the log into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(lock_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// How old a ledger file is.
#[derive(Debug)]
enum Age {
    /// It is empty.
    New,
    /// It has this build's schema.
    Current,
    /// It has this schema, which can be migrated.
    Older(i32),
}

fn identify(connection: &Connection, path: &Path) -> Result<Age, LedgerError> {
    let path = path.to_owned();
    let (application, schema, objects) =
        marks(connection).map_err(|error| ledger_error(&path, &error))?;
    match (application, schema, objects) {
        (0, 0, 0) => Ok(Age::New),
        (APPLICATION, SCHEMA, _) => Ok(Age::Current),
        (APPLICATION, OLDEST_SCHEMA..SCHEMA, _) => Ok(Age::Older(schema)),
        (APPLICATION, found @ 1..OLDEST_SCHEMA, _) => Err(LedgerError::TooOld { path, found }),
        (APPLICATION, found, _) if found > SCHEMA => Err(LedgerError::Newer {
            path,
            found,
            known: SCHEMA,
        }),
        _ => Err(LedgerError::Foreign {
            path,
            reason: "it is another program's SQLite file".to_owned(),
        }),
    }
}

/// What says whose file it is: `application_id`, `user_version`, and how many tables and other objects it has.
fn marks(connection: &Connection) -> rusqlite::Result<(i32, i32, u32)> {
    Ok((
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
    ))
}

/// Sets the connection up and creates the tables where there are none. False where the file system has no write-ahead
/// log, without which readers would wait for writers.
fn prepare(connection: &mut Connection, age: &Age, durable: bool) -> rusqlite::Result<bool> {
    // It is identified now: from here on closing may fold the log into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Ok(false);
    }
    // `full` flushes the log at each commit. `normal` flushes only before the log is folded into the file: a power
    // cut may take the last groups, but never the file's consistency.
    connection.pragma_update(None, "synchronous", if durable { "full" } else { "normal" })?;
    // Hashes fall all over their indices: with 16 MB in the log before it is folded into the file, a page is written
    // there once for many rows.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    // A transaction even where nothing has to be created: a file that cannot be written is found now and not later.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have created the tables since the file was identified.
    if matches!(age, Age::New) && marks(&transaction)? == (0, 0, 0) {
        create_tables(&transaction)?;
    }
    refresh_view(&transaction)?;
    PendingPlacements::discard_unclaimed(&transaction)?;
    transaction.commit()?;
    Ok(true)
}

/// Gives a ledger of an earlier build this build's view. A view holds no data, so it may gain columns without a new
/// `user_version`, with which the earlier build would refuse the ledger.
fn refresh_view(connection: &Connection) -> rusqlite::Result<()> {
    let current: Option<String> = connection
        .query_row(
            "SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = 'collection'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    if current.as_deref() == Some(VIEW.trim_end()) {
        return Ok(());
    }
    connection.execute_batch(&format!("DROP VIEW IF EXISTS collection; {VIEW}"))
}

/// Creates the tables of this build's schema.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("schema.sql"))?;
    create_images(connection)
}

/// Creates the tables of images, and says that the file has this build's schema.
pub(super) fn create_images(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(include_str!("images.sql"))?;
    connection.execute_batch(VIEW)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", SCHEMA)
}

/// Looks for damage in the file's structure. `quick_check` and not `integrity_check`: comparing the indices with the
/// rows takes as long as opening a small collection takes altogether, and a lookup notices such damage by itself.
fn check(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    if fs::metadata(path).is_ok_and(|file| file.len() > CHECKED_BYTES) {
        return Ok(());
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| ledger_error(path, &error))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(LedgerError::Damaged {
            path: path.to_owned(),
            reason: verdict,
        })
    }
}

/// The absolute path, so that no folder's name is read as a `file:` address. Refuses anything but a plain file: opening
/// a pipe would hang.
fn plain_path(path: &Path) -> Result<PathBuf, LedgerError> {
    let failed = |error: io::Error| storage::refused(path, &error);
    let path = std::path::absolute(path).map_err(failed)?;
    // A link is not followed: its target may be a pipe, or may be created by opening it.
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

/// The path of the write-ahead log.
fn log(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// What `SQLite`'s error means for the ledger at `path`.
pub(super) fn ledger_error(path: &Path, error: &rusqlite::Error) -> LedgerError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::Foreign { path, reason },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Locked { path },
        Some(ErrorCode::DiskFull) => LedgerError::Full { path, reason },
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            storage::find_cause(&path).map_or(LedgerError::Storage { path, reason }, |cause| cause)
        }
        Some(
            ErrorCode::ReadOnly
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
            open(path, true, LOCK_TIMEOUT).unwrap_err(),
            open_to_read(path).unwrap_err(),
        ]
    }

    #[test]
    fn a_newer_schema_is_refused_and_its_file_and_log_stay_as_they_were() {
        let home = tempfile::tempdir().unwrap();
        let newer = open(&home.path().join("newer.db"), true, LOCK_TIMEOUT).unwrap();
        newer
            .execute_batch("PRAGMA user_version = 7; CREATE TABLE moods (name TEXT)")
            .unwrap();
        let path = home.path().join("ledger.db");
        fs::copy(home.path().join("newer.db"), &path).unwrap();
        fs::copy(home.path().join("newer.db-wal"), log(&path)).unwrap();
        let before = (fs::read(&path).unwrap(), fs::read(log(&path)).unwrap());
        for error in refused(&path) {
            let message = error.to_string();
            assert!(
                message.contains("ledger.db")
                    && message.contains("schema 7")
                    && message.contains("knows 4"),
                "{message}"
            );
        }
        assert!(before == (fs::read(&path).unwrap(), fs::read(log(&path)).unwrap()));
    }

    #[test]
    fn a_schema_too_old_to_migrate_is_refused_with_what_to_do_and_stays_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "PRAGMA application_id = 2002873452; PRAGMA user_version = 1; CREATE TABLE images (key TEXT)",
        )
        .unwrap();
        drop(old);
        let before = fs::read(&path).unwrap();
        for error in refused(&path) {
            let message = error.to_string();
            assert!(
                message.contains("schema 1") && message.contains("`wallhaul ledger rebuild`"),
                "{message}"
            );
        }
        assert!(before == fs::read(&path).unwrap());
    }

    #[test]
    fn a_foreign_sqlite_file_is_refused_and_stays_as_it_was() {
        for marks in [
            "",
            "PRAGMA user_version = 4;",
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
    fn a_truncated_or_corrupt_ledger_is_refused_with_its_path_and_stays_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        drop(open(&path, true, LOCK_TIMEOUT).unwrap());
        let whole = fs::read(&path).unwrap();
        let junk = b"<!DOCTYPE html>".repeat(400);
        let half = whole[..whole.len() / 2].to_vec();
        for bytes in [junk, vec![0; 8192], half, b"wall".to_vec()] {
            fs::write(&path, &bytes).unwrap();
            for error in refused(&path) {
                let message = error.to_string();
                assert!(
                    matches!(
                        error,
                        LedgerError::Foreign { .. } | LedgerError::Damaged { .. }
                    ),
                    "{message}"
                );
                assert!(
                    message.contains(path.to_str().unwrap())
                        && message.contains("wallhaul ledger rebuild"),
                    "{message}"
                );
            }
            assert!(fs::read(&path).unwrap() == bytes);
        }
    }

    #[test]
    fn a_corrupt_page_is_found_when_the_ledger_is_opened() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        drop(open(&path, true, LOCK_TIMEOUT).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..4104].fill(0xff);
        fs::write(&path, &bytes).unwrap();
        let error = open(&path, true, LOCK_TIMEOUT).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
        assert!(fs::read(&path).unwrap() == bytes);
    }

    #[test]
    fn a_ledger_with_the_view_of_an_earlier_build_gets_this_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let connection = open(&path, true, LOCK_TIMEOUT).unwrap();
        connection
            .execute_batch(
                "DROP VIEW collection; CREATE VIEW collection AS SELECT name FROM images;",
            )
            .unwrap();
        drop(connection);
        let connection = open(&path, true, LOCK_TIMEOUT).unwrap();
        connection
            .prepare("SELECT width, stored_width, warnings FROM collection")
            .unwrap();
        assert_eq!(
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)),
            Ok(SCHEMA)
        );
    }

    #[test]
    fn a_folder_in_place_of_the_ledger_is_refused() {
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
        drop(open(&path, true, LOCK_TIMEOUT).unwrap());
        assert!(open_to_read(&path).unwrap().is_some());
    }

    #[test]
    fn a_reader_creates_no_ledger() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        assert!(open_to_read(&path).unwrap().is_none());
        assert!(!path.exists());
    }

    #[test]
    fn a_locked_ledger_is_reported_after_the_timeout() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let mut holder = open(&path, true, LOCK_TIMEOUT).unwrap();
        let held = holder
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        let error = open(&path, true, Duration::ZERO).unwrap_err();
        assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
        drop(held);
        assert!(open(&path, true, Duration::ZERO).is_ok());
    }

    #[test]
    fn an_error_names_a_folder_that_does_not_exist() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("missing/ledger.db");
        let error = open(&path, true, LOCK_TIMEOUT).unwrap_err();
        assert!(matches!(error, LedgerError::Storage { .. }), "{error}");
        assert!(error.to_string().contains("missing/ledger.db"));
    }
}
