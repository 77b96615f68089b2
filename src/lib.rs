//! Downloads wallpapers: reads a gallery's listing pages, finds the original of each thumbnail, and builds a
//! verified collection. Nothing is fetched twice.
//!
//! ```text
//! producer --Job--> queue --Lease--> workers --VerifiedImage--> committer           engine
//!    |                                  |                           |
//!    +-- site, fetch, ledger            +-- fetch, part, verify     +-- sink, then ledger, then hooks
//!    |                                  |                           |
//!    +-------------- events ------------+---------------------------+--> report --> Tally --> exit code
//! ```
//!
//! A module names modules below it in this list, never beside or above it. `docs/architecture.md` says more.

// level 5: what the user wants, and how it is started
pub mod app;
pub mod config;
pub mod exit;

// level 4: the pipeline
pub mod engine;

// level 3: sockets (queue, sink, ledger, report) and services
pub mod demo;
pub mod fetch;
pub mod hooks;
pub mod ledger;
pub mod queue;
pub mod report;
pub mod sink;

// level 2: verification of images
pub mod verify;

// level 1: pure site logic, and unfinished files
pub mod part;
pub mod site;

// level 0: words that every module uses
pub mod event;
pub mod job;
pub mod mask;
pub mod outcome;
pub mod units;
pub mod user_path;
