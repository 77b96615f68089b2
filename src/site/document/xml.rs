//! XML pages, as feeds have them, parsed into a bounded tree.
//!
//! Feeds are read as written: an element without an end tag ends with the one around it, a lone `&` is text. No entity is
//! expanded but the five of XML, and none is fetched: another one stays as it is written, as `&nbsp;`, which `unescape`
//! or `parse = "html"` resolves. A page that breaks off is refused, since its last items would be missing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{NamespaceResolver, ResolveResult};

use super::html::xhtml;
use super::limits::{MAX_DEPTH, MAX_NODES};
use crate::event::ListingFailure;

/// Elements of HTML without an end tag: feeds that hold HTML unescaped are no XML in this one point.
const VOID: [&str; 4] = ["br", "hr", "img", "wbr"];

/// `xsi:nil` belongs to it (XML Schema, part 1, section 2.6.2).
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

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

impl<'t> XmlTree<'t> {
    /// Parses a whole page.
    ///
    /// # Errors
    ///
    /// When it is not XML even with goodwill, nests too deep, or has too many elements.
    pub(super) fn parse(text: &'t str) -> Result<Self, ListingFailure> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::from_str(text.trim_start());
        let cut = text.len() - text.trim_start().len();
        let config = reader.config_mut();
        config.allow_dangling_amp = true;
        config.allow_unmatched_ends = true;
        config.check_end_names = false;
        let mut builder = XmlBuilder::new(text);
        loop {
            let before = position(cut, reader.buffer_position());
            let event = reader.read_event();
            let after = position(cut, reader.buffer_position());
            match event {
                Ok(Event::Start(tag)) => builder.start(&tag, after)?,
                Ok(Event::Empty(tag)) => {
                    builder.start(&tag, after)?;
                    builder.close(after);
                }
                Ok(Event::End(tag)) => builder.end(tag.name().0, before),
                Ok(Event::Text(part)) => builder.text(&part)?,
                Ok(Event::CData(part)) => builder.text(&part)?,
                Ok(Event::GeneralRef(name)) => {
                    builder.text(&references(&format!("&{};", &*name)))?
                }
                Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
                Ok(Event::Eof) => return builder.whole(),
                Err(error) => {
                    let at = position(cut, reader.error_position());
                    return Err(unreadable(text, at, &error.to_string()));
                }
            }
        }
    }

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

/// A byte of the page, whose first `cut` bytes the reader has not seen.
fn position(cut: usize, at: u64) -> usize {
    cut + usize::try_from(at).unwrap_or(usize::MAX - cut)
}

fn unreadable(text: &str, at: usize, cause: &str) -> ListingFailure {
    let at = crate::site::name::char_boundary_before(text, at);
    let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count() + 1;
    ListingFailure::Unreadable {
        language: "XML",
        cause: format!("line {line}: {cause}"),
    }
}

/// `text` with its character references and the five entities of XML resolved. Others stay, and so does a lone `&`.
fn references(text: &str) -> Cow<'_, str> {
    /// Longer than any name that is known: `&#x10FFFF;`.
    const LONGEST: usize = 10;
    let Some(first) = memchr::memchr(b'&', text.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let mut resolved = text[..first].to_owned();
    let mut rest = &text[first..];
    while let Some(inside) = rest.strip_prefix('&') {
        let head = &inside.as_bytes()[..inside.len().min(LONGEST)];
        let end = memchr::memchr(b';', head);
        let known = end.and_then(|end| Some((end, reference(&inside[..end])?)));
        match known {
            Some((end, c)) => {
                resolved.push(c);
                rest = &inside[end + 1..];
            }
            None => {
                resolved.push('&');
                rest = inside;
            }
        }
        let next = memchr::memchr(b'&', rest.as_bytes()).unwrap_or(rest.len());
        resolved.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(resolved)
}

/// The character that is between `&` and `;`.
fn reference(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return resolve_xml_entity(name)?.chars().next();
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?).filter(|&c| c != '\0')
}

/// A tree whose last elements are still open.
struct XmlBuilder<'t> {
    tree: XmlTree<'t>,
    open: Vec<usize>,
    /// The first node behind the element that ended last.
    closed_end: usize,
    known: HashMap<XmlName, usize>,
    namespaces: NamespaceResolver,
}

impl<'t> XmlBuilder<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            tree: XmlTree {
                text,
                nodes: Vec::new(),
                attributes: Vec::new(),
                names: Vec::new(),
            },
            open: Vec::new(),
            closed_end: 0,
            known: HashMap::new(),
            namespaces: NamespaceResolver::default(),
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>, after: usize) -> Result<(), ListingFailure> {
        if self.open.len() >= MAX_DEPTH {
            let cause = format!("nests deeper than {MAX_DEPTH} elements");
            return Err(unreadable(self.tree.text, after, &cause));
        }
        // What fails to declare a prefix leaves it undeclared, as feeds that forget it do.
        let _ = self.namespaces.push(tag);
        let name = self.name(tag.name().0, true);
        let first = self.tree.attributes.len();
        let mut is_nil = false;
        for attribute in tag.html_attributes().with_checks(false).flatten() {
            let written = attribute.key.0;
            if written == "xmlns" || written.starts_with("xmlns:") {
                continue;
            }
            let name = self.name(written, false);
            let value = references(&attribute.value);
            let known = &self.tree.names[name];
            let may_be_nil = match known.namespace.as_deref() {
                Some(namespace) => namespace == XSI,
                None => known.prefix.is_none(),
            };
            is_nil |= may_be_nil && &*known.local == "nil" && matches!(&*value, "true" | "1");
            let value = value.into();
            self.tree.attributes.push(XmlAttribute { name, value });
        }
        if let Some(&parent) = self.open.last()
            && let XmlNode::Element(parent) = &mut self.tree.nodes[parent]
        {
            parent.has_elements = true;
        }
        let at = self.tree.nodes.len();
        self.add(XmlNode::Element(XmlElement {
            name,
            attributes: first..self.tree.attributes.len(),
            end: at + 1,
            inner: after..after,
            has_elements: false,
            is_nil,
        }))?;
        self.open.push(at);
        if VOID.contains(&tag.name().0) {
            self.close(after);
        }
        Ok(())
    }

    /// Closes the innermost element, whose end tag begins at the byte `before`.
    fn close(&mut self, before: usize) {
        self.namespaces.pop();
        let count = self.tree.nodes.len();
        self.closed_end = count;
        if let Some(at) = self.open.pop()
            && let XmlNode::Element(element) = &mut self.tree.nodes[at]
        {
            element.end = count;
            element.inner.end = before.max(element.inner.start);
        }
    }

    /// An end tag closes the innermost element of its name and all within; without one it means nothing.
    fn end(&mut self, name: &str, before: usize) {
        let name = name.trim_end();
        let is_named = |&at: &usize| {
            self.tree.name(at).is_some_and(|known| match &known.prefix {
                Some(prefix) => name
                    .strip_prefix(&**prefix)
                    .and_then(|rest| rest.strip_prefix(':'))
                    .is_some_and(|local| *local == *known.local),
                None => *name == *known.local,
            })
        };
        let Some(at) = self.open.iter().rposition(is_named) else {
            return;
        };
        while self.open.len() > at {
            self.close(before);
        }
    }

    fn text(&mut self, text: &str) -> Result<(), ListingFailure> {
        if self.open.is_empty() {
            // Blanks around the root, or words that no path can name.
            return Ok(());
        }
        // Behind an element that ended, the text is not in it.
        if self.tree.nodes.len() > self.closed_end
            && let Some(XmlNode::Text(before)) = self.tree.nodes.last_mut()
        {
            before.push_str(text);
            return Ok(());
        }
        self.add(XmlNode::Text(text.to_owned()))
    }

    fn add(&mut self, node: XmlNode) -> Result<(), ListingFailure> {
        self.tree.nodes.push(node);
        if self.tree.nodes.len() + self.tree.attributes.len() > MAX_NODES {
            return Err(ListingFailure::TooManyElements { limit: MAX_NODES });
        }
        Ok(())
    }

    /// The number of a name as written; of an element it may be in the default namespace.
    fn name(&mut self, written: &str, is_element: bool) -> usize {
        let (prefix, local) = match written.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, written),
        };
        let prefix_of = quick_xml::name::QName(written).prefix();
        let namespace = match self.namespaces.resolve_prefix(prefix_of, is_element) {
            ResolveResult::Bound(namespace) => Some(namespace.0.into()),
            ResolveResult::Unbound | ResolveResult::Unknown(_) => None,
        };
        let name = XmlName {
            prefix: prefix.map(Into::into),
            local: local.into(),
            namespace,
        };
        if let Some(&known) = self.known.get(&name) {
            return known;
        }
        let number = self.tree.names.len();
        self.tree.names.push(name.clone());
        self.known.insert(name, number);
        number
    }

    /// # Errors
    ///
    /// When an element is open still, or there is none.
    fn whole(self) -> Result<XmlTree<'t>, ListingFailure> {
        let end = self.tree.text.len();
        if let Some(name) = self.open.first().and_then(|&at| self.tree.name(at)) {
            let cause = format!("`{}` has no end: the page breaks off", name.local);
            return Err(unreadable(self.tree.text, end, &cause));
        }
        if self.tree.nodes.is_empty() {
            return Err(unreadable(self.tree.text, end, "no element"));
        }
        Ok(self.tree)
    }
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::super::testing::{holds, item_texts, refusal, texts, try_read};
    use super::*;

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
        let attributes = (0..20_000)
            .map(|at| format!(" a{at}=''"))
            .collect::<String>();
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
