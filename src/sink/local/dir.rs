//! The images' side of the folder: blocking, on one thread. Flushes, renames and links are here, each with its reason.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{Durability, Placed, SinkError};
use super::quarantine::Rejected;
use super::{clone_error, is_fatal, quarantine, state_dir, storage_error};
use crate::job::{ContentHash, ImageName};
use crate::outcome::Content;
use crate::part;
use crate::verify::VerifiedImage;

pub(super) struct LocalDir {
    path: PathBuf,
    /// The folder, open: what `syncfs` and `fsync` are asked of.
    handle: Arc<File>,
    durability: Durability,
    /// Whether a name was found that another process may have given without flushing the folder. One thread sets and
    /// reads it, so no ordering is needed.
    unflushed: AtomicBool,
}

impl LocalDir {
    pub(super) fn new(path: PathBuf, handle: Arc<File>, durability: Durability) -> Self {
        Self {
            path,
            handle,
            durability,
            unflushed: AtomicBool::new(false),
        }
    }

    /// Data first, then the names, then the folder: a name that survives a power cut has its bytes. Names first would
    /// cost the same and leave empty files under good names.
    pub(super) fn place(
        &self,
        group: Vec<(VerifiedImage, ImageName)>,
    ) -> Vec<Result<Placed, SinkError>> {
        let images = group.iter().map(|(image, _name)| image);
        if let Err(error) = self.flush_data(images) {
            return group
                .iter()
                .map(|_| Err(self.error("flushing", &error)))
                .collect();
        }
        let placed: Vec<_> = group
            .into_iter()
            .map(|(image, name)| self.place_one(image, name))
            .collect();
        if let Err(error) = self.flush_names() {
            return placed
                .iter()
                .map(|_| Err(self.error("flushing", &error)))
                .collect();
        }
        placed
    }

    fn place_one(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let content = *image.content();
        let file = image.into_file();
        for is_taken in [false, true] {
            let name = if is_taken {
                name.with_hash_suffix(&content.hash)
            } else {
                name.clone()
            };
            match rename_no_replace(file.path(), &self.path.join(name.as_str())) {
                Ok(()) => {
                    file.mark_placed();
                    return Ok(Placed::Stored(name));
                }
                Err(error) if is_fatal(&error) => {
                    return Err(self.error("storing an image in", &error));
                }
                // A duplicate: a run whose ledger was lost stored these very bytes, or a file server renamed the
                // file and answered that it did not. The image is stored either way.
                Err(_) if self.holds(&name, &content).unwrap_or(false) => {
                    file.discard();
                    return Ok(Placed::Stored(name));
                }
                // A collision with other bytes: once more, with the suffix.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(SinkError::Name { name, source }),
            }
        }
        Err(SinkError::Name {
            name,
            source: io::Error::from(io::ErrorKind::AlreadyExists),
        })
    }

    pub(super) fn exists(
        &self,
        names: [ImageName; 2],
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError> {
        for name in names {
            match self.holds(&name, content) {
                Ok(true) => {
                    self.unflushed.store(true, Ordering::Relaxed);
                    return Ok(Some(name));
                }
                Ok(false) => {}
                Err(source) => return Err(SinkError::Name { name, source }),
            }
        }
        Ok(None)
    }

    pub(super) fn replace(
        &self,
        image: VerifiedImage,
        name: ImageName,
    ) -> Result<Placed, SinkError> {
        let target = self.path.join(name.as_str());
        match fs::symlink_metadata(&target) {
            Ok(found) if !found.is_file() => {
                let source = io::Error::other("not a regular file, left alone");
                return Err(SinkError::Name { name, source });
            }
            // Anything else that is wrong with it the rename reports.
            _ => {}
        }
        let flushed = self.flush_data(std::iter::once(&image));
        flushed.map_err(|error| self.error("flushing", &error))?;
        let file = image.into_file();
        match fs::rename(file.path(), &target) {
            Ok(()) => file.mark_placed(),
            Err(error) if is_fatal(&error) => {
                return Err(self.error("storing an image in", &error));
            }
            Err(source) => return Err(SinkError::Name { name, source }),
        }
        self.flush_names()
            .map_err(|error| self.error("flushing", &error))?;
        Ok(Placed::Stored(name))
    }

    pub(super) fn quarantine(
        &self,
        name: ImageName,
        reason: &str,
        rejected: Rejected,
    ) -> Result<(), SinkError> {
        let folder = state_dir(&self.path).join("rejected");
        match quarantine::quarantine(&self.path, &folder, name.as_str(), reason, rejected) {
            Ok(()) => Ok(()),
            Err(error) if is_fatal(&error) => {
                Err(self.error("moving a damaged image out of", &error))
            }
            Err(source) => Err(SinkError::Name { name, source }),
        }
    }

    /// Flushes the folder if a name was found in it that another run gave. The names that this run gave were flushed
    /// with their groups, so a run that recovered nothing ends without a system call here.
    pub(super) fn finish(&self) -> Result<(), SinkError> {
        if self.unflushed.load(Ordering::Relaxed) {
            self.flush_names()
                .map_err(|error| self.error("flushing", &error))?;
        }
        Ok(())
    }

    /// Whether the file of this name has exactly these bytes.
    fn holds(&self, name: &ImageName, content: &Content) -> io::Result<bool> {
        let path = self.path.join(name.as_str());
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.len() == content.bytes => {
                Ok(hash(&path)? == content.hash)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One `syncfs` for a whole group: an `fsync` for each file costs three times as much. It flushes what other
    /// programs wrote to the file system as well, which is the price.
    #[cfg(target_os = "linux")]
    fn flush_data<'a>(&self, _group: impl Iterator<Item = &'a VerifiedImage>) -> io::Result<()> {
        match self.durability {
            Durability::Group => Ok(rustix::fs::syncfs(&*self.handle)?),
            Durability::Off => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn flush_data<'a>(&self, mut group: impl Iterator<Item = &'a VerifiedImage>) -> io::Result<()> {
        match self.durability {
            Durability::Group => {
                group.try_for_each(|image| File::open(image.file().path())?.sync_data())
            }
            Durability::Off => Ok(()),
        }
    }

    /// One `fsync` of the folder makes every name in it durable, also those that an earlier run gave.
    fn flush_names(&self) -> io::Result<()> {
        if self.durability == Durability::Group {
            self.handle.sync_all()?;
        }
        self.unflushed.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn error(&self, doing: &str, error: &io::Error) -> SinkError {
        storage_error(doing, &self.path)(clone_error(error))
    }
}

/// Renames without ever replacing: `renameat2(RENAME_NOREPLACE)` where the file system has it, a hard link otherwise.
/// A plain rename is the last resort: it would replace what somebody else put there in between.
fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    match fs::hard_link(from, to) {
        // Linked. If unlinking the part fails, the next start removes it: a part with two links is already placed.
        Ok(()) => {
            let _ = fs::remove_file(from);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No hard links either. We hold the collection's lock, so no other run of ours can take the name between this
        // check and the rename; only a foreign program could.
        Err(_) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        },
    }
}

fn hash(path: &Path) -> io::Result<ContentHash> {
    let mut file = part::open_regular(path, OpenOptions::new().read(true))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes())),
            n => hasher.update(&buffer[..n]),
        };
    }
}
