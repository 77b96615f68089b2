//! Errors in site definitions and configuration files, also malicious ones: reported with their
//! position before any request.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::{DEFINITION, assert_kept, assert_plain, count, fetch};
use crate::support::fault_server::{Answer, FaultServer};
use crate::support::mirror::GOT;
use crate::support::program::{ProgramOutput, Sandbox};

const SHIPPED: &str = include_str!("../../../src/site/shipped/simpledesktops.toml");

/// The line of the shipped definition that rewrites a thumb.
fn rewrite() -> &'static str {
    SHIPPED
        .lines()
        .find(|line| line.starts_with("rewrite = "))
        .expect("a rule")
}

/// The shipped definition with `right` replaced.
fn with(right: &str, wrong: &str) -> String {
    assert!(SHIPPED.contains(right), "the definition has no `{right}`");
    SHIPPED.replacen(right, wrong, 1)
}

/// The shipped definition with another pattern in its rule.
fn patterned(pattern: &str) -> String {
    with(
        rewrite(),
        &format!("rewrite = {{ from = \"thumb\", regex = '{pattern}', to = \"$1\" }}"),
    )
}

/// A run by this definition.
fn visit(world: &Sandbox, rogue: &FaultServer, definition: impl AsRef<[u8]>) -> ProgramOutput {
    fs::write(world.work().join(DEFINITION), definition).expect("a file for the definition");
    let ended = fetch(world.wallhaul(), rogue)
        .args(["--site-file", DEFINITION])
        .run();
    assert_plain(&ended);
    ended
}

/// Asserts that nothing was asked and nothing made.
fn assert_untouched(what: &str, world: &Sandbox, rogue: &FaultServer, ended: &ProgramOutput) {
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(2), ""),
        "{what}: {}",
        ended.stderr
    );
    assert!(
        rogue.requests().is_empty() && !world.work().join(GOT).exists(),
        "{what}"
    );
    assert!(
        !ended.stderr.contains('\u{202e}'),
        "{what}: {}",
        ended.stderr
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table of cases")]
fn site_definition_toml_regex_and_selector_errors_name_file_line_column_and_fix() {
    let deep = |parentheses: &str| parentheses.repeat(2_000);
    let too_deep = "(".repeat(1_750) + "x";
    let cases: [(&str, String, &str, &[&str]); 28] = [
        (
            "no TOML",
            with("[item]", "[item"),
            "\nselect",
            &["unclosed table"],
        ),
        (
            "a wrong type",
            with("start = 1", "start = \"1\""),
            "\"1\"",
            &["expected u32"],
        ),
        (
            "a number too large",
            with("start = 1", "start = 4294967296"),
            "4294967296",
            &["expected u32"],
        ),
        (
            "an unknown key",
            with("select = \"div", "selct = \"div"),
            "selct",
            &["unknown key `selct`", "`select`?"],
        ),
        (
            "an unknown table",
            with("[file]", "[fiel]"),
            "fiel",
            &["unknown key `fiel`", "`file`?"],
        ),
        (
            "a missing key",
            with("base = ", "# base = "),
            "[site]",
            &["missing key `base`"],
        ),
        (
            "a key said twice",
            with("start = 1", "start = 1\nstart = 2"),
            "start = 2",
            &["duplicate key"],
        ),
        (
            "a table said twice",
            with("[item]", "[site]\n[item]"),
            "site]\n[item]",
            &["duplicate key"],
        ),
        (
            "a pattern that does not end",
            patterned("^(.*$"),
            "(.*$",
            &["unclosed group"],
        ),
        (
            "a class that does not end",
            patterned("^(.*)[a-"),
            "[a-",
            &["unclosed character class"],
        ),
        (
            "a repetition of nothing",
            patterned("^(*)"),
            "*)",
            &["repetition operator missing expression"],
        ),
        (
            "what this engine cannot do",
            patterned("^(.*)(?=x)"),
            "(?=x",
            &["look-around"],
        ),
        (
            "a reference back",
            patterned(r"(.)\1"),
            r"\1",
            &["backreferences are not supported"],
        ),
        (
            "a pattern that explodes",
            patterned("(x{1000}){1000}"),
            "'(x{1000}",
            &["bytes when compiled", "fewer or smaller"],
        ),
        (
            "huge classes",
            patterned(r"([\p{L}\p{N}\p{M}]{2000})"),
            r"'([\p{L}",
            &["bytes when compiled"],
        ),
        (
            "a pattern nested too deep",
            patterned(&(deep("(") + "x" + &deep(")"))),
            &too_deep,
            &["nest"],
        ),
        (
            "a capture nobody made",
            with("${full}", "${fool}"),
            "\"${fool}",
            &["no capture `fool`", "`full`?"],
        ),
        (
            "a field nobody captured",
            with("{y}-{m}", "{y}-{mm}"),
            "{mm}",
            &["unknown placeholder `{mm}`", "`m`?"],
        ),
        (
            "an attribute and the text as well",
            with(
                "\"a > img@src\"",
                "{ select = \"a > img\", attr = \"src\", text = true }",
            ),
            "{ select = \"a > img",
            &["either an attribute or a text", "`text = true`"],
        ),
        (
            "a selector that is none",
            with("\"div.desktop\"", "\"div.desktop >\""),
            "\"div.desktop >",
            &["not a selector"],
        ),
        (
            "a selector from elsewhere",
            with("\"div.desktop\"", "\"//div[@class]\""),
            "\"//div",
            &["not a selector"],
        ),
        (
            "a page without a number",
            with("/browse/{page}/", "/browse/"),
            "1\nstop",
            &["`start` has no meaning here", "{page}"],
        ),
        (
            "a command",
            with("[item]", "exec = \"reboot\"\n[item]"),
            "exec",
            &["unknown key `exec`"],
        ),
        (
            "a table of hooks",
            with("[item]", "[hooks]\nsaved = \"reboot\"\n[item]"),
            "hooks]",
            &["unknown key `hooks`"],
        ),
        (
            "a name for elsewhere",
            with("\"simpledesktops\"", "\"../up\""),
            "\"../up",
            &["cannot name a site"],
        ),
        (
            "a folder for names",
            with("\"{y}-{m}", "\"../../{y}-{m}"),
            "/../{y}",
            &["a file name cannot contain `/`"],
        ),
        (
            "a base on this disk",
            with("https://simpledesktops.com", "file:///etc"),
            "\"file:",
            &["only http and https"],
        ),
        (
            "what commands a terminal",
            with("[item]", "\"\\u001b[31m\\u202e\" = 1\n[item]"),
            "\"\\u001b",
            &["unknown key"],
        ),
    ];
    for (what, definition, place, words) in cases {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        let ended = visit(&world, &rogue, &definition);
        assert_untouched(what, &world, &rogue, &ended);
        let at = definition
            .find(place)
            .unwrap_or_else(|| panic!("{what}: no `{place}`"));
        let line = 1 + definition[..at].matches('\n').count();
        let column = 1 + definition[..at]
            .chars()
            .rev()
            .take_while(|&c| c != '\n')
            .count();
        let position = format!("{DEFINITION}:{line}:{column}\n");
        assert!(
            ended.stderr.contains(&position),
            "{what}: not at {position}{}",
            ended.stderr
        );
        assert!(
            ended
                .stderr
                .lines()
                .any(|line| line.trim_start_matches(['|', ' ']).starts_with('^')),
            "{what}: no mark"
        );
        assert!(
            words.iter().all(|word| ended.stderr.contains(word)),
            "{what}: {}",
            ended.stderr
        );
    }
}

#[test]
fn invalid_utf8_in_a_config_or_definition_names_encoding_or_position() {
    let utf16 = |text: &str, endian: fn(u16) -> [u8; 2]| {
        text.encode_utf16().flat_map(endian).collect::<Vec<u8>>()
    };
    let marked = |text: &str| format!("\u{feff}{text}");
    let config = "jobs = 4\n";
    for text in [SHIPPED, config] {
        let cases: [(&str, Vec<u8>, &str); 5] = [
            (
                "UTF-16 with a mark",
                utf16(&marked(text), u16::to_le_bytes),
                "the file is UTF-16; save it as UTF-8",
            ),
            (
                "UTF-16, the other way round",
                utf16(&marked(text), u16::to_be_bytes),
                "the file is UTF-16; save it as UTF-8",
            ),
            (
                "UTF-16 without a mark",
                utf16(text, u16::to_le_bytes),
                "the file is UTF-16; save it as UTF-8",
            ),
            (
                "Latin-1",
                [b"# caf\xe9\n", text.as_bytes()].concat(),
                "line 1, column 6: invalid UTF-8",
            ),
            (
                "no text at all",
                vec![b'#'; 2_000_000],
                "the file is larger than 131072 bytes",
            ),
        ];
        for (what, bytes, words) in cases {
            let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
            let (flag, file) = if text == config {
                ("--config", "own.toml")
            } else {
                ("--site-file", DEFINITION)
            };
            fs::write(world.work().join(file), bytes).unwrap();
            let ended = fetch(world.wallhaul(), &rogue).args([flag, file]).run();
            assert_untouched(what, &world, &rogue, &ended);
            assert!(
                ended.stderr.contains(file) && ended.stderr.contains(words),
                "{what}: {}",
                ended.stderr
            );
        }
    }
    let foreign = marked(&SHIPPED.replace('\n', "\r\n"));
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    fs::write(
        world.work().join("own.toml"),
        "\u{feff}jobs = 4\r\nquiet = true\r\n",
    )
    .unwrap();
    let program = world.wallhaul();
    fs::write(world.work().join(DEFINITION), foreign).unwrap();
    let ended = fetch(program, &rogue)
        .args(["--config", "own.toml", "--site-file", DEFINITION])
        .run();
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "a mark and other line ends are fine"
    );
    assert_kept(
        &world,
        &rogue,
        &[&FaultServer::GOOD[..], &[FaultServer::FAULTY]].concat(),
        &ended,
    );
}

#[test]
fn duplicate_site_definitions_are_refused() {
    let cases: [(&[&str], &str); 4] = [
        (&["--site-file", DEFINITION], "--site-file"),
        (
            &["simpledesktops", "simpledesktops"],
            "the site `simpledesktops` is named twice",
        ),
        (
            &["demo", "simpledesktops", "demo"],
            "the site `demo` is named twice",
        ),
        (
            &["demo"],
            "--site-file defines the site `simpledesktops`, which is not among those named",
        ),
    ];
    for (args, words) in cases {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        fs::write(world.work().join(DEFINITION), SHIPPED).unwrap();
        let program = world
            .wallhaul()
            .args(["fetch", "-d", GOT, "--site-file", DEFINITION]);
        let ended = program.args(args).run();
        assert_untouched(words, &world, &rogue, &ended);
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[test]
fn world_readable_config_with_secrets_is_warned_about() {
    const SECRET: &str = "header = [\"Authorization: swordfish\"]\n";
    for (text, mode, warned) in [
        (SECRET, 0o644, true),
        (SECRET, 0o604, true),
        (SECRET, 0o640, false),
        (SECRET, 0o600, false),
        ("", 0o644, false),
    ] {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        let file = world.home().join("own.toml");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let ended = fetch(world.wallhaul(), &rogue)
            .args(["--config", file.to_str().unwrap(), "-vv"])
            .run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let line = ended
            .stderr
            .lines()
            .find(|line| line.starts_with("warning: "));
        assert_eq!(line.is_some(), warned, "{mode:o}: {}", ended.stderr);
        assert!(
            line.is_none_or(|line| line.contains("own.toml") && line.contains("chmod")),
            "{line:?}"
        );
        assert!(
            !ended.stderr.contains("swordfish") && !ended.stdout.contains("swordfish"),
            "{}",
            ended.stderr
        );
        let sent = rogue
            .requests()
            .iter()
            .filter(|asked| asked.header("authorization") == Some("swordfish"))
            .count();
        assert_eq!(sent > 0, !text.is_empty(), "{mode:o}");
    }
}

/// A definition with a rule that makes `to` of every thumb, or of the faulty image's alone; the shipped rule
/// comes first then.
fn astray(to: &str, all: bool) -> String {
    let rule = |pattern: &str, to: &str| {
        format!("rewrite = {{ from = \"thumb\", regex = '{pattern}', to = \"{to}\" }}")
    };
    let rules = if all {
        rule("^(.*)$", to)
    } else {
        let good = r"^(?P<full>.*/good-\d\.png)\.\d+x\d+_q\d+\.png$";
        format!(
            "{}\n[[full]]\n{}",
            rule(good, "${full}"),
            rule("^(.*faulty.*)$", to)
        )
    };
    with(rewrite(), &rules)
}

#[test]
fn rewrite_regex_without_a_usable_url_is_counted_and_fails_if_all_are() {
    let cases = [
        ("no address", "nothing.png", "it is not an address"),
        (
            "the thumb as it was",
            "$1",
            "the rewrite leaves the address as it is",
        ),
        (
            "another host",
            "https://elsewhere.invalid/$1",
            "the definition does not name its host `elsewhere.invalid`",
        ),
        (
            "an address of this machine",
            "http://127.0.0.1:1/",
            "the definition does not name its host `127.0.0.1`",
        ),
        ("a file", "file:///etc/passwd", "`file:` is not supported"),
        (
            "a password",
            "https://me:swordfish@static.simpledesktops.com/",
            "it contains a user name or a password",
        ),
        (
            "a NUL",
            "https://static.simpledesktops.com/%00",
            "it contains a NUL",
        ),
    ];
    for (what, to, why) in cases {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        let ended = visit(&world, &rogue, astray(to, false));
        assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
        assert_kept(&world, &rogue, &FaultServer::GOOD, &ended);
        let sum = ended.sum();
        assert_eq!(
            (&sum["found"], &sum["saved"], &sum["skipped"]),
            (&5.into(), &4.into(), &1.into()),
            "{what}"
        );
        let named = ended
            .objects()
            .into_iter()
            .find(|event| event["outcome"] == "skipped")
            .expect("one is named");
        let (key, detail) = (
            named["key"].as_str().unwrap_or_default(),
            named["detail"].as_str().unwrap_or_default(),
        );
        assert!(
            key.contains("faulty") && detail.contains(why),
            "{what}: {named}"
        );

        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        let ended = visit(&world, &rogue, astray(to, true));
        assert_eq!(ended.code, Some(3), "{what}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("leads to an original: ") && ended.stderr.contains(why),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("swordfish"), "{}", ended.stderr);
        assert!(rogue.originals_asked().is_empty(), "{what}");
    }
}

#[test]
fn rewrite_regex_falls_back_to_the_next_rule_when_an_original_is_missing() {
    let first =
        r"rewrite = { from = 'thumb', regex = '^(.+?)\.\d+x\d+_q\d+\.png$', to = '$1.raw' }";
    let rules = with(rewrite(), &format!("{first}\n[[full]]\n{}", rewrite()));
    for (what, there, code) in [
        ("404", Answer::status(404), 0),
        ("410", Answer::status(410), 0),
        (
            "a page",
            Answer::ok("<!doctype html><title>no such picture</title>"),
            0,
        ),
        ("a refusal", Answer::status(403), 0),
        ("a refusal of the proxy", Answer::status(407), 1),
    ] {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        rogue.everywhere(move |asked| match &*asked.path {
            path if path.contains(".raw") => there.clone(),
            _ if asked.shown.is_empty() => Answer::status(404),
            _ => asked.served(),
        });
        let ended = visit(&world, &rogue, &rules);
        assert_eq!(ended.code, Some(code), "{what}: {}", ended.stderr);
        let all = [&FaultServer::GOOD[..], &[FaultServer::FAULTY]].concat();
        assert_kept(&world, &rogue, if code == 0 { &all } else { &[] }, &ended);
        for path in all {
            let asked = (
                count(&rogue.requests(), &format!("{path}.raw")),
                count(&rogue.requests(), path),
            );
            assert_eq!(asked, (1, usize::from(code == 0)), "{what}: {path}");
        }
    }
}

#[test]
fn config_error_names_file_line_column_and_the_nearest_key() {
    let cases: [(&str, &str, &[&str]); 15] = [
        ("no TOML", "jobs = 4\nretries = \n", &["line 2, column "]),
        (
            "an unknown key",
            "jobs = 4\n  retrys = 2\n",
            &["line 2, column 3", "`retrys`", "`retries`?"],
        ),
        (
            "a table",
            "[network]\nretries = 2\n",
            &["line 1, column ", "`network`"],
        ),
        (
            "a key said twice",
            "jobs = 4\njobs = 5\n",
            &["line 2, column 1", "duplicate key"],
        ),
        (
            "a text for a number",
            "jobs = \"many\"\n",
            &["line 1, column 8", "many"],
        ),
        (
            "a number for a text",
            "directory = 7\njobs = -3\n",
            &["line 2, column 8"],
        ),
        (
            "a date",
            "wait = 1979-05-27\n",
            &["line 1, column 8", "`wait` does not take a date or a table"],
        ),
        (
            "a number out of range",
            "jobs = 99999\n",
            &["line 1, column 8", "99999"],
        ),
        (
            "no length of time",
            "wait = \"soon\"\n",
            &["line 1, column 8", "expected a duration"],
        ),
        (
            "no size",
            "max-size = \"5 apples\"\n",
            &["line 1, column 12", "expected a number of bytes"],
        ),
        (
            "no address",
            "base-url = \"nowhere\"\n",
            &["line 1, column 12"],
        ),
        (
            "no address behind a password",
            "base-url = \"http://me:s3cr3t@ho st/\"\n",
            &["line 1, column 12", "'http://...@ho st/'"],
        ),
        (
            "no header",
            "header = [\"nothing\"]\n",
            &["line 1, column 10"],
        ),
        (
            "no word it knows",
            "sync = \"maybe\"\n",
            &["line 1, column 8", "maybe"],
        ),
        (
            "what commands a terminal",
            "\"\\u001b[31m\\u202e\" = \"\\u0007\"\n",
            &["line 1, column 1", r"\u{1b}[31m\u{202e}"],
        ),
    ];
    for (what, text, words) in cases {
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        fs::write(world.work().join("own.toml"), text).unwrap();
        let program = world
            .wallhaul()
            .args(["fetch", "-d", GOT, "--config", "own.toml"]);
        let ended = program.args(if what.starts_with("no address") {
            vec![]
        } else {
            vec!["--base-url".to_owned(), rogue.origin()]
        });
        let ended = ended.run();
        assert_plain(&ended);
        assert_untouched(what, &world, &rogue, &ended);
        assert!(
            ended.stderr.contains("own.toml"),
            "{what}: {}",
            ended.stderr
        );
        assert!(
            words.iter().all(|word| ended.stderr.contains(word)),
            "{what}: {}",
            ended.stderr
        );
    }
}
