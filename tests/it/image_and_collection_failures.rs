//! Failures of single images, of the collection's folder and of its ledger.

use std::fs;

use serde_json::Value;

use crate::support::mirror::{GOT, Mirror, assert_whole, collection, parts, sqlite};
use crate::support::program::{ProgramOutput, Sandbox, files};
use crate::support::site::Site;
use crate::support::until;

/// The address by which the program knows what lies at `path`.
fn address(path: &str) -> String {
    format!("https://static.simpledesktops.com{path}")
}

fn lines_with<'a>(ended: &'a ProgramOutput, text: &str) -> Vec<&'a str> {
    ended
        .stderr
        .lines()
        .filter(|line| line.contains(text))
        .collect()
}

fn times_asked(mirror: &Mirror, path: &str) -> usize {
    mirror
        .nginx
        .requests()
        .iter()
        .filter(|request| request.path == path)
        .count()
}

#[test]
fn gone_image_404_is_reported_once_and_not_requested_again() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(30));
    let gone = mirror.gallery.originals[7].path.clone();
    mirror.take(&gone);
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(1));
    let lines = lines_with(&ended, &gone);
    assert!(
        lines.len() == 1 && lines[0].starts_with("failed ") && lines[0].contains("404"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        (times_asked(&mirror, &gone), collection(&world).len()),
        (1, 29)
    );

    let listed = world
        .wallhaul()
        .args(["ledger", "list", "-d", GOT, "--state", "gone"])
        .run();
    assert_eq!(
        (listed.code, listed.stdout.lines().count()),
        (Some(0), 1),
        "{}",
        listed.stdout
    );
    assert!(
        listed.stdout.contains("\tgone\t") && listed.stdout.contains(&address(&gone)),
        "{}",
        listed.stdout
    );

    let again = mirror.fetch(&world).run();
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(times_asked(&mirror, &gone), 1);

    let counted = mirror.fetch(&world).args(["-v"]).run();
    assert!(
        counted.code == Some(0) && counted.stderr.contains("29 already there, 1 gone"),
        "{}",
        counted.stderr
    );
    let repeated = mirror
        .fetch(&world)
        .env("WALLHAUL_RETRY_GONE", "true")
        .run();
    assert_eq!((repeated.code, times_asked(&mirror, &gone)), (Some(1), 2));
}

#[test]
fn html_instead_of_an_image_is_requested_once_and_not_saved() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(30));
    let path = mirror.gallery.originals[3].path.clone();
    let right = mirror.bytes(&path);
    mirror.put(
        &path,
        b"<!DOCTYPE html><html><body>Please log in to see this picture.</body></html>",
    );
    hold_bad_image(&world, &mirror, &path, 1);
    mirror.put(&path, &right);
    hold_healed(&world, &mirror, &path);
}

#[test]
fn truncated_image_is_requested_twice_and_not_saved() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(30));
    let path = mirror.gallery.originals[4].path.clone();
    let right = mirror.bytes(&path);
    mirror.put(&path, &right[..right.len() - 20]);
    hold_bad_image(&world, &mirror, &path, 2);
    mirror.put(&path, &right);
    hold_healed(&world, &mirror, &path);
}

/// A first run that cannot have the image at `path`, though it asks so many times.
fn hold_bad_image(world: &Sandbox, mirror: &Mirror, path: &str, times: usize) {
    mirror.nginx.forget();
    let ended = mirror.fetch(world).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(lines_with(&ended, path).len(), 1, "{}", ended.stderr);
    assert_eq!(times_asked(mirror, path), times);
    assert_eq!((collection(world).len(), parts(world).len()), (29, 0));
    let failed = sqlite(
        world,
        "select address, name from collection where state = 'failed'",
    );
    assert_eq!(failed, format!("{}|\n", address(path)));
}

/// The run after the site was healed: the same command asks for what is missing and for nothing else.
fn hold_healed(world: &Sandbox, mirror: &Mirror, path: &str) {
    mirror.nginx.forget();
    let ended = mirror.fetch(world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(mirror.originals_asked(), [path]);
    assert_whole(world, mirror);
    assert_eq!(
        sqlite(world, "select distinct state from collection"),
        "saved\n"
    );
}

#[test]
fn status_503_is_retried_until_it_recovers() {
    let busy = "location /uploads/ { if (-f $document_root/busy) { return 503; } }";
    let (world, mirror) = (Sandbox::new(), Mirror::with(1, busy));
    let path = mirror.gallery.originals[0].path.clone();
    mirror.put("/busy", b"");
    let running = mirror
        .fetch(&world)
        .args(["--json", "--retry-wait", "100ms", "--retries", "10"])
        .start();
    until("a first answer", || {
        (times_asked(&mirror, &path) > 0).then_some(())
    });
    mirror.take("/busy");
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let answers = mirror
        .nginx
        .requests()
        .into_iter()
        .filter(|request| request.path == path);
    let mut answers: Vec<u16> = answers.map(|request| request.status).collect();
    assert_eq!(answers.pop(), Some(200));
    assert!(answers.iter().all(|status| *status == 503), "{answers:?}");
    assert_eq!(ended.sum()["retries"], answers.len());
    assert_whole(&world, &mirror);
}

#[test]
fn retries_flag_limits_the_requests_to_a_503_server() {
    let (world, mirror) = (
        Sandbox::new(),
        Mirror::with(1, "location /uploads/ { return 503; }"),
    );
    let path = mirror.gallery.originals[0].path.clone();
    let ended = mirror.fetch(&world).args(["-R", "2"]).run();
    assert_eq!(
        (ended.code, times_asked(&mirror, &path)),
        (Some(1), 3),
        "{}",
        ended.stderr
    );
    assert!(
        lines_with(&ended, &path)[0].contains("(3 attempts)"),
        "{}",
        ended.stderr
    );
}

#[test]
fn file_in_place_of_the_collection_folder_ends_the_run_before_any_request() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    fs::write(world.work().join(GOT), "a letter").unwrap();
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(
        ended.stderr.starts_with("error: ") && ended.stderr.contains(GOT),
        "{}",
        ended.stderr
    );
    assert_eq!(mirror.nginx.requests(), []);
    assert_eq!(
        fs::read_to_string(world.work().join(GOT)).unwrap(),
        "a letter"
    );
}

#[test]
fn user_file_name_collision_never_overwrites_the_file() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(10));
    let own = world.work().join(GOT).join("2021-02-04-mirage.png");
    fs::create_dir(world.work().join(GOT)).unwrap();
    fs::write(&own, "my own mirage").unwrap();
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&own).unwrap(), "my own mirage");
    let hash = mirror.gallery.originals[1].hash;
    let beside = format!("2021-02-04-mirage~{}.png", &hash.to_hex()[..8]);
    assert_eq!(collection(&world).get(&beside), Some(&hash));
    assert_eq!(collection(&world).len(), 11);
    let row = sqlite(
        &world,
        "select name from collection where address like '%/mirage.png'",
    );
    assert_eq!(row.trim_end(), beside);

    mirror.nginx.forget();
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    assert_eq!(mirror.originals_asked(), [""; 0]);
}

#[test]
fn deleted_image_stays_deleted() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(10));
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    fs::remove_file(world.work().join(GOT).join("2021-02-04-mirage.png")).unwrap();
    mirror.nginx.forget();
    let again = mirror.fetch(&world).run();
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        (mirror.originals_asked().len(), collection(&world).len()),
        (0, 9)
    );
}

#[test]
fn lost_ledger_is_rebuilt_and_nothing_is_fetched_again() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(40));
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    let before = files(&world.work().join(GOT));
    let rows = "select name, bytes, blake3, format, width, height from collection order by name";
    let remembered = sqlite(&world, rows);
    for name in files(&world.work().join(GOT).join(".wallhaul"))
        .keys()
        .filter(|name| name.starts_with("ledger.db"))
    {
        fs::remove_file(world.work().join(GOT).join(".wallhaul").join(name)).unwrap();
    }
    mirror.nginx.forget();
    let ended = mirror.fetch(&world).args(["--json"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(mirror.originals_asked().is_empty());
    assert_eq!(files(&world.work().join(GOT)), before);
    assert_eq!(sqlite(&world, rows), remembered);
    let failed = |event: &Value| event["outcome"] == "failed";
    assert!(!ended.objects().iter().any(failed), "{}", ended.stdout);
}

#[test]
fn foreign_database_as_ledger_is_refused_and_not_modified() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let ledger = world.work().join(GOT).join(".wallhaul/ledger.db");
    fs::create_dir_all(ledger.parent().unwrap()).unwrap();
    let another_programs = world.home().join("moods.db");
    let moods = rusqlite::Connection::open(&another_programs).unwrap();
    moods
        .execute_batch("PRAGMA user_version = 2; CREATE TABLE moods (name TEXT)")
        .unwrap();
    drop(moods);
    for written in [
        "dear diary, ".repeat(1000).into_bytes(),
        fs::read(another_programs).unwrap(),
    ] {
        fs::write(&ledger, &written).unwrap();
        let ended = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        let words = ["ledger.db", "wallhaul ledger rebuild"];
        assert!(
            words.iter().all(|word| ended.stderr.contains(word)),
            "{}",
            ended.stderr
        );
        assert!(fs::read(&ledger).unwrap() == written);
        assert_eq!(mirror.nginx.requests(), []);
    }
}

#[test]
fn ledger_locked_by_another_program_during_a_run_ends_it() {
    let (world, site) = (Sandbox::new(), Site::closed(40, Site::IMAGES));
    let running = site.fetch(&world).args(["-j", "4"]).start();
    until("four images that are asked for", || {
        (site.gate.waiting() == 4).then_some(())
    });
    let folder = world.work().join("wallpapers/simpledesktops");
    let holder = rusqlite::Connection::open(folder.join(".wallhaul/ledger.db")).unwrap();
    holder.execute_batch("begin immediate").unwrap();
    site.gate.open();
    let ended = running.wait();
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("is held by another program"),
        "{}",
        ended.stderr
    );
    assert!(files(&folder).is_empty());
    // What could not be kept goes back to the queue: asked for again it would go round until the lock is gone.
    assert!(site.sent().len() < 2 * 40, "{}", site.sent().len());
    drop(holder);
    assert_eq!(site.fetch(&world).run().code, Some(0));
    assert_eq!(files(&folder).len(), 40);
}
