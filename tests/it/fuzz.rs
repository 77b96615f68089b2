//! Feeds every fuzz target below `tests/fuzz` its corpus and mutations of it, the same ones in
//! every run.

#[expect(
    unreachable_pub,
    reason = "the same file is a crate of its own for the long runs"
)]
#[path = "../fuzz/targets/mod.rs"]
pub(crate) mod targets;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::thread;

use super::support::rng::Rng;

/// How often each kept input is bent.
const BENT: u32 = 60;

/// What is worth inserting into any input.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x7f\xff\xff\xff",
    b"\n",
    b"\r\n",
    b"<",
    b">",
    b"\"",
    b"'",
    b"&#0;",
    b"<!--",
    b"<base href=//x>",
    b"%00",
    b"%2f",
    b"..",
    b"-",
    b"/",
    b"18446744073709551616",
    b"1e999",
    b"(?<x>",
    b"${x}",
    b"\xe2\x80\xae",
];

/// The kept inputs of a target, each with its file's name, in the order of the names.
fn kept(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut kept: Vec<_> = files
        .map(|file| {
            let path = file.expect("an entry of the folder").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, fs::read(&path).expect("a readable file"))
        })
        .collect();
    kept.sort();
    kept
}

/// `bytes` with one thing in them changed, or a few.
fn bent(bytes: &[u8], others: &[(String, Vec<u8>)], dice: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => bytes[at] = dice.byte(),
            3 => drop(
                bytes.splice(
                    at..at,
                    dice.one_of(&WORDS)
                        .expect("there are words")
                        .iter()
                        .copied(),
                ),
            ),
            4 => {
                let end = at + dice.below(bytes.len() - at + 1).min(64);
                bytes.drain(at..end);
            }
            5 => {
                let end = at + dice.below(bytes.len() - at + 1).min(64);
                let again = bytes[at..end].to_vec();
                let again = again.repeat(1 + dice.below(16));
                bytes.splice(at..at, again);
            }
            _ => {
                let (_name, other) = dice
                    .one_of(others)
                    .expect("there is at least the input itself");
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.below(other.len() + 1)..]);
            }
        }
    }
    bytes
}

fn feed(target: &str, take: fn(&[u8]), times: u32) {
    let kept = kept(target);
    assert!(kept.len() > 3, "hardly anything is kept for `{target}`");
    for (name, bytes) in &kept {
        let mut dice = Rng::new(target, name);
        for time in 0..=times {
            let bytes = if time == 0 {
                bytes.clone()
            } else {
                bent(bytes, &kept, &mut dice)
            };
            let taken = panic::catch_unwind(AssertUnwindSafe(|| take(&bytes)));
            let shown = || {
                String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)])
                    .escape_debug()
                    .to_string()
            };
            assert!(
                taken.is_ok(),
                "`{target}` fed with {name}, bent for the {time}th time: {}",
                shown()
            );
        }
    }
}

#[test]
fn fuzz_targets_hold_on_the_corpus_and_its_mutations() {
    thread::scope(|scope| {
        for (target, take) in targets::ALL {
            // A file on disk and a page cost more than a line.
            let times = match target {
                "ledger" | "listing" => BENT,
                "rewrite" | "definition" => BENT * 4,
                _ => BENT * 20,
            };
            scope.spawn(move || feed(target, take, times));
        }
    });
}

#[test]
fn fuzz_targets_each_have_a_libfuzzer_program() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (target, _take) in targets::ALL {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
            "{target}"
        );
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/fuzz/fuzz_targets/{target}.rs"));
        let program = fs::read_to_string(program).unwrap_or_default();
        assert!(
            program.contains(&format!("wallhaul_fuzz::{target}(data)")),
            "{target}"
        );
    }
    assert_eq!(manifest.matches("\n[[bin]]\n").count(), targets::ALL.len());
}
