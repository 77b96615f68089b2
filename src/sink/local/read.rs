//! Reading a folder: nothing is followed, and nothing that is not a regular file is opened.

use std::fs::{self, File, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustix::fs::{Mode, OFlags};

use super::super::{
    EntryKind, EntryStream, ReadError, SinkEntry, SinkError, SinkReader, StoredImageReader,
};
use super::{STATE_DIR, storage_error};

pub(super) struct LocalReader {
    path: PathBuf,
}

impl LocalReader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl SinkReader for LocalReader {
    fn list(&self) -> EntryStream {
        let path = self.path.clone();
        // One hop for the whole folder: a hop for each entry would cost more than reading it.
        let reading = async move {
            let entries = tokio::task::spawn_blocking(move || entries(&path)).await;
            let entries =
                entries.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
            Ok(stream::iter(entries?.into_iter().map(Ok)))
        };
        stream::once(reading).try_flatten().boxed()
    }

    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError> {
        Ok(Box::new(open(&self.path, name)?))
    }
}

impl StoredImageReader for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Everything in `directory` but our own folder.
fn entries(directory: &Path) -> Result<Vec<SinkEntry>, SinkError> {
    let read = || {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == STATE_DIR {
                continue;
            }
            match entry.metadata() {
                Ok(found) => entries.push(SinkEntry {
                    name,
                    kind: kind(found.file_type(), found.len()),
                }),
                // Removed since: users may delete images at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    };
    read().map_err(storage_error("reading the folder", directory))
}

fn kind(found: FileType, bytes: u64) -> EntryKind {
    if found.is_file() {
        EntryKind::File { bytes }
    } else if found.is_dir() {
        EntryKind::Folder
    } else if found.is_symlink() {
        EntryKind::Symlink
    } else if found.is_fifo() {
        EntryKind::Pipe
    } else if found.is_socket() {
        EntryKind::Socket
    } else {
        EntryKind::Device
    }
}

/// Opens the regular file of this name in `directory`.
fn open(directory: &Path, name: &str) -> Result<File, ReadError> {
    let path = directory.join(name);
    // A ledger that somebody edited may hold any text.
    let mut components = Path::new(name).components();
    let (first, rest) = (components.next(), components.next());
    if !matches!((first, rest), (Some(Component::Normal(_)), None)) {
        return Err(ReadError::NotAFile("not a file name".to_owned()));
    }
    let not_a_file =
        |found: FileType| ReadError::NotAFile(format!("{} is in its place", kind(found, 0)));
    // Before opening: opening a device may have effects of its own.
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => {}
        Ok(found) => return Err(not_a_file(found.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        Err(error) => return Err(ReadError::NotAFile(format!("cannot be examined: {error}"))),
    }
    // It may have become something else since: NOFOLLOW for a link, NONBLOCK for a pipe, which would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::empty())
        .map_err(io::Error::from)
        .map(File::from);
    let file = opened.map_err(ReadError::Unreadable)?;
    let found = file.metadata().map_err(ReadError::Unreadable)?.file_type();
    if found.is_file() {
        Ok(file)
    } else {
        Err(not_a_file(found))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use super::*;

    fn not_a_file(directory: &Path, name: &str) -> String {
        match open(directory, name) {
            Err(ReadError::NotAFile(reason)) => reason,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// One of each kind that needs no rights to make.
    fn zoo() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        fs::write(path.join("plain.png"), "12345").unwrap();
        fs::create_dir(path.join("folder.png")).unwrap();
        fs::create_dir(path.join(STATE_DIR)).unwrap();
        symlink(path.join("plain.png"), path.join("link.png")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path.join("pipe.png"), Mode::RUSR).unwrap();
        home
    }

    #[test]
    fn only_a_regular_file_is_opened_and_a_pipe_is_not_waited_for() {
        let home = zoo();
        let path = home.path();
        assert_eq!(open(path, "plain.png").unwrap().size().unwrap(), 5);
        for (name, what) in [
            ("folder.png", "a folder"),
            ("link.png", "a symbolic link"),
            ("pipe.png", "a pipe"),
        ] {
            assert_eq!(not_a_file(path, name), format!("{what} is in its place"));
        }
        assert!(matches!(open(path, "nothing.png"), Err(ReadError::Missing)));
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_not_opened() {
        let home = tempfile::tempdir().unwrap();
        let inner = home.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(home.path().join("a.png"), "").unwrap();
        let absolute = home.path().join("a.png").display().to_string();
        for name in ["../a.png", "..", ".", "", "x/../../a.png", &absolute] {
            assert_eq!(not_a_file(&inner, name), "not a file name", "{name}");
        }
    }

    #[tokio::test]
    async fn foreign_entries_are_listed_by_kind_and_our_own_folder_is_not() {
        let home = zoo();
        let listed: Vec<_> = LocalReader::new(home.path().to_owned())
            .list()
            .try_collect()
            .await
            .unwrap();
        let listed: BTreeMap<_, _> = listed
            .into_iter()
            .map(|entry| (entry.name.into_string().unwrap(), entry.kind))
            .collect();
        let due = [
            ("folder.png", EntryKind::Folder),
            ("link.png", EntryKind::Symlink),
            ("pipe.png", EntryKind::Pipe),
            ("plain.png", EntryKind::File { bytes: 5 }),
        ];
        assert_eq!(
            listed,
            due.map(|(name, kind)| (name.to_owned(), kind)).into()
        );
    }
}
