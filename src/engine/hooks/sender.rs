//! The recorder's end: which hooks are recorded as pending, and the channel to the runner.

use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use crate::hooks::{HookImage, Hooks, Trigger};
use crate::job::ImageKey;
use crate::ledger::Record;

/// Where saved images are sent for their hooks. Dropped when no more can come.
pub(in crate::engine) struct HookSender {
    pub(super) images: mpsc::Sender<HookImage>,
    pub(super) hooks: Hooks,
    /// Cancels `all_saved` of the runner when this is dropped. The closed channel alone would not do: the runner
    /// learns of it only after the last image is taken out, and wants to explain the wait for those before.
    pub(super) _all_saved: DropGuard,
}

impl HookSender {
    /// The records that make the hooks of these images pending.
    pub(in crate::engine) fn pending(&self, images: &[HookImage]) -> Vec<Record> {
        pending_hooks(&self.hooks, images.iter().map(|image| &image.key))
    }

    /// Sends images whose hooks are recorded as pending; waits while the channel is full. Once the runner takes no
    /// more, the rest waits in the ledger for the next run.
    pub(in crate::engine) async fn send(&self, images: Vec<HookImage>) {
        for image in images {
            if self.images.send(image).await.is_err() {
                break;
            }
        }
    }
}

/// The records that make the hooks of these saved images pending, and those for the end of the run.
pub(in crate::engine) fn pending_hooks<'a>(
    hooks: &Hooks,
    saved: impl Iterator<Item = &'a ImageKey>,
) -> Vec<Record> {
    let pending = |of| Record::Hooks {
        of,
        failed: Some(0),
    };
    let mut saved = saved.peekable();
    let end = (hooks.any(Trigger::End) && saved.peek().is_some()).then(|| pending(None));
    let images = saved
        .filter(|_| hooks.any(Trigger::Image))
        .map(|key| pending(Some(key.clone())));
    images.chain(end).collect()
}
