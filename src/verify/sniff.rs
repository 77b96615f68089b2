//! Recognizes files that are no image of a supported format by their first bytes: HTML pages,
//! programs, text.

use super::Defect;
use super::formats::{self, SignatureMatch, UNSUPPORTED};

/// The first bytes of programs and documents that servers send in place of images.
const OTHERS: &[(&[u8], &str)] = &[
    (b"\x7fELF", "an ELF program"),
    (b"MZ", "a Windows program"),
    (b"#!", "a script"),
    (b"<?php", "a PHP script"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip-packed data"),
    (b"\x1a\x45\xdf\xa3", "a video"),
];

/// The elements that an HTML page without a doctype begins with.
const HTML_ELEMENTS: [&str; 20] = [
    "html", "head", "body", "title", "meta", "link", "script", "noscript", "style", "iframe",
    "div", "p", "a", "b", "br", "h1", "h2", "center", "table", "form",
];

/// The longest title that is quoted, in characters.
const LONGEST_TITLE: usize = 80;

/// How many bytes of an unknown file are shown.
const BYTES_SHOWN: usize = 8;

/// The defect of a file that ended before its signature did; `head` is all of it.
pub(super) fn too_short(head: &[u8]) -> Defect {
    match formats::recognize(head) {
        _ if head.is_empty() => Defect::Empty,
        SignatureMatch::Partial => Defect::Truncated,
        SignatureMatch::Full(_) | SignatureMatch::None => not_an_image(head),
    }
}

/// The defect of a file without an image's signature, which says what the file looks like.
pub(super) fn not_an_image(head: &[u8]) -> Defect {
    let mut known = OTHERS.iter().chain(UNSUPPORTED);
    if let Some((_, what)) = known.find(|(beginning, _)| head.starts_with(beginning)) {
        return named(what);
    }
    if head.iter().all(|&byte| byte == 0) {
        return named("NUL bytes");
    }
    // UTF-16 with a byte order mark, otherwise UTF-8. Text in another charset shows replacement
    // characters in its title.
    let (text, ..) = encoding_rs::UTF_8.decode(head);
    let lower = text.to_ascii_lowercase();
    let markup = without_prolog(&lower);
    if markup.strip_prefix('<').is_some_and(begins_html) {
        return Defect::Html {
            title: title(&text, &lower),
        };
    }
    if begins_svg(markup) {
        return named("an SVG drawing");
    }
    if markup.starts_with('<') || lower.starts_with("<?xml") {
        return named("an XML document");
    }
    if !text.contains(|c: char| c == '\u{fffd}' || c.is_control() && !c.is_whitespace()) {
        return named("plain text");
    }
    let shown = &head[..head.len().min(BYTES_SHOWN)];
    let hex = shown
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ");
    named(&format!("something unknown (its first bytes are {hex})"))
}

fn named(what: &str) -> Defect {
    Defect::NotAnImage {
        what: what.to_owned(),
    }
}

/// The text behind leading white space, comments and XML declarations. An unterminated comment is
/// kept.
fn without_prolog(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let end = match text {
            _ if text.starts_with("<!--") => "-->",
            _ if text.starts_with("<?xml") => "?>",
            _ => return text,
        };
        match text.split_once(end) {
            Some((_, rest)) => text = rest,
            None => return text,
        }
    }
}

/// Whether `text`, which follows the first `<`, makes this an HTML page. An unterminated comment
/// counts: only HTML pages begin with a comment longer than the head.
fn begins_html(text: &str) -> bool {
    if text.starts_with("!--") {
        return true;
    }
    if let Some(doctype) = text.strip_prefix("!doctype") {
        return doctype.trim_start().starts_with("html");
    }
    let name = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    HTML_ELEMENTS.contains(&name)
}

fn begins_svg(text: &str) -> bool {
    text.starts_with("<svg")
        || text
            .strip_prefix("<!doctype")
            .is_some_and(|doctype| doctype.trim_start().starts_with("svg"))
}

/// The title of the page `text`. `lower` is `text` in ASCII lower case, so that byte positions
/// agree.
fn title(text: &str, lower: &str) -> Option<String> {
    let element = lower.find("<title")?;
    let begin = element + lower[element..].find('>')? + 1;
    let end = lower[begin..]
        .find("</title")
        .map_or(text.len(), |length| begin + length);
    let words = text[begin..end]
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let title = words.chars().take(LONGEST_TITLE).collect::<String>();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
mod tests {
    use super::super::testing::inspect;
    use super::*;

    fn html(bytes: &[u8]) -> Option<String> {
        match inspect(bytes) {
            Err(Defect::Html { title }) => Some(title.unwrap_or_default()),
            _ => None,
        }
    }

    #[test]
    fn html_is_recognized_behind_comments_bom_and_white_space() {
        for page in [
            "<!DOCTYPE html><html><head><title>Log in</title>",
            "\u{feff}\r\n\t <HTML lang=en>\n<Title\nid=a>\n  Log\n in </TITLE>",
            "<!-- a comment --> <!-- <html> another -->\n<head><title>Log in",
            "<?xml version='1.0'?>\n<!doctype\nHTML><title>Log in</title>",
            "<p>Sorry</p><title>Log in</title>",
        ] {
            assert_eq!(html(page.as_bytes()).as_deref(), Some("Log in"), "{page}");
        }
        let utf_16 = "\u{feff}<html><title>Log in</title>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes);
        assert_eq!(html(&utf_16.collect::<Vec<_>>()).as_deref(), Some("Log in"));
        assert_eq!(html(b"<!-- a comment without an end").as_deref(), Some(""));
        assert_eq!(html(b"<html><title>   </title>").as_deref(), Some(""));
    }

    #[test]
    fn long_html_title_is_truncated_between_characters() {
        let page = format!("<title>{}</title>", "\u{e9}".repeat(500));
        assert_eq!(html(page.as_bytes()), Some("\u{e9}".repeat(80)));
    }

    #[test]
    fn file_that_is_no_image_is_named_by_its_first_bytes() {
        for (bytes, what) in [
            (&b"\x7fELF\x02\x01\x01"[..], "an ELF program"),
            (&[0; 8], "NUL bytes"),
            (&[0; 10_000], "NUL bytes"),
            (b"%PDF-1.7\n", "a PDF document"),
            (b"#!/bin/sh\n", "a script"),
            (
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
                "an SVG drawing",
            ),
            (
                b"<?xml version='1.0'?><!-- x --><!DOCTYPE svg><svg/>",
                "an SVG drawing",
            ),
            (
                b"<?xml version='1.0'?><Error>denied</Error>",
                "an XML document",
            ),
            (b"{\"error\": \"not found\"}\n", "plain text"),
            (
                b"\x01\x02\x1b[2J\xff\xfe\xfd",
                "something unknown (its first bytes are 01 02 1b 5b 32 4a ff fe)",
            ),
        ] {
            assert_eq!(inspect(bytes), Err(named(what)));
        }
    }

    #[test]
    fn incomplete_signature_is_a_truncated_image() {
        for cut in [
            &b"\x89PNG"[..],
            b"\xff",
            b"GIF8",
            b"RIFF\x10\0\0\0WEB",
            b"\0\0\0\x20fty",
        ] {
            assert_eq!(inspect(cut), Err(Defect::Truncated));
        }
        assert_eq!(
            inspect(b"RIFF\x10\0\0\0WAVE").map_err(|defect| defect.is_not_an_image()),
            Err(true)
        );
    }
}
