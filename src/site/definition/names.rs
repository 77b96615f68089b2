//! The names of a definition's texts, checked against each other.

use toml::Spanned;

use crate::site::diagnostic::Diagnostic;
use crate::site::fields::{FieldNames, RESERVED};
use crate::site::schema::{ItemTable, NamedSources};
use crate::site::variables::{Variables, is_name};

/// Fields, and page values: a site needs fewer than twenty.
const MAX_NAMES: usize = 64;

/// The names in the tables `item` and `page`.
pub(super) fn compile(
    item: &ItemTable,
    page: &NamedSources,
    variables: &Variables,
) -> Result<FieldNames, Diagnostic> {
    for sources in [&item.fields, page] {
        if let Some(name) = sources.keys().nth(MAX_NAMES) {
            return Err(Diagnostic::at(name, format!("more than {MAX_NAMES} names")));
        }
    }
    for name in item.fields.keys() {
        is_name(name)?;
        let text = name.get_ref().as_str();
        if RESERVED.contains(&text) {
            let help = match text {
                "thumb" | "link" | "title" => format!("write `{text} = …` in `[item]` itself"),
                _ => "choose another name".to_owned(),
            };
            let message = format!("`{text}` means something else");
            return Err(Diagnostic::at(name, message).help(help));
        }
        if variables.value(text).is_some() {
            let message = format!("`{text}` is a variable already");
            return Err(Diagnostic::at(name, message).help("choose another name"));
        }
    }
    for name in page.keys() {
        is_name(name)?;
    }
    let names = |sources: &NamedSources| sources.keys().map(text).collect();
    Ok(FieldNames {
        has_thumb: item.thumb.is_some(),
        has_link: item.link.is_some(),
        has_title: item.title.is_some(),
        fields: names(&item.fields),
        page: names(page),
    })
}

fn text(name: &Spanned<String>) -> String {
    name.get_ref().clone()
}
