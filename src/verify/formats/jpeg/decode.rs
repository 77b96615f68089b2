//! Reads a whole file: its tables, its frame, and every code of its scans.

use std::io;

use super::entropy::{DataEnd, EntropyReader};
use super::frame::{Component, Frame, MAX_COMPONENTS, Process};
use super::huffman::{HuffmanTable, TableSpec, standard};
use super::scan::{AcScan, Coding, Scan};
use crate::outcome::Content;
use crate::verify::decode::{DecodeError, FormatDecoder, ImageReader};

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

fn decode(file: ImageReader<'_>, _: &Content, _: u64) -> Result<(), DecodeError> {
    Walker {
        reader: EntropyReader::new(file),
        segment: Vec::new(),
        tables: [const { [const { None }; TABLES] }; 2],
        has_quantization: [false; TABLES],
        interval: 0,
        scans: 0,
        picture: None,
    }
    .walk()
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged(reason.to_owned())
}

fn unsupported(reason: &str) -> DecodeError {
    DecodeError::Unsupported(reason.to_owned())
}

impl From<io::Error> for DecodeError {
    fn from(error: io::Error) -> Self {
        Self::Damaged(error.to_string())
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
    picture: Option<Picture>,
}

/// The frame, and what its scans have brought so far of each component.
struct Picture {
    frame: Frame,
    is_progressive: bool,
    progress: [Progress; MAX_COMPONENTS],
}

struct Progress {
    /// For each coefficient the lowest bit that is known, `None` before its first scan.
    bits: [Option<u8>; 64],
    /// See [`Scan::history`].
    history: Vec<u64>,
}

impl Progress {
    const NONE: Self = Self {
        bits: [None; 64],
        history: Vec::new(),
    };
}

/// A scan's header: T.81 B.2.3.
struct ScanHeader {
    /// The components by their indexes, each with its tables for DC and for AC coefficients.
    members: Vec<(usize, [usize; 2])>,
    first: u8,
    last: u8,
    /// The lowest bit that was known before this scan (0 when none was), and the one after it.
    high: u8,
    low: u8,
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
                let interval = self.segment.first_chunk();
                let interval = interval.ok_or_else(|| damaged("a broken restart interval"))?;
                self.interval = u16::from_be_bytes(*interval);
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
        let (&[_precision, h0, h1, w0, w1, count], components) =
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
        self.picture = Some(Picture {
            frame,
            is_progressive,
            progress: [const { Progress::NONE }; MAX_COMPONENTS],
        });
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
            self.progressive(&picture.frame, &header)?
        } else {
            picture.note_sequential(&header);
            self.sequential(&picture.frame, &header)?
        };
        let members: Vec<usize> = header.members.iter().map(|&(index, _)| index).collect();
        let grid = picture
            .frame
            .units(&members)
            .ok_or_else(|| damaged("a broken scan header"))?;
        let history = match (&coding, &members[..]) {
            (Coding::Ac(_), &[index]) => {
                let history = &mut picture.progress[index].history;
                history.resize(usize::try_from(grid.units()).unwrap_or(usize::MAX), 0);
                &mut history[..]
            }
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
        frame: &Frame,
        header: &ScanHeader,
    ) -> Result<(Coding, Vec<HuffmanTable>), DecodeError> {
        let mut tables = Vec::new();
        let mut blocks = Vec::new();
        for &(index, [dc, ac]) in &header.members {
            let at = tables.len();
            tables.push(self.table(false, dc, true)?);
            tables.push(self.table(true, ac, true)?);
            let count = blocks_in_unit(frame, header, index);
            blocks.extend(std::iter::repeat_n([at, at + 1], count));
        }
        Ok((Coding::Sequential(blocks), tables))
    }

    fn progressive(
        &self,
        frame: &Frame,
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
            let count = blocks_in_unit(frame, header, index);
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
        let picture = self.picture.ok_or_else(|| damaged("no frame"))?;
        let count = picture.frame.components().len();
        let mut progress = picture.progress.iter().take(count);
        if progress.all(|progress| progress.bits[0].is_some()) {
            Ok(())
        } else {
            Err(damaged("a component without a scan"))
        }
    }
}

/// How many blocks of a component a unit of a scan holds.
fn blocks_in_unit(frame: &Frame, header: &ScanHeader, index: usize) -> usize {
    match header.members[..] {
        [_] => 1,
        _ => frame.components()[index].blocks_in_unit(),
    }
}

impl Picture {
    fn scan_header(&self, segment: &[u8]) -> Option<ScanHeader> {
        let (&count, rest) = segment.split_first()?;
        let (chosen, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, bits] = rest.first_chunk()?;
        let mut members: Vec<(usize, [usize; 2])> = Vec::new();
        for &[id, tables] in chosen.as_chunks().0 {
            let is_free = |&index: &usize| {
                self.frame.components()[index].id == id
                    && members.iter().all(|&(other, _)| other != index)
            };
            // Some encoders give all components one id: they are meant in their order.
            let mut indexes = (0..self.frame.components().len()).filter(is_free);
            let is_new = |&index: &usize| self.progress[index].bits[0].is_none();
            let index = indexes.clone().find(is_new).or_else(|| indexes.next())?;
            members.push((index, [tables >> 4, tables & 15].map(usize::from)));
        }
        Some(ScanHeader {
            members,
            first,
            last,
            high: bits >> 4,
            low: bits & 15,
        })
        .filter(|header| !header.members.is_empty())
    }

    /// The quantization table of a component has to be defined when its first scan begins.
    fn latch_quantization(
        &self,
        header: &ScanHeader,
        has_quantization: &[bool; TABLES],
    ) -> Result<(), DecodeError> {
        let is_missing = |&(index, _): &(usize, _)| {
            let table = usize::from(self.frame.components()[index].quantization);
            let is_first = self.progress[index].bits.iter().all(Option::is_none);
            is_first && has_quantization.get(table) != Some(&true)
        };
        if header.members.iter().any(is_missing) {
            return Err(damaged("a scan without its quantization table"));
        }
        Ok(())
    }

    fn note_sequential(&mut self, header: &ScanHeader) {
        for &(index, _) in &header.members {
            self.progress[index].bits = [Some(0); 64];
        }
    }

    /// Checks a progressive scan against those before it: T.81 G.1.1.1.
    fn note_progress(&mut self, header: &ScanHeader) -> Result<(), DecodeError> {
        let &ScanHeader {
            ref members,
            first,
            last,
            high,
            low,
        } = header;
        let band_is_valid = match first {
            0 => last == 0,
            _ => first <= last && last < 64 && members.len() == 1,
        };
        if !band_is_valid || low > 13 || (high > 0 && low + 1 != high) {
            return Err(damaged("a broken scan header"));
        }
        for &(index, _) in members {
            for bits in &mut self.progress[index].bits[first.into()..=last.into()] {
                if high > 0 && *bits != Some(high) {
                    return Err(damaged("a scan that continues one that is missing"));
                }
                *bits = Some(low);
            }
        }
        Ok(())
    }
}
