//! How much of the disk stays free: `--min-free-space`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{MinFree, SinkError};
use super::storage_error;

/// What stays free by default, in bytes;
const DEFAULT_MIN_FREE: u64 = 1 << 30;
/// on a small disk only its size divided by this.
const SMALL_DISK_DIVISOR: u64 = 20;

/// The free space of the disk that a folder is on.
pub(super) struct FreeSpace {
    /// For messages.
    path: PathBuf,
    /// How many bytes must stay free; with zero nothing is ever checked.
    min: u64,
    /// How many bytes may be written before the disk is asked again. Asking for every chunk would be one system call
    /// more a write. Nothing is ordered by it, so `Relaxed` does.
    budget: AtomicU64,
}

impl FreeSpace {
    pub(super) fn new(path: &Path, folder: &File, min: MinFree) -> io::Result<Self> {
        let min = match min {
            MinFree::Bytes(bytes) => bytes,
            MinFree::Default => {
                DEFAULT_MIN_FREE.min(DiskSpace::of(folder)?.size / SMALL_DISK_DIVISOR)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            min,
            budget: AtomicU64::new(0),
        })
    }

    /// Asks the disk whether enough is free.
    pub(super) fn check(&self, folder: &File) -> Result<(), SinkError> {
        if self.min == 0 {
            return Ok(());
        }
        let disk = DiskSpace::of(folder)
            .map_err(storage_error("checking the free space in", &self.path))?;
        let Some(spare) = disk.free.checked_sub(self.min) else {
            return Err(SinkError::LowSpace {
                path: self.path.clone(),
                free: disk.free,
                min: self.min,
            });
        };
        // Half of it: others write too, and the nearer the limit, the more often we ask.
        self.budget.store(spare / 2, Ordering::Relaxed);
        Ok(())
    }

    /// Takes `bytes` from the budget, and asks the disk when that is used up.
    pub(super) fn reserve(&self, bytes: u64, folder: &File) -> Result<(), SinkError> {
        let take = |budget: u64| budget.checked_sub(bytes);
        match self
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            Ok(_) => Ok(()),
            Err(_) => self.check(folder),
        }
    }
}

/// A disk's figures, in bytes.
struct DiskSpace {
    size: u64,
    /// For programs without special rights: some blocks may be reserved for root.
    free: u64,
}

impl DiskSpace {
    fn of(folder: &File) -> io::Result<Self> {
        let found = rustix::fs::fstatvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self {
            size: bytes(found.f_blocks),
            free: bytes(found.f_bavail),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(min: MinFree) -> (tempfile::TempDir, File, FreeSpace) {
        let home = tempfile::tempdir().unwrap();
        let folder = File::open(home.path()).unwrap();
        let space = FreeSpace::new(home.path(), &folder, min).unwrap();
        (home, folder, space)
    }

    #[test]
    fn the_default_min_free_space_is_a_gibibyte_or_a_twentieth_of_a_small_disk() {
        let (_home, folder, space) = open(MinFree::Default);
        let size = DiskSpace::of(&folder).unwrap().size;
        assert_eq!(space.min, (1 << 30).min(size / 20));
    }

    #[test]
    fn a_disk_with_less_free_space_is_an_error_with_its_figures_and_zero_never_is() {
        let (home, folder, low) = open(MinFree::Bytes(u64::MAX));
        for error in [
            low.check(&folder).unwrap_err(),
            low.reserve(1, &folder).unwrap_err(),
        ] {
            let message = error.to_string();
            let due = [
                home.path().to_str().unwrap(),
                "--min-free-space",
                "make room",
                "18.4 EB",
            ];
            assert!(due.iter().all(|due| message.contains(due)), "{message}");
        }
        let (_home, folder, any) = open(MinFree::Bytes(0));
        assert!(any.check(&folder).is_ok() && any.reserve(u64::MAX, &folder).is_ok());
    }

    #[test]
    fn the_free_space_is_checked_again_after_half_of_what_was_found() {
        let (_home, folder, space) = open(MinFree::Bytes(1));
        space.reserve(1, &folder).unwrap();
        let budget = space.budget.load(Ordering::Relaxed);
        let free = DiskSpace::of(&folder).unwrap().free;
        assert!(budget > 0 && budget <= free);
        space.reserve(budget, &folder).unwrap();
        assert_eq!(space.budget.load(Ordering::Relaxed), 0, "not asked again");
        space.reserve(1, &folder).unwrap();
        assert!(space.budget.load(Ordering::Relaxed) > 0, "asked again");
    }
}
