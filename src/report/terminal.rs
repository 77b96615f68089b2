//! Text for a terminal: the one place that makes untrusted text harmless, measures it, and colors it.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

/// A terminal's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Cells in a line.
    pub columns: u16,
}

/// Makes `text` safe to print: a character that could command a terminal, end the line, change the reading
/// direction, or hide is replaced by its escape sequence, such as `\n` or `\u{202e}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
            safe.push(c);
        } else {
            safe.extend(c.escape_default());
        }
    }
    Cow::Owned(safe)
}

/// Whether `c` is displayed as itself and has no other effect.
pub(super) fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    !c.is_control() && !is_invisible(c)
}

/// Characters without width, or that change how their neighbors are displayed: Unicode's format characters
/// (category Cf: bidirectional controls, joiners, tags), line and paragraph separators, and fillers that look like
/// blanks.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The most characters of untrusted text in a line; a server may send an address of 100 kB.
const MAX_UNTRUSTED: usize = 600;

/// `text` escaped, and truncated to [`MAX_UNTRUSTED`] characters.
pub(super) fn escape_truncated(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_UNTRUSTED) {
        None => escape(text),
        Some((end, _)) => Cow::Owned(format!("{}...", escape(&text[..end]))),
    }
}

/// How many cells `text`, already escaped, takes. Characters of ambiguous width (UAX #11) count as wide, as they are
/// in East Asian locales: a line that is measured too short would wrap and tear the frame, one too long does no harm.
pub(super) fn columns(text: &str) -> usize {
    text.width_cjk()
}

/// Truncates `text`, already escaped, to `width` cells; `...` marks that something is missing.
pub(super) fn truncate(text: &str, width: usize) -> Cow<'_, str> {
    const MARK: &str = "...";
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let mark = &MARK[..MARK.len().min(width)];
    let available = width - mark.len();
    // Prefixes are measured as a whole, not character by character: a variation selector or a ligature changes the
    // width of what it follows.
    let end = text
        .char_indices()
        .map(|(start, c)| start + c.len_utf8())
        .take_while(|end| columns(&text[..*end]) <= available)
        .last()
        .unwrap_or(0);
    Cow::Owned(format!("{}{mark}", &text[..end]))
}

/// `text`, already escaped, truncated or filled with blanks to `width` cells.
pub(super) fn fit(text: &str, width: usize) -> String {
    let text = truncate(text, width);
    let blanks = width.saturating_sub(columns(&text));
    format!("{text}{}", " ".repeat(blanks))
}

/// The colors of a line's first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    /// Saved.
    Green,
    /// Failed.
    Red,
    /// Needs attention.
    Yellow,
    /// No color.
    Plain,
}

/// `word` in its color, if lines are colored.
pub(super) fn paint(word: &str, color: Color, colored: bool) -> Cow<'_, str> {
    let code = match color {
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Plain => return Cow::Borrowed(word),
    };
    if colored {
        Cow::Owned(format!("\x1b[{code}m{word}\x1b[0m"))
    } else {
        Cow::Borrowed(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_and_bidirectional_characters_are_escaped() {
        let cases = [
            ("\x1b]0;owned\x07", r"\u{1b}]0;owned\u{7}"),
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
            ("gnp.\u{202e}exe", r"gnp.\u{202e}exe"),
            ("\u{2066}\u{61c}\u{200f}", r"\u{2066}\u{61c}\u{200f}"),
            (
                "zero\u{200b}\u{200d}\u{feff}",
                r"zero\u{200b}\u{200d}\u{feff}",
            ),
            ("\u{2028}\u{e0041}", r"\u{2028}\u{e0041}"),
        ];
        for (raw, safe) in cases {
            assert_eq!(escape(raw), safe);
        }
    }

    #[test]
    fn readable_text_of_any_script_is_not_escaped() {
        for text in [
            "2018-03-29-Mountains.png",
            "Été, 山, гора",
            "C:\\images \"x\"",
            "",
        ] {
            assert!(
                matches!(escape(text), Cow::Borrowed(same) if same == text),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_endless_url_is_truncated() {
        let truncated = escape_truncated(&"\u{1}".repeat(100_000)).into_owned();
        assert!(truncated.len() < 6 * MAX_UNTRUSTED, "{}", truncated.len());
        assert!(truncated.ends_with("..."));
    }

    #[test]
    fn a_word_has_color_only_on_request() {
        assert_eq!(paint("saved", Color::Green, true), "\x1b[32msaved\x1b[0m");
        assert_eq!(paint("saved", Color::Green, false), "saved");
    }

    #[test]
    fn wide_characters_take_two_columns_and_combining_ones_none() {
        assert_eq!(columns("abc"), 3);
        assert_eq!(columns("山の上"), 6);
        assert_eq!(columns("e\u{301}"), 1);
        assert_eq!(truncate("山の上の雲", 7), "山の...");
        assert_eq!(fit("山", 4), "山  ");
    }

    proptest! {
        #[test]
        fn escaped_text_is_one_line_of_plain_characters(text: String) {
            prop_assert!(escape(&text).chars().all(is_plain));
        }

        #[test]
        fn truncated_text_fits_its_width(text in "\\PC{0,40}", width in 0_usize..50) {
            let short = truncate(&text, width).into_owned();
            prop_assert!(columns(&short) <= width);
            prop_assert_eq!(short == text, columns(&text) <= width);
            prop_assert_eq!(columns(&fit(&text, width)), width);
        }
    }
}
