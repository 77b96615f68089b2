//! What commands print that emit no events: rows on stdout, notes and errors on stderr.

mod findings;

use std::io::{self, Write as _};

pub(super) use findings::{Counts, Finding, FindingKind, FindingWriter, unlisted};

use crate::event::WaitReason;
use crate::exit::{Exit, OutputError, RenderedError};
use crate::report::{OutputSettings, escape, messages};

/// Prints the output of a command that does nothing else.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn print(text: &[u8]) -> anyhow::Result<Exit> {
    write_flushed(text).map_err(OutputError::from)?;
    Ok(Exit::Done)
}

/// Writes to standard output and flushes it, so that the reader of a pipe gets it now. Blocks while nothing reads the pipe.
pub(super) fn write_flushed(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}

/// Prints an error to stderr and returns its exit code. A closed output pipe is not reported: nobody is reading.
pub fn print_error(error: &anyhow::Error) -> Exit {
    let exit = Exit::from_error(error);
    let text = match error.downcast_ref() {
        Some(RenderedError(rendered)) => rendered.trim_end().to_owned(),
        None => format!("error: {}", escape(&format!("{error:#}"))),
    };
    if exit != Exit::Closed {
        print_note(&text);
    }
    exit
}

/// Prints a line on stderr.
pub(super) fn print_note(line: &str) {
    // In one write, so that no other process writes into the line; `writeln!` takes two, since stderr is not buffered.
    // If stderr is closed there is nowhere left to report to, and that is no reason to fail.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints why nothing happens on stderr, for commands that emit no events; nothing unless `output` is watched.
pub(super) fn note_on_stderr(output: &OutputSettings) -> impl Fn(WaitReason) + use<> {
    let watched = output.watched();
    move |reason| {
        if watched {
            print_note(&format!("note: {}", escape(&messages::waiting(&reason))));
        }
    }
}
