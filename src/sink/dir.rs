//! A folder: images flat under their names, everything else of ours in `.wallhaul` beside them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{Durability, Holder, Placed, Sink, SinkError, rejected};
use crate::job::{ContentHash, ImageName};
use crate::outcome::Content;
use crate::part::Parts;
use crate::verify::Sound;

/// The folder of everything that is no image.
pub(super) const OURS: &str = ".wallhaul";

pub(super) struct Dir {
    shelf: Arc<Shelf>,
    parts: Parts,
    /// The kernel frees it when this process ends, however it ends.
    _lock: File,
}

impl Dir {
    pub(super) fn open(
        directory: &Path,
        durability: Durability,
        boot: &str,
        now: Timestamp,
    ) -> Result<Self, SinkError> {
        let ours = directory.join(OURS);
        fs::create_dir_all(&ours).map_err(storage("making the folder", &ours))?;
        let lock = lock(&ours.join("lock"), now)?;
        let folder = ours.join("parts");
        let parts = Parts::open(&folder, boot).map_err(storage("making the folder", &folder))?;
        try_out(&folder)?;
        let handle = File::open(directory).map_err(storage("opening the folder", directory))?;
        let shelf = Arc::new(Shelf { path: directory.to_owned(), handle, durability });
        Ok(Self { shelf, parts, _lock: lock })
    }
}

#[async_trait]
impl Sink for Dir {
    fn parts(&self) -> &Parts {
        &self.parts
    }

    async fn place(&self, group: Vec<(Sound, ImageName)>) -> Vec<Result<Placed, SinkError>> {
        let keeper = Arc::clone(&self.shelf);
        let placing = spawn_blocking(move || keeper.place(group));
        placing.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    async fn holds(&self, name: &ImageName, content: &Content) -> Result<Option<ImageName>, SinkError> {
        let (keeper, content) = (Arc::clone(&self.shelf), *content);
        let names = [name.clone(), name.apart(&content.hash)];
        let looking = spawn_blocking(move || keeper.holds(names, &content));
        looking.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    async fn reject(&self, name: &ImageName, why: &str) -> Result<(), SinkError> {
        let (keeper, name, why) = (Arc::clone(&self.shelf), name.clone(), why.to_owned());
        let rejecting = spawn_blocking(move || keeper.reject(name, &why));
        rejecting.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }
}

/// The images' side of the folder.
struct Shelf {
    path: PathBuf,
    handle: File,
    durability: Durability,
}

impl Shelf {
    /// Data first, then the names, then the folder: a name that survives a power cut has its bytes.
    fn place(&self, group: Vec<(Sound, ImageName)>) -> Vec<Result<Placed, SinkError>> {
        let sounds = group.iter().map(|(sound, _name)| sound);
        if let Err(error) = self.flush_data(sounds) {
            return group.iter().map(|_| Err(self.failed("flushing", &error))).collect();
        }
        let placed: Vec<_> = group.into_iter().map(|(sound, name)| self.name(sound, name)).collect();
        if let Err(error) = self.flush_names() {
            return placed.iter().map(|_| Err(self.failed("flushing", &error))).collect();
        }
        placed
    }

    fn name(&self, sound: Sound, name: ImageName) -> Result<Placed, SinkError> {
        let content = *sound.content();
        let whole = sound.into_whole();
        for is_apart in [false, true] {
            let name = if is_apart { name.apart(&content.hash) } else { name.clone() };
            match rename_to_free(whole.path(), &self.path.join(name.to_string())) {
                Ok(()) => {
                    whole.moved();
                    return Ok(Placed { name });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if is_storage(&error) => return Err(self.failed("naming an image in", &error)),
                Err(source) => return Err(SinkError::Name { name, source }),
            }
            // The very bytes are there, from a run whose ledger was lost: the image is kept already.
            if self.has(&name, &content).unwrap_or(false) {
                return Ok(Placed { name });
            }
        }
        Err(SinkError::Name { name, source: io::Error::from(io::ErrorKind::AlreadyExists) })
    }

    fn holds(&self, names: [ImageName; 2], content: &Content) -> Result<Option<ImageName>, SinkError> {
        for name in names {
            match self.has(&name, content) {
                Ok(true) => return Ok(Some(name)),
                Ok(false) => {}
                Err(source) => return Err(SinkError::Name { name, source }),
            }
        }
        Ok(None)
    }

    fn reject(&self, name: ImageName, why: &str) -> Result<(), SinkError> {
        let folder = self.path.join(OURS).join("rejected");
        match rejected::set_aside(&self.path, &folder, &name.to_string(), why) {
            Ok(()) => Ok(()),
            Err(error) if is_storage(&error) => Err(self.failed("setting an image aside in", &error)),
            Err(source) => Err(SinkError::Name { name, source }),
        }
    }

    fn has(&self, name: &ImageName, content: &Content) -> io::Result<bool> {
        let path = self.path.join(name.to_string());
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.len() == content.bytes => Ok(hash(&path)? == content.hash),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One call for a whole group: flushing each file by itself costs three times as much.
    #[cfg(target_os = "linux")]
    fn flush_data<'a>(&self, _group: impl Iterator<Item = &'a Sound>) -> io::Result<()> {
        match self.durability {
            Durability::Group => Ok(rustix::fs::syncfs(&self.handle)?),
            Durability::Off => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn flush_data<'a>(&self, mut group: impl Iterator<Item = &'a Sound>) -> io::Result<()> {
        match self.durability {
            Durability::Group => group.try_for_each(|sound| File::open(sound.whole().path())?.sync_data()),
            Durability::Off => Ok(()),
        }
    }

    fn flush_names(&self) -> io::Result<()> {
        match self.durability {
            Durability::Group => self.handle.sync_all(),
            Durability::Off => Ok(()),
        }
    }

    fn failed(&self, doing: &str, error: &io::Error) -> SinkError {
        storage(doing, &self.path)(same(error))
    }
}

/// Renames without ever replacing: `renameat2` where the file system knows it, a link otherwise.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return Ok(done?),
        }
    }
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Neither: under the collection's lock nobody of ours can come between the look and the rename.
        Err(_) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        },
    }
}

/// Whether the place as a whole is the matter, not this one image.
pub(super) fn is_storage(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied | FileTooLarge)
}

/// The error once more: one may have to be told of many images, and `io::Error` cannot be cloned.
pub(super) fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn hash(path: &Path) -> io::Result<ContentHash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes())),
            n => hasher.update(&buffer[..n]),
        };
    }
}

/// Takes the collection for this process, leaving in the file who holds it since when.
fn lock(path: &Path, now: Timestamp) -> Result<File, SinkError> {
    let opening = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = opening.map_err(storage("opening the lock", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a courtesy: that somebody does is what counts.
            let _ = file.read_to_string(&mut holder);
            return Err(SinkError::Locked { path: path.to_owned(), holder: Holder::read(&holder) });
        }
        Err(TryLockError::Error(source)) => return Err(storage("locking", path)(source)),
    }
    let told = file.set_len(0).and_then(|()| file.write_all(Holder::written(std::process::id(), now).as_bytes()));
    told.map_err(storage("writing the lock", path))?;
    Ok(file)
}

/// Finds out before anything is fetched whether files can be made here.
fn try_out(folder: &Path) -> Result<(), SinkError> {
    let probe = folder.join("probe");
    fs::write(&probe, []).and_then(|()| fs::remove_file(&probe)).map_err(storage("writing to the folder", folder))
}

fn storage(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> SinkError {
    let what = format!("{doing} `{}`", path.display());
    move |source| SinkError::Storage { what, source }
}
