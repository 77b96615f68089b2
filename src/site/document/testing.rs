//! For the unit tests of documents: sources and conditions by their TOML, asked of small pages.

use serde::Deserialize;
use toml::Spanned;

use super::{Condition, DocumentKind, ItemPath, Node, Scope, Script, Source, SourceContext, read};
use crate::event::ListingFailure;
use crate::site::diagnostic::{Diagnostic, LocatedDiagnostic};
use crate::site::extract::PageText;
use crate::site::schema::{ConditionInput, ItemPathInput, ScriptInput, SourceInput};

/// A source, by the TOML of its value.
pub(super) fn source(kind: &DocumentKind, toml: &str) -> Result<Source, LocatedDiagnostic> {
    #[derive(Deserialize)]
    struct Table {
        it: Spanned<SourceInput>,
    }
    let text = format!("it = {toml}");
    let context = context(kind, &text);
    let table = toml::from_str::<Table>(&text).map_err(|error| Diagnostic::from_toml(&error));
    let compiled = table.and_then(|table| Source::compile(table.it, context));
    compiled.map_err(|error| error.locate(&text))
}

/// A condition, by the TOML of its table.
pub(super) fn condition(kind: &DocumentKind, toml: &str) -> Result<Condition, LocatedDiagnostic> {
    #[derive(Deserialize)]
    struct Table {
        it: Spanned<ConditionInput>,
    }
    let text = format!("it = {toml}");
    let context = context(kind, &text);
    let table = toml::from_str::<Table>(&text).map_err(|error| Diagnostic::from_toml(&error));
    let compiled = table.and_then(|table| Condition::compile(table.it, context));
    compiled.map_err(|error| error.locate(&text))
}

/// The place of items, by the TOML of its value.
pub(super) fn path(kind: &DocumentKind, toml: &str) -> Result<ItemPath, LocatedDiagnostic> {
    #[derive(Deserialize)]
    struct Table {
        it: Spanned<ItemPathInput>,
    }
    let text = format!("it = {toml}");
    let context = context(kind, &text);
    let table = toml::from_str::<Table>(&text).map_err(|error| Diagnostic::from_toml(&error));
    let compiled = table.and_then(|table| ItemPath::from_input(&table.it, context));
    compiled.map_err(|error| error.locate(&text))
}

/// A page with JSON in a script, by the TOML of `listing.script`.
pub(super) fn embedded_in(toml: &str) -> DocumentKind {
    #[derive(Deserialize)]
    struct Table {
        it: Spanned<ScriptInput>,
    }
    let text = format!("it = {toml}");
    let table = toml::from_str::<Table>(&text).unwrap();
    let script = Script::compile(table.it, &text);
    DocumentKind::Embedded(script.unwrap_or_else(|error| panic!("{}", error.locate(&text))))
}

fn context<'a>(kind: &'a DocumentKind, definition: &'a str) -> SourceContext<'a> {
    SourceContext::new(kind, definition)
}

/// What a wrong source is refused with, in one line.
pub(super) fn refusal(kind: &DocumentKind, toml: &str) -> String {
    let error = source(kind, toml).expect_err(toml);
    error.render("site.toml", false)
}

/// The texts at a source of a whole page.
pub(super) fn texts(kind: &DocumentKind, page: &str, toml: &str) -> Vec<String> {
    let source = source(kind, toml).unwrap();
    let mut found = Vec::new();
    try_read(kind, page, &mut |node| {
        found.extend(source.texts(Scope { node, outer: None }));
    })
    .unwrap();
    found
}

/// The texts at a source of every item, and of the items within it where `each` is not empty.
pub(super) fn item_texts(
    kind: &DocumentKind,
    page: &str,
    select: &str,
    each: &str,
    toml: &str,
) -> Vec<Vec<String>> {
    let select = path(kind, select).unwrap();
    let each = (!each.is_empty()).then(|| path(kind, each).unwrap());
    let source = source(select.item_context(context(kind, "")).kind, toml).unwrap();
    let mut found = Vec::new();
    try_read(kind, page, &mut |root| {
        for item in select.within(root) {
            let outer = Some(item);
            match &each {
                Some(each) => {
                    let inner = each.within(item).into_iter();
                    found.extend(inner.map(|node| source.texts(Scope { node, outer })));
                }
                None => found.push(source.texts(Scope {
                    node: item,
                    outer: None,
                })),
            }
        }
    })
    .unwrap();
    found
}

/// Whether a condition holds for a whole page.
pub(super) fn holds(kind: &DocumentKind, page: &str, toml: &str) -> bool {
    let condition = condition(kind, toml).unwrap();
    let mut holds = false;
    try_read(kind, page, &mut |node| {
        holds = condition.holds(Scope { node, outer: None });
    })
    .unwrap();
    holds
}

pub(super) fn try_read(
    kind: &DocumentKind,
    page: &str,
    with: &mut dyn FnMut(Node<'_>),
) -> Result<(), ListingFailure> {
    read(kind, PageText::from(page), &mut |page| with(page.root()))
}
