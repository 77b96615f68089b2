//! A disk that records every write and flush, so that its content after a power cut at any moment
//! can be rebuilt.
//!
//! The kernel's loop device is backed by a file that this program serves itself (FUSE): what
//! arrives here is what a disk would receive, in the same order, without what is still in the page
//! cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::mount::{Mount, run};

/// A disk's smallest piece that is written whole.
const BLOCK: usize = 4096;

/// What the disk was sent.
pub(crate) enum DiskRequest {
    /// Bytes for this place.
    Write { at: u64, bytes: Vec<u8> },
    /// To put everything before it where no power cut reaches.
    Flush,
}

/// A request to the disk, and the length of the program's output file at that moment.
pub(crate) struct LogEntry {
    pub(crate) sent: DiskRequest,
    pub(crate) reported: u64,
}

/// A disk with a file system on it, mounted. Undone when dropped.
pub(crate) struct RecordedDisk {
    /// From the top down, as they are undone.
    _system: Mount,
    _file: Mount,
    store: Arc<BackingStore>,
    before: Vec<u8>,
}

struct BackingStore {
    file: File,
    size: u64,
    log: Mutex<Vec<LogEntry>>,
    /// The output file of the program.
    output: Mutex<Option<PathBuf>>,
}

impl RecordedDisk {
    /// An ext4 of so many bytes, as `mkfs` makes it, mounted at `at`; `folder` is for what it is made of.
    pub(crate) fn mounted(at: &Path, folder: &Path, size: u64) -> Self {
        let image = folder.join("platters");
        File::create(&image)
            .and_then(|file| file.set_len(size))
            .expect("a file for the disk");
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()]);
        let before = fs::read(&image).expect("the file just made");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&image)
            .expect("the file just made");
        let store = Arc::new(BackingStore {
            file,
            size,
            log: Mutex::default(),
            output: Mutex::default(),
        });
        let served = folder.join("disk");
        File::create(&served).expect("a file to mount on");
        let kernel = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .expect("FUSE, and root's rights");
        let handle = Stdio::from(kernel.try_clone().expect("a second handle"));
        let options = "fd=0,rootmode=100644,user_id=0,group_id=0";
        let file = Mount::with_stdin(
            &served,
            handle,
            &["-i", "-t", "fuse", "-o", options, "disk"],
        );
        let serving = Arc::clone(&store);
        thread::spawn(move || serving.serve(kernel));
        let source = served.to_str().expect("a plain path");
        let system = Mount::new(at, &["-t", "ext4", "-o", "loop", source]);
        Self {
            _system: system,
            _file: file,
            store,
            before,
        }
    }

    /// From now on records the length of this file with each request.
    pub(crate) fn listen_to(&self, output: &Path) {
        *self
            .store
            .output
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(output.to_owned());
    }

    /// Everything it was sent so far.
    pub(crate) fn log(&self) -> MutexGuard<'_, Vec<LogEntry>> {
        self.store.log()
    }

    /// Writes to `image` what lies on the disk when the power is cut before entry `cut` of `log`: all that was
    /// flushed, and of what was not, the blocks that `lucky` says had left the cache by themselves.
    pub(crate) fn cut(
        &self,
        log: &[LogEntry],
        cut: usize,
        mut lucky: impl FnMut() -> bool,
        image: &Path,
    ) {
        let flushed = log[..cut]
            .iter()
            .rposition(|entry| matches!(entry.sent, DiskRequest::Flush))
            .unwrap_or(0);
        let mut disk = self.before.clone();
        for (number, entry) in log[..cut].iter().enumerate() {
            let DiskRequest::Write { at, bytes } = &entry.sent else {
                continue;
            };
            let mut at = usize::try_from(*at).expect("a small disk");
            for block in bytes.chunks(BLOCK) {
                if number < flushed || lucky() {
                    disk[at..at + block.len()].copy_from_slice(block);
                }
                at += block.len();
            }
        }
        let mut file = File::create(image).expect("a file for what is left");
        file.set_len(self.store.size).expect("a file with holes");
        for (number, block) in disk
            .chunks(BLOCK)
            .enumerate()
            .filter(|(_, block)| block.iter().any(|byte| *byte != 0))
        {
            file.seek(SeekFrom::Start((number * BLOCK) as u64))
                .and_then(|_| file.write_all(block))
                .expect("room for it");
        }
    }
}

/// The most bytes of one write.
const LONGEST: usize = 128 * 1024;

/// The kernel's requests, by the numbers they have in `linux/fuse.h`.
mod ask {
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// "Function not implemented": the kernel asks no more.
const ENOSYS: i32 = 38;

impl BackingStore {
    fn log(&self) -> MutexGuard<'_, Vec<LogEntry>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the kernel until the file is unmounted.
    fn serve(&self, mut kernel: File) {
        let mut request = vec![0; LONGEST + BLOCK];
        // An interrupted read is only asked again; any other error is the end of the mount.
        loop {
            match kernel.read(&mut request) {
                Ok(length) => self.answer(&mut kernel, &request[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(2) => {}
                Err(_) => break,
            }
        }
    }

    fn answer(&self, kernel: &mut File, request: &[u8]) {
        let (what, about, body) = (word(request, 4), &request[8..16], &request[40..]);
        let answer = match what {
            ask::FORGET | ask::BATCH_FORGET | ask::INTERRUPT => return,
            ask::INIT => Ok(greeting()),
            ask::GETATTR | ask::SETATTR => Ok(self.attributes()),
            ask::OPEN => Ok(vec![0; 16]),
            ask::READ => Ok(self.read(long(body, 8), word(body, 16) as usize)),
            ask::WRITE => Ok(self.write(long(body, 8), &body[40..])),
            ask::FSYNC => {
                self.note(DiskRequest::Flush);
                Ok(Vec::new())
            }
            ask::FLUSH | ask::RELEASE => Ok(Vec::new()),
            _ => Err(-ENOSYS),
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(error) => (error, Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).expect("a short answer");
        let header = [&length.to_le_bytes()[..], &error.to_le_bytes(), about].concat();
        // One that was unmounted meanwhile wants no answer.
        let _ = kernel.write(&[header, body].concat());
    }

    fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let length =
            length.min(usize::try_from(self.size.saturating_sub(at)).expect("a small disk"));
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, at)
            .expect("what was written can be read");
        bytes
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Vec<u8> {
        self.file
            .write_all_at(bytes, at)
            .expect("room for the disk");
        self.note(DiskRequest::Write {
            at,
            bytes: bytes.to_vec(),
        });
        let written = u32::try_from(bytes.len()).expect("a short write");
        [written.to_le_bytes(), [0; 4]].concat()
    }

    fn note(&self, sent: DiskRequest) {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let reported = output
            .as_ref()
            .map_or(0, |path| fs::metadata(path).map_or(0, |found| found.len()));
        self.log().push(LogEntry { sent, reported });
    }

    fn attributes(&self) -> Vec<u8> {
        let longs = |numbers: &[u64]| {
            numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let words = |numbers: &[u32]| {
            numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        // Valid for an hour; number, size, blocks, three times; a plain file with one name.
        [
            longs(&[3600, 0, 1, self.size, self.size / 512, 0, 0, 0]),
            words(&[0, 0, 0, 0o100_644, 1, 0, 0, 0, 4096, 0]),
        ]
        .concat()
    }
}

/// Which protocol is spoken, and how long a write may be.
fn greeting() -> Vec<u8> {
    const BIG_WRITES: u32 = 1 << 5;
    let mut greeting = [7, 31, 0, BIG_WRITES].map(u32::to_le_bytes).concat();
    greeting.extend([0; 4]);
    greeting.extend(u32::try_from(LONGEST).expect("a short write").to_le_bytes());
    greeting.resize(64, 0);
    greeting
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
