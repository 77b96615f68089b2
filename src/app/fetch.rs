//! `wallhaul fetch`: what is new on a site, into its collection.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::addresses::{Target, targets};
use super::hold::hold;
use super::rebuild::{adopt, left_behind};
use super::visit::{Collection, ListingPages, SiteSession};
use super::{Environment, print_error};
use crate::config::{Options, Settings};
use crate::engine::{self, GivenLine, Haul, Quota, Shutdown, Source};
use crate::event::{Event, Events};
use crate::exit::{Exit, ThreadError};
use crate::fetch::Retry;
use crate::hooks::{Hooks, ResolvedHooks};
use crate::job::Job;
use crate::ledger::{self, Ledger};
use crate::outcome::{Outcome, SkipReason};
use crate::queue::{self, JobSender, QueueError};
use crate::report::{self, Tally};
use crate::sink;
use crate::units::plural;

/// Fetches what is new on the sites of these names and at these addresses, one site after another. What concerns one
/// site alone is told, and the others go on.
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
    let _ended_in_time = settings.max_time.map(|limit| {
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
                Images::Listed(ListingPages { site, pages }, Box::new(|jobs| jobs))
            }
            Target::Urls { source: _, urls } => Images::Given(urls.read()),
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

/// Makes a feed that lets only some jobs through to the one it is given.
type Narrow = Box<dyn FnOnce(Box<dyn JobSender>) -> Box<dyn JobSender> + Send>;

/// Which images are wanted.
pub(super) enum Images {
    /// Those of the listing, as far as they are let into the queue.
    Listed(ListingPages, Narrow),
    /// Those that are given, some at a time.
    Given(mpsc::Receiver<Vec<GivenLine>>),
}

async fn fetch_one(
    visit: &SiteSession,
    settings: &Settings,
    world: &Environment,
    images: Images,
    hooks: Option<Arc<ResolvedHooks>>,
    quota: &Quota,
    shutdown: &Shutdown,
) -> anyhow::Result<Exit> {
    let work = async |events: Events| {
        if settings.dry_run {
            return look(visit, settings, world, images, events, shutdown).await;
        }
        // Without ours beside them, images that lie there are none of this collection's.
        let was_there = sink::ours(&visit.directory).is_dir();
        let held = hold(&visit.directory, settings, world, shutdown, |message| {
            events.note(message)
        });
        let Some(sink) = held.await? else {
            return Ok(());
        };
        let left = if was_there {
            left_behind(&visit.directory, shutdown).await?
        } else {
            Vec::new()
        };
        if shutdown.is_stopping() {
            // A ledger made now would know nothing of what lies there.
            return Ok(());
        }
        let mut collection = Collection::open(sink, &visit.directory, settings)?;
        if let Some(found) = hooks {
            let directory =
                std::path::absolute(&visit.directory).context("finding the working folder")?;
            collection.hooks = Some(Hooks::new(found, visit.source.id().clone(), directory));
        }
        if !left.is_empty() {
            let adopted = adopt(&*collection.ledger, left).await?;
            let message = format!(
                "the ledger was gone: a new one was made of {}",
                plural(adopted, "image", "images")
            );
            events.emit(Event::Warned { message }).await;
        }
        bring(
            visit, settings, world, collection, quota, images, events, shutdown,
        )
        .await
    };
    Ok(Exit::from_tally(&telling(settings, work).await?))
}

/// Does `work` and tells what happens in it as the settings say; answers with the counts.
pub(super) async fn telling(
    settings: &Settings,
    work: impl AsyncFnOnce(Events) -> anyhow::Result<()>,
) -> anyhow::Result<Tally> {
    let (events, told) = Events::line(settings.output.watches_images());
    let reporters = report::open(
        &settings.output,
        Box::new(io::stdout()),
        Box::new(io::stderr()),
    );
    let dispatch = report::dispatch(told, reporters).map_err(ThreadError::from)?;
    if settings.fetch.insecure {
        let message =
            "no certificate is checked (--insecure): anybody on the way can change what arrives"
                .to_owned();
        events.emit(Event::Warned { message }).await;
    }
    if let Some(path) = &settings.world_readable_config {
        let path = path.display();
        let message = format!(
            "`{path}` holds headers and can be read by everybody here: `chmod go-r` makes it yours"
        );
        events.emit(Event::Warned { message }).await;
    }
    let ran = work(events).await;
    let tally = dispatch.await;
    ran?;
    Ok(tally)
}

/// Brings images of a site into its collection.
#[expect(
    clippy::too_many_arguments,
    reason = "one of each kind of thing that a run is made of"
)]
pub(super) async fn bring(
    visit: &SiteSession,
    settings: &Settings,
    world: &Environment,
    Collection {
        sink,
        ledger,
        hooks,
    }: Collection,
    quota: &Quota,
    images: Images,
    events: Events,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut queue = queue::open(&memory(), capacity(settings.jobs))?;
    events.emit(started(visit, settings)).await;
    let source = match images {
        Images::Listed(listing, narrow) => {
            queue.sender = narrow(queue.sender);
            Source::Listing(visit.scan(
                listing,
                settings,
                world,
                Arc::clone(&ledger),
                events.clone(),
                shutdown,
            ))
        }
        Images::Given(lines) => {
            Source::Given(visit.given(lines, world, Arc::clone(&ledger), events.clone(), shutdown))
        }
    };
    let haul = Haul {
        site: visit.source.clone(),
        fetcher: Arc::clone(&visit.fetcher),
        retry: Retry::new(settings.fetch.retries, settings.fetch.retry_wait),
        ledger,
        sink,
        limits: settings.limits,
        hooks,
        quota: quota.clone(),
        clock: world.clock,
        events,
        shutdown: shutdown.clone(),
    };
    engine::run(source, haul, queue, settings.jobs).await?;
    Ok(())
}

/// `--dry-run`: walks the listing and says of each image what would become of it.
async fn look(
    visit: &SiteSession,
    settings: &Settings,
    world: &Environment,
    images: Images,
    events: Events,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let ledger = ledger::open_to_read(&sink::ours(&visit.directory))?;
    let ledger: Arc<dyn Ledger> = Arc::from(ledger.unwrap_or_else(ledger::empty));
    events.emit(started(visit, settings)).await;
    let jobs = Box::new(WouldFetch(events.clone()));
    let source = match images {
        Images::Listed(listing, _) => {
            Source::Listing(visit.scan(listing, settings, world, ledger, events, shutdown))
        }
        Images::Given(lines) => Source::Given(visit.given(lines, world, ledger, events, shutdown)),
    };
    engine::scan(source, jobs).await?;
    Ok(())
}

/// Takes jobs and does none.
struct WouldFetch(Events);

#[async_trait]
impl JobSender for WouldFetch {
    async fn send(&self, job: Job) -> Result<(), QueueError> {
        self.0
            .emit(Event::ImageFinished {
                key: job.key,
                outcome: Outcome::Skipped(SkipReason::DryRun.into()),
            })
            .await;
        Ok(())
    }
}

fn started(visit: &SiteSession, settings: &Settings) -> Event {
    let shown = |path: &Path| path.display().to_string();
    Event::RunStarted {
        site: visit.source.id().clone(),
        directory: shown(&visit.directory),
        jobs: settings.jobs.get(),
    }
}

fn memory() -> Url {
    Url::parse("memory:").expect("a constant that parses")
}

/// Jobs waiting for each worker: enough that none is idle while the producer reads the next page.
const JOBS_A_WORKER: usize = 4;
/// Even one worker gets two pages' worth.
const LEAST_WAITING: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

fn capacity(jobs: NonZeroUsize) -> NonZeroUsize {
    LEAST_WAITING.max(jobs.saturating_mul(NonZeroUsize::new(JOBS_A_WORKER).expect("not zero")))
}
