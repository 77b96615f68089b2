//! The way there: connections that do not come about, break, or hang; names, certificates, proxies.

use std::net::TcpListener;
use std::time::Duration;

use super::*;
use crate::support::rogue::Papers;

/// The head of an answer that promises more than any image here has.
fn promise() -> Answer {
    Answer::head("200 OK", &["Content-Type: image/png", "Content-Length: 100000"])
}

/// What each is called, what happens, and what is said of it.
type Break = (&'static str, fn(&Asked) -> Answer, &'static str);

const BREAKS: [Break; 6] = [
    ("RST before the answer", |_| Answer::default().reset(), "hung up before it answered"),
    ("FIN before the answer", |_| Answer::default().close(), "hung up before it answered"),
    ("RST in the head", |_| Answer::raw("HTTP/1.1 200 OK\r\nContent-").reset(), "hung up before it answered"),
    ("FIN in the head", |_| Answer::raw("HTTP/1.1 200 OK\r\nContent-").close(), "hung up before it answered"),
    ("RST in the body", |asked| promise().bytes(&asked.shown[..50]).reset(), "broke off after 50 bytes of 100000"),
    ("FIN in the body", |asked| promise().bytes(&asked.shown[..50]).close(), "broke off after 50 bytes of 100000"),
];

#[test]
fn a_connection_that_breaks_is_made_again() {
    let mut cases = Vec::new();
    for (name, script, says) in BREAKS {
        cases.push(Case::image(name, script).fails(3, &["127.0.0.1:", says, "(3 tries)"]));
        let once = Case::image(format!("{name}, once"), move |asked| match asked.nth {
            1 => script(asked),
            _ => asked.served(),
        });
        cases.push(once.comes(2));
        cases.push(Case::page(format!("{name} of a page"), script).fails(3, &["127.0.0.1:", says]));
    }
    hold(&cases);
}

#[test]
fn an_answer_that_hangs_is_waited_for_to_the_limit_and_asked_for_again() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n";
    let every = Duration::from_millis(50);
    let hangs: [Break; 4] = [
        ("no answer", |_| Answer::default().hang(), "kept us waiting"),
        ("half a head", |_| Answer::raw(&HEAD[..40]).hang(), "kept us waiting"),
        ("half a body", |asked| promise().bytes(&asked.shown[..50]).hang(), "kept us waiting"),
        ("an empty body", |_| promise().hang(), "kept us waiting"),
    ];
    let mut cases = Vec::new();
    for (name, script, says) in hangs {
        cases.push(Case::image(name, script).fails(3, &[says, "(3 tries)"]));
        cases.push(Case::page(format!("{name} of a page"), script).fails(3, &[says]));
    }
    let slow_body = move |asked: &Asked| promise().drip(asked.shown.repeat(10), every).hang();
    cases.push(Case::image("a head byte by byte", move |_| Answer::default().drip(HEAD, every)).fails(3, &["waiting"]));
    cases.push(Case::image("a body byte by byte", slow_body).fails(3, &["fewer than 100 bytes a second"]));
    cases.push(Case::page("a page byte by byte", slow_body).fails(3, &["fewer than 100 bytes a second"]));
    hold(&cases.into_iter().map(|case| case.with(&["--stall-timeout", "700ms"])).collect::<Vec<_>>());
}

#[test]
fn an_image_that_comes_slowly_but_steadily_comes() {
    let slowly = |asked: &Asked| {
        let length = format!("Content-Length: {}", asked.shown.len());
        Answer::head("200 OK", &[&length]).drip(asked.shown.to_vec(), Duration::from_millis(20))
    };
    // Longer in all than a server may be silent.
    hold(&[Case::image("slow", slowly).comes(1).with(&["--stall-timeout", "2s", "--min-speed", "1"])]);
}

/// A port of this machine that nobody listens at.
fn dead() -> String {
    // Whoever gets it next is not one of ours: each of them asks for any free one.
    format!("127.0.0.1:{}", TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port())
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let there = format!("http://{}", dead());
    let refused = |name: &str, args: &[&str], asked| {
        let elsewhere = format!("{there}{}", Rogue::FAULTY);
        let case = Case::image(name, move |_| Answer::to(302, &elsewhere)).with(args);
        case.fails(asked, &["127.0.0.1:", "cannot be reached", "refused"]).at_home(&there)
    };
    let unknown = Case::image("no name", |_| Answer::to(302, "http://nothing.invalid/a.png"));
    hold(&[
        refused("refused", &["--robots", "ignore"], 3),
        // It is its robots.txt that is asked for again and again then.
        refused("refused, robots.txt first", &[], 1),
        unknown.with(&["--robots", "ignore"]).fails(3, &["nothing.invalid", "DNS"]).at_home("http://nothing.invalid"),
    ]);
}

#[test]
fn a_listing_whose_host_is_not_there_is_told_with_its_name() {
    for (origin, says) in
        [(format!("http://{}", dead()), "cannot be reached"), ("http://nothing.invalid".to_owned(), "DNS")]
    {
        let world = World::new();
        let ended = fetch_from(world.wallhaul(), &origin).run();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        let host = origin.trim_start_matches("http://");
        assert!(ended.stderr.contains(host) && ended.stderr.contains(says), "{}", ended.stderr);
    }
}

/// What is wrong with papers, and what is said of it.
const BAD_PAPERS: [(Papers, &str); 3] = [
    (Papers::SelfSigned, "its certificate is signed by nobody we trust"),
    (Papers::ForAnother, "its certificate is for another name"),
    (Papers::Expired, "its certificate has expired"),
];

#[test]
fn a_listing_behind_bad_papers_is_not_read_and_nothing_is_asked_in_the_clear() {
    for (papers, says) in BAD_PAPERS {
        let (world, rogue) = (World::new(), Rogue::secure(papers).with_gallery());
        let authority = world.home().join("authority.pem");
        rogue.keep_authority(&authority);
        let run = || fetch(world.wallhaul(), &rogue).args(["--ca-certificate".as_ref(), authority.as_os_str()]).run();
        let ended = run();
        assert_eq!(ended.code, Some(3), "{papers:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says) && ended.stderr.contains("localhost"), "{papers:?}: {}", ended.stderr);
        assert!(rogue.requests().is_empty(), "{papers:?}");
        assert_eq!(rogue.connections(), 1, "{papers:?}: no second try, and none without TLS");
    }
}

#[test]
fn a_listing_behind_papers_in_order_is_read() {
    let (world, rogue) = (World::new(), Rogue::secure(Papers::InOrder).with_gallery());
    let authority = world.home().join("authority.pem");
    rogue.keep_authority(&authority);
    let ended = fetch(world.wallhaul(), &rogue).args(["--ca-certificate".as_ref(), authority.as_os_str()]).run();
    assert_eq!((ended.code, collection(&world).len()), (Some(0), 5), "{}", ended.stderr);
}
