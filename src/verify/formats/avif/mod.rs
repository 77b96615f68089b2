//! AVIF: nested boxes without an end mark. A file may end at the border of any outermost box once
//! all required boxes were seen.

mod items;

use self::items::ItemBoxes;
use super::FormatRow;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::limits::Dimensions;
use crate::verify::{Defect, Limits};

pub(super) static ROW: FormatRow = FormatRow {
    signatures: &[b"\0\0??ftyp"],
    checker: |limits| Box::new(AvifChecker::new(limits)),
    decoder: Err("this program has no decoder for AVIF"),
    #[cfg(test)]
    sample: tests::sample,
};

/// Bytes behind the last required box must form boxes as well: without an end mark, other bytes
/// cannot be distinguished from a truncated box.
struct AvifChecker {
    limits: Limits,
    state: State,
    brands: Brands,
    /// The boxes that are open, outermost first, with the bytes left in each behind the current
    /// box; empty in the file itself, whose length is unknown.
    open: Vec<(Container, u64)>,
    items: ItemBoxes,
    /// The size of the primary item, and whether it is turned for display.
    item: Option<(Dimensions, bool)>,
    /// The size of an animation's track.
    track: Option<Dimensions>,
    has_data: bool,
    /// How many bytes the outermost boxes have together.
    length: u64,
    /// Whether the last outermost box has no length and ends with the file.
    open_ended: bool,
}

/// What the file says that it is.
#[derive(Clone, Copy, Default)]
struct Brands {
    still: bool,
    animation: bool,
}

impl Brands {
    fn add(&mut self, brand: [u8; 4]) {
        self.still |= brand == *b"avif";
        self.animation |= brand == *b"avis";
    }
}

/// A box whose boxes are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Meta,
    Movie,
    Track,
}

/// A box that is kept until its last byte has come.
#[derive(Clone, Copy)]
enum Gathered {
    Primary,
    Locations,
    Properties,
    TrackHeader,
}

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
    Gather {
        left: u64,
        content: Vec<u8>,
        of: Gathered,
    },
    Content {
        left: u64,
    },
    /// In a box that ends with the file.
    ToTheEnd,
}

/// The longest box that is kept in memory, in bytes. Real ones have some hundreds; one for each of
/// a thousand tiles is still far below.
const LONGEST_GATHERED: u64 = 1 << 20;

const HEADER: u64 = 8;
const LONG_HEADER: u64 = 16;

impl AvifChecker {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::FileType,
            brands: Brands::default(),
            open: Vec::new(),
            items: ItemBoxes::default(),
            item: None,
            track: None,
            has_data: false,
            length: 0,
            open_ended: false,
        }
    }

    fn header(&mut self, kind: [u8; 4], length: u64, header: u64) -> Result<State, ParseStop> {
        let wrong = || ParseStop::broken("an AVIF box too short, or longer than the one it is in");
        let left = length.checked_sub(header).ok_or_else(wrong)?;
        let container = match self.open.last_mut() {
            None => {
                self.length = self.length.checked_add(length).ok_or_else(wrong)?;
                None
            }
            Some((container, room)) => {
                *room = room.checked_sub(length).ok_or_else(wrong)?;
                Some(*container)
            }
        };
        let gathered = match (container, &kind) {
            (None, b"meta") => return self.begin_meta(left),
            (None, b"moov") => return self.begin(Container::Movie, left),
            (Some(Container::Movie), b"trak") => return self.begin(Container::Track, left),
            (Some(Container::Meta), b"pitm") => Gathered::Primary,
            (Some(Container::Meta), b"iloc") => Gathered::Locations,
            (Some(Container::Meta), b"iprp") => Gathered::Properties,
            (Some(Container::Track), b"tkhd") => Gathered::TrackHeader,
            (None, b"mdat") => {
                self.has_data = true;
                return Ok(State::Content { left });
            }
            (Some(Container::Meta), b"idat") => {
                self.has_data = true;
                self.items.own_data = Some(left);
                return Ok(State::Content { left });
            }
            _ => return Ok(State::Content { left }),
        };
        if left > LONGEST_GATHERED {
            return Err(ParseStop::broken(
                "an AVIF box of more than 1 MB where some hundred bytes are usual",
            ));
        }
        Ok(State::Gather {
            left,
            content: Vec::new(),
            of: gathered,
        })
    }

    fn begin(&mut self, container: Container, left: u64) -> Result<State, ParseStop> {
        self.open.push((container, left));
        self.box_ended()
    }

    fn begin_meta(&mut self, left: u64) -> Result<State, ParseStop> {
        let left = left
            .checked_sub(4)
            .ok_or(ParseStop::broken("an AVIF `meta` box without a version"))?;
        self.open.push((Container::Meta, left));
        Ok(State::MetaVersion)
    }

    /// A box of length 0, which ends with the file.
    fn unbounded(&mut self, kind: [u8; 4]) -> Result<State, ParseStop> {
        match &kind {
            b"mdat" if self.open.is_empty() => {
                (self.has_data, self.open_ended) = (true, true);
                Ok(State::ToTheEnd)
            }
            b"meta" if self.open.is_empty() => {
                self.open_ended = true;
                self.length += HEADER;
                self.begin_meta(u64::MAX)
            }
            _ => self.header(kind, 0, HEADER),
        }
    }

    /// Closes the boxes that end here.
    fn box_ended(&mut self) -> Result<State, ParseStop> {
        while let Some((container, 0)) = self.open.last() {
            let is_meta = *container == Container::Meta;
            self.open.pop();
            // An animation may have its size in a track alone.
            if is_meta && self.item.is_none() && !self.brands.animation {
                self.item = Some(self.item_size()?);
            }
        }
        Ok(State::Header)
    }

    fn item_size(&self) -> Result<(Dimensions, bool), ParseStop> {
        let size = self.items.primary_size()?;
        let dimensions = self.limits.allow(size.width, size.height)?;
        Ok((dimensions, size.is_turned))
    }

    /// Keeps a box that is complete.
    fn gathered(&mut self, of: Gathered, content: Vec<u8>) -> Result<State, ParseStop> {
        let place = match of {
            Gathered::Primary => Some(&mut self.items.primary),
            Gathered::Locations => Some(&mut self.items.locations),
            Gathered::Properties => Some(&mut self.items.properties),
            Gathered::TrackHeader => None,
        };
        if let Some(place) = place {
            // Each may stand there once (ISO/IEC 14496-12, section 8.11). It also bounds the work: a hostile file could
            // have all of them read again for each of a million small ones.
            if !place.is_empty() {
                return Err(ParseStop::broken("an AVIF with two boxes where one may be"));
            }
            *place = content;
        } else if self.track.is_none()
            && let Some((width, height)) = track_size(&content)
        {
            self.track = Some(self.limits.allow(width, height)?);
        }
        // As early as it is known: an image of too many pixels is not read to its end.
        let may_know = matches!(of, Gathered::Primary | Gathered::Properties);
        if may_know && self.item.is_none() && !self.items.primary.is_empty() {
            match self.item_size() {
                Ok(item) => self.item = Some(item),
                Err(ParseStop::Rejected(defect @ Defect::TooManyPixels { .. })) => {
                    return Err(defect.into());
                }
                // Another box of `meta` may still say it.
                Err(_) => {}
            }
        }
        self.box_ended()
    }
}

/// The size in a `tkhd` box, in pixels (ISO/IEC 14496-12, section 8.3.2); none where it is 0, as for
/// sound.
fn track_size(content: &[u8]) -> Option<(u32, u32)> {
    // Times and duration have 64 bits from version 1 on.
    let at = if *content.first()? == 0 { 76 } else { 88 };
    // Numbers of 16 bits before and 16 behind the point.
    let side = |at: usize| {
        let bytes: [u8; 2] = content.get(at..at + 2)?.try_into().ok()?;
        Some(u32::from(u16::from_be_bytes(bytes)))
    };
    side(at)
        .zip(side(at + 4))
        .filter(|&(width, height)| width > 0 && height > 0)
}

/// Names a media file that is not AVIF by its major brand.
fn media_file(major: [u8; 4]) -> String {
    match &major {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" | b"mif1"
        | b"msf1" => "a HEIC image".to_owned(),
        b"jp2 " | b"jpx " | b"jpm " => "a JPEG 2000 image".to_owned(),
        b"crx " => "a Canon raw photo".to_owned(),
        b"qt  " | b"isom" | b"iso2" | b"iso3" | b"iso4" | b"iso5" | b"iso6" | b"mp41" | b"mp42"
        | b"avc1" | b"M4V " | b"M4VH" | b"M4VP" | b"MSNV" | b"f4v " | b"dash" | b"mmp4" => {
            "a video".to_owned()
        }
        b"M4A " | b"M4B " | b"M4P " => "a sound file".to_owned(),
        [b'3', b'g', ..] => "a video".to_owned(),
        _ => format!("a media file of brand `{}`", major.escape_ascii()),
    }
}

impl Checker for AvifChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::FileType => {
                let [l0, l1, l2, l3, _, _, _, _, m0, m1, m2, m3, ..] = input.record::<16>()?;
                let (length, major) = (u32::from_be_bytes([l0, l1, l2, l3]), [m0, m1, m2, m3]);
                self.brands.add(major);
                self.length = length.into();
                match u64::from(length).checked_sub(16) {
                    Some(left) if left % 4 == 0 => State::Brand { left, major },
                    _ => return Err(ParseStop::broken("an AVIF `ftyp` box of a wrong length")),
                }
            }
            State::Brand { left: 0, major } => {
                if !self.brands.still && !self.brands.animation {
                    let what = media_file(major);
                    return Err(Defect::NotAnImage { what }.into());
                }
                State::Header
            }
            State::Brand { left, major } => {
                self.brands.add(input.record()?);
                State::Brand {
                    left: left - 4,
                    major,
                }
            }
            State::Header => {
                let [l0, l1, l2, l3, kind @ ..] = input.record::<8>()?;
                match u32::from_be_bytes([l0, l1, l2, l3]) {
                    0 => self.unbounded(kind)?,
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
            State::Gather {
                ref mut left,
                ref mut content,
                of,
            } => {
                input.take(left, |slice| content.extend_from_slice(slice))?;
                let content = std::mem::take(content);
                self.gathered(of, content)?
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
        let at_a_border = match self.state {
            State::ToTheEnd => true,
            // Behind the last box of a `meta` box that ends with the file.
            State::Header => self.open.is_empty() || self.open_ended && self.open.len() == 1,
            _ => false,
        };
        let item = self.item.map(|(size, _)| size).filter(|_| {
            // The length of the last box is not known; its sender must say it.
            self.open_ended || self.items.primary_data_end_before(self.length)
        });
        let size = item.or(self.track.filter(|_| self.brands.animation));
        size.filter(|_| at_a_border && self.has_data)
    }

    fn displayed(&self) -> Option<Dimensions> {
        let (size, is_turned) = self.item?;
        is_turned.then_some(size.turned())
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

    /// `ftyp`, `meta` and `mdat`. The primary item is made of tiles, and a larger item is not
    /// displayed.
    pub(super) fn sample() -> Vec<u8> {
        let sizes = [ispe(8, 8), ispe(WIDTH, HEIGHT), ispe(2 * WIDTH, HEIGHT)].concat();
        let meta = [
            b"\0\0\0\0".to_vec(),
            bmff(*b"hdlr", b"pict"),
            pitm(2),
            iloc(2, 0, 200, 10),
            iprp(&sizes, &[(1, &[1]), (2, &[2]), (3, &[3])]),
        ]
        .concat();
        let data = bmff(*b"mdat", &[b'x'; 40]);
        [
            bmff(*b"ftyp", b"mif1\0\0\0\0miafavif"),
            bmff(*b"meta", &meta),
            data,
        ]
        .concat()
    }

    fn pitm(id: u16) -> Vec<u8> {
        bmff(*b"pitm", &[&[0; 4][..], &id.to_be_bytes()].concat())
    }

    /// Version 1, with one extent of one item.
    fn iloc(id: u16, method: u16, offset: u32, length: u32) -> Vec<u8> {
        let content = [
            &b"\x01\0\0\0\x44\0\0\x01"[..],
            &id.to_be_bytes(),
            &method.to_be_bytes(),
            b"\0\0\0\x01",
            &offset.to_be_bytes(),
            &length.to_be_bytes(),
        ]
        .concat();
        bmff(*b"iloc", &content)
    }

    /// Properties, and which of them each item has, counted from 1.
    fn iprp(properties: &[u8], items: &[(u16, &[u8])]) -> Vec<u8> {
        let mut associations = length_of(items);
        for (item, properties) in items {
            associations.extend(item.to_be_bytes());
            associations.push(u8::try_from(properties.len()).unwrap());
            // The first bit: it must be understood.
            associations.extend(properties.iter().map(|index| index | 0x80));
        }
        let content = [bmff(*b"ipco", properties), bmff(*b"ipma", &associations)].concat();
        bmff(*b"iprp", &content)
    }

    fn length_of(items: &[(u16, &[u8])]) -> Vec<u8> {
        let count = u32::try_from(items.len()).unwrap();
        [[0; 4], count.to_be_bytes()].concat()
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

    /// An item with two properties, whose data begin with the file.
    fn meta(properties: &[u8]) -> Vec<u8> {
        meta_of(&[pitm(1), iloc(1, 0, 0, 8), iprp(properties, &[(1, &[1, 2])])])
    }

    fn meta_of(boxes: &[Vec<u8>]) -> Vec<u8> {
        bmff(*b"meta", &[b"\0\0\0\0", &boxes.concat()[..]].concat())
    }

    fn data() -> Vec<u8> {
        bmff(*b"mdat", b"compressed")
    }

    #[test]
    fn size_of_an_avif_is_its_primary_items() {
        let content = inspect(&sample()).unwrap();
        assert_eq!((content.width, content.height), (WIDTH, HEIGHT));
        assert_eq!(content.stored, None);
    }

    #[test]
    fn avif_with_a_quarter_turn_is_displayed_turned() {
        for (angle, is_turned) in [(0, false), (1, true), (2, false), (3, true)] {
            let properties = [ispe(7, 5), bmff(*b"irot", &[angle])].concat();
            let content = inspect(&file(&[meta(&properties), data()])).unwrap();
            let displayed = if is_turned { (5, 7) } else { (7, 5) };
            assert_eq!((content.width, content.height), displayed);
            let stored = content.stored.map(|size| (size.width, size.height));
            assert_eq!(stored, is_turned.then_some((7, 5)));
        }
    }

    #[test]
    fn avif_data_may_stand_in_idat() {
        let with_data = |length| {
            file(&[meta_of(&[
                pitm(1),
                iloc(1, 1, 2, length),
                iprp(&ispe(7, 5), &[(1, &[1])]),
                bmff(*b"idat", &[0; 10]),
            ])])
        };
        assert!(inspect(&with_data(8)).is_ok());
        assert_eq!(inspect(&with_data(9)), Err(Defect::Truncated));
    }

    #[test]
    fn avif_whose_primary_data_lie_outside_the_file_is_truncated() {
        let with_extent = |offset, length| {
            let boxes = [
                pitm(1),
                iloc(1, 0, offset, length),
                iprp(&ispe(7, 5), &[(1, &[1])]),
            ];
            file(&[meta_of(&boxes), data()])
        };
        let length = length(&with_extent(0, 0));
        assert!(inspect(&with_extent(length - 8, 8)).is_ok());
        for (offset, length) in [(length - 8, 9), (length + 1, 0), (u32::MAX, u32::MAX)] {
            assert_eq!(
                inspect(&with_extent(offset, length)),
                Err(Defect::Truncated)
            );
        }
        let of_another = file(&[
            meta_of(&[pitm(1), iloc(2, 0, 0, 8), iprp(&ispe(7, 5), &[(1, &[1])])]),
            data(),
        ]);
        assert_eq!(inspect(&of_another), Err(Defect::Truncated));
    }

    #[test]
    fn avif_meta_box_that_ends_with_the_file_needs_a_content_length() {
        let mut bytes = file(&[data(), meta(&ispe(7, 5))]);
        let meta = find(&bytes, b"meta");
        bytes[meta - 4..meta].fill(0);
        assert!(inspect(&bytes).is_ok());
        let mut inspector = Inspector::new(Limits::default());
        inspector.update(&bytes);
        let result = inspector.finish(bytes.len() as u64, None);
        assert_eq!(result, Err(Defect::EndUnknown));
    }

    #[test]
    fn animated_avif_may_have_its_size_in_its_track() {
        for (version, at) in [(0_u8, 76), (1, 88)] {
            let mut header = vec![0; at + 8];
            header[0] = version;
            header[at + 1] = 9;
            header[at + 5] = 6;
            let sound = vec![0; at + 8];
            let tracks = [sound, header].map(|header| bmff(*b"trak", &bmff(*b"tkhd", &header)));
            let animation = |brand: &[u8]| {
                [
                    bmff(*b"ftyp", brand),
                    bmff(*b"meta", b"\0\0\0\0"),
                    bmff(*b"moov", &tracks.concat()),
                    data(),
                ]
                .concat()
            };
            let content = inspect(&animation(b"avis\0\0\0\0")).unwrap();
            assert_eq!((content.width, content.height), (9, 6));
            assert_eq!(
                inspect(&animation(b"avif\0\0\0\0")),
                broken("an AVIF without a primary item")
            );
        }
    }

    #[test]
    fn avif_boxes_that_would_be_read_again_and_again_are_refused() {
        // An empty box is as good as none; a second one with content is one too many.
        let twice = meta_of(&[
            pitm(1),
            pitm(1),
            iloc(1, 0, 0, 8),
            iprp(&ispe(7, 5), &[(1, &[1])]),
        ]);
        assert_eq!(
            inspect(&file(&[twice, data()])),
            broken("an AVIF with two boxes where one may be")
        );
        // Version 1, all sizes 0, and 60,000 items of 65,535 extents each.
        let mut items = b"\x01\0\0\0\0\0\xea\x60".to_vec();
        items.extend([0, 9, 0, 0, 0, 0, 0xff, 0xff].repeat(60_000));
        let boxes = [
            pitm(1),
            bmff(*b"iloc", &items),
            iprp(&ispe(7, 5), &[(1, &[1])]),
        ];
        assert_eq!(
            inspect(&file(&[meta_of(&boxes), data()])),
            Err(Defect::Truncated)
        );
    }

    #[test]
    fn huge_avif_box_that_would_have_to_be_kept_is_rejected() {
        let huge = [&(2_u32 << 20).to_be_bytes()[..], b"iloc"].concat();
        let wide = [&(3_u32 << 20).to_be_bytes()[..], b"meta\0\0\0\0", &huge].concat();
        assert_eq!(
            inspect(&file(&[wide])),
            broken("an AVIF box of more than 1 MB where some hundred bytes are usual")
        );
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
            broken("an AVIF whose primary item has no size")
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
        for kind in [b"hdlr", b"iprp", b"pitm", b"iloc", b"mdat"] {
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
            inspect(&file(&[short, data()])),
            broken("an AVIF whose primary item has no size")
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
        for (brand, what) in [
            (b"heic", "a HEIC image"),
            (b"mif1", "a HEIC image"),
            (b"isom", "a video"),
            (b"qt  ", "a video"),
            (b"3gp5", "a video"),
            (b"jp2 ", "a JPEG 2000 image"),
        ] {
            let other = bmff(*b"ftyp", &[&brand[..], b"\0\0\0\0"].concat());
            let what = what.to_owned();
            assert_eq!(
                inspect(&[other, data()].concat()),
                Err(Defect::NotAnImage { what })
            );
        }
        assert_eq!(
            inspect(&bmff(*b"ftyp", b"avif\0\0\0\0mi")),
            broken("an AVIF `ftyp` box of a wrong length")
        );
    }
}
