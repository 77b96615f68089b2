//! Follows the markers of a JPEG while its bytes pass.

use super::exif_segment::ExifSegment;
use super::frame::{Component, Frame, MAX_COMPONENTS, Process, restarts};
use crate::outcome::ImageWarning;
use crate::verify::Limits;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::limits::Dimensions;

/// Accepts any process (baseline, progressive, lossless). In front of the first scan it is as
/// lenient as libjpeg, with which browsers read: what stands between two segments is skipped with a
/// warning. From there on a byte out of place shows that bytes are missing. A JPEG that states its
/// height after its first scan (`DNL`) is rejected, as browsers do: no encoder in use writes one.
pub(super) struct JpegChecker {
    limits: Limits,
    state: State,
    size: Option<Dimensions>,
    has_scan: bool,
    /// Whether something was skipped in front of the first scan.
    has_stray_bytes: bool,
    exif: ExifSegment,
    /// The frame, as long as the restart markers of its scans can be counted.
    frame: Option<Frame>,
    /// The units between two restart markers, 0 for none; `None` when it is not known.
    interval: Option<u16>,
    /// The components of the scan, by their indexes in the frame.
    members: Vec<usize>,
    /// The restart markers that the scan still needs.
    restarts_left: u64,
}

#[derive(Clone, Copy)]
enum State {
    Start,
    /// Expects a marker.
    Marker,
    /// Expects the code of a marker, behind its `FF`.
    Code,
    /// Skips to the next `FF`, in front of the first scan.
    Stray,
    /// Expects the length of a segment that is skipped.
    Length,
    /// Expects the length of a segment that may hold EXIF metadata.
    ExifLength,
    /// Expects the length of the segment that holds a restart interval.
    IntervalLength,
    /// Expects a restart interval.
    Interval,
    /// Expects a frame's header, from its length on.
    Frame(u8),
    /// Expects so many components of a frame.
    Components(u8),
    /// Expects a scan's header, from its length on.
    ScanHeader,
    /// Expects so many components of a scan.
    ScanComponents(u8),
    Segment {
        left: u64,
        then: AfterSegment,
    },
    Exif {
        left: u64,
    },
    Scan,
    /// Expects the byte behind an `FF` in entropy-coded data.
    ScanCode,
    Ended,
}

#[derive(Clone, Copy)]
enum AfterSegment {
    Marker,
    Scan,
}

impl JpegChecker {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            size: None,
            has_scan: false,
            has_stray_bytes: false,
            exif: ExifSegment::default(),
            frame: None,
            interval: Some(0),
            members: Vec::new(),
            restarts_left: 0,
        }
    }

    fn marker(&mut self, code: u8) -> Result<State, ParseStop> {
        match code {
            // A stuffed zero, or a restart marker: what stands in front of a header may be anything.
            0x00 | 0xD0..=0xD7 if !self.has_scan => Ok(self.stray()),
            0xE1 if !self.has_scan && self.exif.is_wanted() => Ok(State::ExifLength),
            0xDD => Ok(State::IntervalLength),
            // DHT and DAC are tables, though their codes are in the range of the frame headers.
            0xC4 | 0xCC | 0xDB..=0xFE => Ok(State::Length),
            0xC8 => Err(ParseStop::broken("a JPEG marker that the format reserves")),
            0xC0..=0xCF if self.size.is_some() => Err(ParseStop::broken("a JPEG with two frames")),
            0xC0..=0xCF => Ok(State::Frame(code)),
            0xDA if self.size.is_none() => Err(ParseStop::broken("a JPEG scan before its frame")),
            0xDA => Ok(State::ScanHeader),
            0xD9 if !self.has_scan => Err(ParseStop::broken("a JPEG without a scan")),
            0xD9 => Ok(State::Ended),
            // A fill byte before a marker's code.
            0xFF => Ok(State::Code),
            // TEM has no segment.
            0x01 => Ok(State::Marker),
            0x00 | 0x02..=0xBF | 0xD0..=0xD8 => {
                Err(ParseStop::broken("a JPEG marker out of place"))
            }
        }
    }

    /// Goes on to the next marker over bytes that are none.
    fn stray(&mut self) -> State {
        self.has_stray_bytes = true;
        State::Stray
    }

    /// A segment by its length field.
    fn segment(&mut self, length: [u8; 2]) -> Result<u64, ParseStop> {
        match u64::from(u16::from_be_bytes(length)).checked_sub(2) {
            Some(left) => Ok(left),
            None if !self.has_scan => {
                self.has_stray_bytes = true;
                Ok(0)
            }
            None => Err(ParseStop::broken(
                "a JPEG segment shorter than its own length field",
            )),
        }
    }

    fn frame(&mut self, code: u8, header: [u8; 8]) -> Result<State, ParseStop> {
        let [l0, l1, _precision, h0, h1, w0, w1, components] = header;
        let left = 3 * u64::from(components);
        if components == 0 || u64::from(u16::from_be_bytes([l0, l1])) != 8 + left {
            return Err(ParseStop::broken("a JPEG frame header of the wrong length"));
        }
        let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
        self.size = Some(self.limits.allow(width.into(), height.into())?);
        // The units of other processes are counted in another way.
        let codes_blocks = Process::from_code(code).is_some_and(Process::codes_blocks);
        if codes_blocks && usize::from(components) <= MAX_COMPONENTS {
            self.frame = Some(Frame::new(width, height));
        }
        Ok(State::Components(components))
    }

    fn component(&mut self, component: [u8; 3], left: u8) -> State {
        if let Some(frame) = &mut self.frame {
            frame.push(Component::new(component));
        }
        match left - 1 {
            0 => State::Marker,
            left => State::Components(left),
        }
    }

    fn scan_header(&mut self, header: [u8; 3]) -> Result<State, ParseStop> {
        let [l0, l1, components] = header;
        let length = 2 * u16::from(components) + 6;
        if !(1..=4).contains(&components) || u16::from_be_bytes([l0, l1]) != length {
            return Err(ParseStop::broken("a JPEG scan header of the wrong length"));
        }
        self.has_scan = true;
        self.members.clear();
        Ok(State::ScanComponents(components))
    }

    fn scan_component(&mut self, [id, _tables]: [u8; 2], left: u8) -> State {
        let components = self.frame.iter().flat_map(Frame::components);
        let same = components.enumerate().filter(|(_, known)| known.id == id);
        let mut indexes = same.map(|(index, _)| index);
        match indexes.find(|index| !self.members.contains(index)) {
            Some(index) => self.members.push(index),
            None => self.frame = None,
        }
        match left - 1 {
            0 => {
                self.expect_restarts();
                State::Segment {
                    left: 3,
                    then: AfterSegment::Scan,
                }
            }
            left => State::ScanComponents(left),
        }
    }

    fn expect_restarts(&mut self) {
        let units = self.frame.and_then(|frame| frame.units(&self.members));
        self.restarts_left = match (units, self.interval) {
            (Some(grid), Some(interval)) => restarts(grid.units(), interval),
            _ => 0,
        };
    }

    /// What a marker in a scan begins. There may be more restart markers than the scan needs: some
    /// scanners send rows beyond the height.
    fn after_scan(&mut self, code: u8) -> Result<State, ParseStop> {
        if self.restarts_left > 0 {
            return Err(ParseStop::broken(
                "a JPEG scan with too few restart markers",
            ));
        }
        self.marker(code)
    }
}

/// Whether the scan continues when this byte follows an `FF`: a stuffed `FF`, or a restart marker.
/// One pattern, not two tests: the compiler makes a branch of `||`, and the scan loop then takes
/// twice the instructions.
fn is_data(code: u8) -> bool {
    matches!(code, 0x00 | 0xD0..=0xD7)
}

fn is_restart(code: u8) -> bool {
    matches!(code, 0xD0..=0xD7)
}

const BLOCK: usize = 256;

/// How many of the first bytes of `data` are free of markers, in whole blocks. Testing all pairs of
/// bytes without a branch replaces a search for the next `FF`: one byte in a few hundred is a
/// stuffed `FF`, and stopping at each costs three times as much.
fn without_marker(data: &[u8]) -> usize {
    let mut clear = 0;
    while let Some(block) = data.get(clear..=clear + BLOCK) {
        let pairs = block.iter().zip(&block[1..]);
        if pairs.fold(false, |found, (&byte, &next)| {
            found | ((byte == 0xFF) & !is_data(next))
        }) {
            break;
        }
        clear += BLOCK;
    }
    clear
}

/// The restart markers that begin in the first `clear` bytes of `data`, which are whole blocks and
/// followed by one more byte: see `without_marker`. Each half of a block is counted in a byte,
/// which lets the compiler take many pairs at once.
fn count_restarts(data: &[u8], clear: usize) -> u64 {
    let nexts = data.get(1..).unwrap_or_default();
    let halves = data[..clear].chunks(BLOCK / 2);
    let halves = halves.zip(nexts.chunks(BLOCK / 2));
    let counts = halves.map(|(bytes, nexts)| {
        let pairs = bytes.iter().zip(nexts);
        pairs.fold(0, |count: u8, (&byte, &next)| {
            count + u8::from((byte == 0xFF) & is_restart(next))
        })
    });
    counts.map(u64::from).sum()
}

impl Checker for JpegChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::Start => {
                input.record::<2>()?;
                State::Marker
            }
            State::Marker => match input.record()? {
                [0xFF] => State::Code,
                [_] if !self.has_scan => self.stray(),
                [_] => return Err(ParseStop::broken("bytes between JPEG segments")),
            },
            State::Stray => {
                input.skip_past(0xFF)?;
                State::Code
            }
            State::Code => {
                let [code] = input.record()?;
                self.marker(code)?
            }
            State::Length => {
                let length = input.record()?;
                State::Segment {
                    left: self.segment(length)?,
                    then: AfterSegment::Marker,
                }
            }
            State::ExifLength => {
                let length = input.record()?;
                State::Exif {
                    left: self.segment(length)?,
                }
            }
            State::Exif { ref mut left } => {
                input.take(left, |bytes| self.exif.push(bytes))?;
                self.exif.finish();
                State::Marker
            }
            State::IntervalLength => match input.record()? {
                [0, 4] => State::Interval,
                length => {
                    self.interval = None;
                    State::Segment {
                        left: self.segment(length)?,
                        then: AfterSegment::Marker,
                    }
                }
            },
            State::Interval => {
                self.interval = Some(u16::from_be_bytes(input.record()?));
                State::Marker
            }
            State::Frame(code) => {
                let header = input.record()?;
                self.frame(code, header)?
            }
            State::Components(left) => {
                let component = input.record()?;
                self.component(component, left)
            }
            State::ScanHeader => {
                let header = input.record()?;
                self.scan_header(header)?
            }
            State::ScanComponents(left) => {
                let component = input.record()?;
                self.scan_component(component, left)
            }
            State::Segment { ref mut left, then } => {
                input.skip(left)?;
                match then {
                    AfterSegment::Marker => State::Marker,
                    AfterSegment::Scan => State::Scan,
                }
            }
            State::Scan => {
                let restarts_left = &mut self.restarts_left;
                input.skip_some(|data| {
                    let clear = without_marker(data);
                    if *restarts_left > 0 {
                        *restarts_left = restarts_left.saturating_sub(count_restarts(data, clear));
                    }
                    clear
                });
                input.skip_past(0xFF)?;
                State::ScanCode
            }
            State::ScanCode => match input.record()? {
                [code] if is_data(code) => {
                    let seen = u64::from(is_restart(code));
                    self.restarts_left = self.restarts_left.saturating_sub(seen);
                    State::Scan
                }
                [0xFF] => State::ScanCode,
                [code] => self.after_scan(code)?,
            },
            State::Ended => return Err(ParseStop::Ended),
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        self.size.filter(|_| matches!(self.state, State::Ended))
    }

    fn displayed(&self) -> Option<Dimensions> {
        let stored = self.size.filter(|_| self.exif.swaps_sides())?;
        Some(stored.turned())
    }

    fn warning(&self) -> Option<ImageWarning> {
        self.has_stray_bytes
            .then_some(ImageWarning::BytesBetweenSegments)
    }
}

#[cfg(test)]
mod tests {
    use crate::outcome::ImageWarning;
    use crate::verify::Defect;
    use crate::verify::testing::{
        HEIGHT, WIDTH, broken, drawn, find, inspect, inspect_in_chunks, patched,
    };

    const FRAME: &[u8] = b"\xff\xc2\0\x0b\x08\0\x05\0\x07\x01\x01\x11\0";
    const SCAN: &[u8] = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0";
    const END: &[u8] = b"\xff\xd9";

    fn jpeg(pieces: &[&[u8]]) -> Vec<u8> {
        [b"\xff\xd8", &pieces.concat()[..]].concat()
    }

    #[test]
    fn progressive_jpeg_with_several_scans_is_accepted() {
        let tables: &[u8] = b"\xff\xff\xff\xc4\0\x04\xff\xd9";
        let app = b"\xff\xe1\0\x06\xff\xd8\xff\xd9";
        let bytes = jpeg(&[
            app,
            FRAME,
            tables,
            SCAN,
            b"a\xff\0b\xff\xd0c\xff\xff\xd7",
            tables,
            SCAN,
            b"\xff\0",
            END,
        ]);
        let content = inspect(&bytes).unwrap();
        assert_eq!((content.width, content.height), (7, 5));
        for end in 3..bytes.len() {
            assert_eq!(
                inspect(&bytes[..end]),
                Err(Defect::Truncated),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn marker_is_found_anywhere_in_a_long_jpeg_scan() {
        let data = b"\xff\0\xff\xd3.".repeat(160);
        for at in 0..data.len() {
            let behind = [0; 600];
            assert!(
                inspect(&jpeg(&[FRAME, SCAN, &data[..at], END, &behind])).is_ok(),
                "behind {at} bytes"
            );
            let wrong = jpeg(&[FRAME, SCAN, &data[..at], b"\xff\x02", &behind]);
            assert_eq!(
                inspect(&wrong),
                broken("a JPEG marker out of place"),
                "behind {at} bytes"
            );
        }
        assert_eq!(
            inspect(&jpeg(&[FRAME, SCAN, &data])),
            Err(Defect::Truncated)
        );
    }

    #[test]
    fn exif_thumbnail_does_not_end_the_jpeg() {
        let real = drawn(image::ImageFormat::Jpeg);
        let segment = [
            b"\xff\xe1",
            &u16::try_from(real.len() + 2).unwrap().to_be_bytes()[..],
            &real,
        ]
        .concat();
        let bytes = [&real[..2], &segment, &real[2..]].concat();
        assert_eq!(
            inspect(&bytes).map(|content| (content.width, content.height)),
            Ok((WIDTH, HEIGHT))
        );
        assert_eq!(inspect(&bytes[..bytes.len() - 2]), Err(Defect::Truncated));
    }

    #[test]
    fn jpeg_segments_out_of_order_are_rejected() {
        let cases: [(&[&[u8]], _); 9] = [
            (&[END, FRAME], "a JPEG without a scan"),
            (&[FRAME, END, SCAN], "a JPEG without a scan"),
            (&[b"\xff\xdb\0\x02", SCAN], "a JPEG scan before its frame"),
            (&[FRAME, FRAME], "a JPEG with two frames"),
            (
                &[FRAME, SCAN, b"\xff\xe0\0\x01"],
                "a JPEG segment shorter than its own length field",
            ),
            (
                &[FRAME, SCAN, b"\xff\xe0\0\x02<html>"],
                "bytes between JPEG segments",
            ),
            (&[b"\xff\xd8"], "a JPEG marker out of place"),
            (
                &[FRAME, SCAN, b"data\xff\x02"],
                "a JPEG marker out of place",
            ),
            (
                &[b"\xff\xc8\0\x02"],
                "a JPEG marker that the format reserves",
            ),
        ];
        for (pieces, what) in cases {
            assert_eq!(inspect(&jpeg(pieces)), broken(what));
        }
    }

    #[test]
    fn stray_bytes_before_the_first_jpeg_scan_are_skipped() {
        let stray: [&[u8]; 8] = [
            b"\0",
            b"<html>",
            b"junk\xff\0junk",
            b"\xff\0",
            b"\xff\xd3",
            b"\xff\xff\xff\0\xff\xff",
            b"\xff\xe0\0\x01",
            b"\xff\xfe\0\0text",
        ];
        for stray in stray {
            let bytes = jpeg(&[b"\xff\xe0\0\x02", stray, FRAME, stray, SCAN, b"data", END]);
            let content = inspect(&bytes).unwrap();
            assert_eq!((content.width, content.height), (7, 5));
            assert_eq!(content.warning, Some(ImageWarning::BytesBetweenSegments));
            for end in 3..bytes.len() {
                assert_eq!(inspect(&bytes[..end]), Err(Defect::Truncated));
            }
        }
        let unknown = jpeg(&[b"\xff\xe0\0\x02junk\xff\x1c", FRAME, SCAN, END]);
        assert_eq!(inspect(&unknown), broken("a JPEG marker out of place"));
    }

    #[test]
    fn jpeg_scan_with_too_few_restart_markers_is_rejected() {
        // 64 x 8 samples of one component are 8 units.
        let frame = patched(FRAME, 5, &[0, 8, 0, 64]);
        let interval = |units| [0xFF, 0xDD, 0, 4, 0, units];
        let too_few = broken("a JPEG scan with too few restart markers");
        for data in [&b"\xff\0\xff\xff\xd0"[..], &b"x".repeat(700)] {
            for (units, needed) in [(0, 0), (1, 7), (3, 2), (4, 1), (7, 1), (8, 0), (9, 0)] {
                let marker = [&b"\xff\xd0"[..], data].concat();
                let count = usize::from(data.ends_with(b"\xd0"));
                for markers in 0..10 {
                    let bytes = jpeg(&[
                        &frame,
                        &interval(units),
                        SCAN,
                        data,
                        &marker.repeat(markers),
                        END,
                    ]);
                    let seen = markers * (1 + count) + count;
                    if seen < needed {
                        assert_eq!(inspect(&bytes), too_few, "{units} {markers}");
                        assert_eq!(inspect_in_chunks(&bytes, 7), too_few);
                        assert_eq!(inspect_in_chunks(&bytes, 301), too_few);
                    } else {
                        assert!(inspect(&bytes).is_ok(), "{units} {markers}");
                        assert!(inspect_in_chunks(&bytes, 301).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn restart_markers_are_not_counted_where_their_number_is_not_known() {
        let frame = patched(FRAME, 5, &[0, 8, 0, 64]);
        let interval = b"\xff\xdd\0\x04\0\x01";
        let lossless = patched(&frame, 1, &[0xC3]);
        let no_sampling = patched(&frame, 11, &[0]);
        let other_component = patched(SCAN, 5, &[9]);
        let long_interval = b"\xff\xdd\0\x05\0\x01\0";
        for pieces in [
            [&lossless[..], interval, SCAN],
            [&no_sampling, interval, SCAN],
            [&frame, interval, &other_component],
            [&frame, long_interval, SCAN],
        ] {
            assert!(inspect(&jpeg(&[&pieces.concat(), b"data", END])).is_ok());
        }
        // A new interval holds from the next scan on.
        let redefined = b"\xff\xdd\0\x04\0\0";
        let seven = b"\xff\xd0".repeat(7);
        let scans = [
            &frame,
            &interval[..],
            SCAN,
            &seven,
            redefined,
            SCAN,
            b"data",
            END,
        ];
        assert!(inspect(&jpeg(&scans)).is_ok());
    }

    #[test]
    fn exif_orientation_swaps_width_and_height() {
        let exif = |value| {
            let tiff = [
                b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
                &[value, 0, 0][..],
            ]
            .concat();
            [b"\xff\xe1\0\x1eExif\0\0", &tiff[..]].concat()
        };
        let size = |pieces: &[&[u8]]| {
            let bytes = jpeg(&[&pieces.concat(), SCAN, b"data", END]);
            let content = inspect(&bytes).unwrap();
            assert_eq!(inspect_in_chunks(&bytes, 3).as_ref(), Ok(&content));
            let stored = content.stored.map(|stored| (stored.width, stored.height));
            assert_eq!(stored, (content.width == 5).then_some((7, 5)));
            assert_eq!(content.warning, None);
            (content.width, content.height)
        };
        let xmp = b"\xff\xe1\0\x06http";
        for value in 1..=8 {
            let want = if value < 5 { (7, 5) } else { (5, 7) };
            assert_eq!(size(&[xmp, &exif(value), &exif(1), FRAME]), want);
            assert_eq!(size(&[FRAME, &exif(value), &exif(6)]), want);
        }
    }

    #[test]
    fn jpeg_headers_of_a_wrong_length_are_rejected() {
        let longer_frame = patched(FRAME, 3, &[12]);
        assert_eq!(
            inspect(&jpeg(&[&longer_frame, SCAN])),
            broken("a JPEG frame header of the wrong length")
        );
        let longer_scan = patched(SCAN, 3, &[9]);
        assert_eq!(
            inspect(&jpeg(&[FRAME, &longer_scan])),
            broken("a JPEG scan header of the wrong length")
        );
    }

    #[test]
    fn jpeg_of_height_zero_or_above_max_pixels_is_rejected() {
        let real = drawn(image::ImageFormat::Jpeg);
        let height = find(&real, b"\xff\xc0") + 5;
        let defect = Defect::NoPixels {
            width: WIDTH,
            height: 0,
        };
        assert_eq!(inspect(&patched(&real, height, &[0, 0])), Err(defect));
        let huge = patched(&real, height, &[0xff; 4]);
        assert_eq!(
            inspect(&huge),
            Err(Defect::TooManyPixels {
                width: 65535,
                height: 65535,
                limit: 200_000_000
            })
        );
    }
}
