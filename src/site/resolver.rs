//! Resolves the images of one page: to the addresses of their originals, their keys and the names of their files.

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

    /// The candidates and the file stem of an image. Secrets that its listing wrote into its addresses and texts stay
    /// in the candidates alone, which are requested; key and stem are stored.
    ///
    /// # Errors
    ///
    /// When it has no candidate: why it is skipped.
    pub fn resolve(&self, image: &ImageRef, masks: &Masks) -> Result<Resolved, SkipReason> {
        let Self { site, work } = self;
        let candidates = candidate::candidates(site, image, work)?;
        let first = candidates.first().ok_or(SkipReason::NoRule)?;
        let declared = site.declared.declared(image);
        let (mut image, mut first) = (Cow::Borrowed(image), Cow::Borrowed(first));
        if !masks.is_empty() {
            image.to_mut().mask(masks);
            first.to_mut().mask(masks);
        }
        Ok(Resolved {
            key: site.identity.key(&site.id, &image, &first),
            stem: site.file_stem(&image, &first, work),
            declared,
            candidates,
        })
    }

    /// What became of each `[[full]]` for an image, by its number from 1: for people who write a definition.
    pub fn explain(&self, image: &ImageRef) -> Vec<(usize, RuleResult)> {
        candidate::explain(self.site, image, &self.work)
    }
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
