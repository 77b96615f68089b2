//! The BLAKE3 hash of an image's bytes, computed while they pass.

use crate::job::ContentHash;

/// Bytes are hashed from one multiple of this to the next, in bytes. BLAKE3 compresses 16 chunks of
/// 1 KiB at once where it can; input that begins or ends anywhere else costs up to a quarter more.
const STRIDE: usize = 32 * 1024;

/// Takes bytes in pieces of any size, and hands them to BLAKE3 in as few pieces as it can.
pub(super) struct ContentHasher {
    /// Boxed: its 2 kB would be copied each time the inspector moves with its part.
    hasher: Box<blake3::Hasher>,
    /// Bytes that wait until their stride is full. Empty while the current stride's bytes were
    /// hashed at once.
    carry: Vec<u8>,
    /// How many bytes of the current stride have arrived, waiting or not.
    seen: usize,
}

impl ContentHasher {
    pub(super) fn new() -> Self {
        Self {
            hasher: Box::default(),
            carry: Vec::new(),
            seen: 0,
        }
    }

    pub(super) fn update(&mut self, chunk: &[u8]) {
        let Some((to_the_stride, rest)) = chunk.split_at_checked(STRIDE - self.seen) else {
            self.seen += chunk.len();
            // A small image arrives in one piece or two: hashing these at once costs less than
            // copying them.
            if self.carry.is_empty() {
                self.hasher.update(chunk);
            } else {
                self.carry.extend_from_slice(chunk);
            }
            return;
        };
        if self.carry.is_empty() {
            self.hasher.update(to_the_stride);
        } else {
            self.carry.extend_from_slice(to_the_stride);
            self.hasher.update(&self.carry);
            self.carry.clear();
        }
        let (strides, behind) = rest.split_at(rest.len() - rest.len() % STRIDE);
        self.hasher.update(strides);
        self.carry.extend_from_slice(behind);
        self.seen = behind.len();
    }

    pub(super) fn finish(mut self) -> ContentHash {
        self.hasher.update(&self.carry);
        ContentHash::from_bytes(*self.hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_does_not_depend_on_how_the_bytes_are_split() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let at_once = ContentHash::from_bytes(*blake3::hash(&bytes).as_bytes());
        let pieces: [&[usize]; 7] = [
            &[200_000],
            &[1],
            &[STRIDE],
            &[STRIDE - 1],
            &[STRIDE + 1, 7],
            &[5, 2 * STRIDE],
            &[100_000, 0, 3],
        ];
        for lengths in pieces {
            let (mut hash, mut rest) = (ContentHasher::new(), &bytes[..]);
            for length in lengths.iter().cycle() {
                let (piece, behind) = rest.split_at(rest.len().min(*length));
                hash.update(piece);
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            assert_eq!(hash.finish(), at_once, "{lengths:?}");
        }
    }
}
