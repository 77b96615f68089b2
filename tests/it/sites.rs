//! `wallhaul sites`: definitions of one's own by name, tried on saved pages, checked, recorded and drafted.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use rustix::process::Signal;

use crate::support::fault_server::{Answer, FaultServer};
use crate::support::program::{ProgramOutput, Sandbox, files};
use crate::support::until;

/// A grey picture of that many pixels.
pub(crate) fn grey(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let picture = GrayImage::from_pixel(width, height, Luma([shade]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// Serves two listing pages of four cards, a page for each card with a link to its original, thumbs and originals.
fn gallery() -> FaultServer {
    let server = FaultServer::start();
    for page in 1..=2_u8 {
        let cards = (1..=4).map(|card| {
            let number = page * 10 + card;
            server.show(&format!("/t/hill-{number}.png"), grey(40, 30, number));
            server.show(&format!("/big/{number}/hill-{number}-full.png"), grey(400, 300, number));
            let detail = format!(
                "<html><body><nav><a href=/><img src=/logo.png></a></nav><img src=/show/{number}.png>\
                 <a class=get href=/big/{number}/hill-{number}-full.png>Download</a></body></html>"
            );
            server.show(&format!("/w/hill-{number}"), detail.into_bytes());
            format!(
                "<div class='card n{number}'><a href=/w/hill-{number}><img src=/t/hill-{number}.png></a>\
                 <h3>Hill {number}</h3></div>"
            )
        });
        let cards: String = cards.collect();
        let pager = "<p><a href=/new?page=1>1</a> <a href=/new?page=2>2</a></p>";
        let text = format!("<html><body><div class=list>{cards}</div>{pager}</body></html>");
        server.show(&format!("/new?page={page}"), text.into_bytes());
    }
    server
}

/// A definition of the gallery's thumbs, as the user would write it.
fn definition(server: &FaultServer, name: &str) -> String {
    format!(
        r#"
[site]
name = "{name}"
base = "{}"
description = "hills"
[listing]
kind = "html"
url = "/new?page={{page}}"
[item]
select = "div.card"
thumb = "img@src"
link = "a@href"
title = "h3"
[[full]]
rewrite = {{ from = "thumb", regex = '^(?P<a>.+)/t/hill-(?P<n>[0-9]+)[.]png$', to = "${{a}}/big/${{n}}/hill-${{n}}-full.png" }}
"#,
        server.origin()
    )
}

/// Writes a definition of the user's own.
fn own(world: &Sandbox, name: &str, text: &str) -> PathBuf {
    let folder = world.home().join(".config/wallhaul/sites");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    path
}

pub(crate) fn sites(world: &Sandbox, args: &[&str]) -> ProgramOutput {
    world.wallhaul().args(["sites"]).args(args).run()
}

#[test]
fn own_site_definitions_are_found_by_name_and_listed() {
    let (world, server) = (Sandbox::new(), gallery());
    let path = own(&world, "hills", &definition(&server, "hills"));
    own(&world, "demo", &definition(&server, "demo"));
    own(&world, "hills~", "no definition");
    let listed = sites(&world, &["list"]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    let line = |name: &str| {
        let mut lines = listed.stdout.lines();
        lines
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("hills").ends_with("hills (your own)"),
        "{}",
        listed.stdout
    );
    assert!(
        line("demo").contains("in place of the one that ships"),
        "{}",
        listed.stdout
    );
    assert!(
        line("simpledesktops").ends_with("of them"),
        "{}",
        listed.stdout
    );
    let json = sites(&world, &["list", "--json"]).stdout;
    assert!(
        line("feed").ends_with("partly inferred)"),
        "{}",
        listed.stdout
    );
    assert!(json.contains(r#""inferred":"that an image"#), "{json}");
    assert!(json.contains(r#""inferred":null"#), "{json}");
    assert!(
        json.contains(r#""name":"hills""#) && json.contains(r#""from":"own""#),
        "{json}"
    );

    let shown = sites(&world, &["show", "hills"]);
    assert_eq!(shown.stdout, definition(&server, "hills"));
    assert!(
        shown.stderr.contains(path.to_str().unwrap()),
        "{}",
        shown.stderr
    );

    let ended = world.wallhaul().args(["fetch", "hills", "-q"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let collection = world.work().join("wallpapers/hills");
    let images = files(&collection);
    assert!(images.iter().any(|(name, _)| name.contains("hill-11-full")));
    let ended = world.wallhaul().args(["verify", "hills"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_broken_own_definition_is_named_with_its_place() {
    let (world, server) = (Sandbox::new(), gallery());
    let broken = definition(&server, "hills").replace("select =", "selct =");
    let path = own(&world, "hills", &broken);
    own(&world, "other", &definition(&server, "hills"));
    for args in [
        &["sites", "list"][..],
        &["fetch", "hills"],
        &["urls", "hills"],
    ] {
        let ended = world.wallhaul().args(args).run();
        assert_eq!(ended.code, Some(2), "{args:?}");
        let place = format!("{}:10:1", path.display());
        assert!(ended.stderr.contains(&place), "{args:?}: {}", ended.stderr);
    }
    let listed = sites(&world, &["list"]);
    assert!(
        listed.stdout.contains("simpledesktops"),
        "{}",
        listed.stdout
    );
    assert!(listed.stderr.contains("`hills.toml`"), "{}", listed.stderr);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn sites_test_compares_with_a_saved_output() {
    let (world, server) = (Sandbox::new(), gallery());
    own(&world, "hills", &definition(&server, "hills"));
    let page = server.shown("/new?page=1");
    fs::write(world.work().join("saved.html"), &page[..]).unwrap();
    let tried = sites(&world, &["test", "hills", "--page", "saved.html"]);
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    assert_eq!(tried.stdout.lines().count(), 4, "{}", tried.stdout);
    let first: Vec<_> = tried.stdout.lines().next().unwrap().split('\t').collect();
    assert_eq!(first[..3], ["1", "full 1", "direct"]);
    assert!(first[3].ends_with("/big/11/hill-11-full.png"), "{first:?}");
    assert!(
        tried
            .stderr
            .contains("4 items, 4 with an original; next is http")
            && tried.stderr.contains("/new?page=2\n"),
        "{}",
        tried.stderr
    );

    fs::write(world.work().join("expected"), &tried.stdout).unwrap();
    let args = [
        "test",
        "hills",
        "--page",
        "saved.html",
        "--expect",
        "expected",
    ];
    let same = sites(&world, &args);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""));
    fs::write(
        world.work().join("expected"),
        tried.stdout.replace("hill-12-full", "x"),
    )
    .unwrap();
    let other = sites(&world, &args);
    assert_eq!((other.code, other.stdout.lines().count()), (Some(1), 2));
    assert!(other.stdout.starts_with("-2\t"), "{}", other.stdout);

    fs::write(world.work().join("saved.html"), "<p>moved").unwrap();
    let gone = sites(&world, &["test", "hills", "--page", "saved.html"]);
    assert_eq!(gone.code, Some(3), "{}", gone.stderr);
    assert_eq!(server.requests().len(), 0, "it needs no network");
}

#[test]
fn sites_check_says_whether_page_and_image_still_fit() {
    let (world, server) = (Sandbox::new(), gallery());
    own(&world, "hills", &definition(&server, "hills"));
    let good = sites(&world, &["check", "hills"]);
    assert_eq!(good.code, Some(0), "{}{}", good.stdout, good.stderr);
    assert!(good.stdout.contains("400x300 png"), "{}", good.stdout);
    server.show("/big/11/hill-11-full.png", &b"<html>no image</html>"[..]);
    let image = sites(&world, &["check", "hills"]);
    assert_eq!(image.code, Some(3), "{}", image.stdout);
    assert!(image.stdout.contains("full 1: "), "{}", image.stdout);
    server.show("/new?page=1", &b"<html><p>we moved</html>"[..]);
    let page = sites(&world, &["check", "hills"]);
    assert_eq!(page.code, Some(3), "{}", page.stdout);
    assert!(page.stdout.contains("page   failed"), "{}", page.stdout);
    assert!(
        !world.work().join("wallpapers").exists(),
        "nothing is stored"
    );
}

#[test]
fn sites_record_makes_a_fixture_that_sites_test_reads() {
    let (world, server) = (Sandbox::new(), gallery());
    own(&world, "hills", &definition(&server, "hills"));
    let args = [
        "record", "hills", "-d", "fixture", "--pages", "2", "--images", "1",
    ];
    let ended = sites(&world, &args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let manifest = fs::read_to_string(world.work().join("fixture/manifest.jsonl")).unwrap();
    assert_eq!(manifest.lines().count(), 3, "{manifest}");
    let host = format!("fixture/127.0.0.1:{}", server.port());
    let image = world.work().join(host).join("big/11/hill-11-full.png");
    assert_eq!(fs::read(image).unwrap(), grey(400, 300, 11));
    let tried = sites(&world, &["test", "hills", "--page", "fixture"]);
    assert_eq!(
        (tried.code, tried.stdout.lines().count()),
        (Some(0), 8),
        "{}",
        tried.stderr
    );
    let again = sites(&world, &args);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
}

#[test]
fn sites_new_drafts_a_definition_that_fetches_the_originals() {
    let (world, server) = (Sandbox::new(), gallery());
    let url = format!("{}/new?page=1", server.origin());
    let ended = sites(
        &world,
        &["new", &url, "--name", "hills", "-o", "hills.toml"],
    );
    let text = fs::read_to_string(world.work().join("hills.toml")).unwrap_or_default();
    assert_eq!(ended.code, Some(0), "{}\n{text}", ended.stderr);
    assert!(text.contains(r#"select = "div.card""#), "{text}");
    assert!(text.contains(r#"url = "/new?page={page}""#), "{text}");
    assert!(text.contains("follow = "), "{text}");
    let ended = world
        .wallhaul()
        .args(["urls", "--site-file", "hills.toml"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.lines().count() >= 8, "{}", ended.stdout);
}

#[test]
fn sites_new_learns_from_one_original() {
    let (world, server) = (Sandbox::new(), gallery());
    let url = format!("{}/new?page=1", server.origin());
    let original = format!("{}/big/12/hill-12-full.png", server.origin());
    let ended = sites(&world, &["new", &url, "--original", &original]);
    assert!(
        ended.stdout.contains("learned from one example"),
        "{}",
        ended.stdout
    );
    assert!(
        server.asked("/w/hill-11").is_empty(),
        "no detail page is needed"
    );
}

#[test]
fn sites_new_on_a_page_without_a_gallery_is_exit_code_3() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    server.show("/", &b"<html><p>nothing here</p></html>"[..]);
    let ended = sites(&world, &["new", &server.origin()]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""));
    assert!(
        ended.stderr.contains("no repeated block"),
        "{}",
        ended.stderr
    );
}

#[test]
fn sites_new_drafts_what_it_finds_where_it_sees_no_way_to_the_originals() {
    let (world, server) = (Sandbox::new(), gallery());
    server.everywhere(|asked| {
        if asked.path.starts_with("/w/") || asked.path.starts_with("/big/") {
            Answer::status(404)
        } else {
            asked.served()
        }
    });
    let url = format!("{}/new?page=1", server.origin());
    let ended = sites(&world, &["new", &url, "-o", "hills.toml"]);
    let text = fs::read_to_string(world.work().join("hills.toml")).unwrap_or_default();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("lacks the way"), "{}", ended.stderr);
    assert!(text.contains(r#"select = "div.card""#), "{text}");
    assert!(text.contains("# To be written"), "{text}");
    // It is a definition already, if not of originals; one of the lines that are proposed makes it another.
    let ended = world
        .wallhaul()
        .args(["urls", "--site-file", "hills.toml", "-p", "1"])
        .run();
    assert!(ended.stdout.contains("/t/hill-11"), "{ended:?}");
    let proposed = text.replace("field = \"thumb\"", "field = \"link\"");
    fs::write(world.work().join("hills.toml"), proposed).expect("a file for the definition");
    let ended = world
        .wallhaul()
        .args(["urls", "--site-file", "hills.toml", "-p", "1"])
        .run();
    assert!(ended.stdout.contains("/w/hill-11"), "{ended:?}");
}

#[test]
fn sites_new_reads_no_json_as_html() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    let json =
        r#"[{ "more": "<a href='/1'><img src='/1.png'></a><a href='/2'><img src='/2.png'></a>" }]"#;
    server.show("/more", json.as_bytes());
    let url = format!("{}/more", server.origin());
    let ended = sites(&world, &["new", &url]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""));
    assert!(
        ended.stderr.contains("JSON in which") && ended.stderr.contains("members more"),
        "{}",
        ended.stderr
    );
}

#[test]
fn sites_test_says_to_which_listings_a_page_leads() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    let definition = definition(&server, "albums");
    let through = definition.replace("[listing]\n", "[listing]\nthrough = [\"a.album@href\"]\n");
    assert_ne!(through, definition);
    own(&world, "albums", &through);
    let page = "<html><a class=album href=/one>1</a><a class=album href=/two>2</a></html>";
    fs::write(world.work().join("saved.html"), page).unwrap();
    let tried = sites(&world, &["test", "albums", "--page", "saved.html"]);
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    assert!(
        tried.stderr.contains("2 links to listings; next is"),
        "{}",
        tried.stderr
    );
}

/// A definition of the gallery by way of the pages behind its cards.
fn followed(base: &str) -> String {
    format!(
        r#"
[site]
name = "hills"
base = "{base}"
[listing]
kind = "html"
url = "/new?page={{page}}"
[item]
select = "div.card"
thumb = "img@src"
link = "a@href"
[[full]]
follow = {{ from = "link", find = "a.get@href" }}
"#
    )
}

#[test]
fn sites_test_follows_detail_pages_that_are_at_hand() {
    let (world, server) = (Sandbox::new(), gallery());
    own(&world, "hills", &followed(&server.origin()));
    let args = [
        "record", "hills", "-d", "fixture", "--pages", "1", "--images", "2",
    ];
    let recorded = sites(&world, &args);
    assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);
    let asked = server.requests().len();

    let tried = sites(&world, &["test", "hills", "--page", "fixture"]);
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    let lines: Vec<_> = tried.stdout.lines().collect();
    let follow = format!("1\tfull 1\tfollow\t{}/w/hill-11\t", server.origin());
    let original = server.origin() + "/big/11/hill-11-full.png\t";
    assert!(lines[0].starts_with(&follow), "{}", tried.stdout);
    assert!(
        lines[1].starts_with(&format!("1\tfull 1 page 1\tdirect\t{original}")),
        "{}",
        tried.stdout
    );
    assert_eq!(lines.len(), 6, "{}", tried.stdout);
    let said = "`follow`: 2 of 4 pages at hand, 2 lead to an original";
    assert!(tried.stderr.contains(said), "{}", tried.stderr);
    let json = sites(&world, &["test", "hills", "--page", "fixture", "--json"]);
    assert!(
        json.stdout
            .contains(r#""full":1,"page":1,"result":"direct""#),
        "{}",
        json.stdout
    );

    let page = server.shown("/new?page=1");
    fs::write(world.work().join("saved.html"), &page[..]).unwrap();
    let alone = sites(&world, &["test", "hills", "--page", "saved.html"]);
    assert_eq!((alone.code, alone.stdout.lines().count()), (Some(0), 4));
    assert!(
        alone
            .stderr
            .contains("`follow` was not tested: none of the 4 pages"),
        "{}",
        alone.stderr
    );
    fs::write(
        world.work().join("view.html"),
        &server.shown("/w/hill-12")[..],
    )
    .unwrap();
    let named = format!("{}/w/hill-12=view.html", server.origin());
    for (detail, item) in [("view.html", 1), (&named, 2)] {
        let args = ["test", "hills", "--page", "saved.html", "--detail", detail];
        let given = sites(&world, &args);
        let start = format!("{item}\tfull 1 page 1\tdirect\t");
        assert!(given.stdout.contains(&start), "{detail}: {}", given.stdout);
    }
    fs::write(world.work().join("view.html"), "<p>moved").unwrap();
    let args = [
        "test",
        "hills",
        "--page",
        "saved.html",
        "--detail",
        "view.html",
    ];
    let moved = sites(&world, &args);
    assert_eq!(moved.code, Some(3), "{}", moved.stderr);
    assert!(
        moved.stdout.contains("1\tfull 1 page 1\tno match"),
        "{}",
        moved.stdout
    );
    assert_eq!(server.requests().len(), asked, "it needs no network");
}

#[test]
fn a_mirror_keeps_the_host_of_root_relative_addresses_on_followed_pages() {
    let (world, from, mirror) = (Sandbox::new(), gallery(), FaultServer::start());
    own(&world, "hills", &followed("http://hills.invalid"));
    for path in ["/new?page=1", "/w/hill-11", "/big/11/hill-11-full.png"] {
        mirror.show(&format!("/hills.invalid{path}"), from.shown(path));
    }
    let base = format!("{}/{{host}}/", mirror.origin());
    let checked = sites(&world, &["check", "hills", "--base-url", &base]);
    assert_eq!(
        checked.code,
        Some(0),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    let args = [
        "record",
        "hills",
        "-d",
        "fixture",
        "--pages",
        "1",
        "--images",
        "1",
        "--base-url",
        &base,
    ];
    let recorded = sites(&world, &args);
    assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);
    let manifest = fs::read_to_string(world.work().join("fixture/manifest.jsonl")).unwrap();
    let original = r#"{"url":"http://hills.invalid/big/11/hill-11-full.png""#;
    assert!(manifest.contains(original), "{manifest}");
}

#[test]
fn sites_record_counts_the_images_that_it_stored() {
    let (world, server) = (Sandbox::new(), gallery());
    own(&world, "hills", &definition(&server, "hills"));
    server.on("/big/12/hill-12-full.png", |_| Answer::status(404));
    let args = [
        "record", "hills", "-d", "fixture", "--pages", "1", "--images", "2",
    ];
    let recorded = sites(&world, &args);
    assert_eq!(recorded.code, Some(1), "{}", recorded.stderr);
    assert!(
        recorded.stderr.contains("recorded 1 page and 1 image in"),
        "{}",
        recorded.stderr
    );
}

#[test]
fn ctrl_c_ends_sites_check_record_and_new_while_a_page_is_on_its_way_or_read() {
    let server = FaultServer::start();
    server.on("/hangs", |_| {
        Answer::head("200 OK", &["Content-Length: 100"]).hang()
    });
    // Takes minutes without a bound, and many seconds with it: every element is compared with all after it.
    let page = format!("<html>{}", "<p></p>".repeat(60_000));
    server.show("/costly", page.into_bytes());
    let definition = |path: &str, select: &str| {
        followed(&server.origin())
            .replace("/new?page={page}", path)
            .replace("div.card", select)
    };
    let url = format!("{}/hangs", server.origin());
    let cases: [(&str, &str, &[&str]); 4] = [
        ("/hangs", "p", &["check", "hills"]),
        ("/hangs", "p", &["record", "hills", "-d", "fixture"]),
        ("/hangs", "p", &["new", &url]),
        ("/costly", "p:has(~ b)", &["check", "hills"]),
    ];
    for (path, select, args) in cases {
        let world = Sandbox::new();
        own(&world, "hills", &definition(path, select));
        let known = server.asked(path).len();
        let running = world.wallhaul().args(["sites"]).args(args).start();
        until("the request", || {
            (server.asked(path).len() > known).then_some(())
        });
        std::thread::sleep(Duration::from_millis(300));
        let signalled = Instant::now();
        running.signal(Signal::INT);
        let ended = running.wait();
        assert_eq!(ended.code, Some(130), "{args:?}: {}", ended.stderr);
        // Not only at the end of the grace of three seconds, which is for downloads.
        assert!(signalled.elapsed() < Duration::from_secs(3), "{args:?}");
    }
}

#[test]
fn two_values_for_one_variable_are_refused() {
    let world = Sandbox::new();
    fs::write(world.work().join("page.xml"), "<rss/>").unwrap();
    let test = ["sites", "test", "feed", "--page", "page.xml"];
    for args in [&test[..], &["fetch", "feed"], &["sites", "check", "feed"]] {
        let twice = ["-V", "url=http://a.invalid/", "-V", "url=http://b.invalid/"];
        let ended = world.wallhaul().args(args).args(twice).run();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(
            ended
                .stderr
                .contains("the variable `url` is given two values"),
            "{args:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn sites_show_gives_a_file_the_definition_as_it_is() {
    let (world, server) = (Sandbox::new(), gallery());
    let text = definition(&server, "hills").replace("hills\"\n[l", "\u{202e}\u{9b}31m\"\n[l");
    assert!(text.contains('\u{9b}'));
    own(&world, "hills", &text);
    assert_eq!(sites(&world, &["show", "hills"]).stdout, text);
}
