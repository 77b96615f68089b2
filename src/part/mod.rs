//! Files of images that are being downloaded. Each has a part, invisible to the user, that a later
//! run can continue after a kill where that is safe.
//!
//! ```text
//! Parts::begin -> Part --write, save_resume_info--> FinishedPart --verify--> CompleteFile --rename--> collection
//! ```

mod complete_file;
mod folder;
mod regular_file;
mod resume_info;
mod unsaved_bytes;
mod writer;

pub use self::complete_file::CompleteFile;
pub use self::folder::Parts;
pub use self::regular_file::{ensure_dir, open_regular, remove_if_exists};
pub use self::resume_info::ResumeInfo;
pub use self::writer::{FinishedPart, Part};

/// Sees the bytes of an image while they pass, to hash and check them. A type parameter of [`Part`]
/// and no trait object: the worker asks its observer for more than this trait has.
pub trait ByteObserver: Send {
    /// Sees the next bytes.
    fn update(&mut self, chunk: &[u8]);

    /// Forgets all bytes: the next ones are the first of the image again.
    fn reset(&mut self);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use url::Url;

    use super::folder::PartId;
    use super::*;
    use crate::job::{ImageKey, SiteId};

    #[derive(Debug, Default)]
    struct Recorded(Vec<u8>);

    impl ByteObserver for Recorded {
        fn update(&mut self, chunk: &[u8]) {
            self.0.extend_from_slice(chunk);
        }

        fn reset(&mut self) {
            self.0.clear();
        }
    }

    fn key() -> ImageKey {
        key_of("a")
    }

    fn key_of(image: &str) -> ImageKey {
        let address = format!("https://demo.invalid/{image}.png");
        ImageKey::new(
            &SiteId::new("demo").unwrap(),
            &Url::parse(&address).unwrap(),
        )
    }

    fn info(length: u64) -> ResumeInfo {
        ResumeInfo {
            address: "https://demo.invalid/a.png".into(),
            etag: Some("\"1\"".into()),
            last_modified: None,
            length,
            file_name: None,
            capture: None,
        }
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn finished_part_holds_chunks_of_any_size_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        let (mut part, _) = parts.begin(&key(), Recorded::default()).unwrap();
        let mut sent = Vec::new();
        for size in [1, 5000, 100_000, 3, 70_000, 8192, 1] {
            let chunk = vec![u8::try_from(size % 251).unwrap(); size];
            part.write(&chunk).unwrap();
            sent.extend(chunk);
        }
        let finished = part.finish().unwrap();
        assert_eq!(finished.bytes(), sent.len() as u64);
        let (file, seen) = finished.into_inner();
        assert_eq!(fs::read(file.path()).unwrap(), sent);
        assert_eq!(seen.0, sent);
    }

    #[test]
    fn part_without_resume_info_is_removed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        let (mut part, _) = parts.begin(&key(), Recorded::default()).unwrap();
        part.write(&[7; 1000]).unwrap();
        part.save_resume_info(&info(2000)).unwrap();
        drop(part);
        assert_eq!(files(folder.path()), 0);
    }

    /// Leaves a part of 1,100,000 bytes, with resume information for an image of `length`.
    fn interrupt(parts: &Parts, length: u64) {
        let (mut part, _) = parts.begin(&key(), Recorded::default()).unwrap();
        part.write(&vec![7; 1_100_000]).unwrap();
        part.save_resume_info(&info(length)).unwrap();
    }

    #[test]
    fn interrupted_download_resumes_at_its_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        interrupt(&parts, 1_200_000);
        let (mut part, found) = parts.begin(&key(), Recorded::default()).unwrap();
        assert_eq!((part.received(), found), (1_100_000, Some(info(1_200_000))));
        part.write(&vec![8; 100_000]).unwrap();
        let (file, seen) = part.finish().unwrap().into_inner();
        assert_eq!(seen.0.len(), 1_200_000);
        assert_eq!(fs::read(file.path()).unwrap(), seen.0);
        drop(file);
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn part_is_dropped_after_a_system_crash_or_without_resume_info() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        interrupt(&parts, 1_200_000);
        fs::write(folder.path().join("left-behind.part"), "by a kill").unwrap();
        let later = Parts::open(folder.path(), "another boot").unwrap();
        assert_eq!(files(folder.path()), 0);
        let (fresh, found) = later.begin(&key(), Recorded::default()).unwrap();
        assert_eq!((fresh.received(), found), (0, None));
        drop(fresh);
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn part_longer_than_its_image_is_restarted() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        interrupt(&parts, 1_000_001);
        let (part, found) = parts.begin(&key(), Recorded::default()).unwrap();
        assert_eq!(
            (part.received(), found, part.observer().0.len()),
            (0, None, 0)
        );
    }

    #[test]
    fn restart_drops_bytes_and_resume_info() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        let (mut part, _) = parts.begin(&key(), Recorded::default()).unwrap();
        part.write(&vec![7; 1_100_000]).unwrap();
        part.save_resume_info(&info(1_200_000)).unwrap();
        part.restart().unwrap();
        part.write(&[1, 2, 3]).unwrap();
        let (file, seen) = part.finish().unwrap().into_inner();
        assert_eq!(seen.0, [1, 2, 3]);
        assert_eq!(fs::read(file.path()).unwrap(), [1, 2, 3]);
    }

    /// A verified image of 300,000 bytes that waits for its name.
    fn pending(parts: &Parts, image: &str) -> CompleteFile {
        let (mut part, _) = parts.begin(&key_of(image), Recorded::default()).unwrap();
        part.write(&vec![7; 300_000]).unwrap();
        part.save_resume_info(&info(300_000)).unwrap();
        let mut file = part.finish().unwrap().into_inner().0.mark_verified();
        file.mark_pending(&ResumeInfo {
            etag: None,
            ..info(300_000)
        });
        file
    }

    #[test]
    fn crash_before_placing_loses_at_most_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        // The third exceeds the limit while it is still being downloaded, so that the two before it
        // are saved.
        let pending = ["a", "b", "c", "d"].map(|image| pending(&parts, image));
        assert_eq!(files(folder.path()), 5);
        // Killed: nothing is dropped. A next start that is killed as well may leave half a file.
        std::mem::forget(pending);
        fs::write(
            resume_info::own_path(&parts.path(PartId::of(&key_of("b")))),
            "{",
        )
        .unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        assert_eq!(files(folder.path()), 4);
        for (image, have) in [("a", 300_000), ("b", 300_000), ("c", 0), ("d", 0)] {
            let (part, found) = parts.begin(&key_of(image), Recorded::default()).unwrap();
            assert_eq!(
                (part.received(), found.map_or(0, |info| info.length)),
                (have, have),
                "{image}"
            );
        }
        Parts::open(folder.path(), "another boot").unwrap();
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn shared_resume_info_is_removed_with_its_last_image_and_kept_for_an_abandoned_one() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        for is_abandoned in [false, true] {
            let [last, placed, unsaved] = ["a", "b", "c"].map(|image| pending(&parts, image));
            assert_eq!(files(folder.path()), 4);
            fs::remove_file(placed.path()).unwrap();
            placed.mark_placed();
            drop(unsaved);
            assert_eq!(files(folder.path()), 2);
            if is_abandoned {
                drop(last);
            } else {
                last.discard();
            }
            assert_eq!(files(folder.path()), if is_abandoned { 2 } else { 0 });
        }
        let parts = Parts::open(folder.path(), "boot").unwrap();
        assert_eq!(
            parts
                .begin(&key_of("a"), Recorded::default())
                .unwrap()
                .0
                .received(),
            300_000
        );
    }

    #[test]
    fn shared_resume_info_names_only_complete_parts_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        std::mem::forget(["a", "b", "c"].map(|image| pending(&parts, image)));
        let mut entries = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let shared = entries
            .find(|path| path.extension().unwrap() == "notes")
            .unwrap();
        let [a, b] = ["a", "b"].map(|image| parts.path(PartId::of(&key_of(image))));
        fs::write(&a, "shorter by now").unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(&b, elsewhere.join("b.part")).unwrap();
        let stored = fs::read_to_string(&shared).unwrap();
        let b = b.file_name().unwrap().to_str().unwrap();
        fs::write(
            &shared,
            format!("not JSON\n{}", stored.replace(b, "elsewhere/b.part")),
        )
        .unwrap();
        Parts::open(folder.path(), "boot").unwrap();
        // The foreign folder, and the part inside it, are left untouched.
        assert_eq!((files(folder.path()), files(&elsewhere)), (1, 1));
    }

    #[cfg(unix)]
    #[test]
    fn symlink_in_place_of_a_part_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        let parts = Parts::open(&folder.path().join("parts"), "boot").unwrap();
        std::os::unix::fs::symlink(&victim, parts.path(PartId::of(&key()))).unwrap();
        let (mut part, _) = parts.begin(&key(), Recorded::default()).unwrap();
        part.write(&[9; 100]).unwrap();
        part.finish().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }
}
