//! The folder of the parts: what it holds at the start, and where each image's part is.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::complete_file::CompleteFile;
use super::resume_info::{self, ResumeInfo};
use super::unsaved_bytes::UnsavedBytes;
use super::writer::Part;
use super::{ByteObserver, ensure_dir, open_regular, remove_if_exists};
use crate::job::ImageKey;

/// The folder of the parts. It is on the file system of the collection, so that placing is a
/// rename.
#[derive(Debug, Clone)]
pub struct Parts {
    folder: Arc<Path>,
    boot: Arc<str>,
    unsaved: Arc<UnsavedBytes>,
}

/// How much of a part from an earlier try is read at a time, in bytes.
const READ_BUFFER: usize = 64 * 1024;

impl Parts {
    /// Opens the folder of the parts, creates it where it is missing, and removes what no run can
    /// continue. `boot` identifies the system's start. No other process may work in the folder: the
    /// sink's lock sees to that.
    ///
    /// # Errors
    ///
    /// When the folder cannot be created, read or cleared.
    pub fn open(folder: &Path, boot: &str) -> io::Result<Self> {
        ensure_dir(folder)?;
        let mut files = HashSet::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // We create no directories here, so it belongs to somebody else and is left untouched.
            if !entry.file_type()?.is_dir() {
                files.insert(entry.path());
            }
        }
        resume_info::split_shared(&mut files, boot)?;
        let parts = Self {
            folder: folder.into(),
            boot: boot.into(),
            unsaved: Arc::new(UnsavedBytes::new(folder, boot)),
        };
        for path in files {
            if parts.resume_info(&path.with_extension(EXTENSION)).is_none() {
                remove_if_exists(&path)?;
            }
        }
        Ok(parts)
    }

    /// Sets how many images are downloaded at a time. A kill may throw away about a megabyte for
    /// each.
    pub fn set_concurrency(&self, jobs: NonZeroUsize) {
        self.unsaved.set_concurrency(jobs);
    }

    /// Where the parts are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins the part of an image, or continues the one that an earlier try left. Then the resume
    /// information says what must hold for that, and `observer` has seen the part's bytes, which
    /// are read once.
    ///
    /// # Errors
    ///
    /// When the file cannot be created, or is there and cannot be read.
    pub fn begin<W: ByteObserver>(
        &self,
        key: &ImageKey,
        mut observer: W,
    ) -> io::Result<(Part<W>, Option<ResumeInfo>)> {
        let id = PartId::of(key);
        let path = self.path(id);
        let mut create = OpenOptions::new();
        create.write(true).create_new(true);
        // Created first and examined only on failure: nearly every part is new, and then this is
        // the only system call.
        match create.open(&path) {
            Ok(file) => return Ok((Part::new(file, self.file(id, path, false), observer), None)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if let Some(info) = self.resume_info(&path) {
            match reread(&path, &mut observer) {
                Ok((file, length)) if (1..=info.length).contains(&length) => {
                    let part = Part::continued(file, self.file(id, path, true), observer, length);
                    return Ok((part, Some(info)));
                }
                // Another user of the collection left it with an umask of their own: it may be replaced, if not
                // continued.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            observer.reset();
        }
        remove_if_exists(&resume_info::own_path(&path))?;
        remove_if_exists(&path)?;
        let file = create.open(&path)?;
        Ok((Part::new(file, self.file(id, path, false), observer), None))
    }

    fn file(&self, id: PartId, path: PathBuf, has_resume_info: bool) -> CompleteFile {
        CompleteFile::new(id, path, has_resume_info, Arc::clone(&self.unsaved))
    }

    /// What must hold for `part` to be continued; `None` when it cannot be.
    fn resume_info(&self, part: &Path) -> Option<ResumeInfo> {
        // A part with a second name is an image of the collection already, and must not be changed
        // through this one.
        if !fs::symlink_metadata(part).is_ok_and(|found| found.is_file() && found.nlink() == 1) {
            return None;
        }
        resume_info::read(&resume_info::own_path(part), &self.boot)
    }

    pub(super) fn path(&self, id: PartId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}

const EXTENSION: &str = "part";

/// Identifies a part: half of the BLAKE3 hash of the image's key. 128 bits do not collide by
/// accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PartId(u128);

impl PartId {
    pub(super) fn of(key: &ImageKey) -> Self {
        let hash = blake3::hash(key.as_str().as_bytes());
        let half = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        Self(u128::from_be_bytes(*half))
    }

    pub(super) fn file_name(self) -> String {
        format!("{:032x}.{EXTENSION}", self.0)
    }
}

/// Shows the bytes of a part to `observer`; returns the file, positioned behind them, and its
/// length.
fn reread(path: &Path, observer: &mut impl ByteObserver) -> io::Result<(File, u64)> {
    let mut file = open_regular(path, OpenOptions::new().read(true).write(true))?;
    let mut buffer = vec![0; READ_BUFFER];
    let mut length = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((file, length)),
            n => {
                observer.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
}
