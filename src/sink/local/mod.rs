//! A folder: images flat under their names, and everything else in `.wallhaul` beside them.

mod dir;
mod errors;
mod free_space;
mod lock;
mod name_limit;
pub(super) mod quarantine;
mod read;
mod staging;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

pub(super) use self::errors::{clone_error, is_fatal, storage_error};
pub use self::staging::Staging;

use self::dir::LocalDir;
use self::quarantine::Rejected;
use self::read::LocalReader;
use super::{
    EntryStream, OpenSink, Placed, ReadError, Sink, SinkError, SinkOptions, SinkReader,
    StoredImageReader,
};
use crate::job::ImageName;
use crate::outcome::Content;
use crate::verify::VerifiedImage;

/// The folder of everything that is not an image.
const STATE_DIR: &str = ".wallhaul";

/// Tasks that wait for the thread: one group being placed, and a few questions beside it. More would only hold
/// images in memory that the committer holds already.
const TASKS: usize = 4;

/// A piece of work for the thread that owns the images.
type Task = Box<dyn FnOnce(&LocalDir) + Send>;

/// Opens the collection in `folder`, creating it if needed. Everything that can be refused is refused here, before
/// anything is fetched.
pub(super) fn open(folder: &Path, options: &SinkOptions<'_>) -> Result<OpenSink, SinkError> {
    // The user may have named a link to a folder. Inside it everything is ours, and no link is followed.
    fs::create_dir_all(folder).map_err(storage_error("creating the folder", folder))?;
    let state_dir = state_dir(folder);
    crate::part::ensure_dir(&state_dir)
        .map_err(storage_error("creating the folder", &state_dir))?;
    let staging = Staging::open(&options.staging_dir(state_dir), folder, options)?;
    let dir = Arc::new(LocalDir::new(
        folder.to_owned(),
        staging.disk(),
        options.durability,
    ));
    let tasks = spawn(Arc::clone(&dir)).map_err(storage_error(
        "starting the thread that stores images in",
        folder,
    ))?;
    let staging = Arc::new(staging);
    let sink = Arc::new(LocalSink {
        dir,
        tasks,
        reader: LocalReader::new(folder.to_owned()),
        locked: Arc::clone(&staging),
    });
    Ok(OpenSink { sink, staging })
}

pub(super) fn open_to_read(folder: &Path) -> Option<Arc<dyn SinkReader>> {
    folder
        .is_dir()
        .then(|| Arc::new(LocalReader::new(folder.to_owned())) as _)
}

pub(super) fn longest_name(folder: &Path) -> usize {
    name_limit::longest_name(name_limit::declared(rustix::fs::statvfs(folder)))
}

pub(super) fn state_dir(folder: &Path) -> PathBuf {
    folder.join(STATE_DIR)
}

/// The async side of the folder: passes blocking work on to one thread.
struct LocalSink {
    dir: Arc<LocalDir>,
    tasks: mpsc::Sender<Task>,
    reader: LocalReader,
    /// Nobody else may place images while this can.
    locked: Arc<Staging>,
}

impl LocalSink {
    /// Runs `work` on the thread. Once queued it runs to its end, even if the caller is dropped.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LocalDir) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let (sender, answer) = oneshot::channel();
        let task = Box::new(move |dir: &LocalDir| {
            // The caller may have been dropped.
            let _ = sender.send(work(dir));
        });
        // If the thread is gone the task is dropped, and the answer's sender with it: reported below.
        let _ = self.tasks.send(task).await;
        let stopped = || {
            self.dir.error(
                "storing images in",
                &io::Error::other("the thread for it has stopped"),
            )
        };
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Starts the thread for blocking work. One thread of our own, not `spawn_blocking`: a system that
/// allows no more threads says so now and not after images were fetched, and the groups need no lock among themselves.
fn spawn(dir: Arc<LocalDir>) -> io::Result<mpsc::Sender<Task>> {
    let (sender, mut tasks) = mpsc::channel::<Task>(TASKS);
    let work = move || {
        while let Some(task) = tasks.blocking_recv() {
            task(&dir);
        }
    };
    thread::Builder::new()
        .name("local-sink".to_owned())
        .spawn(work)?;
    Ok(sender)
}

impl SinkReader for LocalSink {
    fn list(&self) -> EntryStream {
        self.reader.list()
    }

    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError> {
        self.reader.read(name)
    }
}

#[async_trait]
impl Sink for LocalSink {
    async fn place(
        &self,
        group: Vec<(VerifiedImage, ImageName)>,
    ) -> Vec<Result<Placed, SinkError>> {
        let placing = self.run(move |dir| Ok(dir.place(group))).await;
        // One error for the whole group: it is fatal, so the caller looks at no further image.
        placing.unwrap_or_else(|stopped| vec![Err(stopped)])
    }

    async fn exists(
        &self,
        name: &ImageName,
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError> {
        let (content, names) = (
            *content,
            [name.clone(), name.with_hash_suffix(&content.hash)],
        );
        self.run(move |dir| dir.exists(names, &content)).await
    }

    async fn replace(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        self.run(move |dir| dir.replace(image, name)).await
    }

    async fn finish(&self) -> Result<(), SinkError> {
        self.run(LocalDir::finish).await
    }

    fn longest_name(&self) -> usize {
        self.locked.longest_name()
    }

    async fn quarantine(&self, name: &ImageName, reason: &str) -> Result<(), SinkError> {
        let (name, reason) = (name.clone(), reason.to_owned());
        self.run(move |dir| dir.quarantine(name, &reason, Rejected::Moved))
            .await
    }

    async fn keep_rejected(&self, name: &ImageName, reason: &str) -> Result<(), SinkError> {
        let (name, reason) = (name.clone(), reason.to_owned());
        self.run(move |dir| dir.quarantine(name, &reason, Rejected::Kept))
            .await
    }
}
