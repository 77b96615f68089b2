//! Parsed pages, and where in them a text is: the same few questions in HTML, JSON and XML.
//!
//! ```text
//! PageText -> read() -> Page -> items (ItemPath) -> Scope -> Source::texts, Condition::holds
//! ```

mod condition;
mod embedded;
#[cfg(test)]
mod hostile;
pub(super) mod html;
mod json;
mod limits;
mod locator;
mod object;
mod parsed;
mod path;
mod pick;
mod source;
#[cfg(test)]
mod testing;
mod xml;

use std::borrow::Cow;

pub(super) use condition::{Condition, FieldCondition, MAX_CONDITIONS};
pub(super) use embedded::Script;
pub(super) use limits::{MAX_ITEMS, STEP_BYTES, Work};
pub(super) use object::ObjectPath;
pub(super) use path::ItemPath;
pub(super) use source::Source;

use super::extract::PageText;
use crate::event::ListingFailure;
use html::{HtmlPlace, tree, xhtml};
use json::{JsonPlace, JsonTree};
use parsed::ParsedTexts;
use xml::{XmlPlace, XmlTree};

/// What the pages are written in.
#[derive(Debug)]
pub(super) enum DocumentKind {
    Html,
    Json,
    /// JSON in the text of an element of an HTML page.
    Embedded(Script),
    /// With the namespaces that the definition names: prefix and URI.
    Xml(Vec<(String, String)>),
}

/// What sources and conditions are compiled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceContext<'a> {
    /// What the item is written in,
    pub(super) kind: &'a DocumentKind,
    /// and the one around it, which `^` names.
    outer: &'a DocumentKind,
    /// The whole definition, for the places of errors.
    pub(super) definition: &'a str,
}

impl<'a> SourceContext<'a> {
    pub(super) const fn new(kind: &'a DocumentKind, definition: &'a str) -> Self {
        Self {
            kind,
            outer: kind,
            definition,
        }
    }
}

/// A parsed page. It lives within [`read`] alone: HTML trees cannot leave their thread.
pub(super) struct Page<'a> {
    root: Node<'a>,
    base: Option<String>,
}

/// A place in a page: an element, a value, or a text.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    place: Place<'a>,
    shared: &'a Shared,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Html(HtmlPlace<'a>),
    Json(JsonPlace<'a>),
    Xml(XmlPlace<'a>),
}

/// What all places of a page share.
#[derive(Default)]
struct Shared {
    work: Work,
    parsed: ParsedTexts,
}

/// Where a source looks: an item, and for an item within an item (`each`) the outer one, which `^` names. Where there is
/// no outer one, `^` names the item itself.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) node: Node<'a>,
    pub(super) outer: Option<Node<'a>>,
}

/// Parses a page and hands it over; an HTML page that nests too deep is handed over in pieces.
///
/// # Errors
///
/// When reading the page would take too much memory or time, or it is not what its kind says.
pub(super) fn read(
    kind: &DocumentKind,
    page: PageText<'_>,
    with: &mut dyn FnMut(&Page<'_>),
) -> Result<(), ListingFailure> {
    let shared = Shared::default();
    match kind {
        DocumentKind::Html => {
            trees(page, &mut |html| with(&of_html(html, &shared)))?;
        }
        DocumentKind::Json => {
            let tree = JsonTree::parse(page.text)?;
            with(&of_json(&tree, &shared, None));
        }
        DocumentKind::Embedded(script) => {
            let (tree, base) = script.read(page, &shared.work)?;
            with(&of_json(&tree, &shared, base));
        }
        DocumentKind::Xml(_) => {
            let tree = XmlTree::parse(page.text)?;
            with(&of_xml(&tree, &shared));
        }
    }
    shared.work.check()
}

/// Parses an HTML or XHTML page into one tree, or several.
fn trees(
    page: PageText<'_>,
    on_tree: &mut dyn FnMut(&scraper::Html),
) -> Result<(), ListingFailure> {
    let text = if page.is_xml {
        Cow::Owned(xhtml::to_html(page.text))
    } else {
        Cow::Borrowed(page.text)
    };
    tree::each(&text, !page.is_xml, on_tree).map(|_| ())
}

fn of_html<'a>(html: &'a scraper::Html, shared: &'a Shared) -> Page<'a> {
    let place = Place::Html(HtmlPlace {
        page: html,
        element: None,
    });
    Page {
        root: Node { place, shared },
        base: html::base_of(html),
    }
}

fn of_json<'a>(tree: &'a JsonTree<'a>, shared: &'a Shared, base: Option<String>) -> Page<'a> {
    let value = tree.root();
    let place = Place::Json(JsonPlace { value, name: None });
    Page {
        root: Node { place, shared },
        base,
    }
}

fn of_xml<'a>(tree: &'a XmlTree<'a>, shared: &'a Shared) -> Page<'a> {
    let place = Place::Xml(XmlPlace {
        tree,
        element: None,
    });
    Page {
        root: Node { place, shared },
        base: tree.base(),
    }
}

impl<'a> Page<'a> {
    /// The whole page as a place.
    pub(super) fn root(&self) -> Node<'a> {
        self.root
    }

    /// The URL that the page says its URLs are relative to, as written (`<base href>`, `xml:base`).
    pub(super) fn base(&self) -> Option<String> {
        self.base.clone()
    }

    /// The items there, in the page's order.
    pub(super) fn items(&self, path: &ItemPath) -> Vec<Node<'a>> {
        path.within(self.root)
    }

    /// Whether something is there; of JSON also `null`.
    pub(super) fn has(&self, path: &ItemPath) -> bool {
        path.is_there(self.root)
    }

    /// Whether the list of items is there and empty; `None` where a page of this language does not tell.
    pub(super) fn has_empty_list(&self, path: &ItemPath) -> Option<bool> {
        path.has_empty_list(self.root)
    }
}
