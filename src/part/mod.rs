//! Bytes nobody sees yet: an image on its way lies in a part, which goes on after a kill where that is safe.

mod note;
mod plain;
mod risk;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::risk::UnsavedBytes;
use crate::job::ImageKey;

pub use self::note::ResumeInfo;
pub use self::plain::{make_own, open_plain, remove};

/// Whoever wants to see the bytes while they pass: the hash, the checks.
pub trait ByteObserver: Send {
    /// Sees the next bytes.
    fn bytes(&mut self, chunk: &[u8]);

    /// Forgets everything: the bytes begin anew.
    fn restart(&mut self);
}

/// The folder of the parts; on the file system of the collection, so that placing is a rename.
#[derive(Debug, Clone)]
pub struct Parts {
    folder: Arc<Path>,
    boot: Arc<str>,
    risk: Arc<UnsavedBytes>,
}

/// Chunks below this are gathered first: a system call a packet costs more than the copy, and hashing
/// one by one what is a packet long takes five times as long.
const SMALL_CHUNK: usize = 8 * 1024;

/// How much is gathered of small chunks before it is written.
const GATHERED: usize = 64 * 1024;

/// A part is noted once it is this long. It also is how much a kill may throw away of what waits and comes, for each
/// image on its way at a time: with what is in hand of a chunk that is no more than a megabyte.
const WORTH_A_NOTE: u64 = 700_000;

impl Parts {
    /// Opens the folder of the parts, making it where it is missing, and clears away what no run could go on
    /// with. `boot` tells one start of the system from another. Nobody else may be at work in the folder.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, read or cleared.
    pub fn open(folder: &Path, boot: &str) -> io::Result<Self> {
        make_own(folder)?;
        let mut files = HashSet::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A folder here is none of ours.
            if !entry.file_type()?.is_dir() {
                files.insert(entry.path());
            }
        }
        note::spread_sheets(&mut files, boot)?;
        let parts = Self {
            folder: folder.into(),
            boot: boot.into(),
            risk: Arc::new(UnsavedBytes::new(folder, boot)),
        };
        for path in files {
            if parts.note(&path.with_extension("part")).is_none() {
                remove(&path)?;
            }
        }
        Ok(parts)
    }

    /// Says how many images may be on their way at a time: a kill may throw away so much for each.
    pub fn set_concurrency(&self, jobs: NonZeroUsize) {
        self.risk.set_concurrency(jobs);
    }

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins the part of an image, or goes on with the one an earlier try left; then the note says what must
    /// hold for that, and the part's bytes are read once, so that `observer` stands where the part stands.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, or is there and cannot be read.
    pub fn begin<W: ByteObserver>(
        &self,
        key: &ImageKey,
        mut observer: W,
    ) -> io::Result<(Part<W>, Option<ResumeInfo>)> {
        let id = PartId::of(key);
        let path = self.path(id);
        let mut fresh = OpenOptions::new();
        fresh.write(true).create_new(true);
        match fresh.open(&path) {
            Ok(file) => return Ok((self.part(file, id, path, 0, false, observer), None)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if let Some(note) = self.note(&path) {
            let (file, written) = reread(&path, &mut observer)?;
            if (1..=note.length).contains(&written) {
                return Ok((
                    self.part(file, id, path, written, true, observer),
                    Some(note),
                ));
            }
            observer.restart();
        }
        remove(&note_path(&path))?;
        remove(&path)?;
        Ok((
            self.part(fresh.open(&path)?, id, path, 0, false, observer),
            None,
        ))
    }

    fn part<W>(
        &self,
        file: File,
        id: PartId,
        path: PathBuf,
        written: u64,
        noted: bool,
        observer: W,
    ) -> Part<W> {
        let whole = CompleteFile {
            id,
            path,
            noted,
            sealed: false,
            counted: 0,
            risk: Arc::clone(&self.risk),
        };
        Part {
            file,
            written,
            gathered: Vec::new(),
            observer,
            whole,
        }
    }

    /// What must hold for `part` to go on; `None` when it may not.
    fn note(&self, part: &Path) -> Option<ResumeInfo> {
        // One with a second name is an image of the collection already: not to be touched through this one.
        if !fs::symlink_metadata(part).is_ok_and(|found| found.is_file() && found.nlink() == 1) {
            return None;
        }
        note::read(&note_path(part), &self.boot)
    }

    fn path(&self, id: PartId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}

/// What tells parts apart: half of the hash of the image's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PartId(u128);

impl PartId {
    fn of(key: &ImageKey) -> Self {
        let hash = blake3::hash(key.as_str().as_bytes());
        let half = hash.as_bytes().iter().take(size_of::<u128>());
        Self(half.fold(0, |id, &byte| id << 8 | u128::from(byte)))
    }

    fn file_name(self) -> String {
        format!("{:032x}.part", self.0)
    }
}

/// An image on its way. Dropped unsealed it is removed, unless a note lets a later run go on with it.
pub struct Part<W> {
    file: File,
    written: u64,
    gathered: Vec<u8>,
    observer: W,
    whole: CompleteFile,
}

impl<W: ByteObserver> Part<W> {
    /// How many bytes there are.
    pub fn have(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Who watches the bytes.
    pub fn observer(&self) -> &W {
        &self.observer
    }

    /// Forgets every byte.
    ///
    /// # Errors
    ///
    /// When the file cannot be emptied.
    pub fn restart(&mut self) -> io::Result<()> {
        if self.whole.noted {
            remove(&note_path(&self.whole.path))?;
            self.whole.noted = false;
        }
        self.whole.count(0);
        self.gathered.clear();
        self.written = 0;
        self.observer.restart();
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// Adds bytes, writing them from the calling thread: into the page cache that is quicker than handing them on.
    ///
    /// # Errors
    ///
    /// When they cannot be written; how many were is unknown then.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        if chunk.len() < SMALL_CHUNK {
            self.gathered.extend_from_slice(chunk);
            if self.gathered.len() < GATHERED {
                return Ok(());
            }
            return self.flush();
        }
        self.flush()?;
        self.observer.bytes(chunk);
        self.file.write_all(chunk)?;
        self.written += chunk.len() as u64;
        Ok(())
    }

    /// Lets a later run go on from here, once there is so much that this pays. May be asked for with every chunk.
    ///
    /// # Errors
    ///
    /// When the note cannot be written.
    pub fn note(&mut self, note: &ResumeInfo) -> io::Result<()> {
        if self.whole.noted {
            return Ok(());
        }
        let have = self.have();
        if have < WORTH_A_NOTE {
            self.whole.count(have);
            return Ok(());
        }
        note.write(&note_path(&self.whole.path), self.whole.risk.boot())?;
        self.whole.noted = true;
        self.whole.count(0);
        Ok(())
    }

    /// Ends the writing; the file is closed, and its bytes are complete as far as the sender is concerned.
    ///
    /// # Errors
    ///
    /// When the last bytes cannot be written.
    pub fn finish(mut self) -> io::Result<FinishedPart<W>> {
        self.flush()?;
        self.whole.sealed = true;
        Ok(FinishedPart {
            whole: self.whole,
            bytes: self.written,
            observer: self.observer,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.observer.bytes(&self.gathered);
        self.file.write_all(&self.gathered)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }
}

/// A part whose sender is done, before anybody judged it.
#[derive(Debug)]
pub struct FinishedPart<W> {
    whole: CompleteFile,
    bytes: u64,
    observer: W,
}

impl<W> FinishedPart<W> {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands over to the one who judges: the file, and who watched its bytes.
    pub fn open(self) -> (CompleteFile, W) {
        (self.whole, self.observer)
    }
}

/// A file among the parts that waits for its judgement, or for its name. Dropped before it was found sound it is removed;
/// afterwards, as when the program is killed, its note lets the next run judge it again without asking for it.
#[derive(Debug)]
pub struct CompleteFile {
    id: PartId,
    path: PathBuf,
    noted: bool,
    sealed: bool,
    /// How many of its bytes are counted as lost by a kill.
    counted: u64,
    risk: Arc<UnsavedBytes>,
}

impl CompleteFile {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says that it was found sound: from now on it is only removed when somebody says so, if it has a note.
    #[must_use]
    pub fn mark_verified(mut self) -> Self {
        self.sealed = false;
        self
    }

    /// Says that it waits for its name from now on, sound. What `note` says of it is written down before a kill could
    /// throw away too much: then the next run judges it again, whatever validator it has, for nothing is added to it.
    pub fn mark_pending(&mut self, note: &ResumeInfo) {
        if !self.noted {
            let counted = std::mem::take(&mut self.counted);
            self.risk.wait(self.id, note, counted);
        }
    }

    /// Removes it: what it holds is in the collection already.
    pub fn discard(mut self) {
        self.sealed = true;
    }

    /// Says that it lies elsewhere now, under its name: nothing is left to remove but the note.
    pub fn moved(mut self) {
        self.risk.leave(self.id, false);
        if self.noted {
            // A note without a part means nothing; the next start clears it away.
            let _ = fs::remove_file(note_path(&self.path));
        }
        self.path = PathBuf::new();
    }

    /// Has so many of its bytes counted as lost by a kill.
    fn count(&mut self, bytes: u64) {
        self.risk.count(self.counted, bytes);
        self.counted = bytes;
    }
}

impl Drop for CompleteFile {
    fn drop(&mut self) {
        self.count(0);
        if self.path.as_os_str().is_empty() {
            return;
        }
        let is_on_a_sheet = self.risk.leave(self.id, !self.sealed);
        if (self.noted || is_on_a_sheet) && !self.sealed {
            return;
        }
        // Not under a name that counts: what cannot be removed now is overwritten later.
        let _ = fs::remove_file(&self.path);
        if self.noted {
            let _ = fs::remove_file(note_path(&self.path));
        }
    }
}

/// Shows `observer` what lies in a part, and answers with the file, ready for more, and how much there was.
fn reread(path: &Path, observer: &mut impl ByteObserver) -> io::Result<(File, u64)> {
    let mut file = open_plain(path, OpenOptions::new().read(true).write(true))?;
    let mut buffer = vec![0; GATHERED];
    let mut written = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((file, written)),
            n => {
                observer.bytes(&buffer[..n]);
                written += n as u64;
            }
        }
    }
}

fn note_path(part: &Path) -> PathBuf {
    part.with_extension("note")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::SiteId;
    use url::Url;

    #[derive(Debug, Default)]
    struct Seen(Vec<u8>);

    impl ByteObserver for Seen {
        fn bytes(&mut self, chunk: &[u8]) {
            self.0.extend_from_slice(chunk);
        }

        fn restart(&mut self) {
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

    fn note(length: u64) -> ResumeInfo {
        ResumeInfo {
            address: "https://demo.invalid/a.png".into(),
            etag: Some("\"1\"".into()),
            last_modified: None,
            length,
        }
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_sealed_part_holds_what_was_written_in_whatever_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        let (mut part, _) = parts.begin(&key(), Seen::default()).unwrap();
        let mut sent = Vec::new();
        for size in [1, 5000, 100_000, 3, 70_000, 8192, 1] {
            let chunk = vec![u8::try_from(size % 251).unwrap(); size];
            part.write(&chunk).unwrap();
            sent.extend(chunk);
        }
        let sealed = part.finish().unwrap();
        assert_eq!(sealed.bytes(), sent.len() as u64);
        let (whole, seen) = sealed.open();
        assert_eq!(fs::read(whole.path()).unwrap(), sent);
        assert_eq!(seen.0, sent);
    }

    #[test]
    fn a_part_without_a_note_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        let (mut part, _) = parts.begin(&key(), Seen::default()).unwrap();
        part.write(&[7; 1000]).unwrap();
        part.note(&note(2000)).unwrap();
        drop(part);
        assert_eq!(names(folder.path()), 0);
    }

    /// Leaves a part of 1,100,000 bytes whose note says that the whole has `length`.
    fn leave(parts: &Parts, length: u64) {
        let (mut part, _) = parts.begin(&key(), Seen::default()).unwrap();
        part.write(&vec![7; 1_100_000]).unwrap();
        part.note(&note(length)).unwrap();
    }

    #[test]
    fn a_noted_part_goes_on_where_it_stood() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        leave(&parts, 1_200_000);
        let (mut part, found) = parts.begin(&key(), Seen::default()).unwrap();
        assert_eq!((part.have(), found), (1_100_000, Some(note(1_200_000))));
        part.write(&vec![8; 100_000]).unwrap();
        let (whole, seen) = part.finish().unwrap().open();
        assert_eq!(seen.0.len(), 1_200_000);
        assert_eq!(fs::read(whole.path()).unwrap(), seen.0);
        drop(whole);
        assert_eq!(names(folder.path()), 0);
    }

    #[test]
    fn a_part_of_another_boot_or_without_its_note_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        leave(&parts, 1_200_000);
        fs::write(folder.path().join("left-behind.part"), "by a kill").unwrap();
        let later = Parts::open(folder.path(), "another boot").unwrap();
        assert_eq!(names(folder.path()), 0);
        let (fresh, found) = later.begin(&key(), Seen::default()).unwrap();
        assert_eq!((fresh.have(), found), (0, None));
        drop(fresh);
        assert_eq!(names(folder.path()), 0);
    }

    #[test]
    fn a_part_longer_than_its_whole_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        leave(&parts, 1_000_001);
        let (part, found) = parts.begin(&key(), Seen::default()).unwrap();
        assert_eq!((part.have(), found, part.observer().0.len()), (0, None, 0));
    }

    #[test]
    fn a_restarted_part_forgets_its_bytes_and_its_note() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        let (mut part, _) = parts.begin(&key(), Seen::default()).unwrap();
        part.write(&vec![7; 1_100_000]).unwrap();
        part.note(&note(1_200_000)).unwrap();
        part.restart().unwrap();
        part.write(&[1, 2, 3]).unwrap();
        let (whole, seen) = part.finish().unwrap().open();
        assert_eq!(seen.0, [1, 2, 3]);
        assert_eq!(fs::read(whole.path()).unwrap(), [1, 2, 3]);
    }

    /// A sound image of 300,000 bytes that waits for its name.
    fn waiting(parts: &Parts, image: &str) -> CompleteFile {
        let (mut part, _) = parts.begin(&key_of(image), Seen::default()).unwrap();
        part.write(&vec![7; 300_000]).unwrap();
        part.note(&note(300_000)).unwrap();
        let mut whole = part.finish().unwrap().open().0.mark_verified();
        whole.mark_pending(&ResumeInfo {
            etag: None,
            ..note(300_000)
        });
        whole
    }

    #[test]
    fn images_that_wait_share_a_sheet_before_a_kill_could_cost_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        // The third is too much, on its way still, so that the two before it are written down.
        let waiting = ["a", "b", "c", "d"].map(|image| waiting(&parts, image));
        assert_eq!(names(folder.path()), 5);
        // Killed: nobody removes anything. A start that is killed as well may leave half a note.
        std::mem::forget(waiting);
        fs::write(note_path(&parts.path(PartId::of(&key_of("b")))), "{").unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        assert_eq!(names(folder.path()), 4);
        for (image, have) in [("a", 300_000), ("b", 300_000), ("c", 0), ("d", 0)] {
            let (part, found) = parts.begin(&key_of(image), Seen::default()).unwrap();
            assert_eq!(
                (part.have(), found.map_or(0, |note| note.length)),
                (have, have),
                "{image}"
            );
        }
        Parts::open(folder.path(), "another boot").unwrap();
        assert_eq!(names(folder.path()), 0);
    }

    #[test]
    fn a_sheet_goes_with_the_last_of_its_images_and_stays_for_one_that_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        for is_left in [false, true] {
            let [last, placed, unnoted] = ["a", "b", "c"].map(|image| waiting(&parts, image));
            assert_eq!(names(folder.path()), 4);
            fs::remove_file(placed.path()).unwrap();
            placed.moved();
            drop(unnoted);
            assert_eq!(names(folder.path()), 2);
            if is_left {
                drop(last);
            } else {
                last.discard();
            }
            assert_eq!(names(folder.path()), if is_left { 2 } else { 0 });
        }
        let parts = Parts::open(folder.path(), "boot").unwrap();
        assert_eq!(
            parts.begin(&key_of("a"), Seen::default()).unwrap().0.have(),
            300_000
        );
    }

    #[test]
    fn a_sheet_speaks_of_whole_parts_beside_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "boot").unwrap();
        std::mem::forget(["a", "b", "c"].map(|image| waiting(&parts, image)));
        let mut files = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let sheet = files
            .find(|path| path.extension().unwrap() == "notes")
            .unwrap();
        let [a, b] = ["a", "b"].map(|image| parts.path(PartId::of(&key_of(image))));
        fs::write(&a, "shorter by now").unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(&b, elsewhere.join("b.part")).unwrap();
        let told = fs::read_to_string(&sheet).unwrap();
        let b = b.file_name().unwrap().to_str().unwrap();
        fs::write(
            &sheet,
            format!("no note\n{}", told.replace(b, "elsewhere/b.part")),
        )
        .unwrap();
        Parts::open(folder.path(), "boot").unwrap();
        // The folder, which is none of ours, and what lies in it.
        assert_eq!((names(folder.path()), names(&elsewhere)), (1, 1));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_a_part_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        let parts = Parts::open(&folder.path().join("parts"), "boot").unwrap();
        std::os::unix::fs::symlink(&victim, parts.path(PartId::of(&key()))).unwrap();
        let (mut part, _) = parts.begin(&key(), Seen::default()).unwrap();
        part.write(&[9; 100]).unwrap();
        part.finish().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }
}
