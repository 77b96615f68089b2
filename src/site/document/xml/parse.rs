//! Parses XML pages within bounds, with the goodwill that feeds ask for.
//!
//! Feeds are read as written: an element without an end tag ends with the one around it, a lone `&` is text. No entity is
//! expanded but the five of XML, and none is fetched: another one stays as it is written, as `&nbsp;`, which `unescape`
//! or `parse = "html"` resolves. A page that breaks off is refused, since its last items would be missing.

use std::borrow::Cow;
use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{NamespaceResolver, QName, ResolveResult};

use super::super::limits::{MAX_DEPTH, MAX_NODES};
use super::{XmlAttribute, XmlElement, XmlName, XmlNode, XmlTree};
use crate::event::ListingFailure;
use crate::site::name::char_boundary_before;

/// Elements of HTML without an end tag: feeds that hold HTML unescaped are no XML in this one point.
const VOID: [&str; 4] = ["br", "hr", "img", "wbr"];

/// `xsi:nil` belongs to it (XML Schema, part 1, section 2.6.2).
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

impl<'t> XmlTree<'t> {
    /// Parses a whole page.
    ///
    /// # Errors
    ///
    /// When it is not XML even with goodwill, nests too deep, or has too many elements.
    pub(in crate::site::document) fn parse(text: &'t str) -> Result<Self, ListingFailure> {
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
                    builder.text(&references(&format!("&{};", &*name)))?;
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
}

/// A byte of the page, whose first `cut` bytes the reader has not seen.
fn position(cut: usize, at: u64) -> usize {
    cut + usize::try_from(at).unwrap_or(usize::MAX - cut)
}

fn unreadable(text: &str, at: usize, cause: &str) -> ListingFailure {
    let at = char_boundary_before(text, at);
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
        if let Some((end, c)) = known {
            resolved.push(c);
            rest = &inside[end + 1..];
        } else {
            resolved.push('&');
            rest = inside;
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
        let prefix_of = QName(written).prefix();
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
