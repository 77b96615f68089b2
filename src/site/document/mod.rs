//! Parsed pages, and where in them a text is: the same few questions in HTML, JSON and XML.
//!
//! ```text
//! PageText -> read() -> Page -> items (ItemPath) -> Scope -> Source::texts, Condition::holds
//! ```

use toml::Spanned;

use super::diagnostic::Diagnostic;
use super::extract::PageText;
use crate::event::ListingFailure;

/// What the pages are written in.
#[derive(Debug)]
pub(super) enum DocumentKind {
    Html,
    Json,
    /// JSON in the text of an element of an HTML page: the first that the selector matches.
    Embedded(super::selector::Selector),
    /// With the namespaces that the definition names: prefix and URI.
    Xml(Vec<(String, String)>),
}

/// What sources and conditions are compiled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceContext<'a> {
    pub(super) kind: &'a DocumentKind,
    /// The whole definition, for the places of errors.
    pub(super) definition: &'a str,
}

/// A parsed page. It lives within [`read`] alone: HTML trees cannot leave their thread.
pub(super) struct Page<'a> {
    _todo: std::marker::PhantomData<&'a ()>,
}

/// A place in a page: an element, a value, or a text.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    _todo: std::marker::PhantomData<&'a ()>,
}

/// Where a source looks: an item, and for an item within an item (`each`) the outer one, which `^` names.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) node: Node<'a>,
    pub(super) outer: Option<Node<'a>>,
}

/// Parses a page and hands it over; a page that nests too deep is handed over in pieces.
///
/// # Errors
///
/// When reading the page would take too much memory or time, or it is not what its kind says.
pub(super) fn read(
    _kind: &DocumentKind,
    _page: PageText<'_>,
    _with: &mut dyn FnMut(&Page<'_>),
) -> Result<(), ListingFailure> {
    todo!()
}

impl<'a> Page<'a> {
    /// The whole page as a place.
    pub(super) fn root(&self) -> Node<'a> {
        todo!()
    }

    /// The URL that the page says its URLs are relative to, as written (`<base href>`, `xml:base`).
    pub(super) fn base(&self) -> Option<String> {
        todo!()
    }

    /// The items there, in the page's order.
    pub(super) fn items(&self, _path: &ItemPath) -> Vec<Node<'a>> {
        todo!()
    }
}

/// Where the items of a page are, or the items within an item.
#[derive(Debug)]
pub(super) struct ItemPath;

impl ItemPath {
    pub(super) fn compile(
        _written: &Spanned<String>,
        _context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        todo!()
    }

    /// The items within `node`.
    pub(super) fn within<'a>(&self, _node: Node<'a>) -> Vec<Node<'a>> {
        todo!()
    }
}

/// A source as written: a text, a table, or a list of them.
pub(super) struct SourceInput;

/// Where in an item a text is: alternatives, the preferred one first.
#[derive(Debug)]
pub(super) struct Source;

impl Source {
    pub(super) fn compile(
        _written: Spanned<SourceInput>,
        _context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        todo!()
    }

    /// The texts there, the preferred one first; empty ones are left out.
    pub(super) fn texts(&self, _scope: Scope<'_>) -> Vec<String> {
        todo!()
    }
}

/// A condition as written.
pub(super) struct ConditionInput;

/// A condition on an item.
#[derive(Debug)]
pub(super) struct Condition;

impl Condition {
    pub(super) fn compile(
        _written: Spanned<ConditionInput>,
        _context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        todo!()
    }

    pub(super) fn holds(&self, _scope: Scope<'_>) -> bool {
        todo!()
    }
}
