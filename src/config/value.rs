//! The values options take, each read once into a type that cannot be wrong.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use url::Url;

use crate::job::SiteId;
use crate::units::HumanDuration;

/// What to do when another run holds a collection: `fail`, `skip`, `wait`, or `wait=TIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLocked {
    /// End with an error.
    Fail,
    /// Leave the collection to that run, without an error.
    Skip,
    /// Wait until it ends, but no longer than this where something is said.
    Wait(Option<HumanDuration>),
}

impl FromStr for OnLocked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("wait=")) {
            ("fail", _) => Ok(Self::Fail),
            ("skip", _) => Ok(Self::Skip),
            ("wait", _) => Ok(Self::Wait(None)),
            (_, Some(most)) => most.parse().map(|most| Self::Wait(Some(most))),
            _ => Err("expected `fail`, `skip`, `wait` or `wait=TIME`".to_owned()),
        }
    }
}

/// Which listing pages: `3`, `3-7`, `3-` or `-7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// The first page wanted, if one was said.
    pub first: Option<u32>,
    /// The last page wanted, if one was said.
    pub last: Option<u32>,
}

impl FromStr for PageRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected pages like `3`, `3-7`, `3-` or `-7`, counted from 1".to_owned();
        let bound = |text: &str| match text {
            "" => Ok(None),
            text => text
                .parse()
                .map(|number: NonZeroU32| Some(number.get()))
                .map_err(|_| wrong()),
        };
        let range = match text.split_once('-') {
            Some((first, last)) => Self {
                first: bound(first)?,
                last: bound(last)?,
            },
            None => Self {
                first: bound(text)?,
                last: bound(text)?,
            },
        };
        match (range.first, range.last) {
            (None, None) => Err(wrong()),
            (Some(first), Some(last)) if first > last => {
                Err(format!("page {first} comes after page {last}"))
            }
            _ => Ok(range),
        }
    }
}

impl fmt::Display for PageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound =
            |number: Option<u32>| number.map_or_else(String::new, |number| number.to_string());
        write!(f, "{}-{}", bound(self.first), bound(self.last))
    }
}

/// Reads the address of a server.
pub(super) fn parse_server_url(text: &str) -> Result<Url, String> {
    let address = Url::parse(text).map_err(|error| error.to_string())?;
    match address.scheme() {
        "http" | "https" => Ok(address),
        // It may be a user name before a password.
        _ => Err("expected an address like `https://mirror.example/`".to_owned()),
    }
}

/// A header to be sent: `Name: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            // A blank in front of it: the colon is the value's own, and that of the name was forgotten.
            .filter(|(name, _)| !name.trim().contains(char::is_whitespace))
            .ok_or("expected a header like `Name: value`")?;
        Ok(Self {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
        })
    }
}

/// A value for a variable of a definition: `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FromStr for VariableValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(Self {
                name: name.trim().to_owned(),
                value: value.to_owned(),
            }),
            Some(_) | None => Err("expected a variable like `query=forest`".to_owned()),
        }
    }
}

/// The sites that images may be taken for from any host: all, none, or one by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyHostSites {
    /// Every site.
    All,
    /// No site; the others of a list count all the same.
    None,
    /// This one.
    Site(SiteId),
}

impl FromStr for AnyHostSites {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self::All),
            "false" => Ok(Self::None),
            name => SiteId::new(name)
                .map(Self::Site)
                .map_err(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_to_do_with_a_held_collection_reads_as_people_write_it() {
        let when = |text: &str| text.parse::<OnLocked>();
        assert_eq!(when("fail"), Ok(OnLocked::Fail));
        assert_eq!(when("skip"), Ok(OnLocked::Skip));
        assert_eq!(when("wait"), Ok(OnLocked::Wait(None)));
        assert_eq!(
            when("wait=1m30s"),
            Ok(OnLocked::Wait(Some(HumanDuration(Duration::from_secs(90)))))
        );
        for bad in ["", "Wait", "wait=", "wait=soon", "wait 5s", "skip=1"] {
            assert!(when(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn page_ranges_read_as_people_write_them() {
        let range = |text: &str| {
            text.parse::<PageRange>()
                .map(|range| (range.first, range.last))
        };
        assert_eq!(range("50"), Ok((Some(50), Some(50))));
        assert_eq!(range("3-7"), Ok((Some(3), Some(7))));
        assert_eq!(range("3-"), Ok((Some(3), None)));
        assert_eq!(range("-7"), Ok((None, Some(7))));
        for bad in [
            "",
            "-",
            "0",
            "0-3",
            "7-3",
            "a",
            "1-b",
            "1-2-3",
            "99999999999",
        ] {
            assert!(range(bad).is_err(), "{bad:?}");
        }
    }
}
