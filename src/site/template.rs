//! Templates: a text with placeholders `{name}`, each with an encoding where an address needs one: `{name:segment}`.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use toml::Spanned;

use super::diagnostic::{Diagnostic, nearest_of, place_in};

/// Placeholders of one template; a site needs fewer than ten.
const MAX_PLACEHOLDERS: usize = 64;

/// Bytes of a filled template. A usable address has 8 KB at most.
const MAX_FILLED_BYTES: usize = 64 * 1024;

/// What is left as it is within a segment of a path and within a query (RFC 3986, section 2.3, "unreserved"). A blank
/// becomes `%20`: `+` is a blank in forms only, and some servers take it as a plus.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same for a whole path, whose slashes stay.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// How a value is written into an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueEncoding {
    /// As it is.
    Plain,
    /// Percent-encoded but for its slashes.
    Path,
    /// Percent-encoded, as one segment of a path.
    Segment,
    /// Percent-encoded, as a value in a query.
    Query,
}

impl ValueEncoding {
    const ALL: [(&'static str, Self); 3] = [
        ("path", Self::Path),
        ("segment", Self::Segment),
        ("query", Self::Query),
    ];

    /// `value` as it is written into an address.
    pub(super) fn encode(self, value: &str) -> Cow<'_, str> {
        let set = match self {
            Self::Plain => return Cow::Borrowed(value),
            Self::Path => PATH,
            Self::Segment | Self::Query => SEGMENT,
        };
        utf8_percent_encode(value, set).into()
    }
}

/// What a placeholder stands for.
#[derive(Debug)]
pub(super) enum Placeholder<V> {
    /// A value that is known when the template is filled.
    Value(V),
    /// A text that is known already: a variable's.
    Text(String),
}

/// A piece of a template.
#[derive(Debug)]
pub(super) enum TemplatePart<V> {
    Text(String),
    Value(V, ValueEncoding),
}

/// A text with placeholders; `V` is what they stand for.
#[derive(Debug)]
pub(super) struct Template<V>(Vec<TemplatePart<V>>);

/// Why a placeholder cannot be used: what is wrong, and what to do.
pub(super) struct PlaceholderError {
    pub(super) message: String,
    pub(super) help: String,
}

impl PlaceholderError {
    pub(super) fn unknown(name: &str, known: &[&str]) -> Self {
        Self {
            message: format!("unknown placeholder `{{{name}}}`"),
            help: nearest_of(name, known),
        }
    }
}

impl<V> Template<V> {
    /// Parses `written`, a value of the definition `text`; `resolve` says what a placeholder's name stands for. Two braces
    /// are one brace.
    pub(super) fn parse(
        written: &Spanned<String>,
        text: &str,
        mut resolve: impl FnMut(&str) -> Result<Placeholder<V>, PlaceholderError>,
    ) -> Result<Self, Diagnostic> {
        let template = written.get_ref();
        let refuse = |part: Range<usize>, message: String| {
            Diagnostic::new(place_in(written, part, text), message)
        };
        let mut parts = Vec::new();
        let mut placeholders = 0;
        let mut at = 0;
        while let Some(found) = template[at..].find(['{', '}']) {
            let brace = at + found;
            push_text(&mut parts, &template[at..brace]);
            let rest = &template[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                push_text(&mut parts, &rest[..1]);
                at = brace + 2;
                continue;
            }
            let Some(length) = rest.find('}').filter(|&length| length > 0) else {
                let (one, other) = if rest.starts_with('{') {
                    ("{", "}")
                } else {
                    ("}", "{")
                };
                let error = refuse(brace..brace + 1, format!("`{one}` without `{other}`"));
                return Err(error.help(format!("write `{one}{one}` for the character itself")));
            };
            at = brace + length + 1;
            let inner = &rest[1..length];
            let (name, encoding) = inner.split_once(':').unwrap_or((inner, ""));
            let encoding = match encoding {
                "" => ValueEncoding::Plain,
                written => {
                    let mut known = ValueEncoding::ALL.iter();
                    let found = known.find(|(known, _)| *known == written);
                    let Some((_, encoding)) = found else {
                        let known = ValueEncoding::ALL.map(|(name, _)| name);
                        let message = format!("unknown encoding `{written}`");
                        return Err(refuse(brace..at, message).help(nearest_of(written, &known)));
                    };
                    *encoding
                }
            };
            placeholders += 1;
            if placeholders > MAX_PLACEHOLDERS {
                let message = format!("more than {MAX_PLACEHOLDERS} placeholders");
                return Err(refuse(brace..at, message));
            }
            match resolve(name) {
                Ok(Placeholder::Value(value)) => parts.push(TemplatePart::Value(value, encoding)),
                Ok(Placeholder::Text(text)) => push_text(&mut parts, &encoding.encode(&text)),
                Err(PlaceholderError { message, help }) => {
                    return Err(refuse(brace..at, message).help(help));
                }
            }
        }
        push_text(&mut parts, &template[at..]);
        Ok(Self(parts))
    }

    /// The pieces, two texts never in a row.
    pub(super) fn parts(&self) -> &[TemplatePart<V>] {
        &self.0
    }

    /// What the placeholders stand for.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Value(value, _) => Some(value),
            TemplatePart::Text(_) => None,
        })
    }

    /// The text with its placeholders filled; `None` when one has no value, or the text is too long.
    pub(super) fn fill<'a>(&self, mut value: impl FnMut(&V) -> Option<&'a str>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => filled.push_str(text),
                TemplatePart::Value(name, encoding) => {
                    let value = value(name).filter(|value| !value.is_empty())?;
                    filled.push_str(&encoding.encode(value));
                }
            }
            if filled.len() > MAX_FILLED_BYTES {
                return None;
            }
        }
        Some(filled)
    }
}

fn push_text<V>(parts: &mut Vec<TemplatePart<V>>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(TemplatePart::Text(before)) => before.push_str(text),
        Some(TemplatePart::Value(..)) | None => parts.push(TemplatePart::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a template whose placeholders are `id`, `title` and the variable `query`.
    fn parse(template: &str) -> Result<Template<&'static str>, String> {
        let definition = format!("'{template}'");
        let written = Spanned::new(0..definition.len(), template.to_owned());
        let resolve = |name: &str| match name {
            "id" => Ok(Placeholder::Value("id")),
            "title" => Ok(Placeholder::Value("title")),
            "query" => Ok(Placeholder::Text("dark forest".to_owned())),
            other => Err(PlaceholderError::unknown(other, &["id", "title", "query"])),
        };
        Template::parse(&written, &definition, resolve)
            .map_err(|error| error.locate(&definition).to_string())
    }

    fn filled(template: &str) -> Option<String> {
        parse(template).unwrap().fill(|name| match *name {
            "id" => Some("a/7"),
            "title" => Some("Caf\u{e9} & (x)?#%.+"),
            _ => None,
        })
    }

    #[test]
    fn a_template_value_is_percent_encoded_as_its_placeholder_says() {
        let cases = [
            ("/{id}", "/a/7"),
            ("/{id:path}.png", "/a/7.png"),
            ("/{id:segment}.png", "/a%2F7.png"),
            (
                "?t={title:query}",
                "?t=Caf%C3%A9%20%26%20%28x%29%3F%23%25.%2B",
            ),
            ("/{title}", "/Caf\u{e9} & (x)?#%.+"),
            (
                "?q={query:query}&q={query}",
                "?q=dark%20forest&q=dark forest",
            ),
            ("{{{id}}}", "{a/7}"),
            ("plain", "plain"),
            ("", ""),
        ];
        for (template, expected) in cases {
            assert_eq!(filled(template).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn a_template_without_one_of_its_values_gives_nothing() {
        let template = parse("/{id}/{title}").unwrap();
        assert_eq!(template.fill(|name| (*name == "id").then_some("7")), None);
        assert_eq!(template.fill(|_| Some("")), None);
        let long = "x".repeat(MAX_FILLED_BYTES);
        assert_eq!(template.fill(|_| Some(&long)), None);
    }

    #[test]
    fn a_wrong_placeholder_is_marked_at_its_place() {
        let cases = [
            (
                "/a/{di}",
                "column 5: unknown placeholder `{di}`; did you mean `id`?",
            ),
            (
                "{id:segmnet}",
                "column 2: unknown encoding `segmnet`; did you mean `segment`?",
            ),
            ("/{id", "column 3: `{` without `}`"),
            ("/id}", "column 5: `}` without `{`"),
            ("{}", "unknown placeholder `{}`"),
        ];
        for (template, words) in cases {
            let error = parse(template).map(|_| ()).unwrap_err();
            assert!(error.contains(words), "{template}: {error}");
        }
        assert!(parse(&"{id}".repeat(MAX_PLACEHOLDERS)).is_ok());
        assert!(parse(&"{id}".repeat(MAX_PLACEHOLDERS + 1)).is_err());
    }
}
