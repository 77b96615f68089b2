//! Redirects.

use super::*;
use crate::support::fault_server::Certificate;

#[test]
fn redirect_on_the_same_host_is_followed_and_the_file_name_stays() {
    let mut cases = Vec::new();
    for code in [301, 302, 303, 307, 308] {
        for there in [
            "/elsewhere/other-name.jpg?a=b#c",
            "../../../../../elsewhere/other-name.jpg?a=b",
        ] {
            cases.push(
                Case::new(format!("{code} to {there}"), move |rogue| {
                    let bytes = rogue.shown(FaultServer::FAULTY);
                    rogue.show("/elsewhere/other-name.jpg?a=b", bytes);
                    rogue.on(FaultServer::FAULTY, move |_| Answer::to(code, there));
                })
                .comes(1)
                .seen(|requests| assert_eq!(count(requests, "/elsewhere/other-name.jpg?a=b"), 1))
                .named("2020-02-02-faulty.png"),
            );
        }
    }
    for (code, words) in [(300, "300"), (304, "304"), (305, "305"), (306, "306")] {
        let case = Case::image(words, move |_| {
            Answer::head(
                &format!("{code} Elsewhere"),
                &["Location: /elsewhere.png", "Content-Length: 0"],
            )
        });
        cases.push(
            case.fails(1, &[words])
                .seen(|requests| assert_eq!(count(requests, "/elsewhere.png"), 0)),
        );
    }
    hold(&cases);
}

#[test]
fn redirect_to_an_address_in_raw_bytes_is_asked_as_they_are() {
    let case = |location: &'static [u8], asked: &'static str| {
        Case::new(asked, move |rogue| {
            rogue.show(asked, rogue.shown(FaultServer::FAULTY));
            rogue.on(FaultServer::FAULTY, move |_| {
                let location = [b"HTTP/1.1 302 Elsewhere\r\nLocation: ", location].concat();
                Answer::raw([&location[..], b"\r\nContent-Length: 0\r\n\r\n"].concat())
            });
        })
        .comes(1)
        .seen(move |requests| assert_eq!(count(requests, asked), 1, "{requests:?}"))
    };
    hold(&[
        case(b"/caf\xe9.png", "/caf%E9.png"),
        case("/caf\u{e9}.png".as_bytes(), "/caf%C3%A9.png"),
        case(b"/\xb2\xe5\xcd\xbc.png?q=\xb2", "/%B2%E5%CD%BC.png?q=%B2"),
        case(b"/a b\xa0c.png?d e", "/a%20b%A0c.png?d%20e"),
        case(b"/a%20b%E9.png", "/a%20b%E9.png"),
        case(b"/\"<a>`{b}|^.png", "/%22%3Ca%3E%60%7Bb%7D|^.png"),
    ]);
}

/// Redirects each request for the faulty image from `/hop/1` to `/hop/2` and on, to the image
/// behind the last of so many.
fn hops(rogue: &FaultServer, number: usize) {
    let bytes = rogue.shown(FaultServer::FAULTY);
    rogue.show(&format!("/hop/{number}"), bytes);
    rogue.on(FaultServer::FAULTY, |_| Answer::to(302, "/hop/1"));
    for hop in 1..number {
        rogue.on(&format!("/hop/{hop}"), move |_| {
            Answer::to(302, &format!("/hop/{}", hop + 1))
        });
    }
}

#[test]
fn redirect_loop_is_ended() {
    let to =
        |name: &str, location: &'static str| Case::image(name, move |_| Answer::to(302, location));
    let asked = |path: &'static str, times| {
        move |requests: &[Asked]| assert_eq!(count(requests, path), times, "{path}")
    };
    hold(&[
        Case::new("ten hops", |rogue| hops(rogue, 10))
            .comes(1)
            .seen(asked("/hop/10", 1)),
        Case::new("eleven hops", |rogue| hops(rogue, 11))
            .fails(1, &["more than 10 redirects"])
            .seen(asked("/hop/11", 0)),
        Case::new("sixty hops", |rogue| hops(rogue, 60))
            .fails(1, &["more than 10 redirects"])
            .seen(asked("/hop/11", 0)),
        to("to itself", FaultServer::FAULTY).fails(1, &["redirect loop"]),
        to("to itself, in other words", "#there").fails(1, &["redirect loop"]),
        Case::new("to and fro", |rogue| {
            rogue.on(FaultServer::FAULTY, |_| Answer::to(307, "/fro.png"));
            rogue.on("/fro.png", |_| Answer::to(308, FaultServer::FAULTY));
        })
        .fails(1, &["redirect loop"])
        .seen(asked("/fro.png", 1)),
        Case::new("to something new each time", |rogue| {
            rogue.everywhere(|asked| match asked.path.as_str() {
                path if path.starts_with("/new/") || path == FaultServer::FAULTY => {
                    Answer::to(302, &format!("/new/{path}"))
                }
                _ if asked.shown.is_empty() => Answer::status(404),
                _ => asked.served(),
            });
        })
        .fails(1, &["more than 10 redirects"]),
        Case::image("no Location", |_| Answer::whole("302 Found", &[], ""))
            .fails(1, &["no Location header"]),
        to("an empty Location", "").fails(1, &["bad redirect"]),
        to("a bad port", "http://127.0.0.1:99999/")
            .fails(1, &["its Location is not a valid address"]),
        to("a bad IPv6", "http://[::1/").fails(1, &["its Location is not a valid address"]),
        to("no host", "http://").fails(1, &["its Location is not a valid address"]),
        Case::page("a page's circle", |_| Answer::to(302, PAGE)).fails(1, &["redirect loop"]),
        Case::page("a page's way out", |_| {
            Answer::to(302, "http://elsewhere.invalid/")
        })
        .fails(1, &["does not name its host"]),
    ]);
}

#[test]
fn redirect_to_another_scheme_is_refused() {
    let schemes = [
        "file:///etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
        "ftp://127.0.0.1/a.png",
        "gopher://127.0.0.1/a.png",
        "javascript:alert(1)",
        "mailto:somebody@example.com",
        "ws://127.0.0.1/",
        "about:blank",
    ];
    let case = |location: &'static str| {
        Case::image(location, move |_| Answer::to(302, location))
            .fails(1, &[location, "its scheme is neither http nor https"])
    };
    hold(&schemes.map(case));
}

#[test]
fn redirect_to_a_private_address_is_refused_without_a_request() {
    let private = [
        "http://127.0.0.1/a.png",
        "http://127.0.0.1:22/a.png",
        "http://127.1/a.png",
        "http://2130706433/a.png",
        "http://0x7f000001/a.png",
        "http://0177.0.0.1/a.png",
        "http://localhost/a.png",
        "http://0.0.0.0/a.png",
        "http://10.0.0.1/a.png",
        "http://172.16.0.1/a.png",
        "http://192.168.1.1/a.png",
        "https://192.168.1.1/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/a.png",
        "http://[::1]/a.png",
        "http://[::ffff:127.0.0.1]/a.png",
        "http://[fe80::1]/a.png",
        "http://[fd00::1]/a.png",
        "//127.0.0.1/a.png",
        "http://static.simpledesktops.com@127.0.0.1/a.png",
        "http://127.0.0.1\\@static.simpledesktops.com/a.png",
    ];
    // Neither asked nor looked up: each would be refused, or wait, otherwise.
    let case = |location: &'static str| {
        Case::image(location, move |_| Answer::to(302, location))
            .fails(1, &["bad redirect", "is not allowed", "(1 attempt)"])
    };
    hold(&private.map(case));
}

#[test]
fn redirect_with_a_password_is_refused() {
    let to = |location: &'static str| Case::image(location, move |_| Answer::to(302, location));
    let says = [
        "contains a password that the user did not give",
        "(1 attempt)",
    ];
    hold(
        &[
            "http://me:secret@static.simpledesktops.com/a.png",
            "https://me@simpledesktops.com/a.png",
        ]
        .map(|location| to(location).fails(1, &says)),
    );
}

/// What the user wants said to the site alone.
const SECRETS: [&str; 6] = [
    "--header",
    "Authorization: Bearer secret",
    "--header",
    "Cookie: secret=1",
    "--header",
    "X-Key: secret",
];

/// Whether a request carries all of those, or none.
fn secrets(asked: &Asked) -> bool {
    let carried = ["authorization", "cookie", "x-key"].map(|name| asked.header(name).is_some());
    assert!(carried.iter().all(|one| *one == carried[0]), "{asked:?}");
    assert_eq!(asked.header("referer"), None);
    carried[0]
}

/// Fetches a site whose home is `there`, from the mirror `here`, whose faulty image redirects there.
fn fetch_across(
    world: &Sandbox,
    here: &FaultServer,
    there: &FaultServer,
    args: &[&str],
) -> ProgramOutput {
    let elsewhere = format!("{}{}", there.origin(), FaultServer::FAULTY);
    here.on(FaultServer::FAULTY, move |_| Answer::to(302, &elsewhere));
    fs::write(world.work().join(DEFINITION), definition(&there.origin()))
        .expect("a file for the definition");
    fetch(world.wallhaul(), here)
        .args(["--site-file", DEFINITION])
        .args(SECRETS)
        .args(args)
        .run()
}

#[test]
fn redirect_to_a_host_of_the_definition_is_followed_without_credentials() {
    let (world, here, there) = (
        Sandbox::new(),
        FaultServer::gallery(),
        FaultServer::gallery(),
    );
    let ended = fetch_across(&world, &here, &there, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_kept(
        &world,
        &here,
        &[&FaultServer::GOOD[..], &[FaultServer::FAULTY]].concat(),
        &ended,
    );
    assert!(
        here.asked(FaultServer::FAULTY).iter().all(secrets)
            && here.asked(FaultServer::GOOD[0]).iter().all(secrets)
    );
    let asked = there.requests();
    let paths: Vec<&str> = asked.iter().map(|asked| &*asked.path).collect();
    assert_eq!(paths, ["/robots.txt", FaultServer::FAULTY]);
    assert!(!asked.iter().any(secrets), "{asked:?}");
}

#[test]
fn redirect_to_an_unnamed_host_is_refused() {
    let (world, here, there) = (
        Sandbox::new(),
        FaultServer::gallery(),
        FaultServer::gallery(),
    );
    let elsewhere = format!("{}{}", there.origin(), FaultServer::FAULTY);
    here.on(FaultServer::FAULTY, move |_| Answer::to(302, &elsewhere));
    let ended = fetch(world.wallhaul(), &here).args(SECRETS).run();
    assert_eq!(
        (ended.code, there.connections()),
        (Some(1), 0),
        "{}",
        ended.stderr
    );
    assert_kept(&world, &here, &FaultServer::GOOD, &ended);
    here.heal();
    let again = fetch(world.wallhaul(), &here).args(SECRETS).run();
    assert_eq!(
        (again.code, here.originals_asked().len()),
        (Some(0), 1),
        "{}",
        again.stderr
    );
}

#[test]
fn redirect_from_http_to_tls_checks_the_certificate() {
    let cases = [
        (Certificate::Valid, ""),
        (
            Certificate::SelfSigned,
            "its certificate is not signed by a trusted authority",
        ),
        (
            Certificate::WrongName,
            "its certificate is for another name",
        ),
        (Certificate::Expired, "its certificate has expired"),
    ];
    for (papers, says) in cases {
        let (world, here, there) = (
            Sandbox::new(),
            FaultServer::gallery(),
            FaultServer::secure(papers).with_gallery(),
        );
        let authority = world.home().join("authority.pem");
        there.keep_authority(&authority);
        let trusting = [
            "--ca-certificate",
            authority.to_str().expect("a plain name"),
            "--robots",
            "ignore",
        ];
        let ended = fetch_across(&world, &here, &there, &trusting);
        if says.is_empty() {
            assert_eq!(ended.code, Some(0), "{papers:?}: {}", ended.stderr);
            assert!(!there.asked(FaultServer::FAULTY).iter().any(secrets));
            continue;
        }
        assert_eq!(ended.code, Some(1), "{papers:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(says) && ended.stderr.contains("(1 attempt)"),
            "{papers:?}: {}",
            ended.stderr
        );
        assert_eq!(
            (
                there.connections(),
                here.asked(FaultServer::FAULTY).len(),
                there.requests().len()
            ),
            (1, 1, 0)
        );
        assert_kept(&world, &here, &FaultServer::GOOD, &ended);
    }
}

#[test]
fn redirect_from_tls_to_plain_http_is_refused() {
    let (world, here, there) = (
        Sandbox::new(),
        FaultServer::secure(Certificate::Valid).with_gallery(),
        FaultServer::gallery(),
    );
    let authority = world.home().join("authority.pem");
    here.keep_authority(&authority);
    let trusting = [
        "--ca-certificate",
        authority.to_str().expect("a plain name"),
    ];
    let ended = fetch_across(&world, &here, &there, &trusting);
    assert_eq!(
        (ended.code, there.connections()),
        (Some(1), 0),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("must not leave https for http"),
        "{}",
        ended.stderr
    );
    assert_kept(&world, &here, &FaultServer::GOOD, &ended);
}

#[test]
fn redirect_to_an_html_login_page_is_not_an_image() {
    let case = Case::new("login wall", |rogue| {
        rogue.show(
            "/login",
            b"<!doctype html><title>Please log in</title>".as_slice(),
        );
        rogue.on(FaultServer::FAULTY, |_| Answer::to(302, "/login"));
    });
    hold(&[case
        .fails(1, &["an HTML page titled `Please log in`"])
        .seen(|requests| assert_eq!(count(requests, "/login"), 1))]);
}
