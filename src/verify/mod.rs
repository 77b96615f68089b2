//! Judges an image by its bytes while they pass: signature, structure to the end mark, checksums, declared size.
//!
//! ```text
//! Part --bytes--> Inspector: hash, then head --signature--> Checker of the format --> Flaw, or the image's size
//! ```
//!
//! What stands behind an image's end mark is kept as served: it counts in hash and length and is no flaw.
//! AVIF has no end mark, so whatever follows its last needed box must be boxes too.

mod avif;
mod defect;
mod gif;
mod hash;
mod input;
mod jpeg;
mod pixels;
mod png;
mod sniff;
#[cfg(test)]
mod testing;
mod webp;

pub use defect::Defect;
pub use pixels::{DecodeResult, Decoder};

use std::io::{self, Read};

use crate::outcome::{Content, Format};
use crate::part::{ByteObserver, CompleteFile, FinishedPart, ResumeInfo};

use hash::Hash;
use input::{ByteCursor, Carry, Checker, ParseStop};
use sniff::Signature;

/// How large an image may say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Width times height at most.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 200_000_000,
        }
    }
}

/// Watches an image's bytes on their way, in constant memory; asked by [`verify`] once they are all there.
pub struct Inspector {
    limits: Limits,
    hash: Hash,
    stage: Stage,
}

/// What is known of the bytes so far.
enum Stage {
    /// Too little to tell the format; these are all the bytes there were.
    Head(Vec<u8>),
    /// The signature told the format.
    Body {
        format: Format,
        checker: Box<dyn Checker>,
        held: Carry,
    },
    /// Nothing that may come makes it good.
    Rejected(Defect),
}

/// How many bytes are gathered of what has no image's signature: enough for an HTML page's title.
const HEAD: usize = 4096;

impl Inspector {
    /// An inspector that has seen nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            hash: Hash::new(),
            stage: Stage::Head(Vec::new()),
        }
    }

    /// A flaw that is certain already, whatever bytes may follow: reading on is for nothing.
    pub fn defect(&self) -> Option<&Defect> {
        match &self.stage {
            Stage::Head(_) | Stage::Body { .. } => None,
            Stage::Rejected(defect) => Some(defect),
        }
    }

    /// Adds to the head until it tells what the bytes are; answers with those that are still to be checked.
    fn gather<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let Stage::Head(head) = &mut self.stage else {
            return chunk;
        };
        let (more, rest) = chunk.split_at(chunk.len().min(HEAD - head.len()));
        head.extend_from_slice(more);
        match sniff::signature(head) {
            Signature::Is(format) => {
                let head = std::mem::take(head);
                self.stage = Stage::Body {
                    format,
                    checker: checker(format, self.limits),
                    held: Carry::default(),
                };
                self.check(&head);
            }
            Signature::Perhaps | Signature::No if head.len() == HEAD => {
                self.stage = Stage::Rejected(sniff::not_an_image(head));
            }
            Signature::Perhaps | Signature::No => {}
        }
        rest
    }

    fn check(&mut self, bytes: &[u8]) {
        let Stage::Body { checker, held, .. } = &mut self.stage else {
            return;
        };
        match checker.feed(&mut ByteCursor::new(bytes, held)) {
            ParseStop::Starved | ParseStop::Ended => {}
            ParseStop::Rejected(defect) => self.stage = Stage::Rejected(defect),
        }
    }

    /// What is to be said of the bytes now that no more will come.
    fn verdict(self, bytes: u64, want: Option<u64>) -> Result<Content, Defect> {
        let (format, checker, held) = match self.stage {
            Stage::Head(head) => return Err(sniff::too_short(&head)),
            Stage::Rejected(defect) => return Err(defect),
            Stage::Body {
                format,
                checker,
                held,
            } => (format, checker, held),
        };
        if let Some(want) = want.filter(|&want| want != bytes) {
            return Err(Defect::WrongLength { want, got: bytes });
        }
        let size = checker
            .end()
            .filter(|_| held.is_empty())
            .ok_or(Defect::Cut)?;
        if want.is_none() && !checker.knows_its_end() {
            return Err(Defect::EndUnknown);
        }
        Ok(Content {
            bytes,
            hash: self.hash.value(),
            format,
            width: size.width,
            height: size.height,
        })
    }
}

impl ByteObserver for Inspector {
    fn bytes(&mut self, chunk: &[u8]) {
        if self.defect().is_none() {
            self.hash.bytes(chunk);
            let rest = self.gather(chunk);
            self.check(rest);
        }
    }

    fn restart(&mut self) {
        *self = Self::new(self.limits);
    }
}

fn checker(format: Format, limits: Limits) -> Box<dyn Checker> {
    match format {
        Format::Png => Box::new(png::Png::new(limits)),
        Format::Jpeg => Box::new(jpeg::Jpeg::new(limits)),
        Format::Gif => Box::new(gif::Gif::new(limits)),
        Format::Webp => Box::new(webp::Webp::new(limits)),
        Format::Avif => Box::new(avif::Avif::new(limits)),
    }
}

/// Judges a sealed part: the only maker of a [`VerifiedImage`]. `want` is the length the sender promised, if it did.
///
/// # Errors
///
/// When the bytes are no image, or not all of one; the file comes back with the reason.
pub fn verify(
    sealed: FinishedPart<Inspector>,
    want: Option<u64>,
) -> Result<VerifiedImage, RejectedImage> {
    let bytes = sealed.bytes();
    let (whole, inspector) = sealed.open();
    match inspector.verdict(bytes, want) {
        Ok(content) => Ok(VerifiedImage {
            whole: whole.mark_verified(),
            content,
        }),
        Err(defect) => Err(RejectedImage {
            defect,
            whole,
            bytes,
        }),
    }
}

/// How much is read at a time of an image that lies on disk.
const LOOKED_AT: usize = 256 * 1024;

/// Judges an image that lies under its name already, by the same checks. `want` is the length it should have.
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
    let mut buffer = vec![0; LOOKED_AT];
    let mut bytes = 0;
    while inspector.defect().is_none() {
        match image.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                inspector.bytes(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(inspector.verdict(bytes, Some(want)))
}

/// An image that passed every check. Nothing but `verify` makes one, and a sink takes nothing else.
#[derive(Debug)]
pub struct VerifiedImage {
    whole: CompleteFile,
    content: Content,
}

impl VerifiedImage {
    /// Where the bytes lie.
    pub fn whole(&self) -> &CompleteFile {
        &self.whole
    }

    /// What was established about them.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Says that it waits for its name from now on: see [`CompleteFile::mark_pending`].
    pub fn mark_pending(&mut self, note: &ResumeInfo) {
        self.whole.mark_pending(note);
    }

    /// Hands the file over to whoever gives it a name.
    pub fn into_file(self) -> CompleteFile {
        self.whole
    }
}

/// A file that did not pass: to be set aside with its flaw, or dropped, which removes it.
#[derive(Debug)]
pub struct RejectedImage {
    /// What is wrong with it.
    pub defect: Defect,
    /// Where the bytes lie.
    pub whole: CompleteFile,
    /// How many there are.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::testing::{HEIGHT, WIDTH, judge, judge_in_chunks, samples};
    use super::*;
    use crate::job::ContentHash;
    use crate::job::{ImageKey, SiteId};
    use crate::part::Parts;

    /// Takes bytes the whole way: into a part, sealed, examined.
    fn examined(bytes: &[u8], want: Option<u64>) -> Result<VerifiedImage, RejectedImage> {
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
    fn every_format_is_accepted_with_its_size_its_length_and_its_hash() {
        for (format, bytes) in samples() {
            let hash = ContentHash::from_bytes(*blake3::hash(&bytes).as_bytes());
            let content = Content {
                bytes: bytes.len() as u64,
                hash,
                format,
                width: WIDTH,
                height: HEIGHT,
            };
            assert_eq!(*examined(&bytes, None).unwrap().content(), content);
            assert_eq!(
                *examined(&bytes, Some(bytes.len() as u64))
                    .unwrap()
                    .content(),
                content
            );
        }
    }

    #[test]
    fn no_cut_of_an_image_is_accepted() {
        for (format, bytes) in samples() {
            for end in 1..bytes.len() {
                assert_eq!(
                    judge(&bytes[..end]),
                    Err(Defect::Cut),
                    "{format} cut at {end}"
                );
            }
            assert_eq!(judge(&[]), Err(Defect::Empty));
        }
    }

    #[test]
    fn a_cut_is_told_by_the_announced_length_where_there_is_one() {
        let unsound = examined(b"\x89PNG\r\n\x1a\n\0\0", Some(400)).unwrap_err();
        assert_eq!(unsound.defect, Defect::WrongLength { want: 400, got: 10 });
        assert_eq!(unsound.bytes, 10);
    }

    #[test]
    fn bytes_behind_the_end_are_kept_as_served() {
        for (format, bytes) in samples() {
            let behind: &[u8] = if format == Format::Avif {
                b"\0\0\0\x0bfreePK\x03"
            } else {
                b"PK\x03\x04<?php"
            };
            let bytes = [&bytes[..], behind].concat();
            let content = judge(&bytes).unwrap();
            assert_eq!(content.bytes, bytes.len() as u64);
            assert_eq!(
                content.hash.to_string(),
                blake3::hash(&bytes).to_hex().as_str()
            );
        }
    }

    #[test]
    fn an_image_too_large_is_refused_while_it_passes() {
        for (format, bytes) in samples() {
            let mut inspector = Inspector::new(Limits {
                max_pixels: u64::from(WIDTH * HEIGHT) - 1,
            });
            inspector.bytes(&bytes[..bytes.len() - 2]);
            let defect = Defect::TooManyPixels {
                width: WIDTH,
                height: HEIGHT,
                limit: 208,
            };
            assert_eq!(inspector.defect(), Some(&defect), "{format}");
            assert!(!defect.is_not_an_image());
        }
    }

    #[test]
    fn a_page_is_recognised_before_it_ends() {
        let mut inspector = Inspector::new(Limits::default());
        inspector.bytes(b"<!doctype html><title>Please log in</title>");
        assert_eq!(inspector.defect(), None);
        inspector.bytes(&[b'.'; HEAD]);
        let defect = inspector.defect().cloned().unwrap();
        assert_eq!(
            defect.to_string(),
            "an HTML page titled `Please log in` in place of an image"
        );
        assert!(defect.is_not_an_image());
        // Whoever stopped reading here is told what it was, not that bytes are missing.
        assert_eq!(inspector.verdict(4139, Some(100_000)), Err(defect));
    }

    #[test]
    fn a_restart_forgets_everything() {
        let samples = samples();
        for (_, first) in &samples {
            for (_, second) in &samples {
                let mut inspector = Inspector::new(Limits::default());
                inspector.bytes(&first[..first.len() - 3]);
                inspector.restart();
                inspector.bytes(second);
                assert_eq!(inspector.verdict(second.len() as u64, None), judge(second));
            }
        }
    }

    #[test]
    fn an_image_on_disk_is_judged_as_one_that_arrives() {
        for (_, bytes) in samples() {
            let length = bytes.len() as u64;
            assert_eq!(
                verify_file(&bytes[..], length, Limits::default()).unwrap(),
                judge(&bytes)
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

    /// A damaged or cut image with junk behind it, or junk alone.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let junk = proptest::collection::vec(any::<u8>(), 0..6000);
        let damaged = (
            0..6_usize,
            junk,
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
        );
        damaged.prop_map(|(which, junk, keep, damage)| {
            let mut image = samples()
                .get(which)
                .map_or_else(Vec::new, |(_, image)| image.clone());
            let at = damage.index(image.len() + 1);
            if let (Some(byte), Some(junk)) = (image.get_mut(at), junk.first()) {
                *byte ^= junk;
            }
            image.truncate(keep.index(image.len() + 1));
            [image, junk].concat()
        })
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_the_bytes_are_split(bytes in bytes(), size in 1..40_usize) {
            let whole = judge(&bytes);
            prop_assert_eq!(&judge_in_chunks(&bytes, size), &whole);
            prop_assert_eq!(&judge_in_chunks(&bytes, size * 100), &whole);
        }

        #[test]
        fn an_early_flaw_is_the_last_word(bytes in bytes(), at in any::<prop::sample::Index>()) {
            let mut inspector = Inspector::new(Limits::default());
            let (early, late) = bytes.split_at(at.index(bytes.len() + 1));
            inspector.bytes(early);
            let defect = inspector.defect().cloned();
            inspector.bytes(late);
            let verdict = inspector.verdict(bytes.len() as u64, None);
            prop_assert!(defect.is_none_or(|defect| verdict == Err(defect)));
        }
    }
}
