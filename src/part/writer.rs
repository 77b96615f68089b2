//! Writes the bytes of an image that is being downloaded.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

use super::ByteObserver;
use super::complete_file::CompleteFile;
use super::resume_info::ResumeInfo;
use super::unsaved_bytes::RESUME_THRESHOLD;

/// Chunks below this many bytes are gathered before they are written: a system call a network
/// packet costs more than the copy, and hashing piece by piece what is a packet long takes five
/// times as long.
const SMALL_CHUNK: usize = 8 * 1024;

/// How many bytes of small chunks are gathered before they are written.
const GATHERED: usize = 64 * 1024;

/// An image that is being downloaded. Dropped unfinished its file is removed, unless resume
/// information lets a later run continue it.
pub struct Part<W> {
    file: File,
    /// Bytes written to the file.
    written: u64,
    /// Small chunks that are not written yet.
    gathered: Vec<u8>,
    observer: W,
    /// Owns the file's name from the beginning, so that removing it on drop is written once.
    named: CompleteFile,
}

impl<W: ByteObserver> Part<W> {
    pub(super) fn new(file: File, named: CompleteFile, observer: W) -> Self {
        Self::continued(file, named, observer, 0)
    }

    /// A part of which `written` bytes are in the file already, and were shown to `observer`.
    pub(super) fn continued(file: File, named: CompleteFile, observer: W, written: u64) -> Self {
        Self {
            file,
            written,
            gathered: Vec::new(),
            observer,
            named,
        }
    }

    /// How many bytes have arrived.
    pub fn received(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// The observer of the bytes.
    pub fn observer(&self) -> &W {
        &self.observer
    }

    /// Drops all bytes.
    ///
    /// # Errors
    ///
    /// When the file cannot be emptied.
    pub fn restart(&mut self) -> io::Result<()> {
        // First: with other bytes in the file, the resume information would be wrong.
        self.named.remove_resume_info()?;
        self.named.count_unsaved(0);
        self.gathered.clear();
        self.written = 0;
        self.observer.reset();
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// Adds bytes. They are written from the calling thread, although that is a worker's: into the
    /// page cache this is quicker than handing them to a thread for blocking calls.
    ///
    /// # Errors
    ///
    /// When they cannot be written; how many were written is unknown then.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        if chunk.len() < SMALL_CHUNK {
            self.gathered.extend_from_slice(chunk);
            if self.gathered.len() < GATHERED {
                return Ok(());
            }
            return self.flush();
        }
        self.flush()?;
        self.observer.update(chunk);
        self.file.write_all(chunk)?;
        self.written += chunk.len() as u64;
        Ok(())
    }

    /// Lets a later run continue from here, once the part is long enough for that to pay. To be
    /// called with every chunk.
    ///
    /// # Errors
    ///
    /// When the resume information cannot be written.
    pub fn save_resume_info(&mut self, info: &ResumeInfo) -> io::Result<()> {
        if self.named.has_resume_info() {
            return Ok(());
        }
        let received = self.received();
        if received < RESUME_THRESHOLD {
            self.named.count_unsaved(received);
            return Ok(());
        }
        self.named.write_resume_info(info)
    }

    /// Ends the writing and closes the file: all bytes that the server sends have arrived.
    ///
    /// # Errors
    ///
    /// When the last bytes cannot be written.
    pub fn finish(mut self) -> io::Result<FinishedPart<W>> {
        self.flush()?;
        self.named.mark_unverified();
        Ok(FinishedPart {
            file: self.named,
            bytes: self.written,
            observer: self.observer,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.observer.update(&self.gathered);
        self.file.write_all(&self.gathered)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }
}

/// A part with all bytes that the server sent, not verified yet.
#[derive(Debug)]
pub struct FinishedPart<W> {
    file: CompleteFile,
    bytes: u64,
    observer: W,
}

impl<W> FinishedPart<W> {
    /// The part's length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file and the observer of its bytes, for verification.
    pub fn into_inner(self) -> (CompleteFile, W) {
        (self.file, self.observer)
    }
}
