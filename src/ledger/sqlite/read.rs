//! Long reads: listings, figures, and the placements of a killed run.

use std::collections::HashSet;
use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::column::{StoredState, content, content_columns, length, time};
use super::pending::IS_PENDING;
use crate::job::{ImageKey, ImageName};
use crate::ledger::{LedgerRow, PendingPlacement, Selection, Stats, StoredFile};
use crate::outcome::Capture;

/// Joins each of the `images` with the row that has its file: itself, or a duplicate's owner.
pub(super) const WITH_FILE: &str =
    "LEFT JOIN images AS file ON file.id = coalesce(images.owner, images.id)";

/// The columns that [`row`] reads, from `images` [`WITH_FILE`].
pub(super) const COLUMNS: &str = concat!(
    "images.key, images.state, images.at, file.name, images.page, images.address, images.title, images.etag,
     images.last_modified, images.cause, images.until,
     EXISTS (SELECT 1 FROM pending WHERE images.id BETWEEN first AND last), images.capture, images.skip IS NOT NULL, ",
    content_columns!("file")
);

/// Reads the [`COLUMNS`].
pub(super) fn row(row: &Row<'_>) -> rusqlite::Result<LedgerRow> {
    let key = ImageKey::from_stored(row.get(0)?);
    let name: Option<String> = row.get(3)?;
    let address: Option<String> = row.get(5)?;
    let capture = row.get_ref(12)?.as_str_or_null()?;
    Ok(LedgerRow {
        content: name.is_some().then(|| content(row, 14)).transpose()?,
        state: StoredState::read(row, 1)?.of_image(row.get(11)?, row.get(13)?),
        at: time(row, 2)?.unwrap_or(Timestamp::UNIX_EPOCH),
        name,
        page: row.get(4)?,
        // Left out where it is the key's.
        address: address.unwrap_or_else(|| key.identity().to_owned()),
        title: row.get(6)?,
        etag: row.get(7)?,
        last_modified: row.get(8)?,
        capture: capture.and_then(Capture::from_stored),
        cause: row.get(9)?,
        until: time(row, 10)?,
        key,
    })
}

/// `Ledger::each`, with one row in memory at a time.
pub(super) fn each(
    connection: &Connection,
    selection: &Selection,
    receive: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let is_selected = selection.filter();
    let mut hashes = HashSet::new();
    if selection.with_same_bytes {
        each_row(connection, &mut |row| {
            if is_selected(&row) {
                hashes.extend(row.content.map(|content| content.hash));
            }
            ControlFlow::Continue(())
        })?;
    }
    each_row(connection, &mut |row| {
        let has_same_bytes = row
            .content
            .is_some_and(|content| hashes.contains(&content.hash));
        if has_same_bytes || is_selected(&row) {
            receive(row)
        } else {
            ControlFlow::Continue(())
        }
    })
}

fn each_row(
    connection: &Connection,
    receive: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM images {WITH_FILE} WHERE images.key IS NOT NULL ORDER BY images.at, images.id"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if receive(self::row(row)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// `Ledger::pending`. A row whose file has no row any more is left out: there is nothing to look for.
pub(super) fn pending(connection: &Connection) -> rusqlite::Result<Vec<PendingPlacement>> {
    let mut statement = connection.prepare(&format!(
        "SELECT images.key, file.name, {} FROM images {WITH_FILE}
         WHERE images.key IS NOT NULL AND images.state = 1 AND file.name IS NOT NULL AND {IS_PENDING}
         ORDER BY images.id",
        content_columns!("file")
    ))?;
    let pending = statement.query_map([], |row| {
        Ok(PendingPlacement {
            key: ImageKey::from_stored(row.get(0)?),
            name: ImageName::from_stored(row.get_ref(1)?.as_str()?),
            content: content(row, 2)?,
        })
    })?;
    pending.collect()
}

/// `Ledger::files`.
pub(super) fn files(connection: &Connection) -> rusqlite::Result<Vec<StoredFile>> {
    // Sorted by bytes, as the index by hashes has no order that anybody wants.
    let mut statement = connection.prepare(&format!(
        "SELECT name, NOT {IS_PENDING}, {} FROM images WHERE name IS NOT NULL ORDER BY name",
        content_columns!("images")
    ))?;
    let files = statement.query_map([], |row| {
        Ok(StoredFile {
            name: ImageName::from_stored(row.get_ref(0)?.as_str()?),
            saved: row.get(1)?,
            content: content(row, 2)?,
        })
    })?;
    files.collect()
}

/// `Ledger::stats`, in one transaction, so that all figures are of one moment.
pub(super) fn stats(connection: &mut Connection) -> rusqlite::Result<Stats> {
    let transaction = connection.transaction()?;
    let counts = transaction.query_row(
        &format!(
            "SELECT count(*) FILTER (WHERE is_saved), count(*) FILTER (WHERE state = 3),
                    count(*) FILTER (WHERE state = 4 AND skip IS NULL),
                    count(*) FILTER (WHERE state = 4 AND skip IS NOT NULL), min(at) FILTER (WHERE is_saved), max(at) FILTER (WHERE is_saved),
                    count(*) FILTER (WHERE is_file), coalesce(sum(bytes) FILTER (WHERE is_file), 0)
             FROM (SELECT state, skip, at, bytes,
                          key IS NOT NULL AND state = 1 AND NOT is_pending AS is_saved,
                          name IS NOT NULL AND NOT is_pending AS is_file
                   FROM (SELECT *, {IS_PENDING} AS is_pending FROM images))"
        ),
        [],
        |row| {
            Ok(Stats {
                saved: length(row, 0)?,
                failed: length(row, 1)?,
                gone: length(row, 2)?,
                skipped: length(row, 3)?,
                first: time(row, 4)?,
                last: time(row, 5)?,
                files: length(row, 6)?,
                bytes: length(row, 7)?,
                formats: Vec::new(),
            })
        },
    )?;
    let mut statement = transaction.prepare(&format!(
        "SELECT format, count(*) AS files FROM images WHERE name IS NOT NULL AND NOT {IS_PENDING}
         GROUP BY format ORDER BY files DESC, format"
    ))?;
    let formats = statement.query_map([], |row| Ok((row.get(0)?, length(row, 1)?)))?;
    Ok(Stats {
        formats: formats.collect::<rusqlite::Result<_>>()?,
        ..counts
    })
}
