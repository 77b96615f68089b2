//! The text an image's file is named after: a template over captures of an address.

use regex::{Captures, Regex};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::fault::Diagnostic;
use super::name;
use super::pattern::known_captures;
use crate::job::ImageRef;

/// What the captures are taken of.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    Full,
    Thumb,
    Link,
}

/// How a site's images are named.
#[derive(Debug)]
pub(super) struct FileNameTemplate {
    from: Source,
    pattern: Regex,
    pieces: Vec<Piece>,
    behind: String,
}

/// A field, and the text that stands before it where the field is not empty.
#[derive(Debug)]
struct Piece {
    before: String,
    /// The capture's number.
    field: usize,
}

impl FileNameTemplate {
    /// Reads `template`, whose fields `{name}` are captures of `pattern`.
    pub(super) fn new(
        from: Source,
        pattern: Regex,
        template: &Spanned<String>,
    ) -> Result<Self, Diagnostic> {
        let refuse = |message: String| Diagnostic::at(template, message);
        let mut pieces = Vec::new();
        let mut rest = template.get_ref().as_str();
        if rest.contains(['/', '\\']) {
            return Err(refuse("a name holds no `/`".to_owned())
                .help("a collection is one folder: join with `-`"));
        }
        while let Some((before, after)) = rest.split_once('{') {
            let Some((field, behind)) = after.split_once('}') else {
                return Err(refuse("`{` without `}`".to_owned()));
            };
            let Some(number) = pattern
                .capture_names()
                .position(|known| known == Some(field))
            else {
                let help = match field {
                    "ext" => {
                        "the extension is added by itself, from the image's bytes: end the name before it".to_owned()
                    }
                    field => known_captures(field, &pattern),
                };
                return Err(refuse(format!("`capture` has no capture `{field}`")).help(help));
            };
            pieces.push(Piece {
                before: before.to_owned(),
                field: number,
            });
            rest = behind;
        }
        if pieces.is_empty() {
            let refused = refuse("every image would have the same name".to_owned());
            return Err(refused.help("write a capture's name in braces, as `{name}`"));
        }
        Ok(Self {
            from,
            pattern,
            pieces,
            behind: rest.to_owned(),
        })
    }

    /// The text to name an image by: the template filled or, where the capture does not match, the last
    /// part of the original's address.
    pub(super) fn text(&self, image: &ImageRef, original: &Url) -> String {
        let source = match self.from {
            Source::Full => Some(original),
            Source::Thumb => Some(&image.thumb),
            Source::Link => image.link.as_ref(),
        };
        let captures = source.and_then(|address| self.pattern.captures(address.as_str()));
        captures
            .and_then(|captures| self.filled(&captures))
            .unwrap_or_else(|| plain(original))
    }

    fn filled(&self, captures: &Captures<'_>) -> Option<String> {
        let mut text = String::with_capacity(captures.get_match().len());
        for Piece { before, field } in &self.pieces {
            let value = captures
                .get(*field)
                .map(|value| name::part(value.as_str()))
                .unwrap_or_default();
            if !value.is_empty() {
                text.push_str(before);
                text.push_str(&value);
            }
        }
        (!text.is_empty()).then(|| text + &self.behind)
    }
}

/// The last part of the path, and the query where there is one: `download?desktop=7` is no other's name then.
fn plain(address: &Url) -> String {
    let part = name::part(address.path());
    match address.query() {
        Some(query) => format!("{part}-{}", name::decoded(query)),
        None => part.into_owned(),
    }
}
