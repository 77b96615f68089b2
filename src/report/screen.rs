//! The terminal as indicatif sees it: a buffer that is written once per redraw, and a remedy for resized windows.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use parking_lot::Mutex;

use super::TerminalSize;
use super::line_buffer::LineBuffer;
use super::terminal::columns;

/// The size of a terminal that does not report one.
const DEFAULT_SIZE: TerminalSize = TerminalSize {
    rows: 24,
    columns: 80,
};

/// A drawing target for indicatif. What indicatif draws is buffered until [`Screen::flush`], so that a terminal never
/// shows half a frame.
///
/// The mutex is never contended: only the thread of the reporter draws. It is there because indicatif wants its target
/// `Send + Sync`, and because the bar and the reporter both hold the screen. It must not be held while indicatif is
/// called, which calls back into [`TermLike`].
#[derive(Clone)]
pub(super) struct Screen(Arc<Mutex<DrawState>>);

struct DrawState {
    buffer: LineBuffer,
    /// The size that the shown frame was laid out for. indicatif gets this one, not the present size: in a window
    /// resized since, it would miscount the rows that it has to erase.
    size: TerminalSize,
    /// The lines of the frame that is shown.
    shown: Vec<String>,
    /// Whether a line was ended and the cursor is still behind it.
    after_line: bool,
}

impl DrawState {
    /// Prepares for drawing `lines` in a window of this size. A window made narrower has wrapped the shown lines into
    /// more rows than indicatif knows of; those are erased here.
    fn resize(&mut self, size: TerminalSize, lines: Vec<String>) {
        let width = usize::from(size.columns);
        let extra_rows: usize = self
            .shown
            .iter()
            .map(|line| columns(line).div_ceil(width).saturating_sub(1))
            .sum();
        self.buffer
            .push("\r\x1b[2K\x1b[A".repeat(extra_rows).as_bytes());
        self.size = size;
        self.shown = lines;
    }
}

impl Screen {
    pub(super) fn new(stderr: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(DrawState {
            buffer: LineBuffer::new(stderr),
            size: DEFAULT_SIZE,
            shown: Vec::new(),
            after_line: false,
        })))
    }

    /// A bar on this screen that shows nothing but its message.
    pub(super) fn bar(&self) -> ProgressBar {
        let target = ProgressDrawTarget::term_like(Box::new(self.clone()));
        let style = ProgressStyle::with_template("{msg}").expect("a constant that parses");
        ProgressBar::with_draw_target(None, target).with_style(style)
    }

    /// Lays out a frame for a window of `reported` size and returns its text. `None` if the screen shows it already:
    /// a redraw would tear it where the terminal has wrapped it since and not yet reported its new size.
    pub(super) fn layout(
        &self,
        reported: Option<TerminalSize>,
        lines: impl FnOnce(TerminalSize) -> Vec<String>,
    ) -> Option<String> {
        let size = reported
            .filter(|size| size.rows > 0 && size.columns > 0)
            .unwrap_or(DEFAULT_SIZE);
        // Two columns stay free for the `^C` that a terminal echoes behind the frame: wrapped into its own row
        // it would stay on the screen.
        let lines = lines(TerminalSize {
            columns: size.columns.saturating_sub(2).max(1),
            ..size
        });
        let mut state = self.0.lock();
        if state.size == size && state.shown == lines {
            return None;
        }
        let text = lines.join("\n");
        state.resize(size, lines);
        Some(text)
    }

    /// Adds `text` to what the next flush writes.
    pub(super) fn push(&self, text: &str) {
        self.0.lock().buffer.push(text.as_bytes());
    }

    /// Writes what was drawn.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.0.lock().buffer.flush()
    }

    fn move_cursor(&self, by: usize, direction: char) {
        self.0.lock().after_line = false;
        if by > 0 {
            self.push(&format!("\x1b[{by}{direction}"));
        }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen")
            .field("size", &self.0.lock().size)
            .finish_non_exhaustive()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.0.lock().size.columns
    }

    fn height(&self) -> u16 {
        self.0.lock().size.rows
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
        self.push(s);
        self.push("\n");
        Ok(())
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        // indicatif ends a line by filling it with blanks to the window's edge. When the window is made narrower, the
        // blanks wrap into their own row. So they are dropped, and a line break is written once another line
        // follows.
        let ends_line = s.trim_matches(' ').is_empty();
        let after_line = std::mem::replace(&mut self.0.lock().after_line, ends_line);
        if !ends_line {
            self.push(if after_line { "\r\n" } else { "" });
            self.push(s);
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("\r\x1b[2K");
        Ok(())
    }

    /// Does nothing: indicatif flushes after each part of a drawing, [`Screen::flush`] writes all of it at once.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
