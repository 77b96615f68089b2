//! The file of a part from its creation to its removal or its place in the collection.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::PartId;
use super::remove_if_exists;
use super::resume_info::{self, ResumeInfo};
use super::unsaved_bytes::UnsavedBytes;

/// A file among the parts that waits to be verified, or for its name in the collection. Dropped
/// before it was verified it is removed. Dropped afterwards, or when the program is killed, it
/// stays if there is resume information: the next run then verifies it again without a request.
#[derive(Debug)]
pub struct CompleteFile {
    id: PartId,
    path: PathBuf,
    /// Whether its resume information is in a separate file.
    has_resume_info: bool,
    /// Whether dropping it removes the file although there is resume information.
    remove_on_drop: bool,
    /// With how many bytes it counts in `unsaved`.
    counted: u64,
    unsaved: Arc<UnsavedBytes>,
}

impl CompleteFile {
    pub(super) fn new(
        id: PartId,
        path: PathBuf,
        has_resume_info: bool,
        unsaved: Arc<UnsavedBytes>,
    ) -> Self {
        Self {
            id,
            path,
            has_resume_info,
            remove_on_drop: false,
            counted: 0,
            unsaved,
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Marks it as complete and not verified: it is of no use to a later run unless verification
    /// accepts it.
    pub(super) fn mark_unverified(&mut self) {
        self.remove_on_drop = true;
    }

    /// Marks it as verified: a file with resume information is from now on removed on request only.
    #[must_use]
    pub fn mark_verified(mut self) -> Self {
        self.remove_on_drop = false;
        self
    }

    /// Marks it as waiting for its name. `info` is written to disk before a kill could throw away
    /// too much; the next run then verifies the file again. No validator is needed for that,
    /// because nothing is added to the file.
    pub fn mark_pending(&mut self, info: &ResumeInfo) {
        if !self.has_resume_info {
            let counted = std::mem::take(&mut self.counted);
            self.unsaved.add_pending(self.id, info, counted);
        }
    }

    /// Removes it: the collection has its content already.
    pub fn discard(mut self) {
        self.remove_on_drop = true;
    }

    /// Marks it as renamed into the collection: only its resume information is left to remove.
    pub fn mark_placed(mut self) {
        self.unsaved.remove_pending(self.id, false);
        if self.has_resume_info {
            // On failure it stays. Without its part it means nothing, and the next start removes
            // it.
            let _ = fs::remove_file(resume_info::own_path(&self.path));
        }
        self.path = PathBuf::new();
    }

    pub(super) fn has_resume_info(&self) -> bool {
        self.has_resume_info
    }

    /// Writes resume information to a separate file; a kill throws away none of its bytes from
    /// then on.
    pub(super) fn write_resume_info(&mut self, info: &ResumeInfo) -> io::Result<()> {
        info.write(&resume_info::own_path(&self.path), self.unsaved.boot())?;
        self.has_resume_info = true;
        self.count_unsaved(0);
        Ok(())
    }

    pub(super) fn remove_resume_info(&mut self) -> io::Result<()> {
        if self.has_resume_info {
            remove_if_exists(&resume_info::own_path(&self.path))?;
            self.has_resume_info = false;
        }
        Ok(())
    }

    /// Sets how many of its bytes a kill would throw away.
    pub(super) fn count_unsaved(&mut self, bytes: u64) {
        self.unsaved.recount(self.counted, bytes);
        self.counted = bytes;
    }
}

impl Drop for CompleteFile {
    fn drop(&mut self) {
        self.count_unsaved(0);
        // Placed: the file has left the folder.
        if self.path.as_os_str().is_empty() {
            return;
        }
        let is_shared = self.unsaved.remove_pending(self.id, !self.remove_on_drop);
        if (self.has_resume_info || is_shared) && !self.remove_on_drop {
            return;
        }
        // On failure it stays: its name is none of the collection's, and the next try of the image
        // replaces it.
        let _ = fs::remove_file(&self.path);
        if self.has_resume_info {
            let _ = fs::remove_file(resume_info::own_path(&self.path));
        }
    }
}
