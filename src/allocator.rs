//! The allocator. What one thread allocates another frees here, jobs and pages and what the ledger is told, and the
//! system's has them wait for each other's locks.
#![cfg(all(feature = "jemalloc", target_os = "linux", target_arch = "x86_64"))]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// One arena for the few threads there are: each further one keeps some megabytes to itself, and is no quicker.
#[expect(
    unsafe_code,
    reason = "it is at work before `main` is, and is told by the name of a symbol alone"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 10] = b"narenas:1\0";
