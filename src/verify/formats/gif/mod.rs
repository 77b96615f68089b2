//! GIF 87a and 89a: a screen, then images and extensions in sub-blocks, then a trailer.

mod decode;

use super::FormatRow;
use crate::verify::Limits;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::limits::Dimensions;
use decode::FrameSink;

pub(super) static ROW: FormatRow = FormatRow {
    signatures: &[b"GIF87a", b"GIF89a"],
    checker: |limits| Box::new(GifChecker::new(limits, ())),
    decoder: Ok(decode::DECODER),
    #[cfg(test)]
    sample: || crate::verify::testing::drawn(image::ImageFormat::Gif),
};

/// Accepts still and animated images, and shows their frames to `frames`.
struct GifChecker<F> {
    limits: Limits,
    state: State,
    screen: Dimensions,
    /// The screen, enlarged by the first frame; none before that frame.
    displayed: Option<Dimensions>,
    has_image: bool,
    /// How many pixels the current frame has.
    frame_pixels: u64,
    frames: F,
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
    /// The same behind a zero byte that is no part of a block. Some encoders write one after a frame or in place of the
    /// trailer; viewers show what came before.
    BlockAfterZero,
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

impl<F> GifChecker<F> {
    fn new(limits: Limits, frames: F) -> Self {
        Self {
            limits,
            state: State::Screen,
            screen: Dimensions {
                width: 0,
                height: 0,
            },
            displayed: None,
            has_image: false,
            frame_pixels: 0,
            frames,
        }
    }

    fn block(&self, introducer: u8) -> Result<State, ParseStop> {
        match introducer {
            0x00 if self.has_image => Ok(State::BlockAfterZero),
            0x21 => Ok(State::ExtensionLabel),
            0x2C => Ok(State::Descriptor),
            0x3B if self.has_image => Ok(State::Ended),
            0x3B => Err(ParseStop::broken("a GIF without an image")),
            _ => Err(ParseStop::broken("a GIF block of an unknown kind")),
        }
    }

    /// The first frame enlarges the screen where it does not fit, as viewers make room for it; later ones are clipped.
    /// A frame without pixels stands for one as large as the screen. Browsers do both.
    fn frame(&mut self, left: u16, top: u16, width: u16, height: u16) -> Result<(), ParseStop> {
        if self.displayed.is_none() {
            let extent = |offset: u16, side: u16| u32::from(offset) + u32::from(side);
            self.displayed = Some(self.limits.allow(
                self.screen.width.max(extent(left, width)),
                self.screen.height.max(extent(top, height)),
            )?);
        }
        // Decoders allocate a whole frame, also where it is clipped.
        if width > 0 && height > 0 {
            self.limits.allow(width.into(), height.into())?;
        }
        Ok(())
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

impl<F: FrameSink> Checker for GifChecker<F> {
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
                self.screen = Dimensions {
                    width: width.into(),
                    height: height.into(),
                };
                // A screen of 0 x 0 is filled by the first frame.
                if self.screen.pixels() > 0 {
                    self.limits.allow(self.screen.width, self.screen.height)?;
                }
                color_table(flags, AfterColorTable::Block)
            }
            State::ColorTable { ref mut left, then } => {
                input.skip(left)?;
                match then {
                    AfterColorTable::Block => State::Block,
                    AfterColorTable::CodeSize => State::CodeSize,
                }
            }
            State::Block | State::BlockAfterZero => {
                let [introducer] = input.record()?;
                self.block(introducer)?
            }
            State::ExtensionLabel => {
                input.record::<1>()?;
                State::SubBlock { image: false }
            }
            State::Descriptor => {
                let [l0, l1, t0, t1, w0, w1, h0, h1, flags] = input.record()?;
                let [left, top, width, height] =
                    [[l0, l1], [t0, t1], [w0, w1], [h0, h1]].map(u16::from_le_bytes);
                self.frame(left, top, width, height)?;
                self.frame_pixels = u64::from(width) * u64::from(height);
                color_table(flags, AfterColorTable::CodeSize)
            }
            State::CodeSize => match input.record()? {
                [code_size @ 1..=LARGEST_CODE_SIZE] => {
                    self.frames.begin(self.frame_pixels, code_size);
                    State::SubBlock { image: true }
                }
                [_] => {
                    return Err(ParseStop::broken(
                        "a GIF image with an impossible code size",
                    ));
                }
            },
            State::SubBlock { image } => match input.record()? {
                [0] => {
                    if image {
                        self.frames.end()?;
                    }
                    State::Block
                }
                [length] => State::SubBlockData {
                    left: length.into(),
                    image,
                },
            },
            State::SubBlockData {
                ref mut left,
                image,
            } => {
                let mut seen = Ok(());
                let all = input.take(left, |slice| {
                    if image {
                        seen = self.frames.data(slice);
                    }
                });
                seen.and(all)?;
                self.has_image |= image;
                State::SubBlock { image }
            }
            State::Ended => return Err(ParseStop::Ended),
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        let size = self.displayed?;
        let stored = if self.screen.pixels() > 0 {
            self.screen
        } else {
            size
        };
        matches!(self.state, State::Ended | State::BlockAfterZero).then_some(stored)
    }

    fn displayed(&self) -> Option<Dimensions> {
        self.displayed
    }

    /// Without a trailer nothing but the announced length says that no frame is missing.
    fn knows_its_end(&self) -> bool {
        !matches!(self.state, State::BlockAfterZero)
    }
}

#[cfg(test)]
mod tests {
    use crate::part::ByteObserver as _;
    use crate::verify::testing::{broken, inspect, patched};
    use crate::verify::{Defect, Inspector, Limits};

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
        let cases: [(&[&[u8]], _); 6] = [
            (&[b";"], "a GIF without an image"),
            (&[EXTENSION, b";"], "a GIF without an image"),
            (&[&without_data, b";"], "a GIF without an image"),
            (&[IMAGE, b"x;"], "a GIF block of an unknown kind"),
            (&[b"\0", IMAGE, b";"], "a GIF block of an unknown kind"),
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
        // The screen has none and the frame has none.
        let blank = patched(&gif(&[&patched(IMAGE, 5, &[0; 4]), b";"]), 6, &[0; 4]);
        assert_eq!(
            inspect(&blank),
            Err(Defect::NoPixels {
                width: 0,
                height: 0
            })
        );
    }

    #[test]
    fn zero_bytes_between_gif_blocks_are_skipped_and_may_stand_for_the_trailer() {
        for pieces in [
            [IMAGE, b"\0\0", IMAGE, b"\0;"],
            [IMAGE, b"\0", EXTENSION, b"\0;"],
        ] {
            assert!(inspect(&gif(&pieces)).is_ok());
        }
        let open = gif(&[IMAGE, b"\0"]);
        assert!(inspect(&open).is_ok());
        let mut inspector = Inspector::new(Limits::default());
        inspector.update(&open);
        let without_length = inspector.finish(open.len() as u64, None);
        assert_eq!(without_length, Err(Defect::EndUnknown));
        let cut = gif(&[&IMAGE[..IMAGE.len() - 2], b"\0"]);
        assert_eq!(inspect(&cut), Err(Defect::Truncated));
    }

    #[test]
    fn first_gif_frame_enlarges_its_screen() {
        let size = |bytes: &[u8]| {
            let content = inspect(bytes).unwrap();
            let stored = content.stored.map(|size| (size.width, size.height));
            ((content.width, content.height), stored)
        };
        // At 3, 4 and 7 x 5 large, on a screen of 7 x 5.
        let moved = patched(IMAGE, 1, &[3, 0, 4, 0]);
        assert_eq!(size(&gif(&[&moved, b";"])), ((10, 9), Some((7, 5))));
        assert_eq!(size(&gif(&[IMAGE, &moved, b";"])), ((7, 5), None));
        // A screen of 0 x 0 is no size that anything is displayed at.
        let no_screen = patched(&gif(&[&moved, b";"]), 6, &[0; 4]);
        assert_eq!(size(&no_screen), ((10, 9), None));
        // A frame without pixels is as large as the screen.
        let no_frame = patched(IMAGE, 5, &[0; 4]);
        assert_eq!(size(&gif(&[&no_frame, b";"])), ((7, 5), None));
    }
}
