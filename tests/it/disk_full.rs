//! Full, read-only and inaccessible disks, and limits on file size, file descriptors and memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;

use crate::support::mirror::{GOT, Mirror, parts};
use crate::support::mount::Mount;
use crate::support::program::Sandbox;

/// A place that gets full, and how room is made there.
struct Place {
    made: fn(&Sandbox) -> Mount,
    mended: fn(&Sandbox, &Mount),
    /// How many images of how many bytes do not fit.
    images: (usize, usize),
}

const PLACES: [Place; 3] = [
    Place {
        made: |world| Mount::memory(&world.work().join(GOT), "size=3m"),
        mended: |_, disk| disk.remount("size=64m"),
        images: (20, 300_000),
    },
    Place {
        made: |world| Mount::memory(&world.work().join(GOT), "size=64m,nr_inodes=18"),
        mended: |_, disk| disk.remount("size=64m,nr_inodes=1000"),
        images: (20, 1_000),
    },
    Place {
        made: |world| {
            let disk = Mount::ext4(
                &world.work().join(GOT),
                &world.home().join("image"),
                16 << 20,
            );
            fs::write(
                world.work().join(GOT).join("lost+found/lead"),
                vec![1; 10 << 20],
            )
            .unwrap();
            disk
        },
        mended: |world, _| fs::remove_file(world.work().join(GOT).join("lost+found/lead")).unwrap(),
        images: (20, 300_000),
    },
];

#[test]
fn disk_full_ends_the_run_and_the_next_run_completes_once_space_is_freed() {
    let jobs = 4;
    for Place {
        made,
        mended,
        images: (count, bytes),
    } in PLACES
    {
        let (world, mirror) = (Sandbox::new(), Mirror::of_length(count, bytes));
        let disk = made(&world);
        // Not so quick that everything is one group, which would go as a whole.
        let slow = [
            "--json",
            "--min-free-space",
            "0",
            "--wait",
            "60ms",
            "-j",
            &jobs.to_string(),
        ];
        let program = mirror.fetch(&world).args(slow);
        let watched = "trace=openat,write,writev,pwrite64,sendto,sendmsg";
        let strace = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-s",
            "16",
            "-o",
            "calls",
            "-e",
            watched,
        ];
        let ended = program.under(strace).run();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        let due = ["error: ", "make room"];
        assert!(due.iter().all(|due| last.contains(due)), "{}", ended.stderr);
        assert!(
            last.contains("No space left on device") || last.contains("disk is full"),
            "{}",
            ended.stderr
        );
        let calls = fs::read_to_string(world.work().join("calls")).unwrap();
        let after = calls
            .lines()
            .skip_while(|call| !call.contains(" = -1 ENOSPC"));
        let asked = after.filter(|call| call.contains("\"GET /")).count();
        assert!(asked <= jobs, "{asked} requests after the first error");
        let kept = mirror.kept(&world);
        assert!(
            !kept.is_empty() && kept.len() < count,
            "{} images: {}",
            kept.len(),
            ended.stderr
        );
        assert!(parts(&world).is_empty());
        mended(&world, &disk);
        mirror.hold_completed(&world);
    }
}

#[test]
fn file_size_ulimit_is_reported_like_a_full_disk() {
    let (world, mut mirror) = (Sandbox::new(), Mirror::of(10));
    mirror.lengthen(4..5, 900_000);
    for (limit, cause) in [
        ("--fsize=400000", "allow larger files (`ulimit -f`)"),
        ("--fsize=30000", "ledger.db"),
    ] {
        let ended = mirror.fetch(&world).under(["prlimit", limit]).run();
        assert_eq!(
            (ended.code, ended.signal),
            (Some(4), None),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains(cause), "{}", ended.stderr);
    }
    mirror.hold_completed(&world);
}

#[test]
fn disk_too_full_for_the_ledger_is_reported_as_a_full_disk() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(2));
    let fetch = || mirror.fetch(&world).args(["--min-free-space", "0"]);
    // The first have no room for a part of what the ledger needs, the others no inode for one of its files.
    let sizes = ["4k", "16k", "24k", "32k", "40k", "64k"].map(|size| format!("size={size}"));
    let inodes = (2..=7).map(|count| format!("size=1m,nr_inodes={count}"));
    for options in sizes.into_iter().chain(inodes) {
        let disk = Mount::memory(&world.work().join(GOT), &options);
        let ended = fetch().run();
        assert_eq!(ended.code, Some(4), "{options}: {}", ended.stderr);
        let due = ["error: ", "make room and run again"];
        assert!(
            due.iter().all(|due| ended.stderr.contains(due)) && !ended.stderr.contains("I/O error"),
            "{options}: {}",
            ended.stderr
        );
        let full = ["No space left on device", "disk is full"];
        assert!(
            full.iter().any(|full| ended.stderr.contains(full)),
            "{options}: {}",
            ended.stderr
        );
        disk.remount("size=16m,nr_inodes=1000");
        let ended = fetch().run();
        assert_eq!(ended.code, Some(0), "{options}: {}", ended.stderr);
        // What was saved can be read on a disk that is full to the last byte.
        let mut filler = fs::File::create(world.work().join(GOT).join("filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &vec![1; 65_536]).is_ok() {}
        for command in [&["ledger", "stats"][..], &["verify"]] {
            let ended = world.wallhaul().args(command).args(["-d", GOT]).run();
            assert_eq!(ended.code, Some(0), "{options}: {}", ended.stderr);
        }
        drop(filler);
    }
}

#[test]
fn read_only_disk_is_reported_before_any_request() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(3));
    let disk = Mount::memory(&world.work().join(GOT), "size=8m,ro");
    // Once without a collection on it and once with one.
    for _ in 0..2 {
        let ended = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("Read-only file system"),
            "{}",
            ended.stderr
        );
        assert_eq!(mirror.nginx.requests(), []);
        disk.remount("rw");
        mirror.hold_completed(&world);
        mirror.nginx.forget();
        disk.remount("ro");
    }
    for command in [&["ledger", "stats"][..], &["verify"]] {
        let ended = world.wallhaul().args(command).args(["-d", GOT]).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn permission_denied_is_reported_before_any_request() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(3));
    let got = world.work().join(GOT);
    fs::create_dir(&got).unwrap();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // Root without its rights: modes hold for it as for anybody.
    let plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let hold_refused = |closed: &Path, open: u32| {
        mirror.nginx.forget();
        mode(closed, open & 0o555);
        let ended = mirror.fetch(&world).under(plain).run();
        mode(closed, open);
        assert_eq!(
            ended.code,
            Some(4),
            "{}: {}",
            closed.display(),
            ended.stderr
        );
        assert!(ended.stderr.contains(GOT), "{}", ended.stderr);
        assert_eq!(mirror.nginx.requests(), [], "{}", closed.display());
    };
    hold_refused(&got, 0o755);
    mirror.hold_completed(&world);
    let ours = got.join(".wallhaul");
    for (closed, open) in [
        (ours.clone(), 0o755),
        (ours.join("parts"), 0o755),
        (ours.join("lock"), 0o644),
        (ours.join("ledger.db"), 0o644),
    ] {
        hold_refused(&closed, open);
    }
    mirror.hold_completed(&world);
}

#[test]
fn file_descriptor_limit_slows_or_ends_a_run_and_loses_nothing() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(30));
    // What may be had is taken.
    let ended = mirror
        .fetch(&Sandbox::new())
        .args(["-j", "30", "-R", "0"])
        .under(["prlimit", "--nofile=24:4096"])
        .run();
    assert_eq!(
        (ended.code, ended.stderr.contains("failed ")),
        (Some(0), false),
        "{}",
        ended.stderr
    );
    for limit in [8, 14, 18, 22, 26, 40] {
        let limit = format!("--nofile={limit}:{limit}");
        let ended = mirror
            .fetch(&world)
            .args(["--json"])
            .under(["prlimit", &limit])
            .run();
        assert!(
            matches!(ended.code, Some(0 | 1 | 3 | 4)),
            "{limit}: {ended:?}"
        );
        assert!(
            !ended.stderr.contains("panicked"),
            "{limit}: {}",
            ended.stderr
        );
        assert_eq!(
            ended.code == Some(0),
            ended.stderr.is_empty() || mirror.kept(&world).len() == 30,
            "{ended:?}"
        );
    }
    mirror.hold_completed(&world);
}

#[test]
fn file_descriptor_shortage_for_a_part_is_retried() {
    let mirror = Mirror::of(3);
    let key = format!(
        "simpledesktops https://static.simpledesktops.com{}",
        mirror.gallery.originals[1].path
    );
    let part = format!(
        "{GOT}/.wallhaul/parts/{}.part",
        &blake3::hash(key.as_bytes()).to_hex()[..32]
    );
    // Each of the program's threads misses one, or all.
    for (retries, missed, code) in [("9", "1", 0), ("1", "1+", 1)] {
        let world = Sandbox::new();
        let inject = format!("inject=openat:error=EMFILE:when={missed}");
        let path = world.work().join(&part);
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "calls",
            "-e",
            "trace=openat",
            "-e",
            &inject,
            "-P",
        ];
        let strace = strace.into_iter().chain([path.to_str().unwrap()]);
        let absolute = world.work().join(GOT);
        let program = world.wallhaul().args([
            "fetch",
            "--base-url",
            &mirror.nginx.origin(),
            "--retry-wait",
            "1ms",
            "-d",
        ]);
        let ended = program
            .args([absolute])
            .args(["-R", retries])
            .under(strace)
            .run();
        let calls = fs::read_to_string(world.work().join("calls")).unwrap();
        assert_eq!(ended.code, Some(code), "{} {calls}", ended.stderr);
        assert!(calls.contains("EMFILE"), "{calls}");
        assert_eq!(
            ended.stderr.contains("Too many open files"),
            code == 1,
            "{}",
            ended.stderr
        );
        mirror.hold_completed(&world);
        mirror.nginx.forget();
    }
}

#[test]
fn out_of_memory_is_reported_and_loses_nothing() {
    let mirror = Mirror::of_length(10, 300_000);
    for megabytes in [40, 45, 50, 60, 80, 100] {
        let world = Sandbox::new();
        let limit = format!("--as={}", megabytes * 1_000_000);
        let ended = mirror.fetch(&world).under(["prlimit", &limit]).run();
        // An allocation that is refused ends the process there and then.
        let refused =
            ended.signal == Some(Signal::ABORT) || matches!(ended.code, Some(1 | 3 | 4 | 127));
        assert!(
            ended.code == Some(0) || refused && !ended.stderr.is_empty(),
            "{megabytes} MB: {ended:?}"
        );
        mirror.hold_completed(&world);
    }
}
