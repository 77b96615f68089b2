//! What is read at length: listings, figures, and the promises of a killed run.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::promises::PendingPlacements;
use super::write::{format, hash, length, state, time};
use crate::job::{ImageKey, ImageName};
use crate::ledger::rules::chosen;
use crate::ledger::{LedgerRow, Selection, Stats, StoredFile, Unfinished};
use crate::outcome::Content;

/// Does the work of `Ledger::each`, a row in memory at a time.
pub(super) fn each(
    connection: &Connection,
    selection: &Selection,
    tell: &mut dyn FnMut(LedgerRow) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let chosen = chosen(selection);
    let mut tell = |row: LedgerRow| {
        if chosen(&row) {
            tell(row)
        } else {
            ControlFlow::Continue(())
        }
    };
    let mut promised = promised(connection)?;
    promised.sort_by_key(|(row, ..)| row.at);
    let mut promised = promised.into_iter().map(|(row, ..)| row).peekable();
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM images LEFT JOIN files ON files.id = images.file ORDER BY at, images.rowid"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = self::row(row)?;
        while let Some(older) = promised.next_if(|promised| promised.at < row.at) {
            if tell(older).is_break() {
                return Ok(());
            }
        }
        if tell(row).is_break() {
            return Ok(());
        }
    }
    let _ = promised.try_for_each(tell);
    Ok(())
}

/// The promises as rows, with what they promise.
fn promised(connection: &Connection) -> rusqlite::Result<Vec<(LedgerRow, ImageName, Content)>> {
    PendingPlacements::read(connection)?.rows(|file| {
        let query = "SELECT bytes, blake3, format, width, height, name FROM files WHERE id = ?1";
        connection
            .prepare_cached(query)?
            .query_row([file], named)
            .optional()
    })
}

/// Reads the first five columns, and the name behind them.
fn named(row: &rusqlite::Row<'_>) -> rusqlite::Result<(ImageName, Content)> {
    let name: String = row.get(5)?;
    Ok((ImageName::from_stored(&name), content(row)?))
}

/// What [`row`] reads, of images beside their files.
pub(super) const COLUMNS: &str =
    "bytes, blake3, format, width, height, images.key, images.state, at, name, page, address, title, etag,
     last_modified, cause, until";

/// Reads the [`COLUMNS`].
pub(super) fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<LedgerRow> {
    let name: Option<String> = row.get(8)?;
    Ok(LedgerRow {
        content: name.is_some().then(|| content(row)).transpose()?,
        key: ImageKey::from_stored(row.get(5)?),
        state: state(row, 6)?,
        at: time(row, 7)?.unwrap_or(Timestamp::UNIX_EPOCH),
        name,
        page: row.get(9)?,
        address: row.get(10)?,
        title: row.get(11)?,
        etag: row.get(12)?,
        last_modified: row.get(13)?,
        cause: row.get(14)?,
        until: time(row, 15)?,
    })
}

/// Reads the first five columns.
fn content(row: &rusqlite::Row<'_>) -> rusqlite::Result<Content> {
    Ok(Content {
        bytes: length(row, 0)?,
        hash: hash(row, 1)?,
        format: format(row, 2)?,
        width: row.get(3)?,
        height: row.get(4)?,
    })
}

/// Does the work of `Ledger::unfinished`.
pub(super) fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<Unfinished>> {
    let promised = promised(connection)?.into_iter();
    Ok(promised
        .map(|(row, name, content)| Unfinished {
            key: row.key,
            name,
            content,
        })
        .collect())
}

/// Does the work of `Ledger::files`.
pub(super) fn files(connection: &Connection) -> rusqlite::Result<Vec<StoredFile>> {
    let mut statement =
        connection.prepare("SELECT bytes, blake3, format, width, height, name FROM files")?;
    let there = statement.query_map([], named)?;
    let told = |saved| {
        move |(name, content)| StoredFile {
            name,
            content,
            saved,
        }
    };
    let mut files: Vec<StoredFile> = there
        .map(|file| file.map(told(true)))
        .collect::<rusqlite::Result<_>>()?;
    files.extend(
        PendingPlacements::read(connection)?
            .files()
            .cloned()
            .map(told(false)),
    );
    files.sort_by_cached_key(|file| file.name.to_string());
    Ok(files)
}

/// Does the work of `Ledger::stats`, all of it at one moment of the ledger.
pub(super) fn stats(connection: &mut Connection) -> rusqlite::Result<Stats> {
    let moment = connection.transaction()?;
    let images = moment.query_row(
        "SELECT count(*) FILTER (WHERE state = 'saved'),
                count(*) FILTER (WHERE state = 'failed'),
                count(*) FILTER (WHERE state = 'gone'),
                min(at) FILTER (WHERE state = 'saved'),
                max(at) FILTER (WHERE state = 'saved')
         FROM images",
        [],
        |row| {
            Ok(Stats {
                saved: length(row, 0)?,
                failed: length(row, 1)?,
                gone: length(row, 2)?,
                first: time(row, 3)?,
                last: time(row, 4)?,
                ..Stats::default()
            })
        },
    )?;
    let files = moment.query_row(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM files",
        [],
        |row| {
            Ok(Stats {
                files: length(row, 0)?,
                bytes: length(row, 1)?,
                ..images
            })
        },
    )?;
    let mut statement = moment.prepare(
        "SELECT format, count(*) AS files FROM files
         GROUP BY format ORDER BY files DESC, format",
    )?;
    let formats = statement.query_map([], |row| Ok((row.get(0)?, length(row, 1)?)))?;
    Ok(Stats {
        formats: formats.collect::<rusqlite::Result<_>>()?,
        ..files
    })
}
