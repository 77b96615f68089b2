//! When to stop: first no new work, then nothing at all.

use tokio_util::sync::CancellationToken;

/// The steps of an end that was asked for, each of which includes those before it. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    stopping: CancellationToken,
    leaving: CancellationToken,
    aborting: CancellationToken,
}

impl Shutdown {
    /// There are images enough: no new ones; those in hand finish, and the hooks of all are run.
    pub fn enough(&self) {
        self.stopping.cancel();
    }

    /// The user wants to leave: no new work of any kind; what is in hand may finish.
    pub fn stop(&self) {
        self.enough();
        self.leaving.cancel();
    }

    /// Images in hand are dropped; their parts stay. Hooks are ended.
    pub fn abort(&self) {
        self.stop();
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

    /// Whether no work of any kind may begin.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Returns when no new image may begin. Cancel-safe.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Returns when no work of any kind may begin. Cancel-safe.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }

    /// What ends the hooks in hand.
    pub(super) fn cut_off(&self) -> &CancellationToken {
        &self.aborting
    }

    /// Returns when images in hand are to be dropped. Cancel-safe.
    pub async fn aborting(&self) {
        self.aborting.cancelled().await;
    }
}
