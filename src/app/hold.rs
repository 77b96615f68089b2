//! Takes a collection for this run alone, or does what was said for when another run has it.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Environment;
use crate::config::{HumanDuration, OnLocked, Settings};
use crate::engine::Shutdown;
use crate::report::{OutputSettings, escape};
use crate::sink::{self, Sink, SinkError};

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
    note: impl Fn(String),
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
        let shown = path.display();
        let pause = match settings.lock {
            OnLocked::Fail => return Err(SinkError::Locked { path, holder }),
            OnLocked::Skip => {
                note(format!(
                    "`{shown}` is held by another run{holder}: nothing is done here"
                ));
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
            note(format!(
                "waiting for `{shown}`, which is held by another run{holder}"
            ));
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

/// Notes on stderr, for commands that tell no events.
pub(super) fn aloud(telling: &OutputSettings) -> impl Fn(String) + use<> {
    let watched = telling.watched();
    move |message| {
        if watched {
            // Where nobody listens nothing can be said.
            let _ = writeln!(io::stderr(), "note: {}", escape(&message));
        }
    }
}
