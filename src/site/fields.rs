//! The names that a definition gives to the texts of an item and of its page, and the texts behind them.

use url::Url;

use super::address;
use super::template::{Placeholder, PlaceholderError};
use super::variables::Variables;
use crate::job::ImageRef;

/// What a definition writes before the name of a text of the whole page.
const PAGE: &str = "page.";

/// What stands for a secret, which only requests know.
const SECRET: &str = "secret.";

/// Names that mean something else in templates.
pub(super) const RESERVED: [&str; 8] = [
    "thumb", "link", "title", "full", "ext", "cursor", "offset", "carry",
];

/// A text of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldRef {
    Thumb,
    Link,
    Title,
    /// By its number in the record: the fields first, then what the whole page has.
    Field(usize),
}

impl FieldRef {
    /// One number for each, for code that knows fields by numbers.
    pub(super) fn number(self) -> usize {
        match self {
            Self::Thumb => 0,
            Self::Link => 1,
            Self::Title => 2,
            Self::Field(number) => number + 3,
        }
    }

    pub(super) fn from_number(number: usize) -> Self {
        match number {
            0 => Self::Thumb,
            1 => Self::Link,
            2 => Self::Title,
            number => Self::Field(number - 3),
        }
    }

    /// The texts there, the preferred one first.
    pub(super) fn texts(self, image: &ImageRef) -> impl Iterator<Item = &str> {
        let (one, more) = match self {
            Self::Thumb => (Some(image.thumb.as_str()), None),
            Self::Link => (image.link.as_ref().map(Url::as_str), None),
            Self::Title => (image.title.as_deref(), None),
            Self::Field(number) => (None, image.record.0.get(number)),
        };
        one.into_iter()
            .chain(more.into_iter().flatten().map(String::as_str))
    }

    /// Those of the texts that are absolute addresses.
    pub(super) fn addresses(self, image: &ImageRef) -> impl Iterator<Item = Url> {
        // These two were parsed when the page was read.
        let (known, texts) = match self {
            Self::Thumb => (Some(&image.thumb), None),
            Self::Link => (image.link.as_ref(), None),
            Self::Title | Self::Field(_) => (None, Some(self.texts(image))),
        };
        let texts = texts.into_iter().flatten();
        let parsed = texts.map(address::absolute);
        let known = known.map(|url| address::requestable(url.clone()));
        known.into_iter().chain(parsed).flatten()
    }

    /// The preferred text.
    pub(super) fn text(self, image: &ImageRef) -> Option<&str> {
        self.texts(image).next()
    }
}

/// The names of a definition, by the numbers of the record.
#[derive(Debug, Default)]
pub(super) struct FieldNames {
    /// Which of the reserved texts the definition takes from items.
    pub(super) has_thumb: bool,
    pub(super) has_link: bool,
    pub(super) has_title: bool,
    pub(super) fields: Vec<String>,
    pub(super) page: Vec<String>,
}

impl FieldNames {
    /// The text of an item that `name` stands for.
    pub(super) fn item_field(&self, name: &str) -> Option<FieldRef> {
        match name {
            "thumb" => self.has_thumb.then_some(FieldRef::Thumb),
            "link" => self.has_link.then_some(FieldRef::Link),
            "title" => self.has_title.then_some(FieldRef::Title),
            _ => {
                let number = self.fields.iter().position(|known| known == name)?;
                Some(FieldRef::Field(number))
            }
        }
    }

    /// The text that `name` stands for in a template: of the item, or `page.NAME`.
    pub(super) fn field(&self, name: &str) -> Option<FieldRef> {
        let Some(name) = name.strip_prefix(PAGE) else {
            return self.item_field(name);
        };
        let number = self.page.iter().position(|known| known == name)?;
        Some(FieldRef::Field(self.fields.len() + number))
    }

    /// The names that [`FieldNames::item_field`] knows.
    pub(super) fn item_names(&self) -> Vec<&str> {
        let own = [
            (self.has_thumb, "thumb"),
            (self.has_link, "link"),
            (self.has_title, "title"),
        ];
        let own = own.into_iter().filter(|(there, _)| *there);
        own.map(|(_, name)| name)
            .chain(self.fields.iter().map(String::as_str))
            .collect()
    }

    /// What the placeholder `{name}` stands for.
    pub(super) fn placeholder(
        &self,
        name: &str,
        variables: &Variables,
    ) -> Result<Placeholder<FieldRef>, PlaceholderError> {
        if let Some(field) = self.field(name) {
            return Ok(Placeholder::Value(field));
        }
        if let Some(value) = variables.value(name) {
            return Ok(Placeholder::Text(value.to_owned()));
        }
        Err(self.unknown(name, variables.names()))
    }

    /// The error for a placeholder that is none of these, nor of `more`.
    pub(super) fn unknown<'a>(
        &self,
        name: &str,
        more: impl Iterator<Item = &'a str>,
    ) -> PlaceholderError {
        if name.starts_with(SECRET) {
            return PlaceholderError {
                message: format!("`{{{name}}}` is a secret"),
                help: "a secret is for `[request]` alone".to_owned(),
            };
        }
        let page = self.page.iter().map(|name| format!("{PAGE}{name}"));
        let more = more.map(str::to_owned);
        let own = self.item_names().into_iter().map(str::to_owned);
        let known = own.chain(page).chain(more).collect::<Vec<_>>();
        let known = known.iter().map(String::as_str).collect::<Vec<_>>();
        PlaceholderError::unknown(name, &known)
    }
}
