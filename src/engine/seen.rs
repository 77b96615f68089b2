//! The images that a run has met.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use crate::job::ImageKey;

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
