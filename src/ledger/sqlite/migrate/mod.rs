//! Brings a ledger of an earlier schema up to this build's, and keeps a copy of the old one beside it.

mod schema2;
mod schema3;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::file::ledger_error;
use super::replace::free_name;
use super::storage;
use crate::ledger::LedgerError;

/// Migrates the ledger at `path`, which has the schema `found`, in one transaction, after a copy of it was written as
/// `ledger-schema2.db` or `ledger-schema3.db`. A kill leaves the old ledger or the new one.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    found: i32,
) -> Result<(), LedgerError> {
    keep_copy(connection, path, found)?;
    convert(connection).map_err(|error| ledger_error(path, &error))?;
    // Without it the old rows' pages stay in the file, free for rows to come. So it is worth a try, and no more: where
    // it finds no room the ledger is migrated all the same.
    let _ = connection.execute_batch("VACUUM");
    Ok(())
}

fn keep_copy(connection: &Connection, path: &Path, schema: i32) -> Result<(), LedgerError> {
    let storage = |error: io::Error| storage::refused(path, &error);
    // The copy gets its name once it is complete, so a killed copy is never taken for one.
    let incomplete = path.with_file_name("ledger.copying");
    let text = incomplete
        .to_str()
        .ok_or_else(|| storage(io::Error::other("its folder's name is not UTF-8")))?;
    match fs::remove_file(&incomplete) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(storage(error)),
        _ => {}
    }
    // `VACUUM INTO` copies what is in the log as well, which a copy of the file would miss.
    connection
        .execute("VACUUM INTO ?1", [text])
        .map_err(|error| ledger_error(path, &error))?;
    let rename = || {
        File::open(&incomplete)?.sync_all()?;
        let name = free_name(path, &format!("schema{schema}"))?;
        fs::rename(&incomplete, name)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    rename().map_err(storage)
}

fn convert(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
        2 => schema2::convert(&transaction)?,
        3 => schema3::convert(&transaction)?,
        // Another process has migrated it since the file was identified.
        _ => return Ok(()),
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use tempfile::TempDir;

    use super::*;
    use crate::ledger::{Ledger, LedgerRow, Selection, open, open_to_read};

    /// A ledger that the program of schema 2 wrote: images 1, 2 (a duplicate), 3 with a name that is not ASCII, 5 (a
    /// duplicate of an adopted file), 6 that was fetched twice, 8 failed, 9 gone; two adopted files, the left file of 6;
    /// hooks of 1, 3 and the end; and a group of 10, 11 and 12 that was never settled, the second a duplicate in the
    /// group and the third one of image 1.
    pub(super) const SCHEMA_2: &[u8] =
        include_bytes!("../../../../tests/fixtures/ledgers/schema-2.db");

    /// A ledger that the program of schema 3 wrote: the same images, a skipped one, dates and keys of every odd form, an
    /// image of the web archive with another size as displayed and a warning, an adopted file of each kind, a forgotten
    /// file, hooks of which the last numbers are done, reported skips and a seen range.
    pub(super) const SCHEMA_3: &[u8] =
        include_bytes!("../../../../tests/fixtures/ledgers/schema-3.db");

    const OLD: [(&[u8], i32); 2] = [(SCHEMA_2, 2), (SCHEMA_3, 3)];

    pub(super) fn home_of(ledger: &[u8]) -> TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("ledger.db"), ledger).unwrap();
        home
    }

    pub(super) fn rows(ledger: &dyn Ledger) -> Vec<LedgerRow> {
        let mut rows = Vec::new();
        let row = &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        };
        ledger.each(&Selection::default(), row).unwrap();
        rows
    }

    #[test]
    fn a_copy_of_the_old_ledger_is_kept_and_it_is_migrated_once() {
        for (ledger, schema) in OLD {
            let home = home_of(ledger);
            let images = |name: &str| -> (i32, i32) {
                let ledger = Connection::open(home.path().join(name)).unwrap();
                let images =
                    "SELECT count(*), (SELECT user_version FROM pragma_user_version) FROM images";
                ledger
                    .query_row(images, [], |row| Ok((row.get(0)?, row.get(1)?)))
                    .unwrap()
            };
            let before = images("ledger.db");
            drop(open(home.path(), true).unwrap());
            drop(open(home.path(), true).unwrap());
            let mut names: Vec<_> = fs::read_dir(home.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            let copy = format!("ledger-schema{schema}.db");
            assert_eq!(names, [copy.as_str(), "ledger.db"]);
            assert_eq!((images(&copy), before.1), (before, schema));
        }
    }

    #[test]
    fn a_migrated_ledger_has_the_schema_of_a_new_one_and_no_free_pages() {
        let schema = |home: TempDir| {
            drop(open(home.path(), true).unwrap());
            let ledger = Connection::open(home.path().join("ledger.db")).unwrap();
            let free = ledger.pragma_query_value(None, "freelist_count", |row| row.get(0));
            assert_eq!(free, Ok(0));
            let mut schema = ledger
                .prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")
                .unwrap();
            let schema = schema.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            schema
                .unwrap()
                .collect::<rusqlite::Result<Vec<(String, Option<String>)>>>()
                .unwrap()
        };
        let new = schema(tempfile::tempdir().unwrap());
        for (ledger, _) in OLD {
            assert_eq!(schema(home_of(ledger)), new);
        }
    }

    #[test]
    fn a_reader_of_an_older_ledger_gets_an_error_that_says_how_to_migrate_it() {
        for (ledger, schema) in OLD {
            let home = home_of(ledger);
            let message = open_to_read(home.path()).err().unwrap().to_string();
            assert!(
                message.contains(&format!("schema {schema}"))
                    && message.contains("`wallhaul fetch`"),
                "{message}"
            );
            assert!(fs::read(home.path().join("ledger.db")).unwrap() == ledger);
        }
    }
}
