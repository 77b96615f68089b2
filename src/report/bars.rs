//! Bars on a terminal: one frame of lines that is drawn over, ten times a second at most, and the log above it.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::frame::Frame;
use super::lines::{self, Detail};
use super::outlet::LineBuffer;
use super::terminal::columns;
use super::{Reporter, Size, Tally};
use crate::event::Event;

/// What a terminal that does not tell its size is taken for.
const USUAL: Size = Size {
    rows: 24,
    columns: 80,
};

/// Log lines wait for the next drawing, unless there are this many bytes of them.
const LOG_WAITING: usize = 64 * 1024;

/// Tells by bars. The whole frame is the message of one bar, so that it is laid out in one place and drawn in
/// one go; the terminal is left as it was when this ends or is dropped.
pub(super) struct Bars {
    bar: ProgressBar,
    screen: Screen,
    size: fn() -> Option<Size>,
    frame: Frame,
    log: String,
    detail: Detail,
    coloured: bool,
}

impl Bars {
    /// Bars on the terminal behind `stderr`, whose `size` is asked each time.
    pub(super) fn new(
        stderr: Box<dyn Write + Send>,
        size: fn() -> Option<Size>,
        detail: Detail,
        coloured: bool,
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
            coloured,
        }
    }

    /// Prints what was logged above the frame.
    fn print_log(&mut self) {
        if !self.log.is_empty() {
            self.bar
                .suspend(|| self.screen.paper().outlet.add(self.log.as_bytes()));
            self.log.clear();
        }
    }

    /// Takes the frame away and prints what was logged.
    fn clear(&mut self) -> io::Result<()> {
        self.bar.finish_and_clear();
        self.screen.paper().outlet.add(self.log.as_bytes());
        self.log.clear();
        self.screen.send()
    }
}

impl Reporter for Bars {
    fn name(&self) -> &'static str {
        "the bars on stderr"
    }

    fn told(&mut self, event: &Event) -> io::Result<()> {
        self.frame.told(event);
        if let Some(line) = lines::line(event, self.detail, self.coloured) {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        if self.log.len() < LOG_WAITING {
            return Ok(());
        }
        self.print_log();
        self.screen.send()
    }

    fn tick(&mut self, tally: &Tally, since: Duration) -> io::Result<()> {
        self.frame.tick(tally, since);
        // The frame first: what is drawn again below the log must fit the window as it is now.
        if let Some(frame) = self
            .screen
            .lay((self.size)(), |size| self.frame.lines(tally, size))
        {
            self.bar.set_message(frame);
        }
        self.print_log();
        self.screen.send()
    }

    fn ended(&mut self, tally: &Tally, took: Duration) -> io::Result<()> {
        if tally.has_begun() {
            self.log += &tally.summary(took, self.coloured);
        }
        self.clear()
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            // A terminal that cannot be cleaned cannot be told so either.
            let _ = self.clear();
        }
    }
}

/// The terminal as indicatif sees it. Nothing is written before a whole frame is ready: so no frame tears.
#[derive(Clone)]
pub(super) struct Screen(Arc<Mutex<DrawState>>);

struct DrawState {
    outlet: LineBuffer,
    /// The size the frame was laid out for: a window resized since would make indicatif miscount its lines.
    size: Size,
    /// The lines of the frame that is shown.
    shown: Vec<String>,
    /// Whether a line ended, and the cursor still stands behind it.
    after_line: bool,
}

impl DrawState {
    /// Takes note of the window that `lines` are about to be drawn in. One that was made narrower has broken the
    /// lines shown so far into more rows than indicatif knows of: those are taken away here.
    fn resized(&mut self, size: Size, lines: Vec<String>) {
        let width = usize::from(size.columns);
        let more: usize = self
            .shown
            .iter()
            .map(|line| columns(line).div_ceil(width).saturating_sub(1))
            .sum();
        self.outlet.add("\r\x1b[2K\x1b[A".repeat(more).as_bytes());
        self.size = size;
        self.shown = lines;
    }
}

impl Screen {
    pub(super) fn new(stderr: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(DrawState {
            outlet: LineBuffer::new(stderr),
            size: USUAL,
            shown: Vec::new(),
            after_line: false,
        })))
    }

    /// A bar on it that shows nothing but its message.
    pub(super) fn bar(&self) -> ProgressBar {
        let target = ProgressDrawTarget::term_like(Box::new(self.clone()));
        let style = ProgressStyle::with_template("{msg}").expect("a constant that parses");
        ProgressBar::with_draw_target(None, target).with_style(style)
    }

    /// Lays out a frame for a window of the size that was told, or of a usual one; answers with its text. `None`
    /// when it is shown already: drawn again it would tear where a terminal has broken it anew and not said so yet.
    pub(super) fn lay(
        &self,
        told: Option<Size>,
        lines: impl FnOnce(Size) -> Vec<String>,
    ) -> Option<String> {
        let size = told
            .filter(|size| size.rows > 0 && size.columns > 0)
            .unwrap_or(USUAL);
        // Room for the `^C` that a terminal writes behind the frame: broken into a row of its own it would stay.
        let lines = lines(Size {
            columns: size.columns.saturating_sub(2).max(1),
            ..size
        });
        let mut paper = self.paper();
        if paper.size == size && paper.shown == lines {
            return None;
        }
        let text = lines.join("\n");
        paper.resized(size, lines);
        Some(text)
    }

    /// Writes what was drawn.
    pub(super) fn send(&self) -> io::Result<()> {
        self.paper().outlet.send()
    }

    fn paper(&self) -> MutexGuard<'_, DrawState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) {
        self.paper().outlet.add(text.as_bytes());
    }

    fn move_cursor(&self, by: usize, direction: char) {
        self.paper().after_line = false;
        if by > 0 {
            self.add(&format!("\x1b[{by}{direction}"));
        }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen")
            .field("size", &self.paper().size)
            .finish_non_exhaustive()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.paper().size.columns
    }

    fn height(&self) -> u16 {
        self.paper().size.rows
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D');
        Ok(())
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.add(s);
        self.add("\n");
        Ok(())
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        // indicatif ends a line by blanks up to the window's edge, which become a row of their own when the window
        // is made narrower: a line break in their place, once there is another line, does not.
        let ends_line = s.trim_matches(' ').is_empty();
        let after_line = std::mem::replace(&mut self.paper().after_line, ends_line);
        if !ends_line {
            self.add(if after_line { "\r\n" } else { "" });
            self.add(s);
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use vt100::Parser;

    use super::*;
    use crate::event::Warning;
    use crate::report::samples::{
        Broken, HOSTILE, Shared, TOOK, eventful_run, failed, hostile_run, page_read, run_started,
        started, tally_of,
    };

    const SMALL: Size = Size {
        rows: 10,
        columns: 40,
    };

    fn bars(terminal: &Shared) -> Bars {
        Bars::new(terminal.writer(), || Some(SMALL), Detail::Trouble, false)
    }

    /// What stands on a terminal of the size `SMALL`, with everything that scrolled out of it.
    fn screen(terminal: &Shared) -> Vec<String> {
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
    fn a_frame_is_drawn_over_the_one_before() {
        let terminal = Shared::default();
        let mut bars = bars(&terminal);
        let events: Vec<_> = (0..30)
            .map(|number| started(&format!("{number:02}.png")))
            .collect();
        for (moment, event) in (0..).zip(&events) {
            bars.told(event).unwrap();
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
    fn failures_are_printed_above_the_frame() {
        let terminal = Shared::default();
        let mut bars = bars(&terminal);
        let events = [
            run_started(),
            page_read(1, 3, 0),
            started("a.png"),
            failed("b.png", "404", 1),
        ];
        for event in &events {
            bars.told(event).unwrap();
            bars.tick(&tally_of(&events), Duration::ZERO).unwrap();
        }
        bars.tick(&tally_of(&events), Duration::from_millis(100))
            .unwrap();
        insta::assert_snapshot!(screen(&terminal).join("\n"));
    }

    #[test]
    fn the_terminal_is_left_clean_with_the_summary() {
        let terminal = Shared::default();
        let mut bars = bars(&terminal);
        let tally = tally_of(&eventful_run());
        for event in &eventful_run() {
            bars.told(event).unwrap();
            bars.tick(&tally, Duration::ZERO).unwrap();
        }
        bars.ended(&tally, TOOK).unwrap();
        drop(bars);
        insta::assert_snapshot!(screen(&terminal).join("\n"));
    }

    #[test]
    fn bars_that_are_dropped_leave_what_was_logged_and_nothing_else() {
        let terminal = Shared::default();
        let mut bars = bars(&terminal);
        bars.told(&started("a.png")).unwrap();
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        bars.told(&Event::Warned {
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
    fn a_window_made_narrower_keeps_no_piece_of_the_frame_before() {
        static COLUMNS: AtomicU16 = AtomicU16::new(100);
        let terminal = Shared::default();
        let size = || {
            Some(Size {
                rows: 24,
                columns: COLUMNS.load(Ordering::Relaxed),
            })
        };
        let mut bars = Bars::new(terminal.writer(), size, Detail::Trouble, false);
        bars.told(&started("2018-03-29-Mountains-behind-the-sea.png"))
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
    fn hostile_names_move_nothing() {
        let terminal = Shared::default();
        let mut bars = bars(&terminal);
        for event in &hostile_run() {
            bars.told(event).unwrap();
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
    fn a_terminal_that_tells_no_size_is_taken_for_a_usual_one() {
        let terminal = Shared::default();
        let mut bars = Bars::new(
            terminal.writer(),
            || {
                Some(Size {
                    rows: 0,
                    columns: 0,
                })
            },
            Detail::Trouble,
            false,
        );
        bars.told(&started("a.png")).unwrap();
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        assert!(terminal.text().contains("a.png"));
    }

    #[test]
    fn a_terminal_that_is_gone_is_noticed() {
        let mut bars = Bars::new(Box::new(Broken), || Some(SMALL), Detail::Trouble, false);
        assert!(bars.tick(&Tally::default(), Duration::ZERO).is_err());
    }
}
