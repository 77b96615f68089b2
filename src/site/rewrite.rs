//! From the thumb or the link to the original's address, by the definition's rules in their order.

use regex::Regex;
use serde::Deserialize;
use url::Url;

use super::pattern::Template;
use super::{Site, address, place};
use crate::job::ImageRef;
use crate::outcome::SkipReason;

/// An address the original may be found at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The canonical address.
    pub address: Url,
}

/// What a rule begins with.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Input {
    Thumb,
    Link,
}

/// One way to an original: steps, each rewriting what the one before it yields.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) from: Input,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) pattern: Regex,
    pub(super) to: Template,
}

/// The candidates for an image's original, in the order of the rules.
pub(super) fn candidates(site: &Site, image: &ImageRef) -> Result<Vec<Candidate>, SkipReason> {
    let thumb = site.canonical(image.thumb.clone());
    if image.is_original {
        let address = place::given(site, thumb).map_err(SkipReason::Address)?;
        return Ok(vec![Candidate { address }]);
    }
    let link = image.link.clone().map(|link| site.canonical(link));
    let mut candidates = Vec::new();
    let mut refused = None;
    for Rule { from, steps } in &site.rules {
        let input = match from {
            Input::Thumb => Some(&thumb),
            Input::Link => link.as_ref(),
        };
        let Some(text) = input.and_then(|input| rewrite(input, steps)) else {
            continue;
        };
        match original(site, &text, &thumb) {
            Ok(address) => candidates.push(Candidate { address }),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    if candidates.is_empty() {
        return Err(refused.map_or(SkipReason::NoRule, SkipReason::Address));
    }
    Ok(candidates)
}

/// What the steps make of `input`; `None` when one of them does not match the whole of what it is given.
fn rewrite(input: &Url, steps: &[Step]) -> Option<String> {
    steps
        .iter()
        .try_fold(input.to_string(), |text, Step { pattern, to }| {
            let captures = pattern.captures(&text)?;
            (captures[0].len() == text.len()).then(|| to.fill(&captures))
        })
}

fn original(site: &Site, text: &str, thumb: &Url) -> Result<Url, String> {
    let address = site.canonical(address::whole(text)?);
    if address == *thumb {
        return Err("the rewrite leaves the thumb's address as it is".to_owned());
    }
    let host = address.host_str().unwrap_or_default();
    if !site.hosts().any(|known| known == host) {
        return Err(format!("the definition does not name its host `{host}`"));
    }
    Ok(address)
}
