//! Windows of days, from today backwards: `{from}` and `{to}`.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::fmt::strtime;
use toml::Spanned;
use url::Url;

use super::order::{CountedPages, PageAt, WalkValues};
use super::template::{PageTemplate, PlaceValues};
use crate::site::diagnostic::Diagnostic;
use crate::site::schema::WindowTable;

/// Ten years; a longer window is one page.
const MAX_DAYS: u32 = 3_660;

/// The format of dates where none is given: ISO 8601.
const ISO_DATE: &str = "%Y-%m-%d";

/// Pages that show the items of some days each.
#[derive(Debug)]
pub(super) struct DateWindows {
    /// The newest window, where its address differs: one without an end, for a site whose day begins later than UTC's.
    pub(super) first: Option<PageTemplate>,
    pub(super) template: PageTemplate,
    pub(super) days: Days,
}

/// How a span of time is cut into windows.
#[derive(Debug)]
pub(super) struct Days {
    length: i64,
    earliest: Date,
    format: String,
}

impl Days {
    pub(super) fn compile(written: &WindowTable) -> Result<Self, Diagnostic> {
        let WindowTable {
            days,
            earliest,
            format,
        } = written;
        if !(1..=MAX_DAYS).contains(days.get_ref()) {
            let message = format!("a window of {} days", days.get_ref());
            return Err(
                Diagnostic::at(days, message).help(format!("use a number from 1 to {MAX_DAYS}"))
            );
        }
        let first_day = earliest
            .get_ref()
            .parse::<Date>()
            .map_err(|_| Diagnostic::at(earliest, "not a date").help("write it as `1995-06-16`"))?;
        let compiled = Self {
            length: i64::from(*days.get_ref()),
            earliest: first_day,
            format: format
                .as_ref()
                .map_or(ISO_DATE, |format| format.get_ref())
                .to_owned(),
        };
        if let Some(format) = format {
            check_format(&compiled, format)?;
        }
        Ok(compiled)
    }

    fn written(&self, day: Date) -> Option<String> {
        strtime::format(&self.format, day).ok()
    }

    /// The first and the last day of a window; `None` behind the last one.
    fn window(&self, index: u32, today: Date) -> Option<(Date, Date)> {
        let back = (i64::from(index).checked_mul(self.length)?).days();
        let last = today.checked_sub(back).ok()?;
        let first = last.checked_sub((self.length - 1).days()).ok()?;
        // The site refuses a window that begins before its first day.
        (last >= self.earliest).then_some((first.max(self.earliest), last))
    }
}

/// Checks that two days are written differently.
fn check_format(days: &Days, format: &Spanned<String>) -> Result<(), Diagnostic> {
    let next = days.earliest.tomorrow().unwrap_or(days.earliest);
    match (days.written(days.earliest), days.written(next)) {
        (Some(one), Some(other)) if one != other => Ok(()),
        _ => Err(Diagnostic::at(format, "not the format of a date")
            .help("write it as `%Y-%m-%d`: year, month and day")),
    }
}

impl CountedPages for DateWindows {
    fn page(&self, index: u32, values: &WalkValues<'_>) -> PageAt {
        let Some((from, to)) = self.days.window(index, values.today) else {
            return PageAt::Beyond;
        };
        let (from, to) = (self.days.written(from), self.days.written(to));
        let template = self.first.as_ref().filter(|_| index == 0);
        let filled = template.unwrap_or(&self.template).fill(&PlaceValues {
            from: from.as_deref(),
            to: to.as_deref(),
            carried: values.carried,
            ..PlaceValues::default()
        });
        filled.map_or_else(PageAt::Unusable, PageAt::Url)
    }

    fn index_of(&self, _url: &Url) -> Option<u32> {
        None
    }

    fn has_holes(&self) -> bool {
        true
    }
}
