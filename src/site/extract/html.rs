//! HTML listings: items, thumbs, links and titles by CSS selectors.

use std::borrow::Cow;

use scraper::{ElementRef, Html};
use serde::Deserialize;
use toml::Spanned;

use super::{EndMark, Extract, ItemTable, PageText, RawItem, RawPage};
use crate::event::ListingFailure;
use crate::site::address;
use crate::site::diagnostic::Diagnostic;
use crate::site::document::html::{css, tree, xhtml};
use crate::site::name::char_boundary_before;
use crate::site::pattern::selector;
use crate::site::schema::OneOrMore;
use crate::site::selector::Selector;

/// Bytes of one text that are kept until it is parsed: more than a usable address has, so that a cut one is refused.
const TEXT_BYTES: usize = 2 * address::MAX_BYTES;

/// Titles are kept up to this many characters.
const TITLE_CHARACTERS: usize = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `select` and `thumb`")]
pub(super) struct HtmlItemTable {
    select: Spanned<String>,
    thumb: AttributeTable,
    link: Option<AttributeTable>,
    title: Option<Spanned<TitleTable>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `attr`, and `select` where it is not the item's own"
)]
struct AttributeTable {
    select: Option<Spanned<String>>,
    attr: Spanned<OneOrMore<String>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with `attr` or `text`, and `select` where it is not the item's own"
)]
struct TitleTable {
    select: Option<Spanned<String>>,
    attr: Option<Spanned<OneOrMore<String>>>,
    #[serde(default)]
    text: bool,
}

impl ItemTable for HtmlItemTable {
    fn compile(
        self: Box<Self>,
        end: EndMark<Spanned<String>>,
    ) -> Result<Box<dyn Extract>, Diagnostic> {
        let Self {
            select,
            thumb,
            link,
            title,
        } = *self;
        Ok(Box::new(HtmlListing {
            item: selector(&select)?,
            thumb: attribute_field(thumb)?,
            link: link.map(attribute_field).transpose()?,
            title: title.map(title_field).transpose()?,
            end: match end {
                EndMark::Never => EndMark::Never,
                EndMark::Empty => EndMark::Empty,
                EndMark::Marker(marker) => EndMark::Marker(selector(&marker)?),
            },
        }))
    }
}

fn attribute_field(
    AttributeTable { select, attr }: AttributeTable,
) -> Result<ItemField, Diagnostic> {
    Ok(ItemField {
        select: select.as_ref().map(selector).transpose()?,
        text: attributes(attr)?,
    })
}

fn title_field(written: Spanned<TitleTable>) -> Result<ItemField, Diagnostic> {
    let span = written.span();
    let TitleTable { select, attr, text } = written.into_inner();
    let text = match (attr, text) {
        (Some(attr), false) => attributes(attr)?,
        (None, true) => FieldText::Inner,
        (Some(_), true) | (None, false) => {
            let help = "`attr = \"title\"` takes an attribute, `text = true` the text inside";
            return Err(
                Diagnostic::new(span, "a title is either an attribute or a text").help(help),
            );
        }
    };
    Ok(ItemField {
        select: select.as_ref().map(selector).transpose()?,
        text,
    })
}

fn attributes(written: Spanned<OneOrMore<String>>) -> Result<FieldText, Diagnostic> {
    let span = written.span();
    let OneOrMore(names) = written.into_inner();
    if names.iter().all(|name| name.trim().is_empty()) {
        return Err(
            Diagnostic::new(span, "no attribute is named").help("write one, as `attr = \"src\"`")
        );
    }
    Ok(FieldText::Attributes(
        names.iter().map(|name| name.to_ascii_lowercase()).collect(),
    ))
}

/// How the pages of one HTML listing are read.
#[derive(Debug)]
struct HtmlListing {
    item: Selector,
    thumb: ItemField,
    link: Option<ItemField>,
    title: Option<ItemField>,
    end: EndMark<Selector>,
}

/// Where in an item a text is.
#[derive(Debug)]
struct ItemField {
    /// The element within the item; the item itself without one.
    select: Option<Selector>,
    text: FieldText,
}

#[derive(Debug)]
enum FieldText {
    /// The values of these attributes, the preferred one first.
    Attributes(Vec<String>),
    /// The text inside the element.
    Inner,
}

impl Extract for HtmlListing {
    fn extract(&self, body: PageText<'_>) -> Result<RawPage, ListingFailure> {
        let mut page = RawPage {
            end_mark: matches!(self.end, EndMark::Empty),
            ..RawPage::default()
        };
        let text = if body.is_xml {
            Cow::Owned(xhtml::to_html(body.text))
        } else {
            Cow::Borrowed(body.text)
        };
        let trees = tree::each(&text, !body.is_xml, |html| {
            page.base = page.base.take().or_else(|| base_of(html));
            let items = self.item.select(html);
            page.items.extend(items.map(|item| self.raw(html, item)));
            if let EndMark::Marker(marker) = &self.end {
                page.end_mark |= marker.select(html).next().is_some();
            }
        })?;
        page.split = trees > 1;
        Ok(page)
    }
}

/// The `href` of the first `<base>` that has one.
fn base_of(html: &Html) -> Option<String> {
    let elements = html.tree.nodes().filter_map(ElementRef::wrap);
    let mut bases = elements.filter(|element| element.value().name() == "base");
    bases.find_map(|base| base.attr("href")).map(str::to_owned)
}

impl HtmlListing {
    fn raw(&self, page: &Html, item: ElementRef<'_>) -> RawItem {
        let texts = |field: &ItemField| field.texts(page, item);
        let titles = self.title.as_ref().map(texts).unwrap_or_default();
        RawItem {
            thumb: texts(&self.thumb),
            link: self.link.as_ref().map(texts).unwrap_or_default(),
            title: titles
                .iter()
                .map(|title| one_line(title))
                .find(|title| !title.is_empty()),
        }
    }
}

impl ItemField {
    /// The texts there, the preferred one first; none when the item lacks the element.
    fn texts(&self, page: &Html, item: ElementRef<'_>) -> Vec<String> {
        let element = match &self.select {
            Some(select) => select.first_within(page, item),
            None => Some(item),
        };
        let Some(element) = element else {
            return Vec::new();
        };
        match &self.text {
            FieldText::Attributes(names) => {
                let values = names
                    .iter()
                    .filter_map(|name| Some((name, attribute(element, name)?)));
                values
                    .flat_map(|(name, value)| {
                        if css::is_css(name, value) {
                            css::addresses(value)
                        } else {
                            vec![cut(value).to_owned()]
                        }
                    })
                    .collect()
            }
            FieldText::Inner => vec![
                element
                    .text()
                    .flat_map(str::chars)
                    .take(TEXT_BYTES)
                    .collect(),
            ],
        }
    }
}

/// The value of an attribute. In SVG and XHTML the parser splits a name as `xlink:href` in two.
fn attribute<'a>(element: ElementRef<'a>, name: &str) -> Option<&'a str> {
    element.attr(name).or_else(|| {
        let (prefix, local) = name.split_once(':')?;
        let mut attributes = element.value().attrs.iter();
        let found = attributes.find(|(attribute, _)| {
            &*attribute.local == local && attribute.prefix.as_deref() == Some(prefix)
        });
        found.map(|(_, value)| &**value)
    })
}

/// As much of an attribute's value as is kept.
fn cut(value: &str) -> &str {
    &value[..char_boundary_before(value, TEXT_BYTES)]
}

/// The title on one line, without the page's indentation.
fn one_line(title: &str) -> String {
    let words = title.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(TITLE_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::site::{ListingPage, PageVerdict, Site};

    const ITEM: &str = r#"<div class="desktop"><a href="/x/"><img src="/u/2011/01/02/a.png.295x184_q100.png"></a></div>"#;

    fn read(body: &str) -> ListingPage {
        let site = Site::shipped("simpledesktops").unwrap();
        site.read(&site.first_page(), body).unwrap()
    }

    #[test]
    fn malformed_html_gives_the_images_that_are_there() {
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
    fn an_html_base_counts_when_it_is_a_usable_url() {
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
    fn unusable_addresses_are_counted_and_the_rest_is_found() {
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
    fn a_page_without_items_is_the_end_if_it_shows_the_marker() {
        let empty = read("<div class='desktops archive'></div>").health;
        assert_eq!(empty.verdict(false), PageVerdict::End);
        assert!(matches!(empty.verdict(true), PageVerdict::Unexpected(_)));
        for other in [
            "",
            "<h1>Please log in</h1>",
            "\u{fffd}PNG\r\n",
            "<!-- <div class=desktops> -->",
        ] {
            assert!(
                matches!(
                    read(other).health.verdict(false),
                    PageVerdict::Unexpected(_)
                ),
                "{other}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_html_tag_soup_gives_only_usable_addresses(soup in soup()) {
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
