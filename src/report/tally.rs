//! What a run came to: the counts, and the summary a person reads.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use super::figures::{count, of, size, time};
use super::terminal::{Color, escape_truncated, paint};
use super::{Reporter, messages};
use crate::event::Event;
use crate::job::SiteId;
use crate::outcome::{Failure, Outcome, Saved, SkipReason};

/// Up to so many failures their own lines suffice; beyond, the summary groups them by cause.
const FEW_FAILURES: usize = 10;

/// How many causes the summary names.
const CAUSES_SHOWN: usize = 10;

/// How many different causes are told apart: they quote servers, and must not fill the memory.
const CAUSES_KEPT: usize = 100;

/// The counts of one run over one site. Of the images found, each is known, saved, filtered, failed,
/// interrupted, or left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The site, once the run has started.
    pub site: Option<SiteId>,
    /// Where the collection lies; empty for a run that keeps nothing.
    pub directory: String,
    /// Listing pages read.
    pub pages: u32,
    /// Whether the listing was read to its end.
    pub listed: bool,
    /// Why the listing could not be read to its end: untrusted text.
    pub listing_failed: Option<String>,
    /// Different images found.
    pub found: usize,
    /// Images that a later page showed again; not among `found`.
    pub repeated: usize,
    /// Images that were in the collection before, or are known to be gone.
    pub known: usize,
    /// Images saved.
    pub saved: usize,
    /// Of the saved ones, those whose bytes were there already.
    pub twins: usize,
    /// Bytes added to the collection.
    pub bytes: u64,
    /// Images left out on purpose.
    pub filtered: usize,
    /// Of the filtered ones, those that a dry run would have fetched.
    pub would_fetch: usize,
    /// Images that could not be had.
    pub failed: usize,
    /// Images that the end of the run cut off.
    pub interrupted: usize,
    /// Tries that failed and were followed by another.
    pub retries: usize,
    /// Commands of the user's that succeeded.
    pub hooks_done: usize,
    /// Commands of the user's that did not.
    pub hooks_failed: usize,
    /// Images whose commands wait for the next run, and the end of a run.
    pub hooks_left: u64,
    /// The flag whose limit ended the run.
    pub limit: Option<&'static str>,
    /// Warnings.
    pub warnings: usize,
    /// Reporters that could not tell any more.
    pub silenced: Vec<FailedReporter>,
    #[serde(skip)]
    causes: BTreeMap<String, usize>,
}

/// A reporter that could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedReporter {
    /// Which one.
    pub reporter: &'static str,
    /// What the system said.
    pub cause: String,
    /// Whether its reader is gone, as after `| head`; otherwise it could not write.
    pub reader_gone: bool,
    /// Whether it brought results, and not only word of them.
    pub results: bool,
}

impl FailedReporter {
    /// `reporter` failed with `error`.
    pub(super) fn new(reporter: &dyn Reporter, error: &io::Error) -> Self {
        Self {
            reporter: reporter.name(),
            cause: error.to_string(),
            reader_gone: error.kind() == io::ErrorKind::BrokenPipe,
            results: reporter.brings_results(),
        }
    }
}

impl fmt::Display for FailedReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reporter,
            cause,
            reader_gone,
            results: _,
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
            } => {
                self.site = Some(site.clone());
                self.directory.clone_from(directory);
            }
            Event::PageRead {
                page: _,
                number: _,
                found,
                known,
                repeated,
            } => {
                self.pages += 1;
                self.found += found;
                self.known += known;
                self.repeated += repeated;
            }
            Event::AddressesRead {
                found,
                known,
                repeated,
            } => {
                self.found += found;
                self.known += known;
                self.repeated += repeated;
            }
            Event::ListingEnded { .. } => self.listed = true,
            Event::ListingFailed { page: _, reason } => {
                self.listing_failed = Some(messages::listing_failure(reason));
            }
            Event::FetchStarted { .. } | Event::FetchProgressed { .. } | Event::Waiting { .. } => {}
            Event::FetchRetried { .. } => self.retries += 1,
            Event::ImageFinished { key: _, outcome } => self.finish(outcome),
            Event::HookFinished { cause: None, .. } => self.hooks_done += 1,
            Event::HookFinished { cause: Some(_), .. } => self.hooks_failed += 1,
            Event::HooksLeft { number } => self.hooks_left = *number,
            Event::LimitReached { limit } => self.limit = Some(limit),
            Event::Warned { .. } | Event::ItemsUnusable { .. } => self.warnings += 1,
        }
    }

    fn finish(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Saved(Saved {
                name: _,
                content,
                duplicate,
            }) => {
                self.saved += 1;
                if *duplicate {
                    self.twins += 1;
                } else {
                    self.bytes += content.bytes;
                }
            }
            Outcome::AlreadyThere => self.known += 1,
            Outcome::Skipped(why) => {
                self.filtered += 1;
                self.would_fetch += usize::from(*why == SkipReason::DryRun);
            }
            Outcome::Failed(failure) => {
                self.failed += 1;
                self.note(failure);
            }
            Outcome::Interrupted => self.interrupted += 1,
        }
    }

    fn note(&mut self, failure: &Failure) {
        let host = Url::parse(&failure.address).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or("no host");
        let cause = format!(
            "{}: {}",
            escape_truncated(host),
            escape_truncated(&failure.cause)
        );
        if self.causes.len() < CAUSES_KEPT || self.causes.contains_key(&cause) {
            *self.causes.entry(cause).or_default() += 1;
        }
    }

    /// Images that came to their end.
    pub fn done(&self) -> usize {
        self.known + self.saved + self.filtered + self.failed + self.interrupted
    }

    /// Images found that had not come to any end when the run did.
    pub fn left(&self) -> usize {
        self.found.saturating_sub(self.done())
    }

    /// The reporter whose results could not be written, if there is one. That nobody wants them any more is
    /// no loss.
    pub fn results_lost(&self) -> Option<&FailedReporter> {
        self.silenced
            .iter()
            .find(|silenced| silenced.results && !silenced.reader_gone)
    }

    /// Whether there is anything to sum up: a run that broke before its first image has been told of.
    pub fn has_begun(&self) -> bool {
        self.site.is_some() && (self.found > 0 || self.listing_failed.is_none())
    }

    /// Whether anything happened that is worth a word to somebody who was not watching.
    pub fn is_news(&self) -> bool {
        let news = self.saved + self.filtered;
        let trouble = self.failed + self.interrupted + self.left() + self.warnings;
        news + trouble + self.hooks_failed > 0
            || self.hooks_left > 0
            || self.listing_failed.is_some()
    }

    /// The summary: what the run came to, where the collection lies, and why so many failed if many did.
    /// Safe to print, each line with its end.
    pub fn summary(&self, took: Duration, coloured: bool) -> String {
        let mut text = self.result(took, coloured);
        if self.saved + self.known > 0 && !self.directory.is_empty() {
            // Writing to a string does not fail, here and below.
            let _ = writeln!(
                text,
                "the collection lies in {}",
                escape_truncated(&self.directory)
            );
        }
        if self.failed > FEW_FAILURES {
            self.write_causes(&mut text);
        }
        text
    }

    fn result(&self, took: Duration, coloured: bool) -> String {
        let site = self
            .site
            .as_ref()
            .map(|site| format!("{site}: "))
            .unwrap_or_default();
        let found = if self.found > 0 {
            format!("{} found: ", count(self.found))
        } else {
            String::new()
        };
        let retries = if self.retries > 0 {
            format!(", {}", of(self.retries, "retry", "retries"))
        } else {
            String::new()
        };
        let mut text = format!(
            "{site}{found}{} in {}{retries}",
            self.ends(coloured),
            time(took)
        );
        let left = self.interrupted + self.left();
        if left > 0 {
            let _ = write!(
                text,
                "; {} {}",
                count(left),
                paint("left for the next run", Color::Yellow, coloured)
            );
        }
        if self.listing_failed.is_some() {
            text.push_str("; the listing was not read to its end");
        }
        if let Some(limit) = self.limit {
            let _ = write!(text, "; ended at {limit}");
        }
        self.add_hooks(&mut text, coloured);
        text.push('\n');
        text
    }

    /// What became of the user's commands, where that is worth a word.
    fn add_hooks(&self, text: &mut String, coloured: bool) {
        if self.hooks_failed > 0 {
            let _ = write!(
                text,
                "; {} {}",
                of(self.hooks_failed, "hook", "hooks"),
                paint("failed", Color::Red, coloured)
            );
        }
        if self.hooks_left > 0 {
            let left = of(
                usize::try_from(self.hooks_left).unwrap_or(usize::MAX),
                "hook",
                "hooks",
            );
            let _ = write!(
                text,
                "; {left} {}",
                paint("left for the next run", Color::Yellow, coloured)
            );
        }
    }

    /// How the images ended; what there is none of is not said.
    fn ends(&self, coloured: bool) -> String {
        let twins = if self.twins > 0 {
            format!(", {}", of(self.twins, "duplicate", "duplicates"))
        } else {
            String::new()
        };
        let size = format!(" ({}{twins})", size(self.bytes));
        let ends = [
            (self.saved, Color::Green, "saved", size.as_str()),
            (self.known, Color::Plain, "already there", ""),
            (self.would_fetch, Color::Plain, "would be fetched", ""),
            (
                self.filtered - self.would_fetch,
                Color::Yellow,
                "skipped",
                "",
            ),
            (self.failed, Color::Red, "failed", ""),
        ];
        let said: Vec<_> = ends
            .into_iter()
            .filter(|(number, ..)| *number > 0)
            .map(|(number, hue, what, more)| {
                format!("{} {}{more}", count(number), paint(what, hue, coloured))
            })
            .collect();
        match (said.is_empty(), self.found) {
            (false, _) => said.join(", "),
            (true, 0) => "no image found".to_owned(),
            (true, _) => "none fetched".to_owned(),
        }
    }

    fn write_causes(&self, text: &mut String) {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        causes.truncate(CAUSES_SHOWN);
        let shown: usize = causes.iter().map(|(_, number)| **number).sum();
        for (cause, number) in causes {
            let _ = writeln!(text, "  {} x {cause}", count(*number));
        }
        if shown < self.failed {
            let _ = writeln!(text, "  ... and {} more", count(self.failed - shown));
        }
        let _ = writeln!(
            text,
            "see `wallhaul ledger list -d {} --state failed`, or `gone` for 404 and 410",
            escape_truncated(&self.directory)
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::event::ListingFailure;
    use crate::report::samples::{
        HOSTILE, TOOK, duplicate, eventful_run, failed, finished, page_read, run_started, saved,
        second_run, tally_of,
    };
    use crate::report::terminal::is_plain;

    fn summary(events: &[Event]) -> String {
        tally_of(events).summary(TOOK, false)
    }

    #[test]
    fn a_summary_says_only_what_there_is() {
        assert_eq!(summary(&[]), "no image found in 12.3 s\n");
        insta::assert_snapshot!(summary(&second_run()));
        insta::assert_snapshot!(summary(&eventful_run()));
    }

    #[test]
    fn a_run_that_broke_off_says_what_is_left() {
        let broken = Event::ListingFailed {
            page: "https://demo.invalid/2".parse().unwrap(),
            reason: ListingFailure::Fetch {
                status: None,
                cause: "reset".to_owned(),
            },
        };
        let events = [
            run_started(),
            page_read(1, 1_436, 0),
            saved("a.png", 5),
            broken,
            finished("b.png", Outcome::Interrupted),
        ];
        insta::assert_snapshot!(summary(&events));
    }

    #[test]
    fn many_failures_are_grouped_by_cause_the_commonest_first() {
        let mut events = vec![run_started(), page_read(1, 200, 0)];
        events.extend(
            (0..40).map(|number| failed(&format!("{number}.png"), "503 Service Unavailable", 5)),
        );
        events
            .extend((0..50).map(|number| failed(&format!("{number}.gif"), "connection reset", 5)));
        events.extend((0..15).map(|number| {
            failed(
                &format!("{number}.jpg"),
                &format!("odd {HOSTILE} {number}"),
                1,
            )
        }));
        let summary = summary(&events);
        assert!(
            summary.lines().all(|line| line.chars().all(is_plain)),
            "{summary:?}"
        );
        assert_eq!(summary.lines().count(), 1 + CAUSES_SHOWN + 2);
        insta::assert_snapshot!(summary);
    }

    #[test]
    fn causes_do_not_fill_the_memory() {
        let mut tally = Tally::default();
        for number in 0..10_000 {
            tally.add(&failed("a.png", &format!("cause {number}"), 1));
        }
        assert_eq!(tally.failed, 10_000);
        assert_eq!(tally.causes.len(), CAUSES_KEPT);
    }

    #[test]
    fn a_second_run_is_no_news() {
        assert!(!tally_of(&second_run()).is_news());
        assert!(tally_of(&eventful_run()).is_news());
        assert!(
            tally_of(&[page_read(1, 1, 0)]).is_news(),
            "an image left is trouble"
        );
    }

    fn outcome() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..1_000_u64).prop_map(|bytes| saved("a.png", bytes)),
            Just(duplicate("b.png")),
            Just(failed("c.png", "reset", 2)),
            Just(finished("d.png", Outcome::AlreadyThere)),
            Just(finished("e.png", Outcome::Interrupted)),
            Just(finished("f.png", Outcome::Skipped(SkipReason::NoRule))),
            Just(finished("g.png", Outcome::Skipped(SkipReason::DryRun))),
        ]
    }

    proptest! {
        #[test]
        fn a_tally_adds_up(
            pages in prop::collection::vec((0..50_usize, 0..50_usize), 0..8),
            outcomes in prop::collection::vec(outcome(), 0..200),
        ) {
            let mut events: Vec<_> = (1..).zip(&pages).map(|(number, (new, known))| page_read(number, new + known, *known)).collect();
            let new: usize = pages.iter().map(|(new, _)| new).sum();
            events.extend(outcomes.into_iter().take(new));
            let tally = tally_of(&events);
            let Tally { known, saved, filtered, failed, interrupted, .. } = tally;
            prop_assert_eq!(tally.found, known + saved + filtered + failed + interrupted + tally.left());
            prop_assert!(tally.twins <= saved && tally.would_fetch <= filtered);
            prop_assert_eq!(said(&tally.summary(TOOK, false)), (tally.found > 0).then_some((tally.found, tally.found)));
        }
    }

    /// The number of images a summary starts with, and the sum of what it says became of them.
    fn said(summary: &str) -> Option<(usize, usize)> {
        let counts =
            Regex::new(r"([\d,]+) (found|already there|saved|would|skipped|failed|left)").unwrap();
        let counts: Vec<usize> = counts
            .captures_iter(summary)
            .map(|count| count[1].replace(',', "").parse().unwrap())
            .collect();
        let (found, ends) = counts.split_first()?;
        Some((*found, ends.iter().sum()))
    }
}
