//! What an error of the file system means for a run, and what to do about it.

use std::io;
use std::path::Path;

use super::super::SinkError;

/// Whether the place as a whole is affected, not this one image.
pub(in crate::sink) fn is_fatal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied | FileTooLarge
    )
}

/// A copy of an error: one failed flush is reported for every image of its group, and `io::Error` is not `Clone`.
pub(in crate::sink) fn clone_error(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Adds to an error what was being done, and what to do about it where that is known.
pub(in crate::sink) fn storage_error(
    doing: &str,
    path: &Path,
) -> impl FnOnce(io::Error) -> SinkError {
    let what = format!("{doing} `{}`", path.display());
    move |error| {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room and run again",
            io::ErrorKind::FileTooLarge => "allow larger files (`ulimit -f`) and run again",
            _ => {
                return SinkError::Storage {
                    what,
                    source: error,
                };
            }
        };
        SinkError::Storage {
            what,
            source: io::Error::new(error.kind(), format!("{error}: {advice}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_full_error_ends_the_run_and_says_what_to_do() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_fatal(&full));
        let SinkError::Storage { what, source } =
            storage_error("storing an image in", Path::new("x"))(full)
        else {
            panic!("a full disk is a storage error")
        };
        assert_eq!(what, "storing an image in `x`");
        assert!(source.to_string().ends_with(": make room and run again"));
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_missing_file_is_the_matter_of_one_image() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists] {
            assert!(!is_fatal(&io::Error::from(kind)), "{kind}");
        }
    }
}
