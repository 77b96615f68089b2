//! The user's commands for saved images: run after the committer, beside the downloads, a few at a time.
//!
//! A hook is recorded as pending in the transaction that records its image, and no longer once it has run. So a run
//! that ends first loses none: the next run reads this backlog and runs it before the hooks of its own images.

mod backlog;
mod runner;
mod sender;

pub(super) use self::runner::HookRunner;
pub(super) use self::sender::{HookSender, pending_hooks};
