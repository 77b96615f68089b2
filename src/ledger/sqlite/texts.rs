//! The table `texts`: beginnings of keys and listing pages, each of which many rows of `images` share.
//!
//! A text is found by what this module remembers, and by no index: one that was forgotten is written once more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _};

use super::column::unusable;
use super::tables::RowId;

/// Texts to remember: more than the listing pages and hosts whose images are in flight at a time.
const MAX_TEXTS: usize = 1_024;

/// Bytes of texts to remember: an address has hardly ever more than a thousand.
const MAX_BYTES: usize = 1 << 20;

/// Rows to read before the first text is written: what the last run used last. A run that finds three new images each
/// night would write the same texts every time.
const LAST_ROWS: u32 = 256;

/// Rows to look at first: a page and a key's beginning of each of two sites.
const RECENT: usize = 4;

/// Splits a key into the beginning that it shares with other keys, and the rest: behind the site and its space, and
/// behind scheme and host where an address follows.
pub(super) fn split_key(key: &str) -> (&str, &str) {
    let site = key.find(' ').map_or(0, |space| space + 1);
    let identity = &key[site..];
    let host = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| identity.strip_prefix(scheme));
    let path = host.and_then(|host| {
        let end = host
            .bytes()
            .position(|byte| matches!(byte, b'/' | b'?' | b'#'))?;
        let start = key.len() - host.len() + end + 1;
        host[end..].starts_with('/').then_some(start)
    });
    key.split_at(path.unwrap_or(site))
}

/// Rows of `texts` that were written or read before. Only of use while no other connection changes the file, and to be
/// dropped when a transaction is rolled back: its rows are gone, and their ids may be given to other texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    by_text: HashMap<Arc<str>, RowId>,
    by_id: HashMap<RowId, Arc<str>>,
    /// Of all of them.
    bytes: usize,
    /// The rows that were used last. Most images have the site and the page of the one before: to compare a few texts
    /// takes less than to hash one.
    recent: VecDeque<(RowId, Arc<str>)>,
    /// Whether the last rows were read.
    is_primed: bool,
}

impl Texts {
    /// The row of `text`, which is inserted where none is remembered.
    pub(super) fn find_or_insert(
        &mut self,
        connection: &Connection,
        text: &str,
    ) -> rusqlite::Result<RowId> {
        if let Some((id, _)) = self.recent.iter().find(|(_, recent)| **recent == *text) {
            return Ok(*id);
        }
        if !self.is_primed {
            self.prime(connection)?;
        }
        if let Some((found, &id)) = self.by_text.get_key_value(text) {
            let found = Arc::clone(found);
            self.use_recently(id, found);
            return Ok(id);
        }
        connection
            .prepare_cached("INSERT INTO texts (text) VALUES (?1)")?
            .execute([text])?;
        let id = connection.last_insert_rowid();
        let text = self.remember(id, text);
        self.use_recently(id, text);
        Ok(id)
    }

    /// Whether `text` is the text of a row.
    pub(super) fn has_text(
        &mut self,
        connection: &Connection,
        id: RowId,
        text: &str,
    ) -> rusqlite::Result<bool> {
        if let Some((_, recent)) = self.recent.iter().find(|(recent, _)| *recent == id) {
            return Ok(**recent == *text);
        }
        let found = match self.by_id.get(&id) {
            Some(found) => Arc::clone(found),
            None => self.read(connection, id)?,
        };
        let is_same = *found == *text;
        self.use_recently(id, found);
        Ok(is_same)
    }

    fn read(&mut self, connection: &Connection, id: RowId) -> rusqlite::Result<Arc<str>> {
        let text: Option<String> = connection
            .prepare_cached("SELECT text FROM texts WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let text =
            text.ok_or_else(|| unusable(0, Type::Integer, format!("there is no text {id}")))?;
        Ok(self.remember(id, &text))
    }

    fn prime(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.is_primed = true;
        let mut statement =
            connection.prepare_cached("SELECT id, text FROM texts ORDER BY id DESC LIMIT ?1")?;
        let mut rows = statement.query([LAST_ROWS])?;
        while let Some(row) = rows.next()? {
            let (id, text) = (row.get(0)?, row.get_ref(1)?.as_str()?);
            self.remember(id, text);
        }
        Ok(())
    }

    /// When it is full it starts over: a text that is not in it is only written or read once more.
    fn remember(&mut self, id: RowId, text: &str) -> Arc<str> {
        if self.by_id.len() >= MAX_TEXTS || self.bytes + text.len() > MAX_BYTES {
            self.by_text.clear();
            self.by_id.clear();
            self.bytes = 0;
        }
        let text: Arc<str> = text.into();
        self.bytes += text.len();
        self.by_text.insert(Arc::clone(&text), id);
        self.by_id.insert(id, Arc::clone(&text));
        text
    }

    fn use_recently(&mut self, id: RowId, text: Arc<str>) {
        self.recent.truncate(RECENT - 1);
        self.recent.push_front((id, text));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_split_behind_its_site_and_host() {
        for (start, rest) in [
            ("demo https://demo.invalid/", "uploads/a.png"),
            (
                "demo http://demo.invalid:81/",
                "a.png?of=https://x.invalid/",
            ),
            ("demo https://demo.invalid/", ""),
            ("demo ", "https://demo.invalid"),
            ("demo ", "https://demo.invalid?of=/a"),
            ("demo ", "id:https://demo.invalid/a"),
            ("demo ", "ftp://demo.invalid/a"),
            ("demo ", " https://demo.invalid/a"),
            (" https:///", "a b"),
            ("demo ", ""),
            ("https://demo.invalid/a ", "\u{e9}"),
            ("https://demo.invalid/", "a"),
            ("", "demo.invalid/a"),
            ("", ""),
        ] {
            let key = [start, rest].concat();
            assert_eq!(split_key(&key), (start, rest));
        }
    }

    proptest! {
        #[test]
        fn a_key_of_any_form_is_whole_again_after_it_was_split(
            key in "([a-z\u{e9}]{0,3} {0,2})(https?:|id:|)(/{0,3})[a-z\u{e9}:?#\u{0}]{0,5}(/?.{0,9})",
        ) {
            let (start, rest) = split_key(&key);
            prop_assert_eq!([start, rest].concat(), key);
        }
    }

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(include_str!("images.sql"))
            .unwrap();
        connection
    }

    #[test]
    fn the_memory_of_texts_is_bounded_and_every_text_is_found() {
        let (connection, mut texts) = (tables(), Texts::default());
        let long = "a".repeat(MAX_BYTES / 3);
        let mut written = Vec::new();
        for number in 0..5_000 {
            let text = if number % 1_000 == 0 {
                format!("{long}{number}")
            } else {
                number.to_string()
            };
            let id = texts.find_or_insert(&connection, &text).unwrap();
            assert_eq!(texts.find_or_insert(&connection, &text), Ok(id));
            assert!(texts.by_id.len() <= MAX_TEXTS && texts.bytes <= MAX_BYTES);
            let bytes: usize = texts.by_id.values().map(|text| text.len()).sum();
            assert_eq!(bytes, texts.bytes);
            written.push((id, text));
        }
        for (id, text) in written {
            assert_eq!(texts.has_text(&connection, id, &text), Ok(true));
            assert_eq!(texts.has_text(&connection, id, "other"), Ok(false));
            assert!(texts.recent.len() <= RECENT);
        }
        assert!(texts.has_text(&connection, 9_999, "").is_err());
    }

    #[test]
    fn the_last_texts_of_the_file_are_not_written_again() {
        let connection = tables();
        let ids = ["s https://h.invalid/", "https://h.invalid/1", ""]
            .map(|text| Texts::default().find_or_insert(&connection, text).unwrap());
        let mut texts = Texts::default();
        let again = ["s https://h.invalid/", "https://h.invalid/1", ""]
            .map(|text| texts.find_or_insert(&connection, text).unwrap());
        assert_eq!((ids, ids), (again, [1, 2, 3]));
    }
}
