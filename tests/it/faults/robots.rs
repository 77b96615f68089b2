//! robots.txt: obeyed from the first request on, also after redirects.

use std::time::{Duration, Instant};

use super::*;

/// A robots.txt that says this to everybody.
fn wishing(case: Case, rule: &'static str) -> Case {
    let Case { fault, .. } = case;
    let fault: Box<dyn Fn(&FaultServer) + Send + Sync> = Box::new(move |rogue| {
        fault(rogue);
        rogue.on("/robots.txt", move |_| {
            Answer::ok(format!("User-agent: *\n{rule}\n"))
        });
    });
    Case { fault, ..case }
}

/// How often it was asked for, and how often something private.
fn asked(robots: usize, private: usize) -> impl Fn(&[Asked]) {
    move |requests| {
        assert_eq!(
            (
                count(requests, "/robots.txt"),
                count(requests, "/private.png")
            ),
            (robots, private)
        );
    }
}

#[test]
fn robots_txt_disallow_is_obeyed_unless_ignored_by_the_user() {
    let image = || {
        wishing(
            Case::new("an image", |_| {}),
            "Disallow: /uploads/desktops/2020/02/",
        )
    };
    let elsewhere = || Case::image("behind a redirect", |_| Answer::to(302, "/private.png"));
    let page = Case {
        end: End::Unlisted,
        ..Case::new("a page", |_| {})
    };
    let words = [
        "robots.txt of `127.0.0.1:",
        "disallows",
        "use `--robots ignore` to fetch it anyway",
    ];
    hold(&[
        image().fails(0, &words).seen(asked(1, 0)),
        image()
            .with(&["--robots", "ignore"])
            .comes(1)
            .seen(asked(0, 0)),
        wishing(elsewhere(), "Disallow: /private")
            .fails(1, &words)
            .seen(asked(1, 0)),
        wishing(page, "Disallow: /browse/2/")
            .fails(0, &words)
            .seen(asked(1, 0)),
    ]);
}

#[test]
fn robots_txt_that_sets_the_pace_is_told_once() {
    for (rule, args, is_reported) in [
        ("Crawl-delay: 0.3", &[][..], true),
        ("Crawl-delay: 0.3", &["--wait", "300ms"], false),
        ("Crawl-delay: 0.3", &["--robots", "ignore"], false),
        ("Disallow: /x", &[], false),
    ] {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        rogue.on("/robots.txt", move |_| {
            Answer::ok(format!("User-agent: *\n{rule}\n"))
        });
        let ended = fetch(world.wallhaul(), &rogue).args(args).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let sentence = "asks for 0.3 s between two requests";
        let lines = ended.stderr.lines().filter(|line| line.contains(sentence));
        assert_eq!(lines.count(), usize::from(is_reported), "{}", ended.stderr);
        let event = "\"warning\":\"crawl_delay\"";
        let events = ended.stdout.lines().filter(|line| line.contains(event));
        assert_eq!(events.count(), usize::from(is_reported), "{}", ended.stdout);
    }
}

#[test]
fn robots_txt_unreadable_stops_requests_to_its_host() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    rogue.on("/robots.txt", |_| Answer::status(503));
    let ended = fetch(world.wallhaul(), &rogue).run();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("robots.txt of `127.0.0.1:"),
        "{}",
        ended.stderr
    );
    let paths: Vec<String> = rogue
        .requests()
        .into_iter()
        .map(|asked| asked.path)
        .collect();
    assert_eq!(paths, ["/robots.txt"; 3]);
    rogue.heal();
    let healed = fetch(world.wallhaul(), &rogue).run();
    assert_eq!(
        (healed.code, collection(&world).len()),
        (Some(0), 5),
        "{}",
        healed.stderr
    );
}

#[test]
fn robots_txt_crawl_delay_holds_between_all_requests() {
    const PAUSE: Duration = Duration::from_millis(300);
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    rogue.on("/robots.txt", |_| {
        Answer::ok("User-agent: wallhaul\nCrawl-delay: 0.3\n")
    });
    let begun = Instant::now();
    let ended = fetch(world.wallhaul(), &rogue).run();
    assert_eq!(
        (ended.code, collection(&world).len()),
        (Some(0), 5),
        "{}",
        ended.stderr
    );
    // Each takes its turn after the one before, however many ask at once; one alone may arrive late.
    for (before, asked) in (0..).zip(
        rogue
            .requests()
            .into_iter()
            .filter(|asked| asked.path != "/robots.txt"),
    ) {
        assert!(
            asked.at - begun >= PAUSE * before,
            "{asked:?} after {before} others"
        );
    }
}
