//! Pages with an object whose members are to be copied into the next request: `listing.continue`.
//!
//! `MediaWiki`'s API answers so. The names of the members change from answer to answer, and each answer's replace the
//! last one's; an answer may hold a part of each item's properties only ("Raw query continue" in its manual).

use url::Url;

use super::order::LinkedPages;
use super::page_links::PageLinks;
use super::template::{PageTemplate, PlaceValues};
use crate::site::address;

/// Members of an object, and bytes of one: `MediaWiki` sends two of some tens of bytes.
const MAX_MEMBERS: usize = 64;
const MAX_MEMBER_BYTES: usize = 4 * 1024;

/// Pages with a `continue` object.
#[derive(Debug)]
pub(super) struct Continuations {
    pub(super) first: PageTemplate,
}

impl LinkedPages for Continuations {
    fn first(&self) -> Result<Url, String> {
        self.first.fill(&PlaceValues::default())
    }

    fn next(&self, links: &PageLinks, carried: &[Option<String>]) -> Result<Option<Url>, String> {
        let members = &links.members;
        if members.is_empty() {
            return links.no_next();
        }
        let is_large =
            |(name, value): &(String, String)| name.len().max(value.len()) > MAX_MEMBER_BYTES;
        if members.len() > MAX_MEMBERS || members.iter().any(is_large) {
            return Err("`continue` has too many members, or one that is too long".to_owned());
        }
        let mut url = self.first.fill(&PlaceValues {
            carried,
            ..PlaceValues::default()
        })?;
        let kept = kept_parameters(&url, members);
        let added = members.iter().map(|(name, value)| {
            format!(
                "{}={}",
                super::template::in_query(name),
                super::template::in_query(value)
            )
        });
        let query = kept.into_iter().chain(added).collect::<Vec<_>>().join("&");
        url.set_query(Some(&query));
        address::usable(&url)?;
        Ok(Some(url))
    }

    fn has_partial_answers(&self) -> bool {
        true
    }
}

/// The parameters of the first request that no member replaces, as written.
fn kept_parameters(url: &Url, members: &[(String, String)]) -> Vec<String> {
    let is_replaced = |parameter: &str| {
        let mut parsed = url::form_urlencoded::parse(parameter.as_bytes());
        parsed
            .next()
            .is_some_and(|(name, _)| members.iter().any(|(member, _)| *member == name))
    };
    let parameters = url.query().unwrap_or_default().split('&');
    parameters
        .filter(|parameter| !parameter.is_empty() && !is_replaced(parameter))
        .map(str::to_owned)
        .collect()
}
