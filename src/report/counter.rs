//! A progress line for work that is only counted: `verifying  12 of 1,436`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::screen::Screen;
use super::terminal::truncate;
use super::{OutputSettings, TerminalSize};
use crate::units::count;

/// How often the line is redrawn at most: as fast as figures can be read.
const TICK: Duration = Duration::from_millis(100);

/// Shows how many of a known number of items are done, where [`OutputSettings`] allows bars; otherwise does nothing.
/// Clears its line when dropped.
pub struct Counter(Option<ProgressLine>);

struct ProgressLine {
    label: &'static str,
    total: usize,
    bar: ProgressBar,
    screen: Screen,
    size: fn() -> Option<TerminalSize>,
    last_draw: Option<Instant>,
}

impl Counter {
    /// A counter of `total` items on the terminal behind `stderr`; `label` names the work, as `verifying`.
    pub fn new(
        output: &OutputSettings,
        stderr: Box<dyn Write + Send>,
        label: &'static str,
        total: usize,
    ) -> Self {
        Self(output.bars().then(|| {
            let screen = Screen::new(stderr);
            ProgressLine {
                label,
                total,
                bar: screen.bar(),
                screen,
                size: output.stderr.size,
                last_draw: None,
            }
        }))
    }

    /// Updates how many are done. May be called for every item.
    pub fn set(&mut self, done: usize) {
        if let Some(progress) = &mut self.0
            && progress.last_draw.is_none_or(|last| last.elapsed() >= TICK)
        {
            progress.last_draw = Some(Instant::now());
            let line = format!(
                "{}  {} of {}",
                progress.label,
                count(done),
                count(progress.total)
            );
            let frame =
                |size: TerminalSize| vec![truncate(&line, usize::from(size.columns)).into_owned()];
            if let Some(frame) = progress.screen.layout((progress.size)(), frame) {
                progress.bar.set_message(frame);
            }
            progress.flush();
        }
    }

    /// Erases the line while `print` writes to the same terminal, and draws it again.
    ///
    /// # Errors
    ///
    /// Those of `print`.
    pub fn suspend(&mut self, print: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let Some(progress) = &self.0 else {
            return print();
        };
        let printed = progress.bar.suspend(|| {
            // The erasing must reach the terminal before what is printed.
            progress.flush();
            print()
        });
        progress.flush();
        printed
    }
}

impl ProgressLine {
    fn flush(&self) {
        // A progress line that cannot be progress is no reason to stop the work.
        let _ = self.screen.flush();
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.bar.finish_and_clear();
            progress.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use vt100::Parser;

    use super::*;
    use crate::report::Stderr;
    use crate::report::samples::{Broken, SharedBuffer, default_output};

    const TERMINAL: Stderr = Stderr {
        terminal: true,
        dumb: false,
        no_color: false,
        size: || {
            Some(TerminalSize {
                rows: 5,
                columns: 30,
            })
        },
    };

    fn at_terminal() -> OutputSettings {
        OutputSettings {
            stderr: TERMINAL,
            ..default_output()
        }
    }

    fn screen(terminal: &SharedBuffer) -> String {
        let mut parser = Parser::new(5, 30, 0);
        parser.process(terminal.text().replace('\n', "\r\n").as_bytes());
        parser.screen().contents().trim_end().to_owned()
    }

    #[test]
    fn a_counting_progress_bar_is_cleared_when_dropped() {
        let terminal = SharedBuffer::default();
        let mut counter = Counter::new(&at_terminal(), terminal.writer(), "verifying", 1_436);
        counter.set(0);
        assert_eq!(screen(&terminal), "verifying  0 of 1,436");
        drop(counter);
        assert_eq!(screen(&terminal), "");
    }

    #[test]
    fn printing_while_a_progress_bar_is_suspended_tears_nothing() {
        let terminal = SharedBuffer::default();
        let mut counter = Counter::new(&at_terminal(), terminal.writer(), "verifying", 2);
        counter.set(0);
        let mut same = terminal.writer();
        counter
            .suspend(|| same.write_all(b"missing  a.png\n"))
            .unwrap();
        assert_eq!(screen(&terminal), "missing  a.png\nverifying  0 of 2");
    }

    #[test]
    fn there_is_no_counting_progress_bar_off_a_terminal() {
        let file = SharedBuffer::default();
        let mut counter = Counter::new(&default_output(), file.writer(), "verifying", 2);
        counter.set(1);
        drop(counter);
        assert_eq!(file.text(), "");
    }

    #[test]
    fn a_closed_terminal_does_not_stop_the_counted_work() {
        let mut counter = Counter::new(&at_terminal(), Box::new(Broken), "verifying", 2);
        counter.set(1);
        assert!(counter.suspend(|| Ok(())).is_ok());
    }
}
