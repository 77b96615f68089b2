//! A store that fails: answers that are lost, a store that is full or slow, and programs that are killed.

use std::time::{Duration, Instant};

use image::ImageFormat;
use rustix::process::Signal;

use super::{Place, assert_code, assert_whole};
use crate::support::gallery::file;
use crate::support::large_png::large_png;
use crate::support::program::Sandbox;
use crate::support::site::Site;
use crate::support::store_proxy::{Fault, StoreProxy};
use crate::support::stores::{Role, StoreServer, free_ports, s3_variables, seaweedfs};
use crate::support::until;

/// Has the first `count` PNGs of the site be this large; the path of the first.
fn enlarge(site: &mut Site, count: usize, bytes: usize) -> String {
    let originals = site.gallery.originals.iter_mut();
    let pngs = originals.filter(|original| original.format == ImageFormat::Png);
    let mut paths = Vec::new();
    for (seed, original) in (0..).zip(pngs.take(count)) {
        let large = large_png(seed, bytes);
        original.hash = blake3::hash(&large);
        std::fs::write(file(site.folder.path(), &original.path), large).unwrap();
        paths.push(original.path.clone());
    }
    paths.swap_remove(0)
}

fn through_proxy() -> (StoreProxy, Place) {
    let proxy = StoreProxy::before(seaweedfs().port());
    let place = Place::asked_by(s3_variables(proxy.port(), Role::Worker));
    (proxy, place)
}

#[test]
fn object_store_answer_lost_after_the_put_saves_the_image_once() {
    const IMAGES: usize = 4;
    for fault in [
        Fault::PassThenClose,
        Fault::PassThenReset,
        Fault::PassThenAnswer(500),
        Fault::PassThenAnswer(503),
        Fault::PassThenHang,
    ] {
        let (world, site, (proxy, place)) = (Sandbox::new(), Site::open(IMAGES), through_proxy());
        proxy.spoil("PUT", 2, fault);
        // Only what hangs is to be given up soon.
        let limit = match fault {
            Fault::PassThenHang => "10s",
            _ => "2m",
        };
        let fetch = site.fetch(&world).args(["--store-timeout", limit]);
        let ended = place.hold(fetch).run();
        assert_code(&ended, 0);
        assert_whole(&site, &place.objects());
        let counts = (
            proxy.faults(),
            proxy.requests("PUT"),
            proxy.requests("HEAD"),
        );
        assert_eq!(
            counts,
            (2, IMAGES, 2),
            "{fault:?}: looked at, and not put again"
        );
        let again = place.hold(site.fetch(&world)).run();
        assert_code(&again, 0);
        assert_eq!(site.sent(), site.originals(), "{fault:?}");
    }
}

#[test]
fn object_store_that_takes_nothing_for_a_moment_is_asked_again() {
    const IMAGES: usize = 4;
    for fault in [
        Fault::Close,
        Fault::Answer(503),
        Fault::Answer(500),
        Fault::Answer(429),
        Fault::Answer(409),
    ] {
        let (world, site, (proxy, place)) = (Sandbox::new(), Site::open(IMAGES), through_proxy());
        proxy.spoil("PUT", 2, fault);
        proxy.spoil("HEAD", 1, Fault::Answer(503));
        let ended = place.hold(site.fetch(&world)).run();
        assert_code(&ended, 0);
        assert_whole(&site, &place.objects());
        assert_eq!(proxy.requests("PUT"), IMAGES + 2, "{fault:?}");
        assert_eq!(site.sent(), site.originals(), "{fault:?}");
    }
}

#[test]
fn object_store_that_is_full_ends_the_run_within_its_timeout() {
    for status in [507, 500] {
        let (world, mut site, (proxy, place)) = (Sandbox::new(), Site::open(20), through_proxy());
        let large = enlarge(&mut site, 2, 1_500_000);
        proxy.spoil("PUT", usize::MAX, Fault::Answer(status));
        let start = Instant::now();
        let fetch = || site.fetch(&world).args(["--store-timeout", "3s"]);
        let ended = place.hold(fetch()).run();
        assert_code(&ended, 6);
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{:?}",
            start.elapsed()
        );
        assert!(
            ended.stderr.contains(&format!("answers {status} ")),
            "{}",
            ended.stderr
        );
        assert!(place.objects().is_empty());
        proxy.heal();
        let sent = || {
            site.sent()
                .into_iter()
                .filter(|path| *path == large)
                .count()
        };
        let before = sent();
        assert_code(&place.hold(fetch()).run(), 0);
        assert_whole(&site, &place.objects());
        assert_eq!(sent(), before, "{status}: a large part was kept");
    }
}

#[test]
fn object_store_that_hangs_ends_the_run_within_its_timeout_or_at_a_signal() {
    let (world, site, (proxy, place)) = (Sandbox::new(), Site::open(20), through_proxy());
    proxy.spoil("PUT", usize::MAX, Fault::Hang);
    let start = Instant::now();
    let fetch = || site.fetch(&world).args(["--store-timeout", "2s"]);
    assert_code(&place.hold(fetch()).run(), 6);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    let puts = proxy.requests("PUT");
    let running = place.hold(site.fetch(&world)).start();
    until("a put", || (proxy.requests("PUT") > puts).then_some(()));
    let start = Instant::now();
    running.signal(Signal::INT);
    assert_eq!(running.wait().code, Some(130));
    assert!(
        start.elapsed() < Duration::from_secs(7),
        "{:?}",
        start.elapsed()
    );
    proxy.heal();
    assert_code(&place.hold(fetch()).run(), 0);
    assert_whole(&site, &place.objects());
}

#[test]
fn object_store_that_is_slow_gets_everything() {
    let (world, site, (proxy, place)) = (Sandbox::new(), Site::open(4), through_proxy());
    proxy.spoil("PUT", 4, Fault::Slow(250));
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    assert_whole(&site, &place.objects());
    assert_eq!(proxy.requests("PUT"), 4);
}

#[test]
fn object_store_gets_sixteen_images_at_a_time_and_no_more_than_48_mib() {
    let (world, site, (proxy, place)) = (Sandbox::new(), Site::open(60), through_proxy());
    proxy.spoil("PUT", usize::MAX, Fault::Slow(400));
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    assert_whole(&site, &place.objects());
    assert_eq!(proxy.most_at_once().0, 16);

    let (world, mut site, (proxy, place)) = (Sandbox::new(), Site::open(12), through_proxy());
    enlarge(&mut site, 9, 12_000_000);
    proxy.spoil("PUT", usize::MAX, Fault::Slow(12_000_000));
    let running = place.hold(site.fetch(&world)).start();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.id()));
        let status = status.unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most.and_then(|most| most.trim().trim_end_matches(" kB").parse::<usize>().ok())
    };
    let mut most = 0;
    until("the program's end", || {
        let now = memory();
        most = most.max(now.unwrap_or(0));
        now.is_none().then_some(())
    });
    assert_code(&running.wait(), 0);
    assert_whole(&site, &place.objects());
    let (_, bytes) = proxy.most_at_once();
    assert!((30_000_000..=48 << 20).contains(&bytes), "{bytes}");
    assert!(most < 150_000, "{most} kB");
}

#[test]
fn object_store_killed_and_started_again_in_mid_run_loses_no_image() {
    const IMAGES: usize = 100;
    let (world, site, folder) = (
        Sandbox::new(),
        Site::open(IMAGES),
        tempfile::tempdir().unwrap(),
    );
    let ports = free_ports();
    let start = || StoreServer::seaweedfs(folder.path(), ports, false);
    let server = start();
    let proxy = StoreProxy::before(server.port());
    let place =
        Place::asked_by(s3_variables(proxy.port(), Role::Worker)).on(server.s3(Role::Admin));
    // So that it is killed in the middle.
    proxy.spoil("PUT", usize::MAX, Fault::Slow(2_000));
    let running = place.hold(site.fetch(&world)).start();
    until("some puts", || (proxy.requests("PUT") >= 20).then_some(()));
    drop(server);
    let heads = proxy.requests("HEAD");
    until("a question in vain", || {
        (proxy.requests("HEAD") > heads).then_some(())
    });
    let _server = start();
    assert_code(&running.wait(), 0);
    assert_whole(&site, &place.objects());
    assert_eq!(site.sent(), site.originals());
}

#[test]
fn killed_between_put_and_ledger_the_next_run_finds_the_objects() {
    let (world, site, (proxy, place)) = (Sandbox::new(), Site::open(4), through_proxy());
    proxy.spoil("PUT", usize::MAX, Fault::PassThenHang);
    let running = place.hold(site.fetch(&world)).start();
    until("puts", || (place.objects().len() == 4).then_some(()));
    running.signal(Signal::KILL);
    running.wait();
    proxy.heal();
    let puts = proxy.requests("PUT");
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    assert_whole(&site, &place.objects());
    assert_eq!(proxy.requests("PUT"), puts, "nothing is put again");
    assert_eq!(site.sent(), site.originals(), "nothing is fetched again");
}

#[test]
fn killed_again_and_again_in_mid_run_an_object_store_loses_no_image() {
    const IMAGES: usize = 60;
    let (world, site, (proxy, place)) = (Sandbox::new(), Site::open(IMAGES), through_proxy());
    let mut seen = 0;
    for _ in 0..4 {
        let running = place.hold(site.fetch(&world)).start();
        until("some puts", || {
            (proxy.requests("PUT") >= seen + 5).then_some(())
        });
        running.kill();
        running.wait();
        seen = proxy.requests("PUT");
    }
    assert_code(&place.hold(site.fetch(&world)).run(), 0);
    assert_whole(&site, &place.objects());
}
