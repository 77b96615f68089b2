//! Bars on a terminal: one frame of lines that is drawn over, ten times a second at most, and the log above it.

use std::io::{self, Write};
use std::time::Duration;

use super::frame::Frame;
use super::lines::{self, Detail};
use super::outlet::Outlet;
use super::terminal::columns;
use super::{Reporter, Size, Tally};
use crate::event::Event;

/// What a terminal that does not tell its size is taken for.
const USUAL: Size = Size { rows: 24, columns: 80 };

/// Log lines wait for the next drawing, unless there are this many bytes of them.
const LOG_WAITING: usize = 64 * 1024;

/// Tells by bars. The terminal is left as it was when this ends or is dropped.
pub(super) struct Bars {
    terminal: Terminal,
    frame: Frame,
    log: String,
    detail: Detail,
    coloured: bool,
    ended: bool,
}

impl Bars {
    /// Bars on the terminal behind `stderr`, whose `size` is asked each time.
    pub(super) fn new(
        stderr: Box<dyn Write + Send>,
        size: fn() -> Option<Size>,
        detail: Detail,
        coloured: bool,
    ) -> Self {
        let terminal = Terminal { outlet: Outlet::new(stderr), size, shown: Vec::new(), window: USUAL };
        Self { terminal, frame: Frame::default(), log: String::new(), detail, coloured, ended: false }
    }

    /// Takes the frame away and prints what was logged.
    fn clear(&mut self) -> io::Result<()> {
        self.ended = true;
        let window = self.terminal.window();
        self.terminal.show(&mut self.log, Vec::new(), window)
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
        let (window, shown) = (self.terminal.window(), self.terminal.shown.clone());
        self.terminal.show(&mut self.log, shown, window)
    }

    fn tick(&mut self, tally: &Tally, since: Duration) -> io::Result<()> {
        let window = self.terminal.window();
        self.frame.tick(tally, since);
        self.terminal.show(&mut self.log, self.frame.lines(tally, window), window)
    }

    fn ended(&mut self, tally: &Tally, took: Duration) -> io::Result<()> {
        self.log += &tally.summary(took, self.coloured);
        self.clear()
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if !self.ended {
            // A terminal that cannot be cleaned cannot be told so either.
            let _ = self.clear();
        }
    }
}

/// The terminal, with the frame that is shown at its end. The cursor stays behind the frame's last line.
struct Terminal {
    outlet: Outlet,
    size: fn() -> Option<Size>,
    /// The lines of the frame, each shorter than the window was wide.
    shown: Vec<String>,
    window: Size,
}

impl Terminal {
    /// How large the window is now.
    fn window(&self) -> Size {
        (self.size)().filter(|size| size.rows > 0 && size.columns > 0).unwrap_or(USUAL)
    }

    /// Prints the log where the frame stood and the new frame below it, in one go: so nothing tears.
    fn show(&mut self, log: &mut String, lines: Vec<String>, window: Size) -> io::Result<()> {
        if log.is_empty() && lines == self.shown && window == self.window {
            return Ok(());
        }
        self.outlet.add(self.wipe(window).as_bytes());
        self.outlet.add(log.as_bytes());
        self.outlet.add(lines.join("\n").as_bytes());
        log.clear();
        (self.shown, self.window) = (lines, window);
        self.outlet.send()
    }

    /// What takes the frame away, row by row: terminals keep a copy of a screen that is erased as a whole.
    /// In a window that was made narrower the lines have been broken into more rows.
    fn wipe(&self, window: Size) -> String {
        let width = usize::from(window.columns);
        let rows: usize = self.shown.iter().map(|line| columns(line).div_ceil(width).max(1)).sum();
        match rows {
            0 => String::new(),
            rows => format!("\r\x1b[2K{}", "\x1b[A\x1b[2K".repeat(rows - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use vt100::Parser;

    use super::*;
    use crate::report::samples::{
        Broken, HOSTILE, Shared, TOOK, eventful_run, failed, hostile_run, page_read, run_started, started, tally_of,
    };

    const SMALL: Size = Size { rows: 10, columns: 40 };

    fn bars(terminal: &Shared) -> Bars {
        Bars::new(terminal.writer(), || Some(SMALL), Detail::Trouble, false)
    }

    /// What stands on a terminal of the size `SMALL`, with everything that scrolled out of it.
    fn screen(terminal: &Shared) -> Vec<String> {
        let mut parser = Parser::new(1_000, SMALL.columns, 0);
        parser.process(terminal.text().replace('\n', "\r\n").as_bytes());
        let rows = parser.screen().rows(0, SMALL.columns).map(|row| row.trim_end().to_owned());
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
        let events: Vec<_> = (0..30).map(|number| started(&format!("{number:02}.png"))).collect();
        for (moment, event) in (0..).zip(&events) {
            bars.told(event).unwrap();
            bars.tick(&Tally::default(), Duration::from_millis(moment * 100)).unwrap();
            assert!(screen(&terminal).len() < usize::from(SMALL.rows), "{:?}", screen(&terminal));
        }
        insta::assert_snapshot!(screen(&terminal).join("\n"));
    }

    #[test]
    fn failures_are_printed_above_the_frame() {
        let terminal = Shared::default();
        let mut bars = bars(&terminal);
        let events = [run_started(), page_read(1, 3, 0), started("a.png"), failed("b.png", "404", 1)];
        for event in &events {
            bars.told(event).unwrap();
            bars.tick(&tally_of(&events), Duration::ZERO).unwrap();
        }
        bars.tick(&tally_of(&events), Duration::from_millis(100)).unwrap();
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
        bars.told(&Event::Warned { message: "interrupted".to_owned() }).unwrap();
        drop(bars);
        assert_eq!(screen(&terminal), ["warning: interrupted"]);
    }

    #[test]
    fn a_window_made_narrower_keeps_no_piece_of_the_frame_before() {
        static COLUMNS: AtomicU16 = AtomicU16::new(100);
        let terminal = Shared::default();
        let size = || Some(Size { rows: 24, columns: COLUMNS.load(Ordering::Relaxed) });
        let mut bars = Bars::new(terminal.writer(), size, Detail::Trouble, false);
        bars.told(&started("2018-03-29-Mountains-behind-the-sea.png")).unwrap();
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        let wide = terminal.text();
        assert_eq!(columns(wide.lines().last().unwrap()), 67);
        COLUMNS.store(20, Ordering::Relaxed);
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        // The overall line has 20 columns and takes one row still; the image's 67 take four.
        let drawn = terminal.text()[wide.len()..].to_owned();
        let wiped = format!("\r\x1b[2K{}", "\x1b[A\x1b[2K".repeat(4));
        assert_eq!(drawn, wiped + "starting  listing...\n  2018-03-29-Moun...");
    }

    #[test]
    fn what_has_not_changed_is_not_drawn_again() {
        let terminal = Shared::default();
        let mut bars = bars(&terminal);
        bars.told(&started("a.png")).unwrap();
        bars.tick(&Tally::default(), Duration::ZERO).unwrap();
        let drawn = terminal.text();
        bars.tick(&Tally::default(), Duration::from_secs(1)).unwrap();
        assert_eq!(terminal.text(), drawn);
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
        assert!(!text.contains(HOSTILE) && !text.contains('\u{9b}') && !text.contains("\x1b]"), "{text:?}");
        assert!(screen(&terminal).len() > 2);
    }

    #[test]
    fn a_terminal_that_tells_no_size_is_taken_for_a_usual_one() {
        let terminal = Shared::default();
        let mut bars = Bars::new(terminal.writer(), || Some(Size { rows: 0, columns: 0 }), Detail::Trouble, false);
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
