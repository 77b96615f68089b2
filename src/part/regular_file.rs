//! Regular files and directories of our own. Anything else under their names (a link, a pipe, a
//! device) is never followed, waited for or written to: other programs and other users may write in
//! the same folder.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Creates a directory, or accepts the one that is there.
///
/// # Errors
///
/// When it cannot be created, or the name is taken by something else, such as a link to a
/// directory.
pub fn ensure_dir(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created,
    }
    if fs::symlink_metadata(folder)?.is_dir() {
        Ok(())
    } else {
        Err(io::Error::other(
            "something that is not a directory has this name; it is left untouched: move it away",
        ))
    }
}

/// Opens a regular file as `options` say, without following a link and without blocking on a pipe
/// or a device.
///
/// # Errors
///
/// When it cannot be opened, or is not a regular file.
pub fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let irregular = || io::Error::other("not a regular file; it is left untouched: move it away");
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(irregular()),
        _ => {}
    }
    // It may have been replaced since. The check above is not superfluous for that: opening a
    // device can have effects.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(irregular())
    }
}

/// Removes a file; one that is gone already is no error.
///
/// # Errors
///
/// When it is there and cannot be removed.
pub fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
