//! `wallhaul sites`: the definitions that ship.

use std::fmt::Write as _;

use anyhow::Context as _;

use super::print;
use crate::exit::Exit;
use crate::site;

/// Prints every site, one a line.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn list_sites() -> anyhow::Result<Exit> {
    let mut lines = String::new();
    for shipped in site::shipped() {
        let site = shipped.site();
        let description = site.description().unwrap_or_default();
        writeln!(lines, "{:<16} {:<32} {description}", site.id().as_str(), site.base().as_str())?;
    }
    print(lines.as_bytes())
}

/// Prints a site's definition.
///
/// # Errors
///
/// When there is no such site, or standard output cannot be written to.
pub fn show_site(name: &str) -> anyhow::Result<Exit> {
    let found = site::shipped().into_iter().find(|shipped| shipped.name() == name);
    let shipped = found.with_context(|| format!("there is no site `{}`: see `wallhaul sites`", name.escape_debug()))?;
    print(shipped.text().as_bytes())
}
