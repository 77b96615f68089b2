//! `wallhaul work`: fetches what runs on this and other machines have queued.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::app::environment::Environment;
use crate::app::queued::{Workers, broker};
use crate::app::run::{check_archive, reported, use_environment};
use crate::app::targets::Definitions;
use crate::config::{Options, Settings};
use crate::engine::{ReportMode, Shutdown};
use crate::event::{Event, Events};
use crate::exit::Exit;
use crate::job::SiteId;

/// What stands in the place of a site in the reports of a worker, which has none of its own.
const NAME: &str = "work";

/// Works on what is in the queue: until a signal, or until there was nothing for as long as `until_idle`.
///
/// # Errors
///
/// When the options are wrong, or the queue or a place for images does not work.
pub async fn work(
    until_idle: Option<Duration>,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    check_archive(&options)?;
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_environment(&mut settings, environment)?;
    let broker = broker(&settings)?;
    let definitions = Definitions::new(environment, &settings);
    // Dropped, and the timer with it, when this returns.
    let _max_time = settings.max_time.map(|limit| {
        let shutdown = shutdown.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            sleep(limit).await;
            shutdown.stop_at("--max-time");
        }))
    });
    let work = async |events: Events| {
        let workers = Workers {
            settings: &settings,
            environment,
            definitions: &definitions,
            reports: ReportMode::FoundAndOutcomes,
        };
        let receiver = workers.receiver(&broker, until_idle, &events).await?;
        let started = Event::RunStarted {
            site: SiteId::new(NAME)?,
            directory: settings.place.root().to_string(),
            jobs: settings.jobs.get(),
            works_for_others: true,
        };
        events.emit(started).await;
        workers.run(receiver, &events, &shutdown).await?;
        if let Some(limit) = shutdown.limit() {
            events.emit(Event::LimitReached { limit }).await;
        }
        Ok(())
    };
    let tally = reported(&settings, work).await?;
    Ok(Exit::from_tally(&tally))
}
