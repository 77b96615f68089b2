//! The walk over a whole listing, and over the listings that it leads to (`listing.through`).
//!
//! ```text
//! level 0   listing.url, page by page          -> links by through[0]
//! level 1   each link a page, or several       -> links by through[1], or items
//! ```
//!
//! Depth first, so that a listing that is newest first is read newest first.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::civil::Date;
use url::Url;

use super::findings::Visited;
use super::order::{Addresses, PageOrder};
use super::walk::Walk;
use super::{NextPage, PageAnswer, PageContent, PageRequest, Pages, StatusMeaning, Step};
use crate::event::{ListingEnd, ListingFailure};
use crate::site::{ListingPage, PageVerdict, Site, classify};

/// Pages of one run: a listing of 28 images a page has 2.8 million by then.
const MAX_PAGES: u32 = 100_000;

/// Statuses with which a listing that another one links to may be gone, or closed to us, without anything being wrong
/// with the site.
const GONE: [u16; 4] = [403, 404, 410, 451];

/// Empty or missing listings in front of the first with items; with one more, the definition does not fit.
const EMPTY_AT_START: u32 = 2;

/// One walk over a listing.
#[derive(Debug)]
pub struct Pager {
    order: Arc<PageOrder>,
    today: Date,
    outer: Walk,
    /// By level, from 1.
    levels: Vec<Level>,
    /// Listings that were linked to.
    visited: Visited,
    /// Requests without an answer.
    outstanding: u32,
    /// Requests so far.
    requests: u32,
    /// Whether any page has shown images.
    shown: bool,
    inner_items: bool,
    inner_empty: u32,
    failure: Option<ListingFailure>,
    /// What was wrong with partial answers, as long as none has shown an image.
    partial: Option<ListingFailure>,
    /// The page that was answered last.
    last: Option<Url>,
}

/// The listings of one level that are still to be read.
#[derive(Debug, Default)]
struct Level {
    links: VecDeque<Url>,
    /// The walk over the one that was begun, where it may have several pages.
    walk: Option<Walk>,
}

impl Pager {
    pub(in crate::site) fn new(order: Arc<PageOrder>, pages: Pages, today: Date) -> Self {
        let levels = order.sources.through.iter().map(|_| Level::default());
        Self {
            outer: Walk::new(Arc::clone(&order), pages, today),
            levels: levels.collect(),
            order,
            today,
            visited: Visited::default(),
            outstanding: 0,
            requests: 0,
            shown: false,
            inner_items: false,
            inner_empty: 0,
            failure: None,
            partial: None,
            last: None,
        }
    }

    /// The most pages to request ahead, where the definition has a say in it.
    pub fn ahead(&self) -> Option<usize> {
        self.order.ahead
    }

    /// Whether an image without an original may get one by a later page, and its item may be shown again.
    pub fn has_partial_answers(&self) -> bool {
        self.outer.has_partial_answers()
    }

    /// The next page to request, and whether that may happen before the previous one has answered.
    pub fn next_page(&mut self) -> NextPage {
        if self.failure.is_some() {
            return NextPage::NoMore;
        }
        let next = self.next_of_levels();
        if let NextPage::Request(_) = &next {
            if self.requests == MAX_PAGES {
                self.failure = Some(ListingFailure::TooManyPages { limit: MAX_PAGES });
                return NextPage::NoMore;
            }
            self.requests += 1;
            self.outstanding += 1;
        }
        next
    }

    fn next_of_levels(&mut self) -> NextPage {
        let deepest = self.levels.len();
        for level in (1..=deepest).rev() {
            if let Some(walk) = &mut self.levels[level - 1].walk {
                match walk.next_page() {
                    NextPage::Request(request) => return NextPage::Request(inner(request, level)),
                    NextPage::AfterAnswer => return NextPage::AfterAnswer,
                    NextPage::NoMore => {
                        if let Err(failure) = walk.finish() {
                            self.failure = Some(failure);
                            return NextPage::NoMore;
                        }
                        self.levels[level - 1].walk = None;
                    }
                }
            }
            if self.levels[level - 1].links.is_empty() {
                continue;
            }
            if level < deepest && self.outstanding > 0 {
                return NextPage::AfterAnswer;
            }
            if let Some(request) = self.begin_linked(level) {
                return NextPage::Request(request);
            }
        }
        if deepest > 0 && self.outstanding > 0 {
            return NextPage::AfterAnswer;
        }
        self.outer.next_page()
    }

    /// Begins the next listing of a level.
    fn begin_linked(&mut self, level: usize) -> Option<PageRequest> {
        let follows =
            matches!(&self.order.addresses, Addresses::Linked(pages) if pages.follows_addresses());
        let state = &mut self.levels[level - 1];
        let url = state.links.pop_front()?;
        if !follows {
            return Some(PageRequest {
                url,
                number: None,
                is_first: false,
                is_wanted: true,
                level,
            });
        }
        let walk = Walk::from_page(Arc::clone(&self.order), url, self.today);
        match state.walk.insert(walk).next_page() {
            NextPage::Request(request) => Some(inner(request, level)),
            NextPage::AfterAnswer | NextPage::NoMore => None,
        }
    }

    /// The statuses that are an answer to `request`: a redirect with one of them is not followed.
    pub fn end_statuses(&self, request: &PageRequest) -> &[u16] {
        if request.level == 0 {
            self.outer.end_statuses(request)
        } else {
            &GONE
        }
    }

    /// Records that `request` was answered with a status in place of a page.
    pub fn refused(&mut self, request: &PageRequest, status: u16) -> StatusMeaning {
        self.note_answer(request);
        if request.level == 0 {
            return match self.outer.refused(request, status) {
                StatusMeaning::End(_) if !self.levels.is_empty() => StatusMeaning::Hole,
                meaning => meaning,
            };
        }
        if !GONE.contains(&status) || !self.passes_empty() {
            return StatusMeaning::Error;
        }
        self.levels[request.level - 1].walk = None;
        StatusMeaning::Hole
    }

    /// Whether one more empty listing is no reason to stop.
    fn passes_empty(&mut self) -> bool {
        self.inner_empty = self.inner_empty.saturating_add(1);
        self.inner_items || self.inner_empty <= EMPTY_AT_START
    }

    fn note_answer(&mut self, request: &PageRequest) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.last = Some(request.url.clone());
    }

    /// Takes from a page that was read what the requests after it need, and says what it shows.
    ///
    /// # Errors
    ///
    /// When it no longer looks like the site.
    pub fn read(
        &mut self,
        site: &Site,
        request: &PageRequest,
        page: &ListingPage,
    ) -> Result<PageContent, ListingFailure> {
        self.note_answer(request);
        let links = &page.next;
        let is_host = |url: &Url| {
            let host = url.host_str().unwrap_or_default();
            if site.names_page_host(host) {
                Ok(())
            } else {
                Err(classify::unnamed_host(host))
            }
        };
        let number = request.number.unwrap_or(1);
        let leads_on = request.level < self.levels.len();
        let onward = links.onward.get(request.level).filter(|_| leads_on);
        let onward = onward
            .into_iter()
            .flatten()
            .filter(|url| is_host(url).is_ok());
        let onward = onward.cloned().collect::<Vec<_>>();
        let items = if leads_on {
            onward.len()
        } else {
            page.health.items
        };
        let walk = match request.level {
            0 => Some(&mut self.outer),
            level => self.levels[level - 1].walk.as_mut(),
        };
        let (mut has_next, mut is_partial) = (false, false);
        if let Some(walk) = walk {
            walk.follow(number, links, items, is_host);
            has_next = walk.knows_next();
            is_partial = walk.has_partial_answers();
        }
        if leads_on {
            let may_be_empty = has_next || page.health.end_mark || self.order.end.at_empty;
            return self.read_links(request, onward, may_be_empty);
        }
        match page.health.verdict(request.is_first) {
            PageVerdict::Items => {
                self.partial = None;
                self.shown = true;
                Ok(PageContent::Items)
            }
            PageVerdict::End => Ok(PageContent::Empty),
            // A page that names the next one is one of the listing, if not its first.
            PageVerdict::Unexpected(_) if items == 0 && has_next && (is_partial || number > 1) => {
                Ok(PageContent::Empty)
            }
            // Answers of MediaWiki show each item several times, and in one of them what is wanted of it.
            PageVerdict::Unexpected(failure)
                if items > 0 && is_partial && (number > 1 || has_next) =>
            {
                if !self.shown {
                    self.partial = Some(failure);
                }
                Ok(PageContent::Items)
            }
            PageVerdict::Unexpected(failure) => Err(failure),
        }
    }

    /// Takes the links of a page that leads to further listings. `may_be_empty` says whether it may have none.
    fn read_links(
        &mut self,
        request: &PageRequest,
        links: Vec<Url>,
        may_be_empty: bool,
    ) -> Result<PageContent, ListingFailure> {
        if links.is_empty() {
            return if request.is_first {
                Err(ListingFailure::NoLinks)
            } else if request.level > 0 || may_be_empty {
                Ok(PageContent::Empty)
            } else {
                Err(ListingFailure::NoEndMark {
                    select: String::new(),
                })
            };
        }
        let all = links.len();
        if !request.is_wanted {
            return Ok(PageContent::Links {
                new: all,
                repeated: 0,
            });
        }
        let visited = &mut self.visited;
        let new = links.into_iter().filter(|url| visited.insert(url));
        let level = &mut self.levels[request.level];
        let before = level.links.len();
        level.links.extend(new);
        let new = level.links.len() - before;
        Ok(PageContent::Links {
            new,
            repeated: all - new,
        })
    }

    /// Records how `request` was answered, after [`Pager::read`].
    pub fn answered(&mut self, request: &PageRequest, answer: PageAnswer) -> Step {
        let number = request.number.unwrap_or(1);
        if request.level == 0 {
            return match self.outer.answered(number, answer) {
                // What was linked to is still to be read.
                Step::Ended(_) if !self.levels.is_empty() => Step::GoesOn,
                step => step,
            };
        }
        if answer == PageAnswer::Empty {
            if !self.passes_empty() {
                return Step::Failed(ListingFailure::no_items());
            }
        } else if request.level == self.levels.len() {
            self.inner_items = true;
        }
        let Some(walk) = &mut self.levels[request.level - 1].walk else {
            return Step::GoesOn;
        };
        match walk.answered(number, answer) {
            Step::Failed(failure) => Step::Failed(failure),
            Step::Ended(_) | Step::GoesOn => Step::GoesOn,
        }
    }

    /// How the listing ended, once there is no further page; with the page that was read last.
    pub fn finish(&self) -> (Option<Url>, Result<ListingEnd, ListingFailure>) {
        let failure = self.failure.clone().or_else(|| self.partial.clone());
        let is_empty = self.inner_empty > 0 && !self.inner_items;
        let failure = failure.or(is_empty.then_some(ListingFailure::no_items()));
        let end = failure.map_or_else(|| self.outer.finish(), Err);
        (self.last.clone(), end)
    }
}

/// A request of a walk over a listing that another one leads to.
fn inner(request: PageRequest, level: usize) -> PageRequest {
    PageRequest {
        level,
        is_first: false,
        ..request
    }
}
