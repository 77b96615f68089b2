//! How much more may be saved: `--max-downloads`, `--quota`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

/// What all workers, and all sites of a run, share: a worker takes an image before it fetches one, and it is spent
/// when that image is saved, or given back.
#[derive(Debug, Clone)]
pub struct Quota {
    images: Option<Arc<Images>>,
    bytes: Option<Arc<AtomicU64>>,
}

#[derive(Debug)]
struct Images {
    free: Semaphore,
    unspent: AtomicU64,
}

impl Quota {
    /// At most so many images, and no new one once so many bytes were saved; without a number, as many as there are.
    pub fn new(images: Option<u64>, bytes: Option<u64>) -> Self {
        let counts = |images: u64| {
            let free = usize::try_from(images)
                .unwrap_or(usize::MAX)
                .min(Semaphore::MAX_PERMITS);
            Arc::new(Images {
                free: Semaphore::new(free),
                unspent: AtomicU64::new(images),
            })
        };
        Self {
            images: images.map(counts),
            bytes: bytes.map(|bytes| Arc::new(AtomicU64::new(bytes))),
        }
    }

    /// Whether nothing may be saved any more.
    pub fn is_spent(&self) -> bool {
        let images = self
            .images
            .as_ref()
            .is_some_and(|images| images.unspent.load(Ordering::SeqCst) == 0);
        images
            || self
                .bytes
                .as_ref()
                .is_some_and(|bytes| bytes.load(Ordering::SeqCst) == 0)
    }

    /// Takes an image, once one is free: another's may fail yet, and come back. Cancel-safe.
    pub(super) async fn take(&self) {
        if let Some(images) = &self.images {
            images
                .free
                .acquire()
                .await
                .expect("it is never closed")
                .forget();
        }
    }

    /// Gives one back that was taken.
    pub(super) fn give_back(&self) {
        if let Some(images) = &self.images {
            images.free.add_permits(1);
        }
    }

    /// Spends one that was taken; answers with the flag whose limit is reached by it.
    pub(super) fn spend(&self) -> Option<&'static str> {
        self.images
            .as_ref()
            .is_some_and(|images| less(&images.unspent, 1))
            .then_some("--max-downloads")
    }

    /// Spends the bytes of a sound image, at once: a worker may bring many before the first of them has its name.
    pub(super) fn spend_bytes(&self, bytes: u64) -> Option<&'static str> {
        self.bytes
            .as_ref()
            .is_some_and(|left| less(left, bytes))
            .then_some("--quota")
    }
}

/// Takes `by` from `left`; true when nothing is left.
fn less(left: &AtomicU64, by: u64) -> bool {
    let spent = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        Some(left.saturating_sub(by))
    });
    spent.is_ok_and(|left| left <= by)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn takes(quota: &Quota) -> bool {
        quota.take().now_or_never().is_some()
    }

    #[test]
    fn a_quota_ends_and_what_is_given_back_counts_again() {
        let quota = Quota::new(Some(2), None);
        assert!(takes(&quota) && takes(&quota) && !takes(&quota));
        quota.give_back();
        assert!(takes(&quota) && !takes(&quota));
        assert!(quota.spend().is_none() && quota.spend_bytes(9).is_none() && !quota.is_spent());
        assert_eq!(
            (quota.spend(), quota.is_spent()),
            (Some("--max-downloads"), true)
        );
    }

    #[test]
    fn bytes_end_it_too_with_the_image_that_reaches_them() {
        let quota = Quota::new(None, Some(100));
        assert!(
            takes(&quota)
                && quota.spend().is_none()
                && quota.spend_bytes(99).is_none()
                && !quota.is_spent()
        );
        assert_eq!(
            (quota.spend_bytes(50), quota.is_spent()),
            (Some("--quota"), true)
        );
        assert_eq!(quota.spend_bytes(50), Some("--quota"));
    }

    #[test]
    fn without_a_number_there_is_no_end() {
        let quota = Quota::new(None, None);
        assert!(
            takes(&quota)
                && quota.spend().is_none()
                && quota.spend_bytes(u64::MAX).is_none()
                && !quota.is_spent()
        );
    }
}
