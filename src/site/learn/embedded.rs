//! Drafts for pages that scripts build from JSON in the page.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Deserializer, Value};
use url::Url;

use super::data::{DataDraft, json};
use super::draft::{paging_lines, quote};
use super::hints::is_stable;
use super::outline::{Element, Outline};
use super::paging;
use crate::event::ListingFailure;
use crate::site::extract::PageText;

/// Scripts of a page that are looked at.
const MAX_SCRIPTS: usize = 200;

/// What a script assigns an object or a list to.
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?P<name>[A-Za-z_$][\w$]*)\s*=\s*[\[{]").expect("the pattern is tested")
});

/// The draft for a page with JSON in one of its scripts; `None` where none holds items with images. `original` is the
/// user's example.
///
/// # Errors
///
/// When reading the page would take too much memory or time.
pub fn embedded_draft(
    name: &str,
    page: &Url,
    body: PageText<'_>,
    original: Option<&Url>,
) -> Result<Option<DataDraft>, ListingFailure> {
    let outline = Outline::read(body)?;
    let paging = paging::find(&outline, page, &outline.base(page));
    // An outline keeps only the beginning of a text.
    let scripts = outline
        .elements
        .iter()
        .filter(|element| element.tag == "script");
    let texts = body.text.split("<script").skip(1).filter_map(|text| {
        let (_, text) = text.split_once('>')?;
        text.split_once("</script").map(|(text, _)| text)
    });
    let drafts = scripts
        .zip(texts)
        .take(MAX_SCRIPTS)
        .filter_map(|(element, text)| {
            let (script, value) = value(element, text)?;
            let mut listing = vec![
                "kind = \"embedded\"".to_owned(),
                format!("script = {script}"),
            ];
            listing.extend(paging_lines(page, paging.as_ref()));
            let mut draft = json(name, page, &value, listing, original)?;
            draft.paging.clone_from(&paging);
            Some(draft)
        });
    Ok(drafts.max_by_key(|draft| draft.items))
}

/// The JSON in a script, and `listing.script` for it.
fn value(element: &Element, text: &str) -> Option<(String, Value)> {
    let first = |text: &str| Deserializer::from_str(text).into_iter().next()?.ok();
    let kind = element.attribute("type").unwrap_or_default();
    if kind.contains("json") {
        let id = element.attribute("id").filter(|id| is_stable(id));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let select = match id {
            Some(id) if id.chars().all(plain) => format!("script#{id}"),
            Some(_) | None => format!("script[type='{kind}']"),
        };
        return Some((quote(&select), first(text)?));
    }
    ASSIGNED.captures_iter(text).find_map(|found| {
        let begin = found.get(0)?.end() - 1;
        let value: Value = first(&text[begin..])?;
        let behind = format!(r"\b{}\s*=", regex::escape(&found["name"]));
        let script = format!("{{ select = \"script\", behind = {} }}", quote(&behind));
        Some((script, value))
    })
}
