//! Rewrite rules: from a thumb's or link's address to the original's, in the definition's order.

use regex::Regex;
use serde::Deserialize;
use url::Url;

use super::pattern::Template;
use super::{Site, address, classify};
use crate::job::{Candidate, ImageRef};
use crate::outcome::SkipReason;

/// The address that a rule starts from.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RewriteInput {
    Thumb,
    Link,
}

/// One way to an original: steps, each rewriting the result of the one before it.
#[derive(Debug)]
pub(super) struct RewriteRule {
    pub(super) from: RewriteInput,
    pub(super) steps: Vec<RewriteStep>,
}

#[derive(Debug)]
pub(super) struct RewriteStep {
    pub(super) pattern: Regex,
    pub(super) to: Template,
}

/// The candidates for an image's original, in the order of the rules.
pub(super) fn candidates(site: &Site, image: &ImageRef) -> Result<Vec<Candidate>, SkipReason> {
    let thumb = site.canonical(image.thumb.clone());
    if image.is_original {
        let url = classify::on_site(site, thumb).map_err(SkipReason::Address)?;
        return Ok(vec![Candidate::Direct(url)]);
    }
    let link = image.link.clone().map(|link| site.canonical(link));
    let mut candidates = Vec::new();
    let mut refused = None;
    for RewriteRule { from, steps } in &site.rules {
        let input = match from {
            RewriteInput::Thumb => Some(&thumb),
            RewriteInput::Link => link.as_ref(),
        };
        let Some(text) = input.and_then(|input| rewrite(input, steps)) else {
            continue;
        };
        match original(site, &text, &thumb) {
            Ok(url) => candidates.push(Candidate::Direct(url)),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    if candidates.is_empty() {
        return Err(refused.map_or(SkipReason::NoRule, SkipReason::Address));
    }
    Ok(candidates)
}

/// The result of the steps; `None` when a pattern does not match the whole of its input.
fn rewrite(input: &Url, steps: &[RewriteStep]) -> Option<String> {
    steps
        .iter()
        .try_fold(input.to_string(), |text, RewriteStep { pattern, to }| {
            let captures = pattern.captures(&text)?;
            (captures[0].len() == text.len()).then(|| to.fill(&captures))
        })
}

fn original(site: &Site, text: &str, thumb: &Url) -> Result<Url, String> {
    let original = site.canonical(address::absolute(text)?);
    if original == *thumb {
        return Err("the rewrite leaves the thumb's address as it is".to_owned());
    }
    let host = original.host_str().unwrap_or_default();
    if !site.hosts().any(|known| known == host) {
        return Err(classify::unnamed_host(host));
    }
    Ok(original)
}
