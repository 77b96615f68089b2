//! Compiles sources: every contradiction in them is found here.

use std::ops::Range;

use toml::Spanned;

use super::super::condition::Condition;
use super::super::locator::Locator;
use super::super::parsed::ParseRule;
use super::super::path::{ItemPath, kind_of};
use super::super::pick::Pick;
use super::super::{DocumentKind, SourceContext};
use super::{Alternative, Lookup, Source, SourceSteps, TextOrigin};
use crate::site::diagnostic::Diagnostic;
use crate::site::pattern::pattern;
use crate::site::schema::{LookupTable, OneOrMore, SourceInput, SourceTable};

/// The most sources in a list.
const MAX_ALTERNATIVES: usize = 64;

pub(super) fn alternatives(
    written: Spanned<SourceInput>,
    context: SourceContext<'_>,
) -> Result<Vec<Alternative>, Diagnostic> {
    let span = written.span();
    let mut alternatives = Vec::new();
    collect(written, context, &mut alternatives)?;
    if alternatives.len() > MAX_ALTERNATIVES {
        let message = format!("more than {MAX_ALTERNATIVES} sources in a list");
        return Err(Diagnostic::new(span, message));
    }
    if alternatives.is_empty() {
        return Err(Diagnostic::new(span, "an empty list of sources"));
    }
    Ok(alternatives)
}

fn collect(
    written: Spanned<SourceInput>,
    context: SourceContext<'_>,
    alternatives: &mut Vec<Alternative>,
) -> Result<(), Diagnostic> {
    let span = written.span();
    match written.into_inner() {
        SourceInput::Text(text) => {
            let written = Spanned::new(span, ());
            alternatives.push(Alternative::Plain(Locator::compile(
                &text, &written, context,
            )?));
        }
        SourceInput::Table(mut table) => {
            separate_keys(&mut table, &span, context)?;
            let steps = steps(*table, &Spanned::new(span, ()), context)?;
            alternatives.push(Alternative::Table(Box::new(steps)));
        }
        SourceInput::List(list) => {
            for written in list {
                collect(written, context, alternatives)?;
            }
        }
    }
    Ok(())
}

/// Makes one source of `select` and `attr`, and of `text = true`.
fn separate_keys(
    table: &mut SourceTable,
    whole: &Range<usize>,
    context: SourceContext<'_>,
) -> Result<(), Diagnostic> {
    let is_inner = |text: &Spanned<toml::Value>| text.get_ref().as_bool() == Some(true);
    let inner = table.text.take_if(|text| is_inner(text));
    let (select, attr) = (table.select.take(), table.attr.take());
    let Some(span) = [
        select.as_ref().map(Spanned::span),
        attr.as_ref().map(Spanned::span),
        inner.as_ref().map(Spanned::span),
    ]
    .into_iter()
    .flatten()
    .next() else {
        return Ok(());
    };
    if table.source.is_some() {
        let error = Diagnostic::new(span, "`source` names the element and the attribute");
        return Err(error.help("write both as one text, as `{ source = \"a > img@src\" }`"));
    }
    if !matches!(context.kind, DocumentKind::Html) {
        let error = Diagnostic::new(span, "only HTML has elements to select");
        return Err(error.help("write the place as `source`"));
    }
    let selector = select.map_or_else(String::new, Spanned::into_inner);
    let sources: Vec<_> = match (attr, inner) {
        (Some(attr), None) => {
            let OneOrMore(names) = attr.into_inner();
            let names = names.iter().map(|name| name.trim());
            names
                .filter(|name| !name.is_empty())
                .map(|name| format!("{selector}@{name}"))
                .collect()
        }
        (None, Some(_)) if selector.is_empty() => vec![".".to_owned()],
        (None, Some(_)) => vec![selector],
        (Some(_), Some(_)) | (None, None) => {
            let error = Diagnostic::new(whole.clone(), "it is either an attribute or a text");
            let help = "`attr = \"src\"` takes an attribute, `text = true` the text inside";
            return Err(error.help(help));
        }
    };
    if sources.is_empty() {
        let error = Diagnostic::new(span, "no attribute is named");
        return Err(error.help("write one, as `attr = \"src\"`"));
    }
    let mut sources = sources.into_iter().map(SourceInput::Text);
    let source = match (sources.next(), sources.len()) {
        (Some(only), 0) => only,
        (first, _) => {
            let all = first.into_iter().chain(sources);
            SourceInput::List(
                all.map(|source| Spanned::new(span.clone(), source))
                    .collect(),
            )
        }
    };
    table.source = Some(Spanned::new(span, source));
    Ok(())
}

#[expect(
    clippy::too_many_lines,
    reason = "one key after the other, none of them forgotten"
)]
fn steps(
    table: SourceTable,
    whole: &Spanned<()>,
    context: SourceContext<'_>,
) -> Result<SourceSteps, Diagnostic> {
    let SourceTable {
        source,
        select: _,
        attr: _,
        each,
        conditions,
        text,
        pick,
        parse,
        then,
        behind,
        unescape,
        strip_tags,
        capture,
        not,
        lookup,
        map,
        default,
    } = table;
    let each = each.map(|each| ItemPath::from_input(&each, context));
    let each = each.transpose()?;
    let context = match &each {
        Some(each) => each.item_context(context),
        None => context,
    };
    let from = match (source, lookup) {
        (Some(source), None) => origin(source, context)?,
        (None, Some(lookup)) => TextOrigin::Lookup(compile_lookup(lookup, context)?),
        (Some(source), Some(_)) => {
            let error = Diagnostic::at(&source, "`source` and `lookup` exclude each other");
            return Err(error.help("`lookup` has a `source` of its own"));
        }
        (None, None) => {
            let error = Diagnostic::at(whole, "missing key `source`");
            return Err(error.help("write where the text is, as `{ source = \"img@src\" }`"));
        }
    };
    let label = match &text {
        None => None,
        Some(text) => match text.get_ref() {
            toml::Value::String(label) => Some(label.clone()),
            _ => {
                return Err(Diagnostic::at(text, "neither a text nor `true`").help(
                    "`text = \"Next\"` chooses elements by their text, `text = true` takes it",
                ));
            }
        },
    };
    if let Some(text) = &text
        && !matches!(&from, TextOrigin::Place(locator) if locator.has_labels())
    {
        let error = Diagnostic::at(text, "only a single source in HTML can be chosen by a text");
        return Err(error.help("use it as `{ source = \"a@href\", text = \"Next\" }`"));
    }
    let regex = |written: Option<Spanned<String>>| {
        let compiled = written.map(|written| pattern(&written, context.definition));
        compiled.transpose()
    };
    let parse = match (parse, then) {
        (Some(parse), Some(then)) => {
            if !matches!(from, TextOrigin::Place(_)) {
                return Err(Diagnostic::at(&parse, "only a single source can be parsed")
                    .help("write one table for each of the alternatives"));
            }
            let language = parse.into_inner();
            let kind = &kind_of(language);
            let behind = regex(behind)?;
            Some((
                ParseRule { language, behind },
                Source::compile(then, SourceContext { kind, ..context })?,
            ))
        }
        (Some(parse), None) => {
            return Err(Diagnostic::at(&parse, "`parse` without `then`")
                .help("`then` is where in the parsed text the wanted one is"));
        }
        (None, Some(then)) => {
            return Err(Diagnostic::at(&then, "`then` without `parse`")
                .help("write `parse = \"json\"` or `parse = \"html\"`"));
        }
        (None, None) => match behind {
            None => None,
            Some(behind) => {
                return Err(Diagnostic::at(&behind, "`behind` without `parse`")
                    .help("it says where the text begins that is parsed; `capture` keeps a part of a text"));
            }
        },
    };
    let conditions = conditions
        .into_iter()
        .map(|condition| Condition::compile(condition, context));
    let pick = pick.map(|pick| Pick::compile(pick, context));
    let conditions = conditions.collect::<Result<_, _>>()?;
    let pick = pick.transpose()?;
    let (not, capture) = (regex(not)?, regex(capture)?);
    Ok(SourceSteps {
        each,
        conditions,
        from,
        label,
        unescape,
        parse,
        strip_tags,
        not,
        pick,
        capture,
        map: map.map(Spanned::into_inner),
        default: default.map(Spanned::into_inner),
    })
}

fn origin(
    written: Spanned<SourceInput>,
    context: SourceContext<'_>,
) -> Result<TextOrigin, Diagnostic> {
    if let SourceInput::Text(text) = written.get_ref() {
        return Locator::compile(text, &written, context).map(TextOrigin::Place);
    }
    Source::compile(written, context).map(TextOrigin::Sources)
}

fn compile_lookup(
    written: Spanned<LookupTable>,
    context: SourceContext<'_>,
) -> Result<Lookup, Diagnostic> {
    if !matches!(context.kind, DocumentKind::Json | DocumentKind::Embedded(_)) {
        return Err(Diagnostic::at(&written, "only JSON has objects to look up"));
    }
    let LookupTable {
        source,
        object,
        then,
    } = written.into_inner();
    let then = then.unwrap_or_else(|| Spanned::new(0..0, SourceInput::Text(String::new())));
    Ok(Lookup {
        name: Source::compile(source, context)?,
        object: Locator::compile(object.get_ref(), &object, context)?,
        then: Source::compile(then, context)?,
    })
}
