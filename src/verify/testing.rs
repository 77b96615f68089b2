//! Small images, and verification without a file, for the tests of this folder.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::{Defect, Inspector, Limits, formats};
use crate::outcome::{Content, Format};
use crate::part::ByteObserver as _;

pub(super) const WIDTH: u32 = 19;
pub(super) const HEIGHT: u32 = 11;

/// The result for bytes that arrive in one chunk, with their length announced.
pub(super) fn inspect(bytes: &[u8]) -> Result<Content, Defect> {
    inspect_in_chunks(bytes, bytes.len().max(1))
}

pub(super) fn inspect_in_chunks(bytes: &[u8], size: usize) -> Result<Content, Defect> {
    let mut inspector = Inspector::new(Limits::default());
    bytes.chunks(size).for_each(|chunk| inspector.update(chunk));
    inspector.finish(bytes.len() as u64, Some(bytes.len() as u64))
}

/// The bytes with those at `at` replaced.
pub(super) fn patched(bytes: &[u8], at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

/// Where `part` begins in `bytes`.
pub(super) fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes
        .windows(part.len())
        .position(|window| window == part)
        .expect("the part is there")
}

pub(super) fn broken(what: &'static str) -> Result<Content, Defect> {
    Err(Defect::BadStructure { what })
}

/// One valid image of each format, [`WIDTH`] x [`HEIGHT`].
pub(super) fn samples() -> impl Iterator<Item = (Format, Vec<u8>)> {
    Format::ALL.iter().map(|&format| (format, sample(format)))
}

pub(super) fn sample(format: Format) -> Vec<u8> {
    (formats::row(format).sample)()
}

/// A real image, with as many colors as its few pixels allow.
pub(super) fn drawn(format: ImageFormat) -> Vec<u8> {
    let pixel = |x: u32, y: u32| Rgb([x * 13, y * 23, x * y].map(|value| value.to_le_bytes()[0]));
    let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(WIDTH, HEIGHT, pixel));
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, format)
        .expect("an image in memory can be encoded");
    bytes.into_inner()
}

/// As the formats write lengths.
pub(super) fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("it is small")
}
