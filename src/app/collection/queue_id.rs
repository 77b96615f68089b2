//! The name by which a queue knows a collection: results go to the collection whose run has queued the jobs.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::Path;

/// The file with the name, beside the ledger.
const FILE: &str = "queue-id";

/// Digits of a name.
const DIGITS: usize = 32;

/// The collection's name, made at the first call. A copy of the collection is another one once this file is removed there.
///
/// # Errors
///
/// When the file cannot be read or written.
pub(in crate::app) fn queue_id(state_dir: &Path) -> io::Result<String> {
    let path = state_dir.join(FILE);
    let known = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        known => known?,
    };
    let known = known.trim();
    if known.len() == DIGITS && known.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(known.to_ascii_lowercase());
    }
    // The standard library seeds each `RandomState` differently.
    let random = || RandomState::new().hash_one(());
    let name = format!("{:016x}{:016x}", random(), random());
    // Whole or not at all: a run that is killed must leave no half of a name.
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, format!("{name}\n"))?;
    fs::rename(&unfinished, &path)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_collection_in_a_queue_stays_and_is_its_own() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = queue_id(one.path()).unwrap();
        assert_eq!(queue_id(one.path()).unwrap(), name);
        assert_ne!(queue_id(other.path()).unwrap(), name);
        fs::write(one.path().join(FILE), "half").unwrap();
        assert_eq!(queue_id(one.path()).unwrap().len(), DIGITS);
    }
}
