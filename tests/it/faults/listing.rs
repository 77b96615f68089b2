//! Faults of a listing: HTML, URLs, charsets, sizes, and where it ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};

use encoding_rs::{Encoding, GBK, UTF_8, WINDOWS_1251};
use image::ImageFormat;

use super::{DEFINITION, MOST_MEMORY, assert_kept, assert_plain, fetch, measured};
use crate::support::fault_server::{Answer, FaultServer};
use crate::support::gallery::picture;
use crate::support::program::{ProgramOutput, Sandbox};

/// The first listing page.
const FIRST: &str = "/browse/1/";

const HTML: &str = "Content-Type: text/html";

/// A rogue with the good images, whose first page is answered like this; there is no second one.
fn gallery(answer: impl Fn() -> Answer + Send + Sync + 'static) -> FaultServer {
    let rogue = FaultServer::start();
    for (index, path) in FaultServer::GOOD.iter().enumerate() {
        rogue.show(path, picture(index, ImageFormat::Png));
    }
    rogue.on(FIRST, move |_| answer());
    rogue
}

/// A page whose text is `body`.
fn html(body: impl Into<Vec<u8>>) -> impl Fn() -> Answer + Send + Sync + 'static {
    let body: Arc<[u8]> = body.into().into();
    move || Answer::whole("200 OK", &[HTML], &*body)
}

/// An item whose thumb is written so.
fn item(thumb: &str) -> String {
    format!("<div class=\"desktop\"><a href=\"/x/\"><img src=\"{thumb}\" title=\"a\"></a></div>\n")
}

/// The thumb of the original at `path`.
fn thumb(path: &str) -> String {
    format!("{path}.295x184_q100.png")
}

/// The items of the good images.
fn good() -> String {
    FaultServer::GOOD
        .iter()
        .map(|path| item(&thumb(path)))
        .collect()
}

/// A run over `rogue`, within the memory that any may take.
fn run(world: &Sandbox, rogue: &FaultServer, args: &[&str]) -> ProgramOutput {
    let (ended, peak) = measured(world, |program| fetch(program, rogue).args(args));
    assert_plain(&ended);
    assert!(peak < MOST_MEMORY, "{peak} KB resident: {}", ended.stderr);
    ended
}

/// A run that brings every good image and asks for nothing but pages and them.
fn assert_all_good(what: &str, rogue: &FaultServer) -> ProgramOutput {
    let world = Sandbox::new();
    let ended = run(&world, rogue, &[]);
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
    assert_kept(&world, rogue, &FaultServer::GOOD, &ended);
    for asked in rogue.requests() {
        let path = asked.path.as_str();
        let known = path == "/robots.txt"
            || path.starts_with("/browse/")
            || FaultServer::GOOD.contains(&path);
        assert!(known, "{what}: {path} was asked for");
    }
    ended
}

/// A run that finds no listing: one line says why, and nothing is fetched.
fn assert_unlisted(what: &str, rogue: &FaultServer, says: &str) {
    let world = Sandbox::new();
    let ended = run(&world, rogue, &[]);
    assert_eq!(ended.code, Some(3), "{what}: {}", ended.stderr);
    let line = ended.stderr.lines().next().unwrap_or_default();
    let named = line.contains(&format!("{}{FIRST}", rogue.origin()));
    assert!(
        line.starts_with("error: ") && named && line.contains(says),
        "{what}: {}",
        ended.stderr
    );
    assert!(rogue.originals_asked().is_empty(), "{what}");
    assert_kept(&world, rogue, &[], &ended);
}

#[test]
fn malformed_html_still_yields_its_images() {
    let (good, half) = (good(), item(&thumb(FaultServer::GOOD[0])));
    let rest: String = FaultServer::GOOD[1..]
        .iter()
        .map(|path| item(&thumb(path)))
        .collect();
    let pages = [
        ("no frame", good.clone()),
        ("a comment that never ends", format!("{good}<!-- {good}")),
        ("NULs", format!("\0\0<\0>{half}\0\0{rest}\0</html>\0")),
        (
            "a hundred thousand nested tags",
            format!("{half}{}{rest}", "<div>".repeat(100_000)),
        ),
        (
            "as many of several kinds",
            format!(
                "{half}{}{rest}",
                "<b><table><tr><td><svg><g>".repeat(17_000)
            ),
        ),
        (
            "tags that end before they begin",
            format!("</body></html></div></p>{good}"),
        ),
        ("tags that never end", good.replace("</a></div>", "")),
        (
            "capitals",
            good.replace("div", "DIV")
                .replace("img", "IMG")
                .replace("class", "CLASS"),
        ),
        (
            "a document type of its own",
            format!("<!DOCTYPE [<!ENTITY x \"y\">]><?xml?>{good}"),
        ),
        (
            "scripts that show items",
            format!("<script>{good}</script>{good}<textarea>{good}"),
        ),
        (
            "a comment of ten million characters",
            format!("{half}<!--{}-->{rest}", "a".repeat(10_000_000)),
        ),
        (
            "ten million characters of text",
            format!("{half}{}{rest}", "a&amp;b".repeat(1_500_000)),
        ),
        (
            "a tag that is cut at the end",
            format!("{good}<div class=\"desktop\"><a><img src=\""),
        ),
    ];
    for (what, page) in pages {
        assert_all_good(what, &gallery(html(page)));
    }
}

#[test]
fn html_relative_urls_resolve_as_in_a_browser() {
    let thumbs = |before: &str| {
        FaultServer::GOOD
            .iter()
            .map(|path| item(&format!("{before}{}", thumb(path))))
            .collect()
    };
    let cases: [(&str, String); 8] = [
        ("from the root", thumbs("")),
        ("from the page", thumbs("../..")),
        ("from further up than there is", thumbs("../../../../..")),
        (
            "by the page's scheme",
            thumbs("//static.simpledesktops.com"),
        ),
        ("whole", thumbs("https://static.simpledesktops.com")),
        (
            "whole, by http, in capitals",
            thumbs("HTTP://STATIC.SimpleDesktops.com:80"),
        ),
        (
            "from a base",
            format!("<base href=\"/a/b/c\">{}", thumbs("../..")),
        ),
        (
            "with spaces and a fragment",
            thumbs(" \n ").replace("_q100.png\"", "_q100.png#top \""),
        ),
    ];
    for (what, page) in cases {
        assert_all_good(what, &gallery(html(page)));
    }
}

#[test]
fn unusable_urls_in_html_are_skipped_and_counted() {
    let long = format!("/{}", "a".repeat(100_000));
    let odd = [
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "mailto:somebody@example.com",
        "file:///etc/passwd",
        "ftp://static.simpledesktops.com/a.png.295x184_q100.png",
        "",
        " ",
        "#",
        "#top",
        "http://[::1/a.png.295x184_q100.png",
        "http://[fe80::1%25eth0]/a.png.295x184_q100.png",
        "http://127.0.0.1:99999/a.png.295x184_q100.png",
        "https://me:secret@static.simpledesktops.com/a.png.295x184_q100.png",
        "/a\0b.png.295x184_q100.png",
        "/a%00b.png.295x184_q100.png",
        "about:blank",
        &long,
    ];
    let page: String = odd.iter().map(|written| item(written)).collect::<String>() + &good();
    let ended = assert_all_good("odd addresses", &gallery(html(page)));
    let counted = format!("{} items without a usable address", odd.len());
    assert!(
        ended.stderr.contains(&counted) && !ended.stderr.contains("secret"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        ended.sum()["warnings"],
        ended.stderr.matches("warning: ").count(),
        "{}",
        ended.sum()
    );

    // What can be asked for and leads elsewhere is not asked for either, and each is named with its reason.
    let astray = [
        "http://127.0.0.1:9/a",
        "http://[::1]/b",
        "http://169.254.169.254/c",
        "https://elsewhere.invalid/d",
    ];
    let page: String = astray
        .iter()
        .map(|written| item(&thumb(&format!("{written}.png"))))
        .collect();
    let ended = assert_all_good("addresses that lead astray", &gallery(html(page + &good())));
    let sum = ended.sum();
    assert_eq!(
        (&sum["found"], &sum["skipped"], &sum["saved"]),
        (&8.into(), &4.into(), &4.into()),
        "{sum}"
    );
    let why = ended
        .objects()
        .into_iter()
        .filter(|event| event["reason"] == "address");
    assert_eq!(
        why.filter(|event| event["detail"]
            .as_str()
            .unwrap_or_default()
            .contains("host"))
            .count(),
        4
    );
}

#[test]
fn html_charset_is_bom_then_header_then_meta() {
    const PATH: &str = "/uploads/desktops/2020/01/05/\u{63d2}\u{5934}.png";
    const ASKED: &str = "/uploads/desktops/2020/01/05/%E6%8F%92%E5%A4%B4.png";
    let wide = |endian: fn(u16) -> [u8; 2]| {
        move |text: &str| text.encode_utf16().flat_map(endian).collect::<Vec<u8>>()
    };
    let narrow =
        |encoding: &'static Encoding| move |text: &str| encoding.encode(text).0.into_owned();
    let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    let (gbk, utf8) = (narrow(GBK), narrow(UTF_8));
    let with = |before: &str| format!("{before}{}", item(&thumb(PATH)));
    let meta = "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=gb2312\">";
    let cases: [(&str, &str, Vec<u8>); 11] = [
        (
            "GBK by its header",
            "text/html; charset=GBK",
            gbk(&with("")),
        ),
        (
            "GBK by its own word",
            "text/html",
            gbk(&with("<meta charset='gbk'>")),
        ),
        (
            "GBK by its own word, the long way",
            "text/html",
            gbk(&with(meta)),
        ),
        (
            "an unknown one in the header",
            "text/html; charset=klingon",
            gbk(&with(meta)),
        ),
        ("UTF-8 by nothing at all", "text/html", utf8(&with(""))),
        ("UTF-8 without any type", "", utf8(&with(""))),
        (
            "UTF-8 by its mark, and a header that lies",
            "text/html; charset=gbk",
            utf8(&with("\u{feff}")),
        ),
        (
            "UTF-8 by its header, and a word that lies",
            "text/html; charset=utf-8",
            utf8(&with(meta)),
        ),
        (
            "UTF-16 by its mark",
            "text/html; charset=utf-8",
            little(&with("\u{feff}")),
        ),
        (
            "UTF-16, the other way round",
            "text/html",
            big(&with("\u{feff}")),
        ),
        (
            "UTF-16 by its header",
            "text/html; charset=utf-16le",
            little(&with("")),
        ),
    ];
    for (what, content_type, page) in cases {
        let header = format!("Content-Type: {content_type}");
        let rogue = gallery(move || Answer::whole("200 OK", &[&header], &*page));
        rogue.show(ASKED, picture(9, ImageFormat::Png));
        let world = Sandbox::new();
        let ended = run(&world, &rogue, &[]);
        assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
        assert_eq!(
            rogue.originals_asked().keys().collect::<Vec<_>>(),
            [ASKED],
            "{what}"
        );
    }
    // A header that lies makes one address unreadable, and only that one.
    for (lie, encoding) in [("utf-8", GBK), ("utf-8", WINDOWS_1251)] {
        let page = encoding
            .encode(&(item(&thumb("/uploads/\u{43f}.png")) + &good()))
            .0
            .into_owned();
        let header = format!("Content-Type: text/html; charset={lie}");
        let rogue = gallery(move || Answer::whole("200 OK", &[&header], &*page));
        let ended = assert_all_good("a header that lies", &rogue);
        assert!(
            ended.stderr.contains(": 1 item without a usable address"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn oversized_html_page_is_refused_within_the_memory_budget() {
    let many = |count: usize| {
        let mut items = String::new();
        for number in 0..count {
            let _ = write!(
                items,
                "<div class=desktop><a><img src=/uploads/{number}.png.1x1_q1.png></a></div>"
            );
        }
        items
    };
    let endless =
        |headers: &'static [&'static str]| move || Answer::head("200 OK", headers).forever(good());
    let too_large = "more than the 16000000 bytes allowed";
    let hundred = &[HTML, "Content-Length: 100000000"];
    assert_unlisted(
        "100 MB by its header",
        &gallery(endless(hundred)),
        too_large,
    );
    assert_unlisted("no end", &gallery(endless(&[HTML])), too_large);
    let million = move || {
        Answer::head("200 OK", &[HTML])
            .bytes(many(1_000_000))
            .close()
    };
    assert_unlisted("a million images", &gallery(million), too_large);
    let nearly: Arc<[u8]> = many(190_000).into_bytes().into();
    assert!(nearly.len() < 16_000_000, "{}", nearly.len());
    assert_unlisted(
        "all that fit below the limit",
        &gallery(html(&*nearly)),
        "page too complex: more than 200,000 elements",
    );
    // As many as a page may show are taken.
    let (world, rogue) = (Sandbox::new(), gallery(html(many(60_000))));
    let ended = run(&world, &rogue, &["-n", "-q"]);
    assert_eq!(
        (ended.code, &ended.sum()["found"]),
        (Some(0), &60_000.into()),
        "{}",
        ended.stderr
    );
}

#[test]
fn first_html_page_without_items_is_a_listing_error() {
    let misfits: String = (0..4)
        .map(|number| item(&format!("/thumbs/{number}.webp")))
        .collect();
    let cases: [(&str, Answer, &str); 10] = [
        ("404", Answer::status(404), "404"),
        ("410", Answer::status(410), "410"),
        ("403", Answer::status(403), "403"),
        (
            "a picture",
            Answer::whole(
                "200 OK",
                &["Content-Type: image/png"],
                picture(1, ImageFormat::Png),
            ),
            "no image",
        ),
        ("nothing", Answer::ok(""), "no image"),
        (
            "JSON",
            Answer::whole(
                "200 OK",
                &["Content-Type: application/json"],
                "{\"images\": []}",
            ),
            "no image",
        ),
        (
            "a login",
            Answer::ok("<html><title>Log in</title><form><input name=password></form></html>"),
            "no image",
        ),
        (
            "the frame of the end",
            Answer::ok("<div class=\"desktops archive\"></div>"),
            "no image",
        ),
        (
            "items without thumbs",
            Answer::ok("<div class=desktop><a>soon</a></div>"),
            "items without a thumb",
        ),
        (
            "thumbs that no rule fits",
            Answer::ok(misfits),
            "none of its 4 thumbs leads to an original: no rule",
        ),
    ];
    for (what, answer, says) in cases {
        assert_unlisted(what, &gallery(move || answer.clone()), says);
    }
}

#[test]
fn page_after_the_last_decides_how_the_listing_ends() {
    let end = "<div class=\"desktops archive\"></div>";
    let cases: [(&str, Answer, i32, &str); 6] = [
        ("404", Answer::status(404), 0, "there is no page 2"),
        ("an empty page", Answer::ok(end), 0, "page 2 is empty"),
        (
            "410, which the definition does not name",
            Answer::status(410),
            3,
            "410",
        ),
        (
            "a picture",
            Answer::ok(picture(1, ImageFormat::Png)),
            3,
            "nor the mark of the end",
        ),
        (
            "a login",
            Answer::ok("<form><input name=password></form>"),
            3,
            "nor the mark of the end",
        ),
        ("nothing", Answer::ok(""), 3, "nor the mark of the end"),
    ];
    for (what, answer, code, says) in cases {
        let (world, rogue) = (Sandbox::new(), gallery(html(good())));
        rogue.on("/browse/2/", move |_| answer.clone());
        let ended = run(&world, &rogue, &["-v"]);
        assert_eq!(ended.code, Some(code), "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{what}: {}", ended.stderr);
        assert_kept(&world, &rogue, &FaultServer::GOOD, &ended);
    }
}

#[test]
fn empty_page_in_the_middle_ends_the_listing_as_the_definition_says() {
    let shipped = include_str!("../../../src/site/shipped/simpledesktops.toml");
    let marker = "marker = \"div.desktops\" }";
    assert!(shipped.contains(marker));
    let pages = [
        &FaultServer::GOOD[..2],
        &[],
        &FaultServer::GOOD[2..],
        &[],
        &[],
    ];
    for (after, kept, message) in [
        (1, 2, "page 2 is empty"),
        (2, 4, "page 5 is empty"),
        (3, 4, "there is no page 6"),
    ] {
        let (world, rogue) = (Sandbox::new(), gallery(html("")));
        rogue.heal();
        for (number, shown) in (1..).zip(pages) {
            rogue.list(number, shown);
        }
        let own = shipped.replace(
            marker,
            &format!("marker = \"div.desktops\", after = {after} }}"),
        );
        fs::write(world.work().join(DEFINITION), own).unwrap();
        let ended = run(&world, &rogue, &["-v", "--site-file", DEFINITION]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
        assert_eq!(
            ended.stderr.contains("read page 2 ") && ended.stderr.contains("/browse/2/): 0 images"),
            after > 1
        );
        assert_kept(&world, &rogue, &FaultServer::GOOD[..kept], &ended);
    }
}

#[test]
fn duplicate_images_from_a_shifting_listing_are_fetched_once() {
    const ON_A_PAGE: usize = 4;
    const IMAGES: usize = 40;
    let path = |number: usize| format!("/uploads/desktops/2020/01/01/{number}.png");
    // Now and then there are so many newer images before those there were: the older ones move on.
    for newer in [1, 2, 3] {
        let (world, rogue) = (Sandbox::new(), FaultServer::start());
        for number in 0..2 * IMAGES {
            rogue.show(&path(number), picture(number, ImageFormat::Png));
        }
        let shown = Arc::new(Mutex::new(BTreeMap::new()));
        let pages = Arc::clone(&shown);
        rogue.everywhere(move |asked| {
            let Some(page) = asked
                .path
                .strip_prefix("/browse/")
                .and_then(|rest| rest.strip_suffix('/'))
            else {
                return if asked.shown.is_empty() {
                    Answer::status(404)
                } else {
                    asked.served()
                };
            };
            let page: usize = page.parse().expect("a number");
            let mut pages = pages.lock().expect("nobody panics with it");
            let newest = IMAGES.saturating_sub(pages.len() / 3 * newer);
            let shown: Vec<_> = (newest + (page - 1) * ON_A_PAGE..2 * IMAGES)
                .take(ON_A_PAGE)
                .collect();
            if shown.is_empty() {
                return Answer::status(404);
            }
            let items: String = shown
                .iter()
                .map(|number| item(&thumb(&path(*number))))
                .collect();
            pages.insert(page, shown);
            Answer::ok(items)
        });
        let ended = run(&world, &rogue, &["-j", "1"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        // Pages that were asked for ahead, behind the last one, count for nothing.
        let read = ended
            .objects()
            .into_iter()
            .filter(|event| event["event"] == "page_read")
            .filter_map(|event| event["number"].as_u64());
        let mut shown = shown.lock().expect("nobody panics with it").clone();
        let seen: Vec<usize> = read
            .flat_map(|page| shown.remove(&usize::try_from(page).unwrap()).unwrap())
            .collect();
        let due: BTreeMap<_, _> = seen.iter().map(|number| (path(*number), 1)).collect();
        assert_eq!(rogue.originals_asked(), due, "newer: {newer}");
        assert!(seen.len() > due.len() && due.len() > IMAGES / 2, "{seen:?}");
        let sum = ended.sum();
        assert_eq!(sum["repeated"], seen.len() - due.len(), "{sum}");
    }
}
