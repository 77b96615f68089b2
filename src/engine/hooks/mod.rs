//! The user's commands for saved images: run after the committer, beside the downloads, a few at a time.
//!
//! A hook is written down as pending in the transaction that records its image, and struck off when it has run. So a
//! run that ends first forgets none: the next run reads the backlog and runs it before its own images.

mod backlog;
mod runner;
mod sender;

pub(super) use self::runner::HookRunner;
pub(super) use self::sender::{HookSender, pending_hooks};
