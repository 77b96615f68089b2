//! Which store a folder of state belongs to. Its ledger says what is in that one: with another, images would count as saved
//! that are nowhere.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::sink::SinkError;
use crate::sink::local::storage_error;

/// The file that names the store.
const FILE: &str = "store";

/// Writes down that the folder belongs to `store`, unless that stands there. The folder is locked.
pub(super) fn claim(state_dir: &Path, store: &str, url: &str) -> Result<(), SinkError> {
    let file = state_dir.join(FILE);
    let owner = match fs::read_to_string(&file) {
        Ok(owner) => owner,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return write(state_dir, &file, store).map_err(storage_error("writing", &file));
        }
        Err(error) => return Err(storage_error("reading", &file)(error)),
    };
    let owner = owner.trim_end_matches('\n');
    if owner == store {
        return Ok(());
    }
    Err(SinkError::BadUrl {
        url: url.to_owned(),
        reason: format!(
            "`{}` is the state of the collection in {owner}, and this is {store}: give another --state-dir; if it is the same store at another address, remove `{}`",
            state_dir.display(),
            file.display()
        ),
    })
}

/// In one step: a killed run leaves no half of it.
fn write(state_dir: &Path, file: &Path, store: &str) -> io::Result<()> {
    let mut written = tempfile::NamedTempFile::new_in(state_dir)?;
    writeln!(written, "{store}")?;
    written.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_dir_belongs_to_the_first_store_that_it_was_used_for() {
        let folder = tempfile::tempdir().unwrap();
        let claim = |store| claim(folder.path(), store, "s3://a/b");
        for _ in 0..2 {
            claim("s3://a/b at http://127.0.0.1:1").unwrap();
        }
        let refused = claim("s3://a/b").unwrap_err();
        assert!(matches!(refused, SinkError::BadUrl { .. }), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::remove_file(folder.path().join(FILE)).unwrap();
        claim("s3://a/b").unwrap();
    }
}
