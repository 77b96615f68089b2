//! A writer that passes on whole lines only.

use std::io::{self, Write};

/// Above this size the buffer is written without waiting for a pause in the events.
const FULL: usize = 32 * 1024;

/// Collects lines and writes them together: one system call for many where events come fast, and no line is torn by
/// another process that writes to the same file.
pub(super) struct LineBuffer {
    out: Box<dyn Write + Send>,
    buffer: Vec<u8>,
}

impl LineBuffer {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            buffer: Vec::new(),
        }
    }

    /// Adds `line`, which has no line end yet; writes if the buffer is full.
    pub(super) fn push_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.push(line);
        self.push(b"\n");
        if self.buffer.len() < FULL {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Adds `bytes` as they are; they are written by the next [`LineBuffer::flush`].
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Writes the buffer and empties it, after an error too: how much arrived is unknown then, and writing it again
    /// would repeat lines.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self
            .out
            .write_all(&self.buffer)
            .and_then(|()| self.out.flush());
        self.buffer.clear();
        written
    }
}
