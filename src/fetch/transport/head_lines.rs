//! The lines of a response's head, and the fields in them.

use memchr::memchr;

/// The fields of a head that needs no cleaning: their names and values, without the blanks around these.
pub(super) struct Fields<'a>(Lines<'a>);

impl<'a> Fields<'a> {
    pub(super) fn of(head: &'a [u8]) -> Self {
        let mut lines = Lines(head);
        // The status line.
        lines.next();
        Self(lines)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let line = self.0.next()?;
        let colon = memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    }
}

/// The lines of a head up to the empty one, without their ends: LF or CR LF.
pub(super) struct Lines<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then_some(line)
    }
}
