//! The shape of a definition as it is written in TOML, before anything of it is compiled.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::naming::Source;
use super::rewrite::Input;
use crate::job::SiteId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a definition")]
pub(super) struct Written {
    pub(super) site: WrittenSite,
    pub(super) listing: WrittenListing,
    pub(super) item: WrittenItem,
    pub(super) full: Spanned<OneOrMore<WrittenFull>>,
    pub(super) file: WrittenFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `name` and `base`")]
pub(super) struct WrittenSite {
    pub(super) name: SiteId,
    #[serde(default)]
    pub(super) description: String,
    pub(super) base: Spanned<String>,
    #[serde(default)]
    pub(super) image_hosts: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `kind` and `url`")]
pub(super) struct WrittenListing {
    pub(super) kind: Kind,
    pub(super) url: Spanned<String>,
    #[serde(default = "first_page")]
    pub(super) start: u32,
    #[serde(default)]
    pub(super) stop: WrittenStop,
}

fn first_page() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Html,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table with `status`, `marker`, `empty` or `after`"
)]
pub(super) struct WrittenStop {
    pub(super) status: Vec<Spanned<u16>>,
    pub(super) marker: Option<Spanned<String>>,
    pub(super) empty: bool,
    pub(super) after: Spanned<u32>,
}

impl Default for WrittenStop {
    fn default() -> Self {
        Self {
            status: vec![Spanned::new(0..0, 404)],
            marker: None,
            empty: false,
            after: Spanned::new(0..0, 1),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `select` and `thumb`")]
pub(super) struct WrittenItem {
    pub(super) select: Spanned<String>,
    pub(super) thumb: WrittenAddress,
    pub(super) link: Option<WrittenAddress>,
    pub(super) title: Option<Spanned<WrittenTitle>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `attr`, and `select` where it is not the item's own"
)]
pub(super) struct WrittenAddress {
    pub(super) select: Option<Spanned<String>>,
    pub(super) attr: Spanned<OneOrMore<String>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `attr` or `text`, and `select` where it is not the item's own"
)]
pub(super) struct WrittenTitle {
    pub(super) select: Option<Spanned<String>>,
    pub(super) attr: Option<Spanned<OneOrMore<String>>>,
    #[serde(default)]
    pub(super) text: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `rewrite`")]
pub(super) struct WrittenFull {
    pub(super) rewrite: Spanned<OneOrMore<WrittenStep>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `from`, `regex` and `to`"
)]
pub(super) struct WrittenStep {
    pub(super) from: Option<Spanned<Input>>,
    pub(super) regex: Spanned<String>,
    pub(super) to: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `capture` and `name`")]
pub(super) struct WrittenFile {
    pub(super) capture: WrittenCapture,
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) min_width: u32,
    #[serde(default)]
    pub(super) min_height: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `from` and `regex`")]
pub(super) struct WrittenCapture {
    pub(super) from: Source,
    pub(super) regex: Spanned<String>,
}

/// One value, or a list of them. Not an untagged enum: that would lose where the values stand.
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor(PhantomData))
    }
}

struct OneOrMoreVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMoreVisitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a table, or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(OneOrMore(vec![T::deserialize(StrDeserializer::new(text))?]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(OneOrMore(vec![T::deserialize(
            MapAccessDeserializer::new(map),
        )?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(OneOrMore(Vec::deserialize(SeqAccessDeserializer::new(
            list,
        ))?))
    }
}
