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
    /// Each of `item.where`.
    pub conditions: Vec<String>,
    /// `item.key`, with what it is made of: `key = "{id}" of id = "/id"`; empty without it.
    pub key: String,
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
    /// The number of the condition that no item passed because none has what it looks at, if there is one.
    pub lacking: Option<usize>,
    /// Items in which nothing was found that leads to an original.
    pub without_thumb: usize,
    /// Items in which something was found, and no usable address.
    pub unusable: usize,
    /// Images that the definition's `key` gives no identity, though it has one.
    pub without_key: usize,
    /// Whether the list of items is there and empty, where the page's language tells.
    pub empty_list: bool,
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
    /// Images that the page shows, and the definition does not leave out.
    fn images(&self) -> usize {
        let others = self.filtered + self.without_thumb + self.unusable;
        self.items.saturating_sub(others)
    }

    /// The verdict on the page. The site's first page (`is_first`) is not the one after the last; it may say that there is
    /// nothing, by a list that is empty.
    pub fn verdict(&self, is_first: bool) -> PageVerdict {
        let sources = &*self.sources;
        let select = || sources.select.clone();
        let failure = match self.images() {
            0 => self.lacking_failure(),
            images if images == self.without_key => Some(ListingFailure::NoKeys {
                key: sources.key.clone(),
            }),
            _ => return PageVerdict::Items,
        };
        // An item that was left out for its value is no fault of the page: the site is as the definition knows it. Nor
        // is a broken one among them, as long as most were left out.
        if let Some(failure) = failure {
            PageVerdict::Unexpected(failure)
        } else if self.filtered > 0 && self.filtered >= self.without_thumb + self.unusable {
            PageVerdict::Items
        } else if self.without_thumb > 0 {
            let sources = sources.needs.clone();
            PageVerdict::Unexpected(ListingFailure::NoThumbs { sources })
        } else if self.unusable > 0 {
            let sources = sources.needs.clone();
            PageVerdict::Unexpected(ListingFailure::NoUsableThumbs { sources })
        } else if is_first && !self.empty_list {
            PageVerdict::Unexpected(ListingFailure::FirstPageEmpty { select: select() })
        } else if is_first || self.end_mark {
            PageVerdict::End
        } else {
            PageVerdict::Unexpected(ListingFailure::NoEndMark { select: select() })
        }
    }

    /// Why a page is not the site's whose items were all left out for lack of what a condition looks at.
    fn lacking_failure(&self) -> Option<ListingFailure> {
        let conditions = &self.sources.conditions;
        self.lacking.map(|number| ListingFailure::NoConditionValue {
            items: self.items,
            condition: conditions.get(number).cloned().unwrap_or_default(),
        })
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
        // One advertisement among items that have all lost their thumbs hides nothing.
        let mut broken = health(24, 23, 0, true);
        broken.filtered = 1;
        assert!(matches!(
            broken.verdict(false),
            PageVerdict::Unexpected(ListingFailure::NoThumbs { .. })
        ));
    }

    #[test]
    fn a_page_on_which_no_item_has_what_a_condition_looks_at_is_unexpected() {
        let lacking = PageHealth {
            filtered: 3,
            lacking: Some(0),
            ..health(3, 0, 0, true)
        };
        assert!(matches!(
            lacking.verdict(false),
            PageVerdict::Unexpected(ListingFailure::NoConditionValue { items: 3, .. })
        ));
    }

    #[test]
    fn images_without_a_key_are_unexpected_only_if_all_are() {
        let without = |without_key| PageHealth {
            without_key,
            ..health(3, 1, 0, true)
        };
        assert_eq!(without(1).verdict(false), PageVerdict::Items);
        assert!(matches!(
            without(2).verdict(false),
            PageVerdict::Unexpected(ListingFailure::NoKeys { .. })
        ));
    }

    #[test]
    fn an_empty_list_on_the_first_page_is_an_end() {
        let empty = PageHealth {
            empty_list: true,
            ..health(0, 0, 0, true)
        };
        assert_eq!(empty.verdict(true), PageVerdict::End);
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
