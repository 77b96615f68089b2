//! What the ledger's thread keeps in memory from one transaction to the next.

use std::collections::HashSet;

use rusqlite::Connection;

use super::pending::PendingPlacements;
use super::texts::Texts;

/// Hashes to remember, half a megabyte of them: more than the images between a listing page and their placing.
const MAX_ABSENT: usize = 65_536;

/// What was read before and need not be read again.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) pending: PendingPlacements,
    pub(super) absent: AbsentKeys,
    pub(super) texts: Texts,
    /// The file's version when this was read; `None` when it has to be read again.
    version: Option<i64>,
}

impl Cache {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let version = version(connection)?;
        Ok(Self {
            pending: PendingPlacements::read(connection)?,
            absent: AbsentKeys::default(),
            texts: Texts::default(),
            version: Some(version),
        })
    }

    /// Reads it again if another connection has changed the file since, as with the `sqlite3` shell. Called at the
    /// start of each transaction, for a stale answer would put an image into two rows. Own writes do not count.
    pub(super) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.version != Some(version(connection)?) {
            *self = Self::read(connection)?;
        }
        Ok(())
    }

    /// Has it read again before its next use: a transaction was rolled back.
    pub(super) fn invalidate(&mut self) {
        self.version = None;
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

/// Hashes of keys that no row has. `known` fills it, so that `placing` does not look up the same key again.
///
/// Hashes are enough, at 8 bytes each: if no row has the hash, no row has the key.
#[derive(Debug, Default)]
pub(super) struct AbsentKeys(HashSet<i64>);

impl AbsentKeys {
    pub(super) fn contains(&self, hash: i64) -> bool {
        self.0.contains(&hash)
    }

    /// When it is full it starts over: a key that is not in it is only looked up once more.
    pub(super) fn insert(&mut self, hash: i64) {
        if self.0.len() >= MAX_ABSENT {
            self.0.clear();
        }
        self.0.insert(hash);
    }

    pub(super) fn remove(&mut self, hash: i64) {
        self.0.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_absent_keys_is_bounded() {
        let mut absent = AbsentKeys::default();
        for hash in 0..200_000 {
            absent.insert(hash);
            assert!(absent.contains(hash) && absent.0.len() <= MAX_ABSENT);
        }
        absent.remove(199_999);
        assert!(!absent.contains(199_999));
    }
}
