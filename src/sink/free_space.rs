//! How much of the disk is left to others: `--min-free-space`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{MinFree, SinkError};

/// What is left free where nothing was said: this many bytes,
const USUAL: u64 = 1 << 30;
/// or, of a small disk, one part in so many.
const OF_A_SMALL_DISK: u64 = 20;

/// The room on the disk that a folder lies on.
pub(super) struct FreeSpace {
    path: PathBuf,
    /// How many bytes are left free; zero looks nowhere.
    least: u64,
    /// How many bytes may be written before it is worth looking again.
    unseen: AtomicU64,
}

impl FreeSpace {
    pub(super) fn of(path: &Path, folder: &File, least: MinFree) -> io::Result<Self> {
        let least = match least {
            MinFree::Bytes(bytes) => bytes,
            MinFree::Usual => USUAL.min(Disk::look(folder)?.size / OF_A_SMALL_DISK),
        };
        Ok(Self {
            path: path.to_owned(),
            least,
            unseen: AtomicU64::new(0),
        })
    }

    /// Whether as much is free as is to be.
    pub(super) fn look(&self, folder: &File) -> Result<(), SinkError> {
        if self.least == 0 {
            return Ok(());
        }
        let found = Disk::look(folder).map_err(|source| {
            let what = format!("looking how much is free in `{}`", self.path.display());
            SinkError::Storage { what, source }
        })?;
        let Some(spare) = found.free.checked_sub(self.least) else {
            return Err(SinkError::Low {
                path: self.path.clone(),
                free: found.free,
                least: self.least,
            });
        };
        // Half of it: others write too, and the nearer the end, the closer the looks.
        self.unseen.store(spare / 2, Ordering::Relaxed);
        Ok(())
    }

    /// The same after so many further bytes; looks only when they may have made the difference.
    pub(super) fn take(&self, bytes: u64, folder: &File) -> Result<(), SinkError> {
        let takes = |unseen: u64| unseen.checked_sub(bytes);
        match self
            .unseen
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, takes)
        {
            Ok(_) => Ok(()),
            Err(_) => self.look(folder),
        }
    }
}

/// A disk's figures, in bytes.
struct Disk {
    size: u64,
    /// For programs without special rights.
    free: u64,
}

impl Disk {
    fn look(folder: &File) -> io::Result<Self> {
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

    fn room(least: MinFree) -> (tempfile::TempDir, File, FreeSpace) {
        let home = tempfile::tempdir().unwrap();
        let folder = File::open(home.path()).unwrap();
        let room = FreeSpace::of(home.path(), &folder, least).unwrap();
        (home, folder, room)
    }

    #[test]
    fn the_usual_is_a_gibibyte_or_the_twentieth_part_of_a_small_disk() {
        let (_home, folder, room) = room(MinFree::Usual);
        let size = Disk::look(&folder).unwrap().size;
        assert!(
            room.least <= 1 << 30
                && room.least <= size / 20
                && (room.least == 1 << 30 || room.least == size / 20)
        );
    }

    #[test]
    fn a_disk_with_less_free_is_told_with_its_figures_and_zero_never_is() {
        let (home, folder, low) = room(MinFree::Bytes(u64::MAX));
        for error in [
            low.look(&folder).unwrap_err(),
            low.take(1, &folder).unwrap_err(),
        ] {
            let told = error.to_string();
            let named = [
                home.path().to_str().unwrap(),
                "--min-free-space",
                "make room",
                "18.4 EB",
            ];
            assert!(named.iter().all(|named| told.contains(named)), "{told}");
        }
        let (_home, folder, any) = room(MinFree::Bytes(0));
        assert!(any.look(&folder).is_ok() && any.take(u64::MAX, &folder).is_ok());
    }

    #[test]
    fn a_look_is_good_for_half_of_what_was_found() {
        let (_home, folder, room) = room(MinFree::Bytes(1));
        room.take(1, &folder).unwrap();
        let good_for = room.unseen.load(Ordering::Relaxed);
        let free = Disk::look(&folder).unwrap().free;
        assert!(good_for > 0 && good_for <= free);
        room.take(good_for, &folder).unwrap();
        assert_eq!(room.unseen.load(Ordering::Relaxed), 0, "nobody looked");
        room.take(1, &folder).unwrap();
        assert!(room.unseen.load(Ordering::Relaxed) > 0, "somebody looked");
    }
}
