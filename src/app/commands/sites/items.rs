//! What a definition makes of one page: each item, each way to its original, its key and its name.

use std::fmt::Write as _;

use serde::Serialize;

use crate::event::ListingFailure;
use crate::fetch::Page;
use crate::job::{Candidate, ImageRef, Resolved};
use crate::mask::Masks;
use crate::outcome::SkipReason;
use crate::report::{escape, messages, object};
use crate::site::{ListingPage, PageText, PageVerdict, RuleResult, Site};
use crate::units::plural;

/// A page, as a definition reads it.
pub(super) struct TriedPage {
    pub(super) items: Vec<TriedItem>,
    /// What the page says beside its items; they are taken from it.
    pub(super) listing: ListingPage,
    /// Why the definition does not fit the page, if so.
    pub(super) failure: Option<ListingFailure>,
}

/// An item of a page.
pub(super) struct TriedItem {
    pub(super) image: ImageRef,
    pub(super) rules: Vec<TriedRule>,
    /// Its key and candidates, or why it is skipped.
    pub(super) resolved: Result<Resolved, SkipReason>,
    /// The stem of its file, if it is not skipped.
    pub(super) stem: String,
}

impl TriedItem {
    /// The number of the `[[full]]` that gives a candidate, from 1.
    pub(super) fn rule_of(&self, candidate: &Candidate) -> Option<usize> {
        let mut rules = self.rules.iter();
        rules.find_map(|rule| match &rule.result {
            RuleResult::Candidate(found) if found == candidate => Some(rule.full),
            RuleResult::Candidate(_) | RuleResult::NoMatch | RuleResult::Refused(_) => None,
        })
    }
}

/// What a `[[full]]` gave for an item.
pub(super) struct TriedRule {
    /// Its number, from 1.
    pub(super) full: usize,
    /// Pages between the item and this result.
    pub(super) hop: usize,
    pub(super) result: RuleResult,
}

/// Reads a page; `is_first` says whether it cannot be the one after the last. No key or name holds a secret.
///
/// # Errors
///
/// When reading it would take too much memory or time.
pub(super) fn try_page(
    site: &Site,
    page: &Page,
    is_first: bool,
    masks: &Masks,
    canonicalize: impl Fn(&mut [ImageRef]),
) -> Result<TriedPage, ListingFailure> {
    let text = PageText {
        text: &page.text,
        encoding: page.encoding,
        is_xml: page.is_xml,
    };
    let mut listing = site.read(&page.url, text)?;
    if let Some(target) = &page.next {
        listing.next.set_header_next(&page.url, target);
    }
    let mut images = std::mem::take(&mut listing.images);
    canonicalize(&mut images);
    let (rules, resolver) = (site.resolver(), site.resolver());
    let items = images.into_iter().map(|image| {
        let found = resolver.resolve(&image, masks);
        let candidates = found.as_ref().map_or(&[][..], |found| &found.candidates);
        TriedItem {
            rules: rules
                .explain(&image)
                .into_iter()
                .map(|(full, result)| TriedRule {
                    full,
                    hop: 0,
                    result,
                })
                .collect(),
            stem: resolver.stem(&image, candidates, masks),
            resolved: found,
            image,
        }
    });
    let items: Vec<_> = items.collect();
    let failure = match listing.health.verdict(is_first) {
        PageVerdict::Unexpected(failure) => Some(failure),
        PageVerdict::Items | PageVerdict::End => None,
    };
    let reasons = || items.iter().filter_map(|item| item.resolved.as_ref().err());
    let none = reasons()
        .next()
        .filter(|_| reasons().count() == items.len())
        // An image on a host that the user does not want shows that the definition fits.
        .filter(|_| !reasons().any(|why| matches!(why, SkipReason::OtherHost(_))));
    let failure = failure.or_else(|| {
        Some(ListingFailure::NoOriginals {
            images: items.len(),
            example: none?.clone(),
        })
    });
    Ok(TriedPage {
        items,
        listing,
        failure,
    })
}

impl TriedPage {
    /// Whether the page says that it has no items.
    pub(super) fn finds_nothing(&self) -> bool {
        self.listing.health.items == 0 && self.listing.health.empty_list
    }

    /// The items with an original.
    pub(super) fn resolved(&self) -> impl Iterator<Item = &Resolved> {
        self.items
            .iter()
            .filter_map(|item| item.resolved.as_ref().ok())
    }

    /// `24 items, 23 with an original, 1 skipped`.
    pub(super) fn summary(&self) -> String {
        let with = self.resolved().count();
        let mut text = format!(
            "{}, {with} with an original",
            plural(self.items.len(), "item", "items")
        );
        let without = self.listing.health.without_thumb + self.listing.health.unusable;
        for (number, what) in [
            (self.items.len() - with, "skipped"),
            (self.listing.health.filtered, "left out by `where`"),
            (without, "without a usable address"),
        ] {
            if number > 0 {
                // Writing to a string cannot fail.
                let _ = write!(text, ", {number} {what}");
            }
        }
        text
    }

    /// Why the page is not what the definition says; safe to print.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.as_ref().map(failure_text)
    }

    /// Tab-separated: item, rule, what the rule gave, address or reason, name and key.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        for (number, item) in (1..).zip(&self.items) {
            let (name, key) = match &item.resolved {
                Ok(resolved) => (item.stem.as_str(), resolved.key.as_str()),
                Err(_) => ("", ""),
            };
            let mut row = |rule: &str, what: &str, text_of: &str| {
                let cells = [&*number.to_string(), rule, what, text_of, name, key];
                let cells = cells.map(|cell| escape(cell).into_owned());
                text += cells.join("\t").trim_end();
                text.push('\n');
            };
            let is_given = item.rules.is_empty();
            for TriedRule { full, hop, result } in &item.rules {
                let rule = match hop {
                    0 => format!("full {full}"),
                    hop => format!("full {full} page {hop}"),
                };
                match result {
                    RuleResult::Candidate(candidate) => {
                        row(&rule, kind(candidate), candidate.url().as_str());
                    }
                    RuleResult::Refused(reason) => row(&rule, "refused", reason),
                    RuleResult::NoMatch if item.resolved.is_err() || *hop > 0 => {
                        row(&rule, "no match", "");
                    }
                    RuleResult::NoMatch => {}
                }
            }
            match &item.resolved {
                Ok(resolved) if is_given => {
                    for candidate in &resolved.candidates {
                        row("", kind(candidate), candidate.url().as_str());
                    }
                }
                Ok(_) => {}
                Err(reason) => {
                    let place = address(&item.image);
                    row("", "skipped", &format!("{reason} ({place})"));
                }
            }
        }
        text
    }

    /// One JSON object a line and item.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for (number, item) in (1..).zip(&self.items) {
            text += &object(json_item(number, item))?;
            text.push('\n');
        }
        Ok(text)
    }
}

/// Why a page could not be read, or is not what the definition says.
pub(super) fn failure_text(failure: &ListingFailure) -> String {
    escape(&messages::listing_failure(failure)).into_owned()
}

fn kind(candidate: &Candidate) -> &'static str {
    match candidate {
        Candidate::Direct(_) => "direct",
        Candidate::Follow(_) => "follow",
    }
}

/// The address that people find an item by.
fn address(image: &ImageRef) -> &str {
    image.link.as_ref().unwrap_or(&image.thumb).as_str()
}

/// An item as `--json` prints it; docs/json.md names each field.
#[derive(Serialize)]
struct JsonItem<'a> {
    item: usize,
    thumb: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stem: Option<&'a str>,
    rules: Vec<JsonRule<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

#[derive(Serialize)]
struct JsonRule<'a> {
    full: usize,
    /// Pages between the item and this result.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<usize>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

fn json_item(item: usize, tried: &TriedItem) -> JsonItem<'_> {
    let TriedItem {
        image,
        rules,
        resolved,
        stem,
    } = tried;
    let rules = rules.iter().map(|TriedRule { full, hop, result }| {
        let (result, address, detail) = match result {
            RuleResult::Candidate(candidate) => {
                (kind(candidate), Some(candidate.url().as_str()), None)
            }
            RuleResult::NoMatch => ("no_match", None, None),
            RuleResult::Refused(reason) => ("refused", None, Some(reason.as_str())),
        };
        JsonRule {
            full: *full,
            page: Some(*hop).filter(|&hop| hop > 0),
            result,
            address,
            detail,
        }
    });
    JsonItem {
        item,
        thumb: image.thumb.as_str(),
        link: image.link.as_ref().map(url::Url::as_str),
        title: image.title.as_deref(),
        key: resolved.as_ref().ok().map(|resolved| resolved.key.as_str()),
        stem: resolved.is_ok().then_some(stem.as_str()),
        rules: rules.collect(),
        skipped: resolved.as_ref().err().map(SkipReason::to_string),
    }
}
