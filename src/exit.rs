//! Every exit code, and what leads to which.

use std::io;
use std::process::ExitCode;

use thiserror::Error;

use crate::engine::EngineError;
use crate::ledger::LedgerError;
use crate::report::Tally;
use crate::sink::SinkError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was wanted is there and verified.
    Done,
    /// Some images or hooks failed, the rest are fine.
    Incomplete,
    /// Usage, configuration or site definition wrong; nothing was fetched.
    Usage,
    /// The listing could not be read.
    Listing,
    /// Local storage: disk full, no permission, not a folder.
    Storage,
    /// Another run holds the folder, or the ledger cannot be used.
    Busy,
    /// Standard output was closed under a command whose work is its output.
    Closed,
    /// Ended by a signal, state saved.
    Signal(Signal),
}

/// The signals that end a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The terminal went away.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// `kill`.
    Terminate,
}

impl Exit {
    /// The code the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Usage => 2,
            Self::Listing => 3,
            Self::Storage => 4,
            Self::Busy => 5,
            Self::Closed => 141,
            Self::Signal(Signal::Hangup) => 129,
            Self::Signal(Signal::Interrupt) => 130,
            Self::Signal(Signal::Terminate) => 143,
        }
    }

    /// Which of two is told when both hold: a signal, then 2, 4, 5, 3, 1, 0.
    #[must_use]
    pub fn max_severity(self, other: Self) -> Self {
        if other.weight() > self.weight() {
            other
        } else {
            self
        }
    }

    const fn weight(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Listing => 2,
            Self::Busy => 3,
            Self::Storage => 4,
            Self::Usage => 5,
            Self::Closed => 6,
            Self::Signal(_) => 7,
        }
    }

    /// What a run's counts come to.
    pub fn of_tally(tally: &Tally) -> Self {
        let images = if tally.failed + tally.hooks_failed > 0 {
            Self::Incomplete
        } else {
            Self::Done
        };
        let listing = if tally.listing_failed.is_some() {
            Self::Listing
        } else {
            Self::Done
        };
        let output = if tally.results_lost().is_some() {
            Self::Storage
        } else {
            Self::Done
        };
        images.max_severity(listing).max_severity(output)
    }

    /// What an error that ended the program comes to. What no station of ours told is wrong usage: every
    /// other error is met before anything is fetched.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let told = error.chain().find_map(|cause| {
            let engine = cause.downcast_ref().map(Self::of_engine);
            let sink = cause.downcast_ref().map(Self::of_sink);
            let ledger = cause.downcast_ref().map(Self::of_ledger);
            let output = cause.downcast_ref().map(Self::of_output);
            let thread = cause.downcast_ref().map(|ThreadError(_)| Self::Storage);
            engine.or(sink).or(ledger).or(output).or(thread)
        });
        told.unwrap_or(Self::Usage)
    }

    fn of_engine(error: &EngineError) -> Self {
        match error {
            EngineError::Queue(_) => Self::Usage,
            EngineError::Ledger(error) => Self::of_ledger(error),
            EngineError::Sink(error) => Self::of_sink(error),
        }
    }

    fn of_sink(error: &SinkError) -> Self {
        match error {
            SinkError::Storage { .. } | SinkError::LowSpace { .. } | SinkError::Name { .. } => {
                Self::Storage
            }
            SinkError::Locked { .. } => Self::Busy,
            SinkError::UnknownScheme(_) => Self::Usage,
        }
    }

    fn of_ledger(error: &LedgerError) -> Self {
        match error {
            LedgerError::Storage { .. } => Self::Storage,
            LedgerError::Foreign { .. }
            | LedgerError::Damaged { .. }
            | LedgerError::Newer { .. }
            | LedgerError::Older { .. }
            | LedgerError::TooOld { .. }
            | LedgerError::Locked { .. }
            | LedgerError::Closed { .. }
            | LedgerError::Empty => Self::Busy,
        }
    }

    fn of_output(OutputError(error): &OutputError) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Storage
        }
    }
}

/// Standard output of a command whose work is its output cannot be written to.
#[derive(Debug, Error)]
#[error("writing to standard output")]
pub struct OutputError(#[from] io::Error);

/// The system lets no further thread begin.
#[derive(Debug, Error)]
#[error(
    "starting a thread: allow more processes, memory or open files (`ulimit -u`, `-v`, `-n`) and run again"
)]
pub struct ThreadError(#[from] io::Error);

/// An error whose text was made for a terminal: lines, marks, perhaps colors; nothing in it needs escaping.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct RenderedError(pub String);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_ends_the_weightiest_is_told() {
        let by_weight = [
            Exit::Done,
            Exit::Incomplete,
            Exit::Listing,
            Exit::Busy,
            Exit::Storage,
            Exit::Usage,
            Exit::Signal(Signal::Interrupt),
        ];
        for pair in by_weight.windows(2) {
            assert_eq!(pair[0].max_severity(pair[1]), pair[1]);
            assert_eq!(pair[1].max_severity(pair[0]), pair[1]);
        }
    }
}
