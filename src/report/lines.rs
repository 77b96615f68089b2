//! One event as one line, and at which detail it is shown: shared by plain lines and bars.

use std::borrow::Cow;
use std::fmt::Write as _;

use url::Url;

use super::messages;
use super::terminal::{Color, escape_truncated, paint};
use crate::event::{Event, ListingEnd, ListingFailure};
use crate::job::{ImageKey, ImageName, SiteId};
use crate::outcome::{Duplicate, Failure, Gone, Outcome, Saved, Skip, SkipReason};
use crate::units::{ByteSize, HumanDuration, count, plural};

/// How much is shown; each level shows what the one before shows, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Failures only, without a summary.
    Errors,
    /// Warnings too, and what a dry run would fetch; a summary if there is news or trouble.
    Trouble,
    /// Notes on what is waited for; always a summary.
    Watched,
    /// Each image that was fetched, or is skipped for the first time.
    Images,
    /// Each page, each retry, and each skip.
    Events,
    /// Everything, with images already there and each request.
    Everything,
}

/// The line for `event` without its end, if it is shown at this `detail`. Safe to print.
pub(super) fn line(event: &Event, detail: Detail, colored: bool) -> Option<String> {
    if min_detail(event)? > detail {
        return None;
    }
    let (color, word, text) = describe(event);
    Some(format!("{} {text}", paint(word, color, colored)))
}

/// The least detail at which `event` is shown; none for what only moves a bar or is part of the summary.
fn min_detail(event: &Event) -> Option<Detail> {
    Some(match event {
        Event::ListingFailed { .. } | Event::HookFinished { cause: Some(_), .. } => Detail::Errors,
        Event::Warned { .. }
        | Event::ItemsUnusable { .. }
        | Event::ListingEnded {
            reason: ListingEnd::NothingFound,
            ..
        } => Detail::Trouble,
        Event::HookFinished { cause: None, .. }
        | Event::LimitReached { .. }
        | Event::RunStarted { .. }
        | Event::PageRead { .. }
        | Event::AddressesRead { .. }
        | Event::ListingEnded { .. }
        | Event::FetchRetried { .. } => Detail::Events,
        Event::Waiting { .. } => Detail::Watched,
        Event::FetchStarted { .. } => Detail::Everything,
        Event::FetchProgressed { .. } | Event::HooksLeft { .. } => return None,
        Event::ImageFinished { key: _, outcome } => match outcome {
            Outcome::Failed(_) | Outcome::Gone(_) => Detail::Errors,
            Outcome::Skipped(Skip {
                address: _,
                reason,
                new,
            }) => match reason {
                SkipReason::DryRun => Detail::Trouble,
                SkipReason::NoRule
                | SkipReason::Address(_)
                | SkipReason::OtherHost(_)
                | SkipReason::ErrorRule(_)
                | SkipReason::NoImage
                | SkipReason::InQueue
                | SkipReason::TooSmall(_)
                    if *new =>
                {
                    Detail::Images
                }
                SkipReason::NoRule
                | SkipReason::Address(_)
                | SkipReason::OtherHost(_)
                | SkipReason::ErrorRule(_)
                | SkipReason::NoImage
                | SkipReason::InQueue
                | SkipReason::TooSmall(_) => Detail::Events,
            },
            Outcome::Saved(saved) if saved.content.warning.is_some() => Detail::Trouble,
            Outcome::Saved(_) | Outcome::Duplicate(_) | Outcome::Queued => Detail::Images,
            Outcome::Interrupted => Detail::Events,
            Outcome::AlreadyThere => Detail::Everything,
        },
    })
}

/// The first word with its color, and the rest of the line.
fn describe(event: &Event) -> (Color, &'static str, String) {
    match event {
        Event::RunStarted {
            site,
            directory,
            jobs,
            works_for_others: _,
        } => (Color::Plain, "started", started(site, directory, *jobs)),
        Event::PageRead {
            page,
            number,
            found,
            already_there,
            gone,
            repeated,
            left_out,
        } => {
            let page = messages::page(*number, page);
            let counts = found_counts(*found, *already_there, *gone, *repeated, *left_out);
            (Color::Plain, "read", format!("{page}: {counts}"))
        }
        Event::AddressesRead {
            found,
            already_there,
            gone,
            repeated,
        } => {
            let counts = found_counts(*found, *already_there, *gone, *repeated, 0);
            (Color::Plain, "read", format!("addresses: {counts}"))
        }
        Event::ItemsUnusable {
            page,
            without_thumb,
            unusable,
        } => {
            let items = messages::items_unusable(*without_thumb, *unusable);
            let text = format!("{}: {items}", escape_truncated(page.as_str()));
            (Color::Yellow, "warning:", text)
        }
        Event::ListingEnded { pages, reason, .. } => {
            let pages = plural(*pages, "page", "pages");
            let text = format!("{pages}: {}", messages::listing_end(reason));
            (Color::Plain, "listed", text)
        }
        Event::ListingFailed { page, reason, copy } => {
            let text = listing_failed(page, reason, copy.as_deref());
            (Color::Red, "error:", text)
        }
        Event::FetchStarted { key, attempt } => {
            let text = format!("{}, attempt {attempt}", identity(key));
            (Color::Plain, "requesting", text)
        }
        // Only moves a bar, never a line.
        Event::FetchProgressed { key, bytes, .. } => {
            let text = format!("{}: {}", identity(key), ByteSize(*bytes));
            (Color::Plain, "reading", text)
        }
        Event::FetchRetried {
            key: _,
            address,
            attempt,
            cause,
            wait,
        } => {
            let (address, wait) = (escape_truncated(address.as_str()), HumanDuration(*wait));
            let cause = escape_truncated(cause);
            let text = format!("{address} in {wait}: attempt {attempt} failed: {cause}");
            (Color::Yellow, "retrying", text)
        }
        Event::ImageFinished { key, outcome } => finished(key, outcome),
        Event::HookFinished {
            command,
            name,
            cause,
            will_retry,
            output,
            took,
        } => {
            let subject = format!("{} for {}", escape_truncated(command), about(name.as_ref()));
            let output = tail(output.trim());
            if let Some(cause) = cause {
                hook_failed(&subject, cause, *will_retry, &output)
            } else {
                let text = format!("{subject} in {}{output}", HumanDuration(*took));
                (Color::Plain, "hook", text)
            }
        }
        Event::LimitReached { limit } => (Color::Plain, "stopped", format!("at {limit}")),
        // Shown as a count in the summary, never as a line.
        Event::HooksLeft { number } => {
            let hooks = plural(*number, "hook", "hooks");
            (Color::Yellow, "not started:", hooks)
        }
        Event::Waiting { reason } => {
            let text = escape_truncated(&messages::waiting(reason)).into_owned();
            (Color::Plain, "note:", text)
        }
        Event::Warned { warning } => {
            let text = escape_truncated(&messages::warning(warning)).into_owned();
            (Color::Yellow, "warning:", text)
        }
    }
}

fn started(site: &SiteId, directory: &str, jobs: usize) -> String {
    let jobs = plural(jobs, "image", "images");
    if directory.is_empty() {
        format!("{site}, {jobs} at a time")
    } else {
        let directory = escape_truncated(directory);
        format!("{site} into {directory}, {jobs} at a time")
    }
}

fn listing_failed(page: &Url, reason: &ListingFailure, copy: Option<&str>) -> String {
    let (page, cause) = (page.as_str(), messages::listing_failure(reason));
    let (page, cause) = (escape_truncated(page), escape_truncated(&cause));
    let copy = copy.map(messages::page_copy).unwrap_or_default();
    format!("cannot read the listing at {page}: {cause}{copy}")
}

fn finished(key: &ImageKey, outcome: &Outcome) -> (Color, &'static str, String) {
    match outcome {
        Outcome::Saved(Saved {
            name,
            address: _,
            content,
            capture,
        }) => {
            let name = escape_truncated(name.as_str());
            let mut size = ByteSize(content.bytes).to_string();
            if let Some(capture) = capture {
                // Writing to a string cannot fail.
                let _ = write!(size, ", archived {}", capture.at.strftime("%F"));
            }
            match content.warning {
                None => (Color::Green, "saved", format!("{name} ({size})")),
                Some(warning) => (
                    Color::Yellow,
                    "saved",
                    format!("{name} ({size}): {warning}"),
                ),
            }
        }
        Outcome::Duplicate(Duplicate {
            name,
            address,
            content: _,
            capture: _,
        }) => {
            let (name, address) = (
                escape_truncated(name.as_str()),
                escape_truncated(address.as_str()),
            );
            let text = format!("{address}: same bytes as {name}");
            (Color::Plain, "duplicate", text)
        }
        Outcome::AlreadyThere => (Color::Plain, "already there", identity(key).into_owned()),
        Outcome::Gone(Gone {
            address,
            since,
            until,
        }) => {
            let (since, until) = (since.strftime("%F"), until.strftime("%F"));
            let text = format!(
                "{}: the site said so on {since}; requested again from {until} on, or with --retry-gone",
                escape_truncated(address)
            );
            (Color::Yellow, "gone", text)
        }
        Outcome::Skipped(skip) => skipped(skip),
        Outcome::Failed(failure) => (Color::Red, "failed", failed(failure)),
        Outcome::Queued => (Color::Plain, "queued", identity(key).into_owned()),
        Outcome::Interrupted => (Color::Yellow, "interrupted", identity(key).into_owned()),
    }
}

fn skipped(skip: &Skip) -> (Color, &'static str, String) {
    let Skip {
        address,
        reason,
        new: _,
    } = skip;
    let address = escape_truncated(address);
    match reason {
        SkipReason::DryRun => (Color::Plain, "would fetch", address.into_owned()),
        SkipReason::NoRule
        | SkipReason::Address(_)
        | SkipReason::OtherHost(_)
        | SkipReason::ErrorRule(_)
        | SkipReason::NoImage
        | SkipReason::InQueue
        | SkipReason::TooSmall(_) => {
            let reason = reason.to_string();
            let text = format!("{address}: {}", escape_truncated(&reason));
            (Color::Yellow, "skipped", text)
        }
    }
}

fn failed(failure: &Failure) -> String {
    let Failure {
        stage: _,
        address,
        cause,
        attempts,
        gone,
    } = failure;
    let attempts = match *attempts {
        0 => "not requested".to_owned(),
        attempts => plural(attempts, "attempt", "attempts"),
    };
    // Not when it is requested again: an address that the user gave and `verify --repair` ask each time.
    let gone = if *gone { "; gone" } else { "" };
    format!(
        "{}: {} ({attempts}{gone})",
        escape_truncated(address),
        escape_truncated(cause)
    )
}

fn hook_failed(
    subject: &str,
    cause: &str,
    will_retry: bool,
    output: &str,
) -> (Color, &'static str, String) {
    let next = if will_retry {
        "the next run retries it"
    } else {
        "not retried"
    };
    let cause = escape_truncated(cause);
    let text = format!("{subject}: {cause} ({next}){output}");
    (Color::Red, "hook failed:", text)
}

fn about(name: Option<&ImageName>) -> String {
    name.map_or_else(
        || "the end of the run".to_owned(),
        |name| escape_truncated(name.as_str()).into_owned(),
    )
}

/// The most characters of a hook's output that its line shows.
const MAX_OUTPUT: usize = 400;

/// The end of a hook's output, where its error message is; empty if there is none.
fn tail(output: &str) -> String {
    match output.char_indices().nth_back(MAX_OUTPUT - 1) {
        _ if output.is_empty() => String::new(),
        None | Some((0, _)) => format!("; output: {}", escape_truncated(output)),
        Some((start, _)) => format!("; output: ...{}", escape_truncated(&output[start..])),
    }
}

fn found_counts(
    found: usize,
    already_there: usize,
    gone: usize,
    repeated: usize,
    left_out: usize,
) -> String {
    let mut text = plural(found, "image", "images");
    for (number, word) in [
        (already_there, "already there"),
        (gone, "gone"),
        (repeated, "repeated"),
        (left_out, "left out"),
    ] {
        if number > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {} {word}", count(number));
        }
    }
    text
}

/// How an image is named before anything is known of its file: by its address, or by the site's own name for it.
fn identity(key: &ImageKey) -> Cow<'_, str> {
    escape_truncated(key.identity())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{HOSTILE, eventful_run, finished, hostile_run};
    use crate::report::terminal::is_plain;

    fn log(detail: Detail) -> String {
        let lines = eventful_run()
            .iter()
            .filter_map(|event| line(event, detail, false))
            .collect::<Vec<_>>();
        lines.join("\n")
    }

    #[test]
    fn quiet_shows_errors_only() {
        insta::assert_snapshot!(log(Detail::Errors));
    }

    #[test]
    fn trouble_is_shown_by_default() {
        insta::assert_snapshot!(log(Detail::Trouble));
    }

    #[test]
    fn plain_progress_shows_each_image() {
        insta::assert_snapshot!(log(Detail::Images));
    }

    #[test]
    fn verbose_shows_pages_retries_and_skips() {
        insta::assert_snapshot!(log(Detail::Events));
    }

    #[test]
    fn very_verbose_shows_everything() {
        insta::assert_snapshot!(log(Detail::Everything));
    }

    #[test]
    fn a_hostile_name_or_cause_stays_in_its_line() {
        for event in hostile_run() {
            let Some(line) = line(&event, Detail::Everything, false) else {
                continue;
            };
            assert!(line.chars().all(is_plain), "{line:?}");
        }
        let shown = hostile_run()
            .iter()
            .filter_map(|event| line(event, Detail::Trouble, false))
            .collect::<String>();
        assert!(shown.contains(&*escape_truncated(HOSTILE)), "{shown}");
    }

    #[test]
    fn only_the_first_word_has_color() {
        let shown = |event: &Event| line(event, Detail::Images, true);
        let lines: Vec<_> = eventful_run().iter().filter_map(shown).collect();
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("\x1b[31mfailed\x1b[0m https:")),
            "{lines:?}"
        );
        assert!(
            lines.iter().all(|line| line.matches('\x1b').count() <= 2),
            "{lines:?}"
        );
    }

    #[test]
    fn an_old_skip_is_shown_only_when_verbose() {
        let skip = |new| {
            let skip = Skip {
                new,
                ..Skip::new("https://demo.invalid/a.png", SkipReason::NoRule)
            };
            finished("a.png", Outcome::Skipped(skip))
        };
        assert!(line(&skip(true), Detail::Images, false).is_some());
        assert!(line(&skip(false), Detail::Images, false).is_none());
        assert!(line(&skip(false), Detail::Events, false).is_some());
    }
}
