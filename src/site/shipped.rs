//! The definitions that ship, by name: one line each, and a file in `shipped/`.

use super::{SiteError, diagnostic};

/// The table of definitions by their names, which are those of their files.
macro_rules! definitions {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("shipped/", $name, ".toml")))),*]
    };
}

/// The definitions that ship: name and TOML text, the default site first.
pub fn shipped() -> &'static [(&'static str, &'static str)] {
    definitions! {
        "simpledesktops"
        "wallhaven"
        "bing"
        "apod"
        "apod-api"
        "unsplash"
        "pexels"
        "reddit"
        "commons"
        "wikipedia-potd"
        "4kwallpapers"
        "alphacoders"
        "interfacelift"
        "netbian"
        "github"
        "feed"
        "page"
        "demo"
    }
}

/// The TOML text of the definition that ships under `name`.
///
/// # Errors
///
/// When there is none; the error names the nearest.
pub fn shipped_definition(name: &str) -> Result<&'static str, SiteError> {
    let known = || {
        shipped()
            .iter()
            .map(|(known, _)| *known)
            .collect::<Vec<_>>()
    };
    let found = shipped().iter().find(|(known, _)| *known == name);
    let (_, text) = found.ok_or_else(|| unknown_site(name, &known()))?;
    Ok(text)
}

/// The error for the name of a site that is not among those `known`; it names the nearest.
pub fn unknown_site(name: &str, known: &[impl AsRef<str>]) -> SiteError {
    let known: Vec<_> = known.iter().map(AsRef::as_ref).collect();
    SiteError::Unknown {
        name: name.to_owned(),
        help: diagnostic::nearest_of(name, &known),
    }
}
