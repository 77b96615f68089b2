//! A listing with nothing new, and a site that has changed: the first ends with exit code 0, the second with 3 and what
//! was looked for.

use std::fs;

use image::ImageFormat;

use crate::support::fault_server::{Answer, Asked, FaultServer};
use crate::support::gallery::picture;
use crate::support::mirror::collection;
use crate::support::program::{ProgramOutput, Sandbox};

/// An API of numbered pages, with a condition, a key and a declared length.
const DEFINITION: &str = r#"
[listing]
kind = "json"
url = "/api?page={page}"
ahead = 0
stop = { empty = true }

[item]
select = "/data/*"
where = [{ value = "/purity", equals = "sfw" }]
fields = { id = "/id", file = "/file", size = "/size" }
key = "{id}"
verify = { bytes = "{size}" }

[[full]]
field = "file"

[file]
name = "{id}"
"#;

/// The keys of a listing by next links.
const LINKED: &str = "url = \"/api?page=1\"\nnext = \"/next\"\nahead = 0";

struct Api {
    server: FaultServer,
    world: Sandbox,
}

fn json(text: impl Into<Vec<u8>>) -> Answer {
    Answer::whole("200 OK", &["Content-Type: application/json"], text)
}

/// An item with these members beside its file.
fn item(number: usize, more: &str) -> String {
    format!(r#"{{ "file": "/o/{number}.png"{more} }}"#)
}

fn good(number: usize) -> String {
    item(number, &format!(r#", "id": "i{number}", "purity": "sfw""#))
}

fn page(items: &[String], rest: &str) -> Answer {
    json(format!(r#"{{ "data": [{}]{rest} }}"#, items.join(", ")))
}

impl Api {
    /// A site with this definition of everything but the site itself, whose page of a number is answered like that.
    fn new(definition: &str, pages: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let (server, world) = (FaultServer::start(), Sandbox::new());
        for number in 1..=4 {
            server.show(
                &format!("/o/{number}.png"),
                picture(number, ImageFormat::Png),
            );
        }
        server.everywhere(move |asked: &Asked| match asked.path.split_once("page=") {
            Some((_, number)) => pages(number),
            None if asked.shown.is_empty() => Answer::status(404),
            None => asked.served(),
        });
        let site = format!("[site]\nname = \"api\"\nbase = \"{}\"\n", server.origin());
        let file = world.work().join("api.toml");
        fs::write(file, site + definition).expect("a file for the definition");
        Self { server, world }
    }

    fn fetch(&self) -> ProgramOutput {
        let program = self.world.wallhaul().args(["fetch", "--json"]);
        program.args(["--site-file", "api.toml", "-d", "got"]).run()
    }

    /// A run that ends with this exit code, says so without being asked, and leaves so many images.
    fn assert_ends(&self, code: i32, says: &str, images: usize) -> ProgramOutput {
        let ended = self.fetch();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert_eq!(collection(&self.world).len(), images, "{}", ended.stderr);
        ended
    }

    /// The site has changed: these words, and a copy of the page.
    fn assert_changed(&self, says: &str, images: usize) {
        self.assert_ends(3, says, images);
        let copy = self.world.work().join("got/.wallhaul/pages/api.json");
        assert!(copy.exists(), "{says}");
    }
}

/// A site whose first page has these items, and whose second is empty.
fn first(items: Vec<String>) -> Api {
    Api::new(DEFINITION, move |number| match number {
        "1" => page(&items, ""),
        _ => page(&[], ""),
    })
}

#[test]
fn condition_whose_value_is_gone_from_all_items_is_a_listing_error() {
    let items = [1, 2].map(|number| item(number, r#", "id": "x", "rating": "sfw""#));
    first(items.to_vec()).assert_changed(r#"where = { value = "/purity", equals = "sfw" }"#, 0);
    // Items that differ are left out, and one without the value is among them.
    let items = vec![
        item(1, r#", "id": "a", "purity": "nsfw""#),
        item(2, r#", "id": "b""#),
    ];
    let ended = first(items).assert_ends(0, "none of 2 items on the page passes `where`", 0);
    assert_eq!(ended.sum()["left_out"], 2, "{}", ended.sum());
}

#[test]
fn items_left_out_among_others_are_counted_without_a_warning() {
    let items = vec![good(1), item(2, r#", "id": "b", "purity": "nsfw""#)];
    let ended = first(items).assert_ends(0, "1 item left out", 1);
    assert_eq!(ended.sum()["warnings"], 0, "{}", ended.stderr);
}

#[test]
fn listing_that_shows_only_items_that_are_left_out_is_bounded_and_warned_of() {
    let api = Api::new(DEFINITION, |number| match number {
        "1" => page(&[good(1)], ""),
        number => {
            let more = format!(r#", "id": "{number}", "purity": "nsfw""#);
            page(&[item(2, &more)], "")
        }
    });
    let said = "none of 100 items on the last 100 pages passes `where`";
    let ended = api.assert_ends(0, said, 1);
    assert_eq!(ended.sum()["pages"], 101, "{}", ended.sum());
}

#[test]
fn search_without_hits_finds_nothing_and_a_page_without_its_list_has_changed() {
    for nothing in [r#"{ "data": [] }"#, r#"{ "data": null }"#] {
        let api = Api::new(DEFINITION, move |_| json(nothing));
        api.assert_ends(0, "nothing was found, as the first page says", 0);
        assert_eq!(api.server.requests().len(), 2, "robots.txt and the page");
    }
    for error in [
        r#"{ "error": "no" }"#,
        r#"{ "data": "no" }"#,
        r#"{ "results": [] }"#,
    ] {
        let api = Api::new(DEFINITION, move |_| json(error));
        api.assert_changed(r#"select = "/data/*""#, 0);
        let api = Api::new(DEFINITION, move |number| match number {
            "1" => page(&[good(1)], ""),
            _ => json(error),
        });
        api.assert_changed(r#"select = "/data/*""#, 1);
    }
    // The definition may know how an HTML page says it.
    let html = r#"
[[request.error]]
contains = "No results"
action = "end"
[listing]
kind = "html"
url = "/all?page={page}"
[item]
select = "li"
thumb = "img@src"
[[full]]
field = "thumb"
"#;
    let api = Api::new(html, |_| Answer::ok("<html><p>No results</p></html>"));
    api.assert_ends(0, "nothing was found", 0);
    let api = Api::new(html, |_| Answer::ok("<html><p>Log in</p></html>"));
    api.assert_ends(3, "the first page shows no image", 0);
}

#[test]
fn next_link_or_cursor_that_cannot_be_used_is_a_listing_error() {
    let numbered = "url = \"/api?page={page}\"\nahead = 0";
    assert!(DEFINITION.contains(numbered));
    let linked = DEFINITION.replace(numbered, LINKED);
    let cursor =
        "url = \"/api?page={cursor}\"\nfirst = \"/api?page=1\"\ncursor = \"/next\"\nahead = 0";
    let cursor = DEFINITION.replace(numbered, cursor);
    for (definition, next, says) in [
        (
            &linked,
            r#"{ "href": "/api?page=2" }"#,
            "an object or a list",
        ),
        (
            &linked,
            r#""ftp://api.invalid/2""#,
            "`ftp:` is not supported",
        ),
        (&linked, r#""http://[::1/2""#, "not an address"),
        (&cursor, r#"{ "after": 2 }"#, "an object or a list"),
    ] {
        let rest = format!(r#", "next": {next}"#);
        let api = Api::new(definition, move |_| page(&[good(1)], &rest));
        api.assert_changed(says, 1);
    }
    for (definition, next) in [(&linked, "\"\""), (&linked, "null"), (&cursor, "{}")] {
        let rest = format!(r#", "next": {next}"#);
        let api = Api::new(definition, move |_| page(&[good(1)], &rest));
        api.assert_ends(0, "", 1);
    }
    let header = linked.replace("next = \"/next\"", "next = { header = \"link\" }");
    for (link, code) in [
        ("<ftp://api.invalid/2>; rel=next", 3),
        ("</api?page=2; rel=next", 3),
        ("</api?page=1>; rel=first", 0),
    ] {
        let body = format!(r#"{{ "data": [{}] }}"#, good(1));
        let api = Api::new(&header, move |_| {
            let headers = ["Content-Type: application/json", &format!("Link: {link}")];
            Answer::whole("200 OK", &headers, body.clone())
        });
        api.assert_ends(code, "", 1);
    }
}

#[test]
fn cursor_that_must_be_there_may_be_null_and_not_absent() {
    let cursor = "url = \"/api?page={cursor}\"\nfirst = \"/api?page=1\"\ncursor = \"/next\"\npager = \"/next\"";
    let definition = DEFINITION.replace("url = \"/api?page={page}\"", cursor);
    let api = Api::new(&definition, |_| page(&[good(1)], r#", "next": null"#));
    api.assert_ends(0, "", 1);
    let api = Api::new(&definition, |_| page(&[good(1)], ""));
    api.assert_changed("has no pager (pager = \"/next\")", 1);
}

#[test]
fn images_without_a_key_are_warned_of_and_a_page_of_them_is_a_listing_error() {
    let without = |number| item(number, r#", "purity": "sfw""#);
    let key = r#"key = "{id}" (id = "/id")"#;
    first(vec![without(1), without(2)]).assert_changed(key, 0);
    let ended = first(vec![good(1), without(2)]).assert_ends(0, key, 2);
    let said = ended.stderr.matches("1 image without an identity").count();
    assert_eq!(said, 1, "{}", ended.stderr);
}

#[test]
fn declared_length_that_is_no_number_is_warned_of_once() {
    let sized = |number: usize, size: &str| {
        let more = format!(r#", "id": "{number}", "purity": "sfw", "size": {size}"#);
        item(number, &more)
    };
    let items = vec![sized(1, "0"), sized(2, "\"2 MB\""), sized(3, "\"3 MB\"")];
    let says = "nothing is compared with `2 MB` on";
    let ended = first(items).assert_ends(0, says, 3);
    let pointer = r#"bytes = "{size}" (size = "/size")"#;
    assert!(ended.stderr.contains(pointer), "{}", ended.stderr);
    assert!(!ended.stderr.contains("3 MB"), "{}", ended.stderr);
}

#[test]
fn image_at_another_port_or_scheme_of_its_host_is_skipped() {
    let api = first(vec![good(1), good(2), good(3)]);
    let origin = api.server.origin();
    let files = [
        "http://127.0.0.1:9/o/2.png".to_owned(),
        format!("{}/o/3.png", origin.replacen("http:", "https:", 1)),
    ];
    let items = files.iter().enumerate().map(|(number, file)| {
        format!(r#"{{ "file": "{file}", "id": "p{number}", "purity": "sfw" }}"#)
    });
    let mut items = items.collect::<Vec<_>>();
    items.push(good(1));
    let api = first(items);
    let ended = api.fetch();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sum = ended.sum();
    assert_eq!((&sum["skipped"], &sum["saved"]), (&2.into(), &1.into()));
}

#[test]
fn window_listing_that_ends_long_before_its_earliest_day_is_a_listing_error() {
    let windows = "url = \"/api?from={from}&page=x\"\nfirst = \"/api?page=1\"\nahead = 0\nwindow = { days = 1, earliest = \"1999-01-01\" }";
    let numbered = "url = \"/api?page={page}\"\nahead = 0";
    let definition = DEFINITION.replace(numbered, windows);
    let api = Api::new(&definition, |number| match number {
        "1" => page(&[good(1)], ""),
        _ => Answer::status(404),
    });
    api.assert_ends(3, "100 pages in a row are missing or empty", 1);
}

#[test]
fn sites_check_compares_what_is_declared_and_names_the_rule() {
    let declared = |size: usize| {
        let more = format!(r#", "id": "a", "purity": "sfw", "size": {size}"#);
        first(vec![item(1, &more)])
    };
    let check = |api: &Api| {
        let program = api.world.wallhaul();
        program.args(["sites", "check", "./api.toml"]).run()
    };
    let bytes = picture(1, ImageFormat::Png).len();
    let right = check(&declared(bytes));
    assert_eq!(right.code, Some(0), "{}{}", right.stdout, right.stderr);
    let wrong = check(&declared(bytes + 1));
    assert_eq!(wrong.code, Some(3), "{}{}", wrong.stdout, wrong.stderr);
    let line = wrong.stdout.lines().last().unwrap_or_default();
    assert!(line.starts_with("image  failed  full 1: http"), "{line}");
    let none = check(&first(Vec::new()));
    assert_eq!(none.code, Some(3), "{}", none.stdout);
    assert!(none.stdout.contains("its list of items is empty"));
}
