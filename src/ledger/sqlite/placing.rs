//! Decides which name an image gets, and writes down how its placing ended.

use rusqlite::params;

use super::column::{StoredState, hash64};
use super::tables::{ImageRow, NewFile, NewImageRow, RowId, Tables};
use crate::job::{ContentHash, ImageKey, ImageName};
use crate::ledger::{Intent, Placement, Record};
use crate::outcome::Content;

/// `Ledger::placing`, within a transaction.
pub(super) fn placing(
    tables: &mut Tables<'_>,
    group: Vec<Intent>,
) -> rusqlite::Result<Vec<Placement>> {
    // Ids only grow: those from the group's first one on are the group's own.
    let mut first_of_group = RowId::MAX;
    let mut placements = Vec::with_capacity(group.len());
    for intent in group {
        let (id, placement) = place(tables, intent, first_of_group)?;
        first_of_group = first_of_group.min(id);
        placements.push(placement);
    }
    Ok(placements)
}

fn place(
    tables: &mut Tables<'_>,
    intent: Intent,
    first_of_group: RowId,
) -> rusqlite::Result<(RowId, Placement)> {
    let Intent {
        key,
        // The key names it as well.
        site: _,
        origin,
        name: wanted,
        content,
        at,
    } = intent;
    let key_hash = hash64(key.as_str());
    if let Some(row) = tables.image(&key, key_hash)? {
        withdraw(tables, &key, &row, first_of_group)?;
    }
    let row = NewImageRow {
        key: Some((&key, key_hash)),
        at: Some(at),
        address: Some(origin.address.as_str()),
        page: Some(origin.page.as_str()),
        title: origin.title.as_deref(),
        etag: origin.etag.as_deref(),
        last_modified: origin.last_modified.as_deref(),
        capture: origin
            .capture
            .as_ref()
            .map(|capture| capture.address.as_str()),
        ..NewImageRow::default()
    };
    match find_name(tables, wanted, &content, first_of_group)? {
        Found::Taken(owner, name) => {
            let owner = Some(owner);
            let id = tables.insert(StoredState::Saved, &NewImageRow { owner, ..row })?;
            tables.cache.pending.insert(id);
            Ok((id, Placement::Duplicate(name)))
        }
        Found::Free(name, name_hash) => {
            let file = Some(NewFile {
                name: &name,
                name_hash,
                content: &content,
            });
            let id = tables.insert(StoredState::Saved, &NewImageRow { file, ..row })?;
            tables.cache.pending.insert_file(id, key, name.clone());
            Ok((id, Placement::New(name)))
        }
    }
}

enum Found {
    /// By a file with the same bytes.
    Taken(RowId, ImageName),
    /// With the hash of the normalized name.
    Free(ImageName, i64),
}

/// Finds the name for `content`: the wanted one, or the next that no other file has. A file with the same bytes that
/// is met on the way is shared, if it is in the collection or placed in this very group: of the placements of an
/// earlier group nobody knows whether they will be there.
fn find_name(
    tables: &mut Tables<'_>,
    wanted: ImageName,
    content: &Content,
    first_of_group: RowId,
) -> rusqlite::Result<Found> {
    let mut collisions = 0;
    let mut name = None;
    loop {
        let tried = name.as_ref().unwrap_or(&wanted);
        let normalized = tried.normalized();
        let name_hash = hash64(&normalized);
        let Some(file) = tables.file_named(&normalized, name_hash)? else {
            return Ok(Found::Free(name.unwrap_or(wanted), name_hash));
        };
        let is_there = file.id >= first_of_group || !tables.cache.pending.contains(file.id);
        if is_there && file.hash == content.hash && file.bytes == content.bytes {
            return Ok(Found::Taken(file.id, file.name));
        }
        collisions += 1;
        name = Some(after_collisions(&wanted, &content.hash, collisions));
    }
}

/// The name to try after this many collisions: with a suffix from the content's hash, and from the second on with a
/// number behind it, so that no name is tried twice.
fn after_collisions(wanted: &ImageName, hash: &ContentHash, collisions: u64) -> ImageName {
    let with_hash = wanted.with_hash_suffix(hash);
    if collisions == 1 {
        return with_hash;
    }
    let text = with_hash.as_str();
    let (stem, extension) = text.rsplit_once('.').unwrap_or((text, ""));
    ImageName::from_stored(&format!("{stem}-{collisions}.{extension}"))
}

/// `Ledger::record`, within a transaction.
pub(super) fn record(tables: &mut Tables<'_>, group: Vec<Record>) -> rusqlite::Result<()> {
    for record in group {
        match record {
            Record::Saved { key, name } => {
                if !tables.cache.pending.settle_as_decided(&key, &name) {
                    settle(tables, &key, &name)?;
                }
            }
            Record::Unplaced { key } => {
                if let Some(row) = tables.image(&key, hash64(key.as_str()))?
                    && tables.cache.pending.contains(row.id)
                {
                    withdraw(tables, &key, &row, RowId::MAX)?;
                }
            }
            Record::Failed {
                key,
                // The key names it as well.
                site: _,
                failure,
                at,
                until,
                rules,
            } => {
                let row = NewImageRow {
                    at: Some(at),
                    until,
                    attempts: Some(failure.attempts),
                    address: Some(&failure.address),
                    cause: Some(&failure.cause),
                    rules: failure.gone.then_some(rules),
                    ..NewImageRow::default()
                };
                let state = if failure.gone {
                    StoredState::Gone
                } else {
                    StoredState::Failed
                };
                insert_absent(tables, &key, state, row)?;
            }
            Record::Skipped {
                key,
                skip,
                attempts,
                at,
                until,
                rules,
            } => {
                let row = NewImageRow {
                    at: Some(at),
                    until: Some(until),
                    attempts: Some(attempts),
                    address: Some(&skip.address),
                    cause: Some(&skip.reason.to_string()),
                    rules: Some(rules),
                    skip: Some(&skip.reason),
                    ..NewImageRow::default()
                };
                insert_absent(tables, &key, StoredState::Gone, row)?;
            }
            Record::Hooks { of, failed } => write_hooks(tables, of.as_ref(), failed)?,
        }
    }
    Ok(())
}

/// Settles a placement that `settle_as_decided` does not: a duplicate, one that an earlier run left, or a file that
/// got another name than was decided. The first image that says where a file is says it for all that share it.
fn settle(tables: &mut Tables<'_>, key: &ImageKey, name: &ImageName) -> rusqlite::Result<()> {
    let Some(row) = tables.image(key, hash64(key.as_str()))? else {
        return Ok(());
    };
    let Some(file) = row.file() else {
        return Ok(());
    };
    if tables.cache.pending.contains(file) {
        if tables.name(file)?.is_some_and(|decided| decided != *name) {
            // A sink never overwrites. So the file that had this name in the ledger was gone from the folder, and
            // its images are better shown with the file that is there now than with none.
            let normalized = name.normalized();
            let stale = tables.file_named(&normalized, hash64(&normalized))?;
            if let Some(stale) = stale.filter(|stale| stale.id != file) {
                tables.merge(stale.id, file)?;
            }
            tables.rename(file, name)?;
        }
        tables.cache.pending.remove(file);
    }
    tables.cache.pending.remove(row.id);
    Ok(())
}

/// Takes an image out of its row. Its file keeps the row if it is in the collection, if duplicates share it, or if
/// it belongs to the group that begins at `first_of_group`, whose names are given to nobody else. A file that was
/// only pending goes with its last image, and its name is free.
fn withdraw(
    tables: &mut Tables<'_>,
    key: &ImageKey,
    row: &ImageRow,
    first_of_group: RowId,
) -> rusqlite::Result<()> {
    tables.cache.pending.forget(key);
    let Some(file) = row.file() else {
        return tables.delete(row.id);
    };
    if file == row.id {
        tables.clear_image(row.id)?;
    } else {
        tables.delete(row.id)?;
    }
    if file < first_of_group && tables.cache.pending.contains(file) && tables.is_unused(file)? {
        tables.delete(file)?;
    }
    Ok(())
}

/// Inserts the row of an image that was not fetched, unless the collection has it.
fn insert_absent<'a>(
    tables: &mut Tables<'_>,
    key: &'a ImageKey,
    state: StoredState,
    row: NewImageRow<'a>,
) -> rusqlite::Result<()> {
    let key_hash = hash64(key.as_str());
    if let Some(old) = tables.image(key, key_hash)? {
        let is_saved = old.file().is_some() && !tables.cache.pending.contains(old.id);
        if is_saved {
            return Ok(());
        }
        withdraw(tables, key, &old, RowId::MAX)?;
    }
    let row = NewImageRow {
        key: Some((key, key_hash)),
        ..row
    };
    tables.insert(state, &row).map(drop)
}

fn write_hooks(
    tables: &mut Tables<'_>,
    of: Option<&ImageKey>,
    failed: Option<u32>,
) -> rusqlite::Result<()> {
    let key = of.map_or("", ImageKey::as_str);
    match failed {
        Some(failed) => tables.run(
            "INSERT INTO pending_hooks (key, key_hash, attempts) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET attempts = ?3",
            params![key, of.map(|key| hash64(key.as_str())), failed],
        ),
        None => tables.run("DELETE FROM pending_hooks WHERE key = ?1", [key]),
    }
    .map(drop)
}
