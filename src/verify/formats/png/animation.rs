//! Finds the frames of an APNG before they are decoded (PNG, third edition, section 11.3.6): the
//! crate `png` refuses a file for a wrong number in them, where viewers show what is there.

use std::io::{self, BufRead, Seek, SeekFrom};

/// The animation of a PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Animation {
    /// So many frames follow the first picture; none, if nothing moves.
    Frames(u32),
    /// It has chunks of an animation that do not follow its rules.
    Irregular,
}

/// Reads the chunks' headers, and the fields of those that belong to an animation. The file is
/// read from its start, and known to consist of whole chunks.
pub(super) fn find(file: &mut (impl BufRead + Seek)) -> io::Result<Animation> {
    let mut frames = FrameCounter::default();
    let mut at = 8;
    file.seek(SeekFrom::Start(at))?;
    while !file.fill_buf()?.is_empty() {
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let [l0, l1, l2, l3, kind @ ..] = header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let mut fields = [0; 26];
        let read = match &kind {
            b"IHDR" | b"acTL" => 8,
            b"fcTL" => 26,
            b"fdAT" => 4,
            b"IEND" => break,
            _ => 0,
        };
        let is_long_enough = read <= length as usize;
        if is_long_enough {
            file.read_exact(&mut fields[..read])?;
        }
        if !is_long_enough || !frames.is_in_order(kind, length, &fields) {
            return Ok(Animation::Irregular);
        }
        let end = at + 8 + u64::from(length) + 4;
        let rest = end - at - 8 - read as u64;
        file.seek_relative(i64::try_from(rest).unwrap_or(i64::MAX))?;
        at = end;
    }
    Ok(frames.found())
}

/// What was seen of an animation so far.
#[derive(Default)]
struct FrameCounter {
    canvas: (u32, u32),
    /// The number of frames that is announced.
    announced: Option<u32>,
    /// The number that the next frame or piece of its data must have.
    sequence: u32,
    has_pixels: bool,
    /// Whether the first picture is a frame too.
    starts_with_picture: bool,
    data: FrameData,
    /// The frames behind the first picture whose data came.
    frames: u32,
}

/// What comes next of a frame's data.
#[derive(Default, PartialEq, Eq)]
enum FrameData {
    /// Nothing, before a frame is described.
    #[default]
    None,
    /// Its first piece.
    First,
    /// Maybe more of it.
    More,
}

impl FrameCounter {
    /// Takes the next chunk; false when it breaks a rule.
    fn is_in_order(&mut self, kind: [u8; 4], length: u32, fields: &[u8; 26]) -> bool {
        let number = |at: usize| {
            u32::from_be_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]])
        };
        if self.data == FrameData::More && kind != *b"fdAT" {
            self.data = FrameData::None;
        }
        match &kind {
            b"IHDR" => self.canvas = (number(0), number(4)),
            b"IDAT" => {
                if !self.has_pixels && self.data == FrameData::First {
                    self.starts_with_picture = true;
                    self.data = FrameData::None;
                }
                self.has_pixels = true;
            }
            // One behind the pixels is ignored, as the specification says.
            b"acTL" if !self.has_pixels => {
                return length == 8 && self.announced.replace(number(0)).is_none();
            }
            b"fcTL" => {
                if length != 26 || self.data == FrameData::First || !self.is_next(number(0)) {
                    return false;
                }
                let (width, height) = (number(4), number(8));
                let fits = |offset: u32, side: u32, canvas: u32| {
                    side > 0 && offset.checked_add(side).is_some_and(|end| end <= canvas)
                };
                let is_inside = fits(number(12), width, self.canvas.0)
                    && fits(number(16), height, self.canvas.1)
                    && (self.has_pixels || (width, height) == self.canvas);
                if !is_inside || fields[24] > 2 || fields[25] > 1 {
                    return false;
                }
                self.data = FrameData::First;
            }
            b"fdAT" => {
                if !self.has_pixels || self.data == FrameData::None {
                    return false;
                }
                if !self.is_next(number(0)) {
                    return false;
                }
                self.frames += u32::from(self.data == FrameData::First);
                self.data = FrameData::More;
            }
            _ => {}
        }
        true
    }

    fn is_next(&mut self, sequence: u32) -> bool {
        let is_next = sequence == self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        is_next
    }

    fn found(&self) -> Animation {
        let is_animated = self.announced.is_some_and(|announced| announced > 0);
        match self.announced {
            // The crate follows these chunks all the same.
            _ if !is_animated && self.sequence > 0 => Animation::Irregular,
            _ if self.data == FrameData::First => Animation::Irregular,
            Some(announced) if i32::try_from(announced).is_err() => Animation::Irregular,
            Some(announced) => {
                let announced = announced.saturating_sub(self.starts_with_picture.into());
                Animation::Frames(self.frames.min(announced))
            }
            None => Animation::Frames(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::verify::testing::{find, inspect, patched};
    use crate::verify::{DecodeResult, Decoder, Defect, Limits};

    /// An animation of three frames.
    fn animated() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
        encoder.set_animated(3, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        for shade in 0..3 {
            writer.write_image_data(&[shade; 16]).unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    /// The bytes with `patch` at `place` of the chunk that begins at `at`, and its checksum right.
    fn with_fields(bytes: &[u8], at: usize, place: usize, patch: &[u8]) -> Vec<u8> {
        let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
        let bytes = patched(bytes, at + 4 + place, patch);
        let end = at + 4 + length;
        let checksum = crc32fast::hash(&bytes[at..end]);
        patched(&bytes, end, &checksum.to_be_bytes())
    }

    fn last(bytes: &[u8], kind: &[u8]) -> usize {
        let mut windows = bytes.windows(kind.len());
        windows.rposition(|window| window == kind).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<DecodeResult, Defect> {
        let content = inspect(bytes).expect("its structure is valid");
        Decoder::new(Limits::default()).decode(Cursor::new(bytes), &content)
    }

    fn frames(bytes: &[u8]) -> Animation {
        find_in(bytes).unwrap()
    }

    fn find_in(bytes: &[u8]) -> io::Result<Animation> {
        super::find(&mut Cursor::new(bytes))
    }

    #[test]
    fn apng_with_another_number_of_frames_than_announced_is_decoded() {
        let bytes = animated();
        assert_eq!(frames(&bytes), Animation::Frames(2));
        for (announced, frames_behind) in [(1, 0), (2, 1), (7, 2)] {
            let odd = with_fields(&bytes, find(&bytes, b"acTL"), 0, &[0, 0, 0, announced]);
            assert_eq!(frames(&odd), Animation::Frames(frames_behind));
            assert_eq!(decode(&odd), Ok(DecodeResult::Complete), "{announced}");
        }
    }

    #[test]
    fn apng_that_breaks_the_rules_of_animations_is_undecoded_not_damaged() {
        let bytes = animated();
        let (control, first) = (find(&bytes, b"acTL"), find(&bytes, b"fcTL"));
        let (frame, data) = (last(&bytes, b"fcTL"), last(&bytes, b"fdAT"));
        for odd in [
            // Sequence numbers that repeat, or leave one out.
            with_fields(&bytes, data, 3, &[3]),
            with_fields(&bytes, data, 3, &[9]),
            with_fields(&bytes, first, 3, &[1]),
            // A frame of no width, one beyond the canvas, an unknown way to draw.
            with_fields(&bytes, frame, 7, &[0]),
            with_fields(&bytes, frame, 15, &[1]),
            with_fields(&bytes, frame, 25, &[2]),
            // Frames, and no animation.
            with_fields(&bytes, control, 0, &[0; 4]),
        ] {
            assert_eq!(frames(&odd), Animation::Irregular);
            let result = decode(&odd);
            assert!(
                matches!(&result, Ok(DecodeResult::NotDecoded(why)) if why.contains("APNG")),
                "{result:?}"
            );
        }
    }

    #[test]
    fn apng_whose_pixels_are_wrong_is_damaged_even_if_its_animation_is_irregular() {
        let bytes = animated();
        let wrong = |bytes: &[u8], kind: &[u8], place: usize| {
            with_fields(bytes, last(bytes, kind), place, &[0xFF, 0xFF])
        };
        let irregular = with_fields(&bytes, last(&bytes, b"fdAT"), 3, &[9]);
        for damaged in [
            wrong(&bytes, b"fdAT", 6),
            wrong(&bytes, b"IDAT", 2),
            wrong(&irregular, b"IDAT", 2),
        ] {
            let result = decode(&damaged);
            assert!(
                matches!(result, Err(Defect::Undecodable { .. })),
                "{result:?}"
            );
        }
    }
}
