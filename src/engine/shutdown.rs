//! When to stop: first no new work, then nothing at all.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// The two steps of an end that was asked for. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    stopping: CancellationToken,
    limit: Arc<OnceLock<&'static str>>,
    interrupted: CancellationToken,
    aborting: CancellationToken,
}

impl Shutdown {
    /// The limit that this flag sets is reached: no new images; those in hand finish, and the hooks of all are run.
    pub fn stop_at(&self, limit: &'static str) {
        if !self.is_stopping() {
            // Of two that are reached at once the first is told.
            let _ = self.limit.set(limit);
        }
        self.stopping.cancel();
    }

    /// No new images; those in hand finish.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// The flag whose limit ended the run, if one did.
    pub fn limit(&self) -> Option<&'static str> {
        self.limit.get().copied()
    }

    /// Somebody asks for the end: no new work, and images in hand finish if they are quick.
    pub fn interrupt(&self) {
        self.stopping.cancel();
        self.interrupted.cancel();
    }

    /// Images in hand are dropped; their parts stay. Hooks in hand are ended.
    pub fn abort(&self) {
        self.stopping.cancel();
        self.aborting.cancel();
    }

    /// Whether no new image may begin.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Whether images in hand are to be dropped.
    pub fn is_aborting(&self) -> bool {
        self.aborting.is_cancelled()
    }

    /// Returns when no new image may begin. Cancel-safe.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Returns when somebody asks for the end. Cancel-safe.
    pub async fn interrupted(&self) {
        self.interrupted.cancelled().await;
    }

    /// Whether no work of any kind may begin.
    pub fn is_leaving(&self) -> bool {
        self.interrupted.is_cancelled() || self.is_aborting()
    }

    /// Returns when no work of any kind may begin. Cancel-safe.
    pub async fn leaving(&self) {
        tokio::select! {
            () = self.interrupted() => {}
            () = self.aborting() => {}
        }
    }

    /// What ends the hooks in hand.
    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.aborting
    }

    /// Returns when images in hand are to be dropped. Cancel-safe.
    pub async fn aborting(&self) {
        self.aborting.cancelled().await;
    }
}
