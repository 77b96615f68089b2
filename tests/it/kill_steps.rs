//! Kills at an exact step of an image's life: what is on disk then, and what the next run requests.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::large_png::large_png;
use crate::support::mirror::{GOT, Mirror, collection, parts, sqlite};
use crate::support::nginx::Request;
use crate::support::program::{Sandbox, WALLHAUL};

/// An image that is worth a note once half of it is there, and one that never is.
const LARGE: usize = 2_000_000;
const SMALL: usize = 300_000;

/// Where strace kills the program: at which of its calls of this name that concern this file.
struct Step {
    /// The step of an image's life that is over then.
    over: &'static str,
    call: &'static str,
    file: File,
    when: usize,
    /// Whether the image has its name then.
    named: bool,
    /// What the next run asks for of a large image, and of a small one.
    asks: [Ask; 2],
}

/// A file of the collection.
#[derive(Debug, Clone, Copy)]
enum File {
    Part,
    Note,
    Folder,
    Ledger,
    Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    Rest,
    Whole,
}

use Ask::{Nothing, Rest, Whole};

const STEPS: [Step; 10] = [
    Step {
        over: "3 fetching, a first piece",
        call: "write",
        file: File::Part,
        when: 2,
        named: false,
        asks: [Whole, Whole],
    },
    Step {
        over: "3 fetching, a piece with resume information",
        call: "close",
        file: File::Note,
        when: 1,
        named: false,
        asks: [Rest, Whole],
    },
    Step {
        over: "4 finished",
        call: "close",
        file: File::Part,
        when: 1,
        named: false,
        asks: [Nothing, Whole],
    },
    Step {
        over: "5 verified",
        call: "pwrite64",
        file: File::Log,
        when: 1,
        named: false,
        asks: [Nothing, Whole],
    },
    Step {
        over: "5 verified, and waiting for their names",
        call: "fsync",
        file: File::Log,
        when: 2,
        named: false,
        asks: [Nothing, Whole],
    },
    Step {
        over: "5 verified, and its data flushed",
        call: "renameat2",
        file: File::Part,
        when: 1,
        named: false,
        asks: [Nothing, Whole],
    },
    Step {
        over: "6 placed",
        call: "fsync",
        file: File::Folder,
        when: 1,
        named: true,
        asks: [Nothing, Nothing],
    },
    Step {
        over: "6 placed, and its name flushed",
        call: "fsync",
        file: File::Log,
        when: 3,
        named: true,
        asks: [Nothing, Nothing],
    },
    Step {
        over: "7 recorded",
        call: "ftruncate",
        file: File::Ledger,
        when: 1,
        named: true,
        asks: [Nothing, Nothing],
    },
    Step {
        over: "8 acknowledged",
        call: "unlink",
        file: File::Log,
        when: 1,
        named: true,
        asks: [Nothing, Nothing],
    },
];

/// A mirror whose newest image is in the collection, and whose next one is this heavy and is not.
fn started(bytes: usize) -> (Sandbox, Mirror) {
    let (world, mirror) = (Sandbox::new(), Mirror::of(2));
    mirror.put(&mirror.gallery.originals[1].path, &large_png(7, bytes));
    let first = mirror
        .fetch(&world)
        .args(["-j", "1", "--max-downloads", "1"])
        .run();
    assert_eq!(
        (first.code, collection(&world).len()),
        (Some(0), 1),
        "{}",
        first.stderr
    );
    mirror.nginx.forget();
    (world, mirror)
}

fn path(world: &Sandbox, mirror: &Mirror, file: File) -> PathBuf {
    let folder = world.work().join(GOT);
    let key = format!(
        "simpledesktops https://static.simpledesktops.com{}",
        mirror.gallery.originals[1].path
    );
    let part = folder
        .join(".wallhaul/parts")
        .join(&blake3::hash(key.as_bytes()).to_hex()[..32]);
    match file {
        File::Part => part.with_extension("part"),
        File::Note => part.with_extension("note"),
        File::Folder => folder,
        File::Ledger => folder.join(".wallhaul/ledger.db"),
        File::Log => folder.join(".wallhaul/ledger.db-wal"),
    }
}

/// What was asked for of the image that was killed.
fn asked(mirror: &Mirror) -> Ask {
    let path = &mirror.gallery.originals[1].path;
    let asked: Vec<Request> = mirror
        .nginx
        .requests()
        .into_iter()
        .filter(|asked| asked.path == *path)
        .collect();
    match asked
        .iter()
        .map(|asked| (asked.status, asked.range.is_some()))
        .collect::<Vec<_>>()[..]
    {
        [] => Nothing,
        [(206, true)] => Rest,
        [(200, false)] => Whole,
        _ => panic!("{asked:?}"),
    }
}

/// Kills a run there, where one call of its may have failed before.
fn kill(world: &Sandbox, mirror: &Mirror, step: &Step, failing: Option<&str>) {
    let Step {
        over,
        call,
        file,
        when,
        named,
        asks: _,
    } = step;
    let fetch = [
        "fetch",
        "--base-url",
        &mirror.nginx.origin(),
        "--retry-wait",
        "1ms",
        "-d",
    ];
    let killed = world
        .program("strace")
        .args(["-f", "-qq", "-o", "calls", "-P"])
        .args([path(world, mirror, *file)]);
    let injected = failing.map(|failing| format!("{failing}:error=EINVAL"));
    let injected = injected
        .into_iter()
        .chain([format!("{call}:signal=KILL:when={when}")]);
    let killed = killed.args([
        "-e".to_owned(),
        format!("trace={call},{}", failing.unwrap_or(call)),
    ]);
    let killed =
        killed.args(injected.flat_map(|fault| ["-e".to_owned(), format!("inject={fault}")]));
    let killed = killed
        .args([WALLHAUL])
        .args(fetch)
        .args([world.work().join(GOT)])
        .run();
    let calls = fs::read_to_string(world.work().join("calls")).unwrap();
    assert_eq!(
        killed.signal,
        Some(Signal::KILL),
        "{over}: {killed:?} {calls}"
    );
    assert_eq!(
        collection(world).len(),
        1 + usize::from(*named),
        "{over}: {calls}"
    );
}

/// Kills a run there, and runs it again.
fn hold(step: &Step, bytes: usize, asks: Ask, failing: Option<&str>) {
    let (world, mirror) = started(bytes);
    kill(&world, &mirror, step, failing);
    let context = format!("{bytes} bytes, {}", step.over);
    mirror.nginx.forget();
    let next = mirror.fetch(&world).run();
    assert_eq!(next.code, Some(0), "{context}: {}", next.stderr);
    assert_eq!(asked(&mirror), asks, "{context}");
    assert_eq!(
        (collection(&world).len(), parts(&world).len()),
        (2, 0),
        "{context}"
    );
    assert_eq!(
        sqlite(
            &world,
            "select state, count(*) from collection group by state"
        ),
        "saved|2\n",
        "{context}"
    );
    let verified = world.wallhaul().args(["verify", "-d", GOT]).run();
    assert_eq!(
        (verified.code, verified.stdout.as_str()),
        (Some(0), ""),
        "{context}: {}",
        verified.stderr
    );
}

#[test]
fn kill_after_any_step_of_a_large_image_resumes_with_the_fewest_bytes() {
    for step in &STEPS {
        hold(step, LARGE, step.asks[0], None);
    }
}

#[test]
fn kill_after_any_step_of_a_small_image_is_completed_by_the_next_run() {
    // What is no part worth a note has no second step.
    for step in STEPS.iter().filter(|step| !matches!(step.file, File::Note)) {
        hold(step, SMALL, step.asks[1], None);
    }
}

#[test]
fn kill_between_link_and_unlink_keeps_the_final_name() {
    // Where nothing can be renamed without replacing, it is linked, and then its part removed.
    let [over, call] = ["6 linked, its part still there", "unlink"];
    let step = Step {
        over,
        call,
        file: File::Part,
        when: 1,
        named: true,
        asks: [Nothing, Nothing],
    };
    hold(&step, LARGE, Nothing, Some("renameat2"));
    hold(&step, SMALL, Nothing, Some("renameat2"));
}

/// What a run has the disk keep, in its order.
fn flushed(world: &Sandbox, mirror: &Mirror) -> Vec<&'static str> {
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-o",
        "calls",
        "-e",
        "trace=fsync,syncfs,renameat2",
    ];
    let ended = mirror
        .fetch(world)
        .args(["--sync", "group"])
        .under(strace)
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let calls = fs::read_to_string(world.work().join("calls")).unwrap();
    let begun = calls.lines().filter(|call| !call.contains(" resumed>"));
    let step = |call: &str| match call {
        call if call.contains(" renameat2(") => Some("name"),
        call if call.contains(" syncfs(") => Some("data"),
        call if call.contains("/ledger.db-wal>") => Some("rows"),
        call if call.contains(&format!("/{GOT}>")) => Some("folder"),
        _ => None,
    };
    begun.filter_map(step).collect()
}

#[test]
fn crash_safe_order_is_pending_rows_data_rename_folder_rows() {
    let (world, mirror) = started(SMALL);
    let steps = flushed(&world, &mirror);
    let name = steps
        .iter()
        .position(|step| *step == "name")
        .expect("one is named");
    assert_eq!(
        steps[name - 2..=name + 2],
        ["rows", "data", "name", "folder", "rows"],
        "{steps:?}"
    );
}

#[test]
fn kill_after_rename_syncs_the_folder_before_recording() {
    let (world, mirror) = started(SMALL);
    kill(
        &world,
        &mirror,
        STEPS
            .iter()
            .find(|step| step.over == "6 placed")
            .expect("a step"),
        None,
    );
    let steps = flushed(&world, &mirror);
    assert_eq!(steps.first(), Some(&"folder"), "{steps:?}");
    assert!(steps.contains(&"rows"), "{steps:?}");
}
