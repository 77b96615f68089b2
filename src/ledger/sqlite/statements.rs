//! The prepared statements of a transaction.

use rusqlite::{CachedStatement, Connection};

/// Statements that a transaction has used, found by the address of their text. rusqlite's own cache hashes the whole
/// text at every use, which costs more than many a row.
#[derive(Default)]
pub(super) struct Statements<'a>(Vec<(&'static str, CachedStatement<'a>)>);

impl<'a> Statements<'a> {
    pub(super) fn get(
        &mut self,
        connection: &'a Connection,
        text: &'static str,
    ) -> rusqlite::Result<&mut CachedStatement<'a>> {
        let used = self
            .0
            .iter()
            .position(|(used, _)| std::ptr::eq(*used, text));
        let at = used.unwrap_or(self.0.len());
        if used.is_none() {
            self.0.push((text, connection.prepare_cached(text)?));
        }
        Ok(&mut self.0[at].1)
    }
}
