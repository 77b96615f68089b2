//! Gzip written by hand: streams that unpack to their input, and to far more than that.

/// `bytes` in gzip, stored as they are.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = header();
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("no longer than that");
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        packed.extend(block);
    }
    packed.extend(crc32fast::hash(bytes).to_le_bytes());
    packed.extend(
        u32::try_from(bytes.len())
            .expect("it is small")
            .to_le_bytes(),
    );
    packed
}

/// Gzip that unpacks to `byte`, more than `length` times; without its checksum, which nobody should come to.
pub(crate) fn gzip_bomb(byte: u8, length: usize) -> Vec<u8> {
    assert!(byte < 144, "a byte whose code has eight bits");
    let mut bits = BitWriter {
        bytes: header(),
        filled: 0,
    };
    // The last block, with the fixed codes: the byte, and then the longest match at distance 1 again and again.
    bits.add(0b1, 1);
    bits.add(0b01, 2);
    bits.code(0x30 + u16::from(byte), 8);
    for _ in 0..=length / 258 {
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.bytes
}

fn header() -> Vec<u8> {
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec()
}

struct BitWriter {
    bytes: Vec<u8>,
    /// How many bits of the last byte are taken; none where it is full.
    filled: u32,
}

impl BitWriter {
    /// Adds numbers: their lowest bit first.
    fn add(&mut self, value: u16, count: u32) {
        for bit in 0..count {
            if self.filled == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("a byte was pushed");
            *last |= u8::from(value >> bit & 1 == 1) << self.filled;
            self.filled = (self.filled + 1) % 8;
        }
    }

    /// Adds a Huffman code: its highest bit first.
    fn code(&mut self, code: u16, count: u32) {
        self.add(code.reverse_bits() >> (16 - count), count);
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::Sandbox;
    use super::*;

    #[test]
    fn gzip_is_unpacked_by_the_gzip_program() {
        let world = Sandbox::new();
        let unpacked = |name: &str, bytes: &[u8]| {
            std::fs::write(world.work().join(name), bytes).unwrap();
            world.program("gzip").args(["-dc", name]).run()
        };
        let text = "a page ".repeat(20_000);
        assert!(unpacked("text.gz", &gzip(text.as_bytes())).stdout == text);
        let packed = gzip_bomb(b'x', 1_000_000);
        assert!(packed.len() < 10_000);
        assert!(
            unpacked("bomb.gz", &packed)
                .stdout
                .starts_with(&"x".repeat(1_000_000))
        );
    }
}
