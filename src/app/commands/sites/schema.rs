//! `wallhaul sites schema`: the JSON Schema of definitions, for editors.

use crate::app::console::print;
use crate::exit::Exit;
use crate::site;

/// Prints the JSON Schema of definitions.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn print_schema() -> anyhow::Result<Exit> {
    print(site::definition_schema().as_bytes())
}
