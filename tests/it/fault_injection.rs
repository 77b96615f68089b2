//! Each system call by which a run changes the disk fails once, or is the last one before the run
//! is killed. Files under a final name must be right, the run must say why it ended, and the next
//! run must complete.
//!
//! `strace` lets the n-th call of a thread fail. On one core there is one thread for each kind of
//! call, so that is the n-th of the run. Of each kind the first, the last and some between are
//! tried; `WALLHAUL_TEST_ALL=1` tries all.

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::mirror::{GOT, Mirror, assert_whole};
use crate::support::program::{Program, Sandbox};

const IMAGES: usize = 10;

/// Calls of one name at one place.
#[derive(Clone, Copy)]
struct Kind {
    call: &'static str,
    place: Place,
    /// How each of them fails in turn; they are killed at as well.
    errors: &'static [&'static str],
    /// What always fails beside it, so that this is what is done instead.
    instead: &'static [&'static str],
}

/// What calls have to do with.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The images' parts, notes and final names.
    Images,
    /// The collection's folder and what is made in it at the start.
    Folder,
    /// The ledger's files.
    Ledger,
    /// Nothing on the disk.
    Nowhere,
}

const fn kind(call: &'static str, place: Place, errors: &'static [&'static str]) -> Kind {
    Kind {
        call,
        place,
        errors,
        instead: &[],
    }
}

const KINDS: [Kind; 19] = [
    kind("openat", Place::Images, &["ENOSPC", "EMFILE", "EACCES"]),
    kind(
        "write",
        Place::Images,
        &["ENOSPC", "EDQUOT", "EIO", "EFBIG"],
    ),
    kind(
        "renameat2",
        Place::Images,
        &["ESTALE", "EIO", "EDQUOT", "EROFS"],
    ),
    Kind {
        call: "linkat",
        place: Place::Images,
        errors: &["ESTALE"],
        instead: &["renameat2:error=EINVAL"],
    },
    Kind {
        call: "unlink",
        place: Place::Images,
        errors: &["EIO"],
        instead: &["renameat2:error=EINVAL"],
    },
    Kind {
        call: "rename",
        place: Place::Images,
        errors: &["ESTALE", "ENOSPC"],
        instead: &["renameat2:error=EINVAL", "linkat:error=EPERM"],
    },
    kind("unlink", Place::Images, &["EIO"]),
    kind("syncfs", Place::Folder, &["EIO", "ENOSPC"]),
    kind("fsync", Place::Folder, &["EIO"]),
    kind("mkdir", Place::Folder, &["ENOSPC", "EROFS"]),
    kind("openat", Place::Folder, &["EMFILE", "EIO"]),
    kind("flock", Place::Folder, &["ENOLCK"]),
    kind("fstatfs", Place::Folder, &["EIO"]),
    kind("openat", Place::Ledger, &["EACCES"]),
    kind("pwrite64", Place::Ledger, &["ENOSPC", "EIO"]),
    kind("fsync", Place::Ledger, &["EIO"]),
    kind("ftruncate", Place::Ledger, &["EIO"]),
    kind("unlink", Place::Ledger, &["EIO"]),
    kind("clone3", Place::Nowhere, &["EAGAIN"]),
];

/// What is done to the n-th call.
#[derive(Clone, Copy)]
enum Blow {
    Error(&'static str),
    Kill,
}

#[derive(Clone, Copy)]
struct Case {
    kind: Kind,
    blow: Blow,
    /// From one.
    n: usize,
}

/// A site, the core that its runs are held to, and the files that they have to do with.
struct Bench {
    mirror: Mirror,
    core: usize,
    files: Vec<(Place, String)>,
}

impl Bench {
    fn new(core: usize) -> Self {
        let mut mirror = Mirror::of(IMAGES);
        // Two that are worth a note, and written in more than one piece.
        mirror.lengthen(..2, 1_300_000);
        let mut bench = Self {
            mirror,
            core,
            files: Vec::new(),
        };
        let world = Sandbox::new();
        let ended = bench.fetch(&world).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let saved = ended
            .objects()
            .into_iter()
            .filter(|event| event["outcome"] == "saved");
        let mut add = |place, file: String| bench.files.push((place, file));
        for event in saved {
            let key = event["key"].as_str().unwrap();
            let part = format!(
                "{GOT}/.wallhaul/parts/{}",
                &blake3::hash(key.as_bytes()).to_hex()[..32]
            );
            add(Place::Images, format!("{part}.part"));
            add(Place::Images, format!("{part}.note"));
            add(
                Place::Images,
                format!("{GOT}/{}", event["name"].as_str().unwrap()),
            );
        }
        for file in [
            "",
            "/.wallhaul",
            "/.wallhaul/lock",
            "/.wallhaul/parts",
            "/.wallhaul/parts/probe",
        ] {
            add(Place::Folder, format!("{GOT}{file}"));
        }
        for end in ["", "-wal", "-shm", "-journal"] {
            add(Place::Ledger, format!("{GOT}/.wallhaul/ledger.db{end}"));
        }
        bench
    }

    fn fetch(&self, world: &Sandbox) -> Program {
        self.mirror
            .fetch(world)
            .args(["--json", "-j", "2", "--sync", "group"])
    }

    /// A run whose calls of this kind are watched, and dealt with as `blow` says.
    fn watched(&self, world: &Sandbox, kind: Kind, blow: Option<String>) -> Program {
        let mut above = vec!["taskset".to_owned(), "-c".to_owned(), self.core.to_string()];
        above.extend(["strace", "-f", "-qq", "-s", "0", "-o", "calls"].map(str::to_owned));
        // Quicker, but then no signal is sent.
        above.extend(
            blow.iter()
                .all(|blow| !blow.starts_with("signal"))
                .then(|| "--seccomp-bpf".to_owned()),
        );
        let mut calls = vec![kind.call];
        for instead in kind.instead {
            calls.extend(instead.split(':').next());
            above.extend(["-e".to_owned(), format!("inject={instead}")]);
        }
        above.extend(["-e".to_owned(), format!("trace={}", calls.join(","))]);
        if let Some(blow) = blow {
            above.extend(["-e".to_owned(), format!("inject={}:{blow}", kind.call)]);
        }
        // By both names: as it is given to a call, and as a descriptor is known.
        for (_, file) in self.files.iter().filter(|(place, _)| *place == kind.place) {
            let whole = world.work().join(file).display().to_string();
            above.extend(["-P".to_owned(), file.clone(), "-P".to_owned(), whole]);
        }
        self.fetch(world).under(above)
    }

    /// How many calls of this kind the busiest thread of an undisturbed run makes.
    fn count(&self, kind: Kind) -> usize {
        let world = Sandbox::new();
        let ended = self.watched(&world, kind, None).run();
        assert_eq!(ended.code, Some(0), "{}: {}", kind.call, ended.stderr);
        assert_whole(&world, &self.mirror);
        let calls = fs::read_to_string(world.work().join("calls")).unwrap();
        let mut by_thread: HashMap<&str, usize> = HashMap::new();
        for (thread, call) in calls.lines().filter_map(|line| line.split_once(' ')) {
            if call.trim_start().starts_with(&format!("{}(", kind.call)) {
                *by_thread.entry(thread).or_default() += 1;
            }
        }
        by_thread.into_values().max().unwrap_or_default()
    }

    fn hold(&self, case: Case) {
        let Case { kind, blow, n } = case;
        let world = Sandbox::new();
        let said = match blow {
            Blow::Error(error) => format!("error={error}:when={n}"),
            Blow::Kill => format!("signal=KILL:when={n}"),
        };
        let what = format!("{} {}, {said}", kind.call, kind.instead.join(" "));
        let ended = self.watched(&world, kind, Some(said)).run();
        let calls = fs::read_to_string(world.work().join("calls")).unwrap();
        let struck = calls.contains("(INJECTED)") || ended.signal.is_some();
        let kept = self.mirror.kept(&world);
        match (blow, ended.code, ended.signal) {
            (Blow::Kill, None, Some(Signal::KILL)) => {}
            // It got round it, and may have left a note that means nothing.
            (Blow::Error(_) | Blow::Kill, Some(0), None) => {
                assert_eq!(kept, self.mirror.originals(), "{what}");
            }
            (Blow::Error(_), Some(1 | 4 | 5), None) => {
                assert!(!ended.stderr.is_empty(), "{what}: it says nothing");
                hold_counts(&ended.stdout, &what);
            }
            _ => panic!("{what}: {ended:?}"),
        }
        assert!(
            !ended.stderr.contains("panicked"),
            "{what}: {}",
            ended.stderr
        );

        self.mirror.nginx.forget();
        let again = self.fetch(&world).run();
        assert_eq!(again.code, Some(0), "{what}: {}", again.stderr);
        assert_whole(&world, &self.mirror);
        let mut due = self.mirror.originals();
        due.retain(|path| kept.binary_search(path).is_err());
        let asked = self.mirror.originals_asked();
        // A part that was whole already needs no request, and one that had a beginning is asked for in part.
        let twice = asked.iter().find(|path| !due.contains(path));
        assert!(
            twice.is_none() && asked.len() <= due.len(),
            "{what}: asked for {asked:?} where {due:?} was missing"
        );
        assert!(struck || n > 1, "{what}: nothing was hit");
    }
}

/// Every image that was found has an outcome, and it was reported.
fn hold_counts(stdout: &str, what: &str) {
    let Some(sum) = stdout
        .lines()
        .last()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    else {
        return;
    };
    assert_eq!(sum["event"], "run_ended", "{what}");
    let count = |name: &str| sum[name].as_u64().unwrap();
    let ends = [
        "saved",
        "duplicate",
        "already_there",
        "gone",
        "skipped",
        "failed",
        "interrupted",
        "not_started",
    ]
    .map(count);
    assert_eq!(count("found"), ends.iter().sum::<u64>(), "{what}: {sum}");
}

/// Which of `count` calls are dealt with.
fn chosen(count: usize, at_most: usize) -> Vec<usize> {
    if std::env::var_os("WALLHAUL_TEST_ALL").is_some() || count <= at_most {
        return (1..=count).collect();
    }
    (0..at_most)
        .map(|place| 1 + place * (count - 1) / (at_most - 1))
        .collect()
}

#[test]
fn fault_injection_or_kill_at_any_system_call_leaves_no_bad_file_and_the_next_run_completes() {
    let benches = [
        Bench::new(0),
        Bench::new(thread::available_parallelism().map_or(1, usize::from) - 1),
    ];
    let mut cases = Vec::new();
    for kind in KINDS {
        let count = benches[0].count(kind);
        assert!(count > 0, "no {} {}", kind.call, kind.instead.join(" "));
        for (error, at_most) in kind.errors.iter().zip([6, 2, 2, 2]) {
            let blow = Blow::Error(error);
            cases.extend(
                chosen(count, at_most)
                    .into_iter()
                    .map(|n| Case { kind, blow, n }),
            );
        }
        if kind.place != Place::Nowhere {
            cases.extend(chosen(count, 4).into_iter().map(|n| Case {
                kind,
                blow: Blow::Kill,
                n,
            }));
        }
    }
    let left = Mutex::new(cases);
    thread::scope(|scope| {
        for bench in &benches {
            let next = || left.lock().unwrap().pop();
            scope.spawn(move || {
                while let Some(case) = next() {
                    bench.hold(case);
                }
            });
        }
    });
}
