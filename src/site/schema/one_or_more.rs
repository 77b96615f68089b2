//! A value that may be written alone or as a list.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// One value, or a list of them. Not an untagged enum: that buffers the value and loses its spans.
pub(in crate::site) struct OneOrMore<T>(pub(in crate::site) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor(PhantomData))
    }
}

struct OneOrMoreVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMoreVisitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a table, or a list of them")
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

/// A table, or a list of them with their places. The place of a table alone is that of the whole: serde cannot tell it.
pub(in crate::site) struct TableList<T>(pub(in crate::site) Vec<Spanned<T>>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TableList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TableListVisitor(PhantomData))
    }
}

struct TableListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableListVisitor<T> {
    type Value = TableList<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let table = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(TableList(vec![Spanned::new(0..0, table)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(TableList(Vec::deserialize(SeqAccessDeserializer::new(
            list,
        ))?))
    }
}
