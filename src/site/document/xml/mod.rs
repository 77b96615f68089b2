//! XML pages, as feeds have them: a bounded tree, and paths in it.

mod parse;
mod path;

use std::borrow::Cow;
use std::ops::Range;

pub(super) use path::{XmlPath, XmlPlace};

use super::html::xhtml;

/// A page. Elements and texts are in its order, so that what is below an element is right behind it.
#[derive(Debug)]
pub(super) struct XmlTree<'t> {
    text: &'t str,
    nodes: Vec<XmlNode>,
    attributes: Vec<XmlAttribute>,
    /// Each name once, as pages repeat them.
    names: Vec<XmlName>,
}

#[derive(Debug)]
enum XmlNode {
    Element(XmlElement),
    Text(String),
}

#[derive(Debug)]
struct XmlElement {
    name: usize,
    attributes: Range<usize>,
    /// The first node behind all that is within.
    end: usize,
    /// What is between its tags, in bytes of the page.
    inner: Range<usize>,
    has_elements: bool,
    /// Whether it says that it has no value.
    is_nil: bool,
}

#[derive(Debug)]
struct XmlAttribute {
    name: usize,
    value: Box<str>,
}

/// The name of an element or an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct XmlName {
    pub(super) prefix: Option<Box<str>>,
    pub(super) local: Box<str>,
    /// The URI of the namespace; `None` without one, or where the prefix was not declared.
    pub(super) namespace: Option<Box<str>>,
}

impl XmlTree<'_> {
    /// The elements that are children of `element`, or the root of the page.
    pub(super) fn children(&self, element: Option<usize>) -> impl Iterator<Item = usize> {
        let (mut at, end) = self.inside(element);
        std::iter::from_fn(move || {
            while at < end {
                let this = at;
                match &self.nodes[this] {
                    XmlNode::Element(element) => {
                        at = element.end;
                        return Some(this);
                    }
                    XmlNode::Text(_) => at += 1,
                }
            }
            None
        })
    }

    /// The elements below `element`, or all of the page.
    pub(super) fn descendants(&self, element: Option<usize>) -> impl Iterator<Item = usize> {
        let (at, end) = self.inside(element);
        (at..end).filter(|&at| matches!(self.nodes[at], XmlNode::Element(_)))
    }

    fn inside(&self, element: Option<usize>) -> (usize, usize) {
        match element.and_then(|at| Some((at, self.element(at)?))) {
            Some((at, element)) => (at + 1, element.end),
            None => (0, self.nodes.len()),
        }
    }

    fn element(&self, at: usize) -> Option<&XmlElement> {
        match self.nodes.get(at)? {
            XmlNode::Element(element) => Some(element),
            XmlNode::Text(_) => None,
        }
    }

    pub(super) fn name(&self, at: usize) -> Option<&XmlName> {
        self.names.get(self.element(at)?.name)
    }

    /// Names and values of an element's attributes.
    pub(super) fn attributes(&self, at: usize) -> impl Iterator<Item = (&XmlName, &str)> {
        let range = self.element(at).map(|element| element.attributes.clone());
        let attributes = self.attributes.get(range.unwrap_or_default());
        let attributes = attributes.unwrap_or_default().iter();
        attributes
            .filter_map(|attribute| Some((self.names.get(attribute.name)?, &*attribute.value)))
    }

    /// Whether the element says that it has no value.
    pub(super) fn is_nil(&self, at: usize) -> bool {
        self.element(at).is_some_and(|element| element.is_nil)
    }

    /// The texts below, as one; nothing when they are longer than `limit` bytes.
    pub(super) fn text(&self, element: Option<usize>, limit: usize) -> Cow<'_, str> {
        let (at, end) = self.inside(element);
        let mut texts = self.nodes[at..end].iter().filter_map(|node| match node {
            XmlNode::Text(text) => Some(text),
            XmlNode::Element(_) => None,
        });
        let Some(first) = texts.next() else {
            return Cow::Borrowed("");
        };
        let mut whole = Cow::Borrowed(first.as_str());
        for text in texts {
            if whole.len() + text.len() > limit {
                return Cow::Borrowed("");
            }
            whole.to_mut().push_str(text);
        }
        whole
    }

    /// The HTML in an element: its text, or all between its tags where the feed did not escape it.
    pub(super) fn html(&self, at: Option<usize>, limit: usize) -> Cow<'_, str> {
        match at.and_then(|at| self.element(at)) {
            Some(element) if element.has_elements => {
                let inner = self.text.get(element.inner.clone()).unwrap_or_default();
                if inner.len() > limit {
                    return Cow::Borrowed("");
                }
                Cow::Owned(xhtml::to_html(inner))
            }
            Some(_) | None => self.text(at, limit),
        }
    }

    /// `xml:base` of the page's root.
    pub(super) fn base(&self) -> Option<String> {
        let root = self.children(None).next()?;
        let mut attributes = self.attributes(root);
        let (_, base) = attributes
            .find(|(name, _)| name.prefix.as_deref() == Some("xml") && &*name.local == "base")?;
        Some(base.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::super::limits::{MAX_DEPTH, MAX_NODES};
    use super::super::testing::{holds, item_texts, refusal, texts, try_read};
    use super::*;
    use crate::event::ListingFailure;

    fn kind() -> DocumentKind {
        let namespaces = [
            ("media", "http://search.yahoo.com/mrss/"),
            ("atom", "http://www.w3.org/2005/Atom"),
            ("xlink", "http://www.w3.org/1999/xlink"),
        ];
        DocumentKind::Xml(
            namespaces
                .map(|(prefix, uri)| (prefix.to_owned(), uri.to_owned()))
                .to_vec(),
        )
    }

    const FEED: &str = r#"<?xml version="1.0" encoding="utf-8"?>
        <!DOCTYPE rss [<!ENTITY big "<x/>"><!ENTITY lol "&big;&big;">]>
        <rss xmlns:m="http://search.yahoo.com/mrss/" xmlns:a="http://www.w3.org/2005/Atom" version="2.0">
        <channel xml:base="https://not-the-root.invalid/">
            <a:link rel="self" href="/feed"/><a:link rel="next" href="?page=2"/>
            <title>The &amp; feed</title>
            <item>
                <title><![CDATA[Sea & <b>sky</b>]]></title><m:title>other</m:title>
                <guid isPermaLink="false">id-&#x41;&#66;&nosuch;&lol;</guid>
                <m:group>
                    <m:content url="/s.jpg?a=1&amp;b=2&c" medium="image" width="640"/>
                    <m:content url='/v.mp4' medium="video" width="9999"/>
                    <m:content url="/l.jpg" medium="image" width="1920"/>
                </m:group>
                <enclosure type="image/jpeg" url="/e.jpg" />
            </item>
            <!-- <item/> -->
            <item><title>two</title><rating nil="true">x</rating></item>
        </channel></rss>"#;

    fn items(source: &str) -> Vec<Vec<String>> {
        item_texts(&kind(), FEED, "\"item\"", "", source)
    }

    #[test]
    fn xml_sources_give_texts_and_attributes_by_namespace() {
        for (source, expected) in [
            ("\"title\"", vec!["Sea & <b>sky</b>"]),
            ("\"media:title\"", vec!["other"]),
            ("\"enclosure@url\"", vec!["/e.jpg"]),
            ("\"enclosure[type^='image/']@url\"", vec!["/e.jpg"]),
            ("\"enclosure[type$=png]@url\"", vec![]),
            ("\"media:content@url\"", vec![]),
            (
                "\"media:group/media:content[medium=image]@url\"",
                vec!["/s.jpg?a=1&b=2&c", "/l.jpg"],
            ),
            ("\"//media:content[medium=video]@url\"", vec!["/v.mp4"]),
            ("\"*/media:content[url*=l]@url\"", vec!["/l.jpg"]),
            ("\"guid\"", vec!["id-AB&nosuch;&lol;"]),
            ("\"channel/title\"", vec![]),
        ] {
            assert_eq!(items(source)[0], expected, "{source}");
        }
        assert_eq!(items("\"title\"")[1], ["two"]);
    }

    #[test]
    fn the_largest_image_of_a_feed_item_is_picked_after_the_others_are_left_out() {
        let source = "{ each = \"//media:content\", where = [{ value = \"@medium\", equals = \"image\" }], source = \"@url\", pick = { largest = \"@width\" } }";
        assert_eq!(items(source)[0], ["/l.jpg"]);
    }

    #[test]
    fn xml_of_the_whole_page_is_found_at_any_depth() {
        let page = |source: &str| texts(&kind(), FEED, source);
        assert_eq!(page("\"atom:link[rel=next]@href\""), ["?page=2"]);
        assert_eq!(page("\"rss/channel/title\""), ["The & feed"]);
        assert_eq!(page("\"@version\""), ["2.0"]);
        assert_eq!(
            page("\"channel@xml:base\""),
            ["https://not-the-root.invalid/"]
        );
        assert!(XmlTree::parse(FEED).unwrap().base().is_none());
        let based = XmlTree::parse("<r xml:base='/b/'/>").unwrap();
        assert_eq!(based.base().as_deref(), Some("/b/"));
    }

    #[test]
    fn xml_elements_that_are_nil_have_no_text() {
        assert!(items("\"rating\"")[1].is_empty());
        let page = "<r xmlns:i='http://www.w3.org/2001/XMLSchema-instance'><a i:nil='true'>x</a><b nil='false'>y</b></r>";
        assert!(texts(&kind(), page, "\"a\"").is_empty());
        assert_eq!(texts(&kind(), page, "\"b\""), ["y"]);
        assert!(holds(&kind(), page, "{ value = \"a\", exists = false }"));
        assert!(holds(&kind(), page, "{ value = \"b@nil\", exists = true }"));
        assert!(holds(&kind(), page, "{ value = \"b@x\", exists = false }"));
    }

    #[test]
    fn a_default_namespace_needs_no_prefix_and_may_have_one() {
        let page = "<feed xmlns='http://www.w3.org/2005/Atom'><entry><id>1</id></entry></feed>";
        for select in ["\"entry\"", "\"atom:entry\"", "\"feed/entry\""] {
            let found = item_texts(&kind(), page, select, "", "\"id\"");
            assert_eq!(found, [["1"]], "{select}");
        }
    }

    #[test]
    fn xml_as_broken_as_feeds_have_it_is_read() {
        for (page, source, expected) in [
            ("\u{feff}\n <r><a>1</a></r>\n", "a", "1"),
            ("<r><media:a>1</media:a></r>", "media:a", "1"),
            (
                "<r><d>x<br>y &nbsp; & z</d><a>1</a></r>",
                "d",
                "xy &nbsp; & z",
            ),
            ("<r><d><p>x</d><a>1</a></r>", "a", "1"),
            ("<r></b><a>1</a></r></x>", "a", "1"),
            ("<r><a b=1 c>2</a></r>", "a@b", "1"),
            ("<r><a>1<b/>2</a></r>", "a", "12"),
            (
                "<r><a>&#0;&#xD800;&#x110000;</a></r>",
                "a",
                "&#0;&#xD800;&#x110000;",
            ),
        ] {
            let source = format!("\"{source}\"");
            assert_eq!(texts(&kind(), page, &source), [expected], "{page}");
        }
    }

    #[test]
    fn html_in_a_feed_is_parsed_whether_escaped_or_not() {
        let source = "{ source = \"d\", parse = \"html\", then = \"img@src\" }";
        for page in [
            "<r><d>&lt;p>&lt;img src='/a.jpg?b&amp;amp;c'></d></r>",
            "<r><d><![CDATA[<p><img src='/a.jpg?b&amp;c'>]]></d></r>",
            "<r><d><p><img src='/a.jpg?b&amp;c'/></p></d></r>",
            "<r><d><p><img src='/a.jpg?b&amp;c'></d></r>",
        ] {
            assert_eq!(texts(&kind(), page, source), ["/a.jpg?b&c"], "{page}");
        }
    }

    #[test]
    fn xml_that_breaks_off_or_is_none_is_refused_with_its_line() {
        for (page, words) in [
            ("", "line 1: no element"),
            ("words", "line 1: no element"),
            ("<r>\n<a>1</a>", "line 2: `r` has no end"),
            ("<r>\n<a", "line 2: "),
            ("<r><![CDATA[x", "line 1: "),
            ("<!-- x", "line 1: "),
        ] {
            match try_read(&kind(), page, &mut |_| ()) {
                Err(ListingFailure::Unreadable { language, cause }) => {
                    assert_eq!(language, "XML");
                    assert!(cause.contains(words), "{page}: {cause}");
                }
                other => panic!("{page}: {other:?}"),
            }
        }
    }

    #[test]
    fn deep_large_and_expanding_xml_is_bounded() {
        let read = |page: &str| try_read(&kind(), page, &mut |_| ());
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        assert!(read(&nested(MAX_DEPTH + 1)).is_err());
        let breaks = format!("<r>{}</r>", "<br>".repeat(1_000));
        assert!(read(&breaks).is_ok());
        let many = format!("<r>{}</r>", "<a/>".repeat(MAX_NODES));
        assert!(matches!(
            read(&many),
            Err(ListingFailure::TooManyElements { .. })
        ));
        let attributes = " a=''".repeat(20_000);
        assert!(read(&format!("<r{attributes}/>")).is_ok());
        let laughs = r#"<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><r><x>&b;</x></r>"#;
        assert_eq!(texts(&kind(), laughs, "\"x\""), ["&b;"]);
        let outside = r#"<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]><r><x>&f;</x></r>"#;
        assert_eq!(texts(&kind(), outside, "\"x\""), ["&f;"]);
    }

    #[test]
    fn a_wrong_xml_path_is_refused_with_help() {
        for (source, words) in [
            ("", "an empty path"),
            ("/item", "`//` is any depth"),
            ("medai:content", "did you mean `media`?"),
            ("a b", "is not the name of an element"),
            ("a@", "is not the name of an element"),
            ("a[b", "`[` without `]`"),
            ("a[b]c", "`c` behind `]`"),
            ("a//", "is not the name of an element"),
        ] {
            let refusal = refusal(&kind(), &format!("\"{source}\""));
            assert!(refusal.contains(words), "{refusal}");
        }
        let none = refusal(&DocumentKind::Xml(Vec::new()), "\"media:content\"");
        assert!(none.contains("namespaces = { media = "), "{none}");
    }
}
