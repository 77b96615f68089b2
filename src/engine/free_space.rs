//! Ends the run before the disk is full: `--min-free-space`.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Shutdown;
use crate::sink::{SinkError, Staging};

/// Watches the free space while workers write. Clones share what was found.
///
/// Images in flight finish when the space gets low, and the run ends only if another image is wanted: a run that has
/// brought everything by then is complete.
#[derive(Clone)]
pub(super) struct FreeSpaceGuard {
    staging: Arc<Staging>,
    shutdown: Shutdown,
    /// A lock and not an atomic, because [`FreeSpaceGuard::allows_new`] looks at the disk and decides in one step;
    /// it is taken once an image, and never held while waiting.
    space: Arc<Mutex<Space>>,
}

/// What was found when the free space was last looked at.
enum Space {
    Enough,
    /// Too little for another image, if one should be wanted.
    Low,
    /// Another one was wanted.
    Refused(SinkError),
}

impl FreeSpaceGuard {
    pub(super) fn new(staging: &Arc<Staging>, shutdown: &Shutdown) -> Self {
        Self {
            staging: Arc::clone(staging),
            shutdown: shutdown.clone(),
            space: Arc::new(Mutex::new(Space::Enough)),
        }
    }

    /// Looks at the free space.
    pub(super) fn check(&self) {
        self.record(&self.staging.check_free_space());
    }

    /// Counts further bytes that were written, and looks at the free space only when they may have made the
    /// difference: cheap enough for every chunk.
    pub(super) fn reserve(&self, bytes: usize) {
        self.record(&self.staging.reserve_space(bytes as u64));
    }

    fn record(&self, checked: &Result<(), SinkError>) {
        // The usual case takes no lock.
        if checked.is_ok() {
            return;
        }
        let mut space = self.space.lock();
        if let Space::Enough = *space {
            *space = Space::Low;
        }
    }

    /// Whether there is space for an image that was not begun. If not, the run stops.
    pub(super) fn allows_new(&self) -> bool {
        let mut space = self.space.lock();
        if let Space::Low = *space {
            // Somebody may have made space since.
            *space = self
                .staging
                .check_free_space()
                .map_or_else(Space::Refused, |()| Space::Enough);
        }
        let allowed = matches!(*space, Space::Enough);
        if !allowed {
            self.shutdown.stop();
        }
        allowed
    }

    /// The error, if the run ended for want of space.
    pub(super) fn result(&self) -> Result<(), SinkError> {
        match std::mem::replace(&mut *self.space.lock(), Space::Enough) {
            Space::Enough | Space::Low => Ok(()),
            Space::Refused(low) => Err(low),
        }
    }
}
