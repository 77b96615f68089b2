//! The rows of the two tables and the promises beside them, one at a time for the ledger's rules.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, params};

use super::promises::PendingPlacements;
use crate::job::{ContentHash, ImageKey, ImageName, Stem};
use crate::ledger::RowState;
use crate::ledger::rules::{File, FileId, ImageRow, NewImageRow, Tables};
use crate::outcome::{Content, Format};

/// The tables, within a transaction, and the promises.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    promises: &'a mut PendingPlacements,
    /// What was prepared so far. It is found by its place in the program: a look at its text costs more than a row.
    statements: Vec<(&'static str, CachedStatement<'a>)>,
    /// The key that was looked up last and stands in no row.
    absent: Option<ImageKey>,
    /// Whether any file was adopted, once somebody asked: hardly ever is one, and everybody asks.
    adopted: Option<bool>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection, promises: &'a mut PendingPlacements) -> Self {
        Self {
            connection,
            promises,
            statements: Vec::new(),
            absent: None,
            adopted: None,
        }
    }

    fn statement(&mut self, text: &'static str) -> rusqlite::Result<&mut CachedStatement<'a>> {
        let known = self
            .statements
            .iter()
            .position(|(known, _)| std::ptr::eq(*known, text));
        let at = known.unwrap_or(self.statements.len());
        if known.is_none() {
            self.statements
                .push((text, self.connection.prepare_cached(text)?));
        }
        Ok(&mut self.statements[at].1)
    }

    fn run(&mut self, statement: &'static str, values: impl Params) -> rusqlite::Result<()> {
        self.statement(statement)?.execute(values).map(drop)
    }

    fn find<T>(
        &mut self,
        query: &'static str,
        values: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.statement(query)?.query_row(values, read).optional()
    }

    fn is_there(&mut self, query: &'static str, values: impl Params) -> rusqlite::Result<bool> {
        self.statement(query)?.exists(values)
    }

    /// Writes the row of a key that has none: to write over one keeps a journal of its own for every row.
    fn write_row(&mut self, key: &ImageKey, entry: NewImageRow) -> rusqlite::Result<()> {
        let NewImageRow {
            site,
            state,
            file,
            page,
            address,
            title,
            etag,
            last_modified,
            at,
            cause,
            attempts,
            until,
        } = entry;
        self.run(
            "INSERT INTO images (key, site, state, file, page, address, title, etag, last_modified, at, cause, tries, until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
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
                attempts,
                until.map(|until| until.to_string()),
            ],
        )
    }

    fn write_file(
        &mut self,
        name: &ImageName,
        content: &Content,
        stem: Option<&Stem>,
    ) -> rusqlite::Result<FileId> {
        self.run(
            "INSERT INTO files (name, folded, stem, bytes, blake3, format, width, height)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                name.as_str(),
                name.normalized(),
                stem.map(Stem::as_str),
                // No file is longer than what fits.
                i64::try_from(content.bytes).unwrap_or(i64::MAX),
                &*content.hash.to_hex(),
                content.format.extension(),
                content.width,
                content.height,
            ],
        )?;
        Ok(self.connection.last_insert_rowid())
    }
}

impl Tables for Rows<'_> {
    type Error = rusqlite::Error;

    fn image(&mut self, key: &ImageKey) -> rusqlite::Result<Option<ImageRow>> {
        if let Some(file) = self.promises.file_of(key) {
            return Ok(Some(ImageRow {
                state: RowState::Placing,
                file: Some(file),
                until: None,
            }));
        }
        let noted = self.find(
            "SELECT state, file, until FROM images WHERE key = ?1",
            [key.as_str()],
            |row| {
                Ok(ImageRow {
                    state: state(row, 0)?,
                    file: row.get(1)?,
                    until: time(row, 2)?,
                })
            },
        )?;
        self.absent = noted.is_none().then(|| key.clone());
        Ok(noted)
    }

    fn write_image(&mut self, key: &ImageKey, entry: NewImageRow) -> rusqlite::Result<()> {
        // Whatever stands in a row goes first: what is promised has no row until it is kept.
        if self.absent.take().as_ref() != Some(key) {
            self.drop_image(key)?;
        }
        if entry.state != RowState::Placing {
            return self.write_row(key, entry);
        }
        self.promises.promise(key, entry);
        Ok(())
    }

    fn settle_image(&mut self, key: &ImageKey) -> rusqlite::Result<()> {
        match self.promises.take(key) {
            Some(entry) => self.write_row(
                key,
                NewImageRow {
                    state: RowState::Saved,
                    ..entry
                },
            ),
            None => Ok(()),
        }
    }

    fn drop_image(&mut self, key: &ImageKey) -> rusqlite::Result<()> {
        match self.promises.take(key) {
            Some(_entry) => Ok(()),
            None => self.run("DELETE FROM images WHERE key = ?1", [key.as_str()]),
        }
    }

    fn file(&mut self, id: FileId) -> rusqlite::Result<Option<File>> {
        let id = self.promises.resolve_id(id);
        match self.promises.file(id) {
            Some(promised) => Ok(Some(promised)),
            None => self.find(
                "SELECT id, name, bytes, blake3 FROM files WHERE id = ?1",
                [id],
                file,
            ),
        }
    }

    fn file_named(&mut self, name: &ImageName) -> rusqlite::Result<Option<File>> {
        let folded = name.normalized();
        match self.promises.file_named(&folded) {
            Some(promised) => Ok(Some(promised)),
            None => self.find(
                "SELECT id, name, bytes, blake3 FROM files WHERE folded = ?1",
                [folded],
                file,
            ),
        }
    }

    fn adoptable(&mut self, stem: &Stem) -> rusqlite::Result<bool> {
        if self.adopted.is_none() {
            self.adopted = Some(self.is_there("SELECT 1 FROM files WHERE stem IS NOT NULL", [])?);
        }
        if self.adopted == Some(false) {
            return Ok(false);
        }
        let unknown = self.statement(
            "SELECT id FROM files WHERE stem = ?1 AND NOT EXISTS (SELECT 1 FROM images WHERE images.file = files.id)",
        )?;
        let ids: Vec<FileId> = unknown
            .query_map([stem.as_str()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(ids
            .into_iter()
            .any(|id| self.promises.of_file(id).is_empty()))
    }

    fn add_file(
        &mut self,
        name: &ImageName,
        content: &Content,
        saved: bool,
    ) -> rusqlite::Result<FileId> {
        if saved {
            self.adopted = Some(true);
            return self.write_file(name, content, Some(&name.stem()));
        }
        Ok(self.promises.add_file(name, *content))
    }

    fn rename_file(&mut self, id: FileId, name: &ImageName) -> rusqlite::Result<()> {
        if self.promises.rename(id, name) {
            return Ok(());
        }
        self.run(
            "UPDATE files SET name = ?2, folded = ?3 WHERE id = ?1",
            params![
                self.promises.resolve_id(id),
                name.as_str(),
                name.normalized()
            ],
        )
    }

    fn settle_file(&mut self, id: FileId) -> rusqlite::Result<()> {
        let Some((name, content)) = self.promises.take_file(id) else {
            return Ok(());
        };
        let number = self.write_file(&name, &content, None)?;
        self.promises.settle(id, number);
        if self.promises.is_forward_referenced(id) {
            self.run("UPDATE images SET file = ?2 WHERE file = ?1", [id, number])?;
        }
        Ok(())
    }

    fn hand_over(&mut self, from: FileId, to: FileId) -> rusqlite::Result<()> {
        let (from, to) = (self.promises.resolve_id(from), self.promises.resolve_id(to));
        self.promises.hand_over(from, to);
        if from < 0 {
            return Ok(());
        }
        if to < 0 {
            // Until its file is there, a row points at nothing.
            self.connection
                .pragma_update(None, "defer_foreign_keys", true)?;
            self.promises.reference_ahead(to);
        }
        self.run("UPDATE images SET file = ?2 WHERE file = ?1", [from, to])
    }

    fn release(&mut self, id: FileId, cause: &str, at: Timestamp) -> rusqlite::Result<()> {
        for key in self.promises.of_file(id) {
            if let Some(entry) = self.promises.take(&key) {
                let cause = Some(cause.to_owned());
                self.write_row(
                    &key,
                    NewImageRow {
                        state: RowState::Failed,
                        file: None,
                        cause,
                        at,
                        ..entry
                    },
                )?;
            }
        }
        self.run(
            "UPDATE images SET state = 'failed', file = NULL, cause = ?2, at = ?3 WHERE file = ?1",
            params![id, cause, at.to_string()],
        )
    }

    fn in_use(&mut self, id: FileId) -> rusqlite::Result<bool> {
        let id = self.promises.resolve_id(id);
        let promised = !self.promises.of_file(id).is_empty();
        Ok(promised || self.is_there("SELECT 1 FROM images WHERE file = ?1", [id])?)
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
        match self.promises.take_file(id) {
            Some(_promised) => Ok(()),
            None => self.run(
                "DELETE FROM files WHERE id = ?1",
                [self.promises.resolve_id(id)],
            ),
        }
    }
}

fn file(row: &rusqlite::Row<'_>) -> rusqlite::Result<File> {
    let name: String = row.get(1)?;
    Ok(File {
        id: row.get(0)?,
        name: ImageName::from_stored(&name),
        bytes: length(row, 2)?,
        hash: hash(row, 3)?,
        saved: true,
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
pub(super) fn state(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<RowState> {
    spelled(row, column, |written| {
        RowState::ALL
            .into_iter()
            .find(|state| state.as_str() == written)
    })
}

/// Reads a time, where there is one.
pub(super) fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(_) => spelled(row, column, |written| Timestamp::from_str(written).ok()).map(Some),
        None => Ok(None),
    }
}

fn spelled<T>(
    row: &rusqlite::Row<'_>,
    column: usize,
    read: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let written = row.get_ref(column)?.as_str()?;
    read(written).ok_or_else(|| {
        let reason = format!(
            "`{}` is none of what can stand there",
            written.escape_debug()
        );
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, reason.into())
    })
}
