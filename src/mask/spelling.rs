//! A text with its escapes undone, one layer at a time, and where in the written text each byte came from.

use std::ops::Range;

/// The longest escape, in bytes: `&#0000000000065;`. A longer one is none, so that a text takes linear time.
const MAX_ESCAPE: usize = 20;

/// Names of characters that HTML has beside its numbers: ASCII alone.
const NAMES: [(&str, char); 40] = [
    ("AMP", '&'),
    ("GT", '>'),
    ("Hat", '^'),
    ("LT", '<'),
    ("NewLine", '\n'),
    ("QUOT", '"'),
    ("Tab", '\t'),
    ("UnderBar", '_'),
    ("VerticalLine", '|'),
    ("amp", '&'),
    ("apos", '\''),
    ("ast", '*'),
    ("bsol", '\\'),
    ("colon", ':'),
    ("comma", ','),
    ("commat", '@'),
    ("dollar", '$'),
    ("equals", '='),
    ("excl", '!'),
    ("grave", '`'),
    ("gt", '>'),
    ("lbrace", '{'),
    ("lbrack", '['),
    ("lcub", '{'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("lsqb", '['),
    ("lt", '<'),
    ("num", '#'),
    ("percnt", '%'),
    ("period", '.'),
    ("plus", '+'),
    ("quest", '?'),
    ("quot", '"'),
    ("rbrace", '}'),
    ("rcub", '}'),
    ("rpar", ')'),
    ("rsqb", ']'),
    ("semi", ';'),
    ("sol", '/'),
];

/// The bytes that begin an escape, and the zero byte, which stands between the letters of UTF-16 that is read as
/// something else.
const SPECIAL: [u8; 4] = [b'%', b'&', b'\\', 0];

/// A text as it is after some layers of escapes are undone.
pub(super) struct Spelling {
    bytes: Vec<u8>,
    /// Where each byte begins in the written text, and at last where that ends. `None` where nothing is undone.
    starts: Option<Vec<u32>>,
}

/// What an escape stands for.
enum Unescaped {
    Byte(u8),
    Char(char),
}

impl Spelling {
    /// The text as it is written.
    pub(super) fn written(text: &str) -> Self {
        Self {
            bytes: text.as_bytes().to_vec(),
            starts: None,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The range of the written text that these bytes came from.
    pub(super) fn written_at(&self, range: Range<usize>) -> Range<usize> {
        self.start(range.start)..self.start(range.end)
    }

    fn start(&self, at: usize) -> usize {
        match &self.starts {
            Some(starts) => starts[at] as usize,
            None => at,
        }
    }

    /// The text with one more layer of escapes undone; `None` if it has none.
    pub(super) fn unescaped(&self) -> Option<Self> {
        self.bytes.iter().position(|byte| SPECIAL.contains(byte))?;
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut starts = Vec::with_capacity(self.bytes.len() + 1);
        // A text has fewer than 4 GiB: pages are bounded.
        let place = |at| u32::try_from(self.start(at)).unwrap_or(u32::MAX);
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            let rest = &self.bytes[at..self.bytes.len().min(at + MAX_ESCAPE)];
            let found = match byte {
                b'%' => percent(rest),
                b'&' => reference(rest),
                b'\\' => backslash(rest),
                0 => {
                    at += 1;
                    continue;
                }
                _ => None,
            };
            let (unescaped, length) = found.unwrap_or((Unescaped::Byte(byte), 1));
            let before = bytes.len();
            match unescaped {
                Unescaped::Byte(byte) => bytes.push(byte),
                Unescaped::Char(char) => {
                    bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            starts.resize(starts.len() + bytes.len() - before, place(at));
            at += length;
        }
        starts.push(place(self.bytes.len()));
        (bytes.len() < self.bytes.len()).then_some(Self {
            bytes,
            starts: Some(starts),
        })
    }
}

/// `%41`, and `%u0041`, as old scripts write it. The bytes of a character outside ASCII are escaped one by one.
fn percent(rest: &[u8]) -> Option<(Unescaped, usize)> {
    if rest.get(1).is_some_and(|byte| b"uU".contains(byte)) {
        return unit(&rest[1..]).map(|(char, length)| (Unescaped::Char(char), length + 1));
    }
    let byte = u8::try_from(hex(rest.get(1..3)?)?).ok()?;
    Some((Unescaped::Byte(byte), 3))
}

/// `&#65;`, `&#x41;` and `&amp;`. A number needs no semicolon.
fn reference(rest: &[u8]) -> Option<(Unescaped, usize)> {
    let (digits, radix) = match rest {
        [_, b'#', b'x' | b'X', ..] => (3, 16),
        [_, b'#', ..] => (2, 10),
        _ => {
            let end = rest.iter().position(|&byte| byte == b';')?;
            let name = str::from_utf8(&rest[1..end]).ok()?;
            let at = NAMES.binary_search_by_key(&name, |(name, _)| name).ok()?;
            return Some((Unescaped::Char(NAMES[at].1), end + 1));
        }
    };
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let end = digits + rest[digits..].iter().take_while(is_digit).count();
    let number = u32::from_str_radix(str::from_utf8(&rest[digits..end]).ok()?, radix).ok()?;
    let has_end = rest.get(end) == Some(&b';');
    Some((
        Unescaped::Char(char::from_u32(number)?),
        end + usize::from(has_end),
    ))
}

/// `\u0041`, `\u{41}`, `\x41`, and a backslash before the character itself.
fn backslash(rest: &[u8]) -> Option<(Unescaped, usize)> {
    let next = *rest.get(1)?;
    let number = match next {
        b'u' | b'U' => unit(&rest[1..]),
        b'x' => rest
            .get(2..4)
            .and_then(hex)
            .and_then(char::from_u32)
            .map(|char| (char, 3)),
        _ => None,
    };
    Some(match number {
        Some((char, length)) => (Unescaped::Char(char), length + 1),
        // A line break, as `\n`, becomes a letter. That is right where letters are escaped for no reason; a secret with
        // line breaks is looked for in that form as well.
        None => (Unescaped::Byte(next), 2),
    })
}

/// `u0041`, `u{41}`, `U00000041` and the two halves of a character in UTF-16, `uD83D\uDE00`.
fn unit(rest: &[u8]) -> Option<(char, usize)> {
    if rest.get(1) == Some(&b'{') {
        let end = rest.iter().position(|&byte| byte == b'}')?;
        return Some((char::from_u32(hex(&rest[2..end])?)?, end + 1));
    }
    if rest[0] == b'U'
        && let Some(char) = rest.get(1..9).and_then(hex).and_then(char::from_u32)
    {
        return Some((char, 9));
    }
    let first = hex(rest.get(1..5)?)?;
    if let Some(char) = char::from_u32(first) {
        return Some((char, 5));
    }
    let second = match rest.get(5..7)? {
        [b'\\' | b'%', b'u' | b'U'] => hex(rest.get(7..11)?)?,
        _ => return None,
    };
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let char = char::decode_utf16(units).next()?.ok()?;
    Some((char, 11))
}

/// A hexadecimal number of any case, without a sign.
fn hex(digits: &[u8]) -> Option<u32> {
    let digits = digits.iter().map(|&digit| char::from(digit).to_digit(16));
    digits
        .take(9)
        .try_fold(None, |number: Option<u32>, digit| {
            let digit = digit?;
            Some(Some(match number {
                Some(number) => number.checked_mul(16)?.checked_add(digit)?,
                None => digit,
            }))
        })?
}
