//! What lies in a collection's folder, seen without following or opening anything that is no plain file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags};

use crate::sink::{self, SinkError};

/// What lies in `directory` itself, by name; what is ours beside the images is left out.
///
/// # Errors
///
/// When the folder cannot be read.
pub(super) fn entries(directory: &Path) -> Result<BTreeMap<OsString, FileType>, SinkError> {
    let ours = sink::ours(directory);
    let read = || {
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.path() != ours {
                entries.insert(entry.file_name(), entry.file_type()?);
            }
        }
        Ok(entries)
    };
    let what = format!("reading the folder `{}`", directory.display());
    read().map_err(|source| SinkError::Storage { what, source })
}

/// What an entry is, in words.
pub(super) fn kind(found: FileType) -> &'static str {
    if found.is_file() {
        "a file"
    } else if found.is_dir() {
        "a folder"
    } else if found.is_symlink() {
        "a symbolic link"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Why there is no plain file to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoFile {
    /// Nothing lies there.
    Missing,
    /// Something else does, or nobody may read it: in words.
    Odd(String),
    /// A plain file that cannot be read: in words.
    Unreadable(String),
}

/// Opens the plain file of this name in `directory`. Nothing is followed, and nothing can make this wait.
pub(super) fn open(directory: &Path, name: &str) -> Result<File, NoFile> {
    let path = directory.join(name);
    let mut components = Path::new(name).components();
    let (first, rest) = (components.next(), components.next());
    if !matches!((first, rest), (Some(Component::Normal(_)), None)) {
        return Err(NoFile::Odd(
            "the ledger has no file's name for it".to_owned(),
        ));
    }
    let odd = |found: FileType| NoFile::Odd(format!("{} lies in its place", kind(found)));
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => {}
        Ok(found) => return Err(odd(found.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NoFile::Missing),
        Err(error) => return Err(NoFile::Odd(format!("it cannot be looked at: {error}"))),
    }
    // It may have become something else since.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::empty())
        .map_err(io::Error::from)
        .map(File::from);
    let unreadable = |error: io::Error| NoFile::Unreadable(format!("it cannot be read: {error}"));
    let file = opened.map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.file_type();
    if found.is_file() {
        Ok(file)
    } else {
        Err(odd(found))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_plain_file_is_opened_and_nothing_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        fs::write(path.join("plain.png"), "").unwrap();
        fs::create_dir(path.join("folder.png")).unwrap();
        symlink(path.join("plain.png"), path.join("link.png")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path.join("pipe.png"), Mode::RUSR).unwrap();
        assert!(open(path, "plain.png").is_ok());
        let odd = |what: &str| NoFile::Odd(format!("{what} lies in its place"));
        assert_eq!(open(path, "folder.png").unwrap_err(), odd("a folder"));
        assert_eq!(open(path, "link.png").unwrap_err(), odd("a symbolic link"));
        assert_eq!(open(path, "pipe.png").unwrap_err(), odd("a pipe"));
        assert_eq!(open(path, "nothing.png").unwrap_err(), NoFile::Missing);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_opened() {
        let home = tempfile::tempdir().unwrap();
        let inner = home.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(home.path().join("a.png"), "").unwrap();
        let absolute = home.path().join("a.png").display().to_string();
        for name in ["../a.png", "..", ".", "", "x/../../a.png", &absolute] {
            assert!(matches!(open(&inner, name), Err(NoFile::Odd(_))), "{name}");
        }
    }
}
