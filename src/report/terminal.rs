//! What may reach a terminal: the one place that makes untrusted text harmless, and the colours.

use std::borrow::Cow;

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// Makes `text` safe to print: whatever could command a terminal, end the line, turn the reading direction
/// or hide is written out, as `\n` or `\u{202e}`.
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

/// Whether `c` shows as what it is and does nothing else.
pub(super) fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    !c.is_control() && !is_invisible(c)
}

/// Characters of no width, or that change how their neighbours are shown: Unicode's format characters
/// (bidirectional controls, joiners, tags), its line separators, and the fillers that look like nothing.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The longest piece of untrusted text in a line; a server may send an address of 100 kB.
const LONGEST_QUOTE: usize = 600;

/// `text` escaped, and cut where it is absurdly long.
pub(super) fn escape_truncated(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_QUOTE) {
        None => escape(text),
        Some((end, _)) => Cow::Owned(format!("{}...", escape(&text[..end]))),
    }
}

/// How many columns `text`, already escaped, takes at most: beyond ASCII a character may take two.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

/// Cuts `text`, already escaped, so that it takes at most `width` columns; says with `...` that it did.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    const MARK: &str = "...";
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let mark = &MARK[..MARK.len().min(width)];
    let mut room = width - mark.len();
    let fits = |c: &char| {
        let fits = columns_of(*c) <= room;
        room = room.saturating_sub(columns_of(*c));
        fits
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.push_str(mark);
    Cow::Owned(kept)
}

/// The colours of a line's first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    /// It is in the collection.
    Green,
    /// It could not be had.
    Red,
    /// It wants a look.
    Yellow,
    /// Nothing to note.
    Plain,
}

/// `word` in its colour, where lines are coloured.
pub(super) fn paint(word: &str, hue: Color, coloured: bool) -> Cow<'_, str> {
    let code = match hue {
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Plain => return Cow::Borrowed(word),
    };
    if coloured {
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
    fn what_could_command_a_terminal_is_written_out() {
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
    fn readable_text_of_any_script_stays_as_it_is() {
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
    fn an_endless_address_is_cut() {
        let quoted = escape_truncated(&"\u{1}".repeat(100_000)).into_owned();
        assert!(quoted.len() < 6 * LONGEST_QUOTE, "{}", quoted.len());
        assert!(quoted.ends_with("..."));
    }

    #[test]
    fn colour_is_there_only_when_asked_for() {
        assert_eq!(paint("saved", Color::Green, true), "\x1b[32msaved\x1b[0m");
        assert_eq!(paint("saved", Color::Green, false), "saved");
    }

    proptest! {
        #[test]
        fn what_was_escaped_is_one_line_of_plain_characters(text: String) {
            prop_assert!(escape(&text).chars().all(is_plain));
        }

        #[test]
        fn what_was_cut_fits(text in "\\PC{0,40}", width in 0_usize..50) {
            let short = cut(&text, width).into_owned();
            prop_assert!(columns(&short) <= width);
            prop_assert_eq!(short == text, columns(&text) <= width);
        }
    }
}
