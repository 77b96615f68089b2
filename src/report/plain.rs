//! Lines on stderr: for logs, for cron, and for terminals without bars.

use std::io::{self, Write};
use std::time::Duration;

use super::line_buffer::LineBuffer;
use super::lines::{self, Detail};
use super::terminal::{Color, escape_truncated, paint};
use super::{Reporter, Tally, summary};
use crate::event::Event;

/// Writes lines, each whole.
pub(super) struct Plain {
    stderr: LineBuffer,
    detail: Detail,
    colored: bool,
    /// Whether images were fetched, so that a summary has something to count.
    counts: bool,
}

impl Plain {
    pub(super) fn new(stderr: Box<dyn Write + Send>, detail: Detail, colored: bool) -> Self {
        Self {
            stderr: LineBuffer::new(stderr),
            detail,
            colored,
            counts: true,
        }
    }

    /// The same for a run that only lists: its summary has what was left out, and no counts.
    pub(super) fn without_counts(self) -> Self {
        Self {
            counts: false,
            ..self
        }
    }

    fn has_summary(&self, tally: &Tally) -> bool {
        match self.detail {
            _ if !self.counts || !tally.has_begun() => false,
            Detail::Errors => false,
            // Under cron a run without news and trouble prints nothing, so that no mail is sent.
            Detail::Trouble => tally.is_news(),
            Detail::Watched | Detail::Images | Detail::Events | Detail::Everything => true,
        }
    }
}

impl Reporter for Plain {
    fn name(&self) -> &'static str {
        "the log on stderr"
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        match lines::line(event, self.detail, self.colored) {
            Some(line) => self.stderr.push_line(line.as_bytes()),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }

    fn finish(&mut self, tally: &Tally, elapsed: Duration) -> io::Result<()> {
        // Below `Trouble` the dispatcher's warning about the lost output was not shown, and the exit code would be
        // the only sign of it.
        if let (Detail::Errors, Some(lost)) = (self.detail, tally.lost_output()) {
            let error = paint("error:", Color::Red, self.colored);
            let line = format!("{error} {}", escape_truncated(&lost.to_string()));
            self.stderr.push_line(line.as_bytes())?;
        }
        if self.has_summary(tally) {
            self.stderr
                .push(summary::text(tally, elapsed, self.detail, self.colored).as_bytes());
        }
        if !self.counts && self.detail > Detail::Errors {
            self.stderr
                .push(summary::left_out(tally, self.detail, self.colored).as_bytes());
        }
        self.stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Warning;
    use crate::outcome::SkipReason;
    use crate::report::samples::{
        SharedBuffer, TOOK, eventful_run, page_read, run_started, run_through, second_run, skipped,
    };

    fn log(events: &[Event], detail: Detail) -> String {
        let log = SharedBuffer::default();
        run_through(&mut Plain::new(log.writer(), detail, false), events);
        log.text()
    }

    #[test]
    fn cron_gets_no_output_of_a_run_without_news() {
        assert_eq!(log(&second_run(), Detail::Trouble), "");
    }

    #[test]
    fn a_terminal_gets_a_summary_of_a_run_without_news() {
        insta::assert_snapshot!(log(&second_run(), Detail::Watched));
    }

    #[test]
    fn a_run_with_news_gets_its_trouble_and_a_summary() {
        insta::assert_snapshot!(log(&eventful_run(), Detail::Trouble));
    }

    #[test]
    fn a_run_that_only_lists_tells_what_it_skipped_and_counts_nothing() {
        let log = |detail| {
            let log = SharedBuffer::default();
            let mut plain = Plain::new(log.writer(), detail, false).without_counts();
            let skip = skipped("a.png", SkipReason::NoRule);
            run_through(&mut plain, &[run_started(), page_read(1, 2, 0), skip]);
            log.text()
        };
        let skipped = "  1 skipped: no rule matches (https://cdn.demo.invalid/originals/a.png)\n";
        assert_eq!(log(Detail::Trouble), skipped);
        assert_eq!(log(Detail::Watched), skipped);
        assert_eq!(log(Detail::Errors), "");
    }

    #[test]
    fn a_quiet_run_has_no_summary() {
        let log = log(&eventful_run(), Detail::Errors);
        assert!(!log.contains(" found: "), "{log}");
    }

    #[test]
    fn lines_are_written_when_no_event_waits() {
        let log = SharedBuffer::default();
        let mut plain = Plain::new(log.writer(), Detail::Trouble, false);
        plain
            .on_event(&Event::Warned {
                warning: Warning::HooksGivenUp { failures: 10 },
            })
            .unwrap();
        plain.flush().unwrap();
        assert!(log.text().starts_with("warning: 10 hooks failed"));
        plain.finish(&Tally::default(), TOOK).unwrap();
    }
}
