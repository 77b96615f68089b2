//! What the workers remember of images whose bytes were bad or doubtful. Shared by all of them, because the next attempt
//! may be another one's; locked only for such an image, and never while waiting.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::job::{ContentHash, ImageKey};

/// The images whose bytes were bad once. Each gets one more attempt, for it may have been the transfer.
#[derive(Clone, Default)]
pub(super) struct RetriedOnce(Arc<Mutex<HashSet<ImageKey>>>);

impl RetriedOnce {
    /// Whether an image's bytes are bad for the first time.
    pub(super) fn is_first(&self, key: &ImageKey) -> bool {
        self.0.lock().insert(key.clone())
    }
}

/// The images whose bytes are whole but for something that may have happened on the way, with the hash of those bytes. A
/// fault of the transfer does not repeat itself: when the same bytes come again, that is what the server has.
#[derive(Clone, Default)]
pub(super) struct DoubtedImages(Arc<Mutex<HashMap<ImageKey, ContentHash>>>);

impl DoubtedImages {
    /// Whether the same bytes have come before; remembers them for the next time.
    pub(super) fn confirm(&self, key: &ImageKey, hash: ContentHash) -> bool {
        self.0.lock().insert(key.clone(), hash) == Some(hash)
    }
}
