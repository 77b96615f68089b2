//! `--archive`: what a site has lost, from a local imitation of the web archive.

use std::fs;

use image::ImageFormat;

use crate::support::fault_server::{Answer, FaultServer};
use crate::support::gallery::{item, page, picture};
use crate::support::program::{Program, ProgramOutput, Sandbox};
use crate::support::web_archive::{Captured, WebArchive};

/// The canonical address of an image that the listing of a mirror shows,
fn image_address(path: &str) -> String {
    format!("https://static.simpledesktops.com{path}")
}

/// and of a page, or of what a page names without a host.
fn page_address(path: &str) -> String {
    format!("https://simpledesktops.com{path}")
}

fn fetch(world: &Sandbox, archive: &WebArchive, arguments: &[&str]) -> Program {
    world
        .wallhaul()
        .args([
            "fetch",
            "--archive-url",
            &archive.server.origin(),
            "-R",
            "4",
        ])
        .args(["--retry-wait", "10ms"])
        .args(arguments)
}

fn fallback(world: &Sandbox, archive: &WebArchive, site: &FaultServer, more: &[&str]) -> Program {
    fetch(
        world,
        archive,
        &["--archive", "fallback", "--base-url", &site.origin()],
    )
    .args(more)
}

fn json_of<'a>(output: &'a ProgramOutput, field: &str) -> Vec<&'a str> {
    output
        .stdout
        .lines()
        .filter(|line| line.contains(field))
        .collect()
}

#[test]
fn archive_fallback_fetches_what_the_site_has_lost_and_marks_it() {
    let (world, site, archive) = (Sandbox::new(), FaultServer::gallery(), WebArchive::start());
    site.on(FaultServer::FAULTY, |_| Answer::status(404));
    let bytes = site.shown(FaultServer::FAULTY).to_vec();
    let address = image_address(FaultServer::FAULTY);
    archive.add(&address, Captured::image("20190504010203", bytes.clone()));
    let output = fallback(&world, &archive, &site, &["--json"]).run();
    assert_eq!(output.code, Some(0), "{output:?}");
    let saved = json_of(&output, "\"captured\"");
    assert_eq!(saved.len(), 1, "{output:?}");
    assert!(
        saved[0].contains("\"captured\":\"2019-05-04T01:02:03Z\""),
        "{saved:?}"
    );
    assert!(
        saved[0].contains("/web/20190504010203id_/https://static"),
        "{saved:?}"
    );
    assert!(output.stdout.contains("\"archived\":1"), "{output:?}");
    let path = format!("/web/20190504010203id_/{address}");
    assert_eq!(
        archive.asked(),
        [path],
        "and nothing for the four that are there"
    );
    let show = world.wallhaul().args(["ledger", "show", "faulty"]).run();
    assert!(
        show.stdout.contains("archived      2019-05-04T01:02:03Z"),
        "{show:?}"
    );
    assert!(
        show.stdout.contains(&format!("address       {address}")),
        "{show:?}"
    );
    let again = fallback(&world, &archive, &site, &[]).run();
    assert_eq!(
        (again.code, archive.asked().len()),
        (Some(0), 1),
        "{again:?}"
    );
}

#[test]
fn archive_summary_names_the_days_of_the_captures() {
    let (world, site, archive) = (Sandbox::new(), FaultServer::gallery(), WebArchive::start());
    let days = ["20190504010203", "20210101000000"];
    for (path, at) in FaultServer::GOOD.into_iter().zip(days) {
        let bytes = site.shown(path).to_vec();
        site.on(path, |_| Answer::status(410));
        archive.add(&image_address(path), Captured::image(at, bytes));
    }
    let output = fallback(&world, &archive, &site, &["--progress", "plain"]).run();
    assert_eq!(output.code, Some(0), "{output:?}");
    let says = "2 from the web archive, captured 2019-05-04 to 2021-01-01";
    assert!(output.stderr.contains(says), "{output:?}");
}

#[test]
fn archive_fallback_without_a_capture_leaves_the_sites_own_answer() {
    let (world, site, archive) = (Sandbox::new(), FaultServer::gallery(), WebArchive::start());
    site.on(FaultServer::FAULTY, |_| Answer::status(404));
    let output = fallback(&world, &archive, &site, &[]).run();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("answered 404"), "{output:?}");
    // It counts as gone, so that the archive is not asked again each day.
    let asked = archive.server.requests().len();
    let again = fallback(&world, &archive, &site, &[]).run();
    assert_eq!(
        (again.code, archive.server.requests().len()),
        (Some(0), asked)
    );
    let address = image_address(FaultServer::FAULTY);
    let bytes = site.shown(FaultServer::FAULTY).to_vec();
    archive.add(&address, Captured::image("20190504010203", bytes));
    let output = fallback(&world, &archive, &site, &["--retry-gone"]).run();
    assert_eq!(
        (output.code, archive.asked().len()),
        (Some(0), 1),
        "{output:?}"
    );
}

#[test]
fn archive_that_refuses_leaves_no_image_gone() {
    let (world, site, archive) = (Sandbox::new(), FaultServer::gallery(), WebArchive::start());
    site.on(FaultServer::FAULTY, |_| Answer::status(404));
    let refusals = [
        Answer::whole("403 Forbidden", &["Content-Type: text/html"], "<html>no"),
        Answer::ok("<html><title>Log in</title></html>"),
    ];
    for refusal in refusals {
        archive.server.everywhere(move |_| refusal.clone());
        let output = fallback(&world, &archive, &site, &[]).run();
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("gives no answer"), "{output:?}");
        assert!(!output.stderr.contains("gone"), "{output:?}");
    }
    // Once it answers, the image is asked for again and found.
    let archive = WebArchive::start();
    let bytes = site.shown(FaultServer::FAULTY).to_vec();
    let address = image_address(FaultServer::FAULTY);
    archive.add(&address, Captured::image("20190504010203", bytes));
    let output = fallback(&world, &archive, &site, &[]).run();
    assert_eq!((output.code, archive.asked().len()), (Some(0), 1));
}

#[test]
fn archive_is_not_asked_by_default_or_for_what_is_only_late_or_forbidden() {
    let (world, archive) = (Sandbox::new(), WebArchive::start());
    for (mode, answer, robots) in [
        ("off", 404, ""),
        ("fallback", 503, ""),
        (
            "fallback",
            200,
            "User-agent: *\nDisallow: /uploads/desktops/2020/02/",
        ),
    ] {
        let site = FaultServer::gallery();
        site.show("/robots.txt", robots.as_bytes());
        if answer != 200 {
            site.on(FaultServer::FAULTY, move |_| Answer::status(answer));
        }
        let folder = format!("wallpapers/{mode}-{answer}");
        let output = fetch(&world, &archive, &["--archive", mode, "-d", &folder])
            .args(["--base-url", &site.origin()])
            .run();
        assert_eq!(output.code, Some(1), "{mode} {answer}: {output:?}");
        assert_eq!(archive.server.requests().len(), 0, "{mode} {answer}");
    }
}

#[test]
fn archive_bytes_are_verified_and_a_bad_capture_is_passed_over() {
    let (world, site, archive) = (Sandbox::new(), FaultServer::gallery(), WebArchive::start());
    site.on(FaultServer::FAULTY, |_| Answer::status(404));
    let bytes = site.shown(FaultServer::FAULTY).to_vec();
    let address = image_address(FaultServer::FAULTY);
    let whole = |at| Captured::image(at, bytes.clone());
    let memento = |at| whole(at).memento();
    let mut other = bytes.clone();
    let last = other.len() - 20;
    other[last] ^= 1;
    archive.add(&address, whole("20150101000000"));
    // Its bytes are not those of the index.
    let answer = Answer::whole("200 OK", &[&memento("20160101000000")], other);
    archive.add(&address, whole("20160101000000").answering(answer));
    // It lacks bytes, by the length that the site had said.
    let length = format!("X-Archive-Orig-Content-Length: {}", bytes.len());
    let answer = Answer::whole(
        "200 OK",
        &[&memento("20170101000000"), &length],
        &bytes[..99],
    );
    archive.add(&address, whole("20170101000000").answering(answer));
    // An answer that is no capture, and one that was too busy then.
    archive.add(
        &address,
        whole("20180101000000").answering(Answer::ok("<html>blocked")),
    );
    let busy = [&*memento("20190101000000"), "Retry-After: 100"];
    let answer = Answer::whole("429 Too Many Requests", &busy, "");
    archive.add(&address, whole("20190101000000").answering(answer));
    let output = fallback(&world, &archive, &site, &["--json"]).run();
    assert_eq!(output.code, Some(0), "{output:?}");
    let saved = json_of(&output, "\"captured\"");
    assert!(saved[0].contains("2015-01-01"), "{saved:?}");
}

#[test]
fn archive_redirects_and_revisits_lead_to_the_image() {
    let (world, site, archive) = (Sandbox::new(), FaultServer::gallery(), WebArchive::start());
    let [revisited, moved, ..] = FaultServer::GOOD;
    for path in [revisited, moved] {
        site.on(path, |_| Answer::status(404));
    }
    let bytes = site.shown(revisited).to_vec();
    let address = image_address(revisited);
    archive.add(&address, Captured::image("20180101000000", bytes.clone()));
    let revisit = Captured {
        status: "-",
        ..Captured::image("20200101000000", bytes)
    };
    archive.add(&address, revisit.answering(Answer::status(404)));
    let (old, new) = (image_address(moved), image_address("/moved.png"));
    let captured = Captured::image("20180202000000", site.shown(moved).to_vec());
    let location = format!(
        "Location: {}/web/20180201000000id_/{new}",
        archive.server.origin()
    );
    let mut redirect = Captured::page("20180201000000", "");
    redirect.status = "301";
    let answer = Answer::whole("301 Moved", &[&redirect.memento(), &location], "");
    archive.add(&old, redirect.answering(answer));
    archive.add(&new, captured);
    let output = fallback(&world, &archive, &site, &["--json"]).run();
    assert_eq!(output.code, Some(0), "{output:?}");
    let mut days: Vec<_> = json_of(&output, "\"captured\"")
        .into_iter()
        .filter_map(|line| Some(&line.split("\"captured\":\"").nth(1)?[..10]))
        .collect();
    days.sort_unstable();
    assert_eq!(days, ["2018-01-01", "2018-02-02"], "{output:?}");
}

#[test]
fn archive_only_reads_a_dead_site_with_its_listing_near_the_date() {
    let (world, archive) = (Sandbox::new(), WebArchive::start());
    let paths = [
        "/uploads/desktops/2020/01/01/one.png",
        "/uploads/desktops/2020/01/02/two.png",
    ];
    let items: Vec<_> = paths
        .iter()
        .map(|path| item(&format!("{path}.295x184_q100.png"), "/browse/"))
        .collect();
    let first = page_address("/browse/1/");
    archive.add(&first, Captured::page("20120101000000", page(1, &[])));
    archive.add(&first, Captured::page("20190303000000", page(1, &items)));
    let mut over = Captured::page("20190304000000", "");
    over.status = "404";
    archive.add(&page_address("/browse/2/"), over);
    for (index, path) in paths.iter().enumerate() {
        // The page's thumbs are on its own host, as everything that a test shows.
        let image = Captured::image("20190305000000", picture(index, ImageFormat::Png));
        archive.add(&page_address(path), image.clone());
        archive.add(&image_address(path), image);
    }
    let arguments = ["--archive", "only", "--archive-date", "2019", "--json"];
    let output = fetch(&world, &archive, &arguments).run();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(
        json_of(&output, "\"captured\":\"2019-03-05").len(),
        2,
        "{output:?}"
    );
    assert!(
        output.stdout.contains("\"status\":404"),
        "the listing ended: {output:?}"
    );
    let robots = archive.server.asked("/robots.txt").len();
    assert_eq!(robots, 1, "the archive's own, once");
    assert_eq!(
        fs::read_dir(world.work().join("wallpapers/simpledesktops")).map_or(0, Iterator::count),
        3
    );
}

#[test]
fn archive_options_that_mean_nothing_are_refused() {
    let world = Sandbox::new();
    for (arguments, says) in [
        (&["--archive-date", "2019"][..], "`--archive fallback`"),
        (&["--archive", "only", "--archive-date", "May"], "`2019-05`"),
        (&["--archive", "only", "--archive-window", "soon"], "`30d`"),
        (&["--archive", "always"], "fallback"),
    ] {
        let output = world
            .wallhaul()
            .args(["fetch"])
            .args(arguments.iter().copied())
            .run();
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(says), "{output:?}");
    }
}
