//! A bar for work that is nothing but counted: so many of so many.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::bars::Screen;
use super::figures::count;
use super::terminal::cut;
use super::{OutputSettings, Size};

/// As often as an eye can follow figures.
const TICK: Duration = Duration::from_millis(100);

/// Shows how far some counted work is, where [`OutputSettings`] allows bars; silent elsewhere. Leaves the terminal as it
/// was when dropped.
pub struct Counter(Option<Shown>);

struct Shown {
    what: &'static str,
    of: usize,
    bar: ProgressBar,
    screen: Screen,
    size: fn() -> Option<Size>,
    drawn: Option<Instant>,
}

impl Counter {
    /// A counter of `of` things on the terminal behind `stderr`; `what` says in one word what is done to them.
    pub fn new(
        telling: &OutputSettings,
        stderr: Box<dyn Write + Send>,
        what: &'static str,
        of: usize,
    ) -> Self {
        Self(telling.bars().then(|| {
            let screen = Screen::new(stderr);
            Shown {
                what,
                of,
                bar: screen.bar(),
                screen,
                size: telling.stderr.size,
                drawn: None,
            }
        }))
    }

    /// Says how many are done. Called for each of them.
    pub fn stands(&mut self, done: usize) {
        if let Some(shown) = &mut self.0
            && shown.drawn.is_none_or(|drawn| drawn.elapsed() >= TICK)
        {
            shown.drawn = Some(Instant::now());
            let line = format!("{}  {} of {}", shown.what, count(done), count(shown.of));
            let frame = |size: Size| vec![cut(&line, usize::from(size.columns)).into_owned()];
            if let Some(frame) = shown.screen.lay((shown.size)(), frame) {
                shown.bar.set_message(frame);
            }
            shown.send();
        }
    }

    /// Takes the bar away while `print` writes to the same terminal.
    ///
    /// # Errors
    ///
    /// Those of `print`.
    pub fn aside(&mut self, print: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let Some(shown) = &self.0 else { return print() };
        let printed = shown.bar.suspend(|| {
            shown.send();
            print()
        });
        shown.send();
        printed
    }
}

impl Shown {
    fn send(&self) {
        // A bar that cannot be drawn is no reason to stop what it counts.
        let _ = self.screen.send();
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(shown) = &self.0 {
            shown.bar.finish_and_clear();
            shown.send();
        }
    }
}

#[cfg(test)]
mod tests {
    use vt100::Parser;

    use super::*;
    use crate::report::Stderr;
    use crate::report::samples::{Broken, Shared, telling};

    const TERMINAL: Stderr = Stderr {
        terminal: true,
        dumb: false,
        no_color: false,
        size: || {
            Some(Size {
                rows: 5,
                columns: 30,
            })
        },
    };

    fn at_terminal() -> OutputSettings {
        OutputSettings {
            stderr: TERMINAL,
            ..telling()
        }
    }

    fn screen(terminal: &Shared) -> String {
        let mut parser = Parser::new(5, 30, 0);
        parser.process(terminal.text().replace('\n', "\r\n").as_bytes());
        parser.screen().contents().trim_end().to_owned()
    }

    #[test]
    fn a_terminal_shows_how_far_it_is_and_is_left_clean() {
        let terminal = Shared::default();
        let mut counter = Counter::new(&at_terminal(), terminal.writer(), "verifying", 1_436);
        counter.stands(0);
        assert_eq!(screen(&terminal), "verifying  0 of 1,436");
        drop(counter);
        assert_eq!(screen(&terminal), "");
    }

    #[test]
    fn what_is_printed_beside_it_is_not_torn() {
        let terminal = Shared::default();
        let mut counter = Counter::new(&at_terminal(), terminal.writer(), "verifying", 2);
        counter.stands(0);
        let mut same = terminal.writer();
        counter
            .aside(|| same.write_all(b"missing  a.png\n"))
            .unwrap();
        assert_eq!(screen(&terminal), "missing  a.png\nverifying  0 of 2");
    }

    #[test]
    fn off_a_terminal_nothing_is_shown() {
        let file = Shared::default();
        let mut counter = Counter::new(&telling(), file.writer(), "verifying", 2);
        counter.stands(1);
        drop(counter);
        assert_eq!(file.text(), "");
    }

    #[test]
    fn a_terminal_that_is_gone_stops_nothing() {
        let mut counter = Counter::new(&at_terminal(), Box::new(Broken), "verifying", 2);
        counter.stands(1);
        assert!(counter.aside(|| Ok(())).is_ok());
    }
}
