//! The image formats: one file for each, and the table that leads from a [`Format`] to its file.
//!
//! To add a format: its variant in `outcome::Format`, a file here with its `ROW`, and its `mod` and
//! its arm in [`row`]. A variant without an arm does not compile; the signature, the checker, the
//! decoder and the shared tests follow the row.

mod avif;
mod gif;
mod jpeg;
mod jxl;
mod png;
mod webp;

use super::Limits;
use super::checker::Checker;
use super::decode::FormatDecoder;
use crate::outcome::Format;

/// What verification needs to know of one format.
pub(super) struct FormatRow {
    /// What its files begin with, one of these; `?` stands for any byte.
    signatures: &'static [&'static [u8]],
    /// Makes a checker of its structure. It is boxed: an enum of all checkers would save one
    /// allocation an image, and would have to name every checker outside its own file.
    pub(super) checker: fn(Limits) -> Box<dyn Checker>,
    /// Where there is none, what to say of that.
    pub(super) decoder: Result<FormatDecoder, &'static str>,
    /// A small valid image, for the tests that every format has to pass.
    #[cfg(test)]
    pub(super) sample: fn() -> Vec<u8>,
}

/// The table's row of `format`.
pub(super) fn row(format: Format) -> &'static FormatRow {
    match format {
        Format::Png => &png::ROW,
        Format::Jpeg => &jpeg::ROW,
        Format::Gif => &gif::ROW,
        Format::Webp => &webp::ROW,
        Format::Avif => &avif::ROW,
        Format::Jxl => &jxl::ROW,
    }
}

/// Images in formats that are not supported, by their first bytes: named in the message instead of
/// "unknown". An entry goes when its format gets a row.
pub(super) const UNSUPPORTED: &[(&[u8], &str)] = &[
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\0\0\x01\0", "an icon"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"II\xbc\x01", "a JPEG XR image"),
    (b"gimp xcf", "a GIMP document"),
    (b"qoif", "a QOI image"),
    (b"FLV\x01", "a video"),
    (b"OggS", "an Ogg media file"),
];

/// What the first bytes of a file say.
pub(super) enum SignatureMatch {
    /// The signature of this format.
    Full(Format),
    /// The beginning of a signature: it takes more bytes to tell.
    Partial,
    /// No supported format begins like this.
    None,
}

/// Compares the first bytes of a file with the signatures of all formats.
pub(super) fn recognize(head: &[u8]) -> SignatureMatch {
    let agrees = |signature: &[u8]| {
        let mut pairs = signature.iter().zip(head);
        pairs.all(|(&want, &byte)| want == b'?' || want == byte)
    };
    for &format in Format::ALL {
        let mut signatures = row(format).signatures.iter();
        if let Some(signature) = signatures.find(|signature| agrees(signature)) {
            return if head.len() < signature.len() {
                SignatureMatch::Partial
            } else {
                SignatureMatch::Full(format)
            };
        }
    }
    SignatureMatch::None
}
