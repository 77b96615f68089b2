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
use crate::app::run::{
    WantedImages, check_archive, discover_options, new_run, reported, save_new, started,
    use_environment,
};
use crate::app::targets::{Definitions, SiteSession, Target, targets};
use crate::config::{Options, Settings};
use crate::engine::{self, Quota, Run, Shutdown};
use crate::event::{Event, Events, Warning};
use crate::exit::Exit;
use crate::hooks::{HookPlace, Hooks, ResolvedHooks};
use crate::job::{Candidate, Job};
use crate::ledger::{self, Ledger};
use crate::outcome::{Outcome, Skip, SkipReason};
use crate::queue::{JobSender, QueueError};
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
    check_archive(&options)?;
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_environment(&mut settings, environment)?;
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
        let session = SiteSession::open(target.source(), &settings, several).await?;
        let images = match target {
            Target::Listing { site, pages } => {
                WantedImages::Listed(site.site, pages, Box::new(|jobs| jobs))
            }
            Target::Urls { source: _, urls } => WantedImages::Given(urls.read()),
        };
        let ended = fetch_one(
            &session,
            &settings,
            environment,
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

async fn fetch_one(
    session: &SiteSession,
    settings: &Settings,
    environment: &Environment,
    images: WantedImages,
    hooks: Option<Arc<ResolvedHooks>>,
    quota: &Quota,
    shutdown: &Shutdown,
) -> anyhow::Result<Exit> {
    let work = async |events: Events| {
        let run = new_run(session, environment, events.clone(), shutdown).await;
        if settings.dry_run {
            return dry_run(session, settings, run, images).await;
        }
        // Without the `.wallhaul` folder beside them, images in the directory belong to no collection.
        let was_there = sink::state_dir(&session.location)?.is_dir();
        let locking = acquire_lock(
            &session.location,
            settings,
            environment,
            shutdown,
            |reason| {
                events.waiting(reason);
            },
        );
        let Some(opened) = locking.await? else {
            return Ok(());
        };
        let orphans = if was_there {
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
        save_new(session, settings, run, collection, quota, images).await
    };
    Ok(Exit::from_tally(&reported(settings, work).await?))
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
    async fn send(&self, job: Job) -> Result<(), QueueError> {
        let Self(run) = self;
        let first = job.candidates.first().map_or(&job.page, Candidate::url);
        let address = run.shown(first);
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
