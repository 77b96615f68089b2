//! The main job: the whole real catalogue from a real server, fetched once and once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::ImageFormat;
use regex::Regex;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use crate::support::gallery::Gallery;
use crate::support::mirror::{GOT, Mirror, assert_whole, collection, parts, sqlite};
use crate::support::nginx::Nginx;
use crate::support::program::{ProgramOutput, Sandbox};

/// A listing page more than there are, and those asked for ahead of it by eight jobs.
const PAGES_BEHIND_THE_END: usize = 3;

#[test]
fn whole_catalogue_is_fetched_once_and_the_second_run_requests_no_image() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(Gallery::ALL));
    let ended = mirror
        .fetch(&world)
        .args(["--json", "--sync", "group"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    assert_whole(&world, &mirror);
    let got = collection(&world);
    assert!(
        !got.values().any(|hash| *hash == mirror.gallery.thumb),
        "a thumb was kept"
    );
    hold_names(&mirror, &got.keys().cloned().collect::<Vec<_>>());
    hold_requests(&mirror);
    hold_events(&ended);
    hold_ledger(&world, &mirror);

    mirror.nginx.forget();
    let again = mirror.fetch(&world).run();
    assert_eq!(
        (again.code, again.stdout.as_str(), again.stderr.as_str()),
        (Some(0), "", "")
    );
    assert_eq!(mirror.originals_asked(), [""; 0]);
    hold_requests_for_pages(&mirror);
    assert_eq!(collection(&world), got);
}

fn hold_names(mirror: &Mirror, names: &[String]) {
    let folded: BTreeSet<String> = names
        .iter()
        .map(|name| name.nfc().collect::<String>().to_lowercase())
        .collect();
    assert_eq!(
        folded.len(),
        Gallery::ALL,
        "names that a file system may take for one"
    );
    // `/uploads/desktops/2018/03/29/Mountains.png` is `2018-03-29-...`.
    let day = Regex::new(r"/(\d{4})/(\d{2})/(\d{2})/").unwrap();
    let days = |mut days: Vec<String>| {
        days.sort_unstable();
        days
    };
    let listed = mirror.gallery.originals.iter().map(|original| {
        let day = day.captures(&original.path).expect("a day in each path");
        format!("{}-{}-{}", &day[1], &day[2], &day[3])
    });
    let kept = names
        .iter()
        .map(|name| name.get(..10).expect("a day in each name").to_owned());
    assert_eq!(days(kept.collect()), days(listed.collect()));
}

fn hold_requests(mirror: &Mirror) {
    assert_eq!(
        mirror.originals_asked(),
        mirror.originals(),
        "each original once, and nothing else there"
    );
    hold_requests_for_pages(mirror);
}

fn hold_requests_for_pages(mirror: &Mirror) {
    let pages = u32::try_from(mirror.gallery.pages).unwrap();
    let asked = mirror.pages_asked();
    let (wanted, ahead): (Vec<u32>, Vec<u32>) =
        asked.iter().partition(|number| **number <= pages + 1);
    assert_eq!(
        wanted,
        (1..=pages + 1).collect::<Vec<_>>(),
        "each page once, and the one behind them"
    );
    assert!(
        ahead.len() < PAGES_BEHIND_THE_END,
        "asked for ahead: {ahead:?}"
    );
    let mut others: Vec<String> = mirror
        .nginx
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    others.retain(|path| !path.starts_with("/uploads/") && !path.starts_with("/browse/"));
    assert_eq!(others, ["/robots.txt"]);
}

fn hold_events(ended: &ProgramOutput) {
    let events = ended.objects();
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!(
        (of("run_started"), of("page_read"), of("listing_ended")),
        (1, 52, 1)
    );
    let saved = events.iter().filter(|event| event["outcome"] == "saved");
    assert_eq!(
        (saved.count(), of("image_finished")),
        (Gallery::ALL, Gallery::ALL)
    );
    let sum = ended.sum();
    assert_eq!(sum["event"], "run_ended");
    assert_eq!(
        (&sum["found"], &sum["saved"], &sum["not_started"]),
        (&1436.into(), &1436.into(), &0.into())
    );
}

/// The ledger says of each image what its file is, to the program's readers and to `SQLite`'s own shell.
fn hold_ledger(world: &Sandbox, mirror: &Mirror) {
    let rows = ledger(world);
    assert_eq!(rows.len(), Gallery::ALL);
    for original in &mirror.gallery.originals {
        let row = &rows[&format!("https://static.simpledesktops.com{}", original.path)];
        let format = match original.format {
            ImageFormat::Jpeg => "jpg",
            ImageFormat::Gif => "gif",
            _ => "png",
        };
        let file =
            std::fs::read(world.work().join(GOT).join(row["name"].as_str().unwrap())).unwrap();
        assert_eq!(blake3::hash(&file), original.hash, "{row}");
        assert_eq!(row["blake3"], original.hash.to_string(), "{row}");
        assert_eq!(row["bytes"], file.len(), "{row}");
        assert_eq!(
            (&row["state"], &row["format"]),
            (&"saved".into(), &format.into()),
            "{row}"
        );
        assert_eq!(
            (&row["width"], &row["height"]),
            (&32.into(), &32.into()),
            "{row}"
        );
        assert!(
            row["name"]
                .as_str()
                .unwrap()
                .ends_with(&format!(".{format}")),
            "{row}"
        );
    }
    let named = |path: &str| {
        rows[&format!("https://static.simpledesktops.com/uploads/desktops/{path}")]["name"].clone()
    };
    // JPEG for all their names say, a GIF, no extension at all, and nothing but one.
    assert_eq!(named("2011/10/28/Rainbow.png"), "2011-10-28-Rainbow.jpg");
    assert_eq!(named("2010/09/05/MacGiraf.png"), "2010-09-05-MacGiraf.jpg");
    assert_eq!(
        named("2009/12/02/valentine2.gif"),
        "2009-12-02-valentine2.gif"
    );
    assert_eq!(named("2012/02/08/Liquid-45"), "2012-02-08-Liquid-45.png");
    assert_eq!(named("2010/08/31/.png"), "2010-08-31.png");

    let mut listed: Vec<String> = rows
        .values()
        .map(|row| {
            format!(
                "{}|{}|{}|32|32",
                row["name"].as_str().unwrap(),
                row["bytes"],
                row["blake3"].as_str().unwrap()
            )
        })
        .collect();
    let shell = sqlite(
        world,
        "select name, bytes, blake3, width, height from collection where state = 'saved'",
    );
    let mut shell: Vec<String> = shell.lines().map(str::to_owned).collect();
    listed.sort_unstable();
    shell.sort_unstable();
    assert_eq!(shell, listed);
}

/// What `wallhaul ledger list --json` has, by address.
fn ledger(world: &Sandbox) -> HashMap<String, Value> {
    let ended = world
        .wallhaul()
        .args(["ledger", "list", "-d", GOT, "--json"])
        .run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended
        .objects()
        .into_iter()
        .map(|row| (row["address"].as_str().unwrap().to_owned(), row))
        .collect()
}

#[test]
fn mirror_thumb_urls_map_to_the_same_keys_however_written() {
    let keys = |origin: &dyn Fn(&Nginx) -> String| {
        let (world, site) = (Sandbox::new(), tempfile::tempdir().unwrap());
        let nginx = Nginx::serve(site.path(), "");
        Gallery::lay(site.path(), &origin(&nginx), 40);
        let ended = world
            .wallhaul()
            .args(["fetch", "--base-url", &nginx.origin(), "-d", GOT])
            .run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(parts(&world).is_empty());
        ledger(&world)
            .into_values()
            .map(|row| (row["key"].to_string(), row["name"].to_string()))
            .collect::<BTreeMap<_, _>>()
    };
    let relative = keys(&|_| String::new());
    assert_eq!(relative.len(), 40);
    assert_eq!(relative, keys(&Nginx::origin));
    assert_eq!(
        relative,
        keys(&|_| "http://static.simpledesktops.com".to_owned())
    );
    assert_eq!(
        relative,
        keys(&|_| "https://static.simpledesktops.com".to_owned())
    );
}
