//! Placements that are written down and not settled yet: files about to get their names.
//!
//! A group's rows go into `images` once, at their final places, together with one range of ids in `pending`. While an
//! id is in a range, its file is not known to be there. Settling the group deletes the range. A kill in between leaves
//! rows and range, from which [`super::read::pending`] tells the next run what to look for in the folder.
//!
//! This module keeps the same ids in memory, so that nothing is read back in a run. Dropped alternatives: a table of
//! pending rows that are copied over when they are settled, which writes every row twice, and a state in the row with
//! an index to find it by, which is two more changes of an index an image.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;

use super::tables::RowId;
use crate::job::{ImageKey, ImageName};

/// True for a row of `images` that is pending.
pub(super) const IS_PENDING: &str =
    "EXISTS (SELECT 1 FROM pending WHERE images.id BETWEEN first AND last)";

/// The pending rows.
#[derive(Debug, Default)]
pub(super) struct PendingPlacements {
    ids: BTreeSet<RowId>,
    /// The row and the name of each image that this process placed, so that `record` need not look them up. What is
    /// missing here is read from the table: only a saving of time depends on it.
    decided: HashMap<ImageKey, (RowId, ImageName)>,
    /// Whether `ids` differs from the table.
    changed: bool,
}

impl PendingPlacements {
    /// Reads the table. Only ids that have a row count: a damaged range may be of any length.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached(
            "SELECT images.id FROM pending JOIN images ON images.id BETWEEN first AND last",
        )?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(Self {
            ids: ids.collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// Writes the table, within the transaction that wrote the rows, if anything changed.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        connection
            .prepare_cached("DELETE FROM pending")?
            .execute([])?;
        for range in ranges(&self.ids) {
            connection
                .prepare_cached("INSERT INTO pending (first, last) VALUES (?1, ?2)")?
                .execute(range)?;
        }
        Ok(())
    }

    /// Deletes pending files without an image, whose names nobody could get otherwise: a group that named an image
    /// twice leaves one. Run when the ledger is opened.
    pub(super) fn discard_unclaimed(connection: &Connection) -> rusqlite::Result<()> {
        if !connection.prepare("SELECT 1 FROM pending")?.exists([])? {
            return Ok(());
        }
        let deleted = connection.execute(
            "DELETE FROM images WHERE key_rest IS NULL
                 AND id IN (SELECT images.id FROM pending JOIN images ON images.id BETWEEN first AND last)
                 AND NOT EXISTS (SELECT 1 FROM images AS duplicate WHERE duplicate.owner = images.id)",
            [],
        )?;
        if deleted == 0 {
            return Ok(());
        }
        // The ids are free now and may be given to other rows, so no range may cover them.
        let mut left = Self::read(connection)?;
        left.changed = true;
        left.write(connection)
    }

    pub(super) fn contains(&self, id: RowId) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn insert(&mut self, id: RowId) {
        self.changed = true;
        self.ids.insert(id);
    }

    /// Adds the row of an image that gets its own file.
    pub(super) fn insert_file(&mut self, id: RowId, key: ImageKey, name: ImageName) {
        self.insert(id);
        self.decided.insert(key, (id, name));
    }

    /// Takes a row out: it is settled or deleted. False when it was not pending.
    pub(super) fn remove(&mut self, id: RowId) -> bool {
        let removed = self.ids.remove(&id);
        self.changed |= removed;
        removed
    }

    /// Settles the usual case without a look at the table: the file got the very name that was decided. False for
    /// every other case.
    pub(super) fn settle_as_decided(&mut self, key: &ImageKey, name: &ImageName) -> bool {
        let decided = self.decided.remove(key);
        decided.is_some_and(|(id, decided)| decided == *name && self.remove(id))
    }

    /// Forgets what was decided for an image, as its row changes.
    pub(super) fn forget(&mut self, key: &ImageKey) {
        self.decided.remove(key);
    }
}

/// The ids as ranges, first and last: a group is one of them, as ids grow one by one.
fn ranges(ids: &BTreeSet<RowId>) -> Vec<[RowId; 2]> {
    let mut ranges: Vec<[RowId; 2]> = Vec::new();
    for &id in ids {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == id => *last = id,
            _ => ranges.push([id, id]),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_ids_are_one_range() {
        let ids = BTreeSet::from([1, 2, 3, 7, 9, 10]);
        assert_eq!(ranges(&ids), [[1, 3], [7, 7], [9, 10]]);
        assert_eq!(ranges(&BTreeSet::new()), [[0; 2]; 0]);
    }
}
