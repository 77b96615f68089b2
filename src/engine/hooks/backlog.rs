//! Hooks that earlier runs left in the ledger.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::EngineError;
use crate::hooks::HookImage;
use crate::job::ImageName;
use crate::ledger::{Ledger, LedgerRow, PendingImageHooks};

/// Images read from the ledger at a time: a backlog may be longer than the memory should hold.
const READ_AT_ONCE: usize = 64;

/// Images whose hooks an earlier run left, the newest first.
pub(super) struct Backlog {
    ledger: Arc<dyn Ledger>,
    read: VecDeque<PendingImageHooks>,
    /// The images that are not read yet have lower numbers than this.
    below: i64,
    exhausted: bool,
}

impl Backlog {
    /// The backlog in `ledger`, or an empty one where there are no hooks for images.
    ///
    /// The newest number is read at once: the images that this run adds get higher ones, so none is run both from
    /// here and from the channel.
    pub(super) async fn open(
        ledger: Arc<dyn Ledger>,
        for_images: bool,
    ) -> Result<Self, EngineError> {
        let mut backlog = Self {
            ledger,
            read: VecDeque::new(),
            below: i64::MAX,
            exhausted: !for_images,
        };
        backlog.read_more().await?;
        Ok(backlog)
    }

    /// The next image, and in how many runs its hooks have failed. Cancel-safe: what was read is kept.
    pub(super) async fn next(&mut self) -> Result<Option<(HookImage, u32)>, EngineError> {
        loop {
            // A row without a file has nothing to run a hook for.
            while let Some(PendingImageHooks {
                number: _,
                failed,
                image,
            }) = self.read.pop_front()
            {
                if let Some(image) = hook_image(image) {
                    return Ok(Some((image, failed)));
                }
            }
            if self.exhausted {
                return Ok(None);
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), EngineError> {
        if self.exhausted {
            return Ok(());
        }
        let read = self
            .ledger
            .pending_image_hooks(self.below, READ_AT_ONCE)
            .await?;
        self.exhausted = read.len() < READ_AT_ONCE;
        self.below = read.last().map_or(self.below, |last| last.number);
        self.read.extend(read);
        Ok(())
    }
}

fn hook_image(row: LedgerRow) -> Option<HookImage> {
    Some(HookImage {
        key: row.key,
        address: row.address,
        name: ImageName::from_stored(&row.name?),
        content: row.content?,
        page: row.page,
        title: row.title,
    })
}
