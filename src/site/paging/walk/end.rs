//! Whether a walk is over: what its pages show by their items, their numbers, and what they lack.

use super::{Walk, Way};
use crate::event::{ListingEnd, ListingFailure};
use crate::site::paging::order::Addresses;
use crate::site::paging::page_links::PageLinks;
use crate::site::paging::{PageAnswer, Step};

/// After this many consecutive pages that show only what earlier ones showed, the site repeats itself.
const PAGES_WITHOUT_NEWS: u32 = 2;

/// After this many consecutive pages without any new image, for whatever reason, no further one is requested: a page
/// whose items are all filtered out is no end, and an endless row of them is.
const BARREN_PAGES: u32 = 100;

/// Missing or empty pages at the beginning of a listing with holes; with one more it is no hole any more.
const HOLES_AT_START: u32 = 2;

impl Walk {
    /// How the walk goes on after a page that was answered so.
    pub(super) fn step(&mut self, number: u32, answer: PageAnswer) -> Step {
        let is_counted = matches!(self.way, Way::Counted);
        if answer == PageAnswer::Empty {
            if self.has_holes() {
                self.found.count_hole();
                let beyond = self.is_beyond_hole().then_some(ListingFailure::no_items());
                let failure = beyond.or_else(|| self.long_gap());
                return failure.map_or(Step::GoesOn, Step::Failed);
            }
            self.found.barren += 1;
            self.found.empty += 1;
            if number == 1 && !self.knows_next() {
                return Step::Ended(ListingEnd::NothingFound);
            }
            // A page that names the next one says by that that it is not the last, unless the definition knows better.
            let may_end = is_counted || self.order.end.at_empty;
            if may_end && (self.found.empty >= self.order.end.empty_pages || self.read.is_last) {
                return Step::Ended(ListingEnd::EmptyPage {
                    number: Some(number),
                });
            }
            return self.without_news(number);
        }
        self.found.holes_in_row = 0;
        self.found.empty = 0;
        self.found.any_items = true;
        if let Some(failure) = self.short_page(number) {
            return Step::Failed(failure);
        }
        self.found.count_news(answer);
        if is_counted && self.read.is_last {
            if let Some(failure) = self.false_end() {
                return Step::Failed(failure);
            }
            return Step::Ended(ListingEnd::LastPage {
                number: Some(number),
            });
        }
        self.without_news(number)
    }

    /// Whether a page before this one had fewer items than every page but the last has; and remembers whether this one
    /// has.
    fn short_page(&mut self, number: u32) -> Option<ListingFailure> {
        let expected = self.order.end.expect.filter(|_| !self.has_holes())?;
        if let Some((number, items)) = self.found.short.take() {
            return Some(ListingFailure::ShortPage {
                number,
                items,
                expected,
                select: String::new(),
            });
        }
        let items = self.read.items;
        self.found.short = (items < expected).then_some((number, items));
        None
    }

    fn without_news(&self, number: u32) -> Step {
        let repeats = match (&self.way, &self.order.addresses) {
            (Way::Counted, Addresses::Counted(pages)) => pages.may_be_endless(),
            _ => !self.has_partial_answers(),
        };
        let repeated_pages = if repeats && self.found.without_news >= PAGES_WITHOUT_NEWS {
            PAGES_WITHOUT_NEWS
        } else if self.found.barren >= BARREN_PAGES {
            BARREN_PAGES
        } else {
            return Step::GoesOn;
        };
        Step::Ended(ListingEnd::NothingNew {
            number: Some(number),
            repeated_pages,
        })
    }

    /// The failure after so many holes in a row that nothing is behind them.
    pub(super) fn long_gap(&self) -> Option<ListingFailure> {
        let pages = self.found.holes_in_row;
        (pages >= BARREN_PAGES).then_some(ListingFailure::LongGap { pages })
    }

    pub(super) fn is_beyond_hole(&self) -> bool {
        !self.found.any_items && self.found.holes > HOLES_AT_START
    }

    /// Whether the page lacks the pager that it should have: the first page as long as it is full, a later one if the
    /// first had it.
    pub(super) fn is_pager_missing(&self, number: u32, links: &PageLinks) -> bool {
        let is_expected = match number {
            1 => self.is_full(),
            _ => self.found.had_pager,
        };
        self.order.sources.pager.is_some() && !links.has_pager && is_expected
    }

    fn is_full(&self) -> bool {
        let least = self.order.end.expect.unwrap_or(1);
        self.read.items >= least
    }

    /// Why a page that says that it is the last may not be, if so: it says so by what it lacks, and lacks the pager too.
    pub(super) fn false_end(&self) -> Option<ListingFailure> {
        let says_by_lack = self.order.sources.absent.is_some();
        (says_by_lack && self.read.pager_missing).then(|| self.no_pager())
    }

    fn no_pager(&self) -> ListingFailure {
        let pager = self.order.sources.written.pager.clone();
        ListingFailure::PagerMissing { pager }
    }

    /// Why a page that names no next one cannot be the last, if so.
    pub(super) fn missing_next(&self, number: u32, links: &PageLinks) -> Option<ListingFailure> {
        if self.read.pager_missing {
            return Some(self.no_pager());
        }
        let is_first_full = number == 1 && self.order.end.expect.is_some() && self.is_full();
        // The page says by its numbers that there is another one.
        let has_more = links.is_last == Some(false);
        let next = || self.order.sources.written.next.clone();
        (is_first_full || has_more).then(|| ListingFailure::NextMissing { next: next() })
    }
}
