//! Character references that need no table of all two thousand (HTML Standard, section 13.2.5.72 and following).

/// References by a name that ends with a semicolon.
const NAMED: [(&str, char); 22] = [
    ("amp", '&'),
    ("apos", '\''),
    ("bull", '•'),
    ("copy", '©'),
    ("gt", '>'),
    ("hellip", '…'),
    ("laquo", '«'),
    ("larr", '←'),
    ("ldquo", '“'),
    ("lsaquo", '‹'),
    ("lsquo", '‘'),
    ("lt", '<'),
    ("mdash", '—'),
    ("middot", '·'),
    ("nbsp", '\u{a0}'),
    ("ndash", '–'),
    ("quot", '"'),
    ("raquo", '»'),
    ("rarr", '→'),
    ("rdquo", '”'),
    ("rsaquo", '›'),
    ("rsquo", '’'),
];

/// `text` with its references resolved; `None` if it has one that only the HTML parser knows.
pub(super) fn resolve(text: &str, is_attribute: bool) -> Option<String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        resolved.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric();
        let name = &behind[..behind.bytes().take_while(is_name).count()];
        let after = &behind[name.len()..];
        if let Some(number) = behind.strip_prefix('#') {
            let (number, after) = number.split_once(';')?;
            resolved.push(numbered(number)?);
            rest = after;
        } else if name.is_empty() || (is_attribute && after.starts_with('=')) {
            // An ampersand alone, or the next parameter of a query.
            resolved.push('&');
            rest = behind;
        } else {
            let after = after.strip_prefix(';')?;
            let (_, c) = NAMED.iter().find(|(known, _)| *known == name)?;
            resolved.push(*c);
            rest = after;
        }
    }
    resolved.push_str(rest);
    Some(resolved)
}

/// The character of a number, if it stands for itself: some stand for others, or are mistakes.
fn numbered(number: &str) -> Option<char> {
    let value = match number.strip_prefix(['x', 'X']) {
        Some(digits) => parsed(digits, 16)?,
        None => parsed(number, 10)?,
    };
    let c = char::from_u32(value)?;
    matches!(c, ' '..='~' | '\u{a0}'..'\u{fdd0}' | '\u{10000}'..='\u{1fffd}').then_some(c)
}

/// A number of digits alone: Rust reads a sign as well.
fn parsed(digits: &str, radix: u32) -> Option<u32> {
    let is_digits = digits.chars().all(|c| c.is_digit(radix));
    is_digits.then(|| u32::from_str_radix(digits, radix).ok())?
}
