//! What the scans of a file have brought so far, and what each scan's header says.

use super::damaged;
use super::frame::{Frame, MAX_COMPONENTS};
use crate::verify::decode::DecodeError;

/// The frame, and what its scans have brought so far of each component.
pub(super) struct Picture {
    pub(super) frame: Frame,
    pub(super) is_progressive: bool,
    progress: [Progress; MAX_COMPONENTS],
}

struct Progress {
    /// For each coefficient the lowest bit that is known, `None` before its first scan.
    bits: [Option<u8>; 64],
    /// See [`super::scan::Scan::history`].
    history: Vec<u64>,
}

impl Progress {
    const NONE: Self = Self {
        bits: [None; 64],
        history: Vec::new(),
    };
}

/// A scan's header: T.81 B.2.3.
pub(super) struct ScanHeader {
    /// The components by their indexes, each with its tables for DC and for AC coefficients.
    pub(super) members: Vec<(usize, [usize; 2])>,
    pub(super) first: u8,
    pub(super) last: u8,
    /// The lowest bit that was known before this scan (0 when none was), and the one after it.
    pub(super) high: u8,
    pub(super) low: u8,
}

impl Picture {
    pub(super) fn new(frame: Frame, is_progressive: bool) -> Self {
        Self {
            frame,
            is_progressive,
            progress: [const { Progress::NONE }; MAX_COMPONENTS],
        }
    }

    pub(super) fn scan_header(&self, segment: &[u8]) -> Option<ScanHeader> {
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
    pub(super) fn latch_quantization(
        &self,
        header: &ScanHeader,
        has_quantization: &[bool],
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

    pub(super) fn note_sequential(&mut self, header: &ScanHeader) {
        for &(index, _) in &header.members {
            self.progress[index].bits = [Some(0); 64];
        }
    }

    /// Checks a progressive scan against those before it: T.81 G.1.1.1.
    pub(super) fn note_progress(&mut self, header: &ScanHeader) -> Result<(), DecodeError> {
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

    /// Whether each component has had a scan.
    pub(super) fn is_complete(&self) -> bool {
        let components = self.progress.iter().take(self.frame.components().len());
        components
            .into_iter()
            .all(|progress| progress.bits[0].is_some())
    }

    /// See [`super::scan::Scan::history`]: that of one component, of so many blocks.
    pub(super) fn history(&mut self, index: usize, blocks: u64) -> &mut [u64] {
        let history = &mut self.progress[index].history;
        history.resize(usize::try_from(blocks).unwrap_or(usize::MAX), 0);
        history
    }

    /// How many blocks of a component a unit of a scan holds.
    pub(super) fn blocks_in_unit(&self, header: &ScanHeader, index: usize) -> usize {
        match header.members[..] {
            [_] => 1,
            _ => self.frame.components()[index].blocks_in_unit(),
        }
    }
}
