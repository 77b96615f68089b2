//! Sources and conditions as written: where in an item a text is, and which items count.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::OneOrMore;
use super::table::tables;

/// A source: a text, a table, or a list of them. Not an untagged enum: that buffers the value and loses its spans.
pub(in crate::site) enum SourceInput {
    Text(String),
    Table(Box<SourceTable>),
    List(Vec<Spanned<SourceInput>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct SourceTable {
    pub(in crate::site) source: Option<Spanned<SourceInput>>,
    /// In place of `source` for HTML: the selector and the attributes apart.
    pub(in crate::site) select: Option<Spanned<String>>,
    pub(in crate::site) attr: Option<Spanned<OneOrMore<String>>>,
    pub(in crate::site) each: Option<Spanned<ItemPathInput>>,
    #[serde(default, rename = "where")]
    pub(in crate::site) conditions: Vec<Spanned<ConditionInput>>,
    /// Only elements whose text is this one; or `true`: the text itself is wanted.
    pub(in crate::site) text: Option<Spanned<toml::Value>>,
    pub(in crate::site) pick: Option<Spanned<PickInput>>,
    pub(in crate::site) parse: Option<Spanned<ParsedLanguage>>,
    pub(in crate::site) then: Option<Spanned<SourceInput>>,
    /// What is parsed begins behind the match of this pattern.
    pub(in crate::site) behind: Option<Spanned<String>>,
    #[serde(default)]
    pub(in crate::site) unescape: bool,
    #[serde(default)]
    pub(in crate::site) strip_tags: bool,
    pub(in crate::site) capture: Option<Spanned<String>>,
    pub(in crate::site) not: Option<Spanned<String>>,
    pub(in crate::site) lookup: Option<Spanned<LookupTable>>,
    pub(in crate::site) map: Option<Spanned<BTreeMap<String, String>>>,
    pub(in crate::site) default: Option<Spanned<String>>,
}

/// The element of an embedded page: a selector, or a table.
pub(in crate::site) enum ScriptInput {
    Text(String),
    Table(ScriptTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `select` and `behind`")]
pub(in crate::site) struct ScriptTable {
    pub(in crate::site) select: Spanned<String>,
    /// The JSON begins behind the match of this pattern, in the first element that has one.
    pub(in crate::site) behind: Option<Spanned<String>>,
}

/// What a text is parsed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::site) enum ParsedLanguage {
    Json,
    Html,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct LookupTable {
    pub(in crate::site) source: Spanned<SourceInput>,
    #[serde(rename = "in")]
    pub(in crate::site) object: Spanned<String>,
    pub(in crate::site) then: Option<Spanned<SourceInput>>,
}

/// Which of several texts is taken.
pub(in crate::site) enum PickInput {
    Word(String),
    Largest(LargestTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct LargestTable {
    pub(in crate::site) largest: Spanned<SourceInput>,
}

/// Where items are: a text, a table that parses a text first, or a list of them.
pub(in crate::site) enum ItemPathInput {
    Text(String),
    Table(Box<ItemPathTable>),
    List(Vec<Spanned<ItemPathInput>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct ItemPathTable {
    pub(in crate::site) source: Spanned<String>,
    pub(in crate::site) behind: Option<Spanned<String>>,
    pub(in crate::site) parse: ParsedLanguage,
    pub(in crate::site) then: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct ConditionInput {
    pub(in crate::site) value: Option<Spanned<SourceInput>>,
    /// The name of a field, where no item is at hand.
    pub(in crate::site) field: Option<Spanned<String>>,
    pub(in crate::site) any: Option<Spanned<Vec<Spanned<ConditionInput>>>>,
    pub(in crate::site) equals: Option<ScalarInput>,
    pub(in crate::site) not_equals: Option<ScalarInput>,
    #[serde(rename = "in")]
    pub(in crate::site) members: Option<Spanned<Vec<ScalarInput>>>,
    pub(in crate::site) matches: Option<Spanned<String>>,
    pub(in crate::site) not_matches: Option<Spanned<String>>,
    pub(in crate::site) exists: Option<bool>,
    pub(in crate::site) at_least: Option<Spanned<ScalarInput>>,
    pub(in crate::site) at_most: Option<Spanned<ScalarInput>>,
}

/// A text, a number, or `true` and `false`, as the text that pages hold for it.
pub(in crate::site) struct ScalarInput(pub(in crate::site) String);

impl<'de> Deserialize<'de> for SourceInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SourceInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a source: a string or a table, or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(SourceInput::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let table = SourceTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(SourceInput::Table(Box::new(table)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(SourceInput::List)
    }
}

impl<'de> Deserialize<'de> for ItemPathInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemPathVisitor)
    }
}

struct ItemPathVisitor;

impl<'de> Visitor<'de> for ItemPathVisitor {
    type Value = ItemPathInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place of items: a string or a table, or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(ItemPathInput::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let table = ItemPathTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ItemPathInput::Table(Box::new(table)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(ItemPathInput::List)
    }
}

impl<'de> Deserialize<'de> for ScriptInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScriptVisitor)
    }
}

struct ScriptVisitor;

impl<'de> Visitor<'de> for ScriptVisitor {
    type Value = ScriptInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a selector, or a table with `select` and `behind`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(ScriptInput::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        ScriptTable::deserialize(MapAccessDeserializer::new(map)).map(ScriptInput::Table)
    }
}

impl<'de> Deserialize<'de> for PickInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PickVisitor)
    }
}

struct PickVisitor;

impl<'de> Visitor<'de> for PickVisitor {
    type Value = PickInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`first`, `last`, or a table with `largest`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PickInput::Word(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        LargestTable::deserialize(MapAccessDeserializer::new(map)).map(PickInput::Largest)
    }
}

impl<'de> Deserialize<'de> for ScalarInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = ScalarInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, `true` or `false`")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(ScalarInput(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(ScalarInput(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(ScalarInput(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(ScalarInput(value.to_string()))
    }
}

tables! {
    SourceTable: "a table with `source`";
    LookupTable: "a table with `source`, `in` and `then`";
    LargestTable: "a table with `largest`";
    ItemPathTable: "a table with `source`, `parse` and `then`";
    ConditionInput: "a table with `value`, and `equals` or another test";
}
