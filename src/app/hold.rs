//! Takes a collection for this run alone, or does what was said for when another run has it.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Environment;
use crate::config::{HumanDuration, OnLocked, Settings};
use crate::engine::Shutdown;
use crate::event::{LockHolder, LockProcess, WaitReason};
use crate::report::{OutputSettings, escape, messages};
use crate::sink::{self, Holder, Sink, SinkError};

/// How often a collection that another run has is looked at again: soon enough for a person, and it costs nothing.
const AGAIN: Duration = Duration::from_millis(100);

/// Takes the collection in `directory`, making it where there is none. `None` when it is left to the run that has it,
/// or the wait for it was ended. `note` hears why nothing seems to happen.
///
/// # Errors
///
/// When another run has it for longer than was said, or the folder cannot be made or written to.
pub(super) async fn hold(
    directory: &Path,
    settings: &Settings,
    world: &Environment,
    shutdown: &Shutdown,
    note: impl Fn(WaitReason),
) -> Result<Option<Arc<dyn Sink>>, SinkError> {
    let came = Instant::now();
    let mut noted = false;
    loop {
        let now = (world.clock)();
        let (path, holder) = match sink::open(
            directory,
            settings.durability,
            settings.min_free,
            &world.boot,
            now,
        ) {
            Ok(sink) => return Ok(Some(Arc::from(sink))),
            Err(SinkError::Locked { path, holder }) => (path, holder),
            Err(error) => return Err(error),
        };
        let pause = match settings.lock {
            OnLocked::Fail => return Err(SinkError::Locked { path, holder }),
            OnLocked::Skip => {
                note(WaitReason::LockSkipped(lock_holder(&path, holder)));
                return Ok(None);
            }
            OnLocked::Wait(None) => AGAIN,
            OnLocked::Wait(Some(HumanDuration(most))) => {
                match most.saturating_sub(came.elapsed()) {
                    Duration::ZERO => return Err(SinkError::Locked { path, holder }),
                    left => AGAIN.min(left),
                }
            }
        };
        if !noted {
            note(WaitReason::LockHeld(lock_holder(&path, holder)));
            noted = true;
        }
        // Both are cancel-safe.
        tokio::select! {
            biased;
            () = shutdown.stopping() => return Ok(None),
            () = sleep(pause) => {}
        }
    }
}

fn lock_holder(path: &Path, holder: Holder) -> LockHolder {
    let process = holder.process();
    LockHolder {
        lock: path.display().to_string(),
        process: process.map(|(pid, since)| LockProcess { pid, since }),
    }
}

/// Notes on stderr, for commands that emit no events.
pub(super) fn aloud(telling: &OutputSettings) -> impl Fn(WaitReason) + use<> {
    let watched = telling.watched();
    move |reason| {
        if watched {
            // Where nobody listens nothing can be said.
            let _ = writeln!(
                io::stderr(),
                "note: {}",
                escape(&messages::waiting(&reason))
            );
        }
    }
}
