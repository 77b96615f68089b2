//! The keys of `[listing]` that say which page comes after which, as written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::source::SourceInput;
use super::table::tables;

/// The keys of `[listing]` about its pages. They are fields of `ListingTable` itself, and not flattened into it by
/// serde, which would lose their spans.
pub(in crate::site) struct PagingTable {
    pub(in crate::site) url: Option<Spanned<String>>,
    pub(in crate::site) pages: Option<Spanned<Vec<Spanned<String>>>>,
    pub(in crate::site) first: Option<Spanned<String>>,
    pub(in crate::site) start: Option<Spanned<u32>>,
    pub(in crate::site) step: Option<Spanned<u32>>,
    pub(in crate::site) ahead: Option<u32>,
    pub(in crate::site) next: Option<Spanned<NextInput>>,
    pub(in crate::site) cursor: Option<Spanned<SourceInput>>,
    pub(in crate::site) continuation: Option<Spanned<String>>,
    pub(in crate::site) carry: BTreeMap<String, Spanned<SourceInput>>,
    pub(in crate::site) window: Option<Spanned<WindowTable>>,
    pub(in crate::site) through: Option<Spanned<Vec<Spanned<SourceInput>>>>,
    pub(in crate::site) pager: Option<Spanned<String>>,
    pub(in crate::site) expect: Option<Spanned<u32>>,
}

/// `listing.window`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct WindowTable {
    pub(in crate::site) days: Spanned<u32>,
    pub(in crate::site) earliest: Spanned<String>,
    pub(in crate::site) format: Option<Spanned<String>>,
}

/// `listing.next`: a source on the page, or `{ header = "link" }`.
pub(in crate::site) enum NextInput {
    /// The `Link` header of the response.
    Header,
    Source(SourceInput),
}

/// The headers that can name the next page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum NextHeader {
    Link,
}

impl<'de> Deserialize<'de> for NextInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NextVisitor)
    }
}

struct NextVisitor;

impl<'de> Visitor<'de> for NextVisitor {
    type Value = NextInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a source, or a table with `header`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<NextInput, E> {
        let text = StringDeserializer::new(text.to_owned());
        SourceInput::deserialize(text).map(NextInput::Source)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<NextInput, A::Error> {
        SourceInput::deserialize(SeqAccessDeserializer::new(list)).map(NextInput::Source)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<NextInput, A::Error> {
        let first = table.next_key::<String>()?;
        if first.as_deref() == Some("header") {
            let NextHeader::Link = table.next_value()?;
            return match table.next_key::<String>()? {
                None => Ok(NextInput::Header),
                Some(other) => Err(serde::de::Error::unknown_field(&other, &["header"])),
            };
        }
        let table = WithFirstKey { first, rest: table };
        SourceInput::deserialize(MapAccessDeserializer::new(table)).map(NextInput::Source)
    }
}

/// A table whose first key was taken to see what it is.
struct WithFirstKey<A> {
    first: Option<String>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithFirstKey<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(first) => seed.deserialize(StringDeserializer::new(first)).map(Some),
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.rest.next_value_seed(seed)
    }
}

tables! {
    WindowTable: "a table with `days`, `earliest` and `format`";
}
