//! JPEG XL: a codestream alone, or in boxes (ISO/IEC 18181-2). Neither has an end mark: boxes may
//! end the file wherever one of them ends, once the codestream is complete; a codestream alone ends
//! with the file, so its length has to come from the server.

#[cfg(feature = "jxl")]
mod decode;
mod head;

use super::FormatRow;
use crate::verify::Limits;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::limits::Dimensions;
use head::LONGEST_HEAD;

pub(super) static ROW: FormatRow = FormatRow {
    signatures: &[b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"],
    checker: |limits| Box::new(JxlChecker::new(limits)),
    #[cfg(feature = "jxl")]
    decoder: Ok(decode::DECODER),
    #[cfg(not(feature = "jxl"))]
    decoder: Err("this build has no decoder for JPEG XL: rebuild with `--features jxl` for one"),
    #[cfg(test)]
    sample: || tests::BOXED.to_vec(),
};

/// Follows the boxes and reads the head of the codestream. What the codestream holds is compressed
/// to the last bit and has no marks, so a hole in it is found by decoding alone.
struct JxlChecker {
    limits: Limits,
    state: State,
    /// The first bytes of the codestream, until its head is read.
    head: [u8; LONGEST_HEAD],
    head_len: usize,
    size: Option<Dimensions>,
    /// Whether the orientation swaps width and height.
    transposed: bool,
    parts: Parts,
    /// Whether the last box, or the codestream, has no length and ends with the file.
    open_ended: bool,
}

#[derive(Clone, Copy)]
enum State {
    Start,
    Signature,
    FileType,
    Header,
    LongHeader {
        kind: [u8; 4],
    },
    PartIndex {
        left: u64,
    },
    /// In the first bytes of the codestream.
    Head {
        left: u64,
    },
    Content {
        left: u64,
    },
}

/// Which parts of the codestream were seen.
#[derive(Default)]
struct Parts {
    /// Whether the codestream is in one piece.
    single: bool,
    seen: u64,
    /// The sum of the indices seen. With the number of parts it tells whether each index came, in
    /// any order; a set of them would grow with the file.
    index_sum: u64,
    last_index: Option<u32>,
    /// The part that follows those whose bytes were read for the head.
    next_in_order: u32,
}

impl Parts {
    /// Whether every part has begun.
    fn is_complete(&self) -> bool {
        let all = self.last_index.map(|last| u64::from(last) + 1);
        self.single
            || all.is_some_and(|all| self.seen == all && self.index_sum == all * (all - 1) / 2)
    }
}

/// The length of what ends with the file.
const TO_THE_END: u64 = u64::MAX;

const HEADER: u64 = 8;
const LONG_HEADER: u64 = 16;

/// The bit of a part's index that marks the last part.
const LAST_PART: u32 = 1 << 31;

impl JxlChecker {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            head: [0; LONGEST_HEAD],
            head_len: 0,
            size: None,
            transposed: false,
            parts: Parts::default(),
            open_ended: false,
        }
    }

    fn header(&mut self, kind: [u8; 4], length: u64, header: u64) -> Result<State, ParseStop> {
        let left = if length == 0 && header == HEADER {
            self.open_ended = true;
            TO_THE_END
        } else {
            length
                .checked_sub(header)
                .ok_or(ParseStop::broken("a JPEG XL box too short for its header"))?
        };
        match &kind {
            b"jxlc" if self.parts.single || self.parts.seen > 0 => {
                Err(ParseStop::broken("a JPEG XL with two codestreams"))
            }
            b"jxlc" => {
                self.parts.single = true;
                self.codestream(left)
            }
            b"jxlp" if self.parts.single => {
                Err(ParseStop::broken("a JPEG XL with two codestreams"))
            }
            b"jxlp" => match left {
                TO_THE_END => Ok(State::PartIndex { left }),
                left => left
                    .checked_sub(4)
                    .map(|left| State::PartIndex { left })
                    .ok_or(ParseStop::broken("a JPEG XL `jxlp` box without an index")),
            },
            b"ftyp" => Err(ParseStop::broken("a JPEG XL with a second `ftyp` box")),
            _ => self.content(left),
        }
    }

    /// Notes a part of the codestream, of which `left` bytes follow.
    fn part(&mut self, index: u32, left: u64) -> Result<State, ParseStop> {
        const WHAT: &str = "a JPEG XL whose codestream parts do not belong together";
        let (is_last, index) = (index & LAST_PART != 0, index & !LAST_PART);
        if is_last && self.parts.last_index.replace(index).is_some() {
            return Err(ParseStop::broken(WHAT));
        }
        if self.parts.last_index.is_some_and(|last| index > last) {
            return Err(ParseStop::broken(WHAT));
        }
        // The head is in the first part; what it lacks there is in those directly behind it.
        let in_order = index == self.parts.next_in_order;
        self.parts.next_in_order += u32::from(in_order);
        self.parts.seen += 1;
        self.parts.index_sum += u64::from(index);
        if in_order {
            self.codestream(left)
        } else {
            self.content(left)
        }
    }

    fn codestream(&mut self, left: u64) -> Result<State, ParseStop> {
        match left {
            0 => self.box_ended(),
            _ if self.size.is_none() => Ok(State::Head { left }),
            _ => Ok(State::Content { left }),
        }
    }

    fn content(&mut self, left: u64) -> Result<State, ParseStop> {
        match left {
            0 => self.box_ended(),
            _ => Ok(State::Content { left }),
        }
    }

    fn box_ended(&mut self) -> Result<State, ParseStop> {
        if self.parts.is_complete() && self.size.is_none() {
            return Err(ParseStop::broken("a JPEG XL codestream without a size"));
        }
        Ok(State::Header)
    }

    /// Adds a byte to the head of the codestream, and reads it once it is complete.
    fn head_byte(&mut self, byte: u8) -> Result<(), ParseStop> {
        let Some(free) = self.head.get_mut(self.head_len) else {
            return Err(ParseStop::broken("a JPEG XL codestream without a size"));
        };
        *free = byte;
        self.head_len += 1;
        match head::read(&self.head[..self.head_len]) {
            Ok(head) => {
                self.size = Some(self.limits.allow(head.width, head.height)?);
                self.transposed = head.transposed;
                Ok(())
            }
            Err(ParseStop::NeedMore) => Ok(()),
            Err(stop) => Err(stop),
        }
    }
}

impl Checker for JxlChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::Start => match input.record()? {
                signature @ [0xFF, 0x0A] => {
                    [self.head[0], self.head[1]] = signature;
                    self.head_len = 2;
                    self.parts.single = true;
                    self.open_ended = true;
                    State::Head { left: TO_THE_END }
                }
                [_, _] => State::Signature,
            },
            State::Signature => {
                input.record::<10>()?;
                State::FileType
            }
            State::FileType => {
                let [l0, l1, l2, l3, kind @ .., b0, b1, b2, b3] = input.record::<12>()?;
                let length = u64::from(u32::from_be_bytes([l0, l1, l2, l3]));
                match (&kind, &[b0, b1, b2, b3], length.checked_sub(12)) {
                    (b"ftyp", b"jxl ", Some(left)) => self.content(left)?,
                    _ => {
                        return Err(ParseStop::broken(
                            "a JPEG XL that does not begin with its `ftyp` box",
                        ));
                    }
                }
            }
            State::Header => {
                let [l0, l1, l2, l3, kind @ ..] = input.record::<8>()?;
                match u32::from_be_bytes([l0, l1, l2, l3]) {
                    1 => State::LongHeader { kind },
                    length => self.header(kind, length.into(), HEADER)?,
                }
            }
            State::LongHeader { kind } => {
                self.header(kind, u64::from_be_bytes(input.record()?), LONG_HEADER)?
            }
            State::PartIndex { left } => {
                let index = u32::from_be_bytes(input.record()?);
                self.part(index, left)?
            }
            State::Head { left } => {
                let [byte] = input.record()?;
                self.head_byte(byte)?;
                match left {
                    // The size does not end the codestream: pixels must follow.
                    TO_THE_END if self.size.is_some() => State::Content { left },
                    TO_THE_END => State::Head { left },
                    left => self.codestream(left - 1)?,
                }
            }
            State::Content { ref mut left } => {
                input.skip(left)?;
                self.box_ended()?
            }
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        let may_end = match self.state {
            State::Header => true,
            State::Content { left } => self.open_ended && left < TO_THE_END,
            State::Start
            | State::Signature
            | State::FileType
            | State::LongHeader { .. }
            | State::PartIndex { .. }
            | State::Head { .. } => false,
        };
        self.size.filter(|_| may_end && self.parts.is_complete())
    }

    fn displayed(&self) -> Option<Dimensions> {
        self.size
            .filter(|_| self.transposed)
            .map(Dimensions::turned)
    }

    fn knows_its_end(&self) -> bool {
        !self.open_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::ByteObserver as _;
    use crate::verify::testing::{HEIGHT, WIDTH, broken, find, inspect, length, patched};
    use crate::verify::{Defect, Inspector};

    // Made by `cjxl` 0.7 from a picture of 19 x 11 pixels that a few lines drew: `-q 100
    // --container=1`, `-q 100`, `-d 1` with an EXIF orientation of 6, and `--lossless_jpeg=1`.
    pub(super) const BOXED: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/boxed.jxl");
    const BARE: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/bare.jxl");
    const TURNED: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/turned.jxl");
    const FROM_JPEG: &[u8] = include_bytes!("../../../../tests/fixtures/jxl/from-jpeg.jxl");

    const SIGNATURE: &[u8] = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ";

    fn made(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        [&(length(content) + 8).to_be_bytes()[..], &kind, content].concat()
    }

    fn file(boxes: &[Vec<u8>]) -> Vec<u8> {
        [SIGNATURE, &boxes.concat()].concat()
    }

    /// A part of the codestream.
    fn part(index: u32, content: &[u8]) -> Vec<u8> {
        made(*b"jxlp", &[&index.to_be_bytes()[..], content].concat())
    }

    fn size(bytes: &[u8]) -> Result<(u32, u32), Defect> {
        inspect(bytes).map(|content| (content.width, content.height))
    }

    /// The result without an announced length.
    fn inspect_without_length(bytes: &[u8]) -> Result<(), Defect> {
        let mut inspector = Inspector::new(Limits::default());
        inspector.update(bytes);
        inspector.finish(bytes.len() as u64, None).map(drop)
    }

    #[test]
    fn jxl_of_a_real_encoder_is_accepted_with_its_displayed_size() {
        for bytes in [BOXED, BARE, FROM_JPEG] {
            assert_eq!(size(bytes), Ok((WIDTH, HEIGHT)));
        }
        assert_eq!(size(TURNED), Ok((HEIGHT, WIDTH)));
        assert_eq!(inspect_without_length(BOXED), Ok(()));
        assert_eq!(inspect_without_length(FROM_JPEG), Ok(()));
    }

    #[cfg(not(feature = "jxl"))]
    #[test]
    fn build_without_the_jxl_feature_names_it() {
        let content = inspect(BOXED).unwrap();
        let decoded = crate::verify::Decoder::new(Limits::default())
            .decode(std::io::Cursor::new(BOXED), &content)
            .unwrap();
        let crate::verify::DecodeResult::NotDecoded(reason) = decoded else {
            panic!("{decoded:?}")
        };
        assert!(reason.contains("`--features jxl`"), "{reason}");
    }

    #[test]
    fn bare_jxl_needs_a_content_length() {
        assert_eq!(inspect_without_length(BARE), Err(Defect::EndUnknown));
        let mut inspector = Inspector::new(Limits::default());
        inspector.update(&BARE[..BARE.len() - 1]);
        let cut = inspector.finish(BARE.len() as u64 - 1, Some(BARE.len() as u64));
        assert!(matches!(cut, Err(Defect::WrongLength { .. })));
        let head = BARE.len() - 100;
        for end in 1..7 {
            assert_eq!(
                inspect(&BARE[..end]),
                Err(Defect::Truncated),
                "cut at {end}"
            );
        }
        assert!(
            inspect(&BARE[..head]).is_ok(),
            "nothing in it says where it ends"
        );
    }

    #[test]
    fn jxl_truncated_in_any_box_is_rejected() {
        for bytes in [
            BOXED.to_vec(),
            FROM_JPEG.to_vec(),
            file(&[
                part(0, &BARE[..3]),
                made(*b"xml ", b"<x/>"),
                part(1, &BARE[3..9]),
                part(0x8000_0002, &BARE[9..]),
            ]),
        ] {
            let required = bytes.len();
            for end in 12..required {
                assert_eq!(
                    inspect(&bytes[..end]),
                    Err(Defect::Truncated),
                    "cut at {end}"
                );
            }
            let with_more = [&bytes[..], &made(*b"Exif", b"\0\0\0\0II*\0")].concat();
            assert!(inspect(&with_more).is_ok());
            assert_eq!(
                inspect(&with_more[..with_more.len() - 1]),
                Err(Defect::Truncated)
            );
        }
    }

    #[test]
    fn jxl_codestream_in_parts_is_whole_with_each_of_them() {
        let [first, middle, last] = [
            part(0, &BARE[..40]),
            part(1, &BARE[40..60]),
            part(0x8000_0002, &BARE[60..]),
        ];
        assert_eq!(
            size(&file(&[first.clone(), middle.clone(), last.clone()])),
            Ok((WIDTH, HEIGHT))
        );
        // Browsers put them in order.
        assert!(inspect(&file(&[last.clone(), first.clone(), middle.clone()])).is_ok());
        for lacking in [
            [&first, &middle, &made(*b"free", b"")],
            [&first, &last, &made(*b"free", b"")],
            [&middle, &last, &made(*b"free", b"")],
            [&first, &first, &last],
        ] {
            let bytes = file(&lacking.map(Clone::clone));
            assert_eq!(inspect(&bytes), Err(Defect::Truncated));
        }
        let wrong = broken("a JPEG XL whose codestream parts do not belong together");
        assert_eq!(
            inspect(&file(&[first.clone(), last.clone(), last.clone()])),
            wrong
        );
        assert_eq!(
            inspect(&file(&[first.clone(), last.clone(), part(3, b"more")])),
            wrong
        );
        let codestream = made(*b"jxlc", BARE);
        let two = broken("a JPEG XL with two codestreams");
        assert_eq!(
            inspect(&file(&[codestream.clone(), codestream.clone()])),
            two
        );
        assert_eq!(inspect(&file(&[codestream.clone(), last])), two);
        assert_eq!(inspect(&file(&[first, codestream])), two);
    }

    #[test]
    fn jxl_box_without_own_length_needs_a_content_length() {
        let open = |kind: &[u8; 4], content: &[u8]| [&[0; 4][..], kind, content].concat();
        for bytes in [
            file(&[open(b"jxlc", BARE)]),
            file(&[
                part(0, &BARE[..9]),
                open(b"jxlp", &[b"\x80\0\0\x01", &BARE[9..]].concat()),
            ]),
            file(&[made(*b"jxlc", BARE), open(b"Exif", b"II*\0")]),
        ] {
            assert_eq!(size(&bytes), Ok((WIDTH, HEIGHT)));
            assert_eq!(inspect_without_length(&bytes), Err(Defect::EndUnknown));
        }
    }

    #[test]
    fn jxl_with_64_bit_lengths_is_accepted() {
        let long = [
            b"\0\0\0\x01jxlc\0\0\0\0\0\0\0",
            &[u8::try_from(BARE.len() + 16).unwrap()][..],
            BARE,
        ]
        .concat();
        assert_eq!(
            size(&file(std::slice::from_ref(&long))),
            Ok((WIDTH, HEIGHT))
        );
        let endless = file(&[patched(&long, 8, &[0xFF; 8])]);
        assert_eq!(inspect(&endless), Err(Defect::Truncated));
    }

    #[test]
    fn invalid_jxl_boxes_are_rejected() {
        let codestream = made(*b"jxlc", BARE);
        let cases = [
            (
                [&SIGNATURE[..12], &codestream].concat(),
                "a JPEG XL that does not begin with its `ftyp` box",
            ),
            (
                patched(BOXED, find(BOXED, b"ftypjxl ") + 4, b"mif1"),
                "a JPEG XL that does not begin with its `ftyp` box",
            ),
            (
                file(&[SIGNATURE[12..].to_vec()]),
                "a JPEG XL with a second `ftyp` box",
            ),
            (
                file(&[b"\0\0\0\x07jxlc".to_vec()]),
                "a JPEG XL box too short for its header",
            ),
            (
                file(&[b"\0\0\0\x01jxlc\0\0\0\0\0\0\0\0".to_vec()]),
                "a JPEG XL box too short for its header",
            ),
            (
                file(&[made(*b"jxlp", b"\0\0\0")]),
                "a JPEG XL `jxlp` box without an index",
            ),
            (
                file(&[made(*b"jxlc", &BARE[..4])]),
                "a JPEG XL codestream without a size",
            ),
            (
                file(&[made(*b"jxlc", b"")]),
                "a JPEG XL codestream without a size",
            ),
            (
                file(&[made(*b"jxlc", b"no codestream")]),
                "a JPEG XL codestream without its signature",
            ),
        ];
        for (bytes, what) in cases {
            assert_eq!(inspect(&bytes), broken(what));
        }
    }

    #[test]
    fn jxl_size_is_checked_against_max_pixels() {
        // Twice as wide as high, and 2^30 pixels high.
        let vast = [b"\xff\x0a\xfe\xff\xff\xff\x3f\x01", &[0; 20][..]].concat();
        assert!(matches!(
            inspect(&vast),
            Err(Defect::TooManyPixels {
                height: 0x4000_0000,
                ..
            })
        ));
    }
}
