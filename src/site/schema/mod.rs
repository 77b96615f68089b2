//! A definition as written in TOML, with the span of each value that can be wrong. `definition` compiles it.
//!
//! The tables that every kind of listing shares are here; the `[item]` table of a kind is beside the code that reads
//! its pages, in `extract`.

mod one_or_more;
mod source;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

pub(super) use one_or_more::OneOrMore;
pub(super) use source::{
    ConditionInput, ItemPathInput, LookupTable, ParsedLanguage, PickInput, ScalarInput,
    SourceInput, SourceTable,
};

use super::extract::ListingKind;
use super::file_name::NameInput;
use super::rewrite::RewriteInput;
use crate::job::SiteId;

/// A whole definition; `I` is the `[item]` table of its kind of listing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a definition")]
pub(super) struct SiteFile<I> {
    pub(super) site: SiteTable,
    pub(super) listing: ListingTable,
    pub(super) item: I,
    pub(super) full: Spanned<OneOrMore<FullTable>>,
    pub(super) file: FileTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `name` and `base`")]
pub(super) struct SiteTable {
    pub(super) name: SiteId,
    #[serde(default)]
    pub(super) description: String,
    pub(super) base: Spanned<String>,
    #[serde(default)]
    pub(super) image_hosts: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `kind` and `url`")]
pub(super) struct ListingTable {
    /// Read by [`listing_kind`] before the rest; here so that the key is known.
    #[serde(rename = "kind")]
    pub(super) _kind: IgnoredAny,
    pub(super) url: Spanned<String>,
    #[serde(default = "first_page")]
    pub(super) start: u32,
    #[serde(default)]
    pub(super) stop: StopTable,
}

fn first_page() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table with `status`, `marker`, `empty` or `after`"
)]
pub(super) struct StopTable {
    pub(super) status: Vec<Spanned<u16>>,
    pub(super) marker: Option<Spanned<String>>,
    pub(super) empty: bool,
    pub(super) after: Spanned<u32>,
}

impl Default for StopTable {
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
#[serde(deny_unknown_fields, expecting = "a table with `rewrite`")]
pub(super) struct FullTable {
    pub(super) rewrite: Spanned<OneOrMore<RewriteTable>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `from`, `regex` and `to`"
)]
pub(super) struct RewriteTable {
    pub(super) from: Option<Spanned<RewriteInput>>,
    pub(super) regex: Spanned<String>,
    pub(super) to: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `capture` and `name`")]
pub(super) struct FileTable {
    pub(super) capture: CaptureTable,
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) min_width: u32,
    #[serde(default)]
    pub(super) min_height: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `from` and `regex`")]
pub(super) struct CaptureTable {
    pub(super) from: NameInput,
    pub(super) regex: Spanned<String>,
}

/// Reads only `listing.kind`, which decides what the `[item]` table may hold.
///
/// The definition is parsed twice, once for the kind and once whole: `#[serde(flatten)]` and a buffered enum would do
/// with one pass, but lose the spans that errors are marked with.
pub(super) fn listing_kind(text: &str) -> Result<ListingKind, toml::de::Error> {
    #[derive(Deserialize)]
    struct KindOnly {
        listing: KindTable,
    }
    #[derive(Deserialize)]
    struct KindTable {
        kind: ListingKind,
    }
    toml::from_str::<KindOnly>(text).map(|definition| definition.listing.kind)
}
