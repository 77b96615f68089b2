//! How much of a page is looked at: a hostile page makes every question about it cost as much as the page is large.

use std::cell::Cell;

use crate::event::ListingFailure;

/// Bytes of one text that are kept: more than a usable address has, so that a cut one is refused.
pub(super) const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Texts that one source gives for one item.
pub(super) const MAX_TEXTS: usize = 1_000;

/// Items of a page, or within an item.
pub(in crate::site) const MAX_ITEMS: usize = 100_000;

/// Bytes of a text within a page that is parsed itself.
pub(super) const MAX_PARSED_BYTES: usize = 1024 * 1024;

/// How deep JSON and XML nest; the deepest real page seen has 13 levels.
pub(super) const MAX_DEPTH: usize = 128;

/// Values of a JSON page, elements and texts of an XML page.
pub(super) const MAX_NODES: usize = 1_000_000;

/// Elements and values of a page that are looked at, over all of its items and sources.
const MAX_VISITS: usize = 10_000_000;

/// Bytes of texts that are taken out of a page, over all of its items and sources. Nested elements give the same text
/// again and again.
const MAX_READ_BYTES: usize = 64 * 1024 * 1024;

/// What is left of a page's bounds. When nothing is, no source gives anything, and the page is refused as a whole: a
/// page that is read in part looks like one that ends there.
#[derive(Debug)]
pub(super) struct Work {
    visits: Cell<usize>,
    bytes: Cell<usize>,
    is_over: Cell<bool>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            visits: Cell::new(MAX_VISITS),
            bytes: Cell::new(MAX_READ_BYTES),
            is_over: Cell::new(false),
        }
    }
}

impl Work {
    /// Counts visited values; whether they may be visited.
    pub(super) fn visit(&self, values: usize) -> bool {
        self.take(&self.visits, values)
    }

    /// Counts bytes of a text that was read; whether they may be.
    pub(super) fn read(&self, bytes: usize) -> bool {
        self.take(&self.bytes, bytes)
    }

    fn take(&self, left: &Cell<usize>, count: usize) -> bool {
        let rest = left.get().checked_sub(count);
        left.set(rest.unwrap_or_default());
        self.is_over.set(self.is_over.get() || rest.is_none());
        !self.is_over.get()
    }

    /// # Errors
    ///
    /// When more was asked of the page than its bounds allow.
    pub(super) fn check(&self) -> Result<(), ListingFailure> {
        if self.is_over.get() {
            return Err(ListingFailure::TooManyElements { limit: MAX_VISITS });
        }
        Ok(())
    }
}
