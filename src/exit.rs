//! Every exit code, and which counts and errors lead to it.

use std::io;
use std::process::ExitCode;

use thiserror::Error;

use crate::engine::EngineError;
use crate::ledger::LedgerError;
use crate::queue::QueueError;
use crate::report::Tally;
use crate::sink::SinkError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything wanted is there and verified.
    Done,
    /// Some images or hooks failed, or images that the user named are gone; the rest are fine.
    Incomplete,
    /// Usage, configuration or site definition wrong; nothing was fetched.
    Usage,
    /// The listing could not be read, or no longer looks like the site.
    Listing,
    /// Local storage: disk full, no permission, not a folder, no more threads.
    Storage,
    /// Another run holds the collection, or the ledger cannot be used.
    Busy,
    /// The object store is out of reach, or refuses.
    Remote,
    /// The output pipe was closed under a command whose work is its output.
    Closed,
    /// Ended by a signal; the state is saved.
    Signal(Signal),
}

/// The signals that end a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal was closed.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: `kill`.
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
            Self::Remote => 6,
            Self::Closed => 141,
            Self::Signal(Signal::Hangup) => 129,
            Self::Signal(Signal::Interrupt) => 130,
            Self::Signal(Signal::Terminate) => 143,
        }
    }

    /// The one of two that the program ends with: a signal, then 141, 2, 4, 6, 5, 3, 1, 0.
    #[must_use]
    pub fn max_severity(self, other: Self) -> Self {
        if other.severity() > self.severity() {
            other
        } else {
            self
        }
    }

    const fn severity(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Listing => 2,
            Self::Busy => 3,
            Self::Remote => 4,
            Self::Storage => 5,
            Self::Usage => 6,
            Self::Closed => 7,
            Self::Signal(_) => 8,
        }
    }

    /// The exit code of a run with these counts.
    pub fn from_tally(tally: &Tally) -> Self {
        let images = if tally.failed + tally.gone_named + tally.hooks_failed > 0 {
            Self::Incomplete
        } else {
            Self::Done
        };
        let listing = if tally.listing_failed.is_some() || tally.site_stopped.is_some() {
            Self::Listing
        } else {
            Self::Done
        };
        let output = if tally.lost_output().is_some() {
            Self::Storage
        } else {
            Self::Done
        };
        images.max_severity(listing).max_severity(output)
    }

    /// The exit code of an error that ended the program. An error of any other type than ours means wrong usage: such
    /// errors come up only before anything is fetched.
    pub fn from_error(error: &anyhow::Error) -> Self {
        let typed = error.chain().find_map(|cause| {
            let engine = cause.downcast_ref().map(Self::from_engine);
            let queue = cause.downcast_ref().map(Self::from_queue);
            let sink = cause.downcast_ref().map(Self::from_sink);
            let ledger = cause.downcast_ref().map(Self::from_ledger);
            let output = cause.downcast_ref().map(Self::from_output);
            let thread = cause.downcast_ref().map(|ThreadError(_)| Self::Storage);
            engine.or(queue).or(sink).or(ledger).or(output).or(thread)
        });
        typed.unwrap_or(Self::Usage)
    }

    fn from_engine(error: &EngineError) -> Self {
        match error {
            EngineError::Queue(error) => Self::from_queue(error),
            EngineError::Ledger(error) => Self::from_ledger(error),
            EngineError::Sink(error) => Self::from_sink(error),
        }
    }

    fn from_queue(error: &QueueError) -> Self {
        match error {
            QueueError::UnknownScheme(_) | QueueError::Closed | QueueError::BadBroker { .. } => {
                Self::Usage
            }
            QueueError::Broker { .. } | QueueError::Lost { .. } => Self::Remote,
        }
    }

    fn from_sink(error: &SinkError) -> Self {
        match error {
            SinkError::Storage { .. } | SinkError::LowSpace { .. } | SinkError::Name { .. } => {
                Self::Storage
            }
            SinkError::Locked { .. } => Self::Busy,
            SinkError::Store { .. } => Self::Remote,
            SinkError::UnknownScheme(_) | SinkError::BadUrl { .. } => Self::Usage,
        }
    }

    fn from_ledger(error: &LedgerError) -> Self {
        match error {
            LedgerError::Full { .. } | LedgerError::Storage { .. } => Self::Storage,
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

    fn from_output(OutputError(error): &OutputError) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Storage
        }
    }
}

/// Standard output cannot be written, and the command's work is its output.
#[derive(Debug, Error)]
#[error("cannot write to standard output")]
pub struct OutputError(#[from] io::Error);

/// The system starts no further thread.
#[derive(Debug, Error)]
#[error(
    "cannot start a thread: allow more processes, memory or open files (`ulimit -u`, `-v`, `-n`) and run again"
)]
pub struct ThreadError(#[from] io::Error);

/// An error whose text is ready for a terminal: several lines, marks, perhaps colors. It is printed without escaping.
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
    fn of_several_exit_codes_the_most_severe_wins() {
        let by_severity = [
            Exit::Done,
            Exit::Incomplete,
            Exit::Listing,
            Exit::Busy,
            Exit::Storage,
            Exit::Usage,
            Exit::Signal(Signal::Interrupt),
        ];
        for pair in by_severity.windows(2) {
            assert_eq!(pair[0].max_severity(pair[1]), pair[1]);
            assert_eq!(pair[1].max_severity(pair[0]), pair[1]);
        }
    }
}
