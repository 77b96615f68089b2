//! XHTML by its content type, rewritten into HTML that gives the same tree.
//!
//! An XML parser would stop at the first mistake, as browsers do. The HTML parser takes any page, and shares its bounds with
//! all others; what it must be spared is what XML writes otherwise: elements without an end tag, and CDATA sections.

use std::borrow::Cow;

/// Elements that have no end tag in HTML (HTML Standard, section 13.1.2).
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Elements that take the rest of the page, or make it a page without a body, with any end tag behind them (HTML Standard,
/// section 13.2.6.4.7). Without content they are nothing to XML.
const WITHOUT_END: [&str; 2] = ["frameset", "plaintext"];

/// `text`, an XML page, as HTML: `<script/>` becomes `<script></script>`, and a CDATA section the text in it.
pub(super) fn to_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        html.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix("<![CDATA[") {
            let (data, after) = split(inside, "]]>");
            html.push_str(&escaped(data));
            rest = after;
        } else if let Some(inside) = rest.strip_prefix("<!--") {
            let (comment, after) = split(inside, "-->");
            // Only XML lets a comment begin with what ends one in HTML.
            html.extend(["<!-- ", comment, "-->"]);
            rest = after;
        } else if let Some(inside) = rest.strip_prefix("<?") {
            rest = split(inside, "?>").1;
        } else if rest.starts_with("<!") {
            let (doctype, after) = rest.split_at(doctype_end(rest));
            html.push_str(doctype.split('[').next().unwrap_or_default());
            html.push_str(if doctype.contains('[') { ">" } else { "" });
            rest = after;
        } else {
            let (tag, after) = rest.split_at(tag_end(rest));
            rest = after;
            let name = name(tag);
            let is_self_closed = is_self_closed(tag);
            if is_self_closed && WITHOUT_END.iter().any(|end| name.eq_ignore_ascii_case(end)) {
                continue;
            }
            html.push_str(tag);
            if is_self_closed {
                if !VOID.contains(&name) {
                    html.extend(["</", name, ">"]);
                }
            } else if matches!(name, "script" | "style") {
                rest = raw_text(rest, name, &mut html);
            }
        }
    }
    html + rest
}

/// `text` before `mark`, and behind it; all of it where there is none.
fn split<'a>(text: &'a str, mark: &str) -> (&'a str, &'a str) {
    text.split_once(mark).unwrap_or((text, ""))
}

fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['<', '&']) {
        text.replace('&', "&amp;").replace('<', "&lt;").into()
    } else {
        text.into()
    }
}

/// Where the doctype ends, at which `text` begins: its own declarations stand in brackets.
fn doctype_end(text: &str) -> usize {
    let end = text.find('>').unwrap_or(text.len());
    match text[..end].find('[') {
        Some(open) => {
            let close = text[open..].find("]>").map(|close| open + close + 2);
            close.unwrap_or(text.len())
        }
        None => (end + 1).min(text.len()),
    }
}

/// Where the tag ends, at which `text` begins: a `>` in a quoted value is a part of it.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            // No tag holds it outside of a value, so the one before was none, or has no end.
            (None, b'<') => return at,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// The name of a start tag; empty for any other.
fn name(tag: &str) -> &str {
    let inside = &tag[1..];
    let end = inside.find(|c: char| c.is_whitespace() || matches!(c, '/' | '>'));
    &inside[..end.unwrap_or(inside.len())]
}

fn is_self_closed(tag: &str) -> bool {
    let is_start = tag[1..].starts_with(|c: char| c.is_alphabetic() || c == '_');
    is_start && tag.ends_with("/>")
}

/// Copies the text of a script or a style sheet, which HTML takes as it is, and returns what stands behind it.
fn raw_text<'a>(text: &'a str, name: &str, html: &mut String) -> &'a str {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        html.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix("<![CDATA[") {
            let (data, after) = split(inside, "]]>");
            // Within the section an end tag is text.
            html.push_str(&data.replace("</", "<\\/"));
            rest = after;
        } else if rest
            .strip_prefix("</")
            .is_some_and(|end| end.starts_with(name))
        {
            return rest;
        } else {
            html.push('<');
            rest = &rest[1..];
        }
    }
    html.push_str(rest);
    ""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn xhtml_elements_without_an_end_tag_get_one_in_html() {
        let cases = [
            (
                "<script src='a'/><p/>",
                "<script src='a'/></script><p/></p>",
            ),
            (
                "<br/><img src=\"a\" /><hr />",
                "<br/><img src=\"a\" /><hr />",
            ),
            ("<a title='/>'/>b", "<a title='/>'/></a>b"),
            ("<a title='x/'>b</a>", "<a title='x/'>b</a>"),
            ("<svg:a/>", "<svg:a/></svg:a>"),
            ("a<plaintext/><frameset rows='1' />b", "ab"),
            (
                "<frameset><frame/></frameset>",
                "<frameset><frame/></frame></frameset>",
            ),
            ("a<![CDATA[<b>&amp;]]>c", "a&lt;b>&amp;amp;c"),
            ("<?xml version='1.0'?><?x y='>'?><p>", "<p>"),
            ("<!-- <p/> --><p/>", "<!--  <p/> --><p/></p>"),
            ("<!DOCTYPE html><p/>", "<!DOCTYPE html><p/></p>"),
            (
                "<!DOCTYPE html [<!ENTITY a '<b/>'>]><p/>",
                "<!DOCTYPE html ><p/></p>",
            ),
            (
                "<script>//<![CDATA[\n'</script>' <a/>//]]></script><i/>",
                "<script>//\n'<\\/script>' <a/>//</script><i/></i>",
            ),
            ("<style>a > b { }</style>", "<style>a > b { }</style>"),
            ("1 < 2 <b/>", "1 < 2 <b/></b>"),
            ("<a b='", "<a b='"),
            ("<", "<"),
            ("<![CDATA[x", "x"),
        ];
        for (xhtml, html) in cases {
            assert_eq!(to_html(xhtml), html, "{xhtml}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_rewritten_from_xhtml(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["<", ">", "/>", "<![CDATA[", "]]>", "<!--", "-->", "<script", "</script", "'", "\"", "<!", "[", "]>", "\u{e9}", "a", " "]),
                0..40,
            )
        ) {
            let text = pieces.concat();
            prop_assert!(to_html(&text).len() <= 8 * text.len() + 16);
        }
    }
}
