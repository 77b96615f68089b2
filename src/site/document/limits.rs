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

/// Steps of selectors and patterns on a page: an element, a class or an attribute that a selector is compared with, a
/// byte of a text for each kilobyte of a compiled pattern (measured: at worst 0.15 µs a step). A page of a gallery takes
/// some hundred thousand; a selector with `:has()` or `~` may take as many as the square of the page's elements.
const MAX_STEPS: usize = 200_000_000;

/// Bytes of a text that a selector or a source looks at in one step.
pub(in crate::site) const STEP_BYTES: usize = 64;

/// What is left of a page's bounds. When nothing is, no source gives anything, and the page is refused as a whole: a
/// page that is read in part looks like one that ends there.
#[derive(Debug)]
pub(in crate::site) struct Work {
    visits: Cell<usize>,
    bytes: Cell<usize>,
    steps: Cell<usize>,
    failure: Cell<Option<Bound>>,
}

/// What was exceeded first.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Elements,
    Steps,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            visits: Cell::new(MAX_VISITS),
            bytes: Cell::new(MAX_READ_BYTES),
            steps: Cell::new(MAX_STEPS),
            failure: Cell::new(None),
        }
    }
}

impl Work {
    /// The bounds of a page, with fewer steps.
    #[cfg(test)]
    pub(in crate::site) fn with_steps(steps: usize) -> Self {
        Self {
            steps: Cell::new(steps),
            ..Self::default()
        }
    }

    /// Counts visited values; whether they may be visited.
    pub(in crate::site) fn visit(&self, values: usize) -> bool {
        self.take(&self.visits, values, Bound::Elements)
    }

    /// Counts bytes of a text that was read; whether they may be.
    pub(super) fn read(&self, bytes: usize) -> bool {
        self.take(&self.bytes, bytes, Bound::Elements)
    }

    /// Counts steps of a selector or a pattern; whether they may be taken.
    pub(in crate::site) fn step(&self, steps: usize) -> bool {
        self.take(&self.steps, steps, Bound::Steps)
    }

    /// Whether nothing is left of a bound.
    pub(in crate::site) fn is_over(&self) -> bool {
        self.failure.get().is_some()
    }

    fn take(&self, left: &Cell<usize>, count: usize, bound: Bound) -> bool {
        let rest = left.get().checked_sub(count);
        left.set(rest.unwrap_or_default());
        if rest.is_none() && !self.is_over() {
            self.failure.set(Some(bound));
        }
        !self.is_over()
    }

    /// # Errors
    ///
    /// When more was asked of the page than its bounds allow.
    pub(super) fn check(&self) -> Result<(), ListingFailure> {
        match self.failure.get() {
            None => Ok(()),
            Some(Bound::Elements) => Err(ListingFailure::TooManyElements { limit: MAX_VISITS }),
            Some(Bound::Steps) => Err(ListingFailure::TooManySteps { limit: MAX_STEPS }),
        }
    }
}
