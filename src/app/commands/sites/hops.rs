//! Follows the pages that lead to originals, as far as they are at hand: no network.

use std::collections::{HashMap, VecDeque};

use url::Url;

use super::items::{TriedPage, TriedRule};
use super::live::{MAX_HOPS, follow_page};
use crate::fetch::RawPage;
use crate::job::{Candidate, Follow};
use crate::outcome::SkipReason;
use crate::site::RuleResult;
use crate::units::plural;

/// Saved pages that lead to originals.
#[derive(Default)]
pub(super) struct Details {
    by_address: HashMap<Url, RawPage>,
    /// Those of the first items that lead to a page, in their order.
    unnamed: VecDeque<RawPage>,
    followed: usize,
    leading: usize,
    missing: usize,
}

impl Details {
    /// Adds a page, by the address that it was requested at.
    pub(super) fn add(&mut self, page: RawPage) {
        self.by_address.insert(page.url.clone(), page);
    }

    /// Takes a page for that of the next item that leads to one.
    pub(super) fn add_unnamed(&mut self, page: RawPage) {
        self.unnamed.push_back(page);
    }

    /// Puts behind each rule that leads to a page what that page shows.
    pub(super) fn follow(&mut self, tried: &mut TriedPage) {
        for item in &mut tried.items {
            // The next one is the last.
            let mut left: Vec<_> = std::mem::take(&mut item.rules).into_iter().rev().collect();
            while let Some(rule) = left.pop() {
                if let RuleResult::Candidate(Candidate::Follow(follow)) = &rule.result {
                    let found = self.found(&rule, follow);
                    left.extend(found.into_iter().rev());
                }
                item.rules.push(rule);
            }
        }
    }

    fn found(&mut self, rule: &TriedRule, follow: &Follow) -> Vec<TriedRule> {
        let then = |result| TriedRule {
            hop: rule.hop + 1,
            result,
            ..*rule
        };
        if rule.hop >= MAX_HOPS {
            let why = format!("{MAX_HOPS} pages led to it, and no more are followed");
            return vec![then(RuleResult::Refused(why))];
        }
        if !self.by_address.contains_key(&follow.page)
            && let Some(mut page) = self.unnamed.pop_front()
        {
            page.url = follow.page.clone();
            self.add(page);
        }
        let Some(page) = self.by_address.get(&follow.page) else {
            self.missing += 1;
            return Vec::new();
        };
        self.followed += 1;
        match follow_page(&follow.rule, page) {
            Ok(found) => {
                self.leading += 1;
                let found = found.into_iter().map(RuleResult::Candidate);
                found.map(then).collect()
            }
            Err(SkipReason::NoRule) => vec![then(RuleResult::NoMatch)],
            Err(why) => vec![then(RuleResult::Refused(why.to_string()))],
        }
    }

    /// What became of the pages, in words; `None` where no item leads to one.
    pub(super) fn summary(&self) -> Option<String> {
        let all = self.followed + self.missing;
        if all == 0 {
            return None;
        }
        if self.followed == 0 {
            return Some(format!(
                "`follow` was not tested: none of the {} that items lead to is at hand; `wallhaul sites record` stores \
                 some, or give one with --detail URL=FILE",
                plural(all, "page", "pages")
            ));
        }
        Some(format!(
            "`follow`: {} of {} at hand, {} to an original",
            self.followed,
            plural(all, "page", "pages"),
            if self.leading == 1 {
                "1 leads".to_owned()
            } else {
                format!("{} lead", self.leading)
            },
        ))
    }

    /// Whether pages were followed and none of them shows what the definition looks for.
    pub(super) fn do_not_fit(&self) -> bool {
        self.followed > 0 && self.leading == 0
    }
}
