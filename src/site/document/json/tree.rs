//! The values of a JSON text: one list of ranges of it.
//!
//! Of a page's values a definition asks for a few, so texts stay as they are written until they are asked for.

use std::borrow::Cow;

use super::parser::{End, parse};
use crate::event::ListingFailure;

/// A JSON text and its values.
#[derive(Debug)]
pub(in crate::site::document) struct JsonTree<'t> {
    text: Cow<'t, str>,
    /// In the text's order: each member of an object is its name and its value, what a list or an object holds comes
    /// behind it.
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where the text or the number begins; of a list or an object how much it holds.
    pub(super) start: u32,
    /// Where it ends; of a list or an object the place of the node behind all that it holds.
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A text or a name, between its quotes.
    Text,
    /// The same with a backslash in it.
    Escaped,
    List,
    Object,
}

/// A value of a page.
#[derive(Debug, Clone, Copy)]
pub(in crate::site::document) struct JsonValue<'a> {
    tree: &'a JsonTree<'a>,
    at: usize,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(in crate::site::document) enum JsonView<'a> {
    Null,
    Bool(bool),
    /// As written: what is too large for a machine's number is an identity still.
    Number(&'a str),
    Text(JsonText<'a>),
    List(Elements<'a>),
    /// In the page's order.
    Object(Members<'a>),
}

/// A text or a name, as it is written between its quotes.
#[derive(Debug, Clone, Copy)]
pub(in crate::site::document) struct JsonText<'a> {
    written: &'a str,
    is_escaped: bool,
}

impl<'t> JsonTree<'t> {
    /// Parses a whole page.
    ///
    /// # Errors
    ///
    /// When it is not JSON, nests too deep, or has too many values.
    pub(in crate::site::document) fn parse(text: &'t str) -> Result<Self, ListingFailure> {
        let text = without_mark(text);
        let nodes = parse(text, End::OfText)?;
        Ok(Self {
            text: text.into(),
            nodes,
        })
    }

    /// Parses the value at the beginning of a text, whatever follows it.
    ///
    /// # Errors
    ///
    /// As [`JsonTree::parse`].
    pub(in crate::site::document) fn parse_first(text: &'t str) -> Result<Self, ListingFailure> {
        let text = without_mark(text);
        let nodes = parse(text, End::OfValue)?;
        Ok(Self {
            text: text.into(),
            nodes,
        })
    }

    /// The same, with a text of its own.
    pub(in crate::site::document) fn into_owned(self) -> JsonTree<'static> {
        JsonTree {
            text: Cow::Owned(self.text.into_owned()),
            nodes: self.nodes,
        }
    }

    /// The value that holds all others.
    pub(in crate::site::document) fn root(&self) -> JsonValue<'_> {
        JsonValue { tree: self, at: 0 }
    }

    fn text(&self, node: Node) -> JsonText<'_> {
        JsonText {
            written: self.written(node),
            is_escaped: node.kind == Kind::Escaped,
        }
    }

    fn written(&self, Node { start, end, .. }: Node) -> &str {
        &self.text[start as usize..end as usize]
    }

    fn is_named(&self, node: Node, name: &str) -> bool {
        let Node { kind, start, end } = node;
        if kind == Kind::Escaped {
            return self.text(node).decoded() == name;
        }
        (end - start) as usize == name.len()
            && self.text.as_bytes()[start as usize..end as usize] == *name.as_bytes()
    }

    /// The place of the node behind this one and all that it holds.
    fn behind(&self, at: usize) -> usize {
        match self.nodes[at] {
            Node {
                kind: Kind::List | Kind::Object,
                end,
                ..
            } => end as usize,
            _ => at + 1,
        }
    }
}

impl<'a> JsonValue<'a> {
    /// What it is.
    pub(in crate::site::document) fn view(self) -> JsonView<'a> {
        let Self { tree, at } = self;
        let node = tree.nodes[at];
        let inside = Elements {
            tree,
            next: at + 1,
            left: node.start as usize,
        };
        match node.kind {
            Kind::Null => JsonView::Null,
            Kind::True => JsonView::Bool(true),
            Kind::False => JsonView::Bool(false),
            Kind::Number => JsonView::Number(tree.written(node)),
            Kind::Text | Kind::Escaped => JsonView::Text(tree.text(node)),
            Kind::List => JsonView::List(inside),
            Kind::Object => JsonView::Object(Members(inside)),
        }
    }

    /// How many elements or members it has: none, if it is no list or object.
    pub(in crate::site::document) fn len(self) -> usize {
        match self.tree.nodes[self.at] {
            Node {
                kind: Kind::List | Kind::Object,
                start: inside,
                ..
            } => inside as usize,
            _ => 0,
        }
    }

    /// Whether it is `null`.
    pub(in crate::site::document) fn is_null(self) -> bool {
        self.tree.nodes[self.at].kind == Kind::Null
    }

    /// A text, a number or a truth value as text; `None` for the others.
    pub(in crate::site::document) fn scalar(self) -> Option<Cow<'a, str>> {
        match self.view() {
            JsonView::Bool(value) => Some(if value { "true" } else { "false" }.into()),
            JsonView::Number(text) => Some(text.into()),
            JsonView::Text(text) => Some(text.decoded()),
            JsonView::Null | JsonView::List(_) | JsonView::Object(_) => None,
        }
    }

    /// The member of an object; the last of several with the name, as scripts in browsers see it.
    pub(in crate::site::document) fn member(self, name: &str) -> Option<(JsonText<'a>, Self)> {
        let Self { tree, at } = self;
        let Node {
            kind: Kind::Object,
            start: members,
            ..
        } = tree.nodes[at]
        else {
            return None;
        };
        // Not by `Members`, which hands out every name: most of reading a page is looking for members.
        let mut next = at + 1;
        let mut found = None;
        for _ in 0..members {
            let value = next + 1;
            if tree.is_named(tree.nodes[next], name) {
                found = Some((next, value));
            }
            next = tree.behind(value);
        }
        let (name, at) = found?;
        Some((tree.text(tree.nodes[name]), Self { tree, at }))
    }
}

impl<'a> JsonText<'a> {
    /// What the text says. Half of a character, which sites leave where they cut their texts, is a replacement character:
    /// browsers take it.
    pub(in crate::site::document) fn decoded(self) -> Cow<'a, str> {
        if !self.is_escaped {
            return self.written.into();
        }
        let mut text = String::with_capacity(self.written.len());
        let mut rest = self.written;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            text.push_str(&rest[..at]);
            let (escaped, length) = unescaped(&rest[at..]);
            text.push(escaped);
            rest = &rest[at + length..];
        }
        text.push_str(rest);
        text.into()
    }
}

/// `text` without a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The character that an escape sequence at the beginning of `text` means, and the sequence's length in bytes.
fn unescaped(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    if let Some(first) = unit(0) {
        if let (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) = (first, unit(6)) {
            let code = 0x1_0000 + ((first & 0x3ff) << 10 | (second & 0x3ff));
            return (
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                12,
            );
        }
        return (
            char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
            6,
        );
    }
    let escaped = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        // The parser has let pass nothing but `"`, `\` and `/` beside these.
        Some(&other) => other.into(),
        None => char::REPLACEMENT_CHARACTER,
    };
    (escaped, 2)
}

/// The elements of a list.
#[derive(Debug, Clone)]
pub(in crate::site::document) struct Elements<'a> {
    tree: &'a JsonTree<'a>,
    next: usize,
    left: usize,
}

impl<'a> Elements<'a> {
    pub(in crate::site::document) fn len(&self) -> usize {
        self.left
    }

    /// The element of this number, from 0.
    pub(in crate::site::document) fn get(mut self, index: usize) -> Option<JsonValue<'a>> {
        self.nth(index)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = JsonValue<'a>;

    fn next(&mut self) -> Option<JsonValue<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (tree, at) = (self.tree, self.next);
        self.next = tree.behind(at);
        Some(JsonValue { tree, at })
    }
}

/// The names and values of an object.
#[derive(Debug, Clone)]
pub(in crate::site::document) struct Members<'a>(Elements<'a>);

impl Members<'_> {
    pub(in crate::site::document) fn len(&self) -> usize {
        self.0.left
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (JsonText<'a>, JsonValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self(inside) = self;
        inside.left = inside.left.checked_sub(1)?;
        let (tree, at) = (inside.tree, inside.next + 1);
        let name = tree.text(tree.nodes[inside.next]);
        inside.next = tree.behind(at);
        Some((name, JsonValue { tree, at }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same value as another parser has it; of members with one name the last.
    fn other(value: JsonValue<'_>) -> serde_json::Value {
        match value.view() {
            JsonView::Null => serde_json::Value::Null,
            JsonView::Bool(value) => value.into(),
            JsonView::Number(text) => serde_json::from_str(text).unwrap(),
            JsonView::Text(text) => text.decoded().into(),
            JsonView::List(list) => list.map(other).collect(),
            JsonView::Object(members) => {
                let members = members.map(|(name, value)| (name.decoded().into(), other(value)));
                serde_json::Value::Object(members.collect())
            }
        }
    }

    fn parsed(text: &str) -> Option<serde_json::Value> {
        JsonTree::parse(text).ok().map(|tree| other(tree.root()))
    }

    #[test]
    fn json_is_what_another_parser_takes_for_it() {
        for text in [
            "0",
            "-0",
            "-1.5e+10",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "1E5",
            "NaN",
            "[1 2]",
            "[1,]",
            "[,1]",
            "[",
            "]",
            "{}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":[{}],\"b\":{\"c\":[]}}",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u00e9\\n\\/\"",
            "\"a\tb\"",
            "\"a\u{7f}\u{e9}\"",
            "\"",
            "\"\\",
            "\"\\\"",
            "truefalse",
            "nulls",
            "[true,false,null]",
            " [ 1 , 2 ] ",
            "\u{a0}1",
            "[[[[1]]],[]]",
            "1 1",
            "{\"a\":1}}",
        ] {
            assert_eq!(parsed(text), serde_json::from_str(text).ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_json_or_not_as_another_parser_says(
            text in "([\\[\\]{}:, \\\\\"\ntu0-9a.e+-]|null|true|\"[a\\\\n/u]{0,4}\"|\\\\u00e9|\"a\":){0,24}"
        ) {
            // It refuses numbers beyond its range, and halves of characters.
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let is_beyond = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            if !is_beyond {
                prop_assert_eq!(parsed(&text), theirs.ok());
            }
        }

        #[test]
        fn every_value_reads_back(text in "\\PC*", numbers in proptest::collection::vec(any::<i64>(), 0..8)) {
            let value = serde_json::json!({ &text: [&text, { "n": numbers, "t": [[], {}, &text] }], "b": true });
            prop_assert_eq!(parsed(&value.to_string()), Some(value));
        }
    }
}
