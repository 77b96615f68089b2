//! JPEG (ITU-T T.81): marker segments, and scans of entropy-coded data in which only a marker
//! begins with `FF`.
//!
//! `checker` follows the markers while the bytes pass; `decode` walks the entropy codes of a file,
//! which shows whether a scan holds all that its frame says, without making a single pixel.

mod checker;
mod decode;
mod entropy;
mod exif_segment;
mod frame;
mod huffman;
mod picture;
mod scan;

use super::FormatRow;
use crate::verify::decode::DecodeError;
use checker::JpegChecker;

pub(super) static ROW: FormatRow = FormatRow {
    signatures: &[b"\xff\xd8\xff"],
    checker: |limits| Box::new(JpegChecker::new(limits)),
    decoder: Ok(decode::DECODER),
    #[cfg(test)]
    sample: || crate::verify::testing::drawn(image::ImageFormat::Jpeg),
};

/// The image's bytes are wrong.
fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged(reason.to_owned())
}
