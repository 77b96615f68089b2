//! Decodes every pixel of an image in the collection (`verify --decode`). The decoders are other
//! people's: they are made strict, kept within an amount of memory that all threads share, and
//! their panics are caught.

use std::cell::Cell;
use std::io::{BufReader, Read, Seek};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use parking_lot::{Condvar, Mutex};

use super::formats;
use super::{Defect, Limits};
use crate::outcome::{Content, StoredSize};
use crate::units::ByteSize;

/// What all images that are decoded at one moment may take together, in bytes: 512 MiB.
pub(super) const MEMORY_LIMIT: u64 = 512 << 20;

/// How one format is decoded.
pub(super) struct FormatDecoder {
    /// The most bytes that decoding an image of this width and height takes.
    pub(super) memory: fn(u64, u64) -> u64,
    /// Decodes every pixel of an image, in as much memory as `memory` answered.
    pub(super) decode: fn(ImageReader<'_>, &Content, &mut Workspace) -> Result<(), DecodeError>,
}

/// The memory in which one image is decoded.
#[derive(Default)]
pub(super) struct Workspace {
    /// How many bytes may be used, the buffer's included.
    pub(super) memory: u64,
    /// What the image before this one was decoded into, to be used again: a buffer made for each
    /// image cost a quarter of the time, which the system takes to give and clear its pages.
    buffer: Vec<u8>,
}

impl Workspace {
    /// A buffer of `length` bytes, which hold what an image before this one left.
    pub(super) fn buffer(&mut self, length: usize) -> &mut [u8] {
        if self.buffer.capacity() < length {
            // No growing: that would copy what nobody needs.
            self.buffer = vec![0; length];
        } else if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        &mut self.buffer[..length]
    }
}

/// Why a decoder did not reach the last pixel of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// This decoder cannot decode such an image, which may be a good one: the reason, as a clause
    /// (`arithmetic coding is not supported`).
    Unsupported(String),
    /// Pixels are missing or wrong: what the decoder says.
    Damaged(String),
}

/// The file that a decoder reads. The buffer is outermost, so that a decoder's many small reads are
/// inlined, and only filling the buffer is a virtual call; a `dyn BufRead` would make each of them
/// one.
pub(super) type ImageReader<'a> = BufReader<&'a mut dyn SeekableRead>;

/// A trait object may name one trait only.
pub(super) trait SeekableRead: Read + Seek {}

impl<T: Read + Seek> SeekableRead for T {}

/// Decodes images, several threads at a time; a thread waits while the others use too much memory.
pub struct Decoder {
    limits: Limits,
    /// No tokio semaphore: threads wait here, not tasks.
    memory: Mutex<Memory>,
    freed: Condvar,
}

/// What is left of [`MEMORY_LIMIT`].
struct Memory {
    /// How many bytes no image takes.
    free: u64,
    /// Buffers that no image uses; together they have no more than the free bytes.
    idle: Vec<Vec<u8>>,
}

impl Memory {
    /// Takes a buffer out of those that no image uses, if one has at most `bytes` bytes.
    fn take_idle(&mut self, bytes: u64) -> Vec<u8> {
        let fits = |buffer: &Vec<u8>| buffer.capacity() as u64 <= bytes;
        let found = self.idle.iter().position(fits);
        found.map_or_else(Vec::new, |place| self.idle.swap_remove(place))
    }

    /// Drops buffers until the rest fits into the free bytes.
    fn trim_idle(&mut self) {
        let idle = |buffers: &[Vec<u8>]| {
            let sizes = buffers.iter().map(|buffer| buffer.capacity() as u64);
            sizes.sum::<u64>()
        };
        while idle(&self.idle) > self.free {
            self.idle.pop();
        }
    }
}

/// What decoding an image showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeResult {
    /// Every pixel can be decoded.
    Complete,
    /// The image was not decoded: the reason.
    NotDecoded(String),
}

impl Decoder {
    /// A decoder for images within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory: Mutex::new(Memory {
                free: MEMORY_LIMIT,
                idle: Vec::new(),
            }),
            freed: Condvar::new(),
        }
    }

    /// Decodes an image to its last pixel; `content` is what verification established about it.
    ///
    /// # Errors
    ///
    /// When pixels are missing, or do not match their checksum.
    pub fn decode(
        &self,
        mut file: impl Read + Seek,
        content: &Content,
    ) -> Result<DecodeResult, Defect> {
        let StoredSize { width, height } = content.stored_size();
        if let Err(defect) = self.limits.allow(width, height) {
            return Ok(DecodeResult::NotDecoded(defect.to_string()));
        }
        let row = formats::row(content.format);
        let decoder = match &row.decoder {
            Ok(decoder) => decoder,
            Err(reason) => return Ok(DecodeResult::NotDecoded((*reason).to_owned())),
        };
        let memory = (decoder.memory)(width.into(), height.into());
        if memory > MEMORY_LIMIT {
            let (needed, limit) = (ByteSize(memory), ByteSize(MEMORY_LIMIT));
            return Ok(DecodeResult::NotDecoded(format!(
                "decoding {width} x {height} pixels takes {needed}, more than the {limit} allowed"
            )));
        }
        let mut permit = self.acquire(memory);
        let file = BufReader::new(&mut file as &mut dyn SeekableRead);
        let outcome = catch_panic(|| (decoder.decode)(file, content, &mut permit.workspace))
            .map_err(DecodeError::Damaged)
            .and_then(|decoded| decoded);
        match outcome {
            Ok(()) => Ok(DecodeResult::Complete),
            Err(DecodeError::Unsupported(reason)) => Ok(DecodeResult::NotDecoded(reason)),
            Err(DecodeError::Damaged(reason)) => Err(Defect::Undecodable { reason }),
        }
    }

    /// Waits until `bytes` bytes of memory are free, and takes them.
    fn acquire(&self, bytes: u64) -> MemoryPermit<'_> {
        let mut memory = self.memory.lock();
        self.freed
            .wait_while(&mut memory, |memory| memory.free < bytes);
        memory.free -= bytes;
        let buffer = memory.take_idle(bytes);
        memory.trim_idle();
        MemoryPermit {
            workspace: Workspace {
                memory: bytes,
                buffer,
            },
            decoder: self,
        }
    }
}

/// Memory that stays taken while this lives.
struct MemoryPermit<'a> {
    workspace: Workspace,
    decoder: &'a Decoder,
}

impl Drop for MemoryPermit<'_> {
    fn drop(&mut self) {
        let Workspace {
            memory: bytes,
            buffer,
        } = std::mem::take(&mut self.workspace);
        let mut memory = self.decoder.memory.lock();
        memory.free += bytes;
        if buffer.capacity() > 0 {
            memory.idle.push(buffer);
        }
        memory.trim_idle();
        drop(memory);
        // All of them: the one that `notify_one` picks may need more than is free now, while
        // another would fit.
        self.decoder.freed.notify_all();
    }
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder on untrusted bytes. Its panic is a finding about the image: it becomes an error,
/// and is not printed as a crash of this program would be. The hook is process-wide and is set
/// once, because swapping it around each call would silence other threads too; the flag of the
/// thread says whose panic it is.
fn catch_panic<T>(decode: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default_hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !DECODING.get() {
                default_hook(info);
            }
        }));
    });
    DECODING.set(true);
    // Nothing of the decoder survives a panic, so nothing half-changed can be seen afterwards.
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(false);
    decoded.map_err(|_| "its decoder panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor, SeekFrom};

    use image::ImageFormat;
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Format;
    use crate::verify::testing::{HEIGHT, WIDTH, drawn, find, inspect, patched, sample};

    fn decode(bytes: &[u8]) -> Result<DecodeResult, Defect> {
        let content = inspect(bytes).expect("its structure is valid");
        decode_with(
            &Decoder::new(Limits::default()),
            Cursor::new(bytes),
            &content,
        )
    }

    /// Decodes, and checks that no memory stays taken.
    fn decode_with(
        decoder: &Decoder,
        file: impl Read + Seek,
        content: &Content,
    ) -> Result<DecodeResult, Defect> {
        let result = decoder.decode(file, content);
        assert_eq!(decoder.memory.lock().free, MEMORY_LIMIT);
        result
    }

    fn assert_undecodable(bytes: &[u8]) {
        let result = decode(bytes);
        assert!(
            matches!(result, Err(Defect::Undecodable { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn valid_image_is_decoded_completely() {
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::WebP,
        ] {
            assert_eq!(
                decode(&drawn(format)),
                Ok(DecodeResult::Complete),
                "{format:?}"
            );
        }
    }

    #[test]
    fn every_frame_of_an_animated_png_is_decoded() {
        for still_first in [false, true] {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
            encoder.set_animated(2, 0).unwrap();
            encoder.set_sep_def_img(still_first).unwrap();
            let mut writer = encoder.write_header().unwrap();
            for shade in 0..2 + u8::from(still_first) {
                writer.write_image_data(&[shade; 16]).unwrap();
            }
            writer.finish().unwrap();
            assert_eq!(decode(&bytes), Ok(DecodeResult::Complete));
        }
    }

    #[test]
    fn png_pixels_that_do_not_match_their_adler_checksum_are_found() {
        let bytes = drawn(ImageFormat::Png);
        let data = find(&bytes, b"IDAT");
        let length = u32::from_be_bytes(bytes[data - 4..data].try_into().unwrap()) as usize;
        let end = data + 4 + length;
        // The last four bytes of the stream stand for its pixels, the four behind it for the chunk.
        let wrong = patched(&bytes, end - 1, &[bytes[end - 1] ^ 1]);
        let checksum = crc32fast::hash(&wrong[data..end]);
        let wrong = patched(&wrong, end, &checksum.to_be_bytes());
        assert_undecodable(&wrong);
    }

    #[test]
    fn jpeg_scan_with_invalid_codes_is_found() {
        let bytes = drawn(ImageFormat::Jpeg);
        // All ones are no code of any table; the zeros say that they are no markers.
        let wrong = patched(&bytes, bytes.len() - 80, &[0xFF, 0].repeat(20));
        assert_undecodable(&wrong);
    }

    #[test]
    fn gif_that_lacks_most_of_its_pixels_is_found() {
        let bytes = drawn(ImageFormat::Gif);
        let [width, height] = [WIDTH, HEIGHT].map(|side| side.to_le_bytes()[0]);
        let picture = find(&bytes, &[0x2C, 0, 0, 0, 0, width, 0, height, 0]);
        let flags = bytes[picture + 9];
        let table = if flags & 0x80 == 0 {
            0
        } else {
            6 << (flags & 7)
        };
        let block = picture + 10 + table + 1;
        let wrong = [&bytes[..block], &[5], &bytes[block + 1..block + 6], b"\0;"].concat();
        assert_undecodable(&wrong);
    }

    #[test]
    fn undecoded_image_is_reported_and_is_no_defect() {
        assert!(
            matches!(decode(&sample(Format::Avif)), Ok(DecodeResult::NotDecoded(why)) if why.contains("AVIF"))
        );
        let bytes = drawn(ImageFormat::Jpeg);
        let content = inspect(&bytes).unwrap();
        let few = Decoder::new(Limits {
            max_pixels: u64::from(WIDTH * HEIGHT) - 1,
        });
        assert!(
            matches!(few.decode(Cursor::new(&bytes), &content), Ok(DecodeResult::NotDecoded(why)) if why.contains("--max-pixels"))
        );
        let huge = Content {
            width: 60_000,
            height: 60_000,
            ..content
        };
        let any = Decoder::new(Limits {
            max_pixels: u64::MAX,
        });
        assert!(
            matches!(any.decode(Cursor::new(&bytes), &huge), Ok(DecodeResult::NotDecoded(why)) if why.contains("MB"))
        );
    }

    #[test]
    fn buffer_is_used_again_and_counts_against_the_memory() {
        let decoder = Decoder::new(Limits::default());
        let mut first = decoder.acquire(1000);
        first.workspace.buffer(800).fill(7);
        let place = first.workspace.buffer.as_ptr();
        drop(first);
        let mut second = decoder.acquire(900);
        assert_eq!(second.workspace.buffer(10), [7; 10]);
        assert_eq!(second.workspace.buffer.as_ptr(), place);
        drop(second);
        let small = decoder.acquire(700);
        assert_eq!(
            small.workspace.buffer.capacity(),
            0,
            "it would take too much"
        );
        drop(small);
        assert_eq!(decoder.memory.lock().idle.len(), 1);
        let most = decoder.acquire(MEMORY_LIMIT - 100);
        assert_eq!(decoder.memory.lock().idle.len(), 0);
        drop(most);
    }

    /// A file that panics when a decoder reads it.
    struct PanickingFile;

    impl Read for PanickingFile {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("nobody expected this")
        }
    }

    impl Seek for PanickingFile {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[test]
    fn panic_of_a_decoder_is_a_defect_of_the_image() {
        let content = inspect(&drawn(ImageFormat::Png)).unwrap();
        let decoder = Decoder::new(Limits::default());
        assert_eq!(
            decode_with(&decoder, PanickingFile, &content),
            Err(Defect::Undecodable {
                reason: "its decoder panicked".to_owned()
            })
        );
    }

    proptest! {
        #[test]
        fn damaged_image_never_crashes_the_decoder(which in 0..5_usize, damage in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..20)) {
            let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP];
            let mut bytes = formats.get(which).map_or_else(|| sample(Format::Webp), |format| drawn(*format));
            let content = inspect(&bytes).unwrap();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = decode_with(&Decoder::new(Limits::default()), Cursor::new(&bytes), &content);
        }
    }
}
