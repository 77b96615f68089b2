//! `wallhaul fetch`: saves what is new on a site in its collection.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::app::collection::{Collection, acquire_lock, adopt, orphaned_images};
use crate::app::console::print_error;
use crate::app::environment::Environment;
use crate::app::queued::{QueueUse, Workers, broker, queue_new};
use crate::app::run::{
    WantedImages, check_archive, discover_options, new_run, reported, save_new, started,
    use_environment,
};
use crate::app::targets::{Definitions, SiteSession, Target, targets};
use crate::config::{Options, Settings};
use crate::engine::{self, Quota, ReportMode, Run, Shutdown};
use crate::event::{Event, Events, Warning};
use crate::exit::Exit;
use crate::hooks::{HookPlace, Hooks, ResolvedHooks};
use crate::job::Job;
use crate::ledger::{self, Ledger};
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::queue::{JobSender, QueueError, Sent};
use crate::sink::{self, Location};

/// Fetches what is new on the sites of these names and at these addresses, one site after another. An error that
/// concerns one site alone is printed, and the others go on.
///
/// # Errors
///
/// When the options or a definition are wrong; nothing was fetched then.
pub async fn fetch(
    arguments: Vec<String>,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let way = options
        .queue
        .queue
        .as_ref()
        .map(|_| QueueUse::ScanAndWork)
        .map_or(Way::Here, Way::Queue);
    // Boxed: it holds all of a run.
    Box::pin(run(arguments, options, way, environment, shutdown)).await
}

/// Queues what is new on these sites and at these addresses for workers elsewhere; with `follow` their results are
/// waited for.
///
/// # Errors
///
/// As [`fetch`], and when no queue is named.
pub async fn scan(
    arguments: Vec<String>,
    follow: bool,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let way = Way::Queue(if follow {
        QueueUse::ScanAndFollow
    } else {
        QueueUse::Scan
    });
    // Boxed: it holds all of a run.
    Box::pin(run(arguments, options, way, environment, shutdown)).await
}

/// How images are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By this process, with a queue in memory.
    Here,
    /// By way of a broker.
    Queue(QueueUse),
}

async fn run(
    arguments: Vec<String>,
    options: Options,
    way: Way,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    check_archive(&options)?;
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_environment(&mut settings, environment)?;
    if way != Way::Here {
        broker(&settings)?;
    }
    let definitions = Definitions::new(environment, &settings);
    let targets = targets(arguments, &settings.input_files, &settings, &definitions).await?;
    let secrets = targets
        .iter()
        .flat_map(|target| target.source().secret_variables(&settings))
        .collect();
    let hooks = ResolvedHooks::find(settings.hooks.clone(), &environment.variables, &secrets)?;
    if settings.place.is_url() {
        hooks.check_without_folder()?;
    }
    let hooks = (!hooks.is_empty()).then(|| Arc::new(hooks));
    let several = targets
        .iter()
        .map(Target::id)
        .collect::<BTreeSet<_>>()
        .len()
        > 1;
    for target in &targets {
        target.source().check(&settings)?;
    }
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
        // Workers serve any site that the queue has jobs of, each in its own folder.
        let several = several || way != Way::Here;
        let session = SiteSession::open(target.source(), &settings, several).await?;
        let images = match target {
            Target::Listing { site, pages } => {
                WantedImages::Listed(site.site, pages, Box::new(|jobs| jobs))
            }
            Target::Urls { source: _, urls } => WantedImages::Given(urls.read()),
        };
        let one = OneSite {
            session: &session,
            settings: &settings,
            definitions: &definitions,
            environment,
            quota: &quota,
            shutdown: &shutdown,
        };
        let ended = one.fetch(images, hooks.clone(), way).await;
        exit = exit.max_severity(ended.unwrap_or_else(|error| print_error(&error)));
    }
    Ok(exit)
}

/// One of the sites of a run.
struct OneSite<'a> {
    session: &'a SiteSession,
    settings: &'a Settings,
    definitions: &'a Definitions,
    environment: &'a Environment,
    quota: &'a Quota,
    shutdown: &'a Shutdown,
}

impl OneSite<'_> {
    async fn fetch(
        &self,
        images: WantedImages,
        hooks: Option<Arc<ResolvedHooks>>,
        way: Way,
    ) -> anyhow::Result<Exit> {
        let Self {
            session, settings, ..
        } = *self;
        let work = async |events: Events| {
            let run = new_run(session, self.environment, events.clone(), self.shutdown).await;
            if settings.dry_run {
                return dry_run(session, settings, run, images).await;
            }
            let Some(collection) = self.open(&events, hooks).await? else {
                return Ok(());
            };
            match way {
                Way::Here => save_new(session, settings, run, collection, self.quota, images).await,
                Way::Queue(queue_use) => {
                    let workers = Workers {
                        settings,
                        environment: self.environment,
                        definitions: self.definitions,
                        reports: ReportMode::Nothing,
                    };
                    queue_new(
                        session, run, collection, self.quota, images, queue_use, workers,
                    )
                    .await
                }
            }
        };
        Ok(Exit::from_tally(&reported(settings, work).await?))
    }

    /// Opens and locks the collection; `None` where it is left to another run, or this one is asked to stop.
    async fn open(
        &self,
        events: &Events,
        hooks: Option<Arc<ResolvedHooks>>,
    ) -> anyhow::Result<Option<Collection>> {
        let Self {
            session,
            settings,
            shutdown,
            ..
        } = *self;
        // Without the `.wallhaul` folder beside them, images in the directory belong to no collection.
        let was_there = sink::state_dir(&session.location)?.is_dir();
        let locking = acquire_lock(
            &session.location,
            settings,
            self.environment,
            shutdown,
            |reason| {
                events.waiting(reason);
            },
        );
        let Some(opened) = locking.await? else {
            return Ok(None);
        };
        let orphans = if was_there {
            orphaned_images(&opened, shutdown).await?
        } else {
            Vec::new()
        };
        if shutdown.is_stopping() {
            // The search may have been cut short: a ledger made now would not know every image in the folder.
            return Ok(None);
        }
        let mut collection = Collection::open(opened, settings)?;
        if let Some(found) = hooks {
            let place = match &session.location {
                Location::Folder(folder) => HookPlace::Folder(
                    std::path::absolute(folder).context("finding the working folder")?,
                ),
                Location::Url { text, .. } => HookPlace::Url(text.clone()),
            };
            collection.hooks = Some(Hooks::new(found, session.source.id().clone(), place));
        }
        if !orphans.is_empty() {
            let images = adopt(&*collection.ledger, orphans).await?;
            events.warn(Warning::LedgerRebuilt { images }).await;
        }
        Ok(Some(collection))
    }
}

/// `--dry-run`: reads the listing and reports of each new image that it would be fetched.
async fn dry_run(
    session: &SiteSession,
    settings: &Settings,
    run: Run,
    images: WantedImages,
) -> anyhow::Result<()> {
    let ledger = ledger::open_to_read(&sink::state_dir(&session.location)?)?;
    let ledger: Arc<dyn Ledger> = Arc::from(ledger.unwrap_or_else(ledger::empty));
    run.events.emit(started(session, settings)).await;
    let jobs = Box::new(DryRunSender(run.clone()));
    let (source, jobs) = images.source(session, jobs);
    let options = discover_options(settings, sink::longest_name(&session.location));
    engine::discover(run, ledger, source, options, jobs).await?;
    Ok(())
}

/// Reports jobs in place of queueing them.
struct DryRunSender(Run);

#[async_trait]
impl JobSender for DryRunSender {
    async fn send(&self, job: Job) -> Result<Sent, QueueError> {
        let Self(run) = self;
        let address = run.shown(job.first_url());
        let skip = Skip::new(address, SkipReason::DryRun);
        run.events
            .emit(Event::ImageFinished {
                key: job.key,
                outcome: Outcome::Skipped(skip),
            })
            .await;
        Ok(Sent::New)
    }
}
