//! The template of a file name: fields, variables, and captures of an address, filled into a text.

use std::borrow::Cow;

use toml::Spanned;
use url::Url;

use super::diagnostic::{Diagnostic, place_in};
use super::document::Work;
use super::fields::{FieldNames, FieldRef};
use super::name;
use super::pattern::Pattern;
use super::template::{Placeholder, PlaceholderError, Template, TemplatePart, ValueEncoding};
use super::variables::Variables;
use crate::job::{Candidate, ImageRef};

/// Extensions of pages: what is named after its page is not named after the program that made it.
const PAGE_EXTENSIONS: [&str; 8] = ["html", "htm", "xhtml", "shtml", "php", "asp", "aspx", "jsp"];

/// Room for a usual name, in bytes.
const USUAL_NAME_BYTES: usize = 64;

/// The text that the captures are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameInput {
    /// The first candidate's address.
    Full,
    Field(FieldRef),
}

/// A pattern with the text that it is for.
#[derive(Debug)]
pub(super) struct NameCapture {
    pub(super) from: NameInput,
    pub(super) pattern: Pattern,
}

/// How a site's images are named; the default is the last part of the original's address.
#[derive(Debug, Default)]
pub(super) struct FileNameTemplate {
    capture: Option<NameCapture>,
    fields: Vec<NameField>,
    after_last: String,
}

/// A value, and the text before it, which is left out with an empty value.
#[derive(Debug)]
struct NameField {
    before: String,
    value: NameValue,
}

#[derive(Debug, Clone, Copy)]
enum NameValue {
    /// By the capture's number.
    Capture(usize),
    Field(FieldRef),
}

impl FileNameTemplate {
    /// Parses `template`, a value of the definition `text`. Its placeholders are captures, fields and variables.
    pub(super) fn new(
        template: &Spanned<String>,
        capture: Option<NameCapture>,
        names: &FieldNames,
        variables: &Variables,
        text: &str,
    ) -> Result<Self, Diagnostic> {
        if let Some(at) = template.get_ref().find(['/', '\\']) {
            let place = place_in(template, at..at + 1, text);
            return Err(Diagnostic::new(place, "a file name cannot contain `/`")
                .help("a collection is one folder: join with `-`"));
        }
        let resolve = |name: &str| {
            let mut captures = capture
                .iter()
                .flat_map(|capture| capture.pattern.regex().capture_names());
            if let Some(number) = captures.position(|known| known == Some(name)) {
                return Ok(Placeholder::Value(NameValue::Capture(number)));
            }
            if name == "ext" {
                return Err(PlaceholderError {
                    message: "the extension of a file is added by itself".to_owned(),
                    help: "it comes from the image's bytes: end the name before it".to_owned(),
                });
            }
            if let Some(field) = names.field(name) {
                return Ok(Placeholder::Value(NameValue::Field(field)));
            }
            if let Some(value) = variables.value(name) {
                return Ok(Placeholder::Text(value.to_owned()));
            }
            let captures = capture
                .iter()
                .flat_map(|capture| capture.pattern.regex().capture_names());
            Err(names.unknown(name, captures.flatten().chain(variables.names())))
        };
        let parsed = Template::parse(template, text, resolve)?;
        let mut fields = Vec::new();
        let mut before = String::new();
        for part in parsed.parts() {
            match part {
                TemplatePart::Text(text) => before.push_str(text),
                TemplatePart::Value(value, ValueEncoding::Plain) => fields.push(NameField {
                    before: std::mem::take(&mut before),
                    value: *value,
                }),
                TemplatePart::Value(
                    _,
                    ValueEncoding::Path | ValueEncoding::Segment | ValueEncoding::Query,
                ) => {
                    let error = Diagnostic::at(template, "a file name has no encoding");
                    return Err(error.help("write `{name}` alone: every name is made safe"));
                }
            }
        }
        if fields.is_empty() {
            let refused = Diagnostic::at(template, "every image would have the same name");
            return Err(refused.help("write the name of a field or capture in braces, as `{id}`"));
        }
        Ok(Self {
            capture,
            fields,
            after_last: before,
        })
    }

    /// The text that names an image: the filled template or, where all its values are empty, the last part of the address
    /// `lasting`: that of `first` without what changes from answer to answer.
    pub(super) fn text(
        &self,
        image: &ImageRef,
        first: &Candidate,
        lasting: &Url,
        work: &Work,
    ) -> String {
        self.filled(image, lasting, work)
            .unwrap_or_else(|| default_text(first, lasting))
    }

    fn filled(&self, image: &ImageRef, original: &Url, work: &Work) -> Option<String> {
        let captures = self.capture.as_ref().and_then(|capture| {
            let text = match capture.from {
                NameInput::Full => original.as_str(),
                NameInput::Field(field) => field.text(image)?,
            };
            capture.pattern.captures(text, work)
        });
        let mut text = String::with_capacity(USUAL_NAME_BYTES);
        for NameField { before, value } in &self.fields {
            let value = match *value {
                NameValue::Capture(number) => captures
                    .as_ref()
                    .and_then(|captures| captures.get(number))
                    .map(|value| name::part(value.as_str())),
                NameValue::Field(field) => field.text(image).map(field_part),
            };
            let value = value.unwrap_or_default();
            if !value.is_empty() {
                text.push_str(before);
                text.push_str(&value);
            }
        }
        (!text.is_empty()).then(|| text + &self.after_last)
    }
}

/// What a field gives to a name: of an address its last part, of a text all of it.
fn field_part(text: &str) -> Cow<'_, str> {
    match Url::parse(text) {
        Ok(address) if matches!(address.scheme(), "http" | "https") => {
            last_part_and_query(&address).into()
        }
        Ok(_) | Err(_) => Cow::Borrowed(name::without_extension(text)),
    }
}

fn default_text(first: &Candidate, lasting: &Url) -> String {
    match first {
        Candidate::Direct(_) => last_part_and_query(lasting),
        Candidate::Follow(_) => {
            let mut page = lasting.clone();
            // A page is often a folder's: `/wallpaper/12/`.
            page.set_path(lasting.path().trim_end_matches('/'));
            without_page_extension(&last_part_and_query(&page)).to_owned()
        }
    }
}

fn without_page_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty()
                && PAGE_EXTENSIONS
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(extension)) =>
        {
            stem
        }
        Some(_) | None => name,
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
