//! When to stop: first no new images, then no new work at all, then nothing.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// The steps by which a run ends early. Clones share them, and no step is ever taken back.
///
/// Tokens and not a watch channel of states: a stage waits for one step without being woken for the others.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No new images.
    stopping: CancellationToken,
    /// Why, if it was a limit.
    limit: Arc<OnceLock<&'static str>>,
    /// No new hooks either.
    interrupted: CancellationToken,
    /// Nothing is finished.
    aborting: CancellationToken,
}

impl Shutdown {
    /// The limit that this flag sets is reached: no new images begin; those in flight finish, and every hook runs.
    pub fn stop_at(&self, limit: &'static str) {
        if !self.is_stopping() {
            // Of two limits that are reached at once, the first is reported.
            let _ = self.limit.set(limit);
        }
        self.stopping.cancel();
    }

    /// No new images begin; those in flight finish.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// The flag whose limit ended the run, if one did.
    pub fn limit(&self) -> Option<&'static str> {
        self.limit.get().copied()
    }

    /// The user asks for the end: no new work begins, and images and hooks in flight finish if they are quick.
    pub fn interrupt(&self) {
        self.stopping.cancel();
        self.interrupted.cancel();
    }

    /// Images in flight are dropped, and their parts stay. Hooks in flight are killed.
    pub fn abort(&self) {
        self.stopping.cancel();
        self.aborting.cancel();
    }

    /// Whether no new image may begin.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Whether images in flight are to be dropped.
    pub fn is_aborting(&self) -> bool {
        self.aborting.is_cancelled()
    }

    /// Cancelled when no new image may begin.
    pub fn stop_token(&self) -> &CancellationToken {
        &self.stopping
    }

    /// A shutdown that follows this one, and can also stop by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            stopping: self.stopping.child_token(),
            limit: Arc::clone(&self.limit),
            interrupted: self.interrupted.child_token(),
            aborting: self.aborting.child_token(),
        }
    }

    /// Returns when no new image may begin. Cancel-safe.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Returns when the user asks for the end. Cancel-safe.
    pub async fn interrupted(&self) {
        self.interrupted.cancelled().await;
    }

    /// Whether no work of any kind may begin, hooks included.
    pub fn is_terminating(&self) -> bool {
        self.interrupted.is_cancelled() || self.is_aborting()
    }

    /// Returns when no work of any kind may begin. Cancel-safe.
    pub async fn terminating(&self) {
        tokio::select! {
            () = self.interrupted() => {}
            () = self.aborting() => {}
        }
    }

    /// Cancelled when hooks in flight are to be killed.
    pub(super) fn abort_token(&self) -> &CancellationToken {
        &self.aborting
    }

    /// Returns when images in flight are to be dropped. Cancel-safe.
    pub async fn aborting(&self) {
        self.aborting.cancelled().await;
    }
}
