//! Looks at every pixel of an image that lies under its name: decoders of other people, made strict, kept
//! within a memory that all threads share, and caught when they panic.

use std::cell::Cell;
use std::io::{BufRead, Seek};
use std::num::NonZeroU64;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};

use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder as _, ImageDecoder as _};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Defect, Limits};
use crate::outcome::{Content, Format};

/// What all images that are decoded at one moment may take together.
const MEMORY: u64 = 512 << 20;

/// Decodes images, several threads at a time; a thread waits while the others have too much in memory.
pub struct Decoder {
    limits: Limits,
    free: Mutex<u64>,
    freed: Condvar,
}

/// What came of looking at an image's pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeResult {
    /// Every one of them is there.
    All,
    /// They were not looked at: the reason.
    None(String),
}

impl Decoder {
    /// A decoder for images within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            free: Mutex::new(MEMORY),
            freed: Condvar::new(),
        }
    }

    /// Decodes an image to its last pixel; `content` is what its structure says of it.
    ///
    /// # Errors
    ///
    /// When the pixels are not all there, or not those that a checksum stands for.
    pub fn verify_file(
        &self,
        file: impl BufRead + Seek,
        content: &Content,
    ) -> Result<DecodeResult, Defect> {
        let Content {
            format,
            width,
            height,
            ..
        } = *content;
        if let Err(defect) = self.limits.allow(width, height) {
            return Ok(DecodeResult::None(defect.to_string()));
        }
        let memory = memory(format, u64::from(width), u64::from(height));
        if memory > MEMORY {
            let (needs, may) = (memory >> 20, MEMORY >> 20);
            return Ok(DecodeResult::None(format!(
                "{width} x {height} pixels take {needs} MB to decode, of {may} MB allowed"
            )));
        }
        let _taken = self.take(memory);
        let decode = || match format {
            Format::Png => png(file),
            Format::Jpeg => jpeg(file, content),
            Format::Gif => gif(file, memory),
            Format::Webp => webp(file),
            Format::Avif => Ok(DecodeResult::None(
                "this program has no decoder for AVIF".to_owned(),
            )),
        };
        caught(decode)
            .and_then(|seen| seen)
            .map_err(|reason| Defect::Undecodable { reason })
    }

    /// Waits until so much memory is free.
    fn take(&self, bytes: u64) -> Taken<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free < bytes);
        *waited.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Taken { bytes, of: self }
    }

    fn free(&self) -> MutexGuard<'_, u64> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that is in use while this lives.
struct Taken<'a> {
    bytes: u64,
    of: &'a Decoder,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.of.free() += self.bytes;
        self.of.freed.notify_all();
    }
}

/// What decoding takes at most. PNG is read row by row; a progressive JPEG holds its coefficients beside its pixels.
fn memory(format: Format, width: u64, height: u64) -> u64 {
    let pixels = width.saturating_mul(height);
    match format {
        Format::Png => width * 64,
        Format::Jpeg | Format::Webp => pixels.saturating_mul(12),
        Format::Gif => pixels.saturating_mul(2),
        Format::Avif => 0,
    }
}

fn png(file: impl BufRead + Seek) -> Result<DecodeResult, String> {
    let mut options = png::DecodeOptions::default();
    // Off by default: without it nothing tells wrong pixels from right ones in a chunk that was checksummed wrong.
    options.set_ignore_adler32(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let read = || {
        let mut decoder = png::Decoder::new_with_options(file, options);
        decoder.set_limits(png::Limits {
            bytes: usize::try_from(MEMORY).unwrap_or(usize::MAX),
        });
        let mut reader = decoder.read_info()?;
        let info = reader.info();
        let frames = info.animation_control.map_or(1, |animation| {
            // A still picture in front of the animation is one more.
            animation
                .num_frames
                .saturating_add(u32::from(info.frame_control.is_none()))
        });
        while reader.next_row()?.is_some() {}
        for _ in 1..frames {
            reader.next_frame_info()?;
            while reader.next_row()?.is_some() {}
        }
        reader.finish()
    };
    read().map_err(|error: png::DecodingError| error.to_string())?;
    Ok(DecodeResult::All)
}

fn jpeg(file: impl BufRead + Seek, content: &Content) -> Result<DecodeResult, String> {
    let side = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
    let (width, height) = (side(content.width), side(content.height));
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(width)
        .set_max_height(height);
    JpegDecoder::new_with_options(file, options)
        .decode()
        .map_err(|error| format!("{error:?}"))?;
    Ok(DecodeResult::All)
}

fn gif(file: impl BufRead, memory: u64) -> Result<DecodeResult, String> {
    let read = || {
        let mut options = gif::DecodeOptions::new();
        // A frame of more than the whole picture is none.
        options.set_memory_limit(
            NonZeroU64::new(memory).map_or(gif::MemoryLimit::Unlimited, gif::MemoryLimit::Bytes),
        );
        let mut decoder = options.read_info(file)?;
        while decoder.read_next_frame()?.is_some() {}
        Ok(DecodeResult::All)
    };
    read().map_err(|error: gif::DecodingError| error.to_string())
}

fn webp(file: impl BufRead + Seek) -> Result<DecodeResult, String> {
    let read = || {
        let decoder = WebPDecoder::new(file)?;
        if decoder.has_animation() {
            decoder
                .into_frames()
                .try_for_each(|frame| frame.map(drop))?;
        } else {
            let mut pixels = vec![0; usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)];
            decoder.read_image(&mut pixels)?;
        }
        Ok(DecodeResult::All)
    };
    read().map_err(|error: image::ImageError| error.to_string())
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder on bytes that nobody vouches for: its panic says something of the image, and is not told as ours.
fn caught<T>(decode: impl FnOnce() -> T) -> Result<T, String> {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !DECODING.get() {
                told(info);
            }
        }));
    });
    DECODING.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(false);
    done.map_err(|_| "its decoder gave up on it".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader, Cursor, Read, SeekFrom};

    use image::ImageFormat;
    use proptest::prelude::*;

    use super::super::testing::{HEIGHT, WIDTH, drawn, find, judge, patched, samples};
    use super::*;

    fn seen(bytes: &[u8]) -> Result<DecodeResult, Defect> {
        let content = judge(bytes).expect("its structure is whole");
        looked(
            &Decoder::new(Limits::default()),
            Cursor::new(bytes),
            &content,
        )
    }

    /// Looks, and sees to it that no memory stays taken.
    fn looked(
        pixels: &Decoder,
        file: impl BufRead + Seek,
        content: &Content,
    ) -> Result<DecodeResult, Defect> {
        let seen = pixels.verify_file(file, content);
        assert_eq!(*pixels.free(), MEMORY);
        seen
    }

    fn is_undecodable(seen: &Result<DecodeResult, Defect>) -> bool {
        matches!(seen, Err(Defect::Undecodable { .. }))
    }

    #[test]
    fn every_pixel_of_a_whole_image_is_seen() {
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::WebP,
        ] {
            assert_eq!(seen(&drawn(format)), Ok(DecodeResult::All), "{format:?}");
        }
    }

    #[test]
    fn every_frame_of_an_animation_is_seen() {
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
            assert_eq!(seen(&bytes), Ok(DecodeResult::All));
        }
    }

    #[test]
    fn a_png_whose_pixels_are_not_those_of_its_checksum_is_found() {
        let bytes = drawn(ImageFormat::Png);
        let data = find(&bytes, b"IDAT");
        let length = u32::from_be_bytes(bytes[data - 4..data].try_into().unwrap()) as usize;
        let end = data + 4 + length;
        // The last four bytes of the stream stand for its pixels, the four behind it for the chunk.
        let wrong = patched(&bytes, end - 1, &[bytes[end - 1] ^ 1]);
        let checksum = crc32fast::hash(&wrong[data..end]);
        let wrong = patched(&wrong, end, &checksum.to_be_bytes());
        assert!(is_undecodable(&seen(&wrong)), "{:?}", seen(&wrong));
    }

    #[test]
    fn a_jpeg_whose_scan_holds_no_codes_is_found() {
        let bytes = drawn(ImageFormat::Jpeg);
        // Ones without end are no code of any table; the zeros say that they are no markers.
        let wrong = patched(&bytes, bytes.len() - 80, &[0xFF, 0].repeat(20));
        assert!(is_undecodable(&seen(&wrong)), "{:?}", seen(&wrong));
    }

    #[test]
    fn a_gif_that_lacks_most_of_its_pixels_is_found() {
        let bytes = drawn(ImageFormat::Gif);
        let [width, height] = [WIDTH, HEIGHT].map(|side| side.to_le_bytes()[0]);
        let picture = find(&bytes, &[0x2C, 0, 0, 0, 0, width, 0, height, 0]);
        let colours = bytes[picture + 9];
        let table = if colours & 0x80 == 0 {
            0
        } else {
            6 << (colours & 7)
        };
        let block = picture + 10 + table + 1;
        let wrong = [&bytes[..block], &[5], &bytes[block + 1..block + 6], b"\0;"].concat();
        assert!(is_undecodable(&seen(&wrong)), "{:?}", seen(&wrong));
    }

    #[test]
    fn what_cannot_be_looked_at_is_said_and_is_no_flaw() {
        let [.., (_, avif)] = samples();
        assert!(matches!(seen(&avif), Ok(DecodeResult::None(why)) if why.contains("AVIF")));
        let bytes = drawn(ImageFormat::Jpeg);
        let content = judge(&bytes).unwrap();
        let few = Decoder::new(Limits {
            max_pixels: u64::from(WIDTH * HEIGHT) - 1,
        });
        assert!(
            matches!(few.verify_file(Cursor::new(&bytes), &content), Ok(DecodeResult::None(why)) if why.contains("--max-pixels"))
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
            matches!(any.verify_file(Cursor::new(&bytes), &huge), Ok(DecodeResult::None(why)) if why.contains("MB"))
        );
    }

    /// A file in whose middle a decoder meets a panic.
    struct Trap;

    impl Read for Trap {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("nobody expected this")
        }
    }

    impl Seek for Trap {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[test]
    fn a_decoder_that_panics_says_something_of_the_image_alone() {
        let content = judge(&drawn(ImageFormat::Png)).unwrap();
        let pixels = Decoder::new(Limits::default());
        let seen = looked(&pixels, BufReader::new(Trap), &content);
        assert_eq!(
            seen,
            Err(Defect::Undecodable {
                reason: "its decoder gave up on it".to_owned()
            })
        );
    }

    proptest! {
        #[test]
        fn no_damage_ends_the_program(which in 0..5_usize, damage in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..20)) {
            let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP];
            let mut bytes = formats.get(which).map_or_else(|| samples()[3].1.clone(), |format| drawn(*format));
            let content = judge(&bytes).unwrap();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = looked(&Decoder::new(Limits::default()), Cursor::new(&bytes), &content);
        }
    }
}
