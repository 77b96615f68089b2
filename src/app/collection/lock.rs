//! Locks a collection for this run, or does what `--lock` says when another run holds it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::environment::Environment;
use crate::config::{HumanDuration, OnLocked, Settings};
use crate::engine::Shutdown;
use crate::event::WaitReason;
use crate::sink::{self, Location, OpenSink, SinkError, SinkOptions, StoreOptions};

/// How an object store is asked.
pub(in crate::app) fn store_options<'a>(
    settings: &Settings,
    environment: &'a Environment,
) -> StoreOptions<'a> {
    StoreOptions {
        variables: &environment.variables,
        insecure: settings.place.insecure_store.unwrap_or(false),
        timeout: settings
            .place
            .store_timeout
            .map(|HumanDuration(limit)| limit),
    }
}

fn sink_options<'a>(
    settings: &Settings,
    environment: &'a Environment,
    worker: Option<u16>,
) -> SinkOptions<'a> {
    SinkOptions {
        durability: settings.durability,
        min_free: settings.min_free,
        boot_id: &environment.boot,
        now: (environment.clock)(),
        store: store_options(settings, environment),
        worker,
    }
}

/// Workers of one machine that store images in one place outside of it.
const MAX_WORKERS: u16 = 64;

/// Opens the place at `location` for a worker that keeps no ledger: in a folder one at a time, in an object store several,
/// each with a folder of its own for unfinished files.
///
/// # Errors
///
/// When there are as many as there may be, or it cannot be created or written to.
pub(in crate::app) async fn open_for_worker(
    location: &Location,
    settings: &Settings,
    environment: &Environment,
) -> Result<OpenSink, SinkError> {
    let most = match location {
        Location::Folder(_) => 1,
        Location::Url { .. } => MAX_WORKERS,
    };
    let mut number = 1;
    loop {
        let options = sink_options(settings, environment, Some(number));
        match sink::open(location, &options).await {
            Err(SinkError::Locked(_)) if number < most => number += 1,
            opened => return opened,
        }
    }
}

/// How often a locked collection is tried again. Soon enough for a person, and ten system calls a second cost nothing;
/// a blocking `flock` would need a thread that no signal ends.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Opens the collection at `location`, creating it if needed, and locks it. `None` when `--lock skip` leaves it to
/// the run that holds it, or the wait was interrupted. `report` receives the reason why nothing happens.
///
/// # Errors
///
/// When another run holds it for longer than `--lock` allows, or it cannot be created or written to.
pub(in crate::app) async fn acquire_lock(
    location: &Location,
    settings: &Settings,
    environment: &Environment,
    shutdown: &Shutdown,
    report: impl Fn(WaitReason),
) -> Result<Option<OpenSink>, SinkError> {
    let start = Instant::now();
    let mut reported = false;
    loop {
        let options = sink_options(settings, environment, None);
        let holder = match sink::open(location, &options).await {
            Ok(opened) => return Ok(Some(opened)),
            Err(SinkError::Locked(holder)) => holder,
            Err(error) => return Err(error),
        };
        let pause = match settings.lock {
            OnLocked::Fail => return Err(SinkError::Locked(holder)),
            OnLocked::Skip => {
                report(WaitReason::LockSkipped(holder));
                return Ok(None);
            }
            OnLocked::Wait(None) => POLL_INTERVAL,
            OnLocked::Wait(Some(HumanDuration(limit))) => {
                match limit.saturating_sub(start.elapsed()) {
                    Duration::ZERO => return Err(SinkError::Locked(holder)),
                    left => POLL_INTERVAL.min(left),
                }
            }
        };
        if !reported {
            report(WaitReason::LockHeld(holder));
            reported = true;
        }
        // Both branches are cancel-safe.
        tokio::select! {
            biased;
            () = shutdown.stopping() => return Ok(None),
            () = sleep(pause) => {}
        }
    }
}
