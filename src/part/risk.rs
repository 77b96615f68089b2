//! What a kill would throw away: bytes that no note speaks of. They are counted, and before they become too many the
//! notes of all images that wait for their names are written on one sheet. A file for each would cost as much as a small
//! image itself; where the line is slow hardly any is written.

use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::note::{ResumeInfo, write_sheet};
use super::{PartId, WORTH_A_NOTE};

/// The bytes of the parts in a folder that a kill would throw away.
#[derive(Debug)]
pub(super) struct UnsavedBytes {
    folder: PathBuf,
    boot: String,
    bytes: AtomicU64,
    most: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// The images that wait for their names and have no note of their own.
#[derive(Debug, Default)]
struct Waiting {
    /// A kill would throw them away,
    unnoted: HashMap<PartId, ResumeInfo>,
    /// or not.
    noted: HashMap<PartId, Arc<SharedResumeInfo>>,
    /// How many sheets there were.
    sheets: u64,
}

/// The notes of several images; gone with the last of them that gets its name.
#[derive(Debug)]
struct SharedResumeInfo {
    path: PathBuf,
    stays: AtomicBool,
}

impl Drop for SharedResumeInfo {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::Relaxed) {
            // What cannot be removed now means nothing without its parts, and the next start clears it away.
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
            most: AtomicU64::new(WORTH_A_NOTE),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    /// Lets so many images be on their way at a time.
    pub(super) fn set_concurrency(&self, jobs: NonZeroUsize) {
        self.most.store(
            (jobs.get() as u64).saturating_mul(WORTH_A_NOTE),
            Ordering::Relaxed,
        );
    }

    /// Counts `now` bytes where `before` were counted.
    pub(super) fn count(&self, before: u64, now: u64) {
        if now <= before {
            self.bytes.fetch_sub(before - now, Ordering::Relaxed);
        } else if self
            .is_too_much(self.bytes.fetch_add(now - before, Ordering::Relaxed) + now - before)
        {
            self.write_down();
        }
    }

    /// Has an image wait for its name; `counted` of its bytes are counted already.
    pub(super) fn wait(&self, part: PartId, note: &ResumeInfo, counted: u64) {
        self.waiting().unnoted.insert(part, note.clone());
        self.count(counted, note.length);
    }

    /// Lets go of an image that waited, if this one did; answers whether it is on a sheet, which stays where it
    /// `goes_on`.
    pub(super) fn leave(&self, part: PartId, goes_on: bool) -> bool {
        let mut waiting = self.waiting();
        if let Some(note) = waiting.unnoted.remove(&part) {
            self.count(note.length, 0);
        }
        let sheet = waiting.noted.remove(&part);
        if let Some(sheet) = sheet.as_ref().filter(|_| goes_on) {
            sheet.stays.store(true, Ordering::Relaxed);
        }
        sheet.is_some()
    }

    fn is_too_much(&self, bytes: u64) -> bool {
        bytes > self.most.load(Ordering::Relaxed)
    }

    /// Writes down all that waits, unless somebody else did a moment ago.
    fn write_down(&self) {
        let mut waiting = self.waiting();
        if waiting.unnoted.is_empty() || !self.is_too_much(self.bytes.load(Ordering::Relaxed)) {
            return;
        }
        let number = waiting.sheets;
        waiting.sheets += 1;
        // No image fails for it: what cannot be written now is tried again with the next one.
        let Ok(path) = write_sheet(&self.folder, number, &waiting.unnoted, &self.boot) else {
            return;
        };
        let sheet = Arc::new(SharedResumeInfo {
            path,
            stays: AtomicBool::new(false),
        });
        let Waiting {
            unnoted,
            noted,
            sheets: _,
        } = &mut *waiting;
        for (part, note) in unnoted.drain() {
            self.count(note.length, 0);
            noted.insert(part, Arc::clone(&sheet));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
