//! The producer: walks a site's listing pages, a few ahead, and hands on what neither the ledger nor this run has seen.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use tokio::task::yield_now;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::discover::Discovery;
use super::{EngineError, joined};
use crate::event::{Event, Warning};
use crate::fetch::{FetchError, Fetcher, Page};
use crate::job::{ImageKey, ImageRef, Job, Stem};
use crate::outcome::{Outcome, SkipReason};
use crate::site::{ListingPage, PageVerdict, Site};

/// Which listing pages are wanted, by number, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// The first.
    pub first: u32,
    /// The last; without one, whatever the site has.
    pub last: Option<u32>,
}

/// Why a listing was read no further.
enum ListingEnd {
    /// There is no more, or no more was wanted: the reason.
    Reached(String),
    /// The page could not be read, or no longer looks like the site.
    Failed { page: Url, cause: String },
    /// The run ended first.
    Stopped,
}

/// So many pages in a row that show only what earlier ones showed mean that the site repeats itself.
const PAGES_WITHOUT_NEWS: u32 = 2;

/// Walks the listing; how it ended is told as an event.
pub(super) async fn run(discovery: Discovery, wanted: Pages) -> Result<(), EngineError> {
    let events = discovery.run.events.clone();
    let mut producer = Producer {
        discovery,
        wanted,
        seen: Seen::default(),
        pages: 0,
    };
    match producer.walk().await? {
        ListingEnd::Reached(because) => {
            let pages = producer.pages;
            events.emit(Event::ListingEnded { pages, because }).await;
        }
        ListingEnd::Failed { page, cause } => {
            events.emit(Event::ListingFailed { page, cause }).await
        }
        ListingEnd::Stopped => {}
    }
    Ok(())
}

struct Producer {
    discovery: Discovery,
    wanted: Pages,
    seen: Seen,
    pages: u32,
}

impl Producer {
    async fn walk(&mut self) -> Result<ListingEnd, EngineError> {
        let mut ahead = Prefetch::new(&self.discovery, self.wanted);
        let mut without_news = 0;
        let mut empty = 0;
        loop {
            let next = tokio::select! {
                biased;
                () = self.discovery.run.shutdown.stopping() => return Ok(ListingEnd::Stopped),
                next = ahead.next() => next,
            };
            let Some((number, page)) = next else {
                return Ok(ListingEnd::Reached(
                    "the last page asked for was read".to_owned(),
                ));
            };
            let read = match self.read(number, page) {
                Ok(read) => read,
                Err(ending) => return Ok(ending),
            };
            let Some((address, listing)) = read else {
                empty += 1;
                if empty == self.discovery.site.ends_after() {
                    return Ok(ListingEnd::Reached(format!("page {number} is empty")));
                }
                let page = self.discovery.site.page(number);
                self.discovery
                    .run
                    .events
                    .emit(Event::PageRead {
                        page,
                        number,
                        found: 0,
                        known: 0,
                        repeated: 0,
                    })
                    .await;
                continue;
            };
            empty = 0;
            self.pages += 1;
            let news = match self.hand_on(number, address, listing).await? {
                Ok(news) => news,
                Err(ending) => return Ok(ending),
            };
            without_news = if news == 0 { without_news + 1 } else { 0 };
            if without_news == PAGES_WITHOUT_NEWS {
                return Ok(ListingEnd::Reached(format!(
                    "page {number} and the one before it showed nothing new"
                )));
            }
        }
    }

    /// Reads a page that arrived: nothing when it is empty as one behind the last is. Or says why the listing ends
    /// with it.
    fn read(
        &self,
        number: u32,
        page: Result<Page, FetchError>,
    ) -> Result<Option<(Url, ListingPage)>, ListingEnd> {
        let site = &self.discovery.site;
        let address = site.page(number);
        let is_first = number == site.start();
        let failed = |cause: String| ListingEnd::Failed {
            page: self.discovery.run.shown(&address),
            cause,
        };
        let page = match page {
            Ok(page) => page,
            Err(error)
                if !is_first && error.status().is_some_and(|status| site.ends_at(status)) =>
            {
                return Err(ListingEnd::Reached(format!("there is no page {number}")));
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let listing = site
            .read(&page.asked, &page.text)
            .map_err(|error| failed(error.to_string()))?;
        match listing.health.look(is_first) {
            PageVerdict::Items => Ok(Some((address, listing))),
            PageVerdict::End => Ok(None),
            PageVerdict::Unexpected(why) => Err(failed(why.to_owned())),
        }
    }

    /// Hands on what is new on a page, and answers with how much this run had not seen before, or with why the
    /// listing ends here.
    async fn hand_on(
        &mut self,
        number: u32,
        page: Url,
        listing: ListingPage,
    ) -> Result<Result<usize, ListingEnd>, EngineError> {
        let passed_over = listing.health.without_thumb + listing.health.unusable;
        if passed_over > 0 {
            let warning = Warning::ItemsWithoutAddress {
                page: self.discovery.run.shown(&page),
                items: passed_over,
            };
            self.discovery.run.events.warn(warning).await;
        }
        let shown = listing.images.len();
        let sorted = self.sort(listing.images);
        let found = sorted.new.len() + sorted.unruly.len();
        let asked = sorted
            .new
            .iter()
            .map(|(job, stem)| (job.key.clone(), stem.clone()))
            .collect();
        let known = self
            .discovery
            .ledger
            .known(asked, (self.discovery.run.clock)())
            .await?;
        let (known_here, repeated) = (known.len(), shown - found);
        let read = Event::PageRead {
            page: page.clone(),
            number,
            found,
            known: known_here,
            repeated,
        };
        self.discovery.run.events.emit(read).await;
        // Judged by the first page alone: a rule that fits nothing there no longer fits the site.
        let misfit = sorted
            .unruly
            .first()
            .filter(|_| self.pages == 1 && sorted.new.is_empty());
        let misfit = misfit.map(|(_key, why)| {
            format!("not one of the {found} thumbs on it has an original: {why}")
        });
        for (key, why) in sorted.unruly {
            let outcome = Outcome::Skipped(why);
            self.discovery
                .run
                .events
                .emit(Event::ImageFinished { key, outcome })
                .await;
        }
        if let Some(cause) = misfit {
            return Ok(Err(ListingEnd::Failed {
                page: self.discovery.run.shown(&page),
                cause,
            }));
        }
        for (job, _stem) in sorted.new {
            if known.contains_key(&job.key) {
                continue;
            }
            if !self.discovery.send(job).await? {
                return Ok(Err(ListingEnd::Stopped));
            }
        }
        Ok(Ok(found))
    }

    /// Tells what this run has not seen yet from what it has, and what has an original from what has none.
    fn sort(&mut self, mut images: Vec<ImageRef>) -> Sorted {
        let site = &self.discovery.site;
        self.discovery.run.fetcher.home(&mut images);
        let mut sorted = Sorted::default();
        for image in images {
            let resolved = site.resolve(&image);
            let address = resolved
                .as_ref()
                .map_or(&image.thumb, |resolved| &resolved.originals[0]);
            let key = ImageKey::new(site.id(), address);
            if !self.seen.insert(&key) {
                continue;
            }
            match resolved {
                Ok(resolved) => {
                    let stem = Stem::new(&resolved.stem);
                    sorted
                        .new
                        .push((self.discovery.job(key, image, resolved), stem));
                }
                Err(why) => sorted.unruly.push((key, why)),
            }
        }
        sorted
    }
}

/// A page's images that this run had not seen.
#[derive(Default)]
struct Sorted {
    new: Vec<(Job, Stem)>,
    /// Those that have no original to ask for, by the thumb's address, and why.
    unruly: Vec<(ImageKey, SkipReason)>,
}

/// The keys this run has seen, eight bytes each: a million items must not cost a hundred megabytes.
///
/// Two keys of one run meet with a probability of one in 30 million for a million items.
#[derive(Default)]
pub(super) struct Seen {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Seen {
    /// Whether `key` is new.
    pub(super) fn insert(&mut self, key: &ImageKey) -> bool {
        self.hashes.insert(self.hasher.hash_one(key))
    }
}

/// The pages being asked for, in their order. Each has a task of its own, so that it goes on while the queue is full.
struct Prefetch {
    fetcher: Arc<Fetcher>,
    site: Arc<Site>,
    wanted: Pages,
    /// How many, beside the one that is waited for.
    ahead: usize,
    next: Option<u32>,
    asked: VecDeque<(u32, AbortOnDropHandle<Result<Page, FetchError>>)>,
}

impl Prefetch {
    fn new(discovery: &Discovery, wanted: Pages) -> Self {
        Self {
            fetcher: Arc::clone(&discovery.run.fetcher),
            site: Arc::clone(&discovery.site),
            wanted,
            ahead: discovery.options.prefetch.get(),
            next: Some(wanted.first),
            asked: VecDeque::new(),
        }
    }

    /// The next page, or `None` after the last one wanted. Cancel-safe.
    async fn next(&mut self) -> Option<(u32, Result<Page, FetchError>)> {
        if self.next == Some(self.wanted.first) {
            // Its connection is free again then, and the page that everybody waits for goes there first.
            self.fetcher
                .read_rules(&self.site.page(self.wanted.first))
                .await;
        }
        // One more than ahead: the one being waited for.
        while self.asked.len() <= self.ahead {
            let Some(number) = self.next else { break };
            let wanted = self.wanted.last.is_none_or(|last| number <= last);
            if !wanted {
                break;
            }
            self.next = number.checked_add(1);
            let fetcher = Arc::clone(&self.fetcher);
            let address = self.site.page(number);
            let page = tokio::spawn(async move { fetcher.page(&address).await });
            self.asked.push_back((number, AbortOnDropHandle::new(page)));
            // The task that was begun last would run first.
            yield_now().await;
        }
        let (number, page) = self.asked.front_mut()?;
        let (number, page) = (*number, joined(page.await));
        self.asked.pop_front();
        Some((number, page))
    }
}
