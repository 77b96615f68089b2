//! The first half of a run: finds images that are not in the collection, and makes jobs of them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use url::Url;

use super::seen::is_absent;
use super::{EngineError, GivenLine, PageCopies, Run, producer, url_list};
use crate::event::Event;
use crate::job::{
    Candidate, ImageRef, Job, JobLimits, JobVersion, Resolved, RulesHash, SiteId, Stem, Tried,
};
use crate::ledger::{Known, KnownState, Ledger};
use crate::mask::Masks;
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::queue::{JobSender, QueueError};
use crate::site::{ImageSource, Pages, Site, fit_stem};
use crate::verify::Limits;

/// URLs that are asked for when they are wanted.
pub type LateUrls = Box<dyn FnOnce() -> Vec<GivenLine> + Send>;

/// Where images are looked for.
pub enum Source {
    /// In the site's listing, on these pages.
    Listing(Arc<Site>, Pages),
    /// The same, and once the listing has ended among URLs that are known then.
    ListingThenUrls(Arc<Site>, Pages, LateUrls),
    /// Among URLs that the user gives, in batches.
    UrlList(ImageSource, mpsc::Receiver<Vec<GivenLine>>),
}

impl Source {
    /// The site whose images are looked for.
    pub(super) fn site(&self) -> &SiteId {
        match self {
            Self::Listing(site, _) | Self::ListingThenUrls(site, _, _) => site.id(),
            Self::UrlList(source, _) => source.id(),
        }
    }

    /// The rules by which images are found, as text.
    fn rules(&self) -> &str {
        match self {
            Self::Listing(site, _) | Self::ListingThenUrls(site, _, _) => site.rules(),
            Self::UrlList(source, _) => source.rules(),
        }
    }

    /// The site's name, its least width and height, and whether it shows smaller images beside its originals.
    fn id_and_sizes(&self, options: &DiscoverOptions) -> (SiteId, (u32, u32), bool) {
        match self {
            Self::Listing(site, _) | Self::ListingThenUrls(site, _, _) => {
                // Of a listing the user takes what is large enough.
                let is_filter = options.min_width.or(options.min_height).is_some();
                let skips_small = is_filter || site.skips_small();
                (site.id().clone(), site.min_size(), skips_small)
            }
            // A small image is not what the user named.
            Self::UrlList(source, _) => (source.id().clone(), source.min_size(), false),
        }
    }
}

/// How images are looked for, and what their jobs carry of the user's settings.
#[derive(Debug, Clone)]
pub struct DiscoverOptions {
    /// Listing pages requested ahead of the one whose images are being queued.
    pub prefetch: NonZeroUsize,
    /// Listing pages requested ahead of the first one, where the user has named the last page and the host has no interval.
    pub prefetch_at_start: NonZeroUsize,
    /// What an image may declare.
    pub limits: Limits,
    /// The least width of an image in pixels, where not the definition's own counts.
    pub min_width: Option<u32>,
    /// The least height of an image in pixels, where not the definition's own counts.
    pub min_height: Option<u32>,
    /// Request again what the site said lately is gone.
    pub retry_gone: bool,
    /// How the run reaches a site, as far as that decides what the site has: a mirror, the web archive.
    pub route: String,
    /// The least time between two requests to one host.
    pub wait: Duration,
    /// The longest file name that the place of the images takes, in bytes.
    pub longest_name: usize,
    /// Where a copy of a listing page goes that does not look as the definition says.
    pub page_copies: Option<PageCopies>,
}

/// Images on a usual listing page. A page keeps this many workers busy for one round trip, so one more page is
/// requested ahead for each 28 workers.
const IMAGES_PER_PAGE: usize = 28;

/// How many listing pages to request ahead so that `jobs` workers never wait for the listing.
pub const fn pages_ahead(jobs: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(jobs.get().div_ceil(IMAGES_PER_PAGE))
}

/// The most listing pages requested ahead at the start, as far as more are not needed later too. They are in memory until
/// their turn comes, each of them up to the limit of a page's size.
const MAX_AT_START: usize = 24;

/// How many listing pages to request ahead of the first one: as many as `jobs` workers will be idle while the others
/// fetch the images of that page, if it is a usual one. The connections that the pages open serve images afterwards, each a
/// round trip earlier (measured at 50 ms with 50 jobs: 1.697 s for 1,400 images, and 1.716 s without). Where the user
/// wants more pages than the listing has, the requests beyond its end are in vain.
pub fn pages_at_start(jobs: NonZeroUsize) -> NonZeroUsize {
    let idle = jobs.get().saturating_sub(IMAGES_PER_PAGE).min(MAX_AT_START);
    NonZeroUsize::new(idle).map_or_else(|| pages_ahead(jobs), |idle| idle.max(pages_ahead(jobs)))
}

/// Reads `source` to its end and sends a job for every image that neither the ledger nor this run has seen. Drops
/// `jobs` when it returns, from which the workers learn that no more jobs come.
///
/// # Errors
///
/// When the ledger or the queue breaks. A listing that cannot be read is reported as an event.
pub async fn discover(
    run: Run,
    ledger: Arc<dyn Ledger>,
    source: Source,
    options: DiscoverOptions,
    jobs: Box<dyn JobSender>,
) -> Result<(), EngineError> {
    let (site_id, (min_width, min_height), skips_small) = source.id_and_sizes(&options);
    // The user's own minimum wins in both directions: a definition cannot know what a screen needs.
    let min_size = (
        options.min_width.unwrap_or(min_width),
        options.min_height.unwrap_or(min_height),
    );
    let sizes = format!("{min_size:?} {skips_small}");
    let discovery = Discovery {
        run,
        site_id,
        rules: RulesHash::of([source.rules(), &sizes, &options.route]),
        min_size,
        skips_small,
        ledger,
        options,
        jobs,
    };
    match source {
        Source::Listing(site, pages) => producer::run(discovery, site, pages, None).await,
        Source::ListingThenUrls(site, pages, urls) => {
            producer::run(discovery, site, pages, Some(urls)).await
        }
        Source::UrlList(source, lines) => url_list::run(discovery, source, lines).await,
    }
}

/// An image that the run meets for the first time.
pub(super) struct NewImage {
    pub(super) image: ImageRef,
    pub(super) resolved: Resolved,
    /// Whether it is requested even if the ledger says that it was gone or left out lately.
    asks_again: bool,
    /// The stem of its file, once [`Discovery::look_up`] has found that it has to be fetched.
    stem: String,
}

impl NewImage {
    pub(super) fn new(image: ImageRef, resolved: Resolved, asks_again: bool) -> Self {
        Self {
            image,
            resolved,
            asks_again,
            stem: String::new(),
        }
    }

    /// The address that is requested first.
    pub(super) fn original(&self) -> &Url {
        let first = self.resolved.candidates.first();
        first.map_or(&self.image.page, Candidate::url)
    }
}

/// What both kinds of source need.
pub(super) struct Discovery {
    pub(super) run: Run,
    pub(super) site_id: SiteId,
    /// What the images are looked for by.
    rules: RulesHash,
    /// The least width and height of an original.
    min_size: (u32, u32),
    /// Whether a smaller one is skipped, and does not count as failed.
    skips_small: bool,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) options: DiscoverOptions,
    jobs: Box<dyn JobSender>,
}

impl Discovery {
    /// Looks up what the ledger knows of each of these images, and names those that have to be fetched: the others, which
    /// are most, never need their names.
    pub(super) async fn look_up(
        &self,
        images: &mut [NewImage],
        stem: impl Fn(&ImageRef, &[Candidate], &Masks) -> String + Send,
    ) -> Result<Vec<Option<KnownState>>, EngineError> {
        let now = (self.run.clock)();
        let keys = images.iter().map(|image| image.resolved.key.clone());
        let known = self.ledger.known(keys.collect(), self.rules, now);
        let Known {
            mut states,
            has_adopted,
        } = known.await?;
        let masks = self.run.fetcher.masks();
        let (mut unknown, mut named) = (Vec::new(), Vec::new());
        for (image, state) in images.iter_mut().zip(&mut states) {
            let absent = state.take_if(|state| image.asks_again && is_absent(state));
            if state.is_some() {
                continue;
            }
            let whole = stem(&image.image, &image.resolved.candidates, masks);
            image.stem = fit_stem(whole, self.options.longest_name);
            // An image that was gone and is asked for again is fetched, even if a file has its name.
            if has_adopted && absent.is_none() {
                unknown.push(state);
                named.push((image.resolved.key.clone(), Stem::new(&image.stem)));
            }
        }
        if !named.is_empty() {
            let adopted = self.ledger.adopted(named).await?;
            for (state, is_adopted) in unknown.into_iter().zip(adopted) {
                *state = is_adopted.then_some(KnownState::Saved);
            }
        }
        Ok(states)
    }

    /// The job for an image, with everything that a worker needs: workers know no site.
    pub(super) fn job(&self, image: NewImage) -> Job {
        let NewImage {
            image,
            resolved,
            stem,
            asks_again: _,
        } = image;
        let masks = self.run.fetcher.masks();
        let title = image.title.map(|title| masks.apply(&title).into_owned());
        let (min_width, min_height) = self.min_size;
        Job {
            version: JobVersion,
            key: resolved.key,
            site: self.site_id.clone(),
            candidates: resolved.candidates,
            stem,
            page: image.page,
            title,
            declared: resolved.declared,
            limits: JobLimits {
                min_width,
                min_height,
                skips_small: self.skips_small,
                max_pixels: self.options.limits.max_pixels,
            },
            rules: self.rules,
            wait: self.options.wait,
            tried: Tried::default(),
        }
    }

    /// Reports an image that an earlier run left out; `new` if the user is to see it all the same.
    pub(super) async fn report_skip(&self, image: NewImage, reason: SkipReason, new: bool) {
        let original = image.original();
        let outcome = Outcome::Skipped(Skip {
            address: self.run.shown(original).into(),
            reason,
            new,
        });
        let key = image.resolved.key;
        self.run
            .events
            .emit(Event::ImageFinished { key, outcome })
            .await;
    }

    /// Sends a job, waiting while the queue is full; false when no new image may begin, or nobody takes jobs.
    pub(super) async fn send(&self, job: Job) -> Result<bool, EngineError> {
        // A full queue must not hold up a run that was asked to stop. The job that loses the race is in no ledger
        // yet, so the next run finds it again.
        let sent = tokio::select! {
            biased;
            () = self.run.shutdown.stopping() => return Ok(false),
            sent = self.jobs.send(job) => sent,
        };
        is_taken(sent)
    }

    /// Passes on the jobs of a page; false as for [`Discovery::send`].
    pub(super) async fn flush(&self) -> Result<bool, EngineError> {
        let flushed = tokio::select! {
            biased;
            () = self.run.shutdown.stopping() => return Ok(false),
            flushed = self.jobs.flush() => flushed,
        };
        is_taken(flushed)
    }
}

/// Whether a queue took what it was given; false when nobody takes jobs any more.
fn is_taken<T>(sent: Result<T, QueueError>) -> Result<bool, EngineError> {
    match sent {
        Ok(_) => Ok(true),
        Err(QueueError::Closed) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
