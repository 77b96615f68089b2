//! The order in which a listing's pages are requested, and when the listing is over.
//!
//! The engine asks a [`Pager`] for the next request and tells it what each page answered; only this module knows that
//! pages have numbers. To add another order (cursors, next links): a plug that implements [`Paging`], a variant of
//! [`PageOrder`], and its placeholder in [`PageOrder::compile`].

use std::fmt;

use toml::Spanned;
use url::Url;

use super::address;
use super::diagnostic::{Diagnostic, nearest_of};
use super::extract::ListingPage;
use crate::event::ListingEnd;

/// After this many consecutive pages that show only what earlier ones showed, the site repeats itself.
const PAGES_WITHOUT_NEWS: u32 = 2;

/// The placeholder of a page's number in `listing.url`: in the query of the parsed URL, and percent-encoded in its path.
const NUMBER: &str = "{page}";
const NUMBER_IN_PATH: &str = "%7Bpage%7D";

/// The listing pages that the user wants, by number, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pages {
    /// The site's first page where not given.
    pub first: Option<u32>,
    /// Up to the end of the listing where not given.
    pub last: Option<u32>,
}

/// A listing page to be requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Its canonical address.
    pub url: Url,
    /// Its number, where the site numbers its pages.
    pub number: Option<u32>,
    /// Whether it is the site's first page, which cannot be the one after the last.
    pub is_first: bool,
}

/// The answer to "what is the next request, and may it be made now?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// This one may be requested now, even while earlier pages have not answered.
    Request(PageRequest),
    /// It follows from the answer to the page that was requested last: ask again then.
    AfterAnswer,
    /// Every page that is wanted was requested.
    NoMore,
}

/// What a requested page turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageAnswer {
    /// It shows images; `new` of them were not on an earlier page of this run.
    Items {
        /// Images that this run had not seen.
        new: usize,
    },
    /// It looks like the page after the last one.
    Empty,
    /// The server answered with this status in place of a page.
    Status(u16),
}

/// One order of pages: a plug.
trait Paging: fmt::Debug + Send {
    fn next(&mut self) -> NextPage;

    /// Takes from a page what the next request needs.
    fn follow(&mut self, page: &ListingPage);
}

/// The order of a site's pages, as its definition gives it.
#[derive(Debug)]
pub(super) enum PageOrder {
    /// `{page}` in the URL counts up from `start`.
    Numbers { template: Url, start: u32 },
}

impl PageOrder {
    /// Compiles `listing.url`, joined to the site's `base`; `is_host` says whether the definition names a host.
    pub(super) fn compile(
        base: &Url,
        url: &Spanned<String>,
        start: u32,
        is_host: impl Fn(&str) -> bool,
    ) -> Result<Self, Diagnostic> {
        let refuse = |message: String| Diagnostic::at(url, message);
        let template = base
            .join(url.get_ref())
            .map_err(|error| refuse(format!("not a page's address: {error}")))?;
        address::usable(&template)
            .map_err(|reason| refuse(format!("not a page's address: {reason}")))?;
        let host = template.host_str().unwrap_or_default();
        if !is_host(host) {
            return Err(refuse(format!(
                "`{host}` is neither the host of `base` nor among `image_hosts`"
            )));
        }
        let mut placeholders = url
            .get_ref()
            .split('{')
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap_or_default());
        if let Some(unknown) = placeholders.find(|&name| name != "page") {
            return Err(refuse(format!("unknown placeholder `{{{unknown}}}`"))
                .help(nearest_of(unknown, &["page"])));
        }
        let in_query = template.query().is_some_and(|query| query.contains(NUMBER));
        if in_query || template.path().contains(NUMBER_IN_PATH) {
            return Ok(Self::Numbers { template, start });
        }
        Err(refuse("every page would have the same address".to_owned())
            .help("write `{page}` where the page's number stands"))
    }

    /// The first page of the site.
    pub(super) fn first_page(&self) -> Url {
        match self {
            Self::Numbers { template, start } => numbered(template, *start),
        }
    }

    /// The pages of the listing that `url` names, if it is the listing's: one page, or all.
    pub(super) fn pages_at(&self, url: &Url, base: &Url) -> Option<Pages> {
        let Self::Numbers { template, start: _ } = self;
        let written = url.as_str();
        let readable = template.as_str().replace(NUMBER_IN_PATH, NUMBER);
        let (before, after) = readable.split_once(NUMBER)?;
        let number = written
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .and_then(|number| number.parse().ok())
            // `007` parses too, and is not an address of the site.
            .filter(|&number| numbered(template, number) == *url);
        if number.is_some() {
            return Some(Pages {
                first: number,
                last: number,
            });
        }
        let folder = before.trim_end_matches(|c| c != '/');
        let whole = [base.as_str(), folder].map(|whole| whole.trim_end_matches('/'));
        whole
            .contains(&written.trim_end_matches('/'))
            .then(Pages::default)
    }

    fn begin(&self, pages: Pages) -> Box<dyn Paging> {
        match self {
            Self::Numbers { template, start } => Box::new(NumberedPages {
                template: template.clone(),
                start: *start,
                next: Some(pages.first.unwrap_or(*start)),
                last: pages.last,
            }),
        }
    }
}

/// The URL of page `number`.
fn numbered(template: &Url, number: u32) -> Url {
    let number = number.to_string();
    let mut page = template.clone();
    page.set_path(&template.path().replace(NUMBER_IN_PATH, &number));
    if let Some(query) = template.query() {
        page.set_query(Some(&query.replace(NUMBER, &number)));
    }
    page
}

/// Pages that are counted: each is known before the one before it has answered.
#[derive(Debug)]
struct NumberedPages {
    template: Url,
    start: u32,
    next: Option<u32>,
    last: Option<u32>,
}

impl Paging for NumberedPages {
    fn next(&mut self) -> NextPage {
        let wanted = |&number: &u32| self.last.is_none_or(|last| number <= last);
        let Some(number) = self.next.filter(wanted) else {
            return NextPage::NoMore;
        };
        self.next = number.checked_add(1);
        NextPage::Request(PageRequest {
            url: numbered(&self.template, number),
            number: Some(number),
            is_first: number == self.start,
        })
    }

    fn follow(&mut self, _page: &ListingPage) {}
}

/// The answers that end a listing, in any order of its pages.
#[derive(Debug, Clone)]
pub(super) struct EndRule {
    /// Statuses that mean "no such page"; never the first page's.
    pub(super) statuses: Vec<u16>,
    /// Consecutive empty pages.
    pub(super) empty_pages: u32,
}

/// One walk over a listing.
#[derive(Debug)]
pub struct Pager {
    paging: Box<dyn Paging>,
    end: EndRule,
    /// Consecutive empty pages so far.
    empty: u32,
    /// Consecutive pages so far that showed nothing new.
    without_news: u32,
}

impl Pager {
    pub(super) fn new(order: &PageOrder, end: &EndRule, pages: Pages) -> Self {
        Self {
            paging: order.begin(pages),
            end: end.clone(),
            empty: 0,
            without_news: 0,
        }
    }

    /// The next page to request, and whether that may happen before the previous one has answered.
    pub fn next_page(&mut self) -> NextPage {
        self.paging.next()
    }

    /// Records a page that was read, before its images are processed, so that the page after it can be requested.
    pub fn follow(&mut self, page: &ListingPage) {
        self.paging.follow(page);
    }

    /// The statuses that end the listing when they answer `request`: a redirect with one of them is not followed.
    pub fn end_statuses(&self, request: &PageRequest) -> &[u16] {
        if request.is_first {
            &[]
        } else {
            &self.end.statuses
        }
    }

    /// Records how `request` was answered. `Some` when the listing ends with it; with `None` it goes on, unless
    /// the answer was a status, which then is an error.
    pub fn answered(&mut self, request: &PageRequest, answer: PageAnswer) -> Option<ListingEnd> {
        let number = request.number;
        match answer {
            PageAnswer::Status(status) => {
                let ends = self.end_statuses(request).contains(&status);
                ends.then_some(ListingEnd::NoSuchPage { number, status })
            }
            PageAnswer::Empty => {
                self.empty += 1;
                (self.empty == self.end.empty_pages).then_some(ListingEnd::EmptyPage { number })
            }
            PageAnswer::Items { new } => {
                self.empty = 0;
                self.without_news = if new == 0 { self.without_news + 1 } else { 0 };
                let repeated_pages = PAGES_WITHOUT_NEWS;
                (self.without_news == repeated_pages).then_some(ListingEnd::NothingNew {
                    number,
                    repeated_pages,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> PageOrder {
        PageOrder::Numbers {
            template: Url::parse("https://small.invalid/all/{page}?p={page}").unwrap(),
            start: 1,
        }
    }

    fn pager(first: Option<u32>, last: Option<u32>) -> Pager {
        let end = EndRule {
            statuses: vec![404],
            empty_pages: 2,
        };
        Pager::new(&template(), &end, Pages { first, last })
    }

    fn request(pager: &mut Pager) -> PageRequest {
        match pager.next_page() {
            NextPage::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbered_pages_are_requested_without_waiting_up_to_the_last_one() {
        let mut pager = pager(None, Some(2));
        let first = request(&mut pager);
        assert_eq!(first.url.as_str(), "https://small.invalid/all/1?p=1");
        assert!(first.is_first);
        let second = request(&mut pager);
        assert_eq!((second.number, second.is_first), (Some(2), false));
        assert_eq!(pager.next_page(), NextPage::NoMore);
    }

    #[test]
    fn page_numbers_end_where_they_would_overflow() {
        let mut pager = pager(Some(u32::MAX), None);
        assert_eq!(request(&mut pager).number, Some(u32::MAX));
        assert_eq!(pager.next_page(), NextPage::NoMore);
    }

    #[test]
    fn a_listing_ends_at_a_status_of_the_definition_but_never_on_its_first_page() {
        let mut pager = pager(None, None);
        let (first, second) = (request(&mut pager), request(&mut pager));
        assert_eq!(pager.answered(&first, PageAnswer::Status(404)), None);
        assert_eq!(pager.answered(&second, PageAnswer::Status(500)), None);
        assert!(pager.end_statuses(&first).is_empty());
        assert_eq!(pager.end_statuses(&second), [404]);
        let end = ListingEnd::NoSuchPage {
            number: Some(2),
            status: 404,
        };
        assert_eq!(pager.answered(&second, PageAnswer::Status(404)), Some(end));
    }

    #[test]
    fn a_listing_ends_after_consecutive_empty_pages_or_pages_without_news() {
        let mut pager = pager(None, None);
        let (one, two) = (request(&mut pager), request(&mut pager));
        assert_eq!(pager.answered(&one, PageAnswer::Empty), None);
        let news = PageAnswer::Items { new: 1 };
        assert_eq!(pager.answered(&one, news), None);
        assert_eq!(pager.answered(&one, PageAnswer::Empty), None);
        let end = ListingEnd::EmptyPage { number: Some(2) };
        assert_eq!(pager.answered(&two, PageAnswer::Empty), Some(end));

        let stale = PageAnswer::Items { new: 0 };
        assert_eq!(pager.answered(&one, stale), None);
        assert_eq!(pager.answered(&one, news), None);
        assert_eq!(pager.answered(&one, stale), None);
        let end = ListingEnd::NothingNew {
            number: Some(2),
            repeated_pages: 2,
        };
        assert_eq!(pager.answered(&two, stale), Some(end));
    }
}
