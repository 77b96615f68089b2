//! The file name in a `Content-Disposition` header, as browsers read it (RFC 6266 and RFC 8187).
//!
//! Our own code, for what servers send: names in raw UTF-8 or Latin-1, without quotes, with `;` inside them. A strict parser
//! refuses those.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use percent_encoding::percent_decode;

/// The longest name in bytes that is looked at; one for a file has a tenth of it.
const MAX_BYTES: usize = 4 * 1024;

/// The file name in `header`: that of `filename*`, else that of `filename`.
pub(super) fn file_name(header: &[u8]) -> Option<String> {
    let header = text(&header[..header.len().min(MAX_BYTES)]);
    let (mut plain, mut extended) = (None, None);
    let mut rest = header.as_str();
    while let Some((name, after)) = next_name(rest) {
        let (value, after) = value(after);
        if name.eq_ignore_ascii_case("filename*") {
            extended = extended.or_else(|| decoded(&value));
        } else if name.eq_ignore_ascii_case("filename") {
            plain = plain.or(Some(value));
        }
        rest = after;
    }
    let name = extended.or_else(|| plain.map(|name| unescaped(&name)))?;
    (!name.trim().is_empty()).then_some(name)
}

/// Headers are bytes: UTF-8 where they can be, else Latin-1 as browsers read it.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| {
            WINDOWS_1252
                .decode_without_bom_handling(bytes)
                .0
                .into_owned()
        },
        str::to_owned,
    )
}

/// The next parameter's name, and what stands behind its `=`.
fn next_name(text: &str) -> Option<(&str, &str)> {
    let (before, after) = text.split_once('=')?;
    let name = before.rsplit([';', ',']).next().unwrap_or(before);
    Some((name.trim(), after))
}

/// A parameter's value, and what stands behind it.
fn value(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let Some(inside) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find(';').unwrap_or(text.len()));
        return (value.trim().to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &inside[at + 1..]),
            // Browsers on Windows send whole paths, whose separators are no escapes: only these two are.
            '\\' if inside[at + 1..].starts_with(['"', '\\']) => {
                value.extend(characters.next().map(|(_, escaped)| escaped));
            }
            c => value.push(c),
        }
    }
    (value, "")
}

/// The value of `filename*`: `UTF-8'en'a%20b.png`. None where it is not of this form, so that `filename` counts.
fn decoded(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, name) = rest.split_once('\'')?;
    let encoding = Encoding::for_label_no_replacement(charset.trim().as_bytes())?;
    let bytes = percent_decode(name.as_bytes()).collect::<Vec<_>>();
    let (name, had_errors) = encoding.decode_without_bom_handling(&bytes);
    (!had_errors).then(|| name.into_owned())
}

/// Many servers escape the plain name, too; browsers undo it where UTF-8 comes out.
fn unescaped(name: &str) -> String {
    let bytes = percent_decode(name.as_bytes()).collect::<Vec<_>>();
    let (decoded, had_errors) = UTF_8.decode_without_bom_handling(&bytes);
    if had_errors {
        name.to_owned()
    } else {
        decoded.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_file_name_of_a_content_disposition_is_read_as_servers_write_it() {
        let cases: [(&[u8], Option<&str>); 19] = [
            (b"attachment; filename=\"a b.png\"", Some("a b.png")),
            (b"inline;FileName=a.png", Some("a.png")),
            (b"filename=a.png", Some("a.png")),
            (b"attachment; filename=a b.png; size=3", Some("a b.png")),
            (
                b"attachment; filename=\"a;b=c.png\"; x=y",
                Some("a;b=c.png"),
            ),
            (b"attachment; filename=\"a\\\"b.png\"", Some("a\"b.png")),
            (
                b"attachment; filename=\"C:\\fakepath\\x.png\"",
                Some("C:\\fakepath\\x.png"),
            ),
            (
                b"attachment; filename*=UTF-8''%E6%8F%92.png; filename=x.png",
                Some("\u{63d2}.png"),
            ),
            (
                b"attachment; filename=x.png; filename*=utf-8'en'%e6%8f%92.png",
                Some("\u{63d2}.png"),
            ),
            (
                b"attachment; filename*=iso-8859-1''%E9.png",
                Some("\u{e9}.png"),
            ),
            (
                b"attachment; filename*=\"UTF-8''a%20b.png\"",
                Some("a b.png"),
            ),
            (
                b"attachment; filename*=klingon''x.png; filename=y.png",
                Some("y.png"),
            ),
            (
                b"attachment; filename*=UTF-8''%ff; filename=y.png",
                Some("y.png"),
            ),
            (
                "attachment; filename=\"\u{63d2}.png\"".as_bytes(),
                Some("\u{63d2}.png"),
            ),
            (b"attachment; filename=\"\xe9.png\"", Some("\u{e9}.png")),
            (
                b"attachment; filename=\"%E6%8F%92.png\"",
                Some("\u{63d2}.png"),
            ),
            (b"attachment; filename=\"unclosed.png", Some("unclosed.png")),
            (b"attachment; filename=\"\"", None),
            (b"inline", None),
        ];
        for (header, name) in cases {
            assert_eq!(file_name(header).as_deref(), name, "{}", text(header));
        }
    }

    proptest! {
        #[test]
        fn any_content_disposition_is_read(header in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = file_name(&[b"attachment; filename=", &header[..]].concat());
        }
    }
}
