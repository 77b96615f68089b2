//! How values are stored in columns, and read back from a file that anybody may have changed.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;

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
    let Some(seconds) = row.get::<_, Option<i64>>(column)? else {
        return Ok(None);
    };
    Timestamp::from_second(seconds)
        .map(Some)
        .map_err(|error| unusable(column, Type::Integer, error.to_string()))
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

fn unusable(column: usize, kind: Type, reason: String) -> rusqlite::Error {
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
}
