//! The orders in which listing pages follow each other: numbers, lists, next links, cursors, windows of days, and
//! listings that lead to others.

use std::fs;
use std::path::PathBuf;

use image::ImageFormat;
use jiff::{ToSpan as _, Zoned, tz::TimeZone};

use crate::support::fault_server::{Answer, Asked, FaultServer};
use crate::support::gallery::picture;
use crate::support::mirror::collection;
use crate::support::program::{ProgramOutput, Sandbox};

/// A site whose pages are answered by a script, and a sandbox to fetch it in.
struct Listing {
    server: FaultServer,
    world: Sandbox,
}

/// A page with these images, by number, and whatever else it shows.
fn page(images: &[usize], rest: &str) -> Answer {
    let items = images.iter().map(|image| {
        format!("<li><a href=\"/view/{image}\"><img src=\"/o/{image}-small.png\"></a></li>")
    });
    let items = items.collect::<String>();
    let body = format!("<!doctype html><html><ul>{items}</ul>{rest}</html>");
    Answer::whole("200 OK", &["Content-Type: text/html"], body)
}

impl Listing {
    /// A site with these keys of `[listing]`, whose pages are answered like that.
    fn new(keys: &str, pages: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let definition = format!(
            r#"[listing]
kind = "html"
{keys}

[item]
select = "li"
thumb = "img@src"

[[full]]
rewrite = {{ from = "thumb", regex = '^(?<full>.+)-small\.png$', to = "${{full}}.png" }}

[file]
capture = {{ from = "full", regex = '/(?<name>[^/]+)\.png$' }}
name = "{{name}}"
"#
        );
        Self::defined(&definition, pages)
    }

    /// A site with this definition of everything but the site itself.
    fn defined(definition: &str, pages: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let server = FaultServer::start();
        for image in 1..=9 {
            server.show(&original(image), picture(image, ImageFormat::Png));
        }
        server.everywhere(move |asked: &Asked| {
            if asked.path == "/robots.txt" {
                Answer::status(404)
            } else if asked.shown.is_empty() {
                pages(&asked.path)
            } else {
                asked.served()
            }
        });
        let site = format!(
            "[site]\nname = \"orders\"\nbase = \"{}\"\n\n",
            server.origin()
        );
        let definition = site + definition;
        let world = Sandbox::new();
        fs::write(world.work().join("orders.toml"), definition).expect("a file for the definition");
        Self { server, world }
    }

    fn fetch(&self, arguments: &[&str]) -> ProgramOutput {
        let program = self.world.wallhaul();
        let program = program.args(["fetch", "--site-file", "orders.toml", "-d", "got", "-v"]);
        program.args(arguments).run()
    }

    /// The listing pages that were requested, in order.
    fn pages(&self) -> Vec<String> {
        let paths = self.server.requests().into_iter().map(|asked| asked.path);
        paths
            .filter(|path| !path.starts_with("/o/") && path != "/robots.txt")
            .collect()
    }

    /// Fetches it all: these pages in this order, and these images.
    fn assert_fetched(
        &self,
        arguments: &[&str],
        pages: &[&str],
        images: &[usize],
    ) -> ProgramOutput {
        let ended = self.fetch(arguments);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        self.assert_read(pages, images, &ended);
        ended
    }

    fn assert_read(&self, pages: &[&str], images: &[usize], ended: &ProgramOutput) {
        assert_eq!(self.pages(), pages, "{}", ended.stderr);
        let names = collection(&self.world).into_keys().collect::<Vec<_>>();
        let due = images.iter().map(|image| format!("{image}.png"));
        assert_eq!(names, due.collect::<Vec<_>>(), "{}", ended.stderr);
    }

    /// The listing cannot be read to its end: these words, and these images all the same.
    fn assert_broken(&self, words: &str, pages: &[&str], images: &[usize]) {
        let ended = self.fetch(&[]);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        self.assert_read(pages, images, &ended);
    }

    /// Where a page goes that does not look as the definition says.
    fn copy(&self) -> PathBuf {
        self.world.work().join("got/.wallhaul/pages/orders.html")
    }

    /// The copy of the page has these words, and not those.
    fn assert_copy(&self, has: &[&str], lacks: &[&str]) {
        let copy = fs::read_to_string(self.copy()).expect("a copy in UTF-8");
        assert!(has.iter().all(|word| copy.contains(word)), "{copy}");
        assert!(!lacks.iter().any(|word| copy.contains(word)), "{copy}");
    }
}

fn original(image: usize) -> String {
    format!("/o/{image}.png")
}

fn link(target: &str) -> String {
    format!("<p class=\"pager\"><a class=\"next\" href=\"{target}\">Next \u{bb}</a></p>")
}

/// Three pages that name the next one.
fn three_linked(path: &str) -> Answer {
    match path {
        "/all" => page(&[1, 2], &link("/all?after=2")),
        "/all?after=2" => page(&[3, 4], &link("?after=4")),
        "/all?after=4" => page(&[5], "<p class=\"pager\"></p>"),
        _ => Answer::status(404),
    }
}

const THREE_LINKED: [&str; 3] = ["/all", "/all?after=2", "/all?after=4"];

const NEXT: &str = "url = \"/all\"\nnext = \"a.next@href\"";

#[test]
fn next_links_are_followed_one_after_another_to_the_page_without_one() {
    let listing = Listing::new(NEXT, three_linked);
    let ended = listing.assert_fetched(&[], &THREE_LINKED, &[1, 2, 3, 4, 5]);
    let said = "3 pages: page 3 is the last";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn next_link_is_found_by_its_text() {
    let keys = "url = \"/all\"\nnext = { source = \"p.pager a@href\", text = \"Next \u{bb}\" }";
    let listing = Listing::new(keys, |path| match path {
        "/all" => {
            let pager = "<p class=\"pager\"><a href=\"/\">Home</a> <a href=\"?after=2\"> Next  \u{bb}</a></p>";
            page(&[1, 2], pager)
        }
        "/all?after=2" => page(&[3], "<p class=\"pager\"><a href=\"/\">Home</a></p>"),
        _ => Answer::status(404),
    });
    listing.assert_fetched(&[], &THREE_LINKED[..2], &[1, 2, 3]);
}

#[test]
fn pages_flag_walks_over_the_first_pages_of_a_listing_with_next_links() {
    let listing = Listing::new(NEXT, three_linked);
    listing.assert_fetched(&["-p", "2"], &THREE_LINKED[..2], &[3, 4]);
    let listing = Listing::new(NEXT, three_linked);
    listing.assert_fetched(&["-p", "3-"], &THREE_LINKED, &[5]);
}

#[test]
fn next_link_that_leads_back_ends_the_listing_with_a_warning() {
    let listing = Listing::new(NEXT, |path| match path {
        "/all" => page(&[1], &link("?b")),
        _ => page(&[2], &link("/all")),
    });
    let ended = listing.assert_fetched(&[], &["/all", "/all?b"], &[1, 2]);
    let said = "leads back to an earlier one";
    assert!(
        ended.stderr.contains(&format!("/all?b {said}")),
        "{}",
        ended.stderr
    );
}

#[test]
fn next_link_to_another_host_is_a_listing_error() {
    let listing = Listing::new(NEXT, |_| page(&[1], &link("http://elsewhere.invalid/all")));
    listing.assert_broken(
        "does not name its host `elsewhere.invalid`",
        &["/all"],
        &[1],
    );
}

#[test]
fn next_link_that_answers_404_is_a_listing_error() {
    let listing = Listing::new(NEXT, |path| match path {
        "/all" => page(&[1], &link("?b")),
        _ => Answer::status(404),
    });
    listing.assert_broken("404", &["/all", "/all?b"], &[1]);
}

#[test]
fn full_first_page_without_a_next_link_is_a_listing_error() {
    let keys = format!("{NEXT}\nexpect = 2");
    let listing = Listing::new(&keys, |_| {
        page(&[1, 2], "<a class=\"onward\" href=\"?b\">Next</a>")
    });
    listing.assert_broken("compare it with next = \"a.next@href\"", &["/all"], &[1, 2]);
    let listing = Listing::new(&keys, |_| page(&[1], ""));
    listing.assert_fetched(&[], &["/all"], &[1]);
}

#[test]
fn pager_that_is_gone_from_a_later_page_is_a_listing_error() {
    let keys = format!("{NEXT}\npager = \"p.pager\"");
    let listing = Listing::new(&keys, three_linked);
    listing.assert_fetched(&[], &THREE_LINKED, &[1, 2, 3, 4, 5]);
    let listing = Listing::new(&keys, |path| match path {
        "/all" => page(&[1, 2], &link("/all?after=2")),
        _ => page(&[3], ""),
    });
    listing.assert_broken(
        "has no pager (pager = \"p.pager\")",
        &THREE_LINKED[..2],
        &[1, 2, 3],
    );
    listing.assert_copy(&["3-small.png"], &["1-small.png"]);
}

#[test]
fn short_page_within_a_listing_is_a_listing_error() {
    let keys = format!("{NEXT}\nexpect = 2");
    let listing = Listing::new(&keys, |path| match path {
        "/all" => page(&[1], &link("/all?after=2")),
        "/all?after=2" => page(&[3, 4], &link("?after=4")),
        _ => page(&[5], ""),
    });
    let said = "/all: page 1 has 1 item (select = \"li\"), fewer than `expect = 2`";
    listing.assert_broken(said, &THREE_LINKED[..2], &[1, 3, 4]);
    listing.assert_copy(&["1-small.png"], &["3-small.png"]);
}

#[test]
fn page_that_does_not_look_as_the_definition_says_is_kept_and_can_be_tested() {
    // The item is found, and its image is not: the attribute has another name now.
    let changed = "<!doctype html><html><meta charset=\"shift_jis\"><li><img data-new=\"/o/1-small.png\"> \u{3042}</html>";
    let listing = Listing::new("url = \"/all\"", move |_| {
        let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode(changed);
        Answer::whole("200 OK", &["Content-Type: text/html"], bytes.into_owned())
    });
    listing.assert_broken("items without a thumb", &["/all"], &[]);
    let again = listing.fetch(&[]);
    assert!(
        again.stderr.contains("pages/orders.html`"),
        "{}",
        again.stderr
    );
    listing.assert_copy(&["data-new", "\u{3042}"], &[]);
    let copy = "got/.wallhaul/pages/orders.html";
    let test = listing.world.wallhaul();
    let test = test.args(["sites", "test", "orders.toml", "--page", copy]);
    let tested = test.run();
    assert_eq!(tested.code, Some(3), "{}", tested.stderr);
    // A page that never came has no copy, and a dry run keeps none.
    for (answer, arguments) in [(404, &[][..]), (200, &["--dry-run"])] {
        let listing = Listing::new("url = \"/all\"", move |_| Answer::status(answer));
        let ended = listing.fetch(arguments);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert!(!ended.stderr.contains("a copy"), "{}", ended.stderr);
        assert!(!listing.copy().exists());
    }
}

#[test]
fn link_header_names_the_next_page() {
    let keys = "url = \"/all\"\nnext = { header = \"link\" }";
    let listing = Listing::new(keys, |path| {
        let (images, link) = match path {
            "/all" => (
                &[1, 2][..],
                "<?a>; rel=\"first\", </all?after=2>; rel=\"next\"",
            ),
            "/all?after=2" => (&[3, 4][..], "<?after=4,5>; rel=next; title=\"a, b\""),
            _ => (&[5][..], "</all>; rel=\"first\""),
        };
        let items = images
            .iter()
            .map(|image| format!("<li><img src=\"/o/{image}-small.png\">"));
        let body = format!("<html>{}</html>", items.collect::<String>());
        let headers = ["Content-Type: text/html", &format!("Link: {link}")];
        Answer::whole("200 OK", &headers, body)
    });
    let pages = ["/all", "/all?after=2", "/all?after=4,5"];
    listing.assert_fetched(&[], &pages, &[1, 2, 3, 4, 5]);
}

#[test]
fn cursor_of_a_page_stands_in_the_address_of_the_next() {
    let keys = "url = \"/all?after={cursor}&limit=2\"\ncursor = \"#more@data-after\"";
    let more = |cursor: &str| format!("<i id=\"more\" data-after=\"{cursor}\"></i>");
    let listing = Listing::new(keys, move |path| match path {
        "/all?limit=2" => page(&[1, 2], &more("t3 x&y")),
        "/all?after=t3%20x%26y&limit=2" => page(&[3], &more("false")),
        _ => Answer::status(404),
    });
    let pages = ["/all?limit=2", "/all?after=t3%20x%26y&limit=2"];
    listing.assert_fetched(&[], &pages, &[1, 2, 3]);
}

#[test]
fn cursor_that_repeats_ends_the_listing_with_a_warning() {
    let keys = "url = \"/all?after={cursor}\"\ncursor = \"#more@data-after\"";
    let listing = Listing::new(keys, |path| match path {
        "/all" => page(&[1], "<i id=\"more\" data-after=\"a\"></i>"),
        _ => page(&[2], "<i id=\"more\" data-after=\"a\"></i>"),
    });
    let ended = listing.assert_fetched(&[], &["/all", "/all?after=a"], &[1, 2]);
    assert!(ended.stderr.contains("leads back"), "{}", ended.stderr);
}

/// What an API answers that sends the properties of nine pages in parts.
fn in_parts(path: &str) -> Answer {
    let (next, complete) = match path.split_once("&gu=").map(|(_, rest)| rest) {
        None => (r#""continue": {"gu": "7|a", "continue": "gu||"},"#, 1..=2),
        Some("7%7Ca&continue=gu%7C%7C") => {
            (r#""continue": {"gu": "8|b", "continue": "-||"},"#, 3..=3)
        }
        Some("8%7Cb&continue=-%7C%7C") => ("", 0..=0),
        Some(_) => return Answer::status(400),
    };
    let items = (1..=3).map(|image| {
        let info = format!(r#", "info": [{{ "url": "/o/{image}.png" }}]"#);
        let info = if complete.contains(&image) {
            info
        } else {
            String::new()
        };
        format!(r#""{image}": {{ "pageid": {image}{info} }}"#)
    });
    let items = items.collect::<Vec<_>>().join(",");
    let body = format!(r#"{{ {next} "query": {{ "pages": {{ {items} }} }} }}"#);
    Answer::whole("200 OK", &["Content-Type: application/json"], body)
}

const IN_PARTS: &str = r#"[listing]
kind = "json"
url = "/api?generator=images&prop=info"
continue = "/continue"

[item]
select = "/query/pages/*"
fields = { file = "/info/0/url", id = "/pageid" }
key = "{id}"

[[full]]
field = "file"

[file]
name = "{id}"
"#;

#[test]
fn answers_in_parts_are_joined_by_their_continue_objects() {
    let listing = Listing::defined(IN_PARTS, in_parts);
    let pages = [
        "/api?generator=images&prop=info",
        "/api?generator=images&prop=info&gu=7%7Ca&continue=gu%7C%7C",
        "/api?generator=images&prop=info&gu=8%7Cb&continue=-%7C%7C",
    ];
    let ended = listing.assert_fetched(&[], &pages, &[1, 2, 3]);
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
}

#[test]
fn answers_in_parts_that_never_show_an_image_are_a_listing_error() {
    let definition = IN_PARTS.replace("/info/0/url", "/infos/0/url");
    let listing = Listing::defined(&definition, in_parts);
    let ended = listing.fetch(&[]);
    assert_eq!(
        (ended.code, listing.pages().len()),
        (Some(3), 3),
        "{}",
        ended.stderr
    );
}

#[test]
fn value_of_the_first_page_is_carried_to_all_later_ones() {
    let keys = "url = \"/all?page={page}&seed={carry.seed}\"\ncarry = { seed = \"#seed@data-seed\" }\nahead = 0";
    let listing = Listing::new(keys, |path| match path {
        "/all?page=1" => page(&[1], "<i id=\"seed\" data-seed=\"Ab/1\"></i>"),
        "/all?page=2&seed=Ab%2F1" => page(&[2], "<i id=\"seed\" data-seed=\"other\"></i>"),
        "/all?page=3&seed=Ab%2F1" => page(&[3], ""),
        _ => Answer::status(404),
    });
    let ended = listing.fetch(&["-p", "-3"]);
    let pages = [
        "/all?page=1",
        "/all?page=2&seed=Ab%2F1",
        "/all?page=3&seed=Ab%2F1",
    ];
    listing.assert_read(&pages, &[1, 2, 3], &ended);
}

#[test]
fn page_that_counts_itself_the_last_ends_the_listing_without_a_request_ahead() {
    let keys = "url = \"/all/{page}\"\nahead = 0\nstop = { reached = [\"#page@data-this\", \"#page@data-last\"] }";
    let listing = Listing::new(keys, |path| {
        let (images, this) = match path {
            "/all/1" => ([1, 2], 1),
            "/all/2" => ([3, 4], 2),
            _ => return Answer::status(500),
        };
        page(
            &images,
            &format!("<i id=\"page\" data-this=\"{this}\" data-last=\"2\"></i>"),
        )
    });
    let ended = listing.assert_fetched(&[], &["/all/1", "/all/2"], &[1, 2, 3, 4]);
    let said = "2 pages: page 2 is the last";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn page_that_lacks_the_sign_of_a_next_one_ends_the_listing() {
    let keys = "url = \"/all/{page}\"\nahead = 0\nstop = { absent = \"a.next@href\" }";
    let listing = Listing::new(keys, |path| match path {
        "/all/1" => page(&[1], &link("/all/2")),
        "/all/2" => page(&[2], ""),
        _ => Answer::status(500),
    });
    listing.assert_fetched(&[], &["/all/1", "/all/2"], &[1, 2]);
}

#[test]
fn single_page_is_read_alone_and_has_no_second() {
    let listing = Listing::new("url = \"/all.html\"", |_| page(&[1, 2], ""));
    listing.assert_fetched(&[], &["/all.html"], &[1, 2]);
    let listing = Listing::new("url = \"/all.html\"", |_| page(&[1, 2], ""));
    let ended = listing.fetch(&["-p", "2-5"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let said = "there is no page 2: the listing is a single page";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert!(listing.pages().is_empty());
}

#[test]
fn listed_pages_are_read_in_their_order() {
    let keys = "pages = [\"/new.html\", \"/old.html\"]\nahead = 0";
    let pages = |path: &str| match path {
        "/new.html" => page(&[1, 2], ""),
        _ => page(&[2, 3], ""),
    };
    let listing = Listing::new(keys, pages);
    listing.assert_fetched(&[], &["/new.html", "/old.html"], &[1, 2, 3]);
    let listing = Listing::new(keys, pages);
    listing.assert_fetched(&["-p", "2"], &["/old.html"], &[2, 3]);
}

#[test]
fn offsets_and_a_first_page_of_its_own_are_requested_by_their_addresses() {
    let keys = "url = \"/all?skip={offset}\"\nfirst = \"/all\"\nstep = 2\nahead = 0\nstop = { empty = true }";
    let listing = Listing::new(keys, |path| match path {
        "/all" => page(&[1, 2], ""),
        "/all?skip=2" => page(&[3], ""),
        _ => page(&[], ""),
    });
    listing.assert_fetched(&[], &["/all", "/all?skip=2", "/all?skip=4"], &[1, 2, 3]);
}

#[test]
fn windows_of_days_pass_over_holes_and_stop_at_the_earliest_day() {
    let today = Zoned::now().with_time_zone(TimeZone::UTC).date();
    let day = |back: i64| {
        today
            .checked_sub(back.days())
            .expect("a day of this century")
            .to_string()
    };
    let earliest = day(7);
    let keys = format!(
        "url = \"/days?from={{from}}&to={{to}}\"\nahead = 0\nwindow = {{ days = 3, earliest = \"{earliest}\" }}\nstop = {{ status = [404, 400], empty = true }}"
    );
    let windows = [(2, 0), (5, 3), (7, 6)];
    let windows = windows.map(|(from, to)| format!("/days?from={}&to={}", day(from), day(to)));
    let hole = windows[1].clone();
    let listing = Listing::new(&keys, {
        let windows = windows.clone();
        move |path| match windows.iter().position(|window| window == path) {
            Some(0) => page(&[1, 2], ""),
            Some(2) => page(&[3], ""),
            _ => Answer::status(404),
        }
    });
    let pages = windows.each_ref().map(String::as_str);
    let ended = listing.assert_fetched(&[], &pages, &[1, 2, 3]);
    assert!(
        !ended.stderr.contains("no such page"),
        "{hole}: {}",
        ended.stderr
    );
}

#[test]
fn windows_of_days_that_are_all_missing_are_a_listing_error() {
    let keys =
        "url = \"/days?from={from}\"\nahead = 0\nwindow = { days = 1, earliest = \"2000-01-01\" }";
    let listing = Listing::new(keys, |_| Answer::status(404));
    let ended = listing.fetch(&[]);
    assert_eq!(
        (ended.code, listing.pages().len()),
        (Some(3), 3),
        "{}",
        ended.stderr
    );
}

#[test]
fn listing_of_listings_is_read_depth_first() {
    let keys = "url = \"/albums/{page}\"\nthrough = [\"a.album@href\"]\nahead = 0\nstop = { status = [404] }";
    let albums = |albums: &[&str]| {
        let links = albums
            .iter()
            .map(|album| format!("<a class=\"album\" href=\"{album}\">{album}</a>"));
        page(&[], &links.collect::<String>())
    };
    let listing = Listing::new(keys, move |path| match path {
        "/albums/1" => albums(&["/a", "/gone", "http://elsewhere.invalid/x"]),
        "/albums/2" => albums(&["/b", "/a"]),
        "/a" => page(&[1, 2], ""),
        "/b" => page(&[2, 3], ""),
        _ => Answer::status(404),
    });
    let pages = ["/albums/1", "/a", "/gone", "/albums/2", "/b", "/albums/3"];
    listing.assert_fetched(&[], &pages, &[1, 2, 3]);
}

#[test]
fn album_of_several_pages_is_read_by_its_next_links() {
    let keys = "url = \"/albums\"\nnext = \"a.next@href\"\nthrough = [\"a.album@href\"]";
    let listing = Listing::new(keys, |path| match path {
        "/albums" => page(
            &[],
            &format!("<a class=\"album\" href=\"/a\">A</a>{}", link("/albums?2")),
        ),
        "/albums?2" => page(&[], "<a class=\"album\" href=\"/b\">B</a>"),
        "/a" => page(&[1], &link("/a?2")),
        "/a?2" => page(&[2], ""),
        "/b" => page(&[3], ""),
        _ => Answer::status(404),
    });
    let pages = ["/albums", "/a", "/a?2", "/albums?2", "/b"];
    listing.assert_fetched(&[], &pages, &[1, 2, 3]);
}

#[test]
fn listing_of_listings_without_a_link_is_a_listing_error() {
    let keys = "url = \"/albums\"\nthrough = [\"a.album@href\"]";
    let listing = Listing::new(keys, |_| page(&[1], ""));
    listing.assert_broken("compare it with `through`", &["/albums"], &[]);
}

#[test]
fn key_that_does_not_fit_the_order_of_the_pages_is_refused_with_its_place() {
    for (keys, words) in [
        (
            "url = \"/all/{page}\"\nnext = \"a@href\"",
            "`next` and `{page}` exclude each other",
        ),
        ("url = \"/all\"\nstart = 2", "`start` has no meaning here"),
        (
            "url = \"/all?after={cursor}\"",
            "nothing fills `{cursor}` here",
        ),
        ("url = \"/all\"\ncursor = \"a@href\"", "write `{cursor}`"),
        ("url = \"/{cursor}\"\ncursor = \"a@href\"", "as `first`"),
        ("url = \"/all?o={offset}\"", "missing key `step`"),
        (
            "url = \"/all\"\npages = [\"/a\"]",
            "`url` and `pages` exclude each other",
        ),
        ("kinds = 1", "did you mean `kind`?"),
        (
            "url = \"/all\"\ncontinue = \"/continue\"",
            "only a JSON page has an object",
        ),
        (
            "url = \"/d?f={from}\"\nwindow = { days = 0, earliest = \"2000-01-01\" }",
            "a window of 0 days",
        ),
        (
            "url = \"/d?f={from}\"\nwindow = { days = 3, earliest = \"2000-02-30\" }",
            "not a date",
        ),
        (
            "url = \"/d?f={from}\"\nwindow = { days = 3, earliest = \"2000-02-03\", format = \"%H\" }",
            "not the format of a date",
        ),
        ("url = \"/all\"\nnext = { headr = \"link\" }", "`headr`"),
        (
            "url = \"/all\"\nnext = { header = \"lnk\" }",
            "unknown value `lnk`",
        ),
        ("url = \"/all\"\nthrough = []", "0 levels of listings"),
        (
            "url = \"/all/{page}\"\nstop = { reached = [\"a@href\"] }",
            "`reached` takes two sources",
        ),
        ("url = \"/all/{page}\"\nexpect = 0", "fewer than 0 items"),
    ] {
        let listing = Listing::new(keys, |_| Answer::status(404));
        let ended = listing.fetch(&[]);
        assert_eq!(ended.code, Some(2), "{keys}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{keys}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("orders.toml:"),
            "{keys}: {}",
            ended.stderr
        );
        assert!(listing.pages().is_empty());
    }
}
