//! The order of a listing's pages as its definition gives it, compiled. One plug an order.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use url::Url;

use super::Pages;
use super::compile::Compiler;
use super::page_links::{LinkSources, PageLinks};
use super::stop::EndRule;
use crate::site::diagnostic::Diagnostic;
use crate::site::document::SourceContext;
use crate::site::schema::{PagingTable, StopTable};

/// What the paging of a definition is compiled with.
pub(in crate::site) struct PagingContext<'a> {
    /// The site's base: addresses are relative to it.
    pub(in crate::site) base: &'a Url,
    /// Whether the definition names a host, so that pages may be on it.
    pub(in crate::site) is_host: &'a dyn Fn(&str) -> bool,
    /// The values of the definition's variables.
    pub(in crate::site) variables: &'a BTreeMap<String, String>,
    pub(in crate::site) source: SourceContext<'a>,
}

/// What fills the places of an address during one walk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WalkValues<'a> {
    pub(super) today: Date,
    pub(super) carried: &'a [Option<String>],
}

/// The page at an index.
#[derive(Debug)]
pub(super) enum PageAt {
    Url(Url),
    /// There are fewer pages.
    Beyond,
    /// Its address cannot be requested: why.
    Unusable(String),
}

/// Pages whose addresses do not depend on each other: a plug.
pub(super) trait CountedPages: fmt::Debug + Send + Sync {
    /// The page at an index from 0.
    fn page(&self, index: u32, values: &WalkValues<'_>) -> PageAt;

    /// The index of the page at `url`, if it is one of these.
    fn index_of(&self, url: &Url) -> Option<u32>;

    /// How many there are, where that is known.
    fn len(&self) -> Option<usize> {
        None
    }

    /// Whether pages go on for ever where a site answers every number, so that repeated ones must end the listing.
    fn may_be_endless(&self) -> bool {
        false
    }

    /// Whether a page may be missing or empty in the midst of the others.
    fn has_holes(&self) -> bool {
        false
    }
}

/// Pages each of which leads to the next one: a plug.
pub(super) trait LinkedPages: fmt::Debug + Send + Sync {
    /// The first page.
    ///
    /// # Errors
    ///
    /// When its address cannot be requested: why.
    fn first(&self) -> Result<Url, String>;

    /// The page after one with these links; `None` after the last.
    ///
    /// # Errors
    ///
    /// When its address cannot be requested: why.
    fn next(&self, links: &PageLinks, carried: &[Option<String>]) -> Result<Option<Url>, String>;

    /// Whether pages name each other by whole addresses, so that any page can be the first.
    fn follows_addresses(&self) -> bool {
        false
    }

    /// Whether a page may show items that were shown before, without some of their fields.
    fn has_partial_answers(&self) -> bool {
        false
    }
}

/// The addresses of the pages, by one of the plugs.
#[derive(Debug)]
pub(super) enum Addresses {
    Counted(Box<dyn CountedPages>),
    Linked(Box<dyn LinkedPages>),
}

/// The order of a site's pages, as its definition gives it.
#[derive(Debug)]
pub(in crate::site) struct PageOrder {
    pub(super) addresses: Addresses,
    pub(super) sources: LinkSources,
    pub(super) end: EndRule,
    /// Pages requested ahead at most, where the definition says so.
    pub(super) ahead: Option<usize>,
}

impl PageOrder {
    /// Compiles the keys of `[listing]` about pages.
    pub(in crate::site) fn compile(
        written: PagingTable,
        stop: StopTable,
        context: &PagingContext<'_>,
    ) -> Result<Self, Diagnostic> {
        Compiler { context }.order(written, stop)
    }

    /// What is to be read from each page.
    pub(in crate::site) fn sources(&self) -> &LinkSources {
        &self.sources
    }

    /// The address of a first page, with an arbitrary day where the listing has windows of days.
    pub(in crate::site) fn first_page(&self) -> Option<Url> {
        match &self.addresses {
            Addresses::Counted(pages) => {
                let values = WalkValues {
                    today: Date::MAX,
                    carried: &[],
                };
                match pages.page(0, &values) {
                    PageAt::Url(url) => Some(url),
                    PageAt::Beyond | PageAt::Unusable(_) => None,
                }
            }
            Addresses::Linked(pages) => pages.first().ok(),
        }
    }

    /// The pages of the listing that `url` names, if it is the listing's: one page, or all.
    pub(in crate::site) fn pages_at(&self, url: &Url, base: &Url) -> Option<Pages> {
        let written = url.as_str().trim_end_matches('/');
        if written == base.as_str().trim_end_matches('/') {
            return Some(Pages::default());
        }
        let first = self.first_page()?;
        if let Addresses::Counted(pages) = &self.addresses {
            // The only page is the whole listing.
            if pages.len() != Some(1)
                && let Some(number) = pages.index_of(url).and_then(|index| index.checked_add(1))
            {
                return Some(Pages {
                    first: Some(number),
                    last: Some(number),
                });
            }
        }
        let folder = self.folder(&first);
        (first == *url || folder.trim_end_matches('/') == written).then(Pages::default)
    }

    /// The folder of the listing, from which the first page's address goes on with its number.
    fn folder(&self, first: &Url) -> String {
        let second = match &self.addresses {
            Addresses::Counted(pages) => match pages.page(1, &WalkValues::default()) {
                PageAt::Url(second) => Some(second),
                PageAt::Beyond | PageAt::Unusable(_) => None,
            },
            Addresses::Linked(_) => None,
        };
        let Some(second) = second else {
            return first.to_string();
        };
        let shared = first.as_str().bytes().zip(second.as_str().bytes());
        let shared = shared.take_while(|(one, other)| one == other).count();
        let shared = first.as_str().get(..shared).unwrap_or_default();
        shared.trim_end_matches(|c| c != '/').to_owned()
    }

    /// Why these pages cannot be asked for, if so.
    pub(in crate::site) fn objection(&self, pages: Pages) -> Option<String> {
        let Addresses::Counted(counted) = &self.addresses else {
            return None;
        };
        let length = counted.len()?;
        let first = pages.first.unwrap_or(1);
        let is_there = usize::try_from(first).is_ok_and(|first| first <= length);
        (!is_there).then(|| match length {
            1 => format!("there is no page {first}: the listing is a single page"),
            length => format!("there is no page {first}: the listing has {length} pages"),
        })
    }
}
