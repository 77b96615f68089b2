//! Where finished images go: a socket with one plug a kind of place.

mod dir;
mod rejected;

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use thiserror::Error;

use crate::job::ImageName;
use crate::outcome::Content;
use crate::part::Parts;
use crate::verify::Sound;

/// A place that keeps images under names.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Where bytes on their way lie: beside the target, so that placing is a rename.
    fn parts(&self) -> &Parts;

    /// Gives each of a group its name; what returns as placed is durable. Nothing is ever overwritten: where
    /// something foreign has the name, the image is told apart by its hash.
    async fn place(&self, group: Vec<(Sound, ImageName)>) -> Vec<Result<Placed, SinkError>>;

    /// Whether a file of this name, or of the name told apart, holds these bytes; answers with its name.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    async fn holds(&self, name: &ImageName, content: &Content) -> Result<Option<ImageName>, SinkError>;

    /// Takes the file of this name out of the collection, to where a bounded number of damaged ones are kept
    /// with the reasons.
    ///
    /// # Errors
    ///
    /// When it is not there, is no plain file, or cannot be moved.
    async fn reject(&self, name: &ImageName, why: &str) -> Result<(), SinkError>;
}

/// An image that has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The name it got.
    pub name: ImageName,
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

/// Why an image could not be given its name.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The place as a whole does not work: nothing more can be kept.
    #[error("{what}")]
    Storage {
        /// What was being done, naming the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works on the place.
    #[error("`{}` is held by another run{}: wait for it to end", .path.display(), of(.holder))]
    Locked {
        /// The lock.
        path: PathBuf,
        /// The holder's process id, where it could be read.
        holder: String,
    },
    /// This one name cannot be used.
    #[error("`{name}`")]
    Name {
        /// The name.
        name: ImageName,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the folder `directory`, making it where it is missing. `boot` tells one start of the system from another.
///
/// # Errors
///
/// When the folder cannot be made or written to.
pub fn open(directory: &Path, sync: Durability, boot: &str) -> Result<Box<dyn Sink>, SinkError> {
    Ok(Box::new(dir::Dir::open(directory, sync, boot)?))
}

impl SinkError {
    /// What a part that cannot be written means for the run: an error when nothing can be kept any more, and
    /// nothing when only this image is concerned.
    pub fn of_part(error: &io::Error) -> Option<Self> {
        let what = "writing an image".to_owned();
        dir::is_storage(error).then(|| Self::Storage { what, source: dir::same(error) })
    }
}

fn of(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" (pid {})", holder.escape_debug()) }
}

/// The folder inside `directory` where everything lies that is no image: the ledger too.
pub fn ours(directory: &Path) -> PathBuf {
    directory.join(dir::OURS)
}
