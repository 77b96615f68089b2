//! Which listing pages are read, where a listing ends, and what is taken from its pages.

use serde_json::Value;

use crate::support::gallery::{Gallery, Original};
use crate::support::mirror::{GOT, Mirror, assert_whole, collection};
use crate::support::program::Sandbox;
use crate::support::request_gate::RequestGate;
use crate::support::until;

/// The paths of these originals, sorted.
fn paths(originals: &[Original]) -> Vec<String> {
    let mut paths: Vec<String> = originals
        .iter()
        .map(|original| original.path.clone())
        .collect();
    paths.sort_unstable();
    paths
}

fn thumbs(originals: &[Original]) -> Vec<String> {
    originals.iter().map(Original::thumb).collect()
}

#[test]
fn pages_flag_reads_only_the_named_pages() {
    let mirror = Mirror::of(112);
    let fetch = |pages: &str| {
        mirror.nginx.forget();
        let world = Sandbox::new();
        let ended = mirror.fetch(&world).args(["-p", pages]).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(collection(&world).len(), mirror.originals_asked().len());
        (mirror.pages_asked(), mirror.originals_asked())
    };
    let originals = &mirror.gallery.originals;
    assert_eq!(fetch("2"), (vec![2], paths(&originals[28..56])));
    assert_eq!(fetch("2-3"), (vec![2, 3], paths(&originals[28..84])));
    assert_eq!(fetch("-2"), (vec![1, 2], paths(&originals[..56])));
    let (pages, asked) = fetch("3-");
    assert_eq!(
        (&pages[..3], asked),
        (&[3, 4, 5][..], paths(&originals[56..]))
    );
}

#[test]
fn page_past_the_end_ends_the_listing_with_success() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(5));
    let ended = mirror.fetch(&world).args(["-p", "99"]).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        (mirror.pages_asked(), mirror.originals_asked()),
        (vec![99], Vec::new())
    );
    let ended = mirror.fetch(&world).args(["-p", "1-99"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_whole(&world, &mirror);
}

#[test]
fn first_page_missing_is_a_listing_error() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(5));
    mirror.take("/browse/1/index.html");
    let ended = mirror.fetch(&world).run();
    let page = format!("{}/browse/1/", mirror.nginx.origin());
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stderr.contains(&page) && ended.stderr.contains("404"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        (ended.stderr.lines().count(), mirror.originals_asked().len()),
        (1, 0),
        "{}",
        ended.stderr
    );
}

#[test]
fn empty_page_with_the_marker_ends_the_listing() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(84));
    Gallery::hang(mirror.site(), 2, &[]);
    let ended = mirror.fetch(&world).args(["-v"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("page 2 is empty"), "{}", ended.stderr);
    assert_eq!(
        mirror.originals_asked(),
        paths(&mirror.gallery.originals[..28])
    );
}

#[test]
fn page_without_the_marker_is_a_listing_error() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(84));
    mirror.put(
        "/browse/2/index.html",
        b"<html><body><h1>Please log in</h1></body></html>",
    );
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(3));
    assert!(
        ended
            .stderr
            .contains("/browse/2/: it shows neither an item (select = \"div.desktop\") nor the mark of the end"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("the listing is incomplete"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        collection(&world).len(),
        28,
        "what stands before it is fetched"
    );
    assert_eq!(
        mirror.originals_asked(),
        paths(&mirror.gallery.originals[..28])
    );
}

#[test]
fn listing_error_keeps_the_images_found_before() {
    let (world, mirror) = (
        Sandbox::new(),
        Mirror::with(112, "location = /browse/3/ { return 500; }"),
    );
    let ended = mirror
        .fetch(&world)
        .args(["--retries", "0", "--json"])
        .run();
    assert_eq!(ended.code, Some(3));
    assert!(
        ended.stderr.contains("/browse/3/") && ended.stderr.contains("500"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        mirror.originals_asked(),
        paths(&mirror.gallery.originals[..56])
    );
    let sum = ended.sum();
    assert_eq!(
        (&sum["saved"], &sum["listed"], &sum["not_started"]),
        (&56.into(), &false.into(), &0.into())
    );
    assert!(
        sum["listing_failed"].as_str().unwrap().contains("500"),
        "{sum}"
    );
}

#[test]
fn duplicate_pages_end_the_listing_after_two_without_news() {
    let (world, mirror) = (
        Sandbox::new(),
        Mirror::with(
            28,
            "location /browse/ { try_files /browse/1/index.html =404; }",
        ),
    );
    let ended = mirror.fetch(&world).args(["-v"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("page 3 and the one before it showed nothing new"),
        "{}",
        ended.stderr
    );
    assert_whole(&world, &mirror);
    assert_eq!(mirror.originals_asked(), mirror.originals());
    // Three were read and two more were on their way.
    assert!(
        mirror.pages_asked().len() <= 5,
        "{:?}",
        mirror.pages_asked()
    );
}

#[test]
fn duplicate_image_on_the_next_page_is_fetched_once() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(84));
    let originals = &mirror.gallery.originals;
    // Five newer ones came while the first page was read: its last five stand on the second again, and so on.
    Gallery::hang(mirror.site(), 2, &thumbs(&originals[23..51]));
    Gallery::hang(mirror.site(), 3, &thumbs(&originals[46..74]));
    Gallery::hang(mirror.site(), 4, &thumbs(&originals[69..]));
    let ended = mirror.fetch(&world).args(["--json"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sum = ended.sum();
    assert_eq!((&sum["found"], &sum["repeated"]), (&84.into(), &15.into()));
    assert_eq!(mirror.originals_asked(), mirror.originals());
    assert_whole(&world, &mirror);
}

#[test]
fn listing_prefetch_stays_close_to_the_workers() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(Gallery::ALL));
    let ended = mirror
        .fetch(&world)
        .args(["-j", "1", "--max-downloads", "10"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Ten are fetched and 64 wait, which reach into the third page; two more are on their way.
    assert!(
        mirror.pages_asked().len() <= 5,
        "{:?}",
        mirror.pages_asked()
    );
}

#[test]
fn prefetch_at_the_start_of_a_range_fills_the_jobs_beyond_the_first_page() {
    let (gate, world) = (RequestGate::closed(), Sandbox::new());
    let mirror = Mirror::with(112, &gate.before("/browse/"));
    let pages = ["-j", "50", "-p", "1-30"];
    let running = mirror.fetch(&world).args(pages).start();
    // The first page, and one for each of 50 workers beyond its 28 images.
    until("23 pages on their way", || {
        (gate.waiting() == 23).then_some(())
    });
    gate.open();
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_whole(&world, &mirror);
}

#[test]
fn pages_that_may_not_be_needed_are_not_requested_early() {
    let mirror = Mirror::of(112);
    let pages_asked = |args: &[&str]| {
        mirror.nginx.forget();
        let world = Sandbox::new();
        let ended = mirror.fetch(&world).args(["-j", "50"]).args(args).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        mirror.pages_asked().len()
    };
    // Four pages, the one that is not there, and three beyond it.
    assert!(pages_asked(&[]) <= 8);
    assert!(pages_asked(&["-p", "1-30", "--max-downloads", "1"]) <= 8);
    assert!(pages_asked(&["-p", "1-30", "--max-downloads", "200"]) <= 8);
    assert!(pages_asked(&["-p", "1-30", "--quota", "1G"]) <= 8);
    assert!(pages_asked(&["-p", "1-30", "--max-time", "1h"]) <= 8);
}

#[test]
fn thumb_without_an_original_is_skipped_and_reported() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(28));
    let mut hung = thumbs(&mirror.gallery.originals[..20]);
    hung.insert(
        3,
        "/uploads/desktops/2011/01/01/Moon_iphone_thumb.png".to_owned(),
    );
    hung.insert(9, "/static/images/advertisement.gif".to_owned());
    hung.insert(
        14,
        "http://elsewhere.invalid/a.png.295x184_q100.png".to_owned(),
    );
    Gallery::hang(mirror.site(), 1, &hung);

    let ended = mirror
        .fetch(&world)
        .args(["--json", "--progress", "plain"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        mirror.originals_asked(),
        paths(&mirror.gallery.originals[..20])
    );
    assert_eq!(
        mirror.nginx.requests().len(),
        20 + mirror.pages_asked().len() + 1,
        "originals, pages, robots.txt"
    );

    let sum = ended.sum();
    assert_eq!(
        (&sum["found"], &sum["saved"], &sum["skipped"]),
        (&23.into(), &20.into(), &3.into())
    );
    assert!(
        ended.stderr.contains("20 saved") && ended.stderr.contains("3 skipped"),
        "{}",
        ended.stderr
    );
    let skipped = ended
        .objects()
        .into_iter()
        .filter(|event| event["outcome"] == "skipped");
    let why: Vec<_> = skipped
        .map(|event| {
            (
                text(&event, "key"),
                text(&event, "reason"),
                text(&event, "detail"),
            )
        })
        .collect();
    let expected = [
        (
            "simpledesktops https://static.simpledesktops.com/uploads/desktops/2011/01/01/Moon_iphone_thumb.png",
            "no_rule",
            "",
        ),
        (
            "simpledesktops https://static.simpledesktops.com/static/images/advertisement.gif",
            "no_rule",
            "",
        ),
        (
            "simpledesktops https://elsewhere.invalid/a.png.295x184_q100.png",
            "address",
            "the definition does not name its host `elsewhere.invalid`",
        ),
    ];
    assert_eq!(
        why,
        expected.map(|(key, why, detail)| (key.to_owned(), why.to_owned(), detail.to_owned()))
    );
}

#[test]
fn images_of_a_listing_that_the_user_finds_too_small_are_skipped_and_left_alone() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(5));
    let fetch = |more: &[&str]| {
        let ended = mirror.fetch(&world).args(["--json"]).args(more).run();
        let counts =
            ["skipped", "gone", "saved", "failed"].map(|count| ended.sum()[count].as_u64());
        (ended.code, counts.map(Option::unwrap_or_default))
    };
    let wide = ["--min-width", "100000"];
    assert_eq!(fetch(&wide), (Some(0), [5, 0, 0, 0]));
    assert_eq!(mirror.originals_asked().len(), 5);
    assert_eq!(fetch(&wide), (Some(0), [5, 0, 0, 0]));
    assert_eq!(mirror.originals_asked().len(), 5);
    let stats = world
        .wallhaul()
        .args(["ledger", "stats", "--json", "-d", GOT]);
    let listed = stats.run().sum();
    assert_eq!(
        (&listed["skipped"], &listed["gone"]),
        (&5.into(), &0.into())
    );
    let rows = world
        .wallhaul()
        .args(["ledger", "list", "--json", "--state", "skipped", "-d", GOT]);
    assert_eq!(rows.run().objects().len(), 5);
    // Another minimum is another question.
    assert_eq!(fetch(&["--min-width", "99999"]), (Some(0), [5, 0, 0, 0]));
    assert_eq!(mirror.originals_asked().len(), 10);
    assert_eq!(fetch(&[]), (Some(0), [0, 0, 5, 0]));
}

#[test]
fn first_page_without_any_original_is_a_listing_error() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(28));
    let hung: Vec<String> = (0..28)
        .map(|number| format!("/thumbs/{number}.webp"))
        .collect();
    Gallery::hang(mirror.site(), 1, &hung);
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(3));
    assert!(
        ended
            .stderr
            .contains("none of its 28 thumbs leads to an original: no rule"),
        "{}",
        ended.stderr
    );
    assert_eq!(mirror.originals_asked(), [""; 0]);
}

fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_owned()
}

#[test]
fn dry_run_prints_each_image_once_and_writes_nothing() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(60));
    let ended = mirror.fetch(&world).args(["-n"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!world.work().join(GOT).exists(), "no folder is made");
    let named = ended
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("would fetch "));
    let wanted = mirror.gallery.originals.iter();
    let wanted = wanted.map(|original| format!("{}{}", mirror.nginx.origin(), original.path));
    assert_eq!(named.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    assert!(
        ended.stderr.contains("60 would be fetched"),
        "{}",
        ended.stderr
    );
    assert_eq!(mirror.originals_asked(), [""; 0]);

    assert_eq!(mirror.fetch(&world).args(["-p", "1"]).run().code, Some(0));
    let ended = mirror.fetch(&world).args(["-n", "--json"]).run();
    let sum = ended.sum();
    assert_eq!(
        (&sum["already_there"], &sum["would_fetch"]),
        (&28.into(), &32.into())
    );
    assert_eq!(collection(&world).len(), 28);
}
