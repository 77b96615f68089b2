//! Reads listing pages: the body of a response -> its images.

mod health;

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use url::Url;

pub use health::{PageHealth, PageVerdict, WrittenSources};

use super::document::{self, Condition, DocumentKind, ItemPath, MAX_ITEMS, Page, Scope, Source};
use super::fields::FieldRef;
use super::paging::{PageLinks, RawPageLinks};
use super::{Site, address};
use crate::event::ListingFailure;
use crate::job::{ImageRef, Record};

/// Titles are kept up to this many characters.
const TITLE_CHARACTERS: usize = 300;

/// Texts of one field that are kept: the first usable address counts, and more than some are a mistake of the definition.
const TEXTS_OF_A_FIELD: usize = 16;

/// What a page without items, answered with 200, must look like to be the one after the last.
#[derive(Debug)]
pub(super) enum EndMark {
    /// Only a list that is there and empty, on a page that tells.
    Never,
    /// The same, and any page without items of a language that does not tell.
    Empty,
    /// A page on which this is found does.
    Marker(ItemPath),
}

/// The text of a page, and what the server says about it.
#[derive(Debug, Clone, Copy)]
pub struct PageText<'a> {
    /// Decoded to UTF-8.
    pub text: &'a str,
    /// What it was decoded from: the queries of addresses on the page are in it.
    pub encoding: &'static Encoding,
    /// Whether browsers parse it as XML: XHTML by its content type.
    pub is_xml: bool,
}

impl<'a> From<&'a str> for PageText<'a> {
    /// A page in UTF-8 that is HTML.
    fn from(text: &'a str) -> Self {
        Self {
            text,
            encoding: UTF_8,
            is_xml: false,
        }
    }
}

impl<'a> From<&'a String> for PageText<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

/// How a site's listing pages are read.
#[derive(Debug)]
pub(super) struct Extractor {
    pub(super) kind: DocumentKind,
    pub(super) items: ItemPath,
    /// The items within an item; an item without any is one itself.
    pub(super) each: Option<ItemPath>,
    pub(super) conditions: Vec<Condition>,
    pub(super) thumb: Option<Source>,
    pub(super) link: Option<Source>,
    pub(super) title: Option<Source>,
    /// By the numbers of the record.
    pub(super) fields: Vec<FieldSource>,
    /// The texts of the whole page, which follow the fields in each record.
    pub(super) page_values: Vec<Source>,
    /// What each way to an original needs of an item.
    pub(super) needs: Vec<Vec<FieldRef>>,
    pub(super) end: EndMark,
    /// For messages.
    pub(super) written: Arc<WrittenSources>,
}

/// Where a field is.
#[derive(Debug)]
pub(super) struct FieldSource {
    pub(super) source: Source,
    /// Whether a way to the original takes it for an address.
    pub(super) is_address: bool,
}

/// What is found on a page, as written there.
#[derive(Default)]
struct RawPage {
    base: Option<String>,
    items: Vec<RawItem>,
    filtered: usize,
    /// For each condition, whether an item has what it looks at.
    has_value: Vec<bool>,
    page_values: Vec<Option<String>>,
    pieces: usize,
    empty_list: bool,
    end_mark: bool,
}

/// The texts of one item. Of several addresses the first usable one counts.
struct RawItem {
    thumb: Vec<String>,
    link: Vec<String>,
    title: Option<String>,
    fields: Vec<Vec<String>>,
}

/// What a listing page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingPage {
    /// The images with what a way to their original needs, in the page's order.
    pub images: Vec<ImageRef>,
    /// The counts from which the verdict on the page follows.
    pub health: PageHealth,
    /// What it says of the pages after it.
    pub next: PageLinks,
}

/// Reads the page that came from `page`.
pub(super) fn read(
    site: &Site,
    page: &Url,
    body: PageText<'_>,
) -> Result<ListingPage, ListingFailure> {
    let extractor = &site.extractor;
    let mut raw = RawPage {
        has_value: vec![false; extractor.conditions.len()],
        page_values: vec![None; extractor.page_values.len()],
        ..RawPage::default()
    };
    let mut links = RawPageLinks::default();
    let link_sources = site.page_order.sources();
    document::read(&extractor.kind, body, &mut |read| {
        extractor.take(read, &mut raw);
        if !link_sources.is_empty() {
            link_sources.read(read, &mut links);
        }
    })?;
    let RawPage {
        base,
        items,
        filtered,
        has_value,
        page_values,
        pieces,
        empty_list,
        end_mark,
    } = raw;
    // No more were looked for, so that the page may have been read in part.
    if items.len() + filtered >= MAX_ITEMS {
        return Err(ListingFailure::TooManyItems { limit: MAX_ITEMS });
    }
    let base = address::page_base(page, base.as_deref(), body.encoding);
    let page_values = page_values.into_iter().map(Vec::from_iter);
    let resolver = Resolver {
        site,
        page: Arc::new(page.clone()),
        base: &base,
        encoding: body.encoding,
        page_values: page_values.collect(),
    };
    let mut health = PageHealth {
        sources: Arc::clone(&extractor.written),
        items: items.len() + filtered,
        filtered,
        lacking: has_value
            .iter()
            .position(|has| !has)
            .filter(|_| filtered > 0 && items.is_empty()),
        without_thumb: 0,
        unusable: 0,
        without_key: 0,
        empty_list,
        split: pieces > 1,
        end_mark,
    };
    let mut images = Vec::with_capacity(items.len());
    for item in items {
        match resolver.image(item) {
            Ok(image) => {
                health.without_key += usize::from(site.identity.lacks_id(&image));
                images.push(image);
            }
            Err(ItemFault::Nothing) => health.without_thumb += 1,
            Err(ItemFault::Unusable) => health.unusable += 1,
        }
    }
    Ok(ListingPage {
        images,
        health,
        next: links.resolve(&base, body.encoding),
    })
}

impl Extractor {
    /// Takes what is wanted from a page, or from a piece of one.
    fn take(&self, page: &Page<'_>, raw: &mut RawPage) {
        raw.pieces += 1;
        raw.base = raw.base.take().or_else(|| page.base());
        let root = Scope {
            node: page.root(),
            outer: None,
        };
        for (value, source) in raw.page_values.iter_mut().zip(&self.page_values) {
            if value.is_none() {
                *value = source.texts(root).into_iter().next();
            }
        }
        let items = page.items(&self.items);
        let empty_list = if items.is_empty() {
            page.has_empty_list(&self.items)
        } else {
            Some(false)
        };
        for item in items {
            let inner = self.each.as_ref().map(|each| each.within(item));
            match inner.filter(|inner| !inner.is_empty()) {
                None => self.take_item(item, None, raw),
                Some(inner) => {
                    for node in inner {
                        self.take_item(node, Some(item), raw);
                    }
                }
            }
        }
        let (is_empty, is_end) = match &self.end {
            EndMark::Never => (empty_list == Some(true), empty_list == Some(true)),
            EndMark::Empty => (empty_list == Some(true), empty_list != Some(false)),
            EndMark::Marker(marker) => (false, !page.items(marker).is_empty()),
        };
        raw.empty_list |= is_empty;
        raw.end_mark |= is_end;
    }

    fn take_item<'a>(
        &self,
        node: document::Node<'a>,
        outer: Option<document::Node<'a>>,
        raw: &mut RawPage,
    ) {
        let scope = Scope { node, outer };
        let mut conditions = self.conditions.iter();
        if !conditions.all(|condition| condition.holds(scope)) {
            raw.filtered += 1;
            for (has_value, condition) in raw.has_value.iter_mut().zip(&self.conditions) {
                *has_value = *has_value || !condition.lacks_value(scope);
            }
            return;
        }
        let texts = |source: &Option<Source>| {
            let source = source.as_ref();
            source.map(|source| source.texts(scope)).unwrap_or_default()
        };
        let titles = texts(&self.title);
        let mut titles = titles.iter().map(|title| one_line(title));
        raw.items.push(RawItem {
            thumb: texts(&self.thumb),
            link: texts(&self.link),
            title: titles.find(|title| !title.is_empty()),
            fields: self
                .fields
                .iter()
                .map(|field| field.source.texts(scope))
                .collect(),
        });
    }
}

/// The title on one line, without the page's indentation.
fn one_line(title: &str) -> String {
    let mut line = String::with_capacity(title.len());
    for word in title.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if let Some((end, _)) = line.char_indices().nth(TITLE_CHARACTERS) {
        line.truncate(end);
    }
    line
}

/// Why an item shows no image.
enum ItemFault {
    /// It has no text for any way to an original.
    Nothing,
    /// It has texts, and no usable address among them.
    Unusable,
}

/// Makes images of items: addresses become absolute.
struct Resolver<'a> {
    site: &'a Site,
    page: Arc<Url>,
    base: &'a Url,
    encoding: &'static Encoding,
    page_values: Vec<Vec<String>>,
}

impl Resolver<'_> {
    fn image(&self, item: RawItem) -> Result<ImageRef, ItemFault> {
        let RawItem {
            thumb,
            link,
            title,
            fields,
        } = item;
        let was_there = |field: &FieldRef| match *field {
            FieldRef::Thumb => !thumb.is_empty(),
            FieldRef::Link => !link.is_empty(),
            FieldRef::Title => title.is_some(),
            // Texts of the page say nothing about the item.
            FieldRef::Field(number) => fields.get(number).is_some_and(|texts| !texts.is_empty()),
        };
        let had_texts = self.needs().any(|needs| needs.iter().any(was_there));
        let found_thumb = self.first(&thumb);
        let link = self.first(&link);
        let mut record = Vec::with_capacity(fields.len() + self.page_values.len());
        let has_address = found_thumb.is_some() || link.is_some();
        let mut first_address = None;
        for (mut texts, field) in fields.into_iter().zip(&self.site.extractor.fields) {
            if field.is_address {
                let urls = texts.iter().filter_map(|text| self.resolve(text));
                let urls = urls.take(TEXTS_OF_A_FIELD).collect::<Vec<_>>();
                if !has_address && first_address.is_none() {
                    first_address = urls.first().cloned();
                }
                texts = urls.into_iter().map(String::from).collect();
            } else {
                texts.truncate(1);
            }
            record.push(texts);
        }
        record.extend(self.page_values.iter().cloned());
        let has = |field: &FieldRef| match *field {
            FieldRef::Thumb => found_thumb.is_some(),
            FieldRef::Link => link.is_some(),
            FieldRef::Title => title.is_some(),
            FieldRef::Field(number) => record.get(number).is_some_and(|texts| !texts.is_empty()),
        };
        if !self.needs().any(|needs| needs.iter().all(has)) {
            return Err(if had_texts {
                ItemFault::Unusable
            } else {
                ItemFault::Nothing
            });
        }
        // What has no thumb is known by another address of its own, or by that of the page.
        let thumb = found_thumb
            .or_else(|| link.clone())
            .or(first_address)
            .unwrap_or_else(|| Url::clone(&self.page));
        Ok(ImageRef {
            site: self.site.id.clone(),
            page: Arc::clone(&self.page),
            thumb,
            link,
            title,
            is_original: false,
            record: Record(record),
        })
    }

    fn needs(&self) -> impl Iterator<Item = &Vec<FieldRef>> {
        self.site.extractor.needs.iter()
    }

    /// The first text that is a usable address.
    fn first(&self, texts: &[String]) -> Option<Url> {
        texts.iter().find_map(|text| self.resolve(text))
    }

    fn resolve(&self, text: &str) -> Option<Url> {
        let url = address::resolve(self.base, text, self.encoding)?;
        Some(self.site.canonical(url))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::event::ListingFailure;
    use crate::site::{ListingPage, PageVerdict, Site};

    const ITEM: &str = r#"<div class="desktop"><a href="/x/"><img src="/u/2011/01/02/a.png.295x184_q100.png"></a></div>"#;

    fn read(body: &str) -> ListingPage {
        let site = Site::shipped("simpledesktops").unwrap();
        site.read(&site.first_page(), body).unwrap()
    }

    #[test]
    fn an_empty_list_is_told_from_one_that_is_not_there() {
        let definition = |kind: &str, select: &str| {
            format!(
                r#"
[site]
name = "more"
base = "https://more.invalid"
[listing]
kind = "{kind}"
url = "/more/{{page}}"
stop = {{ empty = true }}
[item]
select = {select}
link = "{}"
[[full]]
field = "link"
"#,
                if kind == "json" { "/url" } else { "url" }
            )
        };
        let parsed = r#"{ source = "/html", parse = "json", then = "/*" }"#;
        for (kind, select, page, empty) in [
            ("json", "'/a/*'", r#"{"a": []}"#, true),
            ("json", "'/a/*'", r#"{"a": {}}"#, true),
            ("json", "'/a'", r#"{"a": null}"#, true),
            ("json", "''", "[]", true),
            ("json", "'/a/*/b'", r#"{"a": []}"#, true),
            ("json", "'/a/*/b'", r#"{"a": [{"c": 1}]}"#, false),
            ("json", "'/a/*'", r#"{"b": []}"#, false),
            ("json", "'/a/*'", r#"{"a": "no"}"#, false),
            ("json", "['/b/*', '/a/*']", r#"{"a": []}"#, true),
            ("json", parsed, r#"{"html": "[]"}"#, true),
            ("json", parsed, r#"{"htm": ""}"#, false),
            ("xml", "'posts/post'", "<posts count='0'/>", true),
            ("xml", "'posts/post'", "<error/>", false),
        ] {
            let site = Site::from_toml(&definition(kind, select)).unwrap();
            let health = site.read(&site.first_page(), page).unwrap().health;
            assert_eq!(health.empty_list, empty, "{kind} {select}: {page}");
            assert_eq!(health.end_mark, empty, "{kind} {select}: {page}");
        }
        // A channel has other elements too, and `stop.empty` says that it may be without items.
        let site = Site::from_toml(&definition("xml", "'channel/item'")).unwrap();
        let page = "<rss><channel><title>a</title></channel></rss>";
        let health = site.read(&site.first_page(), page).unwrap().health;
        assert_eq!((health.empty_list, health.end_mark), (false, true));
    }

    /// Listings in JSON whose items are HTML in a text: that of the page, or one of each outer item.
    #[test]
    fn items_in_a_text_are_read_in_its_language_and_the_outer_one_in_its_own() {
        let definition = |item: &str| {
            format!(
                r#"
[site]
name = "more"
base = "https://more.invalid"
[listing]
kind = "json"
url = "/more"
[item]
{item}
where = [{{ value = "img@src", exists = true }}]
thumb = "img@src"
link = "@href"
[[full]]
field = "thumb"
"#
            )
        };
        let page = r#"[{ "day": "1", "imgs": "<a href='/w/1'><img src='/1.png'></a><a href='/'>Home</a>" },
                       { "day": "2", "imgs": "<a href='/w/2'><img src='/2.png'></a>" },
                       { "day": "3" }]"#;
        let parsed = r#"{ source = "/imgs", parse = "html", then = "a" }"#;
        let ways = [
            format!("select = {}", parsed.replace("/imgs", "/*/imgs")),
            format!("select = \"/*\"\neach = {parsed}\nfields = {{ day = \"^/day\" }}"),
        ];
        for (way, outer) in ways.iter().zip([[&[][..], &[]], [&["1"], &["2"]]]) {
            let site = Site::from_toml(&definition(way)).unwrap();
            let images = site.read(&site.first_page(), page).unwrap().images;
            let thumbs: Vec<_> = images.iter().map(|image| image.thumb.path()).collect();
            let links: Vec<_> = images.iter().flat_map(|image| &image.link).collect();
            let links: Vec<_> = links.iter().map(|link| link.path()).collect();
            assert_eq!(thumbs, ["/1.png", "/2.png"], "{way}");
            assert_eq!(links, ["/w/1", "/w/2"], "{way}");
            let days: Vec<Vec<_>> = images
                .iter()
                .map(|image| {
                    image
                        .record
                        .0
                        .iter()
                        .flatten()
                        .map(String::as_str)
                        .collect()
                })
                .collect();
            assert_eq!(days, outer, "{way}");
        }
        let wrong = definition(&ways[1].replace("^/day", "/day"));
        assert!(Site::from_toml(&wrong).is_err());
    }

    #[test]
    fn a_page_with_more_items_than_are_looked_for_is_refused() {
        let site = Site::from_toml(
            "[site]\nname = 'm'\nbase = 'https://m.invalid'\n[listing]\nkind = 'json'\nurl = '/'\n\
             [item]\nselect = '/*'\nthumb = ''\n[[full]]\nfield = 'thumb'\n",
        );
        let page = format!("[{}0]", "0,".repeat(150_000));
        let read = site.unwrap();
        let read = read.read(&read.first_page(), page.as_str());
        assert_eq!(
            read.unwrap_err(),
            ListingFailure::TooManyItems { limit: 100_000 }
        );
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
            (1, 7, 10)
        );
        assert_eq!(
            page.health.without_thumb, 2,
            "an empty text and `data:` are as none"
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
