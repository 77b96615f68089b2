//! What is said of one event in one line, and to whom: the words that plain lines and bars share.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::figures::{self, of, size, time};
use super::messages;
use super::terminal::{Color, escape_truncated, paint};
use crate::event::Event;
use crate::job::{ImageKey, ImageName};
use crate::outcome::{Failure, Outcome, Saved, SkipReason};

/// How much is told in lines; each step tells what the one before tells, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// What could not be had, and nothing else: not even a summary.
    Errors,
    /// Warnings too, and what a dry run would do; a summary of news or trouble.
    Trouble,
    /// Why nothing seems to happen; a summary always.
    Watched,
    /// Each image that was fetched or left out.
    Images,
    /// Each page and each new try.
    Events,
    /// Whatever happened, known images and first requests included.
    Everything,
}

/// The line for `event`, if it is told at this `detail`: one line, safe to print, without its end.
pub(super) fn line(event: &Event, detail: Detail, coloured: bool) -> Option<String> {
    if told_from(event)? > detail {
        return None;
    }
    let (hue, word, text) = words(event);
    Some(format!("{} {text}", paint(word, hue, coloured)))
}

/// The least detail at which `event` is told; none for what only moves a bar, or is told in the summary.
fn told_from(event: &Event) -> Option<Detail> {
    Some(match event {
        Event::ListingFailed { .. } | Event::HookFinished { cause: Some(_), .. } => Detail::Errors,
        Event::Warned { .. } | Event::ItemsUnusable { .. } => Detail::Trouble,
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
            Outcome::Failed(_) => Detail::Errors,
            Outcome::Skipped(SkipReason::DryRun) => Detail::Trouble,
            Outcome::Saved(_) | Outcome::Skipped(SkipReason::NoRule | SkipReason::Address(_)) => {
                Detail::Images
            }
            Outcome::Interrupted => Detail::Events,
            Outcome::AlreadyThere => Detail::Everything,
        },
    })
}

/// The first word with its colour, and the rest of the line.
fn words(event: &Event) -> (Color, &'static str, String) {
    match event {
        Event::RunStarted {
            site,
            directory,
            jobs,
        } if directory.is_empty() => (
            Color::Plain,
            "started",
            format!("{site}, {} at a time", of(*jobs, "image", "images")),
        ),
        Event::RunStarted {
            site,
            directory,
            jobs,
        } => (
            Color::Plain,
            "started",
            format!(
                "{site} into {}, {} at a time",
                escape_truncated(directory),
                of(*jobs, "image", "images")
            ),
        ),
        Event::PageRead {
            page,
            number,
            found,
            known,
            repeated,
        } => {
            let page = messages::page(*number, page);
            (Color::Plain, "read", read(&page, *found, *known, *repeated))
        }
        Event::AddressesRead {
            found,
            known,
            repeated,
        } => (
            Color::Plain,
            "read",
            read("addresses", *found, *known, *repeated),
        ),
        Event::ItemsUnusable {
            page,
            without_thumb,
            unusable,
        } => (
            Color::Yellow,
            "warning:",
            format!(
                "{}: {}",
                escape_truncated(page.as_str()),
                messages::items_unusable(*without_thumb, *unusable)
            ),
        ),
        Event::ListingEnded {
            pages,
            page: _,
            reason,
        } => {
            let pages = usize::try_from(*pages).unwrap_or(usize::MAX);
            (
                Color::Plain,
                "listed",
                format!(
                    "{}: {}",
                    of(pages, "page", "pages"),
                    messages::listing_end(reason)
                ),
            )
        }
        Event::ListingFailed { page, reason } => (
            Color::Red,
            "error:",
            format!(
                "cannot read the listing at {}: {}",
                escape_truncated(page.as_str()),
                escape_truncated(&messages::listing_failure(reason))
            ),
        ),
        Event::FetchStarted { key, attempt } => (
            Color::Plain,
            "asking",
            format!("{}, try {attempt}", address(key)),
        ),
        Event::FetchProgressed { key, bytes, of: _ } => (
            Color::Plain,
            "reading",
            format!("{}: {}", address(key), size(*bytes)),
        ),
        Event::FetchRetried {
            key,
            attempt,
            cause,
            wait,
        } => (
            Color::Yellow,
            "retrying",
            format!(
                "{} in {}: try {attempt} failed: {}",
                address(key),
                time(*wait),
                escape_truncated(cause)
            ),
        ),
        Event::ImageFinished { key, outcome } => finished(key, outcome),
        Event::HookFinished {
            command,
            name,
            cause,
            again,
            output,
            took,
        } => {
            let mut text = format!("{} for {}", escape_truncated(command), about(name.as_ref()));
            match cause {
                Some(cause) => {
                    let next = if *again {
                        "tried again by the next run"
                    } else {
                        "not tried again"
                    };
                    let _ = write!(text, ": {} ({next})", escape_truncated(cause));
                }
                None => {
                    let _ = write!(text, " in {}", time(*took));
                }
            }
            if !output.trim().is_empty() {
                let _ = write!(text, "; it said: {}", last(output.trim()));
            }
            let failed = cause.is_some();
            (
                if failed { Color::Red } else { Color::Plain },
                if failed { "hook failed" } else { "hook" },
                text,
            )
        }
        Event::LimitReached { limit } => (Color::Plain, "ended", format!("at {limit}")),
        // A number of the summary.
        Event::HooksLeft { number } => (
            Color::Yellow,
            "left",
            format!("{number} hooks for the next run"),
        ),
        Event::Waiting { reason } => (
            Color::Plain,
            "note:",
            escape_truncated(&messages::waiting(reason)).into_owned(),
        ),
        Event::Warned { warning } => (
            Color::Yellow,
            "warning:",
            escape_truncated(&messages::warning(warning)).into_owned(),
        ),
    }
}

fn finished(key: &ImageKey, outcome: &Outcome) -> (Color, &'static str, String) {
    match outcome {
        Outcome::Saved(Saved {
            name,
            content,
            duplicate: false,
        }) => (
            Color::Green,
            "saved",
            format!(
                "{} ({})",
                escape_truncated(name.as_str()),
                size(content.bytes)
            ),
        ),
        Outcome::Saved(Saved {
            name,
            content: _,
            duplicate: true,
        }) => (
            Color::Plain,
            "duplicate",
            format!(
                "{}: the same bytes as {}",
                address(key),
                escape_truncated(name.as_str())
            ),
        ),
        Outcome::AlreadyThere => (Color::Plain, "known", address(key).into_owned()),
        Outcome::Skipped(SkipReason::DryRun) => {
            (Color::Plain, "would fetch", address(key).into_owned())
        }
        Outcome::Skipped(why @ (SkipReason::NoRule | SkipReason::Address(_))) => (
            Color::Yellow,
            "skipped",
            format!("{}: {}", address(key), escape_truncated(&why.to_string())),
        ),
        Outcome::Failed(failure) => (Color::Red, "failed", failed(failure)),
        Outcome::Interrupted => (
            Color::Yellow,
            "left",
            format!("{} for the next run", address(key)),
        ),
    }
}

fn about(name: Option<&ImageName>) -> String {
    name.map_or_else(
        || "the end of the run".to_owned(),
        |name| escape_truncated(name.as_str()).into_owned(),
    )
}

/// How much of what a command wrote is told in its line.
const WORDS_TOLD: usize = 400;

/// The last of what a command wrote.
fn last(output: &str) -> Cow<'_, str> {
    match output.char_indices().nth_back(WORDS_TOLD - 1) {
        None | Some((0, _)) => escape_truncated(output),
        Some((from, _)) => Cow::Owned(format!("...{}", escape_truncated(&output[from..]))),
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
    let attempts = match usize::try_from(*attempts).unwrap_or(usize::MAX) {
        0 => "not asked".to_owned(),
        attempts => of(attempts, "try", "tries"),
    };
    let later = if *gone {
        ", not asked again for a while"
    } else {
        ""
    };
    format!(
        "{}: {} ({attempts}{later})",
        escape_truncated(address),
        escape_truncated(cause)
    )
}

fn read(what: &str, found: usize, known: usize, repeated: usize) -> String {
    let mut text = format!("{what}: {}", of(found, "image", "images"));
    for (number, what) in [(known, "already there"), (repeated, "seen before")] {
        if number > 0 {
            // Writing to a string does not fail.
            let _ = write!(text, ", {} {what}", figures::count(number));
        }
    }
    text
}

fn address(key: &ImageKey) -> Cow<'_, str> {
    escape_truncated(key.address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{HOSTILE, eventful_run, hostile_run};
    use crate::report::terminal::is_plain;

    fn log(detail: Detail) -> String {
        let lines = eventful_run()
            .iter()
            .filter_map(|event| line(event, detail, false))
            .collect::<Vec<_>>();
        lines.join("\n")
    }

    #[test]
    fn errors_alone_are_told_when_quiet() {
        insta::assert_snapshot!(log(Detail::Errors));
    }

    #[test]
    fn trouble_is_told_unasked() {
        insta::assert_snapshot!(log(Detail::Trouble));
    }

    #[test]
    fn each_image_is_told_on_request() {
        insta::assert_snapshot!(log(Detail::Images));
    }

    #[test]
    fn events_that_matter_are_told_when_verbose() {
        insta::assert_snapshot!(log(Detail::Events));
    }

    #[test]
    fn everything_is_told_when_very_verbose() {
        insta::assert_snapshot!(log(Detail::Everything));
    }

    #[test]
    fn a_hostile_name_or_cause_cannot_leave_its_line() {
        for event in hostile_run() {
            let Some(line) = line(&event, Detail::Everything, false) else {
                continue;
            };
            assert!(line.chars().all(is_plain), "{line:?}");
        }
        let said = hostile_run()
            .iter()
            .filter_map(|event| line(event, Detail::Trouble, false))
            .collect::<String>();
        assert!(said.contains(&*escape_truncated(HOSTILE)), "{said}");
    }

    #[test]
    fn colours_the_first_word_only() {
        let told = |event: &Event| line(event, Detail::Images, true);
        let lines: Vec<_> = eventful_run().iter().filter_map(told).collect();
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
}
