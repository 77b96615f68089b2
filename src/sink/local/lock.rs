//! The lock of a collection: one run at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use jiff::Timestamp;

use super::super::SinkError;
use super::storage_error;
use crate::event::{LockHolder, LockProcess};
use crate::part;

/// Locks the file at `path` for this process and writes down who holds it since when.
///
/// A kernel lock on an open file, not a file whose existence is the lock: the kernel frees it however its holder
/// dies, so nobody has to remove a stale one by hand, and no process id can be mistaken for another's.
pub(super) fn acquire(path: &Path, now: Timestamp) -> Result<File, SinkError> {
    let opened = part::open_regular(
        path,
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            // Not before the lock is taken: until then the text belongs to its holder.
            .truncate(false),
    );
    let mut file = opened.map_err(storage_error("opening the lock", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Naming the holder is a courtesy; that the lock is held decides.
            let _ = file.read_to_string(&mut text);
            return Err(SinkError::Locked(LockHolder {
                lock: path.display().to_string(),
                process: parse(&text),
            }));
        }
        Err(TryLockError::Error(source)) => return Err(storage_error("locking", path)(source)),
    }
    file.set_len(0)
        .and_then(|()| file.write_all(serialize(std::process::id(), now).as_bytes()))
        .map_err(storage_error("writing the lock", path))?;
    Ok(file)
}

/// What a holder writes down.
fn serialize(pid: u32, since: Timestamp) -> String {
    format!("{pid} {since:.0}\n")
}

/// Reads that back; nothing where the holder was killed before it had written all of it.
fn parse(text: &str) -> Option<LockProcess> {
    let (pid, since) = text.strip_suffix('\n')?.split_once(' ')?;
    Some(LockProcess {
        pid: pid.parse().ok()?,
        since: since.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holder_reads_back_what_it_wrote_and_nothing_else() {
        let noon = "2026-11-23T12:00:00.9Z".parse().unwrap();
        let since = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(
            parse(&serialize(42, noon)),
            Some(LockProcess { pid: 42, since })
        );
        for damaged in [
            "",
            "42\n",
            "42 2026-11-23T12:00",
            "\x1b[2J now\n",
            "-1 2026-11-23T12:00:00Z\n",
        ] {
            assert_eq!(parse(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_lock_is_refused_with_its_holder_until_that_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let noon = "2026-11-23T12:00:00Z".parse().unwrap();
        let held = acquire(&path, noon).unwrap();
        let refused = acquire(&path, noon).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            refused.contains(&format!("(pid {pid}, since 2026-11-23T12:00:00Z)")),
            "{refused}"
        );
        drop(held);
        acquire(&path, noon).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let (victim, path) = (home.path().join("victim"), home.path().join("lock"));
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(acquire(&path, Timestamp::UNIX_EPOCH).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    }
}
