//! The producer of a site: reads its listing pages, some of them ahead, and enqueues the images that neither the ledger nor this
//! run has seen.

mod images;
mod notes;

use std::sync::Arc;

use images::Enqueued;
use jiff::tz::TimeZone;
use notes::ListingNotes;
use url::Url;

use super::EngineError;
use super::deferred::Deferred;
use super::discover::{Discovery, LateUrls};
use super::prefetch::{PageAhead, Prefetch};
use super::seen::Seen;
use super::url_list;
use crate::event::{Event, ListingEnd, ListingFailure, Warning};
use crate::fetch::{FetchError, Page};
use crate::site::{
    ErrorAction, ImageSource, ListingPage, PageAnswer, PageContent, PageRequest, Pager, Pages,
    Site, StatusMeaning, Step,
};

/// The most pages in a row that an error rule of the definition has passed over: beyond them no page will come.
const MAX_PASSED_OVER: usize = 100;

/// How reading a listing came to its end.
enum Stop {
    /// There are no more pages, or no more are wanted. With the page whose answer ended the listing, if one did.
    Ended(Option<Url>, ListingEnd),
    /// The page could not be read, or no longer looks like the site. With a copy of it.
    Failed(Url, ListingFailure, Option<String>),
    /// The run stopped first.
    Stopped,
}

/// Reads the listing to its end, and then `urls`; how the listing ended is an event.
pub(super) async fn run(
    discovery: Discovery,
    site: Arc<Site>,
    pages: Pages,
    urls: Option<LateUrls>,
) -> Result<(), EngineError> {
    let events = discovery.run.events.clone();
    let mut producer = Producer {
        discovery,
        site,
        seen: Seen::default(),
        deferred: Deferred::default(),
        pages: 0,
        resolved: 0,
        notes: ListingNotes::default(),
        last: None,
    };
    let stop = producer.read_listing(pages).await?;
    let end = match &stop {
        Stop::Ended(_, end) => Some(end),
        Stop::Failed(..) | Stop::Stopped => None,
    };
    for warning in std::mem::take(&mut producer.notes).warnings(end) {
        events.warn(warning).await;
    }
    match producer.give_up_deferred(stop).await? {
        Stop::Ended(page, reason) => {
            let pages = producer.pages;
            events
                .emit(Event::ListingEnded {
                    pages,
                    page,
                    reason,
                })
                .await;
            let lines = urls.map_or_else(Vec::new, |urls| urls());
            if !lines.is_empty() {
                let Producer {
                    discovery,
                    site,
                    mut seen,
                    ..
                } = producer;
                url_list::enqueue(&discovery, &ImageSource::Site(site), &mut seen, lines).await?;
            }
        }
        Stop::Failed(page, reason, copy) => {
            let failed = Event::ListingFailed { page, reason, copy };
            events.emit(failed).await;
        }
        Stop::Stopped => {}
    }
    Ok(())
}

struct Producer {
    discovery: Discovery,
    site: Arc<Site>,
    seen: Seen,
    deferred: Deferred,
    /// Pages with images that were read.
    pages: u32,
    /// Images with an original so far.
    resolved: usize,
    notes: ListingNotes,
    /// The page that was read last.
    last: Option<ReadPage>,
}

/// A page that was read, in case it turns out not to look as the definition says.
struct ReadPage {
    page: Page,
    shown: Url,
    /// How its items were found, as the definition writes it.
    select: String,
}

impl Producer {
    async fn read_listing(&mut self, pages: Pages) -> Result<Stop, EngineError> {
        let mut prefetch = self.prefetch(pages);
        self.deferred = Deferred::new(prefetch.pager().has_partial_answers());
        let mut passed_over = 0;
        loop {
            // The stop comes first: a page that has arrived must not begin new images any more.
            let next = tokio::select! {
                biased;
                () = self.discovery.run.shutdown.stopping() => return Ok(Stop::Stopped),
                next = prefetch.next() => next,
            };
            let Some((request, page)) = next else {
                return Ok(self.finished(prefetch.pager()).await);
            };
            let shown = self.discovery.run.shown(&request.url);
            let status = page.as_ref().err().and_then(FetchError::status);
            // With an end status (404) the listing is over; any other status is an error, below.
            let meaning = status.map(|status| prefetch.pager().refused(&request, status));
            match meaning {
                Some(StatusMeaning::End(end)) => return Ok(Stop::Ended(Some(shown), end)),
                Some(StatusMeaning::Hole) => continue,
                Some(StatusMeaning::Error) | None => {}
            }
            // What the definition says of an error that it knows comes next.
            match page.as_ref().err().and_then(FetchError::known_error) {
                Some((ErrorAction::End, _)) if request.is_inner() => continue,
                Some((ErrorAction::End, _)) => {
                    let end = if request.is_first {
                        ListingEnd::NothingFound
                    } else {
                        ListingEnd::NoSuchPage {
                            number: request.number,
                            status: status.unwrap_or_default(),
                        }
                    };
                    return Ok(Stop::Ended(Some(shown), end));
                }
                Some((ErrorAction::Skip, _)) if passed_over < MAX_PASSED_OVER => {
                    passed_over += 1;
                    self.emit_page_read(&request, shown, [0; 5]).await;
                    continue;
                }
                Some(_) | None => passed_over = 0,
            }
            let PageAhead { page, listing } = match page {
                Ok(page) => page,
                Err(error) => {
                    let failure = ListingFailure::Fetch {
                        status: error.status(),
                        cause: error.to_string(),
                    };
                    return Ok(Stop::Failed(shown, failure, None));
                }
            };
            let read = listing
                .and_then(|listing| self.take_links(prefetch.pager(), &request, &page, listing));
            let mut read_page = ReadPage {
                page,
                shown,
                select: String::new(),
            };
            let (content, listing) = match read {
                Ok(read) => read,
                Err(failure) => return Ok(self.failed(read_page, failure).await),
            };
            read_page.select.clone_from(&listing.health.sources.select);
            let shown = read_page.shown.clone();
            let answer = match content {
                PageContent::Items if request.is_wanted => {
                    self.pages += 1;
                    self.notes.add(&self.site, &shown, &listing);
                    match self.enqueue_page(&request, &shown, listing).await? {
                        Enqueued::All(answer) => answer,
                        Enqueued::NoOriginals(failure) => {
                            return Ok(self.failed(read_page, failure).await);
                        }
                        Enqueued::Stopped => return Ok(Stop::Stopped),
                    }
                }
                PageContent::Items => PageAnswer::Passed,
                PageContent::Links { new, repeated } => PageAnswer::Items { new, repeated },
                PageContent::Empty => PageAnswer::Empty,
            };
            match prefetch.pager().answered(&request, answer) {
                Step::GoesOn => {}
                Step::Ended(end) => return Ok(Stop::Ended(Some(shown), end)),
                Step::Failed(failure) => return Ok(self.failed(read_page, failure).await),
            }
            self.last = Some(read_page);
            // A page without images within the listing was read, too. The one that ends it is in `ListingEnded`.
            let has_images = matches!(content, PageContent::Items) && request.is_wanted;
            if !has_images {
                self.emit_page_read(&request, shown, [0; 5]).await;
            }
        }
    }

    /// Begins to request these pages of the listing.
    fn prefetch(&self, pages: Pages) -> Prefetch {
        let today = (self.discovery.run.clock)().to_zoned(TimeZone::UTC).date();
        let ahead = self.discovery.options.prefetch;
        // Without a last page nobody knows how many of them there are.
        let at_start = match pages.last {
            Some(_) => self.discovery.options.prefetch_at_start,
            None => ahead,
        };
        Prefetch::new(
            Arc::clone(&self.discovery.run.fetcher),
            Arc::clone(&self.site),
            self.site.pager(pages, today),
            ahead.get(),
            at_start.get(),
        )
    }

    /// How the listing ended, once there is no further page.
    async fn finished(&mut self, pager: &Pager) -> Stop {
        let (page, end) = pager.finish();
        let shown = page.map(|page| self.discovery.run.shown(&page));
        match end {
            Ok(end) => {
                if let (ListingEnd::NextRepeated { .. }, Some(page)) = (&end, &shown) {
                    let warning = Warning::ListingRepeats { page: page.clone() };
                    self.discovery.run.events.warn(warning).await;
                }
                Stop::Ended(None, end)
            }
            Err(failure) => match self.last.take() {
                Some(page) => self.failed(page, failure).await,
                None => Stop::Failed(
                    shown.unwrap_or_else(|| self.site.first_page()),
                    failure,
                    None,
                ),
            },
        }
    }

    /// The end of the listing at a page that does not look as the definition says.
    async fn failed(&mut self, page: ReadPage, mut failure: ListingFailure) -> Stop {
        // That a page is too short shows only when another one follows.
        let page = match &mut failure {
            ListingFailure::ShortPage { select, .. } => {
                let short = self.last.take().unwrap_or(page);
                select.clone_from(&short.select);
                short
            }
            _ => page,
        };
        let copy = match &self.discovery.options.page_copies {
            Some(copies) => {
                let masks = self.discovery.run.fetcher.masks();
                copies.keep(self.site.id(), &page.page, masks).await
            }
            None => None,
        };
        Stop::Failed(page.shown, failure, copy)
    }

    /// Passes what a page says of further pages to the pager.
    fn take_links(
        &self,
        pager: &mut Pager,
        request: &PageRequest,
        page: &Page,
        mut listing: ListingPage,
    ) -> Result<(PageContent, ListingPage), ListingFailure> {
        if let Some(target) = &page.next {
            listing.next.set_header_next(&page.url, target);
        }
        let fetcher = &self.discovery.run.fetcher;
        listing
            .next
            .canonicalize(|url| self.site.canonical(fetcher.canonical_page(&page.url, url)));
        let content = pager.read(&self.site, request, &listing)?;
        Ok((content, listing))
    }

    async fn emit_page_read(
        &self,
        request: &PageRequest,
        page: Url,
        [found, already_there, gone, repeated, left_out]: [usize; 5],
    ) {
        let number = request.number;
        self.discovery
            .run
            .events
            .emit(Event::PageRead {
                page,
                number,
                found,
                already_there,
                gone,
                repeated,
                left_out,
            })
            .await;
    }
}
