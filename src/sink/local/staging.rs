//! The folder on this machine in which a run works, wherever it stores its images.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::{SinkError, SinkOptions};
use super::free_space::FreeSpace;
use super::{lock, name_limit, storage_error};
use crate::part::{self, Parts};

/// Unfinished files, the lock, and the free space of their disk.
///
/// Not part of the sink: a run that stores its images over the network prepares and locks them here all the same.
/// Beside a local collection it is on the same file system, so that placing an image is a rename.
pub struct Staging {
    state_dir: PathBuf,
    parts: Parts,
    free_space: FreeSpace,
    disk: Arc<File>,
    /// In bytes, of an image.
    longest_name: usize,
    /// Freed by the kernel when this process ends, however it ends.
    _lock: File,
}

impl Staging {
    /// Opens the folder `state_dir`, whose parent exists, and locks it. `on_disk` is the folder that messages about
    /// its disk name: the one that the user knows.
    pub(in crate::sink) fn open(
        state_dir: &Path,
        on_disk: &Path,
        options: &SinkOptions<'_>,
    ) -> Result<Self, SinkError> {
        let SinkOptions {
            durability: _,
            min_free,
            boot_id,
            now,
            store: _,
            worker: _,
        } = *options;
        part::ensure_dir(state_dir).map_err(storage_error("creating the folder", state_dir))?;
        // Before the parts: opening them removes what no run could resume.
        let lock = lock::acquire(&state_dir.join("lock"), now)?;
        let folder = state_dir.join("parts");
        let parts =
            Parts::open(&folder, boot_id).map_err(storage_error("creating the folder", &folder))?;
        let disk = File::open(on_disk).map_err(storage_error("opening the folder", on_disk))?;
        // The parts are on the file system of the images, and a file there is in nobody's way.
        let declared = name_limit::declared(rustix::fs::fstatvfs(&disk));
        let limit = name_limit::probe(&folder, declared)
            .map_err(storage_error("writing to the folder", &folder))?;
        let free_space = FreeSpace::new(on_disk, &disk, min_free)
            .map_err(storage_error("checking the free space in", on_disk))?;
        Ok(Self {
            state_dir: state_dir.to_owned(),
            parts,
            free_space,
            disk: Arc::new(disk),
            longest_name: name_limit::longest_name(limit),
            _lock: lock,
        })
    }

    /// The folder of all that is not an image: the ledger is in it too.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The longest name of an image beside this folder, in bytes.
    pub fn longest_name(&self) -> usize {
        self.longest_name
    }

    /// The unfinished files.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Checks that as much is free as should stay free.
    ///
    /// # Errors
    ///
    /// When it is less: no further image should be begun.
    pub fn check_free_space(&self) -> Result<(), SinkError> {
        self.free_space.check(&self.disk)
    }

    /// The same after `bytes` more were written to parts. Asks the system only when they may have made the
    /// difference, so it may be called for every chunk.
    ///
    /// # Errors
    ///
    /// As [`Staging::check_free_space`].
    pub fn reserve_space(&self, bytes: u64) -> Result<(), SinkError> {
        self.free_space.reserve(bytes, &self.disk)
    }

    /// The folder `on_disk`, open.
    pub(super) fn disk(&self) -> Arc<File> {
        Arc::clone(&self.disk)
    }
}
