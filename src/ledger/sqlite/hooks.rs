//! What waits for the user's commands: a table that is made when there is the first command, and holds a row only
//! while something waits.

use rusqlite::{Connection, TransactionBehavior, params};

use super::read::{COLUMNS, row};
use crate::ledger::{HooksWaiting, ImageWaiting};

/// The end of a run has an empty key. A number is never given twice, so that who counts down meets nothing new.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS hooks (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    key     TEXT NOT NULL UNIQUE,
    failed  INTEGER NOT NULL
)";

/// Does the work of `Ledger::hooks_waiting`. What is no more in the collection waits for nothing.
pub(super) fn waiting(connection: &mut Connection) -> rusqlite::Result<HooksWaiting> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(TABLE, [])?;
    transaction.execute(
        "DELETE FROM hooks WHERE key <> ''
             AND NOT EXISTS (SELECT 1 FROM images WHERE images.key = hooks.key AND images.state = 'saved')",
        [],
    )?;
    let waiting = transaction.query_row(
        "SELECT count(*) FILTER (WHERE key <> ''), max(failed) FILTER (WHERE key = '') FROM hooks",
        [],
        |row| {
            Ok(HooksWaiting {
                images: super::write::length(row, 0)?,
                end: row.get(1)?,
            })
        },
    )?;
    transaction.commit()?;
    Ok(waiting)
}

/// Does the work of `Ledger::images_waiting`.
pub(super) fn images(
    connection: &Connection,
    below: i64,
    limit: usize,
) -> rusqlite::Result<Vec<ImageWaiting>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS}, number, failed
         FROM hooks JOIN images ON images.key = hooks.key JOIN files ON files.id = images.file
         WHERE number < ?1 AND images.state = 'saved'
         ORDER BY number DESC LIMIT ?2"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let images = statement.query_map(params![below, limit], |found| {
        Ok(ImageWaiting {
            image: row(found)?,
            number: found.get("number")?,
            failed: found.get("failed")?,
        })
    })?;
    images.collect()
}
