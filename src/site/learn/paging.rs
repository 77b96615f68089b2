//! Guesses how the further pages of a listing are reached.

use std::collections::BTreeMap;

use url::Url;

use super::outline::Outline;
use super::resolve;
use super::selection::selections;

/// Links of a page that are looked at.
const MAX_LINKS: usize = 5_000;

/// The words of a link to the next page, in lower case.
const NEXT: &[&str] = &[
    "next",
    "next page",
    "next \u{bb}",
    "next \u{203a}",
    "next \u{2192}",
    "next >",
    "next >>",
    "\u{bb}",
    "\u{203a}",
    "\u{2192}",
    ">",
    ">>",
    "older",
    "older posts",
    "older entries",
    "more",
    "load more",
    "weiter",
    "n\u{e4}chste",
    "n\u{e4}chste seite",
    "suivant",
    "page suivante",
    "siguiente",
    "seguinte",
    "successivo",
    "\u{434}\u{430}\u{43b}\u{435}\u{435}",
    "\u{4e0b}\u{4e00}\u{9875}",
    "\u{4e0b}\u{9875}",
    "\u{6b21}\u{3078}",
    "\u{b2e4}\u{c74c}",
];

/// How further pages are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PagingGuess {
    /// By a link on each page.
    Next {
        /// The source of the link.
        source: String,
        /// What its text must be, where the selector alone finds more.
        text: Option<String>,
        /// The second page.
        second: Url,
    },
    /// By the `Link` header of each page.
    Header {
        /// The second page.
        second: Url,
    },
    /// By a number in the address.
    Numbers {
        /// The address with `{page}` in it, or with `{offset}`.
        template: String,
        /// The number of the first page.
        start: u32,
        /// How much the number grows.
        step: u32,
        /// Whether the first page has an address without a number.
        first_apart: bool,
        /// The second page.
        second: Url,
    },
}

impl PagingGuess {
    /// The address of the second page.
    pub fn second(&self) -> &Url {
        match self {
            Self::Next { second, .. } | Self::Header { second } | Self::Numbers { second, .. } => {
                second
            }
        }
    }

    /// The next page by the `Link` header of the page at `page`, whose target is `target`.
    pub fn from_header(page: &Url, target: &str) -> Option<Self> {
        let second = resolve(page, target)?;
        (second != *page).then_some(Self::Header { second })
    }
}

/// A link of the page.
struct Link {
    element: usize,
    url: Url,
    text: String,
}

pub(super) fn find(outline: &Outline, page: &Url, base: &Url) -> Option<PagingGuess> {
    let links: Vec<_> = (0..outline.elements.len())
        .filter_map(|element| {
            let found = &outline.elements[element];
            let written = found.attribute("href")?;
            let is_link = matches!(&*found.tag, "a" | "link");
            let url = resolve(base, written.trim()).filter(|_| is_link)?;
            (url.host_str() == page.host_str() && url != *page).then(|| Link {
                element,
                url,
                text: outline.text(element).to_lowercase(),
            })
        })
        .take(MAX_LINKS)
        .collect();
    numbers(&links, page).or_else(|| next(outline, &links))
}

/// The link that says that it leads to the next page.
fn next(outline: &Outline, links: &[Link]) -> Option<PagingGuess> {
    let of = |element: usize, name| {
        outline.elements[element]
            .attribute(name)
            .unwrap_or_default()
    };
    let says = |link: &&Link| {
        let marks = [of(link.element, "class"), of(link.element, "id")].join(" ");
        let marked = marks.to_lowercase();
        let rel = of(link.element, "rel");
        rel.split_whitespace().any(|word| word == "next")
            || NEXT.contains(&link.text.trim())
            || marked
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == "next")
    };
    // A link in the body first: `<link rel=next>` may be there for other readers alone.
    let found = links
        .iter()
        .filter(says)
        .min_by_key(|link| outline.elements[link.element].tag == "link")?;
    let all = || 0..outline.elements.len();
    let tried = selections(outline, found.element);
    let alone = tried
        .iter()
        .find(|selection| selection.select(outline, all()).next() == Some(found.element));
    let says_next = |css: &str| css.to_lowercase().contains("next");
    let (select, text) = match alone {
        Some(select) if says_next(&select.css()) => (select, None),
        // A class of all pager links: what the link says tells it from the others.
        Some(_) | None => {
            let select = tried.first()?;
            (select, Some(outline.text(found.element)))
        }
    };
    let text = text.filter(|text| !text.is_empty());
    Some(PagingGuess::Next {
        source: format!("{}@href", select.css()),
        text,
        second: found.url.clone(),
    })
}

/// The addresses that differ from one another by a number alone.
fn numbers(links: &[Link], page: &Url) -> Option<PagingGuess> {
    let mut by_template: BTreeMap<_, Vec<(u32, bool, &Link)>> = BTreeMap::new();
    for link in links {
        for (head, number, tail) in numbers_in(link.url.as_str()) {
            let says = link.text.trim().parse::<u32>().is_ok();
            by_template
                .entry((head.to_owned(), tail.to_owned()))
                .or_default()
                .push((number, says, link));
        }
    }
    let mut best: Option<(usize, PagingGuess)> = None;
    for ((head, tail), mut found) in by_template {
        found.sort_by_key(|(number, _, _)| *number);
        found.dedup_by_key(|(number, _, _)| *number);
        let said = found.iter().filter(|(_, says, _)| *says).count();
        let is_page = is_page_word(&head) || (said >= 2 && said * 2 >= found.len());
        // The texts of the links are 2, 3, ...; the numbers may be offsets.
        let second = found.iter().find(|(number, says, link)| {
            if *says {
                link.text.trim() == "2"
            } else {
                *number == 2
            }
        });
        let Some(&(number, _, link)) = second.filter(|_| is_page) else {
            continue;
        };
        let is_offset = number > 2;
        let steps = |number: u32| number > 0 && found.iter().all(|(n, _, _)| n % number == 0);
        if is_offset && !steps(number) {
            continue;
        }
        let (place, start, step) = match number {
            // The second page is 1: they are counted from 0.
            1 => ("{page}", 0, 1),
            2 => ("{page}", 1, 1),
            offset => ("{offset}", 0, offset),
        };
        let first = format!("{head}{start}{tail}");
        let guess = PagingGuess::Numbers {
            template: format!("{head}{place}{tail}"),
            start,
            step,
            first_apart: page.as_str() != first,
            second: link.url.clone(),
        };
        let weight = said + usize::from(is_page_word(&head)) + found.len();
        if best.as_ref().is_none_or(|(most, _)| weight > *most) {
            best = Some((weight, guess));
        }
    }
    best.map(|(_, guess)| guess)
}

/// The small numbers behind the host of an address, each with what stands before and after it.
fn numbers_in(address: &str) -> Vec<(&str, u32, &str)> {
    let path = address
        .find("://")
        .and_then(|at| address[at + 3..].find('/').map(|slash| at + 3 + slash))
        .unwrap_or(address.len());
    let mut found = Vec::new();
    let bytes = address.as_bytes();
    let mut at = path;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let end = at + digits.count();
        let is_plain = bytes[at] != b'0' || end == at + 1;
        if let Ok(number) = address[at..end].parse::<u32>()
            && is_plain
            && number < 100_000
        {
            found.push((&address[..at], number, &address[end..]));
        }
        at = end;
    }
    found
}

/// Whether what stands before a number says that it is a page's.
fn is_page_word(head: &str) -> bool {
    let head = head.to_ascii_lowercase();
    let head = head.trim_end_matches(['=', '/', '-', '_']);
    [
        "page", "p", "paged", "pg", "pn", "index", "start", "offset", "seite", "strana",
    ]
    .iter()
    .any(|word| {
        head.strip_suffix(word)
            .is_some_and(|before| before.ends_with(|c: char| !c.is_ascii_alphanumeric()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(at: &str, body: &str) -> Option<PagingGuess> {
        let page = Url::parse(&format!("https://demo.invalid{at}")).unwrap();
        let outline = Outline::read(body.into()).unwrap();
        find(&outline, &page, &page)
    }

    fn template(at: &str, body: &str) -> (String, u32, u32, bool) {
        match guess(at, body) {
            Some(PagingGuess::Numbers {
                template,
                start,
                step,
                first_apart,
                ..
            }) => (
                template.replace("https://demo.invalid", ""),
                start,
                step,
                first_apart,
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pages_by_number_are_a_template() {
        let pager = "<a href=/hills/page/2>2</a><a href=/hills/page/3>3</a><a href=/w/2>x</a>";
        assert_eq!(
            template("/hills", pager),
            ("/hills/page/{page}".to_owned(), 1, 1, true)
        );
        let pager = "<a href='?q=a&page=2'>2</a><a href='?q=a&page=9'>last</a>";
        assert_eq!(
            template("/s?q=a&page=1", pager),
            ("/s?q=a&page={page}".to_owned(), 1, 1, false)
        );
        let pager = "<a href=/l_1.html>2</a><a href=/l_2.html>3</a>";
        assert_eq!(
            template("/l.html", pager),
            ("/l_{page}.html".to_owned(), 0, 1, true)
        );
    }

    #[test]
    fn offsets_have_a_step() {
        let pager = "<a href='?start=24'>2</a><a href='?start=48'>3</a>";
        assert_eq!(
            template("/l", pager),
            ("/l?start={offset}".to_owned(), 0, 24, true)
        );
    }

    #[test]
    fn a_next_link_is_found_by_its_class_or_its_text() {
        let next = |body: &str| match guess("/l", body) {
            Some(PagingGuess::Next { source, text, .. }) => (source, text),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            next("<a class=pg href=/l?after=x>old</a><a class='pg next' href=/l?after=y>go</a>"),
            ("a.next@href".to_owned(), None)
        );
        assert_eq!(
            next("<a class=pg href=/l?after=x>Back</a><a class=pg href=/l?after=y>Next \u{bb}</a>"),
            ("a.pg@href".to_owned(), Some("Next \u{bb}".to_owned()))
        );
        assert_eq!(
            next("<link rel=next href=/l?after=y>"),
            ("link[rel='next']@href".to_owned(), None)
        );
    }

    #[test]
    fn dates_and_images_with_numbers_are_no_pages() {
        let body = "<a href=/w/1>a</a><a href=/w/2>b</a><a href=/2020/2/a.html>c</a>";
        assert_eq!(guess("/l", body), None);
    }
}
