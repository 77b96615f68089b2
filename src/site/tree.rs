//! Makes trees of a page's text, within bounds whatever somebody wrote into it.

use html5ever::ParseOpts;
use html5ever::driver::parse_document;
use html5ever::tendril::TendrilSink as _;
use scraper::{Html, HtmlTreeSink, StrTendril};

use super::name::border;

/// A gallery's page nests about ten deep. Past this, whatever is open is closed: building and searching a
/// tree takes time by its depth.
const MAX_DEPTH: usize = 256;

/// A page of a gallery has some hundreds.
const MAX_NODES: usize = 200_000;

/// What may pass without a trace in the tree: a long comment or inline picture has fewer places where another
/// attribute could begin, and the time that a tag takes grows with the square of them.
const MAX_UNSEEN: usize = 50_000;

/// How much is read between two looks at the tree: a few hundred bytes can make few nodes.
const STEP_BYTES: usize = 512;

/// How far the next tag is looked for, to end a step before it.
const LONGEST_STEP: usize = 4 * 1024;

/// The page makes more of a tree than any gallery does.
pub(super) struct TooLarge;

/// Reads `text`, hands on the tree of it, and says how many there were: a page that nests too deep comes
/// as several, the rest of it as if nothing were open.
pub(super) fn each(text: &str, mut take: impl FnMut(&Html)) -> Result<usize, TooLarge> {
    let mut rest = text;
    let mut room = MAX_NODES;
    let mut trees = 0;
    loop {
        let (tree, behind) = one(rest, room)?;
        room = room.saturating_sub(tree.tree.nodes().len());
        take(&tree);
        trees += 1;
        if behind.is_empty() {
            return Ok(trees);
        }
        rest = behind;
    }
}

/// One tree of at most `room` nodes, and the text that is left behind it.
fn one(text: &str, room: usize) -> Result<(Html, &str), TooLarge> {
    let mut parser = parse_document(
        HtmlTreeSink::new(Html::new_document()),
        ParseOpts::default(),
    );
    let mut rest = text;
    let mut grown = (0, 0);
    let mut unseen = 0;
    while !rest.is_empty() {
        let (step, behind) = rest.split_at(step_end(rest));
        parser.process(StrTendril::from(step));
        rest = behind;

        let html = parser.tokenizer.sink.sink.0.borrow();
        let before = std::mem::replace(&mut grown, size(&html));
        unseen = if grown == before {
            unseen + separators(step)
        } else {
            0
        };
        let (nodes, _) = grown;
        if nodes > room || unseen > MAX_UNSEEN {
            return Err(TooLarge);
        }
        let mut new = html.tree.nodes().rev().take(nodes - before.0);
        if new.any(|node| node.ancestors().nth(MAX_DEPTH).is_some()) {
            break;
        }
    }
    Ok((parser.finish(), rest))
}

/// What grows when something of the text arrives in the tree: its nodes, or the text at its end.
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

/// Where the next step ends: before a tag where there is one near, so that hardly any is cut in two.
fn step_end(text: &str) -> usize {
    let longest = border(text, LONGEST_STEP);
    let tag = text.as_bytes()[..longest]
        .iter()
        .skip(STEP_BYTES)
        .position(|&byte| byte == b'<');
    tag.map_or(longest, |behind| STEP_BYTES + behind)
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
    fn a_page_comes_as_one_tree() {
        let text = format!("<div class=more>{}</div>", GOOD.repeat(1_000));
        assert_eq!(
            (each(&text, |_| ()).ok(), good(&text)),
            (Some(1), Some(1_000))
        );
    }

    #[test]
    fn a_hundred_thousand_nested_tags_hide_no_image_and_fill_no_stack() {
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
    fn a_page_with_more_elements_than_any_gallery_has_is_refused() {
        assert_eq!(good(&"<i></i>".repeat(300_000)), None);
        assert_eq!(good(&format!("<body>{}", "</p>".repeat(300_000))), None);
        assert_eq!(good(&"<p><b></p>".repeat(300_000)), None);
        assert_eq!(good(&"<p><b>".repeat(50_000)), None);
        assert_eq!(good(&"<template>".repeat(100_000)), None);
    }

    #[test]
    fn a_long_text_is_no_large_tree() {
        let text = "\0 a&amp;".repeat(500_000);
        assert_eq!(good(&format!("{GOOD}{text}{GOOD}")), Some(2));
    }

    #[test]
    fn a_tag_that_never_ends_is_refused_and_a_long_one_is_not() {
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
