//! Texts of a page that were parsed themselves, kept as long as the page: items can be in them.

use std::cell::{Cell, OnceCell};

use scraper::Html;

use super::html::tree;
use super::json::JsonTree;
use super::limits::{MAX_PARSED_BYTES, Work};
use crate::site::pattern::Pattern;
use crate::site::schema::ParsedLanguage;

/// Documents that are kept for one page.
const MAX_KEPT: usize = 1_000;

/// How a text is parsed.
#[derive(Debug)]
pub(super) struct ParseRule {
    pub(super) language: ParsedLanguage,
    /// Only what is behind the first match of this.
    pub(super) behind: Option<Pattern>,
}

/// A text, parsed: HTML that nests too deep gives several trees, anything that cannot be parsed none.
pub(super) enum ParsedText {
    Html(Vec<Html>),
    Json(JsonTree<'static>),
    Nothing,
}

impl ParsedText {
    /// Parses `text`, if that is not too much.
    pub(super) fn new(rule: &ParseRule, text: &str, work: &Work) -> Self {
        let ParseRule { language, behind } = rule;
        let Some(text) = behind
            .as_ref()
            .map_or(Some(text), |pattern| pattern.behind(text, work))
        else {
            return Self::Nothing;
        };
        if text.len() > MAX_PARSED_BYTES || !work.read(text.len()) {
            return Self::Nothing;
        }
        match language {
            ParsedLanguage::Json => {
                // What is behind a pattern is in the midst of a text.
                let value = match behind {
                    Some(_) => JsonTree::parse_first(text),
                    None => JsonTree::parse(text),
                };
                value.map_or(Self::Nothing, |tree| Self::Json(tree.into_owned()))
            }
            ParsedLanguage::Html => {
                let mut trees = Vec::new();
                match tree::each_owned(text, true, |tree| trees.push(tree)) {
                    Ok(_) => Self::Html(trees),
                    Err(_) => Self::Nothing,
                }
            }
        }
    }
}

/// A list that grows while its elements are borrowed.
#[derive(Default)]
pub(super) struct ParsedTexts {
    first: OnceCell<Box<KeptText>>,
    count: Cell<usize>,
}

struct KeptText {
    text: ParsedText,
    next: OnceCell<Box<KeptText>>,
}

impl ParsedTexts {
    /// Keeps `text` and lends it; `None` when too many are kept.
    pub(super) fn keep(&self, text: ParsedText) -> Option<&ParsedText> {
        if self.count.get() >= MAX_KEPT {
            return None;
        }
        self.count.set(self.count.get() + 1);
        let mut end = &self.first;
        while let Some(kept) = end.get() {
            end = &kept.next;
        }
        let next = OnceCell::new();
        Some(&end.get_or_init(|| Box::new(KeptText { text, next })).text)
    }
}
