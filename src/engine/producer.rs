//! The producer of a site: reads its listing pages, a few ahead, and enqueues the images that neither the ledger nor this
//! run has seen.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use url::Url;

use super::EngineError;
use super::discover::Discovery;
use super::prefetch::Prefetch;
use crate::event::{Event, ListingEnd, ListingFailure};
use crate::fetch::{FetchError, Page};
use crate::job::{ImageKey, ImageRef, Job, Stem};
use crate::ledger::KnownState;
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::site::{ListingPage, PageAnswer, PageRequest, PageText, PageVerdict, Pages, Site};

/// How reading a listing came to its end.
enum Stop {
    /// There are no more pages, or no more are wanted. With the page whose answer ended the listing, if one did.
    Ended(Option<Url>, ListingEnd),
    /// The page could not be read, or no longer looks like the site.
    Failed(Url, ListingFailure),
    /// The run stopped first.
    Stopped,
}

/// Reads the listing to its end; how it ended is an event.
pub(super) async fn run(
    discovery: Discovery,
    site: Arc<Site>,
    pages: Pages,
) -> Result<(), EngineError> {
    let events = discovery.run.events.clone();
    let mut producer = Producer {
        discovery,
        site,
        seen: Seen::default(),
        pages: 0,
    };
    match producer.read_listing(pages).await? {
        Stop::Ended(page, reason) => {
            let pages = producer.pages;
            events
                .emit(Event::ListingEnded {
                    pages,
                    page,
                    reason,
                })
                .await;
        }
        Stop::Failed(page, reason) => {
            events.emit(Event::ListingFailed { page, reason }).await;
        }
        Stop::Stopped => {}
    }
    Ok(())
}

struct Producer {
    discovery: Discovery,
    site: Arc<Site>,
    seen: Seen,
    /// Pages with images that were read.
    pages: u32,
}

impl Producer {
    async fn read_listing(&mut self, pages: Pages) -> Result<Stop, EngineError> {
        let mut prefetch = Prefetch::new(
            Arc::clone(&self.discovery.run.fetcher),
            self.site.pager(pages),
            self.discovery.options.prefetch,
        );
        loop {
            // The stop comes first: a page that has arrived must not begin new images any more.
            let next = tokio::select! {
                biased;
                () = self.discovery.run.shutdown.stopping() => return Ok(Stop::Stopped),
                next = prefetch.next() => next,
            };
            let Some((request, page)) = next else {
                return Ok(Stop::Ended(None, ListingEnd::LastPageRequested));
            };
            let shown = self.discovery.run.shown(&request.url);
            let status = page.as_ref().err().and_then(FetchError::status);
            // With an end status (404) the listing is over; any other status is left to `read_page` as an error.
            let ended = status.and_then(|status| {
                prefetch
                    .pager()
                    .answered(&request, PageAnswer::Status(status))
            });
            if let Some(end) = ended {
                return Ok(Stop::Ended(Some(shown), end));
            }
            let answer = match self.read_page(&request, page) {
                Ok(Some(listing)) => {
                    prefetch.pager().follow(&listing);
                    self.pages += 1;
                    match self.enqueue_page(&request, &shown, listing).await? {
                        Ok(new) => PageAnswer::Items { new },
                        Err(stop) => return Ok(stop),
                    }
                }
                Ok(None) => PageAnswer::Empty,
                Err(failure) => return Ok(Stop::Failed(shown, failure)),
            };
            if let Some(end) = prefetch.pager().answered(&request, answer) {
                return Ok(Stop::Ended(Some(shown), end));
            }
            // An empty page within the listing was read, too. The one that ends it is in `ListingEnded`.
            if answer == PageAnswer::Empty {
                self.emit_page_read(&request, shown, [0; 4]).await;
            }
        }
    }

    /// Reads a page that arrived; `None` if it is empty like the one after the last.
    fn read_page(
        &self,
        request: &PageRequest,
        page: Result<Page, FetchError>,
    ) -> Result<Option<ListingPage>, ListingFailure> {
        let page = page.map_err(|error| ListingFailure::Fetch {
            status: error.status(),
            cause: error.to_string(),
        })?;
        let text = PageText {
            text: &page.text,
            encoding: page.encoding,
            is_xml: page.is_xml,
        };
        let listing = self.site.read(&page.url, text)?;
        match listing.health.verdict(request.is_first) {
            PageVerdict::Items => Ok(Some(listing)),
            PageVerdict::End => Ok(None),
            PageVerdict::Unexpected(failure) => Err(failure),
        }
    }

    /// Enqueues what is new on a page. Returns how many of its images this run had not seen, or why the listing stops
    /// here.
    async fn enqueue_page(
        &mut self,
        request: &PageRequest,
        shown: &Url,
        listing: ListingPage,
    ) -> Result<Result<usize, Stop>, EngineError> {
        let (without_thumb, unusable) = (listing.health.without_thumb, listing.health.unusable);
        if without_thumb + unusable > 0 {
            self.discovery
                .run
                .events
                .emit(Event::ItemsUnusable {
                    page: shown.clone(),
                    without_thumb,
                    unusable,
                })
                .await;
        }
        let images = listing.images.len();
        let Unseen { jobs, unresolved } = self.resolve_unseen(listing.images);
        let found = jobs.len() + unresolved.len();
        let lookups = jobs
            .iter()
            .map(|(job, stem)| (job.key.clone(), stem.clone()))
            .collect();
        let mut known = self
            .discovery
            .ledger
            .known(lookups, (self.discovery.run.clock)())
            .await?;
        if self.discovery.options.retry_gone {
            known.retain(|_key, state| !is_gone(state));
        }
        let gone = gone(&known);
        let counts = [found, known.len() - gone, gone, images - found];
        self.emit_page_read(request, shown.clone(), counts).await;
        // Only for the first page with images: if no rule matches there, the rules no longer fit the site. Later
        // pages may hold odd images, each of which is skipped.
        let failure = unresolved
            .first()
            .filter(|_| self.pages == 1 && jobs.is_empty())
            .map(|(_key, _thumb, why)| ListingFailure::NoOriginals {
                images: found,
                example: why.clone(),
            });
        self.report_skips(unresolved).await?;
        if let Some(failure) = failure {
            return Ok(Err(Stop::Failed(shown.clone(), failure)));
        }
        for (job, _stem) in jobs {
            if known.contains_key(&job.key) {
                continue;
            }
            if !self.discovery.send(job).await? {
                return Ok(Err(Stop::Stopped));
            }
        }
        Ok(Ok(found))
    }

    /// Reports the images of a page that have no original, each as new if no earlier run skipped it for this reason.
    async fn report_skips(
        &self,
        unresolved: Vec<(ImageKey, Url, SkipReason)>,
    ) -> Result<(), EngineError> {
        // Most pages skip nothing, and are spared the ledger's transaction.
        if unresolved.is_empty() {
            return Ok(());
        }
        let Discovery { run, ledger, .. } = &self.discovery;
        let skips = unresolved
            .iter()
            .map(|(key, _thumb, reason)| (key.clone(), reason.to_string()))
            .collect();
        let are_new = ledger.note_skips(skips, (run.clock)()).await?;
        for ((key, thumb, reason), new) in unresolved.into_iter().zip(are_new) {
            let address = run.shown(&thumb).into();
            let outcome = Outcome::Skipped(Skip {
                address,
                reason,
                new,
            });
            run.events.emit(Event::ImageFinished { key, outcome }).await;
        }
        Ok(())
    }

    async fn emit_page_read(
        &self,
        request: &PageRequest,
        page: Url,
        [found, already_there, gone, repeated]: [usize; 4],
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
            })
            .await;
    }

    /// Drops the images that this run has seen, and makes jobs of those that have an original.
    fn resolve_unseen(&mut self, mut images: Vec<ImageRef>) -> Unseen {
        let site = &self.site;
        self.discovery.run.fetcher.canonicalize(&mut images);
        let mut unseen = Unseen::default();
        for image in images {
            let resolved = site.resolve(&image);
            let key = resolved.as_ref().map_or_else(
                |_| site.key_without_original(&image),
                |resolved| resolved.key.clone(),
            );
            if !self.seen.insert(&key) {
                continue;
            }
            match resolved {
                Ok(resolved) => {
                    let job = self.discovery.job(key, image, resolved);
                    let stem = Stem::new(&job.stem);
                    unseen.jobs.push((job, stem));
                }
                Err(why) => unseen.unresolved.push((key, image.thumb, why)),
            }
        }
        unseen
    }
}

/// How many of the images that the ledger knows are gone from the site.
pub(super) fn gone(known: &HashMap<ImageKey, KnownState>) -> usize {
    known.values().filter(|state| is_gone(state)).count()
}

fn is_gone(state: &KnownState) -> bool {
    matches!(state, KnownState::Gone { .. })
}

/// A page's images that this run had not seen.
#[derive(Default)]
struct Unseen {
    jobs: Vec<(Job, Stem)>,
    /// Images without an original to request: the key made of the thumb, the thumb's canonical address, and why.
    unresolved: Vec<(ImageKey, Url, SkipReason)>,
}

/// The keys that this run has seen, as hashes of eight bytes: the keys of a million items would take a hundred megabytes.
///
/// For a million items, two different keys have the same hash with a probability of one in 30 million.
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
