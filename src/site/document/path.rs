//! Where the items of a page are, or the items within an item.

use toml::Spanned;

use super::html::{self, HtmlPlace};
use super::json::{JsonPlace, JsonPointer, JsonView};
use super::limits::{MAX_ITEMS, MAX_TEXTS};
use super::locator::{Locator, Wanted};
use super::parsed::{ParseRule, ParsedText};
use super::xml::{XmlPath, XmlPlace};
use super::{DocumentKind, Node, Place, Scope, SourceContext};
use crate::site::diagnostic::Diagnostic;
use crate::site::pattern::{pattern, selector};
use crate::site::schema::{ItemPathInput, ParsedLanguage};
use crate::site::selector::Selector;

/// Alternatives, of which the first that exists counts.
#[derive(Debug)]
pub(in crate::site) struct ItemPath {
    alternatives: Vec<PathAlternative>,
    /// What the items are written in, if not in what the page is.
    kind: Option<DocumentKind>,
}

#[derive(Debug)]
enum PathAlternative {
    Css(Selector),
    Json {
        pointer: JsonPointer,
        /// Whether the values of an object are items, not the object itself: `*` is the last part.
        is_spread: bool,
    },
    Xml(XmlPath),
    /// Items in a text that is parsed.
    Parsed {
        text: Locator,
        rule: ParseRule,
        then: ItemPath,
    },
}

impl ItemPath {
    /// Compiles a path that is one text.
    pub(in crate::site) fn compile(
        written: &Spanned<String>,
        context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        Ok(Self {
            alternatives: vec![of_text(written.get_ref(), written, context)?],
            kind: None,
        })
    }

    /// Compiles a path that may be a table or a list as well.
    pub(in crate::site) fn from_input(
        written: &Spanned<ItemPathInput>,
        context: SourceContext<'_>,
    ) -> Result<Self, Diagnostic> {
        let mut alternatives = Vec::new();
        collect(written, context, &mut alternatives)?;
        let mut languages = alternatives.iter().map(PathAlternative::language);
        let Some(language) = languages.next() else {
            return Err(Diagnostic::at(written, "an empty list"));
        };
        if languages.any(|other| other != language) {
            let message = "items in a text that is parsed, and others that are not";
            return Err(Diagnostic::at(written, message)
                .help("all alternatives must give items in the same language"));
        }
        Ok(Self {
            alternatives,
            kind: language.map(kind_of),
        })
    }

    /// What sources within the items are compiled with: their text may have been parsed. `context` is that of the item
    /// around them.
    pub(in crate::site) fn item_context<'c>(
        &'c self,
        context: SourceContext<'c>,
    ) -> SourceContext<'c> {
        SourceContext {
            kind: self.kind.as_ref().unwrap_or(context.kind),
            outer: context.kind,
            ..context
        }
    }

    /// The items within `node`.
    pub(in crate::site) fn within<'a>(&self, node: Node<'a>) -> Vec<Node<'a>> {
        let mut alternatives = self.alternatives.iter();
        let found = alternatives.find_map(|alternative| alternative.within(node));
        found.unwrap_or_default()
    }

    /// Whether something is there; of JSON also `null`.
    pub(in crate::site) fn is_there(&self, node: Node<'_>) -> bool {
        self.alternatives
            .iter()
            .any(|alternative| match (alternative, node.place) {
                (PathAlternative::Json { pointer, .. }, Place::Json(place)) => {
                    pointer.is_there(place)
                }
                _ => alternative.within(node).is_some(),
            })
    }

    /// Whether the place that would hold items is there, and is empty; `None` where that cannot be told: an element of
    /// HTML without items looks like another one, and one of XML may hold others.
    pub(in crate::site) fn has_empty_list(&self, node: Node<'_>) -> Option<bool> {
        let mut answers = self.alternatives.iter();
        answers.try_fold(false, |found, alternative| {
            Some(found || alternative.has_empty_list(node)?)
        })
    }
}

fn collect(
    written: &Spanned<ItemPathInput>,
    context: SourceContext<'_>,
    alternatives: &mut Vec<PathAlternative>,
) -> Result<(), Diagnostic> {
    match written.get_ref() {
        ItemPathInput::Text(text) => alternatives.push(of_text(text, written, context)?),
        ItemPathInput::Table(table) => {
            let kind = kind_of(table.parse);
            let behind = table.behind.as_ref();
            let behind = behind.map(|behind| pattern(behind, context.definition));
            let inner = SourceContext {
                kind: &kind,
                ..context
            };
            alternatives.push(PathAlternative::Parsed {
                text: Locator::compile(table.source.get_ref(), &table.source, context)?,
                rule: ParseRule {
                    language: table.parse,
                    behind: behind.transpose()?,
                },
                then: ItemPath::compile(&table.then, inner)?,
            });
        }
        ItemPathInput::List(list) => {
            for written in list {
                collect(written, context, alternatives)?;
            }
        }
    }
    Ok(())
}

/// What the items of a parsed text are written in.
pub(super) fn kind_of(language: ParsedLanguage) -> DocumentKind {
    match language {
        ParsedLanguage::Html => DocumentKind::Html,
        ParsedLanguage::Json => DocumentKind::Json,
    }
}

fn of_text<T>(
    text: &str,
    written: &Spanned<T>,
    context: SourceContext<'_>,
) -> Result<PathAlternative, Diagnostic> {
    match context.kind {
        DocumentKind::Html => {
            let written = Spanned::new(written.span(), text.to_owned());
            Ok(PathAlternative::Css(selector(&written)?))
        }
        DocumentKind::Json | DocumentKind::Embedded(_) => {
            let container = text.strip_suffix("/*");
            let pointer = JsonPointer::compile(container.unwrap_or(text), written)?;
            if pointer.takes_names() {
                let error = Diagnostic::at(written, "the name of a member is not an item");
                return Err(error.help("remove the `?`"));
            }
            Ok(PathAlternative::Json {
                pointer,
                is_spread: container.is_some(),
            })
        }
        DocumentKind::Xml(namespaces) => {
            let path = XmlPath::compile(text, written, namespaces)?;
            if path.has_attribute() {
                let error = Diagnostic::at(written, "an attribute is not an item");
                return Err(error.help("remove the `@` and what is behind it"));
            }
            Ok(PathAlternative::Xml(path))
        }
    }
}

impl PathAlternative {
    fn language(&self) -> Option<ParsedLanguage> {
        match self {
            Self::Parsed { rule, .. } => Some(rule.language),
            Self::Css(_) | Self::Json { .. } | Self::Xml(_) => None,
        }
    }

    /// The items; `None` when there is no such place, so that the next alternative counts.
    fn within<'a>(&self, node: Node<'a>) -> Option<Vec<Node<'a>>> {
        let work = &node.shared.work;
        match (self, node.place) {
            (Self::Css(selector), Place::Html(place)) => {
                let found = html::select(selector, place, work, MAX_ITEMS);
                let items = found.into_iter().map(|place| node.at_html(place));
                Some(items.collect()).filter(|items: &Vec<_>| !items.is_empty())
            }
            (Self::Json { pointer, is_spread }, Place::Json(place)) => {
                let containers = pointer.places(place, work, MAX_ITEMS);
                if containers.is_empty() {
                    return None;
                }
                let mut items = Vec::new();
                for container in containers {
                    spread(container, *is_spread, &mut items);
                }
                items.truncate(MAX_ITEMS);
                work.visit(items.len());
                Some(items.into_iter().map(|place| node.at_json(place)).collect())
            }
            (Self::Xml(path), Place::Xml(place)) => {
                let found = path.places(place, work, MAX_ITEMS);
                let items = found.into_iter().map(|place| node.at_xml(place));
                Some(items.collect()).filter(|items: &Vec<_>| !items.is_empty())
            }
            (Self::Parsed { text, rule, then }, _) => {
                let scope = Scope { node, outer: None };
                let wanted = Wanted {
                    parsed_as: Some(rule.language),
                    ..Wanted::default()
                };
                let mut texts = text.texts(scope, wanted);
                texts.truncate(MAX_TEXTS);
                let mut items = Vec::new();
                for text in &texts {
                    let parsed = ParsedText::new(rule, text, work);
                    let Some(parsed) = node.shared.parsed.keep(parsed) else {
                        break;
                    };
                    for root in node.roots(parsed) {
                        items.extend(then.within(root));
                    }
                }
                (!texts.is_empty()).then_some(items)
            }
            _ => None,
        }
    }
}

impl PathAlternative {
    fn has_empty_list(&self, node: Node<'_>) -> Option<bool> {
        match (self, node.place) {
            (Self::Json { pointer, .. }, Place::Json(place)) => Some(pointer.has_empty_list(place)),
            (Self::Parsed { .. }, _) => {
                Some(self.within(node).is_some_and(|items| items.is_empty()))
            }
            (Self::Xml(path), Place::Xml(place)) => {
                path.is_container_empty(place, &node.shared.work)
            }
            (Self::Css(_) | Self::Json { .. } | Self::Xml(_), _) => None,
        }
    }
}

/// The elements of an array; of an object its values, or itself.
fn spread<'a>(place: JsonPlace<'a>, is_spread: bool, items: &mut Vec<JsonPlace<'a>>) {
    let is_there = |place: &JsonPlace<'_>| !place.value.is_null();
    let room = MAX_ITEMS.saturating_sub(items.len());
    match place.value.view() {
        JsonView::List(list) => {
            let elements = list.map(|value| JsonPlace { value, name: None });
            items.extend(elements.filter(is_there).take(room));
        }
        JsonView::Object(members) if is_spread => {
            let values = members.map(|(name, value)| JsonPlace {
                value,
                name: Some(name),
            });
            items.extend(values.filter(is_there).take(room));
        }
        _ if is_spread => {}
        _ => items.push(place),
    }
}

impl<'a> Node<'a> {
    pub(super) fn at_html(self, place: HtmlPlace<'a>) -> Self {
        let place = Place::Html(place);
        Self { place, ..self }
    }

    pub(super) fn at_json(self, place: JsonPlace<'a>) -> Self {
        let place = Place::Json(place);
        Self { place, ..self }
    }

    fn at_xml(self, place: XmlPlace<'a>) -> Self {
        let place = Place::Xml(place);
        Self { place, ..self }
    }

    /// The whole of a text that was parsed, as places.
    pub(super) fn roots<'p>(self, parsed: &'p ParsedText) -> Vec<Node<'p>>
    where
        'a: 'p,
    {
        let shared = self.shared;
        match parsed {
            ParsedText::Html(trees) => {
                let places = trees.iter().map(|page| {
                    Place::Html(HtmlPlace {
                        page,
                        element: None,
                    })
                });
                places.map(|place| Node { place, shared }).collect()
            }
            ParsedText::Json(tree) => {
                let value = tree.root();
                let place = Place::Json(JsonPlace { value, name: None });
                vec![Node { place, shared }]
            }
            ParsedText::Nothing => Vec::new(),
        }
    }
}
