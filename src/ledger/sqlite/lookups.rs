//! The smaller questions and changes: known images, adopted and forgotten files, reported skips.

use jiff::Timestamp;
use rusqlite::params;

use super::column::{StoredState, hash64};
use super::tables::{ImageRow, NewFile, NewImageRow, Tables};
use crate::job::{ImageKey, ImageName, RulesHash, Stem};
use crate::ledger::{Known, KnownState};
use crate::outcome::Content;

/// `Ledger::known`, within a transaction: all answers are of one moment.
pub(super) fn known(
    tables: &mut Tables<'_>,
    images: &[ImageKey],
    rules: RulesHash,
    now: Timestamp,
) -> rusqlite::Result<Known> {
    let states = images.iter();
    let states = states.map(|key| known_state(tables, key, rules, now));
    Ok(Known {
        states: states.collect::<rusqlite::Result<_>>()?,
        has_adopted: tables.has_adopted()?,
    })
}

/// `Ledger::adopted`, within a transaction.
pub(super) fn adopted(
    tables: &mut Tables<'_>,
    images: &[(ImageKey, Stem)],
) -> rusqlite::Result<Vec<bool>> {
    let adopted = images.iter();
    adopted
        .map(|(_key, stem)| tables.is_adoptable(stem))
        .collect()
}

fn known_state(
    tables: &mut Tables<'_>,
    key: &ImageKey,
    rules: RulesHash,
    now: Timestamp,
) -> rusqlite::Result<Option<KnownState>> {
    if let Some(ImageRow {
        id,
        state,
        owner: _,
        until,
        at,
        rules: rules_then,
        skip,
    }) = tables.image(key, hash64(key.as_str()))?
    {
        match (state, until) {
            (StoredState::Saved | StoredState::File, _) => {
                let is_there = !tables.cache.pending.contains(id);
                return Ok(is_there.then_some(KnownState::Saved));
            }
            (StoredState::Gone, Some(until))
                if until > now && rules_then.is_none_or(|then| then == rules.to_stored()) =>
            {
                let since = at.unwrap_or(now);
                return Ok(Some(
                    skip.map_or(KnownState::Gone { since, until }, KnownState::Skipped),
                ));
            }
            (StoredState::Gone | StoredState::Failed, _) => {}
        }
    }
    Ok(None)
}

/// `Ledger::adopt`, within a transaction.
pub(super) fn adopt(
    tables: &mut Tables<'_>,
    files: Vec<(ImageName, Content)>,
) -> rusqlite::Result<usize> {
    let mut adopted = 0;
    for (name, content) in files {
        let normalized = name.normalized();
        let name_hash = hash64(&normalized);
        if tables.file_named(&normalized, name_hash)?.is_some() {
            continue;
        }
        let row = NewImageRow {
            stem: Some(name.stem()),
            file: Some(NewFile {
                name: &name,
                name_hash,
                content: &content,
            }),
            ..NewImageRow::default()
        };
        tables.insert(StoredState::File, &row)?;
        adopted += 1;
    }
    Ok(adopted)
}

/// `Ledger::forget`, within a transaction. A file that is pending belongs to its run.
pub(super) fn forget(
    tables: &mut Tables<'_>,
    files: Vec<(ImageName, String)>,
    at: Timestamp,
) -> rusqlite::Result<()> {
    for (name, cause) in files {
        let normalized = name.normalized();
        let file = tables.file_named(&normalized, hash64(&normalized))?;
        if let Some(file) = file.filter(|file| !tables.cache.pending.contains(file.id)) {
            tables.fail_file(file.id, &cause, at)?;
        }
    }
    Ok(())
}

/// `Ledger::note_skips`, within a transaction; with `write` false it only answers.
pub(super) fn note_skips(
    tables: &mut Tables<'_>,
    skips: Vec<(ImageKey, String)>,
    at: Timestamp,
    write: bool,
) -> rusqlite::Result<Vec<bool>> {
    let mut new = Vec::with_capacity(skips.len());
    for (key, reason) in skips {
        new.push(if write {
            // One statement answers and writes. A skip that is there already changes no page of the file.
            let insert =
                "INSERT OR IGNORE INTO reported_skips (key, reason, at) VALUES (?1, ?2, ?3)";
            tables.run(insert, params![key.as_str(), reason, at.as_second()])? == 1
        } else {
            let query = "SELECT 1 FROM reported_skips WHERE key = ?1 AND reason = ?2";
            !tables
                .statement(query)?
                .exists(params![key.as_str(), reason])?
        });
    }
    Ok(new)
}
