//! Listing pages that are requested ahead of the one being processed.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio_util::task::AbortOnDropHandle;

use super::joined;
use crate::event::ListingFailure;
use crate::fetch::{FetchError, Fetcher, Page};
use crate::site::{ListingPage, NextPage, PageRequest, PageText, Pager, Site};

/// A page that has arrived, and what is on it.
pub(super) struct PageAhead {
    pub(super) page: Page,
    pub(super) listing: Result<ListingPage, ListingFailure>,
}

/// The page requests in flight, in the listing's order.
///
/// Each has its own task, so that it continues while the producer waits for a slot in the queue, and a page is read
/// while the producer is at the one before. The tasks are few (see [`super::pages_ahead`] and [`super::pages_at_start`]), and
/// end when this is dropped.
pub(super) struct Prefetch {
    fetcher: Arc<Fetcher>,
    site: Arc<Site>,
    pager: Pager,
    /// Pages to have in flight beside the one that is waited for,
    ahead: usize,
    /// and beside the first one.
    at_start: usize,
    /// A request that was taken from the pager and not spawned yet.
    next: Option<PageRequest>,
    robots_read: bool,
    /// Held while a page is read: one that is costly by its maker's will keeps no more than one thread from other work.
    reading: Arc<Mutex<()>>,
    in_flight: VecDeque<(
        PageRequest,
        AbortOnDropHandle<Result<PageAhead, FetchError>>,
    )>,
}

impl Prefetch {
    /// Requests `ahead` pages beside the one that is waited for, and `at_start` beside the first if the host allows any
    /// pace; fewer where the definition says so.
    pub(super) fn new(
        fetcher: Arc<Fetcher>,
        site: Arc<Site>,
        pager: Pager,
        ahead: usize,
        at_start: usize,
    ) -> Self {
        let most = pager.ahead().unwrap_or(usize::MAX);
        Self {
            fetcher,
            site,
            pager,
            ahead: ahead.min(most),
            at_start: at_start.min(most),
            next: None,
            robots_read: false,
            reading: Arc::default(),
            in_flight: VecDeque::new(),
        }
    }

    /// The pager. It decides from the answers of the pages which one comes next, so each answer is passed to it.
    pub(super) fn pager(&mut self) -> &mut Pager {
        &mut self.pager
    }

    /// Waits for the next page in the listing's order; `None` after the last one that is wanted. Cancel-safe: a request
    /// that was taken from the pager is kept in `next` until its task is spawned.
    pub(super) async fn next(&mut self) -> Option<(PageRequest, Result<PageAhead, FetchError>)> {
        let mut ahead = self.ahead;
        if !self.robots_read {
            self.next = self.next.take().or_else(|| next_request(&mut self.pager));
            // Before any page is requested: the connection is then free for the first page, which all workers wait
            // for. If several pages waited for robots.txt at once, they would be requested in any order afterwards.
            if let Some(first) = &self.next {
                self.fetcher.load_robots(&first.url).await;
                if !self.fetcher.has_interval(&first.url) {
                    ahead = self.at_start;
                }
            }
            self.robots_read = true;
        }
        // The workers that the last page brought jobs for go first: to the connection that it has left. The first image
        // then comes a round trip earlier.
        yield_now().await;
        while self.in_flight.len() <= ahead {
            let Some(request) = self.next.take().or_else(|| next_request(&mut self.pager)) else {
                break;
            };
            let (fetcher, site) = (Arc::clone(&self.fetcher), Arc::clone(&self.site));
            let reading = Arc::clone(&self.reading);
            let url = request.url.clone();
            let end_statuses = self.pager.end_statuses(&request).to_vec();
            let page = tokio::spawn(async move {
                let page = fetcher.listing_page(&url, &end_statuses).await?;
                let text = PageText {
                    text: &page.text,
                    encoding: page.encoding,
                    is_xml: page.is_xml,
                };
                let _alone = reading.lock().await;
                let listing = site.read(&page.url, text);
                Ok(PageAhead { page, listing })
            });
            self.in_flight
                .push_back((request, AbortOnDropHandle::new(page)));
            // Tokio runs the task spawned last first: without this the pages would be requested in reverse order.
            yield_now().await;
        }
        let (_, page) = self.in_flight.front_mut()?;
        let page = joined(page.await);
        let (request, _) = self.in_flight.pop_front()?;
        Some((request, page))
    }
}

/// The request that may be made now. A pager that needs an answer first is tried again when that has arrived.
fn next_request(pager: &mut Pager) -> Option<PageRequest> {
    match pager.next_page() {
        NextPage::Request(request) => Some(request),
        NextPage::AfterAnswer | NextPage::NoMore => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::civil::date;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, path_of, settings};
    use crate::fetch::{FetchSettings, Robots};
    use crate::site::Pages;

    /// How many pages are in flight behind the first one, of ten that are wanted, where one is requested ahead later and
    /// five at the start.
    async fn in_flight(lines: &str, robots: &'static str, wait: Duration) -> usize {
        let server = Server::start(move |head| match path_of(head) {
            "/robots.txt" => Reply::ok(robots),
            _ => Reply::ok(r#"[{"image": "/1.png"}]"#),
        })
        .await;
        let base = server.url("/");
        let definition = format!(
            "[site]
            name = 'small'
            base = '{base}'
            [listing]
            kind = 'json'
            url = '/api?page={{page}}'
            {lines}
            stop = {{ empty = true }}
            [item]
            select = '/*'
            fields = {{ url = '/image' }}
            [[full]]
            field = 'url'"
        );
        let site = Site::from_toml(&definition).unwrap_or_else(|error| panic!("{error}"));
        let settings = FetchSettings {
            robots: Robots::Obey,
            wait,
            ..settings()
        };
        let ten = Pages {
            first: Some(1),
            last: Some(10),
        };
        let pager = site.pager(ten, date(2026, 1, 1));
        let fetcher = Arc::new(server.fetcher_with(&settings));
        let mut prefetch = Prefetch::new(fetcher, Arc::new(site), pager, 1, 5);
        let (_, first) = prefetch.next().await.unwrap();
        assert!(first.is_ok(), "{:?}", first.err());
        prefetch.in_flight.len()
    }

    #[tokio::test]
    async fn as_many_pages_are_requested_at_the_start_as_host_and_definition_allow() {
        let (none, slow) = (Duration::ZERO, "User-agent: *\nCrawl-delay: 0.01");
        assert_eq!(in_flight("", "", none).await, 5);
        assert_eq!(in_flight("", "", Duration::from_millis(10)).await, 1);
        assert_eq!(in_flight("", slow, none).await, 1);
        assert_eq!(in_flight("ahead = 3", "", none).await, 3);
        assert_eq!(in_flight("ahead = 0", "", none).await, 0);
    }
}
