//! What was set aside: files of the collection that turned out damaged, a bounded number of them, each with the
//! reason beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::part;

/// So many are kept, the latest ones: to be looked at, not to be collected.
const KEPT: usize = 100;

/// Behind the name of what was set aside: the file that says why.
const WHY: &str = "why";

/// Moves the file `name` of `directory` into `folder`, over what was set aside under that name before. What is no
/// plain file stays where it is.
pub(super) fn quarantine(directory: &Path, folder: &Path, name: &str, why: &str) -> io::Result<()> {
    let file = directory.join(name);
    if !fs::symlink_metadata(&file)?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    part::ensure_dir(folder)?;
    let reason = folder.join(format!("{name}.{WHY}"));
    part::remove_if_exists(&reason)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&reason)?
        .write_all(format!("{why}\n").as_bytes())?;
    fs::rename(&file, folder.join(name))?;
    thin_out(folder)
}

/// Removes the oldest of what is kept too many, by when it was set aside.
fn thin_out(folder: &Path) -> io::Result<()> {
    let mut reasons: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == WHY) {
            reasons.push((fs::symlink_metadata(&path)?.modified()?, path));
        }
    }
    reasons.sort_unstable();
    for (_when, reason) in &reasons[..reasons.len().saturating_sub(KEPT)] {
        match fs::remove_file(reason.with_extension("")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::remove_file(reason)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_is_kept_each_with_its_reason() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("rejected");
        for number in 0..KEPT + 3 {
            let name = format!("{number}.png");
            fs::write(home.path().join(&name), &name).unwrap();
            quarantine(home.path(), &folder, &name, "cut").unwrap();
            assert!(!home.path().join(&name).exists());
            assert_eq!(fs::read_to_string(folder.join(&name)).unwrap(), name);
            assert_eq!(
                fs::read_to_string(folder.join(format!("{name}.why"))).unwrap(),
                "cut\n"
            );
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2 * KEPT);
    }

    #[test]
    fn what_is_set_aside_again_takes_the_place_of_the_earlier_one() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("rejected");
        for bytes in ["first", "second"] {
            fs::write(home.path().join("a.png"), bytes).unwrap();
            quarantine(home.path(), &folder, "a.png", bytes).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.join("a.png")).unwrap(), "second");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_plain_file_stays() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("a.png")).unwrap();
        assert!(quarantine(home.path(), &home.path().join("rejected"), "a.png", "cut").is_err());
        assert!(home.path().join("a.png").is_dir());
    }
}
