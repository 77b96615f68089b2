//! What the bars show: how far the run is, and the images on their way. Only figures and text: nothing is
//! drawn here, and no clock is read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::Tally;
use super::figures::{count, size, time};
use super::speed::{Sample, Speed};
use super::terminal::{Size, cut, escape_truncated};
use crate::event::Event;
use crate::job::ImageKey;
use crate::outcome::Outcome;

/// The most images that have a line of their own.
const IMAGES_SHOWN: usize = 8;

/// Lines of the terminal that stay free: the overall line, the count of further images, and one for the log.
const OTHER_LINES: usize = 3;

/// An image that nothing was heard of for so long is not shown any more: its end may have been missed.
const FORGOTTEN: Duration = Duration::from_secs(90);

/// How things stand.
#[derive(Debug, Default)]
pub(super) struct Frame {
    flights: HashMap<ImageKey, Transfer>,
    started: u64,
    received: u64,
    now: Duration,
    speed: Speed,
}

/// An image on its way.
#[derive(Debug)]
struct Transfer {
    /// Its place in the order of starting, which is the order of the lines.
    order: u64,
    heard_of: Duration,
    bytes: u64,
    of: Option<u64>,
}

impl Frame {
    /// Takes note of `event`. Starts and progress may be missing; ends may not.
    pub(super) fn told(&mut self, event: &Event) {
        match event {
            Event::FetchStarted { key, attempt: _ } => {
                let flight = self.flight(key);
                (flight.bytes, flight.of) = (0, None);
            }
            Event::FetchProgressed { key, bytes, of } => {
                let flight = self.flight(key);
                let more = bytes.saturating_sub(flight.bytes);
                (flight.bytes, flight.of) = (*bytes, *of);
                self.received = self.received.saturating_add(more);
            }
            Event::FetchRetried { key, .. } => {
                self.flights.remove(key);
            }
            Event::ImageFinished { key, outcome } => {
                let seen = self.flights.remove(key).map_or(0, |flight| flight.bytes);
                if let Outcome::Saved(saved) = outcome {
                    let more = saved.content.bytes.saturating_sub(seen);
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

    fn flight(&mut self, key: &ImageKey) -> &mut Transfer {
        self.started += 1;
        let (order, now) = (self.started, self.now);
        let new = || Transfer {
            order,
            heard_of: now,
            bytes: 0,
            of: None,
        };
        let flight = self.flights.entry(key.clone()).or_insert_with(new);
        flight.heard_of = now;
        flight
    }

    /// Moves on to `now`, counted from the run's start.
    pub(super) fn tick(&mut self, tally: &Tally, now: Duration) {
        self.now = now;
        self.flights
            .retain(|_, flight| now.saturating_sub(flight.heard_of) < FORGOTTEN);
        self.speed.note(Sample {
            at: now,
            bytes: self.received,
            done: tally.done(),
        });
    }

    /// The lines to be drawn, none wider and together not higher than `window`; safe to print.
    pub(super) fn lines(&self, tally: &Tally, window: Size) -> Vec<String> {
        let width = usize::from(window.columns);
        let room = IMAGES_SHOWN.min(usize::from(window.rows).saturating_sub(OTHER_LINES));
        let mut lines = vec![self.overall(tally, width)];
        if room > 0 {
            let mut flights: Vec<_> = self
                .flights
                .iter()
                .filter(|(_, flight)| !flight.has_landed())
                .collect();
            flights.sort_unstable_by_key(|(_, flight)| flight.order);
            let hidden = flights.len().saturating_sub(room);
            lines.extend(
                flights
                    .into_iter()
                    .take(room)
                    .map(|(key, flight)| flight.line(key, width)),
            );
            if hidden > 0 {
                lines.push(cut(&format!("  ... and {} more", count(hidden)), width).into_owned());
            }
        }
        lines
    }

    /// The line of the whole run; what matters less is left out where the window is narrow.
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
        let bar = if room >= 10 && tally.found > 0 {
            format!(" {}", bar(tally.done() as u64, tally.found as u64, room))
        } else {
            String::new()
        };
        cut(&format!("{site}{bar}{figures}"), width).into_owned()
    }

    /// The figures of the whole run, the one that matters most first.
    fn figures(&self, tally: &Tally) -> Vec<String> {
        let mut figures = Vec::new();
        if tally.found > 0 {
            figures.push(format!("{}/{}", count(tally.done()), count(tally.found)));
        }
        let listing = !tally.listed && tally.listing_failed.is_none();
        if listing {
            figures.push("listing...".to_owned());
        }
        if tally.failed > 0 {
            figures.push(format!("{} failed", count(tally.failed)));
        }
        if self.received > 0 {
            figures.push(size(self.received));
            figures.extend(
                self.speed
                    .bytes_a_second()
                    .map(|speed| format!("{}/s", size(speed))),
            );
        }
        if let (false, Some(remaining)) = (listing, self.speed.remaining(tally.left())) {
            figures.push(format!("{} to go", whole(remaining)));
        }
        figures
    }
}

impl Transfer {
    /// Below this width a name is all there is room for.
    const WIDTH_WITH_FIGURES: usize = 60;

    /// Columns of a line that are not the name's: the bar, the figures, and what sets them apart.
    const BESIDE_THE_NAME: usize = 42;

    /// Whether all of it is here: it waits for its name then, and for nothing that could be watched.
    fn has_landed(&self) -> bool {
        self.of == Some(self.bytes)
    }

    fn line(&self, key: &ImageKey, width: usize) -> String {
        let name = file_name(key);
        if width < Self::WIDTH_WITH_FIGURES {
            return cut(&format!("  {name}"), width).into_owned();
        }
        let room = (width - Self::BESIDE_THE_NAME).min(40);
        let name = cut(&name, room);
        let bar = self
            .of
            .map(|of| bar(self.bytes, of, 14))
            .unwrap_or_default();
        let figures = match (self.bytes, self.of) {
            (0, _) => "waiting".to_owned(),
            (bytes, Some(of)) => format!("{} of {}", size(bytes), size(of)),
            (bytes, None) => size(bytes),
        };
        let line = format!("  {name:room$}  {bar:14}  {figures}");
        cut(line.trim_end(), width).into_owned()
    }
}

/// A time to come, of which nobody knows tenths.
fn whole(remaining: Duration) -> String {
    let seconds = remaining.as_secs();
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        time(remaining)
    }
}

/// The end of an image's address, which is nearly its name.
fn file_name(key: &ImageKey) -> Cow<'_, str> {
    let address = key.address();
    let path = address
        .split_once('?')
        .map_or(address, |(path, _query)| path);
    escape_truncated(
        path.rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or(path),
    )
}

/// A bar of `width` columns, its two ends included.
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
        failed, page_read, progressed, retried, run_started, saved, started, tally_of,
    };

    const WINDOW: Size = Size {
        rows: 24,
        columns: 80,
    };

    fn frame_of(events: &[Event]) -> Frame {
        let mut frame = Frame::default();
        for event in events {
            frame.told(event);
        }
        frame
    }

    #[test]
    fn a_frame_shows_the_run_and_the_images_on_their_way() {
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
            frame.told(event);
        }
        let tally = tally_of(&[&before[..], &after[..]].concat());
        frame.tick(&tally, Duration::from_secs(2));
        insta::assert_snapshot!(
            frame
                .lines(
                    &tally,
                    Size {
                        columns: 100,
                        ..WINDOW
                    }
                )
                .join("\n")
        );
    }

    #[test]
    fn an_image_that_is_retried_or_finished_leaves_the_frame() {
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
    fn an_image_that_is_all_here_leaves_the_frame_and_counts_once() {
        let mut frame = frame_of(&[
            started("a.png"),
            started("b.png"),
            progressed("a.png", 700, Some(700)),
        ]);
        assert_eq!(frame.lines(&Tally::default(), WINDOW).len(), 2);
        frame.told(&saved("a.png", 700));
        assert_eq!(frame.received, 700);
    }

    #[test]
    fn an_image_that_nobody_reports_any_more_is_forgotten() {
        let mut frame = frame_of(&[started("a.png"), started("b.png")]);
        frame.tick(&Tally::default(), FORGOTTEN / 2);
        frame.told(&progressed("b.png", 1, None));
        frame.tick(&Tally::default(), FORGOTTEN);
        let lines = frame.lines(&Tally::default(), WINDOW);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("b.png"), "{lines:?}");
    }

    #[test]
    fn more_images_than_there_is_room_for_are_counted() {
        let events: Vec<_> = (0..20)
            .map(|number| started(&format!("{number:02}.png")))
            .collect();
        let lines = frame_of(&events).lines(&Tally::default(), WINDOW);
        assert_eq!(lines.len(), 1 + IMAGES_SHOWN + 1);
        assert!(
            lines[1].contains("00.png"),
            "the oldest comes first: {lines:?}"
        );
        assert_eq!(lines[IMAGES_SHOWN + 1], "  ... and 12 more");
    }

    #[test]
    fn the_remaining_time_is_not_guessed_before_the_listing_ended() {
        let mut tally = tally_of(&[page_read(1, 100, 0)]);
        let mut frame = Frame::default();
        frame.tick(&tally, Duration::ZERO);
        tally.saved = 10;
        frame.tick(&tally, Duration::from_secs(5));
        assert!(!frame.overall(&tally, 200).contains("to go"));
        tally.add(&Event::ListingEnded {
            pages: 1,
            page: None,
            reason: ListingEnd::EmptyPage { number: Some(2) },
        });
        assert!(
            frame.overall(&tally, 200).ends_with("45 s to go"),
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
        (name, 0..5_u8, any::<u64>(), any::<Option<u64>>()).prop_map(|(name, kind, bytes, of)| {
            match kind {
                0 | 1 => started(&name),
                2 => progressed(&name, bytes, of),
                3 => retried(&name, 1),
                _ => page_read(1, usize::try_from(bytes % 1_000_000).unwrap(), 0),
            }
        })
    }

    proptest! {
        #[test]
        fn a_frame_never_exceeds_its_window(
            events in prop::collection::vec(any_event(), 0..40),
            rows in 1_u16..40,
            columns in 1_u16..200,
        ) {
            let mut frame = frame_of(&events);
            let tally = tally_of(&events);
            frame.tick(&tally, Duration::ZERO);
            frame.tick(&tally, Duration::from_secs(3));
            let lines = frame.lines(&tally, Size { rows, columns });
            prop_assert!(lines.len() <= usize::from(rows));
            for line in lines {
                prop_assert!(super::super::terminal::columns(&line) <= usize::from(columns), "{line:?}");
                prop_assert!(line.chars().all(super::super::terminal::is_plain), "{line:?}");
            }
        }
    }
}
