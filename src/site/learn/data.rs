//! Drafts for listings that are data: JSON answers and feeds.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use url::Url;

use super::blocks::has_image_end;
use super::draft::{Draft, FullGuess, paging_lines, quote, relative};
use super::hints::{is_decoration, is_large, is_small};
use super::{PagingGuess, feed, resolve};
use crate::units::plural;

/// Values of an answer that are looked at.
const MAX_VALUES: usize = 200_000;

/// How deep lists of items are looked for, and texts in an item.
const MAX_DEPTH: usize = 6;

/// Items of a list that are compared.
pub(super) const MAX_ITEMS: usize = 100;

/// Members of an object that are named.
const MAX_NAMES: usize = 24;

/// What a listing of data was drafted from.
#[derive(Debug, Clone)]
pub struct DataDraft {
    /// The draft, whole.
    pub draft: Draft,
    /// The items that were seen.
    pub items: usize,
    /// How further pages are reached, where their addresses are known.
    pub paging: Option<PagingGuess>,
}

/// A draft for a page that is JSON or a feed; `None` for one that is neither or shows no images. `paging` is what the
/// server says of further pages, `original` the user's example.
pub fn data_draft(
    name: &str,
    page: &Url,
    text: &str,
    paging: Option<&PagingGuess>,
    original: Option<&Url>,
) -> Option<DataDraft> {
    let trimmed = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    if trimmed.starts_with(['{', '[']) {
        // The parser refuses what nests deeper than 128.
        let root = serde_json::from_str(trimmed).ok()?;
        let mut listing = vec!["kind = \"json\"".to_owned()];
        listing.extend(match paging {
            Some(_) => paging_lines(page, paging),
            None => json_paging(page, &root),
        });
        return json(name, page, &root, listing, original);
    }
    let head: String = trimmed.chars().take(2_000).collect();
    let is_feed = ["<rss", "<feed", "<rdf:RDF"]
        .iter()
        .any(|tag| head.contains(tag));
    is_feed.then(|| feed::draft(name, page, trimmed, paging))?
}

/// A list of items: where it is, and the items.
struct List<'a> {
    path: String,
    items: Vec<&'a Value>,
}

/// The draft for a page that holds the value `root`, with these lines of `[listing]`.
pub(super) fn json(
    name: &str,
    page: &Url,
    root: &Value,
    listing: Vec<String>,
    original: Option<&Url>,
) -> Option<DataDraft> {
    let mut best: Option<(f32, String, Vec<Leaf>, usize)> = None;
    for List { path, items } in lists(root) {
        let leaves = leaves(page, &items, original);
        let most = leaves
            .iter()
            .filter_map(|leaf| leaf.image)
            .fold(0.0, f32::max);
        // Lossless: at most a hundred.
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let score = most * (items.len() as f32).sqrt();
        if score > 0.0 && best.as_ref().is_none_or(|(known, ..)| score > *known) {
            best = Some((score, path, leaves, items.len()));
        }
    }
    let (_, path, leaves, items) = best?;
    let mut images: Vec<_> = leaves.iter().filter(|leaf| leaf.image.is_some()).collect();
    images.sort_by(|one, other| {
        let score = |leaf: &Leaf| leaf.image.unwrap_or_default();
        score(other).total_cmp(&score(one))
    });
    let named = |names: &[&str], distinct: bool| {
        names.iter().find_map(|name| {
            leaves.iter().find(|leaf| {
                leaf.path.rsplit('/').next() == Some(name)
                    && leaf.image.is_none()
                    && (leaf.distinct || !distinct)
            })
        })
    };
    let mut item = vec![format!("select = {}", quote(&path))];
    if let Some(thumb) = images.iter().skip(1).find(|leaf| is_small(&leaf.path)) {
        item.push(format!("thumb = {}", quote(&thumb.path)));
    }
    let title = named(
        &["title", "name", "alt_description", "alt", "description"],
        false,
    );
    item.extend(title.map(|leaf| format!("title = {}", quote(&leaf.path))));
    let wanted: Vec<_> = images
        .iter()
        .filter(|leaf| !is_small(&leaf.path) || leaf.image > Some(1.0))
        .take(3)
        .collect();
    let mut fields: Vec<_> = wanted
        .iter()
        .enumerate()
        .map(|(number, leaf)| format!("image{} = {}", number + 1, quote(&leaf.path)))
        .collect();
    let id = named(
        &[
            "id", "pageid", "uuid", "guid", "_id", "slug", "hash", "date",
        ],
        true,
    );
    fields.extend(id.map(|leaf| format!("id = {}", quote(&leaf.path))));
    item.push(format!("fields = {{ {} }}", fields.join(", ")));
    if id.is_some() {
        item.push("# guess: the id stays the same where addresses change".to_owned());
        item.push("key = \"{id}\"".to_owned());
    }
    let mut draft = Draft::new(name.to_owned(), page, listing, item);
    for leaf in &leaves {
        for address in leaf.hosts.iter().filter(|_| leaf.image.is_some()) {
            draft.add_host(address);
        }
    }
    draft.full = (1..=wanted.len())
        .map(|number| FullGuess::Field {
            name: format!("image{number}"),
            because: format!("guess: by the name of its pointer, number {number}"),
        })
        .collect();
    (!draft.full.is_empty()).then_some(DataDraft {
        draft,
        items,
        paging: None,
    })
}

/// The longest list of objects in a JSON text, in words: where it is, and the members of its first. `None` for a text that
/// is no JSON, or has no such list.
pub fn longest_list(text: &str) -> Option<String> {
    let root: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    let longest = lists(&root)
        .into_iter()
        .filter(|list| !list.path.is_empty())
        .max_by_key(|list| list.items.len())?;
    let members = longest.items.first()?.as_object()?;
    let names: Vec<_> = members.keys().take(MAX_NAMES).map(String::as_str).collect();
    Some(format!(
        "{} at `{}`, with the members {}",
        plural(longest.items.len(), "object", "objects"),
        longest.path,
        names.join(", ")
    ))
}

/// The lists of objects in an answer; the whole answer is one too, if it is an object.
fn lists(root: &Value) -> Vec<List<'_>> {
    let mut lists = Vec::new();
    if root.is_object() {
        lists.push(List {
            path: String::new(),
            items: vec![root],
        });
    }
    let mut seen = 0;
    let mut open = vec![(String::new(), root, 0)];
    while let Some((path, value, depth)) = open.pop() {
        seen += 1;
        if seen > MAX_VALUES || depth > MAX_DEPTH {
            continue;
        }
        let (members, is_array): (Vec<_>, _) = match value {
            Value::Array(values) => (values.iter().map(|v| (String::new(), v)).collect(), true),
            Value::Object(map) => (map.iter().map(|(k, v)| (token(k), v)).collect(), false),
            _ => continue,
        };
        let objects = members.iter().filter(|(_, value)| value.is_object());
        let objects: Vec<_> = objects.map(|(_, value)| *value).collect();
        // The members of an object are items where all are objects, as by id.
        if objects.len() == members.len() && (is_array || objects.len() > 1) && !objects.is_empty()
        {
            lists.push(List {
                path: format!("{path}/*"),
                items: objects.into_iter().take(MAX_ITEMS).collect(),
            });
        }
        if !is_array {
            open.extend(
                members
                    .into_iter()
                    .map(|(key, value)| (format!("{path}/{key}"), value, depth + 1)),
            );
        }
    }
    lists
}

/// A member's name in a pointer (RFC 6901).
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A text that the items have at the same place.
struct Leaf {
    path: String,
    /// How likely it is the original's address; `None` for what is no image's.
    image: Option<f32>,
    distinct: bool,
    hosts: Vec<Url>,
}

fn leaves(page: &Url, items: &[&Value], original: Option<&Url>) -> Vec<Leaf> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in items {
        let mut open = vec![(String::new(), *item, 0)];
        let mut seen = 0;
        while let Some((path, value, depth)) = open.pop() {
            seen += 1;
            if seen > MAX_VALUES / MAX_ITEMS || depth > MAX_DEPTH {
                continue;
            }
            match value {
                Value::String(text) => texts.entry(path).or_default().push(text.clone()),
                Value::Number(number) => texts.entry(path).or_default().push(number.to_string()),
                Value::Object(map) => open.extend(
                    map.iter()
                        .map(|(key, value)| (format!("{path}/{}", token(key)), value, depth + 1)),
                ),
                Value::Array(values) => {
                    open.extend(
                        values
                            .first()
                            .map(|value| (format!("{path}/0"), value, depth + 1)),
                    );
                }
                Value::Null | Value::Bool(_) => {}
            }
        }
    }
    let leaves = texts.into_iter().filter_map(|(path, values)| {
        // Most of the items have it.
        if values.len() * 5 < items.len() * 3 {
            return None;
        }
        let distinct = values.iter().collect::<HashSet<_>>().len() == values.len();
        let addresses: Vec<_> = values
            .iter()
            .filter(|text| has_image_end(text) || is_image_key(&path, text))
            .filter_map(|text| resolve(page, text))
            .collect();
        let mut resolved = values.iter().filter_map(|text| resolve(page, text));
        let has_original = original.is_some_and(|original| resolved.any(|url| url == *original));
        let is_image = has_original || addresses.len() * 5 >= values.len() * 3 && distinct;
        let mut score = 1.0;
        score += if is_large(&path) { 1.0 } else { 0.0 };
        score += match path.rsplit('/').next() {
            Some("url" | "path" | "file_url" | "src" | "hdurl" | "image_url" | "raw") => 0.5,
            _ => 0.0,
        };
        if is_small(&path) || is_decoration(&path) {
            score = 0.2;
        }
        if has_original {
            score = 9.0;
        }
        Some(Leaf {
            image: is_image.then_some(score),
            distinct,
            hosts: if is_image { addresses } else { Vec::new() },
            path,
        })
    });
    leaves.collect()
}

/// Whether a whole address stands where the name says that it is an image's.
fn is_image_key(path: &str, text: &str) -> bool {
    let is_address = text.starts_with("https://") || text.starts_with("http://");
    let path = path.to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    let says = |word: &&str| name.contains(*word);
    let words = ["image", "photo", "picture", "file_url", "download_url"];
    is_address && (path.contains("/urls/") || path.contains("/src/") || words.iter().any(says))
}

fn json_paging(page: &Url, root: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let address = relative(page.as_str(), page);
    let at = |names: &[&str]| {
        let parents = ["", "/meta", "/data", "/paging", "/pagination", "/links"];
        parents.iter().find_map(|parent| {
            let inside = root.pointer(parent)?;
            names.iter().find_map(|name| {
                let value = inside.get(name)?;
                Some((format!("{parent}/{name}"), value.as_str()?))
            })
        })
    };
    let next = at(&["next", "next_page", "nextPage", "next_url"]);
    if let Some((pointer, _)) = next.filter(|(_, text)| text.contains('/') || text.contains('?')) {
        lines.push(format!("url = {}", quote(&address)));
        lines.push("# guess: by its name".to_owned());
        lines.push(format!("next = {}", quote(&pointer)));
    } else if root.get("continue").is_some_and(Value::is_object) {
        lines.push(format!("url = {}", quote(&address)));
        lines.push("continue = \"/continue\"".to_owned());
    } else if let Some(template) = numbered(&address) {
        lines.push("# guess: the number in the address that was given".to_owned());
        lines.push(format!("url = {}", quote(&template)));
        lines.push("stop = { status = [404], empty = true }".to_owned());
    } else if let Some((pointer, _)) = at(&["after", "cursor", "next_cursor", "nextCursor"]) {
        let name = pointer.rsplit('/').next().unwrap_or_default();
        let sign = if address.contains('?') { '&' } else { '?' };
        lines.push("# guess: the name of the parameter that takes the cursor".to_owned());
        lines.push(format!("first = {}", quote(&address)));
        lines.push(format!(
            "url = {}",
            quote(&format!("{address}{sign}{name}={{cursor}}"))
        ));
        lines.push(format!("cursor = {}", quote(&pointer)));
    } else {
        lines.push("# guess: nothing says how to get more".to_owned());
        lines.push(format!("url = {}", quote(&address)));
    }
    lines
}

/// The address with `{page}` in place of the number of its parameter `page`, if that is 1.
fn numbered(address: &str) -> Option<String> {
    ["page=1", "p=1"].iter().find_map(|parameter| {
        let at = address
            .find(&format!("?{parameter}"))
            .or(address.find(&format!("&{parameter}")))?;
        let end = at + 1 + parameter.len();
        let is_whole = address[end..].is_empty() || address[end..].starts_with('&');
        is_whole.then(|| format!("{}{{page}}{}", &address[..end - 1], &address[end..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(at: &str, text: &str) -> String {
        let page = Url::parse(&format!("https://demo.invalid{at}")).unwrap();
        let DataDraft { draft, items, .. } = data_draft("demo", &page, text, None, None).unwrap();
        assert_eq!(items, 3);
        let text = draft.to_toml();
        assert!(toml::from_str::<toml::Table>(&text).is_ok(), "{text}");
        text
    }

    #[test]
    fn a_json_listing_is_drafted_by_the_names_of_its_members() {
        let items: Vec<_> = (1..=3)
            .map(|n| {
                serde_json::json!({
                    "id": format!("k{n}"), "width": 1920,
                    "thumbs": { "small": format!("https://t.demo.invalid/s/{n}.jpg") },
                    "path": format!("https://w.demo.invalid/full/{n}.jpg"),
                })
            })
            .collect();
        let text = serde_json::json!({ "data": items, "meta": { "page": 1 } }).to_string();
        insta::assert_snapshot!(draft("/api?page=1", &text));
    }

    #[test]
    fn an_object_by_id_and_a_continuation_are_found() {
        let pages: serde_json::Map<_, _> = (1..=3)
            .map(|n| {
                let page = serde_json::json!({
                    "pageid": n, "title": format!("File {n}"),
                    "imageinfo": [{ "url": format!("https://demo.invalid/{n}.png") }],
                });
                (n.to_string(), page)
            })
            .collect();
        let text = serde_json::json!({ "query": { "pages": pages }, "continue": { "a": "b" } });
        let text = draft("/w/api.php?x=y", &text.to_string());
        for line in [
            "select = \"/query/pages/*\"",
            "image1 = \"/imageinfo/0/url\", id = \"/pageid\"",
            "continue = \"/continue\"",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn a_feed_with_enclosures_and_images_in_its_text_is_drafted() {
        let item = "<item><title>a</title><guid>1</guid><enclosure url=\"https://i.demo.invalid/a.jpg\"/>\
                    <description>&lt;img src='x.png'&gt;</description></item>";
        let text = format!(
            "<?xml version='1.0'?><rss><channel>{}</channel></rss>",
            item.repeat(3)
        );
        insta::assert_snapshot!(draft("/feed.xml", &text));
    }

    #[test]
    fn data_without_images_gives_no_draft() {
        let page = Url::parse("https://demo.invalid/").unwrap();
        for text in ["{\"a\": 1}", "[]", "{\"a", "<rss></rss>", "plain", ""] {
            assert!(
                data_draft("demo", &page, text, None, None).is_none(),
                "{text}"
            );
        }
    }
}
