//! Builds the parts, starts the line, and says how it ended: one file a command.

mod addresses;
mod environment;
mod fetch;
mod hold;
mod ledger;
mod many;
mod rebuild;
mod runtime;
mod signals;
mod sites;
mod url_file;
mod urls;
mod verify;
mod visit;

use std::io::Write as _;

pub use environment::Environment;
pub use fetch::fetch;
pub use ledger::{count_ledger, list_ledger, show_ledger};
pub use rebuild::rebuild_ledger;
pub use runtime::block_on;
pub use sites::{list_sites, show_site};
pub use urls::urls;
pub use verify::{VerifyOptions, verify};

use crate::exit::{Exit, OutputError, RenderedError};
use crate::report::escape;

/// Prints the output of a command that does nothing else.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn print(text: &[u8]) -> anyhow::Result<Exit> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text)
        .and_then(|()| stdout.flush())
        .map_err(OutputError::from)?;
    Ok(Exit::Done)
}

/// Runs blocking work on a thread of its own, so that signals and servers are still served. Passes its panic on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let working = tokio::task::spawn_blocking(work);
    working
        .await
        .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Prints an error to stderr and returns its exit code. A closed output pipe is not reported: nobody is reading.
pub fn print_error(error: &anyhow::Error) -> Exit {
    let exit = Exit::from_error(error);
    let text = match error.downcast_ref() {
        Some(RenderedError(rendered)) => rendered.trim_end().to_owned(),
        None => format!("error: {}", escape(&format!("{error:#}"))),
    };
    if exit != Exit::Closed {
        // If stderr is closed there is nowhere left to report to.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    exit
}
