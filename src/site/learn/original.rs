//! The way to the user's example of an original, for listings that are data.

use url::Url;

use super::align::{likeness, rewrites};
use super::draft::{Draft, FullGuess};
use crate::job::Candidate;
use crate::site::extract::PageText;
use crate::site::{RuleResult, Site};

/// A rule is learned where at least this part of the original's address is in the other: a third.
const MIN_LIKENESS: usize = 3;

impl Draft {
    /// Puts the way first by which the page that the draft was made from leads to `original`; whether there is one.
    pub fn lead_to(&mut self, body: PageText<'_>, original: &Url) -> bool {
        self.add_host(original);
        let Ok(site) = Site::from_toml(&self.to_toml()) else {
            return false;
        };
        let Ok(listing) = site.read(&self.page, body) else {
            return false;
        };
        let found = listing.images.iter().flat_map(|image| {
            let rules = site.resolver().explain(image).into_iter();
            rules.filter_map(|(number, result)| match result {
                RuleResult::Candidate(Candidate::Direct(url)) => Some((number - 1, url)),
                RuleResult::Candidate(Candidate::Follow(_))
                | RuleResult::NoMatch
                | RuleResult::Refused(_) => None,
            })
        });
        let Some((number, nearest)) = found.max_by_key(|(_, url)| {
            // What the whole of it has in common is more than any part.
            (url == original, likeness(url, original))
        }) else {
            return false;
        };
        let Some(FullGuess::Field { name, .. }) = self.full.get(number).cloned() else {
            return false;
        };
        if nearest == *original {
            let because = "your original is an address in its item".to_owned();
            self.full.remove(number);
            self.full.insert(0, FullGuess::Field { name, because });
            return true;
        }
        // What has little in common is a coincidence, and its rule gives one address for all items.
        if likeness(&nearest, original) * MIN_LIKENESS < original.as_str().len() {
            return false;
        }
        let Some(rule) = rewrites(&[(nearest.clone(), original.clone())]).pop() else {
            return false;
        };
        let because = format!("guess: learned from one example, {nearest} -> {original}");
        self.full = vec![FullGuess::Rewrite {
            from: name,
            rule,
            because,
        }];
        true
    }
}
