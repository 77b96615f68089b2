//! One scan: reads its codes to the last one, and counts its units. No coefficient is kept; of a
//! progressive image it is only noted which ones are not zero, because the codes of later scans
//! depend on it.

use super::damaged;
use super::entropy::{DataEnd, EntropyReader, Rest};
use super::frame::UnitGrid;
use super::huffman::{Entry, HuffmanTable};
use crate::verify::decode::DecodeError;

/// The coefficients of a block.
const COEFFICIENTS: u8 = 64;

/// How the blocks of a scan are coded.
pub(super) enum Coding {
    /// All coefficients of each block of a unit; a block has two tables.
    Sequential(Vec<[usize; 2]>),
    /// The first bits of the DC coefficient: T.81 G.1.2.1. A block has one table.
    DcFirst(Vec<usize>),
    /// One more bit of the DC coefficients of so many blocks.
    DcRefinement(usize),
    /// AC coefficients of a single component.
    Ac(AcScan),
}

/// A scan of some AC coefficients of a progressive image: T.81 G.1.2.2 and G.1.2.3.
pub(super) struct AcScan {
    /// The first and the last coefficient, in zigzag order.
    pub(super) band: [u8; 2],
    pub(super) is_refinement: bool,
}

/// A scan that is ready to be read.
pub(super) struct Scan<'a> {
    pub(super) coding: Coding,
    /// What the numbers in `coding` refer to.
    pub(super) tables: Vec<HuffmanTable>,
    pub(super) grid: UnitGrid,
    /// The units of a restart interval; 0 for a scan without.
    pub(super) interval: u16,
    /// For each block of an AC scan its coefficients that are not zero, a bit for each.
    pub(super) history: &'a mut [u64],
}

/// Why the codes of a block cannot be read on.
enum BadBlock {
    Code,
    Coefficient,
}

impl Scan<'_> {
    /// Reads the scan; returns what ended it.
    pub(super) fn read(&mut self, reader: &mut EntropyReader<'_>) -> Result<DataEnd, DecodeError> {
        let units = self.grid.units();
        let interval = match self.interval {
            0 => units,
            interval => interval.into(),
        };
        let mut done = 0;
        let mut restarts = 0_u8;
        loop {
            reader.begin();
            let here = interval.min(units - done);
            self.read_interval(reader, done, here)?;
            done += here;
            let is_last = done == units;
            let (rest, end) = reader.finish()?;
            match rest {
                Rest::Nothing | Rest::Padding => {}
                Rest::Missing => return Err(self.missing(done)),
                Rest::Data => {
                    return Err(damaged("image data is left over behind the end of a scan"));
                }
            }
            let marker = 0xD0 | (restarts & 7);
            if is_last {
                return self.without_surplus(end, marker);
            }
            match end {
                DataEnd::Marker(code) if code == marker => restarts = restarts.wrapping_add(1),
                DataEnd::Marker(0xD0..=0xD7) => {
                    return Err(damaged("a restart marker out of order"));
                }
                DataEnd::Marker(_) | DataEnd::File => return Err(self.missing(done + 1)),
            }
        }
    }

    /// Scanners that do not know the height of a page when they begin send rows beyond it, and the
    /// image is complete. A file in which intervals were doubled looks the same, and is not: nothing
    /// tells them apart.
    fn without_surplus(&self, end: DataEnd, marker: u8) -> Result<DataEnd, DecodeError> {
        if self.interval > 0 && end == DataEnd::Marker(marker) {
            return Err(DecodeError::Unsupported(
                "it has more restart intervals than its height has room for".to_owned(),
            ));
        }
        Ok(end)
    }

    /// The scan ends before this unit, counted from 1, is complete.
    fn missing(&self, unit: u64) -> DecodeError {
        DecodeError::Damaged(format!(
            "a scan ends before its unit {unit} of {}",
            self.grid.units()
        ))
    }

    fn read_interval(
        &mut self,
        reader: &mut EntropyReader<'_>,
        first: u64,
        count: u64,
    ) -> Result<(), DecodeError> {
        let mut end_of_bands = 0;
        for unit in first..first + count {
            let result = match &self.coding {
                Coding::Sequential(blocks) => blocks.iter().try_for_each(|&[dc, ac]| {
                    reader.prepare()?;
                    sequential(reader, &self.tables[dc], &self.tables[ac])?;
                    Ok(())
                }),
                Coding::DcFirst(blocks) => blocks.iter().try_for_each(|&table| {
                    reader.prepare()?;
                    coefficient(reader, &self.tables[table])?;
                    Ok(())
                }),
                Coding::DcRefinement(blocks) => reader
                    .prepare()
                    .map(|()| {
                        // At most 4 components of 16 blocks.
                        reader.skip_many(u32::try_from(*blocks).unwrap_or(u32::MAX).min(64));
                    })
                    .map_err(DecodeError::from),
                Coding::Ac(scan) => reader.prepare().map_err(DecodeError::from).and_then(|()| {
                    let block = usize::try_from(unit)
                        .ok()
                        .and_then(|unit| self.history.get_mut(unit));
                    let Some(block) = block else { return Ok(()) };
                    let result = if scan.is_refinement {
                        refine(reader, scan, &self.tables[0], &mut end_of_bands, block)
                    } else {
                        first_bits(reader, scan, &self.tables[0], &mut end_of_bands, block)
                    };
                    Ok(result?)
                }),
            };
            // Ones fill the last byte, and zeros follow it: they need not be a code.
            if reader.is_overrun() || (result.is_err() && reader.lacks(16)) {
                return Err(self.missing(unit + 1));
            }
            result?;
        }
        Ok(())
    }
}

impl From<BadBlock> for DecodeError {
    fn from(bad: BadBlock) -> Self {
        let reason = match bad {
            BadBlock::Code => "a code that stands for nothing",
            BadBlock::Coefficient => "a block with too many coefficients",
        };
        damaged(reason)
    }
}

/// Reads a code and the value behind it, and returns its entry.
#[inline]
fn coefficient(reader: &mut EntropyReader<'_>, table: &HuffmanTable) -> Result<Entry, BadBlock> {
    let entry = table.look(reader.peek());
    if entry.length == 0 {
        return Err(BadBlock::Code);
    }
    reader.skip(entry.total);
    Ok(entry)
}

/// A block of a sequential scan: T.81 F.2.2.
#[inline]
fn sequential(
    reader: &mut EntropyReader<'_>,
    dc: &HuffmanTable,
    ac: &HuffmanTable,
) -> Result<(), BadBlock> {
    coefficient(reader, dc)?;
    let mut at = 1;
    loop {
        let entry = coefficient(reader, ac)?;
        at += entry.advance;
        if at >= COEFFICIENTS {
            // Zeros beyond the last coefficient change nothing; some encoders write them.
            return if at > COEFFICIENTS && entry.is_coefficient() {
                Err(BadBlock::Coefficient)
            } else {
                Ok(())
            };
        }
    }
}

/// How many blocks an end-of-band code ends, beside this one: T.81 table G.1.
fn end_of_band(reader: &mut EntropyReader<'_>, run: u8) -> u16 {
    (1_u16 << run) - 1 + reader.read(run)
}

/// The first bits of the AC coefficients of a block.
fn first_bits(
    reader: &mut EntropyReader<'_>,
    scan: &AcScan,
    table: &HuffmanTable,
    end_of_bands: &mut u16,
    block: &mut u64,
) -> Result<(), BadBlock> {
    if *end_of_bands > 0 {
        *end_of_bands -= 1;
        return Ok(());
    }
    let [mut at, last] = scan.band;
    while at <= last {
        let entry = coefficient(reader, table)?;
        let run = entry.symbol >> 4;
        if entry.is_coefficient() {
            at += run;
            if at > last {
                return Err(BadBlock::Coefficient);
            }
            *block |= 1 << at;
            at += 1;
        } else if run == 15 {
            at += 16;
        } else {
            *end_of_bands = end_of_band(reader, run);
            break;
        }
    }
    Ok(())
}

/// One more bit of the AC coefficients of a block: those that are not zero have a bit each, in
/// their order, between the codes of those that become so.
fn refine(
    reader: &mut EntropyReader<'_>,
    scan: &AcScan,
    table: &HuffmanTable,
    end_of_bands: &mut u16,
    block: &mut u64,
) -> Result<(), BadBlock> {
    let [mut at, last] = scan.band;
    let known = *block;
    // The known coefficients of the band from `at` on.
    let known_from = |at: u8| known & (u64::MAX << at) & (u64::MAX >> (63 - last));
    if *end_of_bands > 0 {
        *end_of_bands -= 1;
        reader.skip_many(known_from(at).count_ones());
        return Ok(());
    }
    while at <= last {
        let entry = table.look(reader.peek());
        if entry.length == 0 {
            return Err(BadBlock::Code);
        }
        reader.skip(entry.length);
        let (mut run, size) = (entry.symbol >> 4, entry.symbol & 15);
        match size {
            0 if run < 15 => {
                *end_of_bands = end_of_band(reader, run);
                reader.skip_many(known_from(at).count_ones());
                break;
            }
            0 => {}
            // The sign.
            1 => reader.skip_many(1),
            _ => return Err(BadBlock::Code),
        }
        let mut bits = 0;
        while at <= last {
            if known & (1 << at) != 0 {
                bits += 1;
            } else if run == 0 {
                break;
            } else {
                run -= 1;
            }
            at += 1;
        }
        reader.skip_many(bits);
        if size == 1 {
            if at > last {
                return Err(BadBlock::Coefficient);
            }
            *block |= 1 << at;
        }
        at += 1;
    }
    Ok(())
}
