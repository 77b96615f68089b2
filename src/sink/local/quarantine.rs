//! Damaged files that were moved out of the collection: the latest ones, each with the reason beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::part;

/// How many are kept: to be examined, not to fill the disk.
const MAX_FILES: usize = 100;

/// The extension, after the whole file name, of the file that holds the reason.
const REASON: &str = "why";

/// What becomes of a damaged file's own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sink) enum Rejected {
    /// It is free.
    Moved,
    /// It stays, until something better replaces the file.
    Kept,
}

/// Moves or links the regular file `name` of `directory` into `folder`, over an earlier one of that name.
pub(in crate::sink) fn quarantine(
    directory: &Path,
    folder: &Path,
    name: &str,
    reason: &str,
    rejected: Rejected,
) -> io::Result<()> {
    let file = directory.join(name);
    if !fs::symlink_metadata(&file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    part::ensure_dir(folder)?;
    let reason_file = folder.join(format!("{name}.{REASON}"));
    part::remove_if_exists(&reason_file)?;
    // The reason first: killed in between, a reason without a file is thinned out later, and a file without a reason
    // would never be.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&reason_file)?
        .write_all(format!("{reason}\n").as_bytes())?;
    let kept = folder.join(name);
    match rejected {
        Rejected::Moved => fs::rename(&file, kept)?,
        Rejected::Kept => {
            part::remove_if_exists(&kept)?;
            // Not every file system has links.
            if fs::hard_link(&file, &kept).is_err() {
                fs::copy(&file, &kept)?;
            }
        }
    }
    remove_oldest(folder)
}

/// Removes all but the latest, by when they were quarantined.
fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut reasons: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == REASON)
        {
            reasons.push((fs::symlink_metadata(&path)?.modified()?, path));
        }
    }
    reasons.sort_unstable();
    for (_since, reason_file) in &reasons[..reasons.len().saturating_sub(MAX_FILES)] {
        match fs::remove_file(reason_file.with_extension("")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::remove_file(reason_file)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_damaged_files_are_kept_each_with_its_reason() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("rejected");
        for number in 0..MAX_FILES + 3 {
            let name = format!("{number}.png");
            fs::write(home.path().join(&name), &name).unwrap();
            quarantine(home.path(), &folder, &name, "cut", Rejected::Moved).unwrap();
            assert!(!home.path().join(&name).exists());
            assert_eq!(fs::read_to_string(folder.join(&name)).unwrap(), name);
            assert_eq!(
                fs::read_to_string(folder.join(format!("{name}.why"))).unwrap(),
                "cut\n"
            );
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2 * MAX_FILES);
    }

    #[test]
    fn a_file_quarantined_again_replaces_the_earlier_one() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("rejected");
        for bytes in ["first", "second"] {
            fs::write(home.path().join("a.png"), bytes).unwrap();
            quarantine(home.path(), &folder, "a.png", bytes, Rejected::Moved).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.join("a.png")).unwrap(), "second");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_in_place_of_an_image_is_not_quarantined() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("a.png")).unwrap();
        assert!(
            quarantine(
                home.path(),
                &home.path().join("rejected"),
                "a.png",
                "cut",
                Rejected::Moved
            )
            .is_err()
        );
        assert!(home.path().join("a.png").is_dir());
    }
}
