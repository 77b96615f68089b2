//! AVIF: nested boxes without an end mark. A file may end at the border of any outermost box once
//! all required boxes were seen.

use super::FormatRow;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::limits::Dimensions;
use crate::verify::{Defect, Limits};

pub(super) static ROW: FormatRow = FormatRow {
    name: "AVIF",
    signatures: &[b"\0\0??ftyp"],
    checker: |limits| Box::new(AvifChecker::new(limits)),
    decoder: None,
    #[cfg(test)]
    sample: tests::sample,
};

/// Bytes behind the last required box must form boxes as well: without an end mark, other bytes
/// cannot be distinguished from a truncated box.
struct AvifChecker {
    limits: Limits,
    state: State,
    has_avif_brand: bool,
    /// How many boxes of [`PATH`] are open.
    depth: usize,
    /// Bytes left in each open box behind the current one; the first entry is the file, whose
    /// length is unknown.
    left: [u64; PATH.len()],
    size: Option<Dimensions>,
    has_data: bool,
    /// Whether the last box has no length and ends with the file.
    open_ended: bool,
}

#[derive(Clone, Copy)]
enum State {
    FileType,
    Brand {
        left: u64,
        major: [u8; 4],
    },
    Header,
    LongHeader {
        kind: [u8; 4],
    },
    MetaVersion,
    Dimensions {
        left: u64,
    },
    Content {
        left: u64,
    },
    /// In a box that ends with the file.
    ToTheEnd,
}

/// The path to an image's size: each box is inside the one before.
const PATH: [[u8; 4]; 4] = [*b"meta", *b"iprp", *b"ipco", *b"ispe"];

const HEADER: u64 = 8;
const LONG_HEADER: u64 = 16;

impl AvifChecker {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::FileType,
            has_avif_brand: false,
            depth: 0,
            left: [u64::MAX; PATH.len()],
            size: None,
            has_data: false,
            open_ended: false,
        }
    }

    fn header(&mut self, kind: [u8; 4], length: u64, header: u64) -> Result<State, ParseStop> {
        let room = self.left[self.depth].checked_sub(length);
        let (Some(left), Some(room)) = (length.checked_sub(header), room) else {
            return Err(ParseStop::broken(
                "an AVIF box too short, or longer than the one it is in",
            ));
        };
        self.left[self.depth] = room;
        self.has_data |= self.depth == 0 && kind == *b"mdat";
        if kind != PATH[self.depth] {
            return Ok(State::Content { left });
        }
        if kind == *b"ispe" {
            let left = left
                .checked_sub(12)
                .ok_or(ParseStop::broken("an AVIF `ispe` box too short for a size"))?;
            return Ok(State::Dimensions { left });
        }
        self.depth += 1;
        self.left[self.depth] = left;
        if kind == *b"meta" {
            let left = left
                .checked_sub(4)
                .ok_or(ParseStop::broken("an AVIF `meta` box without a version"))?;
            self.left[self.depth] = left;
            return Ok(State::MetaVersion);
        }
        self.box_ended()
    }

    /// Closes the boxes that end here.
    fn box_ended(&mut self) -> Result<State, ParseStop> {
        while self.depth > 0 && self.left[self.depth] == 0 {
            self.depth -= 1;
            if self.depth == 0 && self.size.is_none() {
                return Err(ParseStop::broken("an AVIF whose `meta` box gives no size"));
            }
        }
        Ok(State::Header)
    }

    /// Checks a size. An image made of tiles has one for the tiles and one for the whole: the
    /// largest is the image's.
    fn dimensions(&mut self, width: u32, height: u32) -> Result<(), Defect> {
        let size = self.limits.allow(width, height)?;
        if self
            .size
            .is_none_or(|largest| largest.pixels() < size.pixels())
        {
            self.size = Some(size);
        }
        Ok(())
    }
}

/// Whether this is the brand of still or animated AVIF.
fn is_avif(brand: [u8; 4]) -> bool {
    matches!(&brand, b"avif" | b"avis")
}

impl Checker for AvifChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::FileType => {
                let [l0, l1, l2, l3, _, _, _, _, m0, m1, m2, m3, ..] = input.record::<16>()?;
                let (length, major) = (u32::from_be_bytes([l0, l1, l2, l3]), [m0, m1, m2, m3]);
                self.has_avif_brand = is_avif(major);
                match u64::from(length).checked_sub(16) {
                    Some(left) if left % 4 == 0 => State::Brand { left, major },
                    _ => return Err(ParseStop::broken("an AVIF `ftyp` box of a wrong length")),
                }
            }
            State::Brand { left: 0, .. } if self.has_avif_brand => State::Header,
            State::Brand { left: 0, major } => {
                let what = format!("a media file of brand `{}`", major.escape_ascii());
                return Err(Defect::NotAnImage { what }.into());
            }
            State::Brand { left, major } => {
                self.has_avif_brand |= is_avif(input.record()?);
                State::Brand {
                    left: left - 4,
                    major,
                }
            }
            State::Header => {
                let [l0, l1, l2, l3, kind @ ..] = input.record::<8>()?;
                match u32::from_be_bytes([l0, l1, l2, l3]) {
                    0 if self.depth == 0 && kind == *b"mdat" => {
                        (self.has_data, self.open_ended) = (true, true);
                        State::ToTheEnd
                    }
                    1 => State::LongHeader { kind },
                    length => self.header(kind, length.into(), HEADER)?,
                }
            }
            State::LongHeader { kind } => {
                self.header(kind, u64::from_be_bytes(input.record()?), LONG_HEADER)?
            }
            State::MetaVersion => {
                input.record::<4>()?;
                self.box_ended()?
            }
            State::Dimensions { left } => {
                let [_, _, _, _, w0, w1, w2, w3, h0, h1, h2, h3] = input.record::<12>()?;
                self.dimensions(
                    u32::from_be_bytes([w0, w1, w2, w3]),
                    u32::from_be_bytes([h0, h1, h2, h3]),
                )?;
                State::Content { left }
            }
            State::Content { ref mut left } => {
                input.skip(left)?;
                self.box_ended()?
            }
            State::ToTheEnd => return Err(ParseStop::Ended),
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        let at_a_border = matches!(self.state, State::Header | State::ToTheEnd) && self.depth == 0;
        self.size.filter(|_| at_a_border && self.has_data)
    }

    fn knows_its_end(&self) -> bool {
        !self.open_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::ByteObserver as _;
    use crate::verify::Inspector;
    use crate::verify::testing::{HEIGHT, WIDTH, broken, find, inspect, length, patched};

    /// `ftyp`, `meta` and `mdat`, with the sizes of tiles around that of the image.
    pub(super) fn sample() -> Vec<u8> {
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

    fn ispe(width: u32, height: u32) -> Vec<u8> {
        bmff(
            *b"ispe",
            &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat(),
        )
    }

    /// A box of an ISO media file.
    fn bmff(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        [&(length(content) + 8).to_be_bytes()[..], &kind, content].concat()
    }

    fn file(boxes: &[Vec<u8>]) -> Vec<u8> {
        [bmff(*b"ftyp", b"avif\0\0\0\0"), boxes.concat()].concat()
    }

    fn meta(properties: &[u8]) -> Vec<u8> {
        bmff(
            *b"meta",
            &[
                b"\0\0\0\0",
                &bmff(*b"iprp", &bmff(*b"ipco", properties))[..],
            ]
            .concat(),
        )
    }

    fn data() -> Vec<u8> {
        bmff(*b"mdat", b"compressed")
    }

    #[test]
    fn size_of_a_tiled_avif_is_the_largest() {
        let content = inspect(&sample()).unwrap();
        assert_eq!((content.width, content.height), (WIDTH, HEIGHT));
    }

    #[test]
    fn avif_boxes_may_come_in_any_order_and_with_64_bit_lengths() {
        assert!(inspect(&file(&[data(), bmff(*b"free", b""), meta(&ispe(5, 5))])).is_ok());
        let long = b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14data".to_vec();
        let bytes = file(&[meta(&ispe(5, 5)), long]);
        assert!(inspect(&bytes).is_ok());
        assert_eq!(inspect(&bytes[..bytes.len() - 1]), Err(Defect::Truncated));
        let endless = patched(&bytes, bytes.len() - 12, &[0xff; 8]);
        assert_eq!(
            inspect(&endless),
            broken("an AVIF box too short, or longer than the one it is in")
        );
    }

    #[test]
    fn avif_without_a_required_box_is_rejected() {
        assert_eq!(inspect(&file(&[meta(&ispe(5, 5))])), Err(Defect::Truncated));
        assert_eq!(inspect(&file(&[data()])), Err(Defect::Truncated));
        assert_eq!(
            inspect(&file(&[data(), meta(b"")])),
            broken("an AVIF whose `meta` box gives no size")
        );
    }

    #[test]
    fn avif_truncated_in_any_box_is_rejected() {
        let bytes = file(&[data(), meta(&[ispe(5, 5), bmff(*b"pixi", b"\0")].concat())]);
        for end in 1..bytes.len() {
            assert_eq!(
                inspect(&bytes[..end]),
                Err(Defect::Truncated),
                "cut at {end}"
            );
        }
        assert_eq!(
            inspect(&[&bytes[..], b"\0\0\0"].concat()),
            Err(Defect::Truncated)
        );
    }

    #[test]
    fn avif_without_own_length_needs_a_content_length() {
        let bytes = file(&[meta(&ispe(5, 5)), b"\0\0\0\0mdatdata".to_vec()]);
        assert!(inspect(&bytes).is_ok());
        let mut inspector = Inspector::new(Limits::default());
        inspector.update(&bytes);
        assert_eq!(
            inspector.finish(bytes.len() as u64, None),
            Err(Defect::EndUnknown)
        );
    }

    #[test]
    fn avif_box_longer_than_its_parent_is_rejected() {
        let bytes = sample();
        let wrong = broken("an AVIF box too short, or longer than the one it is in");
        for kind in [b"hdlr", b"iprp", b"ipco", b"ispe", b"ipma", b"mdat"] {
            let length = find(&bytes, kind) - 4;
            assert_eq!(
                inspect(&patched(&bytes, length, &[0, 0, 0, 7])),
                wrong,
                "{kind:?} too short"
            );
            if kind != b"mdat" {
                assert_eq!(
                    inspect(&patched(&bytes, length, &[0x7f])),
                    wrong,
                    "{kind:?} too long"
                );
            }
        }
        let junk_behind = [&bytes[..], b"\0\0\0\0junk"].concat();
        assert_eq!(inspect(&junk_behind), wrong);
        assert_eq!(
            inspect(&file(&[bmff(*b"meta", b"\0")])),
            broken("an AVIF `meta` box without a version")
        );
        let short = meta(&bmff(*b"ispe", &[0; 11]));
        assert_eq!(
            inspect(&file(&[short])),
            broken("an AVIF `ispe` box too short for a size")
        );
    }

    #[test]
    fn video_in_the_avif_container_is_not_an_image() {
        let video = [
            bmff(*b"ftyp", b"mp4\x1b\0\0\0\0isommp41"),
            meta(&ispe(5, 5)),
            data(),
        ]
        .concat();
        let defect = inspect(&video).unwrap_err();
        assert!(defect.is_not_an_image());
        assert_eq!(
            defect.to_string(),
            r"not a supported image: a media file of brand `mp4\x1b`"
        );
        assert_eq!(
            inspect(&bmff(*b"ftyp", b"avif\0\0\0\0mi")),
            broken("an AVIF `ftyp` box of a wrong length")
        );
    }
}
