//! The bytes as a checker sees them: it asks for what comes next and need not care where a chunk
//! ends.

use super::checker::ParseStop;

/// The longest record that a checker may ask for, in bytes.
const LONGEST_RECORD: usize = 16;

/// The beginning of a record whose end has not arrived yet. It is kept between chunks, so that only
/// the few bytes of a record that two chunks share are ever copied; gathering chunks until a record
/// fits would copy every byte.
#[derive(Debug, Default)]
pub(super) struct Carry {
    bytes: [u8; LONGEST_RECORD],
    len: usize,
}

impl Carry {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A chunk while a checker reads it.
pub(super) struct ByteCursor<'a> {
    chunk: &'a [u8],
    carry: &'a mut Carry,
}

impl<'a> ByteCursor<'a> {
    pub(super) fn new(chunk: &'a [u8], carry: &'a mut Carry) -> Self {
        Self { chunk, carry }
    }

    /// The next `N` bytes, once all of them have arrived.
    pub(super) fn record<const N: usize>(&mut self) -> Result<[u8; N], ParseStop> {
        const { assert!(0 < N && N <= LONGEST_RECORD) };
        if self.carry.is_empty()
            && let Some((record, rest)) = self.chunk.split_first_chunk()
        {
            self.chunk = rest;
            return Ok(*record);
        }
        let (more, rest) = self
            .chunk
            .split_at(self.chunk.len().min(N - self.carry.len));
        self.carry.bytes[self.carry.len..][..more.len()].copy_from_slice(more);
        self.carry.len += more.len();
        self.chunk = rest;
        let record = self.carry.bytes[..self.carry.len]
            .try_into()
            .map_err(|_| ParseStop::NeedMore)?;
        self.carry.len = 0;
        Ok(record)
    }

    /// Consumes `left` bytes, over as many chunks as that takes, and shows each chunk's share to
    /// `see`.
    pub(super) fn take(
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
            Err(ParseStop::NeedMore)
        }
    }

    /// Consumes `left` bytes without looking at them.
    pub(super) fn skip(&mut self, left: &mut u64) -> Result<(), ParseStop> {
        self.take(left, |_| ())
    }

    /// Consumes as many bytes of this chunk as `count` returns for it.
    pub(super) fn skip_some(&mut self, count: impl FnOnce(&[u8]) -> usize) {
        self.chunk = &self.chunk[count(self.chunk)..];
    }

    /// Consumes everything up to and including the next `byte`.
    pub(super) fn skip_past(&mut self, byte: u8) -> Result<(), ParseStop> {
        let found = memchr::memchr(byte, self.chunk);
        self.chunk = found.map_or(&[], |at| &self.chunk[at + 1..]);
        found.map(|_| ()).ok_or(ParseStop::NeedMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_split_over_chunks_is_read_as_one() {
        let mut carry = Carry::default();
        assert!(matches!(
            ByteCursor::new(b"ab", &mut carry).record::<5>(),
            Err(ParseStop::NeedMore)
        ));
        assert!(matches!(
            ByteCursor::new(b"c", &mut carry).record::<5>(),
            Err(ParseStop::NeedMore)
        ));
        let mut input = ByteCursor::new(b"defghij", &mut carry);
        assert_eq!(&input.record::<5>().unwrap(), b"abcde");
        assert_eq!(&input.record::<5>().unwrap(), b"fghij");
        assert!(carry.is_empty());
    }

    #[test]
    fn a_run_split_over_chunks_is_shown_in_slices() {
        let mut carry = Carry::default();
        let (mut left, mut seen) = (5, Vec::new());
        assert!(
            ByteCursor::new(b"abc", &mut carry)
                .take(&mut left, |slice| seen.extend_from_slice(slice))
                .is_err()
        );
        let mut input = ByteCursor::new(b"defg", &mut carry);
        input
            .take(&mut left, |slice| seen.extend_from_slice(slice))
            .unwrap();
        assert_eq!(seen, b"abcde");
        assert_eq!(&input.record::<2>().unwrap(), b"fg");
    }
}
