//! The application: opens what a command works on, starts the engine, and turns how it ended into an exit code.
//!
//! `commands` has a file or folder for each command; `run` starts the engine for them. Below it, `targets` finds the
//! sites and URLs that the user named, `collection` opens and locks a collection, and `console` prints what commands
//! say outside a run.

mod blocking;
mod collection;
mod commands;
mod console;
mod environment;
mod queued;
mod run;
mod runtime;
mod signals;
mod targets;

pub use commands::{
    DetailPage, NewOptions, PurgeTarget, QueueTask, RecordOptions, TestOptions, VerifyOptions,
    check_site, count_ledger, fetch, list_ledger, list_sites, new_site, print_schema, queue,
    rebuild_ledger, record_site, scan, show_ledger, show_site, test_site, urls, verify, work,
};
pub use console::{print, print_error};
pub use environment::Environment;
pub use runtime::block_on;
