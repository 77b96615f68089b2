//! Hooks that are still to run: a row while they are pending, and none before and after.

use rusqlite::{Connection, TransactionBehavior, params};

use super::column::length;
use super::pending::IS_PENDING;
use super::read::{COLUMNS, KEY, WITH_FILE, WITH_TEXTS, row};
use crate::ledger::{PendingHooks, PendingImageHooks};

/// `Ledger::pending_hooks`. An image that left the collection has no hooks to run.
pub(super) fn pending(connection: &mut Connection) -> rusqlite::Result<PendingHooks> {
    // Immediate: a transaction that only reads at first cannot wait for another writer when it comes to write.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        &format!(
            "DELETE FROM pending_hooks WHERE key <> '' AND NOT EXISTS (
                 SELECT 1 FROM images {WITH_TEXTS}
                 WHERE images.key_hash = pending_hooks.key_hash AND {KEY} = pending_hooks.key
                   AND images.state = 1 AND NOT {IS_PENDING})"
        ),
        [],
    )?;
    let pending = transaction.query_row(
        "SELECT count(*) FILTER (WHERE key <> ''), max(attempts) FILTER (WHERE key = '') FROM pending_hooks",
        [],
        |row| {
            Ok(PendingHooks {
                images: length(row, 0)?,
                end: row.get(1)?,
            })
        },
    )?;
    transaction.commit()?;
    Ok(pending)
}

/// `Ledger::pending_image_hooks`. `CROSS` has `SQLite` begin with the few hooks, and not with all images.
pub(super) fn images(
    connection: &Connection,
    below: i64,
    limit: usize,
) -> rusqlite::Result<Vec<PendingImageHooks>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS}, pending_hooks.number, pending_hooks.attempts
         FROM pending_hooks
             CROSS JOIN images ON images.key_hash = pending_hooks.key_hash
             {WITH_FILE} {WITH_TEXTS}
         WHERE {KEY} = pending_hooks.key AND number < ?1 AND images.state = 1 AND NOT {IS_PENDING}
         ORDER BY number DESC LIMIT ?2"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let images = statement.query_map(params![below, limit], |found| {
        Ok(PendingImageHooks {
            image: row(found)?,
            number: found.get("number")?,
            failed: found.get("attempts")?,
        })
    })?;
    images.collect()
}
