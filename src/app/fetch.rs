//! `wallhaul fetch`: what is new on a site, into its collection.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::addresses::{Target, targets};
use super::hold::acquire_lock;
use super::rebuild::{adopt, orphaned_images};
use super::visit::{Collection, ListingPages, SiteSession, discover_options};
use super::{Environment, print_error};
use crate::config::{Options, Settings};
use crate::engine::{self, DownloadOptions, GivenLine, Pipeline, Quota, Run, Shutdown, Source};
use crate::event::{Event, Events, Warning};
use crate::exit::{Exit, ThreadError};
use crate::fetch::Retry;
use crate::hooks::{Hooks, ResolvedHooks};
use crate::job::Job;
use crate::ledger::{self, Ledger};
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::queue::{self, JobSender, Queue, QueueError};
use crate::report::{self, Tally};
use crate::sink;

/// Fetches what is new on the sites of these names and at these addresses, one site after another. An error that
/// concerns one site alone is printed, and the others go on.
///
/// # Errors
///
/// When the options or a definition are wrong; nothing was fetched then.
pub async fn fetch(
    said: Vec<String>,
    options: Options,
    world: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let settings = Settings::new(options, world.stderr, world.clock);
    let hooks = ResolvedHooks::find(settings.hooks.clone(), &world.environment)?;
    let hooks = (!hooks.is_empty()).then(|| Arc::new(hooks));
    let targets = targets(said, &settings.input_files, &settings).await?;
    let several = targets
        .iter()
        .map(Target::id)
        .collect::<BTreeSet<_>>()
        .len()
        > 1;
    let quota = Quota::new(settings.max_downloads, settings.quota);
    // Dropped, and the timer with it, when this returns.
    let _max_time = settings.max_time.map(|limit| {
        let shutdown = shutdown.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            sleep(limit).await;
            shutdown.stop_at("--max-time");
        }))
    });
    let mut exit = Exit::Done;
    for target in targets {
        if shutdown.is_stopping() || quota.is_spent() {
            break;
        }
        let visit = SiteSession::open(target.source(), &settings, several).await?;
        let images = match target {
            Target::Listing { site, pages } => {
                let site = site.site;
                WantedImages::Listed(ListingPages { site, pages }, Box::new(|jobs| jobs))
            }
            Target::Urls { source: _, urls } => WantedImages::Given(urls.read()),
        };
        let ended = fetch_one(
            &visit,
            &settings,
            world,
            images,
            hooks.clone(),
            &quota,
            &shutdown,
        )
        .await;
        exit = exit.max_severity(ended.unwrap_or_else(|error| print_error(&error)));
    }
    Ok(exit)
}

/// Wraps a sender in one that passes only some jobs on to it.
type JobFilter = Box<dyn FnOnce(Box<dyn JobSender>) -> Box<dyn JobSender> + Send>;

/// Which images are wanted.
pub(super) enum WantedImages {
    /// Those of the listing whose jobs pass the filter.
    Listed(ListingPages, JobFilter),
    /// Those at given addresses, some at a time.
    Given(mpsc::Receiver<Vec<GivenLine>>),
}

impl WantedImages {
    /// Where the engine looks for them; jobs that it finds there go through the filter to `jobs`.
    fn source(self, visit: &SiteSession, jobs: Box<dyn JobSender>) -> (Source, Box<dyn JobSender>) {
        match self {
            Self::Listed(ListingPages { site, pages }, filter) => {
                (Source::Listing(site, pages), filter(jobs))
            }
            Self::Given(lines) => (Source::UrlList(visit.source.clone(), lines), jobs),
        }
    }
}

async fn fetch_one(
    visit: &SiteSession,
    settings: &Settings,
    world: &Environment,
    images: WantedImages,
    hooks: Option<Arc<ResolvedHooks>>,
    quota: &Quota,
    shutdown: &Shutdown,
) -> anyhow::Result<Exit> {
    let work = async |events: Events| {
        let run = visit.run(world, events.clone(), shutdown);
        if settings.dry_run {
            return dry_run(visit, settings, run, images).await;
        }
        // Without our folder beside them, images in the directory belong to no collection of ours.
        let was_there = sink::state_dir(&visit.location)?.is_dir();
        let held = acquire_lock(&visit.location, settings, world, shutdown, |reason| {
            events.waiting(reason);
        });
        let Some(opened) = held.await? else {
            return Ok(());
        };
        let left = if was_there {
            orphaned_images(&opened, shutdown).await?
        } else {
            Vec::new()
        };
        if shutdown.is_stopping() {
            // The search may have been cut short: a ledger made now would not know every image in the folder.
            return Ok(());
        }
        let mut collection = Collection::open(opened, settings)?;
        if let Some(found) = hooks {
            let local = collection.sink.as_local();
            let local = local.context("hooks need a collection in a folder: give one with -d")?;
            let directory =
                std::path::absolute(local.folder()).context("finding the working folder")?;
            collection.hooks = Some(Hooks::new(found, visit.source.id().clone(), directory));
        }
        if !left.is_empty() {
            let images = adopt(&*collection.ledger, left).await?;
            events.warn(Warning::LedgerRebuilt { images }).await;
        }
        save_new(visit, settings, run, collection, quota, images).await
    };
    Ok(Exit::from_tally(&reported(settings, work).await?))
}

/// Does `work` while its events are reported as the settings say; answers with the counts.
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
    // The dispatcher ends when the last clone of `events` is dropped, so `work` takes ours.
    let result = work(events).await;
    let tally = dispatch.await;
    result?;
    Ok(tally)
}

/// Saves the wanted images that are new to the collection.
pub(super) async fn save_new(
    visit: &SiteSession,
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
    let Queue { sender, receiver } = queue::open(&memory(), capacity(settings.jobs)).await?;
    run.events.emit(started(visit, settings)).await;
    let (source, sender) = images.source(visit, sender);
    let pipeline = Pipeline {
        source,
        queue: Queue { sender, receiver },
        sink,
        staging,
        ledger,
        hooks,
        discover: discover_options(settings),
        download: DownloadOptions {
            jobs: settings.jobs,
            retry: Retry::new(settings.fetch.retries, settings.fetch.retry_wait),
            limits: settings.limits,
            quota: quota.clone(),
        },
    };
    engine::run(run, pipeline).await?;
    Ok(())
}

/// `--dry-run`: reads the listing and reports of each new image that it would be fetched.
async fn dry_run(
    visit: &SiteSession,
    settings: &Settings,
    run: Run,
    images: WantedImages,
) -> anyhow::Result<()> {
    let ledger = ledger::open_to_read(&sink::state_dir(&visit.location)?)?;
    let ledger: Arc<dyn Ledger> = Arc::from(ledger.unwrap_or_else(ledger::empty));
    run.events.emit(started(visit, settings)).await;
    let jobs = Box::new(DryRunSender(run.clone()));
    let (source, jobs) = images.source(visit, jobs);
    engine::discover(run, ledger, source, discover_options(settings), jobs).await?;
    Ok(())
}

/// Reports jobs in place of queueing them.
struct DryRunSender(Run);

#[async_trait]
impl JobSender for DryRunSender {
    async fn send(&self, job: Job) -> Result<(), QueueError> {
        let Self(run) = self;
        let address = match job.candidates.first() {
            Some(original) => run.shown(original.url()).into(),
            None => job.key.address().to_owned(),
        };
        let skip = Skip::new(address, SkipReason::DryRun);
        run.events
            .emit(Event::ImageFinished {
                key: job.key,
                outcome: Outcome::Skipped(skip),
            })
            .await;
        Ok(())
    }
}

fn started(visit: &SiteSession, settings: &Settings) -> Event {
    Event::RunStarted {
        site: visit.source.id().clone(),
        directory: visit.location.to_string(),
        jobs: settings.jobs.get(),
    }
}

fn memory() -> Url {
    Url::parse("memory:").expect("a constant that parses")
}

/// Jobs queued for each worker: enough that none is idle while the producer reads the next page.
const JOBS_PER_WORKER: usize = 4;
/// Even one worker gets two pages' worth.
const MIN_CAPACITY: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

fn capacity(jobs: NonZeroUsize) -> NonZeroUsize {
    MIN_CAPACITY.max(jobs.saturating_mul(NonZeroUsize::new(JOBS_PER_WORKER).expect("not zero")))
}
