//! `wallhaul sites`: the definitions that ship.

use std::fmt::Write as _;

use anyhow::Context as _;

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
        let site = Site::from_toml(text)?;
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
    // Looked up by name, so that the error for a misspelt one suggests the right one.
    let site = Site::shipped(name)?;
    let shipped = site::shipped()
        .iter()
        .find(|(shipped, _text)| *shipped == site.id().as_str());
    let (_name, text) = shipped.context("a site that ships has a text")?;
    print(text.as_bytes())
}
