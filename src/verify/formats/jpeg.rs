//! JPEG: marker segments, and scans of entropy-coded data in which only a marker begins with `FF`.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::FormatRow;
use crate::outcome::Content;
use crate::verify::Limits;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader, Workspace};
use crate::verify::limits::Dimensions;

pub(super) static ROW: FormatRow = FormatRow {
    name: "JPEG",
    signatures: &[b"\xff\xd8\xff"],
    checker: |limits| Box::new(JpegChecker::new(limits)),
    decoder: Some(FormatDecoder {
        // A progressive one holds its coefficients beside its pixels.
        memory: |width, height| width.saturating_mul(height).saturating_mul(12),
        decode,
    }),
    #[cfg(test)]
    sample: || crate::verify::testing::drawn(image::ImageFormat::Jpeg),
};

/// Accepts any process (baseline, progressive, lossless). A JPEG that states its height after its
/// first scan (`DNL`) is rejected: no encoder in use writes one.
struct JpegChecker {
    limits: Limits,
    state: State,
    size: Option<Dimensions>,
    has_scan: bool,
}

#[derive(Clone, Copy)]
enum State {
    Start,
    /// Expects a marker.
    Marker,
    /// Expects the code of a marker, behind its `FF`.
    Code,
    /// Expects the length of a segment that is skipped.
    Length,
    /// Expects a frame's header, from its length on.
    Frame,
    /// Expects a scan's header, from its length on.
    ScanHeader,
    Segment {
        left: u64,
        then: AfterSegment,
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
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            size: None,
            has_scan: false,
        }
    }

    fn marker(&self, code: u8) -> Result<State, ParseStop> {
        match code {
            // DHT and DAC are tables, though their codes are in the range of the frame headers.
            0xC4 | 0xCC | 0xDB..=0xFE => Ok(State::Length),
            0xC8 => Err(ParseStop::broken("a JPEG marker that the format reserves")),
            0xC0..=0xCF if self.size.is_some() => Err(ParseStop::broken("a JPEG with two frames")),
            0xC0..=0xCF => Ok(State::Frame),
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

    fn frame(&mut self, header: [u8; 8]) -> Result<State, ParseStop> {
        let [l0, l1, _precision, h0, h1, w0, w1, components] = header;
        let left = 3 * u64::from(components);
        if components == 0 || u64::from(u16::from_be_bytes([l0, l1])) != 8 + left {
            return Err(ParseStop::broken("a JPEG frame header of the wrong length"));
        }
        let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
        self.size = Some(self.limits.allow(width.into(), height.into())?);
        Ok(State::Segment {
            left,
            then: AfterSegment::Marker,
        })
    }

    fn scan(&mut self, header: [u8; 3]) -> Result<State, ParseStop> {
        let [l0, l1, components] = header;
        let left = 2 * u64::from(components) + 3;
        if !(1..=4).contains(&components) || u64::from(u16::from_be_bytes([l0, l1])) != 3 + left {
            return Err(ParseStop::broken("a JPEG scan header of the wrong length"));
        }
        self.has_scan = true;
        Ok(State::Segment {
            left,
            then: AfterSegment::Scan,
        })
    }
}

/// Whether the scan continues when this byte follows an `FF`: a stuffed `FF`, or a restart marker.
fn is_data(code: u8) -> bool {
    matches!(code, 0x00 | 0xD0..=0xD7)
}

/// How many of the first bytes of `data` are free of markers, in whole blocks. Testing all pairs of
/// bytes without a branch replaces a search for the next `FF`: one byte in a few hundred is a
/// stuffed `FF`, and stopping at each costs three times as much.
fn without_marker(data: &[u8]) -> usize {
    const BLOCK: usize = 256;
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

impl Checker for JpegChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::Start => {
                input.record::<2>()?;
                State::Marker
            }
            State::Marker => match input.record()? {
                [0xFF] => State::Code,
                [_] => return Err(ParseStop::broken("bytes between JPEG segments")),
            },
            State::Code => {
                let [code] = input.record()?;
                self.marker(code)?
            }
            State::Length => match u64::from(u16::from_be_bytes(input.record()?)).checked_sub(2) {
                Some(left) => State::Segment {
                    left,
                    then: AfterSegment::Marker,
                },
                None => {
                    return Err(ParseStop::broken(
                        "a JPEG segment shorter than its own length field",
                    ));
                }
            },
            State::Frame => {
                let header = input.record()?;
                self.frame(header)?
            }
            State::ScanHeader => {
                let header = input.record()?;
                self.scan(header)?
            }
            State::Segment { ref mut left, then } => {
                input.skip(left)?;
                match then {
                    AfterSegment::Marker => State::Marker,
                    AfterSegment::Scan => State::Scan,
                }
            }
            State::Scan => {
                input.skip_some(without_marker);
                input.skip_past(0xFF)?;
                State::ScanCode
            }
            State::ScanCode => match input.record()? {
                [code] if is_data(code) => State::Scan,
                [0xFF] => State::ScanCode,
                [code] => self.marker(code)?,
            },
            State::Ended => return Err(ParseStop::Ended),
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        self.size.filter(|_| matches!(self.state, State::Ended))
    }
}

fn decode(file: ImageReader<'_>, content: &Content, _: &mut Workspace) -> Result<(), DecodeError> {
    let side = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side(content.width))
        .set_max_height(side(content.height));
    JpegDecoder::new_with_options(file, options)
        .decode()
        .map_err(|error| DecodeError::Damaged(format!("{error:?}")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::verify::Defect;
    use crate::verify::testing::{HEIGHT, WIDTH, broken, drawn, find, inspect, patched};

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
        let cases: [(&[&[u8]], _); 10] = [
            (&[END, FRAME], "a JPEG without a scan"),
            (&[FRAME, END, SCAN], "a JPEG without a scan"),
            (&[b"\xff\xdb\0\x02", SCAN], "a JPEG scan before its frame"),
            (&[FRAME, FRAME], "a JPEG with two frames"),
            (
                &[b"\xff\xe0\0\x01"],
                "a JPEG segment shorter than its own length field",
            ),
            (&[b"\xff\xe0\0\x02<html>"], "bytes between JPEG segments"),
            (&[b"\xff\xd0"], "a JPEG marker out of place"),
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
