//! One walk over pages that follow each other: which is next, and whether the walk is over.

use std::sync::Arc;

use jiff::civil::Date;
use url::Url;

use super::findings::{Findings, PageFacts, Visited};
use super::order::{Addresses, PageAt, PageOrder, WalkValues};
use super::page_links::PageLinks;
use super::{NextPage, PageAnswer, PageRequest, Pages, StatusMeaning, Step};
use crate::event::{ListingEnd, ListingFailure};

/// After this many consecutive pages that show only what earlier ones showed, the site repeats itself.
const PAGES_WITHOUT_NEWS: u32 = 2;

/// After this many consecutive pages without any new image, for whatever reason, no further one is requested: a page
/// whose items are all filtered out is no end, and an endless row of them is.
const BARREN_PAGES: u32 = 100;

/// Missing or empty pages at the beginning of a listing with holes; with one more it is no hole any more.
const HOLES_AT_START: u32 = 2;

/// A walk over the pages of one listing.
#[derive(Debug)]
pub(super) struct Walk {
    order: Arc<PageOrder>,
    today: Date,
    way: Way,
    /// The values of the first page that later ones need.
    carry: Carry,
    /// The number of the next page, from 1.
    next: u32,
    /// The pages that are wanted.
    first: u32,
    last: Option<u32>,
    /// What was found on the page that was read last.
    read: PageFacts,
    found: Findings,
    /// Why there is no further page.
    over: Option<Result<ListingEnd, ListingFailure>>,
}

#[derive(Debug)]
enum Way {
    Counted,
    Linked {
        /// The next page, once the page before it has named it.
        next: Option<Url>,
        visited: Visited,
    },
}

#[derive(Debug)]
enum Carry {
    Nothing,
    /// The first page was not requested yet.
    Unrequested,
    Awaited,
    Known(Vec<Option<String>>),
}

impl Walk {
    /// A walk over the listing from its first page.
    pub(super) fn new(order: Arc<PageOrder>, pages: Pages, today: Date) -> Self {
        let mut over = None;
        let way = match &order.addresses {
            Addresses::Counted(_) => Way::Counted,
            Addresses::Linked(linked) => {
                let next = linked.first();
                Way::Linked {
                    next: next
                        .map_err(|cause| over = Some(Err(ListingFailure::NextUnusable { cause })))
                        .ok(),
                    visited: Visited::default(),
                }
            }
        };
        let first = pages.first.unwrap_or(1).max(1);
        let carry = if order.sources.carry.is_empty() {
            Carry::Nothing
        } else {
            Carry::Unrequested
        };
        // Only pages whose addresses are known can be passed over without a request.
        let jumps = matches!(way, Way::Counted) && matches!(carry, Carry::Nothing);
        Self {
            order,
            today,
            way,
            carry,
            next: if jumps { first } else { 1 },
            first,
            last: pages.last,
            read: PageFacts::default(),
            found: Findings::default(),
            over,
        }
    }

    /// A walk over the pages that begin with the one at `url`, each of which names the next.
    pub(super) fn from_page(order: Arc<PageOrder>, url: Url, today: Date) -> Self {
        let mut walk = Self::new(order, Pages::default(), today);
        walk.over = None;
        walk.way = Way::Linked {
            next: Some(url),
            visited: Visited::default(),
        };
        walk
    }

    /// The next page, if its address is known.
    pub(super) fn next_page(&mut self) -> NextPage {
        if self.over.is_some() {
            return NextPage::NoMore;
        }
        if self.last.is_some_and(|last| self.next > last) {
            return self.end(ListingEnd::LastPageRequested);
        }
        let url = match &mut self.way {
            Way::Counted if matches!(self.carry, Carry::Awaited) => return NextPage::AfterAnswer,
            Way::Counted => match self.counted_page() {
                PageAt::Url(url) => url,
                PageAt::Beyond => {
                    let number = self.next.checked_sub(1);
                    return self.end(ListingEnd::LastPage { number });
                }
                PageAt::Unusable(cause) => {
                    self.over = Some(Err(ListingFailure::NextUnusable { cause }));
                    return NextPage::NoMore;
                }
            },
            Way::Linked { next, visited } => {
                let Some(url) = next.take() else {
                    return NextPage::AfterAnswer;
                };
                if !visited.insert(&url) {
                    let number = self.next.checked_sub(1);
                    return self.end(ListingEnd::NextRepeated { number });
                }
                url
            }
        };
        if matches!(self.carry, Carry::Unrequested) {
            self.carry = Carry::Awaited;
        }
        let number = self.next;
        match number.checked_add(1) {
            Some(next) => self.next = next,
            None => self.over = Some(Ok(ListingEnd::LastPageRequested)),
        }
        NextPage::Request(PageRequest {
            url,
            number: Some(number),
            is_first: number == 1 && !self.has_holes(),
            is_wanted: number >= self.first,
            level: 0,
        })
    }

    fn counted_page(&self) -> PageAt {
        let Addresses::Counted(pages) = &self.order.addresses else {
            return PageAt::Beyond;
        };
        let values = WalkValues {
            today: self.today,
            carried: self.carried(),
        };
        pages.page(self.next.saturating_sub(1), &values)
    }

    fn carried(&self) -> &[Option<String>] {
        match &self.carry {
            Carry::Known(values) => values,
            Carry::Nothing | Carry::Unrequested | Carry::Awaited => &[],
        }
    }

    fn end(&mut self, end: ListingEnd) -> NextPage {
        self.over = Some(Ok(end));
        NextPage::NoMore
    }

    fn has_holes(&self) -> bool {
        match (&self.way, &self.order.addresses) {
            (Way::Counted, Addresses::Counted(pages)) => pages.has_holes(),
            _ => false,
        }
    }

    /// Whether a page may show known items without some of their fields.
    pub(super) fn has_partial_answers(&self) -> bool {
        match &self.order.addresses {
            Addresses::Linked(pages) => pages.has_partial_answers(),
            Addresses::Counted(_) => false,
        }
    }

    /// Whether the page that was read last has named the next one.
    pub(super) fn knows_next(&self) -> bool {
        matches!(&self.way, Way::Linked { next: Some(_), .. })
    }

    /// Takes from a page what the requests after it need, before it is told how the page was answered. `items` counts what it shows.
    pub(super) fn follow(
        &mut self,
        number: u32,
        links: &PageLinks,
        items: usize,
        is_host: impl Fn(&Url) -> Result<(), String>,
    ) {
        self.read = PageFacts {
            items,
            is_last: links.is_last == Some(true),
        };
        if matches!(self.carry, Carry::Awaited) {
            self.carry = Carry::Known(links.carried.clone());
            if matches!(self.way, Way::Counted) {
                self.next = self.next.max(self.first);
            }
        }
        if number == 1 {
            self.found.had_pager = links.has_pager;
        }
        let next = match (&self.way, &self.order.addresses) {
            (Way::Linked { .. }, Addresses::Linked(pages)) => pages.next(links, self.carried()),
            _ => return,
        };
        let next = next.and_then(|next| match next {
            Some(url) => is_host(&url).map(|()| Some(url)),
            None => Ok(None),
        });
        let end = Ok(ListingEnd::LastPage {
            number: Some(number),
        });
        self.over = match next {
            _ if self.read.is_last => Some(end),
            Ok(Some(url)) => {
                if let Way::Linked { next, .. } = &mut self.way {
                    *next = Some(url);
                }
                None
            }
            Ok(None) => Some(self.missing_next(number, links).map_or(end, Err)),
            Err(cause) => Some(Err(ListingFailure::NextUnusable { cause })),
        };
    }

    /// Why a page that names no next one cannot be the last, if so.
    fn missing_next(&self, number: u32, links: &PageLinks) -> Option<ListingFailure> {
        let expected = self.order.end.expect;
        let is_full = expected.is_none_or(|expected| self.read.items >= expected);
        let has_pager_rule = self.order.sources.pager.is_some();
        let is_pager_missing = has_pager_rule
            && !links.has_pager
            && if number == 1 {
                is_full
            } else {
                self.found.had_pager
            };
        if is_pager_missing {
            return Some(ListingFailure::PagerMissing);
        }
        let is_first_full = number == 1 && expected.is_some() && is_full;
        // The page says by its numbers that there is another one.
        let has_more = links.is_last == Some(false);
        (is_first_full || has_more).then_some(ListingFailure::NextMissing)
    }

    /// The statuses that mean "no such page" when they answer a page.
    pub(super) fn end_statuses(&self, request: &PageRequest) -> &[u16] {
        if request.is_first {
            &[]
        } else {
            &self.order.end.statuses
        }
    }

    /// Records that a page was answered with a status in place of a page.
    pub(super) fn refused(&mut self, request: &PageRequest, status: u16) -> StatusMeaning {
        if !self.end_statuses(request).contains(&status) {
            return StatusMeaning::Error;
        }
        if !self.has_holes() {
            let end = ListingEnd::NoSuchPage {
                number: request.number,
                status,
            };
            self.over = Some(Ok(end.clone()));
            return StatusMeaning::End(end);
        }
        self.found.holes += 1;
        if matches!(self.carry, Carry::Awaited) {
            self.carry = Carry::Known(Vec::new());
        }
        if self.is_beyond_hole() {
            StatusMeaning::Error
        } else {
            StatusMeaning::Hole
        }
    }

    fn is_beyond_hole(&self) -> bool {
        !self.found.any_items && self.found.holes > HOLES_AT_START
    }

    /// Records how a page was answered.
    pub(super) fn answered(&mut self, number: u32, answer: PageAnswer) -> Step {
        let step = self.step(number, answer);
        match &step {
            Step::GoesOn => {}
            Step::Ended(end) => self.over = Some(Ok(end.clone())),
            Step::Failed(failure) => self.over = Some(Err(failure.clone())),
        }
        step
    }

    fn step(&mut self, number: u32, answer: PageAnswer) -> Step {
        let is_counted = matches!(self.way, Way::Counted);
        if answer == PageAnswer::Empty {
            if self.has_holes() {
                self.found.holes += 1;
                return if self.is_beyond_hole() {
                    Step::Failed(ListingFailure::no_items())
                } else {
                    Step::GoesOn
                };
            }
            self.found.barren += 1;
            self.found.empty += 1;
            // A page that names the next one says by that that it is not the last.
            if is_counted && (self.found.empty >= self.order.end.empty_pages || self.read.is_last) {
                return Step::Ended(ListingEnd::EmptyPage {
                    number: Some(number),
                });
            }
            return self.without_news(number);
        }
        self.found.empty = 0;
        self.found.any_items = true;
        if let Some(failure) = self.short_page(number) {
            return Step::Failed(failure);
        }
        self.found.count_news(answer);
        if is_counted && self.read.is_last {
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

    /// How the walk ended, once there is no further page.
    pub(super) fn finish(&self) -> Result<ListingEnd, ListingFailure> {
        if self.found.holes > 0 && !self.found.any_items {
            return Err(ListingFailure::no_items());
        }
        let number = self.next.checked_sub(1);
        let last = ListingEnd::LastPage { number };
        self.over.clone().unwrap_or(Ok(last))
    }
}
