//! `--min-free-space`: the run that ends before the disk is full.

use std::fs;

use rustix::fs::statvfs;
use tempfile::TempDir;

use crate::support::mirror::{GOT, Mirror, parts};
use crate::support::mount::Mount;
use crate::support::program::{ProgramOutput, Sandbox, files};
use crate::support::site::Site;
use crate::support::until;

/// A world whose collection lies on a disk of its own.
fn world(options: &str) -> (Sandbox, Mount) {
    let world = Sandbox::new();
    let disk = Mount::memory(&world.work().join(GOT), options);
    (world, disk)
}

fn free(world: &Sandbox) -> u64 {
    let found = statvfs(world.work().join(GOT)).unwrap();
    found.f_bavail * found.f_frsize
}

/// It says how much is free and what is to be done.
fn hold_told(ended: &ProgramOutput) {
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let error = ended
        .stderr
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap_or_default();
    let due = ["B are free", GOT, "--min-free-space", "make room"];
    assert!(
        due.iter().all(|due| error.contains(due)),
        "{}",
        ended.stderr
    );
}

#[test]
fn min_free_space_not_met_is_reported_before_any_request() {
    let mirror = Mirror::of(3);
    let (world, _disk) = world("size=8m");
    let home = world.home().join("config.toml");
    fs::write(&home, "min-free-space = \"9M\"\n").unwrap();
    let said = [
        mirror.fetch(&world).args(["--min-free-space", "9M"]),
        mirror.fetch(&world).env("WALLHAUL_MIN_FREE_SPACE", "9M"),
        mirror
            .fetch(&world)
            .args(["--config", home.to_str().unwrap()]),
    ];
    for program in said {
        hold_told(&program.run());
        assert_eq!(mirror.nginx.requests(), []);
    }
    mirror.hold_completed(&world);
}

#[test]
fn min_free_space_holds_for_verify_repair() {
    let mirror = Mirror::of(3);
    let (world, _disk) = world("size=8m");
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    fs::remove_file(
        world
            .work()
            .join(GOT)
            .join(files(&world.work().join(GOT)).into_keys().next().unwrap()),
    )
    .unwrap();
    let repair = |least: &str| {
        let repair = [
            "verify",
            "--repair",
            "-d",
            GOT,
            "--base-url",
            &mirror.nginx.origin(),
            "--min-free-space",
            least,
        ];
        mirror.nginx.forget();
        (
            world.wallhaul().args(repair).run(),
            mirror.originals_asked().len(),
        )
    };
    let (refused, asked) = repair("9M");
    hold_told(&refused);
    assert_eq!(asked, 0);
    let (repaired, asked) = repair("1M");
    assert_eq!((repaired.code, asked), (Some(0), 1), "{}", repaired.stderr);
    mirror.hold_completed(&world);
}

#[test]
fn min_free_space_on_a_small_disk_is_a_twentieth_unless_switched_off() {
    let mirror = Mirror::of(3);
    let (world, _disk) = world("size=8m");
    let ballast = world.work().join(GOT).join(".ballast");
    fs::create_dir(&ballast).unwrap();
    // 400 kB are to stay.
    let surplus = usize::try_from(free(&world)).unwrap() - 380_000;
    fs::write(ballast.join("lead"), vec![1; surplus]).unwrap();
    hold_told(&mirror.fetch(&world).run());
    assert_eq!(mirror.nginx.requests(), []);
    let ended = mirror.fetch(&world).args(["--min-free-space", "0"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn min_free_space_ends_the_run_before_the_disk_is_full_and_the_next_run_completes() {
    let (jobs, images, bytes) = (4, 40, 400_000);
    let mirror = Mirror::of_length(images, bytes);
    let (world, disk) = world("size=16m");
    let ended = mirror
        .fetch(&world)
        .args(["--json", "--min-free-space", "6M", "-j", &jobs.to_string()])
        .run();
    hold_told(&ended);
    let (sum, kept) = (ended.sum(), mirror.kept(&world).len());
    // Images in flight were finished: none was dropped, and none was begun that would have to be.
    assert_eq!(
        (&sum["saved"], &sum["failed"], &sum["interrupted"]),
        (&kept.into(), &0.into(), &0.into())
    );
    assert_eq!(mirror.originals_asked().len(), kept);
    assert!(parts(&world).is_empty());
    let in_hand = u64::try_from(2 * jobs * bytes).unwrap();
    assert!(
        free(&world) + in_hand > 6_000_000,
        "{} bytes are left",
        free(&world)
    );
    // Half of the disk is used, so it did not stop for nothing.
    assert!(kept * bytes > 6_000_000, "{kept} images");

    disk.remount("size=64m");
    mirror.hold_completed(&world);
}

#[test]
fn min_free_space_reached_with_the_last_image_is_success() {
    let bytes = 2_000_000;
    for (images, code) in [(3, 0), (4, 4)] {
        let mirror = Mirror::of_length(images, bytes);
        let (world, disk) = world("size=32m");
        // Enough for two and a half, and for a ledger.
        let least = free(&world) - 5_000_000;
        let ended = mirror
            .fetch(&world)
            .args(["-j", "1", "--min-free-space", &least.to_string()])
            .run();
        assert_eq!(ended.code, Some(code), "{images} images: {}", ended.stderr);
        assert!(free(&world) < least, "{images} images: there is room");
        assert_eq!(
            (mirror.kept(&world).len(), mirror.originals_asked().len()),
            (3, 3),
            "{images} images"
        );
        if code != 0 {
            hold_told(&ended);
        }
        disk.remount("size=64m");
        mirror.hold_completed(&world);
    }
}

#[test]
fn min_free_space_ends_the_run_when_other_programs_fill_the_disk() {
    let world = Sandbox::new();
    let site = Site::closed(20, Site::IMAGES);
    let _disk = Mount::memory(&world.work().join(GOT), "size=16m");
    let running = site
        .fetch(&world)
        .args(["-d", GOT, "-j", "2", "--min-free-space", "6M"])
        .start();
    until("two images that are asked for", || {
        (site.gate.waiting() == 2).then_some(())
    });
    let ballast = TempDir::new_in(world.work().join(GOT)).unwrap();
    fs::write(ballast.path().join("lead"), vec![1; 11_000_000]).unwrap();
    site.gate.admit(2);
    until("two images with their names", || {
        (files(&world.work().join(GOT)).len() == 2).then_some(())
    });
    site.gate.open();
    hold_told(&running.wait());
    assert!(site.sent().len() < 20, "it went on to the end");
}
