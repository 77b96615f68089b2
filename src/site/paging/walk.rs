//! One walk over pages that follow each other: which is next, and whether the walk is over.

mod end;

use std::sync::Arc;

use jiff::civil::Date;
use url::Url;

use super::findings::{Findings, PageFacts, Visited};
use super::order::{Addresses, PageAt, PageOrder, WalkValues};
use super::page_links::PageLinks;
use super::{NextPage, PageAnswer, PageRequest, Pages, StatusMeaning, Step};
use crate::event::{ListingEnd, ListingFailure};

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
                        .map_err(|cause| over = Some(Err(unusable_address(cause))))
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
                    self.over = Some(Err(unusable_address(cause)));
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
        if number == 1 {
            self.found.had_pager = links.has_pager;
        }
        self.read = PageFacts {
            items,
            is_last: links.is_last == Some(true),
            pager_missing: false,
        };
        self.read.pager_missing = self.is_pager_missing(number, links);
        if matches!(self.carry, Carry::Awaited) {
            self.carry = Carry::Known(links.carried.clone());
            if matches!(self.way, Way::Counted) {
                self.next = self.next.max(self.first);
            }
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
            _ if self.read.is_last => Some(self.false_end().map_or(end, Err)),
            Ok(Some(url)) => {
                if let Way::Linked { next, .. } = &mut self.way {
                    *next = Some(url);
                }
                None
            }
            Ok(None) => Some(self.missing_next(number, links).map_or(end, Err)),
            Err(cause) => Some(Err(ListingFailure::NextUnusable {
                next: self.order.sources.written.next.clone(),
                cause,
            })),
        };
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
        self.found.count_hole();
        if matches!(self.carry, Carry::Awaited) {
            self.carry = Carry::Known(Vec::new());
        }
        if self.is_beyond_hole() {
            return StatusMeaning::Error;
        }
        if let Some(failure) = self.long_gap() {
            self.over = Some(Err(failure));
        }
        StatusMeaning::Hole
    }

    /// Records how a page was answered.
    pub(super) fn answered(&mut self, number: u32, answer: PageAnswer) -> Step {
        let step = match (self.step(number, answer), &self.over) {
            // That the page leads nowhere is not made good by an end for another reason.
            (Step::Ended(_), Some(Err(_))) => Step::GoesOn,
            (step, _) => step,
        };
        match &step {
            Step::GoesOn => {}
            Step::Ended(end) => self.over = Some(Ok(end.clone())),
            Step::Failed(failure) => self.over = Some(Err(failure.clone())),
        }
        step
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

/// The failure at an address that the definition makes, and not a page.
fn unusable_address(cause: String) -> ListingFailure {
    ListingFailure::NextUnusable {
        next: String::new(),
        cause,
    }
}
