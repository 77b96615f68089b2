//! What a run costs, in counts that do not depend on the machine's load: requests, bytes,
//! connections, system calls, threads, allocations, memory.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::gallery::Gallery;
use crate::support::nginx::Nginx;
use crate::support::program::{ProgramOutput, Sandbox, WALLHAUL, files};

/// Ten full pages.
const IMAGES: usize = 280;

/// A site, and a world to fetch it in.
struct Site {
    world: Sandbox,
    folder: TempDir,
    gallery: Gallery,
    nginx: Nginx,
}

impl Site {
    fn of(images: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gallery = Gallery::lay(folder.path(), "", images);
        let nginx = Nginx::serve(
            folder.path(),
            "location = /.connection { access_log off; return 200 $connection; }",
        );
        Self {
            world: Sandbox::new(),
            folder,
            gallery,
            nginx,
        }
    }

    /// The same with originals of that many bytes, all but the few whose names a server has to decode.
    fn of_length(images: usize, bytes: u64) -> Self {
        let site = Self::of(images);
        for path in site
            .gallery
            .originals
            .iter()
            .map(|original| &original.path)
            .filter(|path| !path.contains('%'))
        {
            // What stands behind an image's end mark is kept as served.
            let file = OpenOptions::new()
                .write(true)
                .open(site.file(path))
                .expect("an original");
            file.set_len(bytes).expect("room for holes");
        }
        site
    }

    /// The file that a server has at `path`.
    fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// Fetches it all, run by the program that `above` begins with if there is any: what was said on stdout.
    fn fetch(&self, above: &[&str], jobs: usize) -> String {
        let ended = self.ended(above, jobs);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    }

    fn ended(&self, above: &[&str], jobs: usize) -> ProgramOutput {
        let origin = self.nginx.origin();
        let jobs = jobs.to_string();
        let own = [
            WALLHAUL,
            "fetch",
            "simpledesktops",
            "--base-url",
            &origin,
            "-d",
            "collection",
            "-j",
            &jobs,
        ];
        let all = [above, &own].concat();
        let ended = self.world.program(all[0]).args(&all[1..]).run();
        let kept = files(&self.world.work().join("collection")).len();
        assert_eq!(kept, self.gallery.originals.len(), "{}", ended.stderr);
        ended
    }

    /// Fetches it all and answers with every system call that was made on the way.
    fn traced(&self, jobs: usize) -> Vec<Call> {
        self.fetch(&["strace", "-f", "-y", "-s", "0", "-o", "calls"], jobs);
        let calls = fs::read_to_string(self.world.work().join("calls")).expect("what strace wrote");
        calls.lines().filter_map(Call::read).collect()
    }

    /// Fetches it all and answers with the most memory that was resident, in kilobytes.
    fn peak(&self, jobs: usize) -> u64 {
        let script = "import resource, subprocess, sys\n\
                      subprocess.check_call(sys.argv[1:])\n\
                      print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
        self.fetch(&["python3", "-c", script], jobs)
            .trim()
            .parse()
            .expect("a number")
    }

    /// Fetches it all and answers how often memory was allocated, also for what has grown.
    #[cfg(not(feature = "jemalloc"))]
    fn allocations(&self, jobs: usize) -> usize {
        let own = ["env", "LD_PRELOAD=libmemusage.so", "MEMUSAGE_NO_TIMER=1"];
        // It says its figures at the end, and may then trip over a thread that still frees memory: no exit code is asked for.
        let said = self.ended(&own, jobs).stderr;
        // "malloc|  18170  ...", in colours.
        let calls = |name: &str| {
            let counts = said.split_once(&format!("{name}|"));
            let (_, counts) = counts.unwrap_or_else(|| panic!("no count of {name}: {said}"));
            let number = counts
                .split_whitespace()
                .find_map(|word| word.parse::<usize>().ok());
            number.expect("a number")
        };
        calls(" malloc") + calls("realloc") + calls(" calloc")
    }

    /// How many connections nginx has seen, this one among them.
    fn connections(&self) -> usize {
        let (_status, number) = self.nginx.get("/.connection");
        String::from_utf8_lossy(&number).parse().expect("a number")
    }
}

/// How many pages are asked for before the one in front of them is read; nobody knows the last one before that.
fn pages_ahead(jobs: usize) -> usize {
    1 + jobs.div_ceil(28)
}

/// A system call.
struct Call {
    name: String,
    /// What it was given: names of files, and descriptors with what they stand for.
    given: String,
}

impl Call {
    /// Reads a line of strace's; none where it is about something else, or the end of a call that was counted.
    fn read(line: &str) -> Option<Self> {
        let (_process, call) = line.split_once(' ')?;
        let (name, given) = call.trim_start().split_once('(')?;
        let is_call = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_call.then(|| Self {
            name: name.to_owned(),
            given: given.to_owned(),
        })
    }

    /// Whether it concerns the collection's folder or what lies in it, the ledger aside.
    fn is_of_images(&self) -> bool {
        let collection = ["collection\"", "collection/", "collection>"]
            .iter()
            .any(|name| self.given.contains(name));
        collection && !self.is_of_ledger()
    }

    fn is_of_ledger(&self) -> bool {
        self.given.contains("/ledger.db")
    }

    /// Whether it waits for a disk.
    fn is_flush(&self) -> bool {
        matches!(
            &*self.name,
            "fsync" | "fdatasync" | "syncfs" | "sync" | "sync_file_range" | "msync"
        )
    }

    /// Whether it asks how much is free on one.
    fn is_look_for_room(&self) -> bool {
        matches!(&*self.name, "fstatfs" | "statfs")
    }
}

/// How many calls there are of each name.
fn by_name<'a>(calls: impl Iterator<Item = &'a Call>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(&*call.name).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_listing_and_the_originals_each_once() {
        let (site, jobs) = (Site::of(IMAGES), 16);
        site.fetch(&[], jobs);
        let requests = site.nginx.requests();
        let mut asked: Vec<&str> = requests.iter().map(|request| &*request.path).collect();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), requests.len(), "something was asked for twice");
        let pages = site.gallery.pages;
        let listing: Vec<String> = (1..=pages + 1 + pages_ahead(jobs))
            .map(|page| format!("/browse/{page}/"))
            .collect();
        let (needed, ahead) = listing.split_at(pages + 1);
        let originals = site.gallery.originals.iter().map(|original| &original.path);
        let needed: Vec<&str> = needed
            .iter()
            .chain(originals)
            .map(String::as_str)
            .chain(["/robots.txt"])
            .collect();
        assert!(needed.iter().all(|path| asked.binary_search(path).is_ok()));
        let beyond = asked.iter().filter(|path| !needed.contains(path));
        let strange: Vec<_> = beyond
            .filter(|path| !ahead.iter().any(|page| page == *path))
            .collect();
        assert!(strange.is_empty(), "{strange:?}");

        let sent: u64 = requests
            .iter()
            .filter(|request| request.status == 200)
            .map(|request| request.sent)
            .sum();
        let length = |path: &str| site.file(path).metadata().map_or(0, |found| found.len());
        let read = |page: usize| length(&format!("/browse/{page}/index.html"));
        let kept = files(&site.world.work().join("collection"));
        let bytes: u64 = (1..=pages).map(read).sum::<u64>()
            + kept.values().map(|image| image.len() as u64).sum::<u64>();
        assert_eq!(sent, bytes);
    }

    #[test]
    fn requests_of_a_second_run_are_the_listing_alone() {
        let (site, jobs) = (Site::of(IMAGES), 16);
        site.fetch(&[], jobs);
        let first = site.nginx.requests().len();
        site.fetch(&[], jobs);
        let requests = site.nginx.requests().split_off(first);
        let listing = requests
            .iter()
            .filter(|request| request.path.starts_with("/browse/"))
            .count();
        let least = site.gallery.pages + 1;
        assert!(
            (least..=least + pages_ahead(jobs)).contains(&listing),
            "{listing}"
        );
        assert_eq!(requests.len(), listing + 1, "{requests:?}");
    }

    #[test]
    fn connections_are_reused_for_many_requests() {
        let (site, jobs) = (Site::of(IMAGES), 16);
        let before = site.connections();
        site.fetch(&[], jobs);
        let opened = site.connections() - before - 1;
        // One a job, one a page on its way, and a few for a pool that gets one back a moment too late.
        let enough = jobs + pages_ahead(jobs) + 1;
        assert!(
            opened <= enough + 5,
            "{opened} connections, where {enough} are enough"
        );
    }

    #[test]
    fn system_calls_on_disk_per_image_are_open_write_close_rename() {
        let at_rest =
            |call: &&Call| call.is_of_images() && !call.is_flush() && !call.is_look_for_room();
        let (few, many) = (
            Site::of(IMAGES / 10).traced(16),
            Site::of(IMAGES).traced(16),
        );
        let (few, mut more) = (
            by_name(few.iter().filter(at_rest)),
            by_name(many.iter().filter(at_rest)),
        );
        for (name, count) in &mut more {
            *count = count.saturating_sub(few.get(name).copied().unwrap_or_default());
        }
        // A build with debug assertions looks at each descriptor before it closes it.
        more.remove("fcntl");
        more.retain(|_name, count| *count > 0);
        let once = IMAGES - IMAGES / 10;
        assert_eq!(
            more,
            BTreeMap::from([
                ("close", once),
                ("openat", once),
                ("renameat2", once),
                ("write", once)
            ])
        );
    }

    #[test]
    fn system_calls_send_each_request_once_and_flush_a_group_once() {
        let site = Site::of(IMAGES);
        let calls = site.traced(16);
        let sent = calls
            .iter()
            .filter(|call| matches!(&*call.name, "writev" | "sendto" | "sendmsg"));
        assert_eq!(sent.count(), site.nginx.requests().len());

        let flushes: Vec<&Call> = calls.iter().filter(|call| call.is_flush()).collect();
        assert!(flushes.len() <= IMAGES / 4, "{} flushes", flushes.len());
        let of_one = flushes
            .iter()
            .find(|call| call.given.contains(".part") || call.given.contains(".png"));
        assert!(
            of_one.is_none(),
            "{:?} was flushed by itself",
            of_one.map(|call| &call.given)
        );
        let groups = flushes.iter().filter(|call| call.name == "syncfs").count();
        assert!(groups > 0, "nothing was made durable");
        // Once for every group, and at the start: for the size of the disk, for what is free, and for the first bytes.
        let looks = calls.iter().filter(|call| call.is_look_for_room()).count();
        assert!(
            looks <= groups + 3,
            "{looks} looks how much is free, for {groups} groups"
        );
    }

    // Nobody else sees what jemalloc does.
    #[cfg(not(feature = "jemalloc"))]
    #[test]
    fn allocations_per_image_stay_few() {
        let more = || {
            let (few, many) = (Site::of(IMAGES / 10), Site::of(IMAGES));
            many.allocations(16).saturating_sub(few.allocations(16))
        };
        // How many groups there are is a matter of load.
        let each = more().min(more()) / (IMAGES - IMAGES / 10);
        // 113 when this was written: everything from a part of its page to its row in the ledger.
        assert!((1..130).contains(&each), "{each} allocations an image");
    }

    #[test]
    fn system_calls_that_wait_for_another_thread_are_fewer_than_images() {
        let waits = |site: &Site| {
            let calls = site.traced(16);
            calls.iter().filter(|call| call.name == "futex").count()
        };
        let (few, many) = (waits(&Site::of(IMAGES / 10)), waits(&Site::of(IMAGES)));
        let images = IMAGES - IMAGES / 10;
        // Some 120 when this was written: an image goes by several threads, and a group of them wakes each once.
        assert!(many <= few + images, "{few} and {many} for {images} more");
    }

    #[test]
    fn threads_stay_few_with_64_jobs() {
        let calls = Site::of(IMAGES).traced(64);
        let begun = calls
            .iter()
            .filter(|call| call.name.starts_with("clone"))
            .count();
        assert!(begun <= 16, "{begun} threads");
    }

    #[test]
    fn memory_does_not_grow_with_image_size_or_collection() {
        let small = Site::of_length(IMAGES, 20_000).peak(16);
        assert!(small < 32_000, "{small} KB for small images");
        let large = Site::of_length(IMAGES / 10, 4_000_000).peak(16);
        assert!(
            large < 32_000,
            "{large} KB for large images, of which 64,000 KB were on their way at a time"
        );
    }
}
