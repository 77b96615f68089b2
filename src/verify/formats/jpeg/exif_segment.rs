//! Gathers the EXIF metadata of a JPEG: the first `APP1` segment that begins with its name.

use crate::verify::exif;

/// What stands in front of EXIF metadata in its segment.
const NAME: &[u8] = b"Exif\0\0";

/// One segment at a time, until one of them holds EXIF metadata. A segment is bounded by its length
/// field, 64 KB, and is kept only until it ends.
#[derive(Default)]
pub(super) struct ExifSegment {
    bytes: Vec<u8>,
    /// Whether the first one has ended.
    is_found: bool,
    swaps_sides: bool,
}

impl ExifSegment {
    /// Whether none has been seen yet.
    pub(super) fn is_wanted(&self) -> bool {
        !self.is_found
    }

    /// Takes the next bytes of a segment; those of another kind (XMP) are not kept.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut pairs = self.bytes.iter().zip(NAME);
        if pairs.all(|(byte, name)| byte == name) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The segment has ended.
    pub(super) fn finish(&mut self) {
        if let Some(tiff) = self.bytes.strip_prefix(NAME) {
            self.is_found = true;
            self.swaps_sides = exif::orientation(tiff).is_some_and(|turn| turn >= 5);
        }
        self.bytes = Vec::new();
    }

    /// Whether the image is displayed with width and height exchanged.
    pub(super) fn swaps_sides(&self) -> bool {
        self.swaps_sides
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIFF: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";

    #[test]
    fn exif_orientation_is_taken_from_the_first_exif_segment() {
        let mut exif = ExifSegment::default();
        let xmp = b"http://ns.adobe.com/xap/1.0/\0";
        for bytes in xmp.chunks(3) {
            exif.push(bytes);
        }
        exif.finish();
        assert!(exif.is_wanted() && !exif.swaps_sides());
        for bytes in [NAME, TIFF].concat().chunks(4) {
            exif.push(bytes);
        }
        exif.finish();
        assert!(!exif.is_wanted() && exif.swaps_sides());
    }

    #[test]
    fn exif_without_an_orientation_ends_the_search() {
        let mut exif = ExifSegment::default();
        exif.push(NAME);
        exif.push(&TIFF[..8]);
        exif.finish();
        assert!(!exif.is_wanted() && !exif.swaps_sides());
    }
}
