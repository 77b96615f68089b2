//! Signals: a run ends soon and cleanly, and the next one continues where it stopped.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::program::{Sandbox, WALLHAUL, files};
use crate::support::site::Site;
use crate::support::until;

/// Images in flight may take this long after the first signal.
const GRACE: Duration = Duration::from_secs(3);

/// A run that was signalled is over within 5 s; twice that counts as hanging on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// How many images the collection in `world` holds.
fn kept(world: &Sandbox) -> usize {
    files(&world.work().join("wallpapers/simpledesktops")).len()
}

#[test]
fn signal_ends_a_run_with_a_hanging_server_and_the_next_run_fetches_only_the_rest() {
    let signals = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];
    let runs = signals.map(|(signal, code)| {
        let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
        let running = site.fetch(&world).args(["-j", "4"]).start();
        site.gate.admit(5);
        until("five images, and four that hang", || {
            (kept(&world) == 5 && site.gate.waiting() == 4).then_some(())
        });
        (signal, code, world, site, running)
    });
    let signalled = Instant::now();
    for (signal, _, _, _, running) in &runs {
        running.signal(*signal);
    }
    let ended = runs.map(|(_, code, world, site, running)| (code, running.wait(), world, site));
    assert!(signalled.elapsed() < SOON, "{:?}", signalled.elapsed());
    for (code, ended, world, site) in ended {
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(code), ""),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("simpledesktops: 40 found: 5 saved ("),
            "{}",
            ended.stderr
        );
        assert!(
            ended
                .stderr
                .contains("; 4 interrupted, 31 not started (run again to continue)"),
            "{}",
            ended.stderr
        );
        assert_eq!(kept(&world), 5);
        site.gate.open();
        let next = site.fetch(&world).run();
        assert_eq!((next.code, kept(&world)), (Some(0), 40), "{}", next.stderr);
        assert_eq!(site.sent(), site.originals());
    }
}

#[test]
fn signal_lets_images_in_flight_finish() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    let running = site.fetch(&world).args(["-j", "4"]).start();
    until("four images in flight", || {
        (site.gate.waiting() == 4).then_some(())
    });
    running.signal(Signal::INT);
    site.gate.admit(4);
    let ended = running.wait();
    assert_eq!(
        (ended.code, kept(&world)),
        (Some(130), 4),
        "{}",
        ended.stderr
    );
}

#[test]
fn second_signal_drops_images_in_flight_before_the_grace_period_ends() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    let running = site.fetch(&world).args(["-j", "4", "--json"]).start();
    until("four images in flight", || {
        (site.gate.waiting() == 4).then_some(())
    });
    let signalled = Instant::now();
    let ended = running.insist(Signal::INT);
    assert!(signalled.elapsed() < GRACE, "{:?}", signalled.elapsed());
    assert_eq!(
        (ended.code, kept(&world)),
        (Some(130), 0),
        "{}",
        ended.stderr
    );
    assert_eq!(
        ended.stdout.matches(r#""outcome":"interrupted""#).count(),
        4,
        "{}",
        ended.stdout
    );
}

#[test]
fn signal_while_waiting_for_the_listing_ends_without_a_grace_period() {
    let commands: [(&str, &[&str], Signal, i32); 5] = [
        ("fetch", &[], Signal::INT, 130),
        ("fetch", &[], Signal::TERM, 143),
        ("fetch", &[], Signal::HUP, 129),
        ("fetch", &["--dry-run"], Signal::INT, 130),
        ("urls", &[], Signal::TERM, 143),
    ];
    let runs = commands.map(|(command, flags, signal, code)| {
        let (world, site) = (Sandbox::new(), Site::closed(3, Site::LISTING));
        let running = site.visit(&world, command).args(flags).start();
        until("the first page being requested", || {
            (site.gate.waiting() > 0).then_some(())
        });
        (world, site, running, signal, code)
    });
    let signalled = Instant::now();
    for (_, _, running, signal, _) in &runs {
        running.signal(*signal);
    }
    for (_world, _site, running, _, code) in runs {
        let ended = running.wait();
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(code), "", "")
        );
    }
    assert!(signalled.elapsed() < GRACE, "{:?}", signalled.elapsed());
}

#[test]
fn signal_ignored_at_start_stays_ignored() {
    let (world, site) = (Sandbox::new(), Site::closed(3, Site::IMAGES));
    let line = "trap '' HUP; exec \"$0\" fetch --base-url \"$1\"";
    let running = world
        .program("/bin/sh")
        .args(["-c", line, WALLHAUL, &site.nginx.origin()])
        .start();
    until("three images in flight", || {
        (site.gate.waiting() == 3).then_some(())
    });
    running.signal(Signal::HUP);
    site.gate.open();
    assert_eq!((running.wait().code, kept(&world)), (Some(0), 3));
}

#[test]
fn signal_message_about_images_in_flight_needs_verbose_off_a_terminal() {
    let runs = [("-q", false), ("--progress=none", false), ("-v", true)].map(|(flag, is_shown)| {
        let (world, site) = (Sandbox::new(), Site::closed(5, Site::IMAGES));
        let running = site.fetch(&world).args(["-j", "2", flag]).start();
        until("two images in flight", || {
            (site.gate.waiting() == 2).then_some(())
        });
        running.signal(Signal::INT);
        (world, site, running, is_shown)
    });
    for (_world, site, running, is_shown) in runs {
        site.gate.admit(2);
        let ended = running.wait();
        let note = "note: finishing 2 images in flight; press Ctrl-C again to drop them\n";
        assert_eq!(
            (ended.code, ended.stderr.contains(note)),
            (Some(130), is_shown),
            "{}",
            ended.stderr
        );
    }
}
