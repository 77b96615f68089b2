//! Which answers lead to an image's next address, and which redirects end a listing.

use super::*;

/// The first address of the faulty image, where its definition names two.
const FIRST: &str = "/uploads/desktops/2020/02/02/faulty.jpg";

/// The shipped definition for a site of this origin, whose originals may be `.jpg` first, and then as their thumbs say.
fn two_candidates(origin: &str) -> String {
    let rules = "rewrite = { from = \"thumb\", regex = '^(?P<stem>.+)\\.png\\.[^/]+$', to = \"${stem}.jpg\" }\n\n[[full]]\n";
    definition(origin).replacen("[[full]]\n", &format!("[[full]]\n{rules}"), 1)
}

/// Fetches a gallery with two candidates an image.
fn fetch_two(world: &Sandbox, rogue: &FaultServer) -> ProgramOutput {
    fs::write(
        world.work().join(DEFINITION),
        two_candidates(&rogue.origin()),
    )
    .expect("a file for the definition");
    fetch(world.wallhaul(), rogue)
        .args(["--site-file", DEFINITION])
        .run()
}

#[test]
fn the_next_candidate_is_tried_after_a_refusal_of_the_first() {
    let there = FaultServer::gallery();
    let elsewhere = format!("{}{FIRST}", there.origin());
    let answers: Vec<(String, Answer)> =
        [400, 401, 402, 403, 404, 405, 406, 409, 410, 418, 425, 451]
            .into_iter()
            .map(|code| (code.to_string(), Answer::status(code)))
            .chain([
                ("another host".to_owned(), Answer::to(302, &elsewhere)),
                (
                    "a private address".to_owned(),
                    Answer::to(301, "http://10.0.0.1/"),
                ),
                ("a circle".to_owned(), Answer::to(307, FIRST)),
                ("nowhere".to_owned(), Answer::status(303)),
                ("no address".to_owned(), Answer::to(308, "http://[::1/")),
                (
                    "a page".to_owned(),
                    Answer::ok("<!doctype html><title>no</title>"),
                ),
            ])
            .collect();
    for (name, answer) in answers {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        rogue.on(FIRST, move |_| answer.clone());
        let ended = fetch_two(&world, &rogue);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        assert_eq!(collection(&world).len(), 5, "{name}");
        let requests = rogue.requests();
        let asked = [FIRST, FaultServer::FAULTY].map(|path| count(&requests, path));
        assert_eq!(asked, [1, 1], "{name}");
    }
    assert_eq!(there.connections(), 0);
}

#[test]
fn no_candidate_is_passed_over_that_asks_for_patience() {
    for code in [407, 408, 429, 500, 503, 522] {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        rogue.on(FIRST, move |_| Answer::status(code));
        let ended = fetch_two(&world, &rogue);
        assert_eq!(ended.code, Some(1), "{code}: {}", ended.stderr);
        assert_eq!(rogue.asked(FaultServer::FAULTY).len(), 0, "{code}");
    }
}

#[test]
fn many_refusals_of_first_candidates_are_no_reason_to_give_the_host_up() {
    let (world, rogue, there) = (Sandbox::new(), FaultServer::start(), FaultServer::start());
    let paths: Vec<String> = (0..60)
        .map(|n| format!("/uploads/desktops/2020/01/01/{n}.png"))
        .collect();
    rogue.list(1, &paths.iter().map(String::as_str).collect::<Vec<_>>());
    for (index, path) in paths.iter().enumerate() {
        rogue.show(
            path,
            crate::support::gallery::picture(index, image::ImageFormat::Png),
        );
        // What is found at the second address is on another host, so that nothing good comes from this one.
        there.show(path, rogue.shown(path));
        let elsewhere = format!("{}{path}", there.origin());
        rogue.on(path, move |_| Answer::to(302, &elsewhere));
        rogue.on(&path.replace(".png", ".jpg"), |_| Answer::status(403));
    }
    let hosts = two_candidates(&rogue.origin());
    fs::write(world.work().join(DEFINITION), hosts).expect("a file for the definition");
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["--site-file", DEFINITION])
        .run();
    // Redirects to a host that the definition does not name are refused, and yet no failure of this one.
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("is skipped for the rest"),
        "{}",
        ended.stderr
    );
    rogue.heal();
    for path in &paths {
        rogue.on(&path.replace(".png", ".jpg"), |_| Answer::status(403));
    }
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["--site-file", DEFINITION])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(collection(&world).len(), 60);
}

#[test]
fn an_image_is_gone_only_where_every_candidate_is() {
    for (first, second, gone) in [
        (404, 404, true),
        (410, 404, true),
        (403, 404, false),
        (404, 403, false),
    ] {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        rogue.on(FIRST, move |_| Answer::status(first));
        rogue.on(FaultServer::FAULTY, move |_| Answer::status(second));
        let ended = fetch_two(&world, &rogue);
        assert_eq!(collection(&world).len(), 4, "{}", ended.stderr);
        rogue.heal();
        fetch_two(&world, &rogue);
        let asked_again = rogue.asked(FaultServer::FAULTY).len() == 1;
        assert_eq!(asked_again, !gone, "{first}, {second}");
    }
}

#[test]
fn a_stop_status_of_a_redirect_ends_the_listing_wherever_it_leads() {
    for (code, to) in [
        (301, "/login"),
        (302, "http://elsewhere.invalid/login"),
        (303, "/browse/1/"),
        (307, "/browse/3/"),
        (308, "file:///etc/passwd"),
        (300, "/login"),
        (305, "/login"),
        (503, ""),
    ] {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        rogue.on("/browse/3/", move |_| Answer::to(code, to));
        let stop = format!("status = [404, {code}]");
        let text = definition(&rogue.origin()).replace("status = [404]", &stop);
        assert!(text.contains(&stop));
        fs::write(world.work().join(DEFINITION), text).expect("a file for the definition");
        let run = || {
            fetch(world.wallhaul(), &rogue)
                .args(["--site-file", DEFINITION])
                .run()
        };
        let ended = run();
        assert_eq!(ended.code, Some(0), "{code} to {to}: {}", ended.stderr);
        assert_eq!(collection(&world).len(), 5, "{code}");
        assert_eq!(rogue.asked("/login").len(), 0);
        assert!(
            ended.stdout.contains("\"reason\":\"no_such_page\""),
            "{}",
            ended.stdout
        );
        // The first page can never be the one behind the last.
        if code < 400 && code > 300 && code != 305 {
            rogue.heal();
            rogue.show("/first/", rogue.shown("/browse/1/"));
            rogue.on("/browse/1/", move |_| Answer::to(code, "/first/"));
            let ended = run();
            assert_eq!(ended.code, Some(0), "{code}: {}", ended.stderr);
            assert_eq!(rogue.asked("/first/").len(), 1, "{code}");
        }
    }
}
