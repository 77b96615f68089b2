//! The global allocator: jemalloc. Jobs, pages and rows are allocated on one thread and freed on another; with
//! glibc's arenas half of all futex calls were threads waiting for each other's arena (14 % of the CPU with small
//! images).
#![cfg(all(feature = "jemalloc", target_os = "linux", target_arch = "x86_64"))]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// One arena: each further one keeps several megabytes and is no faster with as few threads as ours.
#[expect(
    unsafe_code,
    reason = "jemalloc reads its settings before `main`, from a symbol of this name"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 10] = b"narenas:1\0";
