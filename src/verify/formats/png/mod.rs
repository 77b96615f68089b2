//! PNG: a signature, then chunks with checksums, `IHDR` first and `IEND` last.

mod animation;
mod decode;

use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::limits::Dimensions;
use crate::verify::{Defect, Limits, exif};

use super::FormatRow;
use crate::outcome::{ChunkName, ImageWarning};

pub(super) static ROW: FormatRow = FormatRow {
    signatures: &[b"\x89PNG\r\n\x1a\n"],
    checker: |limits| Box::new(PngChecker::new(limits)),
    decoder: Ok(decode::DECODER),
    #[cfg(test)]
    sample: || crate::verify::testing::drawn(image::ImageFormat::Png),
};

struct PngChecker {
    limits: Limits,
    state: State,
    kind: [u8; 4],
    checksum: crc32fast::Hasher,
    fields: [u8; 13],
    size: Option<Dimensions>,
    has_palette: bool,
    has_pixels: bool,
    warning: Option<ImageWarning>,
    /// The content of `eXIf`, as much of it as is kept.
    exif: Vec<u8>,
}

enum State {
    Signature,
    Header,
    Fields,
    Data { left: u64 },
    Checksum,
    Ended,
}

/// The longest chunk that the specification allows, in bytes (PNG, section 5.3).
const LONGEST_CHUNK: u32 = (1 << 31) - 1;

/// How much of an `eXIf` chunk is kept, in bytes: as much as a JPEG can hold. The orientation stands near
/// the front.
const LONGEST_EXIF: usize = 64 << 10;

impl PngChecker {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Signature,
            kind: [0; 4],
            checksum: crc32fast::Hasher::new(),
            fields: [0; 13],
            size: None,
            has_palette: false,
            has_pixels: false,
            warning: None,
            exif: Vec::new(),
        }
    }

    fn header(&mut self, length: u32, kind: [u8; 4]) -> Result<State, ParseStop> {
        if length > LONGEST_CHUNK {
            return Err(ParseStop::broken(
                "a PNG chunk longer than the format allows",
            ));
        }
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(ParseStop::broken(
                "a PNG chunk whose name is not four letters",
            ));
        }
        self.kind = kind;
        self.checksum = crc32fast::Hasher::new();
        self.checksum.update(&kind);
        match (&kind, self.size) {
            (b"IHDR", None) if length == 13 => Ok(State::Fields),
            (b"IHDR", _) => Err(ParseStop::broken(
                "a second PNG `IHDR`, or one with a wrong length",
            )),
            (_, None) => Err(ParseStop::broken("a PNG that does not begin with `IHDR`")),
            (b"IEND", _) if length > 0 => Err(ParseStop::broken("a PNG `IEND` that is not empty")),
            (b"IEND", _) if !self.has_pixels => Err(ParseStop::broken("a PNG without `IDAT`")),
            // At most one (PNG, third edition, section 5.6); decoders refuse the second.
            (b"PLTE", _) if self.has_palette => {
                Err(ParseStop::broken("a PNG with a second `PLTE`"))
            }
            _ => {
                self.has_palette |= kind == *b"PLTE";
                self.has_pixels |= kind == *b"IDAT" && length > 0;
                Ok(State::Data {
                    left: u64::from(length),
                })
            }
        }
    }

    /// The state after a chunk with a right checksum.
    fn chunk_ended(&mut self) -> Result<State, ParseStop> {
        match &self.kind {
            b"IHDR" => self.size = Some(self.declared()?),
            b"IEND" => return Ok(State::Ended),
            _ => {}
        }
        Ok(State::Header)
    }

    fn declared(&self) -> Result<Dimensions, ParseStop> {
        let [
            w0,
            w1,
            w2,
            w3,
            h0,
            h1,
            h2,
            h3,
            depth,
            color_type,
            compression,
            filter,
            interlace,
        ] = self.fields;
        let depth_fits = match color_type {
            0 => matches!(depth, 1 | 2 | 4 | 8 | 16),
            2 | 4 | 6 => matches!(depth, 8 | 16),
            3 => matches!(depth, 1 | 2 | 4 | 8),
            _ => false,
        };
        if !depth_fits || compression != 0 || filter != 0 || interlace > 1 {
            return Err(ParseStop::broken(
                "a PNG `IHDR` with values that the format does not allow",
            ));
        }
        Ok(self.limits.allow(
            u32::from_be_bytes([w0, w1, w2, w3]),
            u32::from_be_bytes([h0, h1, h2, h3]),
        )?)
    }
}

impl Checker for PngChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::Signature => {
                input.record::<8>()?;
                State::Header
            }
            State::Header => {
                let [l0, l1, l2, l3, kind @ ..] = input.record::<8>()?;
                self.header(u32::from_be_bytes([l0, l1, l2, l3]), kind)?
            }
            State::Fields => {
                self.fields = input.record()?;
                self.checksum.update(&self.fields);
                State::Checksum
            }
            State::Data { ref mut left } => {
                let is_exif = self.kind == *b"eXIf";
                input.take(left, |slice| {
                    self.checksum.update(slice);
                    if is_exif {
                        let room = LONGEST_EXIF - self.exif.len();
                        self.exif.extend_from_slice(&slice[..slice.len().min(room)]);
                    }
                })?;
                State::Checksum
            }
            State::Checksum => {
                let written = u32::from_be_bytes(input.record()?);
                if self.checksum.clone().finalize() != written {
                    if !is_expendable(self.kind) {
                        let chunk = self.kind.escape_ascii().to_string();
                        return Err(Defect::BadChecksum { chunk }.into());
                    }
                    if self.kind == *b"eXIf" {
                        self.exif.clear();
                    }
                    let chunk = ChunkName(self.kind);
                    self.warning
                        .get_or_insert(ImageWarning::BadAncillaryChecksum { chunk });
                }
                self.chunk_ended()?
            }
            State::Ended => return Err(ParseStop::Ended),
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        self.size.filter(|_| matches!(self.state, State::Ended))
    }

    fn displayed(&self) -> Option<Dimensions> {
        let is_turned = exif::orientation(&self.exif).is_some_and(|turn| turn >= 5);
        self.size.filter(|_| is_turned).map(Dimensions::turned)
    }

    fn warning(&self) -> Option<ImageWarning> {
        self.warning
    }
}

/// Whether decoders show the whole image without this chunk: an ancillary one, whose name begins with a lower-case
/// letter (PNG, third edition, sections 5.4 and 13.2). The chunks of an animation are ancillary too, and hold its
/// pixels; and the name of a critical chunk with one bit flipped looks ancillary.
fn is_expendable(kind: [u8; 4]) -> bool {
    let holds_pixels = matches!(&kind, b"acTL" | b"fcTL" | b"fdAT")
        || matches!(
            &kind.map(|letter| letter.to_ascii_uppercase()),
            b"IHDR" | b"PLTE" | b"IDAT" | b"IEND"
        );
    kind[0].is_ascii_lowercase() && !holds_pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{HEIGHT, WIDTH, broken, drawn, find, inspect, patched};

    fn drawn_png() -> Vec<u8> {
        drawn(image::ImageFormat::Png)
    }

    fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
        let checksum = crc32fast::hash(&[&kind, data].concat());
        let length = u32::try_from(data.len()).unwrap();
        [
            &length.to_be_bytes()[..],
            &kind,
            data,
            &checksum.to_be_bytes(),
        ]
        .concat()
    }

    fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
        [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
    }

    fn ihdr(width: u32, height: u32, rest: [u8; 5]) -> Vec<u8> {
        chunk(
            *b"IHDR",
            &[&width.to_be_bytes()[..], &height.to_be_bytes(), &rest].concat(),
        )
    }

    const PLAIN: [u8; 5] = [8, 2, 0, 0, 0];

    #[test]
    fn png_with_any_flipped_bit_is_rejected() {
        let bytes = drawn_png();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let flipped = patched(&bytes, at, &[bytes[at] ^ 1 << bit]);
                assert!(inspect(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn wrong_crc_of_an_ancillary_chunk_is_a_warning_and_of_any_other_a_defect() {
        let drawn = drawn_png();
        let (head, rest) = drawn.split_at(find(&drawn, b"IDAT") - 4);
        for (kind, is_kept) in [
            (*b"iCCP", true),
            (*b"tEXt", true),
            (*b"eXIf", true),
            (*b"prVt", true),
            (*b"PLTE", false),
            (*b"ABCD", false),
            (*b"acTL", false),
            (*b"fcTL", false),
            (*b"fdAT", false),
            (*b"iDAT", false),
        ] {
            let mut wrong = chunk(kind, b"data");
            wrong[13] ^= 1;
            // A second one, so that the first is seen to be the one that is named.
            let mut second = chunk(*b"tIME", b"");
            second[11] ^= 1;
            let bytes = [head, &wrong, &second, rest].concat();
            let warning = ImageWarning::BadAncillaryChecksum {
                chunk: ChunkName(kind),
            };
            let defect = Defect::BadChecksum {
                chunk: kind.escape_ascii().to_string(),
            };
            let result = inspect(&bytes).map(|content| content.warning);
            let expected = if is_kept {
                Ok(Some(warning))
            } else {
                Err(defect)
            };
            assert_eq!(result, expected);
        }
    }

    #[test]
    fn png_with_a_second_palette_is_rejected() {
        let drawn = drawn_png();
        let (head, rest) = drawn.split_at(find(&drawn, b"IDAT") - 4);
        let (data, end) = rest.split_at(rest.len() - 12);
        let palette = chunk(*b"PLTE", &[1, 2, 3]);
        assert!(inspect(&[head, &palette, rest].concat()).is_ok());
        for twice in [
            [head, &palette, &palette, rest].concat(),
            [head, &palette, data, &palette, end].concat(),
        ] {
            let rejected = inspect(&twice);
            assert_eq!(rejected, broken("a PNG with a second `PLTE`"));
        }
    }

    #[test]
    fn png_is_displayed_as_its_exif_chunk_says() {
        let drawn = drawn_png();
        let (head, rest) = drawn.split_at(find(&drawn, b"IDAT") - 4);
        for orientation in 1..=8 {
            let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
            tiff.extend([orientation, 0, 0, 0, 0, 0, 0]);
            let mut exif = chunk(*b"eXIf", &tiff);
            let content = inspect(&[head, &exif, rest].concat()).unwrap();
            let is_turned = orientation >= 5;
            let displayed = if is_turned {
                (HEIGHT, WIDTH)
            } else {
                (WIDTH, HEIGHT)
            };
            assert_eq!((content.width, content.height), displayed);
            assert_eq!(content.stored.is_some(), is_turned);
            // Decoders drop the chunk with a wrong checksum.
            let last = exif.len() - 1;
            exif[last] ^= 1;
            let content = inspect(&[head, &exif, rest].concat()).unwrap();
            assert_eq!((content.width, content.height), (WIDTH, HEIGHT));
        }
    }

    #[test]
    fn wrong_crc_names_its_chunk() {
        let bytes = drawn_png();
        let data = find(&bytes, b"IDAT") + 6;
        let defect = inspect(&patched(&bytes, data, &[!bytes[data]])).unwrap_err();
        assert_eq!(
            defect,
            Defect::BadChecksum {
                chunk: "IDAT".to_owned()
            }
        );
        assert_eq!(defect.to_string(), "the checksum of chunk `IDAT` is wrong");
    }

    #[test]
    fn declared_png_size_is_checked_against_max_pixels() {
        let huge = png(&[
            ihdr(65535, 65535, PLAIN),
            chunk(*b"IDAT", b"x"),
            chunk(*b"IEND", b""),
        ]);
        let defect = Defect::TooManyPixels {
            width: 65535,
            height: 65535,
            limit: 200_000_000,
        };
        assert_eq!(inspect(&huge), Err(defect));
        let endless = png(&[ihdr(u32::MAX, u32::MAX, PLAIN)]);
        assert!(matches!(
            inspect(&endless),
            Err(Defect::TooManyPixels {
                width: u32::MAX,
                ..
            })
        ));
        let empty = png(&[ihdr(0, 5, PLAIN)]);
        assert_eq!(
            inspect(&empty),
            Err(Defect::NoPixels {
                width: 0,
                height: 5
            })
        );
    }

    #[test]
    fn png_chunks_out_of_order_are_rejected() {
        let (head, data, end) = (
            ihdr(5, 5, PLAIN),
            chunk(*b"IDAT", b"x"),
            chunk(*b"IEND", b""),
        );
        let with_text = png(&[
            head.clone(),
            chunk(*b"tEXt", b""),
            data.clone(),
            end.clone(),
        ]);
        assert!(inspect(&with_text).is_ok());
        let cases = [
            (
                png(&[data.clone(), end.clone()]),
                "a PNG that does not begin with `IHDR`",
            ),
            (
                png(&[head.clone(), head.clone()]),
                "a second PNG `IHDR`, or one with a wrong length",
            ),
            (
                png(&[chunk(*b"IHDR", b"short")]),
                "a second PNG `IHDR`, or one with a wrong length",
            ),
            (png(&[head.clone(), end.clone()]), "a PNG without `IDAT`"),
            (
                png(&[head.clone(), chunk(*b"IDAT", b""), end]),
                "a PNG without `IDAT`",
            ),
            (
                png(&[head.clone(), data, chunk(*b"IEND", b"x")]),
                "a PNG `IEND` that is not empty",
            ),
            (
                png(&[head.clone(), chunk(*b"ID T", b"x")]),
                "a PNG chunk whose name is not four letters",
            ),
            (
                png(&[head, b"\x80\0\0\0IDAT".to_vec()]),
                "a PNG chunk longer than the format allows",
            ),
        ];
        for (bytes, what) in cases {
            assert_eq!(inspect(&bytes), broken(what));
        }
    }

    #[test]
    fn invalid_ihdr_fields_are_rejected() {
        let accepted = |fields| {
            inspect(&png(&[
                ihdr(5, 5, fields),
                chunk(*b"IDAT", b"x"),
                chunk(*b"IEND", b""),
            ]))
            .is_ok()
        };
        for good in [
            [16, 6, 0, 0, 1],
            [1, 3, 0, 0, 0],
            [1, 0, 0, 0, 0],
            [8, 4, 0, 0, 0],
        ] {
            assert!(accepted(good), "{good:?}");
        }
        for bad in [
            [16, 3, 0, 0, 0],
            [4, 2, 0, 0, 0],
            [8, 1, 0, 0, 0],
            [8, 2, 1, 0, 0],
            [8, 2, 0, 1, 0],
            [8, 2, 0, 0, 2],
        ] {
            assert!(!accepted(bad), "{bad:?}");
        }
    }
}
