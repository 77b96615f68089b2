//! A ledger that is damaged, old, new or read-only: no image is lost because of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use blake3::Hash;
use rustix::process::Signal;

use crate::support::mirror::{GOT, Mirror, assert_whole, collection, sqlite};
use crate::support::program::{Program, ProgramOutput, Sandbox, WALLHAUL, files};
use crate::support::until;

const IMAGES: usize = 30;

/// A mirror, and a collection of all its images.
fn fetched() -> (Sandbox, Mirror) {
    let (world, mirror) = (Sandbox::new(), Mirror::of(IMAGES));
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    mirror.nginx.forget();
    (world, mirror)
}

/// A path in the folder that the program keeps in the collection.
fn ours(world: &Sandbox, name: &str) -> PathBuf {
    world.work().join(GOT).join(".wallhaul").join(name)
}

fn rebuild(world: &Sandbox) -> Program {
    world.wallhaul().args(["ledger", "rebuild", "-d", GOT])
}

fn assert_no_panic(ended: &ProgramOutput) {
    assert!(
        ended.signal.is_none() && !ended.stderr.contains("panicked"),
        "{ended:?}"
    );
}

/// Offsets into a ledger of `length` bytes: all of its header, and every 997th after it.
fn offsets(length: usize) -> impl Iterator<Item = usize> {
    (0..100).chain((100..length).step_by(997))
}

#[test]
fn ledger_with_a_flipped_bit_anywhere_loses_no_image() {
    let (world, mirror) = fetched();
    let (whole, ledger) = (collection(&world), ours(&world, "ledger.db"));
    let intact = fs::read(&ledger).unwrap();
    let (mut refused, mut unseen): (BTreeMap<String, usize>, usize) = (BTreeMap::new(), 0);
    for at in offsets(intact.len()) {
        let mut corrupt = intact.clone();
        corrupt[at] ^= 1 << (at % 8);
        fs::write(&ledger, &corrupt).unwrap();
        let ended = mirror.fetch(&world).run();
        assert_no_panic(&ended);
        assert!(collection(&world) == whole, "{at}: {ended:?}");
        if ended.code == Some(0) {
            unseen += 1;
        } else {
            assert_eq!(ended.code, Some(5), "{at}: {ended:?}");
            assert!(ended.stderr.contains("ledger.db"), "{at}: {ended:?}");
            // An index entry without a row is met when it is used, which may be in mid-run.
            let at_the_start = !ended.stderr.contains("run again to continue");
            let as_it_was = fs::read(&ledger).unwrap() == corrupt;
            assert!(
                as_it_was || !at_the_start,
                "{at}: a refused ledger must stay as it was: {ended:?}"
            );
            let reason = ended
                .stderr
                .split(['(', ')'])
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            if !refused.contains_key(&reason) {
                rebuild_and_fetch(&world, &mirror, &whole);
            }
            *refused.entry(reason).or_default() += 1;
        }
        for name in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(ours(&world, name));
        }
    }
    println!("refused: {refused:#?}; unseen: {unseen}");
    // A wrong character in a text is no damage to the structure, and half of the header has no meaning.
    assert!(
        refused.values().sum::<usize>() > 20 && refused.len() > 5,
        "{refused:?} {unseen}"
    );
}

/// Does what the message says, and asserts that no image is fetched again.
fn rebuild_and_fetch(world: &Sandbox, mirror: &Mirror, whole: &BTreeMap<String, Hash>) {
    let rebuilt = rebuild(world).run();
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    mirror.nginx.forget();
    let ended = mirror.fetch(world).run();
    assert_eq!(
        (ended.code, mirror.originals_asked()),
        (Some(0), Vec::new()),
        "{}",
        ended.stderr
    );
    assert!(collection(world) == *whole);
}

/// A run that was killed after it placed some images, which only the ledger's log knows of.
fn killed() -> (Sandbox, Mirror) {
    let stuck = "location /uploads/ { if (-f $document_root/stuck) { set $limit_rate 1; } }";
    let (world, mirror) = (Sandbox::new(), Mirror::with(60, stuck));
    assert_eq!(
        mirror
            .fetch(&world)
            .args(["--max-downloads", "20"])
            .run()
            .code,
        Some(0)
    );
    // Slowly enough that a busy machine kills it in time.
    let running = mirror
        .fetch(&world)
        .args(["-j", "2", "--wait", "50ms"])
        .start();
    until("more images", || {
        (collection(&world).len() > 25).then_some(())
    });
    running.signal(Signal::KILL);
    running.wait();
    assert!(ours(&world, "ledger.db-wal").exists());
    mirror.nginx.forget();
    (world, mirror)
}

/// Damages a file's bytes; `None` removes the file.
type Damage = fn(&[u8]) -> Option<Vec<u8>>;

#[test]
fn ledger_with_a_damaged_wal_after_a_kill_loses_no_image() {
    let damages: [(&str, Damage); 6] = [
        ("ledger.db-wal", |_| None),
        ("ledger.db-wal", |log| Some(vec![0; log.len()])),
        ("ledger.db-wal", |log| Some(log[..log.len() / 2].to_vec())),
        ("ledger.db-wal", |log| {
            Some(b"<!DOCTYPE html>".repeat(log.len() / 15))
        }),
        ("ledger.db-shm", |index| {
            Some(b"junk".repeat(index.len() / 4))
        }),
        ("ledger.db", |_| None),
    ];
    for (name, damage) in damages {
        let (world, mirror) = killed();
        let named = collection(&world);
        let file = ours(&world, name);
        match damage(&fs::read(&file).unwrap()) {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let mut ended = mirror.fetch(&world).run();
        assert_no_panic(&ended);
        if ended.code == Some(5) {
            assert!(
                ended.stderr.contains("wallhaul ledger rebuild"),
                "{name}: {ended:?}"
            );
            assert_eq!(rebuild(&world).run().code, Some(0));
            ended = mirror.fetch(&world).run();
        }
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert_whole(&world, &mirror);
        let now = collection(&world);
        assert!(
            named.iter().all(|(name, hash)| now.get(name) == Some(hash)),
            "{name}"
        );
        let verified = world.wallhaul().args(["verify", "-d", GOT]).run();
        assert_eq!(
            (verified.code, verified.stdout.as_str()),
            (Some(0), ""),
            "{name}: {}",
            verified.stderr
        );
    }
}

#[test]
fn ledger_with_another_schema_is_refused_with_advice_and_not_modified() {
    let (world, mirror) = fetched();
    let ledger = ours(&world, "ledger.db");
    let cases = [
        ("pragma user_version = 1", "has schema 1"),
        ("pragma user_version = 1", "wallhaul ledger rebuild"),
        ("pragma user_version = 99", "has schema 99"),
        ("pragma user_version = 99", "use a newer wallhaul"),
        ("pragma user_version = 0", "wallhaul ledger rebuild"),
        ("pragma user_version = -1", "wallhaul ledger rebuild"),
        ("pragma application_id = 7", "wallhaul ledger rebuild"),
    ];
    for (pragma, words) in cases {
        sqlite(&world, pragma);
        let before = fs::read(&ledger).unwrap();
        for command in [
            mirror.fetch(&world),
            world.wallhaul().args(["ledger", "list", "-d", GOT]),
        ] {
            let ended = command.run();
            assert_eq!(
                (ended.code, ended.stdout.as_str()),
                (Some(5), ""),
                "{pragma}: {ended:?}"
            );
            assert!(
                ended.stderr.contains("ledger.db") && ended.stderr.contains(words),
                "{pragma}: {ended:?}"
            );
        }
        assert!(fs::read(&ledger).unwrap() == before, "{pragma}");
    }
    assert_eq!(mirror.nginx.requests(), []);
}

/// The program, run by a user without root's permissions.
fn as_nobody(world: &Sandbox) -> Program {
    if rustix::process::geteuid().is_root() {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", WALLHAUL];
        world.program("setpriv").args(nobody)
    } else {
        world.wallhaul()
    }
}

fn allow(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn ledger_read_only_ends_a_run_before_any_request_and_is_still_readable() {
    let (world, mirror) = fetched();
    for folder in [
        world.work(),
        world.work().join(GOT),
        ours(&world, ""),
        ours(&world, "parts"),
        world.home(),
    ] {
        allow(&folder, 0o777);
    }
    allow(world.work().parent().unwrap(), 0o755);
    allow(&ours(&world, "lock"), 0o666);
    allow(&ours(&world, "ledger.db"), 0o444);
    let ended = as_nobody(&world)
        .args(["fetch", "--base-url", &mirror.nginx.origin(), "-d", GOT])
        .run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("ledger.db` cannot be read or written"),
        "{}",
        ended.stderr
    );
    assert_eq!(mirror.nginx.requests(), []);
    let listed = as_nobody(&world).args(["ledger", "list", "-d", GOT]).run();
    assert_eq!(
        (listed.code, listed.stdout.lines().count()),
        (Some(0), IMAGES),
        "{}",
        listed.stderr
    );
    allow(&ours(&world, "ledger.db"), 0o666);
    let ended = as_nobody(&world)
        .args(["fetch", "--base-url", &mirror.nginx.origin(), "-d", GOT])
        .run();
    assert_eq!(
        (ended.code, mirror.originals_asked()),
        (Some(0), Vec::new()),
        "{}",
        ended.stderr
    );
}

#[test]
fn ledger_restored_from_an_old_backup_creates_no_duplicate_files() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(IMAGES));
    assert_eq!(
        mirror
            .fetch(&world)
            .args(["-j", "1", "--max-downloads", "10"])
            .run()
            .code,
        Some(0)
    );
    let old = fs::read(ours(&world, "ledger.db")).unwrap();
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    let before = files(&world.work().join(GOT));
    fs::write(ours(&world, "ledger.db"), old).unwrap();
    mirror.nginx.forget();
    let ended = mirror.fetch(&world).run();
    assert_eq!(
        (ended.code, mirror.originals_asked().len()),
        (Some(0), IMAGES - 10),
        "{}",
        ended.stderr
    );
    assert!(
        files(&world.work().join(GOT)) == before,
        "no file was written twice or replaced"
    );
    assert_eq!(
        sqlite(
            &world,
            "select state, count(*) from collection group by state"
        ),
        "saved|30\n"
    );
    assert_whole(&world, &mirror);
}

/// An earlier schema: its number, its tables, and what fills them from the ledger `new` of this build. Dates of servers
/// are left out.
const OLD_SCHEMAS: [(i32, &str, &str); 2] = [
    (
        2,
        include_str!("../fixtures/ledgers/schema-2.sql"),
        "INSERT INTO files SELECT id, name, lower(name), NULL, bytes, lower(hex(blake3)), format, width, height
             FROM new.images WHERE name IS NOT NULL;
         INSERT INTO images SELECT start.text || key_rest, substr(start.text, 1, instr(start.text, ' ') - 1),
             CASE state WHEN 1 THEN 'saved' WHEN 3 THEN 'failed' ELSE 'gone' END,
             CASE state WHEN 1 THEN coalesce(owner, images.id) END, page.text,
             coalesce(address, substr(start.text, instr(start.text, ' ') + 1) || key_rest), title, etag, NULL,
             strftime('%Y-%m-%dT%H:%M:%SZ', at, 'unixepoch'), cause, attempts,
             strftime('%Y-%m-%dT%H:%M:%SZ', until, 'unixepoch')
             FROM new.images JOIN new.texts AS start ON start.id = key_start
                 LEFT JOIN new.texts AS page ON page.id = page
             ORDER BY images.id",
    ),
    (
        3,
        include_str!("../fixtures/ledgers/schema-3.sql"),
        "INSERT INTO images (id, state, key_hash, name_hash, owner, bytes, blake3, format, width, height, at, until,
             attempts, key, name, address, page, title, etag, cause, rules)
             SELECT images.id, state, key_hash, name_hash, owner, bytes, blake3, format, width, height, at, until,
                 attempts, start.text || key_rest, name, address, page.text, title, etag, cause, rules
             FROM new.images JOIN new.texts AS start ON start.id = key_start
                 LEFT JOIN new.texts AS page ON page.id = page",
    ),
];

/// Replaces the ledger of the collection by one of an earlier schema that says the same.
fn replace_by_schema(world: &Sandbox, (schema, tables, rows): (i32, &str, &str)) {
    let (old, ledger) = (ours(world, "old.db"), ours(world, "ledger.db"));
    let connection = rusqlite::Connection::open(&old).unwrap();
    connection.execute_batch(tables).unwrap();
    connection
        .execute("ATTACH ?1 AS new", [ledger.to_str().unwrap()])
        .unwrap();
    let marks = format!("PRAGMA application_id = 2002873452; PRAGMA user_version = {schema}");
    connection
        .execute_batch(&format!(
            "{rows}; {marks}; DETACH new; PRAGMA journal_mode = wal;"
        ))
        .unwrap();
    drop(connection);
    fs::rename(old, ledger).unwrap();
}

#[test]
fn ledger_schema_migration_keeps_a_copy_and_survives_a_kill_anywhere() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(IMAGES));
    mirror.take(&mirror.gallery.originals[3].path);
    assert_eq!(mirror.fetch(&world).run().code, Some(1));
    let (whole, expected) = (
        collection(&world),
        sqlite(&world, "select * from collection order by address"),
    );
    // When the copy gets its name, in the transaction, and after it.
    let kills = [
        ("rename", "ledger.copying", 1),
        ("fsync", "ledger.db-wal", 1),
        ("fsync", "ledger.db-wal", 2),
        ("fsync", "ledger.db-wal", 3),
        ("none", "", 0),
    ];
    let cases = OLD_SCHEMAS
        .into_iter()
        .flat_map(|old| kills.into_iter().map(move |kill| (old, kill)));
    for (old, (call, file, when)) in cases {
        replace_by_schema(&world, old);
        let schema = old.0;
        let case = format!("schema {schema}, {call} of {file} {when}");
        let listed = world.wallhaul().args(["ledger", "list", "-d", GOT]).run();
        assert!(
            listed.code == Some(5) && listed.stderr.contains("`wallhaul fetch` brings it up"),
            "{case}: {listed:?}"
        );
        if when > 0 {
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let strace = world.program("strace").args([
                "-f",
                "-qq",
                "-o",
                "calls",
                "-e",
                &format!("trace={call}"),
            ]);
            let strace = strace
                .args(["-e", &inject, "-P"])
                .args([ours(&world, file)])
                .args([WALLHAUL, "fetch", "-d"]);
            let killed = strace
                .args([world.work().join(GOT)])
                .args(["--base-url", &mirror.nginx.origin()])
                .run();
            assert_eq!(killed.signal, Some(Signal::KILL), "{case}: {killed:?}");
        }
        mirror.nginx.forget();
        let ended = mirror.fetch(&world).run();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{case}");
        assert_eq!(mirror.originals_asked(), [""; 0], "{case}");
        assert_eq!(
            sqlite(&world, "select * from collection order by address"),
            expected,
            "{case}"
        );
        let names = files(&ours(&world, ""))
            .into_keys()
            .filter(|name| name.starts_with("ledger"));
        let names: Vec<String> = names.collect();
        let copies = names
            .iter()
            .filter(|name| name.starts_with(&format!("ledger-schema{schema}")))
            .count();
        assert!(
            (1..=2).contains(&copies) && names.len() == copies + 1,
            "{case}: {names:?}"
        );
        for copy in names.iter().filter(|name| *name != "ledger.db") {
            let copy = rusqlite::Connection::open(ours(&world, copy)).unwrap();
            let found = "SELECT count(*) FROM images WHERE state <> 'gone' AND state <> 4";
            assert_eq!(
                copy.query_row(found, [], |row| row.get::<_, u32>(0))
                    .unwrap() as usize,
                IMAGES - 1
            );
            assert_eq!(
                copy.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))
                    .unwrap(),
                schema
            );
        }
        for copy in names.iter().filter(|name| *name != "ledger.db") {
            fs::remove_file(ours(&world, copy)).unwrap();
        }
    }
    assert!(collection(&world) == whole);
}
