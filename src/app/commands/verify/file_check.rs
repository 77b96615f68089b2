//! Checks one file of a collection: whether it is there, has the bytes that were fetched, and is a complete image.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::engine::Shutdown;
use crate::ledger::StoredFile;
use crate::outcome::Content;
use crate::sink::{EntryKind, ReadError, SinkError, SinkReader, StoredImageReader};
use crate::verify::{DecodeResult, Decoder, Limits, verify_file};

/// Checks files; shared by all threads.
pub(super) struct FileCheck {
    pub(super) reader: Arc<dyn SinkReader>,
    /// Decodes every pixel, with `--decode`.
    pub(super) decoder: Option<Decoder>,
    /// Whether SHA-256 sums are wanted.
    pub(super) sums: bool,
    pub(super) shutdown: Shutdown,
}

/// The result of checking a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileVerdict {
    /// It is what was fetched, and complete.
    Intact {
        /// Its SHA-256 sum in hexadecimal digits, where that was wanted.
        sum: Option<String>,
        /// Why its pixels were not decoded, though that was wanted.
        undecoded: Option<String>,
    },
    /// It is not: the reason.
    Damaged(String),
    /// It is what was fetched, and its pixels cannot be decoded: the reason.
    Undecodable(String),
    /// Something else has its name, and is left alone: the reason.
    Displaced(String),
    /// Nothing has its name.
    Missing,
}

/// An image that is in the collection was small enough when it was fetched.
const ANY_SIZE: Limits = Limits {
    max_pixels: u64::MAX,
};

impl FileCheck {
    /// Checks a file; `None` once the run was interrupted. Blocks.
    ///
    /// # Errors
    ///
    /// When the place is out of reach, which says nothing of the file.
    pub(super) fn verdict(&self, file: &StoredFile) -> Option<Result<FileVerdict, SinkError>> {
        if self.shutdown.is_stopping() {
            return None;
        }
        let checked = self.reader.read(&file.name.to_string()).and_then(|reader| {
            self.check(reader, &file.content)
                .map_err(ReadError::Unreadable)
        });
        let verdict = match checked {
            Ok(verdict) => verdict,
            Err(ReadError::Missing) => FileVerdict::Missing,
            Err(ReadError::NotAFile(reason)) => FileVerdict::Displaced(reason),
            Err(error @ ReadError::Unreadable(_)) => FileVerdict::Damaged(error.to_string()),
            Err(ReadError::OutOfReach(error)) => return Some(Err(error)),
        };
        // A read that the interruption cut short says nothing about the file.
        (!self.shutdown.is_stopping()).then_some(Ok(verdict))
    }

    /// The same by what the place listed under its name: its size alone.
    pub(super) fn listed(
        &self,
        file: &StoredFile,
        kind: Option<&EntryKind>,
    ) -> Option<Result<FileVerdict, SinkError>> {
        let expected = file.content.bytes;
        let verdict = match kind {
            None => FileVerdict::Missing,
            Some(EntryKind::File { bytes }) if *bytes == expected => FileVerdict::Intact {
                sum: None,
                undecoded: None,
            },
            Some(EntryKind::File { bytes }) => wrong_size(*bytes, expected),
            Some(kind) => FileVerdict::Displaced(kind.to_string()),
        };
        (!self.shutdown.is_stopping()).then_some(Ok(verdict))
    }

    fn check(
        &self,
        reader: Box<dyn StoredImageReader>,
        fetched: &Content,
    ) -> io::Result<FileVerdict> {
        let bytes = reader.size()?;
        if bytes != fetched.bytes {
            return Ok(wrong_size(bytes, fetched.bytes));
        }
        let mut reader = CheckedReader {
            reader,
            sum: self.sums.then(Sha256::new),
            shutdown: &self.shutdown,
        };
        let content = match verify_file(&mut reader, bytes, ANY_SIZE)? {
            Ok(content) => content,
            Err(defect) => return Ok(FileVerdict::Damaged(defect.to_string())),
        };
        if content.hash != fetched.hash {
            let (found, expected) = (content.hash, fetched.hash);
            return Ok(FileVerdict::Damaged(format!(
                "not the bytes that were fetched: BLAKE3 {found} instead of {expected}"
            )));
        }
        let sum = reader.sum.take().map(|sum| hexadecimal(&sum.finalize()));
        let Some(decoder) = &self.decoder else {
            return Ok(FileVerdict::Intact {
                sum,
                undecoded: None,
            });
        };
        reader.rewind()?;
        Ok(match decoder.decode(reader, &content) {
            Ok(DecodeResult::Complete) => FileVerdict::Intact {
                sum,
                undecoded: None,
            },
            Ok(DecodeResult::NotDecoded(reason)) => FileVerdict::Intact {
                sum,
                undecoded: Some(reason),
            },
            Err(defect) => FileVerdict::Undecodable(defect.to_string()),
        })
    }
}

fn wrong_size(found: u64, expected: u64) -> FileVerdict {
    FileVerdict::Damaged(format!("{found} bytes instead of {expected}"))
}

/// Hashes the bytes of a file while they are read, so that it is read once, and fails when the run is interrupted:
/// a large image must not delay the end.
struct CheckedReader<'a> {
    reader: Box<dyn StoredImageReader>,
    sum: Option<Sha256>,
    shutdown: &'a Shutdown,
}

impl Read for CheckedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.shutdown.is_stopping() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.reader.read(buffer)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&buffer[..read]);
        }
        Ok(read)
    }
}

impl Seek for CheckedReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
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
