//! The summary of a run for a person: the counts, the folder, and why images failed or were skipped.

use std::fmt::Write as _;
use std::time::Duration;

use super::Tally;
use super::lines::Detail;
use super::same_images::SameImage;
use super::terminal::{Color, escape_truncated, paint};
use crate::units::{ByteSize, HumanDuration, count, plural};

/// Up to this many failures are not grouped: each has had its own line just above.
const FEW_FAILURES: usize = 3;

/// How many causes are listed.
const MAX_CAUSES: usize = 10;

/// The summary of `tally`, each line with its end. Safe to print.
///
/// Writing to a string cannot fail, so the results of `write!` are ignored throughout this file.
pub(super) fn text(tally: &Tally, elapsed: Duration, detail: Detail, colored: bool) -> String {
    let mut text = headline(tally, elapsed, colored);
    if !tally.directory.is_empty() {
        let directory = escape_truncated(&tally.directory);
        if tally.saved > 0 {
            let _ = writeln!(text, "saved to {directory}");
        } else if tally.duplicate + tally.already_there > 0 {
            let _ = writeln!(text, "collection: {directory}");
        }
    }
    text.push_str(&archived(tally));
    for SameImage { name, addresses } in tally.same_images.groups() {
        let addresses = plural(*addresses, "address", "addresses");
        let name = escape_truncated(name.as_str());
        let _ = writeln!(
            text,
            "{addresses} gave the same image {name}: a placeholder?"
        );
    }
    if tally.failed > FEW_FAILURES {
        write_failures(&mut text, tally, colored);
    }
    text + &left_out(tally, detail, colored)
}

/// What was left out for the first time, where it had no lines of its own. Safe to print.
pub(super) fn left_out(tally: &Tally, detail: Detail, colored: bool) -> String {
    let mut text = String::new();
    // From `Images` on each skip has had its own line.
    if detail < Detail::Images {
        write_new_skips(&mut text, tally, colored);
    }
    text
}

fn headline(tally: &Tally, elapsed: Duration, colored: bool) -> String {
    let mut text = String::new();
    if let Some(site) = &tally.site {
        let _ = write!(text, "{site}: ");
    }
    if tally.found > 0 {
        let found = if tally.works_for_others {
            plural(tally.found, "job", "jobs")
        } else {
            format!("{} found", count(tally.found))
        };
        let _ = write!(text, "{found}: ");
    }
    let _ = write!(
        text,
        "{} in {}",
        outcomes(tally, colored),
        HumanDuration(elapsed)
    );
    if tally.retries > 0 {
        let _ = write!(text, ", {}", plural(tally.retries, "retry", "retries"));
    }
    if tally.left_out > 0 {
        let items = plural(tally.left_out, "item", "items");
        let _ = write!(text, "; {items} left out by the site's definition");
    }
    let unfinished = counts(
        &[
            (tally.interrupted, Color::Yellow, "interrupted", ""),
            (tally.not_started(), Color::Yellow, "not started", ""),
        ],
        colored,
    );
    if !unfinished.is_empty() {
        let _ = write!(text, "; {unfinished} (run again to continue)");
    }
    if tally.listing_failed.is_some() {
        text.push_str("; the listing is incomplete");
    }
    if tally.site_stopped.is_some() {
        text.push_str("; the site takes no more requests");
    }
    if let Some(limit) = tally.limit {
        let _ = write!(text, "; stopped at {limit}");
    }
    write_hooks(&mut text, tally, colored);
    text.push('\n');
    text
}

/// What came from the web archive, and of which days.
fn archived(tally: &Tally) -> String {
    let (Some(from), Some(to)) = (tally.archived_from, tally.archived_to) else {
        return String::new();
    };
    let (from, to) = (
        from.strftime("%F").to_string(),
        to.strftime("%F").to_string(),
    );
    let number = count(tally.archived);
    if from == to {
        format!("{number} from the web archive, captured {from}\n")
    } else {
        format!("{number} from the web archive, captured {from} to {to}\n")
    }
}

fn write_hooks(text: &mut String, tally: &Tally, colored: bool) {
    if tally.hooks_failed > 0 {
        let hooks = plural(tally.hooks_failed, "hook", "hooks");
        let failed = paint("failed", Color::Red, colored);
        let _ = write!(text, "; {hooks} {failed}");
    }
    if tally.hooks_not_started > 0 {
        let hooks = plural(tally.hooks_not_started, "hook", "hooks");
        let not_started = paint("not started", Color::Yellow, colored);
        let _ = write!(text, "; {hooks} {not_started} (the next run starts them)");
    }
}

/// How the images ended, without the counts that are zero.
fn outcomes(tally: &Tally, colored: bool) -> String {
    let warned = match tally.warned {
        0 => String::new(),
        warned => format!(", {} with a warning", count(warned)),
    };
    let size = format!(" ({}{warned})", ByteSize(tally.bytes));
    let old_skips = tally.skipped - tally.would_fetch - tally.new_skips;
    let new_skips = match (tally.new_skips, old_skips) {
        (0, _) | (_, 0) => String::new(),
        (new, _) => format!(" ({} new)", count(new)),
    };
    let duplicates = if tally.duplicate == 1 {
        "duplicate"
    } else {
        "duplicates"
    };
    let outcomes = counts(
        &[
            (tally.saved, Color::Green, "saved", &size),
            (tally.duplicate, Color::Plain, duplicates, ""),
            (tally.already_there, Color::Plain, "already there", ""),
            (
                tally.gone,
                Color::Plain,
                "gone",
                " (`--retry-gone` requests them)",
            ),
            (tally.would_fetch, Color::Plain, "would be fetched", ""),
            (
                tally.skipped - tally.would_fetch,
                Color::Yellow,
                "skipped",
                &new_skips,
            ),
            (tally.failed, Color::Red, "failed", ""),
            (tally.queued, Color::Plain, "queued", ""),
        ],
        colored,
    );
    match (outcomes.is_empty(), tally.found) {
        (false, _) => outcomes,
        (true, 0) if tally.works_for_others => "no jobs".to_owned(),
        (true, 0) => "no images found".to_owned(),
        (true, _) => "none fetched".to_owned(),
    }
}

/// The counts that are not zero, each with its word and a remark.
fn counts(counts: &[(usize, Color, &str, &str)], colored: bool) -> String {
    let shown: Vec<_> = counts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, color, word, remark)| {
            format!(
                "{} {}{remark}",
                count(*number),
                paint(word, *color, colored)
            )
        })
        .collect();
    shown.join(", ")
}

/// Causes that several failures share. A cause of one failure alone would only repeat that failure's line.
fn write_failures(text: &mut String, tally: &Tally, colored: bool) {
    let failed = paint("failed", Color::Red, colored);
    let mut rest = tally.failed;
    for (cause, group) in tally.failures.largest(2, MAX_CAUSES) {
        let _ = writeln!(text, "  {} {failed}: {cause}", count(group.count));
        rest -= group.count;
    }
    if (1..tally.failed).contains(&rest) {
        let _ = writeln!(text, "  {} {failed} for other reasons", count(rest));
    }
    let _ = writeln!(
        text,
        "list them with `wallhaul ledger list -d {} --state failed` (404 and 410: `--state gone`)",
        escape_truncated(&tally.directory)
    );
}

/// Skips that no earlier run reported, with an address to look at: none of them has had its own line.
fn write_new_skips(text: &mut String, tally: &Tally, colored: bool) {
    let skipped = paint("skipped", Color::Yellow, colored);
    let mut rest = tally.new_skips;
    for (cause, group) in tally.skips.largest(1, MAX_CAUSES) {
        let example = if group.count == 1 { "" } else { "first: " };
        let _ = writeln!(
            text,
            "  {} {skipped}: {cause} ({example}{})",
            count(group.count),
            group.example
        );
        rest -= group.count;
    }
    if rest > 0 {
        let _ = writeln!(text, "  {} {skipped} for other reasons", count(rest));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::event::{Event, ListingFailure};
    use crate::outcome::{Outcome, Skip, SkipReason};
    use crate::report::samples::{
        HOSTILE, TOOK, any_outcome, duplicate, eventful_run, failed, finished, page_read,
        run_started, saved, second_run, skipped, tally_of, work_started,
    };
    use crate::report::terminal::is_plain;

    fn summary(events: &[Event]) -> String {
        text(&tally_of(events), TOOK, Detail::Trouble, false)
    }

    #[test]
    fn a_summary_shows_no_zero_counts() {
        assert_eq!(summary(&[]), "no images found in 12.3 s\n");
        let [start, found] = [work_started(), page_read(1, 1, 0)];
        assert_eq!(
            summary(std::slice::from_ref(&start)),
            "work: no jobs in 12.3 s\n"
        );
        let done = summary(&[start, found, saved("a.png", 5)]);
        assert!(
            done.starts_with("work: 1 job: 1 saved (5 B) in 12.3 s\n"),
            "{done}"
        );
        insta::assert_snapshot!(summary(&second_run()));
        insta::assert_snapshot!(summary(&eventful_run()));
    }

    #[test]
    fn an_interrupted_run_counts_what_was_not_started() {
        let broken = Event::ListingFailed {
            page: "https://demo.invalid/2".parse().unwrap(),
            reason: ListingFailure::Fetch {
                status: None,
                cause: "reset".to_owned(),
            },
            copy: None,
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
    fn a_duplicate_and_a_gone_image_are_counted_apart() {
        let page = Event::PageRead {
            page: "https://demo.invalid/1".parse().unwrap(),
            number: Some(1),
            found: 6,
            already_there: 1,
            gone: 2,
            repeated: 0,
            left_out: 0,
        };
        let events = [run_started(), page, saved("a.png", 5), duplicate("b.png")];
        let expected = "demo: 6 found: 1 saved (5 B), 1 duplicate, 1 already there, 2 gone (`--retry-gone` requests them) in 12.3 s; ";
        assert!(
            summary(&events).starts_with(expected),
            "{}",
            summary(&events)
        );
    }

    #[test]
    fn three_addresses_with_the_same_image_are_a_placeholder_and_two_are_not() {
        let shared = |number: usize| {
            let mut events = vec![run_started(), page_read(1, 4, 0), saved("a.png", 5)];
            events.extend((0..number).map(|_| duplicate("a.png")));
            summary(&events)
        };
        assert!(!shared(1).contains("placeholder"), "{}", shared(1));
        let message = "3 addresses gave the same image a.png: a placeholder?\n";
        assert!(shared(2).contains(message), "{}", shared(2));
    }

    #[test]
    fn many_failures_are_grouped_by_cause_the_most_frequent_first() {
        let mut events = vec![run_started(), page_read(1, 200, 0)];
        events.extend(
            (0..40).map(|number| failed(&format!("{number}.png"), "503 Service Unavailable", 5)),
        );
        events
            .extend((0..50).map(|number| failed(&format!("{number}.gif"), "connection reset", 5)));
        events.extend(
            (0..15)
                .map(|number| failed(&format!("{number}.jpg"), &format!("{HOSTILE} {number}"), 1)),
        );
        let summary = summary(&events);
        assert!(
            summary.lines().all(|line| line.chars().all(is_plain)),
            "{summary:?}"
        );
        insta::assert_snapshot!(summary);
    }

    #[test]
    fn new_skips_are_grouped_by_cause_and_old_ones_are_only_counted() {
        let old = Skip {
            new: false,
            ..Skip::new("https://demo.invalid/d.png", SkipReason::NoRule)
        };
        let address = |host: &str| SkipReason::Address(format!("host `{host}` is not named"));
        let events = [
            run_started(),
            page_read(1, 5, 0),
            skipped("a.png", address("ads.invalid")),
            skipped("b.png", address("ads.invalid")),
            skipped("c.png", address("cdn.invalid")),
            finished("d.png", Outcome::Skipped(old.clone())),
            saved("e.png", 5),
        ];
        insta::assert_snapshot!(summary(&events));
        let verbose = text(&tally_of(&events), TOOK, Detail::Images, false);
        assert_eq!(verbose.matches("skipped").count(), 1, "{verbose}");
        let only_old = [
            run_started(),
            page_read(1, 1, 0),
            finished("d.png", Outcome::Skipped(old)),
        ];
        assert!(!tally_of(&only_old).is_news());
        assert_eq!(summary(&only_old), "demo: 1 found: 1 skipped in 12.3 s\n");
    }

    proptest! {
        #[test]
        fn the_counts_of_a_summary_add_up(
            pages in prop::collection::vec((0..50_usize, 0..50_usize), 0..8),
            outcomes in prop::collection::vec(any_outcome(), 0..200),
        ) {
            let mut events: Vec<_> = (1..).zip(&pages).map(|(number, (new, old))| page_read(number, new + old, *old)).collect();
            let new: usize = pages.iter().map(|(new, _)| new).sum();
            events.extend(outcomes.into_iter().take(new));
            let tally = tally_of(&events);
            let shown = headline(&tally, TOOK, false);
            prop_assert_eq!(said(&shown), (tally.found > 0).then_some((tally.found, tally.found)));
        }
    }

    /// The number of images found that a summary begins with, and the sum of its other counts.
    fn said(summary: &str) -> Option<(usize, usize)> {
        let counts = Regex::new(
            r"([\d,]+) (found|duplicate|already there|gone|saved|would|skipped|failed|queued|interrupted|not started)",
        );
        let counts: Vec<usize> = counts
            .unwrap()
            .captures_iter(summary)
            .map(|count| count[1].replace(',', "").parse().unwrap())
            .collect();
        let (found, ends) = counts.split_first()?;
        Some((*found, ends.iter().sum()))
    }
}
