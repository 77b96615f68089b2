//! Finds the original on the page that an item links to.

use std::collections::{BTreeMap, HashSet};

use url::Url;

use super::blocks::image_attributes;
use super::hints::{has_image_path, is_aside, is_decoration, is_large, is_small, size_in};
use super::outline::Outline;
use super::selection::{Selection, selections};
use super::{ItemGuess, resolve};
use crate::event::ListingFailure;
use crate::site::extract::PageText;

/// Addresses of one page that are looked at.
const MAX_FOUND: usize = 500;

/// Sources that are proposed at most.
const MAX_SOURCES: usize = 3;

/// An address that may be the original's.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginalGuess {
    /// Where on the page it is.
    pub source: String,
    /// The address.
    pub url: Url,
    /// How likely it is.
    score: f32,
    /// The dimensions that it is said to have.
    size: Option<(u32, u32)>,
}

/// A source of originals that several pages have.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceGuess {
    /// Where on a page it is.
    pub source: String,
    /// Whether a page has several there, of which the largest is wanted.
    pub largest: bool,
    /// The original of each page; `None` for one without.
    pub originals: Vec<Option<Url>>,
    score: f32,
}

/// The addresses on a detail page that may be the original of `item`.
///
/// # Errors
///
/// When reading the page would take too much memory or time.
pub fn originals(
    page: &Url,
    body: PageText<'_>,
    item: &ItemGuess,
) -> Result<Vec<OriginalGuess>, ListingFailure> {
    let outline = Outline::read(body)?;
    let base = outline.base(page);
    let marks = marks(item);
    let mut found = Vec::new();
    for at in 0..outline.elements.len() {
        let Some((attribute, kind)) = candidate(&outline, at) else {
            continue;
        };
        let written = outline.elements[at]
            .attribute(attribute)
            .unwrap_or_default();
        let Some(url) = resolve(&base, written.trim()) else {
            continue;
        };
        if item.thumb.as_ref() == Some(&url) || item.link.as_ref() == Some(&url) {
            continue;
        }
        let Some((score, size)) = score(&outline, at, kind, &url, &marks) else {
            continue;
        };
        if let Some(select) = selection(&outline, at, attribute) {
            found.push(OriginalGuess {
                source: format!("{}@{attribute}", select.css()),
                url,
                score,
                size,
            });
        }
        if found.len() == MAX_FOUND {
            break;
        }
    }
    Ok(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Link,
    Image,
    Meta,
}

/// Whether an element may name an original, and by which attribute.
fn candidate(outline: &Outline, at: usize) -> Option<(&'static str, Kind)> {
    let element = &outline.elements[at];
    let has = |name| element.attribute(name).is_some();
    match &*element.tag {
        "a" if has("href") => Some(("href", Kind::Link)),
        "img" => match image_attributes(element)[..] {
            ["data-src", ..] => Some(("data-src", Kind::Image)),
            ["data-original", ..] => Some(("data-original", Kind::Image)),
            _ if has("src") => Some(("src", Kind::Image)),
            _ => None,
        },
        "meta" => {
            let name = element.attribute("property").or(element.attribute("name"));
            let known = ["og:image", "twitter:image", "og:image:url"];
            name.filter(|name| known.contains(name))
                .map(|_| ("content", Kind::Meta))
        }
        "link" => (element.attribute("rel") == Some("image_src")).then_some(("href", Kind::Meta)),
        _ => None,
    }
}

/// Words of an item's own addresses: what its original is likely to have in its address too.
fn marks(item: &ItemGuess) -> Vec<String> {
    let addresses = item.thumb.iter().chain(&item.link);
    let last = addresses.filter_map(|url| url.path_segments()?.rfind(|part| !part.is_empty()));
    let words = last.flat_map(|name| {
        name.split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| word.len() >= 5 || (word.len() >= 3 && word.parse::<u64>().is_ok()))
            .map(str::to_ascii_lowercase)
    });
    words
        .filter(|word| !is_small(word) && !is_large(word) && word != "index")
        .collect()
}

fn score(
    outline: &Outline,
    at: usize,
    kind: Kind,
    url: &Url,
    marks: &[String],
) -> Option<(f32, Option<(u32, u32)>)> {
    let element = &outline.elements[at];
    let own = ["class", "id", "title"].map(|name| element.attribute(name).unwrap_or_default());
    let text = [own.join(" "), outline.text(at)].join(" ");
    let is_image = has_image_path(url);
    let size = size_in(url.path()).or_else(|| size_in(&text));
    let mut score = match kind {
        Kind::Link => {
            let downloads = element.attribute("download").is_some()
                || text.to_ascii_lowercase().contains("download")
                || url.path().contains("download");
            match (is_image, downloads) {
                (true, true) => 4.0,
                (true, false) => 3.0,
                (false, true) => 2.2,
                (false, false) => return None,
            }
        }
        Kind::Image => {
            let pixels = |name| {
                element
                    .attribute(name)
                    .and_then(|side| side.parse::<u32>().ok())
            };
            match pixels("width") {
                Some(width) if width >= 800 => 2.5,
                Some(width) if width < 200 => return None,
                Some(_) | None => 1.0,
            }
        }
        Kind::Meta => 2.0,
    };
    if is_large(&text) {
        score += 1.0;
    }
    let address = url.path();
    if is_decoration(address) || is_decoration(&text) {
        score -= 3.0;
    }
    score += match (is_small(address), is_large(address)) {
        (true, _) => -1.5,
        (false, true) => 0.7,
        (false, false) => 0.0,
    };
    score += match size {
        Some((width, _)) if width >= 1_280 => 1.0,
        Some((width, _)) if width < 700 => -1.0,
        Some(_) | None => 0.0,
    };
    let address = url.as_str().to_ascii_lowercase();
    if marks.iter().any(|mark| address.contains(mark)) {
        score += 2.0;
    }
    let is_beside = outline.up(at).any(|at| {
        let element = &outline.elements[at];
        let marks = ["class", "id"].map(|name| element.attribute(name).unwrap_or_default());
        !matches!(&*element.tag, "html" | "body")
            && (is_aside(&element.tag) || marks.iter().any(|mark| is_aside(mark)))
    });
    if is_beside {
        score -= 2.0;
    }
    (score > 0.0).then_some((score, size))
}

/// A selector that finds the element first on its page, or with others of its kind.
fn selection(outline: &Outline, at: usize, attribute: &str) -> Option<Selection> {
    let tried = selections(outline, at);
    let all = || 0..outline.elements.len();
    let first = tried
        .iter()
        .find(|selection| selection.select(outline, all()).next() == Some(at));
    // Of several links of one kind only the first is first; a bare tag is no kind.
    let tag = &outline.elements[at].tag;
    let alike = tried.iter().find(|selection| {
        selection.css() != *tag
            && selection
                .select(outline, all())
                .all(|other| outline.elements[other].attribute(attribute).is_some())
    });
    alike
        .filter(|alike| alike.select(outline, all()).count() > 1)
        .or(first)
        .cloned()
}

/// The sources that most of the pages have, the most likely first; each with its original on every page.
pub fn best_sources(pages: &[Vec<OriginalGuess>]) -> Vec<SourceGuess> {
    let mut by_source: BTreeMap<&str, SourceGuess> = BTreeMap::new();
    for (number, page) in pages.iter().enumerate() {
        let mut best: BTreeMap<&str, (&OriginalGuess, usize)> = BTreeMap::new();
        for guess in page {
            let entry = best.entry(&guess.source).or_insert((guess, 0));
            entry.1 += 1;
            let area = |guess: &OriginalGuess| {
                guess
                    .size
                    .map_or(0, |(width, height)| u64::from(width) * u64::from(height))
            };
            if area(guess) > area(entry.0) {
                entry.0 = guess;
            }
        }
        for (source, (guess, count)) in best {
            let known = by_source.entry(source).or_insert_with(|| SourceGuess {
                source: source.to_owned(),
                largest: false,
                originals: vec![None; pages.len()],
                score: 0.0,
            });
            known.largest |= count > 1 && guess.size.is_some();
            known.originals[number] = Some(guess.url.clone());
            known.score += guess.score;
        }
    }
    let mut sources: Vec<_> = by_source
        .into_values()
        .filter(|source| {
            let found = source.originals.iter().flatten().count();
            let distinct: HashSet<_> = source.originals.iter().flatten().collect();
            // The same picture on every page belongs to the site.
            found * 5 >= pages.len() * 3 && distinct.len() == found
        })
        .collect();
    sources.sort_by(|one, other| {
        let order = other.score.total_cmp(&one.score);
        order.then_with(|| one.source.cmp(&other.source))
    });
    sources.truncate(MAX_SOURCES);
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: u32, body: &str) -> Vec<OriginalGuess> {
        let url = |path: &str| Url::parse(&format!("https://demo.invalid{path}")).unwrap();
        let item = ItemGuess {
            thumb: Some(url(&format!("/t/hill-{number}00.jpg"))),
            link: Some(url(&format!("/w/hill-{number}00"))),
            others: Vec::new(),
        };
        let frame = "<nav><a href=/><img src=/logo.png></a></nav>";
        let text = format!("<html><body>{frame}{body}</body></html>");
        originals(item.link.as_ref().unwrap(), text.as_str().into(), &item).unwrap()
    }

    fn best(body: impl Fn(u32) -> String) -> SourceGuess {
        let pages: Vec<_> = (1..=3).map(|number| found(number, &body(number))).collect();
        best_sources(&pages).remove(0)
    }

    #[test]
    fn a_download_link_wins_over_the_picture_that_is_shown() {
        let source = best(|n| {
            format!(
                "<img id=wallpaper src=/show/hill-{n}00.jpg><a class=button href=/x>Back</a>\
                 <a class=get href=/o/hill-{n}00.png>Download</a>\
                 <div class=related><a href=/o/other-{n}.png>Download</a></div>"
            )
        });
        assert_eq!(source.source, "a.get@href");
        assert_eq!(
            source.originals[2].as_ref().unwrap().path(),
            "/o/hill-300.png"
        );
    }

    #[test]
    fn of_several_sizes_the_largest_is_wanted() {
        let source = best(|n| {
            let links = ["1024x768", "3840x2160", "1920x1080"]
                .map(|size| format!("<a href=/f/hill-{n}00-{size}.jpg>{size}</a>"));
            format!("<div class=sizes>{}</div>", links.concat())
        });
        assert_eq!(
            (source.source.as_str(), source.largest),
            ("div.sizes > a@href", true)
        );
        assert_eq!(
            source.originals[0].as_ref().unwrap().path(),
            "/f/hill-100-3840x2160.jpg"
        );
    }

    #[test]
    fn the_open_graph_image_is_taken_where_nothing_else_is() {
        let source =
            best(|n| format!("<meta property='og:image' content='/big/{n}.jpg'><p>hill {n}</p>"));
        assert_eq!(source.source, "meta[property='og:image']@content");
    }

    #[test]
    fn what_every_page_shows_alike_is_no_original() {
        let pages: Vec<_> = (1..=3)
            .map(|n| found(n, "<a class=get href=/o/poster.png>Download</a>"))
            .collect();
        assert_eq!(best_sources(&pages), []);
    }
}
