//! Kills while verified images wait for a slow disk: the bytes that are downloaded again are
//! bounded.

use crate::support::large_png::large_png;
use crate::support::mirror::{Mirror, assert_whole, noted, parts};
use crate::support::program::Sandbox;
use crate::support::until;

const JOBS: u64 = 4;

/// None of them is long enough for a note of its own before its last bytes.
const IMAGES: usize = 60;
const BYTES: usize = 300_000;
const MORE: usize = 6_000;

/// So many bytes at most are asked for again, for each image at a time.
const BOUND: u64 = 1_000_000;

/// A file that the kernel flushes in an hour.
const SLOW_DISK: [&str; 9] = [
    "strace",
    "-f",
    "-qq",
    "-o",
    "calls",
    "-e",
    "trace=syncfs",
    "-e",
    "inject=syncfs:delay_enter=3600000000",
];

fn is_part(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, kind)| kind == "part")
}

#[test]
fn kill_with_a_pending_batch_on_a_slow_disk_refetches_at_most_a_megabyte_per_connection() {
    for (validator, extra) in [("strong", ""), ("none", "etag off;")] {
        let (world, mut mirror) = (Sandbox::new(), Mirror::with(IMAGES, extra));
        let mut all = 0;
        for seed in 0..IMAGES {
            let image = large_png(u32::try_from(seed).expect("a few"), BYTES + seed * MORE);
            all += image.len();
            mirror.replace(seed, &image);
        }
        let piled = || {
            parts(&world)
                .iter()
                .filter(|(name, _)| is_part(name))
                .map(|(_, part)| part.len())
                .sum::<usize>()
        };

        let slow = mirror
            .fetch(&world)
            .args(["--sync", "group", "-j", &JOBS.to_string()])
            .under(SLOW_DISK)
            .start();
        until("all images to wait for the disk", || {
            (all == piled()).then_some(())
        });
        // Both of them, as a watched one does not die before the disk has answered.
        drop(slow);
        assert!(mirror.kept(&world).is_empty(), "{validator}");
        let left = parts(&world);
        let noted = noted(&left).len();
        let files = left.keys().filter(|name| !is_part(name)).count();
        assert!(
            files <= IMAGES / 2 && noted > files,
            "{validator}: {files} files with notes for {noted} images"
        );

        mirror.nginx.forget();
        let next = mirror.fetch(&world).args(["--lock", "wait"]).run();
        assert_eq!(next.code, Some(0), "{validator}: {}", next.stderr);
        let requests = mirror
            .nginx
            .requests()
            .into_iter()
            .filter(|asked| asked.path.starts_with("/uploads/"));
        let again: u64 = requests.map(|asked| asked.sent).sum();
        println!(
            "{validator}: {again} bytes of {all} asked for again, {files} files with notes for {noted} images"
        );
        assert!(
            again <= JOBS * BOUND,
            "{validator}: {again} bytes of {all} are asked for again"
        );
        assert_whole(&world, &mirror);
    }
}
