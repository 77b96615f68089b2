//! Drafts for feeds: RSS, Atom and `MediaRSS`.

use url::Url;

use super::PagingGuess;
use super::blocks::has_image_end;
use super::data::{DataDraft, MAX_ITEMS};
use super::draft::{Draft, FullGuess, paging_lines, quote};

/// Of the media of an item the largest image; a film may be among them.
const LARGEST_MEDIA: &str = "{ each = \"//media:content\", where = [\
    { value = { source = \"@medium\", default = \"image\" }, equals = \"image\" }, \
    { value = { source = \"@type\", default = \"image/*\" }, matches = \"^image/\" }], \
    source = \"@url\", pick = { largest = \"@width\" } }";

/// The draft for a feed; `None` where it shows no images. `paging` says how further pages are reached, if anything does.
pub(super) fn draft(
    name: &str,
    page: &Url,
    text: &str,
    paging: Option<&PagingGuess>,
) -> Option<DataDraft> {
    let is_atom = !text.contains("<item") && text.contains("<entry");
    let (element, link, key) = if is_atom {
        ("entry", "link@href", "id")
    } else {
        ("item", "link", "guid")
    };
    let items = text.matches(&format!("<{element}")).count();
    let has_media = text.contains("<media:content");
    let mut sources = Vec::new();
    if has_media {
        sources.push(LARGEST_MEDIA.to_owned());
    }
    if text.contains("<enclosure") {
        sources.push("\"enclosure@url\"".to_owned());
    }
    for (tag, source) in [
        ("<content:encoded", "content:encoded"),
        ("<description", "description"),
        ("<content", "content"),
        ("<summary", "summary"),
    ] {
        let shows_images = text.contains("&lt;img") || text.contains("<img");
        if text.contains(tag) && shows_images && (tag != "<content" || is_atom) {
            let then = "parse = \"html\", then = \"img@src\"";
            sources.push(format!("{{ source = {}, {then} }}", quote(source)));
        }
    }
    if sources.is_empty() || items == 0 {
        return None;
    }
    let mut listing = vec!["kind = \"xml\"".to_owned()];
    listing.extend(paging_lines(page, paging));
    let mut spaces = Vec::new();
    if has_media {
        spaces.push("media = \"http://search.yahoo.com/mrss/\"");
    }
    if sources
        .iter()
        .any(|source| source.contains("content:encoded"))
    {
        spaces.push("content = \"http://purl.org/rss/1.0/modules/content/\"");
    }
    if !spaces.is_empty() {
        listing.push(format!("namespaces = {{ {} }}", spaces.join(", ")));
    }
    let mut item = vec![
        format!("select = \"{element}\""),
        "title = \"title\"".to_owned(),
        format!("link = \"{link}\""),
    ];
    let mut fields = vec![format!("image = [{}]", sources.join(", "))];
    let has_key = text.matches(&format!("<{key}")).count() >= items;
    if has_key {
        fields.push(format!("id = \"{key}\""));
    }
    item.push(format!("fields = {{ {} }}", fields.join(", ")));
    if has_key {
        item.push("key = \"{id}\"".to_owned());
    }
    let mut draft = Draft::new(name.to_owned(), page, listing, item);
    draft.full = vec![FullGuess::Field {
        name: "image".to_owned(),
        because: "guess: the first address of an image in an item, of several media the largest"
            .to_owned(),
    }];
    let addresses = text
        .split(['"', '\''])
        .filter(|part| part.len() < 2_000 && has_image_end(part) && part.contains("://"));
    for address in addresses
        .take(MAX_ITEMS)
        .filter_map(|part| Url::parse(part).ok())
    {
        draft.add_host(&address);
    }
    Some(DataDraft {
        draft,
        items,
        paging: None,
    })
}
