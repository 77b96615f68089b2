//! WebP: chunks in a RIFF container, which ends where its length says.

mod decode;

use super::FormatRow;
use crate::verify::Limits;
use crate::verify::checker::{Checker, ParseStop};
use crate::verify::cursor::ByteCursor;
use crate::verify::limits::Dimensions;

pub(super) static ROW: FormatRow = FormatRow {
    signatures: &[b"RIFF????WEBP"],
    checker: |limits| Box::new(WebpChecker::new(limits)),
    decoder: Ok(decode::DECODER),
    #[cfg(test)]
    sample: tests::sample,
};

/// Accepts lossy, lossless and animated images.
struct WebpChecker {
    limits: Limits,
    state: State,
    /// Bytes of the RIFF behind the current chunk.
    left: u64,
    /// Bytes of the current chunk behind its fields, padding included.
    chunk: u64,
    size: Option<Dimensions>,
    has_image: bool,
}

#[derive(Clone, Copy)]
enum State {
    Riff,
    Header,
    /// Expects the fields of `VP8X`: the canvas.
    Canvas,
    /// Expects the fields of `VP8 `: a lossy frame.
    Lossy,
    /// Expects the fields of `VP8L`: a lossless frame.
    Lossless,
    Chunk,
    Ended,
}

const CHUNK_HEADER: u64 = 8;

impl WebpChecker {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Riff,
            left: 0,
            chunk: 0,
            size: None,
            has_image: false,
        }
    }

    fn header(&mut self, kind: [u8; 4], length: u64) -> Result<State, ParseStop> {
        let room = self.left.checked_sub(CHUNK_HEADER);
        let Some(room) = room.filter(|&room| length <= room) else {
            return Err(ParseStop::broken("a WebP chunk longer than its RIFF"));
        };
        // A chunk is padded to an even length; some encoders omit the padding of the last one.
        let padded = (length + length % 2).min(room);
        self.left = room - padded;
        let (fields, state) = match (&kind, self.size) {
            (b"VP8X", None) => (10, State::Canvas),
            (b"VP8 ", _) => (10, State::Lossy),
            (b"VP8L", _) => (5, State::Lossless),
            (_, None) => {
                return Err(ParseStop::broken(
                    "a WebP that does not begin with an image chunk",
                ));
            }
            _ => (0, State::Chunk),
        };
        if length < fields {
            return Err(ParseStop::broken(
                "a WebP image chunk too short for its fields",
            ));
        }
        self.chunk = padded - fields;
        self.has_image |= matches!(&kind, b"VP8 " | b"VP8L" | b"ANMF");
        Ok(state)
    }

    /// Checks a frame's size. It is the image's size unless a canvas came before.
    fn frame(&mut self, width: u32, height: u32) -> Result<State, ParseStop> {
        let frame = self.limits.allow(width, height)?;
        self.size.get_or_insert(frame);
        Ok(State::Chunk)
    }
}

impl Checker for WebpChecker {
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop> {
        self.state = match self.state {
            State::Riff => {
                let [_, _, _, _, l0, l1, l2, l3, _, _, _, _] = input.record::<12>()?;
                let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
                // The length includes the four letters `WEBP` behind it.
                self.left = length
                    .checked_sub(4)
                    .ok_or(ParseStop::broken("a WebP whose RIFF is too short for it"))?;
                State::Header
            }
            State::Header => {
                let [k0, k1, k2, k3, l0, l1, l2, l3] = input.record()?;
                self.header(
                    [k0, k1, k2, k3],
                    u32::from_le_bytes([l0, l1, l2, l3]).into(),
                )?
            }
            State::Canvas => {
                let [_flags, _, _, _, w0, w1, w2, h0, h1, h2] = input.record()?;
                let one_based = |bytes| u32::from_le_bytes(bytes) + 1;
                self.frame(one_based([w0, w1, w2, 0]), one_based([h0, h1, h2, 0]))?
            }
            State::Lossy => match input.record()? {
                [tag, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1] if tag & 1 == 0 => {
                    // The upper two bits are a scaling hint for viewers.
                    let pixels = |bytes| u32::from(u16::from_le_bytes(bytes) & 0x3FFF);
                    self.frame(pixels([w0, w1]), pixels([h0, h1]))?
                }
                _ => return Err(ParseStop::broken("a WebP `VP8 ` chunk without a key frame")),
            },
            State::Lossless => {
                let [signature, b0, b1, b2, b3] = input.record()?;
                let bits = u32::from_le_bytes([b0, b1, b2, b3]);
                // Width - 1 and height - 1 in 14 bits each, one bit for transparency, three for the
                // version.
                if signature != 0x2F || bits >> 29 != 0 {
                    return Err(ParseStop::broken(
                        "a WebP `VP8L` chunk without its signature",
                    ));
                }
                self.frame((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)?
            }
            State::Chunk => {
                input.skip(&mut self.chunk)?;
                match self.left {
                    0 if self.has_image => State::Ended,
                    0 => return Err(ParseStop::broken("a WebP without an image")),
                    _ => State::Header,
                }
            }
            State::Ended => return Err(ParseStop::Ended),
        };
        Ok(())
    }

    fn end(&self) -> Option<Dimensions> {
        self.size.filter(|_| matches!(self.state, State::Ended))
    }
}

#[cfg(test)]
mod tests {
    use crate::verify::Defect;
    use crate::verify::testing::{HEIGHT, WIDTH, broken, inspect, length, patched};

    pub(super) fn sample() -> Vec<u8> {
        webp(&[(b"VP8 ", &lossy_frame()), (b"EXIF", b"odd")])
    }

    /// Chunks in a RIFF, with padding and lengths.
    fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (kind, data) in chunks {
            body.extend_from_slice(*kind);
            body.extend_from_slice(&length(data).to_le_bytes());
            body.extend_from_slice(data);
            body.resize(body.len().next_multiple_of(2), 0);
        }
        [b"RIFF", &length(&body).to_le_bytes()[..], &body].concat()
    }

    /// The header of a lossy key frame, with arbitrary data.
    fn lossy_frame() -> Vec<u8> {
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

    /// A canvas of 300 x 200.
    const CANVAS: &[u8] = b"\x02\0\0\0\x2b\x01\0\xc7\0\0";

    fn size(bytes: &[u8]) -> Result<(u32, u32), Defect> {
        inspect(bytes).map(|content| (content.width, content.height))
    }

    #[test]
    fn size_of_lossy_lossless_and_animated_webp_is_read() {
        let lossless = [
            &[0x2f][..],
            &(0x1000_0000_u32 + (199 << 14) + 299).to_le_bytes(),
            b"data",
        ]
        .concat();
        assert_eq!(
            size(&webp(&[(b"VP8 ", &lossy_frame())])),
            Ok((WIDTH, HEIGHT))
        );
        assert_eq!(size(&webp(&[(b"VP8L", &lossless)])), Ok((300, 200)));
        assert_eq!(
            size(&webp(&[
                (b"VP8X", CANVAS),
                (b"ALPH", b"a"),
                (b"VP8 ", &lossy_frame())
            ])),
            Ok((300, 200))
        );
        assert_eq!(
            size(&webp(&[
                (b"VP8X", CANVAS),
                (b"ANIM", b""),
                (b"ANMF", b"frame")
            ])),
            Ok((300, 200))
        );
    }

    #[test]
    fn webp_ends_where_its_riff_length_says() {
        let bytes = webp(&[
            (b"VP8X", CANVAS),
            (b"VP8 ", &lossy_frame()),
            (b"XMP ", b"odd"),
        ]);
        for end in 1..bytes.len() {
            assert_eq!(
                inspect(&bytes[..end]),
                Err(Defect::Truncated),
                "cut at {end}"
            );
        }
        let unpadded = patched(&bytes[..bytes.len() - 1], 4, &[bytes[4] - 1]);
        assert!(inspect(&unpadded).is_ok());
        let endless = patched(&bytes, 4, &[0xff; 4]);
        assert_eq!(inspect(&endless), Err(Defect::Truncated));
    }

    #[test]
    fn webp_chunks_out_of_order_are_rejected() {
        let cases = [
            (
                webp(&[(b"EXIF", b""), (b"VP8 ", &lossy_frame())]),
                "a WebP that does not begin with an image chunk",
            ),
            (
                webp(&[(b"VP8X", CANVAS), (b"ANIM", b"")]),
                "a WebP without an image",
            ),
            (
                webp(&[(b"VP8 ", b"short")]),
                "a WebP image chunk too short for its fields",
            ),
            (
                webp(&[(b"VP8 ", &patched(&lossy_frame(), 0, &[1]))]),
                "a WebP `VP8 ` chunk without a key frame",
            ),
            (
                webp(&[(b"VP8 ", &patched(&lossy_frame(), 3, &[0]))]),
                "a WebP `VP8 ` chunk without a key frame",
            ),
            (
                webp(&[(b"VP8L", b"\x2e\0\0\0\0")]),
                "a WebP `VP8L` chunk without its signature",
            ),
            (
                b"RIFF\0\0\0\0WEBP".to_vec(),
                "a WebP whose RIFF is too short for it",
            ),
            (
                b"RIFF\x0b\0\0\0WEBPVP8 \0\0\0\0".to_vec(),
                "a WebP chunk longer than its RIFF",
            ),
            (
                b"RIFF\x0c\0\0\0WEBPVP8 \xff\xff\xff\xff".to_vec(),
                "a WebP chunk longer than its RIFF",
            ),
        ];
        for (bytes, what) in cases {
            assert_eq!(inspect(&bytes), broken(what));
        }
    }

    #[test]
    fn webp_frame_and_canvas_are_checked_against_max_pixels() {
        let huge = patched(&lossy_frame(), 6, &[0xff; 4]);
        let defect = Defect::TooManyPixels {
            width: 0x3fff,
            height: 0x3fff,
            limit: 200_000_000,
        };
        assert_eq!(
            inspect(&webp(&[(b"VP8X", CANVAS), (b"VP8 ", &huge)])),
            Err(defect)
        );
        let vast = patched(CANVAS, 4, &[0xff; 6]);
        assert!(matches!(
            inspect(&webp(&[(b"VP8X", &vast)])),
            Err(Defect::TooManyPixels {
                width: 0x100_0000,
                ..
            })
        ));
    }
}
