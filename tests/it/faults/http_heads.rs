//! Heads of responses with malformed lines, which browsers pass over.

use std::time::Duration;

use super::*;
use crate::support::fault_server::Certificate;

/// Heads that browsers read, each with a `{}` for the length of the body.
const READABLE_HEADS: [(&str, &str); 20] = [
    (
        "a blank before the colon",
        "HTTP/1.1 200 OK|X-Frame-Options : DENY|Content-Length: {}||",
    ),
    (
        "a length with that",
        "HTTP/1.1 200 OK|Content-Length : {}||",
    ),
    (
        "a name with a blank",
        "HTTP/1.1 200 OK|en-US Content-Language: en|Content-Length: {}||",
    ),
    (
        "no colon",
        "HTTP/1.1 200 OK|Content-Length: {}|<!DOCTYPE html>||",
    ),
    ("no name", "HTTP/1.1 200 OK|: x|Content-Length: {}||"),
    (
        "a name of other characters",
        "HTTP/1.1 200 OK|\u{e9}(x)/y: z|Content-Length: {}||",
    ),
    (
        "a control character in a name",
        "HTTP/1.1 200 OK|X\u{1}Y: z|Content-Length: {}||",
    ),
    (
        "a control character in a value",
        "HTTP/1.1 200 OK|X: a\u{1}b|Content-Length: {}||",
    ),
    (
        "DEL in a cookie",
        "HTTP/1.1 200 OK|Set-Cookie: a=b; domain=x\u{7f}|Content-Length: {}||",
    ),
    (
        "a value that is not ASCII",
        "HTTP/1.1 200 OK|X: \u{e9}\u{fe}|Content-Length: {}||",
    ),
    (
        "a bare CR in a value",
        "HTTP/1.1 200 OK|X: a\rb|Content-Length: {}||",
    ),
    (
        "a folded line",
        "HTTP/1.1 200 OK|X: a|  b|\tc|Content-Length: {}||",
    ),
    ("a folded length", "HTTP/1.1 200 OK|Content-Length:| {}||"),
    (
        "a folded line below one that is none",
        "HTTP/1.1 200 OK|junk|  b|Content-Length: {}||",
    ),
    (
        "blanks in the status line",
        "HTTP/1.1  200\t OK|Content-Length: {}||",
    ),
    ("no reason", "HTTP/1.1 200|Content-Length: {}||"),
    (
        "an odd reason",
        "HTTP/1.1 200 \u{1}\u{e9}|Content-Length: {}||",
    ),
    (
        "blanks before the status line",
        "|| HTTP/1.1 200 OK|Content-Length: {}||",
    ),
    (
        "a name in lower case",
        "http/1.1 200 OK|content-length: {}||",
    ),
    (
        "an interim one before it",
        "HTTP/1.1 103 Early|junk||HTTP/1.1 200 OK|junk|Content-Length: {}||",
    ),
];

/// One of these as the server sends it; each `|` is the end of a line.
fn readable_head(head: &str, line_end: &str, length: usize) -> String {
    head.replace("{}", &length.to_string())
        .replace('|', line_end)
}

#[test]
fn malformed_header_lines_are_passed_over_as_browsers_do() {
    let mut cases = Vec::new();
    for (name, head) in READABLE_HEADS {
        for (ends, line_end) in [("CR LF", "\r\n"), ("LF", "\n")] {
            let at_once = move |asked: &Asked| {
                let head = readable_head(head, line_end, asked.shown.len());
                Answer::raw(head).bytes(asked.shown.to_vec())
            };
            // The head byte by byte, then the body behind a pause.
            let late = move |asked: &Asked| {
                let head = readable_head(head, line_end, asked.shown.len());
                let pause = Duration::from_millis(1);
                Answer::default()
                    .drip(head, pause)
                    .pause(5 * pause)
                    .bytes(asked.shown.to_vec())
            };
            cases.push(Case::image(format!("{name}, {ends}"), at_once).comes(1));
            cases.push(Case::image(format!("{name}, {ends}, late"), late).comes(1));
        }
        cases.push(
            Case::new(format!("a page with {name}"), move |rogue| {
                rogue.on(PAGE, move |asked| {
                    let head = readable_head(head, "\r\n", asked.shown.len());
                    Answer::raw(head).bytes(asked.shown.to_vec())
                });
            })
            .comes(1),
        );
    }
    hold(&cases);
}

/// Adds such a page and such an image to a gallery.
fn with_head(rogue: &FaultServer, head: &'static str, [page, image]: [&str; 2]) {
    for path in [page, image] {
        rogue.on(path, move |asked| {
            let head = readable_head(head, "\r\n", asked.shown.len());
            Answer::raw(head).bytes(asked.shown.to_vec())
        });
    }
}

#[test]
fn malformed_header_lines_are_passed_over_in_tls() {
    let world = Sandbox::new();
    let secure = FaultServer::secure(Certificate::Valid).with_gallery();
    let authority = world.home().join("authority.pem");
    secure.keep_authority(&authority);
    for (name, head) in READABLE_HEADS {
        with_head(&secure, head, [PAGE, FaultServer::FAULTY]);
        let world = Sandbox::new();
        let ended = fetch(world.wallhaul(), &secure)
            .args(["--ca-certificate".as_ref(), authority.as_os_str()])
            .run();
        assert_eq!(
            (ended.code, collection(&world).len()),
            (Some(0), 5),
            "{name}: {}",
            ended.stderr
        );
    }
}

#[test]
fn malformed_header_lines_are_passed_over_by_way_of_a_proxy() {
    let (site, proxy) = (FaultServer::gallery(), FaultServer::start());
    let by_proxy = |path: &str| format!("{}{path}", site.origin());
    let pages = ["/browse/1/", PAGE];
    for path in pages
        .iter()
        .chain(&FaultServer::GOOD)
        .chain(&[FaultServer::FAULTY])
    {
        proxy.show(&by_proxy(path), site.shown(path));
    }
    for (name, head) in READABLE_HEADS {
        let [page, image] = [PAGE, FaultServer::FAULTY].map(by_proxy);
        with_head(&proxy, head, [&page, &image]);
        let world = Sandbox::new();
        let ended = fetch(world.wallhaul(), &site)
            .env("http_proxy", proxy.origin())
            .run();
        assert_eq!(
            (ended.code, collection(&world).len(), site.connections()),
            (Some(0), 5, 0),
            "{name}: {}",
            ended.stderr
        );
    }
}

#[test]
fn invalid_responses_count_against_the_image_and_from_the_third_in_a_row_against_the_host() {
    // With one job the two requests for the image are in a row, and the host stays.
    let junk = |_: &Asked| Answer::raw("junk\r\n\r\n").close();
    hold(&[
        Case::image("twice", move |asked| match asked.nth {
            1 | 2 => junk(asked),
            _ => asked.served(),
        })
        .with(&["-j", "1"])
        .comes(3),
        Case::image("always", junk)
            .with(&["-j", "1"])
            .fails(3, &["invalid HTTP response", "(3 attempts)"]),
    ]);
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let many: Vec<String> = (0..40)
        .map(|n| format!("/uploads/desktops/2020/05/05/{n}.png"))
        .collect();
    for path in &many {
        rogue.on(path, junk);
    }
    let listed: Vec<&str> = many.iter().map(String::as_str).collect();
    rogue.list(2, &listed);
    let ended = fetch(world.wallhaul(), &rogue)
        .env("WALLHAUL_RETRIES", "0")
        .env("WALLHAUL_JOBS", "1")
        .run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let asked: usize = many.iter().map(|path| rogue.asked(path).len()).sum();
    assert_eq!(asked, 20, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("its last 20 responses all failed"),
        "{}",
        ended.stderr
    );
}
