//! Plain files and folders of our own: nothing else that has their names is followed, waited for, or written to.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Makes a folder of our own, or finds it there.
///
/// # Errors
///
/// When it cannot be made, or something else has its name: a link to a folder is not followed.
pub fn make_own(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let odd = || io::Error::other("something else has its name, which is left alone: move it away");
    fs::symlink_metadata(folder)?
        .is_dir()
        .then_some(())
        .ok_or_else(odd)
}

/// Opens a plain file as `options` say. Nothing is followed, and nothing can make this wait.
///
/// # Errors
///
/// When it cannot be opened, or is no plain file.
pub fn open_plain(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let odd = || io::Error::other("it is no plain file, and left alone: move it away");
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(odd()),
        _ => {}
    }
    // It may have become something else since.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(odd())
    }
}

/// Removes a file, or finds it gone.
///
/// # Errors
///
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
