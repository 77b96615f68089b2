//! The template of a file name: captures of an address, filled into a text.

use regex::{Captures, Regex};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::diagnostic::Diagnostic;
use super::name;
use super::pattern::known_captures;
use crate::job::ImageRef;

/// The address that the captures are taken from.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NameInput {
    Full,
    Thumb,
    Link,
}

/// How a site's images are named.
#[derive(Debug)]
pub(super) struct FileNameTemplate {
    from: NameInput,
    pattern: Regex,
    fields: Vec<NameField>,
    after_last: String,
}

/// A field, and the text before it, which is left out with an empty field.
#[derive(Debug)]
struct NameField {
    before: String,
    /// The capture's number.
    capture: usize,
}

impl FileNameTemplate {
    /// Reads `template`, whose fields `{name}` are captures of `pattern`.
    pub(super) fn new(
        from: NameInput,
        pattern: Regex,
        template: &Spanned<String>,
    ) -> Result<Self, Diagnostic> {
        let refuse = |message: String| Diagnostic::at(template, message);
        let mut fields = Vec::new();
        let mut rest = template.get_ref().as_str();
        if rest.contains(['/', '\\']) {
            return Err(refuse("a file name cannot contain `/`".to_owned())
                .help("a collection is one folder: join with `-`"));
        }
        while let Some((before, after)) = rest.split_once('{') {
            let Some((field, following)) = after.split_once('}') else {
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
            fields.push(NameField {
                before: before.to_owned(),
                capture: number,
            });
            rest = following;
        }
        if fields.is_empty() {
            let refused = refuse("every image would have the same name".to_owned());
            return Err(refused.help("write a capture's name in braces, as `{name}`"));
        }
        Ok(Self {
            from,
            pattern,
            fields,
            after_last: rest.to_owned(),
        })
    }

    /// The text that names an image: the filled template or, where the pattern does not match, the last part of the
    /// original's address.
    pub(super) fn text(&self, image: &ImageRef, original: &Url) -> String {
        let source = match self.from {
            NameInput::Full => Some(original),
            NameInput::Thumb => Some(&image.thumb),
            NameInput::Link => image.link.as_ref(),
        };
        let captures = source.and_then(|address| self.pattern.captures(address.as_str()));
        captures
            .and_then(|captures| self.filled(&captures))
            .unwrap_or_else(|| last_part_and_query(original))
    }

    fn filled(&self, captures: &Captures<'_>) -> Option<String> {
        let mut text = String::with_capacity(captures.get_match().len());
        for NameField { before, capture } in &self.fields {
            let value = captures
                .get(*capture)
                .map(|value| name::part(value.as_str()))
                .unwrap_or_default();
            if !value.is_empty() {
                text.push_str(before);
                text.push_str(&value);
            }
        }
        (!text.is_empty()).then(|| text + &self.after_last)
    }
}

/// The last part of the path, and the query where there is one: it tells `download?desktop=7` from `download?desktop=8`.
pub(super) fn last_part_and_query(address: &Url) -> String {
    let part = name::part(address.path());
    match address.query() {
        Some(query) => {
            let name = format!("{part}-{}", name::decoded(query));
            name::without_extension(&name).to_owned()
        }
        None => part.into_owned(),
    }
}
