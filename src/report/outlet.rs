//! Where lines go out: gathered, and written whole.

use std::io::{self, Write};

/// Past this much the lines go out without waiting for a pause.
const ENOUGH: usize = 32 * 1024;

/// A writer that is handed whole lines only, several at once when they come fast.
pub(super) struct LineBuffer {
    out: Box<dyn Write + Send>,
    gathered: Vec<u8>,
}

impl LineBuffer {
    /// An outlet into `out`.
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            gathered: Vec::new(),
        }
    }

    /// Takes `line`, which has no line end yet.
    pub(super) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.add(line);
        self.add(b"\n");
        if self.gathered.len() < ENOUGH {
            Ok(())
        } else {
            self.send()
        }
    }

    /// Takes `bytes` as they are; they go out with the next sending.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
    }

    /// Writes what was gathered. After an error it is not tried again: nobody can tell how much arrived.
    pub(super) fn send(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let written = self
            .out
            .write_all(&self.gathered)
            .and_then(|()| self.out.flush());
        self.gathered.clear();
        written
    }
}
