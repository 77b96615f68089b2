//! What an AVIF's `meta` box says of its primary item: its size, its turn, and where its data are.
//! The boxes are ISO/IEC 14496-12 (`pitm` 8.11.4, `iloc` 8.11.3) and ISO/IEC 23008-12 (`iprp` 9.3,
//! `ispe` 6.5.3, `irot` 6.5.10).

use crate::verify::checker::ParseStop;

/// The boxes of a `meta` box that describe its items, without their headers; empty while they have
/// not been seen.
#[derive(Default)]
pub(super) struct ItemBoxes {
    pub(super) primary: Vec<u8>,
    pub(super) locations: Vec<u8>,
    pub(super) properties: Vec<u8>,
    /// The length of `idat`, in bytes.
    pub(super) own_data: Option<u64>,
}

/// How large an item is, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ItemSize {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Turned by a quarter or three quarters for display.
    pub(super) is_turned: bool,
}

impl ItemBoxes {
    /// The primary item's size. The file may hold larger items that are not displayed: a gain map,
    /// the layers of a pyramid.
    pub(super) fn primary_size(&self) -> Result<ItemSize, ParseStop> {
        let id = self
            .primary_id()
            .ok_or(ParseStop::broken("an AVIF without a primary item"))?;
        let no_size = || ParseStop::broken("an AVIF whose primary item has no size");
        let mut properties = Vec::new();
        let mut associated = Vec::new();
        for (kind, content) in boxes(&self.properties) {
            match &kind {
                b"ipco" => properties = boxes(content).collect(),
                b"ipma" => associated.extend(associations(content, id).ok_or_else(no_size)?),
                _ => {}
            }
        }
        let mut size = None;
        let mut is_turned = false;
        // Properties are numbered from 1; 0 stands for none.
        for index in associated
            .into_iter()
            .filter_map(|index| index.checked_sub(1))
        {
            let property: Option<&([u8; 4], &[u8])> = properties.get(index);
            match property.map(|(kind, content)| (kind.as_slice(), *content)) {
                Some((b"ispe", content)) => {
                    let mut fields = Fields(content);
                    size = fields.skip(4).and_then(|()| fields.u32().zip(fields.u32()));
                }
                Some((b"irot", [angle, ..])) => is_turned = angle & 1 == 1,
                _ => {}
            }
        }
        let (width, height) = size.ok_or_else(no_size)?;
        Ok(ItemSize {
            width,
            height,
            is_turned,
        })
    }

    /// Whether all data of the primary item lie inside a file of `length` bytes.
    pub(super) fn primary_data_end_before(&self, length: u64) -> bool {
        let Some(extents) = self
            .primary_id()
            .and_then(|id| extents(&self.locations, id))
        else {
            return false;
        };
        extents.into_iter().all(|extent| {
            let end = extent.offset.checked_add(extent.length);
            match extent.method {
                // Offsets in the file; a length of 0 means everything behind it.
                0 => end.is_some_and(|end| end <= length),
                // Offsets in `idat`.
                1 => self
                    .own_data
                    .zip(end)
                    .is_some_and(|(data, end)| end <= data),
                // Offsets in the data of other items.
                _ => true,
            }
        })
    }

    fn primary_id(&self) -> Option<u32> {
        let mut fields = Fields(&self.primary);
        match fields.version()? {
            0 => fields.u16().map(u32::from),
            _ => fields.u32(),
        }
    }
}

/// A piece of an item's data.
struct Extent {
    /// `construction_method`: what the offset counts in.
    method: u16,
    offset: u64,
    length: u64,
}

/// The extents of the item `id` in an `iloc` box; none if it names no such item, or is cut off.
fn extents(locations: &[u8], id: u32) -> Option<Vec<Extent>> {
    let mut fields = Fields(locations);
    let version = fields.version()?;
    let [sizes, more_sizes] = fields.u16()?.to_be_bytes();
    let (offset_size, length_size) = (sizes >> 4, sizes & 15);
    let (base_size, index_size) = (more_sizes >> 4, more_sizes & 15);
    let index_size = if version == 0 { 0 } else { index_size };
    let wide = version >= 2;
    let extent_bytes = usize::from(index_size + offset_size + length_size);
    // Each turn reads some bytes or ends: the loop is bounded by the box.
    for _ in 0..fields.count(wide)? {
        let item = fields.count(wide)?;
        let method = if version == 0 { 0 } else { fields.u16()? & 15 };
        let _data_reference = fields.u16()?;
        let base = fields.sized(base_size)?;
        let count = fields.u16()?;
        if item != id {
            fields.skip(usize::from(count) * extent_bytes)?;
            continue;
        }
        // Extents without bytes are all the same one.
        let count = if extent_bytes == 0 {
            count.min(1)
        } else {
            count
        };
        let mut extents = Vec::new();
        for _ in 0..count {
            fields.sized(index_size)?;
            let offset = base.checked_add(fields.sized(offset_size)?)?;
            let length = fields.sized(length_size)?;
            extents.push(Extent {
                method,
                offset,
                length,
            });
        }
        return Some(extents).filter(|extents| !extents.is_empty());
    }
    None
}

/// The numbers of the properties that an `ipma` box gives to the item `id`.
fn associations(content: &[u8], id: u32) -> Option<Vec<usize>> {
    let mut fields = Fields(content);
    let [version, .., flags] = fields.u32()?.to_be_bytes();
    let mut found = Vec::new();
    for _ in 0..fields.u32()? {
        let item = fields.count(version >= 1)?;
        for _ in 0..fields.u8()? {
            // The first bit says whether a reader must understand the property.
            let index = if flags & 1 == 1 {
                fields.u16()? & 0x7fff
            } else {
                u16::from(fields.u8()? & 0x7f)
            };
            if item == id {
                found.push(usize::from(index));
            }
        }
    }
    Some(found)
}

/// The boxes that `bytes` consists of: kind and content. It ends at a box that is cut off.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = bytes.split_first_chunk::<8>()?;
        let [l0, l1, l2, l3, kind @ ..] = *header;
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).ok()?;
        let content = bytes.get(8..length)?;
        bytes = &bytes[length..];
        Some((kind, content))
    })
}

/// Reads big-endian numbers from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// The version of a full box; the flags behind it are skipped.
    fn version(&mut self) -> Option<u8> {
        self.take::<4>().map(|[version, ..]| version)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// A count or an id, of 32 bits in later versions of a box and of 16 in earlier ones.
    fn count(&mut self, wide: bool) -> Option<u32> {
        if wide {
            self.u32()
        } else {
            self.u16().map(u32::from)
        }
    }

    /// A number of 0, 4 or 8 bytes.
    fn sized(&mut self, size: u8) -> Option<u64> {
        match size {
            0 => Some(0),
            4 => self.u32().map(u64::from),
            8 => self.take().map(u64::from_be_bytes),
            _ => None,
        }
    }
}
