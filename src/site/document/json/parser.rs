//! Parses JSON (RFC 8259) into the list of its values.
//!
//! A tree of boxes, made of the events of a crate, took three times as long: a page of 100 items more than an HTML page of 28
//! (`cargo bench -- site`). Crates that are as fast lose how numbers are written, or which member came first.

use super::tree::{Kind, Node};
use crate::event::ListingFailure;
use crate::site::document::limits::{MAX_DEPTH, MAX_NODES};

/// Where a text ends that is parsed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    OfText,
    OfValue,
}

/// Parses a text into its values.
///
/// # Errors
///
/// When it is not JSON, nests too deep, or has too many values.
pub(super) fn parse(text: &str, end: End) -> Result<Vec<Node>, ListingFailure> {
    let mut parser = Parser {
        bytes: text.as_bytes(),
        at: 0,
        // Room for a usual page; a hostile one is not to choose how much.
        nodes: Vec::with_capacity((text.len() / 12).min(64 * 1024)),
        open: Vec::new(),
        values: 0,
    };
    // Places are kept in 32 bits.
    let parsed = match u32::try_from(text.len()) {
        Ok(_) => parser.document(end),
        Err(_) => Err("it is larger than 4 GB"),
    };
    match parsed {
        Ok(()) if parser.values > MAX_NODES => {
            Err(ListingFailure::TooManyElements { limit: MAX_NODES })
        }
        Ok(()) => Ok(parser.nodes),
        Err(why) => {
            // A broken character cannot be in front of the place: the text is one of whole characters.
            let read = String::from_utf8_lossy(&parser.bytes[..parser.at.min(text.len())]);
            let line = read.matches('\n').count() + 1;
            let column = read.chars().rev().take_while(|&c| c != '\n').count() + 1;
            Err(ListingFailure::Unreadable {
                language: "JSON",
                cause: format!("line {line}, column {column}: {why}"),
            })
        }
    }
}

/// The bytes that end a run of plain characters in a text.
const ENDS_TEXT: [bool; 256] = {
    let mut ends = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        ends[control] = true;
        control += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};

struct Parser<'t> {
    bytes: &'t [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The lists and objects that are not closed, the outermost first.
    open: Vec<usize>,
    values: usize,
}

/// Why a text is not JSON; the place is where the parser is.
type Malformed = &'static str;

impl Parser<'_> {
    /// Parses up to the end, or until there are too many values.
    fn document(&mut self, end: End) -> Result<(), Malformed> {
        loop {
            let is_complete = self.value()?;
            if self.values > MAX_NODES {
                return Ok(());
            }
            if is_complete && self.close()? {
                if end == End::OfText && self.blanks().is_some() {
                    return Err("something follows the value");
                }
                return Ok(());
            }
        }
    }

    /// Parses a value, of a list or an object only its beginning; says whether it is complete.
    fn value(&mut self) -> Result<bool, Malformed> {
        self.values += 1;
        match self.blanks() {
            Some(b'"') => self.text()?,
            Some(b'{') => return self.open(Kind::Object, b'}'),
            Some(b'[') => return self.open(Kind::List, b']'),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true", Kind::True)?,
            Some(b'f') => self.word(b"false", Kind::False)?,
            Some(b'n') => self.word(b"null", Kind::Null)?,
            Some(_) => return Err("a value is expected"),
            None => return Err("it ends where a value is expected"),
        }
        Ok(true)
    }

    /// Begins a list or an object; true if it is empty.
    fn open(&mut self, kind: Kind, end: u8) -> Result<bool, Malformed> {
        if self.open.len() == MAX_DEPTH {
            return Err("it nests too deep");
        }
        self.at += 1;
        self.push(kind, 0, self.nodes.len() + 1);
        if self.blanks() == Some(end) {
            self.at += 1;
            return Ok(true);
        }
        self.open.push(self.nodes.len() - 1);
        if kind == Kind::Object {
            self.name()?;
        }
        Ok(false)
    }

    /// Behind a value: closes what ends here; true if that is everything.
    fn close(&mut self) -> Result<bool, Malformed> {
        while let Some(&container) = self.open.last() {
            self.nodes[container].start += 1;
            let is_object = self.nodes[container].kind == Kind::Object;
            match (self.blanks(), is_object) {
                (Some(b','), true) => {
                    self.at += 1;
                    self.name()?;
                    return Ok(false);
                }
                (Some(b','), false) => {
                    self.at += 1;
                    return Ok(false);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    self.nodes[container].end = offset(self.nodes.len());
                    self.open.pop();
                }
                (Some(_), true) => return Err("`,` or `}` is expected"),
                (Some(_), false) => return Err("`,` or `]` is expected"),
                (None, _) => return Err("it ends within a list or an object"),
            }
        }
        Ok(true)
    }

    /// A member's name and the colon.
    fn name(&mut self) -> Result<(), Malformed> {
        if self.blanks() != Some(b'"') {
            return Err("a name in quotes is expected");
        }
        self.text()?;
        if self.blanks() != Some(b':') {
            return Err("`:` is expected");
        }
        self.at += 1;
        Ok(())
    }

    /// Skips blanks; the byte behind them.
    fn blanks(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn text(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::Text;
        loop {
            let rest = &self.bytes[self.at..];
            let end = rest.iter().position(|&byte| ENDS_TEXT[usize::from(byte)]);
            self.at += end.unwrap_or(rest.len());
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                Some(_) => return Err("a control character in a text"),
                None => return Err("it ends within a text"),
            }
        }
        self.push(kind, start, self.at);
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err("four hexadecimal digits are expected behind `\\u`");
                }
                6
            }
            _ => return Err("`\\` in a text begins no escape sequence"),
        };
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.at += usize::from(self.bytes[start] == b'-');
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.push(Kind::Number, start, self.at);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => Err("a digit is expected"),
            digits => {
                self.at += digits;
                Ok(())
            }
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err("a value is expected");
        }
        self.push(kind, self.at, self.at + word.len());
        self.at += word.len();
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        self.nodes.push(Node {
            kind,
            start: offset(start),
            end: offset(end),
        });
    }
}

/// A place in a text that fits 32 bits, or of a node: there are fewer than bytes.
fn offset(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
