//! Power cuts during a run: with any part of it on the disk, files under a final name are right,
//! images reported as saved are there, and the next run fetches the rest.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use blake3::Hash;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::mirror::{GOT, Mirror, collection};
use crate::support::mount::Mount;
use crate::support::program::Sandbox;
use crate::support::recorded_disk::{DiskRequest, LogEntry, RecordedDisk};

const IMAGES: usize = 40;

/// A run that was undisturbed, and all that its disk was sent meanwhile.
struct Run {
    disk: RecordedDisk,
    log: Vec<LogEntry>,
    /// Its JSON lines.
    stdout: String,
    /// What came of it.
    names: BTreeMap<String, Hash>,
    _folder: TempDir,
    _world: Sandbox,
}

impl Run {
    fn record(mirror: &Mirror, sync: &str) -> Self {
        let (world, folder) = (Sandbox::new(), tempfile::tempdir().unwrap());
        let got = world.work().join(GOT);
        fs::create_dir(&got).unwrap();
        let disk = RecordedDisk::mounted(&got, folder.path(), 32 << 20);
        // Not too quick, so that there is more than one group.
        let slow = [
            "--json",
            "-j",
            "3",
            "--wait",
            "15ms",
            "--min-free-space",
            "0",
            "--sync",
            sync,
        ];
        let running = mirror.fetch(&world).args(slow).start();
        disk.listen_to(&running.stdout_file());
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let names = collection(&world);
        assert_eq!(names.len(), IMAGES);
        let log = std::mem::take(&mut *disk.log());
        Self {
            disk,
            log,
            stdout: ended.stdout,
            names,
            _folder: folder,
            _world: world,
        }
    }

    /// The names that were reported as saved before entry `cut`.
    fn reported(&self, cut: usize) -> Vec<String> {
        let length = usize::try_from(self.log[cut].reported).unwrap();
        let whole = self.stdout[..length]
            .rfind('\n')
            .map_or("", |end| &self.stdout[..end]);
        let events = whole
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let saved = events.filter(|event| event["outcome"] == "saved");
        saved
            .map(|event| event["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What is left when the power is cut before entry `cut`, as the disk of a new world. `luck` says how much of what
    /// was not flushed had left the cache by itself.
    fn cut(&self, cut: usize, luck: Luck) -> (Sandbox, TempDir, Mount) {
        let (world, folder) = (Sandbox::new(), tempfile::tempdir().unwrap());
        let image = folder.path().join("left");
        let mut dice = cut as u64;
        self.disk
            .cut(&self.log, cut, || luck.falls(&mut dice), &image);
        let left = Mount::image(&world.work().join(GOT), &image);
        (world, folder, left)
    }

    /// How many of the images that were reported as saved are not there after such a cut.
    fn lost(&self, cut: usize, luck: Luck) -> usize {
        let (world, _folder, _left) = self.cut(cut, luck);
        let there = collection(&world);
        self.reported(cut)
            .iter()
            .filter(|name| there.get(*name) != self.names.get(*name))
            .count()
    }

    /// Cuts the power before entry `cut` and runs again on what is left.
    fn hold(&self, mirror: &Mirror, cut: usize, luck: Luck) {
        let (world, folder, _left) = self.cut(cut, luck);
        let there = collection(&world);
        let wrong = there
            .iter()
            .find(|(name, hash)| self.names.get(*name) != Some(hash));
        assert!(
            wrong.is_none(),
            "cut at {cut}, {luck:?}: `{wrong:?}` is wrong"
        );
        let lost: Vec<_> = self
            .reported(cut)
            .into_iter()
            .filter(|name| !there.contains_key(name))
            .collect();
        assert!(
            lost.is_empty(),
            "cut at {cut}, {luck:?}: {lost:?} had been reported"
        );

        let kept = mirror.kept(&world);
        mirror.nginx.forget();
        let ended = started_anew(mirror, &world, folder.path());
        assert_eq!(ended, (Some(0), String::new()), "cut at {cut}, {luck:?}");
        assert_eq!(collection(&world), self.names, "cut at {cut}, {luck:?}");
        let mut due = mirror.originals();
        due.retain(|path| kept.binary_search(path).is_err());
        assert_eq!(mirror.originals_asked(), due, "cut at {cut}, {luck:?}");
        let ended = world.wallhaul().args(["verify", "-d", GOT]).run();
        assert_eq!(ended.code, Some(0), "cut at {cut}, {luck:?}: {ended:?}");
    }
}

/// The same command after the system started again, which has another number then.
fn started_anew(mirror: &Mirror, world: &Sandbox, folder: &Path) -> (Option<i32>, String) {
    let boot = folder.join("boot");
    fs::write(&boot, "another start\n").unwrap();
    let script = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let above = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        boot.to_str().unwrap(),
    ];
    let ended = mirror
        .fetch(world)
        .args(["-q", "--min-free-space", "0"])
        .under(above)
        .run();
    (ended.code, ended.stderr)
}

/// Which of the blocks that were not flushed are on the disk all the same.
#[derive(Debug, Clone, Copy)]
enum Luck {
    None,
    Half,
    All,
}

impl Luck {
    fn falls(self, dice: &mut u64) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Half => {
                *dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                *dice >> 63 == 1
            }
        }
    }
}

fn mirror() -> Mirror {
    Mirror::of_length(IMAGES, 30_000)
}

/// So many moments of the run, `WALLHAUL_TEST_ALL` for all of them, each with one kind of luck in turn.
fn moments(run: &Run, count: usize) -> Vec<(usize, Luck)> {
    let first = run
        .log
        .iter()
        .position(|entry| matches!(entry.sent, DiskRequest::Flush))
        .unwrap();
    let all = (first..run.log.len()).collect::<Vec<_>>();
    let step = if std::env::var_os("WALLHAUL_TEST_ALL").is_some() {
        1
    } else {
        all.len().div_ceil(count)
    };
    let lucks = [Luck::None, Luck::Half, Luck::All].into_iter().cycle();
    all.into_iter().rev().step_by(step).zip(lucks).collect()
}

/// That these cuts would show what is not flushed.
#[test]
fn power_cut_crash_with_sync_off_loses_saved_images() {
    let run = Run::record(&mirror(), "off");
    let cut = (0..run.log.len())
        .find(|&cut| !run.reported(cut).is_empty())
        .expect("something written after the first image");
    assert!(run.lost(cut, Luck::None) > 0, "nothing is lost at {cut}");
}

#[test]
fn power_cut_crash_at_any_moment_keeps_every_saved_image_and_no_bad_file() {
    let run = Run::record(&mirror(), "group");
    let groups = run
        .log
        .iter()
        .filter(|entry| matches!(entry.sent, DiskRequest::Flush))
        .count();
    assert!(groups > 10, "{groups} flushes");
    let moments = moments(&run, 12);
    // Two at a time, each with a server of its own.
    thread::scope(|scope| {
        for moments in moments.chunks(moments.len().div_ceil(2)) {
            let run = &run;
            scope.spawn(move || {
                let mirror = mirror();
                for &(cut, luck) in moments {
                    run.hold(&mirror, cut, luck);
                }
            });
        }
    });
}
