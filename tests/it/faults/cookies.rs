//! Cookies: those that a server sets on the way of one request, and those of the user's file.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Redirects a request without this cookie to the same address, setting the cookie; any other gets
/// what is there.
fn wall(asked: &Asked, cookie: &str) -> Answer {
    let name = cookie.split(';').next().unwrap_or_default();
    let has_it = asked
        .header("cookie")
        .is_some_and(|cookies| cookies.split("; ").any(|one| one == name));
    if has_it {
        return asked.served();
    }
    let location = format!("Location: {}", asked.path);
    let set = format!("Set-Cookie: {cookie}");
    Answer::whole("302 Take This", &[&location, &set], "")
}

#[test]
fn a_cookie_wall_is_passed_and_the_cookie_forgotten() {
    let passed = |cookie: &'static str| {
        Case::image(cookie, move |asked| wall(asked, cookie))
            .comes(2)
            .seen(|requests| {
                let with_cookie = requests
                    .iter()
                    .filter(|asked| asked.header("cookie").is_some());
                assert_eq!(with_cookie.count(), 1, "{requests:?}");
            })
    };
    let lost = |cookie: &'static str| {
        Case::image(cookie, move |asked| wall(asked, cookie))
            .fails(1, &["redirect loop, which sets cookies", "--cookies FILE"])
    };
    hold(&[
        passed("seen=1; Path=/; HttpOnly; SameSite=Lax"),
        passed("seen=1"),
        passed("seen=1; Domain=127.0.0.1; Expires=Sun, 06 Nov 2094 08:49:37 GMT"),
        lost("seen=1; Secure"),
        lost("seen=1; Path=/elsewhere"),
        lost("seen=1; Domain=elsewhere.invalid"),
        lost("seen=1; Max-Age=-1"),
        Case::image("a new one each time", |asked| {
            let set = format!("Set-Cookie: seen={}", asked.nth);
            Answer::whole(
                "302 Again",
                &[&format!("Location: {}", asked.path), &set],
                "",
            )
        })
        .fails(11, &["more than 10 redirects, which sets cookies"]),
        Case::new("a page", |rogue| {
            rogue.on(PAGE, |asked| wall(asked, "seen=1; Path=/"));
        })
        .comes(1),
        Case::new("robots.txt", |rogue| {
            rogue.show("/robots.txt", b"User-agent: *\nDisallow: /x\n".as_slice());
            rogue.on("/robots.txt", |asked| wall(asked, "seen=1"));
        })
        .comes(1),
    ]);
}

/// Writes a cookie file that only its user can read.
fn cookie_file(world: &Sandbox, text: &str) -> String {
    let file = world.home().join("cookies.txt");
    fs::write(&file, text).expect("a file for the cookies");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a file of one's own");
    file.to_str().expect("a plain name").to_owned()
}

#[test]
fn cookies_of_the_file_go_to_its_hosts_alone_and_are_never_shown() {
    let (world, here, there) = (
        Sandbox::new(),
        FaultServer::gallery(),
        FaultServer::gallery(),
    );
    let (from, to) = (here.origin(), there.origin());
    let localhost = to.replace("127.0.0.1", "localhost");
    let elsewhere = format!("{localhost}{}", FaultServer::FAULTY);
    here.on(FaultServer::FAULTY, move |_| Answer::to(302, &elsewhere));
    let home = definition(&from).replace("[listing]", "image_hosts = [\"localhost\"]\n\n[listing]");
    fs::write(world.work().join(DEFINITION), home).expect("a file for the definition");
    let file = cookie_file(
        &world,
        "# Netscape HTTP Cookie File\n\
         #HttpOnly_127.0.0.1\tFALSE\t/uploads\tFALSE\t0\tkey\tswordfish\n\
         127.0.0.1\tFALSE\t/uploads\tFALSE\t1\told\tswordfish\n\
         127.0.0.1\tFALSE\t/uploads\tTRUE\t0\tsafe\tswordfish\n\
         .elsewhere.invalid\tTRUE\t/\tFALSE\t0\tother\tswordfish\n",
    );
    let run = |by: &dyn Fn(Program) -> Program| {
        let program = fetch(world.wallhaul(), &here).args(["--site-file", DEFINITION, "-vv"]);
        let ended = by(program).run();
        assert!(!ended.stderr.contains("swordfish"), "{}", ended.stderr);
        assert!(!ended.stdout.contains("swordfish"), "{}", ended.stdout);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
        for asked in here.requests() {
            let due = asked
                .path
                .starts_with("/uploads/")
                .then_some("key=swordfish");
            assert_eq!(asked.header("cookie"), due, "{asked:?}");
        }
        for asked in there.requests() {
            assert_eq!(asked.header("cookie"), None, "{asked:?}");
        }
        here.heal();
        fs::remove_dir_all(world.work().join(GOT)).expect("a collection");
    };
    run(&|program| program.args(["--cookies", &file]));
    run(&|program| program.env("WALLHAUL_COOKIES", &file));
    let config = world.home().join("own.toml");
    fs::write(&config, format!("cookies = \"{file}\"\n")).expect("a configuration");
    run(&|program| program.args(["--config".as_ref(), config.as_os_str()]));
}

#[test]
fn a_cookie_header_comes_first_and_each_name_once() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let file = cookie_file(
        &world,
        "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\tfiled\n127.0.0.1\tFALSE\t/\tFALSE\t0\tb\tfiled\n",
    );
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["--cookies", &file, "--header", "Cookie: c=own; b=own"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let cookies = rogue.asked(FaultServer::FAULTY)[0]
        .header("cookie")
        .map(str::to_owned);
    assert_eq!(cookies.as_deref(), Some("c=own; b=own; a=filed"));
}

#[test]
fn a_cookie_file_without_a_cookie_is_a_usage_error_with_its_line() {
    for (text, says) in [
        (
            "# ok\n127.0.0.1 FALSE / FALSE 0 a swordfish\n",
            "line 2: a cookie has 7 fields",
        ),
        (
            "[{\"domain\": \"x\", \"value\": \"swordfish\"}]",
            "line 1: a cookie has 7 fields",
        ),
        (
            "h\tFALSE\t/\tFALSE\tsoon\ta\tswordfish\n",
            "line 1: the fifth field",
        ),
    ] {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        let file = cookie_file(&world, text);
        let ended = fetch(world.wallhaul(), &rogue)
            .args(["--cookies", &file])
            .run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(&file), "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert!(!ended.stderr.contains("swordfish"), "{}", ended.stderr);
        assert!(rogue.requests().is_empty());
    }
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["--cookies", "nowhere.txt"])
        .run();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("nowhere.txt"), "{}", ended.stderr);
}

#[test]
fn odd_lines_of_a_cookie_file_are_skipped_with_one_warning() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let port = rogue.origin().rsplit(':').next().map(str::to_owned);
    let port = port.expect("a port");
    let file = cookie_file(
        &world,
        &format!(
            "Cookies of today\n127.0.0.1:{port}\tFALSE\t/\tFALSE\t0\ta\t1\r\n\
             127.0.0.1:1\tFALSE\t/\tFALSE\t0\tb\t1\n127.0.0.1\tFALSE\t/\tno\t0\tc\tswordfish\n"
        ),
    );
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["--cookies", &file])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let warned = format!(
        "skipped 2 lines of `{file}`: line 1: a cookie has 7 fields separated by tabs, and this line has 1"
    );
    assert_eq!(ended.stderr.matches(&warned).count(), 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains("swordfish"), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("\"warning\":\"skipped_cookies\""),
        "{}",
        ended.stdout
    );
    let sent = rogue.asked(FaultServer::FAULTY)[0]
        .header("cookie")
        .map(str::to_owned);
    assert_eq!(sent.as_deref(), Some("a=1"));
}

#[test]
fn a_cookie_file_that_others_can_read_is_warned_about() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let file = cookie_file(&world, "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1\n");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("a file of one's own");
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["--cookies", &file])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let warned = format!("`{file}` contains cookies and is readable by other users");
    assert!(ended.stderr.contains(&warned), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("\"warning\":\"readable_cookies\""),
        "{}",
        ended.stdout
    );
}
