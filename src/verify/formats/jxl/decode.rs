//! Decodes JPEG XL with `jxl`, the decoder of browsers.

use std::io;

use jxl::api::{Event, JxlBasicInfo, JxlDecoder, JxlDecoderOptions, ProfileLevel};
use jxl::error::Error;

use crate::outcome::Content;
use crate::units::ByteSize;
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader, MEMORY_LIMIT, Workspace};

pub(super) const DECODER: FormatDecoder = FormatDecoder {
    memory: |width, height| {
        let pixels = width.saturating_mul(height);
        let moving = needed(pixels, BYTES_PER_MOVING_PIXEL);
        if moving <= MEMORY_LIMIT {
            moving
        } else {
            needed(pixels, BYTES_PER_PIXEL)
        }
    },
    decode,
};

/// What a still image may take for each pixel: a frame of three colors and alpha. Measured with 24
/// megapixels, a lossy one takes 2 bytes and a lossless one 4 to 5, compressed data included.
const BYTES_PER_PIXEL: u64 = 4 * BYTES_PER_SAMPLE;

const BYTES_PER_SAMPLE: u64 = 4;

/// What an animation takes, whose frames are kept while others are drawn upon them. Measured with
/// three frames of 6 megapixels and alpha: 38 bytes.
const BYTES_PER_MOVING_PIXEL: u64 = 48;

/// What small images take as well: tables and one group of 256 x 256 pixels.
const OVERHEAD: u64 = 4 << 20;

fn needed(pixels: u64, bytes_per_pixel: u64) -> u64 {
    pixels
        .saturating_mul(bytes_per_pixel)
        .saturating_add(OVERHEAD)
}

fn decode(
    mut file: ImageReader<'_>,
    content: &Content,
    workspace: &mut Workspace,
) -> Result<(), DecodeError> {
    let mut options = JxlDecoderOptions::default();
    // The limits of level 10, which a file has to ask for; without this, such a file is refused.
    options.max_profile_level = ProfileLevel::Main10;
    options.skip_preview = false;
    // More channels than four take as much as more pixels.
    options.sample_limit = usize::try_from(workspace.memory / BYTES_PER_SAMPLE).ok();
    let mut decoder = JxlDecoder::new(options);
    loop {
        // Without a buffer for them, the pixels are decoded and not kept.
        match decoder.process(&mut file, None, None) {
            Ok(Event::Complete) => return Ok(()),
            Ok(Event::NeedMoreInput { .. }) => {
                return Err(DecodeError::Damaged(
                    "the codestream ends before the image does".to_owned(),
                ));
            }
            Ok(Event::BasicInfo) => {
                let moves = |info: &JxlBasicInfo| info.animation.is_some();
                if decoder.basic_info().is_some_and(moves) {
                    allow_animation(content, workspace.memory)?;
                }
            }
            Ok(Event::FrameHeader | Event::FrameComplete { .. }) => {}
            Err(error) if is_unsupported(&error) => {
                return Err(DecodeError::Unsupported(error.to_string()));
            }
            Err(error) => return Err(DecodeError::Damaged(error.to_string())),
        }
    }
}

/// Refuses an animation that takes more than `memory` bytes, which are enough for a still image.
fn allow_animation(content: &Content, memory: u64) -> Result<(), DecodeError> {
    let (width, height) = (content.width, content.height);
    let moving = needed(u64::from(width) * u64::from(height), BYTES_PER_MOVING_PIXEL);
    if moving <= memory {
        return Ok(());
    }
    let (moving, limit) = (ByteSize(moving), ByteSize(MEMORY_LIMIT));
    Err(DecodeError::Unsupported(format!(
        "decoding an animation of {width} x {height} pixels takes {moving}, more than the {limit} allowed"
    )))
}

/// Whether this is an error of the decoder's limits or of its use, not of the image.
fn is_unsupported(error: &Error) -> bool {
    match error {
        Error::IOError(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        Error::LevelLimitExceeded { .. }
        | Error::OutOfMemory(_)
        | Error::ImageOutOfMemory(..)
        | Error::ImageSizeTooLarge(..)
        | Error::ImageDimensionTooLarge(_)
        | Error::IccTooLarge
        | Error::PatchesUnsupportedMixedUpsampling(..)
        | Error::PatchesTooMany(..)
        | Error::PatchesRefTooLarge(..)
        | Error::SplinesTooMany(..)
        | Error::SplinesTooManyControlPoints(..)
        | Error::PaletteTooLarge(..)
        | Error::IccUnsupportedTransferFunction
        | Error::IccTableSizeExceeded(_)
        | Error::ApiUsageError(_) => true,
        // The crate may add errors; those of the codestream are the many.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crate::outcome::Content;
    use crate::verify::testing::{inspect, patched};
    use crate::verify::{DecodeResult, Decoder, Defect, Limits};

    // How they were made stands beside the others, in the tests of the checker; these are `-d 1`
    // from a picture with alpha and from a GIF of two frames.
    const BARE: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/bare.jxl");
    const FROM_JPEG: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/from-jpeg.jxl");
    const LOSSY: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/lossy-with-alpha.jxl");
    const ANIMATED: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/animated.jxl");
    const TURNED: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/turned.jxl");

    fn decode(bytes: &[u8]) -> Result<DecodeResult, Defect> {
        let content = inspect(bytes).expect("its structure is valid");
        Decoder::new(Limits::default()).decode(Cursor::new(bytes), &content)
    }

    #[test]
    fn jxl_of_a_real_encoder_is_decoded() {
        for bytes in [BARE, FROM_JPEG, LOSSY, ANIMATED, TURNED] {
            assert_eq!(decode(bytes), Ok(DecodeResult::Complete));
        }
    }

    #[test]
    fn jxl_animation_needs_more_memory_than_a_still_image() {
        let content = Content {
            width: 5000,
            height: 4000,
            ..inspect(ANIMATED).unwrap()
        };
        let decoded = Decoder::new(Limits::default()).decode(Cursor::new(ANIMATED), &content);
        assert!(
            matches!(&decoded, Ok(DecodeResult::NotDecoded(why)) if why.contains("an animation of 5000 x 4000")),
            "{decoded:?}"
        );
        let still = Decoder::new(Limits::default()).decode(Cursor::new(BARE), &content);
        assert_eq!(still, Ok(DecodeResult::Complete));
    }

    #[test]
    fn truncated_jxl_codestream_is_damaged() {
        for bytes in [BARE, LOSSY, ANIMATED] {
            for end in 12..bytes.len() {
                let result = decode(&bytes[..end]);
                assert!(
                    matches!(result, Err(Defect::Undecodable { .. })),
                    "cut at {end} of {}: {result:?}",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn jxl_with_a_hole_of_zeros_is_damaged() {
        let result = decode(&patched(BARE, 80, &[0; 40]));
        assert!(
            matches!(result, Err(Defect::Undecodable { .. })),
            "{result:?}"
        );
    }
}
