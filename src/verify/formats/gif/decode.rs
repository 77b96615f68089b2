//! Decodes every frame of a GIF. The checker that follows the structure leads here too, so that
//! what it accepts is what is decoded; the crate `weezl` undoes the compression. The crate `gif`
//! was dropped: it refuses frames beyond the screen, images without colors and extensions of other
//! labels, which viewers show, and counts metadata against the memory for pixels.

use std::io::BufRead as _;

use weezl::BitOrder;
use weezl::decode::{Configuration, Decoder};

use super::GifChecker;
use crate::outcome::Content;
use crate::verify::checker::{Checker as _, ParseStop};
use crate::verify::cursor::{ByteCursor, Carry};
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader, Workspace};
use crate::verify::{Defect, Limits};

pub(super) const DECODER: FormatDecoder = FormatDecoder {
    // Pixels are counted and not kept; the tables of the codes take 32 KB.
    memory: |_, _| 256 << 10,
    decode,
};

/// What the checker shows of the frames. For the bytes of a download it is `()`, which sees nothing.
pub(super) trait FrameSink: Send {
    /// A frame of this many pixels begins; its codes have `code_size` bits at first.
    fn begin(&mut self, pixels: u64, code_size: u8);

    /// More of the frame's compressed data.
    fn data(&mut self, bytes: &[u8]) -> Result<(), ParseStop>;

    /// The frame's data have ended.
    fn end(&mut self) -> Result<(), ParseStop>;
}

impl FrameSink for () {
    fn begin(&mut self, _: u64, _: u8) {}

    fn data(&mut self, _: &[u8]) -> Result<(), ParseStop> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), ParseStop> {
        Ok(())
    }
}

/// How many pixels are decoded at a time.
const BATCH: usize = 32 * 1024;

/// Decodes frames and counts their pixels.
struct PixelCounter {
    decoder: Option<Decoder>,
    /// How many pixels the frame lacks.
    missing: u64,
    pixels: Vec<u8>,
}

impl FrameSink for PixelCounter {
    fn begin(&mut self, pixels: u64, code_size: u8) {
        // Data behind the last pixel are not interpreted: viewers do not look at them either.
        let configuration =
            Configuration::new(BitOrder::Lsb, code_size).with_yield_on_full_buffer(true);
        self.decoder = Some(configuration.build());
        self.missing = pixels;
    }

    fn data(&mut self, mut bytes: &[u8]) -> Result<(), ParseStop> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(());
        };
        while self.missing > 0 {
            let room = usize::try_from(self.missing).map_or(BATCH, |missing| missing.min(BATCH));
            let done = decoder.decode_bytes(bytes, &mut self.pixels[..room]);
            self.missing -= done.consumed_out as u64;
            bytes = &bytes[done.consumed_in..];
            match done.status {
                Ok(weezl::LzwStatus::Ok) => {}
                Ok(weezl::LzwStatus::NoProgress | weezl::LzwStatus::Done) => break,
                Err(error) => return Err(undecodable(error.to_string())),
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ParseStop> {
        match self.missing {
            0 => Ok(()),
            missing => Err(undecodable(format!(
                "a frame lacks {missing} of its pixels"
            ))),
        }
    }
}

fn undecodable(reason: String) -> ParseStop {
    Defect::Undecodable { reason }.into()
}

fn decode(mut file: ImageReader<'_>, _: &Content, _: &mut Workspace) -> Result<(), DecodeError> {
    let damaged = |reason: String| Err(DecodeError::Damaged(reason));
    let frames = PixelCounter {
        decoder: None,
        missing: 0,
        pixels: vec![0; BATCH],
    };
    // No frame takes memory for its pixels, so their number is no matter here.
    let limits = Limits {
        max_pixels: u64::MAX,
    };
    let mut checker = GifChecker::new(limits, frames);
    let mut carry = Carry::default();
    loop {
        let chunk = match file.fill_buf() {
            Ok([]) => break,
            Ok(chunk) => chunk,
            Err(error) => return Err(DecodeError::Unsupported(error.to_string())),
        };
        match checker.feed(&mut ByteCursor::new(chunk, &mut carry)) {
            ParseStop::NeedMore => {}
            ParseStop::Ended => return Ok(()),
            ParseStop::Rejected(Defect::Undecodable { reason }) => return damaged(reason),
            ParseStop::Rejected(defect) => return damaged(defect.to_string()),
        }
        let read = chunk.len();
        file.consume(read);
    }
    match checker.end() {
        Some(_) => Ok(()),
        None => damaged("the file ends before the image does".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crate::verify::testing::inspect;
    use crate::verify::{DecodeResult, Decoder, Defect, Limits};

    /// A screen of 2 x 2 with these colors.
    fn screen(flags: u8, colors: &[u8]) -> Vec<u8> {
        [b"GIF89a\x02\0\x02\0", &[flags, 0, 0][..], colors].concat()
    }

    /// A frame at this corner, of this size, with these codes of three bits each: 4 clears the
    /// table, 5 ends the data.
    fn frame(corner: u8, side: u8, codes: &[u8]) -> Vec<u8> {
        let mut bits = 0_u64;
        for (place, &code) in codes.iter().enumerate() {
            bits |= u64::from(code) << (place * 3);
        }
        let length = (codes.len() * 3).div_ceil(8);
        [
            &[0x2C, corner, 0, corner, 0, side, 0, side, 0, 0, 2][..],
            &[u8::try_from(length).unwrap()],
            &bits.to_le_bytes()[..length],
            b"\0",
        ]
        .concat()
    }

    /// Four pixels: codes stay at three bits for that many.
    const FOUR: &[u8] = &[4, 1, 2, 4, 1, 2, 5];

    fn decode(parts: &[Vec<u8>]) -> Result<DecodeResult, Defect> {
        let bytes = [parts.concat(), b";".to_vec()].concat();
        let content = inspect(&bytes).expect("its structure is valid");
        Decoder::new(Limits::default()).decode(Cursor::new(&bytes), &content)
    }

    fn colors() -> Vec<u8> {
        screen(0x80, b"rgbRGB")
    }

    #[test]
    fn gif_metadata_do_not_count_against_the_memory() {
        let text = [
            b"\x21\xfe".to_vec(),
            [&[200][..], &[b'.'; 200]].concat().repeat(50),
            vec![0],
        ];
        let xmp = [
            b"\x21\xff\x0bXMP DataXMP".to_vec(),
            [&[255][..], &[b'x'; 255]].concat().repeat(900),
            vec![0],
        ];
        let result = decode(&[colors(), text.concat(), xmp.concat(), frame(0, 2, FOUR)]);
        assert_eq!(result, Ok(DecodeResult::Complete));
    }

    #[test]
    fn gif_frame_beyond_the_screen_and_without_colors_is_decoded() {
        let larger = frame(0, 3, &[4, 1, 2, 4, 1, 2, 4, 1, 2, 4, 1, 2, 4, 1, 5]);
        for parts in [
            [colors(), frame(1, 2, FOUR)],
            [colors(), larger.clone()],
            [screen(0, b""), frame(0, 2, FOUR)],
            [screen(0, b""), larger],
        ] {
            assert_eq!(decode(&parts), Ok(DecodeResult::Complete));
        }
    }

    #[test]
    fn gif_extension_of_an_unknown_label_is_passed_over() {
        let unknown = b"\x21\x77\x03abc\0".to_vec();
        let plain_text = b"\x21\x01\x0c123456789012\x02hi\0".to_vec();
        let result = decode(&[colors(), unknown, plain_text, frame(0, 2, FOUR)]);
        assert_eq!(result, Ok(DecodeResult::Complete));
    }

    #[test]
    fn data_behind_the_last_pixel_of_a_gif_are_not_decoded() {
        let more = frame(0, 2, &[4, 1, 2, 4, 1, 2, 7, 7, 7]);
        assert_eq!(decode(&[colors(), more]), Ok(DecodeResult::Complete));
        let no_end = frame(0, 2, &[4, 1, 2, 4, 1, 2]);
        assert_eq!(decode(&[colors(), no_end]), Ok(DecodeResult::Complete));
    }

    #[test]
    fn gif_whose_second_frame_lacks_pixels_is_damaged() {
        for (codes, says) in [
            (&[4, 1, 2, 5][..], "lacks 2 of its pixels"),
            (&[4, 1], "lacks 3 of its pixels"),
            (&[4, 1, 7, 7], "invalid code"),
        ] {
            let result = decode(&[colors(), frame(0, 2, FOUR), frame(0, 2, codes)]);
            assert!(
                matches!(&result, Err(Defect::Undecodable { reason }) if reason.contains(says)),
                "{result:?}"
            );
        }
    }
}
