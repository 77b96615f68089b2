//! What is wrong with a definition, and where: said in one line, or shown in the marked text.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};
use thiserror::Error;
use toml::Spanned;

use super::name::border;

/// Something wrong in a definition, found while reading it.
pub(super) struct Diagnostic {
    place: Range<usize>,
    message: String,
    help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(place: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            place,
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

    /// A fault the TOML reader found; of a key or word it does not know, the nearest one it does is named.
    pub(super) fn unreadable(error: &toml::de::Error) -> Self {
        let message = error.message().trim_end();
        let place = error.span().unwrap_or(0..0);
        if !message.starts_with("unknown ") {
            let message = message
                .replace('\n', "; ")
                .replace("missing field", "missing key");
            return Self::new(place, message);
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
        Self::new(place, format!("unknown {kind} `{unknown}`")).help(nearest_of(unknown, &known))
    }

    /// The fault together with the text it is in, for keeping.
    pub(super) fn within(self, text: &str) -> LocatedDiagnostic {
        let Self {
            place,
            message,
            help,
        } = self;
        // One line is marked, however far the thing extends that is at fault.
        let from = border(text, place.start);
        let line_end = text[from..]
            .find(['\r', '\n'])
            .map_or(text.len(), |length| from + length);
        let to = border(text, place.end).clamp(from, line_end);
        let before = &text[..from];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        LocatedDiagnostic {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: text.to_owned(),
            place: from..to,
            message: normalize_untrusted_str(&message),
            help: help.as_deref().map(normalize_untrusted_str),
        }
    }
}

/// A fault in a definition, with the text it is in.
#[derive(Debug, Error)]
pub struct LocatedDiagnostic {
    text: String,
    place: Range<usize>,
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
}

impl LocatedDiagnostic {
    /// The line it is in, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The character of that line it begins at, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Shows the fault in its text: `file:line:column`, the line itself, and the place marked.
    pub fn told(&self, file: &str, color: bool) -> String {
        let mark = AnnotationKind::Primary.span(self.place.clone());
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

/// What to write instead of `unknown`: the nearest of `known`, and all of them.
pub(super) fn nearest_of(unknown: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return "there is none to choose from".to_owned();
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

/// The one of `known` that `unknown` was most likely meant to be.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&unknown.to_lowercase(), name);
    let name = known.iter().copied().min_by_key(|name| distance(name))?;
    (distance(name) <= 1 + name.len() / 4).then_some(name)
}
