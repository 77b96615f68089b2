//! The rows of the two tables, looked up and written one at a time for the ledger's rules.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Params, params};

use crate::job::{ContentHash, ImageKey, ImageName, Stem};
use crate::ledger::State;
use crate::ledger::rules::{Book, Entry, File, FileId, Noted};
use crate::outcome::{Content, Format};

/// The tables, within a transaction.
pub(super) struct Rows<'a>(&'a Connection);

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self(connection)
    }

    fn run(&self, statement: &str, values: impl Params) -> rusqlite::Result<()> {
        self.0.prepare_cached(statement)?.execute(values).map(drop)
    }

    fn find<T>(
        &self,
        query: &str,
        values: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.0.prepare_cached(query)?.query_row(values, read).optional()
    }

    fn is_there(&self, query: &str, values: impl Params) -> rusqlite::Result<bool> {
        self.0.prepare_cached(query)?.exists(values)
    }
}

impl Book for Rows<'_> {
    type Error = rusqlite::Error;

    fn image(&mut self, key: &ImageKey) -> rusqlite::Result<Option<Noted>> {
        self.find("SELECT state, file, until FROM images WHERE key = ?1", [key.as_str()], |row| {
            Ok(Noted { state: state(row, 0)?, file: row.get(1)?, until: time(row, 2)? })
        })
    }

    fn write_image(&mut self, key: &ImageKey, entry: Entry) -> rusqlite::Result<()> {
        let Entry { site, state, file, page, address, title, etag, last_modified, at, cause, tries, until } = entry;
        self.run(
            "INSERT INTO images (key, site, state, file, page, address, title, etag, last_modified, at, cause, tries, until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (key) DO UPDATE SET
                 site = ?2, state = ?3, file = ?4, page = ?5, address = ?6, title = ?7, etag = ?8, last_modified = ?9,
                 at = ?10, cause = ?11, tries = ?12, until = ?13",
            params![
                key.as_str(),
                site.as_str(),
                state.as_str(),
                file,
                page,
                address,
                title,
                etag,
                last_modified,
                at.to_string(),
                cause,
                tries,
                until.map(|until| until.to_string()),
            ],
        )
    }

    fn settle_image(&mut self, key: &ImageKey) -> rusqlite::Result<()> {
        self.run("UPDATE images SET state = 'saved' WHERE key = ?1", [key.as_str()])
    }

    fn drop_image(&mut self, key: &ImageKey) -> rusqlite::Result<()> {
        self.run("DELETE FROM images WHERE key = ?1", [key.as_str()])
    }

    fn file(&mut self, id: FileId) -> rusqlite::Result<Option<File>> {
        self.find("SELECT id, name, bytes, blake3, state FROM files WHERE id = ?1", [id], file)
    }

    fn file_named(&mut self, name: &ImageName) -> rusqlite::Result<Option<File>> {
        self.find("SELECT id, name, bytes, blake3, state FROM files WHERE folded = ?1", [name.folded()], file)
    }

    fn adoptable(&mut self, stem: &Stem) -> rusqlite::Result<bool> {
        self.is_there(
            "SELECT 1 FROM files WHERE stem = ?1 AND state = 'saved'
                 AND NOT EXISTS (SELECT 1 FROM images WHERE images.file = files.id)",
            [stem.as_str()],
        )
    }

    fn add_file(&mut self, name: &ImageName, content: &Content, saved: bool) -> rusqlite::Result<FileId> {
        self.run(
            "INSERT INTO files (name, folded, stem, bytes, blake3, format, width, height, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                name.to_string(),
                name.folded(),
                name.stem().as_str(),
                // No file is longer than what fits.
                i64::try_from(content.bytes).unwrap_or(i64::MAX),
                content.hash.to_string(),
                content.format.extension(),
                content.width,
                content.height,
                if saved { State::Saved } else { State::Placing }.as_str(),
            ],
        )?;
        Ok(self.0.last_insert_rowid())
    }

    fn rename_file(&mut self, id: FileId, name: &ImageName) -> rusqlite::Result<()> {
        self.run(
            "UPDATE files SET name = ?2, folded = ?3, stem = ?4 WHERE id = ?1",
            params![id, name.to_string(), name.folded(), name.stem().as_str()],
        )
    }

    fn settle_file(&mut self, id: FileId) -> rusqlite::Result<()> {
        self.run("UPDATE files SET state = 'saved' WHERE id = ?1", [id])
    }

    fn hand_over(&mut self, from: FileId, to: FileId) -> rusqlite::Result<()> {
        self.run("UPDATE images SET file = ?2 WHERE file = ?1", [from, to])
    }

    fn release(&mut self, id: FileId, cause: &str, at: Timestamp) -> rusqlite::Result<()> {
        self.run(
            "UPDATE images SET state = 'failed', file = NULL, cause = ?2, at = ?3 WHERE file = ?1",
            params![id, cause, at.to_string()],
        )
    }

    fn in_use(&mut self, id: FileId) -> rusqlite::Result<bool> {
        self.is_there("SELECT 1 FROM images WHERE file = ?1", [id])
    }

    fn write_hooks(&mut self, of: Option<&ImageKey>, failed: Option<u32>) -> rusqlite::Result<()> {
        let key = of.map_or("", ImageKey::as_str);
        match failed {
            Some(failed) => self.run(
                "INSERT INTO hooks (key, failed) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET failed = ?2",
                params![key, failed],
            ),
            None => self.run("DELETE FROM hooks WHERE key = ?1", [key]),
        }
    }

    fn drop_file(&mut self, id: FileId) -> rusqlite::Result<()> {
        self.run("DELETE FROM files WHERE id = ?1", [id])
    }
}

fn file(row: &rusqlite::Row<'_>) -> rusqlite::Result<File> {
    let name: String = row.get(1)?;
    Ok(File {
        id: row.get(0)?,
        name: ImageName::from_written(&name),
        bytes: length(row, 2)?,
        hash: hash(row, 3)?,
        saved: state(row, 4)? == State::Saved,
    })
}

/// Reads a file's length.
pub(super) fn length(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let bytes: i64 = row.get(column)?;
    u64::try_from(bytes).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, bytes))
}

/// Reads a content's hash.
pub(super) fn hash(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<ContentHash> {
    spelled(row, column, ContentHash::from_hex)
}

/// Reads a format.
pub(super) fn format(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Format> {
    spelled(row, column, Format::from_extension)
}

/// Reads a state.
pub(super) fn state(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<State> {
    spelled(row, column, |written| State::ALL.into_iter().find(|state| state.as_str() == written))
}

/// Reads a time, where there is one.
pub(super) fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(_) => spelled(row, column, |written| Timestamp::from_str(written).ok()).map(Some),
        None => Ok(None),
    }
}

fn spelled<T>(row: &rusqlite::Row<'_>, column: usize, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let written = row.get_ref(column)?.as_str()?;
    read(written).ok_or_else(|| {
        let reason = format!("`{}` is none of what can stand there", written.escape_debug());
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, reason.into())
    })
}
