//! Where below a place a text is, in the language of the page.

use std::borrow::Cow;
use std::ops::ControlFlow;

use toml::Spanned;

use super::html::HtmlLocator;
use super::json::{JsonPlace, JsonPointer, JsonText, JsonValue, JsonView};
use super::limits::{MAX_PARSED_BYTES, MAX_TEXTS};
use super::xml::{XmlPath, XmlPlace};
use super::{DocumentKind, Node, Place, Scope, SourceContext};
use crate::site::diagnostic::Diagnostic;
use crate::site::schema::ParsedLanguage;

/// A source that is one text in the definition, as `img@src` or `/data/0/url`.
#[derive(Debug)]
pub(super) struct Locator {
    /// Whether it begins at the outer item: `^` is in front of it.
    is_outer: bool,
    language: LocatorLanguage,
}

#[derive(Debug)]
enum LocatorLanguage {
    Html(HtmlLocator),
    Json(JsonPointer),
    Xml(XmlPath),
}

/// Which texts are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'s> {
    /// Only elements whose text is this one.
    pub(super) label: Option<&'s str>,
    /// What the texts are parsed as, so that they must be as they are.
    pub(super) parsed_as: Option<ParsedLanguage>,
}

impl Locator {
    /// Compiles `text`; `written` is where it stands.
    pub(super) fn compile<T>(
        text: &str,
        written: &Spanned<T>,
        context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        let (is_outer, text) = match text.strip_prefix('^') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let kind = if is_outer {
            context.outer
        } else {
            context.kind
        };
        let language = match kind {
            DocumentKind::Html => LocatorLanguage::Html(HtmlLocator::compile(text, written)?),
            DocumentKind::Json | DocumentKind::Embedded(_) => {
                LocatorLanguage::Json(JsonPointer::compile(text, written)?)
            }
            DocumentKind::Xml(namespaces) => {
                LocatorLanguage::Xml(XmlPath::compile(text, written, namespaces)?)
            }
        };
        Ok(Self { is_outer, language })
    }

    /// Whether elements can be chosen by their text.
    pub(super) fn has_labels(&self) -> bool {
        matches!(self.language, LocatorLanguage::Html(_))
    }

    fn node<'a>(&self, scope: Scope<'a>) -> Node<'a> {
        if self.is_outer {
            scope.outer.unwrap_or(scope.node)
        } else {
            scope.node
        }
    }

    /// Whether anything is there, with or without a text.
    pub(super) fn exists(&self, scope: Scope<'_>) -> bool {
        let node = self.node(scope);
        let work = &node.shared.work;
        match (&self.language, node.place) {
            (LocatorLanguage::Html(locator), Place::Html(place)) => locator.exists(place, work),
            (LocatorLanguage::Json(pointer), Place::Json(place)) => {
                !pointer.places(place, work, 1).is_empty()
            }
            (LocatorLanguage::Xml(path), Place::Xml(place)) => {
                let mut places = path.places(place, work, usize::MAX).into_iter();
                places.any(|place| {
                    if path.has_attribute() {
                        path.attribute(place).is_some()
                    } else {
                        !place.is_nil()
                    }
                })
            }
            _ => false,
        }
    }

    /// The texts there, as written, in the page's order.
    pub(super) fn texts<'a>(&self, scope: Scope<'a>, wanted: Wanted<'_>) -> Vec<Cow<'a, str>> {
        let node = self.node(scope);
        let work = &node.shared.work;
        match (&self.language, node.place) {
            (LocatorLanguage::Html(locator), Place::Html(place)) => {
                let whole = wanted.parsed_as.map(|_| MAX_PARSED_BYTES);
                locator.texts(place, wanted.label, whole, work, MAX_TEXTS)
            }
            (LocatorLanguage::Json(pointer), Place::Json(place)) => {
                let mut texts = Vec::new();
                pointer.each(place, work, &mut |place| {
                    json_texts(place, pointer.takes_names(), &mut texts);
                    if texts.len() < MAX_TEXTS {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                });
                texts.truncate(MAX_TEXTS);
                texts
            }
            (LocatorLanguage::Xml(path), Place::Xml(place)) => {
                let places = path.places(place, work, MAX_TEXTS).into_iter();
                let texts = places.filter_map(|place| {
                    if path.has_attribute() {
                        return path.attribute(place).map(Cow::Borrowed);
                    }
                    let text = place.text(wanted.parsed_as);
                    (work.read(text.len()) && !place.is_nil()).then_some(text)
                });
                texts.collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether there is an object or a list of JSON that holds something, and no text.
    pub(super) fn is_structure(&self, scope: Scope<'_>) -> bool {
        self.values(scope).iter().any(|node| match node.place {
            Place::Json(place) => match place.value.view() {
                JsonView::Object(members) => members.len() > 0,
                JsonView::List(mut list) => {
                    list.len() > 0 && list.all(|value| value.scalar().is_none())
                }
                JsonView::Null | JsonView::Bool(_) | JsonView::Number(_) | JsonView::Text(_) => {
                    false
                }
            },
            Place::Html(_) | Place::Xml(_) => false,
        })
    }

    /// The values there, of a JSON page.
    pub(super) fn values<'a>(&self, scope: Scope<'a>) -> Vec<Node<'a>> {
        let node = self.node(scope);
        match (&self.language, node.place) {
            (LocatorLanguage::Json(pointer), Place::Json(place)) => {
                let places = pointer.places(place, &node.shared.work, MAX_TEXTS);
                places
                    .into_iter()
                    .map(|place| node.at_json(place))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The text of a value; of an array those of its elements.
fn json_texts<'a>(place: JsonPlace<'a>, takes_name: bool, texts: &mut Vec<Cow<'a, str>>) {
    if takes_name {
        texts.extend(place.name.map(JsonText::decoded));
    } else if let JsonView::List(list) = place.value.view() {
        let scalars = list.filter_map(JsonValue::scalar);
        texts.extend(scalars.take(MAX_TEXTS));
    } else {
        texts.extend(place.value.scalar());
    }
}

impl<'a> XmlPlace<'a> {
    fn is_nil(self) -> bool {
        self.element.is_some_and(|at| self.tree.is_nil(at))
    }

    /// The text inside, in full where it is to be parsed.
    fn text(self, parsed_as: Option<ParsedLanguage>) -> Cow<'a, str> {
        match parsed_as {
            Some(ParsedLanguage::Html) => self.tree.html(self.element, MAX_PARSED_BYTES),
            Some(ParsedLanguage::Json) | None => self.tree.text(self.element, MAX_PARSED_BYTES),
        }
    }
}
