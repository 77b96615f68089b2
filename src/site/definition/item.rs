//! The `[item]`, `[page]` and `[file]` tables: where the texts of an item are, and what is made of them.

use std::sync::Arc;

use toml::Spanned;

use crate::site::candidate::CandidateRule;
use crate::site::declared::{DeclaredSource, DeclaredSources};
use crate::site::diagnostic::{Diagnostic, nearest_of};
use crate::site::document::{
    Condition, DocumentKind, ItemPath, MAX_CONDITIONS, Script, Source, SourceContext,
};
use crate::site::extract::{EndMark, Extractor, FieldSource, WrittenSources};
use crate::site::fields::{FieldNames, FieldRef};
use crate::site::file_name::{FileNameTemplate, NameCapture, NameInput};
use crate::site::identity::{Identity, IgnoredParameter};
use crate::site::pattern::pattern;
use crate::site::schema::{
    CaptureTable, ConditionInput, ItemPathInput, KindInput, NamedSources, Namespaces, ScriptInput,
    SourceInput, VerifyTable,
};
use crate::site::template::{PlaceholderError, Template};
use crate::site::variables::Variables;

/// What pages are written in, by the definition `text`; HTML where nothing is said.
pub(super) fn document_kind(
    kind: Option<Spanned<KindInput>>,
    script: Option<Spanned<ScriptInput>>,
    namespaces: Option<Spanned<Namespaces>>,
    text: &str,
) -> Result<DocumentKind, Diagnostic> {
    let written = kind.unwrap_or_else(|| Spanned::new(0..0, KindInput::Html));
    let kind = *written.get_ref();
    let unused = |place: std::ops::Range<usize>, key: &str, kind: &str| {
        Diagnostic::new(place, format!("`{key}` has no effect here"))
            .help(format!("it is for pages of `kind = \"{kind}\"`"))
    };
    if let Some(script) = script.as_ref().filter(|_| kind != KindInput::Embedded) {
        return Err(unused(script.span(), "script", "embedded"));
    }
    if let Some(namespaces) = namespaces.as_ref().filter(|_| kind != KindInput::Xml) {
        return Err(unused(namespaces.span(), "namespaces", "xml"));
    }
    Ok(match kind {
        KindInput::Html => DocumentKind::Html,
        KindInput::Json => DocumentKind::Json,
        KindInput::Embedded => {
            let script = script.ok_or_else(|| {
                Diagnostic::at(&written, "pages with embedded JSON need `script`")
                    .help("add the element that holds it, as `script = \"script#__NEXT_DATA__\"`")
            })?;
            DocumentKind::Embedded(Script::compile(script, text)?)
        }
        KindInput::Xml => {
            let namespaces = namespaces.map(Spanned::into_inner).unwrap_or_default();
            let namespaces = namespaces.into_iter().map(|(prefix, uri)| {
                if uri.get_ref().trim().is_empty() {
                    return Err(Diagnostic::at(&uri, "a namespace has a URI"));
                }
                let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
                if prefix.get_ref().is_empty() || !prefix.get_ref().chars().all(is_name) {
                    return Err(Diagnostic::at(&prefix, "not a prefix of XML names"));
                }
                Ok((prefix.into_inner(), uri.into_inner()))
            });
            DocumentKind::Xml(namespaces.collect::<Result<_, _>>()?)
        }
    })
}

/// Where the items of a page are, and their texts: what is left of the tables `item` and `page`.
pub(super) struct ItemSources {
    pub(super) select: Spanned<ItemPathInput>,
    pub(super) each: Option<Spanned<ItemPathInput>>,
    pub(super) conditions: Vec<Spanned<ConditionInput>>,
    pub(super) thumb: Option<Spanned<SourceInput>>,
    pub(super) link: Option<Spanned<SourceInput>>,
    pub(super) title: Option<Spanned<SourceInput>>,
    pub(super) fields: NamedSources,
    pub(super) page: NamedSources,
    /// `item.key` as it is written, with what it is made of; empty without it.
    pub(super) key: String,
}

impl ItemSources {
    /// Compiles the sources; `rules` say what becomes of the texts.
    pub(super) fn compile(
        self,
        kind: DocumentKind,
        end: EndMark,
        rules: &[CandidateRule],
        text: &str,
    ) -> Result<Extractor, Diagnostic> {
        let Self {
            select,
            each,
            conditions,
            thumb,
            link,
            title,
            fields,
            page,
            key,
        } = self;
        let context = SourceContext::new(&kind, text);
        let items = ItemPath::from_input(&select, context)?;
        // Items may be in texts of another language, and those within them in texts of a third.
        let outer = SourceContext::new(items.item_context(context).kind, text);
        let each = each.map(|each| ItemPath::from_input(&each, outer));
        let each = each.transpose()?;
        let inner = each.as_ref().map_or(outer, |each| each.item_context(outer));
        let source = |written: Option<Spanned<SourceInput>>| {
            written
                .map(|written| Source::compile(written, inner))
                .transpose()
        };
        let field = |(number, source): (usize, Spanned<SourceInput>)| {
            Ok(FieldSource {
                source: Source::compile(source, inner)?,
                is_address: rules
                    .iter()
                    .any(|rule| rule.way.address_field() == Some(FieldRef::Field(number))),
            })
        };
        let needs: Vec<_> = rules.iter().map(|rule| rule.way.needs()).collect();
        let written = WrittenSources {
            select: written(&select, text),
            needs: self::needs(
                needs.iter().flatten(),
                &[&thumb, &link, &title],
                &fields,
                text,
            ),
            conditions: conditions
                .iter()
                .map(|condition| written(condition, text))
                .collect(),
            key,
        };
        if let Some(one_more) = conditions.get(MAX_CONDITIONS) {
            let message = format!("more than {MAX_CONDITIONS} conditions");
            return Err(Diagnostic::at(one_more, message));
        }
        let conditions = conditions
            .into_iter()
            .map(|written| Condition::compile(written, inner));
        let conditions = conditions.collect::<Result<_, _>>()?;
        let (thumb, link, title) = (source(thumb)?, source(link)?, source(title)?);
        let fields = fields.into_values().enumerate().map(field);
        let fields = fields.collect::<Result<_, Diagnostic>>()?;
        let page_values = page
            .into_values()
            .map(|written| Source::compile(written, context));
        let page_values = page_values.collect::<Result<_, _>>()?;
        Ok(Extractor {
            items,
            each,
            conditions,
            thumb,
            link,
            title,
            fields,
            page_values,
            needs,
            written: Arc::new(written),
            end,
            kind,
        })
    }
}

/// Characters of a value that are repeated in a message.
const WRITTEN_CHARACTERS: usize = 120;

/// A value as it stands in the definition `text`, on one line.
pub(in crate::site) fn written<T>(value: &Spanned<T>, text: &str) -> String {
    let written = text.get(value.span()).unwrap_or_default();
    let words = written.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(WRITTEN_CHARACTERS).collect()
}

/// Where these texts of an item are, as it stands in the definition `text`; `own` are the sources of thumb, link and
/// title.
pub(super) fn needs<'f>(
    needs: impl IntoIterator<Item = &'f FieldRef>,
    own: &[&Option<Spanned<SourceInput>>; 3],
    fields: &NamedSources,
    text: &str,
) -> String {
    let mut found: Vec<String> = Vec::new();
    for field in needs {
        let (name, source) = match *field {
            FieldRef::Thumb => ("thumb", own[0].as_ref()),
            FieldRef::Link => ("link", own[1].as_ref()),
            FieldRef::Title => ("title", own[2].as_ref()),
            FieldRef::Field(number) => match fields.iter().nth(number) {
                Some((name, source)) => (name.get_ref().as_str(), Some(source)),
                // A text of the page.
                None => continue,
            },
        };
        let Some(source) = source else { continue };
        let entry = format!("{name} = {}", written(source, text));
        if !found.contains(&entry) {
            found.push(entry);
        }
    }
    found.join(", ")
}

/// What the templates of an item are compiled with.
pub(super) struct ItemContext<'a> {
    pub(super) names: &'a FieldNames,
    pub(super) variables: &'a Variables,
    pub(super) text: &'a str,
}

impl ItemContext<'_> {
    pub(super) fn identity(
        &self,
        key: Option<&Spanned<String>>,
        key_ignore: &[Spanned<String>],
    ) -> Result<Identity, Diagnostic> {
        let ignored = key_ignore.iter().map(IgnoredParameter::compile);
        let ignored = ignored.collect::<Result<_, _>>()?;
        let key = key
            .map(|written| {
                let key = self.of_fields(written, "a key")?;
                if key.values().next().is_none() {
                    let error = Diagnostic::at(written, "every image would have the same key");
                    return Err(error.help("write the name of a field in braces, as `{id}`"));
                }
                Ok(key)
            })
            .transpose()?;
        Ok(Identity { key, ignored })
    }

    /// The table `verify`; `sources` says where the texts of an item are.
    pub(super) fn declared(
        &self,
        written: VerifyTable,
        sources: &dyn Fn(&[FieldRef]) -> String,
    ) -> Result<DeclaredSources, Diagnostic> {
        let VerifyTable {
            md5,
            sha1,
            sha256,
            git_sha1,
            bytes,
            width,
            height,
        } = written;
        if let (Some(git_sha1), None) = (&git_sha1, &bytes) {
            let error = Diagnostic::at(git_sha1, "`git_sha1` cannot be compared without `bytes`");
            return Err(error.help("add the length, which Git hashes in front of the bytes"));
        }
        let source = |key: &str, value: Option<Spanned<String>>| {
            value
                .map(|value| {
                    let template = self.of_fields(&value, "what is verified")?;
                    let written = self.made_of(key, &value, &template, sources);
                    Ok(DeclaredSource { template, written })
                })
                .transpose()
        };
        Ok(DeclaredSources {
            md5: source("md5", md5)?,
            sha1: source("sha1", sha1)?,
            sha256: source("sha256", sha256)?,
            git_sha1: source("git_sha1", git_sha1)?,
            bytes: source("bytes", bytes)?,
            width: source("width", width)?,
            height: source("height", height)?,
        })
    }

    /// A template as it is written, with what it is made of: `key = "{id}" (id = "/id")`.
    pub(super) fn made_of(
        &self,
        key: &str,
        value: &Spanned<String>,
        template: &Template<FieldRef>,
        sources: &dyn Fn(&[FieldRef]) -> String,
    ) -> String {
        let fields = template.values().copied().collect::<Vec<_>>();
        format!(
            "{key} = {} ({})",
            written(value, self.text),
            sources(&fields)
        )
    }

    pub(super) fn file_name(
        &self,
        capture: Option<Spanned<CaptureTable>>,
        name: Option<Spanned<String>>,
    ) -> Result<FileNameTemplate, Diagnostic> {
        let Some(name) = name else {
            return match capture {
                None => Ok(FileNameTemplate::default()),
                Some(capture) => Err(Diagnostic::at(
                    &capture,
                    "`capture` has no effect without `name`",
                )
                .help("add `name`, made of its captures: `name = \"{id}\"`")),
            };
        };
        let capture = capture.map(Spanned::into_inner);
        let capture = capture
            .map(|CaptureTable { from, regex }| {
                let from = match self.names.item_field(from.get_ref()) {
                    _ if from.get_ref() == "full" => NameInput::Full,
                    Some(field) => NameInput::Field(field),
                    None => {
                        let mut known = vec!["full"];
                        known.extend(self.names.item_names());
                        return Err(unknown_field(&from, &known));
                    }
                };
                let pattern = pattern(&regex, self.text)?;
                Ok(NameCapture { from, pattern })
            })
            .transpose()?;
        FileNameTemplate::new(&name, capture, self.names, self.variables, self.text)
    }

    /// A template of fields alone: what it makes must not depend on what the user sets.
    fn of_fields(
        &self,
        written: &Spanned<String>,
        what: &str,
    ) -> Result<Template<FieldRef>, Diagnostic> {
        Template::parse(written, self.text, |name| {
            if self.names.field(name).is_none() && self.variables.value(name).is_some() {
                return Err(PlaceholderError {
                    message: format!("{what} cannot depend on the variable `{name}`"),
                    help: nearest_of(name, &self.names.item_names()),
                });
            }
            self.names.placeholder(name, &Variables::default())
        })
    }
}

/// The error for the name of a field that the definition does not have.
pub(super) fn unknown_field(written: &Spanned<String>, known: &[&str]) -> Diagnostic {
    let name = written.get_ref();
    let error = Diagnostic::at(written, format!("unknown field `{name}`"));
    if matches!(name.as_str(), "thumb" | "link" | "title") && !known.contains(&name.as_str()) {
        return error.help(format!("add `{name} = …` to `[item]`"));
    }
    error.help(nearest_of(name, known))
}
