//! Hauls wallpapers: walks a gallery's listing pages, finds each thumbnail's original, and keeps a
//! verified collection that is never fetched twice.
//!
//! ```text
//! producer --Job--> queue --Lease--> workers --Sound--> keeper        engine
//!    |                                  |                 |
//!    +-- site, fetch                    +-- fetch, part   +-- sink, then ledger
//!    |                                  |   verify        +-- hooks
//!    +-------------- events ------------+-----------------+--> report --> Tally --> exit code
//! ```
//!
//! A module names what stands below it in this list, never beside or above.

// level 5: what the user said, and what becomes of it
pub mod app;
pub mod config;
pub mod exit;

// level 4: the line
pub mod engine;

// level 3: sockets and doors
pub mod demo;
pub mod fetch;
pub mod hooks;
pub mod ledger;
pub mod queue;
pub mod report;
pub mod sink;

// level 2: judgement
pub mod verify;

// level 1: values and bytes
pub mod part;
pub mod site;

// level 0: words everybody uses
pub mod event;
pub mod job;
pub mod outcome;
pub mod units;
