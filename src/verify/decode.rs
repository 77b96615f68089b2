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
use crate::outcome::Content;
use crate::units::ByteSize;

/// What all images that are decoded at one moment may take together, in bytes: 512 MiB.
pub(super) const MEMORY_LIMIT: u64 = 512 << 20;

/// How one format is decoded.
pub(super) struct FormatDecoder {
    /// The most bytes that decoding an image of this width and height takes.
    pub(super) memory: fn(u64, u64) -> u64,
    /// Decodes every pixel of an image; the number is what `memory` answered.
    pub(super) decode: fn(ImageReader<'_>, &Content, u64) -> Result<(), DecodeError>,
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
    /// How many bytes of [`MEMORY_LIMIT`] are free. No tokio semaphore: threads wait here, not
    /// tasks.
    free: Mutex<u64>,
    freed: Condvar,
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
            free: Mutex::new(MEMORY_LIMIT),
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
        let Content {
            format,
            width,
            height,
            ..
        } = *content;
        if let Err(defect) = self.limits.allow(width, height) {
            return Ok(DecodeResult::NotDecoded(defect.to_string()));
        }
        let row = formats::row(format);
        let Some(decoder) = &row.decoder else {
            let reason = format!("this program has no decoder for {}", row.name);
            return Ok(DecodeResult::NotDecoded(reason));
        };
        let memory = (decoder.memory)(width.into(), height.into());
        if memory > MEMORY_LIMIT {
            let (needed, limit) = (ByteSize(memory), ByteSize(MEMORY_LIMIT));
            return Ok(DecodeResult::NotDecoded(format!(
                "decoding {width} x {height} pixels takes {needed}, more than the {limit} allowed"
            )));
        }
        let _permit = self.acquire(memory);
        let file = BufReader::new(&mut file as &mut dyn SeekableRead);
        let result = catch_panic(|| (decoder.decode)(file, content, memory))
            .map_err(DecodeError::Damaged)
            .and_then(|decoded| decoded);
        match result {
            Ok(()) => Ok(DecodeResult::Complete),
            Err(DecodeError::Unsupported(reason)) => Ok(DecodeResult::NotDecoded(reason)),
            Err(DecodeError::Damaged(reason)) => Err(Defect::Undecodable { reason }),
        }
    }

    /// Waits until `bytes` bytes of memory are free, and takes them.
    fn acquire(&self, bytes: u64) -> MemoryPermit<'_> {
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free < bytes);
        *free -= bytes;
        MemoryPermit {
            bytes,
            decoder: self,
        }
    }
}

/// Memory that stays taken while this lives.
struct MemoryPermit<'a> {
    bytes: u64,
    decoder: &'a Decoder,
}

impl Drop for MemoryPermit<'_> {
    fn drop(&mut self) {
        *self.decoder.free.lock() += self.bytes;
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
        assert_eq!(*decoder.free.lock(), MEMORY_LIMIT);
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
