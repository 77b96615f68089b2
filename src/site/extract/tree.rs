//! Parses HTML into trees within bounds of memory and time, for any input.

use html5ever::ParseOpts;
use html5ever::driver::parse_document;
use html5ever::tendril::TendrilSink as _;
use scraper::{Html, HtmlTreeSink, StrTendril};

use crate::event::ListingFailure;
use crate::site::name::char_boundary_before;

/// A gallery's page nests about ten deep. Past this depth every open element is closed: building and searching a
/// tree takes time in proportion to its depth.
const MAX_DEPTH: usize = 256;

/// Elements and texts of a whole page; a gallery's page has some hundreds.
const MAX_NODES: usize = 200_000;

/// Places where an attribute could begin, in text that has not reached the tree yet. A tag takes time by the square of
/// its attributes, so an endless one must be refused; a long comment or inline image has fewer such places.
const MAX_SEPARATORS: usize = 50_000;

/// Bytes parsed between two checks of the tree: a few hundred bytes can make only a few nodes.
const STEP_BYTES: usize = 512;

/// Bytes within which the next tag is searched for, to end a step before it.
const LONGEST_STEP: usize = 4 * 1024;

/// Parses `text`, calls `on_tree` with its tree, and returns how many trees there were. A page that nests too deep
/// gives several: the rest of it is parsed as if nothing were open.
pub(super) fn each(text: &str, mut on_tree: impl FnMut(&Html)) -> Result<usize, ListingFailure> {
    let mut rest = text;
    let mut nodes_left = MAX_NODES;
    let mut trees = 0;
    loop {
        let (tree, after) = one(rest, nodes_left)?;
        nodes_left = nodes_left.saturating_sub(tree.tree.nodes().len());
        on_tree(&tree);
        trees += 1;
        if after.is_empty() {
            return Ok(trees);
        }
        rest = after;
    }
}

/// One tree of at most `max_nodes` nodes, and the text after it.
fn one(text: &str, max_nodes: usize) -> Result<(Html, &str), ListingFailure> {
    let mut parser = parse_document(
        HtmlTreeSink::new(Html::new_document()),
        ParseOpts::default(),
    );
    let mut rest = text;
    let mut grown = (0, 0);
    let mut pending = 0;
    while !rest.is_empty() {
        let (step, after) = rest.split_at(step_end(rest));
        parser.process(StrTendril::from(step));
        rest = after;

        let html = parser.tokenizer.sink.sink.0.borrow();
        let before = std::mem::replace(&mut grown, size(&html));
        pending = if grown == before {
            pending + separators(step)
        } else {
            0
        };
        let (nodes, _) = grown;
        if nodes > max_nodes {
            return Err(ListingFailure::TooManyElements { limit: MAX_NODES });
        }
        if pending > MAX_SEPARATORS {
            return Err(ListingFailure::TagTooLong {
                limit: MAX_SEPARATORS,
            });
        }
        let mut new = html.tree.nodes().rev().take(nodes - before.0);
        if new.any(|node| node.ancestors().nth(MAX_DEPTH).is_some()) {
            break;
        }
    }
    Ok((parser.finish(), rest))
}

/// Changes when any of the text reaches the tree: the number of nodes, and the length of the last text.
fn size(html: &Html) -> (usize, usize) {
    let mut nodes = html.tree.nodes();
    let text = nodes
        .next_back()
        .and_then(|last| last.value().as_text())
        .map_or(0, |text| text.len());
    (html.tree.nodes().len(), text)
}

/// How many attributes could begin in `step`.
fn separators(step: &str) -> usize {
    step.bytes()
        .filter(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'"' | b'\''))
        .count()
}

/// Where the next step ends: before a nearby tag if there is one, so that few tags are cut in two.
fn step_end(text: &str) -> usize {
    let longest = char_boundary_before(text, LONGEST_STEP);
    let tag = text.as_bytes()[..longest]
        .iter()
        .skip(STEP_BYTES)
        .position(|&byte| byte == b'<');
    tag.map_or(longest, |after| STEP_BYTES + after)
}

#[cfg(test)]
mod tests {
    use scraper::Selector;

    use super::*;

    /// How many elements of the class `good` are found in all trees of `text`.
    fn good(text: &str) -> Option<usize> {
        let wanted = Selector::parse("body .good > a > img").unwrap();
        let mut found = 0;
        each(text, |html| found += html.select(&wanted).count())
            .ok()
            .map(|_| found)
    }

    const GOOD: &str = "<p class=good><a><img></a></p>";

    #[test]
    fn an_html_page_gives_one_tree() {
        let text = format!("<div class=more>{}</div>", GOOD.repeat(1_000));
        assert_eq!(
            (each(&text, |_| ()).ok(), good(&text)),
            (Some(1), Some(1_000))
        );
    }

    #[test]
    fn a_hundred_thousand_nested_html_tags_hide_no_image_and_overflow_no_stack() {
        let tags = [
            "<div>",
            "<b>",
            "<span a=1>",
            "<table><tr><td>",
            "<svg><g>",
            "<ul><li>",
            "<select><option>",
            "<a><p>",
        ];
        for tag in tags {
            let nest = tag.repeat(100_000 / tag.matches('<').count());
            assert_eq!(
                good(&format!("{GOOD}{nest}{}", GOOD.repeat(100))),
                Some(101),
                "{tag}"
            );
        }
        let closed = format!(
            "{GOOD}{}{GOOD}{}{GOOD}",
            "<div>".repeat(50_000),
            "</div>".repeat(50_000)
        );
        assert_eq!(good(&closed), Some(3));
    }

    #[test]
    fn an_html_page_with_too_many_elements_is_refused() {
        assert_eq!(good(&"<i></i>".repeat(300_000)), None);
        assert_eq!(good(&format!("<body>{}", "</p>".repeat(300_000))), None);
        assert_eq!(good(&"<p><b></p>".repeat(300_000)), None);
        assert_eq!(good(&"<p><b>".repeat(50_000)), None);
        assert_eq!(good(&"<template>".repeat(100_000)), None);
    }

    #[test]
    fn a_long_html_text_is_not_a_large_tree() {
        let text = "\0 a&amp;".repeat(500_000);
        assert_eq!(good(&format!("{GOOD}{text}{GOOD}")), Some(2));
    }

    #[test]
    fn an_endless_html_tag_is_refused_and_a_long_one_is_not() {
        let attributes = (0..60_000)
            .map(|number| format!("a{number}"))
            .collect::<Vec<_>>();
        assert_eq!(
            good(&format!("{GOOD}<a {}>{GOOD}", attributes.join(" "))),
            None
        );
        let picture = format!(
            "<img src='data:image/png;base64,{}'>",
            "iVBORw0KGgo".repeat(200_000)
        );
        let style = format!("<style>{}</style>", "a b { c: d }\n".repeat(100_000));
        let comment = format!("<!-- {} -->", "some words ".repeat(20_000));
        assert_eq!(
            good(&format!("{style}{GOOD}{picture}{comment}{GOOD}")),
            Some(2)
        );
    }
}
