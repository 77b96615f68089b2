//! What is said of one event in one line, and to whom: the words that plain lines and bars share.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::figures::{self, of, size, time};
use super::terminal::{Hue, paint, quote};
use crate::event::Event;
use crate::job::{ImageKey, ImageName};
use crate::outcome::{Failure, Outcome, Saved, Why};

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
        Event::Warned { .. } => Detail::Trouble,
        Event::HookFinished { cause: None, .. }
        | Event::LimitReached { .. }
        | Event::RunStarted { .. }
        | Event::PageRead { .. }
        | Event::AddressesRead { .. }
        | Event::ListingEnded { .. }
        | Event::FetchRetried { .. } => Detail::Events,
        Event::Noted { .. } => Detail::Watched,
        Event::FetchStarted { .. } => Detail::Everything,
        Event::FetchProgressed { .. } | Event::HooksLeft { .. } => return None,
        Event::ImageFinished { key: _, outcome } => match outcome {
            Outcome::Failed(_) => Detail::Errors,
            Outcome::Filtered(Why::DryRun) => Detail::Trouble,
            Outcome::Saved(_) | Outcome::Filtered(Why::NoRule | Why::Address(_)) => Detail::Images,
            Outcome::Interrupted => Detail::Events,
            Outcome::Known => Detail::Everything,
        },
    })
}

/// The first word with its colour, and the rest of the line.
fn words(event: &Event) -> (Hue, &'static str, String) {
    match event {
        Event::RunStarted {
            site,
            directory,
            jobs,
        } if directory.is_empty() => (
            Hue::Plain,
            "started",
            format!("{site}, {} at a time", of(*jobs, "image", "images")),
        ),
        Event::RunStarted {
            site,
            directory,
            jobs,
        } => (
            Hue::Plain,
            "started",
            format!(
                "{site} into {}, {} at a time",
                quote(directory),
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
            let page = format!("page {number} ({})", quote(page.as_str()));
            (Hue::Plain, "read", read(&page, *found, *known, *repeated))
        }
        Event::AddressesRead {
            found,
            known,
            repeated,
        } => (
            Hue::Plain,
            "read",
            read("addresses", *found, *known, *repeated),
        ),
        Event::ListingEnded { pages, because } => {
            let pages = usize::try_from(*pages).unwrap_or(usize::MAX);
            (
                Hue::Plain,
                "listed",
                format!("{}: {}", of(pages, "page", "pages"), quote(because)),
            )
        }
        Event::ListingFailed { page, cause } => (
            Hue::Red,
            "error:",
            format!(
                "the listing broke off at {}: {}",
                quote(page.as_str()),
                quote(cause)
            ),
        ),
        Event::FetchStarted { key, attempt } => (
            Hue::Plain,
            "asking",
            format!("{}, try {attempt}", address(key)),
        ),
        Event::FetchProgressed { key, bytes, of: _ } => (
            Hue::Plain,
            "reading",
            format!("{}: {}", address(key), size(*bytes)),
        ),
        Event::FetchRetried {
            key,
            attempt,
            cause,
            wait,
        } => (
            Hue::Yellow,
            "retrying",
            format!(
                "{} in {}: try {attempt} failed: {}",
                address(key),
                time(*wait),
                quote(cause)
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
            let mut text = format!("{} for {}", quote(command), about(name.as_ref()));
            match cause {
                Some(cause) => {
                    let next = if *again {
                        "tried again by the next run"
                    } else {
                        "not tried again"
                    };
                    let _ = write!(text, ": {} ({next})", quote(cause));
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
                if failed { Hue::Red } else { Hue::Plain },
                if failed { "hook failed" } else { "hook" },
                text,
            )
        }
        Event::LimitReached { limit } => (Hue::Plain, "ended", format!("at {limit}")),
        // A number of the summary.
        Event::HooksLeft { number } => (
            Hue::Yellow,
            "left",
            format!("{number} hooks for the next run"),
        ),
        Event::Noted { message } => (Hue::Plain, "note:", quote(message).into_owned()),
        Event::Warned { message } => (Hue::Yellow, "warning:", quote(message).into_owned()),
    }
}

fn finished(key: &ImageKey, outcome: &Outcome) -> (Hue, &'static str, String) {
    match outcome {
        Outcome::Saved(Saved {
            name,
            content,
            twin: false,
        }) => (
            Hue::Green,
            "saved",
            format!("{} ({})", quote(name.as_str()), size(content.bytes)),
        ),
        Outcome::Saved(Saved {
            name,
            content: _,
            twin: true,
        }) => (
            Hue::Plain,
            "duplicate",
            format!(
                "{}: the same bytes as {}",
                address(key),
                quote(name.as_str())
            ),
        ),
        Outcome::Known => (Hue::Plain, "known", address(key).into_owned()),
        Outcome::Filtered(Why::DryRun) => (Hue::Plain, "would fetch", address(key).into_owned()),
        Outcome::Filtered(why @ (Why::NoRule | Why::Address(_))) => (
            Hue::Yellow,
            "skipped",
            format!("{}: {}", address(key), quote(&why.to_string())),
        ),
        Outcome::Failed(failure) => (Hue::Red, "failed", failed(failure)),
        Outcome::Interrupted => (
            Hue::Yellow,
            "left",
            format!("{} for the next run", address(key)),
        ),
    }
}

fn about(name: Option<&ImageName>) -> String {
    name.map_or_else(
        || "the end of the run".to_owned(),
        |name| quote(name.as_str()).into_owned(),
    )
}

/// How much of what a command wrote is told in its line.
const WORDS_TOLD: usize = 400;

/// The last of what a command wrote.
fn last(output: &str) -> Cow<'_, str> {
    match output.char_indices().nth_back(WORDS_TOLD - 1) {
        None | Some((0, _)) => quote(output),
        Some((from, _)) => Cow::Owned(format!("...{}", quote(&output[from..]))),
    }
}

fn failed(failure: &Failure) -> String {
    let Failure {
        stage: _,
        address,
        cause,
        tries,
        gone,
    } = failure;
    let tries = match usize::try_from(*tries).unwrap_or(usize::MAX) {
        0 => "not asked".to_owned(),
        tries => of(tries, "try", "tries"),
    };
    let later = if *gone {
        ", not asked again for a while"
    } else {
        ""
    };
    format!("{}: {} ({tries}{later})", quote(address), quote(cause))
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
    quote(key.address())
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
        assert!(said.contains(&*quote(HOSTILE)), "{said}");
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
