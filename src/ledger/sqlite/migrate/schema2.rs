//! Ledgers of schema 2.
//!
//! Schema 2 had a table for files and one for addresses, times and hashes as text, and pending placements as JSON in one
//! cell. The hashes of the new columns cannot be computed in SQL, so the rows are read and inserted one by one.

use std::collections::HashMap;
use std::str::FromStr as _;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::Deserialize;

use super::super::cache::Cache;
use super::super::column::{StoredState, hash64, length, unusable};
use super::super::file::create_tables;
use super::super::tables::{NewFile, NewImageRow, RowId, Tables};
use crate::job::{ContentHash, ImageKey, ImageName};
use crate::outcome::{Content, Format};

/// Converts it, within a transaction.
pub(super) fn convert(transaction: &Connection) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DROP VIEW collection;
         ALTER TABLE images RENAME TO old_images;
         ALTER TABLE files RENAME TO old_files;
         ALTER TABLE promises RENAME TO old_promises;
         CREATE TABLE IF NOT EXISTS hooks (number INTEGER, key TEXT, failed INTEGER);
         ALTER TABLE hooks RENAME TO old_hooks;",
    )?;
    create_tables(transaction)?;
    {
        let mut cache = Cache::read(transaction)?;
        let mut tables = Tables::new(transaction, &mut cache)?;
        let mut files = HashMap::new();
        convert_images(transaction, &mut tables, &mut files)?;
        convert_files(transaction, &mut tables, &mut files)?;
        convert_promises(transaction, &mut tables, &mut files)?;
        convert_hooks(transaction, &mut tables)?;
        drop(tables);
        cache.pending.write(transaction)?;
    }
    // Images before files, which they reference.
    transaction.execute_batch(
        "DROP TABLE old_images; DROP TABLE old_files; DROP TABLE old_promises; DROP TABLE old_hooks;",
    )
}

/// Images with their files, in the order they were written. Of several images of one file, the first one gets the row
/// with the file, and the others are its duplicates. `files` maps the old ids of files to the new rows.
fn convert_images(
    connection: &Connection,
    tables: &mut Tables<'_>,
    files: &mut HashMap<i64, RowId>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT name, bytes, blake3, format, old_files.width, height, file, key, state, at, until, tries, address, page,
                title, etag, last_modified, cause
         FROM old_images LEFT JOIN old_files ON old_files.id = file ORDER BY old_images.rowid",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = ImageKey::from_stored(row.get(7)?);
        let state = parsed(row, 8, |state| match state {
            "saved" => Some(StoredState::Saved),
            "failed" => Some(StoredState::Failed),
            "gone" => Some(StoredState::Gone),
            _ => None,
        })?;
        let old_file: Option<i64> = row.get(6)?;
        let owner = old_file.and_then(|file| files.get(&file).copied());
        let file = match (old_file, owner) {
            (Some(_), None) => Some(old_content(row)?),
            (Some(_), Some(_)) | (None, _) => None,
        };
        let id = tables.insert(
            state,
            &NewImageRow {
                key: Some((&key, hash64(key.as_str()))),
                file: file.as_ref().map(new_file),
                owner,
                at: time(row, 9)?,
                until: time(row, 10)?,
                attempts: row.get(11)?,
                address: text(row, 12)?,
                page: text(row, 13)?,
                title: text(row, 14)?,
                etag: text(row, 15)?,
                last_modified: text(row, 16)?,
                capture: None,
                cause: text(row, 17)?,
                stem: None,
                rules: None,
                skip: None,
            },
        )?;
        if let Some(old_file) = old_file {
            files.entry(old_file).or_insert(id);
        }
    }
    Ok(())
}

/// Files without an image. Those that were adopted have a stem.
fn convert_files(
    connection: &Connection,
    tables: &mut Tables<'_>,
    files: &mut HashMap<i64, RowId>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT name, bytes, blake3, format, width, height, id, stem IS NOT NULL FROM old_files ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let old_id: i64 = row.get(6)?;
        if files.contains_key(&old_id) {
            continue;
        }
        let file = old_content(row)?;
        let is_adopted: bool = row.get(7)?;
        let new = NewImageRow {
            stem: is_adopted.then(|| file.0.stem()),
            file: Some(new_file(&file)),
            ..NewImageRow::default()
        };
        files.insert(old_id, tables.insert(StoredState::File, &new)?);
    }
    Ok(())
}

/// Pending placements. Their files have numbers below zero, or are files that were there.
fn convert_promises(
    connection: &Connection,
    tables: &mut Tables<'_>,
    files: &mut HashMap<i64, RowId>,
) -> rusqlite::Result<()> {
    let json: Option<String> = connection
        .query_row("SELECT told FROM old_promises", [], |row| row.get(0))
        .optional()?;
    let Some(json) = json else {
        return Ok(());
    };
    let promises: OldPromises =
        serde_json::from_str(&json).map_err(|error| unusable(0, Type::Text, error.to_string()))?;
    let mut new = HashMap::with_capacity(promises.files.len());
    for file in promises.files {
        new.insert(file.id, file.content()?);
    }
    for image in promises.images {
        let key = ImageKey::from_stored(image.key);
        let owner = files.get(&image.file).copied();
        let file = if owner.is_none() {
            new.get(&image.file)
        } else {
            None
        };
        if owner.is_none() && file.is_none() {
            return Err(unusable(
                0,
                Type::Text,
                format!("there is no file {}", image.file),
            ));
        }
        // Schema 2 deleted an image's row when it was placed again, so there is none but in a damaged file.
        if let Some(row) = tables.image(&key, hash64(key.as_str()))? {
            tables.clear_image(row.id)?;
        }
        let row = NewImageRow {
            key: Some((&key, hash64(key.as_str()))),
            file: file.map(new_file),
            owner,
            at: Some(image.at),
            address: image.address.as_deref(),
            page: image.page.as_deref(),
            title: image.title.as_deref(),
            etag: image.etag.as_deref(),
            last_modified: image.last_modified.as_deref(),
            ..NewImageRow::default()
        };
        let id = tables.insert(StoredState::Saved, &row)?;
        tables.cache.pending.insert(id);
        files.entry(image.file).or_insert(id);
    }
    Ok(())
}

fn convert_hooks(connection: &Connection, tables: &mut Tables<'_>) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT number, key, failed FROM old_hooks ORDER BY number")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: String = row.get(1)?;
        let key_hash = (!key.is_empty()).then(|| hash64(&key));
        let (number, failed): (i64, u32) = (row.get(0)?, row.get(2)?);
        tables.run(
            "INSERT INTO pending_hooks (number, key, key_hash, attempts) VALUES (?1, ?2, ?3, ?4)",
            rusqlite::params![number, key, key_hash, failed],
        )?;
    }
    Ok(())
}

/// The old JSON.
#[derive(Deserialize)]
struct OldPromises {
    images: Vec<OldPromise>,
    files: Vec<OldFile>,
}

#[derive(Deserialize)]
struct OldPromise {
    key: String,
    file: i64,
    page: Option<String>,
    /// Where it is not the key's.
    address: Option<String>,
    title: Option<String>,
    etag: Option<String>,
    last_modified: Option<String>,
    at: Timestamp,
}

#[derive(Deserialize)]
struct OldFile {
    id: i64,
    name: String,
    bytes: u64,
    blake3: String,
    format: String,
    width: u32,
    height: u32,
}

impl OldFile {
    fn content(self) -> rusqlite::Result<(ImageName, Content)> {
        let Self {
            id: _,
            name,
            bytes,
            blake3,
            format,
            width,
            height,
        } = self;
        let hash = ContentHash::from_hex(&blake3).zip(Format::from_extension(&format));
        let (hash, format) = hash.ok_or_else(|| {
            unusable(
                0,
                Type::Text,
                format!("`{blake3}` or `{format}` is unusable"),
            )
        })?;
        let content = Content {
            bytes,
            hash,
            format,
            width,
            height,
            stored: None,
            warning: None,
        };
        Ok((ImageName::from_stored(&name), content))
    }
}

fn new_file((name, content): &(ImageName, Content)) -> NewFile<'_> {
    NewFile {
        name,
        name_hash: hash64(&name.normalized()),
        content,
    }
}

/// Reads the first six columns: name, bytes, blake3, format, width, height.
fn old_content(row: &Row<'_>) -> rusqlite::Result<(ImageName, Content)> {
    let content = Content {
        bytes: length(row, 1)?,
        hash: parsed(row, 2, ContentHash::from_hex)?,
        format: parsed(row, 3, Format::from_extension)?,
        width: row.get(4)?,
        height: row.get(5)?,
        stored: None,
        warning: None,
    };
    Ok((ImageName::from_stored(row.get_ref(0)?.as_str()?), content))
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a str>> {
    Ok(row.get_ref(column)?.as_str_or_null()?)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match text(row, column)? {
        Some(_) => parsed(row, column, |text| Timestamp::from_str(text).ok()).map(Some),
        None => Ok(None),
    }
}

fn parsed<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).ok_or_else(|| {
        unusable(
            column,
            Type::Text,
            format!("unusable: `{}`", text.escape_debug()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::migrate;
    use super::super::tests::{SCHEMA_2, home_of, rows};
    use super::*;
    use crate::ledger::contract::{content, key, known_state, name, saved};
    use crate::ledger::{KnownState, LedgerRow, PendingPlacement, RowState, open};

    #[tokio::test]
    async fn every_row_of_a_schema_2_ledger_is_migrated() {
        let home = home_of(SCHEMA_2);
        let ledger = open(home.path(), true).unwrap();
        let all = rows(&*ledger);
        let short: Vec<_> = all
            .iter()
            .map(|row| {
                let image = row.key.identity().rsplit('/').next().unwrap();
                (image, row.state, row.name.as_deref())
            })
            .collect();
        let (saved_state, placing) = (RowState::Saved, RowState::Placing);
        assert_eq!(
            short,
            [
                ("1.png", saved_state, Some("a.png")),
                ("2.png", saved_state, Some("a.png")),
                ("3.png", saved_state, Some("Stra\u{df}e \u{c9}t\u{e9}.png")),
                ("6.png", saved_state, Some("left~07a7a7a7.png")),
                ("5.png", saved_state, Some("2010-01-01-\u{c9}t\u{e9}.png")),
                ("8.png", RowState::Failed, None),
                ("9.png", RowState::Gone, None),
                ("10.png", placing, Some("p.png")),
                ("11.png", placing, Some("p.png")),
                ("12.png", placing, Some("a.png")),
            ]
        );
        let intent = crate::ledger::contract::intent("3.png", "x.png", 3);
        let third = LedgerRow {
            key: intent.key,
            state: saved_state,
            at: intent.at,
            name: Some("Stra\u{df}e \u{c9}t\u{e9}.png".to_owned()),
            content: Some(intent.content),
            page: Some(intent.origin.page.to_string()),
            address: intent.origin.address.into(),
            title: intent.origin.title,
            etag: intent.origin.etag,
            last_modified: intent.origin.last_modified,
            capture: None,
            cause: None,
            until: None,
        };
        assert_eq!(all[2], third);
        assert_eq!(
            (all[6].cause.as_deref(), all[6].until),
            (
                Some("404 Not Found"),
                Some("2026-06-01T00:00:00Z".parse().unwrap())
            )
        );
        let stats = ledger.stats().unwrap();
        assert_eq!(
            (
                stats.saved,
                stats.files,
                stats.bytes,
                stats.failed,
                stats.gone
            ),
            (5, 6, 6000, 1, 1)
        );
    }

    #[tokio::test]
    async fn pending_placements_hooks_and_adopted_files_survive_the_migration() {
        let home = home_of(SCHEMA_2);
        let ledger = open(home.path(), true).unwrap();
        let placement = |image, file, picture| PendingPlacement {
            key: key(image),
            name: name(file),
            content: content(picture),
        };
        assert_eq!(
            ledger.pending().await.unwrap(),
            [
                placement("10.png", "p.png", 10),
                placement("11.png", "p.png", 10),
                placement("12.png", "a.png", 1)
            ]
        );
        let records = ["10.png", "11.png"].map(|image| saved(image, "p.png"));
        ledger.record(records.to_vec()).await.unwrap();
        ledger.record(vec![saved("12.png", "a.png")]).await.unwrap();
        assert_eq!(ledger.pending().await.unwrap(), []);
        assert_eq!(ledger.stats().unwrap().saved, 8);

        let hooks = ledger.pending_hooks().await.unwrap();
        assert_eq!((hooks.images, hooks.end), (2, Some(1)));
        let hooks = ledger.pending_image_hooks(i64::MAX, 9).await.unwrap();
        let hooks: Vec<_> = hooks
            .into_iter()
            .map(|hook| (hook.number, hook.failed, hook.image.key))
            .collect();
        assert_eq!(hooks, [(2, 2, key("3.png")), (1, 0, key("1.png"))]);

        let stems = [
            ("found", Some(KnownState::Saved)),
            ("2010-01-01-\u{e9}t\u{e9}", None),
            ("left", None),
        ];
        for (stem, state) in stems {
            let known = known_state(&*ledger, "new.png", stem).await;
            assert_eq!(known, state, "{stem}");
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_old_ledger_as_it_was() {
        let home = home_of(SCHEMA_2);
        let path = home.path().join("ledger.db");
        let mut old = Connection::open(&path).unwrap();
        old.execute("UPDATE promises SET told = '{}'", []).unwrap();
        assert!(migrate(&mut old, &path, 2).is_err());
        let schema: i32 = old
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        let images: i32 = old
            .query_row(
                "SELECT count(*) FROM images WHERE tries IS NULL OR 1",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!((schema, images), (2, 7));
    }
}
