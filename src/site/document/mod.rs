//! Parsed pages, and where in them a text is: the same few questions in HTML, JSON and XML.
//!
//! ```text
//! PageText -> read() -> Page -> items (ItemPath) -> Scope -> Source::texts, Condition::holds
//! ```

mod condition;
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
pub(super) use limits::MAX_ITEMS;
pub(super) use object::ObjectPath;
pub(super) use path::ItemPath;
pub(super) use source::Source;

use super::extract::PageText;
use super::selector::Selector;
use crate::event::ListingFailure;
use html::{HtmlPlace, tree, xhtml};
use json::{JsonPlace, JsonValue};
use limits::Work;
use parsed::ParsedTexts;
use xml::{XmlPlace, XmlTree};

/// What the pages are written in.
#[derive(Debug)]
pub(super) enum DocumentKind {
    Html,
    Json,
    /// JSON in the text of an element of an HTML page: the first that the selector matches.
    Embedded(Selector),
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
            let value = JsonValue::parse(page.text)?;
            with(&of_json(&value, &shared, None));
        }
        DocumentKind::Embedded(script) => {
            let (text, base) = embedded(script, page)?;
            let value = JsonValue::parse(without_assignment(&text))?;
            with(&of_json(&value, &shared, base));
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

fn of_json<'a>(value: &'a JsonValue, shared: &'a Shared, base: Option<String>) -> Page<'a> {
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

/// The text of the first element that `script` matches, and the page's base.
fn embedded(
    script: &Selector,
    page: PageText<'_>,
) -> Result<(String, Option<String>), ListingFailure> {
    let mut found = None;
    let mut base = None;
    trees(page, &mut |html| {
        base = base.take().or_else(|| html::base_of(html));
        if found.is_none() {
            let element = script.select(html).next();
            found = element.map(|element| element.text().collect::<String>());
        }
    })?;
    let text = found.ok_or_else(|| ListingFailure::Unreadable {
        language: "HTML",
        cause: "no element is what `script` in the site's definition selects".to_owned(),
    })?;
    Ok((text, base))
}

/// What a script assigns: `window.state = {};` is `{}`.
fn without_assignment(text: &str) -> &str {
    let text = text.trim().trim_end_matches([';', '\n', '\r', ' ', '\t']);
    let Some(brace) = text.find(['{', '[']) else {
        return text;
    };
    // In front of the value there is a name at most, as in `window["state"] =`: its bracket does not begin the value.
    let is_name = |text: &str| {
        let head = text.trim_end();
        !head.contains(['\n', '{', ';', '(']) && head.ends_with('=')
    };
    if brace == 0 || is_name(&text[..brace]) {
        return &text[brace..];
    }
    match text.find('=') {
        Some(sign) if is_name(&text[..=sign]) => text[sign + 1..].trim_start(),
        _ => text,
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

#[cfg(test)]
mod tests {
    use super::testing::{item_texts, try_read};
    use super::*;

    fn embedded_in(script: &str) -> DocumentKind {
        DocumentKind::Embedded(Selector::parse(script).unwrap())
    }

    #[test]
    fn json_in_a_script_is_read_without_what_assigns_it() {
        for script in [
            r#"{ "n": [1, 2] }"#,
            "\n window.state = { \"n\": [1, 2] };\n",
            r#"var state={"n":[1,2]}"#,
            r#"window["state"] = { "n": [1, 2] };"#,
        ] {
            let page = format!("<base href='/b/'><script>1</script><script id=s>{script}</script>");
            let found = item_texts(&embedded_in("#s"), &page, "\"/n\"", "", "\"\"");
            assert_eq!(found, [["1"], ["2"]], "{script}");
            let mut base = None;
            read(&embedded_in("#s"), PageText::from(&page), &mut |page| {
                base = page.base();
            })
            .unwrap();
            assert_eq!(base.as_deref(), Some("/b/"));
        }
        let list = "<script>a.b = [{ \"n\": \"x = {\" }];</script>";
        let found = item_texts(&embedded_in("script"), list, "\"\"", "", "\"/n\"");
        assert_eq!(found, [["x = {"]]);
    }

    #[test]
    fn a_page_without_the_script_or_its_json_is_unreadable() {
        let language = |page: &str| match try_read(&embedded_in("#s"), page, &mut |_| ()) {
            Err(ListingFailure::Unreadable { language, .. }) => language,
            other => panic!("{other:?}"),
        };
        assert_eq!(language("<script>{}</script>"), "HTML");
        assert_eq!(language("<script id=s>go({ \"n\": 1 });</script>"), "JSON");
        assert_eq!(language("<script id=s></script>"), "JSON");
    }
}
