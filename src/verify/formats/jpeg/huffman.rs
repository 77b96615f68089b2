//! Huffman tables: what each code stands for, looked up by the bits that come next.

/// Codes up to this length, in bits, are found in one look; nearly all codes of a scan are shorter.
const LOOKUP_BITS: u32 = 9;

/// The longest code, in bits.
const LONGEST: usize = 16;

/// A table as `DHT` gives it: how many codes there are of each length, and what they stand for.
#[derive(Clone, Copy)]
pub(super) struct TableSpec<'a> {
    pub(super) counts: [u8; LONGEST],
    pub(super) symbols: &'a [u8],
}

/// What a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) symbol: u8,
    /// The bits of the code; 0 for what is no code.
    pub(super) length: u8,
    /// The bits of the code and of the value that follows it.
    pub(super) total: u8,
    /// How far a sequential block advances: the zeros that are skipped, and the coefficient.
    pub(super) advance: u8,
}

impl Entry {
    const NONE: Self = Self {
        symbol: 0,
        length: 0,
        total: 0,
        advance: 0,
    };

    /// More than a block has coefficients.
    pub(super) const END_OF_BLOCK: u8 = 128;

    fn new(symbol: u8, length: u8) -> Self {
        let (run, size) = (symbol >> 4, symbol & 15);
        Self {
            symbol,
            length,
            total: length + size,
            advance: match (run, size) {
                (15, 0) => 16,
                (_, 0) => Self::END_OF_BLOCK,
                (run, _) => run + 1,
            },
        }
    }

    /// Whether it stands for zeros and a coefficient; for zeros alone otherwise.
    pub(super) fn is_coefficient(self) -> bool {
        self.symbol & 15 != 0
    }
}

/// A table ready for use.
pub(super) struct HuffmanTable {
    /// By the next bits: the code that they begin with, if it is a short one.
    lookup: [Entry; 1 << LOOKUP_BITS],
    /// For each length the first number of 16 bits that begins with no code of that or a lesser
    /// length.
    limits: [u32; LONGEST + 1],
    /// For each length what is added to a code to get the index of its entry.
    offsets: [i32; LONGEST + 1],
    entries: Vec<Entry>,
}

impl HuffmanTable {
    /// `None` when the counts are no code: T.81 annex C, where no code is all ones.
    pub(super) fn new(spec: &TableSpec<'_>) -> Option<Self> {
        let mut table = Self {
            lookup: [Entry::NONE; 1 << LOOKUP_BITS],
            limits: [0; LONGEST + 1],
            offsets: [0; LONGEST + 1],
            entries: Vec::with_capacity(spec.symbols.len()),
        };
        let mut symbols = spec.symbols.iter();
        let mut code = 0_u32;
        for (length, &count) in (1_u8..).zip(&spec.counts) {
            let at = usize::from(length);
            let first = i32::try_from(table.entries.len()).ok()?;
            table.offsets[at] = first - i32::try_from(code).ok()?;
            for &symbol in symbols.by_ref().take(count.into()) {
                let entry = Entry::new(symbol, length);
                table.entries.push(entry);
                table.enter(code, entry);
                code += 1;
            }
            if count > 0 && code >= 1 << length {
                return None;
            }
            table.limits[at] = code << (LONGEST - at);
            code <<= 1;
        }
        Some(table)
    }

    /// Puts a short code into the lookup, at all numbers that begin with it.
    fn enter(&mut self, code: u32, entry: Entry) {
        let Some(free) = LOOKUP_BITS.checked_sub(entry.length.into()) else {
            return;
        };
        let (from, to) = (code << free, (code + 1) << free);
        if let Some(places) = self.lookup.get_mut(from as usize..to as usize) {
            places.fill(entry);
        }
    }

    /// The code that the next 16 bits begin with; its length is 0 when they begin with none.
    #[inline]
    pub(super) fn look(&self, bits: u16) -> Entry {
        let entry = self.lookup[usize::from(bits >> (16 - LOOKUP_BITS))];
        if entry.length == 0 {
            self.look_long(bits)
        } else {
            entry
        }
    }

    #[cold]
    fn look_long(&self, bits: u16) -> Entry {
        let lengths = LOOKUP_BITS as usize + 1..=LONGEST;
        lengths
            .into_iter()
            .find(|&length| u32::from(bits) < self.limits[length])
            .and_then(|length| {
                let code = i32::from(bits >> (LONGEST - length));
                let index = usize::try_from(code + self.offsets[length]).ok()?;
                self.entries.get(index).copied()
            })
            .unwrap_or(Entry::NONE)
    }

    /// Whether every symbol can be a DC coefficient's size.
    pub(super) fn holds_sizes_only(&self) -> bool {
        self.entries.iter().all(|entry| entry.symbol < 16)
    }
}

/// The tables of T.81 annex K.3, which frames of a Motion JPEG leave out: libjpeg-turbo takes them
/// where a sequential image has none.
pub(super) fn standard(is_ac: bool, index: usize) -> Option<TableSpec<'static>> {
    let (counts, symbols): ([u8; LONGEST], &[u8]) = match (is_ac, index) {
        (false, 0) => (
            [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        (false, 1) => (
            [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        (true, 0) => (
            [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
            LUMINANCE_AC,
        ),
        (true, 1) => (
            [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
            CHROMINANCE_AC,
        ),
        _ => return None,
    };
    Some(TableSpec { counts, symbols })
}

/// T.81 table K.5.
#[rustfmt::skip]
const LUMINANCE_AC: &[u8] = &[
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2,
    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
];

/// T.81 table K.6.
#[rustfmt::skip]
const CHROMINANCE_AC: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0,
    0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26,
    0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5,
    0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3,
    0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA,
    0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Each code of a table, left-aligned in 16 bits, with its length and symbol.
    fn codes(spec: &TableSpec<'_>) -> Vec<(u16, u8, u8)> {
        let lengths = (1_u8..).zip(spec.counts);
        let lengths = lengths.flat_map(|(length, count)| (0..count).map(move |_| length));
        let (mut code, mut before) = (0_u32, 0);
        lengths
            .zip(spec.symbols)
            .map(|(length, &symbol)| {
                code <<= length - before;
                before = length;
                code += 1;
                let left = (code - 1) << (16 - length);
                (u16::try_from(left).unwrap(), length, symbol)
            })
            .collect()
    }

    #[test]
    fn every_huffman_code_of_the_standard_tables_is_found() {
        for (is_ac, index) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
            let spec = standard(is_ac, index).unwrap();
            let count: usize = spec.counts.iter().map(|&count| usize::from(count)).sum();
            assert_eq!(count, spec.symbols.len());
            let table = HuffmanTable::new(&spec).unwrap();
            for (code, length, symbol) in codes(&spec) {
                let behind = u16::try_from((1_u32 << (16 - length)) - 1).unwrap();
                for bits in [code, code | behind] {
                    let entry = table.look(bits);
                    assert_eq!((entry.symbol, entry.length), (symbol, length), "{code:b}");
                }
            }
            assert_eq!(table.look(0xFFFF), Entry::NONE);
            assert_eq!(table.holds_sizes_only(), !is_ac);
        }
        assert!(standard(true, 2).is_none());
    }

    #[test]
    fn huffman_counts_that_are_no_code_are_rejected() {
        let new = |first: &[u8], symbols: &[u8]| {
            let mut counts = [0; LONGEST];
            counts[..first.len()].copy_from_slice(first);
            HuffmanTable::new(&TableSpec { counts, symbols })
        };
        assert!(new(&[1, 1], &[0, 1]).is_some());
        assert!(new(&[2], &[0, 1]).is_none(), "all ones");
        assert!(new(&[1, 2], &[0, 1, 2]).is_none(), "all ones");
        assert!(new(&[1, 1, 3], &[0, 1, 2, 3, 4]).is_none(), "too many");
        let empty = new(&[], &[]).unwrap();
        assert_eq!(empty.look(0), Entry::NONE);
    }

    #[test]
    fn entry_says_how_far_a_block_advances() {
        let entry = |symbol| Entry::new(symbol, 4);
        assert_eq!((entry(0x35).advance, entry(0x35).total), (4, 9));
        assert_eq!((entry(0xF0).advance, entry(0xF0).total), (16, 4));
        assert_eq!(entry(0x00).advance, Entry::END_OF_BLOCK);
        assert!(entry(0x35).is_coefficient() && !entry(0xF0).is_coefficient());
    }
}
