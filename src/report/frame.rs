//! The text of the progress bars: the state of the run, and the images in flight. Pure: nothing is drawn here, and no
//! clock is read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::Tally;
use super::TerminalSize;
use super::speed::{Sample, Speed};
use super::terminal::{escape_truncated, fit, truncate};
use crate::event::Event;
use crate::job::ImageKey;
use crate::outcome::{Duplicate, Outcome, Saved};
use crate::units::{ByteSize, HumanDuration, count};

/// The most images that get a line.
const MAX_IMAGES: usize = 8;

/// Rows of the terminal that are not for images: the overall line, the count of hidden images, and one for the log.
const OTHER_ROWS: usize = 3;

/// An image without an event for this long is no longer shown. Events in between are hints, which may be lost; without
/// this a stuck line would stay for the rest of the run.
const STALE: Duration = Duration::from_secs(90);

/// What the bars show.
#[derive(Debug, Default)]
pub(super) struct Frame {
    transfers: HashMap<ImageKey, Transfer>,
    /// How many transfers have started.
    started: u64,
    /// Bytes of all images so far.
    received: u64,
    /// Since the start of the run, as of the last tick.
    now: Duration,
    speed: Speed,
}

/// An image in flight.
#[derive(Debug)]
struct Transfer {
    /// The order of starting, which is the order of the lines.
    order: u64,
    last_event: Duration,
    bytes: u64,
    total_bytes: Option<u64>,
}

impl Frame {
    /// Takes one event. Starts and progress may be missing, since they are hints; outcomes may not.
    pub(super) fn on_event(&mut self, event: &Event) {
        match event {
            Event::FetchStarted { key, attempt: _ } => {
                let transfer = self.transfer(key);
                (transfer.bytes, transfer.total_bytes) = (0, None);
            }
            Event::FetchProgressed {
                key,
                bytes,
                total_bytes,
            } => {
                let transfer = self.transfer(key);
                let more = bytes.saturating_sub(transfer.bytes);
                (transfer.bytes, transfer.total_bytes) = (*bytes, *total_bytes);
                self.received = self.received.saturating_add(more);
            }
            Event::FetchRetried { key, .. } => {
                self.transfers.remove(key);
            }
            Event::ImageFinished { key, outcome } => {
                let seen = self
                    .transfers
                    .remove(key)
                    .map_or(0, |transfer| transfer.bytes);
                if let Outcome::Saved(Saved { content, .. })
                | Outcome::Duplicate(Duplicate { content, .. }) = outcome
                {
                    // What no progress event reported: the last ones may be lost, or none was sent.
                    let more = content.bytes.saturating_sub(seen);
                    self.received = self.received.saturating_add(more);
                }
            }
            Event::RunStarted { .. }
            | Event::PageRead { .. }
            | Event::AddressesRead { .. }
            | Event::ItemsUnusable { .. }
            | Event::ListingEnded { .. }
            | Event::ListingFailed { .. }
            | Event::HookFinished { .. }
            | Event::HooksLeft { .. }
            | Event::LimitReached { .. }
            | Event::Waiting { .. }
            | Event::Warned { .. } => {}
        }
    }

    fn transfer(&mut self, key: &ImageKey) -> &mut Transfer {
        self.started += 1;
        let (order, now) = (self.started, self.now);
        let new = || Transfer {
            order,
            last_event: now,
            bytes: 0,
            total_bytes: None,
        };
        let transfer = self.transfers.entry(key.clone()).or_insert_with(new);
        transfer.last_event = now;
        transfer
    }

    /// Advances to `now`, counted from the start of the run.
    pub(super) fn tick(&mut self, tally: &Tally, now: Duration) {
        self.now = now;
        self.transfers
            .retain(|_, transfer| now.saturating_sub(transfer.last_event) < STALE);
        self.speed.add(Sample {
            at: now,
            bytes: self.received,
            done: tally.done(),
        });
    }

    /// The lines to draw, none wider than `window` and not more than its rows. Safe to print.
    pub(super) fn lines(&self, tally: &Tally, window: TerminalSize) -> Vec<String> {
        let width = usize::from(window.columns);
        let room = MAX_IMAGES.min(usize::from(window.rows).saturating_sub(OTHER_ROWS));
        let mut lines = vec![self.overall(tally, width)];
        if room > 0 {
            let mut transfers: Vec<_> = self
                .transfers
                .iter()
                .filter(|(_, transfer)| !transfer.is_complete())
                .collect();
            transfers.sort_unstable_by_key(|(_, transfer)| transfer.order);
            let hidden = transfers.len().saturating_sub(room);
            lines.extend(
                transfers
                    .into_iter()
                    .take(room)
                    .map(|(key, transfer)| transfer.line(key, width)),
            );
            if hidden > 0 {
                lines.push(
                    truncate(&format!("  ... and {} more", count(hidden)), width).into_owned(),
                );
            }
        }
        lines
    }

    /// The line of the whole run. In a narrow window it ends with the last figure that fits.
    fn overall(&self, tally: &Tally, width: usize) -> String {
        let site = tally.site.as_ref().map_or("starting", |site| site.as_str());
        let mut figures = String::new();
        for figure in self.figures(tally) {
            if site.len() + figures.len() + 2 + figure.len() > width {
                break;
            }
            figures.push_str("  ");
            figures.push_str(&figure);
        }
        let room = width.saturating_sub(site.len() + figures.len() + 1).min(32);
        // How many jobs there are for a worker, nobody knows.
        let bar = if room >= 10 && tally.found > 0 && !tally.works_for_others {
            format!(" {}", bar(tally.done() as u64, tally.found as u64, room))
        } else {
            String::new()
        };
        truncate(&format!("{site}{bar}{figures}"), width).into_owned()
    }

    /// The figures of the whole run, the most important first.
    fn figures(&self, tally: &Tally) -> Vec<String> {
        let mut figures = Vec::new();
        if tally.works_for_others {
            figures.push(format!("{} done", count(tally.done())));
            if self.transfers.is_empty() {
                // For jobs, or until the host may be asked again.
                figures.push("waiting...".to_owned());
            }
        } else if tally.found > 0 {
            figures.push(format!("{}/{}", count(tally.done()), count(tally.found)));
        }
        let listing = !tally.listed && tally.listing_failed.is_none();
        if listing && tally.site.is_some() && !tally.works_for_others {
            figures.push("listing...".to_owned());
        }
        if tally.failed > 0 {
            figures.push(format!("{} failed", count(tally.failed)));
        }
        if self.received > 0 {
            figures.push(ByteSize(self.received).to_string());
            figures.extend(
                self.speed
                    .bytes_per_second()
                    .map(|speed| format!("{}/s", ByteSize(speed))),
            );
        }
        if let (false, Some(remaining)) = (listing, self.speed.remaining(tally.not_started())) {
            figures.push(format!("{} left", HumanDuration(remaining)));
        }
        figures
    }
}

impl Transfer {
    /// In a narrower window only the name fits.
    const MIN_WIDTH_FOR_FIGURES: usize = 60;

    /// Columns of a line beside the name: the bar, the figures, and the blanks between them.
    const BESIDE_NAME: usize = 42;

    /// Whether all bytes have arrived. It is no longer shown then: it waits for the commit of its group, and nothing
    /// of that is visible.
    fn is_complete(&self) -> bool {
        self.total_bytes == Some(self.bytes)
    }

    fn line(&self, key: &ImageKey, width: usize) -> String {
        let name = file_name(key);
        if width < Self::MIN_WIDTH_FOR_FIGURES {
            return truncate(&format!("  {name}"), width).into_owned();
        }
        let room = (width - Self::BESIDE_NAME).min(40);
        let name = fit(&name, room);
        let bar = self
            .total_bytes
            .map(|total| bar(self.bytes, total, 14))
            .unwrap_or_default();
        let figures = match (self.bytes, self.total_bytes) {
            (0, _) => "waiting".to_owned(),
            (bytes, Some(total)) => format!("{} of {}", ByteSize(bytes), ByteSize(total)),
            (bytes, None) => ByteSize(bytes).to_string(),
        };
        let line = format!("  {name}  {bar:14}  {figures}");
        truncate(line.trim_end(), width).into_owned()
    }
}

/// The last segment of an image's address, which is close to the name it will get.
fn file_name(key: &ImageKey) -> Cow<'_, str> {
    let address = key.identity();
    let path = address
        .split_once('?')
        .map_or(address, |(path, _query)| path);
    escape_truncated(
        path.rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or(path),
    )
}

/// A bar of `width` columns, including the brackets.
fn bar(done: u64, total: u64, width: usize) -> String {
    let inner = width.saturating_sub(2);
    let share = u128::from(done.min(total)) * inner as u128 / u128::from(total.max(1));
    let filled = usize::try_from(share).unwrap_or(inner);
    let head = if filled < inner { ">" } else { "" };
    let rest = inner - filled - head.len();
    format!("[{}{head}{}]", "=".repeat(filled), " ".repeat(rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::ListingEnd;
    use crate::report::samples::{
        failed, page_read, progressed, retried, run_started, saved, started, tally_of, work_started,
    };

    const WINDOW: TerminalSize = TerminalSize {
        rows: 24,
        columns: 80,
    };

    fn frame_of(events: &[Event]) -> Frame {
        let mut frame = Frame::default();
        for event in events {
            frame.on_event(event);
        }
        frame
    }

    #[test]
    fn progress_bars_show_the_run_and_the_images_in_flight() {
        let before = [
            run_started(),
            page_read(1, 28, 4),
            saved("2010-01-01-a.png", 1_000_000),
        ];
        let after = [
            started("2018-03-29-Mountains.png"),
            started("2018-03-30-Sea.png"),
            progressed("2018-03-30-Sea.png", 1_234_567, Some(4_000_000)),
            started("2018-03-31-Cloud.png"),
            progressed("2018-03-31-Cloud.png", 700, None),
            failed("2018-04-01-Gone.png", "404 Not Found", 1),
        ];
        let mut frame = frame_of(&before);
        frame.tick(&tally_of(&before), Duration::ZERO);
        for event in &after {
            frame.on_event(event);
        }
        let tally = tally_of(&[&before[..], &after[..]].concat());
        frame.tick(&tally, Duration::from_secs(2));
        insta::assert_snapshot!(
            frame
                .lines(
                    &tally,
                    TerminalSize {
                        columns: 100,
                        ..WINDOW
                    }
                )
                .join("\n")
        );
    }

    #[test]
    fn a_worker_reads_no_listing_and_says_when_it_waits() {
        let line = |events: &[Event]| frame_of(events).lines(&tally_of(events), WINDOW).remove(0);
        assert_eq!(line(&[]), "starting");
        let idle = [work_started(), saved("a.png", 9)];
        assert_eq!(line(&idle), "work  1 done  waiting...  9 B");
        let [start, image] = idle;
        assert_eq!(line(&[start, image, started("b.png")]), "work  1 done  9 B");
    }

    #[test]
    fn a_retried_or_finished_image_has_no_progress_bar() {
        let events = [
            started("a.png"),
            started("b.png"),
            progressed("c.png", 9, None),
            retried("a.png", 1),
            saved("c.png", 9),
        ];
        let lines = frame_of(&events).lines(&Tally::default(), WINDOW);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("b.png"), "{lines:?}");
    }

    #[test]
    fn a_complete_image_has_no_progress_bar_and_counts_once() {
        let mut frame = frame_of(&[
            started("a.png"),
            started("b.png"),
            progressed("a.png", 700, Some(700)),
        ]);
        assert_eq!(frame.lines(&Tally::default(), WINDOW).len(), 2);
        frame.on_event(&saved("a.png", 700));
        assert_eq!(frame.received, 700);
    }

    #[test]
    fn an_image_without_events_loses_its_progress_bar() {
        let mut frame = frame_of(&[started("a.png"), started("b.png")]);
        frame.tick(&Tally::default(), STALE / 2);
        frame.on_event(&progressed("b.png", 1, None));
        frame.tick(&Tally::default(), STALE);
        let lines = frame.lines(&Tally::default(), WINDOW);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("b.png"), "{lines:?}");
    }

    #[test]
    fn more_images_than_fit_are_counted() {
        let events: Vec<_> = (0..20)
            .map(|number| started(&format!("{number:02}.png")))
            .collect();
        let lines = frame_of(&events).lines(&Tally::default(), WINDOW);
        assert_eq!(lines.len(), 1 + MAX_IMAGES + 1);
        assert!(
            lines[1].contains("00.png"),
            "the oldest comes first: {lines:?}"
        );
        assert_eq!(lines[MAX_IMAGES + 1], "  ... and 12 more");
    }

    #[test]
    fn the_remaining_time_is_unknown_until_the_listing_ended() {
        let mut tally = tally_of(&[page_read(1, 100, 0)]);
        let mut frame = Frame::default();
        frame.tick(&tally, Duration::ZERO);
        tally.saved = 10;
        frame.tick(&tally, Duration::from_secs(5));
        assert!(!frame.overall(&tally, 200).contains(" left"));
        tally.add(&Event::ListingEnded {
            pages: 1,
            page: None,
            reason: ListingEnd::EmptyPage { number: Some(2) },
        });
        assert!(
            frame.overall(&tally, 200).ends_with("45 s left"),
            "{}",
            frame.overall(&tally, 200)
        );
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let name = prop_oneof![
            "[a-z]{1,3}",
            "\\PC{0,60}",
            "[\u{1b}\u{9b}\u{202e}\n/?a]{0,20}"
        ];
        (name, 0..5_u8, any::<u64>(), any::<Option<u64>>()).prop_map(
            |(name, kind, bytes, total)| match kind {
                0 | 1 => started(&name),
                2 => progressed(&name, bytes, total),
                3 => retried(&name, 1),
                _ => page_read(1, usize::try_from(bytes % 1_000_000).unwrap(), 0),
            },
        )
    }

    proptest! {
        #[test]
        fn progress_bars_never_exceed_the_terminal(
            events in prop::collection::vec(any_event(), 0..40),
            rows in 1_u16..40,
            columns in 1_u16..200,
        ) {
            let mut frame = frame_of(&events);
            let tally = tally_of(&events);
            frame.tick(&tally, Duration::ZERO);
            frame.tick(&tally, Duration::from_secs(3));
            let lines = frame.lines(&tally, TerminalSize { rows, columns });
            prop_assert!(lines.len() <= usize::from(rows));
            for line in lines {
                prop_assert!(super::super::terminal::columns(&line) <= usize::from(columns), "{line:?}");
                prop_assert!(line.chars().all(super::super::terminal::is_plain), "{line:?}");
            }
        }
    }
}
