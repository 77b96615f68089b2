//! Texts of elements: on one line, whole, without tags, and with their references resolved.

use super::{HtmlPlace, Work, tree};

/// The strings as one text: without blanks at its ends, and with one blank for any run of them. About `limit` bytes.
pub(super) fn folded<'a>(strings: impl Iterator<Item = &'a str>, limit: usize) -> String {
    let mut text = String::new();
    let mut is_blank = true;
    for c in strings.flat_map(str::chars) {
        if text.len() >= limit {
            break;
        }
        if c.is_whitespace() {
            if !is_blank {
                text.push(' ');
            }
            is_blank = true;
        } else {
            text.push(c);
            is_blank = false;
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The strings as they are; nothing when they are longer than `limit` bytes, since a cut text cannot be parsed.
pub(super) fn whole<'a>(strings: impl Iterator<Item = &'a str>, limit: usize) -> String {
    let mut text = String::new();
    for string in strings {
        if text.len() + string.len() > limit {
            return String::new();
        }
        text.push_str(string);
    }
    text
}

/// Whether `text` is `label`, apart from arrows and other marks around it: `Next »` is `Next`.
pub(super) fn is_labelled(text: &str, label: &str) -> bool {
    let bare =
        |text: &'_ str| -> String { text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned() };
    let label = folded(std::iter::once(label), usize::MAX);
    text == label || (!bare(&label).is_empty() && bare(text) == bare(&label))
}

/// `text`, which may hold tags, as a page shows it.
pub(in crate::site::document) fn strip_tags(text: &str) -> String {
    if text.contains(['<', '&']) {
        shown(text, text.len())
    } else {
        text.to_owned()
    }
}

/// `text` with its character references resolved (`&amp;` is `&`), and its tags kept as they are.
pub(in crate::site::document) fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    // The parser knows all of the standard's references; a tag must be text to it.
    shown(&text.replace('<', "&lt;"), text.len())
}

/// The text that an HTML page shows; `text` as it is when it is too complex to be parsed.
fn shown(text: &str, length: usize) -> String {
    let mut shown = String::with_capacity(length);
    let result = tree::each(text, true, |page| {
        let place = HtmlPlace {
            page,
            element: None,
        };
        shown.extend(place.strings(&Work::default()));
    });
    if result.is_err() {
        return text.to_owned();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(text: &str) -> String {
        folded(std::iter::once(text), 1_000)
    }

    #[test]
    fn whitespace_of_html_texts_is_folded() {
        assert_eq!(fold("\n  a \t b\u{a0}c \r\n"), "a b c");
        assert_eq!(fold(" \n "), "");
        assert_eq!(folded(["a", " ", "b"].into_iter(), 2), "a");
    }

    #[test]
    fn tags_are_stripped_and_references_resolved() {
        assert_eq!(
            strip_tags("<font color='red'>sea</font> &amp; sky"),
            "sea & sky"
        );
        assert_eq!(strip_tags("1 < 2"), "1 < 2");
        assert_eq!(unescape("a?b=1&amp;c=2&ccedil;&#x41;"), "a?b=1&c=2\u{e7}A");
        assert_eq!(unescape("<b>&lt;</b>&nosuch;"), "<b><</b>&nosuch;");
        assert_eq!(unescape("plain"), "plain");
    }

    #[test]
    fn a_label_may_have_marks_around_it() {
        for text in ["Next", "Next \u{bb}", "> Next", "[Next]"] {
            assert!(is_labelled(text, "Next"), "{text}");
        }
        assert!(is_labelled(
            "\u{4e0b}\u{4e00}\u{9875}",
            "\u{4e0b}\u{4e00}\u{9875}"
        ));
        assert!(is_labelled("\u{bb}", "\u{bb}"));
        assert!(!is_labelled("Next week", "Next"));
        assert!(!is_labelled("\u{ab}", "\u{bb}"));
        assert!(!is_labelled("next", "Next"));
    }
}
