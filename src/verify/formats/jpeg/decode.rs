//! Reads a whole file: its tables, its frame, and every code of its scans.

use std::io;

use super::damaged;
use super::entropy::{DataEnd, EntropyReader};
use super::frame::{Component, Frame, Process};
use super::huffman::{HuffmanTable, TableSpec, standard};
use super::picture::{Picture, ScanHeader};
use super::scan::{AcScan, Coding, Scan};
use crate::outcome::Content;
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader, Workspace};

pub(super) const DECODER: FormatDecoder = FormatDecoder {
    // A progressive image takes a bit for each coefficient, of at most four components in whole
    // blocks; any other takes the reader's buffer only.
    memory: |width, height| {
        let [width, height] = [width, height].map(|side| side.saturating_add(8));
        (width.saturating_mul(height) / 2).saturating_add(256 << 10)
    },
    decode,
};

/// How many tables of each kind there are.
const TABLES: usize = 4;

/// The most scans that are read. Encoders write about ten; a small file of very many scans would
/// take hours.
const MAX_SCANS: usize = 500;

fn decode(file: ImageReader<'_>, _: &Content, _: &mut Workspace) -> Result<(), DecodeError> {
    walk(file)
}

fn walk(file: ImageReader<'_>) -> Result<(), DecodeError> {
    Walker {
        reader: EntropyReader::new(file),
        segment: Vec::new(),
        tables: [const { [const { None }; TABLES] }; 2],
        has_quantization: [false; TABLES],
        interval: 0,
        scans: 0,
        precision: 0,
        picture: None,
    }
    .walk()
}

fn unsupported(reason: &str) -> DecodeError {
    DecodeError::Unsupported(reason.to_owned())
}

impl From<io::Error> for DecodeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged(error.to_string()),
            _ => Self::Unsupported(format!("it cannot be read: {error}")),
        }
    }
}

/// A Huffman table as it was last defined: 16 counts, then the symbols.
type StoredTable = Option<([u8; 16], Vec<u8>)>;

struct Walker<'a> {
    reader: EntropyReader<'a>,
    /// The segment that was read last.
    segment: Vec<u8>,
    /// The tables for DC coefficients, then those for AC coefficients.
    tables: [[StoredTable; TABLES]; 2],
    has_quantization: [bool; TABLES],
    interval: u16,
    scans: usize,
    /// Bits a sample.
    precision: u8,
    picture: Option<Picture>,
}

impl Walker<'_> {
    fn walk(mut self) -> Result<(), DecodeError> {
        let mut next = self.reader.next_marker()?;
        loop {
            next = match next {
                None => return Err(damaged("the file ends before the image does")),
                Some(0xD9) => return self.check_complete(),
                Some(0xDA) => match self.scan()? {
                    DataEnd::Marker(code) => Some(code),
                    DataEnd::File => None,
                },
                Some(code) => {
                    self.segment(code)?;
                    self.reader.next_marker()?
                }
            };
        }
    }

    fn segment(&mut self, code: u8) -> Result<(), DecodeError> {
        if let Some(process) = Process::from_code(code) {
            self.reader.segment(&mut self.segment)?;
            return self.frame(process);
        }
        match code {
            // These have no segment.
            0x01..=0xBF | 0xD0..=0xD8 => {}
            0xC4 => {
                self.reader.segment(&mut self.segment)?;
                self.define_huffman()
                    .ok_or_else(|| damaged("a broken Huffman table"))?;
            }
            0xDB => {
                self.reader.segment(&mut self.segment)?;
                self.define_quantization()
                    .ok_or_else(|| damaged("a broken quantization table"))?;
            }
            0xDD => {
                self.reader.segment(&mut self.segment)?;
                let interval = self.segment.as_slice().try_into();
                let interval = interval.map_err(|_| damaged("a broken restart interval"))?;
                self.interval = u16::from_be_bytes(interval);
            }
            // `DNL` is among them: libjpeg ignores it, too.
            _ => self.reader.skip_segment()?,
        }
        Ok(())
    }

    /// T.81 B.2.4.2.
    fn define_huffman(&mut self) -> Option<()> {
        let mut rest = &self.segment[..];
        while let Some((&index, behind)) = rest.split_first() {
            let (counts, behind) = behind.split_first_chunk::<16>()?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, behind) = behind.split_at_checked(count)?;
            let tables = self.tables.get_mut(usize::from(index >> 4))?;
            let table = tables.get_mut(usize::from(index & 15))?;
            *table = (count <= 256).then(|| (*counts, symbols.to_vec()));
            table.as_ref()?;
            rest = behind;
        }
        Some(())
    }

    /// T.81 B.2.4.1. The values do not matter here.
    fn define_quantization(&mut self) -> Option<()> {
        let mut rest = &self.segment[..];
        while let Some((&index, behind)) = rest.split_first() {
            let length = if index >> 4 == 0 { 64 } else { 128 };
            *self.has_quantization.get_mut(usize::from(index & 15))? = true;
            rest = behind.get(length..)?;
        }
        Some(())
    }

    fn frame(&mut self, process: Process) -> Result<(), DecodeError> {
        let is_progressive = match process {
            Process::Sequential { arithmetic: false } => false,
            Process::Progressive { arithmetic: false } => true,
            Process::Sequential { .. } | Process::Progressive { .. } => {
                return Err(unsupported(
                    "this program has no decoder for arithmetic JPEG",
                ));
            }
            Process::Lossless => {
                return Err(unsupported("this program has no decoder for lossless JPEG"));
            }
            Process::Differential => {
                return Err(unsupported(
                    "this program has no decoder for hierarchical JPEG",
                ));
            }
        };
        let broken = || damaged("a broken frame header");
        let (&[precision, h0, h1, w0, w1, count], components) =
            self.segment.split_first_chunk().ok_or_else(broken)?;
        let mut frame = Frame::new(u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
        let (components, _) = components.as_chunks();
        if components.len() != usize::from(count) || self.picture.is_some() {
            return Err(broken());
        }
        if !components
            .iter()
            .all(|&component| frame.push(Component::new(component)))
        {
            return Err(DecodeError::Unsupported(format!(
                "this program has no decoder for JPEG of {count} components"
            )));
        }
        if !frame.sampling_is_valid() {
            return Err(damaged("sampling factors out of bounds"));
        }
        self.precision = precision;
        self.picture = Some(Picture::new(frame, is_progressive));
        Ok(())
    }

    /// Reads a scan from its header on; returns what ended it.
    fn scan(&mut self) -> Result<DataEnd, DecodeError> {
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(DecodeError::Unsupported(format!(
                "it has more than {MAX_SCANS} scans"
            )));
        }
        self.reader.segment(&mut self.segment)?;
        let mut picture = self
            .picture
            .take()
            .ok_or_else(|| damaged("a scan before its frame"))?;
        let header = picture
            .scan_header(&self.segment)
            .ok_or_else(|| damaged("a broken scan header"))?;
        picture.latch_quantization(&header, &self.has_quantization)?;
        let (coding, tables) = if picture.is_progressive {
            picture.note_progress(&header)?;
            self.progressive(&picture, &header)?
        } else {
            picture.note_sequential(&header);
            self.sequential(&picture, &header)?
        };
        let members: Vec<usize> = header.members.iter().map(|&(index, _)| index).collect();
        let grid = picture
            .frame
            .units(&members)
            .ok_or_else(|| damaged("a broken scan header"))?;
        let history = match (&coding, &members[..]) {
            (Coding::Ac(_), &[index]) => picture.history(index, grid.units()),
            _ => &mut [],
        };
        let end = Scan {
            coding,
            tables,
            grid,
            interval: self.interval,
            history,
        }
        .read(&mut self.reader)?;
        self.picture = Some(picture);
        Ok(end)
    }

    fn sequential(
        &self,
        picture: &Picture,
        header: &ScanHeader,
    ) -> Result<(Coding, Vec<HuffmanTable>), DecodeError> {
        let mut tables = Vec::new();
        let mut blocks = Vec::new();
        for &(index, [dc, ac]) in &header.members {
            let at = tables.len();
            tables.push(self.table(false, dc, true)?);
            tables.push(self.table(true, ac, true)?);
            let count = picture.blocks_in_unit(header, index);
            blocks.extend(std::iter::repeat_n([at, at + 1], count));
        }
        Ok((Coding::Sequential(blocks), tables))
    }

    fn progressive(
        &self,
        picture: &Picture,
        header: &ScanHeader,
    ) -> Result<(Coding, Vec<HuffmanTable>), DecodeError> {
        let mut tables = Vec::new();
        if header.first > 0 {
            let scan = AcScan {
                band: [header.first, header.last],
                is_refinement: header.high > 0,
            };
            for &(_, [_, ac]) in &header.members {
                tables.push(self.table(true, ac, false)?);
            }
            return Ok((Coding::Ac(scan), tables));
        }
        let mut blocks = Vec::new();
        for (at, &(index, [dc, _])) in header.members.iter().enumerate() {
            if header.high == 0 {
                tables.push(self.table(false, dc, false)?);
            }
            let count = picture.blocks_in_unit(header, index);
            blocks.extend(std::iter::repeat_n(at, count));
        }
        let coding = if header.high == 0 {
            Coding::DcFirst(blocks)
        } else {
            Coding::DcRefinement(blocks.len())
        };
        Ok((coding, tables))
    }

    fn table(
        &self,
        is_ac: bool,
        index: usize,
        or_standard: bool,
    ) -> Result<HuffmanTable, DecodeError> {
        let stored = self.tables[usize::from(is_ac)]
            .get(index)
            .and_then(Option::as_ref);
        let spec = match stored {
            Some((counts, symbols)) => TableSpec {
                counts: *counts,
                symbols,
            },
            None => or_standard
                .then(|| standard(is_ac, index))
                .flatten()
                .ok_or_else(|| damaged("a scan without its Huffman table"))?,
        };
        HuffmanTable::new(&spec)
            .filter(|table| is_ac || table.holds_sizes_only())
            .ok_or_else(|| damaged("a broken Huffman table"))
    }

    /// Checks that each component has had a scan.
    fn check_complete(self) -> Result<(), DecodeError> {
        match self.picture {
            Some(picture) if picture.is_complete() => match self.precision {
                8 => Ok(()),
                // Every code is there, and yet hardly a decoder makes pixels of them.
                bits => Err(unsupported(&format!(
                    "its codes are complete, but {bits} bits a sample are more than common decoders read"
                ))),
            },
            _ => Err(damaged("a component without a scan")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use proptest::prelude::*;

    use super::*;
    use crate::verify::testing::{drawn, find, patched};

    /// Codes of the DC table: `0` for a size of 0, `10` for 1. Of the AC table: `00` ends a block
    /// or a band, `01` is a coefficient, `10` is one behind 15 zeros, `110` ends this band and one
    /// or two more, `1110` is 16 zeros.
    const TABLES: [&[u8]; 2] = [
        b"\xff\xc4\0\x15\0\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        b"\xff\xc4\0\x18\x10\0\x03\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xf1\x10\xf0",
    ];
    const END: &[u8] = b"\xff\xd9";

    fn quantization() -> Vec<u8> {
        [&b"\xff\xdb\0\x43\0"[..], &[1; 64]].concat()
    }

    /// A frame of 16 x 16 samples, with the components' identifiers and sampling factors.
    fn frame(code: u8, components: &[[u8; 2]]) -> Vec<u8> {
        let count = u8::try_from(components.len()).unwrap();
        let head = [0xFF, code, 0, 8 + 3 * count, 8, 0, 16, 0, 16, count];
        let components = components
            .iter()
            .flat_map(|&[id, sampling]| [id, sampling, 0]);
        head.into_iter().chain(components).collect()
    }

    /// A scan's header, with the components' identifiers.
    fn header(components: &[u8], band: [u8; 2], bits: u8) -> Vec<u8> {
        let count = u8::try_from(components.len()).unwrap();
        let head = [0xFF, 0xDA, 0, 6 + 2 * count, count];
        let components = components.iter().flat_map(|&id| [id, 0]);
        head.into_iter()
            .chain(components)
            .chain([band[0], band[1], bits])
            .collect()
    }

    /// Bits as bytes: the last one is filled with ones, and zeros are stuffed.
    fn bits(text: &str) -> Vec<u8> {
        let mut digits: Vec<u8> = text
            .bytes()
            .filter(|byte| *byte != b' ')
            .map(|byte| byte - b'0')
            .collect();
        digits.resize(digits.len().next_multiple_of(8), 1);
        let bytes = digits
            .chunks(8)
            .map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit));
        bytes
            .flat_map(|byte| [byte, 0].into_iter().take(if byte == 0xFF { 2 } else { 1 }))
            .collect()
    }

    fn jpeg(pieces: &[&[u8]]) -> Vec<u8> {
        [
            b"\xff\xd8",
            &quantization()[..],
            TABLES[0],
            TABLES[1],
            &pieces.concat(),
            END,
        ]
        .concat()
    }

    /// A gray image of four blocks, with this data in its scan.
    fn gray(data: &[u8]) -> Vec<u8> {
        jpeg(&[&frame(0xC0, &[[1, 0x11]]), &header(&[1], [0, 63], 0), data])
    }

    fn walked(bytes: &[u8]) -> Result<(), DecodeError> {
        walk(BufReader::with_capacity(37, &mut Cursor::new(bytes)))
    }

    #[track_caller]
    fn assert_damaged(bytes: &[u8], reason: &str) {
        assert_eq!(walked(bytes), Err(damaged(reason)));
    }

    #[track_caller]
    fn assert_unsupported(bytes: &[u8], word: &str) {
        let result = walked(bytes);
        assert!(
            matches!(&result, Err(DecodeError::Unsupported(why)) if why.contains(word)),
            "{result:?}"
        );
    }

    #[test]
    fn jpeg_scan_that_ends_before_its_last_mcu_is_found() {
        assert_eq!(walked(&gray(&bits("000 000 000 000"))), Ok(()));
        assert_damaged(
            &gray(&bits("000 000 00")),
            "a scan ends before its unit 3 of 4",
        );
        assert_damaged(&gray(&[]), "a scan ends before its unit 1 of 4");
        // Blocks of one coefficient each, and the last bit of the last value is missing.
        let block = "10 1 01 1 00";
        assert_eq!(walked(&gray(&bits(&block.repeat(4)))), Ok(()));
        assert_damaged(
            &gray(&bits(&block.repeat(4)[..38])[..3]),
            "a scan ends before its unit 4 of 4",
        );
    }

    #[test]
    fn jpeg_scan_with_data_left_over_is_found() {
        let left_over = "image data is left over behind the end of a scan";
        let data = bits("000 000 000 000");
        for padding in [
            &[0; 5000][..],
            &[7; 5000],
            b"1234567",
            b"\xff\0\xff\0\xff\0\xff\0\xff\0",
            b"\xff\xff\xff",
        ] {
            assert_eq!(walked(&gray(&[&data, padding].concat())), Ok(()));
        }
        // A few bytes behind a scan whose last byte is filled with ones.
        let stray = |data: &[u8], count| gray(&[data, &b"12345678".repeat(count)].concat());
        assert_eq!(walked(&stray(&data, 128)), Ok(()));
        assert_damaged(&stray(&data, 129), left_over);
        assert_damaged(&stray(&[0, 0], 1), left_over);
        assert_damaged(&gray(&[&data, &[0; 64][..], b"x"].concat()), left_over);
        assert_damaged(&gray(&[0; 4096]), left_over);
    }

    #[test]
    fn jpeg_block_with_a_bad_code_or_too_many_coefficients_is_found() {
        assert_damaged(
            &gray(&bits("0 1111 000 000 000 000 000 000 000 000")),
            "a code that stands for nothing",
        );
        assert_damaged(
            &gray(&bits("11 000 000 000 000 000 000 000")),
            "a code that stands for nothing",
        );
        let full = "10 1".repeat(3) + &"01 1".repeat(15);
        assert_eq!(
            walked(&gray(&bits(&format!("0 {full} 000 000 000")))),
            Ok(())
        );
        let too_many = "10 1".repeat(4) + &"0".repeat(30);
        assert_damaged(
            &gray(&bits(&format!("0 {too_many} 000 000 000"))),
            "a block with too many coefficients",
        );
        // Zeros alone beyond the end: some encoders write them.
        let zeros = "1110".repeat(4);
        assert_eq!(
            walked(&gray(&bits(&format!("0 {zeros} 000 000 000")))),
            Ok(())
        );
    }

    #[test]
    fn jpeg_restart_intervals_are_counted() {
        let restarting = |data: &[&[u8]]| {
            jpeg(&[
                b"\xff\xdd\0\x04\0\x03",
                &frame(0xC0, &[[1, 0x11]]),
                &header(&[1], [0, 63], 0),
                &data.concat(),
            ])
        };
        let (three, one) = (bits("000 000 000"), bits("000"));
        assert_eq!(walked(&restarting(&[&three, b"\xff\xd0", &one])), Ok(()));
        assert_damaged(&restarting(&[&three]), "a scan ends before its unit 4 of 4");
        assert_damaged(
            &restarting(&[&one, b"\xff\xd0", &three]),
            "a scan ends before its unit 2 of 4",
        );
        assert_damaged(
            &restarting(&[&three, b"\xff\xd1", &one]),
            "a restart marker out of order",
        );
        // A scanner sends rows beyond the height.
        let surplus: &[&[u8]] = &[
            &three,
            b"\xff\xd0",
            &one,
            b"\xff\xd1some rows\xff\0more\xff\xd2of them",
        ];
        assert_unsupported(&restarting(surplus), "more restart intervals");
    }

    #[test]
    fn jpeg_mcus_follow_the_sampling_factors() {
        for (sampling, blocks, alone) in [
            ([0x11, 0x11], 8, 4),
            ([0x22, 0x11], 5, 4),
            ([0x31, 0x21], 10, 4),
            ([0x12, 0x21], 4, 2),
        ] {
            let frame = frame(0xC1, &[[1, sampling[0]], [2, sampling[1]]]);
            let both = |blocks: usize| {
                jpeg(&[
                    &frame,
                    &header(&[1, 2], [0, 63], 0),
                    &bits(&"000".repeat(blocks)),
                ])
            };
            assert_eq!(walked(&both(blocks)), Ok(()), "{sampling:?}");
            assert!(walked(&both(blocks - 3)).is_err());
            let first = |blocks: usize| {
                [&header(&[1], [0, 63], 0)[..], &bits(&"000".repeat(blocks))].concat()
            };
            let component =
                |blocks: usize| jpeg(&[&frame, &first(blocks), &header(&[2], [0, 63], 0), &[0; 2]]);
            assert_eq!(walked(&component(alone)), Ok(()), "{sampling:?}");
            if alone > 2 {
                assert!(walked(&component(alone - 2)).is_err());
            }
        }
        assert_damaged(
            &jpeg(&[&frame(0xC0, &[[1, 0x51]])]),
            "sampling factors out of bounds",
        );
    }

    #[test]
    fn jpeg_without_a_table_or_a_scan_is_found() {
        let (frame, header, data) = (frame(0xC0, &[[1, 0x11]]), header(&[1], [0, 63], 0), [0; 2]);
        let without = [
            b"\xff\xd8",
            TABLES[0],
            TABLES[1],
            &frame,
            &header,
            &data,
            END,
        ]
        .concat();
        assert_damaged(&without, "a scan without its quantization table");
        let third = patched(&header, 6, &[0x22]);
        assert_damaged(
            &jpeg(&[&frame, &third, &data]),
            "a scan without its Huffman table",
        );
        let two = self::frame(0xC0, &[[1, 0x11], [2, 0x11]]);
        assert_damaged(&jpeg(&[&two, &header, &data]), "a component without a scan");
        assert_damaged(
            &jpeg(&[&frame, &patched(&header, 5, &[7]), &data]),
            "a broken scan header",
        );
        let broken = [&TABLES[0][..5], &[2, 0], &TABLES[0][7..]].concat();
        assert_damaged(
            &jpeg(&[&broken, &frame, &header, &data]),
            "a broken Huffman table",
        );
    }

    #[test]
    fn motion_jpeg_without_huffman_tables_uses_the_standard_ones() {
        let mut bytes = drawn(image::ImageFormat::Jpeg);
        assert_eq!(walked(&bytes), Ok(()));
        while let Some(at) = bytes.windows(2).position(|pair| pair == [0xFF, 0xC4]) {
            let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            bytes.drain(at..at + 2 + length);
        }
        assert_eq!(walked(&bytes), Ok(()));
    }

    #[test]
    fn odd_but_valid_jpegs_are_complete() {
        let (frame, header, data) = (
            frame(0xC0, &[[1, 0x11]]),
            header(&[1], [0, 63], 0),
            bits("000 000 000 000"),
        );
        let dnl = b"\xff\xdc\0\x04\0\x10";
        assert_eq!(walked(&jpeg(&[&frame, &header, &data, dnl])), Ok(()));
        let twelve_bits = patched(&patched(&frame, 1, &[0xC1]), 4, &[12]);
        assert_unsupported(&jpeg(&[&twelve_bits, &header, &data]), "12 bits");
        assert_eq!(
            walked(&jpeg(&[
                b"junk\xff\0\xfftext",
                &frame,
                b"\0\xff\xd3",
                &header,
                &data
            ])),
            Ok(())
        );
        let same_id = self::frame(0xC0, &[[1, 0x11], [1, 0x11]]);
        let together = self::header(&[1, 1], [0, 63], 0);
        assert_eq!(
            walked(&jpeg(&[&same_id, &together, &bits(&"000".repeat(8))])),
            Ok(())
        );
        assert_eq!(
            walked(&jpeg(&[&same_id, &header, &data, &header, &data])),
            Ok(())
        );
        // Some encoders leave the parameters of a sequential scan out.
        assert_eq!(
            walked(&jpeg(&[&frame, &self::header(&[1], [0, 0], 0), &data])),
            Ok(())
        );
    }

    #[test]
    fn jpeg_processes_without_a_decoder_are_unsupported() {
        for (code, word) in [
            (0xC9, "arithmetic"),
            (0xCA, "arithmetic"),
            (0xC3, "lossless"),
            (0xCB, "lossless"),
            (0xC5, "hierarchical"),
            (0xCF, "hierarchical"),
        ] {
            assert_unsupported(&jpeg(&[&frame(code, &[[1, 0x11]])]), word);
        }
        assert_unsupported(&jpeg(&[&frame(0xC0, &[[1, 0x11]; 5])]), "5 components");
        let scan = [header(&[1], [0, 63], 0), bits("000 000 000 000")].concat();
        let frame = frame(0xC0, &[[1, 0x11]]);
        assert_eq!(walked(&jpeg(&[&frame, &scan.repeat(500)])), Ok(()));
        assert_unsupported(&jpeg(&[&frame, &scan.repeat(501)]), "500 scans");
    }

    /// A progressive image of one component and four blocks, with these scans.
    fn progressive(scans: &[([u8; 2], u8, &str)]) -> Vec<u8> {
        let scans = scans
            .iter()
            .flat_map(|&(band, low, text)| [header(&[1], band, low), bits(text)].concat());
        jpeg(&[&frame(0xC2, &[[1, 0x11]]), &scans.collect::<Vec<u8>>()])
    }

    #[test]
    fn progressive_jpeg_scans_are_counted() {
        let dc = ([0, 0], 0x01, "0 10 1 0 0");
        let dc_bit = ([0, 0], 0x10, "1010");
        // Block 0 has coefficients 1 and 17; an end of two bands more; the last block has one.
        let ac = ([1, 63], 0x01, "01 1 10 1 110 1 01 0 00");
        // A bit for each known coefficient, which comes after the code that passes it.
        let ac_bit = ([1, 63], 0x10, "00 11 110 0 00 1");
        assert_eq!(walked(&progressive(&[dc, dc_bit, ac, ac_bit])), Ok(()));
        assert_eq!(walked(&progressive(&[dc])), Ok(()));
        assert_damaged(&progressive(&[ac]), "a component without a scan");
        assert_damaged(
            &progressive(&[dc, ac_bit]),
            "a scan that continues one that is missing",
        );
        assert_damaged(
            &progressive(&[dc, ([1, 63], 0x01, "01 1 10 1")]),
            "a scan ends before its unit 1 of 4",
        );
        for (band, low) in [
            ([0, 1], 0),
            ([2, 1], 0),
            ([1, 64], 0),
            ([1, 5], 0x20),
            ([1, 5], 0x0E),
        ] {
            assert_damaged(
                &progressive(&[dc, (band, low, "00")]),
                "a broken scan header",
            );
        }
        assert_damaged(
            &progressive(&[dc, ([1, 15], 0, "10 1 0000000000000000")]),
            "a block with too many coefficients",
        );
        assert_damaged(
            &progressive(&[dc, ([1, 63], 0, "1111 0000000000000000000")]),
            "a code that stands for nothing",
        );
    }

    #[test]
    fn progressive_jpeg_refinement_reads_a_bit_for_each_known_coefficient() {
        let dc = ([0, 0], 0, "0000");
        let every = "01 1".repeat(63);
        let first = ([1, 63], 0x01, &every.repeat(4)[..]);
        let refined = |blocks: &str| walked(&progressive(&[dc, first, ([1, 63], 0x10, blocks)]));
        // An end of band for each block, with 63 bits behind it.
        let block = format!("00 {}", "1".repeat(63));
        assert_eq!(refined(&block.repeat(4)), Ok(()));
        assert!(refined(&block.repeat(4)[..4 * 66 - 12]).is_err());
        // One end of band for the first three blocks.
        let ends = format!("110 1 {}", "0".repeat(3 * 63));
        assert_eq!(refined(&(ends.clone() + &block)), Ok(()));
        // A new coefficient needs a place that is still zero.
        assert_eq!(
            refined(&("01 1".to_owned() + &"0".repeat(63) + &block.repeat(3))),
            Err(damaged("a block with too many coefficients"))
        );
        let one = ([1, 63], 0x01, "01 1 00 00 00 00");
        // It comes behind the known one, whose bit is read in passing.
        let passing = "01 0 1 00 00 00 00";
        assert_eq!(
            walked(&progressive(&[dc, one, ([1, 63], 0x10, passing)])),
            Ok(())
        );
    }

    #[test]
    fn memory_for_a_jpeg_of_200_megapixels_is_within_the_limit() {
        let memory = (DECODER.memory)(20_000, 10_000);
        assert!(memory < 128 << 20, "{memory}");
        // The history of four components without subsampling.
        assert!(memory > 20_000 / 8 * 10_000 / 8 * 8 * 4);
        assert_eq!(
            (DECODER.memory)(u64::MAX, u64::MAX),
            u64::MAX / 2 + (256 << 10)
        );
    }

    proptest! {
        #[test]
        fn damaged_jpeg_scans_never_panic(progressive_image in any::<bool>(), damage in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 1..9), tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = if progressive_image {
                let scans = [([0, 0], 0x01, "0 10 1 0 0"), ([1, 63], 0x02, "01 1 10 1 110 1 01 0 00"), ([1, 63], 0x21, "00 11 110 0 00 1"), ([1, 63], 0x10, "00 11 110 0 00 1")];
                progressive(&scans)
            } else {
                drawn(image::ImageFormat::Jpeg)
            };
            let scan = find(&bytes, b"\xff\xda");
            bytes.truncate(bytes.len() - 2);
            bytes.extend(tail);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                // Most of it in the scans.
                let at = if byte % 4 == 0 { at } else { scan + at % (bytes.len() - scan) };
                bytes[at] = byte;
            }
            bytes.extend(END);
            let _ = walked(&bytes);
        }
    }
}
