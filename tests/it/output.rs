//! What the program prints: help, JSON lines, and the messages at each verbosity.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;
use serde_json::Value;

use crate::support::program::{Sandbox, WALLHAUL};
use crate::support::site::Site;

const README: &str = include_str!("../../README.md");

/// The output of a command that needs no site, in a window of 100 columns.
fn said(args: &[&str]) -> String {
    let ended = Sandbox::new()
        .wallhaul()
        .args(args)
        .env("COLUMNS", "100")
        .run();
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{args:?}"
    );
    ended.stdout
}

#[test]
fn help_matches_the_snapshots() {
    for command in ["", "fetch", "urls", "ledger", "ledger list", "sites", "man"] {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let help = said(&args);
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        insta::assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), help);
    }
}

#[test]
fn version_is_name_and_number() {
    assert_eq!(
        said(&["--version"]),
        concat!("wallhaul ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

/// A value that the flag of that name takes, as it is written in a configuration file; none for what is no option.
fn value(flag: &str, named: &str) -> Option<&'static str> {
    Some(match (flag, named) {
        // The archive's are refused where nothing is asked of it.
        ("help" | "config" | "no-config" | "archive-date" | "archive-window", _) => return None,
        ("verbose", _) => "2",
        ("sync", _) => "\"off\"",
        ("lock", _) => "\"wait=5s\"",
        ("color", _) => "\"never\"",
        ("names", _) => "\"header\"",
        ("archive", _) => "\"only\"",
        ("progress", _) => "\"plain\"",
        ("robots", _) => "\"ignore\"",
        ("site-file", _) => "\"site.toml\"",
        ("exec", _) => "[\"true {path}\", \"end:true\"]",
        (_, "<NAME=VALUE>") => "[\"query=forest\", \"order=new\"]",
        ("allow-any-host", _) => "[\"demo\", \"simpledesktops\"]",
        ("opt-in", _) => "\"demo\"",
        (_, "<NAME>") => "\"A_TOKEN\"",
        (_, "[=<BOOL>]") => "true",
        (_, "<N>") => "7",
        (_, "<SIZE>") => "\"5M\"",
        (_, "<TIME>") => "\"1m30s\"",
        (_, "<PAGES>") => "\"2-3\"",
        (_, "<DIR>") => "\"pictures\"",
        ("cookies", _) => "\"cookies.txt\"",
        (flag, "<FILE>") if flag.starts_with("queue-") => "\"one.pem\"",
        (_, "<FILE>") => "[\"one.pem\", \"two.pem\"]",
        (_, "<URL>") => "\"http://127.0.0.1:9/\"",
        (_, "<TEXT>") => "\"somebody\"",
        (_, "<HEADER>") => "[\"A: 1\", \"B: 2\"]",
        (flag, named) => panic!("--{flag} takes {named}: say here what that may be"),
    })
}

#[test]
fn every_long_flag_of_fetch_is_a_config_key_and_an_env_variable() {
    let (world, help) = (Sandbox::new(), said(&["fetch", "--help"]));
    fs::write(
        world.work().join("site.toml"),
        said(&["sites", "show", "simpledesktops"]),
    )
    .unwrap();
    let flags = Regex::new(r"(?m)^ +(?:-\w, )?--([a-z0-9-]+)(?: |\.\.\.)?(\S*)$").unwrap();
    let flags: Vec<_> = flags
        .captures_iter(&help)
        .map(|flag| flag.extract().1)
        .collect();
    assert!(flags.len() > 25, "{flags:?}");
    // A command whose options are valid finds that there is no such site, and requests nothing.
    let beyond = "error: there is no site `nowhere`";
    for [flag, named] in flags {
        let Some(value) = value(flag, named) else {
            continue;
        };
        let config = world.work().join("config.toml");
        fs::write(&config, format!("{flag} = {value}\n")).unwrap();
        // A collection in a folder has no use for it.
        let place: &[_] = match flag {
            "state-dir" => &["-d", "s3://bucket"],
            _ => &[],
        };
        let fetch = || world.wallhaul().args(["fetch", "nowhere"]).args(place);
        let read = fetch().args(["--config", config.to_str().unwrap()]).run();
        assert!(
            read.code == Some(2) && read.stderr.starts_with(beyond),
            "{flag}: {}",
            read.stderr
        );
        let variable = format!("WALLHAUL_{}", flag.replace('-', "_").to_uppercase());
        let plain = value
            .trim_matches(['[', ']', '"'])
            .split("\", \"")
            .next()
            .unwrap();
        let read = fetch().env(&variable, plain).run();
        assert!(
            read.code == Some(2) && read.stderr.starts_with(beyond),
            "{variable}: {}",
            read.stderr
        );
        // No option takes bytes that are no text, but for the names of files: so it was read.
        if !["<DIR>", "<FILE>"].contains(&named) {
            let bytes = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
            let refused = fetch().env(&variable, bytes).run();
            assert!(
                refused.code == Some(2) && !refused.stderr.starts_with(beyond),
                "{variable}: {}",
                refused.stderr
            );
        }
    }
    let config = world.work().join("config.toml");
    fs::write(&config, "jbos = 3\n").unwrap();
    let refused = world
        .wallhaul()
        .args(["fetch", "nowhere", "--config", config.to_str().unwrap()])
        .run();
    assert!(
        refused.stderr.contains("did you mean `jobs`?"),
        "{}",
        refused.stderr
    );
}

#[test]
fn help_lists_every_exit_code_of_its_command() {
    let exits = |command: &str| {
        let help = said(&[command, "--help"]);
        let (_, from) = help
            .split_once("Exit codes:")
            .expect("a paragraph on exit codes");
        let (codes, _) = from.split_once("\n\n").expect("its end");
        let code = Regex::new(r"\b\d+\b").unwrap();
        code.find_iter(codes)
            .map(|code| code.as_str().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let documented = exits("fetch");
    let table = Regex::new(r"(?m)^\| ([\d, ]+) \|").unwrap();
    let listed: Vec<&str> = table
        .captures_iter(README)
        .flat_map(|row| row.extract::<1>().1[0].split(", "))
        .collect();
    assert!(listed.len() >= 10, "{listed:?}");
    for code in listed {
        let documented = if code == "141" {
            &exits("urls")
        } else {
            &documented
        };
        assert!(documented.contains(code), "{code}: {documented:?}");
    }
}

/// The commands of this program in a text, each without what it is piped to and without a comment.
fn commands(text: &str) -> Vec<String> {
    let line =
        Regex::new(r"(?m)^ *(?:cargo run --release -- |wallhaul )([^#|>\n]*)").expect("a pattern");
    line.captures_iter(text)
        .map(|command| {
            command[1]
                .split("   ")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect()
}

#[test]
fn readme_and_help_commands_parse() {
    let blocks: String = README
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let mut shown = commands(&blocks);
    for command in ["fetch", "urls", "ledger"] {
        let help = said(&[command, "--help"]);
        shown.extend(commands(help.split_once("Examples:").expect("examples").1));
    }
    assert!(shown.len() >= 15, "{shown:?}");
    let world = Sandbox::new();
    for command in shown {
        // A shell reads it, and the program all of it before it comes to the last flag.
        let ended = world
            .program("/bin/sh")
            .args(["-c", &format!("\"$0\" {command} --help"), WALLHAUL])
            .run();
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{command}"
        );
    }
    let ended = world
        .wallhaul()
        .args(["fetch", "--nonsense", "--help"])
        .run();
    assert_eq!(ended.code, Some(2), "a flag before --help is looked at");
}

#[test]
fn completions_are_valid_shell_scripts() {
    let world = Sandbox::new();
    let ended = world
        .program("/bin/bash")
        .args(["-n"])
        .stdin(&said(&["completions", "bash"]))
        .run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(
            said(&["completions", shell]).contains("max-downloads"),
            "{shell}"
        );
    }
}

#[test]
fn man_pages_exist_for_each_command_with_its_flags() {
    for (command, flag) in [
        ("", "version"),
        ("fetch", "max\\-downloads"),
        ("ledger list", "state"),
    ] {
        let args: Vec<_> = ["man"]
            .into_iter()
            .chain(command.split_whitespace())
            .collect();
        let page = said(&args);
        let title = format!(
            "\n.TH {} 1 ",
            [&["wallhaul"], &args[1..]].concat().join("-")
        );
        assert!(page.starts_with(".ie ") && page.contains(&title), "{page}");
        assert!(page.contains(&format!("\\fB\\-\\-{flag}\\fR")), "{page}");
    }
    let refused = Sandbox::new().wallhaul().args(["man", "fetsch"]).run();
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (
            Some(2),
            "error: no such command: `fetsch`; see `wallhaul --help`\n"
        )
    );
}

/// A site of three images: one that is there, one that is gone, and one whose thumb no rule knows.
fn mixed() -> Site {
    let site = Site::open(3);
    site.lose(1);
    let thumb = format!("{}.295x184_q100.png", site.gallery.originals[2].path);
    let page = site.folder.path().join("browse/1/index.html");
    let listing = fs::read_to_string(&page).expect("the first page");
    assert!(listing.contains(&thumb));
    fs::write(&page, listing.replace(&thumb, "/uploads/odd")).expect("the first page again");
    site
}

#[test]
fn json_lines_of_a_whole_run() {
    let (world, site) = (Sandbox::new(), mixed());
    let ended = site.fetch(&world).args(["--json", "-j", "1"]).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let mut output = ended.stdout;
    for (what, hidden) in [
        (
            r#""time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z""#,
            r#""time":"TIME""#,
        ),
        (r#""seq":\d+"#, r#""seq":N"#),
        (r#""seconds":\d+\.\d+"#, r#""seconds":SECONDS"#),
        (r#""bytes":\d{2,}"#, r#""bytes":BYTES"#),
        (r#""blake3":"[0-9a-f]{64}""#, r#""blake3":"HASH""#),
        (r"127\.0\.0\.1:\d+", "HOST"),
    ] {
        output = Regex::new(what)
            .unwrap()
            .replace_all(&output, hidden)
            .into_owned();
    }
    // The listing ends while images are on their way; the first line and the last one have their places.
    let mut lines: Vec<_> = output.lines().collect();
    let last = lines.len() - 1;
    lines[1..last].sort_unstable();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn json_lines_are_numbered_and_their_counts_add_up() {
    let (world, site) = (Sandbox::new(), Site::open(40));
    site.lose(0);
    site.lose(1);
    for (already_there, gone) in [(0, 0), (38, 2)] {
        let ended = site.fetch(&world).args(["--json"]).run();
        let events: Vec<Value> = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (number, line) in (1..).zip(&events) {
            assert_eq!(
                (&line["v"], &line["seq"]),
                (&Value::from(1), &Value::from(number))
            );
            assert!(
                line["time"].is_string() && line["event"].is_string(),
                "{line}"
            );
        }
        assert_eq!(events.first().unwrap()["event"], "run_started");
        let end = events.last().unwrap();
        let count = |name: &str| end[name].as_u64().unwrap();
        let parts = [
            "saved",
            "duplicate",
            "already_there",
            "gone",
            "skipped",
            "failed",
            "interrupted",
            "not_started",
        ]
        .map(count);
        assert_eq!(
            (end["event"].as_str(), count("found"), parts.iter().sum()),
            (Some("run_ended"), 40, 40_u64)
        );
        assert_eq!(
            (count("already_there"), count("gone"), count("not_started")),
            (already_there, gone, 0)
        );
        let finished: Vec<_> = events
            .iter()
            .filter(|line| line["event"] == "image_finished")
            .collect();
        let keys: BTreeSet<_> = finished
            .iter()
            .map(|line| line["key"].as_str().unwrap())
            .collect();
        assert_eq!(
            (finished.len(), keys.len() as u64),
            (keys.len(), 40 - already_there - gone)
        );
    }
}

#[test]
fn second_run_without_news_is_silent_off_a_terminal() {
    let (world, site) = (Sandbox::new(), Site::open(3));
    let first = site.fetch(&world).run();
    assert!(
        first
            .stderr
            .starts_with("simpledesktops: 3 found: 3 saved ("),
        "{}",
        first.stderr
    );
    let second = site.fetch(&world).run();
    assert_eq!(
        (second.code, second.stdout.as_str(), second.stderr.as_str()),
        (Some(0), "", "")
    );
}

#[test]
fn a_skip_is_explained_in_the_first_run_and_silent_in_the_next() {
    let (world, site) = (Sandbox::new(), Site::open(3));
    let thumb = format!("{}.295x184_q100.png", site.gallery.originals[2].path);
    let page = site.folder.path().join("browse/1/index.html");
    let listing = fs::read_to_string(&page).unwrap();
    fs::write(&page, listing.replace(&thumb, "/uploads/advertisement")).unwrap();
    let address = format!("{}/uploads/advertisement", site.nginx.origin());
    let json_skip = |stdout: &str| {
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let skips: Vec<Value> = lines
            .filter(|line: &Value| line["outcome"] == "skipped")
            .collect();
        assert_eq!(skips.len(), 1, "{stdout}");
        (skips[0]["address"].clone(), skips[0]["new"].clone())
    };
    let explained = format!("  1 skipped: no rule matches ({address})\n");
    // A dry run only asks the ledger, so that the skip stays new for the run that follows.
    let dry = site.fetch(&world).args(["--dry-run"]).run();
    assert!(dry.stderr.contains(&explained), "{}", dry.stderr);
    let would_fetch = format!(
        "would fetch {}{}\n",
        site.nginx.origin(),
        site.gallery.originals[0].path
    );
    assert!(dry.stderr.contains(&would_fetch), "{}", dry.stderr);
    let first = site.fetch(&world).args(["--json"]).run();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stderr.contains(&explained), "{}", first.stderr);
    assert_eq!(
        json_skip(&first.stdout),
        (address.as_str().into(), true.into())
    );
    let second = site.fetch(&world).args(["--json"]).run();
    assert_eq!((second.code, second.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        json_skip(&second.stdout),
        (address.as_str().into(), false.into())
    );
    let verbose = site.fetch(&world).args(["-v"]).run();
    let line = format!("skipped {address}: no rule matches\n");
    assert!(verbose.stderr.contains(&line), "{}", verbose.stderr);
}

#[test]
fn quiet_run_prints_failures_only() {
    let (world, site) = (Sandbox::new(), mixed());
    let ended = site.fetch(&world).args(["-q"]).run();
    let origin = site.nginx.origin();
    let host = origin.replace("http://", "");
    let failed = format!(
        "failed {origin}{}: `{host}` answered 404 (1 attempt; gone)\n",
        site.gallery.originals[1].path
    );
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr),
        (Some(1), "", failed)
    );
}

#[test]
fn insecure_tls_warns_on_each_run() {
    let (world, site) = (Sandbox::new(), Site::open(3));
    for _ in 0..2 {
        let ended = site.fetch(&world).args(["--insecure"]).run();
        assert!(
            ended
                .stderr
                .starts_with("warning: certificates are not checked (--insecure)"),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.code, Some(0));
    }
}

#[test]
fn verbose_run_names_pages_and_images() {
    let (world, site) = (Sandbox::new(), mixed());
    let ended = site.fetch(&world).args(["-v"]).run();
    for said in [
        "started simpledesktops into wallpapers/simpledesktops, 8 images at a time\n",
        &format!(
            "read page 1 ({}/browse/1/): 3 images\n",
            site.nginx.origin()
        ),
        "saved 2021-03-18-Light_Em_Up_2880x1800.jpg (",
        &format!(
            "skipped {}/uploads/odd: no rule matches\n",
            site.nginx.origin()
        ),
        "listed 1 page: there is no page 2 (status 404)\n",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

#[test]
fn many_failures_end_with_a_hint_to_a_command_that_lists_them() {
    let (world, site) = (Sandbox::new(), Site::open(14));
    fs::remove_dir_all(site.folder.path().join("uploads")).unwrap();
    let ended = site.fetch(&world).args(["-d", "pictures"]).run();
    let hint =
        Regex::new(r"`wallhaul (ledger list .* --state) failed` \(404 and 410: `--state gone`\)")
            .unwrap();
    let hint = hint
        .captures(&ended.stderr)
        .unwrap_or_else(|| panic!("{}", ended.stderr));
    let list = hint[1].split(' ').chain(["gone"]);
    assert_eq!(world.wallhaul().args(list).run().stdout.lines().count(), 14);
}
