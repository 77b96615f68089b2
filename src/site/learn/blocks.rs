//! Finds the repeated blocks of a page that have an image in each.

use std::collections::{HashMap, HashSet};

use url::Url;

use super::hints::{has_image_path, is_aside, is_decoration, is_small, is_stable, size_in};
use super::outline::{Element, Outline};
use super::resolve;
use crate::outcome::Format;

/// Pictures of a page that are looked at.
const MAX_PICTURES: usize = 5_000;

/// How far above its picture an item may be.
const MAX_LEVELS: usize = 8;

/// Fewer items are no gallery.
const MIN_ITEMS: usize = 2;

/// Elements of one kind, with one picture in each.
#[derive(Debug)]
pub(super) struct Block {
    /// Each item, and the picture in it.
    pub(super) items: Vec<(usize, usize)>,
    score: f32,
    /// How far the items are above their pictures.
    level: usize,
}

/// The blocks of a page, the likeliest gallery first. Of several blocks around the same pictures only the outermost is
/// there: titles and links stand around a picture.
pub(super) fn find(outline: &Outline, base: &Url) -> Vec<Block> {
    let pictures: Vec<_> = (0..outline.elements.len())
        .filter(|&at| is_picture(outline, base, at))
        .take(MAX_PICTURES)
        .collect();
    // Pictures within each element above one, and of the first of them how far below it is.
    let mut counts: HashMap<usize, (usize, usize, usize)> = HashMap::new();
    for &picture in &pictures {
        for (level, above) in outline.up(picture).take(MAX_LEVELS).enumerate() {
            counts.entry(above).or_insert((picture, level, 0)).2 += 1;
        }
    }
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for &element in counts.keys() {
        let is_root = matches!(&*outline.elements[element].tag, "html" | "body" | "main");
        if !is_root {
            groups
                .entry(kind(outline, element))
                .or_default()
                .push(element);
        }
    }
    let mut blocks: Vec<_> = groups
        .into_values()
        .filter_map(|mut elements| {
            elements.sort_unstable();
            let count = elements.len();
            let single = elements.iter().filter_map(|element| {
                let &(picture, level, pictures) = counts.get(element)?;
                (pictures == 1).then_some((*element, picture, level))
            });
            let single: Vec<_> = single.collect();
            let level = single.first()?.2;
            let items: Vec<_> = single.iter().map(|&(item, at, _)| (item, at)).collect();
            // A block that mostly holds several is a row or the gallery itself.
            (items.len() >= MIN_ITEMS && items.len() * 5 >= count * 3).then(|| Block {
                score: score(outline, base, &items),
                items,
                level,
            })
        })
        .collect();
    blocks.sort_by(|one, other| {
        let order = other.score.total_cmp(&one.score);
        order
            .then(other.level.cmp(&one.level))
            .then(one.items.cmp(&other.items))
    });
    let mut shown = HashSet::new();
    blocks.retain(|block| {
        let known = block.items.iter().filter(|(_, at)| shown.contains(at));
        let is_new = known.count() * 2 < block.items.len();
        shown.extend(block.items.iter().map(|&(_, at)| at));
        is_new
    });
    blocks
}

/// What items of one kind have in common: tag and stable classes, of the item and of the two around it.
fn kind(outline: &Outline, element: usize) -> String {
    let steps = outline.up(element).take(3).map(|at| {
        let element = &outline.elements[at];
        let mut classes: Vec<_> = element.classes().filter(|class| is_stable(class)).collect();
        classes.sort_unstable();
        format!("{}.{}", element.tag, classes.join("."))
    });
    steps.collect::<Vec<_>>().join("<")
}

/// Whether an element shows a picture, or is a bare link to one.
fn is_picture(outline: &Outline, base: &Url, at: usize) -> bool {
    let element = &outline.elements[at];
    if !image_attributes(element).is_empty() {
        // The sources of a `<picture>` show the same as its `<img>`.
        return element.tag != "source";
    }
    let link = element
        .attribute("href")
        .filter(|_| element.tag == "a")
        .and_then(|written| resolve(base, written));
    link.is_some_and(|link| has_image_path(&link))
        && !outline
            .within(at)
            .any(|inner| !image_attributes(&outline.elements[inner]).is_empty())
}

/// The attributes of an element that may hold its picture's address, the preferred one first: what a script loads late
/// stands in an attribute of its own, and `src` is a placeholder then.
pub(super) fn image_attributes(element: &Element) -> Vec<&str> {
    const LATE: [&str; 8] = [
        "data-src",
        "data-original",
        "data-lazy-src",
        "data-lazy",
        "data-echo",
        "data-url",
        "data-image",
        "data-thumb",
    ];
    let has = |name: &str| {
        element
            .attribute(name)
            .is_some_and(|value| !value.trim().is_empty())
    };
    if matches!(&*element.tag, "img" | "amp-img" | "source") {
        let mut found: Vec<_> = LATE.into_iter().filter(|name| has(name)).collect();
        found.extend(Some("src").filter(|_| element.tag != "source" && has("src")));
        if found.is_empty() || found == ["src"] && is_inline(element) {
            found.extend(
                ["data-srcset", "srcset"]
                    .into_iter()
                    .filter(|name| has(name)),
            );
        }
        return found;
    }
    let backgrounds = [
        "data-bg",
        "data-background",
        "data-background-image",
        "style",
    ];
    let is_background = |name: &&str| {
        let value = element
            .attribute(name)
            .unwrap_or_default()
            .to_ascii_lowercase();
        value.contains("url(") || (*name != "style" && has_image_end(&value))
    };
    backgrounds.into_iter().filter(is_background).collect()
}

fn is_inline(element: &Element) -> bool {
    let source = element.attribute("src").unwrap_or_default();
    source.trim_start().starts_with("data:")
}

/// Whether a text looks like the address of an image.
pub(super) fn has_image_end(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default().trim();
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    !path.contains(char::is_whitespace) && Format::is_extension(&extension.to_ascii_lowercase())
}

/// How much a block looks like the gallery of its page.
fn score(outline: &Outline, base: &Url, items: &[(usize, usize)]) -> f32 {
    let mut addresses = HashSet::new();
    let mut sum = 0.0;
    for &(item, picture) in items {
        let element = &outline.elements[picture];
        let written = image_attributes(element)
            .first()
            .and_then(|name| element.attribute(name))
            .or_else(|| element.attribute("href"))
            .unwrap_or_default();
        addresses.insert(written);
        let mut weight: f32 = 1.0;
        let links = outline.within(item).chain(outline.up(item));
        let link = links
            .filter(|&at| outline.elements[at].tag == "a")
            .find_map(|at| resolve(base, outline.elements[at].attribute("href")?));
        weight *= match link {
            Some(link) if has_image_path(&link) => 2.0,
            Some(_) => 1.6,
            None => 1.0,
        };
        let pixels = |name| {
            element
                .attribute(name)
                .and_then(|value| value.parse::<u32>().ok())
        };
        let size = pixels("width")
            .zip(pixels("height"))
            .or_else(|| size_in(written));
        weight *= match size {
            Some((width, height)) if width < 64 || height < 64 => 0.1,
            Some((width, height)) if width >= 120 && height >= 80 => 1.4,
            Some(_) | None => 1.0,
        };
        let own = [written, element.attribute("class").unwrap_or_default()].join(" ");
        if is_decoration(&own) || written.to_ascii_lowercase().ends_with(".svg") {
            weight *= 0.1;
        } else if is_small(&own) {
            weight *= 1.2;
        }
        let is_beside = outline.up(item).any(|at| {
            let element = &outline.elements[at];
            let marks = ["class", "id"].map(|name| element.attribute(name).unwrap_or_default());
            !matches!(&*element.tag, "html" | "body")
                && (is_aside(&element.tag) || marks.iter().any(|mark| is_aside(mark)))
        });
        sum += weight * if is_beside { 0.3 } else { 1.0 };
    }
    // Lossless: a page has at most 5,000.
    #[expect(clippy::cast_precision_loss, reason = "both are small")]
    let distinct = addresses.len() as f32 / items.len() as f32;
    sum * distinct
}
