//! How long a name may be in a folder: 255 bytes nearly everywhere, 143 on eCryptfs (encrypted homes and shares).

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use rustix::fs::StatVfs;
use rustix::io::Errno;

use crate::job::ImageName;

/// What nearly every file system takes, in bytes. Some that count characters or UTF-16 units declare more bytes, up to
/// three for each; names stay short enough to be copied elsewhere.
const USUAL: usize = 255;

/// Below this, in bytes, a declared limit is not believed: a part's name is nearly as long.
const SHORTEST: usize = 64;

/// What a name leaves free for what may be appended to it (`.part`, `.why`, the number of a second collision).
const RESERVE: usize = USUAL - ImageName::MAX_BYTES;

/// The limit that a file system declares, in bytes; the usual one where it declares none that makes sense.
pub(super) fn declared(answer: Result<StatVfs, Errno>) -> usize {
    let declared = answer.map_or(0, |found| found.f_namemax);
    match usize::try_from(declared) {
        Ok(limit) if limit >= SHORTEST => limit.min(USUAL),
        _ => USUAL,
    }
}

/// The longest name of an image where names of `limit` bytes are accepted.
pub(super) fn longest_name(limit: usize) -> usize {
    limit - RESERVE
}

/// Creates and removes a file, to learn before anything is fetched whether that is possible in `folder`. Its name is
/// `limit` bytes long: some file systems that pass on to another (FUSE, NFS) declare more than that other accepts.
/// Returns the limit that holds.
pub(super) fn probe(folder: &Path, limit: usize) -> io::Result<usize> {
    match try_name(folder, limit) {
        Err(error) if is_too_long(&error) => {}
        tried => return tried.map(|()| limit),
    }
    // The shortest is accepted or nothing is; between the two the bounds meet after eight names.
    try_name(folder, SHORTEST)?;
    let (mut accepted, mut refused) = (SHORTEST, limit);
    while refused - accepted > 1 {
        let middle = usize::midpoint(accepted, refused);
        match try_name(folder, middle) {
            Ok(()) => accepted = middle,
            Err(error) if is_too_long(&error) => refused = middle,
            Err(error) => return Err(error),
        }
    }
    Ok(accepted)
}

fn try_name(folder: &Path, length: usize) -> io::Result<()> {
    let file = folder.join(format!("{:-<length$}", "probe"));
    let created = OpenOptions::new().write(true).create_new(true).open(&file);
    created.and_then(|_| fs::remove_file(&file))
}

fn is_too_long(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_limit_that_makes_no_sense_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let real = rustix::fs::statvfs(home.path()).unwrap();
        for (answer, limit) in [
            (143, 143),
            (255, 255),
            (765, 255),
            (0, 255),
            (12, 255),
            (u64::MAX, 255),
        ] {
            let found = StatVfs {
                f_namemax: answer,
                ..real
            };
            assert_eq!(declared(Ok(found)), limit, "{answer}");
        }
        assert_eq!(declared(Err(Errno::NOSYS)), 255);
        assert_eq!(longest_name(255), ImageName::MAX_BYTES);
    }

    #[test]
    fn a_declared_name_limit_that_the_folder_refuses_is_found_out_by_trying() {
        let home = tempfile::tempdir().unwrap();
        // No file system here takes names of 1,000 bytes.
        let real = usize::try_from(rustix::fs::statvfs(home.path()).unwrap().f_namemax).unwrap();
        assert_eq!(probe(home.path(), 1000).unwrap(), real);
        assert_eq!(probe(home.path(), 143).unwrap(), 143);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let gone = probe(&home.path().join("gone"), 143).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
