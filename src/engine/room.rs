//! Ends the run before the disk is full: `--min-free-space`.

use std::sync::{Arc, Mutex, PoisonError};

use super::Shutdown;
use crate::sink::{Sink, SinkError};

/// What the stations say of the room they take. Clones share what was found.
#[derive(Clone)]
pub(super) struct Room {
    sink: Arc<dyn Sink>,
    shutdown: Shutdown,
    low: Arc<Mutex<Option<SinkError>>>,
}

impl Room {
    pub(super) fn new(sink: &Arc<dyn Sink>, shutdown: &Shutdown) -> Self {
        Self { sink: Arc::clone(sink), shutdown: shutdown.clone(), low: Arc::default() }
    }

    /// Looks whether there is room. Where there is none no new work begins, and images in hand finish.
    pub(super) fn look(&self) {
        self.heed(self.sink.look_for_room());
    }

    /// The same after so many further bytes, which costs next to nothing.
    pub(super) fn take(&self, bytes: usize) {
        self.heed(self.sink.take_room(bytes as u64));
    }

    fn heed(&self, found: Result<(), SinkError>) {
        if let Err(low) = found {
            self.shutdown.stop();
            self.low.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(low);
        }
    }

    /// Whether the run ended for want of room.
    pub(super) fn ended(&self) -> Result<(), SinkError> {
        let low = self.low.lock().unwrap_or_else(PoisonError::into_inner).take();
        low.map_or(Ok(()), Err)
    }
}
