//! A variable as written: its value alone, or a table.

use std::fmt;

use super::table::tables;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// `query = "forest"`, or a table that says more of it.
pub(in crate::site) enum VariableInput {
    Default(String),
    Table(Box<VariableTable>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct VariableTable {
    /// The value where the user gives none; without it the user must.
    pub(in crate::site) default: Option<Spanned<String>>,
    /// A value that stands in where a definition is only shown; for a variable without a default.
    pub(in crate::site) example: Option<Spanned<String>>,
    /// The only values that it may have.
    pub(in crate::site) values: Option<Spanned<Vec<String>>>,
    /// What every value matches.
    pub(in crate::site) pattern: Option<Spanned<String>>,
    #[serde(default)]
    pub(in crate::site) help: String,
}

impl<'de> Deserialize<'de> for VariableInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VariableVisitor)
    }
}

struct VariableVisitor;

impl<'de> Visitor<'de> for VariableVisitor {
    type Value = VariableInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a table with `default`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(VariableInput::Default(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let table = VariableTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(VariableInput::Table(Box::new(table)))
    }
}

tables! {
    VariableTable: "a table with `default` or `example`";
}
