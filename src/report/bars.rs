//! Progress bars on a terminal, with the log above them.
//!
//! The bars are one *frame* of lines, redrawn in place. Three rules keep it whole:
//!
//! - **One writer.** While a run shows bars, this reporter owns stderr. Log lines go through it too: a second writer
//!   beside it would start in the middle of a frame, and the next redraw would erase the wrong rows.
//! - **One write per redraw.** Everything is collected in [`Screen`]'s buffer and written at the end of a tick, so that
//!   a terminal never shows half a frame.
//! - **At most ten redraws a second**, the dispatcher's tick. Drawing at each event would cost more than saving a
//!   small image does, and nobody reads figures faster. indicatif's own rate limit and its redraw thread stay unused:
//!   both would draw at times that this file does not know of.
//!
//! One bar of indicatif's for each image (its `MultiProgress`) was dropped: each bar redraws by itself, so that frames
//! of two moments mix, and the number of rows would grow past the window where many images are in flight. Instead the
//! whole frame is the message of a single bar: indicatif erases and redraws it, [`Frame`] decides what is in it.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::ProgressBar;

use super::frame::Frame;
use super::lines::{self, Detail};
use super::screen::Screen;
use super::{Reporter, Tally, TerminalSize, summary};
use crate::event::Event;

/// Log lines wait for the next redraw, unless this many bytes have gathered: printing them one by one would redraw
/// the frame below for each.
const MAX_LOG: usize = 64 * 1024;

/// Draws progress bars; leaves the terminal clean when it finishes or is dropped.
pub(super) struct Bars {
    bar: ProgressBar,
    screen: Screen,
    size: fn() -> Option<TerminalSize>,
    frame: Frame,
    /// Lines to be printed above the frame by the next redraw.
    log: String,
    detail: Detail,
    colored: bool,
}

impl Bars {
    /// Bars on the terminal behind `stderr`; `size` is read at each redraw.
    pub(super) fn new(
        stderr: Box<dyn Write + Send>,
        size: fn() -> Option<TerminalSize>,
        detail: Detail,
        colored: bool,
    ) -> Self {
        let screen = Screen::new(stderr);
        let bar = screen.bar();
        Self {
            bar,
            screen,
            size,
            frame: Frame::default(),
            log: String::new(),
            detail,
            colored,
        }
    }

    /// Prints the log above the frame. `suspend` erases the frame, runs the closure, and draws the frame again below:
    /// indicatif's own `println` would wrap long lines by its own count of columns.
    fn print_log(&mut self) {
        if !self.log.is_empty() {
            self.bar.suspend(|| self.screen.push(&self.log));
            self.log.clear();
        }
    }

    /// Erases the frame for good and prints the log.
    fn clear(&mut self) -> io::Result<()> {
        self.bar.finish_and_clear();
        self.screen.push(&self.log);
        self.log.clear();
        self.screen.flush()
    }
}

impl Reporter for Bars {
    fn name(&self) -> &'static str {
        "the progress bars on stderr"
    }

    /// Draws nothing: that waits for the tick. Only a log that grew too large is printed at once.
    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        self.frame.on_event(event);
        if let Some(line) = lines::line(event, self.detail, self.colored) {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        if self.log.len() < MAX_LOG {
            return Ok(());
        }
        self.print_log();
        self.screen.flush()
    }

    fn tick(&mut self, tally: &Tally, since_start: Duration) -> io::Result<()> {
        self.frame.tick(tally, since_start);
        // The frame first: `print_log` draws it again below the log, and it must fit the window as it is now.
        if let Some(frame) = self
            .screen
            .layout((self.size)(), |size| self.frame.lines(tally, size))
        {
            self.bar.set_message(frame);
        }
        self.print_log();
        self.screen.flush()
    }

    fn finish(&mut self, tally: &Tally, elapsed: Duration) -> io::Result<()> {
        if tally.has_begun() {
            self.log += &summary::text(tally, elapsed, self.detail, self.colored);
        }
        self.clear()
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // A run that panics or is aborted must not leave half a frame above the shell's prompt.
        if !self.bar.is_finished() {
            // If the terminal cannot be cleared, it cannot show an error either.
            let _ = self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use vt100::Parser;

    use super::*;
    use crate::event::Warning;
    use crate::report::samples::{
        Broken, HOSTILE, SharedBuffer, TOOK, eventful_run, failed, hostile_run, page_read,
        run_started, started, tally_of,
    };

    const SMALL: TerminalSize = TerminalSize {
        rows: 10,
        columns: 40,
    };

    fn bars(terminal: &SharedBuffer) -> Bars {
        Bars::new(terminal.writer(), || Some(SMALL), Detail::Trouble, false)
    }

    /// The text on a terminal of the size `SMALL`, with everything that scrolled out of it.
    fn screen(terminal: &SharedBuffer) -> Vec<String> {
        let mut parser = Parser::new(1_000, SMALL.columns, 0);
        parser.process(terminal.text().replace('\n', "\r\n").as_bytes());
        let rows = parser
            .screen()
            .rows(0, SMALL.columns)
            .map(|row| row.trim_end().to_owned());
        let mut rows: Vec<_> = rows.collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }

    #[test]
    fn a_progress_bar_is_redrawn_in_place() {
        let terminal = SharedBuffer::default();
        let mut bars = bars(&terminal);
        let events: Vec<_> = (0..30)
            .map(|number| started(&format!("{number:02}.png")))
            .collect();
        for (moment, event) in (0..).zip(&events) {
            bars.on_event(event).unwrap();
            bars.tick(&Tally::default(), Duration::from_millis(moment * 100))
                .unwrap();
            assert!(
                screen(&terminal).len() < usize::from(SMALL.rows),
                "{:?}",
                screen(&terminal)
            );
        }
        insta::assert_snapshot!(screen(&terminal).join("\n"));
    }

    #[test]
    fn failures_are_printed_above_the_progress_bars() {
        let terminal = SharedBuffer::default();
        let mut bars = bars(&terminal);
        let events = [
            run_started(),
            page_read(1, 3, 0),
            started("a.png"),
            failed("b.png", "404", 1),
        ];
        for event in &events {
            bars.on_event(event).unwrap();
            bars.tick(&tally_of(&events), Duration::ZERO).unwrap();
        }
        bars.tick(&tally_of(&events), Duration::from_millis(100))
            .unwrap();
        insta::assert_snapshot!(screen(&terminal).join("\n"));
    }

    #[test]
    fn the_progress_bars_are_replaced_by_the_summary() {
        let terminal = SharedBuffer::default();
        let mut bars = bars(&terminal);
        let tally = tally_of(&eventful_run());
        for event in &eventful_run() {
            bars.on_event(event).unwrap();
            bars.tick(&tally, Duration::ZERO).unwrap();
        }
        bars.finish(&tally, TOOK).unwrap();
        drop(bars);
        insta::assert_snapshot!(screen(&terminal).join("\n"));
    }

    #[test]
    fn progress_bars_that_are_dropped_leave_only_the_log() {
        let terminal = SharedBuffer::default();
        let mut bars = bars(&terminal);
        bars.on_event(&started("a.png")).unwrap();
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        bars.on_event(&Event::Warned {
            warning: Warning::HooksGivenUp { failures: 10 },
        })
        .unwrap();
        drop(bars);
        assert_eq!(
            screen(&terminal).concat().replace(' ', ""),
            "warning:10hooksfailedinarow:thisrunstartsnomorehooks"
        );
    }

    #[test]
    fn a_narrower_terminal_keeps_no_rows_of_the_old_progress_bars() {
        static COLUMNS: AtomicU16 = AtomicU16::new(100);
        let terminal = SharedBuffer::default();
        let size = || {
            Some(TerminalSize {
                rows: 24,
                columns: COLUMNS.load(Ordering::Relaxed),
            })
        };
        let mut bars = Bars::new(terminal.writer(), size, Detail::Trouble, false);
        bars.on_event(&started("2018-03-29-Mountains-behind-the-sea.png"))
            .unwrap();
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        let wide = terminal.text().len();
        COLUMNS.store(20, Ordering::Relaxed);
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        // The overall line has 20 columns and takes one row still; the image's 67 take four.
        let drawn = terminal.text()[wide..].to_owned();
        assert!(drawn.starts_with(&"\r\x1b[2K\x1b[A".repeat(3)), "{drawn:?}");
        assert!(
            drawn.ends_with("starting\r\n  2018-03-29-Mo..."),
            "{drawn:?}"
        );
    }

    #[test]
    fn hostile_names_move_no_cursor() {
        let terminal = SharedBuffer::default();
        let mut bars = bars(&terminal);
        for event in &hostile_run() {
            bars.on_event(event).unwrap();
        }
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        let text = terminal.text();
        assert!(
            !text.contains(HOSTILE) && !text.contains('\u{9b}') && !text.contains("\x1b]"),
            "{text:?}"
        );
        assert!(screen(&terminal).len() > 2);
    }

    #[test]
    fn a_terminal_of_unknown_size_gets_the_default_one() {
        let terminal = SharedBuffer::default();
        let mut bars = Bars::new(
            terminal.writer(),
            || {
                Some(TerminalSize {
                    rows: 0,
                    columns: 0,
                })
            },
            Detail::Trouble,
            false,
        );
        bars.on_event(&started("a.png")).unwrap();
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        assert!(terminal.text().contains("a.png"));
    }

    #[test]
    fn a_closed_terminal_is_an_error() {
        let mut bars = Bars::new(Box::new(Broken), || Some(SMALL), Detail::Trouble, false);
        assert!(bars.tick(&Tally::default(), Duration::ZERO).is_err());
    }
}
