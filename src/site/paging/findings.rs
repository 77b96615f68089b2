//! What the pages of a walk have shown so far.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use url::Url;

use super::PageAnswer;

/// What a page was found to hold before its images are looked up.
#[derive(Debug, Default)]
pub(super) struct PageFacts {
    pub(super) items: usize,
    pub(super) is_last: bool,
    /// Whether it lacks the pager that the definition says it has.
    pub(super) pager_missing: bool,
}

/// What the pages so far have shown.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether any page showed items.
    pub(super) any_items: bool,
    /// Whether the first page of a walk had the element that holds the links to the others.
    pub(super) had_pager: bool,
    /// Missing and empty pages in a listing with holes.
    pub(super) holes: u32,
    /// Of these, those since the last page with items.
    pub(super) holes_in_row: u32,
    /// Consecutive empty pages.
    pub(super) empty: u32,
    /// Consecutive pages that showed known images alone.
    pub(super) without_news: u32,
    /// Consecutive pages that showed nothing new, for whatever reason.
    pub(super) barren: u32,
    /// The number and the items of a page that has fewer than expected: it must be the last.
    pub(super) short: Option<(u32, usize)>,
}

impl Findings {
    /// Counts a page that is missing or empty in the midst of others.
    pub(super) fn count_hole(&mut self) {
        self.holes += 1;
        self.holes_in_row += 1;
    }

    /// Counts a page that shows items.
    pub(super) fn count_news(&mut self, answer: PageAnswer) {
        match answer {
            PageAnswer::Items {
                new: 0,
                repeated: 0,
            } => self.barren += 1,
            PageAnswer::Items {
                new: 0,
                repeated: _,
            } => {
                self.barren += 1;
                self.without_news += 1;
            }
            PageAnswer::Items { .. } | PageAnswer::Passed | PageAnswer::Empty => {
                self.barren = 0;
                self.without_news = 0;
            }
        }
    }
}

/// The addresses that were requested, as hashes of eight bytes.
#[derive(Debug, Default)]
pub(super) struct Visited {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Visited {
    /// Whether `url` is new.
    pub(super) fn insert(&mut self, url: &Url) -> bool {
        self.hashes.insert(self.hasher.hash_one(url))
    }
}
