//! Outcomes without secrets.

use super::{Outcome, SkipReason};
use crate::mask::Masks;

impl Outcome {
    /// Takes the secrets out of what a site or a server wrote.
    pub(crate) fn mask(&mut self, masks: &Masks) {
        match self {
            // Names are made of masked texts.
            Self::Saved(saved) => masks.mask_url(&mut saved.address),
            Self::Duplicate(duplicate) => masks.mask_url(&mut duplicate.address),
            Self::Gone(gone) => masks.mask(&mut gone.address),
            Self::Skipped(skip) => {
                masks.mask(&mut skip.address);
                skip.reason.mask(masks);
            }
            Self::Failed(failure) => {
                masks.mask(&mut failure.address);
                masks.mask(&mut failure.cause);
            }
            Self::AlreadyThere | Self::Queued | Self::Interrupted => {}
        }
    }
}

impl SkipReason {
    /// Takes the secrets out of what a site wrote.
    pub(crate) fn mask(&mut self, masks: &Masks) {
        match self {
            Self::Address(text)
            | Self::OtherHost(text)
            | Self::ErrorRule(text)
            | Self::TooSmall(text) => masks.mask(text),
            Self::NoRule | Self::NoImage | Self::InQueue | Self::DryRun => {}
        }
    }
}
