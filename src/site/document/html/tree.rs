//! Parses HTML into trees within bounds of memory and time, for any input.

use std::cell::Cell;

use html5ever::TokenizerResult;
use html5ever::buffer_queue::BufferQueue;
use html5ever::tokenizer::{Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::{QuirksMode, TreeBuilder, TreeBuilderOpts, TreeSink};
use scraper::{Html, HtmlTreeSink, StrTendril};

use super::pending::{Emitted, Pending};
use super::well_formed;
use crate::event::ListingFailure;
use crate::site::name::char_boundary_before;

/// A gallery's page nests about ten deep. Past this depth every open element is closed: building and searching a
/// tree takes time in proportion to its depth.
const MAX_DEPTH: usize = 256;

/// Elements and texts of a whole page; a gallery's page has some hundreds.
const MAX_NODES: usize = 200_000;

/// Attributes of one tag. A tag takes time by the square of them, so an endless one must be refused.
const MAX_ATTRIBUTES: usize = 10_000;

/// Bytes parsed at most between two checks of the tree.
const STEP_BYTES: usize = 4 * 1024;

/// From this depth on a step holds one tag, so that a page is cut where it becomes too deep and not behind that. Up to it a
/// step holds as many tags as cannot pass it by more: with a step for each tag reading a page would take a tenth longer.
const SAFE_DEPTH: usize = MAX_DEPTH / 2;

/// Parses `text`, calls `on_tree` with its tree, and returns how many trees there were. A page that nests too deep
/// gives several: the rest of it is parsed as if nothing were open. `quirks` says whether the page may be one that
/// browsers read in quirks mode (HTML Standard, section 13.2.6.4.1).
pub(in crate::site) fn each(
    text: &str,
    quirks: bool,
    mut on_tree: impl FnMut(&Html),
) -> Result<usize, ListingFailure> {
    each_owned(text, quirks, |tree| on_tree(&tree))
}

/// [`each`] for whoever keeps the trees.
pub(in crate::site) fn each_owned(
    text: &str,
    quirks: bool,
    mut on_tree: impl FnMut(Html),
) -> Result<usize, ListingFailure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let whole = StrTendril::from(text);
    if let Some(tree) = well_formed::parse(&whole) {
        on_tree(tree);
        return Ok(1);
    }
    let mut rest = text;
    let mut nodes_left = MAX_NODES;
    let mut trees = 0;
    let mut mode = (!quirks).then_some(QuirksMode::NoQuirks);
    loop {
        let at = text.len() - rest.len();
        let (mut tree, length) = one(&whole, &text[at..], at, nodes_left)?;
        rest = &rest[length..];
        nodes_left = nodes_left.saturating_sub(tree.tree.nodes().len());
        // Only the first tree has seen the doctype.
        tree.quirks_mode = *mode.get_or_insert(tree.quirks_mode);
        on_tree(tree);
        trees += 1;
        if rest.is_empty() {
            return Ok(trees);
        }
    }
}

/// One tree of at most `max_nodes` nodes, and how many bytes of `text` are in it: of the part of `whole` behind the byte
/// `at`.
pub(super) fn one(
    whole: &StrTendril,
    text: &str,
    at: usize,
    max_nodes: usize,
) -> Result<(Html, usize), ListingFailure> {
    let options = TreeBuilderOpts {
        // We run no scripts: what a page holds for those who run none is markup to us.
        scripting_enabled: false,
        ..TreeBuilderOpts::default()
    };
    let builder = TreeBuilder::new(HtmlTreeSink::new(Html::new_document()), options);
    let watched = Watched {
        builder,
        emitted: Cell::default(),
    };
    // The tokenizer would drop this character at the start of every step, not only of the page.
    let tokenizer_options = TokenizerOpts {
        discard_bom: false,
        ..TokenizerOpts::default()
    };
    let tokenizer = Tokenizer::new(watched, tokenizer_options);
    let input = BufferQueue::default();
    let mut rest = text;
    let mut known_nodes = 0;
    let mut pending = Pending::default();
    let mut is_deep = false;
    while !rest.is_empty() {
        let (step, after) = rest.split_at(step_end(rest, pending.is_in_step() && !is_deep));
        // A reference into the page's one text: to copy each step would cost an allocation.
        input.push_back(whole.subtendril(offset(at + text.len() - rest.len()), offset(step.len())));
        while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
        rest = after;

        let read = text.len() - rest.len();
        pending.follow(
            &text.as_bytes()[..read],
            step.len(),
            tokenizer.sink.emitted.take(),
        );
        if pending.attributes() > MAX_ATTRIBUTES {
            return Err(ListingFailure::TagTooLong {
                limit: MAX_ATTRIBUTES,
            });
        }
        let html = tokenizer.sink.builder.sink.0.borrow();
        let nodes = html.tree.nodes().len();
        if nodes > max_nodes {
            return Err(ListingFailure::TooManyElements { limit: MAX_NODES });
        }
        let mut new = html.tree.nodes().rev().take(nodes - known_nodes);
        is_deep = is_deep
            || new
                .clone()
                .any(|node| node.ancestors().nth(SAFE_DEPTH).is_some());
        if is_deep && new.any(|node| node.ancestors().nth(MAX_DEPTH).is_some()) {
            break;
        }
        known_nodes = nodes;
    }
    tokenizer.end();
    let html = tokenizer.sink.builder.sink.finish();
    Ok((html, text.len() - rest.len()))
}

/// Tendrils count in 32 bits; a page is smaller by its own limit.
pub(super) fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The tree builder, and what the tokenizer gave it last.
struct Watched<Handle, Sink> {
    builder: TreeBuilder<Handle, Sink>,
    emitted: Cell<Emitted>,
}

impl<Handle: Clone, Sink: TreeSink<Handle = Handle>> TokenSink for Watched<Handle, Sink> {
    type Handle = Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Handle> {
        let is_markup = match token {
            Token::DoctypeToken(_) | Token::TagToken(_) | Token::CommentToken(_) => Some(true),
            Token::CharacterTokens(_) | Token::NullCharacterToken => Some(false),
            Token::EOFToken | Token::ParseError(_) => None,
        };
        let result = self.builder.process_token(token, line);
        let mut emitted = self.emitted.get();
        match is_markup {
            Some(true) => {
                emitted.markup += 1;
                emitted.is_raw_behind = matches!(
                    result,
                    TokenSinkResult::RawData(_) | TokenSinkResult::Plaintext
                );
                emitted.was_raw |= emitted.is_raw_behind;
            }
            Some(false) => emitted.text = true,
            None => {}
        }
        self.emitted.set(emitted);
        result
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}

/// Where the next step ends: behind a tag, or before it is too long. Behind the next tag, unless it may hold `several`.
fn step_end(text: &str, several: bool) -> usize {
    let bytes = text.as_bytes();
    let longest = char_boundary_before(text, STEP_BYTES);
    let tag = if several {
        let tags = &bytes[..longest];
        let end = memchr::memchr_iter(b'<', tags).nth(SAFE_DEPTH);
        memchr::memrchr(b'>', &tags[..end.unwrap_or(longest)])
    } else {
        None
    };
    tag.or_else(|| memchr::memchr(b'>', &bytes[..longest]))
        .map_or(longest, |tag| tag + 1)
}

#[cfg(test)]
mod tests {
    use scraper::Selector;

    use super::*;

    /// How many elements of the class `good` are found in all trees of `text`.
    fn good(text: &str) -> Option<usize> {
        let wanted = Selector::parse("body .good > a > img").unwrap();
        let mut found = 0;
        each(text, true, |html| found += html.select(&wanted).count())
            .ok()
            .map(|_| found)
    }

    const GOOD: &str = "<p class=good><a><img></a></p>";

    #[test]
    fn an_html_page_gives_one_tree() {
        let text = format!("<div class=more>{}</div>", GOOD.repeat(1_000));
        assert_eq!(
            (each(&text, true, |_| ()).ok(), good(&text)),
            (Some(1), Some(1_000))
        );
    }

    #[test]
    fn a_byte_order_mark_is_dropped_at_the_start_of_a_page_and_nowhere_else() {
        let wanted = Selector::parse("title").unwrap();
        let title = |page: &str| {
            let mut title = String::new();
            each(page, true, |html| {
                title.extend(html.select(&wanted).flat_map(|title| title.text()));
            })
            .unwrap();
            title
        };
        // The second is not well formed, and read a tag at a time.
        for body in ["<body></body>", "<body><b>"] {
            let page = format!(
                "\u{feff}<!DOCTYPE html><html><head><title>\u{feff}a\u{feff}</title></head>{body}"
            );
            assert_eq!(title(&page), "\u{feff}a\u{feff}", "{body}");
        }
        let mut quirks = Vec::new();
        each("\u{feff}<!DOCTYPE html><body><b>", true, |html| {
            quirks.push(html.quirks_mode);
        })
        .unwrap();
        assert_eq!(quirks, [QuirksMode::NoQuirks]);
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
        let attributes = (0..12_000)
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
        let hidden = format!("{GOOD}<!-- <p a=\" --><a {}>{GOOD}", attributes.join(" "));
        assert_eq!(good(&hidden), None);
        let hidden = format!("<svg><![CDATA[ ]]><a {}>{GOOD}", attributes.join(" "));
        assert_eq!(good(&hidden), None);
    }

    #[test]
    fn an_html_attribute_of_several_megabytes_is_not_too_long() {
        let base64 = "iVBORw0KGgo//8AAA/".repeat(300_000);
        let json = "{&quot;path&quot;: 'https://demo.invalid/a/b.png', > < } ".repeat(80_000);
        let svg = "%3Csvg xmlns='http://www.w3.org/2000/svg'> <path d='M 0 0'/> ".repeat(60_000);
        for attribute in [
            format!("src='data:image/png;base64,{base64}'"),
            format!("src=data:image/png;base64,{base64}"),
            format!("data-state=\"{json}\""),
            format!("style=\"background: url(data:image/svg+xml,{svg})\""),
        ] {
            let page = format!("<p>text <i {attribute}></i></p>{GOOD}<b {attribute} />{GOOD}");
            assert_eq!(good(&page), Some(2), "{attribute:.60}");
        }
    }

    #[test]
    fn an_html_page_without_a_doctype_is_in_quirks_mode_in_all_its_pieces() {
        let modes = |text: &str, quirks: bool| {
            let mut modes = Vec::new();
            each(text, quirks, |html| modes.push(html.quirks_mode)).unwrap();
            modes
        };
        let nest = "<div>".repeat(300);
        assert_eq!(modes(&nest, true), [QuirksMode::Quirks; 2]);
        assert_eq!(modes(&nest, false), [QuirksMode::NoQuirks; 2]);
        let page = format!("<!doctype html>{nest}");
        assert_eq!(modes(&page, true), [QuirksMode::NoQuirks; 2]);
    }
}
