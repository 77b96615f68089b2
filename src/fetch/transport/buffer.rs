//! Room for what is read from connections: a few buffers a thread, and not one a connection.
//!
//! With a buffer of its own each of fifty connections has another piece of memory, and together they do not fit into a
//! processor's cache: a third of the time for hashing and writing went into fetching the bytes back into it. A thread
//! reads from one connection at a time, and what it has read it passes on before the next one.

use std::cell::RefCell;
use std::mem;
use std::ops::Range;

/// The most that is read at once, in bytes. As large as the largest head, so that each head fits.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// Buffers that a thread keeps; more are in use where a head or a body has come in part.
const KEPT: usize = 2;

thread_local! {
    static KEPT_BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer in use; given back to its thread when dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    /// What was read into it and not passed on.
    filled: Range<usize>,
}

impl Buffer {
    /// An empty one: one that the thread has used already, where there is one.
    pub(super) fn take() -> Self {
        let kept = KEPT_BUFFERS.with_borrow_mut(Vec::pop);
        Self {
            bytes: kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into()),
            filled: 0..0,
        }
    }

    /// What was read and not passed on.
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.filled.clone()]
    }

    /// Where the next bytes are to be read to; empty where it is full.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled.end..]
    }

    /// So many bytes were read into the [`room`](Self::room).
    pub(super) fn add(&mut self, count: usize) {
        self.filled.end += count;
    }

    /// The first `count` bytes are passed on.
    pub(super) fn pass(&mut self, count: usize) {
        self.filled.start += count;
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        // A thread that ends has no more use for it.
        let _ = KEPT_BUFFERS.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT {
                kept.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_empty_then() {
        let mut buffer = Buffer::take();
        let place = buffer.bytes.as_ptr();
        assert_eq!(buffer.room().len(), BUFFER_BYTES);
        buffer.room()[..5].copy_from_slice(b"image");
        buffer.add(5);
        buffer.pass(2);
        assert_eq!(buffer.filled(), b"age");
        drop(buffer);
        let mut again = Buffer::take();
        assert_eq!(again.bytes.as_ptr(), place);
        assert_eq!(again.room().len(), BUFFER_BYTES);
        assert_eq!(again.filled(), b"");
    }
}
