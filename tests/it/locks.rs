//! Several runs on one collection: one works, the others follow `--lock`, and nothing is done
//! twice.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use regex::Regex;
use rustix::process::Signal;

use crate::support::program::{Program, ProgramOutput, Running, Sandbox, WALLHAUL, files};
use crate::support::site::Site;
use crate::support::terminal::Terminal;
use crate::support::until;

const IMAGES: usize = 6;

/// What images in flight would be waited for; a wait for another run has none.
const GRACE: Duration = Duration::from_secs(3);

/// Where the collection lies, seen from where runs are started.
const FOLDER: &str = "wallpapers/simpledesktops";

/// A run that has the collection and cannot go on with it before the gate opens.
fn holder() -> (Sandbox, Site, Running) {
    let (world, site) = (Sandbox::new(), Site::closed(IMAGES, Site::IMAGES));
    let running = site.fetch(&world).start();
    until("the first run to ask for all there is", || {
        (site.gate.waiting() == IMAGES).then_some(())
    });
    (world, site, running)
}

/// Every command that needs the collection for itself.
fn takers(world: &Sandbox, site: &Site) -> [Program; 3] {
    let rebuild = world.wallhaul().args(["ledger", "rebuild"]);
    [
        site.fetch(world),
        site.visit(world, "verify").args(["--repair"]),
        rebuild,
    ]
}

fn assert_whole(world: &Sandbox, site: &Site) {
    assert_eq!(files(&world.work().join(FOLDER)).len(), IMAGES);
    assert_eq!(site.sent(), site.originals(), "each image was sent once");
}

#[test]
fn lock_lets_one_of_eight_runs_work_and_seven_exit_with_5() {
    let (world, site) = (Sandbox::new(), Site::closed(IMAGES, Site::IMAGES));
    let runs: [Running; 8] = std::array::from_fn(|_| site.fetch(&world).start());
    let refused = |running: &&Running| running.stderr().contains("is held by another run");
    until("seven runs to be refused", || {
        (runs.iter().filter(refused).count() == 7).then_some(())
    });
    site.gate.open();
    let mut codes = runs.map(|running| running.wait().code);
    codes.sort_unstable();
    assert_eq!(codes, [0, 5, 5, 5, 5, 5, 5, 5].map(Some));
    assert_whole(&world, &site);
}

#[test]
fn lock_wait_runs_eight_runs_one_by_one_without_duplicate_work() {
    let (world, site) = (Sandbox::new(), Site::closed(IMAGES, Site::IMAGES));
    let runs: [Running; 8] =
        std::array::from_fn(|_| site.fetch(&world).args(["-v", "--lock", "wait"]).start());
    let waits = |running: &&Running| running.stderr().starts_with("note: waiting for `");
    until("seven runs to wait", || {
        (runs.iter().filter(waits).count() == 7).then_some(())
    });
    site.gate.open();
    let ends = runs.map(Running::wait);
    assert!(ends.iter().all(|ended| ended.code == Some(0)), "{ends:?}");
    assert_eq!(
        ends.iter()
            .filter(|ended| ended.stderr.contains(": 6 found: 6 saved ("))
            .count(),
        1,
        "{ends:?}"
    );
    assert_whole(&world, &site);
}

/// Whether a run ended as it should.
type Judge<'a> = &'a dyn Fn(&ProgramOutput) -> bool;

#[test]
fn lock_flag_decides_for_every_command_when_the_collection_is_in_use() {
    let (world, site, first) = holder();
    let since = Regex::new(
        r"^error: `\S+/lock` is held by another run \(pid (\d+), since (\S+)\): wait .*\n$",
    )
    .unwrap();
    let lock = fs::read_to_string(world.work().join(FOLDER).join(".wallhaul/lock")).unwrap();
    let refused = |ended: &ProgramOutput| {
        let holder = since
            .captures(&ended.stderr)
            .map(|holder| format!("{} {}\n", &holder[1], &holder[2]));
        ended.code == Some(5) && ended.stdout.is_empty() && holder.as_ref() == Some(&lock)
    };
    let skipped = |ended: &ProgramOutput| {
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()) == (Some(0), "", "")
    };
    let cases: [(&[&str], Judge); 5] = [
        (&[], &refused),
        (&["--lock", "fail"], &refused),
        (&["--lock", "skip"], &skipped),
        (&["--lock=wait=300ms"], &refused),
        (&["--lock", "wait=0"], &refused),
    ];
    for (flags, due) in cases {
        for taker in takers(&world, &site) {
            let ended = taker.args(flags).run();
            assert!(due(&ended), "{flags:?}: {ended:?}");
        }
    }
    fs::write(world.work().join("config.toml"), "lock = \"skip\"\n").unwrap();
    for taker in takers(&world, &site) {
        let ended = taker.args(["--config", "config.toml"]).run();
        assert!(skipped(&ended), "the file: {ended:?}");
    }
    for taker in takers(&world, &site) {
        let ended = taker.env("WALLHAUL_LOCK", "skip").run();
        assert!(skipped(&ended), "the variable: {ended:?}");
    }
    site.gate.open();
    assert_eq!(first.wait().code, Some(0));
    assert_whole(&world, &site);
}

#[test]
fn lock_wait_ends_at_once_on_a_signal() {
    let (world, site, _first) = holder();
    let runs = takers(&world, &site).map(|taker| taker.args(["--lock", "wait"]).start());
    for running in &runs {
        until("a run that listens to signals", || {
            listens(running).then_some(())
        });
    }
    let signalled = Instant::now();
    for (signal, running) in [Signal::INT, Signal::TERM, Signal::HUP]
        .into_iter()
        .zip(&runs)
    {
        running.signal(signal);
    }
    let ends = runs.map(Running::wait);
    assert!(signalled.elapsed() < GRACE, "{:?}", signalled.elapsed());
    let ends = ends.map(|ended| (ended.code, ended.stdout, ended.stderr));
    assert_eq!(
        ends,
        [130, 143, 129].map(|code| (Some(code), String::new(), String::new()))
    );
}

/// Whether a run has come so far that it listens to signals.
fn listens(running: &Running) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    [Signal::HUP, Signal::INT, Signal::TERM]
        .iter()
        .all(|signal| caught >> (signal.as_raw() - 1) & 1 == 1)
}

#[test]
fn lock_wait_and_skip_are_explained_on_a_terminal() {
    let (world, site, first) = holder();
    let origin = site.nginx.origin();
    let line = |how| [WALLHAUL, "fetch", "--base-url", &origin, "--lock", how];
    let skips = Terminal::open(&world, (200, 10), &line("skip"));
    assert_eq!(skips.ended(), 0);
    let screen = skips.screen();
    assert!(
        screen.starts_with("note: nothing to do: `") && screen.contains("is held by another run"),
        "{screen}"
    );
    let waits = Terminal::open(&world, (200, 10), &line("wait"));
    waits.until("a word on the wait", |screen| {
        screen.contains("note: waiting for `")
    });
    site.gate.open();
    assert_eq!((waits.ended(), first.wait().code), (0, Some(0)));
    assert!(
        waits
            .screen()
            .contains("simpledesktops: 6 found: 6 already there"),
        "{}",
        waits.screen()
    );
}

#[test]
fn lock_file_left_by_a_crash_is_taken_over() {
    let (world, site, first) = holder();
    // As a crash leaves it; and as somebody's copy of the folder has it, with the id of a process that lives.
    drop(first);
    site.gate.open();
    let lock = world.work().join(FOLDER).join(".wallhaul/lock");
    until("the kernel to let go of the lock", || {
        (site.fetch(&world).run().code == Some(0)).then_some(())
    });
    for text in ["1 2026-01-01T00:00:00Z\n", "", "junk \u{1b}[2J"] {
        fs::write(&lock, text).unwrap();
        let ended = site.fetch(&world).run();
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{text:?}"
        );
    }
    assert_eq!(files(&world.work().join(FOLDER)).len(), IMAGES);
}

#[test]
fn lock_is_the_same_through_symlinks_and_relative_paths() {
    let (world, site, _first) = holder();
    symlink(world.work().join(FOLDER), world.work().join("link")).unwrap();
    for path in ["link", "./wallpapers/../wallpapers/simpledesktops/"] {
        assert_eq!(
            site.fetch(&world).args(["-d", path]).run().code,
            Some(5),
            "{path}"
        );
    }
}
