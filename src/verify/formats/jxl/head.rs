//! The first fields of a JPEG XL codestream: its size, its orientation, and the fields behind them
//! that only certain values are valid for (ISO/IEC 18181-1, annexes B and D).

use crate::verify::checker::ParseStop;

/// What the head of a codestream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Pixels across, before the orientation is applied.
    pub(super) width: u32,
    /// Pixels down, before the orientation is applied.
    pub(super) height: u32,
    /// Whether the orientation swaps width and height.
    pub(super) transposed: bool,
}

/// More bytes than the fields that are read here can take: two sizes, a preview, an animation, and
/// what follows them up to the first list of a length of its own.
pub(super) const LONGEST_HEAD: usize = 64;

/// Reads the head of a codestream from its first bytes.
///
/// # Errors
///
/// `NeedMore` when the bytes end before the head does.
pub(super) fn read(codestream: &[u8]) -> Result<Head, ParseStop> {
    let mut bits = BitReader {
        bytes: codestream,
        at: 0,
    };
    if bits.take(16)? != 0x0AFF {
        return Err(ParseStop::broken(
            "a JPEG XL codestream without its signature",
        ));
    }
    let (width, height) = bits.size()?;
    let mut transposed = false;
    let all_default = bits.flag()?;
    if !all_default {
        let has_extra_fields = bits.flag()?;
        if has_extra_fields {
            // 1 to 8 in EXIF's numbers, of which 5 to 8 swap the sides.
            transposed = bits.take(3)? >= 4;
            bits.extra_fields()?;
        }
        bits.samples()?;
    }
    Ok(Head {
        width,
        height,
        transposed,
    })
}

/// Reads fields of some bits each, of which the lowest bit of a byte comes first.
struct BitReader<'a> {
    bytes: &'a [u8],
    /// The position of the next bit.
    at: usize,
}

/// One of the four ways in which a variable number is written: so many bits, added to a number.
type Choice = (u32, u32);

impl BitReader<'_> {
    /// The next `count` bits as a number.
    fn take(&mut self, count: u32) -> Result<u32, ParseStop> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or(ParseStop::NeedMore)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Ok(value)
    }

    fn flag(&mut self) -> Result<bool, ParseStop> {
        Ok(self.take(1)? == 1)
    }

    /// A number in one of four forms, which two bits select: `U32` of the specification.
    fn number(&mut self, forms: [Choice; 4]) -> Result<u32, ParseStop> {
        let (bits, offset) = match self.take(2)? {
            0 => forms[0],
            1 => forms[1],
            2 => forms[2],
            _ => forms[3],
        };
        // 30 bits at most are read for a field that has an offset.
        Ok(self.take(bits)?.saturating_add(offset))
    }

    /// A number that must be one of `valid`: `Enum` of the specification.
    fn word(&mut self, valid: &[u32], what: &'static str) -> Result<u32, ParseStop> {
        let value = self.number([(0, 0), (0, 1), (4, 2), (6, 18)])?;
        if valid.contains(&value) {
            Ok(value)
        } else {
            Err(ParseStop::broken(what))
        }
    }

    /// Width and height: `SizeHeader`.
    fn size(&mut self) -> Result<(u32, u32), ParseStop> {
        const SIDE: [Choice; 4] = [(9, 1), (13, 1), (18, 1), (30, 1)];
        let in_eights = self.flag()?;
        let side = |bits: &mut Self| {
            if in_eights {
                Ok((bits.take(5)? + 1) * 8)
            } else {
                bits.number(SIDE)
            }
        };
        let height = side(self)?;
        let width = match self.take(3)? {
            0 => side(self)?,
            ratio => width_by_ratio(height, ratio),
        };
        Ok((width, height))
    }

    /// What follows the orientation: the intrinsic size, the preview's size and the animation's
    /// pace, each behind a bit that says whether it is there.
    fn extra_fields(&mut self) -> Result<(), ParseStop> {
        if self.flag()? {
            self.size()?;
        }
        if self.flag()? {
            self.preview()?;
        }
        if self.flag()? {
            self.number([(0, 100), (0, 1000), (10, 1), (30, 1)])?;
            self.number([(0, 1), (0, 1001), (8, 1), (10, 1)])?;
            self.number([(0, 0), (3, 0), (16, 0), (32, 0)])?;
            self.flag()?;
        }
        Ok(())
    }

    /// The size of the preview: `PreviewHeader`.
    fn preview(&mut self) -> Result<(), ParseStop> {
        const EIGHTS: [Choice; 4] = [(0, 16), (0, 32), (5, 1), (9, 33)];
        const PIXELS: [Choice; 4] = [(6, 1), (8, 65), (10, 321), (12, 1345)];
        let forms = if self.flag()? { EIGHTS } else { PIXELS };
        self.number(forms)?;
        if self.take(3)? == 0 {
            self.number(forms)?;
        }
        Ok(())
    }

    /// How samples are written and what color they mean. These fields are read for their invalid
    /// values alone: without them, a signature of two bytes and any others would be an image. They
    /// end where a list of channels with names, or of numbers for a color space, begins.
    fn samples(&mut self) -> Result<(), ParseStop> {
        self.bit_depth()?;
        self.flag()?;
        let channels = self.number([(0, 0), (0, 1), (4, 2), (12, 1)])?;
        if channels > 1 || channels == 1 && !self.flag()? {
            return Ok(());
        }
        self.flag()?;
        self.color_encoding()
    }

    fn bit_depth(&mut self) -> Result<(), ParseStop> {
        let valid = if self.flag()? {
            let bits = self.number([(0, 32), (0, 16), (0, 24), (6, 1)])?;
            let exponent = self.take(4)? + 1;
            (2..=8).contains(&exponent) && (3..=24).contains(&bits.saturating_sub(exponent))
        } else {
            self.number([(0, 8), (0, 10), (0, 12), (6, 1)])? <= 31
        };
        if valid {
            Ok(())
        } else {
            Err(ParseStop::broken("a JPEG XL with an impossible bit depth"))
        }
    }

    fn color_encoding(&mut self) -> Result<(), ParseStop> {
        const WHAT: &str = "a JPEG XL with an impossible color encoding";
        const XYB: u32 = 2;
        const CUSTOM: u32 = 2;
        let all_default = self.flag()?;
        if all_default {
            return Ok(());
        }
        let has_profile = self.flag()?;
        let space = self.word(&[0, 1, XYB, 3], WHAT)?;
        if has_profile || space == XYB {
            return Ok(());
        }
        let white_point = self.word(&[1, CUSTOM, 10, 11], WHAT)?;
        if white_point != CUSTOM && space == 0 {
            self.word(&[1, CUSTOM, 9, 11], WHAT)?;
        }
        Ok(())
    }
}

/// The width of a picture whose sides have one of seven common ratios.
fn width_by_ratio(height: u32, ratio: u32) -> u32 {
    let (across, down) = match ratio {
        1 => (1, 1),
        2 => (12, 10),
        3 => (4, 3),
        4 => (3, 2),
        5 => (16, 9),
        6 => (5, 4),
        _ => (2, 1),
    };
    let width = u64::from(height) * across / down;
    u32::try_from(width).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Defect;

    /// Writes fields as [`BitReader`] reads them: each a number of so many bits.
    fn written(fields: &[(u32, u32)]) -> Vec<u8> {
        let bits = fields
            .iter()
            .flat_map(|&(count, value)| (0..count).map(move |place| value >> place & 1))
            .collect::<Vec<_>>();
        let bytes = bits.chunks(8).map(|bits| {
            let value = bits.iter().rev().fold(0, |value, bit| value << 1 | bit);
            value.to_le_bytes()[0]
        });
        [0xFF, 0x0A].into_iter().chain(bytes).collect()
    }

    fn size(fields: &[(u32, u32)]) -> (u32, u32) {
        let all_default = [(1, 1)];
        let head = read(&written(&[fields, &all_default].concat())).unwrap();
        (head.width, head.height)
    }

    #[test]
    fn jxl_size_is_read_in_all_its_forms() {
        assert_eq!(size(&[(1, 1), (5, 12), (3, 0), (5, 24)]), (200, 104));
        assert_eq!(size(&[(1, 1), (5, 0), (3, 7)]), (16, 8));
        for (form, bits, height) in [
            (0, 9, 512),
            (1, 13, 1080),
            (2, 18, 200_000),
            (3, 30, 1 << 30),
        ] {
            assert_eq!(
                size(&[
                    (1, 0),
                    (2, form),
                    (bits, height - 1),
                    (3, 0),
                    (2, 0),
                    (9, 6)
                ]),
                (7, height)
            );
        }
        for (ratio, width) in [
            (1, 1080),
            (2, 1296),
            (3, 1440),
            (4, 1620),
            (5, 1920),
            (6, 1350),
            (7, 2160),
        ] {
            assert_eq!(
                size(&[(1, 0), (2, 1), (13, 1079), (3, ratio)]),
                (width, 1080)
            );
        }
        let widest = size(&[(1, 0), (2, 3), (30, (1 << 30) - 1), (3, 7)]);
        assert_eq!(widest, (1 << 31, 1 << 30));
    }

    /// A picture of 8 x 8 whose metadata are these.
    fn with_metadata(fields: &[(u32, u32)]) -> Result<Head, ParseStop> {
        let size = [(1, 1), (5, 0), (3, 1)];
        read(&written(&[&size[..], fields, &[(32, 0)]].concat()))
    }

    #[test]
    fn jxl_orientation_swaps_the_sides_from_5_to_8() {
        for orientation in 1..=8 {
            // Extra fields of which none but the orientation is there, 8 bits, no channel, sRGB.
            let fields = [
                (1, 0),
                (1, 1),
                (3, orientation - 1),
                (3, 0),
                (1, 0),
                (2, 0),
                (1, 1),
                (2, 0),
                (1, 1),
                (1, 1),
            ];
            let head = with_metadata(&fields).unwrap();
            assert_eq!(head.transposed, orientation >= 5, "{orientation}");
        }
    }

    #[test]
    fn jxl_preview_and_animation_are_read_over() {
        let preview = [(1, 1), (2, 2), (5, 3), (3, 0), (2, 0)];
        let animation = [(2, 3), (30, 24), (2, 1), (2, 1), (3, 5), (1, 1)];
        let rest = [(1, 0), (2, 3), (6, 31), (1, 1), (2, 0), (1, 0), (1, 1)];
        let fields = [
            &[
                (1, 0),
                (1, 1),
                (3, 0),
                (1, 1),
                (1, 1),
                (5, 3),
                (3, 1),
                (1, 1),
            ],
            &preview[..],
            &[(1, 1)],
            &animation,
        ]
        .concat();
        assert!(matches!(
            with_metadata(&[&fields[..], &rest].concat()),
            Err(ParseStop::Rejected(Defect::BadStructure { what })) if what.contains("bit depth")
        ));
        let valid = [(1, 0), (2, 3), (6, 30), (1, 1), (2, 0), (1, 0), (1, 1)];
        assert!(with_metadata(&[&fields[..], &valid].concat()).is_ok());
    }

    #[test]
    fn zeros_and_impossible_fields_are_no_jxl_head() {
        let zeros = read(&[&[0xFF, 0x0A][..], &[0; 40]].concat());
        assert!(matches!(
            zeros,
            Err(ParseStop::Rejected(Defect::BadStructure { what })) if what.contains("color")
        ));
        let no_exponent = with_metadata(&[(1, 0), (1, 0), (1, 1), (2, 0), (4, 0)]);
        assert!(matches!(no_exponent, Err(ParseStop::Rejected(_))));
        let half_float = with_metadata(&[
            (1, 0),
            (1, 0),
            (1, 1),
            (2, 1),
            (4, 4),
            (1, 1),
            (2, 2),
            (4, 0),
        ]);
        assert!(half_float.is_ok());
    }

    #[test]
    fn longest_jxl_head_fits_its_buffer() {
        let size = [(1, 0), (2, 3), (30, 9), (3, 0), (2, 3), (30, 9)];
        let preview = [(1, 0), (2, 3), (12, 9), (3, 0), (2, 3), (12, 9)];
        let animation = [(2, 3), (30, 9), (2, 3), (10, 9), (2, 3), (32, 9), (1, 0)];
        let fields = [
            &size[..],
            &[(1, 0), (1, 1), (3, 0), (1, 1)],
            &size,
            &[(1, 1)],
            &preview,
            &[(1, 1)],
            &animation,
            // A float, one channel, and a color encoding whose words are the longest.
            &[
                (1, 1),
                (2, 3),
                (6, 31),
                (4, 7),
                (1, 1),
                (2, 1),
                (1, 1),
                (1, 0),
            ],
            &[(1, 0), (1, 0), (2, 3), (6, 0)],
        ]
        .concat();
        let bytes = written(&fields);
        assert!(bytes.len() + 4 < LONGEST_HEAD, "{}", bytes.len());
        assert!(matches!(read(&bytes), Err(ParseStop::Rejected(_))));
        assert!(matches!(read(&bytes[..30]), Err(ParseStop::NeedMore)));
    }
}
