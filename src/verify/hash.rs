//! The hash of an image's bytes, taken while they pass.

use crate::job::ContentHash;

/// Bytes are hashed from one multiple of this to the next: what begins or ends anywhere else costs BLAKE3, which takes 16
/// chunks of a kilobyte at once where it can, up to a quarter more.
const STRIDE: usize = 32 * 1024;

/// Sees bytes in whatever pieces, and hashes them in as few as it can.
pub(super) struct Hash {
    /// It is large, and moves with the image it belongs to.
    hasher: Box<blake3::Hasher>,
    /// Bytes that wait for their stride to be full; none where it was begun without waiting.
    held: Vec<u8>,
    /// How many bytes of the stride were seen, held or not.
    seen: usize,
}

impl Hash {
    pub(super) fn new() -> Self {
        Self {
            hasher: Box::default(),
            held: Vec::new(),
            seen: 0,
        }
    }

    pub(super) fn bytes(&mut self, chunk: &[u8]) {
        let Some((to_the_stride, rest)) = chunk.split_at_checked(STRIDE - self.seen) else {
            self.seen += chunk.len();
            // A small image comes in a piece or two, which are not copied.
            if self.held.is_empty() {
                self.hasher.update(chunk);
            } else {
                self.held.extend_from_slice(chunk);
            }
            return;
        };
        if self.held.is_empty() {
            self.hasher.update(to_the_stride);
        } else {
            self.held.extend_from_slice(to_the_stride);
            self.hasher.update(&self.held);
            self.held.clear();
        }
        let (strides, behind) = rest.split_at(rest.len() - rest.len() % STRIDE);
        self.hasher.update(strides);
        self.held.extend_from_slice(behind);
        self.seen = behind.len();
    }

    pub(super) fn value(mut self) -> ContentHash {
        self.hasher.update(&self.held);
        ContentHash::from_bytes(*self.hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let whole = ContentHash::from_bytes(*blake3::hash(&bytes).as_bytes());
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
            let (mut hash, mut rest) = (Hash::new(), &bytes[..]);
            for length in lengths.iter().cycle() {
                let (piece, behind) = rest.split_at(rest.len().min(*length));
                hash.bytes(piece);
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            assert_eq!(hash.value(), whole, "{lengths:?}");
        }
    }
}
