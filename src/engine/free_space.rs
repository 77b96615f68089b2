//! Ends the run before the disk is full: `--min-free-space`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Shutdown;
use crate::sink::{Sink, SinkError};

/// What the stations say of the room they take. Clones share what was found.
#[derive(Clone)]
pub(super) struct FreeSpaceGuard {
    sink: Arc<dyn Sink>,
    shutdown: Shutdown,
    found: Arc<Mutex<Found>>,
}

/// What was found when somebody looked last.
enum Found {
    Enough,
    /// Too little for another image, if one should be wanted.
    Low,
    /// One was.
    Refused(SinkError),
}

impl FreeSpaceGuard {
    pub(super) fn new(sink: &Arc<dyn Sink>, shutdown: &Shutdown) -> Self {
        Self {
            sink: Arc::clone(sink),
            shutdown: shutdown.clone(),
            found: Arc::new(Mutex::new(Found::Enough)),
        }
    }

    /// Looks whether there is room. Where there is none images in hand finish, and no further one is admitted.
    pub(super) fn look(&self) {
        self.heed(&self.sink.look_for_room());
    }

    /// The same after so many further bytes, which costs next to nothing.
    pub(super) fn take(&self, bytes: usize) {
        self.heed(&self.sink.take_room(bytes as u64));
    }

    fn heed(&self, looked: &Result<(), SinkError>) {
        if looked.is_ok() {
            return;
        }
        let mut found = self.found();
        if let Found::Enough = *found {
            *found = Found::Low;
        }
    }

    /// Whether there is room for an image that is wanted and was not begun. If not the run ends: one that has brought
    /// everything when the room gets low is complete.
    pub(super) fn admits(&self) -> bool {
        let mut found = self.found();
        if let Found::Low = *found {
            // Somebody may have made room since.
            *found = self
                .sink
                .look_for_room()
                .map_or_else(Found::Refused, |()| Found::Enough);
        }
        let admits = matches!(*found, Found::Enough);
        if !admits {
            self.shutdown.stop();
        }
        admits
    }

    /// Whether the run ended for want of room.
    pub(super) fn ended(&self) -> Result<(), SinkError> {
        match std::mem::replace(&mut *self.found(), Found::Enough) {
            Found::Enough | Found::Low => Ok(()),
            Found::Refused(low) => Err(low),
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
