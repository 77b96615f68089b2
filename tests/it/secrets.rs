//! Secrets of definitions: in no output and no file however a site spells them, and in every request that needs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use image::ImageFormat;
use percent_encoding::percent_decode;
use regex::{Captures, Regex};

use crate::support::fault_server::{Answer, Asked, FaultServer};
use crate::support::gallery::picture;
use crate::support::program::{Program, ProgramOutput, Sandbox, files};

const SECRET: &str = "s3cr3t_ke+Y9";

/// The variable that holds it. Nothing in its name says so.
const VARIABLE: &str = "OWN_ACCESS";

const SITE_FILE: &str = "own.toml";

/// The collection.
const GOT: &str = "got";

/// A definition of a site at `base`, which sends the secret in a header alone.
fn definition(base: &str) -> String {
    format!(
        r#"
[site]
name = "own"
base = "{base}"
[secrets]
key = {{ variable = "{VARIABLE}" }}
[request]
headers = {{ X-Key = "{{secret.key}}" }}
referer = "page"
[listing]
kind = "html"
url = "/list/1"
next = "a.next@href"
[item]
select = "li"
thumb = "img@src"
title = "img@title"
[[full]]
rewrite = {{ from = "thumb", regex = '(?<full>.+)&small', to = '${{full}}' }}
[file]
capture = {{ from = "full", regex = '/(?<name>[^/?]+)\?' }}
name = "{{name}}"
"#
    )
}

/// Every way to write the secret that an output must not show.
fn spellings() -> Vec<String> {
    let each = |spell: &dyn Fn(usize, u8) -> String| -> String {
        let spelt = SECRET.bytes().enumerate();
        spelt.map(|(at, byte)| spell(at, byte)).collect()
    };
    let mut all = vec![
        SECRET.to_owned(),
        SECRET.replace('+', "%2B"),
        SECRET.replace('+', "&plus;"),
        each(&|_, byte| format!("%{byte:02x}")),
        each(&|_, byte| format!("%25{byte:02X}")),
        each(&|_, byte| format!("%2525{byte:02X}")),
        each(&|_, byte| format!("&#{byte};")),
        each(&|_, byte| format!("&amp;#x{byte:x};")),
        each(&|_, byte| format!("\\u{byte:04x}")),
        each(&|_, byte| format!("\\x{byte:02X}")),
        each(&|at, byte| match at % 5 {
            0 => char::from(byte).to_string(),
            1 => format!("%{byte:02X}"),
            2 => format!("&#{byte};"),
            3 => format!("\\u{byte:04X}"),
            _ => format!("%25{byte:02x}"),
        }),
    ];
    for before in ["", "u", "me:"] {
        let text = format!("{before}{SECRET}");
        all.push(BASE64_NOPAD.encode(text.as_bytes()));
        all.push(BASE64URL_NOPAD.encode(text.as_bytes()));
    }
    all
}

/// Whether a text holds the secret in any spelling, found out in another way than the program does: everything that can
/// be decoded is, over and over.
fn holds_secret(bytes: &[u8]) -> bool {
    let wide = |unit: fn([u8; 2]) -> u16, from: usize| {
        let units = bytes[from.min(bytes.len())..].chunks_exact(2);
        let units: Vec<_> = units.map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let texts = [
        String::from_utf8_lossy(bytes).into_owned(),
        wide(u16::from_le_bytes, 0),
        wide(u16::from_be_bytes, 0),
        wide(u16::from_le_bytes, 1),
    ];
    let number = Regex::new(r"&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?").unwrap();
    let escape = Regex::new(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))").unwrap();
    let word = Regex::new(r"[A-Za-z0-9+/_-]{8,}").unwrap();
    let code = |found: &Captures<'_>, at: usize, radix| {
        let digits = found.get(at)?;
        char::from_u32(u32::from_str_radix(digits.as_str(), radix).ok()?)
    };
    texts.into_iter().any(|mut text| {
        for _ in 0..6 {
            let in_base64 = word.find_iter(&text).any(|found| {
                let word = found.as_str().replace('-', "+").replace('_', "/");
                (0..4).any(|skipped| {
                    let word = word.get(skipped..).unwrap_or_default();
                    let whole = &word[..word.len() / 4 * 4];
                    let decoded = BASE64_NOPAD.decode(whole.as_bytes()).unwrap_or_default();
                    let decoded = String::from_utf8_lossy(&decoded);
                    decoded.contains(&SECRET[2..SECRET.len() - 3])
                })
            });
            if in_base64 || text.to_lowercase().contains(&SECRET.to_lowercase()) {
                return true;
            }
            let decoded = number.replace_all(&text, |found: &Captures<'_>| {
                let c = code(found, 1, 16).or_else(|| code(found, 2, 10));
                c.unwrap_or(' ').to_string()
            });
            let decoded = escape.replace_all(&decoded, |found: &Captures<'_>| {
                let c = code(found, 1, 16).or_else(|| code(found, 2, 16));
                c.unwrap_or(' ').to_string()
            });
            let decoded = decoded.replace("&amp;", "&").replace("&plus;", "+");
            let decoded = decoded.replace("\\\\", "\\").replace('\0', "");
            text = percent_decode(decoded.as_bytes())
                .decode_utf8_lossy()
                .into_owned();
        }
        false
    })
}

/// All files and folders below `folder`.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut paths) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            paths.push(path.clone());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    paths
}

fn assert_no_secret(what: &str, world: &Sandbox, ended: &ProgramOutput) {
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!holds_secret(text.as_bytes()), "{what}: {text}");
    }
    for path in walk(&world.work()) {
        assert!(
            !holds_secret(path.as_os_str().as_encoded_bytes()),
            "{what}: {path:?}"
        );
        if path.is_file() {
            let bytes = fs::read(&path).expect("a file");
            assert!(
                !holds_secret(&bytes),
                "{what}: {path:?}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

fn program(world: &Sandbox, server: &FaultServer, args: &[&str]) -> Program {
    let path = world.work().join(SITE_FILE);
    fs::write(path, definition(&server.origin())).expect("a file for the definition");
    world
        .wallhaul()
        .env("WALLHAUL_SYNC", "off")
        .env(VARIABLE, SECRET)
        .args(args)
        .args([
            "--no-config",
            "--secret-env",
            VARIABLE,
            "--robots",
            "ignore",
        ])
        .env("WALLHAUL_RETRIES", "1")
        .env("WALLHAUL_RETRY_WAIT", "1ms")
}

fn fetch(world: &Sandbox, server: &FaultServer) -> Program {
    program(
        world,
        server,
        &["fetch", "--site-file", SITE_FILE, "-d", GOT],
    )
}

/// The page of a listing whose items have these addresses and titles, and whose next page is at `next`.
fn page(items: &[(String, String)], next: &str) -> String {
    let items = items.iter().map(|(address, title)| {
        format!("<li><img src=\"{address}&amp;small\" title=\"{title}\"></li>")
    });
    format!(
        "<html><ul>{}</ul><a class=next href=\"{next}\">next</a></html>",
        items.collect::<String>()
    )
}

/// The same text in UTF-16, without a mark.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn path_and_query(asked: &Asked) -> (&str, &str) {
    asked.path.split_once('?').unwrap_or((&asked.path, ""))
}

#[test]
fn a_secret_is_in_no_output_and_no_file_however_a_page_spells_it() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    let spellings = spellings();
    let items = spellings.iter().enumerate().map(|(number, spelt)| {
        let (folder, query) = if number % 2 == 0 {
            (spelt.as_str(), "")
        } else {
            ("x", spelt.as_str())
        };
        (
            format!("/i/{folder}/{number}.png?k={query}"),
            format!("a {spelt} z"),
        )
    });
    let first = page(
        &items.collect::<Vec<_>>(),
        &format!("/list/2?k={}", spellings[4]),
    );
    // No item: a copy of it is kept.
    let second = format!("<html><p>{}</p></html>", spellings.join("</p><p>"));
    server.everywhere(move |asked| match path_and_query(asked) {
        ("/list/1", _) => Answer::ok(first.clone()),
        ("/list/2", _) => {
            let kind = format!("Content-Type: text/html; charset=utf-16le; k={SECRET}");
            Answer::whole("200 OK", &[&kind], wide(&second))
        }
        (path, _) if path.ends_with("0.png") => Answer::whole("404 No", &[], SECRET),
        (path, _) => {
            let digits: String = path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .chars()
                .filter(char::is_ascii_digit)
                .collect();
            let name = format!("Content-Disposition: attachment; filename=\"{SECRET}.png\"");
            let bytes = picture(digits.parse().unwrap_or(99), ImageFormat::Png);
            Answer::whole("200 OK", &[&name, &format!("ETag: \"{SECRET}\"")], bytes)
        }
    });
    let key = world.home().join("key");
    fs::write(&key, format!("{} {SECRET}", spellings.join(" "))).unwrap();
    let hook = "printf '%s %s %s\\n' \"$WALLHAUL_TITLE\" \"$WALLHAUL_PAGE\" \"$WALLHAUL_ADDRESS\" >> hooked; \
        env >> hooked; cat \"$HOME/key\"; exit 1\n";
    fs::write(world.work().join("hook"), hook).unwrap();
    for args in [
        &["-vv"][..],
        &["--json", "-vv", "--names", "header"],
        &["--dry-run", "-vv"],
    ] {
        let ended = fetch(&world, &server)
            .args(args)
            .args(["--exec", "sh ./hook"])
            .run();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert_no_secret("fetch", &world, &ended);
    }
    let hooked = fs::read_to_string(world.work().join("hooked")).unwrap();
    assert!(
        hooked.contains("***") && hooked.contains("HOME="),
        "{hooked}"
    );
    assert!(!hooked.contains(VARIABLE), "{hooked}");
    assert!(files(&world.work().join(GOT)).len() > spellings.len() / 2);
    let copies = walk(&world.work().join(GOT).join(".wallhaul/pages"));
    let copy = fs::read_to_string(&copies[0]).expect("a copy of the second page");
    assert_eq!(copy.matches("***").count(), spellings.len(), "{copy}");
    for args in [
        &["list", "--json"][..],
        &["show", "own", "--json"],
        &["list"],
    ] {
        let ended = world
            .wallhaul()
            .args(["ledger"])
            .args(args)
            .args(["-d", GOT])
            .run();
        assert_no_secret("ledger", &world, &ended);
    }
    for args in [
        &["sites", "check", SITE_FILE][..],
        &["urls", "--site-file", SITE_FILE],
    ] {
        let ended = program(&world, &server, args).run();
        assert_no_secret(args[0], &world, &ended);
    }
}

#[test]
fn a_recorded_fixture_holds_no_secret_in_any_spelling_and_is_read_as_the_site_is() {
    for is_wide in [false, true] {
        let (world, server) = (Sandbox::new(), FaultServer::start());
        let spellings = spellings();
        let items = spellings.iter().enumerate().map(|(number, spelt)| {
            (
                format!("/i/{number}.png?k={SECRET}"),
                format!("a {spelt} z"),
            )
        });
        let text = page(&items.collect::<Vec<_>>(), "");
        server.everywhere(move |asked| match path_and_query(asked) {
            ("/list/1", _) if is_wide => {
                let kind = format!("Content-Type: text/html; charset=utf-16le; k={SECRET}");
                Answer::whole("200 OK", &[&kind], wide(&text))
            }
            ("/list/1", _) => Answer::ok(text.clone()),
            (path, query) if path.starts_with("/i/") && query == format!("k={SECRET}") => {
                Answer::ok(picture(1, ImageFormat::Png))
            }
            _ => Answer::status(404),
        });
        let record = ["sites", "record", SITE_FILE, "-d", "fixture"];
        let ended = program(&world, &server, &record).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_no_secret("record", &world, &ended);
        let read = ["sites", "test", SITE_FILE, "--page", "fixture", "--json"];
        let ended = world.wallhaul().args(read).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.objects().len(), spellings.len());
    }
}

/// A site whose pages and images need the secret in their addresses, where it writes it itself.
fn token_site() -> FaultServer {
    let server = FaultServer::start();
    let image = |number: usize| {
        (
            format!("/{number}.png?token={SECRET}"),
            format!("image {number}"),
        )
    };
    let first = page(&[image(1), image(2)], &format!("/list/2?token={SECRET}"));
    let second = page(&[image(3)], "");
    server.everywhere(move |asked| {
        let (path, query) = path_and_query(asked);
        let has_token = query == format!("token={SECRET}");
        match path {
            "/list/1" => Answer::ok(first.clone()),
            _ if !has_token => Answer::status(401),
            "/list/2" => Answer::ok(second.clone()),
            path => {
                let number = path.trim_matches(|c: char| !c.is_ascii_digit());
                Answer::ok(picture(number.parse().unwrap_or(9), ImageFormat::Png))
            }
        }
    });
    server
}

fn assert_nothing_masked_is_requested(server: &FaultServer) {
    for Asked { path, .. } in server.requests() {
        assert!(!path.contains('*') && !path.contains("%2A"), "{path}");
    }
}

#[test]
fn an_address_with_the_secret_is_requested_as_it_is_and_masked_where_it_is_stored() {
    let (world, server) = (Sandbox::new(), token_site());
    let ended = fetch(&world, &server).args(["--json"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.sum()["saved"], 3);
    assert!(
        ended.stdout.contains("/3.png?token=***"),
        "{}",
        ended.stdout
    );
    assert_no_secret("fetch", &world, &ended);
    // A host's own page tells it no more than it knows.
    let referrers = server.asked(&format!("/3.png?token={SECRET}"));
    assert!(
        referrers[0]
            .header("referer")
            .unwrap()
            .ends_with(&format!("?token={SECRET}"))
    );

    let again = fetch(&world, &server).args(["--json"]).run();
    assert_eq!(
        (again.code, &again.sum()["already_there"]),
        (Some(0), &3.into()),
        "{}",
        again.stdout
    );
    assert_eq!(server.asked(&format!("/3.png?token={SECRET}")).len(), 1);

    // From the listing, which has the secret.
    fs::write(world.work().join(GOT).join("3.png"), b"damaged").unwrap();
    let verify = ["verify", "--repair", "--site-file", SITE_FILE, "-d", GOT];
    let ended = program(&world, &server, &verify).run();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_no_secret("verify", &world, &ended);

    // The ledger has the address, but not the secret in it.
    server.on("/list/1", |_| {
        Answer::ok(page(
            &[(format!("/1.png?token={SECRET}"), String::new())],
            "",
        ))
    });
    fs::write(world.work().join(GOT).join("3.png"), b"damaged").unwrap();
    let ended = program(&world, &server, &verify).run();
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended
            .stderr
            .contains("its address held a secret, which is not stored"),
        "{}",
        ended.stderr
    );
    assert_nothing_masked_is_requested(&server);

    let urls = program(&world, &server, &["urls", "--site-file", SITE_FILE]).run();
    assert_eq!(
        (urls.code, urls.stdout.as_str()),
        (Some(1), ""),
        "{}",
        urls.stderr
    );
    assert!(
        urls.stderr.contains("its address holds a secret"),
        "{}",
        urls.stderr
    );
    assert_no_secret("urls", &world, &urls);
}

#[test]
fn an_image_whose_address_has_the_secret_is_resumed() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    let image = (format!("/1.png?token={SECRET}"), String::new());
    let listing = page(&[image], "");
    // Only the whole megabytes of a part are kept, and bytes behind the end mark are an image's own.
    let mut bytes = picture(1, ImageFormat::Png);
    bytes.resize(3_000_000, 0);
    let half = bytes.len() / 2;
    server.everywhere(move |asked| {
        if asked.path == "/list/1" {
            return Answer::ok(listing.clone());
        }
        let length = bytes.len();
        match asked.header("range") {
            None => Answer::head(
                "200 OK",
                &["ETag: \"1\"", &format!("Content-Length: {length}")],
            )
            .bytes(&bytes[..half])
            .close(),
            Some(range) => {
                let from = range
                    .trim_matches(|c: char| !c.is_ascii_digit())
                    .parse::<usize>()
                    .unwrap();
                let range = format!("Content-Range: bytes {from}-{}/{length}", length - 1);
                Answer::whole("206 Rest", &["ETag: \"1\"", &range], &bytes[from..])
            }
        }
    });
    let ended = fetch(&world, &server).args(["--retries", "0"]).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_no_secret("cut", &world, &ended);
    let ended = fetch(&world, &server).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let asked = server.asked(&format!("/1.png?token={SECRET}"));
    assert!(
        asked.len() == 2 && asked[1].header("range").is_some(),
        "{asked:?}"
    );
    assert_no_secret("resumed", &world, &ended);
}

#[test]
fn a_secret_in_an_address_goes_to_no_archive() {
    let (world, server, archive) = (Sandbox::new(), FaultServer::start(), FaultServer::start());
    let images = [(format!("/1.png?token={SECRET}"), String::new())];
    let listing = page(&images, "");
    server.everywhere(move |asked| match asked.path.as_str() {
        "/list/1" => Answer::ok(listing.clone()),
        _ => Answer::status(404),
    });
    let address = archive.origin();
    let fallback = ["--archive", "fallback", "--archive-url", &address, "-vv"];
    let ended = fetch(&world, &server).args(fallback).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("1.png?token=***"), "{}", ended.stderr);
    assert_no_secret("archive", &world, &ended);
    assert!(archive.requests().is_empty(), "{:?}", archive.requests());
}

#[test]
fn a_pipe_or_a_device_is_refused_where_a_definition_or_a_secret_should_be() {
    let (world, server) = (Sandbox::new(), token_site());
    let pipe = world.home().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let refused = |run: Program| {
        let start = Instant::now();
        let ended = run.run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("it is not a regular file"),
            "{}",
            ended.stderr
        );
        assert!(start.elapsed() < Duration::from_secs(30));
    };
    for path in [
        pipe.as_path(),
        Path::new("/dev/zero"),
        Path::new("/dev/tty"),
    ] {
        let file = format!("{VARIABLE}_FILE");
        refused(fetch(&world, &server).without(VARIABLE).env(&file, path));
        let path = path.to_str().unwrap();
        refused(
            world
                .wallhaul()
                .args(["fetch", "--no-config", "--site-file", path, "-d", GOT]),
        );
        refused(
            world
                .wallhaul()
                .args(["fetch", "--config", path, "-d", GOT]),
        );
        refused(fetch(&world, &server).args(["--cookies", path]));
    }
    assert!(server.requests().is_empty());
    // What the program was given is read.
    let given = world
        .wallhaul()
        .env(VARIABLE, SECRET)
        .stdin(&definition(&server.origin()));
    let args = [
        "fetch",
        "--no-config",
        "--site-file",
        "/dev/stdin",
        "-d",
        GOT,
        "--secret-env",
        VARIABLE,
    ];
    let ended = given.args(args).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_password_in_a_variable_or_a_mirrors_address_is_in_no_output() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    server.everywhere(|_| Answer::ok("<html></html>"));
    let address = server
        .origin()
        .replace("http://", &format!("http://me:{SECRET}@"));
    let variable = format!("url={address}/x");
    let mirror = ["--base-url", address.as_str()];
    // A word to search for.
    let searching = definition(&server.origin())
        .replace("url = \"/list/1\"", "url = \"/list?q={url}\"")
        .replace("headers = { X-Key = \"{secret.key}\" }", "")
        .replace("[secrets]\n", "[variables]\nurl = \"x\"\n")
        .replace(&format!("key = {{ variable = \"{VARIABLE}\" }}"), "");
    let folder = Sandbox::new();
    let file = folder.work().join(SITE_FILE);
    fs::write(&file, searching).unwrap();
    let file = file.to_str().unwrap();
    for args in [
        &["fetch", "page", "-V", &variable, "-vv"][..],
        &["fetch", "feed", "-V", &variable, "--json"],
        &["fetch", "simpledesktops", "-V", &variable],
        &["fetch", "wallhaven", "-V", &format!("sorting={address}")],
        &[
            "fetch",
            "--site-file",
            file,
            "-V",
            &variable,
            "-vv",
            "--json",
        ],
        &["sites", "check", file, "-V", &variable],
        &["sites", "check", "page", "-V", &variable],
        &["sites", "check", "simpledesktops", mirror[0], mirror[1]],
        &["fetch", "simpledesktops", "--json", mirror[0], mirror[1]],
        &["urls", "simpledesktops", mirror[0], mirror[1]],
        &["sites", "new", &format!("{address}/x")],
    ] {
        let ended = world.wallhaul().args(args).run();
        assert_ne!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        assert_no_secret(args[1], &world, &ended);
    }
}
