//! A folder: images flat under their names, everything else of ours in `.wallhaul` beside them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::free_space::FreeSpace;
use super::{Durability, Holder, MinFree, Placed, Sink, SinkError, rejected};
use crate::job::{ContentHash, ImageName};
use crate::outcome::Content;
use crate::part::{self, Parts};
use crate::verify::VerifiedImage;

/// The folder of everything that is no image.
pub(super) const STATE_DIR: &str = ".wallhaul";

/// One group being named, and whoever asks something beside it.
const TASKS: usize = 4;

/// A piece of work for the thread that has the images.
type Task = Box<dyn FnOnce(&LocalDir) + Send>;

pub(super) struct Dir {
    shelf: Arc<LocalDir>,
    tasks: mpsc::Sender<Task>,
    parts: Parts,
    room: FreeSpace,
    /// The kernel frees it when this process ends, however it ends.
    _lock: File,
}

impl Dir {
    pub(super) fn open(
        directory: &Path,
        durability: Durability,
        least: MinFree,
        boot: &str,
        now: Timestamp,
    ) -> Result<Self, SinkError> {
        let ours = directory.join(STATE_DIR);
        // A folder that the user named may be a link to one. What lies in it is ours, and no link is followed.
        fs::create_dir_all(directory).map_err(storage("making the folder", directory))?;
        part::ensure_dir(&ours).map_err(storage("making the folder", &ours))?;
        let lock = lock(&ours.join("lock"), now)?;
        let folder = ours.join("parts");
        let parts = Parts::open(&folder, boot).map_err(storage("making the folder", &folder))?;
        try_out(&folder)?;
        let handle = File::open(directory).map_err(storage("opening the folder", directory))?;
        let room = FreeSpace::of(directory, &handle, least)
            .map_err(storage("looking how much is free in", directory))?;
        let shelf = Arc::new(LocalDir {
            path: directory.to_owned(),
            handle,
            durability,
        });
        let tasks = start(Arc::clone(&shelf)).map_err(storage(
            "starting the thread that names images in",
            directory,
        ))?;
        Ok(Self {
            shelf,
            tasks,
            parts,
            room,
            _lock: lock,
        })
    }

    /// Has `work` done on the thread. Once it was asked for it is done, whether or not anybody waits for it.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LocalDir) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let (answer, answered) = oneshot::channel();
        let task = Box::new(move |shelf: &LocalDir| {
            // Who asked may have gone since.
            let _ = answer.send(work(shelf));
        });
        // A thread that is gone drops the answer's line as well, which is told below.
        let _ = self.tasks.send(task).await;
        let gone = || {
            self.shelf.failed(
                "naming images in",
                &io::Error::other("the thread for it broke down"),
            )
        };
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Starts the thread that does what waits for the disk, for as long as it may be asked to. It is there before anything is
/// fetched: a system that lets no further thread begin says so at once.
fn start(shelf: Arc<LocalDir>) -> io::Result<mpsc::Sender<Task>> {
    let (tasks, mut asked) = mpsc::channel::<Task>(TASKS);
    let work = move || {
        while let Some(task) = asked.blocking_recv() {
            task(&shelf);
        }
    };
    thread::Builder::new()
        .name("shelf".to_owned())
        .spawn(work)?;
    Ok(tasks)
}

#[async_trait]
impl Sink for Dir {
    fn parts(&self) -> &Parts {
        &self.parts
    }

    async fn place(
        &self,
        group: Vec<(VerifiedImage, ImageName)>,
    ) -> Vec<Result<Placed, SinkError>> {
        let placing = self.ask(move |shelf| Ok(shelf.place(group))).await;
        placing.unwrap_or_else(|broken| vec![Err(broken)])
    }

    async fn holds(
        &self,
        name: &ImageName,
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError> {
        let (content, names) = (
            *content,
            [name.clone(), name.with_hash_suffix(&content.hash)],
        );
        self.ask(move |shelf| shelf.holds(names, &content)).await
    }

    async fn flush(&self) -> Result<(), SinkError> {
        self.ask(|shelf| {
            shelf
                .flush_names()
                .map_err(|error| shelf.failed("flushing", &error))
        })
        .await
    }

    async fn reject(&self, name: &ImageName, why: &str) -> Result<(), SinkError> {
        let (name, why) = (name.clone(), why.to_owned());
        self.ask(move |shelf| shelf.reject(name, &why)).await
    }

    fn look_for_room(&self) -> Result<(), SinkError> {
        self.room.look(&self.shelf.handle)
    }

    fn take_room(&self, bytes: u64) -> Result<(), SinkError> {
        self.room.take(bytes, &self.shelf.handle)
    }
}

/// The images' side of the folder.
struct LocalDir {
    path: PathBuf,
    handle: File,
    durability: Durability,
}

impl LocalDir {
    /// Data first, then the names, then the folder: a name that survives a power cut has its bytes.
    fn place(&self, group: Vec<(VerifiedImage, ImageName)>) -> Vec<Result<Placed, SinkError>> {
        let sounds = group.iter().map(|(sound, _name)| sound);
        if let Err(error) = self.flush_data(sounds) {
            return group
                .iter()
                .map(|_| Err(self.failed("flushing", &error)))
                .collect();
        }
        let placed: Vec<_> = group
            .into_iter()
            .map(|(sound, name)| self.name(sound, name))
            .collect();
        if let Err(error) = self.flush_names() {
            return placed
                .iter()
                .map(|_| Err(self.failed("flushing", &error)))
                .collect();
        }
        placed
    }

    fn name(&self, sound: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let content = *sound.content();
        let whole = sound.into_file();
        for is_apart in [false, true] {
            let name = if is_apart {
                name.with_hash_suffix(&content.hash)
            } else {
                name.clone()
            };
            match rename_to_free(whole.path(), &self.path.join(name.as_str())) {
                Ok(()) => {
                    whole.mark_placed();
                    return Ok(Placed { name });
                }
                Err(error) if is_fatal(&error) => {
                    return Err(self.failed("naming an image in", &error));
                }
                // The very bytes are there, from a run whose ledger was lost, or since a server of files did what it
                // says it could not: the image is kept already.
                Err(_) if self.has(&name, &content).unwrap_or(false) => {
                    whole.discard();
                    return Ok(Placed { name });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(SinkError::Name { name, source }),
            }
        }
        Err(SinkError::Name {
            name,
            source: io::Error::from(io::ErrorKind::AlreadyExists),
        })
    }

    fn holds(
        &self,
        names: [ImageName; 2],
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError> {
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
        let folder = self.path.join(STATE_DIR).join("rejected");
        match rejected::quarantine(&self.path, &folder, name.as_str(), why) {
            Ok(()) => Ok(()),
            Err(error) if is_fatal(&error) => Err(self.failed("setting an image aside in", &error)),
            Err(source) => Err(SinkError::Name { name, source }),
        }
    }

    fn has(&self, name: &ImageName, content: &Content) -> io::Result<bool> {
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

    /// One call for a whole group: flushing each file by itself costs three times as much.
    #[cfg(target_os = "linux")]
    fn flush_data<'a>(&self, _group: impl Iterator<Item = &'a VerifiedImage>) -> io::Result<()> {
        match self.durability {
            Durability::Group => Ok(rustix::fs::syncfs(&self.handle)?),
            Durability::Off => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn flush_data<'a>(&self, mut group: impl Iterator<Item = &'a VerifiedImage>) -> io::Result<()> {
        match self.durability {
            Durability::Group => {
                group.try_for_each(|sound| File::open(sound.file().path())?.sync_data())
            }
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
        // It has its name. A part that cannot be removed is by the next start: two names are told from one.
        Ok(()) => {
            let _ = fs::remove_file(from);
            Ok(())
        }
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
pub(super) fn is_fatal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied | FileTooLarge
    )
}

/// The error once more: one may have to be told of many images, and `io::Error` cannot be cloned.
pub(super) fn same(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
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

/// Takes the collection for this process, leaving in the file who holds it since when.
fn lock(path: &Path, now: Timestamp) -> Result<File, SinkError> {
    let opening = part::open_regular(
        path,
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false),
    );
    let mut file = opening.map_err(storage("opening the lock", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a courtesy: that somebody does is what counts.
            let _ = file.read_to_string(&mut holder);
            return Err(SinkError::Locked {
                path: path.to_owned(),
                holder: Holder::read(&holder),
            });
        }
        Err(TryLockError::Error(source)) => return Err(storage("locking", path)(source)),
    }
    let told = file
        .set_len(0)
        .and_then(|()| file.write_all(Holder::written(std::process::id(), now).as_bytes()));
    told.map_err(storage("writing the lock", path))?;
    Ok(file)
}

/// Finds out before anything is fetched whether files can be made here.
fn try_out(folder: &Path) -> Result<(), SinkError> {
    let probe = folder.join("probe");
    let made = OpenOptions::new().write(true).create_new(true).open(&probe);
    made.and_then(|_| fs::remove_file(&probe))
        .map_err(storage("writing to the folder", folder))
}

/// Says of an error what was being done, and what to do about it where that is known.
pub(super) fn storage(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> SinkError {
    let what = format!("{doing} `{}`", path.display());
    move |error| {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room and run again",
            io::ErrorKind::FileTooLarge => "allow larger files (`ulimit -f`) and run again",
            _ => {
                return SinkError::Storage {
                    what,
                    source: error,
                };
            }
        };
        SinkError::Storage {
            what,
            source: io::Error::new(error.kind(), format!("{error}: {advice}")),
        }
    }
}
