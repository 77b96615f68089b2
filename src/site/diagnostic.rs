//! Errors in a definition, with their place: in one line, or rendered with the marked line of text.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};
use thiserror::Error;
use toml::Spanned;

use super::name::char_boundary_before;

/// An error found while a definition is read.
pub(super) struct Diagnostic {
    span: Range<usize>,
    message: String,
    help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn at<T>(written: &Spanned<T>, message: impl Into<String>) -> Self {
        Self::new(written.span(), message)
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An error of the TOML parser; for an unknown key or value the nearest known one is named.
    pub(super) fn from_toml(error: &toml::de::Error) -> Self {
        let message = error.message().trim_end();
        let span = error.span().unwrap_or(0..0);
        if !message.starts_with("unknown ") {
            let message = message
                .replace('\n', "; ")
                .replace("missing field", "missing key");
            return Self::new(span, message);
        }
        // "unknown field `a`, expected one of `b`, `c`"
        let mut words = message.split('`').skip(1).step_by(2);
        let unknown = words.next().unwrap_or_default();
        let known = words.collect::<Vec<_>>();
        let kind = if message.starts_with("unknown field") {
            "key"
        } else {
            "value"
        };
        Self::new(span, format!("unknown {kind} `{unknown}`")).help(nearest_of(unknown, &known))
    }

    /// The error with the text it is in, so that it can be rendered later.
    pub(super) fn locate(self, text: &str) -> LocatedDiagnostic {
        let Self {
            span,
            message,
            help,
        } = self;
        // Only the first line is marked, however far the wrong value extends.
        let from = char_boundary_before(text, span.start);
        let line_end = text[from..]
            .find(['\r', '\n'])
            .map_or(text.len(), |length| from + length);
        let to = char_boundary_before(text, span.end).clamp(from, line_end);
        let before = &text[..from];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        LocatedDiagnostic {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: without_c1(text),
            span: from..to,
            message: without_c1(&normalize_untrusted_str(&message)),
            help: help
                .as_deref()
                .map(|help| without_c1(&normalize_untrusted_str(help))),
        }
    }
}

/// The text without the control characters that TOML allows and the renderer prints as they are: U+009B begins a
/// terminal's command. What stands for them has as many bytes, so that every place stays where it is.
fn without_c1(text: &str) -> String {
    text.replace(|c| matches!(c, '\u{80}'..='\u{9f}'), "\u{b7}")
}

/// An error in a definition, with the text it is in.
#[derive(Debug, Error)]
pub struct LocatedDiagnostic {
    text: String,
    span: Range<usize>,
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
}

impl LocatedDiagnostic {
    /// From 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// In characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Renders the error in its text: `file:line:column`, the line itself, and the place marked.
    pub fn render(&self, file: &str, color: bool) -> String {
        let mark = AnnotationKind::Primary.span(self.span.clone());
        let source = Snippet::source(&self.text).path(file).annotation(mark);
        let help = self.help.iter().map(|help| Level::HELP.message(help));
        let report = Level::ERROR
            .primary_title(&self.message)
            .element(source)
            .elements(help);
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[report])
    }
}

impl fmt::Display for LocatedDiagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.message
        )?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// The place of `part`, bytes of a string's value, in the definition `text`: exact where the string is written between
/// quotes without escapes, else that of the whole string.
pub(super) fn place_in(written: &Spanned<String>, part: Range<usize>, text: &str) -> Range<usize> {
    let span = written.span();
    let quoted = text.get(span.clone()).unwrap_or_default();
    let value = written.get_ref();
    let inside = quoted.get(1..quoted.len().saturating_sub(1));
    if inside == Some(value) && !value.contains('\n') {
        let start = span.start + 1;
        start + part.start..start + part.end
    } else {
        span
    }
}

/// A hint for somebody who wrote `unknown`: the nearest of `known`, and all of them.
pub(super) fn nearest_of(unknown: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return "none are known here".to_owned();
    }
    let listed = known
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match nearest(unknown, known) {
        Some(name) if known.len() == 1 => format!("did you mean `{name}`?"),
        Some(name) => format!("did you mean `{name}`? known here: {listed}"),
        None => format!("known here: {listed}"),
    }
}

/// The one of `known` that `unknown` most likely stands for; `None` if all differ too much.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&unknown.to_lowercase(), name);
    let name = known.iter().copied().min_by_key(|name| distance(name))?;
    (distance(name) <= 1 + name.len() / 4).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_no_control_characters_of_the_definition() {
        let text = "a = \"\u{9b}31m\u{85}\" # \u{202e}\u{9b}";
        let error = Diagnostic::new(5..7, "\u{9b}x")
            .help("\u{9b}y")
            .locate(text);
        let shown = error.render("a.toml", false);
        assert!(
            shown.contains("31m") && !shown.contains(['\u{9b}', '\u{85}', '\u{202e}']),
            "{shown}"
        );
        assert_eq!(error.column(), 6);
    }
}
