//! What EXIF metadata says of how an image is displayed. EXIF is a TIFF file without pixels; only
//! its first directory is read here, and of it only the orientation.

/// The tag of the orientation: TIFF 6.0, section 8, "Orientation".
const ORIENTATION: u16 = 0x0112;

/// A value of the type SHORT: 16 bits.
const SHORT: u16 = 3;

/// Each entry of a directory is so long, in bytes.
const ENTRY: usize = 12;

/// The orientation that `tiff` states, 1 to 8; from 5 on width and height are exchanged when the
/// image is displayed. `tiff` begins with the byte order, behind the `Exif\0\0` that some formats
/// put in front. It may be cut off or hostile: what cannot be read says nothing.
pub(super) fn orientation(tiff: &[u8]) -> Option<u8> {
    let tiff = Tiff {
        bytes: tiff,
        little_endian: match tiff.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        },
    };
    let directory = usize::try_from(tiff.long(4)?).ok()?;
    let entries = usize::from(tiff.short(directory)?);
    // At most 65,535 entries: the loop is bounded, and ends with the bytes.
    let entry = (0..entries)
        .map_while(|index| directory.checked_add(2 + index * ENTRY))
        .map_while(|at| Some((at, tiff.short(at)?)))
        .find(|&(_, tag)| tag == ORIENTATION)
        .map(|(at, _)| at)?;
    let is_one_short = tiff.short(entry + 2)? == SHORT && tiff.long(entry + 4)? == 1;
    let value = tiff.short(entry + 8).filter(|_| is_one_short)?;
    u8::try_from(value)
        .ok()
        .filter(|value| (1..=8).contains(value))
}

/// Numbers of a TIFF file, in its byte order.
struct Tiff<'a> {
    bytes: &'a [u8],
    little_endian: bool,
}

impl Tiff<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// EXIF metadata with one entry in front of the orientation.
    fn tiff(little_endian: bool, kind: u16, count: u32, value: u16) -> Vec<u8> {
        let short = |value: u16| {
            if little_endian {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let long = |value: u32| {
            if little_endian {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let mut bytes = if little_endian { *b"II*\0" } else { *b"MM\0*" }.to_vec();
        // One byte that nobody refers to stands in front of the directory.
        bytes.extend(long(9));
        bytes.push(0xFF);
        bytes.extend(short(2));
        for (tag, kind, count, value) in [(0x0100, 3, 1, 40), (ORIENTATION, kind, count, value)] {
            bytes.extend([short(tag), short(kind)].concat());
            bytes.extend(long(count));
            bytes.extend([short(value), short(0)].concat());
        }
        bytes.extend(long(0));
        bytes
    }

    #[test]
    fn exif_orientation_is_read_in_both_byte_orders() {
        for little_endian in [true, false] {
            for value in 1..=8 {
                let bytes = tiff(little_endian, SHORT, 1, value.into());
                assert_eq!(orientation(&bytes), Some(value));
            }
        }
    }

    #[test]
    fn exif_orientation_of_another_type_count_or_value_says_nothing() {
        for (kind, count, value) in [(4, 1, 6), (3, 2, 6), (3, 1, 0), (3, 1, 9), (3, 1, 0x0106)] {
            for little_endian in [true, false] {
                let bytes = tiff(little_endian, kind, count, value);
                assert_eq!(orientation(&bytes), None, "{kind} {count} {value}");
            }
        }
        assert_eq!(orientation(b"XX*\0\0\0\0\x08\0\0"), None);
        let without = tiff(true, SHORT, 1, 6);
        assert_eq!(
            orientation(&[&without[..9], &[1, 0], &without[11..]].concat()),
            None
        );
    }

    #[test]
    fn exif_that_is_cut_off_or_points_outside_says_nothing() {
        let bytes = tiff(false, SHORT, 1, 6);
        let end = bytes.len() - 6;
        for cut in 0..end {
            assert_eq!(orientation(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(orientation(&bytes[..end]), Some(6));
        for offset in [100, u32::MAX, u32::MAX - 1] {
            let outside = [&bytes[..4], &offset.to_be_bytes()[..], &bytes[8..]].concat();
            assert_eq!(orientation(&outside), None);
        }
    }

    proptest! {
        #[test]
        fn hostile_exif_never_panics(order in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let head: &[u8] = if order { b"II*\0\x08\0\0\0" } else { b"MM\0*\0\0\0\x08" };
            let value = orientation(&[head, &bytes].concat());
            prop_assert!(value.is_none_or(|value| (1..=8).contains(&value)));
        }
    }
}
