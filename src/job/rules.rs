//! What an image is looked for by.

use serde::{Deserialize, Serialize};

/// What an image is looked for by, as a hash: a definition and its variables, the least size, the way to the site. What
/// is not there by one set of rules may be there by another, so that an absence is remembered with its rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RulesHash(u64);

impl RulesHash {
    /// The hash of these texts; stored, so it must never change.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for text in texts {
            // With its length, so that no two lists of texts are one text.
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        Self(u64::from_le_bytes(first))
    }

    /// The hash as a column holds it.
    pub const fn to_stored(self) -> i64 {
        self.0.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_rules_tells_lists_of_texts_apart_and_never_changes() {
        let lists: [&[&str]; 4] = [&[], &["ab"], &["a", "b"], &["b", "a"]];
        let hashes = lists.map(|texts| RulesHash::of(texts.iter().copied()));
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[at + 1..].contains(hash), "{:?}", lists[at]);
        }
        // `printf '' | b3sum` begins with af1349b9f5f9a1a6.
        let nothing = i64::from_le_bytes([0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6]);
        assert_eq!(hashes[0].to_stored(), nothing);
    }
}
