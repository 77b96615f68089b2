//! The producer of a site: reads its listing pages, a few ahead, and enqueues the images that neither the ledger nor this
//! run has seen.

use std::sync::Arc;

use jiff::tz::TimeZone;
use url::Url;

use super::EngineError;
use super::deferred::{Deferred, Unresolved};
use super::discover::{Discovery, LateUrls};
use super::prefetch::Prefetch;
use super::seen::{Seen, gone, is_gone};
use super::url_list;
use crate::event::{Event, ListingEnd, ListingFailure, Warning};
use crate::fetch::{FetchError, Page};
use crate::job::{ImageKey, ImageRef, Job, Stem};
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::site::{
    ErrorAction, ImageSource, ListingPage, PageAnswer, PageContent, PageRequest, PageText, Pager,
    Pages, Site, StatusMeaning, Step,
};

/// The most pages in a row that an error rule of the definition has passed over: beyond them no page will come.
const MAX_PASSED_OVER: usize = 100;

/// How reading a listing came to its end.
enum Stop {
    /// There are no more pages, or no more are wanted. With the page whose answer ended the listing, if one did.
    Ended(Option<Url>, ListingEnd),
    /// The page could not be read, or no longer looks like the site.
    Failed(Url, ListingFailure),
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
    };
    let stop = producer.read_listing(pages).await?;
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
    deferred: Deferred,
    /// Pages with images that were read.
    pages: u32,
    /// Images with an original so far.
    resolved: usize,
}

impl Producer {
    async fn read_listing(&mut self, pages: Pages) -> Result<Stop, EngineError> {
        let today = (self.discovery.run.clock)().to_zoned(TimeZone::UTC).date();
        let mut prefetch = Prefetch::new(
            Arc::clone(&self.discovery.run.fetcher),
            self.site.pager(pages, today),
            self.discovery.options.prefetch.get(),
        );
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
            // With an end status (404) the listing is over; any other status is left to `read_page` as an error.
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
                    let end = ListingEnd::NoSuchPage {
                        number: request.number,
                        status: status.unwrap_or_default(),
                    };
                    return Ok(Stop::Ended(Some(shown), end));
                }
                Some((ErrorAction::Skip, _)) if passed_over < MAX_PASSED_OVER => {
                    passed_over += 1;
                    self.emit_page_read(&request, shown, [0; 4]).await;
                    continue;
                }
                Some(_) | None => passed_over = 0,
            }
            let (content, listing) = match self.read_page(prefetch.pager(), &request, page) {
                Ok(read) => read,
                Err(failure) => return Ok(Stop::Failed(shown, failure)),
            };
            let answer = match content {
                PageContent::Items if request.is_wanted => {
                    self.pages += 1;
                    match self.enqueue_page(&request, &shown, listing).await? {
                        Ok(answer) => answer,
                        Err(stop) => return Ok(stop),
                    }
                }
                PageContent::Items => PageAnswer::Passed,
                PageContent::Links { new, repeated } => PageAnswer::Items { new, repeated },
                PageContent::Empty => PageAnswer::Empty,
            };
            match prefetch.pager().answered(&request, answer) {
                Step::GoesOn => {}
                Step::Ended(end) => return Ok(Stop::Ended(Some(shown), end)),
                Step::Failed(failure) => return Ok(Stop::Failed(shown, failure)),
            }
            // A page without images within the listing was read, too. The one that ends it is in `ListingEnded`.
            let has_images = matches!(content, PageContent::Items) && request.is_wanted;
            if !has_images {
                self.emit_page_read(&request, shown, [0; 4]).await;
            }
        }
    }

    /// How the listing ended, once there is no further page.
    async fn finished(&self, pager: &Pager) -> Stop {
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
            Err(failure) => {
                let page = shown.unwrap_or_else(|| self.site.first_page());
                Stop::Failed(page, failure)
            }
        }
    }

    /// Reads a page that arrived, and passes what it says of further pages to the pager.
    fn read_page(
        &self,
        pager: &mut Pager,
        request: &PageRequest,
        page: Result<Page, FetchError>,
    ) -> Result<(PageContent, ListingPage), ListingFailure> {
        let page = page.map_err(|error| ListingFailure::Fetch {
            status: error.status(),
            cause: error.to_string(),
        })?;
        let text = PageText {
            text: &page.text,
            encoding: page.encoding,
            is_xml: page.is_xml,
        };
        let mut listing = self.site.read(&page.url, text)?;
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

    /// Reports the images that no page completed.
    async fn give_up_deferred(&mut self, stop: Stop) -> Result<Stop, EngineError> {
        let left = self.deferred.take();
        let failure = left
            .first()
            .filter(|_| self.resolved == 0)
            .map(|(_key, thumb, why)| {
                let reason = ListingFailure::NoOriginals {
                    images: left.len(),
                    example: why.clone(),
                };
                (self.discovery.run.shown(thumb), reason)
            });
        self.report_skips(left).await?;
        Ok(match (stop, failure) {
            (Stop::Ended(page, _), Some((thumb, failure))) => {
                Stop::Failed(page.unwrap_or(thumb), failure)
            }
            (stop, _) => stop,
        })
    }

    /// Enqueues what is new on a page. Returns what its images were to this run, or why the listing stops here.
    async fn enqueue_page(
        &mut self,
        request: &PageRequest,
        shown: &Url,
        listing: ListingPage,
    ) -> Result<Result<PageAnswer, Stop>, EngineError> {
        let (without_thumb, unusable) = (listing.health.without_thumb, listing.health.unusable);
        // Where answers are partial, another one has what these items lack.
        if without_thumb + unusable > 0 && !self.deferred.is_on() {
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
        let Unseen {
            jobs,
            unresolved,
            completed,
        } = self.resolve_unseen(listing.images);
        self.resolved += jobs.len();
        let new = jobs.len() + unresolved.len();
        // An image that an earlier page showed without an original was found there.
        let (found, repeated) = (new - completed, images - new);
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
        let counts = [found, known.len() - gone, gone, repeated];
        self.emit_page_read(request, shown.clone(), counts).await;
        // Only for the first page with images: if no rule matches there, the rules no longer fit the site. Later
        // pages may hold odd images, each of which is skipped.
        let failure = unresolved
            .first()
            .filter(|_| self.pages == 1 && jobs.is_empty() && !self.deferred.is_on())
            // Images on hosts that the user does not want are no sign of rules that do not fit.
            .filter(|_| !unresolved.iter().all(is_elsewhere))
            .map(|(_key, _thumb, why)| ListingFailure::NoOriginals {
                images: found,
                example: why.clone(),
            });
        let unresolved = self.deferred.keep(unresolved);
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
        Ok(Ok(PageAnswer::Items { new, repeated }))
    }

    /// Reports the images of a page that have no original, each as new if no earlier run skipped it for this reason.
    async fn report_skips(&self, unresolved: Vec<Unresolved>) -> Result<(), EngineError> {
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
            let is_new = self.seen.insert(&key);
            match resolved {
                Ok(resolved) if is_new || self.deferred.complete(&key) => {
                    unseen.completed += usize::from(!is_new);
                    let job = self.discovery.job(key, image, resolved);
                    let stem = Stem::new(&job.stem);
                    unseen.jobs.push((job, stem));
                }
                Err(why) if is_new => unseen.unresolved.push((key, image.thumb, why)),
                Ok(_) | Err(_) => {}
            }
        }
        unseen
    }
}

fn is_elsewhere((_key, _thumb, why): &(ImageKey, Url, SkipReason)) -> bool {
    matches!(why, SkipReason::OtherHost(_))
}

/// A page's images that this run had not seen, or not with an original.
#[derive(Default)]
struct Unseen {
    jobs: Vec<(Job, Stem)>,
    /// Those without an original to request.
    unresolved: Vec<Unresolved>,
    /// Jobs of images that an earlier page had shown without an original.
    completed: usize,
}
