//! Flags, environment variables and the configuration file: which one wins, and errors in them.
//! Commands besides `fetch`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use crate::support::gallery::Gallery;
use crate::support::mirror::{GOT, Mirror, assert_whole, collection};
use crate::support::program::{Program, ProgramOutput, Sandbox, files};

fn urls(world: &Sandbox, mirror: &Mirror) -> Program {
    world
        .wallhaul()
        .args(["urls", "--base-url", &mirror.nginx.origin()])
}

#[test]
fn urls_prints_every_original_in_listing_order_with_the_mirror_url() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(Gallery::ALL));
    let ended = urls(&world, &mirror).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let origin = mirror.nginx.origin();
    let due: Vec<String> = mirror
        .gallery
        .originals
        .iter()
        .map(|original| format!("{origin}{}", original.path))
        .collect();
    assert_eq!(due.len(), Gallery::ALL);
    assert!(ended.stdout.lines().eq(due), "{}", ended.stdout);
    assert_eq!(mirror.originals_asked(), [""; 0]);
    assert!(
        fs::read_dir(world.work()).unwrap().next().is_none(),
        "nothing is written"
    );

    let ended = urls(&world, &mirror).args(["-p", "2"]).run();
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 28));
}

#[test]
fn urls_ends_silently_on_a_broken_pipe() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(Gallery::ALL));
    let (reader, writer) = std::io::pipe().unwrap();
    // The program has the only end for writing once `start` has let go of the command.
    let running = urls(&world, &mirror).stdout(writer).start();
    let mut reader = BufReader::with_capacity(64, reader);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(
        line,
        format!(
            "{}{}\n",
            mirror.nginx.origin(),
            mirror.gallery.originals[0].path
        )
    );
    drop(reader);
    let ended = running.wait();
    assert_eq!(
        (ended.code, ended.signal, ended.stderr.as_str()),
        (Some(141), None, "")
    );
}

#[test]
fn fetch_continues_on_a_broken_pipe() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(60));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let running = mirror.fetch(&world).args(["--json"]).stdout(writer).start();
    reader.read_exact(&mut [0; 10]).unwrap();
    drop(reader);
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_whole(&world, &mirror);
}

#[test]
fn sites_show_output_works_as_a_site_file() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(40));
    let listed = world.wallhaul().args(["sites", "list"]).run();
    let names: Vec<_> = listed
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!((listed.code, names[0]), (Some(0), "simpledesktops"));
    assert!(names.contains(&"demo") && names.contains(&"wallhaven"));
    let own = definition(&world, str::to_owned);
    let ended = mirror.fetch(&world).args(["--site-file", &own]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_whole(&world, &mirror);
    mirror.nginx.forget();
    let again = mirror.fetch(&world).run();
    assert_eq!(
        (again.code, mirror.originals_asked().len()),
        (Some(0), 0),
        "both are the same site"
    );
}

/// Writes the shipped definition, changed, into a file; answers with its name.
fn definition(world: &Sandbox, change: impl Fn(&str) -> String) -> String {
    let shown = world
        .wallhaul()
        .args(["sites", "show", "simpledesktops"])
        .run();
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    let changed = change(&shown.stdout);
    fs::write(world.work().join("own.toml"), changed).unwrap();
    "own.toml".to_owned()
}

#[test]
fn site_definition_error_names_its_position_before_any_request() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let cases = [
        (
            "select = \"div.desktop\"",
            "selct = \"div.desktop\"",
            "unknown key `selct`",
        ),
        ("\"div.desktop\"", "\"div.desktop >\"", "not a selector"),
        (
            r"(?P<full>https?://.+)\.",
            r"(?P<full>https?://.+\.",
            "unclosed group",
        ),
    ];
    for (right, wrong, words) in cases {
        let own = definition(&world, |shipped| shipped.replacen(right, wrong, 1));
        let text = fs::read_to_string(world.work().join(&own)).unwrap();
        let line = 1 + text
            .lines()
            .position(|line| line.contains(wrong))
            .expect("the definition was changed");
        let ended = mirror.fetch(&world).args(["--site-file", &own]).run();
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        let place = ended
            .stderr
            .split(&format!("own.toml:{line}:"))
            .nth(1)
            .unwrap_or_default();
        assert!(
            place.starts_with(|digit: char| digit.is_ascii_digit()),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(mirror.nginx.requests(), []);
    assert!(!world.work().join(GOT).exists());
}

#[test]
fn unknown_or_invalid_flags_are_usage_errors() {
    let world = Sandbox::new();
    let refused = |args: &[&str], words: &str| {
        let ended = world.wallhaul().args(args).run();
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{args:?}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    };
    refused(&["fetch", "--directry", "x"], "--directory");
    refused(
        &["fetch", "simpledesktop"],
        "did you mean `simpledesktops`?",
    );
    refused(&["fetch", "-p", "7-3"], "page 7 comes after page 3");
    refused(&["fetch", "-j", "0"], "--jobs");
    refused(&["fetch", "--base-url", "nowhere"], "--base-url");
    refused(&["fetch", "--site-file", "missing.toml"], "missing.toml");
    refused(&["sites", "show", "simpledesktop"], "simpledesktop");
    refused(
        &["ledger", "list"],
        "there is no collection in `wallpapers/simpledesktops`",
    );
    refused(&["haul"], "haul");
    assert!(
        fs::read_dir(world.work()).unwrap().next().is_none(),
        "nothing is written"
    );
}

#[test]
fn ledger_list_prints_for_people_and_scripts() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(Gallery::ALL));
    mirror.take(&mirror.gallery.originals[0].path);
    assert_eq!(mirror.fetch(&world).args(["-p", "1-2"]).run().code, Some(1));
    let ledger = |args: &[&str]| {
        world
            .wallhaul()
            .args(["ledger"])
            .args(args)
            .args(["-d", GOT])
            .run()
    };

    let bytes: usize = files(&world.work().join(GOT)).values().map(Vec::len).sum();
    let stats = ledger(&["stats", "--json"]).sum();
    assert_eq!(
        (&stats["saved"], &stats["files"], &stats["gone"]),
        (&55.into(), &55.into(), &1.into())
    );
    assert_eq!(
        (&stats["failed"], &stats["bytes"]),
        (&0.into(), &bytes.into())
    );
    let formats: u64 = stats["formats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|format| format[1].as_u64().unwrap())
        .sum();
    assert_eq!(formats, 55);
    let said = ledger(&["stats"]);
    assert!(
        said.stdout.contains("55 images in 55 files") && said.code == Some(0),
        "{}",
        said.stdout
    );

    let shown = ledger(&["show", "MIRAGE"]);
    assert_eq!(shown.code, Some(0), "letter case does not count");
    let hash = mirror.gallery.originals[1].hash.to_string();
    assert!(
        shown.stdout.contains("2021-02-04-mirage.png") && shown.stdout.contains(&hash),
        "{}",
        shown.stdout
    );
    let shown = ledger(&["show", "no such image"]);
    assert_eq!(
        (shown.code, shown.stdout.as_str(), shown.stderr.as_str()),
        (Some(1), "", "")
    );
    assert_eq!(ledger(&["list"]).stdout.lines().count(), 56);
    assert_eq!(
        ledger(&["list", "--state", "saved"]).stdout.lines().count(),
        55
    );
}

/// A run of up to five downloads, unless somebody says less; the number it came to.
fn downloads(mirror: &Mirror, change: impl Fn(&Sandbox, Program) -> Program) -> usize {
    let world = Sandbox::new();
    let config = world.home().join(".config");
    write_config(&config, "max-downloads = 5\n");
    let ended = change(&world, mirror.fetch(&world)).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    collection(&world).len()
}

fn write_config(folder: &Path, text: &str) {
    fs::create_dir_all(folder.join("wallhaul")).unwrap();
    fs::write(folder.join("wallhaul/config.toml"), text).unwrap();
}

#[test]
fn flag_overrides_env_variable_and_env_overrides_config_file() {
    let mirror = Mirror::of(8);
    assert_eq!(
        downloads(&mirror, |_, fetch| fetch),
        5,
        "the file in the home"
    );
    assert_eq!(
        downloads(&mirror, |_, fetch| fetch.env("WALLHAUL_MAX_DOWNLOADS", "3")),
        3
    );
    let both = |_: &Sandbox, fetch: Program| {
        fetch
            .env("WALLHAUL_MAX_DOWNLOADS", "3")
            .args(["--max-downloads", "2"])
    };
    assert_eq!(downloads(&mirror, both), 2);
    assert_eq!(
        downloads(&mirror, |_, fetch| fetch.args(["--no-config"])),
        8
    );
    assert_eq!(
        downloads(&mirror, |_, fetch| fetch.without("HOME")),
        8,
        "nowhere to look for a file"
    );
    let elsewhere = |world: &Sandbox, fetch: Program| {
        write_config(&world.work().join("xdg"), "max-downloads = 4\n");
        fetch.env("XDG_CONFIG_HOME", world.work().join("xdg"))
    };
    assert_eq!(downloads(&mirror, elsewhere), 4);
    let named = |world: &Sandbox, fetch: Program| {
        fs::write(world.work().join("mine.toml"), "max-downloads = 1\n").unwrap();
        fetch.args(["--config", "mine.toml"])
    };
    assert_eq!(downloads(&mirror, named), 1);
}

#[test]
fn config_file_error_names_its_position() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let refused = |text: &str, words: &[&str]| {
        write_config(&world.home().join(".config"), text);
        let ended: ProgramOutput = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("wallhaul/config.toml"),
            "{}",
            ended.stderr
        );
        assert!(
            words.iter().all(|word| ended.stderr.contains(word)),
            "{}",
            ended.stderr
        );
    };
    refused(
        "jobs = 4\n  retrys = 2\n",
        &["line 2, column 3", "`retrys`", "did you mean `retries`?"],
    );
    refused("\njobs = \"many\"\n", &["line 2, column 8", "many"]);
    refused("jobs = \n", &["line 1"]);
    assert_eq!(mirror.nginx.requests(), []);
    let ended = mirror
        .fetch(&world)
        .args(["--config", "missing.toml"])
        .run();
    assert!(
        ended.code == Some(2) && ended.stderr.contains("missing.toml"),
        "{}",
        ended.stderr
    );
}

#[test]
fn demo_works_without_tls_certificates_home_env_or_network() {
    let world = Sandbox::new();
    let demo = || {
        let bare = world
            .wallhaul()
            .without("HOME")
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent");
        bare.args(["fetch", "demo", "-p", "6", "-d", GOT])
    };
    let ended = demo().run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let got = collection(&world);
    assert!(got.len() > 5, "{got:?}");
    assert!(
        files(&world.work().join(GOT))
            .values()
            .all(|bytes| image::guess_format(bytes).is_ok())
    );
    let again = demo().run();
    assert_eq!(
        (again.code, again.stderr.as_str()),
        (Some(0), ""),
        "its port changes, its images do not"
    );
    assert_eq!(collection(&world), got);
}
