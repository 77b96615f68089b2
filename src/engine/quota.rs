//! How much more may be saved: `--max-downloads`, `--quota`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

/// Limits that all workers, and all sites of a run, share. Before a worker fetches an image it takes one from the
/// quota; that one is spent when the image is saved or turns out to be a duplicate, and given back otherwise.
#[derive(Debug, Clone)]
pub struct Quota {
    images: Option<Arc<ImageQuota>>,
    bytes: Option<Arc<AtomicU64>>,
}

#[derive(Debug)]
struct ImageQuota {
    /// Images that may be begun. A semaphore, because a worker that finds none must wait: one in flight may fail and
    /// be given back.
    free: Semaphore,
    /// Images that may be saved: it reaches zero only when nothing can be given back any more.
    unsaved: AtomicU64,
}

impl Quota {
    /// At most `images` images, and no new one once `bytes` bytes were fetched; `None` sets no limit.
    pub fn new(images: Option<u64>, bytes: Option<u64>) -> Self {
        let counts = |images: u64| {
            let free = usize::try_from(images)
                .unwrap_or(usize::MAX)
                .min(Semaphore::MAX_PERMITS);
            Arc::new(ImageQuota {
                free: Semaphore::new(free),
                unsaved: AtomicU64::new(images),
            })
        };
        Self {
            images: images.map(counts),
            bytes: bytes.map(|bytes| Arc::new(AtomicU64::new(bytes))),
        }
    }

    /// Whether nothing more may be saved.
    pub fn is_spent(&self) -> bool {
        let images = self
            .images
            .as_ref()
            .is_some_and(|images| images.unsaved.load(Ordering::SeqCst) == 0);
        images
            || self
                .bytes
                .as_ref()
                .is_some_and(|bytes| bytes.load(Ordering::SeqCst) == 0)
    }

    /// Takes an image, waiting while none is free. Cancel-safe.
    pub(super) async fn take(&self) {
        if let Some(images) = &self.images {
            images
                .free
                .acquire()
                .await
                .expect("the semaphore is never closed")
                .forget();
        }
    }

    /// Gives back an image that was taken and not saved.
    pub(super) fn give_back(&self) {
        if let Some(images) = &self.images {
            images.free.add_permits(1);
        }
    }

    /// Spends an image that was taken; answers with the flag whose limit it reaches.
    pub(super) fn spend(&self) -> Option<&'static str> {
        self.images
            .as_ref()
            .is_some_and(|images| subtract(&images.unsaved, 1))
            .then_some("--max-downloads")
    }

    /// Spends the bytes of a verified image; answers with the flag whose limit they reach. When the image is fetched
    /// and not when it is saved: a group saves many at once, and would overshoot by as many.
    pub(super) fn spend_bytes(&self, bytes: u64) -> Option<&'static str> {
        self.bytes
            .as_ref()
            .is_some_and(|left| subtract(left, bytes))
            .then_some("--quota")
    }
}

/// Subtracts `by` from `left`; true when nothing is left.
fn subtract(left: &AtomicU64, by: u64) -> bool {
    let spent = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        Some(left.saturating_sub(by))
    });
    spent.is_ok_and(|left| left <= by)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn can_take(quota: &Quota) -> bool {
        quota.take().now_or_never().is_some()
    }

    #[test]
    fn max_downloads_is_reached_by_saved_images_and_not_by_failed_ones() {
        let quota = Quota::new(Some(2), None);
        assert!(can_take(&quota) && can_take(&quota) && !can_take(&quota));
        quota.give_back();
        assert!(can_take(&quota) && !can_take(&quota));
        assert!(quota.spend().is_none() && quota.spend_bytes(9).is_none() && !quota.is_spent());
        assert_eq!(
            (quota.spend(), quota.is_spent()),
            (Some("--max-downloads"), true)
        );
    }

    #[test]
    fn quota_in_bytes_is_reached_by_the_image_that_exceeds_it() {
        let quota = Quota::new(None, Some(100));
        assert!(
            can_take(&quota)
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
    fn without_a_limit_the_quota_is_never_spent() {
        let quota = Quota::new(None, None);
        assert!(
            can_take(&quota)
                && quota.spend().is_none()
                && quota.spend_bytes(u64::MAX).is_none()
                && !quota.is_spent()
        );
    }
}
