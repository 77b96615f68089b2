//! How many more images may be saved: `--max-downloads`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number of images shared by all workers, and by all sites of a run: each worker takes one before it fetches,
/// and spends it or gives it back.
#[derive(Debug, Clone)]
pub struct Quota(Option<Arc<Counts>>);

#[derive(Debug)]
struct Counts {
    free: AtomicU64,
    unspent: AtomicU64,
}

impl Quota {
    /// At most `images`, or as many as there are.
    pub fn new(images: Option<u64>) -> Self {
        let counts = |images| Arc::new(Counts { free: AtomicU64::new(images), unspent: AtomicU64::new(images) });
        Self(images.map(counts))
    }

    /// Whether nothing may be saved any more.
    pub fn is_spent(&self) -> bool {
        self.0.as_ref().is_some_and(|counts| counts.unspent.load(Ordering::SeqCst) == 0)
    }

    /// Takes one, if one is free.
    pub(super) fn take(&self) -> bool {
        let Some(counts) = &self.0 else { return true };
        counts.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1)).is_ok()
    }

    /// Gives one back that was taken.
    pub(super) fn give_back(&self) {
        if let Some(counts) = &self.0 {
            counts.free.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Spends one that was taken; true when it was the last.
    pub(super) fn spend(&self) -> bool {
        self.0.as_ref().is_some_and(|counts| counts.unspent.fetch_sub(1, Ordering::SeqCst) == 1)
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
        assert!(!quota.spend() && !quota.is_spent());
        assert!(quota.spend() && quota.is_spent());
    }

    #[test]
    fn without_a_number_there_is_no_end() {
        let quota = Quota::new(None);
        assert!(quota.take() && !quota.spend() && !quota.is_spent());
    }
}
