//! The bytes as a checker sees them: it asks for what comes next, and chunk borders are no concern of it.

use super::{Defect, Limits};

/// Follows one format's structure. A state machine: bytes come when they come, and never twice.
pub(super) trait Checker: Send {
    /// Goes one step: asks `input` at most once, and keeps what it learned for the next step.
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop>;

    /// The image's size, if the bytes may end where they stand.
    fn end(&self) -> Option<Size>;

    /// False when the image leaves it to its sender to say where it ends.
    fn knows_its_end(&self) -> bool {
        true
    }

    /// Goes as many steps as `input` has bytes for.
    fn feed(&mut self, input: &mut ByteCursor<'_>) -> ParseStop {
        loop {
            if let Err(halt) = self.step(input) {
                return halt;
            }
        }
    }
}

/// Why a checker stands still.
#[derive(Debug)]
pub(super) enum ParseStop {
    /// It has seen every byte there is so far.
    Starved,
    /// It has seen the image's end.
    Ended,
    /// It has seen a flaw.
    Rejected(Defect),
}

impl ParseStop {
    /// A rule of the format is broken.
    pub(super) fn broken(what: &'static str) -> Self {
        Self::Rejected(Defect::BadStructure { what })
    }
}

impl From<Defect> for ParseStop {
    fn from(defect: Defect) -> Self {
        Self::Rejected(defect)
    }
}

/// The size an image says it has, within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    pub(super) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl Limits {
    /// Takes the size an image declares, if it may be so large.
    pub(super) fn allow(self, width: u32, height: u32) -> Result<Size, Defect> {
        let size = Size { width, height };
        match size.pixels() {
            0 => Err(Defect::NoPixels { width, height }),
            pixels if pixels > self.max_pixels => Err(Defect::TooManyPixels {
                width,
                height,
                limit: self.max_pixels,
            }),
            _ => Ok(size),
        }
    }
}

/// The longest record a checker may ask for.
const LONGEST: usize = 16;

/// The beginning of a record whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Carry {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Carry {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A chunk on its way through a checker.
pub(super) struct ByteCursor<'a> {
    chunk: &'a [u8],
    held: &'a mut Carry,
}

impl<'a> ByteCursor<'a> {
    pub(super) fn new(chunk: &'a [u8], held: &'a mut Carry) -> Self {
        Self { chunk, held }
    }

    /// The next `N` bytes, once they are all there.
    pub(super) fn record<const N: usize>(&mut self) -> Result<[u8; N], ParseStop> {
        const { assert!(0 < N && N <= LONGEST) };
        if self.held.is_empty()
            && let Some((record, rest)) = self.chunk.split_first_chunk()
        {
            self.chunk = rest;
            return Ok(*record);
        }
        let (more, rest) = self.chunk.split_at(self.chunk.len().min(N - self.held.len));
        self.held.bytes[self.held.len..][..more.len()].copy_from_slice(more);
        self.held.len += more.len();
        self.chunk = rest;
        let record = self.held.bytes[..self.held.len]
            .try_into()
            .map_err(|_| ParseStop::Starved)?;
        self.held.len = 0;
        Ok(record)
    }

    /// Lets `left` bytes pass, showing them to `see` in slices as large as they come.
    pub(super) fn pass(
        &mut self,
        left: &mut u64,
        see: impl FnOnce(&[u8]),
    ) -> Result<(), ParseStop> {
        let here =
            usize::try_from(*left).map_or(self.chunk.len(), |left| left.min(self.chunk.len()));
        let (slice, rest) = self.chunk.split_at(here);
        see(slice);
        self.chunk = rest;
        *left -= here as u64;
        if *left == 0 {
            Ok(())
        } else {
            Err(ParseStop::Starved)
        }
    }

    /// Lets `left` bytes pass unseen.
    pub(super) fn skip(&mut self, left: &mut u64) -> Result<(), ParseStop> {
        self.pass(left, |_| ())
    }

    /// Lets as many of the bytes that are here pass as `count` says of them.
    pub(super) fn skip_some(&mut self, count: impl FnOnce(&[u8]) -> usize) {
        self.chunk = &self.chunk[count(self.chunk)..];
    }

    /// Lets everything up to and including the next `byte` pass unseen.
    pub(super) fn skip_past(&mut self, byte: u8) -> Result<(), ParseStop> {
        let found = memchr::memchr(byte, self.chunk);
        self.chunk = found.map_or(&[], |at| &self.chunk[at + 1..]);
        found.map(|_| ()).ok_or(ParseStop::Starved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_whole_whatever_way_it_comes() {
        let mut held = Carry::default();
        assert!(matches!(
            ByteCursor::new(b"ab", &mut held).record::<5>(),
            Err(ParseStop::Starved)
        ));
        assert!(matches!(
            ByteCursor::new(b"c", &mut held).record::<5>(),
            Err(ParseStop::Starved)
        ));
        let mut input = ByteCursor::new(b"defghij", &mut held);
        assert_eq!(&input.record::<5>().unwrap(), b"abcde");
        assert_eq!(&input.record::<5>().unwrap(), b"fghij");
        assert!(held.is_empty());
    }

    #[test]
    fn a_run_is_shown_in_slices_and_ends_where_it_said() {
        let mut held = Carry::default();
        let (mut left, mut seen) = (5, Vec::new());
        assert!(
            ByteCursor::new(b"abc", &mut held)
                .pass(&mut left, |slice| seen.extend_from_slice(slice))
                .is_err()
        );
        let mut input = ByteCursor::new(b"defg", &mut held);
        input
            .pass(&mut left, |slice| seen.extend_from_slice(slice))
            .unwrap();
        assert_eq!(seen, b"abcde");
        assert_eq!(&input.record::<2>().unwrap(), b"fg");
    }

    #[test]
    fn sizes_are_multiplied_without_overflow() {
        let limits = Limits {
            max_pixels: u64::MAX,
        };
        assert!(limits.allow(u32::MAX, u32::MAX).is_ok());
        assert_eq!(
            limits.allow(0, 7),
            Err(Defect::NoPixels {
                width: 0,
                height: 7
            })
        );
        let defect = Defect::TooManyPixels {
            width: 3,
            height: 4,
            limit: 11,
        };
        assert_eq!(Limits { max_pixels: 11 }.allow(3, 4), Err(defect));
        assert!(Limits { max_pixels: 12 }.allow(3, 4).is_ok());
    }
}
