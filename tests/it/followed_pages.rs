//! Originals behind a detail page, images known by their site's id, and what a listing declares of their bytes.

use std::fs;

use image::ImageFormat;
use md5::{Digest as _, Md5};

use crate::support::fault_server::{Answer, FaultServer};
use crate::support::gallery::picture;
use crate::support::mirror::{GOT, collection, sqlite};
use crate::support::program::{ProgramOutput, Sandbox};
use crate::support::web_archive::{Captured, WebArchive};

/// Where a definition of the user's own is.
const DEFINITION: &str = "definition.toml";

/// A definition of a gallery at `origin` whose cards have an id, a link and an MD5; `rest` says how the original is
/// found.
fn definition(origin: &str, rest: &str) -> String {
    format!(
        r#"
[site]
name = "detail"
base = "{origin}"

[listing]
kind = "html"
url = "/list/{{page}}/"
stop = {{ status = [404] }}

[item]
select = "div.card"
thumb = "img@src"
link = "a@href"
fields = {{ id = "@data-id", md5 = "@data-md5" }}
key = "{{id}}"
verify = {{ md5 = "{{md5}}" }}

{rest}
"#
    )
}

/// One hop: the page that the card links to.
const ONE_HOP: &str = r#"
[[full]]
follow = { from = "link", kind = "html", find = ["a.original@href", "img.large@src"] }
"#;

/// Two hops: the page that the card links to, and the download page that that one links to.
const TWO_HOPS: &str = r#"
[[full]]
follow = { from = "link", kind = "html", find = "a.download@href", follow = { kind = "html", find = "a.original@href" } }
"#;

fn md5_of(index: usize) -> String {
    let hash = Md5::digest(picture(index, ImageFormat::Png));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn html(body: &str) -> Vec<u8> {
    format!("<!doctype html><html><body>{body}</body></html>").into_bytes()
}

/// A gallery of three cards. Card `n` links to `/view/n`, from which `/download/n` and `/full/n.png` are linked.
fn gallery() -> FaultServer {
    let server = FaultServer::start();
    let mut cards = String::new();
    for n in 1..=3 {
        let md5 = md5_of(n);
        cards += &format!(
            r#"<div class="card" data-id="id{n}" data-md5="{md5}"><a href="/view/{n}"><img src="/thumb/{n}.png"></a></div>"#
        );
        let links = format!(
            r#"<a class="download" href="../download/{n}">more</a><a class="original" href="/full/{n}.png">full</a>"#
        );
        server.show(&format!("/view/{n}"), html(&links));
        server.show(&format!("/download/{n}"), html(&links));
        server.show(&format!("/full/{n}.png"), picture(n, ImageFormat::Png));
    }
    server.show("/list/1/", html(&cards));
    server
}

fn run(world: &Sandbox, definition: &str, arguments: &[&str]) -> ProgramOutput {
    fs::write(world.work().join(DEFINITION), definition).expect("a file for the definition");
    let program = world
        .wallhaul()
        .env("WALLHAUL_RETRY_WAIT", "1ms")
        .env("WALLHAUL_SYNC", "off")
        .args(arguments)
        .args(["--site-file", DEFINITION]);
    program.run()
}

fn fetch(world: &Sandbox, definition: &str) -> ProgramOutput {
    run(world, definition, &["fetch", "-d", GOT, "--json"])
}

/// How often anything below one of these folders was asked for.
fn asked(server: &FaultServer, folders: &[&str]) -> usize {
    let requests = server.requests();
    let wanted = |path: &str| folders.iter().any(|folder| path.starts_with(folder));
    requests.iter().filter(|asked| wanted(&asked.path)).count()
}

#[test]
fn an_original_behind_one_or_two_detail_pages_is_fetched_once() {
    for (rest, pages) in [(ONE_HOP, 3), (TWO_HOPS, 6)] {
        let (world, server) = (Sandbox::new(), gallery());
        let definition = definition(&server.origin(), rest);
        let ended = fetch(&world, &definition);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let names: Vec<_> = collection(&world).into_keys().collect();
        assert_eq!(names.len(), 3, "{names:?}");
        let folders = ["/view/", "/download/"];
        assert_eq!(
            (asked(&server, &folders), asked(&server, &["/full/"])),
            (pages, 3)
        );
        let addresses =
            "SELECT count(*) FROM images WHERE key_rest = 'id:id2' AND address LIKE '%/full/2.png'";
        assert_eq!(sqlite(&world, addresses).trim(), "1");
        server.heal();
        let again = fetch(&world, &definition);
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        let folders = ["/view/", "/download/", "/full/"];
        assert_eq!(
            (asked(&server, &folders), &again.sum()["already_there"]),
            (0, &3.into())
        );
    }
}

#[test]
fn urls_follows_detail_pages_and_prints_what_they_lead_to() {
    let (world, server) = (Sandbox::new(), gallery());
    server.on("/view/2", |_| Answer::ok(html("a video")));
    let ended = run(&world, &definition(&server.origin(), ONE_HOP), &["urls"]);
    let origin = server.origin();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(
        ended.stdout,
        format!("{origin}/full/1.png\n{origin}/full/3.png\n")
    );
    let said = format!("{origin}/view/2: no original found on it");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    assert_eq!(asked(&server, &["/full/"]), 0);
}

#[test]
fn a_detail_page_that_shows_a_film_in_place_of_an_image_is_skipped_and_not_read_each_night() {
    let (world, server) = (Sandbox::new(), gallery());
    server.on("/view/2", |_| Answer::ok(html("<video src=a.mp4></video>")));
    let one_hop = ONE_HOP.replace("find =", "none = \"video@src\", find =");
    let definition = definition(&server.origin(), &one_hop);
    let listed = run(&world, &definition, &["urls"]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    for _ in 0..2 {
        let ended = fetch(&world, &definition);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let sum = ended.sum();
        assert_eq!(
            (&sum["skipped"], &sum["gone"]),
            (&1.into(), &0.into()),
            "{sum}"
        );
        assert_eq!(asked(&server, &["/view/"]), 6);
    }
    assert_eq!(collection(&world).len(), 2);
    let mirror = FaultServer::start();
    mirror.everywhere(|asked| match asked.path.as_str() {
        "/list/1/" => Answer::ok(html(
            "<div class=card data-id=a><a href=/view/1><img src=/t.png></a></div>",
        )),
        "/view/1" => Answer::ok(html("<video src=a.mp4></video>")),
        _ => Answer::status(404),
    });
    let args = [
        "fetch",
        "-d",
        "other",
        "--json",
        "--base-url",
        &mirror.origin(),
    ];
    let mirrored = run(&world, &definition, &args);
    let objects = mirrored.objects();
    let skip = objects.iter().find(|object| object["reason"] == "no_image");
    let asked = format!("{}/view/1", mirror.origin());
    assert_eq!(
        skip.expect("a skipped image")["address"],
        asked,
        "as it was requested"
    );
}

#[test]
fn a_detail_page_without_an_original_fails_by_name_and_is_not_read_each_night() {
    let (world, server) = (Sandbox::new(), gallery());
    server.on("/view/2", |_| Answer::ok(html("a video")));
    let definition = definition(&server.origin(), ONE_HOP);
    let ended = fetch(&world, &definition);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let failed = ended
        .objects()
        .into_iter()
        .find(|object| object["outcome"] == "failed");
    let failed = failed.expect("a failed image");
    assert_eq!(failed["address"], format!("{}/view/2", server.origin()));
    assert_eq!(
        (&failed["cause"], &failed["stage"], &failed["gone"]),
        (
            &"no original found on it".into(),
            &"rewrite".into(),
            &true.into()
        )
    );
    assert_eq!(collection(&world).len(), 2);
    server.heal();
    let again = fetch(&world, &definition);
    assert_eq!(
        (again.code, asked(&server, &["/view/"])),
        (Some(0), 0),
        "{}",
        again.stderr
    );
    let retried = run(&world, &definition, &["fetch", "-d", GOT, "--retry-gone"]);
    assert_eq!(retried.code, Some(0), "{}", retried.stderr);
    assert_eq!(collection(&world).len(), 3);
}

#[test]
fn what_a_wrong_definition_did_not_find_is_looked_for_by_the_mended_one() {
    // The wrong rule finds nothing on the page, or an address that the site does not have.
    let missing = "[[full]]\ntemplate = \"/missing/{id}.png\"\n";
    let nothing =
        "[[full]]\nfollow = { from = \"link\", kind = \"html\", find = \"a.none@href\" }\n";
    for wrong in [nothing, missing] {
        let (world, server) = (Sandbox::new(), gallery());
        server.on("/missing/", |_| Answer::status(404));
        let wrong = definition(&server.origin(), wrong);
        let ended = fetch(&world, &wrong);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let again = fetch(&world, &wrong);
        assert_eq!(
            (again.code, &again.sum()["gone"]),
            (Some(0), &3.into()),
            "{}",
            again.stderr
        );
        server.heal();
        let mended = fetch(&world, &definition(&server.origin(), ONE_HOP));
        assert_eq!(mended.code, Some(0), "{}", mended.stderr);
        assert_eq!(mended.sum()["saved"], 3, "{}", mended.stderr);
        let last = fetch(&world, &definition(&server.origin(), ONE_HOP));
        assert_eq!(last.sum()["already_there"], 3);
    }
}

#[test]
fn the_next_candidate_is_tried_after_a_detail_page_without_an_original() {
    let (world, server) = (Sandbox::new(), gallery());
    for n in 1..=3 {
        server.on(&format!("/view/{n}"), move |_| match n {
            1 => Answer::ok(html("a video")),
            2 => Answer::status(404),
            _ => Answer::ok(html(
                r#"<a class="original" href="http://elsewhere.invalid/x.png">x</a>"#,
            )),
        });
    }
    let rest = format!(
        "{ONE_HOP}\n[[full]]\nrewrite = {{ from = \"thumb\", regex = '(.+)/thumb/(.+)', to = '${{1}}/full/${{2}}' }}"
    );
    let ended = fetch(&world, &definition(&server.origin(), &rest));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(collection(&world).len(), 3);
}

#[test]
fn an_image_whose_md5_is_not_the_listings_is_never_saved() {
    let (world, server) = (Sandbox::new(), gallery());
    server.on("/full/2.png", |_| Answer::ok(picture(7, ImageFormat::Png)));
    let definition = definition(&server.origin(), ONE_HOP);
    let ended = fetch(&world, &definition);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let failed = ended
        .objects()
        .into_iter()
        .find(|object| object["outcome"] == "failed");
    let cause = failed.expect("a failed image")["cause"].clone();
    let expected = format!(
        "its MD5 hash is {}, not {} as the listing declares",
        md5_of(7),
        md5_of(2)
    );
    assert_eq!(cause, expected.as_str());
    assert_eq!(
        (collection(&world).len(), asked(&server, &["/full/2.png"])),
        (2, 2)
    );
    server.heal();
    assert_eq!(fetch(&world, &definition).code, Some(0));
    assert_eq!(collection(&world).len(), 3);
}

#[test]
fn an_image_known_by_its_id_is_not_asked_for_when_its_signed_address_changed() {
    let (world, server) = (Sandbox::new(), gallery());
    let listing = |night: u32| {
        let cards = (1..=3).map(|n| {
            format!(
                r#"<div class="card" data-id="id{n}"><img src="/full/{n}.png?s={night}"></div>"#
            )
        });
        html(&cards.collect::<String>())
    };
    server.everywhere(|asked| match asked.path.split_once(".png?s=") {
        Some((path, _)) => {
            let n = path.trim_start_matches("/full/").parse().expect("a number");
            Answer::ok(picture(n, ImageFormat::Png))
        }
        None => Answer::status(404),
    });
    server.on("/list/2/", |_| Answer::status(404));
    let definition = definition(&server.origin(), "[[full]]\nfield = \"thumb\"\n");
    for night in 1..=3 {
        server.on("/list/1/", move |_| Answer::ok(listing(night)));
        let ended = fetch(&world, &definition);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(asked(&server, &["/full/"]), 3, "night {night}");
    }
    assert_eq!(collection(&world).len(), 3);
}

#[test]
fn detail_pages_of_a_mirror_lead_to_the_mirrors_originals_under_the_sites_addresses() {
    let (world, server) = (Sandbox::new(), gallery());
    let definition = definition("https://detail.invalid", TWO_HOPS);
    let arguments = ["fetch", "-d", GOT, "--base-url", &server.origin()];
    let ended = run(&world, &definition, &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(asked(&server, &["/full/"]), 3);
    let query = "SELECT count(*) FROM images WHERE address LIKE 'https://detail.invalid/full/%'";
    assert_eq!(sqlite(&world, query).trim(), "3");
}

#[test]
fn a_detail_page_that_the_site_has_lost_is_read_from_the_web_archive() {
    let (world, server, archive) = (Sandbox::new(), gallery(), WebArchive::start());
    let origin = server.origin();
    let address = |path: &str| format!("{origin}{path}");
    let at = "20190504010203";
    for path in ["/view/2", "/full/2.png", "/full/3.png"] {
        let bytes = server.shown(path).to_vec();
        let captured = match path {
            "/view/2" => Captured::page(at, bytes),
            _ => Captured::image(at, bytes),
        };
        archive.add(&address(path), captured);
        server.on(path, |_| Answer::status(404));
    }
    let definition = definition(&origin, ONE_HOP);
    let (url, given) = (archive.server.origin(), ["fetch", "-d", GOT, "--json"]);
    let fallback = ["--archive", "fallback", "--archive-url", &url];
    let ended = run(&world, &definition, &[&given[..], &fallback].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // The page of the third image is there still, and in no archive.
    assert_eq!(
        (&ended.sum()["saved"], &ended.sum()["archived"]),
        (&3.into(), &2.into())
    );
}

#[test]
fn with_the_web_archive_alone_no_detail_page_is_asked_of_the_site() {
    let (world, server, archive) = (Sandbox::new(), gallery(), WebArchive::start());
    let origin = server.origin();
    let at = "20190504010203";
    for path in ["/list/1/", "/view/1", "/view/2", "/view/3"] {
        let page = Captured::page(at, server.shown(path).to_vec());
        archive.add(&format!("{origin}{path}"), page);
    }
    for n in 1..=3 {
        let image = Captured::image(at, picture(n, ImageFormat::Png));
        archive.add(&format!("{origin}/full/{n}.png"), image);
    }
    let mut over = Captured::page(at, "");
    over.status = "404";
    archive.add(&format!("{origin}/list/2/"), over);
    let (definition, url) = (definition(&origin, ONE_HOP), archive.server.origin());
    let only = [
        "fetch",
        "-d",
        GOT,
        "--json",
        "--archive",
        "only",
        "--archive-url",
        &url,
    ];
    let ended = run(&world, &definition, &only);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.sum()["archived"], 3);
    let checked = run(
        &world,
        &definition,
        &["urls", "--archive", "only", "--archive-url", &url],
    );
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(server.requests().len(), 0, "{:?}", server.requests());
}
