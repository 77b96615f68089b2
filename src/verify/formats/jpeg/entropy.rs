//! The bits of entropy-coded data: stuffed zeros are taken out, and a marker ends them.

use std::io::{self, BufRead, Read};

use crate::verify::decode::ImageReader;

/// How many bytes of clean data are kept at a time.
const CAPACITY: usize = 32 * 1024;

/// More than one block takes: 64 coefficients of at most 31 bits. So much is at hand before a block
/// is read, so that no bit of it has to ask for more.
const BLOCK_BYTES: usize = 512;

/// So many bytes in front of padding are looked at: if they are padding as well, codes were read out
/// of it.
const LOOK_BACK: usize = 4;

/// What a scan may have left over at its end without being doubted: libjpeg reads ahead by so much,
/// and never sees it.
const READ_AHEAD: usize = 7;

/// The most bytes of another kind that may stand behind a complete scan: some programs put a few
/// there, and decoders skip them.
const STRAY_BYTES: usize = 1024;

/// So many equal bytes in a row are the sign of a hole: no encoder writes them into detail.
const HOLE: usize = 32;

/// Reads one file: markers and segments from `source`, and in a scan its bits.
pub(super) struct EntropyReader<'a> {
    pub(super) source: ImageReader<'a>,
    /// Clean data up to `end`, then zeros.
    data: Box<[u8; CAPACITY + BLOCK_BYTES]>,
    end: usize,
    /// The next byte that goes into `bits`. At the end of the data it runs into the zeros.
    at: usize,
    /// The next bits, from the highest on; those below the first `count` are bits of the next byte
    /// or zero.
    bits: u64,
    count: usize,
    /// Whether the last byte from `source` was an `FF` whose meaning the next byte tells.
    is_escaped: bool,
    /// What ended the data.
    ended: Option<DataEnd>,
    /// Whether the data has a run of equal bytes, as a hole leaves.
    has_hole: bool,
}

/// What ends entropy-coded data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataEnd {
    /// A marker of this code.
    Marker(u8),
    File,
}

/// What stands between the last bit that was asked for and the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// At most the bits that fill the last byte.
    Nothing,
    /// More bits were asked for than there are.
    Missing,
    /// Bytes of one value, which began where the data ended, fewer bytes than decoders notice, or a
    /// few others behind data that ends as it should.
    Padding,
    /// At least so many bytes that should have been asked for.
    Data,
}

impl<'a> EntropyReader<'a> {
    pub(super) fn new(source: ImageReader<'a>) -> Self {
        Self {
            source,
            data: vec![0; CAPACITY + BLOCK_BYTES]
                .try_into()
                .expect("it has this length"),
            end: 0,
            at: 0,
            bits: 0,
            count: 0,
            is_escaped: false,
            ended: None,
            has_hole: false,
        }
    }

    /// Begins to read data behind a header or a restart marker.
    pub(super) fn begin(&mut self) {
        (self.end, self.at, self.bits, self.count) = (0, 0, 0, 0);
        self.is_escaped = false;
        self.ended = None;
        self.has_hole = false;
    }

    /// Makes sure that all bits of the next block are at hand, or all that are left.
    #[inline]
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if self.at + BLOCK_BYTES > self.end && self.ended.is_none() {
            self.fill()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn fill(&mut self) -> io::Result<()> {
        // `at` is at most `end` here: it runs past it only in the last data.
        let from = self.at.saturating_sub(8 + LOOK_BACK).min(self.end);
        self.data.copy_within(from..self.end, 0);
        self.end -= from;
        self.at -= from;
        while self.ended.is_none() && self.end < CAPACITY {
            self.unstuff()?;
        }
        if self.ended.is_some() {
            self.data[self.end..].fill(0);
        }
        Ok(())
    }

    /// Takes one run of bytes from the source, as far as there is place.
    fn unstuff(&mut self) -> io::Result<()> {
        let chunk = self.source.fill_buf()?;
        let Some(&first) = chunk.first() else {
            self.ended = Some(DataEnd::File);
            return Ok(());
        };
        if self.is_escaped {
            match first {
                // A fill byte; libjpeg reads several of them before a zero as one `FF`, too.
                0xFF => {}
                0 => {
                    self.data[self.end] = 0xFF;
                    self.end += 1;
                    self.is_escaped = false;
                }
                code => self.ended = Some(DataEnd::Marker(code)),
            }
            self.source.consume(1);
            return Ok(());
        }
        let place = &mut self.data[self.end..CAPACITY];
        let limit = chunk.len().min(place.len());
        let escape = memchr::memchr(0xFF, &chunk[..limit]);
        let run = escape.unwrap_or(limit);
        place[..run].copy_from_slice(&chunk[..run]);
        let mut blocks = chunk[..run].chunks_exact(HOLE);
        self.has_hole |= blocks.any(|block| block.iter().all(|&byte| byte == block[0]));
        self.end += run;
        self.is_escaped = escape.is_some();
        self.source.consume(run + usize::from(escape.is_some()));
        Ok(())
    }

    /// Makes sure that at least 56 bits can be looked at.
    #[inline]
    fn refill(&mut self) {
        let next = self.data.get(self.at..).and_then(<[u8]>::first_chunk);
        let word = next.map_or(0, |next| u64::from_be_bytes(*next));
        self.bits |= word >> self.count;
        let bytes = (63 - self.count) / 8;
        self.at += bytes;
        self.count += bytes * 8;
    }

    /// The next 16 bits; zeros behind the end of the data. At least 15 more can be skipped with
    /// them.
    #[inline]
    pub(super) fn peek(&mut self) -> u16 {
        if self.count < 32 {
            self.refill();
        }
        let [high, low, ..] = self.bits.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Skips bits that were looked at, at most 31.
    #[inline]
    pub(super) fn skip(&mut self, bits: u8) {
        self.bits <<= bits;
        self.count -= usize::from(bits);
    }

    /// Reads up to 16 bits.
    #[inline]
    pub(super) fn read(&mut self, bits: u8) -> u16 {
        let value = u32::from(self.peek()) >> (16 - bits);
        self.skip(bits);
        u16::try_from(value).unwrap_or(u16::MAX)
    }

    /// Skips up to 64 bits that nobody looks at.
    #[inline]
    pub(super) fn skip_many(&mut self, mut bits: u32) {
        while bits > 0 {
            let here = bits.min(16);
            self.peek();
            self.bits <<= here;
            self.count -= here as usize;
            bits -= here;
        }
    }

    /// Whether more bits were asked for than the data has.
    #[inline]
    pub(super) fn is_overrun(&self) -> bool {
        self.at > self.end && self.lacks(0)
    }

    /// Whether the data that is at hand ends before so many bits more.
    pub(super) fn lacks(&self, bits: usize) -> bool {
        self.at * 8 - self.count + bits > self.end * 8
    }

    /// Looks at what is left behind the last bit, and reads up to the marker.
    pub(super) fn finish(&mut self) -> io::Result<(Rest, DataEnd)> {
        self.prepare()?;
        if self.is_overrun() {
            // No more is taken in after the end, so that the end is known.
            return Ok((Rest::Missing, self.ended.unwrap_or(DataEnd::File)));
        }
        let position = self.at * 8 - self.count;
        let next = position.div_ceil(8);
        // Encoders fill the last byte with ones: T.81 F.1.2.3. A place in the midst of the data
        // looks like that one time in four.
        let fill = (1_u16 << (next * 8 - position)) - 1;
        let last = self.data[next.saturating_sub(1)];
        let ends_well = u16::from(last) & fill == fill && next > 0;
        let before = &self.data[next.saturating_sub(LOOK_BACK)..next];
        let padding = self.data[next..self.end].first().copied();
        let began_here = padding.is_some_and(|padding| before.iter().any(|&byte| byte != padding));
        let (mut left, mut is_padding) = (0, began_here);
        let mut from = next;
        loop {
            let rest = &self.data[from..self.end];
            left += rest.len();
            is_padding &= rest.iter().all(|&byte| Some(byte) == padding);
            if let Some(end) = self.ended {
                let rest = match left {
                    0 => Rest::Nothing,
                    1..=READ_AHEAD => Rest::Padding,
                    _ if is_padding => Rest::Padding,
                    ..=STRAY_BYTES if ends_well && !self.has_hole => Rest::Padding,
                    _ => Rest::Data,
                };
                return Ok((rest, end));
            }
            (self.end, self.at, self.bits, self.count, from) = (0, 0, 0, 0, 0);
            self.fill()?;
        }
    }

    /// The next marker's code, `None` at the end of the file. What stands in front of it is
    /// skipped, as libjpeg does: the checker has judged it.
    pub(super) fn next_marker(&mut self) -> io::Result<Option<u8>> {
        let mut is_escaped = false;
        loop {
            let chunk = self.source.fill_buf()?;
            let Some(&first) = chunk.first() else {
                return Ok(None);
            };
            if is_escaped {
                self.source.consume(1);
                match first {
                    0xFF => {}
                    0 => is_escaped = false,
                    code => return Ok(Some(code)),
                }
            } else {
                let escape = memchr::memchr(0xFF, chunk);
                let skipped = escape.map_or(chunk.len(), |at| at + 1);
                is_escaped = escape.is_some();
                self.source.consume(skipped);
            }
        }
    }

    /// What stands in a segment behind its length field, up to the end of the file; a length that
    /// is too small for its own field is that of an empty segment.
    pub(super) fn segment(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let length = self.segment_length()?;
        into.clear();
        self.source.by_ref().take(length).read_to_end(into)?;
        Ok(())
    }

    /// Skips a segment.
    pub(super) fn skip_segment(&mut self) -> io::Result<()> {
        let length = self.segment_length()?;
        io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
        Ok(())
    }

    fn segment_length(&mut self) -> io::Result<u64> {
        let mut length = [0; 2];
        self.source.read_exact(&mut length)?;
        Ok(u64::from(u16::from_be_bytes(length)).saturating_sub(2))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    /// Reads data from a source of small chunks.
    fn with_reader<T>(bytes: &[u8], read: impl FnOnce(&mut EntropyReader<'_>) -> T) -> T {
        let mut file = Cursor::new(bytes);
        let source =
            BufReader::with_capacity(5, &mut file as &mut dyn crate::verify::decode::SeekableRead);
        let mut reader = EntropyReader::new(source);
        reader.begin();
        read(&mut reader)
    }

    /// Reads so many bytes of data and then the rest.
    fn rest(bytes: &[u8], count: usize) -> (Rest, DataEnd) {
        with_reader(bytes, |reader| {
            for _ in 0..count {
                reader.prepare().unwrap();
                reader.read(8);
            }
            reader.finish().unwrap()
        })
    }

    #[test]
    fn stuffed_zeros_and_fill_bytes_are_taken_out() {
        let data = [1, 2, 0xFF, 0, 3, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xD9];
        with_reader(&data, |reader| {
            reader.prepare().unwrap();
            let read = [(); 5].map(|()| reader.read(8));
            assert_eq!(read, [1, 2, 0xFF, 3, 0xFF]);
            assert!(!reader.is_overrun());
            assert_eq!(reader.read(1), 0);
            assert!(reader.is_overrun());
        });
        assert_eq!(rest(&data, 5), (Rest::Nothing, DataEnd::Marker(0xD9)));
        assert_eq!(rest(&data, 6), (Rest::Missing, DataEnd::Marker(0xD9)));
        assert_eq!(rest(&data[..8], 5), (Rest::Nothing, DataEnd::File));
    }

    #[test]
    fn bits_are_read_in_order_over_all_chunks() {
        let bytes: Vec<u8> = (0..200_000_u32)
            .map(|n| (n % 25_100 * 7 % 251).to_le_bytes()[0])
            .collect();
        let data = [&bytes[..], b"\xff\xd3"].concat();
        with_reader(&data, |reader| {
            for pair in bytes.chunks(2) {
                reader.prepare().unwrap();
                let bits = [3, 5, 1, 7].map(|bits| reader.read(bits));
                let [a, b, c, d] = bits.map(|bits| bits.to_le_bytes()[0]);
                assert_eq!([a << 5 | b, c << 7 | d], pair);
            }
            let end = (Rest::Nothing, DataEnd::Marker(0xD3));
            assert_eq!(reader.finish().unwrap(), end);
        });
        with_reader(&data, |reader| {
            reader.prepare().unwrap();
            for count in [64, 1, 0, 63] {
                reader.skip_many(count);
            }
            assert_eq!(reader.read(8), u16::from(bytes[16]));
        });
    }

    #[test]
    fn padding_behind_a_scan_is_told_from_data() {
        let end = DataEnd::Marker(0xD9);
        let data =
            |fill: &[u8], count: usize| [b"ab", &fill.repeat(count)[..], b"\xff\xd9"].concat();
        for fill in [0, 0x55] {
            for count in [1, 8, 100_000] {
                assert_eq!(rest(&data(&[fill], count), 2), (Rest::Padding, end));
            }
            // Codes were read out of it: it is a hole.
            assert_eq!(rest(&data(&[fill], 5000), 20), (Rest::Data, end));
        }
        assert_eq!(rest(&data(&[0xFF, 0], 50), 2), (Rest::Padding, end));
        assert_eq!(rest(&data(b"xy", 3), 2), (Rest::Padding, end));
        // Others, behind a scan that ends as it should.
        assert_eq!(rest(&data(b"xy", 512), 2), (Rest::Padding, end));
        assert_eq!(rest(&data(b"xy", 513), 2), (Rest::Data, end));
        assert_eq!(
            rest(&[&data(&[0], 50_000)[..50_000], b"x\xff\xd9"].concat(), 2),
            (Rest::Data, end)
        );
    }

    #[test]
    fn next_marker_skips_what_is_none() {
        let next = |bytes: &[u8]| with_reader(bytes, |reader| reader.next_marker().unwrap());
        assert_eq!(next(b"\xff\xd8"), Some(0xD8));
        assert_eq!(next(b"junk, more junk\xff\0.\xff\xff\xff\xdb"), Some(0xDB));
        assert_eq!(next(b"junk\xff\0\xff"), None);
    }

    #[test]
    fn segment_ends_with_its_length_or_the_file() {
        let segment = |bytes: &[u8]| {
            with_reader(bytes, |reader| {
                let mut into = b"before".to_vec();
                reader.segment(&mut into).map(|()| into)
            })
        };
        assert_eq!(segment(b"\0\x05abcde").unwrap(), b"abc");
        assert_eq!(segment(b"\0\x0fabcde").unwrap(), b"abcde");
        assert_eq!(segment(b"\0\0abcde").unwrap(), b"");
        assert!(segment(b"\0").is_err());
    }
}
