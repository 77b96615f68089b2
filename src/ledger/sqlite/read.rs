//! Long reads: listings, figures, and the placements of a killed run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::column::{
    StoredState, content, content_columns, last_modified, length, time, timestamp,
};
use super::pending::IS_PENDING;
use crate::job::{ImageKey, ImageName};
use crate::ledger::{LedgerRow, PendingPlacement, Selection, Stats, StoredFile};
use crate::outcome::Capture;

/// Joins each of the `images` with the row that has its file: itself, or a duplicate's owner.
pub(super) const WITH_FILE: &str =
    "LEFT JOIN images AS file ON file.id = coalesce(images.owner, images.id)";

/// Joins each of the `images` with its texts: the beginning of its key, and its page.
pub(super) const WITH_TEXTS: &str = "LEFT JOIN texts AS start ON start.id = images.key_start LEFT JOIN texts AS page ON page.id = images.page";

/// The key of a row of `images` [`WITH_TEXTS`]. None where the beginning's row is missing, which no key may be.
pub(super) const KEY: &str = "(start.text || images.key_rest)";

/// The columns that [`row`] reads, from `images` [`WITH_FILE`] and [`WITH_TEXTS`].
pub(super) const COLUMNS: &str = concat!(
    "start.text || images.key_rest, images.state, images.at, file.name, page.text, images.address, images.title, images.etag,
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
        last_modified: last_modified(row, 8)?,
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
        "SELECT {COLUMNS} FROM images {WITH_FILE} {WITH_TEXTS} WHERE images.key_rest IS NOT NULL ORDER BY images.at, images.id"
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
        "SELECT {KEY}, file.name, {} FROM images {WITH_FILE} {WITH_TEXTS}
         WHERE images.key_rest IS NOT NULL AND images.state = 1 AND file.name IS NOT NULL AND {IS_PENDING}
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

/// `Ledger::stats`, in one transaction, so that all figures are of one moment. Each row is read once, and as far as its
/// first columns. Grouped in SQL, a million rows would be sorted; and each value that comes out of SQL has a cost, so what
/// they decide is one number.
pub(super) fn stats(connection: &mut Connection) -> rusqlite::Result<Stats> {
    const FILE: i64 = 8;
    let transaction = connection.transaction()?;
    // A subquery a row would cost as much as all the rest, and hardly ever finds anything.
    let any_pending = transaction.prepare("SELECT 1 FROM pending")?.exists([])?;
    let is_pending = if any_pending { IS_PENDING } else { "0" };
    let mut statement = transaction.prepare(&format!(
        "SELECT CASE state WHEN 1 THEN iif(key_hash IS NULL OR {is_pending}, 0, 1) WHEN 3 THEN 3
                    WHEN 4 THEN iif(skip IS NULL, 4, 5) ELSE 0 END
                + iif(name_hash IS NULL OR {is_pending}, 0, {FILE}), at, bytes, format FROM images"
    ))?;
    let mut rows = statement.query([])?;
    let mut stats = Stats::default();
    let mut formats: BTreeMap<String, u64> = BTreeMap::new();
    let (mut first, mut last) = (None, None);
    while let Some(row) = rows.next()? {
        let what: i64 = row.get(0)?;
        match what % FILE {
            1 => {
                stats.saved += 1;
                if let Some(at) = row.get::<_, Option<i64>>(1)? {
                    first = Some(first.map_or(at, |first| at.min(first)));
                    last = Some(last.map_or(at, |last| at.max(last)));
                }
            }
            3 => stats.failed += 1,
            4 => stats.gone += 1,
            5 => stats.skipped += 1,
            _ => {}
        }
        if what >= FILE {
            stats.files += 1;
            stats.bytes = stats.bytes.saturating_add(length(row, 2)?);
            let format = row.get_ref(3)?.as_str()?;
            match formats.get_mut(format) {
                Some(files) => *files += 1,
                None => drop(formats.insert(format.to_owned(), 1)),
            }
        }
    }
    stats.first = first.map(|at| timestamp(1, at)).transpose()?;
    stats.last = last.map(|at| timestamp(1, at)).transpose()?;
    stats.formats = formats.into_iter().collect();
    // Stable: formats of as many files stay in the order of their names.
    stats.formats.sort_by_key(|(_, files)| Reverse(*files));
    Ok(stats)
}
