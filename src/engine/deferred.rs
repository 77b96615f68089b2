//! Images without an original that a later page may complete: where the answers to a listing are partial, an item is
//! shown again with what it lacked.

use std::collections::HashMap;

use url::Url;

use crate::job::ImageKey;
use crate::outcome::SkipReason;

/// Images that wait at a time. MediaWiki completes an item within one batch of at most 500.
const MAX_WAITING: usize = 10_000;

/// An image without an original: its key, the thumb's canonical address, and why.
pub(super) type Unresolved = (ImageKey, Url, SkipReason);

/// The images that wait for a later page.
#[derive(Default)]
pub(super) struct Deferred {
    /// Whether pages complete each other at all.
    is_on: bool,
    /// With their place in the listing's order.
    waiting: HashMap<ImageKey, (usize, Url, SkipReason)>,
    added: usize,
}

impl Deferred {
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            ..Self::default()
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Keeps those that may be completed later, and returns those that are to be reported now.
    pub(super) fn keep(&mut self, unresolved: Vec<Unresolved>) -> Vec<Unresolved> {
        if !self.is_on {
            return unresolved;
        }
        let mut reported = Vec::new();
        for (key, thumb, reason) in unresolved {
            if self.waiting.len() < MAX_WAITING {
                self.added += 1;
                self.waiting.insert(key, (self.added, thumb, reason));
            } else {
                reported.push((key, thumb, reason));
            }
        }
        reported
    }

    /// Whether the image waited for an original, which it has now.
    pub(super) fn complete(&mut self, key: &ImageKey) -> bool {
        self.waiting.remove(key).is_some()
    }

    /// The images that no page completed, in the listing's order.
    pub(super) fn take(&mut self) -> Vec<Unresolved> {
        let mut left = Vec::from_iter(std::mem::take(&mut self.waiting));
        left.sort_unstable_by_key(|(_, (order, ..))| *order);
        let left = left.into_iter();
        left.map(|(key, (_, thumb, reason))| (key, thumb, reason))
            .collect()
    }
}
