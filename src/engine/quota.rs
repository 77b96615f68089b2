//! How many more images may be saved: `--max-downloads`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number of images shared by all workers: each takes one before it fetches, and gives it back if nothing was saved.
#[derive(Debug, Clone)]
pub struct Quota(Option<Arc<AtomicU64>>);

impl Quota {
    /// At most `images`, or as many as there are.
    pub fn new(images: Option<u64>) -> Self {
        Self(images.map(|images| Arc::new(AtomicU64::new(images))))
    }

    /// Takes one, if one is left.
    pub fn take(&self) -> bool {
        let Some(left) = &self.0 else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Gives one back.
    pub fn give_back(&self) {
        if let Some(left) = &self.0 {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_ends_and_what_is_given_back_counts_again() {
        let quota = Quota::new(Some(2));
        assert!(quota.take() && quota.take() && !quota.take());
        quota.give_back();
        assert!(quota.take() && !quota.take());
        assert!(Quota::new(None).take());
    }
}
