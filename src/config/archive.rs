//! The options of the web archive.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use url::Url;

use crate::fetch::{ArchiveMode, ArchiveSettings, WantedCaptures};

/// Where the Internet Archive's web archive is.
const INTERNET_ARCHIVE: &str = "https://web.archive.org/";

/// How the web archive is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Web archive")]
pub struct ArchiveArgs {
    /// Ask web.archive.org for images that their site has lost, or for everything [default: off]
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        env = "WALLHAUL_ARCHIVE",
        hide_env = true
    )]
    pub archive: Option<ArchiveWhen>,
    /// Take the captures nearest to DATE: `2019`, `2019-05` or `2019-05-04` [default: the latest]
    #[arg(
        long,
        value_name = "DATE",
        env = "WALLHAUL_ARCHIVE_DATE",
        hide_env = true
    )]
    pub archive_date: Option<ArchiveDate>,
    /// Take no capture further than TIME from that date: `30d`, `8w`, `2y` [default: 1y]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_ARCHIVE_WINDOW",
        hide_env = true
    )]
    pub archive_window: Option<ArchiveWindow>,
    /// Use the web archive at URL, which has the interface of web.archive.org
    #[arg(
        long,
        value_name = "URL",
        env = "WALLHAUL_ARCHIVE_URL",
        hide_env = true,
        hide = true
    )]
    pub archive_url: Option<Url>,
}

/// `--archive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchiveWhen {
    /// For an image that its site no longer has, or whose host is gone
    Fallback,
    /// For everything, listing pages too: the site itself is not asked
    Only,
    /// Never
    Off,
}

/// A year, a month or a day: its first and last second in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveDate {
    first: Timestamp,
    last: Timestamp,
}

impl FromStr for ArchiveDate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let fields: Vec<&str> = text.split('-').collect();
            let number = |place: usize, digits: usize| {
                let field = fields.get(place).copied().unwrap_or("01");
                let is_number = field.len() == digits && field.bytes().all(|b| b.is_ascii_digit());
                is_number.then(|| field.parse::<i16>().ok())?
            };
            let (year, month, day) = (number(0, 4)?, number(1, 2)?, number(2, 2)?);
            let first = Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?;
            let period = match fields.len() {
                1 => 1.year(),
                2 => 1.month(),
                3 => 1.day(),
                _ => return None,
            };
            let start = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
            let next = start(first.checked_add(period).ok()?)?;
            let last = next.checked_sub(SignedDuration::from_secs(1)).ok()?;
            Some(Self {
                first: start(first)?,
                last,
            })
        };
        read().ok_or_else(|| "expected a date like `2019`, `2019-05` or `2019-05-04`".to_owned())
    }
}

/// How far a capture may be from the date that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveWindow(SignedDuration);

impl FromStr for ArchiveWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let unit = text.find(|c: char| !c.is_ascii_digit())?;
            let hours = match &text[unit..] {
                "h" => 1,
                "d" => 24,
                "w" => 7 * 24,
                "y" => 365 * 24,
                _ => return None,
            };
            let hours: i64 = text[..unit].parse::<i64>().ok()?.checked_mul(hours)?;
            // More than the web has been there is a typing error.
            (hours <= 100 * 365 * 24).then(|| SignedDuration::from_hours(hours))
        };
        read().map(Self).ok_or_else(|| {
            "expected a time like `12h`, `30d`, `8w` or `2y`, at most `100y`".to_owned()
        })
    }
}

impl ArchiveArgs {
    pub(super) fn merge(self, defaults: Self) -> Self {
        let Self {
            archive,
            archive_date,
            archive_window,
            archive_url,
        } = self;
        Self {
            archive: archive.or(defaults.archive),
            archive_date: archive_date.or(defaults.archive_date),
            archive_window: archive_window.or(defaults.archive_window),
            archive_url: archive_url.or(defaults.archive_url),
        }
    }

    /// Whether a date or a window is given for an archive that is not asked.
    pub fn is_idle(&self) -> bool {
        matches!(self.archive, None | Some(ArchiveWhen::Off))
            && (self.archive_date.is_some() || self.archive_window.is_some())
    }

    pub(super) fn settings(self) -> Option<ArchiveSettings> {
        let Self {
            archive,
            archive_date,
            archive_window,
            archive_url,
        } = self;
        let mode = match archive? {
            ArchiveWhen::Fallback => ArchiveMode::Fallback,
            ArchiveWhen::Only => ArchiveMode::Only,
            ArchiveWhen::Off => return None,
        };
        let default = WantedCaptures::default();
        Some(ArchiveSettings {
            mode,
            wanted: WantedCaptures {
                period: archive_date.map(|ArchiveDate { first, last }| (first, last)),
                window: archive_window.map_or(default.window, |ArchiveWindow(window)| window),
            },
            is_own: archive_url.is_some(),
            base: archive_url
                .unwrap_or_else(|| Url::parse(INTERNET_ARCHIVE).expect("a constant that parses")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_date_is_a_year_a_month_or_a_day() {
        let period = |text: &str| {
            text.parse::<ArchiveDate>()
                .map(|date| (date.first.to_string(), date.last.to_string()))
        };
        for (text, first, last) in [
            ("2019", "2019-01-01T00:00:00Z", "2019-12-31T23:59:59Z"),
            ("2020-02", "2020-02-01T00:00:00Z", "2020-02-29T23:59:59Z"),
            ("2019-05-04", "2019-05-04T00:00:00Z", "2019-05-04T23:59:59Z"),
        ] {
            assert_eq!(period(text), Ok((first.to_owned(), last.to_owned())));
        }
        for odd in [
            "",
            "19",
            "2019-5",
            "2019-13",
            "2019-02-30",
            "2019-05-04-01",
            "2019-05-04T10",
            "20190504",
            "-2019",
        ] {
            assert!(period(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_archive_window_is_in_hours_days_weeks_or_years() {
        let hours = |text: &str| {
            text.parse::<ArchiveWindow>()
                .map(|window| window.0.as_hours())
        };
        for (text, expected) in [
            ("12h", 12),
            ("30d", 720),
            ("2w", 336),
            ("1y", 8760),
            ("0d", 0),
        ] {
            assert_eq!(hours(text), Ok(expected), "{text}");
        }
        for odd in [
            "",
            "30",
            "d",
            "1m",
            "-1d",
            "101y",
            "99999999999999999999y",
            "99999999999999999h",
            "1.5d",
        ] {
            assert!(hours(odd).is_err(), "{odd}");
        }
    }
}
