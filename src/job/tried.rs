//! What a job remembers of the hosts that it was on before.

use serde::{Deserialize, Serialize};

/// What came of an image's earlier candidates, where its job was queued again for the host of the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Addresses that had their turn.
    pub addresses: usize,
    /// Whether one of them was absent and not gone: the image is gone only if it is gone from every address.
    pub may_come_back: bool,
}

impl Tried {
    /// Whether no candidate had its turn.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
