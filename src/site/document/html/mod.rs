//! HTML pages: parsing within bounds, and the texts of their elements.

pub(in crate::site) mod css;
mod pending;
mod srcset;
mod text;
pub(in crate::site) mod tree;
pub(in crate::site) mod well_formed;
pub(in crate::site) mod xhtml;

use std::borrow::Cow;
use std::ops::ControlFlow;

use html5ever::{local_name, ns};
use scraper::{ElementRef, Html, Node as HtmlNode};
use toml::Spanned;

pub(super) use text::{strip_tags, unescape};

use super::limits::{MAX_TEXT_BYTES, STEP_BYTES, Work};
use crate::site::diagnostic::Diagnostic;
use crate::site::pattern::selector;
use crate::site::selector::Selector;

/// A whole page, or an element of one.
#[derive(Clone, Copy)]
pub(super) struct HtmlPlace<'a> {
    pub(super) page: &'a Html,
    pub(super) element: Option<ElementRef<'a>>,
}

/// As many attributes as an element of a usual page has.
const FEW_ATTRIBUTES: usize = 16;

/// Where in an element a text is: `css@attribute`, `css`, `@attribute` or `.`.
#[derive(Debug)]
pub(super) struct HtmlLocator {
    /// The elements within; the element itself without one.
    select: Option<Selector>,
    /// The text inside without one.
    attribute: Option<String>,
}

/// The `href` of the first `<base>` that has one.
pub(super) fn base_of(page: &Html) -> Option<String> {
    let elements = page.tree.nodes().filter_map(ElementRef::wrap);
    let mut bases = elements.filter(|element| element.value().name.local == local_name!("base"));
    bases.find_map(|base| base.attr("href")).map(str::to_owned)
}

/// The elements at or below a place that match, in the page's order; none that would exceed `work`.
pub(super) fn select<'a>(
    selector: &Selector,
    place: HtmlPlace<'a>,
    work: &Work,
    limit: usize,
) -> Vec<HtmlPlace<'a>> {
    let mut found = Vec::new();
    let _ = each_selected(selector, place, work, limit, |place| {
        found.push(place);
        ControlFlow::Continue(())
    });
    found
}

fn each_selected<'a>(
    selector: &Selector,
    place: HtmlPlace<'a>,
    work: &Work,
    limit: usize,
    see: impl FnMut(HtmlPlace<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let HtmlPlace { page, element } = place;
    let of_page = |element| HtmlPlace {
        page,
        element: Some(element),
    };
    if let Some(scope) = element {
        let found = selector.within(page, scope, work);
        found.take(limit).map(of_page).try_for_each(see)
    } else {
        let found = selector.select(page, work);
        found.take(limit).map(of_page).try_for_each(see)
    }
}

impl HtmlLocator {
    /// Compiles `text`, a source as `img@src`; `written` is where it stands.
    pub(super) fn compile<T>(text: &str, written: &Spanned<T>) -> Result<Self, Diagnostic> {
        let refuse = |message: String, help: &str| {
            Err(Diagnostic::at(written, message).help(help.to_owned()))
        };
        if text.trim().is_empty() {
            return refuse(
                "an empty source".to_owned(),
                "write `.` for the item's own text, `a@href` for an attribute",
            );
        }
        if text.trim() == "." {
            return Ok(Self {
                select: None,
                attribute: None,
            });
        }
        let (css, attribute) = match split_attribute(text) {
            (css, Some(attribute)) => (css.trim(), Some(attribute.trim())),
            (css, None) => (css.trim(), None),
        };
        if css.starts_with('/') {
            return refuse(
                "not a selector: it looks like a path".to_owned(),
                "write CSS and the attribute behind `@`, as `div.card a@href`",
            );
        }
        if css.contains("::") {
            return refuse(
                "pseudo elements select nothing here".to_owned(),
                "write the attribute behind `@`, as `a@href`; without `@` it is the text",
            );
        }
        if let Some(name) = attribute {
            let is_name = !name.is_empty()
                && !name.contains(|c: char| {
                    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '/' | '=' | ',' | '@')
                });
            if name.contains(',') {
                return refuse(
                    format!("`{name}` is not the name of an attribute"),
                    "write alternatives as a list: `[\"a@href\", \"img@src\"]`",
                );
            }
            if !is_name {
                return refuse(
                    format!("`{name}` is not the name of an attribute"),
                    "write its name behind `@`, as `img@data-src`",
                );
            }
        }
        let select = match css {
            "" | "." => None,
            css => Some(selector(&Spanned::new(written.span(), css.to_owned()))?),
        };
        Ok(Self {
            select,
            attribute: attribute.map(str::to_ascii_lowercase),
        })
    }

    /// The elements that it looks at.
    fn elements<'a>(&self, place: HtmlPlace<'a>, work: &Work, limit: usize) -> Vec<HtmlPlace<'a>> {
        let mut elements = Vec::new();
        let _ = self.each_element(place, work, limit, |place| {
            elements.push(place);
            ControlFlow::Continue(())
        });
        elements
    }

    fn each_element<'a>(
        &self,
        place: HtmlPlace<'a>,
        work: &Work,
        limit: usize,
        mut see: impl FnMut(HtmlPlace<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match &self.select {
            Some(selector) => each_selected(selector, place, work, limit, see),
            None if work.step(1) => see(place),
            None => ControlFlow::Break(()),
        }
    }

    /// Whether there is such an element, with such an attribute.
    pub(super) fn exists(&self, place: HtmlPlace<'_>, work: &Work) -> bool {
        let Some(name) = &self.attribute else {
            return !self.elements(place, work, 1).is_empty();
        };
        let mut elements = self.elements(place, work, usize::MAX).into_iter();
        elements.any(|place| attribute(place.root_element(), name).is_some())
    }

    /// The texts there, in the page's order; of a `srcset` the largest image first. Only elements whose text is `text`
    /// count, if there is one. With `whole` the text of an element is not put on one line, and may be long.
    pub(super) fn texts<'a>(
        &self,
        place: HtmlPlace<'a>,
        text: Option<&str>,
        whole: Option<usize>,
        work: &Work,
        limit: usize,
    ) -> Vec<Cow<'a, str>> {
        if let (Some(name), None) = (&self.attribute, text)
            && !name.ends_with("srcset")
        {
            // Most sources are such: no list of the elements is made for them.
            let mut texts = Vec::new();
            let _ = self.each_element(place, work, limit, |place| {
                take_value(place, name, work, limit, &mut texts)
            });
            return texts;
        }
        let mut elements = self.elements(place, work, limit);
        if let Some(text) = text {
            elements.retain(|place| {
                let own = text::folded(place.strings(work), MAX_TEXT_BYTES);
                work.read(own.len());
                text::is_labelled(&own, text)
            });
        }
        let Some(name) = &self.attribute else {
            let texts = elements.into_iter().map(|place| match whole {
                Some(limit) => text::whole(place.strings(work), limit),
                None => text::folded(place.strings(work), MAX_TEXT_BYTES),
            });
            return texts
                .map(|text| {
                    work.read(text.len());
                    Cow::Owned(text)
                })
                .collect();
        };
        if name.ends_with("srcset") {
            let values = elements.iter();
            let values = values.filter_map(|place| attribute(place.root_element(), name));
            if !work.step(values.map(str::len).sum::<usize>() / STEP_BYTES) {
                return Vec::new();
            }
            return srcset::largest_first(&elements, name, limit)
                .into_iter()
                .map(Cow::Owned)
                .collect();
        }
        let mut texts = Vec::new();
        let _ = elements
            .into_iter()
            .try_for_each(|place| take_value(place, name, work, limit, &mut texts));
        texts
    }
}

/// Adds what an element's attribute holds, up to `limit` texts.
fn take_value<'a>(
    place: HtmlPlace<'a>,
    name: &str,
    work: &Work,
    limit: usize,
    texts: &mut Vec<Cow<'a, str>>,
) -> ControlFlow<()> {
    let Some(value) = attribute(place.root_element(), name) else {
        return ControlFlow::Continue(());
    };
    if !work.step(value.len() / STEP_BYTES) {
        return ControlFlow::Break(());
    }
    if css::is_css(name, value) {
        texts.extend(css::addresses(value).into_iter().map(Cow::Owned));
        texts.truncate(limit);
    } else {
        texts.push(Cow::Borrowed(value));
    }
    if texts.len() < limit {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

impl<'a> HtmlPlace<'a> {
    /// The element, or that of the whole page.
    fn root_element(self) -> ElementRef<'a> {
        self.element.unwrap_or_else(|| self.page.root_element())
    }

    /// The texts below, as pages show them: those of scripts and styles only if the place is one itself.
    fn strings(self, work: &Work) -> impl Iterator<Item = &'a str> {
        let root = self.root_element();
        let is_hidden = |name: &str| matches!(name, "script" | "style" | "template");
        let shows_all = is_hidden(root.value().name());
        let cost = |node: &HtmlNode| node.as_text().map_or(1, |text| 1 + text.len() / STEP_BYTES);
        let nodes = root.descendants();
        let nodes = nodes.take_while(move |node| work.step(cost(node.value())));
        nodes.filter_map(move |node| match node.value() {
            HtmlNode::Text(text) => {
                let parent = node.parent().and_then(ElementRef::wrap);
                let hides = parent.is_some_and(|parent| is_hidden(parent.value().name()));
                (shows_all || !hides).then_some(&**text)
            }
            _ => None,
        })
    }
}

/// The value of an attribute. In SVG and XHTML the parser splits a name as `xlink:href` in two.
fn attribute<'a>(element: ElementRef<'a>, name: &str) -> Option<&'a str> {
    let attributes = &element.value().attrs;
    let find = |prefix: Option<&str>, local: &str| {
        let found = attributes.iter().find(|(attribute, _)| {
            &*attribute.local == local
                && attribute.prefix.as_deref() == prefix
                && (prefix.is_some() || attribute.ns == ns!())
        });
        found.map(|(_, value)| &**value)
    };
    // Of a few, comparing them is cheaper: scraper looks the name up among all atoms first.
    let plain = if attributes.len() > FEW_ATTRIBUTES {
        element.attr(name)
    } else {
        find(None, name)
    };
    plain.or_else(|| {
        let (prefix, local) = name.split_once(':')?;
        find(Some(prefix), local)
    })
}

/// What is before the first `@` outside of quotes, brackets and escapes, and behind it.
fn split_attribute(text: &str) -> (&str, Option<&str>) {
    let mut at = None;
    let mut quote = None;
    let mut open = 0_usize;
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        if is_escaped {
            is_escaped = false;
            continue;
        }
        match (quote, byte) {
            (_, b'\\') => is_escaped = true,
            (Some(mark), byte) if mark == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[' | b'(') => open += 1,
            (None, b']' | b')') => open = open.saturating_sub(1),
            (None, b'@') if open == 0 => at = at.or(Some(index)),
            (Some(_) | None, _) => {}
        }
    }
    match at {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::super::testing::{item_texts, refusal, texts};
    use super::*;

    fn at(page: &str, source: &str) -> Vec<String> {
        let quoted = toml::Value::String(source.to_owned()).to_string();
        texts(&DocumentKind::Html, page, &quoted)
    }

    #[test]
    fn the_attribute_of_a_source_is_behind_the_at_sign_outside_of_brackets() {
        for (source, expected) in [
            ("img@src", ("img", Some("src"))),
            ("@href", ("", Some("href"))),
            ("a", ("a", None)),
            ("a[href='@x']@title", ("a[href='@x']", Some("title"))),
            ("a[title=\"x @ y\"] b", ("a[title=\"x @ y\"] b", None)),
            (".sm\\@2x", (".sm\\@2x", None)),
            ("a:not([x='@'])@b", ("a:not([x='@'])", Some("b"))),
        ] {
            assert_eq!(split_attribute(source), expected, "{source}");
        }
    }

    #[test]
    fn an_html_source_gives_attributes_and_texts() {
        let page = "<base href=/x/><div class=card id=one><a href='/a' title=' T\n'>An <b>old</b>\n  pier</a><img SRC=/s.png data-src=/l.png></div>";
        let cases: [(&str, &[&str]); 7] = [
            ("a@href", &["/a"]),
            ("a@title", &["T"]),
            ("a", &["An old pier"]),
            ("img@src", &["/s.png"]),
            ("img@DATA-SRC", &["/l.png"]),
            ("b, a b", &["old"]),
            ("video@src", &[]),
        ];
        for (source, expected) in cases {
            assert_eq!(at(page, source), expected, "{source}");
        }
        let own = |source| item_texts(&DocumentKind::Html, page, "\".card\"", "", source).concat();
        assert_eq!(own("\"@id\""), ["one"]);
        assert_eq!(own("\".\""), ["An old pier"]);
        assert!(own("\".card@id\"").is_empty());
    }

    #[test]
    fn the_text_of_a_script_is_no_part_of_an_items_text() {
        let page = "<div>a<script>b()</script><style>c {}</style> d</div>";
        assert_eq!(at(page, "div"), ["a d"]);
        assert_eq!(at(page, "script"), ["b()"]);
    }

    #[test]
    fn html_styles_and_sets_give_their_addresses() {
        let page = "<i style=\"background: url('a.png'), url(b.png)\"></i><img srcset='s.png 300w,l.png 900w'><img data-srcset='c.png 2x, d.png'>";
        assert_eq!(at(page, "i@style"), ["a.png", "b.png"]);
        assert_eq!(at(page, "img@srcset"), ["l.png", "s.png"]);
        assert_eq!(at(page, "img@data-srcset"), ["c.png", "d.png"]);
    }

    #[test]
    fn the_sources_of_a_picture_are_compared_with_each_other() {
        let picture = |large: u32| {
            format!(
                "<picture><source media='(max-width: 600px)' srcset='s{large}.png 480w'><source srcset='m{large}.png 1200w, l{large}.png {large}w'><img src=x.png srcset='t{large}.png'></picture>"
            )
        };
        let page = picture(1_600) + &picture(2_400);
        let found = at(&page, "picture source@srcset");
        assert_eq!(
            found,
            [
                "l1600.png",
                "m1600.png",
                "s1600.png",
                "l2400.png",
                "m2400.png",
                "s2400.png"
            ]
        );
    }

    #[test]
    fn links_can_be_chosen_by_their_text() {
        let page = "<a href=/1>Previous</a><a href=/3>Next \u{bb}</a><a href=/9>Next week</a>";
        let next = "{ source = \"a@href\", text = \"Next\" }";
        assert_eq!(texts(&DocumentKind::Html, page, next), ["/3"]);
    }

    #[test]
    fn an_xlink_attribute_of_svg_is_found() {
        let page = "<svg><image xlink:href='/a.svg'/></svg>";
        assert_eq!(at(page, "image@xlink:href"), ["/a.svg"]);
    }

    #[test]
    fn a_wrong_html_source_is_refused_with_help() {
        for (source, words) in [
            ("", "an empty source"),
            ("img@", "write its name behind `@`"),
            ("img@src b", "write its name behind `@`"),
            ("a@href, img@src", "write alternatives as a list"),
            ("//img/@src", "it looks like a path"),
            ("img::attr(src)", "write the attribute behind `@`"),
            ("li >@src", "not a selector: dangling combinator"),
        ] {
            let refusal = refusal(&DocumentKind::Html, &format!("\"{source}\""));
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
