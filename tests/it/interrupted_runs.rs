//! Runs that end early, by a limit or by a kill, and the runs that continue after them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use image::{DynamicImage, ImageFormat, RgbImage};
use rustix::process::Signal;

use crate::support::gallery::Gallery;
use crate::support::mirror::{GOT, Mirror, assert_whole, collection, parts, sqlite};
use crate::support::nginx::Request;
use crate::support::program::{Sandbox, files};
use crate::support::until;

#[test]
fn max_downloads_ends_a_run_and_the_next_run_continues() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(60));
    for due in [10, 20] {
        let ended = mirror
            .fetch(&world)
            .args(["--max-downloads", "10", "--json"])
            .run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(
            (collection(&world).len(), &ended.sum()["saved"]),
            (due, &10.into())
        );
        assert_eq!(mirror.originals_asked().len(), due);
    }
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_whole(&world, &mirror);
    assert_eq!(
        mirror.originals_asked(),
        mirror.originals(),
        "over all three runs each was asked for once"
    );
}

#[test]
fn max_downloads_does_not_count_failed_images() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(60));
    for original in &mirror.gallery.originals[..12] {
        mirror.take(&original.path);
    }
    let ended = mirror
        .fetch(&world)
        .args(["--max-downloads", "10", "--json"])
        .run();
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        (collection(&world).len(), &ended.sum()["failed"]),
        (10, &12.into())
    );
}

#[test]
fn one_job_fetches_in_listing_order() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(40));
    let ended = mirror.fetch(&world).args(["-j", "1", "--json"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_whole(&world, &mirror);
    let asked = mirror
        .nginx
        .requests()
        .into_iter()
        .map(|request| request.path);
    let asked: Vec<String> = asked.filter(|path| path.starts_with("/uploads/")).collect();
    let listed: Vec<_> = mirror
        .gallery
        .originals
        .iter()
        .map(|original| original.path.clone())
        .collect();
    assert_eq!(asked, listed);
}

#[test]
fn jobs_64_sends_64_requests_in_parallel() {
    let stuck = "location /uploads/ { if (-f $document_root/stuck) { set $limit_rate 1; } }";
    let (world, mirror) = (Sandbox::new(), Mirror::with(112, stuck));
    mirror.put("/stuck", b"");
    let running = mirror.fetch(&world).args(["-j", "64", "-vv"]).start();
    let asking = || {
        running
            .stderr()
            .lines()
            .filter(|line| line.starts_with("requesting "))
            .count()
    };
    until("64 images to be asked for", || {
        (asking() >= 64).then_some(())
    });
    assert_eq!(asking(), 64);
    running.signal(Signal::KILL);
    running.wait();
    mirror.take("/stuck");
    let ended = mirror.fetch(&world).args(["-j", "64"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_whole(&world, &mirror);
}

#[test]
fn killed_runs_lose_no_image_and_never_request_a_renamed_image_again() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(Gallery::ALL));
    let hashes: BTreeSet<String> = mirror
        .gallery
        .originals
        .iter()
        .map(|original| original.hash.to_string())
        .collect();
    let mut had = BTreeSet::new();
    for due in [1, 200, 600] {
        mirror.nginx.forget();
        let running = mirror
            .fetch(&world)
            .args(["-j", "4", "--sync", "group"])
            .start();
        until("images with names", || (named(&world) >= due).then_some(()));
        running.signal(Signal::KILL);
        assert_eq!(running.wait().signal, Some(Signal::KILL));
        assert_none_again(&mirror, &had);
        had = hashes_of(&world);
        assert!(had.is_subset(&hashes), "what has a name is whole");
        assert!(had.len() < hashes.len(), "it was killed in the middle");
    }
    mirror.nginx.forget();
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_none_again(&mirror, &had);
    assert_whole(&world, &mirror);
    let states = sqlite(
        &world,
        "select state, count(*), count(distinct name) from collection group by state",
    );
    assert_eq!(states, "saved|1436|1436\n");
}

fn named(world: &Sandbox) -> usize {
    let entries = fs::read_dir(world.work().join(GOT))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter(|entry| entry.file_name() != ".wallhaul")
        .count()
}

fn hashes_of(world: &Sandbox) -> BTreeSet<String> {
    collection(world)
        .into_values()
        .map(|hash| hash.to_string())
        .collect()
}

/// No original with one of these hashes was asked for.
fn assert_none_again(mirror: &Mirror, had: &BTreeSet<String>) {
    let asked = mirror.originals_asked();
    let of = |path: &String| {
        mirror
            .gallery
            .originals
            .iter()
            .find(|original| original.path == *path)
    };
    let again: Vec<_> = asked
        .iter()
        .filter(|path| of(path).is_some_and(|one| had.contains(&one.hash.to_string())))
        .collect();
    assert!(again.is_empty(), "asked for again: {again:?}");
}

/// Makes every placement of the ledger pending again.
pub(crate) const AS_PENDING: &str =
    "insert into pending (first, last) select min(id), max(id) from images";

#[test]
fn kill_after_rename_is_recorded_without_a_request() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(280));
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    // As a kill leaves it between the names and the rows that say so, in a group as large as they come.
    sqlite(&world, AS_PENDING);
    mirror.nginx.forget();
    let ended = mirror.fetch(&world).args(["--json"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(mirror.originals_asked(), [""; 0]);
    assert_eq!(ended.sum()["already_there"], 280);
    assert_eq!(
        sqlite(
            &world,
            "select state, count(*) from collection group by state"
        ),
        "saved|280\n"
    );
}

/// Gives its middle image these bytes, of which a first run gets no more than half before it is killed; answers
/// with the image's path and the part that is left.
fn killed_half_way(world: &Sandbox, mirror: &Mirror, large: &[u8]) -> (String, PathBuf) {
    let path = mirror.gallery.originals[1].path.clone();
    mirror.put(&path, large);
    mirror.put("/stuck", b"");
    let running = mirror.fetch(world).start();
    let folder = world.work().join(GOT).join(".wallhaul/parts");
    // The note that lets it go on lies beside the part, and all others are home.
    let part = until("a part with a note, and all others to be home", || {
        let note = parts(world)
            .into_keys()
            .find_map(|name| Some(format!("{}.part", name.strip_suffix(".note")?)));
        note.filter(|_| named(world) == 2)
            .map(|part| folder.join(part))
    });
    running.signal(Signal::KILL);
    running.wait();
    mirror.take("/stuck");
    mirror.nginx.forget();
    (path, part)
}

/// Sends so much of an image that a part is worth a note, and then nearly nothing.
const STUCK_HALF_WAY: &str = "limit_rate_after 1200k;
    location /uploads/ { if (-f $document_root/stuck) { set $limit_rate 1; } }";

/// Runs once more; what was asked for `path` then.
fn finish(world: &Sandbox, mirror: &Mirror, path: &str, large: &[u8]) -> Vec<Request> {
    let ended = mirror.fetch(world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(named(world), 3);
    assert!(
        files(&world.work().join(GOT))
            .into_values()
            .any(|bytes| bytes == large)
    );
    assert!(parts(world).is_empty());
    let asked = mirror.nginx.requests().into_iter();
    asked.filter(|request| request.path == path).collect()
}

#[test]
fn kill_during_a_large_image_resumes_with_a_range_request() {
    let (world, mirror, large) = (Sandbox::new(), Mirror::with(3, STUCK_HALF_WAY), noise(900));
    let (path, part) = killed_half_way(&world, &mirror, &large);
    let have = fs::metadata(part).unwrap().len();
    let asked = finish(&world, &mirror, &path, &large);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        (asked[0].status, asked[0].range.clone()),
        (206, Some(format!("bytes={have}-")))
    );
    assert_eq!(asked[0].sent, large.len() as u64 - have);
}

#[test]
fn kill_then_changed_image_is_downloaded_from_the_start() {
    let (world, mirror) = (Sandbox::new(), Mirror::with(3, STUCK_HALF_WAY));
    let (path, _) = killed_half_way(&world, &mirror, &noise(900));
    let other = noise(901);
    mirror.put(&path, &other);
    let asked = finish(&world, &mirror, &path, &other);
    assert_eq!(
        asked.last().map(|request| request.sent),
        Some(other.len() as u64),
        "{asked:?}"
    );
}

#[test]
fn kill_leaves_a_complete_part_that_is_verified_without_a_request() {
    let (world, mirror, large) = (Sandbox::new(), Mirror::with(3, STUCK_HALF_WAY), noise(900));
    let (path, part) = killed_half_way(&world, &mirror, &large);
    fs::write(&part, &large).unwrap();
    assert_eq!(finish(&world, &mirror, &path, &large), []);
}

#[test]
fn kill_leaves_a_part_that_is_corrupted_later_and_never_saved() {
    let (world, mirror, large) = (Sandbox::new(), Mirror::with(3, STUCK_HALF_WAY), noise(900));
    let (path, part) = killed_half_way(&world, &mirror, &large);
    let mut spoilt = fs::read(&part).unwrap();
    spoilt[100_000] ^= 1;
    fs::write(&part, &spoilt).unwrap();
    let asked = finish(&world, &mirror, &path, &large);
    assert_eq!(
        asked.last().map(|request| request.sent),
        Some(large.len() as u64),
        "{asked:?}"
    );
}

/// A picture that nothing can be squeezed out of: some two million bytes at a side of 900.
fn noise(side: u32) -> Vec<u8> {
    let mut state = side;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let pixels = (0..side * side * 3).map(|_| next()).collect();
    let picture =
        DynamicImage::from(RgbImage::from_raw(side, side, pixels).expect("three bytes a pixel"));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a format that is built in");
    bytes.into_inner()
}
