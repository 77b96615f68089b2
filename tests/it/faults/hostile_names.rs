//! Hostile image names in a listing: the file names they get, and how they are printed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use image::ImageFormat;
use url::Url;

use super::{DEFINITION, assert_plain, fetch};
use crate::fuzz::targets::portable::{careless, flaw};
use crate::support::fault_server::{Answer, FaultServer};
use crate::support::gallery::picture;
use crate::support::mirror::{GOT, collection, sqlite};
use crate::support::program::{ProgramOutput, Sandbox, WALLHAUL};
use crate::support::terminal::Terminal;

/// A site whose images are all that stands before `.thumb`, named after the last part of that.
const SITE: &str = r#"
site = { name = "hostile", base = "https://hostile.invalid" }
listing = { kind = "html", url = "/browse/{page}/" }
item = { select = "img", thumb = "@src", title = "@title" }
full = { rewrite = { from = "thumb", regex = '(.+)\.thumb', to = "$1" } }
file = { capture = { from = "full", regex = '/dated/(?<date>[\d-]+)/(?<name>[^?]*)$' }, name = "{date}-{name}" }
"#;

/// What an address ends with, and the name that comes of it.
const NAMED: [(&str, &str); 44] = [
    ("/a/..%2F..%2F..%2Fup", "up.png"),
    ("/a/..%5C..%5Cback", "back.png"),
    ("/a/%2Fetc%2Fpasswd", "passwd.png"),
    ("/a/%252e%252e%252ftwice", "%2e%2e%2ftwice.png"),
    ("/a/C%3A%5Cwindows%5Cdrive", "drive.png"),
    ("/a/C%3Acolon", "C_colon.png"),
    ("/dated/2020-01-01/..%2F..%2Fdated", "2020-01-01-dated.png"),
    ("/dated/2020-01-01/", "2020-01-01.png"),
    ("/dated/2020-01-01/..%2F..", "2020-01-01-.png"),
    ("/a/..%2F", "image.png"),
    ("/a/%1b%5b31mred%1b]0;owned%07", "_[31mred_]0;owned_.png"),
    ("/a/c1%c2%9b2J%c2%85", "c1_2J.png"),
    ("/a/line%0d%0aend", "line  end.png"),
    ("/a/%e2%80%aegnp.exe", "_gnp.exe.png"),
    ("/a/%e2%81%a6isolated%e2%81%a9", "_isolated_.png"),
    (
        "/a/zero%e2%80%8b%e2%80%8dwidth%ef%bb%bf",
        "zero__width_.png",
    ),
    ("/a/soft%c2%adhyphen", "soft_hyphen.png"),
    ("/a/not%ff%c3utf%ed%a0%808", "not%ff%c3utf%ed%a0%808.png"),
    ("/a/%f3%a0%81%81tags", "_tags.png"),
    ("/a/%f0%9f%8f%94", "\u{1f3d4}.png"),
    ("/a/%e6%8f%92%e5%a4%b4", "\u{63d2}\u{5934}.png"),
    ("/a/%3c%3e%3a%22%7c%3f%2a", "_______.png"),
    ("/a/con", "_con.png"),
    ("/a/NUL.tar", "_NUL.tar.png"),
    ("/a/com1%20.x", "_com1 .x.png"),
    ("/a/LPT%c2%b9", "_LPT\u{b9}.png"),
    ("/a/COM10", "COM10.png"),
    ("/a/dots.%20.%20", "dots.png"),
    ("/a/-rf", "rf.png"),
    ("/a/.bashrc", "bashrc.png"),
    ("/a/~root", "_root.png"),
    (
        "/a/$(reboot)`reboot`;&reboot",
        "$(reboot)`reboot`;&reboot.png",
    ),
    ("/a/run.desktop", "run.desktop.png"),
    ("/a/shell.php", "shell.php.png"),
    ("/a/page.html", "page.html.png"),
    ("/a/half.part", "half.part.png"),
    ("/a/lying.jpg", "lying.png"),
    ("/a/none", "none.png"),
    ("/a/double.png.png", "double.png"),
    ("/a/query?size=1", "query-size=1.png"),
    (
        "/a/query?size=2&to=..%2F..%2Fup",
        "query-size=2&to=.._.._up.png",
    ),
    ("/a/plus+and%20space", "plus+and space.png"),
    ("/a/ends%20", "ends.png"),
    ("/a/e%cc%81", "\u{e9}.png"),
];

/// Addresses whose names would meet where neither case nor Unicode's forms count: each lot has one plain name.
const MEETING: [&[&str]; 5] = [
    &[
        "/b/same",
        "/b/Same",
        "/b/SAME.PNG",
        "/c/same",
        "/c/sAME.jpeg",
    ],
    &[
        "/b/%c3%89t%c3%a9",
        "/b/e%cc%81te%cc%81",
        "/b/E%cc%81TE%cc%81",
    ],
    &["/b/stra%c3%9fe", "/b/STRASSE"],
    &["/b/%ed%95%9c", "/b/%e1%84%92%e1%85%a1%e1%86%ab"],
    &["/b/x%3Ay", "/b/x%2Ay", "/b/x_y"],
];

/// A rogue whose only page shows these addresses, each with bytes of its own.
fn gallery<'a>(addresses: impl IntoIterator<Item = &'a str>) -> FaultServer {
    let rogue = FaultServer::start();
    let mut page = String::new();
    for (index, address) in addresses.into_iter().enumerate() {
        let title = "title=\"&#27;]0;owned&#7;&#x202e;\"";
        let _ = writeln!(
            page,
            "<img src=\"{}.thumb\" {title}>",
            address.replace('&', "&amp;")
        );
        rogue.show(&asked(address), picture(index, ImageFormat::Png));
    }
    rogue.on("/browse/1/", move |_| Answer::ok(page.clone()));
    rogue
}

/// What is asked for `address` in the end.
fn asked(address: &str) -> String {
    let address = Url::parse("https://hostile.invalid")
        .and_then(|base| base.join(address))
        .expect("an address");
    address[url::Position::BeforePath..].to_owned()
}

fn visit(world: &Sandbox, rogue: &FaultServer, args: &[&str]) -> ProgramOutput {
    fs::write(world.work().join(DEFINITION), SITE).expect("a file for the definition");
    let ended = fetch(world.wallhaul(), rogue)
        .args(["--site-file", DEFINITION])
        .args(args)
        .run();
    assert_plain(&ended);
    assert_printable(&ended.stdout);
    assert_printable(&ended.stderr);
    ended
}

/// Nothing in `said` commands a terminal, turns its direction or hides.
fn assert_printable(said: &str) {
    let odd = |c: char| {
        let unseen = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        (c.is_control() && c != '\n' && c != '\t') || unseen || c == '\u{ad}'
    };
    let line = said.lines().find(|line| line.contains(odd));
    assert_eq!(line, None);
}

/// What lies in and beside the folder, nothing else: the names of the images.
fn names(world: &Sandbox) -> BTreeSet<String> {
    let lies = |folder: &Path| {
        let entries = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name());
        entries
            .map(|name| name.into_string().expect("a name in UTF-8"))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        lies(&world.work()),
        BTreeSet::from([DEFINITION.to_owned(), GOT.to_owned()])
    );
    assert_eq!(lies(&world.home()), BTreeSet::new());
    let mut names = lies(&world.work().join(GOT));
    assert!(names.remove(".wallhaul"));
    assert_eq!(
        names,
        collection(world).into_keys().collect(),
        "each is a plain file"
    );
    names
}

#[test]
fn hostile_file_name_is_sanitized_and_stays_in_the_folder() {
    let (world, rogue) = (Sandbox::new(), gallery(NAMED.map(|(address, _)| address)));
    let ended = visit(&world, &rogue, &["-vv"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let due: BTreeSet<String> = NAMED.iter().map(|(_, name)| (*name).to_owned()).collect();
    assert_eq!(due.len(), NAMED.len());
    assert_eq!(names(&world), due);
    for name in &due {
        assert_eq!(flaw(name), None, "{name}");
        assert!(
            ended.stderr.contains(&format!("saved {name} (")),
            "{name}: {}",
            ended.stderr
        );
    }
    let reported: BTreeSet<_> = ended
        .objects()
        .iter()
        .filter_map(|event| Some(event["name"].as_str()?.to_owned()))
        .collect();
    assert_eq!(reported, due);
    for list in [
        &["list"][..],
        &["list", "--json"],
        &["show", "passwd"],
        &["stats"],
    ] {
        let ended = world
            .wallhaul()
            .args(["ledger"])
            .args(list)
            .args(["-d", GOT])
            .run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_printable(&ended.stdout);
    }
    // In another order, and one after the other, they are named the same.
    let (again, rogue) = (
        Sandbox::new(),
        gallery(NAMED.iter().rev().map(|(address, _)| *address)),
    );
    assert_eq!(visit(&again, &rogue, &[]).code, Some(0));
    assert_eq!(names(&again), due);
}

#[test]
fn file_name_collision_gets_a_stable_hash_suffix() {
    let (world, rogue) = (Sandbox::new(), gallery(MEETING.concat()));
    let ended = visit(&world, &rogue, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names = names(&world);
    assert_eq!(names.len(), MEETING.concat().len());
    assert_eq!(
        names
            .iter()
            .map(|name| careless(name))
            .collect::<BTreeSet<_>>()
            .len(),
        names.len()
    );
    assert_eq!(
        names.iter().filter(|name| !name.contains('~')).count(),
        MEETING.len(),
        "{names:?}"
    );
    assert!(names.iter().all(|name| flaw(name).is_none()), "{names:?}");
    let rows = sqlite(
        &world,
        "select address, name from collection order by address",
    );
    rogue.heal();
    rogue.on("/browse/1/", |_| Answer::status(500));
    assert_eq!(visit(&world, &rogue, &[]).code, Some(3));
    let (more, other) = (Sandbox::new(), gallery(MEETING.concat().into_iter().rev()));
    assert_eq!(visit(&more, &other, &[]).code, Some(0));
    // Without its ledger the collection is known by its names alone, and none of them is given away.
    fs::remove_dir_all(world.work().join(GOT).join(".wallhaul")).expect("the ledger's folder");
    let rogue = gallery(MEETING.concat());
    assert_eq!(visit(&world, &rogue, &[]).code, Some(0));
    assert!(self::names(&world).is_superset(&names));
    assert_eq!(rows.lines().count(), names.len());
}

#[test]
fn long_file_name_is_cut_at_a_grapheme_with_a_hash_against_collision() {
    let long = ["a", "%c3%a9", "%e6%8f%92", "%f0%9f%8f%94", "a%cc%81%cc%82"];
    let long: Vec<String> = long
        .iter()
        .flat_map(|piece| ["1", "2"].map(|end| format!("/a/{}{end}", piece.repeat(300))))
        .collect();
    let (world, rogue) = (Sandbox::new(), gallery(long.iter().map(String::as_str)));
    let ended = visit(&world, &rogue, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names = names(&world);
    assert_eq!(names.len(), long.len(), "{names:?}");
    for name in &names {
        assert_eq!(flaw(name), None, "{name}");
        let (_, hash) = name
            .trim_end_matches(".png")
            .rsplit_once('-')
            .expect("a hash");
        assert!(
            name.len() > 200 && hash.len() == 16 && !name.contains('~'),
            "{name}"
        );
    }
}

#[test]
fn server_text_in_failures_is_escaped_everywhere() {
    let title = "<html><title>\u{1b}]0;owned\u{7}\u{202e}\u{9b}2J\u{200b}</title></html>";
    let (world, rogue) = (
        Sandbox::new(),
        gallery([
            "/a/%1b]0;owned%07",
            "/a/%e2%80%ae",
            "/a/%00",
            "javascript:\u{1b}[31m",
        ]),
    );
    rogue.on(&asked("/a/%1b]0;owned%07"), move |_| Answer::ok(title));
    rogue.on(&asked("/a/%e2%80%ae"), |_| {
        Answer::to(302, "\u{1b}]0;owned\u{7}://\u{202e}")
    });
    let ended = visit(&world, &rogue, &["-vv"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains(r"\u{1b}]0;owned\u{7}\u{202e}\u{9b}2J"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains(r"\u001b]0;owned"), "{}", ended.stdout);
    let listed = world.wallhaul().args(["ledger", "list", "-d", GOT]).run();
    assert_eq!((listed.code, listed.stdout.lines().count()), (Some(0), 2));
    assert_printable(&listed.stdout);
}

#[test]
fn hostile_file_names_are_escaped_in_progress_bars() {
    let (world, rogue) = (Sandbox::new(), gallery(NAMED.map(|(address, _)| address)));
    fs::write(world.work().join(DEFINITION), SITE).expect("a file for the definition");
    let line = [
        "/bin/sh",
        "-c",
        "read start; exec \"$0\" \"$@\"",
        WALLHAUL,
        "fetch",
        "--site-file",
        DEFINITION,
    ];
    let origin = rogue.origin();
    let more = [
        "--base-url",
        &origin,
        "-d",
        GOT,
        "-v",
        "--color",
        "never",
        "--progress",
        "bars",
    ];
    let terminal = Terminal::open(&world, (100, 30), &[&line[..], &more].concat());
    let record = world.home().join("record");
    terminal.record(&record);
    terminal.press(&["Enter"]);
    assert_eq!(terminal.ended(), 0);
    let screen = terminal.scrolled();
    assert!(screen.contains("saved _[31mred_]0;owned_.png"), "{screen}");
    let record = crate::support::until("the end of the record", || {
        let bytes = fs::read(&record).ok()?;
        bytes
            .windows(6)
            .any(|six| six == b"ended ")
            .then_some(bytes)
    });
    let text = String::from_utf8(record).expect("what is shown is UTF-8");
    for obeyed in ["\u{1b}]0;", "\u{202e}", "\u{9b}", "\u{200b}", "\u{1b}[31m"] {
        assert!(!text.contains(obeyed), "{obeyed:?}: {text:?}");
    }
}
