//! Where verified images are kept: a socket, opened by the [`Location`] of the place.

mod error;
mod local;
mod location;
#[cfg(feature = "object-store")]
mod object;

#[cfg(test)]
mod contract;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

pub use self::error::{ReadError, SinkError};
pub use self::local::Staging;
pub use self::location::Location;
use crate::job::ImageName;
use crate::outcome::Content;
use crate::verify::VerifiedImage;

/// The reading side of a place. It needs no lock, so it may be used beside a run that writes.
pub trait SinkReader: Send + Sync {
    /// Everything that is stored, in no particular order; our own files beside the images are left out.
    fn list(&self) -> EntryStream;

    /// Opens the image of this name. Blocks, and so do the reads: decoders are synchronous, and `verify` runs them
    /// on its own threads. An async stream would cost a thread hop for each piece of a local file; a plug over
    /// the network blocks on its runtime here instead.
    ///
    /// # Errors
    ///
    /// When there is no such image, something else has its name, or it cannot be read.
    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError>;
}

/// A place that keeps images under names: what every place can do.
#[async_trait]
pub trait Sink: SinkReader {
    /// Stores each image of a group under its name and answers in the same order; what is [`Placed::Stored`] is
    /// durable. Nothing is overwritten: where other bytes have the name, the image gets a suffix from its hash.
    async fn place(&self, group: Vec<(VerifiedImage, ImageName)>)
    -> Vec<Result<Placed, SinkError>>;

    /// Whether this name, or the name with the hash suffix, holds exactly these bytes; answers with the name that
    /// does. Settles a [`Placed::Unknown`] and what a killed run was about to place.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read, or the place is out of reach.
    async fn exists(
        &self,
        name: &ImageName,
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError>;

    /// Stores an image under exactly this name, in place of a damaged one. Durable when it returns.
    ///
    /// # Errors
    ///
    /// When it cannot be stored, or the name belongs to something that is not a stored image.
    async fn replace(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError>;

    /// Makes durable what is not durable yet: what an earlier run placed and [`Sink::exists`] found,
    /// and anything the plug still buffers. The last call of a run; costs nothing where nothing is left to do.
    ///
    /// # Errors
    ///
    /// When the place cannot be flushed.
    async fn finish(&self) -> Result<(), SinkError>;

    /// The longest name that can be given to an image here, in bytes.
    fn longest_name(&self) -> usize;

    /// Moves a damaged image out of the collection, to where the latest 100 are kept with the reasons. An object store
    /// deletes without a condition, and another run may have put something better there, so an object stays as well.
    ///
    /// # Errors
    ///
    /// When it is missing, not a regular file, or cannot be moved.
    async fn quarantine(&self, name: &ImageName, reason: &str) -> Result<(), SinkError>;

    /// Keeps a damaged image where [`Sink::quarantine`] moves it, and in the collection too.
    ///
    /// # Errors
    ///
    /// When it is missing, not a regular file, or cannot be copied.
    async fn keep_rejected(&self, name: &ImageName, reason: &str) -> Result<(), SinkError>;
}

/// The entries of a place.
pub type EntryStream = BoxStream<'static, Result<SinkEntry, SinkError>>;

/// The bytes of a stored image.
pub trait StoredImageReader: io::Read + io::Seek + Send {
    /// Its size in bytes.
    ///
    /// # Errors
    ///
    /// When the place cannot be asked.
    fn size(&self) -> io::Result<u64>;
}

/// One name that is taken in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkEntry {
    /// As the place spells it; not every file system's names are UTF-8.
    pub name: OsString,
    /// What has the name.
    pub kind: EntryKind,
}

/// What has a name in a place. Only a folder holds anything but files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, or an object.
    File {
        /// Its size.
        bytes: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A named pipe: opening it could wait for ever.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File { bytes: _ } => "a file",
            Self::Folder => "a folder",
            Self::Symlink => "a symbolic link",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

/// What became of an image that was to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It is stored under this name, and durable.
    Stored(ImageName),
    /// The answer was lost, so it may be stored or not; [`Sink::exists`] settles it. A folder never answers this.
    Unknown,
}

/// Whether what is placed is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A group at a time: after a power cut, what was recorded is there.
    #[default]
    Group,
    /// Left to the system.
    Off,
}

/// How much of the disk stays free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinFree {
    /// 1 GiB, or 5 % of a small disk, whichever is less.
    #[default]
    Default,
    /// This many bytes; with zero the free space is never checked.
    Bytes(u64),
}

/// How an object store is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions<'a> {
    /// The environment variables, among which are the endpoint and the credentials of a store.
    pub variables: &'a [(OsString, OsString)],
    /// Whether a store that is not on this machine may be asked without TLS.
    pub insecure: bool,
    /// How long a store may not answer, or answer with faults, before it counts as out of reach; `None` for two minutes.
    pub timeout: Option<Duration>,
}

/// How a place is opened.
#[derive(Debug, Clone, Copy)]
pub struct SinkOptions<'a> {
    /// Whether what is placed is made durable.
    pub durability: Durability,
    /// What stays free on the disk of the unfinished files.
    pub min_free: MinFree,
    /// Identifies the current boot of the system: pages that were never flushed survive a kill, not a reboot.
    pub boot_id: &'a str,
    /// Written into the lock, for the message of a run that finds it taken.
    pub now: Timestamp,
    /// How an object store is asked.
    pub store: StoreOptions<'a>,
    /// For a worker that keeps no ledger: its number. Its lock and its unfinished files are apart from those of the run
    /// that has the ledger, and of other workers.
    pub worker: Option<u16>,
}

impl SinkOptions<'_> {
    /// The folder for the lock and the unfinished files, in that of all that is not an image.
    fn staging_dir(&self, state_dir: PathBuf) -> PathBuf {
        match self.worker {
            Some(number) => state_dir.join(format!("worker-{number}")),
            None => state_dir,
        }
    }
}

/// A place that is open for one run alone.
#[derive(Clone)]
pub struct OpenSink {
    /// Where images are stored.
    pub sink: Arc<dyn Sink>,
    /// The folder on this machine in which they are prepared. Holds the lock.
    pub staging: Arc<Staging>,
}

/// Opens the place at `location`, creating it if needed, and locks it for this process.
///
/// # Errors
///
/// When no plug of this build serves the location, another process has the lock, or the place cannot be created or
/// written to.
#[cfg_attr(
    not(feature = "object-store"),
    expect(
        clippy::unused_async,
        reason = "a plug that is reached over the network awaits here"
    )
)]
pub async fn open(location: &Location, options: &SinkOptions<'_>) -> Result<OpenSink, SinkError> {
    match location {
        Location::Folder(folder) => local::open(folder, options),
        #[cfg(feature = "object-store")]
        Location::Url {
            scheme,
            text,
            state_dir,
        } => object::open((scheme, text), state_dir, options).await,
        #[cfg(not(feature = "object-store"))]
        Location::Url { scheme, .. } => Err(SinkError::UnknownScheme(scheme.clone())),
    }
}

/// Opens the place at `location` for reading, without its lock; `None` where there is none.
///
/// # Errors
///
/// When no plug of this build serves the location.
#[expect(
    clippy::unused_async,
    reason = "a plug that is reached over the network awaits here"
)]
pub async fn open_to_read(
    location: &Location,
    options: &StoreOptions<'_>,
) -> Result<Option<Arc<dyn SinkReader>>, SinkError> {
    match location {
        Location::Folder(folder) => Ok(local::open_to_read(folder)),
        #[cfg(feature = "object-store")]
        Location::Url { scheme, text, .. } => {
            object::open_to_read((scheme, text), options).map(Some)
        }
        #[cfg(not(feature = "object-store"))]
        Location::Url { scheme, .. } => {
            let _ = options;
            Err(SinkError::UnknownScheme(scheme.clone()))
        }
    }
}

/// The longest name that the place at `location` says to take, in bytes, without opening it: [`Sink::longest_name`]
/// of the open place has tried it.
pub fn longest_name(location: &Location) -> usize {
    match location {
        Location::Folder(folder) => local::longest_name(folder),
        Location::Url { .. } => ImageName::MAX_BYTES,
    }
}

/// The folder on this machine that keeps the ledger, the lock and the unfinished files of the collection at
/// `location`; it may not exist yet.
///
/// # Errors
///
/// When no plug of this build serves the location.
pub fn state_dir(location: &Location) -> Result<PathBuf, SinkError> {
    match location {
        Location::Folder(folder) => Ok(local::state_dir(folder)),
        #[cfg(feature = "object-store")]
        Location::Url { state_dir, .. } => Ok(state_dir.clone()),
        #[cfg(not(feature = "object-store"))]
        Location::Url { scheme, .. } => Err(SinkError::UnknownScheme(scheme.clone())),
    }
}
