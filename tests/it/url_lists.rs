//! URLs instead of a site: as arguments, in lists, by the thousand.

use std::fs;

use blake3::Hash;

use crate::support::mirror::{GOT, Mirror, collection, sqlite};
use crate::support::program::{Program, ProgramOutput, Sandbox, files};

/// `wallhaul fetch` of nothing yet, into [`GOT`], quick to try again.
fn fetch(world: &Sandbox) -> Program {
    let program = world
        .wallhaul()
        .env("WALLHAUL_RETRY_WAIT", "1ms")
        .env("WALLHAUL_SYNC", "off");
    program.args(["fetch", "-d", GOT])
}

fn hashes(world: &Sandbox) -> Vec<Hash> {
    let mut hashes: Vec<_> = collection(world).into_values().collect();
    hashes.sort_unstable_by_key(Hash::to_hex);
    hashes
}

/// The addresses of a mirror's originals on the mirror itself.
fn addresses(mirror: &Mirror) -> Vec<String> {
    mirror
        .gallery
        .originals
        .iter()
        .map(|original| format!("{}{}", mirror.nginx.origin(), original.path))
        .collect()
}

fn due(mirror: &Mirror) -> Vec<Hash> {
    let mut due: Vec<_> = mirror
        .gallery
        .originals
        .iter()
        .map(|original| original.hash)
        .collect();
    due.sort_unstable_by_key(Hash::to_hex);
    due
}

#[test]
fn url_argument_is_fetched_once() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(3));
    let ended = world
        .wallhaul()
        .args(["fetch"])
        .args(addresses(&mirror))
        .args(["--json"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sum = ended.sum();
    assert_eq!(
        (&sum["site"], &sum["found"], &sum["saved"]),
        (&"direct".into(), &3.into(), &3.into())
    );
    let names: Vec<_> = files(&world.work().join("wallpapers/direct"))
        .into_keys()
        .collect();
    assert_eq!(
        names,
        ["Light_Em_Up_2880x1800.jpg", "memory.png", "mirage.png"]
    );
    mirror.nginx.forget();
    let again = world
        .wallhaul()
        .args(["fetch"])
        .args(addresses(&mirror))
        .run();
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(mirror.nginx.requests(), []);
}

#[test]
fn gone_address_is_asked_again_as_an_argument_and_told_as_gone_in_a_list() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(3));
    let path = mirror.gallery.originals[0].path.clone();
    let (address, bytes) = (
        format!("{}{path}", mirror.nginx.origin()),
        mirror.bytes(&path),
    );
    mirror.take(&path);
    mirror.nginx.forget();
    let times_asked = || {
        let requests = mirror.nginx.requests();
        requests.iter().filter(|asked| asked.path == path).count()
    };
    for asked in 1..=2 {
        let ended = fetch(&world).args([&address]).run();
        assert_eq!(
            (ended.code, times_asked()),
            (Some(1), asked),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("404"), "{}", ended.stderr);
    }
    for _night in 0..2 {
        let listed = fetch(&world).args(["-i", "-"]).stdin(&address).run();
        assert_eq!(
            (listed.code, times_asked()),
            (Some(1), 2),
            "{}",
            listed.stderr
        );
        assert!(
            listed.stderr.starts_with(&format!("gone {address}: "))
                && listed.stderr.contains("1 found: 1 gone"),
            "{}",
            listed.stderr
        );
    }
    let listed = fetch(&world)
        .args(["-i", "-", "--json"])
        .stdin(&address)
        .run();
    let gone = listed
        .objects()
        .into_iter()
        .find(|object| object["outcome"] == "gone")
        .unwrap();
    assert!(
        gone["since"].is_string() && gone["until"].is_string(),
        "{gone}"
    );
    assert_eq!(
        (&listed.sum()["gone"], &listed.sum()["gone_named"]),
        (&1.into(), &1.into())
    );
    let repeated = fetch(&world)
        .args(["-i", "-", "--retry-gone"])
        .stdin(&address)
        .run();
    assert_eq!(
        (repeated.code, times_asked()),
        (Some(1), 3),
        "{}",
        repeated.stderr
    );
    mirror.put(&path, &bytes);
    let mended = fetch(&world).args([&address]).run();
    assert_eq!(
        (mended.code, collection(&world).len()),
        (Some(0), 1),
        "{}",
        mended.stderr
    );
}

#[test]
fn url_collection_is_verified_and_repaired_like_any_other() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(4));
    let ended = world
        .wallhaul()
        .args(["fetch"])
        .args(addresses(&mirror))
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let folder = world.work().join("wallpapers/direct");
    let whole = files(&folder);
    let names: Vec<_> = whole.keys().cloned().collect();
    let verify = |flags: &[&str]| {
        world
            .wallhaul()
            .args(["verify", "direct"])
            .args(flags)
            .run()
    };
    let found = |ended: &ProgramOutput| {
        let first = |line: &str| line.split('\t').take(2).collect::<Vec<_>>().join(" ");
        (
            ended.code,
            ended.stdout.lines().map(first).collect::<Vec<_>>(),
        )
    };
    assert_eq!(found(&verify(&[])), (Some(0), Vec::new()));
    let break_two = || {
        fs::write(folder.join(&names[0]), "broken").unwrap();
        fs::remove_file(folder.join(&names[2])).unwrap();
    };
    break_two();
    let broken = [
        format!("damaged {}", names[0]),
        format!("missing {}", names[2]),
    ];
    assert_eq!(found(&verify(&[])), (Some(1), broken.to_vec()));
    mirror.nginx.forget();
    let repaired = verify(&["--repair"]);
    let mended = [0, 2].map(|broken| format!("repaired {}", names[broken]));
    assert_eq!(
        found(&repaired),
        (Some(0), [broken.clone(), mended].concat()),
        "{}",
        repaired.stderr
    );
    assert!(files(&folder) == whole);
    assert_eq!(mirror.originals_asked().len(), 2);
    for (command, lines) in [("list", 4), ("stats", 1)] {
        let ended = world
            .wallhaul()
            .args(["ledger", command, "--site", "direct"])
            .run();
        assert!(
            ended.code == Some(0) && ended.stdout.lines().count() >= lines,
            "{command}: {ended:?}"
        );
    }

    // A rebuilt ledger knows no addresses: nobody knows where to fetch from, and all is left as it
    // is.
    let rebuilt = world
        .wallhaul()
        .args(["ledger", "rebuild", "--site", "direct"])
        .run();
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    break_two();
    mirror.nginx.forget();
    assert_eq!(found(&verify(&["--repair"])), (Some(1), broken.to_vec()));
    assert_eq!(found(&verify(&[])), (Some(1), broken.to_vec()));
    assert_eq!(
        (files(&folder).len(), mirror.nginx.requests().len()),
        (3, 0)
    );
}

#[test]
fn url_list_is_read_from_a_file_or_stdin_and_bad_lines_are_skipped() {
    let mirror = Mirror::of(4);
    let at = addresses(&mirror);
    let list = format!(
        "\u{feff}# my favourites\r\n{}\r\n\r\n  {}  \r\nnonsense\n{}#top\nftp://example.com/a.png\n{}\nhttp://me:secret@example.com/a.png\n{}",
        at[0], at[1], at[1], at[2], at[3]
    );
    for from in ["list.txt", "-"] {
        let world = Sandbox::new();
        fs::write(world.work().join("list.txt"), &list).unwrap();
        mirror.nginx.forget();
        let ended = fetch(&world)
            .args(["-i", from, "--json"])
            .stdin(&list)
            .run();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_eq!(
            (hashes(&world), mirror.originals_asked().len()),
            (due(&mirror), 4)
        );
        let name = if from == "-" { "standard input" } else { from };
        for message in [
            format!(
                "failed nonsense: {name}:5: not an absolute URL, as https://example.com/a.png ("
            ),
            format!(
                "failed ftp://example.com/a.png: {name}:7: `ftp:` is not supported, only http and https ("
            ),
            format!(
                "failed http://...@example.com/a.png: {name}:9: it contains a user name or a password"
            ),
        ] {
            assert!(
                ended.stderr.contains(&message),
                "{message} is not in {}",
                ended.stderr
            );
        }
        let sum = ended.sum();
        let counts =
            ["found", "saved", "failed", "repeated"].map(|count| sum[count].as_u64().unwrap());
        assert_eq!(counts, [7, 4, 3, 1]);
    }
}

#[test]
fn url_of_a_known_site_goes_to_that_sites_collection() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(60));
    let original = |index: usize| {
        format!(
            "http://static.simpledesktops.com{}",
            mirror.gallery.originals[index].path
        )
    };
    let thumb = format!(
        "https://static.simpledesktops.com{}",
        mirror.gallery.originals[2].thumb()
    );
    fs::write(
        world.work().join("list"),
        format!("{}\n{}\n", original(1), original(0)),
    )
    .unwrap();
    let ended = mirror
        .fetch(&world)
        .args([&original(0), &thumb, "-i", "list"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names: Vec<_> = collection(&world).into_keys().collect();
    assert_eq!(
        names,
        [
            "2020-12-07-memory.png",
            "2021-02-04-mirage.png",
            "2021-03-18-Light_Em_Up_2880x1800.jpg"
        ]
    );
    assert_eq!(
        (mirror.originals_asked().len(), mirror.pages_asked().len()),
        (3, 0)
    );
    mirror.nginx.forget();

    let second = mirror
        .fetch(&world)
        .args(["https://simpledesktops.com/browse/2/"])
        .run();
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert_eq!(
        (mirror.pages_asked(), collection(&world).len()),
        (vec![2], 3 + 28)
    );
    let whole = mirror
        .fetch(&world)
        .args(["https://simpledesktops.com/"])
        .run();
    assert_eq!(
        (whole.code, collection(&world).len()),
        (Some(0), 60),
        "{}",
        whole.stderr
    );
    assert_eq!(mirror.originals_asked().len(), 57);
    assert_eq!(
        sqlite(&world, "select distinct site from collection"),
        "simpledesktops\n"
    );
}

#[test]
fn urls_of_several_sites_go_to_one_collection_each() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(2));
    let known = format!(
        "https://static.simpledesktops.com{}",
        mirror.gallery.originals[0].path
    );
    fs::write(
        world.work().join("list"),
        format!("{known}\n{}\n", addresses(&mirror)[1]),
    )
    .unwrap();
    let ended = mirror.fetch(&world).args(["-i", "list"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let of = |site: &str| {
        files(&world.work().join(GOT).join(site))
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("simpledesktops"),
        ["2021-03-18-Light_Em_Up_2880x1800.jpg"]
    );
    assert_eq!(of("direct"), ["mirage.png"]);
}

#[test]
fn invalid_url_or_list_is_a_usage_error_before_any_request() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let good = addresses(&mirror).remove(0);
    fs::write(
        world.work().join("bad"),
        "# x\nnonsense\nftp://example.com/\n",
    )
    .unwrap();
    fs::write(
        world.work().join("utf16"),
        "\u{feff}http://a/"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    fs::write(world.work().join("secret"), "http://me:s3cr3t@ho st/\n").unwrap();
    let cases: [(&[&str], &str); 12] = [
        (
            &[&good, "ftp://example.com/a.png"],
            "`ftp://example.com/a.png`: `ftp:` is not supported",
        ),
        (
            &[&good, "http://me:secret@example.com/a.png"],
            "`http://...@example.com/a.png`: it contains a user name or a password",
        ),
        (
            &[&good, "http://me:s3cr3t@ho st/a.png"],
            "`http://...@ho st/a.png`: not an absolute URL",
        ),
        (
            &[&good, "s3cr3t@host/a.png"],
            "`...@host/a.png`: not an absolute URL",
        ),
        (
            &[&good, "--base-url", "http://me:s3cr3t@ho st/"],
            "invalid value 'http://...@ho st/' for '--base-url",
        ),
        (
            &["-i", "secret"],
            "no usable address in the input: secret:1: not an absolute URL",
        ),
        (&[&good, "http://[::1/"], "not an absolute URL"),
        (
            &[&good, "https://simpledesktops.com/browse/desktops/2018/x/"],
            "it is on a known site, but neither",
        ),
        (&[&good, "-i", "missing"], "reading the list `missing`"),
        (
            &["-i", "bad"],
            "no usable address in the input: bad:2: not an absolute URL",
        ),
        (&["-i", "utf16"], "utf16:1: the list is not UTF-8"),
        (&[&good, "nowhere"], "there is no site `nowhere`"),
    ];
    for (given, message) in cases {
        let ended = fetch(&world).args(given).run();
        assert_eq!(ended.code, Some(2), "{given:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(message),
            "{given:?}: {}",
            ended.stderr
        );
    }
    assert_eq!(mirror.nginx.requests(), []);
    assert!(!world.work().join(GOT).exists());
    fs::write(world.work().join("empty"), "\n# nothing today\n").unwrap();
    let ended = fetch(&world).args(["-i", "empty"]).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn url_argument_allows_its_own_private_origin_and_no_other() {
    let elsewhere = Mirror::of(1);
    let path = elsewhere.gallery.originals[0].path.clone();
    let away = format!(
        "location = /away.png {{ return 302 {}{path}; }} location = /here.png {{ return 302 {path}; }}",
        elsewhere.nginx.origin()
    );
    let (world, mirror) = (Sandbox::new(), Mirror::with(1, &away));
    let given = ["/away.png", "/here.png"].map(|path| format!("{}{path}", mirror.nginx.origin()));
    let ended = fetch(&world).args(&given).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("it is a private address that the user did not name"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        (hashes(&world), elsewhere.nginx.requests().len()),
        (due(&mirror), 0)
    );
    // Named, it is asked: by the list that has it.
    let also = format!("{}{path}", elsewhere.nginx.origin());
    let ended = fetch(&world).args([&also, &given[0]]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn url_list_of_any_length_uses_constant_memory() {
    let world = Sandbox::new();
    let lines = |count: usize| {
        let addresses = (0..count).map(|number| format!("http://127.0.0.1:9/{number}.png"));
        addresses.collect::<Vec<_>>().join(
            "
",
        )
    };
    let peak = |count: usize| {
        fs::write(world.work().join("list"), lines(count)).unwrap();
        let watch = "import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
        let program =
            world
                .program("python3")
                .args(["-c", watch, crate::support::program::WALLHAUL]);
        let ended = program
            .args(["fetch", "-d", GOT, "-n", "-q", "-i", "list"])
            .run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout.trim().parse::<usize>().unwrap()
    };
    let (few, many) = (peak(100), peak(200_000));
    // What is kept of an address that was seen is a number of eight bytes, in a table that doubles.
    assert!(
        many < few + 12_000,
        "{few} KB for a hundred, {many} KB for two hundred thousand"
    );
}
