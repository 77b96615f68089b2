//! A definition as written in TOML, with the span of each value that can be wrong. `definition` compiles it.
//!
//! The tables that every kind of listing shares are here; the `[item]` table of a kind is beside the code that reads
//! its pages, in `extract`.

mod one_or_more;
mod paging;
mod source;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

pub(super) use one_or_more::OneOrMore;
pub(super) use paging::{NextInput, PagingTable, WindowTable};
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
    url: Option<Spanned<String>>,
    pages: Option<Spanned<Vec<Spanned<String>>>>,
    first: Option<Spanned<String>>,
    start: Option<Spanned<u32>>,
    step: Option<Spanned<u32>>,
    ahead: Option<u32>,
    next: Option<Spanned<NextInput>>,
    cursor: Option<Spanned<SourceInput>>,
    #[serde(rename = "continue")]
    continuation: Option<Spanned<String>>,
    #[serde(default)]
    carry: BTreeMap<String, Spanned<SourceInput>>,
    window: Option<Spanned<WindowTable>>,
    through: Option<Spanned<Vec<Spanned<SourceInput>>>>,
    pager: Option<Spanned<String>>,
    expect: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) stop: StopTable,
}

impl ListingTable {
    /// Splits off the keys that `paging` compiles.
    pub(super) fn split(self) -> (PagingTable, StopTable) {
        let Self {
            _kind: _,
            url,
            pages,
            first,
            start,
            step,
            ahead,
            next,
            cursor,
            continuation,
            carry,
            window,
            through,
            pager,
            expect,
            stop,
        } = self;
        let paging = PagingTable {
            url,
            pages,
            first,
            start,
            step,
            ahead,
            next,
            cursor,
            continuation,
            carry,
            window,
            through,
            pager,
            expect,
        };
        (paging, stop)
    }
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table with `status`, `marker`, `empty`, `after`, `reached` or `absent`"
)]
pub(super) struct StopTable {
    /// Where not given, it depends on the order of the pages.
    pub(super) status: Option<Vec<Spanned<u16>>>,
    pub(super) marker: Option<Spanned<String>>,
    pub(super) empty: bool,
    pub(super) after: Option<Spanned<u32>>,
    /// The sources of the page's number and of the last page's.
    pub(super) reached: Option<Spanned<Vec<Spanned<SourceInput>>>>,
    pub(super) absent: Option<Spanned<SourceInput>>,
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
