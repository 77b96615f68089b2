//! GIF 87a and 89a: a screen, then images and extensions in sub-blocks, then a trailer.

use std::num::NonZeroU64;

use super::FormatRow;
use crate::outcome::Content;
use crate::verify::Limits;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader};
use crate::verify::limits::Dimensions;

pub(super) static ROW: FormatRow = FormatRow {
    name: "GIF",
    signatures: &[b"GIF87a", b"GIF89a"],
    checker: |limits| Box::new(GifChecker::new(limits)),
    decoder: Some(FormatDecoder {
        memory: |width, height| width.saturating_mul(height).saturating_mul(2),
        decode,
    }),
    #[cfg(test)]
    sample: || crate::verify::testing::drawn(image::ImageFormat::Gif),
};

/// Accepts still and animated images.
struct GifChecker {
    limits: Limits,
    state: State,
    size: Option<Dimensions>,
    has_image: bool,
}

#[derive(Clone, Copy)]
enum State {
    Screen,
    ColorTable {
        left: u64,
        then: AfterColorTable,
    },
    /// Expects the byte that tells the kind of the next block.
    Block,
    ExtensionLabel,
    Descriptor,
    /// Expects the first byte of an image's data.
    CodeSize,
    /// Expects the length of a sub-block, which holds an image's data if `image` is true.
    SubBlock {
        image: bool,
    },
    SubBlockData {
        left: u64,
        image: bool,
    },
    Ended,
}

#[derive(Clone, Copy)]
enum AfterColorTable {
    Block,
    CodeSize,
}

/// The largest initial code size: LZW codes have 12 bits at most, one more than this.
const LARGEST_CODE_SIZE: u8 = 11;

impl GifChecker {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Screen,
            size: None,
            has_image: false,
        }
    }

    fn block(&self, introducer: u8) -> Result<State, ParseStop> {
        match introducer {
            0x21 => Ok(State::ExtensionLabel),
            0x2C => Ok(State::Descriptor),
            0x3B if self.has_image => Ok(State::Ended),
            0x3B => Err(ParseStop::broken("a GIF without an image")),
            _ => Err(ParseStop::broken("a GIF block of an unknown kind")),
        }
    }
}

/// The color table that `flags` announce; an empty one if they announce none.
fn color_table(flags: u8, then: AfterColorTable) -> State {
    let left = if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 0x07) + 1)
    };
    State::ColorTable { left, then }
}

impl Checker for GifChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::Screen => {
                let [
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    w0,
                    w1,
                    h0,
                    h1,
                    flags,
                    _background,
                    _aspect,
                ] = input.record::<13>()?;
                let (width, height) = (u16::from_le_bytes([w0, w1]), u16::from_le_bytes([h0, h1]));
                self.size = Some(self.limits.allow(width.into(), height.into())?);
                color_table(flags, AfterColorTable::Block)
            }
            State::ColorTable { ref mut left, then } => {
                input.skip(left)?;
                match then {
                    AfterColorTable::Block => State::Block,
                    AfterColorTable::CodeSize => State::CodeSize,
                }
            }
            State::Block => {
                let [introducer] = input.record()?;
                self.block(introducer)?
            }
            State::ExtensionLabel => {
                input.record::<1>()?;
                State::SubBlock { image: false }
            }
            State::Descriptor => {
                let [_, _, _, _, w0, w1, h0, h1, flags] = input.record()?;
                // A frame may be larger than the screen, and viewers then allocate that much.
                self.limits.allow(
                    u16::from_le_bytes([w0, w1]).into(),
                    u16::from_le_bytes([h0, h1]).into(),
                )?;
                color_table(flags, AfterColorTable::CodeSize)
            }
            State::CodeSize => match input.record()? {
                [1..=LARGEST_CODE_SIZE] => State::SubBlock { image: true },
                [_] => {
                    return Err(ParseStop::broken(
                        "a GIF image with an impossible code size",
                    ));
                }
            },
            State::SubBlock { image } => match input.record()? {
                [0] => State::Block,
                [length] => State::SubBlockData {
                    left: length.into(),
                    image,
                },
            },
            State::SubBlockData {
                ref mut left,
                image,
            } => {
                input.skip(left)?;
                self.has_image |= image;
                State::SubBlock { image }
            }
            State::Ended => return Err(ParseStop::Ended),
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        self.size.filter(|_| matches!(self.state, State::Ended))
    }
}

fn decode(file: ImageReader<'_>, _: &Content, memory: u64) -> Result<(), DecodeError> {
    let read = || {
        let mut options = gif::DecodeOptions::new();
        // A frame that is larger than the whole image is no valid frame.
        options.set_memory_limit(
            NonZeroU64::new(memory).map_or(gif::MemoryLimit::Unlimited, gif::MemoryLimit::Bytes),
        );
        let mut decoder = options.read_info(file)?;
        while decoder.read_next_frame()?.is_some() {}
        Ok(())
    };
    read().map_err(|error: gif::DecodingError| DecodeError::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use crate::verify::Defect;
    use crate::verify::testing::{broken, inspect, patched};

    const SCREEN: &[u8] = b"GIF87a\x07\0\x05\0\x80\0\0rgbRGB";
    const IMAGE: &[u8] = b"\x2c\0\0\0\0\x07\0\x05\0\x81rgbRGBrgbRGB\x02\x03\x3b\x3b\x3b\x01!\0";
    const EXTENSION: &[u8] = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0";

    fn gif(pieces: &[&[u8]]) -> Vec<u8> {
        [SCREEN, &pieces.concat()[..]].concat()
    }

    #[test]
    fn animated_gif_ends_at_its_trailer_only() {
        let bytes = gif(&[EXTENSION, IMAGE, b"\x21\xfe\x02;;\0", IMAGE, b";"]);
        let content = inspect(&bytes).unwrap();
        assert_eq!((content.width, content.height), (7, 5));
        for end in 1..bytes.len() {
            assert_eq!(
                inspect(&bytes[..end]),
                Err(Defect::Truncated),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn invalid_gif_blocks_are_rejected() {
        let without_data = [&IMAGE[..23], b"\0"].concat();
        let cases: [(&[&[u8]], _); 5] = [
            (&[b";"], "a GIF without an image"),
            (&[EXTENSION, b";"], "a GIF without an image"),
            (&[&without_data, b";"], "a GIF without an image"),
            (&[IMAGE, b"\0;"], "a GIF block of an unknown kind"),
            (
                &[&patched(IMAGE, 22, &[12])],
                "a GIF image with an impossible code size",
            ),
        ];
        for (pieces, what) in cases {
            assert_eq!(inspect(&gif(pieces)), broken(what));
        }
    }

    #[test]
    fn gif_frame_larger_than_its_screen_is_checked_against_max_pixels() {
        let huge = patched(IMAGE, 5, &[0xff; 4]);
        let defect = Defect::TooManyPixels {
            width: 65535,
            height: 65535,
            limit: 200_000_000,
        };
        assert_eq!(inspect(&gif(&[&huge, b";"])), Err(defect));
        let blank = patched(&gif(&[IMAGE, b";"]), 6, &[0, 0]);
        assert_eq!(
            inspect(&blank),
            Err(Defect::NoPixels {
                width: 0,
                height: 5
            })
        );
    }
}
