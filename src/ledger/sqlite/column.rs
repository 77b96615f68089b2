//! How values are stored in columns, and read back from a file that anybody may have changed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, Type, Value, ValueRef};

use crate::job::ContentHash;
use crate::ledger::RowState;
use crate::outcome::{Content, Format, ImageWarning, SkipReason, StoredSize};

/// The column `state`. Pending placements are in another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredState {
    Saved = 1,
    /// A file whose address is not known.
    File = 2,
    Failed = 3,
    Gone = 4,
}

impl StoredState {
    pub(super) const fn as_i64(self) -> i64 {
        self as i64
    }

    pub(super) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let number: i64 = row.get(column)?;
        [Self::Saved, Self::File, Self::Failed, Self::Gone]
            .into_iter()
            .find(|state| state.as_i64() == number)
            .ok_or_else(|| unusable(column, Type::Integer, format!("no state is {number}")))
    }

    /// The state of an image's row.
    pub(super) const fn of_image(self, is_pending: bool, is_skipped: bool) -> RowState {
        match self {
            Self::Failed => RowState::Failed,
            Self::Gone if is_skipped => RowState::Skipped,
            Self::Gone => RowState::Gone,
            Self::Saved | Self::File if is_pending => RowState::Placing,
            Self::Saved | Self::File => RowState::Saved,
        }
    }
}

/// The first 8 bytes of the BLAKE3 hash of `text`: what the columns `key_hash` and `name_hash` hold. Stored, so it must
/// never change; and not a fast hash without a secret, for whose collisions a hostile site could choose its addresses.
pub(super) fn hash64(text: &str) -> i64 {
    let hash = blake3::hash(text.as_bytes());
    let (first, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a hash has 32 bytes");
    i64::from_le_bytes(*first)
}

/// A length or a count as `SQLite` stores it. Nothing real is longer than what fits.
pub(super) fn stored_length(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

pub(super) fn length(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let length: i64 = row.get(column)?;
    u64::try_from(length).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, length))
}

/// The columns that [`content`] reads, of `images` under the name `$table`.
macro_rules! content_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".bytes, ",
            $table,
            ".blake3, ",
            $table,
            ".format, ",
            $table,
            ".width, ",
            $table,
            ".height, ",
            $table,
            ".displayed_width, ",
            $table,
            ".displayed_height, ",
            $table,
            ".warnings"
        )
    };
}
pub(super) use content_columns;

/// Reads the `content_columns!` from `first` on.
pub(super) fn content(row: &Row<'_>, first: usize) -> rusqlite::Result<Content> {
    let stored = StoredSize {
        width: row.get(first + 3)?,
        height: row.get(first + 4)?,
    };
    let displayed: (Option<u32>, Option<u32>) = (row.get(first + 5)?, row.get(first + 6)?);
    let warning = row.get_ref(first + 7)?.as_str_or_null()?;
    Ok(Content {
        bytes: length(row, first)?,
        hash: hash(row, first + 1)?,
        format: format(row, first + 2)?,
        width: displayed.0.unwrap_or(stored.width),
        height: displayed.1.unwrap_or(stored.height),
        stored: displayed.0.and(displayed.1).map(|_| stored),
        warning: warning.and_then(ImageWarning::from_stored),
    })
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<ContentHash> {
    row.get(column).map(ContentHash::from_bytes)
}

fn format(row: &Row<'_>, column: usize) -> rusqlite::Result<Format> {
    let text = row.get_ref(column)?.as_str()?;
    Format::from_extension(text).ok_or_else(|| {
        let reason = format!("`{}` is no format", text.escape_debug());
        unusable(column, Type::Text, reason)
    })
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let seconds: Option<i64> = row.get(column)?;
    seconds
        .map(|seconds| timestamp(column, seconds))
        .transpose()
}

/// The time that a column's `seconds` stand for.
pub(super) fn timestamp(column: usize, seconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_second(seconds)
        .map_err(|error| unusable(column, Type::Integer, error.to_string()))
}

/// A `Last-Modified` as the column holds it: Unix seconds if it can be written again from them, byte for byte, and
/// the text itself otherwise.
pub(super) fn stored_last_modified(text: &str) -> ToSqlOutput<'_> {
    let parsed: Option<HttpDate> = text.parse().ok();
    let seconds = parsed
        .filter(|date| date.to_string() == text)
        .and_then(|date| SystemTime::from(date).duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_secs()).ok());
    match seconds {
        Some(seconds) => ToSqlOutput::Owned(Value::Integer(seconds)),
        None => ToSqlOutput::Borrowed(ValueRef::from(text)),
    }
}

/// Reads a [`stored_last_modified`].
pub(super) fn last_modified(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    match row.get_ref(column)? {
        ValueRef::Integer(seconds) => http_date(seconds)
            .map(Some)
            .ok_or_else(|| unusable(column, Type::Integer, format!("no date is {seconds}"))),
        value => Ok(value.as_str_or_null()?.map(str::to_owned)),
    }
}

/// The date as RFC 9110, section 5.6.7, writes it; `None` outside of the years 1970 to 9999.
fn http_date(seconds: i64) -> Option<String> {
    /// The first second of the year 10000.
    const END: u64 = 253_402_300_800;
    let seconds = u64::try_from(seconds)
        .ok()
        .filter(|&seconds| seconds < END)?;
    Some(httpdate::fmt_http_date(
        UNIX_EPOCH + Duration::from_secs(seconds),
    ))
}

/// Why an image was left out, as the column `skip` holds it.
pub(super) fn stored_skip(reason: &SkipReason) -> String {
    serde_json::to_string(reason).expect("a reason is two texts")
}

pub(super) fn skip(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<SkipReason>> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else {
        return Ok(None);
    };
    serde_json::from_str(text)
        .map(Some)
        .map_err(|error| unusable(column, Type::Text, error.to_string()))
}

pub(super) fn unusable(column: usize, kind: Type, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_text_never_changes_as_it_is_stored() {
        // `printf '' | b3sum` begins with af1349b9f5f9a1a6.
        let first_8 = [0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6];
        assert_eq!(hash64(""), i64::from_le_bytes(first_8));
    }

    fn read_back(stored: impl rusqlite::ToSql) -> rusqlite::Result<Option<String>> {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.query_row("SELECT ?1", [stored], |row| last_modified(row, 0))
    }

    #[test]
    fn a_date_in_the_usual_form_is_stored_as_a_number_and_any_other_as_it_is() {
        for (text, seconds) in [
            ("Sun, 29 Nov 2026 15:13:18 GMT", Some(1_795_965_198)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sat, 01 Jan 0000 00:00:00 GMT", None),
            ("Sat, 01 Jan 10000 00:00:00 GMT", None),
            ("Mon, 29 Nov 2026 15:13:18 GMT", None),
            ("sun, 29 nov 2026 15:13:18 gmt", None),
            ("Sun, 29 Nov 2026 15:13:18 UTC", None),
            ("Sun, 29 Nov 2026 15:13:18 +0000", None),
            ("Sun, 29 Nov 2026 15:13:18 GMT ", None),
            ("Sun, 29 Nov 2026 15:13:60 GMT", None),
            ("Sun, 29 Nov 2026 24:00:00 GMT", None),
            ("Wed, 30 Feb 2024 00:00:00 GMT", None),
            ("Sun, 1 Mar 2026 11:00:00 GMT", None),
            ("Sun, 01 Mar 26 11:00:00 GMT", None),
            ("Sunday, 01-Mar-26 11:00:00 GMT", None),
            ("Sun Mar  1 11:00:00 2026", None),
            ("1795965198", None),
            ("-1", None),
            ("", None),
        ] {
            let stored = stored_last_modified(text);
            let number = match stored {
                ToSqlOutput::Owned(Value::Integer(seconds)) => Some(seconds),
                _ => None,
            };
            assert_eq!(number, seconds, "{text}");
            assert_eq!(read_back(stored).unwrap().as_deref(), Some(text));
        }
    }

    #[test]
    fn a_number_that_no_date_is_stored_as_is_an_error() {
        for seconds in [i64::MIN, -1, 253_402_300_800, i64::MAX] {
            assert!(read_back(seconds).is_err(), "{seconds}");
        }
        assert!(read_back(1.5).is_err());
        assert_eq!(read_back(None::<i64>), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn any_date_is_read_back_as_it_was_stored(
            text in "(Sun|Mon|sun), ?[0-3][0-9] (Mar|Nov|Feb) (19|20)[0-9]{2} [0-2][0-9]:[0-6][0-9]:[0-6][0-9] (GMT|gmt)",
            seconds in 0..253_402_300_800_i64,
        ) {
            let usual = http_date(seconds).unwrap();
            for text in [text, usual] {
                let read = read_back(stored_last_modified(&text)).unwrap();
                proptest::prop_assert_eq!(read.as_deref(), Some(text.as_str()));
            }
        }
    }
}
