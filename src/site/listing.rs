//! A definition and a page's text -> the images on it.

use scraper::{ElementRef, Html, Selector};
use url::Url;

use super::health::Health;
use super::name::border;
use super::{Site, SiteError, address, tree};
use crate::job::ImageRef;

/// How much of one text is kept until it is judged: more than any address has, so that what was cut is refused.
const TEXT_BYTES: usize = 2 * address::MAX_BYTES;

/// Titles are kept up to this many characters.
const TITLE_CHARACTERS: usize = 300;

/// What a listing page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingPage {
    /// The images whose thumb has a usable address, in the page's order.
    pub images: Vec<ImageRef>,
    /// What was counted, to judge the page by.
    pub health: Health,
}

/// How a site's listing pages are read.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) item: Selector,
    pub(super) thumb: Field,
    pub(super) link: Option<Field>,
    pub(super) title: Option<Field>,
    pub(super) ending: Ending,
}

/// Where in an item a text stands.
#[derive(Debug)]
pub(super) struct Field {
    /// The element within the item; the item itself without one.
    pub(super) select: Option<Selector>,
    pub(super) source: FieldSource,
}

#[derive(Debug)]
pub(super) enum FieldSource {
    /// The first of these attributes that serves.
    Attributes(Vec<String>),
    /// The text within.
    Text,
}

/// What a 200 page without items must look like to be behind the last.
#[derive(Debug)]
pub(super) enum Ending {
    /// There is no such page.
    Never,
    /// Any page without items is.
    Empty,
    /// It has such an element.
    Marker(Selector),
}

/// Texts of one item, as written.
struct Written {
    thumb: Vec<String>,
    link: Vec<String>,
    title: Option<String>,
}

/// Reads the page that came from `page`.
pub(super) fn read(site: &Site, page: &Url, body: &str) -> Result<ListingPage, SiteError> {
    let listing = &site.listing;
    let mut base_written = None;
    let mut items = Vec::new();
    let mut ending = matches!(listing.ending, Ending::Empty);
    let trees = tree::each(body, |html| {
        base_written = base_written.take().or_else(|| base_of(html));
        items.extend(html.select(&listing.item).map(|item| listing.written(item)));
        if let Ending::Marker(marker) = &listing.ending {
            ending |= html.select(marker).next().is_some();
        }
    });
    let trees = trees.map_err(|tree::TooLarge| SiteError::TooLarge { page: page.clone() })?;

    let base = base_written.and_then(|written| page.join(&written).ok());
    let base = base
        .filter(|base| matches!(base.scheme(), "http" | "https"))
        .unwrap_or_else(|| page.clone());
    let mut health = Health {
        items: items.len(),
        without_thumb: 0,
        unusable: 0,
        torn: trees > 1,
        ending,
    };
    let mut images = Vec::new();
    for Written { thumb, link, title } in items {
        let first =
            |texts: Vec<String>| texts.iter().find_map(|text| address::resolve(&base, text));
        let has_none = thumb.is_empty();
        match first(thumb) {
            Some(thumb) => images.push(ImageRef {
                site: site.id.clone(),
                page: page.clone(),
                thumb: site.canonical(thumb),
                link: first(link).map(|link| site.canonical(link)),
                title,
                is_original: false,
            }),
            None if has_none => health.without_thumb += 1,
            None => health.unusable += 1,
        }
    }
    Ok(ListingPage { images, health })
}

/// What the first `<base>` that points anywhere says.
fn base_of(html: &Html) -> Option<String> {
    let elements = html.tree.nodes().filter_map(ElementRef::wrap);
    let mut bases = elements.filter(|element| element.value().name() == "base");
    bases.find_map(|base| base.attr("href")).map(str::to_owned)
}

impl Listing {
    fn written(&self, item: ElementRef<'_>) -> Written {
        let texts = |field: &Field| field.texts(item);
        let titles = self.title.as_ref().map(texts).unwrap_or_default();
        Written {
            thumb: texts(&self.thumb),
            link: self.link.as_ref().map(texts).unwrap_or_default(),
            title: titles
                .iter()
                .map(|title| plain(title))
                .find(|title| !title.is_empty()),
        }
    }
}

impl Field {
    /// What stands there, the preferred text first; nothing when the item lacks it.
    fn texts(&self, item: ElementRef<'_>) -> Vec<String> {
        let element = match &self.select {
            Some(select) => item.select(select).next(),
            None => Some(item),
        };
        let Some(element) = element else {
            return Vec::new();
        };
        match &self.source {
            FieldSource::Attributes(names) => {
                let values = names.iter().filter_map(|name| element.attr(name));
                values
                    .map(|value| value[..border(value, TEXT_BYTES)].to_owned())
                    .collect()
            }
            FieldSource::Text => vec![
                element
                    .text()
                    .flat_map(str::chars)
                    .take(TEXT_BYTES)
                    .collect(),
            ],
        }
    }
}

/// A title on one line, without the page's indentation.
fn plain(title: &str) -> String {
    let words = title.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(TITLE_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::site::PageVerdict;

    const ITEM: &str = r#"<div class="desktop"><a href="/x/"><img src="/u/2011/01/02/a.png.295x184_q100.png"></a></div>"#;

    fn read(body: &str) -> ListingPage {
        let site = Site::shipped("simpledesktops").unwrap();
        site.read(&site.first(), body).unwrap()
    }

    #[test]
    fn malformed_pages_give_the_images_that_are_there() {
        let pages = [
            format!("{ITEM}<!-- never closed {ITEM}"),
            format!("\0\0<\0>{ITEM}\0</html>\0"),
            format!("</body></html>{ITEM}"),
            format!("<table><tr>{ITEM}</table>"),
            format!("<script>{ITEM}</script>{ITEM}<script>{ITEM}"),
            format!("<title>{ITEM}</title>{ITEM}<textarea>{ITEM}"),
            format!("<svg><b a='<'>{ITEM}</p></div></svg>"),
            format!("{ITEM}<img src='"),
            format!("<!DOCTYPE nonsense [<>{ITEM}"),
            ITEM.replace("</a></div>", ""),
            ITEM.to_uppercase().replace("DESKTOP\"", "desktop\""),
        ];
        for page in pages {
            assert_eq!(read(&page).images.len(), 1, "{page}");
        }
    }

    #[test]
    fn a_base_counts_when_it_points_to_something_that_can_be_asked() {
        let thumb = |base: &str| {
            read(&format!("{base}{}", ITEM.replace("/u/", "u/"))).images[0]
                .thumb
                .to_string()
        };
        let tail = "u/2011/01/02/a.png.295x184_q100.png";
        assert_eq!(
            thumb(""),
            format!("https://simpledesktops.com/browse/1/{tail}")
        );
        assert_eq!(
            thumb("<base href='/b/c'>"),
            format!("https://simpledesktops.com/b/{tail}")
        );
        assert_eq!(
            thumb("<base href='//static.simpledesktops.com'>"),
            format!("https://static.simpledesktops.com/{tail}")
        );
        assert_eq!(
            thumb("<base href='data:,x'>"),
            format!("https://simpledesktops.com/browse/1/{tail}")
        );
        assert_eq!(
            thumb("<base href='https://[/'>"),
            format!("https://simpledesktops.com/browse/1/{tail}")
        );
    }

    #[test]
    fn odd_addresses_are_counted_and_the_rest_is_found() {
        let unusable = [
            "javascript:alert(1)",
            "data:,x",
            "",
            "#",
            "http://[::1/a",
            "http://a:99999/",
            "http://u:p@a/x.png",
            "x\0y",
        ];
        let long = "a".repeat(100_000);
        let items = unusable
            .iter()
            .copied()
            .chain([long.as_str()])
            .map(|src| format!("<div class=desktop><a><img src='{src}'></a></div>"));
        let page = read(&(items.collect::<String>() + ITEM));
        assert_eq!(
            (page.images.len(), page.health.unusable, page.health.items),
            (1, 9, 10)
        );
    }

    #[test]
    fn a_page_without_items_is_the_end_where_the_marker_stands() {
        let empty = read("<div class='desktops archive'></div>").health;
        assert_eq!(empty.look(false), PageVerdict::End);
        assert!(matches!(empty.look(true), PageVerdict::Unexpected(_)));
        for other in [
            "",
            "<h1>Please log in</h1>",
            "\u{fffd}PNG\r\n",
            "<!-- <div class=desktops> -->",
        ] {
            assert!(
                matches!(read(other).health.look(false), PageVerdict::Unexpected(_)),
                "{other}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_soup_of_tags_is_read_and_gives_only_what_can_be_asked_for(soup in soup()) {
            let page = read(&soup);
            prop_assert_eq!(page.images.len() + page.health.without_thumb + page.health.unusable, page.health.items);
            for image in page.images {
                prop_assert!(matches!(image.thumb.scheme(), "http" | "https") && image.thumb.username().is_empty());
            }
        }
    }

    fn soup() -> impl Strategy<Value = String> {
        let tags = prop::sample::select(vec![
            ITEM,
            "<div class=desktop>",
            "<a>",
            "<img src='",
            "\">",
            "</a>",
            "</div>",
            "<table>",
            "<tr>",
            "</p>",
            "<svg>",
            "<math>",
            "<script>",
            "</script>",
            "<!--",
            "-->",
            "<template>",
            "</template>",
            "<select>",
            "<frameset>",
            "<body a=b>",
            "<html c=d>",
            "<plaintext>",
            "<![CDATA[",
            "<b>",
            "<i>",
            "</b>",
            "<base href='//x:1/'>",
            "&#0;",
            "\0",
            "<form>",
            "</body>",
            "</html>",
        ]);
        let piece = prop_oneof![6 => tags.prop_map(str::to_owned), 1 => any::<String>()];
        prop::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
    }
}
