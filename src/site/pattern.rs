//! Regular expressions and CSS selectors of a definition, compiled once: linear to match, bounded to build.

use regex::{Captures, Regex, RegexBuilder};
use scraper::error::SelectorErrorKind;
use toml::Spanned;

use super::diagnostic::{Diagnostic, nearest_of, place_in};
use super::document::Work;
use super::selector::Selector;

/// Limit of one compiled pattern, in bytes: thirty times what a rule for an address needs.
pub(super) const PATTERN_BYTES: usize = 1 << 18;

/// Compiled bytes of a pattern that cost a step for each byte of a text.
const COST_BYTES: usize = 1 << 10;

/// Limit of a replacement, in bytes: each of its placeholders may stand for a whole address.
const MAX_REPLACEMENT: usize = 1_000;

/// Limit of a selector, in bytes: every element of a page is compared with all of its parts.
const MAX_SELECTOR: usize = 2_000;

/// Compiles a selector.
pub(super) fn selector(written: &Spanned<String>) -> Result<Selector, Diagnostic> {
    if written.get_ref().len() > MAX_SELECTOR {
        let message = format!("a selector of more than {MAX_SELECTOR} bytes");
        return Err(Diagnostic::at(written, message));
    }
    Selector::parse(written.get_ref()).map_err(|error| {
        let reason = match error {
            SelectorErrorKind::UnexpectedSelectorParseError(reason) => {
                in_words(&format!("{reason:?}"))
            }
            SelectorErrorKind::EndOfLine => "unexpected end".to_owned(),
            known => known.to_string().to_lowercase(),
        };
        Diagnostic::at(written, format!("not a selector: {reason}"))
            .help("write a CSS selector, as `div.desktop > a`")
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

/// A pattern for the texts of pages, and what it costs to hold a text against it.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    /// Steps for a byte: the engine follows at worst as many states at once as the pattern has.
    cost: usize,
}

impl Pattern {
    /// Whether `text` has a match; not when that would exceed `work`.
    pub(super) fn is_match(&self, text: &str, work: &Work) -> bool {
        self.is_within(text, work) && self.regex.is_match(text)
    }

    /// The first match in `text`; none that would exceed `work`.
    pub(super) fn captures<'t>(&self, text: &'t str, work: &Work) -> Option<Captures<'t>> {
        if self.is_within(text, work) {
            self.regex.captures(text)
        } else {
            None
        }
    }

    /// What is behind the first match in `text`; `None` without one, or where that would exceed `work`.
    pub(super) fn behind<'t>(&self, text: &'t str, work: &Work) -> Option<&'t str> {
        if !self.is_within(text, work) {
            return None;
        }
        Some(&text[self.regex.find(text)?.end()..])
    }

    /// Counts a search in `text`; whether it may be made.
    pub(super) fn is_within(&self, text: &str, work: &Work) -> bool {
        work.step(self.cost * (1 + text.len()))
    }

    /// What is matched, where there is nothing to count.
    pub(super) fn regex(&self) -> &Regex {
        &self.regex
    }
}

/// Compiles a pattern; `text` is the definition that contains it.
pub(super) fn pattern(written: &Spanned<String>, text: &str) -> Result<Pattern, Diagnostic> {
    let build = |limit| {
        RegexBuilder::new(written.get_ref())
            .size_limit(limit)
            .dfa_size_limit(PATTERN_BYTES)
            .build()
    };
    // The engine does not tell how large a pattern has become, only that it exceeds a limit.
    let fits = |cost: &usize| build(cost * COST_BYTES).is_ok();
    let compiled = build(PATTERN_BYTES).map(|regex| Pattern {
        regex,
        cost: [4, 16, 64]
            .into_iter()
            .find(fits)
            .unwrap_or(PATTERN_BYTES / COST_BYTES),
    });
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            let message =
                format!("the pattern takes more than {PATTERN_BYTES} bytes when compiled");
            Diagnostic::at(written, message).help("use fewer or smaller repetitions")
        }
        error => syntax_error(written, text, &error),
    })
}

/// A syntax error, marked at its place in the pattern where that can be found in the definition.
fn syntax_error(written: &Spanned<String>, text: &str, error: &regex::Error) -> Diagnostic {
    let pattern = written.get_ref();
    // `regex` gives only a text: its parser is asked again for the kind and the place of the error.
    let (reason, place) = match regex_syntax::Parser::new().parse(pattern) {
        Err(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), Some(*error.span())),
        Err(regex_syntax::Error::Translate(error)) => {
            (error.kind().to_string(), Some(*error.span()))
        }
        Ok(_) | Err(_) => (error.to_string(), None),
    };
    let message = format!("not a regular expression: {reason}");
    match place {
        Some(place) => {
            let part = place.start.offset..place.end.offset;
            Diagnostic::new(place_in(written, part, text), message)
        }
        None => Diagnostic::at(written, message),
    }
}

/// A text with placeholders that a pattern's captures fill; each was checked to exist in the pattern.
#[derive(Debug)]
pub(super) struct Replacement(String);

impl Replacement {
    /// Parses `written`, where `$name`, `${name}` and `$1` are captures of `pattern` and `$$` is a dollar sign.
    pub(super) fn new(written: &Spanned<String>, pattern: &Regex) -> Result<Self, Diagnostic> {
        if written.get_ref().len() > MAX_REPLACEMENT {
            let message = format!("a replacement of more than {MAX_REPLACEMENT} bytes");
            return Err(Diagnostic::at(written, message));
        }
        for name in placeholders(written.get_ref()) {
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

    /// The text as it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text with its placeholders filled.
    pub(super) fn fill(&self, captures: &Captures<'_>) -> String {
        let mut filled = String::new();
        captures.expand(&self.0, &mut filled);
        filled
    }
}

/// The captures that `to` names, parsed as `regex` will parse them.
fn placeholders(to: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = to;
    while let Some((_, after)) = rest.split_once('$') {
        let braced = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'));
        let (name, following) = match braced {
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
        rest = following
            .strip_prefix('$')
            .filter(|_| name.is_empty())
            .unwrap_or(following);
    }
    names
}

/// A hint for somebody who wrote `unknown`: the captures of `pattern`.
pub(super) fn known_captures(unknown: &str, pattern: &Regex) -> String {
    let known = pattern.capture_names().flatten().collect::<Vec<_>>();
    if known.is_empty() {
        return "the pattern has no named capture: write `(?<name>…)` around the wanted part"
            .to_owned();
    }
    nearest_of(unknown, &known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regex_placeholders_are_parsed_as_the_regex_crate_does() {
        assert_eq!(
            placeholders("${full}/$1x$$2/$name-$"),
            ["full", "1x", "name"]
        );
        assert_eq!(placeholders("$$$a"), ["a"]);
        assert!(placeholders("https://a.invalid/{b}").is_empty());
    }
}
