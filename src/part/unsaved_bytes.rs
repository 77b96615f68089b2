//! Bounds what a kill can throw away: at most 1 MB a connection.
//!
//! A kill throws away the bytes of every part that has no resume information on disk. There are two
//! kinds of them: parts that are being downloaded and are still short, and complete images that
//! wait for the committer to give them a name.
//!
//! - A part that is being downloaded gets its own file of resume information once it is
//!   [`RESUME_THRESHOLD`] long, and counts no longer.
//! - A complete image counts with its full length while it waits for its name.
//! - When the sum of both exceeds [`RESUME_THRESHOLD`] times the number of connections, the resume
//!   information of all waiting images is written to one shared file, and they count no longer.
//!   What is left are the short parts, whose sum is within the bound by itself. With the chunk that
//!   is being read that makes at most 1 MB a connection.
//!
//! A file for each waiting image was dropped: creating and removing it costs as much as a small
//! image itself. Writing nothing was dropped too: a kill would throw away a group of the committer,
//! which may be 64 MB. With a shared file most images need none: the group is usually placed before
//! the sum reaches the bound, above all on a slow connection.

use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::folder::PartId;
use super::resume_info::{self, ResumeInfo};

/// A part that is this long, in bytes, gets its own resume information. Below 1 MB by the size of
/// the chunk that is being read.
pub(super) const RESUME_THRESHOLD: u64 = 700_000;

/// The bytes in a folder of parts that a kill would throw away.
#[derive(Debug)]
pub(super) struct UnsavedBytes {
    folder: PathBuf,
    boot: String,
    /// The sum. An atomic and not a field behind the lock, because it changes with every chunk of
    /// every part, and workers on all threads would contend for the lock. `Relaxed`: nothing is
    /// read on the strength of its value, and the decision to save is checked again under the lock.
    bytes: AtomicU64,
    /// The sum at which the waiting images are saved.
    limit: AtomicU64,
    /// Held while a shared file is written, so that two threads that exceed the limit at once do
    /// not write two. A worker blocks for that long, on a write into the page cache of some
    /// kilobytes.
    pending: Mutex<PendingImages>,
}

/// The images that wait for their names and have no resume information on disk.
#[derive(Debug, Default)]
struct PendingImages {
    /// A kill would throw these away.
    unsaved: HashMap<PartId, ResumeInfo>,
    /// These are in a shared file.
    saved: HashMap<PartId, Arc<SharedResumeInfo>>,
    /// How many shared files there have been; names the next one.
    shared_files: u64,
}

/// A file with the resume information of several images. Each of these holds a reference, so that
/// the last one to get its name removes the file, and nobody has to count.
#[derive(Debug)]
struct SharedResumeInfo {
    path: PathBuf,
    /// True when one of its images was abandoned and the next run needs the file. `Relaxed`: it is
    /// read when the last reference is dropped, and that comes after every store.
    keep: AtomicBool,
}

impl Drop for SharedResumeInfo {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::Relaxed) {
            // On failure it stays. Without its parts it means nothing, and the next start removes
            // it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl UnsavedBytes {
    pub(super) fn new(folder: &Path, boot: &str) -> Self {
        let (folder, boot) = (folder.to_owned(), boot.to_owned());
        Self {
            folder,
            boot,
            bytes: AtomicU64::new(0),
            limit: AtomicU64::new(RESUME_THRESHOLD),
            pending: Mutex::default(),
        }
    }

    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    /// Sets how many images are downloaded at a time; the limit is [`RESUME_THRESHOLD`] for each.
    pub(super) fn set_concurrency(&self, jobs: NonZeroUsize) {
        self.limit.store(
            (jobs.get() as u64).saturating_mul(RESUME_THRESHOLD),
            Ordering::Relaxed,
        );
    }

    /// Counts a part with `now` bytes that counted with `before` until now. Saves the waiting
    /// images when the sum exceeds the limit.
    pub(super) fn recount(&self, before: u64, now: u64) {
        if now <= before {
            self.bytes.fetch_sub(before - now, Ordering::Relaxed);
            return;
        }
        let grown = now - before;
        if self.exceeds_limit(self.bytes.fetch_add(grown, Ordering::Relaxed) + grown) {
            self.save_pending();
        }
    }

    /// Adds an image that waits for its name; `counted` of its bytes are in the sum already.
    pub(super) fn add_pending(&self, part: PartId, info: &ResumeInfo, counted: u64) {
        // The guard is dropped before `recount`, which may lock again.
        self.pending.lock().unsaved.insert(part, info.clone());
        self.recount(counted, info.length);
    }

    /// Removes an image that waited, if this one did. Returns whether a shared file has its resume
    /// information; with `keep` that file stays for the next run.
    pub(super) fn remove_pending(&self, part: PartId, keep: bool) -> bool {
        let mut pending = self.pending.lock();
        if let Some(info) = pending.unsaved.remove(&part) {
            // It shrinks the sum, and so never locks.
            self.recount(info.length, 0);
        }
        let shared = pending.saved.remove(&part);
        if let Some(shared) = shared.as_ref().filter(|_| keep) {
            shared.keep.store(true, Ordering::Relaxed);
        }
        shared.is_some()
    }

    fn exceeds_limit(&self, bytes: u64) -> bool {
        bytes > self.limit.load(Ordering::Relaxed)
    }

    /// Writes the resume information of all waiting images to a shared file.
    fn save_pending(&self) {
        let mut pending = self.pending.lock();
        // Another thread may have saved them while this one waited for the lock.
        if pending.unsaved.is_empty() || !self.exceeds_limit(self.bytes.load(Ordering::Relaxed)) {
            return;
        }
        let number = pending.shared_files;
        pending.shared_files += 1;
        // On failure no image fails: they still count, so that the next chunk or image tries again.
        let Ok(path) =
            resume_info::write_shared(&self.folder, number, &pending.unsaved, &self.boot)
        else {
            return;
        };
        let shared = Arc::new(SharedResumeInfo {
            path,
            keep: AtomicBool::new(false),
        });
        let PendingImages {
            unsaved,
            saved,
            shared_files: _,
        } = &mut *pending;
        for (part, info) in unsaved.drain() {
            self.recount(info.length, 0);
            saved.insert(part, Arc::clone(&shared));
        }
    }
}
