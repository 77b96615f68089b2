//! The counts of a run.

use std::fmt;
use std::io;

use jiff::Timestamp;
use serde::Serialize;

use super::causes::Causes;
use super::same_images::SameImages;
use super::{Reporter, messages};
use crate::event::{Event, Warning};
use crate::job::SiteId;
use crate::outcome::{Capture, Duplicate, Outcome, Saved, Skip, SkipReason};

/// The counts of one run over one site, in the words of [`Outcome`].
///
/// `found = saved + duplicate + already_there + gone + skipped + failed + queued + interrupted + not_started`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The site, once the run has started.
    pub site: Option<SiteId>,
    /// The folder of the collection; empty for a run that stores nothing.
    pub directory: String,
    /// Whether other runs found the images.
    #[serde(skip)]
    pub works_for_others: bool,
    /// Listing pages read.
    pub pages: u32,
    /// Whether the listing was read to its end.
    pub listed: bool,
    /// Why the listing could not be read to its end: untrusted text.
    pub listing_failed: Option<String>,
    /// Why the site takes no more requests, where its definition says that of an answer: untrusted text.
    pub site_stopped: Option<String>,
    /// Different images found.
    pub found: usize,
    /// Images that a later page showed again; not part of `found`.
    pub repeated: usize,
    /// Items that the definition's conditions leave out; not part of `found`.
    pub left_out: usize,
    /// Images added to the collection.
    pub saved: usize,
    /// Of `saved`, those with a warning.
    pub warned: usize,
    /// Images whose bytes were in the collection already.
    pub duplicate: usize,
    /// Of `saved` and `duplicate`, those that came from the web archive.
    pub archived: usize,
    /// When the first and
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_from: Option<Timestamp>,
    /// the last of these was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_to: Option<Timestamp>,
    /// Images that three or more addresses of the run gave: perhaps placeholders of removed ones.
    pub same_images: SameImages,
    /// Images in the collection before the run.
    pub already_there: usize,
    /// Images that the site said are gone, too recently to be requested again.
    pub gone: usize,
    /// Of `gone`, those that the user named in a list, each of which has its own line.
    pub gone_named: usize,
    /// Bytes added to the collection.
    pub bytes: u64,
    /// Images left out on purpose.
    pub skipped: usize,
    /// Of `skipped`, those that no earlier run reported, without `would_fetch`.
    pub new_skips: usize,
    /// Of `skipped`, those that a dry run would have fetched.
    pub would_fetch: usize,
    /// Images not fetched because of an error.
    pub failed: usize,
    /// Images left in a queue for workers elsewhere.
    pub queued: usize,
    /// Images whose download the end of the run cut off.
    pub interrupted: usize,
    /// Attempts that failed and were followed by another.
    pub retries: usize,
    /// Hooks that succeeded.
    pub hooks_done: usize,
    /// Hooks that failed.
    pub hooks_failed: usize,
    /// Images, and the end of a run, whose hooks the next run starts.
    pub hooks_not_started: u64,
    /// The flag whose limit ended the run.
    pub limit: Option<&'static str>,
    /// Warnings about the run, not about single images.
    pub warnings: usize,
    /// Reporters that could not write.
    pub failed_reporters: Vec<FailedReporter>,
    #[serde(skip)]
    pub(super) failures: Causes,
    /// Of new skips only.
    #[serde(skip)]
    pub(super) skips: Causes,
}

/// A reporter that could not write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedReporter {
    /// What it writes.
    pub reporter: &'static str,
    /// The system's error message.
    pub cause: String,
    /// Whether its reader closed the pipe, as `head` does; otherwise writing failed.
    pub reader_gone: bool,
    /// Whether it wrote the output that the user chose, not only a log.
    pub primary_output: bool,
}

impl FailedReporter {
    pub(super) fn new(reporter: &dyn Reporter, error: &io::Error) -> Self {
        Self {
            reporter: reporter.name(),
            cause: error.to_string(),
            reader_gone: error.kind() == io::ErrorKind::BrokenPipe,
            primary_output: reporter.is_primary_output(),
        }
    }
}

impl fmt::Display for FailedReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reporter,
            cause,
            reader_gone,
            primary_output: _,
        } = self;
        f.write_str(&messages::reporter_failed(reporter, cause, *reader_gone))
    }
}

impl Tally {
    /// Counts `event`.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::RunStarted {
                site,
                directory,
                jobs: _,
                works_for_others,
            } => {
                self.site = Some(site.clone());
                self.directory.clone_from(directory);
                self.works_for_others = *works_for_others;
            }
            Event::PageRead {
                page: _,
                number: _,
                found,
                already_there,
                gone,
                repeated,
                left_out,
            } => {
                self.pages += 1;
                self.left_out += left_out;
                self.add_found(*found, *already_there, *gone, *repeated);
            }
            Event::AddressesRead {
                found,
                already_there,
                // Each of them has its outcome.
                gone: _,
                repeated,
            } => self.add_found(*found, *already_there, 0, *repeated),
            Event::ListingEnded { .. } => self.listed = true,
            Event::ListingFailed { reason, .. } => {
                self.listing_failed = Some(messages::listing_failure(reason));
            }
            Event::FetchStarted { .. } | Event::FetchProgressed { .. } | Event::Waiting { .. } => {}
            Event::FetchRetried { .. } => self.retries += 1,
            Event::ImageFinished { key: _, outcome } => self.add_outcome(outcome),
            Event::HookFinished { cause: None, .. } => self.hooks_done += 1,
            Event::HookFinished { cause: Some(_), .. } => self.hooks_failed += 1,
            Event::HooksLeft { number } => self.hooks_not_started = *number,
            Event::LimitReached { limit } => self.limit = Some(limit),
            Event::Warned { warning } => {
                self.warnings += 1;
                if let Warning::SiteStopped { cause } = warning {
                    self.site_stopped = Some(cause.clone());
                }
            }
            Event::ItemsUnusable { .. } => self.warnings += 1,
        }
    }

    fn add_found(&mut self, found: usize, already_there: usize, gone: usize, repeated: usize) {
        self.found += found;
        self.already_there += already_there;
        self.gone += gone;
        self.repeated += repeated;
    }

    fn add_outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Saved(Saved {
                name,
                address: _,
                content,
                capture,
            }) => {
                self.add_archived(capture.as_deref());
                self.saved += 1;
                self.warned += usize::from(content.warning.is_some());
                self.bytes += content.bytes;
                self.same_images.add_saved(name, &content.hash);
            }
            Outcome::Duplicate(Duplicate {
                name,
                address: _,
                content,
                capture,
            }) => {
                self.add_archived(capture.as_deref());
                self.duplicate += 1;
                self.same_images.add_duplicate(name, &content.hash);
            }
            Outcome::AlreadyThere => self.already_there += 1,
            Outcome::Gone(_) => {
                self.gone += 1;
                self.gone_named += 1;
            }
            Outcome::Skipped(skip) => self.add_skip(skip),
            Outcome::Failed(failure) => {
                self.failed += 1;
                self.failures.add(&failure.cause, &failure.address);
            }
            Outcome::Queued => self.queued += 1,
            Outcome::Interrupted => self.interrupted += 1,
        }
    }

    fn add_archived(&mut self, capture: Option<&Capture>) {
        let Some(Capture { address: _, at }) = capture else {
            return;
        };
        self.archived += 1;
        self.archived_from = Some(self.archived_from.map_or(*at, |from| from.min(*at)));
        self.archived_to = self.archived_to.max(Some(*at));
    }

    fn add_skip(&mut self, skip: &Skip) {
        let Skip {
            address,
            reason,
            new,
        } = skip;
        self.skipped += 1;
        match reason {
            SkipReason::DryRun => self.would_fetch += 1,
            SkipReason::NoRule
            | SkipReason::Address(_)
            | SkipReason::OtherHost(_)
            | SkipReason::ErrorRule(_)
            | SkipReason::NoImage
            | SkipReason::InQueue
            | SkipReason::TooSmall(_)
                if *new =>
            {
                self.new_skips += 1;
                self.skips.add(&reason.to_string(), address);
            }
            SkipReason::NoRule
            | SkipReason::Address(_)
            | SkipReason::OtherHost(_)
            | SkipReason::ErrorRule(_)
            | SkipReason::NoImage
            | SkipReason::InQueue
            | SkipReason::TooSmall(_) => {}
        }
    }

    /// Images that have an outcome.
    pub fn done(&self) -> usize {
        self.saved
            + self.duplicate
            + self.already_there
            + self.gone
            + self.skipped
            + self.failed
            + self.queued
            + self.interrupted
    }

    /// Images found that have no outcome: when the run has ended, those it did not start.
    pub fn not_started(&self) -> usize {
        self.found.saturating_sub(self.done())
    }

    /// The reporter whose primary output could not be written. Not one whose reader closed the pipe: a reader that
    /// wants no more loses nothing.
    pub fn lost_output(&self) -> Option<&FailedReporter> {
        self.failed_reporters
            .iter()
            .find(|failed| failed.primary_output && !failed.reader_gone)
    }

    /// Whether there is anything to summarize: a run that failed before its first image has had its error message.
    pub fn has_begun(&self) -> bool {
        self.site.is_some() && (self.found > 0 || self.listing_failed.is_none())
    }

    /// Whether a summary is worth printing where nobody watches.
    pub fn is_news(&self) -> bool {
        let news = self.saved + self.duplicate + self.new_skips + self.would_fetch + self.queued;
        let trouble =
            self.failed + self.gone_named + self.interrupted + self.not_started() + self.warnings;
        news + trouble + self.hooks_failed > 0
            || self.hooks_not_started > 0
            || self.listing_failed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::samples::{any_outcome, eventful_run, page_read, second_run, tally_of};

    #[test]
    fn a_run_that_finds_nothing_new_is_no_news() {
        assert!(!tally_of(&second_run()).is_news());
        assert!(tally_of(&eventful_run()).is_news());
        assert!(
            tally_of(&[page_read(1, 1, 0)]).is_news(),
            "an image that was not started is trouble"
        );
    }

    proptest! {
        #[test]
        fn a_tally_adds_up(
            found in 0..500_usize,
            outcomes in prop::collection::vec(any_outcome(), 0..200),
        ) {
            let mut events = vec![page_read(1, found, 0)];
            events.extend(outcomes.into_iter().take(found));
            let tally = tally_of(&events);
            let Tally { saved, duplicate, already_there, gone, skipped, failed, queued, interrupted, .. } = tally;
            let ended = saved + duplicate + already_there + gone + skipped + failed + queued + interrupted;
            prop_assert_eq!(found, ended + tally.not_started());
            prop_assert!(tally.would_fetch + tally.new_skips <= skipped && tally.warned <= saved);
        }
    }
}
