//! The tables `[request]`, `[[request.error]]` and `[secrets]` as written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::table::tables;
use crate::site::requests::ErrorAction;

/// Names and templates.
pub(in crate::site) type NamedTexts = BTreeMap<Spanned<String>, Spanned<String>>;

/// The secrets by name.
pub(in crate::site) type SecretTables = BTreeMap<Spanned<String>, SecretTable>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub(in crate::site) struct RequestTable {
    pub(in crate::site) headers: NamedTexts,
    pub(in crate::site) query: NamedTexts,
    pub(in crate::site) image_headers: NamedTexts,
    pub(in crate::site) image_query: NamedTexts,
    pub(in crate::site) referer: Option<Spanned<String>>,
    pub(in crate::site) user_agent: Option<Spanned<String>>,
    pub(in crate::site) per_minute: Option<Spanned<u32>>,
    pub(in crate::site) image_per_minute: Option<Spanned<u32>>,
    pub(in crate::site) charset: Option<Spanned<String>>,
    pub(in crate::site) error: Vec<Spanned<ErrorTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct ErrorTable {
    pub(in crate::site) status: Option<Statuses>,
    pub(in crate::site) pointer: Option<Spanned<String>>,
    pub(in crate::site) equals: Option<ScalarText>,
    pub(in crate::site) contains: Option<Spanned<String>>,
    pub(in crate::site) action: ErrorAction,
    pub(in crate::site) hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::site) struct SecretTable {
    pub(in crate::site) variable: Spanned<String>,
    #[serde(default)]
    pub(in crate::site) optional: bool,
    #[serde(default)]
    pub(in crate::site) help: String,
}

/// A status, or a list of them.
pub(in crate::site) struct Statuses(pub(in crate::site) Vec<Spanned<u16>>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Statuses_;
        impl<'de> Visitor<'de> for Statuses_ {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an HTTP status, or a list of them")
            }

            fn visit_i64<E: serde::de::Error>(self, status: i64) -> Result<Statuses, E> {
                // Any other number is no status, as 0 is none.
                let status = u16::try_from(status).unwrap_or_default();
                Ok(Statuses(vec![Spanned::new(0..0, status)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Statuses, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Statuses)
            }
        }
        deserializer.deserialize_any(Statuses_)
    }
}

/// A text, a number or a truth value, as text.
pub(in crate::site) struct ScalarText(pub(in crate::site) String);

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = ScalarText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number, `true` or `false`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ScalarText, E> {
                Ok(ScalarText(text.to_owned()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<ScalarText, E> {
                Ok(ScalarText(number.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<ScalarText, E> {
                Ok(ScalarText(number.to_string()))
            }

            fn visit_bool<E: serde::de::Error>(self, yes: bool) -> Result<ScalarText, E> {
                Ok(ScalarText(yes.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

tables! {
    RequestTable: "a table with `headers`, `query` and others";
    ErrorTable: "a table with `action` and `status`, `pointer` or `contains`";
    SecretTable: "a table with `variable`, as `{ variable = \"EXAMPLE_KEY\" }`";
}
