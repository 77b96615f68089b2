//! Patterns and selectors of a definition, compiled once: linear to match, bounded to build.

use regex::{Captures, Regex, RegexBuilder};
use scraper::Selector;
use scraper::error::SelectorErrorKind;
use toml::Spanned;

use super::fault::{Diagnostic, nearest_of};

/// What one compiled pattern may take: a hundred times what a rule for an address needs.
const PATTERN_BYTES: usize = 1 << 20;

/// Compiles a selector.
pub(super) fn selector(written: &Spanned<String>) -> Result<Selector, Diagnostic> {
    Selector::parse(written.get_ref()).map_err(|error| {
        let reason = match error {
            SelectorErrorKind::UnexpectedSelectorParseError(reason) => {
                in_words(&format!("{reason:?}"))
            }
            SelectorErrorKind::EndOfLine => "it ends too early".to_owned(),
            known => known.to_string().to_lowercase(),
        };
        Diagnostic::at(written, format!("not a selector: {reason}"))
            .help("selectors are those of CSS, as `div.desktop > a`")
    })
}

/// `DanglingCombinator` -> "dangling combinator".
fn in_words(variant: &str) -> String {
    let name = variant
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    let spaced = name.chars().flat_map(|c| {
        c.is_ascii_uppercase()
            .then_some(' ')
            .into_iter()
            .chain([c.to_ascii_lowercase()])
    });
    spaced.collect::<String>().trim().to_owned()
}

/// Compiles a pattern; `text` is the definition it stands in.
pub(super) fn pattern(written: &Spanned<String>, text: &str) -> Result<Regex, Diagnostic> {
    let compiled = RegexBuilder::new(written.get_ref())
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            let message =
                format!("the pattern takes more than {PATTERN_BYTES} bytes when compiled");
            Diagnostic::at(written, message).help("write fewer or smaller repetitions")
        }
        error => unparsed(written, text, &error.to_string()),
    })
}

/// The fault of a pattern that `said` tells of; where the place can be told, it alone is marked.
fn unparsed(written: &Spanned<String>, text: &str, said: &str) -> Diagnostic {
    let reason = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "))
        .unwrap_or(said);
    let message = format!("not a regular expression: {reason}");
    let span = written.span();
    let pattern = written.get_ref();
    // The engine's message shows the pattern indented by four, and a caret below the place.
    let caret = said
        .lines()
        .rev()
        .find(|line| line.contains('^') && line.trim_matches([' ', '^']).is_empty());
    let column = caret.and_then(|line| line.find('^')?.checked_sub(4));
    let place = column.and_then(|column| pattern.char_indices().nth(column));
    // Within quotes without escapes the pattern stands in the definition as it is.
    let quoted = text
        .get(span.clone())
        .is_some_and(|quoted| quoted.get(1..quoted.len() - 1) == Some(pattern));
    match place {
        Some((at, character)) if quoted && !pattern.contains('\n') => {
            let at = span.start + 1 + at;
            Diagnostic::new(at..at + character.len_utf8(), message)
        }
        _ => Diagnostic::at(written, message),
    }
}

/// A text with places that a pattern's captures fill, checked against the pattern: no place is unknown to it.
#[derive(Debug)]
pub(super) struct Template(String);

impl Template {
    /// Takes `written`, where `$name`, `${name}` and `$1` are captures of `pattern` and `$$` is a dollar sign.
    pub(super) fn new(written: &Spanned<String>, pattern: &Regex) -> Result<Self, Diagnostic> {
        for name in places(written.get_ref()) {
            let numbered = name
                .parse::<usize>()
                .is_ok_and(|number| number < pattern.captures_len());
            if !numbered && !pattern.capture_names().flatten().any(|known| known == name) {
                let message = format!("the pattern has no capture `{name}`");
                return Err(Diagnostic::at(written, message).help(known_captures(name, pattern)));
            }
        }
        Ok(Self(written.get_ref().clone()))
    }

    /// The text with its places filled.
    pub(super) fn fill(&self, captures: &Captures<'_>) -> String {
        let mut filled = String::new();
        captures.expand(&self.0, &mut filled);
        filled
    }
}

/// The names that `to` asks for, read the way the engine will read them.
fn places(to: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = to;
    while let Some((_, after)) = rest.split_once('$') {
        let braced = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'));
        let (name, behind) = match braced {
            Some(parts) => parts,
            None => after.split_at(
                after
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(after.len()),
            ),
        };
        if !name.is_empty() {
            names.push(name);
        }
        rest = behind
            .strip_prefix('$')
            .filter(|_| name.is_empty())
            .unwrap_or(behind);
    }
    names
}

/// Names the captures of `pattern`, for somebody who wrote `unknown`.
pub(super) fn known_captures(unknown: &str, pattern: &Regex) -> String {
    let known = pattern.capture_names().flatten().collect::<Vec<_>>();
    if known.is_empty() {
        return "the pattern names no capture: write `(?<name>…)` around what is wanted".to_owned();
    }
    nearest_of(unknown, &known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_the_engine_reads_them() {
        assert_eq!(places("${full}/$1x$$2/$name-$"), ["full", "1x", "name"]);
        assert_eq!(places("$$$a"), ["a"]);
        assert!(places("https://a.invalid/{b}").is_empty());
    }
}
