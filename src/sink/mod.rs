//! Where finished images go: a socket with one plug a kind of place.

mod dir;
mod free_space;
mod rejected;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use crate::job::ImageName;
use crate::outcome::Content;
use crate::part::Parts;
use crate::units::ByteSize;
use crate::verify::VerifiedImage;

/// A place that keeps images under names.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Where bytes on their way lie: beside the target, so that placing is a rename.
    fn parts(&self) -> &Parts;

    /// Gives each of a group its name; what returns as placed is durable. Nothing is ever overwritten: where
    /// something foreign has the name, the image is told apart by its hash.
    async fn place(&self, group: Vec<(VerifiedImage, ImageName)>)
    -> Vec<Result<Placed, SinkError>>;

    /// Whether a file of this name, or of the name told apart, holds these bytes; answers with its name.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    async fn holds(
        &self,
        name: &ImageName,
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError>;

    /// Makes the names that are there durable, whoever gave them.
    ///
    /// # Errors
    ///
    /// When the place cannot be flushed.
    async fn flush(&self) -> Result<(), SinkError>;

    /// Takes the file of this name out of the collection, to where a bounded number of damaged ones are kept
    /// with the reasons.
    ///
    /// # Errors
    ///
    /// When it is not there, is no plain file, or cannot be moved.
    async fn reject(&self, name: &ImageName, why: &str) -> Result<(), SinkError>;

    /// Looks whether as much is free as is to be left to others.
    ///
    /// # Errors
    ///
    /// When it is less: nothing more should be begun.
    fn look_for_room(&self) -> Result<(), SinkError>;

    /// The same after so many further bytes were written to parts. Looks only when they may have made the
    /// difference, so it may be asked for every chunk.
    ///
    /// # Errors
    ///
    /// As [`Sink::look_for_room`].
    fn take_room(&self, bytes: u64) -> Result<(), SinkError>;
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

/// How much of the disk is left free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinFree {
    /// 1 GiB, or 5 % of a small disk, whichever is less.
    #[default]
    Usual,
    /// So many bytes; with zero nobody looks.
    Bytes(u64),
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
    /// Less is free than is to be left to others.
    #[error(
        "only {} are free in `{}`, and --min-free-space leaves {} to others: make room and run again, or give a smaller size",
        ByteSize(*.free), .path.display(), ByteSize(*.least)
    )]
    Low {
        /// The folder.
        path: PathBuf,
        /// How many bytes are free.
        free: u64,
        /// How many should be.
        least: u64,
    },
    /// Another process works on the place.
    #[error("`{}` is held by another run{holder}: wait for it to end, as `--lock wait` does", .path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// Who holds it.
        holder: Holder,
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

/// The process that works on a place and since when, as it wrote that down; nothing where that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder(Option<(u32, Timestamp)>);

impl Holder {
    /// Its process ID, and when it took the lock.
    pub fn process(self) -> Option<(u32, Timestamp)> {
        self.0
    }

    /// What the holder writes down.
    fn written(pid: u32, since: Timestamp) -> String {
        format!("{pid} {since:.0}\n")
    }

    /// Reads that back.
    fn read(text: &str) -> Self {
        let read = || {
            let (pid, since) = text.strip_suffix('\n')?.split_once(' ')?;
            Some((pid.parse().ok()?, since.parse().ok()?))
        };
        Self(read())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((pid, since)) => write!(f, " (pid {pid}, since {since})"),
            None => Ok(()),
        }
    }
}

/// Opens the folder `directory`, making it where it is missing, and takes it for this process, `now`. `least` is
/// what stays free on its disk, `boot` tells one start of the system from another.
///
/// # Errors
///
/// When another process has it, or it cannot be made or written to.
pub fn open(
    directory: &Path,
    sync: Durability,
    least: MinFree,
    boot: &str,
    now: Timestamp,
) -> Result<Box<dyn Sink>, SinkError> {
    Ok(Box::new(dir::Dir::open(directory, sync, least, boot, now)?))
}

impl SinkError {
    /// What a part that cannot be written means for the run: an error when nothing can be kept any more, and
    /// nothing when only this image is concerned.
    pub fn of_part(parts: &Parts, error: &io::Error) -> Option<Self> {
        dir::is_fatal(error)
            .then(|| dir::storage("writing an image to", parts.folder())(dir::same(error)))
    }

    /// Whether a part that cannot be written now may be a little later: others let go of files they have open.
    pub fn passes(error: &io::Error) -> bool {
        use rustix::io::Errno;
        matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE)
        )
    }
}

/// The folder inside `directory` where everything lies that is no image: the ledger too.
pub fn ours(directory: &Path) -> PathBuf {
    directory.join(dir::STATE_DIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_reads_back_what_it_wrote_and_nothing_else() {
        let noon = "2026-11-23T12:00:00.9Z".parse().unwrap();
        let written = Holder::written(42, noon);
        assert_eq!(
            Holder::read(&written).to_string(),
            " (pid 42, since 2026-11-23T12:00:00Z)"
        );
        for odd in [
            "",
            "42\n",
            "42 2026-11-23T12:00",
            "\x1b[2J now\n",
            "-1 2026-11-23T12:00:00Z\n",
        ] {
            assert_eq!(Holder::read(odd).to_string(), "", "{odd:?}");
        }
    }
}
