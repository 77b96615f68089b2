//! `wallhaul sites`: the definitions that ship, and the schema of all.

use std::fmt::Write as _;

use crate::app::console::print;
use crate::exit::Exit;
use crate::site::{self, Site};

/// Prints every site, one a line.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn list_sites() -> anyhow::Result<Exit> {
    let mut lines = String::new();
    for (name, text) in site::shipped() {
        let site = Site::to_show(text)?;
        writeln!(
            lines,
            "{name:<16} {:<32} {}",
            site.base().as_str(),
            site.description()
        )?;
    }
    print(lines.as_bytes())
}

/// Prints a site's definition.
///
/// # Errors
///
/// When there is no such site, or standard output cannot be written to.
pub fn show_site(name: &str) -> anyhow::Result<Exit> {
    print(site::shipped_definition(name)?.as_bytes())
}

/// Prints the JSON Schema of definitions.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn print_schema() -> anyhow::Result<Exit> {
    print(site::definition_schema().as_bytes())
}
