//! The `[[full]]` tables: ways to an original.

use std::ops::Range;

use toml::Spanned;

use super::item::{document_kind, unknown_field};
use crate::site::candidate::{CandidateRule, FollowStart, RewriteStep, RewriteSteps, Way};
use crate::site::diagnostic::Diagnostic;
use crate::site::document::{FieldCondition, Source, SourceContext};
use crate::site::fields::{FieldNames, FieldRef};
use crate::site::follow::{self, CompiledFollow, MAX_HOPS};
use crate::site::pattern::{Replacement, pattern};
use crate::site::schema::{
    FollowTable, FullTable, OneOrMore, RewriteTable, SourceInput, TableList,
};
use crate::site::template::Template;
use crate::site::variables::Variables;

/// Each step may have a pattern of the largest size; a site needs fewer than five.
const MAX_STEPS: usize = 64;

/// Ways to an original: each is a request for an image that has none.
const MAX_RULES: usize = 64;

/// What the rules are compiled with.
pub(super) struct FullContext<'a> {
    pub(super) names: &'a FieldNames,
    pub(super) variables: &'a Variables,
    /// Hosts whose addresses are requested with https.
    pub(super) secure_hosts: &'a [String],
    pub(super) text: &'a str,
}

/// Compiles the rules of a definition.
pub(super) fn rules(
    full: Spanned<TableList<FullTable>>,
    context: &FullContext<'_>,
) -> Result<Vec<CandidateRule>, Diagnostic> {
    let span = full.span();
    let TableList(written) = full.into_inner();
    if written.is_empty() {
        return Err(Diagnostic::new(span, "no rule leads to an original")
            .help("add a `[[full]]` with `field`, `template`, `rewrite` or `follow`"));
    }
    if written.len() > MAX_RULES {
        return Err(Diagnostic::new(
            span,
            format!("more than {MAX_RULES} ways to an original"),
        ));
    }
    let steps = |table: &Spanned<FullTable>| {
        let rewrite = table.get_ref().rewrite.as_ref();
        rewrite.map_or(0, |rewrite| rewrite.get_ref().0.len())
    };
    if written.iter().map(steps).sum::<usize>() > MAX_STEPS {
        return Err(Diagnostic::new(
            span,
            format!("more than {MAX_STEPS} rewrite steps"),
        ));
    }
    let mut untyped = UntypedRules::new(context.text);
    let rules = written.into_iter().enumerate().map(|(number, table)| {
        let place = Some(table.span()).filter(|place| !place.is_empty());
        let place = place.unwrap_or_else(|| span.clone());
        rule(number, table.into_inner(), place, context, &mut untyped)
    });
    rules.collect()
}

fn rule(
    number: usize,
    table: FullTable,
    span: Range<usize>,
    context: &FullContext<'_>,
    untyped: &mut UntypedRules<'_>,
) -> Result<CandidateRule, Diagnostic> {
    let FullTable {
        conditions,
        field,
        template,
        rewrite,
        follow,
    } = table;
    let conditions = conditions.into_iter().map(|written| {
        FieldCondition::compile(written, context.text, &|name| {
            named_field(name, context.names).map(FieldRef::number)
        })
    });
    let conditions = conditions.collect::<Result<_, _>>()?;
    let way = match (field, template, rewrite, follow) {
        (Some(field), None, None, None) => Way::Field(address_field(&field, context.names)?),
        (None, Some(template), None, None) => Way::Template(template_of(&template, context)?),
        (None, None, Some(rewrite), None) => {
            let (from, steps) = rewrite_rule(&rewrite, context)?;
            Way::Rewrite { from, steps }
        }
        (None, None, None, Some(follow)) => {
            let start = follow_start(&follow, context)?;
            let table = untyped.follow(number);
            // Compiled for its errors; a worker compiles it from the job's text.
            follow_page(follow, &table, context.secure_hosts, context.text)?;
            Way::Follow {
                start,
                rule: follow::rule_of(&table, context.secure_hosts),
            }
        }
        (None, None, None, None) => {
            return Err(Diagnostic::new(span, "a way to an original without a rule")
                .help("add `field`, `template`, `rewrite` or `follow`"));
        }
        _ => {
            let message = "`field`, `template`, `rewrite` and `follow` exclude each other";
            return Err(Diagnostic::new(span, message)
                .help("write a `[[full]]` of its own for each: they are tried in order"));
        }
    };
    Ok(CandidateRule { conditions, way })
}

/// The field of this name.
fn named_field(name: &Spanned<String>, names: &FieldNames) -> Result<FieldRef, Diagnostic> {
    names
        .field(name.get_ref())
        .ok_or_else(|| unknown_field(name, &names.item_names()))
}

/// The field of this name, which is to hold an address.
fn address_field(name: &Spanned<String>, names: &FieldNames) -> Result<FieldRef, Diagnostic> {
    match names.item_field(name.get_ref()) {
        Some(FieldRef::Title) => Err(Diagnostic::at(name, "a title is no address")
            .help("add a field of its own to `[item]`: `fields = { … }`")),
        Some(field) => Ok(field),
        None => Err(unknown_field(name, &names.item_names())),
    }
}

fn template_of(
    written: &Spanned<String>,
    context: &FullContext<'_>,
) -> Result<Template<FieldRef>, Diagnostic> {
    let FullContext {
        names, variables, ..
    } = context;
    let template = Template::parse(written, context.text, |name| {
        names.placeholder(name, variables)
    })?;
    let is_of_item = |field: &FieldRef| match *field {
        FieldRef::Thumb | FieldRef::Link | FieldRef::Title => true,
        FieldRef::Field(number) => number < names.fields.len(),
    };
    if !template.values().any(is_of_item) {
        let error = Diagnostic::at(written, "every image would have the same address");
        return Err(error.help("write the name of a field in braces, as `{id}`"));
    }
    Ok(template)
}

fn rewrite_rule(
    rewrite: &Spanned<OneOrMore<RewriteTable>>,
    context: &FullContext<'_>,
) -> Result<(FieldRef, RewriteSteps), Diagnostic> {
    let OneOrMore(written) = rewrite.get_ref();
    let Some(first) = written.first() else {
        return Err(Diagnostic::at(rewrite, "a rewrite without a step"));
    };
    let Some(from) = &first.from else {
        let error = Diagnostic::at(&first.regex, "the first step of a rewrite needs `from`");
        return Err(error.help("add `from = \"thumb\"`, or another field"));
    };
    let from = address_field(from, context.names)?;
    later_steps_have_no_input(&written[1..])?;
    Ok((from, steps(written, context.text)?))
}

fn later_steps_have_no_input(steps: &[RewriteTable]) -> Result<(), Diagnostic> {
    match steps.iter().find_map(|step| step.from.as_ref()) {
        Some(input) => Err(Diagnostic::at(
            input,
            "a later step starts from the result of the one before it",
        )
        .help("remove `from`")),
        None => Ok(()),
    }
}

fn steps(written: &[RewriteTable], text: &str) -> Result<RewriteSteps, Diagnostic> {
    let steps = written.iter().map(|RewriteTable { from: _, regex, to }| {
        let pattern = pattern(regex, text)?;
        let to = Replacement::new(to, pattern.regex())?;
        Ok(RewriteStep::new(pattern, to))
    });
    steps.collect::<Result<_, _>>().map(RewriteSteps)
}

fn follow_start(
    follow: &Spanned<FollowTable>,
    context: &FullContext<'_>,
) -> Result<FollowStart, Diagnostic> {
    let FollowTable { from, template, .. } = follow.get_ref();
    match (from, template) {
        (Some(from), None) => Ok(FollowStart::Field(address_field(from, context.names)?)),
        (None, Some(template)) => Ok(FollowStart::Template(template_of(template, context)?)),
        (None, None) => Err(Diagnostic::at(follow, "`follow` does not say which page")
            .help("add `from = \"link\"`, or another field with its address")),
        (Some(_), Some(template)) => Err(Diagnostic::at(
            template,
            "`from` and `template` exclude each other",
        )),
    }
}

/// Compiles a `follow` table with all that it leads to; `table` is the same table without types, `text` the file that both
/// are in.
pub(in crate::site) fn follow_page(
    written: Spanned<FollowTable>,
    table: &toml::Table,
    secure_hosts: &[String],
    text: &str,
) -> Result<CompiledFollow, Diagnostic> {
    let mut outer = None;
    let mut next = Some((written, Some(table)));
    let mut hops = 0;
    while let Some((written, table)) = next.take() {
        hops += 1;
        if hops > MAX_HOPS {
            return Err(Diagnostic::at(
                &written,
                format!("more than {MAX_HOPS} pages to an original"),
            ));
        }
        let is_first = outer.is_none();
        let (mut page, further) = one_page(written, is_first, text)?;
        let further_table = table
            .and_then(|table| table.get("follow"))
            .and_then(toml::Value::as_table);
        if further.is_some() {
            let table = further_table.cloned().unwrap_or_default();
            page.next = Some(follow::rule_of(&table, secure_hosts));
        }
        outer.get_or_insert(page);
        next = further.map(|further| (further, further_table));
    }
    // The loop runs at least once.
    outer.ok_or_else(|| Diagnostic::new(0..0, "`follow` is empty"))
}

/// Compiles one page's part, and gives the table for the next page.
fn one_page(
    written: Spanned<FollowTable>,
    is_first: bool,
    text: &str,
) -> Result<(CompiledFollow, Option<Spanned<FollowTable>>), Diagnostic> {
    let FollowTable {
        from,
        template,
        kind,
        script,
        namespaces,
        find,
        none,
        rewrite,
        follow,
    } = written.into_inner();
    if let Some(input) = from.or(template).filter(|_| !is_first) {
        let message = "a later page is the one that was found on the page before it";
        return Err(Diagnostic::at(&input, message).help("remove it"));
    }
    let kind = document_kind(kind, script, namespaces, text)?;
    let context = SourceContext::new(&kind, text);
    let span = find.span();
    let sources = match find.into_inner() {
        SourceInput::List(sources) => sources,
        one => vec![Spanned::new(span.clone(), one)],
    };
    if sources.is_empty() || sources.len() > MAX_RULES {
        return Err(number_of_sources(span));
    }
    let sources = sources
        .into_iter()
        .map(|source| Source::compile(source, context));
    let find = sources.collect::<Result<_, _>>()?;
    let none = none
        .map(|none| Source::compile(none, context))
        .transpose()?;
    let steps = match &rewrite {
        None => RewriteSteps::default(),
        Some(rewrite) => {
            let OneOrMore(written) = rewrite.get_ref();
            later_steps_have_no_input(written)?;
            if written.len() > MAX_STEPS {
                return Err(Diagnostic::at(
                    rewrite,
                    format!("more than {MAX_STEPS} rewrite steps"),
                ));
            }
            steps(written, text)?
        }
    };
    let page = CompiledFollow {
        kind,
        find,
        none,
        steps,
        next: None,
    };
    Ok((page, follow.map(|follow| *follow)))
}

fn number_of_sources(span: Range<usize>) -> Diagnostic {
    Diagnostic::new(span, format!("`find` has from 1 to {MAX_RULES} sources"))
        .help("write where the address is, as `find = \"img.full@src\"`")
}

/// The definition without types, parsed when the first `follow` asks for it.
struct UntypedRules<'a> {
    text: &'a str,
    whole: Option<toml::Table>,
}

impl<'a> UntypedRules<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, whole: None }
    }

    /// The `follow` table of the rule `number`.
    fn follow(&mut self, number: usize) -> toml::Table {
        let whole = self.whole.get_or_insert_with(|| {
            // It was parsed before, with types.
            toml::from_str(self.text).unwrap_or_default()
        });
        let full = whole.get("full");
        let rule = match full {
            Some(toml::Value::Array(rules)) => rules.get(number),
            other => other,
        };
        let follow = rule.and_then(|rule| rule.get("follow"));
        let follow = follow.and_then(toml::Value::as_table);
        follow.cloned().unwrap_or_default()
    }
}
