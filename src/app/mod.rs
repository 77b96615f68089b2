//! Builds the parts, starts the line, and says how it ended: one file a command.

mod fetch;
mod ledger;
mod sites;
mod urls;
mod visit;
mod world;

use std::io::Write as _;

pub use fetch::fetch;
pub use ledger::{count_ledger, list_ledger, show_ledger};
pub use sites::{list_sites, show_site};
pub use urls::urls;
pub use world::World;

use crate::exit::Exit;

/// Prints what is a command's whole work.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn print(text: &[u8]) -> anyhow::Result<Exit> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()?;
    Ok(Exit::Done)
}
