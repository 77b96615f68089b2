//! Proposes where in an item its thumb, link and title are.

use std::collections::{BTreeMap, HashSet};

use url::Url;

use super::blocks::{Block, has_image_end, image_attributes};
use super::hints::{has_image_path, is_large};
use super::outline::Outline;
use super::selection::{of_group, within_items};
use super::{BlockGuess, ItemGuess, resolve};

/// Further addresses of images in an item that are told.
const MAX_OTHERS: usize = 3;

/// An element within an item, and an attribute of it.
struct Place<'a> {
    item: usize,
    element: usize,
    attribute: &'a str,
}

/// The sources of a block's fields.
pub(super) fn of(outline: &Outline, base: &Url, block: &Block) -> BlockGuess {
    let items: Vec<_> = block.items.iter().map(|&(item, _)| item).collect();
    let Some(select) = of_group(outline, &items) else {
        return BlockGuess::default();
    };
    let thumbs = thumb_sources(outline, block);
    let links = links(outline, base, block);
    let link = source(outline, &links);
    let others = others(outline, base, block);
    let guesses = block.items.iter().map(|&(item, picture)| {
        let of = |places: &[Place<'_>]| {
            let place = places.iter().find(|place| place.item == item)?;
            value(outline, base, place)
        };
        ItemGuess {
            // Without a source in the draft there is nothing that a way could begin at.
            thumb: image_attributes(&outline.elements[picture])
                .iter()
                .filter(|_| !thumbs.is_empty())
                .find_map(|attribute| {
                    let written = outline.elements[picture].attribute(attribute)?;
                    resolve(base, address_in(attribute, written))
                }),
            link: of(&links).filter(|_| link.is_some()),
            others: others.iter().map(|(_, places)| of(places)).collect(),
        }
    });
    let guesses = guesses.collect();
    BlockGuess {
        select: select.css(),
        thumb: thumbs,
        title: title(outline, block),
        items: guesses,
        others: others.iter().map(|(source, _)| source.clone()).collect(),
        link,
    }
}

fn value(outline: &Outline, base: &Url, place: &Place<'_>) -> Option<Url> {
    let written = outline.elements[place.element].attribute(place.attribute)?;
    resolve(base, written.trim())
}

/// The address in an attribute's value: that of a background, or the first of a set.
fn address_in<'a>(attribute: &str, written: &'a str) -> &'a str {
    if let Some((_, rest)) = written.split_once("url(") {
        let inside = rest.split(')').next().unwrap_or_default().trim();
        return inside.trim_matches(['"', '\'']);
    }
    if attribute.ends_with("srcset") {
        return written.split_whitespace().next().unwrap_or_default();
    }
    written.trim()
}

/// `css@attribute` for the places, if one selector finds them all.
fn source(outline: &Outline, places: &[Place<'_>]) -> Option<String> {
    let attribute = places.first()?.attribute;
    let pairs: Vec<_> = places
        .iter()
        .map(|place| (place.item, place.element))
        .collect();
    let own = pairs
        .iter()
        .filter(|(item, element)| item == element)
        .count();
    if own * 10 >= pairs.len() * 9 {
        return Some(format!("@{attribute}"));
    }
    let value = |element: usize| outline.elements[element].attribute(attribute);
    let select = within_items(outline, &pairs, |found, wanted| {
        value(found) == value(wanted)
    })?;
    Some(format!("{}@{attribute}", select.css()))
}

fn thumb_sources(outline: &Outline, block: &Block) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for &(_, picture) in &block.items {
        for name in image_attributes(&outline.elements[picture]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    // What is loaded late stands before its placeholder.
    names.sort_by_key(|&name| (name == "src", name.ends_with("srcset")));
    let sources = names.iter().filter_map(|&attribute| {
        let places = block.items.iter().map(|&(item, element)| Place {
            item,
            element,
            attribute,
        });
        source(outline, &places.collect::<Vec<_>>())
    });
    sources.collect()
}

/// The link of each item: the one around its picture, else its first.
fn links(outline: &Outline, base: &Url, block: &Block) -> Vec<Place<'static>> {
    let is_link = |at: usize| {
        let element = &outline.elements[at];
        let written = element.attribute("href").filter(|_| element.tag == "a");
        written.is_some_and(|written| resolve(base, written).is_some())
    };
    let places = block.items.iter().filter_map(|&(item, picture)| {
        let around = outline.up(picture).take_while(|&at| at >= item);
        let element = around.chain(outline.within(item)).find(|&at| is_link(at))?;
        Some(Place {
            item,
            element,
            attribute: "href",
        })
    });
    let places: Vec<_> = places.collect();
    let distinct: HashSet<_> = places
        .iter()
        .filter_map(|place| value(outline, base, place))
        .collect();
    if distinct.len() * 2 > block.items.len() {
        places
    } else {
        Vec::new()
    }
}

/// Further addresses of images in the items: perhaps the originals.
fn others<'a>(outline: &'a Outline, base: &Url, block: &Block) -> Vec<(String, Vec<Place<'a>>)> {
    let mut found: BTreeMap<(String, &str), Vec<Place<'a>>> = BTreeMap::new();
    for &(item, picture) in &block.items {
        let mut seen = HashSet::new();
        let shown = image_attributes(&outline.elements[picture]);
        for element in outline.within(item) {
            let Some(near) = outline.elements.get(element) else {
                continue;
            };
            for (attribute, written) in &near.attributes {
                let is_thumb = element == picture && shown.contains(&attribute.as_str());
                let is_known = matches!(&**attribute, "srcset" | "data-srcset" | "class" | "style")
                    || (near.tag == "a" && attribute == "href")
                    || attribute.contains([':', '@']);
                if is_thumb || is_known || !has_image_end(written) {
                    continue;
                }
                let key = (near.tag.clone(), attribute.as_str());
                if seen.insert(key.clone()) {
                    found.entry(key).or_default().push(Place {
                        item,
                        element,
                        attribute,
                    });
                }
            }
        }
    }
    let mut sources: Vec<_> = found
        .into_values()
        .filter(|places| places.len() * 5 >= block.items.len() * 4)
        .filter(|places| {
            let values: HashSet<_> = places
                .iter()
                .filter_map(|place| value(outline, base, place))
                .filter(has_image_path)
                .collect();
            values.len() * 2 > places.len()
        })
        .filter_map(|places| Some((source(outline, &places)?, places)))
        .collect();
    sources.sort_by_key(|(source, _)| !is_large(source));
    sources.truncate(MAX_OTHERS);
    sources
}

/// The source of the titles: a heading, the picture's `alt`, the link's `title`, in this order.
fn title(outline: &Outline, block: &Block) -> Option<String> {
    let heading = |at: usize| {
        let element = &outline.elements[at];
        matches!(
            &*element.tag,
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "figcaption"
        ) || element
            .classes()
            .any(|class| class.to_ascii_lowercase().contains("title"))
    };
    let texts = block.items.iter().filter_map(|&(item, _)| {
        let at = outline.within(item).skip(1).find(|&at| heading(at))?;
        Some((item, at, outline.text(at)))
    });
    let texts: Vec<_> = texts.collect();
    if are_titles(texts.iter().map(|(_, _, text)| text.as_str()), block) {
        let pairs: Vec<_> = texts.iter().map(|&(item, at, _)| (item, at)).collect();
        if let Some(select) = within_items(outline, &pairs, |_, _| false) {
            return Some(select.css());
        }
    }
    [("img", "alt"), ("a", "title"), ("img", "title")]
        .into_iter()
        .find_map(|(tag, attribute)| {
            let places = block.items.iter().filter_map(|&(item, _)| {
                let is_one = |&at: &usize| outline.elements[at].tag == tag;
                let element = outline.within(item).find(is_one)?;
                Some(Place {
                    item,
                    element,
                    attribute,
                })
            });
            let places: Vec<_> = places.collect();
            let texts = places
                .iter()
                .filter_map(|place| outline.elements[place.element].attribute(attribute));
            if are_titles(texts, block) {
                source(outline, &places)
            } else {
                None
            }
        })
}

fn are_titles<'a>(texts: impl Iterator<Item = &'a str>, block: &Block) -> bool {
    let distinct: HashSet<_> = texts
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect();
    distinct.len() * 2 > block.items.len()
}

#[cfg(test)]
mod tests {
    use super::super::{PageGuess, page};
    use super::*;

    fn guess(text: &str) -> PageGuess {
        page(
            &Url::parse("https://demo.invalid/list/").unwrap(),
            text.into(),
        )
        .unwrap()
    }

    /// A page with `count` items made by `item`, between a menu and a footer with pictures of their own.
    fn gallery(count: usize, item: impl Fn(usize) -> String) -> String {
        let menu: String = (0..9)
            .map(|n| format!("<li><a href='/m{n}'><img src='/i/icon{n}.png'></a></li>"))
            .collect();
        let items: String = (1..=count).map(item).collect();
        format!(
            "<html><body><ul class=menu>{menu}</ul>{items}<footer>{menu}</footer></body></html>"
        )
    }

    #[test]
    fn cards_with_late_images_give_data_src_before_src() {
        let text = gallery(6, |n| {
            format!(
                "<div class='card post-{n}'><a href='/w/{n}'><img class=lazy src='data:,'\
                 data-src='/t/thumb-{n}.jpg'></a><h3>Hill {n}</h3><a href='/user'>by</a></div>"
            )
        });
        let block = guess(&text).blocks.remove(0);
        assert_eq!(block.select, "div.card");
        assert_eq!(block.thumb, ["img@data-src", "img@src"]);
        assert_eq!(block.link.as_deref(), Some("a@href"));
        assert_eq!(block.title.as_deref(), Some("h3"));
        let item = &block.items[5];
        assert_eq!(
            item.thumb.as_ref().unwrap().as_str(),
            "https://demo.invalid/t/thumb-6.jpg"
        );
        assert_eq!(
            item.link.as_ref().unwrap().as_str(),
            "https://demo.invalid/w/6"
        );
    }

    #[test]
    fn links_that_are_the_items_themselves_give_their_own_attributes() {
        let text = gallery(5, |n| {
            format!("<a class=shot href='/full/{n}.png' title='no {n}'><img src='/t/{n}.png'></a>")
        });
        let block = guess(&text).blocks.remove(0);
        assert_eq!((block.select.as_str(), block.thumb.len()), ("a.shot", 1));
        assert_eq!(block.link.as_deref(), Some("@href"));
        assert_eq!(block.title.as_deref(), Some("@title"));
    }

    #[test]
    fn rows_of_a_list_without_classes_are_selected_by_the_list() {
        let items: String = (1..=4)
            .map(|n| {
                format!("<li><a href='/p/{n}.html'><img alt='n {n}' src='/s/{n}.jpg'></a></li>")
            })
            .collect();
        let text = format!("<ul id=gallery>{items}</ul><ul><li>a</li><li>b</li></ul>");
        let block = guess(&text).blocks.remove(0);
        assert_eq!(block.select, "ul#gallery > li");
        assert_eq!(block.title.as_deref(), Some("img@alt"));
    }

    #[test]
    fn backgrounds_and_marked_originals_are_found() {
        let text = gallery(4, |n| {
            format!(
                "<div class=cell data-fullimg='\n /big/{n}.jpg'><i style=\"background:url('/s/{n}.jpg')\">\
                 </i><meta itemprop=contentUrl content='/original/{n}.jpg'></div>"
            )
        });
        let block = guess(&text).blocks.remove(0);
        assert_eq!(block.thumb, ["i@style"]);
        assert_eq!(block.others, ["@data-fullimg", "meta@content"]);
        assert_eq!(
            block.items[0].others[1].as_ref().unwrap().as_str(),
            "https://demo.invalid/original/1.jpg"
        );
    }

    #[test]
    fn bare_links_to_images_are_items_without_a_thumb() {
        let items: String = (1..=4)
            .map(|n| format!("<tr><td><a href='pic{n}.jpg'>pic{n}.jpg</a></td><td>1M</td></tr>"))
            .collect();
        let block = guess(&format!("<table>{items}</table>")).blocks.remove(0);
        assert_eq!(block.thumb, [""; 0]);
        assert_eq!(block.link.as_deref(), Some("a@href"));
    }

    #[test]
    fn a_page_without_a_repeated_picture_has_no_block() {
        assert_eq!(guess("<p>nothing</p><img src=/a.png>").blocks, []);
    }
}
