//! Events without secrets: whatever a stage puts into one, no reporter sees them.

use super::{Event, ListingFailure, WaitReason, Warning};
use crate::mask::Masks;

impl Event {
    /// Takes the secrets out of what a site, a server or a command wrote.
    pub(super) fn mask(&mut self, masks: &Masks) {
        match self {
            Self::PageRead { page, .. } | Self::ItemsUnusable { page, .. } => masks.mask_url(page),
            Self::ListingEnded { page, .. } => {
                if let Some(page) = page {
                    masks.mask_url(page);
                }
            }
            Self::ListingFailed { page, reason, .. } => {
                masks.mask_url(page);
                reason.mask(masks);
            }
            Self::FetchStarted { key, .. } | Self::FetchProgressed { key, .. } => key.mask(masks),
            Self::FetchRetried {
                key,
                address,
                cause,
                ..
            } => {
                key.mask(masks);
                masks.mask(address);
                masks.mask(cause);
            }
            Self::ImageFinished { key, outcome } => {
                key.mask(masks);
                outcome.mask(masks);
            }
            Self::HookFinished { cause, output, .. } => {
                for text in cause.iter_mut().chain([output]) {
                    masks.mask(text);
                }
            }
            Self::Waiting { reason } => match reason {
                WaitReason::ImagesInFlight { .. }
                | WaitReason::HooksInFlight { .. }
                | WaitReason::HooksLeft { .. }
                | WaitReason::LockHeld(_)
                | WaitReason::LockSkipped(_)
                | WaitReason::QueueLost { .. }
                | WaitReason::QueueBack { .. }
                | WaitReason::QueueFull { .. }
                | WaitReason::QueueSilent { .. } => {}
            },
            Self::Warned { warning } => warning.mask(masks),
            Self::RunStarted { .. }
            | Self::AddressesRead { .. }
            | Self::HooksLeft { .. }
            | Self::LimitReached { .. } => {}
        }
    }
}

impl Warning {
    fn mask(&mut self, masks: &Masks) {
        match self {
            Self::SiteStopped { cause } | Self::QueueMessage { cause, .. } => masks.mask(cause),
            Self::ListingRepeats { page } | Self::KeysMissing { page, .. } => masks.mask_url(page),
            Self::DeclarationUnusable { page, value, .. } => {
                masks.mask_url(page);
                masks.mask(value);
            }
            Self::CrawlDelay { host, .. } => masks.mask(host),
            // The user's own files, and what the system says.
            Self::InsecureTls
            | Self::ReadableConfig { .. }
            | Self::ReadableCookies { .. }
            | Self::SkippedCookies { .. }
            | Self::LedgerRebuilt { .. }
            | Self::SiteUnavailable { .. }
            | Self::ItemsLeftOut { .. }
            | Self::HooksGivenUp { .. }
            | Self::ReporterFailed { .. } => {}
        }
    }
}

impl ListingFailure {
    fn mask(&mut self, masks: &Masks) {
        match self {
            Self::Fetch { cause, .. }
            | Self::Unreadable { cause, .. }
            | Self::NextUnusable { cause, .. } => masks.mask(cause),
            Self::NoOriginals { example, .. } => example.mask(masks),
            // What the definition says, and numbers.
            Self::TooManyElements { .. }
            | Self::TooManyItems { .. }
            | Self::TagTooLong { .. }
            | Self::NoThumbs { .. }
            | Self::NoUsableThumbs { .. }
            | Self::FirstPageEmpty { .. }
            | Self::NoEndMark { .. }
            | Self::NoLinks
            | Self::NextMissing { .. }
            | Self::PagerMissing { .. }
            | Self::NoConditionValue { .. }
            | Self::LongGap { .. }
            | Self::TooManySteps { .. }
            | Self::NoKeys { .. }
            | Self::ShortPage { .. }
            | Self::TooManyPages { .. } => {}
        }
    }
}
