//! What the tests use: the program in a sandbox or in a real terminal, a real web server, a gate
//! that holds its requests, the real catalogue written as a site, a mirror made of both, a server
//! with scripted faults, network namespaces, memory limits, and file systems that can be full or
//! lose their power.

pub(crate) mod cgroup;
pub(crate) mod cutting_proxy;
pub(crate) mod fault_server;
pub(crate) mod gallery;
pub(crate) mod gzip;
pub(crate) mod large_png;
pub(crate) mod mirror;
pub(crate) mod mount;
#[cfg(feature = "nats")]
pub(crate) mod nats;
pub(crate) mod network_namespace;
pub(crate) mod nginx;
pub(crate) mod program;
pub(crate) mod recorded_disk;
pub(crate) mod request_gate;
pub(crate) mod rng;
pub(crate) mod site;
#[cfg(feature = "object-store")]
pub(crate) mod store_proxy;
#[cfg(feature = "object-store")]
pub(crate) mod stores;
pub(crate) mod terminal;
pub(crate) mod web_archive;

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging: far more than a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks `ask` again and again until it answers.
///
/// # Panics
///
/// When it has not answered within [`PATIENCE`]: `what` says what was waited for.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
