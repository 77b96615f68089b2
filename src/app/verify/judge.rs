//! Judges one file of a collection: whether it is there, is what was fetched, and is a whole image.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::app::folder::{self, NoFile};
use crate::engine::Shutdown;
use crate::ledger::StoredFile;
use crate::outcome::Content;
use crate::verify::{DecodeResult, Decoder, Limits, verify_file};

/// What it takes to judge files; shared by all threads.
pub(super) struct FileCheck {
    pub(super) directory: PathBuf,
    /// Looks at every pixel, where that is wanted.
    pub(super) pixels: Option<Decoder>,
    /// Whether SHA-256 sums are wanted.
    pub(super) sums: bool,
    pub(super) shutdown: Shutdown,
}

/// What is to be said of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileVerdict {
    /// It is what was fetched, and whole.
    Sound {
        /// Its SHA-256 sum in hexadecimal digits, where that was wanted.
        sum: Option<String>,
        /// Why its pixels were not looked at, though that was wanted.
        unseen: Option<String>,
    },
    /// It is not: the reason.
    Damaged(String),
    /// Something else lies under its name, and is left alone: the reason.
    Displaced(String),
    /// It is not there.
    Missing,
}

/// An image that is in the collection was small enough when it was fetched.
const ANY_SIZE: Limits = Limits {
    max_pixels: u64::MAX,
};

impl FileCheck {
    /// Judges a file; nothing where the run is to end.
    pub(super) fn verdict(&self, filed: &StoredFile) -> Option<FileVerdict> {
        if self.shutdown.is_stopping() {
            return None;
        }
        let verdict = match folder::open(&self.directory, &filed.name.to_string()) {
            Ok(file) => {
                let judged = self.judge(&file, &filed.content);
                judged.unwrap_or_else(|error| {
                    FileVerdict::Damaged(format!("it cannot be read: {error}"))
                })
            }
            Err(NoFile::Missing) => FileVerdict::Missing,
            Err(NoFile::Odd(why)) => FileVerdict::Displaced(why),
            Err(NoFile::Unreadable(why)) => FileVerdict::Damaged(why),
        };
        // What was broken off in the middle says nothing of the file.
        (!self.shutdown.is_stopping()).then_some(verdict)
    }

    fn judge(&self, file: &File, fetched: &Content) -> io::Result<FileVerdict> {
        let bytes = file.metadata()?.len();
        if bytes != fetched.bytes {
            return Ok(FileVerdict::Damaged(format!(
                "{bytes} bytes instead of {}",
                fetched.bytes
            )));
        }
        let mut reading = Reading {
            file,
            sum: self.sums.then(Sha256::new),
            shutdown: &self.shutdown,
        };
        let content = match verify_file(&mut reading, bytes, ANY_SIZE)? {
            Ok(content) => content,
            Err(flaw) => return Ok(FileVerdict::Damaged(flaw.to_string())),
        };
        if content.hash != fetched.hash {
            let (is, was) = (content.hash, fetched.hash);
            return Ok(FileVerdict::Damaged(format!(
                "its bytes are not those fetched: BLAKE3 {is} instead of {was}"
            )));
        }
        let sum = reading.sum.take().map(|sum| hexadecimal(&sum.finalize()));
        let Some(pixels) = &self.pixels else {
            return Ok(FileVerdict::Sound { sum, unseen: None });
        };
        reading.rewind()?;
        Ok(match pixels.decode(reading, &content) {
            Ok(DecodeResult::Complete) => FileVerdict::Sound { sum, unseen: None },
            Ok(DecodeResult::NotDecoded(why)) => FileVerdict::Sound {
                sum,
                unseen: Some(why),
            },
            Err(flaw) => FileVerdict::Damaged(flaw.to_string()),
        })
    }
}

/// A file being read: summed up on the way, and broken off when the run is to end.
struct Reading<'a> {
    file: &'a File,
    sum: Option<Sha256>,
    shutdown: &'a Shutdown,
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.shutdown.is_stopping() {
            return Err(io::Error::other("the run is to end"));
        }
        let read = self.file.read(buffer)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&buffer[..read]);
        }
        Ok(read)
    }
}

impl Seek for Reading<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut digits, byte| {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
}
