//! The images that a run, or the ledger, has met.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use crate::job::ImageKey;
use crate::ledger::KnownState;

/// The keys that this run has seen, as hashes of eight bytes: the keys of a million items would take a hundred megabytes.
///
/// For a million items, two different keys have the same hash with a probability of one in 30 million.
#[derive(Default)]
pub(super) struct Seen {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Seen {
    /// Whether `key` is new.
    pub(super) fn insert(&mut self, key: &ImageKey) -> bool {
        self.hashes.insert(self.hasher.hash_one(key))
    }
}

/// How many of the images that the ledger knows are in the collection, and how many are gone from the site.
pub(super) fn counts(known: &[Option<KnownState>]) -> (usize, usize) {
    let known = known.iter().flatten();
    let count = |is: fn(&KnownState) -> bool| known.clone().filter(|state| is(state)).count();
    (
        count(|state| matches!(state, KnownState::Saved)),
        count(|state| matches!(state, KnownState::Gone { .. })),
    )
}

/// Whether the ledger knows only that the image was not there, or not wanted.
pub(super) fn is_absent(state: &KnownState) -> bool {
    matches!(state, KnownState::Gone { .. } | KnownState::Skipped(_))
}
