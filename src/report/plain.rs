//! Lines on stderr: for logs, for cron, and for terminals without bars.

use std::io::{self, Write};
use std::time::Duration;

use super::lines::{self, Detail};
use super::outlet::LineBuffer;
use super::terminal::{Color, escape_truncated, paint};
use super::{Reporter, Tally};
use crate::event::Event;

/// Tells in lines, each whole.
pub(super) struct Plain {
    stderr: LineBuffer,
    detail: Detail,
    coloured: bool,
}

impl Plain {
    /// Lines of this `detail`.
    pub(super) fn new(stderr: Box<dyn Write + Send>, detail: Detail, coloured: bool) -> Self {
        Self {
            stderr: LineBuffer::new(stderr),
            detail,
            coloured,
        }
    }

    fn sums_up(&self, tally: &Tally) -> bool {
        match self.detail {
            _ if !tally.has_begun() => false,
            Detail::Errors => false,
            // Where nobody watches, a run without news and trouble is not summed up.
            Detail::Trouble => tally.is_news(),
            Detail::Watched | Detail::Images | Detail::Events | Detail::Everything => true,
        }
    }
}

impl Reporter for Plain {
    fn name(&self) -> &'static str {
        "the log on stderr"
    }

    fn told(&mut self, event: &Event) -> io::Result<()> {
        match lines::line(event, self.detail, self.coloured) {
            Some(line) => self.stderr.line(line.as_bytes()),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.send()
    }

    fn ended(&mut self, tally: &Tally, took: Duration) -> io::Result<()> {
        if let (Detail::Errors, Some(lost)) = (self.detail, tally.results_lost()) {
            self.stderr.line(
                format!(
                    "{} {}",
                    paint("error:", Color::Red, self.coloured),
                    escape_truncated(&lost.to_string())
                )
                .as_bytes(),
            )?;
        }
        if self.sums_up(tally) {
            self.stderr
                .add(tally.summary(took, self.coloured).as_bytes());
        }
        self.stderr.send()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Warning;
    use crate::report::samples::{Shared, TOOK, eventful_run, run_through, second_run};

    fn log(events: &[Event], detail: Detail) -> String {
        let log = Shared::default();
        run_through(&mut Plain::new(log.writer(), detail, false), events);
        log.text()
    }

    #[test]
    fn a_second_run_says_nothing_where_nobody_watches() {
        assert_eq!(log(&second_run(), Detail::Trouble), "");
    }

    #[test]
    fn a_second_run_is_summed_up_on_a_terminal() {
        insta::assert_snapshot!(log(&second_run(), Detail::Watched));
    }

    #[test]
    fn a_run_with_news_tells_its_trouble_and_a_summary() {
        insta::assert_snapshot!(log(&eventful_run(), Detail::Trouble));
    }

    #[test]
    fn a_quiet_run_is_not_summed_up() {
        let log = log(&eventful_run(), Detail::Errors);
        assert!(!log.contains(" found: "), "{log}");
    }

    #[test]
    fn lines_go_out_as_soon_as_nothing_more_waits() {
        let log = Shared::default();
        let mut plain = Plain::new(log.writer(), Detail::Trouble, false);
        plain
            .told(&Event::Warned {
                warning: Warning::HooksGivenUp { failures: 10 },
            })
            .unwrap();
        plain.flush().unwrap();
        assert!(log.text().starts_with("warning: 10 hooks failed"));
        plain.ended(&Tally::default(), TOOK).unwrap();
    }
}
