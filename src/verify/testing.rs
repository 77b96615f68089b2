//! Small images of every format, and a judgement without a file, for the tests of this folder.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::{Defect, Inspector, Limits};
use crate::outcome::{Content, Format};
use crate::part::ByteObserver as _;

pub(super) const WIDTH: u32 = 19;
pub(super) const HEIGHT: u32 = 11;

/// Judges bytes that come in one chunk, in order and all of them.
pub(super) fn judge(bytes: &[u8]) -> Result<Content, Defect> {
    judge_in_chunks(bytes, bytes.len().max(1))
}

pub(super) fn judge_in_chunks(bytes: &[u8], size: usize) -> Result<Content, Defect> {
    let mut inspector = Inspector::new(Limits::default());
    bytes.chunks(size).for_each(|chunk| inspector.bytes(chunk));
    inspector.verdict(bytes.len() as u64, Some(bytes.len() as u64))
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

/// One image a format, each [`WIDTH`] x [`HEIGHT`].
pub(super) fn samples() -> [(Format, Vec<u8>); 5] {
    [
        (Format::Png, drawn(ImageFormat::Png)),
        (Format::Jpeg, drawn(ImageFormat::Jpeg)),
        (Format::Gif, drawn(ImageFormat::Gif)),
        (
            Format::Webp,
            webp(&[(b"VP8 ", &lossy_frame()), (b"EXIF", b"odd")]),
        ),
        (Format::Avif, avif()),
    ]
}

/// A real image, with all the colours that its few pixels allow.
pub(super) fn drawn(format: ImageFormat) -> Vec<u8> {
    let pixel = |x: u32, y: u32| Rgb([x * 13, y * 23, x * y].map(|value| value.to_le_bytes()[0]));
    let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(WIDTH, HEIGHT, pixel));
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, format)
        .expect("an image in memory can be encoded");
    bytes.into_inner()
}

/// A RIFF around chunks, padded and counted.
pub(super) fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (kind, data) in chunks {
        body.extend_from_slice(*kind);
        body.extend_from_slice(&length(data).to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"RIFF", &length(&body).to_le_bytes()[..], &body].concat()
}

/// The header of a lossy key frame, and something for its data.
pub(super) fn lossy_frame() -> Vec<u8> {
    let [width, height] =
        [WIDTH, HEIGHT].map(|side| u16::try_from(side).expect("it is small").to_le_bytes());
    [
        &[0x10, 0, 0, 0x9D, 0x01, 0x2A],
        &width[..],
        &height,
        b"\xff\0compressed",
    ]
    .concat()
}

/// A file of one tile each in `ftyp`, `meta` and `mdat`, with an `ispe` for the tiles before that of the image.
pub(super) fn avif() -> Vec<u8> {
    let sizes = [ispe(8, 8), ispe(WIDTH, HEIGHT), ispe(4, 4)].concat();
    let properties = bmff(
        *b"iprp",
        &[bmff(*b"ipco", &sizes), bmff(*b"ipma", b"\0\0\0\0")].concat(),
    );
    let meta = [b"\0\0\0\0".to_vec(), bmff(*b"hdlr", b"pict"), properties].concat();
    let data = bmff(*b"mdat", b"compressed");
    [
        bmff(*b"ftyp", b"mif1\0\0\0\0miafavif"),
        bmff(*b"meta", &meta),
        data,
    ]
    .concat()
}

pub(super) fn ispe(width: u32, height: u32) -> Vec<u8> {
    bmff(
        *b"ispe",
        &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat(),
    )
}

/// A box of an ISO media file.
pub(super) fn bmff(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    [&(length(content) + 8).to_be_bytes()[..], &kind, content].concat()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("it is small")
}
