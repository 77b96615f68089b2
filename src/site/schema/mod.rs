//! A definition as written in TOML, with the span of each value that can be wrong. `definition` compiles it.

mod one_or_more;
mod paging;
mod requests;
mod source;
mod table;
mod variable;

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(super) use one_or_more::{OneOrMore, TableList};
pub(super) use paging::{NextInput, PagingTable, WindowTable};
pub(super) use requests::{
    ErrorTable, NamedTexts, RequestTable, SecretTable, SecretTables, Statuses,
};
pub(super) use source::{
    ConditionInput, ItemPathInput, LookupTable, ParsedLanguage, PickInput, ScalarInput,
    ScriptInput, ScriptTable, SourceInput, SourceTable,
};
pub(super) use variable::{VariableInput, VariableTable};

use self::table::tables;
use super::hosts::HostsInput;
use crate::job::SiteId;

/// The prefixes of an XML page's names, and the URIs that they stand for.
pub(super) type Namespaces = BTreeMap<Spanned<String>, Spanned<String>>;

/// Names that the definition gives to texts; in the order of the names.
pub(super) type NamedSources = BTreeMap<Spanned<String>, Spanned<SourceInput>>;

/// A whole definition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct SiteFile {
    pub(super) site: SiteTable,
    #[serde(default)]
    pub(super) variables: BTreeMap<Spanned<String>, Spanned<VariableInput>>,
    #[serde(default)]
    pub(super) secrets: SecretTables,
    #[serde(default)]
    pub(super) request: RequestTable,
    pub(super) listing: ListingTable,
    #[serde(default)]
    pub(super) page: NamedSources,
    pub(super) item: ItemTable,
    pub(super) full: Spanned<TableList<FullTable>>,
    #[serde(default)]
    pub(super) file: FileTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct SiteTable {
    pub(super) name: SiteId,
    #[serde(default)]
    pub(super) description: String,
    pub(super) base: Spanned<String>,
    #[serde(default = "no_hosts")]
    pub(super) image_hosts: Spanned<HostsInput>,
    /// What in the definition rests on no real answer.
    pub(super) inferred: Option<String>,
    /// Why the site is off until the user opts in.
    pub(super) opt_in: Option<String>,
}

fn no_hosts() -> Spanned<HostsInput> {
    Spanned::new(0..0, HostsInput::default())
}

/// What the pages of a listing are written in: `listing.kind`, and that of a page that leads to an original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindInput {
    Html,
    Json,
    Embedded,
    Xml,
}

/// The keys of `[listing]` that say what its pages are written in.
pub(super) struct DocumentTable {
    pub(super) kind: Spanned<KindInput>,
    pub(super) script: Option<Spanned<ScriptInput>>,
    pub(super) namespaces: Option<Spanned<Namespaces>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct ListingTable {
    kind: Spanned<KindInput>,
    script: Option<Spanned<ScriptInput>>,
    namespaces: Option<Spanned<Namespaces>>,
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
    /// Splits off the keys that say what the pages are written in, and those that `paging` compiles.
    pub(super) fn split(self) -> (DocumentTable, PagingTable, StopTable) {
        let Self {
            kind,
            script,
            namespaces,
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
        let document = DocumentTable {
            kind,
            script,
            namespaces,
        };
        (document, paging, stop)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub(super) struct StopTable {
    /// Where not given, it depends on the order of the pages.
    pub(super) status: Option<Vec<Spanned<u16>>>,
    pub(super) marker: Option<Spanned<ItemPathInput>>,
    pub(super) empty: bool,
    pub(super) after: Option<Spanned<u32>>,
    /// The sources of the page's number and of the last page's.
    pub(super) reached: Option<Spanned<Vec<Spanned<SourceInput>>>>,
    pub(super) absent: Option<Spanned<SourceInput>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct ItemTable {
    pub(super) select: Spanned<ItemPathInput>,
    pub(super) each: Option<Spanned<ItemPathInput>>,
    #[serde(default, rename = "where")]
    pub(super) conditions: Vec<Spanned<ConditionInput>>,
    pub(super) thumb: Option<Spanned<SourceInput>>,
    pub(super) link: Option<Spanned<SourceInput>>,
    pub(super) title: Option<Spanned<SourceInput>>,
    #[serde(default)]
    pub(super) fields: NamedSources,
    pub(super) key: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) key_ignore: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) verify: VerifyTable,
}

/// What a listing declares of an image's bytes: templates.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub(super) struct VerifyTable {
    pub(super) md5: Option<Spanned<String>>,
    pub(super) sha1: Option<Spanned<String>>,
    pub(super) sha256: Option<Spanned<String>>,
    pub(super) git_sha1: Option<Spanned<String>>,
    pub(super) bytes: Option<Spanned<String>>,
    pub(super) width: Option<Spanned<String>>,
    pub(super) height: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct FullTable {
    #[serde(default, rename = "where")]
    pub(super) conditions: Vec<Spanned<ConditionInput>>,
    pub(super) field: Option<Spanned<String>>,
    pub(super) template: Option<Spanned<String>>,
    pub(super) rewrite: Option<Spanned<OneOrMore<RewriteTable>>>,
    pub(super) follow: Option<Spanned<FollowTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct RewriteTable {
    pub(super) from: Option<Spanned<String>>,
    pub(super) regex: Spanned<String>,
    pub(super) to: Spanned<String>,
}

/// A page that leads to an original, or to the next such page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct FollowTable {
    /// The field that the page's address is in; the first page alone has one.
    pub(super) from: Option<Spanned<String>>,
    /// The page's address made of fields, in place of `from`.
    pub(super) template: Option<Spanned<String>>,
    pub(super) kind: Option<Spanned<KindInput>>,
    pub(super) script: Option<Spanned<ScriptInput>>,
    pub(super) namespaces: Option<Spanned<Namespaces>>,
    /// Sources of addresses on the page: each is one candidate at most.
    pub(super) find: Spanned<SourceInput>,
    /// What a page has that shows no image, as a film: the item is skipped.
    pub(super) none: Option<Spanned<SourceInput>>,
    pub(super) rewrite: Option<Spanned<OneOrMore<RewriteTable>>>,
    pub(super) follow: Option<Box<Spanned<FollowTable>>>,
}

/// A definition's name for a file, and the least size of an image.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub(super) struct FileTable {
    pub(super) capture: Option<Spanned<CaptureTable>>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) min_width: u32,
    pub(super) min_height: u32,
    pub(super) skip_small: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct CaptureTable {
    pub(super) from: Spanned<String>,
    pub(super) regex: Spanned<String>,
}

tables! {
    SiteFile: "a definition";
    SiteTable: "a table with `name` and `base`";
    ListingTable: "a table with `kind` and `url`";
    StopTable: "a table with `status`, `marker`, `empty`, `after`, `reached` or `absent`";
    ItemTable: "a table with `select`";
    VerifyTable: "a table with `md5`, `sha1`, `sha256`, `git_sha1`, `bytes`, `width` or `height`";
    FullTable: "a table with `field`, `template`, `rewrite` or `follow`";
    RewriteTable: "a table with `from`, `regex` and `to`";
    FollowTable: "a table with `from` or `template`, and `find`";
    FileTable: "a table with `name`, `capture`, `min_width`, `min_height` or `skip_small`";
    CaptureTable: "a table with `from` and `regex`";
}
