//! Builds the parts, starts the line, and says how it ended: one file a command.

mod addresses;
mod fetch;
mod folder;
mod hold;
mod ledger;
mod many;
mod rebuild;
mod sites;
mod urls;
mod verify;
mod visit;
mod world;

use std::io::Write as _;

pub use fetch::fetch;
pub use ledger::{count_ledger, list_ledger, show_ledger};
pub use rebuild::rebuild_ledger;
pub use sites::{list_sites, show_site};
pub use urls::urls;
pub use verify::{Inspection, verify};
pub use world::Environment;

use crate::exit::{Exit, OutputError, RenderedError};
use crate::report::escape;

/// Prints what is a command's whole work.
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

/// Does work that blocks without holding up those who wait for signals and servers; its panic is ours.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let working = tokio::task::spawn_blocking(work);
    working
        .await
        .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Tells of an error on stderr, and says what it comes to. That nobody reads our output is not worth a word.
pub fn tell(error: &anyhow::Error) -> Exit {
    let exit = Exit::of_error(error);
    let told = match error.downcast_ref() {
        Some(RenderedError(text)) => text.trim_end().to_owned(),
        None => format!("error: {}", escape(&format!("{error:#}"))),
    };
    if exit != Exit::Closed {
        // Where nobody listens nothing can be said.
        let _ = writeln!(std::io::stderr(), "{told}");
    }
    exit
}
