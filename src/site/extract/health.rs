//! Tells by the counts of a listing page's items whether it is healthy, after the last one, or not the site any more.

use std::sync::Arc;

use crate::event::ListingFailure;

/// Where a definition looks for items, as it is written there: for messages about a page on which nothing is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenSources {
    /// `item.select`.
    pub select: String,
    /// What the ways to an original need of an item: `thumb = "img@src"`.
    pub needs: String,
}

/// The counts from which the verdict on a listing page follows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageHealth {
    /// Where the definition looks for them.
    pub sources: Arc<WrittenSources>,
    /// Everything that the definition selects as an item.
    pub items: usize,
    /// Items that the definition leaves out by its conditions.
    pub filtered: usize,
    /// Items in which nothing was found that leads to an original.
    pub without_thumb: usize,
    /// Items in which something was found, and no usable address.
    pub unusable: usize,
    /// Whether the page nested so deep that it was read in pieces: an item may have been split.
    pub split: bool,
    /// Whether a page without items that looks like this one is the one after the last.
    pub end_mark: bool,
}

/// The verdict on a listing page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageVerdict {
    /// A page of the gallery: with at least one image, or one that the definition leaves out.
    Items,
    /// The page after the last one.
    End,
    /// A page that no longer looks like the site.
    Unexpected(ListingFailure),
}

impl PageHealth {
    /// The verdict on the page. The site's first page (`is_first`) cannot be the one after the last.
    pub fn verdict(&self, is_first: bool) -> PageVerdict {
        // An item that was left out is no fault of the page: the site is as the definition knows it.
        let shown = self
            .items
            .saturating_sub(self.without_thumb + self.unusable);
        let select = || self.sources.select.clone();
        let needs = || self.sources.needs.clone();
        if shown > 0 {
            PageVerdict::Items
        } else if self.without_thumb > 0 {
            PageVerdict::Unexpected(ListingFailure::NoThumbs { sources: needs() })
        } else if self.unusable > 0 {
            PageVerdict::Unexpected(ListingFailure::NoUsableThumbs { sources: needs() })
        } else if is_first {
            PageVerdict::Unexpected(ListingFailure::FirstPageEmpty { select: select() })
        } else if self.end_mark {
            PageVerdict::End
        } else {
            PageVerdict::Unexpected(ListingFailure::NoEndMark { select: select() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(items: usize, without_thumb: usize, unusable: usize, end_mark: bool) -> PageHealth {
        PageHealth {
            items,
            without_thumb,
            unusable,
            end_mark,
            ..PageHealth::default()
        }
    }

    #[test]
    fn one_good_image_makes_a_gallery() {
        assert_eq!(health(3, 1, 1, false).verdict(true), PageVerdict::Items);
        assert_eq!(health(1, 0, 0, true).verdict(false), PageVerdict::Items);
    }

    #[test]
    fn a_page_whose_items_are_all_left_out_by_conditions_is_neither_empty_nor_unexpected() {
        let mut filtered = health(3, 1, 0, true);
        filtered.filtered = 2;
        assert_eq!(filtered.verdict(true), PageVerdict::Items);
    }

    #[test]
    fn an_empty_page_is_the_end_only_with_the_mark_and_after_another() {
        assert_eq!(health(0, 0, 0, true).verdict(false), PageVerdict::End);
        assert!(matches!(
            health(0, 0, 0, true).verdict(true),
            PageVerdict::Unexpected(_)
        ));
        assert!(matches!(
            health(0, 0, 0, false).verdict(false),
            PageVerdict::Unexpected(_)
        ));
    }

    #[test]
    fn items_without_any_good_thumb_are_never_the_end() {
        assert!(matches!(
            health(2, 2, 0, true).verdict(false),
            PageVerdict::Unexpected(_)
        ));
        assert!(matches!(
            health(2, 0, 2, true).verdict(false),
            PageVerdict::Unexpected(_)
        ));
    }
}
