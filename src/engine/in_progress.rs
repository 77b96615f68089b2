//! The images that a process is working on: none twice at the same time. A queue of many machines may deliver a job again to
//! the worker that has it, and both would write one part: the first to be named would take along the bytes of the other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::job::ImageKey;

/// After how long a job comes again whose image is being worked on.
pub(super) const COMES_AGAIN: Duration = Duration::from_secs(1);

/// Their keys.
#[derive(Clone, Default)]
pub(super) struct InProgress(Arc<Mutex<HashSet<ImageKey>>>);

/// Ends the work on an image when dropped.
pub(super) struct InProgressGuard {
    images: InProgress,
    key: ImageKey,
}

impl InProgress {
    /// Begins the work on an image; `None` where it is being worked on.
    pub(super) fn begin(&self, key: &ImageKey) -> Option<InProgressGuard> {
        let is_new = self.0.lock().insert(key.clone());
        is_new.then(|| InProgressGuard {
            images: self.clone(),
            key: key.clone(),
        })
    }
}

impl Drop for InProgressGuard {
    fn drop(&mut self) {
        self.images.0.lock().remove(&self.key);
    }
}
