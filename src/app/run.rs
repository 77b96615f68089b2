//! Starts the engine for a command: what `fetch` and `verify --repair` both do.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::bail;
use tokio::sync::mpsc;
use url::Url;

use super::collection::Collection;
use super::console::print_note;
use super::environment::Environment;
use super::targets::SiteSession;
use crate::config::file::is_world_readable;
use crate::config::{Options, SecretSource, Settings};
use crate::engine::{
    self, DiscoverOptions, DownloadOptions, GivenLine, LateUrls, PageCopies, Pipeline, Quota,
    ReportMode, Run, Shutdown, Source,
};
use crate::event::{Event, Events, Warning};
use crate::exit::ThreadError;
use crate::fetch::{CookieSource, Proxies, Retry};
use crate::queue::{self, JobSender, Queue};
use crate::report::{self, Tally, messages};
use crate::site::{Pages, Site};

/// Takes from the environment what requests need: proxies, and the secrets of definitions. For every command that uses
/// the network, and before it does.
///
/// # Errors
///
/// When a variable names no proxy that can be used.
pub(super) fn use_environment(
    settings: &mut Settings,
    environment: &Environment,
) -> anyhow::Result<()> {
    if Proxies::is_ignored(&environment.variables) && !settings.output.quiet {
        print_note(messages::PROXY_IGNORED);
    }
    settings.fetch.proxies = Proxies::from_variables(&environment.variables)?;
    settings.secrets = SecretSource::new(&environment.variables);
    Ok(())
}

/// Refuses a date for a web archive that is not asked. For every command that uses the network.
///
/// # Errors
///
/// When there is one.
pub(super) fn check_archive(options: &Options) -> anyhow::Result<()> {
    if options.archive.is_idle() {
        bail!("--archive-date and --archive-window need `--archive fallback` or `--archive only`");
    }
    Ok(())
}

/// What every stage of a run on the session's source shares. Its events show no secret of that source.
pub(super) async fn new_run(
    session: &SiteSession,
    environment: &Environment,
    events: Events,
    shutdown: &Shutdown,
) -> Run {
    let events = events.masking(session.fetcher.masks().clone());
    session.fetcher.report_to(&events).await;
    Run {
        fetcher: Arc::clone(&session.fetcher),
        clock: environment.clock,
        events,
        shutdown: shutdown.clone(),
    }
}

/// How the engine looks for images, for a place that takes names of `longest_name` bytes.
pub(super) fn discover_options(settings: &Settings, longest_name: usize) -> DiscoverOptions {
    DiscoverOptions {
        prefetch: engine::pages_ahead(settings.jobs),
        prefetch_at_start: engine::pages_ahead(settings.jobs),
        limits: settings.limits,
        min_width: settings.min_width,
        min_height: settings.min_height,
        retry_gone: settings.retry_gone,
        route: route(settings),
        wait: settings.fetch.wait,
        longest_name,
        page_copies: None,
    }
}

/// How a site is reached. A mirror is known by its host: its port may be another in each run.
fn route(settings: &Settings) -> String {
    let mirror = settings.base_url.as_ref().and_then(Url::host_str);
    format!("{mirror:?} {:?}", settings.fetch.archive)
}

/// Wraps a sender in one that passes only some jobs on to it.
type JobFilter = Box<dyn FnOnce(Box<dyn JobSender>) -> Box<dyn JobSender> + Send>;

/// The images that a run is to fetch.
pub(super) enum WantedImages {
    /// Those on these pages of the listing whose jobs pass the filter.
    Listed(Arc<Site>, Pages, JobFilter),
    /// The same, and then those at further addresses that pass it.
    ListedThenGiven(Arc<Site>, Pages, JobFilter, LateUrls),
    /// Those at given addresses, in batches.
    Given(mpsc::Receiver<Vec<GivenLine>>),
}

impl WantedImages {
    /// Where the engine looks for them; jobs that it finds there go through the filter to `jobs`.
    pub(super) fn source(
        self,
        session: &SiteSession,
        jobs: Box<dyn JobSender>,
    ) -> (Source, Box<dyn JobSender>) {
        match self {
            Self::Listed(site, pages, filter) => (Source::Listing(site, pages), filter(jobs)),
            Self::ListedThenGiven(site, pages, filter, urls) => {
                (Source::ListingThenUrls(site, pages, urls), filter(jobs))
            }
            Self::Given(lines) => (Source::UrlList(session.source.clone(), lines), jobs),
        }
    }
}

/// Does `work` while its events are reported as the settings say; returns the counts.
pub(super) async fn reported(
    settings: &Settings,
    work: impl AsyncFnOnce(Events) -> anyhow::Result<()>,
) -> anyhow::Result<Tally> {
    let (events, receiver) = Events::channel(settings.output.watches_images());
    let reporters = report::open(
        &settings.output,
        Box::new(io::stdout()),
        Box::new(io::stderr()),
    );
    let dispatch = report::dispatch(receiver, reporters).map_err(ThreadError::from)?;
    if settings.fetch.insecure {
        events.warn(Warning::InsecureTls).await;
    }
    if let Some(path) = &settings.world_readable_config {
        let path = path.display().to_string();
        events.warn(Warning::ReadableConfig { path }).await;
    }
    let readable = settings.fetch.cookies.as_ref().map(CookieSource::path);
    if let Some(path) = readable.filter(|path| is_world_readable(path)) {
        let path = path.display().to_string();
        events.warn(Warning::ReadableCookies { path }).await;
    }
    // The dispatcher ends when the last clone of `events` is dropped, so `work` takes ours.
    let result = work(events).await;
    let tally = dispatch.await;
    result?;
    Ok(tally)
}

/// Saves the wanted images that are new to the collection.
pub(super) async fn save_new(
    session: &SiteSession,
    settings: &Settings,
    run: Run,
    collection: Collection,
    quota: &Quota,
    images: WantedImages,
) -> anyhow::Result<()> {
    let Collection {
        sink,
        staging,
        ledger,
        hooks,
    } = collection;
    let Queue { sender, receiver } = queue::open(&memory_queue(), capacity(settings.jobs)).await?;
    run.events.emit(started(session, settings)).await;
    let (source, sender) = images.source(session, sender);
    let copies = PageCopies {
        folder: staging.state_dir().join("pages"),
    };
    // A run with a limit may end before it needs the later pages.
    let has_limit =
        settings.max_downloads.is_some() || settings.quota.is_some() || settings.max_time.is_some();
    let pages_at_start = if has_limit {
        engine::pages_ahead
    } else {
        engine::pages_at_start
    };
    let discover = DiscoverOptions {
        page_copies: Some(copies),
        prefetch_at_start: pages_at_start(settings.jobs),
        ..discover_options(settings, staging.longest_name())
    };
    let pipeline = Pipeline {
        source,
        queue: Queue { sender, receiver },
        sink,
        staging,
        ledger,
        hooks,
        discover,
        download: DownloadOptions {
            jobs: settings.jobs,
            retry: Retry::new(settings.fetch.retries, settings.fetch.retry_wait),
            limits: settings.limits,
            names_from_header: settings.names_from_header,
            quota: quota.clone(),
            reports: ReportMode::Outcomes,
            shares_hosts: false,
        },
    };
    engine::run(run, pipeline).await?;
    Ok(())
}

/// The first event of a run.
pub(super) fn started(session: &SiteSession, settings: &Settings) -> Event {
    Event::RunStarted {
        site: session.source.id().clone(),
        directory: session.location.to_string(),
        jobs: settings.jobs.get(),
        works_for_others: false,
    }
}

fn memory_queue() -> Url {
    Url::parse("memory:").expect("a constant that parses")
}

/// Jobs queued for each worker: enough that none is idle while the producer reads the next page.
const JOBS_PER_WORKER: usize = 4;
/// Even one worker gets two pages' worth.
const MIN_CAPACITY: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

fn capacity(jobs: NonZeroUsize) -> NonZeroUsize {
    MIN_CAPACITY.max(jobs.saturating_mul(NonZeroUsize::new(JOBS_PER_WORKER).expect("not zero")))
}
