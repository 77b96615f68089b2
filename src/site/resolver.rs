//! Resolves the images of one page: to the addresses of their originals and their keys, and then to the names of their
//! files. Apart, as most images are in the collection already, and a name costs as much as the rest.

use std::borrow::Cow;

use super::document::Work;
use super::{Site, candidate};
use crate::job::{Candidate, ImageRef, Resolved};
use crate::mask::Masks;
use crate::outcome::SkipReason;

/// Resolves the images of one page. What the definition's patterns cost is counted over all of them, and the images for
/// which nothing is left have no candidates.
#[derive(Debug)]
pub struct ImageResolver<'s> {
    site: &'s Site,
    work: Work,
}

impl<'s> ImageResolver<'s> {
    pub(super) fn new(site: &'s Site) -> Self {
        Self {
            site,
            work: Work::default(),
        }
    }

    /// The candidates and the key of an image. Secrets that its listing wrote into its addresses and texts stay in the
    /// candidates alone, which are requested; the key is stored.
    ///
    /// # Errors
    ///
    /// When it has no candidate: why it is skipped.
    pub fn resolve(&self, image: &ImageRef, masks: &Masks) -> Result<Resolved, SkipReason> {
        let Self { site, work } = self;
        let candidates = candidate::candidates(site, image, work)?;
        let first = candidates.first().ok_or(SkipReason::NoRule)?;
        let (shown, first) = masked(image, first, masks);
        Ok(Resolved {
            key: site.identity.key(&site.id, &shown, &first),
            declared: site.declared.declared(image),
            candidates,
        })
    }

    /// The stem of the file of an image with these candidates, without secrets, as it is stored.
    pub fn stem(&self, image: &ImageRef, candidates: &[Candidate], masks: &Masks) -> String {
        let Self { site, work } = self;
        candidates.first().map_or_else(String::new, |first| {
            let (shown, first) = masked(image, first, masks);
            site.file_stem(&shown, &first, work)
        })
    }

    /// What became of each `[[full]]` for an image, by its number from 1: for people who write a definition.
    pub fn explain(&self, image: &ImageRef) -> Vec<(usize, RuleResult)> {
        candidate::explain(self.site, image, &self.work)
    }
}

/// The image and its first candidate without secrets.
fn masked<'a>(
    image: &'a ImageRef,
    first: &'a Candidate,
    masks: &Masks,
) -> (Cow<'a, ImageRef>, Cow<'a, Candidate>) {
    let (mut image, mut first) = (Cow::Borrowed(image), Cow::Borrowed(first));
    if !masks.is_empty() {
        image.to_mut().mask(masks);
        first.to_mut().mask(masks);
    }
    (image, first)
}

/// What became of a `[[full]]` for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleResult {
    /// It gives this candidate.
    Candidate(Candidate),
    /// The item has nothing for it: its pattern does not match, or a text is missing.
    NoMatch,
    /// Its result may not be requested: why.
    Refused(String),
}
