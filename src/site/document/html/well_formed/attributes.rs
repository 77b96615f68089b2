//! The attributes of a start tag.

use html5ever::{Attribute, LocalName, QualName, local_name, ns};
use scraper::StrTendril;

use super::Reader;

/// Attributes of a tag are compared with one another.
const MAX_ATTRIBUTES: usize = 32;

impl<'t> Reader<'t> {
    /// The attributes behind the name of a start tag, up to its end, and whether it ends with a slash.
    pub(super) fn attributes(&mut self) -> Option<(Vec<Attribute>, bool)> {
        let bytes = self.text.as_bytes();
        let mut attributes: Vec<Attribute> = Vec::new();
        loop {
            let before = self.at;
            self.skip_blank();
            match *bytes.get(self.at)? {
                b'>' => {
                    self.at += 1;
                    return Some((attributes, false));
                }
                b'/' if bytes.get(self.at + 1) == Some(&b'>') => {
                    self.at += 2;
                    return Some((attributes, true));
                }
                // Two attributes have a blank between them.
                _ if self.at == before => return None,
                _ => {}
            }
            let name = attribute_atom(self.attribute_name()?);
            let value = self.value()?;
            let mut others = attributes.iter();
            if others.len() == MAX_ATTRIBUTES || others.any(|other| other.name.local == name) {
                return None;
            }
            let name = QualName::new(None, ns!(), name);
            attributes.push(Attribute { name, value });
        }
    }

    /// The name of an attribute, without the letters that the parser would change.
    fn attribute_name(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let is_plain = |byte: &u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b':')
        };
        let length = rest.bytes().take_while(is_plain).count();
        self.at += length;
        (length > 0).then(|| &rest[..length])
    }

    /// What stands behind the name of an attribute, decoded.
    fn value(&mut self) -> Option<StrTendril> {
        let bytes = self.text.as_bytes();
        if *bytes.get(self.at)? != b'=' {
            // Without a value it must end here, not before a blank and `=`.
            let after = self.rest().trim_ascii_start();
            let ends = after.len() < self.rest().len() || after.starts_with(['>', '/']);
            return (ends && !after.starts_with('=')).then(StrTendril::new);
        }
        self.at += 1;
        let quote = *bytes.get(self.at)?;
        let (from, length) = if matches!(quote, b'"' | b'\'') {
            let from = self.at + 1;
            let length = memchr::memchr(quote, &bytes[from..])?;
            self.at = from + length + 1;
            (from, length)
        } else {
            let from = self.at;
            let is_plain = |byte: &u8| {
                !byte.is_ascii_whitespace()
                    && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'=' | b'`')
            };
            let length = bytes[from..]
                .iter()
                .take_while(|byte| is_plain(byte))
                .count();
            self.at += length;
            // In `<a href=/a/>` the last slash belongs to the value.
            if length == 0 || bytes[self.at - 1] == b'/' {
                return None;
            }
            (from, length)
        };
        self.decoded(from, length, true)
    }

    fn skip_blank(&mut self) {
        let rest = self.text.as_bytes()[self.at..].iter();
        self.at += rest.take_while(|byte| byte.is_ascii_whitespace()).count();
    }
}

/// The atom of an attribute's name: to look up one that is no constant takes longer than to read the attribute.
fn attribute_atom(name: &str) -> LocalName {
    macro_rules! names {
        ($($name:tt)*) => {
            match name {
                $($name => local_name!($name),)*
                _ => LocalName::from(name),
            }
        };
    }
    names!("alt" "class" "content" "height" "href" "id" "lang" "name" "rel" "sizes" "src" "srcset" "style" "target" "title" "type" "width")
}
