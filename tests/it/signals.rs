//! Signals: a run ends soon and well, and the next one goes on where it stopped.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::program::{World, files};
use crate::support::site::Site;
use crate::support::until;

/// Images in hand may take this long after the first signal.
const GRACE: Duration = Duration::from_secs(3);

/// A run that was signalled is over within 5 s; twice that counts as hanging on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// How many images the collection in `world` holds.
fn kept(world: &World) -> usize {
    files(&world.work().join("wallpapers/simpledesktops")).len()
}

#[test]
fn a_signal_ends_a_run_whose_server_hangs_and_the_next_run_asks_for_the_rest_alone() {
    let signals = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];
    let runs = signals.map(|(signal, code)| {
        let (world, site) = (World::new(), Site::closed(40, Site::IMAGES));
        let running = site.fetch(&world).args(["-j", "4"]).start();
        site.gate.admit(5);
        until("five images, and four that hang", || (kept(&world) == 5 && site.gate.waiting() == 4).then_some(()));
        (signal, code, world, site, running)
    });
    let told = Instant::now();
    for (signal, _, _, _, running) in &runs {
        running.signal(*signal);
    }
    let ended = runs.map(|(_, code, world, site, running)| (code, running.wait(), world, site));
    assert!(told.elapsed() < SOON, "{:?}", told.elapsed());
    for (code, ended, world, site) in ended {
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("simpledesktops: 40 found: 5 saved ("), "{}", ended.stderr);
        assert!(ended.stderr.contains("; 35 left for the next run"), "{}", ended.stderr);
        assert_eq!(kept(&world), 5);
        site.gate.open();
        let next = site.fetch(&world).run();
        assert_eq!((next.code, kept(&world)), (Some(0), 40), "{}", next.stderr);
        assert_eq!(site.sent(), site.originals());
    }
}

#[test]
fn images_in_hand_finish_after_the_first_signal_when_the_server_lets_them() {
    let (world, site) = (World::new(), Site::closed(40, Site::IMAGES));
    let running = site.fetch(&world).args(["-j", "4"]).start();
    until("four images in hand", || (site.gate.waiting() == 4).then_some(()));
    running.signal(Signal::INT);
    site.gate.admit(4);
    let ended = running.wait();
    assert_eq!((ended.code, kept(&world)), (Some(130), 4), "{}", ended.stderr);
}

#[test]
fn a_second_signal_drops_what_is_in_hand_before_the_grace_is_over() {
    let (world, site) = (World::new(), Site::closed(40, Site::IMAGES));
    let running = site.fetch(&world).args(["-j", "4", "--json"]).start();
    until("four images in hand", || (site.gate.waiting() == 4).then_some(()));
    let told = Instant::now();
    let ended = running.insist(Signal::INT);
    assert!(told.elapsed() < GRACE, "{:?}", told.elapsed());
    assert_eq!((ended.code, kept(&world)), (Some(130), 0), "{}", ended.stderr);
    assert_eq!(ended.stdout.matches(r#""outcome":"interrupted""#).count(), 4, "{}", ended.stdout);
}

#[test]
fn whoever_waits_for_the_listing_ends_at_the_first_signal_without_a_grace() {
    let commands: [(&str, &[&str]); 3] = [("fetch", &[]), ("fetch", &["--dry-run"]), ("urls", &[])];
    let runs = commands.map(|(command, flags)| {
        let (world, site) = (World::new(), Site::closed(3, Site::LISTING));
        let running = site.visit(&world, command).args(flags).start();
        until("the first page being asked for", || (site.gate.waiting() > 0).then_some(()));
        (world, site, running)
    });
    let told = Instant::now();
    for (_, _, running) in &runs {
        running.signal(Signal::INT);
    }
    for (_world, _site, running) in runs {
        let ended = running.wait();
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(130), "", ""));
    }
    assert!(told.elapsed() < GRACE, "{:?}", told.elapsed());
}
