//! Reads listing pages: the body of a response -> its images. One plug a kind of listing.
//!
//! To add a kind: one file with its `[item]` table ([`ItemTable`]) and what reads its pages ([`Extract`]), and a row in
//! [`ListingKind`]. A kind whose pages do not have numbers adds its order of pages to `paging` as well.

mod health;
mod html;

use std::fmt;

use encoding_rs::{Encoding, UTF_8};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use url::Url;

pub use health::{PageHealth, PageVerdict};

use super::diagnostic::Diagnostic;
use super::document::{self, DocumentKind};
use super::paging::{PageLinks, RawPageLinks};
use super::schema::SiteFile;
use super::{Site, address};
use crate::event::ListingFailure;
use crate::job::{ImageRef, Record};

/// The kind of a listing: `listing.kind` in a definition. One row a plug.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListingKind {
    Html,
}

impl ListingKind {
    /// Parses a whole definition whose listing is of this kind.
    pub(super) fn parse(self, text: &str) -> Result<SiteFile<Box<dyn ItemTable>>, toml::de::Error> {
        match self {
            Self::Html => parse::<html::HtmlItemTable>(text),
        }
    }
}

fn parse<I: ItemTable + DeserializeOwned + 'static>(
    text: &str,
) -> Result<SiteFile<Box<dyn ItemTable>>, toml::de::Error> {
    let SiteFile {
        site,
        listing,
        item,
        full,
        file,
    } = toml::from_str::<SiteFile<I>>(text)?;
    Ok(SiteFile {
        site,
        listing,
        item: Box::new(item),
        full,
        file,
    })
}

/// The `[item]` table of a kind of listing, before it is compiled.
pub(super) trait ItemTable {
    /// Compiles the table, and `listing.stop`'s end mark, into what reads the pages.
    fn compile(
        self: Box<Self>,
        end: EndMark<Spanned<String>>,
    ) -> Result<Box<dyn Extract>, Diagnostic>;
}

/// What a page without items, answered with 200, must look like to be the one after the last.
#[derive(Debug)]
pub(super) enum EndMark<M> {
    /// Such a page never ends the listing.
    Never,
    /// Any page without items does.
    Empty,
    /// A page that shows this mark does: in the language of the listing's kind, as a CSS selector.
    Marker(M),
}

/// The text of a page, and what the server says about it.
#[derive(Debug, Clone, Copy)]
pub struct PageText<'a> {
    /// Decoded to UTF-8.
    pub text: &'a str,
    /// What it was decoded from: the queries of addresses on the page are in it.
    pub encoding: &'static Encoding,
    /// Whether browsers parse it as XML: XHTML by its content type.
    pub is_xml: bool,
}

impl<'a> From<&'a str> for PageText<'a> {
    /// A page in UTF-8 that is HTML.
    fn from(text: &'a str) -> Self {
        Self {
            text,
            encoding: UTF_8,
            is_xml: false,
        }
    }
}

impl<'a> From<&'a String> for PageText<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

/// Reads the pages of one kind of listing.
pub(super) trait Extract: fmt::Debug + Send + Sync {
    /// The items on `page`, as written there.
    ///
    /// # Errors
    ///
    /// When reading the page would take too much memory or time.
    fn extract(&self, page: PageText<'_>) -> Result<RawPage, ListingFailure>;
}

/// What a plug finds on a page; a plug starts from the default, so that a new field concerns only those who set it.
#[derive(Default)]
pub(super) struct RawPage {
    /// The URL that the page says its URLs are relative to, as written.
    base: Option<String>,
    items: Vec<RawItem>,
    /// Whether the page had to be read in pieces, so that an item may have been split.
    split: bool,
    /// Whether the page shows the mark of the page after the last.
    end_mark: bool,
}

/// The texts of one item, as written. Of several URLs the first usable one counts.
struct RawItem {
    thumb: Vec<String>,
    link: Vec<String>,
    title: Option<String>,
}

/// What a listing page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingPage {
    /// The images whose thumb has a usable address, in the page's order.
    pub images: Vec<ImageRef>,
    /// The counts from which the verdict on the page follows.
    pub health: PageHealth,
    /// What it says of the pages after it.
    pub next: PageLinks,
}

/// Reads the page that came from `page`.
pub(super) fn read(
    site: &Site,
    page: &Url,
    body: PageText<'_>,
) -> Result<ListingPage, ListingFailure> {
    let RawPage {
        base,
        items,
        split,
        end_mark,
    } = site.extract.extract(body)?;
    let base = base
        .and_then(|written| address::join(page, &written, body.encoding))
        .filter(|base| matches!(base.scheme(), "http" | "https"))
        .unwrap_or_else(|| page.clone());
    let mut health = PageHealth {
        items: items.len(),
        without_thumb: 0,
        unusable: 0,
        split,
        end_mark,
    };
    let mut images = Vec::new();
    for RawItem { thumb, link, title } in items {
        let resolve = |text: &String| address::resolve(&base, text, body.encoding);
        let first = |texts: Vec<String>| texts.iter().find_map(resolve);
        let has_none = thumb.is_empty();
        match first(thumb) {
            Some(thumb) => images.push(ImageRef {
                site: site.id.clone(),
                page: page.clone(),
                thumb: site.canonical(thumb),
                link: first(link).map(|link| site.canonical(link)),
                title,
                is_original: false,
                record: Record::default(),
            }),
            None if has_none => health.without_thumb += 1,
            None => health.unusable += 1,
        }
    }
    let sources = site.page_order.sources();
    let mut links = RawPageLinks::default();
    if !sources.is_empty() {
        document::read(&DocumentKind::Html, body, &mut |page| {
            sources.read(page, &mut links);
        })?;
    }
    Ok(ListingPage {
        images,
        health,
        next: links.resolve(&base, body.encoding),
    })
}
