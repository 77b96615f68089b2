//! The elements of a page in its order, owned: what the guesses are made from.

use std::borrow::Cow;
use std::collections::HashMap;

use scraper::node::Node;
use url::Url;

use crate::event::ListingFailure;
use crate::site::document::html::{tree, xhtml};
use crate::site::extract::PageText;
use crate::site::name::char_boundary_before;

/// Bytes of an attribute that are kept; longer ones are no addresses and no classes.
const ATTRIBUTE_BYTES: usize = 4 * 1024;

/// Bytes of an element's text that are kept: a title is shorter.
const TEXT_BYTES: usize = 300;

/// An element.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) tag: String,
    pub(super) attributes: Vec<(String, String)>,
    /// Its own text, without that of the elements in it.
    pub(super) text: String,
    pub(super) parent: Option<usize>,
    /// Behind its last descendant: they are at the indices from its own to this.
    pub(super) end: usize,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        self.attribute("class")
            .unwrap_or_default()
            .split_whitespace()
    }
}

/// A page's elements in document order.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) elements: Vec<Element>,
}

impl Outline {
    /// Reads a page. What stands in `<noscript>` is left out: it shows the same images once more.
    pub(super) fn read(body: PageText<'_>) -> Result<Self, ListingFailure> {
        let mut elements: Vec<Element> = Vec::new();
        let text = if body.is_xml {
            Cow::Owned(xhtml::to_html(body.text))
        } else {
            Cow::Borrowed(body.text)
        };
        tree::each(&text, !body.is_xml, |html| {
            let mut places = HashMap::new();
            for node in html.tree.root().descendants() {
                let parent = node.parent().and_then(|parent| places.get(&parent.id()));
                let parent: Option<usize> = parent.copied();
                match node.value() {
                    Node::Element(element) if element.name() != "noscript" => {
                        // Below a `noscript` no parent has a place.
                        if parent.is_none() && element.name() != "html" {
                            continue;
                        }
                        places.insert(node.id(), elements.len());
                        let attributes = element.attrs().map(|(name, value)| {
                            let end = char_boundary_before(value, ATTRIBUTE_BYTES);
                            (name.to_owned(), value[..end].to_owned())
                        });
                        elements.push(Element {
                            tag: element.name().to_owned(),
                            attributes: attributes.collect(),
                            text: String::new(),
                            parent,
                            end: 0,
                        });
                    }
                    Node::Text(text) => {
                        if let Some(parent) = parent {
                            append(&mut elements[parent].text, text);
                        }
                    }
                    _ => {}
                }
            }
        })?;
        for index in (0..elements.len()).rev() {
            let end = elements[index].end.max(index + 1);
            elements[index].end = end;
            if let Some(parent) = elements[index].parent {
                elements[parent].end = elements[parent].end.max(end);
            }
        }
        Ok(Self { elements })
    }

    /// What addresses on the page that came from `page` are relative to.
    pub(super) fn base(&self, page: &Url) -> Url {
        let mut bases = self.elements.iter().filter(|element| element.tag == "base");
        let written = bases.find_map(|base| base.attribute("href"));
        written
            .and_then(|written| page.join(written).ok())
            .filter(|base| matches!(base.scheme(), "http" | "https"))
            .unwrap_or_else(|| page.clone())
    }

    /// An element and those above it, from the inside.
    pub(super) fn up(&self, index: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(index), |&at| self.elements[at].parent)
    }

    /// The indices of an element and all in it.
    pub(super) fn within(&self, index: usize) -> std::ops::Range<usize> {
        index..self.elements[index].end
    }

    /// All text in an element, blanks folded.
    pub(super) fn text(&self, index: usize) -> String {
        let mut text = String::new();
        for at in self.within(index) {
            append(&mut text, &self.elements[at].text);
        }
        text
    }
}

/// Adds the words of `more`, up to a limit.
fn append(text: &mut String, more: &str) {
    for word in more.split_whitespace() {
        if text.len() + word.len() > TEXT_BYTES {
            return;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_has_the_elements_in_order_and_leaves_noscript_out() {
        let page = "<base href=/a/><div class='x y'><p>one <b>two</b></p>\
                    <noscript><img src=z.png></noscript></div><img src=y.png>";
        let outline = Outline::read(page.into()).unwrap();
        let tags: Vec<_> = outline.elements.iter().map(|e| e.tag.as_str()).collect();
        assert_eq!(
            tags,
            ["html", "head", "base", "body", "div", "p", "b", "img"]
        );
        assert_eq!(outline.within(4), 4..7);
        assert_eq!(outline.text(4), "one two");
        let classes: Vec<_> = outline.elements[4].classes().collect();
        assert_eq!(classes, ["x", "y"]);
        let base = outline.base(&Url::parse("https://demo.invalid/b/").unwrap());
        assert_eq!(base.as_str(), "https://demo.invalid/a/");
    }
}
