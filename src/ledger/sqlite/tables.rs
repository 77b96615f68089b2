//! The table `images`, a row at a time, within one transaction.

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, Row, params};

use super::cache::Cache;
use super::column::{
    StoredState, hash, hash64, length, skip, stored_last_modified, stored_length, stored_skip, time,
};
use super::statements::Statements;
use super::texts::split_key;
use crate::job::{ContentHash, ImageKey, ImageName, RulesHash, Stem};
use crate::outcome::{Content, ImageWarning, SkipReason, StoredSize};

/// A row's `id`.
pub(super) type RowId = i64;

/// The tables within a transaction, and what is remembered of them.
pub(super) struct Tables<'a> {
    connection: &'a Connection,
    pub(super) cache: &'a mut Cache,
    statements: Statements<'a>,
}

/// An image's row, as far as decisions need it.
#[derive(Debug)]
pub(super) struct ImageRow {
    pub(super) id: RowId,
    pub(super) state: StoredState,
    /// If it is a duplicate: the row that has its file.
    pub(super) owner: Option<RowId>,
    /// If it is gone or skipped: since when, and until when.
    pub(super) at: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    /// If it is gone or skipped: by which rules, as they are stored.
    pub(super) rules: Option<i64>,
    /// If it was skipped: why.
    pub(super) skip: Option<SkipReason>,
}

impl ImageRow {
    /// The row that has the image's file, if it has one.
    pub(super) fn file(&self) -> Option<RowId> {
        let own = matches!(self.state, StoredState::Saved | StoredState::File);
        self.owner.or(own.then_some(self.id))
    }
}

/// A file's row, as far as decisions need it.
#[derive(Debug)]
pub(super) struct FileRow {
    pub(super) id: RowId,
    pub(super) name: ImageName,
    pub(super) bytes: u64,
    pub(super) hash: ContentHash,
}

/// A file for a new row.
pub(super) struct NewFile<'a> {
    pub(super) name: &'a ImageName,
    pub(super) name_hash: i64,
    pub(super) content: &'a Content,
}

/// A new row; what does not apply stays empty. It borrows, so that nothing is copied before `SQLite` does it.
#[derive(Default)]
pub(super) struct NewImageRow<'a> {
    /// The key and its hash.
    pub(super) key: Option<(&'a ImageKey, i64)>,
    pub(super) file: Option<NewFile<'a>>,
    pub(super) owner: Option<RowId>,
    pub(super) at: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) attempts: Option<u32>,
    pub(super) address: Option<&'a str>,
    pub(super) page: Option<&'a str>,
    pub(super) title: Option<&'a str>,
    pub(super) etag: Option<&'a str>,
    pub(super) last_modified: Option<&'a str>,
    /// The address of the web archive's capture.
    pub(super) capture: Option<&'a str>,
    pub(super) cause: Option<&'a str>,
    pub(super) stem: Option<Stem>,
    pub(super) rules: Option<RulesHash>,
    pub(super) skip: Option<&'a SkipReason>,
}

impl<'a> Tables<'a> {
    /// Starts work within a transaction.
    pub(super) fn new(connection: &'a Connection, cache: &'a mut Cache) -> rusqlite::Result<Self> {
        cache.refresh(connection)?;
        Ok(Self {
            connection,
            cache,
            statements: Statements::default(),
        })
    }

    pub(super) fn statement(
        &mut self,
        text: &'static str,
    ) -> rusqlite::Result<&mut CachedStatement<'a>> {
        self.statements.get(self.connection, text)
    }

    pub(super) fn run(
        &mut self,
        statement: &'static str,
        values: impl Params,
    ) -> rusqlite::Result<usize> {
        self.statement(statement)?.execute(values)
    }

    fn find<T>(
        &mut self,
        query: &'static str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.statement(query)?.query_row(values, read).optional()
    }

    /// The row of an image; `hash` is its key's.
    pub(super) fn image(
        &mut self,
        key: &ImageKey,
        hash: i64,
    ) -> rusqlite::Result<Option<ImageRow>> {
        if self.cache.absent.contains(hash) {
            return Ok(None);
        }
        let mut is_absent = true;
        {
            // The last two stand at the end of a row, up to which it is read only where an image is gone.
            let query = "SELECT key_start, key_rest, id, state, owner, until, at, iif(state = 4, rules, NULL),
                    iif(state = 4, skip, NULL)
                FROM images WHERE key_hash = ?1";
            let mut rows = self.statements.get(self.connection, query)?.query([hash])?;
            while let Some(row) = rows.next()? {
                is_absent = false;
                // Of two keys with one hash, each finds its own row.
                let Some(start) = key.as_str().strip_suffix(row.get_ref(1)?.as_str()?) else {
                    continue;
                };
                if self
                    .cache
                    .texts
                    .has_text(self.connection, row.get(0)?, start)?
                {
                    return Ok(Some(ImageRow {
                        id: row.get(2)?,
                        state: StoredState::read(row, 3)?,
                        owner: row.get(4)?,
                        until: time(row, 5)?,
                        at: time(row, 6)?,
                        rules: row.get(7)?,
                        skip: skip(row, 8)?,
                    }));
                }
            }
        }
        if is_absent {
            self.cache.absent.insert(hash);
        }
        Ok(None)
    }

    /// The row of the file whose normalized name is `normalized`; `name_hash` is its hash.
    pub(super) fn file_named(
        &mut self,
        normalized: &str,
        name_hash: i64,
    ) -> rusqlite::Result<Option<FileRow>> {
        let query = "SELECT id, name, bytes, blake3 FROM images WHERE name_hash = ?1";
        let mut rows = self.statement(query)?.query([name_hash])?;
        while let Some(row) = rows.next()? {
            let name = ImageName::from_stored(row.get_ref(1)?.as_str()?);
            // Two names may share a hash.
            if name.normalized() == normalized {
                return Ok(Some(FileRow {
                    id: row.get(0)?,
                    name,
                    bytes: length(row, 2)?,
                    hash: hash(row, 3)?,
                }));
            }
        }
        Ok(None)
    }

    /// The name in a file's row.
    pub(super) fn name(&mut self, id: RowId) -> rusqlite::Result<Option<ImageName>> {
        let query = "SELECT name FROM images WHERE id = ?1 AND name IS NOT NULL";
        self.find(query, [id], |row| {
            Ok(ImageName::from_stored(row.get_ref(0)?.as_str()?))
        })
    }

    /// Whether there is any adopted file.
    pub(super) fn has_adopted(&mut self) -> rusqlite::Result<bool> {
        self.statement("SELECT 1 FROM images WHERE stem IS NOT NULL")?
            .exists([])
    }

    /// Whether a file of this stem was adopted, and no image was found to be its own since.
    pub(super) fn is_adoptable(&mut self, stem: &Stem) -> rusqlite::Result<bool> {
        let query = "SELECT 1 FROM images WHERE stem = ?1
            AND NOT EXISTS (SELECT 1 FROM images AS duplicate WHERE duplicate.owner = images.id)";
        self.statement(query)?.exists([stem.as_str()])
    }

    pub(super) fn has_duplicates(&mut self, id: RowId) -> rusqlite::Result<bool> {
        let query = "SELECT 1 FROM images WHERE owner = ?1";
        self.statement(query)?.exists([id])
    }

    /// Whether no image is left in the row of a file: neither its own nor a duplicate.
    pub(super) fn is_unused(&mut self, id: RowId) -> rusqlite::Result<bool> {
        let query = "SELECT 1 FROM images WHERE id = ?1 AND key_rest IS NULL";
        let without_key = self.statement(query)?.exists([id])?;
        Ok(without_key && !self.has_duplicates(id)?)
    }

    pub(super) fn insert(
        &mut self,
        state: StoredState,
        row: &NewImageRow<'_>,
    ) -> rusqlite::Result<RowId> {
        let NewImageRow {
            key,
            file,
            owner,
            at,
            until,
            attempts,
            address,
            page,
            title,
            etag,
            last_modified,
            capture,
            cause,
            stem,
            rules,
            skip,
        } = row;
        if let Some((_, hash)) = key {
            self.cache.absent.remove(*hash);
        }
        let (key_start, key_rest) = match key {
            Some((key, _)) => {
                let (start, rest) = split_key(key.as_str());
                (Some(self.text_id(start)?), Some(rest))
            }
            None => (None, None),
        };
        let page = page.map(|page| self.text_id(page)).transpose()?;
        let content = file.as_ref().map(|file| file.content);
        let size = content.map(|content| {
            let Content { width, height, .. } = *content;
            content.stored.unwrap_or(StoredSize { width, height })
        });
        // Empty for all but a few images: the columns cost nothing there.
        let displayed = content.filter(|content| content.stored.is_some());
        self.run(
            "INSERT INTO images (state, key_hash, name_hash, owner, bytes, blake3, format, width, height, at, until,
                 attempts, key_start, key_rest, name, address, page, title, etag, last_modified, cause, stem,
                 displayed_width, displayed_height, warnings, capture, rules, skip)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                 ?22, ?23, ?24, ?25, ?26, ?27, ?28)",
            params![
                state.as_i64(),
                key.map(|(_, hash)| hash),
                file.as_ref().map(|file| file.name_hash),
                owner,
                content.map(|content| stored_length(content.bytes)),
                content.map(|content| content.hash.as_bytes()),
                content.map(|content| content.format.extension()),
                size.map(|size| size.width),
                size.map(|size| size.height),
                at.map(Timestamp::as_second),
                until.map(Timestamp::as_second),
                attempts,
                key_start,
                key_rest,
                file.as_ref().map(|file| file.name.as_str()),
                // Most addresses are the key's, and half of the row otherwise.
                address.filter(|address| key.is_none_or(|(key, _)| key.identity() != *address)),
                page,
                title,
                etag,
                last_modified.map(stored_last_modified),
                cause,
                stem.as_ref().map(Stem::as_str),
                displayed.map(|content| content.width),
                displayed.map(|content| content.height),
                content.and_then(|content| content.warning).map(ImageWarning::to_stored),
                capture,
                rules.map(RulesHash::to_stored),
                skip.map(stored_skip),
            ],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    fn text_id(&mut self, text: &str) -> rusqlite::Result<RowId> {
        self.cache.texts.find_or_insert(self.connection, text)
    }

    pub(super) fn delete(&mut self, id: RowId) -> rusqlite::Result<()> {
        self.cache.pending.remove(id);
        self.run("DELETE FROM images WHERE id = ?1", [id]).map(drop)
    }

    /// Takes the image out of its row and leaves the file in it.
    pub(super) fn clear_image(&mut self, id: RowId) -> rusqlite::Result<()> {
        self.run(
            "UPDATE images SET state = ?2, key_hash = NULL, key_start = NULL, key_rest = NULL, at = NULL, address = NULL, page = NULL,
                 title = NULL, etag = NULL, last_modified = NULL, capture = NULL
             WHERE id = ?1",
            [id, StoredState::File.as_i64()],
        )
        .map(drop)
    }

    pub(super) fn rename(&mut self, id: RowId, name: &ImageName) -> rusqlite::Result<()> {
        self.run(
            "UPDATE images SET name = ?2, name_hash = ?3 WHERE id = ?1",
            params![id, name.as_str(), hash64(&name.normalized())],
        )
        .map(drop)
    }

    /// Makes every image of the file `from` a duplicate of the file `to`, and deletes the file `from`.
    pub(super) fn merge(&mut self, from: RowId, to: RowId) -> rusqlite::Result<()> {
        self.run("UPDATE images SET owner = ?2 WHERE owner = ?1", [from, to])?;
        let made_duplicate = self.run(
            "UPDATE images SET owner = ?2, name_hash = NULL, name = NULL, bytes = NULL, blake3 = NULL, format = NULL,
                 width = NULL, height = NULL, displayed_width = NULL, displayed_height = NULL, warnings = NULL,
                 stem = NULL
             WHERE id = ?1 AND key_rest IS NOT NULL",
            [from, to],
        )?;
        if made_duplicate == 0 {
            self.delete(from)?;
        }
        Ok(())
    }

    /// Has every image of the file count as failed, and deletes the file.
    pub(super) fn fail_file(
        &mut self,
        id: RowId,
        cause: &str,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        let duplicates: Vec<RowId> = self
            .statement("SELECT id FROM images WHERE owner = ?1")?
            .query_map([id], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for image in duplicates.into_iter().chain([id]) {
            self.cache.pending.remove(image);
            self.run(
                "UPDATE images SET state = ?2, cause = ?3, at = ?4, owner = NULL, name_hash = NULL, name = NULL,
                     bytes = NULL, blake3 = NULL, format = NULL, width = NULL, height = NULL,
                     displayed_width = NULL, displayed_height = NULL, warnings = NULL, stem = NULL
                 WHERE id = ?1",
                params![image, StoredState::Failed.as_i64(), cause, at.as_second()],
            )?;
        }
        self.run(
            "DELETE FROM images WHERE id = ?1 AND key_rest IS NULL",
            [id],
        )
        .map(drop)
    }
}
