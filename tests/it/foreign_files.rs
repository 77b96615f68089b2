//! Symlinks, pipes, devices and folders in place of our files: never followed, written to or
//! overwritten, and nothing hangs on them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, Dev, FileType, Mode, makedev, mkfifoat, mknodat};

use crate::support::mirror::{GOT, Mirror, collection, parts};
use crate::support::program::Sandbox;

/// What can lie in the place of something else.
const THINGS: [&str; 7] = [
    "link to a file",
    "link to a folder",
    "dangling link",
    "pipe",
    "device",
    "socket",
    "folder",
];

/// Puts a thing at `path`, with what a link leads to in `world`.
fn put(thing: &str, path: &Path, world: &Sandbox) {
    let treasure = world.home().join("treasure");
    fs::create_dir_all(treasure.join("box")).unwrap();
    fs::write(treasure.join("letter"), "mine").unwrap();
    let node =
        |kind, device: Dev| mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
    match thing {
        "link to a file" => symlink(treasure.join("letter"), path).unwrap(),
        "link to a folder" => symlink(treasure.join("box"), path).unwrap(),
        "dangling link" => symlink(treasure.join("nothing"), path).unwrap(),
        "pipe" => mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap(),
        // `/dev/zero`: reading it never ends.
        "device" => node(FileType::CharacterDevice, makedev(1, 5)),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        _ => fs::create_dir(path).unwrap(),
    }
}

/// What a link leads to is as it was, and the thing still lies there.
fn hold_untouched(path: &Path, world: &Sandbox) {
    let treasure = world.home().join("treasure");
    assert_eq!(fs::read_to_string(treasure.join("letter")).unwrap(), "mine");
    assert_eq!(fs::read_dir(treasure.join("box")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&treasure).unwrap().count(), 2);
    assert!(!fs::symlink_metadata(path).unwrap().is_file());
}

#[test]
fn foreign_file_in_place_of_the_collection_or_its_state_ends_the_run_before_any_request() {
    let places = [
        (GOT, 4),
        ("got/.wallhaul", 4),
        ("got/.wallhaul/parts", 4),
        ("got/.wallhaul/lock", 4),
        ("got/.wallhaul/ledger.db", 5),
    ];
    let mirror = Mirror::of(2);
    for (place, code) in places {
        for thing in THINGS {
            let folder = thing == "folder" && !place.contains("lock") && !place.contains("ledger");
            if folder || (thing == "link to a folder" && place == GOT) {
                continue;
            }
            let world = Sandbox::new();
            let path = world.work().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            put(thing, &path, &world);
            let ended = mirror.fetch(&world).run();
            assert_eq!(
                ended.code,
                Some(code),
                "a {thing} as `{place}`: {}",
                ended.stderr
            );
            assert!(ended.stderr.contains(place), "a {thing}: {}", ended.stderr);
            assert_eq!(mirror.nginx.requests(), [], "a {thing} as `{place}`");
            hold_untouched(&path, &world);
        }
    }
}

#[test]
fn symlink_to_a_folder_works_as_the_collection() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(2));
    fs::create_dir(world.home().join("elsewhere")).unwrap();
    symlink(world.home().join("elsewhere"), world.work().join(GOT)).unwrap();
    mirror.hold_completed(&world);
    assert!(world.home().join("elsewhere/.wallhaul/ledger.db").is_file());
}

#[test]
fn foreign_file_name_collision_saves_the_image_with_a_hash_suffix() {
    let mirror = Mirror::of(2);
    let hash = mirror.gallery.originals[1].hash;
    let (name, beside) = (
        "2021-02-04-mirage.png",
        format!("2021-02-04-mirage~{}.png", &hash.to_hex()[..8]),
    );
    for thing in THINGS {
        let world = Sandbox::new();
        fs::create_dir(world.work().join(GOT)).unwrap();
        let path = world.work().join(GOT).join(name);
        put(thing, &path, &world);
        let ended = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(0), "a {thing}: {}", ended.stderr);
        hold_untouched(&path, &world);
        assert_eq!(collection(&world).get(&beside), Some(&hash), "a {thing}");
        mirror.hold_completed(&world);

        // Where both names are taken the image fails, and comes once one of them is free.
        let world = Sandbox::new();
        fs::create_dir(world.work().join(GOT)).unwrap();
        let paths = [name, &beside].map(|name| world.work().join(GOT).join(name));
        for path in &paths {
            put(thing, path, &world);
        }
        let ended = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(1), "a {thing}: {}", ended.stderr);
        assert!(ended.stderr.contains("mirage.png"), "{}", ended.stderr);
        for path in &paths {
            hold_untouched(path, &world);
        }
        assert_eq!(collection(&world).len(), 1, "a {thing}");
        if fs::remove_file(&paths[1]).is_err() {
            fs::remove_dir(&paths[1]).unwrap();
        }
        mirror.hold_completed(&world);
    }
}

#[test]
fn foreign_file_in_place_of_a_part_or_its_resume_info_is_not_opened() {
    let mut mirror = Mirror::of(3);
    // Long enough to be worth a note.
    mirror.lengthen(1..2, 1_200_000);
    for thing in THINGS {
        for end in ["part", "note"] {
            let world = Sandbox::new();
            let folder = world.work().join(GOT).join(".wallhaul/parts");
            fs::create_dir_all(&folder).unwrap();
            let key = format!(
                "simpledesktops https://static.simpledesktops.com{}",
                mirror.gallery.originals[1].path
            );
            let part = folder.join(format!(
                "{}.{end}",
                &blake3::hash(key.as_bytes()).to_hex()[..32]
            ));
            if end == "note" {
                fs::write(part.with_extension("part"), "a part that a killed run left").unwrap();
            }
            put(thing, &part, &world);
            let ended = mirror.fetch(&world).run();
            // What lies among the parts is ours to clear away, but for a folder.
            let code = i32::from(thing == "folder");
            assert_eq!(
                ended.code,
                Some(code),
                "a {thing} as a {end}: {}",
                ended.stderr
            );
            let treasure = world.home().join("treasure");
            assert_eq!(fs::read_to_string(treasure.join("letter")).unwrap(), "mine");
            assert_eq!(fs::read_dir(treasure).unwrap().count(), 2);
            if thing == "folder" {
                assert_eq!(collection(&world).len(), 2);
                fs::remove_dir(&part).unwrap();
            }
            assert!(parts(&world).is_empty());
            mirror.hold_completed(&world);
        }
    }
}
