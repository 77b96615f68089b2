//! Clock jumps, wrong clocks, and a program that was stopped (SIGSTOP) for a while.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::large_png::large_png;
use crate::support::mirror::{Mirror, assert_whole, collection};
use crate::support::program::{Program, Sandbox};
use crate::support::request_gate::RequestGate;
use crate::support::until;

const DAY: i64 = 24 * 60 * 60;

/// A wall clock that a test can turn; the time that only goes on, which nobody can turn, goes on.
struct Clock(PathBuf);

impl Clock {
    /// A clock in `world` that is so many seconds off.
    fn off(world: &Sandbox, seconds: i64) -> Self {
        let clock = Self(world.home().join("clock"));
        clock.turn(seconds);
        clock
    }

    fn turn(&self, seconds: i64) {
        let next = self.0.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n")).unwrap();
        fs::rename(next, &self.0).unwrap();
    }

    fn before(&self, program: Program) -> Program {
        program
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.0)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }
}

/// Where faketime's library lies: in a folder named after the machine.
fn library() -> PathBuf {
    let machines = fs::read_dir("/usr/lib")
        .expect("a folder of libraries")
        .flatten();
    let mut libraries = machines.map(|machine| machine.path().join("faketime/libfaketimeMT.so.1"));
    libraries
        .find(|library| library.exists())
        .expect("faketime; tests/run installs it")
}

fn started(world: &Sandbox) -> String {
    let lines = fs::read_to_string(world.work().join("got/.wallhaul/lock")).unwrap();
    lines.split_once(' ').unwrap().1[..4].to_owned()
}

#[test]
fn clock_jump_during_a_run_changes_no_retry_or_timeout() {
    let busy = "location /uploads/ { if (-f $document_root/busy) { return 503; } }";
    for years in [-20, 40] {
        let (world, mirror) = (Sandbox::new(), Mirror::with(4, busy));
        mirror.put("/busy", b"");
        let clock = Clock::off(&world, 0);
        let flags = [
            "-j",
            "2",
            "--retries",
            "12",
            "--retry-wait",
            "200ms",
            "--stall-timeout",
            "1h",
        ];
        let running = clock.before(mirror.fetch(&world)).args(flags).start();
        // Each image waits for its next try while the clock is turned: by the wall that would be years.
        until("the busy answers", || {
            (mirror.originals_asked().len() >= 4).then_some(())
        });
        clock.turn(years * 365 * DAY);
        mirror.take("/busy");
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{years} years: {}", ended.stderr);
        assert_whole(&world, &mirror);
        let verified = world.wallhaul().args(["verify", "-d", "got"]).run();
        assert_eq!(
            (verified.code, verified.stdout.as_str()),
            (Some(0), ""),
            "{}",
            verified.stderr
        );
    }
}

#[test]
fn clock_years_off_causes_no_second_fetch() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(10));
    let gone = mirror.gallery.originals[3].path.clone();
    mirror.take(&gone);
    let clock = Clock::off(&world, 0);
    assert_eq!(clock.before(mirror.fetch(&world)).run().code, Some(1));
    let year = |clock: &Clock| {
        let ended = clock.before(mirror.fetch(&world)).run();
        (ended.code, started(&world))
    };
    let (_, this_year) = year(&clock);
    // What is gone is left alone for thirty days of the wall's clock, and asked for again after that; nothing else is.
    for (days, due) in [(-365 * 20, 0), (29, 0), (31, 1), (365 * 40, 1)] {
        clock.turn(days * DAY);
        mirror.nginx.forget();
        let (code, then) = year(&clock);
        assert_eq!(
            mirror.originals_asked(),
            vec![gone.clone(); due],
            "{days} days"
        );
        assert_eq!(
            (code, then != this_year || days.abs() < 365),
            (Some(i32::try_from(due).unwrap()), true),
            "{days}"
        );
        assert_eq!(collection(&world).len(), 9);
    }
}

#[test]
fn sigstop_for_a_while_retries_requests_that_hit_a_timeout() {
    let (gate, world) = (RequestGate::closed(), Sandbox::new());
    let mirror = Mirror::with(
        3,
        &format!("send_timeout 300ms; {}", gate.before("/uploads/")),
    );
    let path = mirror.gallery.originals[1].path.clone();
    let large = large_png(1, 24_000_000);
    mirror.put(&path, &large);
    let running = mirror.fetch(&world).args(["-j", "3"]).start();
    until("three images that are waited for", || {
        (gate.waiting() == 3).then_some(())
    });
    running.signal(Signal::STOP);
    gate.open();
    // More than what the system takes for a program that does not read.
    until("the server to have lost its patience", || {
        mirror
            .nginx
            .requests()
            .iter()
            .any(|request| request.path == path && request.sent < 24_000_000)
            .then_some(())
    });
    running.signal(Signal::CONT);
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(collection(&world).len(), 3);
    assert!(
        collection(&world)
            .values()
            .any(|hash| *hash == blake3::hash(&large))
    );
    assert!(ended.stderr.contains("1 retry"), "{}", ended.stderr);
}
