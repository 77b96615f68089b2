//! Verifies an image by its bytes while they pass: signature, structure to the end mark, checksums,
//! declared size.
//!
//! ```text
//! Part --bytes--> Inspector: hash, then head --signature--> Checker of the format --> Defect, or the image's size
//! ```
//!
//! Bytes behind an image's end mark are kept as served: they count in hash and length and are no
//! defect. AVIF and JPEG XL have no end mark, so all bytes after their last required box must be boxes too.

mod checker;
mod cursor;
mod declared;
mod decode;
mod defect;
mod exif;
mod formats;
mod hash;
mod inspector;
mod limits;
mod sniff;
#[cfg(test)]
mod testing;

pub use decode::{DecodeResult, Decoder};
pub use defect::{DeclaredAndFound, Defect};
pub use inspector::Inspector;
pub use limits::Limits;

use std::cell::Cell;
use std::io::{self, Read};

use self::formats::SignatureMatch;
use crate::job::Declared;
use crate::outcome::Content;
use crate::part::{ByteObserver as _, CompleteFile, FinishedPart, ResumeInfo};

/// Verifies a finished part: the only maker of a [`VerifiedImage`]. `want` is the length in bytes
/// that the server announced, if it did.
///
/// # Errors
///
/// When the bytes are not a complete image; the file is returned with the reason.
pub fn verify(
    part: FinishedPart<Inspector>,
    want: Option<u64>,
) -> Result<VerifiedImage, RejectedImage> {
    let bytes = part.bytes();
    let (file, inspector) = part.into_inner();
    match inspector.finish(bytes, want) {
        Ok(content) => Ok(VerifiedImage {
            file: file.mark_verified(),
            content,
        }),
        Err(defect) => Err(RejectedImage {
            defect,
            file,
            bytes,
        }),
    }
}

/// Whether a file that begins with `head` is an image of a supported format, by its signature.
pub fn is_image(head: &[u8]) -> bool {
    matches!(formats::recognize(head), SignatureMatch::Full(_))
}

/// How much of an image on disk is read at a time, in bytes.
const READ_BUFFER: usize = 256 * 1024;

thread_local! {
    /// The buffer of this thread, empty while it is in use: a new one for each image is zeroed, and its pages come from the
    /// system and go back to it. Reading into a mapping instead would end the program if a file got shorter meanwhile.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Verifies an image that is in the collection already, by the same checks. `want` is the length in
/// bytes that it should have.
///
/// # Errors
///
/// When it cannot be read.
pub fn verify_file(
    mut image: impl Read,
    want: u64,
    limits: Limits,
) -> io::Result<Result<Content, Defect>> {
    let mut inspector = Inspector::new(limits);
    let mut buffer = BUFFER.take();
    buffer.resize(READ_BUFFER, 0);
    let bytes = inspect(&mut image, &mut inspector, &mut buffer);
    BUFFER.set(buffer);
    Ok(inspector.finish(bytes?, Some(want)))
}

/// Shows an image to `inspector`, to its end or its first defect; returns how many bytes that were.
fn inspect(image: &mut impl Read, inspector: &mut Inspector, buffer: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    while inspector.defect().is_none() {
        match image.read(buffer) {
            Ok(0) => break,
            Ok(read) => {
                inspector.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Verifies an image in memory by the same checks, and compares it with what its listing declares of it. `want` is the
/// length in bytes that it should have.
///
/// # Errors
///
/// When it is not a complete image, or not the declared one: the first check that failed.
pub fn verify_bytes(
    bytes: &[u8],
    want: u64,
    limits: Limits,
    declared: Option<&Declared>,
) -> Result<Content, Defect> {
    let mut inspector = Inspector::comparing(limits, declared);
    inspector.update(bytes);
    inspector.finish(bytes.len() as u64, Some(want))
}

/// An image that passed every check. Only [`verify`] makes one, and a sink accepts nothing else.
#[derive(Debug)]
pub struct VerifiedImage {
    file: CompleteFile,
    content: Content,
}

impl VerifiedImage {
    /// The file that holds the bytes.
    pub fn file(&self) -> &CompleteFile {
        &self.file
    }

    /// What verification established about the bytes.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Marks it as waiting for its name: see [`CompleteFile::mark_pending`].
    pub fn mark_pending(&mut self, info: &ResumeInfo) {
        self.file.mark_pending(info);
    }

    /// The file, to be given its name or discarded.
    pub fn into_file(self) -> CompleteFile {
        self.file
    }
}

/// A file that failed verification: to be quarantined with its defect, or dropped, which removes
/// it.
#[derive(Debug)]
pub struct RejectedImage {
    /// The first check that failed.
    pub defect: Defect,
    /// The file that holds the bytes.
    pub file: CompleteFile,
    /// The file's length in bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::testing::{HEIGHT, WIDTH, inspect, sample, samples};
    use super::*;
    use crate::job::{ContentHash, ImageKey, SiteId};
    use crate::outcome::Format;
    use crate::part::Parts;

    /// Takes bytes the way of a run: into a part, finished, verified.
    fn through_a_part(bytes: &[u8], want: Option<u64>) -> Result<VerifiedImage, RejectedImage> {
        let folder = tempfile::tempdir().unwrap();
        let key = ImageKey::new(
            &SiteId::new("demo").unwrap(),
            &Url::parse("https://demo.invalid/a.png").unwrap(),
        );
        let parts = Parts::open(folder.path(), "boot").unwrap();
        let (mut part, _) = parts
            .begin(&key, Inspector::new(Limits::default()))
            .unwrap();
        part.write(b"<html>the answer before this one").unwrap();
        part.restart().unwrap();
        part.write(bytes).unwrap();
        verify(part.finish().unwrap(), want)
    }

    #[test]
    fn image_of_any_format_is_accepted_with_size_length_and_hash() {
        for (format, bytes) in samples() {
            let hash = ContentHash::from_bytes(*blake3::hash(&bytes).as_bytes());
            let content = Content {
                bytes: bytes.len() as u64,
                hash,
                format,
                width: WIDTH,
                height: HEIGHT,
                stored: None,
                warning: None,
            };
            assert_eq!(*through_a_part(&bytes, None).unwrap().content(), content);
            assert_eq!(
                *through_a_part(&bytes, Some(bytes.len() as u64))
                    .unwrap()
                    .content(),
                content
            );
        }
    }

    #[test]
    fn truncated_png_is_rejected() {
        let png = sample(Format::Png);
        let rejected = through_a_part(&png[..png.len() - 1], None).unwrap_err();
        assert_eq!(rejected.defect, Defect::Truncated);
    }

    #[test]
    fn truncated_jpeg_is_rejected() {
        let jpeg = sample(Format::Jpeg);
        let rejected = through_a_part(&jpeg[..jpeg.len() - 1], None).unwrap_err();
        assert_eq!(rejected.defect, Defect::Truncated);
    }

    #[test]
    fn truncated_image_of_any_format_is_rejected() {
        for (format, bytes) in samples() {
            for end in 1..bytes.len() {
                assert_eq!(
                    inspect(&bytes[..end]),
                    Err(Defect::Truncated),
                    "{format} cut at {end}"
                );
            }
            assert_eq!(inspect(&[]), Err(Defect::Empty));
        }
    }

    #[test]
    fn wrong_content_length_is_reported_before_truncation() {
        let rejected = through_a_part(b"\x89PNG\r\n\x1a\n\0\0", Some(400)).unwrap_err();
        assert_eq!(rejected.defect, Defect::WrongLength { want: 400, got: 10 });
        assert_eq!(rejected.bytes, 10);
    }

    #[test]
    fn bytes_behind_the_end_mark_are_kept_as_served() {
        for (format, bytes) in samples() {
            // Without an end mark, only a box may follow.
            let behind: &[u8] = if matches!(format, Format::Avif | Format::Jxl) {
                b"\0\0\0\x0bfreePK\x03"
            } else {
                b"PK\x03\x04<?php"
            };
            let bytes = [&bytes[..], behind].concat();
            let content = inspect(&bytes).unwrap();
            assert_eq!(content.bytes, bytes.len() as u64);
            assert_eq!(
                content.hash.to_string(),
                blake3::hash(&bytes).to_hex().as_str()
            );
        }
    }

    #[test]
    fn verify_file_checks_a_file_as_it_checks_a_download() {
        for (_, bytes) in samples() {
            let length = bytes.len() as u64;
            assert_eq!(
                verify_file(&bytes[..], length, Limits::default()).unwrap(),
                inspect(&bytes)
            );
            let cut = verify_file(&bytes[..bytes.len() - 1], length, Limits::default()).unwrap();
            assert_eq!(
                cut,
                Err(Defect::WrongLength {
                    want: length,
                    got: length - 1
                })
            );
            assert_eq!(
                verify_file(&b""[..], length, Limits::default()).unwrap(),
                Err(Defect::Empty)
            );
        }
    }
}
