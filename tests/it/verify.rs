//! `wallhaul verify` and `wallhaul ledger rebuild`: what they report of a damaged collection, and
//! how they repair it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use image::ImageFormat;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::gallery::{Gallery, Original, picture};
use crate::support::mirror::{GOT, Mirror, assert_whole, collection, sqlite};
use crate::support::program::{Program, ProgramOutput, Sandbox, files};
use crate::support::terminal::Terminal;
use crate::support::{program, until};

/// A mirror of so many images, and a collection of all of them.
fn fetched(count: usize) -> (Sandbox, Mirror) {
    let (world, mirror) = (Sandbox::new(), Mirror::of(count));
    let ended = mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    mirror.nginx.forget();
    (world, mirror)
}

fn verify(world: &Sandbox) -> Program {
    world.wallhaul().args(["verify", "-d", GOT])
}

fn repair(world: &Sandbox, mirror: &Mirror) -> Program {
    let program = verify(world).env("WALLHAUL_RETRY_WAIT", "1ms");
    program.args(["--repair", "--base-url", &mirror.nginx.origin()])
}

fn rebuild(world: &Sandbox) -> Program {
    world.wallhaul().args(["ledger", "rebuild", "-d", GOT])
}

fn folder(world: &Sandbox) -> PathBuf {
    world.work().join(GOT)
}

fn ledger(world: &Sandbox) -> PathBuf {
    folder(world).join(".wallhaul/ledger.db")
}

/// The names of the collection's files, sorted.
fn names(world: &Sandbox) -> Vec<String> {
    collection(world).into_keys().collect()
}

/// What was found: what it is, the name, the reason.
fn findings(ended: &ProgramOutput) -> Vec<[String; 3]> {
    let finding = |line: &str| {
        line.split('\t')
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .try_into()
    };
    ended
        .stdout
        .lines()
        .map(|line| finding(line).unwrap_or_else(|_| panic!("{line:?}")))
        .collect()
}

/// The findings without their reasons.
fn kinds(ended: &ProgramOutput) -> Vec<[String; 2]> {
    findings(ended)
        .into_iter()
        .map(|[kind, name, _reason]| [kind, name])
        .collect()
}

fn found(kind: &str, name: &str) -> [String; 2] {
    [kind.to_owned(), name.to_owned()]
}

/// Damages a collection in three ways; answers with the names of what was changed, cut and deleted.
fn damage(world: &Sandbox) -> [String; 3] {
    let all = names(world);
    let [changed, cut, deleted] = [&all[2], &all[5], &all[9]].map(|name| folder(world).join(name));
    let mut bytes = fs::read(&changed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&changed, bytes).unwrap();
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 10]).unwrap();
    fs::remove_file(deleted).unwrap();
    [all[2].clone(), all[5].clone(), all[9].clone()]
}

#[test]
fn verify_reports_an_intact_collection() {
    let (world, mirror) = fetched(60);
    for jobs in ["1", "5"] {
        let ended = verify(&world).args(["--decode", "-j", jobs]).run();
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), ""),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.starts_with("simpledesktops: 60 intact ("),
            "{}",
            ended.stderr
        );
    }
    let ended = verify(&world).args(["-q"]).run();
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), "", "")
    );
    assert!(mirror.nginx.requests().is_empty());
}

#[test]
fn verify_names_missing_changed_and_corrupt_files_and_changes_nothing() {
    let (world, _mirror) = fetched(40);
    let [changed, cut, deleted] = damage(&world);
    fs::write(folder(&world).join("mine.txt"), "a note").unwrap();
    fs::write(folder(&world).join("\u{1b}[2Jevil\n.png"), "").unwrap();
    fs::create_dir(folder(&world).join("sorted")).unwrap();
    symlink("/etc/passwd", folder(&world).join("link.png")).unwrap();
    mkfifoat(
        CWD,
        folder(&world).join("pipe.png"),
        Mode::RUSR | Mode::WUSR,
    )
    .unwrap();
    let before = files(&folder(&world));
    let ended = verify(&world).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let due = [
        found("damaged", &changed),
        found("damaged", &cut),
        found("missing", &deleted),
        found("foreign", r"\u{1b}[2Jevil\n.png"),
        found("foreign", "link.png"),
        found("foreign", "mine.txt"),
        found("foreign", "pipe.png"),
        found("foreign", "sorted"),
    ];
    assert_eq!(kinds(&ended), due);
    assert!(
        findings(&ended)[2][2].contains("--repair"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stderr.contains("37 intact") && ended.stderr.contains("5 foreign"),
        "{}",
        ended.stderr
    );
    assert!(files(&folder(&world)) == before);

    let ended = verify(&world).args(["--json"]).run();
    assert_eq!(ended.code, Some(1));
    let objects = ended.objects();
    assert_eq!(objects.len(), due.len());
    for (object, [kind, _name]) in objects.iter().zip(&due) {
        assert_eq!(
            (&object["v"], object["finding"].as_str()),
            (&1.into(), Some(kind.as_str()))
        );
        assert!(object["name"].is_string() && object["reason"].is_string());
    }
    assert!(!ended.stdout.contains('\u{1b}'));
}

#[test]
fn verify_does_not_follow_open_or_move_links_pipes_and_folders() {
    let (world, mirror) = fetched(40);
    let all = names(&world);
    let [link, pipe, inner] = [&all[1], &all[2], &all[3]].map(|name| folder(&world).join(name));
    for path in [&link, &pipe, &inner] {
        fs::remove_file(path).unwrap();
    }
    // To the very bytes, but by another name.
    symlink(folder(&world).join(&all[0]), &link).unwrap();
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    fs::create_dir(&inner).unwrap();
    for ended in [verify(&world).run(), repair(&world, &mirror).run()] {
        assert_eq!(ended.code, Some(1));
        assert_eq!(
            kinds(&ended),
            [1, 2, 3].map(|number: usize| found("damaged", &all[number]))
        );
        let reasons: Vec<_> = findings(&ended)
            .into_iter()
            .map(|[.., reason]| reason)
            .collect();
        assert_eq!(
            reasons,
            ["a symbolic link", "a pipe", "a folder"].map(|what| format!("{what} is in its place"))
        );
    }
    assert!(link.is_symlink() && inner.is_dir());
    assert!(mirror.originals_asked().is_empty());
}

#[test]
fn verify_reports_a_foreign_file_without_failing() {
    let (world, _mirror) = fetched(3);
    fs::write(folder(&world).join("mine.txt"), "a note").unwrap();
    let ended = verify(&world).run();
    assert_eq!(
        (ended.code, kinds(&ended)),
        (Some(0), vec![found("foreign", "mine.txt")])
    );
}

#[test]
fn repair_restores_damaged_and_deleted_images_only() {
    let (world, mirror) = fetched(60);
    let whole = collection(&world);
    let [changed, cut, deleted] = damage(&world);
    let broken = fs::read(folder(&world).join(&cut)).unwrap();
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let repaired = [&changed, &cut, &deleted].map(|name| found("repaired", name));
    assert_eq!(kinds(&ended)[3..], repaired);
    assert!(collection(&world) == whole, "each under its own name");
    assert_eq!(mirror.originals_asked().len(), 3);
    let rejected = files(&folder(&world).join(".wallhaul/rejected"));
    assert_eq!(
        rejected.len(),
        4,
        "two images and two reasons: {:?}",
        rejected.keys()
    );
    assert!(rejected[&cut] == broken);
    assert!(String::from_utf8_lossy(&rejected[&format!("{cut}.why")]).contains("bytes instead of"));
    assert_eq!(
        sqlite(
            &world,
            "select count(*) from collection where state = 'saved'"
        ),
        "60\n"
    );

    let ended = repair(&world, &mirror).run();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{}",
        ended.stderr
    );
    mirror.nginx.forget();
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    assert!(mirror.originals_asked().is_empty());
}

#[test]
fn repair_fetches_no_new_image() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(60));
    assert_eq!(
        mirror
            .fetch(&world)
            .args(["--max-downloads", "20", "-j", "1"])
            .run()
            .code,
        Some(0)
    );
    let whole = collection(&world);
    let [changed, ..] = damage(&world);
    mirror.nginx.forget();
    let ended = repair(&world, &mirror).args(["--json"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended
            .objects()
            .iter()
            .any(|object| object["finding"] == "repaired" && object["name"] == changed.as_str())
    );
    assert!(collection(&world) == whole);
    assert_eq!(mirror.originals_asked().len(), 3);
}

#[test]
fn repair_keeps_a_damaged_image_that_the_site_no_longer_has() {
    let (world, mirror) = fetched(40);
    let [changed, cut, deleted] = damage(&world);
    let before = collection(&world);
    for original in &mirror.gallery.originals {
        mirror.take(&original.path);
    }
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let bad = [
        found("damaged", &changed),
        found("damaged", &cut),
        found("missing", &deleted),
    ];
    assert_eq!(kinds(&ended), bad);
    assert!(collection(&world) == before, "each stays where it is");
    let saved = "select count(*) from collection where state = 'saved'";
    assert_eq!(sqlite(&world, saved), "40\n");
    for _night in 0..2 {
        let ended = verify(&world).run();
        assert_eq!((ended.code, kinds(&ended)), (Some(1), bad.to_vec()));
    }
}

/// A fetched collection with one image whose structure is right and whose pixels are not, as the
/// site has it; and its path on the site.
fn fetched_with_wrong_pixels() -> (Sandbox, Mirror, String) {
    let (world, mirror) = (Sandbox::new(), Mirror::of(30));
    let is_png = |original: &&Original| original.format == ImageFormat::Png;
    let bad = mirror.gallery.originals.iter().find(is_png).unwrap();
    let path = bad.path.clone();
    mirror.put(&path, &with_wrong_pixels(&mirror.bytes(&path)));
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    mirror.nginx.forget();
    (world, mirror, path)
}

#[test]
fn repair_leaves_an_undecodable_image_whose_server_has_the_same_bytes_and_asks_once() {
    let (world, mirror, path) = fetched_with_wrong_pixels();
    let before = collection(&world);
    for asked in [1, 1, 1] {
        let ended = repair(&world, &mirror).args(["--decode"]).run();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let findings = findings(&ended);
        let [kind, _name, reason] = findings.last().unwrap();
        assert_eq!(
            (kind.as_str(), findings.len()),
            ("undecodable", 1),
            "{}",
            ended.stdout
        );
        assert!(reason.contains("the server has these bytes"), "{reason}");
        assert!(
            ended.stderr.contains("1 undecodable as fetched") && !ended.stderr.contains("damaged"),
            "{}",
            ended.stderr
        );
        assert_eq!(mirror.originals_asked(), vec![path.clone(); asked]);
        assert!(collection(&world) == before);
        assert!(!folder(&world).join(".wallhaul/rejected").exists());
    }
    let ended = verify(&world).args(["--decode"]).run();
    assert_eq!((ended.code, kinds(&ended).len()), (Some(1), 1));
}

#[test]
fn repair_keeps_an_undecodable_image_until_its_server_has_one_that_decodes() {
    let (world, mirror, path) = fetched_with_wrong_pixels();
    let before = collection(&world);
    let other = |other: &&Original| other.format == ImageFormat::Png && other.path != path;
    let other = mirror.gallery.originals.iter().find(other).unwrap();
    let sound = mirror.bytes(&other.path);
    mirror.take(&path);
    for _night in 0..2 {
        let ended = repair(&world, &mirror).args(["--decode"]).run();
        assert_eq!(
            (ended.code, kinds(&ended).len()),
            (Some(1), 1),
            "{}",
            ended.stderr
        );
        assert!(collection(&world) == before, "404: it stays");
    }
    // Other bytes that do not decode either.
    mirror.put(&path, &with_wrong_pixels(&sound));
    let ended = repair(&world, &mirror).args(["--decode"]).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("so the old one stays"),
        "{}",
        ended.stderr
    );
    assert!(collection(&world) == before);
    mirror.put(&path, &sound);
    let ended = repair(&world, &mirror).args(["--decode"]).run();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(collection(&world).len(), before.len());
    assert_eq!(verify(&world).args(["--decode"]).run().code, Some(0));
}

/// Two paths on a mirror's server for each of so many images, and a collection of these, in one
/// file for each two, of which the middle byte is damaged.
fn shared_and_damaged(count: usize) -> (Sandbox, Mirror, Vec<Vec<u8>>) {
    let (world, mirror) = (Sandbox::new(), Mirror::of(1));
    let images: Vec<_> = (0..count)
        .map(|number| picture(number, ImageFormat::Png))
        .collect();
    let mut list = String::new();
    for (number, image) in images.iter().enumerate() {
        for folder in ["a", "b"] {
            let path = format!("/{folder}/{number}.png");
            mirror.put(&path, image);
            list.extend([mirror.nginx.origin().as_str(), &path, "\n"]);
        }
    }
    fs::write(world.work().join("list"), list).unwrap();
    let ended = direct(&world, &["fetch", "-i", "list"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(names(&world).len(), count);
    for name in names(&world) {
        let file = folder(&world).join(name);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }
    (world, mirror, images)
}

fn direct(world: &Sandbox, args: &[&str]) -> ProgramOutput {
    let program = world.wallhaul().env("WALLHAUL_RETRY_WAIT", "1ms");
    program.args(args).args(["-d", GOT]).run()
}

#[test]
fn repair_keeps_the_right_bytes_of_a_file_that_two_addresses_shared() {
    let (world, mirror, images) = shared_and_damaged(16);
    for number in 0..images.len() {
        // The first of the two now has another image, of another format for every second.
        let format = [ImageFormat::Png, ImageFormat::Gif][number % 2];
        mirror.put(&format!("/a/{number}.png"), &picture(100 + number, format));
    }
    let ended = direct(&world, &["verify", "direct", "--repair", "--decode"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stderr.contains("16 damaged, 16 repaired"),
        "{}",
        ended.stderr
    );
    let got: Vec<_> = collection(&world).into_values().collect();
    assert_eq!(got.len(), 32);
    for (number, image) in images.iter().enumerate() {
        assert!(got.contains(&blake3::hash(image)), "{number}");
    }
    let states = sqlite(&world, "SELECT DISTINCT state FROM collection");
    assert_eq!(states.trim(), "saved");
    assert_eq!(
        direct(&world, &["verify", "direct", "--decode"]).code,
        Some(0)
    );
}

#[test]
fn repair_follows_a_file_into_another_format() {
    let (world, mirror, _images) = shared_and_damaged(1);
    let gif = picture(7, ImageFormat::Gif);
    for path in ["/a/0.png", "/b/0.png"] {
        mirror.put(path, &gif);
    }
    let ended = direct(&world, &["verify", "direct", "--repair"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(
        findings(&ended).last().unwrap(),
        &["repaired", "0.png", "fetched again as 0.gif"].map(str::to_owned)
    );
    assert_eq!(names(&world), ["0.gif"]);
    assert!(folder(&world).join(".wallhaul/rejected/0.png").exists());
    assert_eq!(direct(&world, &["verify", "direct"]).code, Some(0));
}

/// A collection with a bad file whose image left the listing: the file's name, and the image's path.
fn unlisted() -> (Sandbox, Mirror, String, String) {
    let (world, mirror) = fetched(3);
    let bad = names(&world)[0].clone();
    let bad_hash = collection(&world)[&bad];
    fs::write(folder(&world).join(&bad), "gone").unwrap();
    let originals = mirror.gallery.originals.iter();
    let (left, others): (Vec<_>, Vec<_>) =
        originals.partition(|original| original.hash == bad_hash);
    let path = left[0].path.clone();
    let thumbs: Vec<_> = others.into_iter().map(Original::thumb).collect();
    Gallery::hang(mirror.site(), 1, &thumbs);
    (world, mirror, bad, path)
}

#[test]
fn repair_requests_an_image_that_left_the_listing_at_its_address_in_the_ledger() {
    let (world, mirror, bad, path) = unlisted();
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(
        findings(&ended).last().unwrap(),
        &["repaired", &bad, "fetched again"].map(str::to_owned)
    );
    assert_eq!(mirror.originals_asked(), [path]);
    assert_whole(&world, &mirror);
    assert_eq!(
        world.wallhaul().args(["verify", "-d", GOT]).run().code,
        Some(0)
    );
}

#[test]
fn repair_requests_a_later_candidate_of_an_image_that_left_the_listing() {
    let (world, mirror, bad, path) = unlisted();
    // As after a run in which the image was at another candidate than its key's.
    let later = path.replacen("/uploads/", "/uploads/later/", 1);
    let bytes = fs::read(mirror.site().join(path.trim_start_matches('/'))).unwrap();
    mirror.put(&later, &bytes);
    mirror.take(&path);
    sqlite(
        &world,
        &format!(
            "UPDATE images SET address = replace(collection.address, '{path}', '{later}') \
             FROM collection WHERE collection.name = images.name AND collection.address LIKE '%{path}'"
        ),
    );
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(findings(&ended).last().unwrap()[0], "repaired", "{bad}");
    assert_eq!(mirror.originals_asked(), [path, later]);
}

#[test]
fn repair_keeps_a_file_whose_image_left_the_listing_and_the_server() {
    let (world, mirror, bad, path) = unlisted();
    mirror.take(&path);
    let before = collection(&world);
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("404"), "{}", ended.stderr);
    assert_eq!(collection(&world), before, "{bad}");
}

#[test]
fn repair_names_an_image_that_neither_the_listing_nor_the_ledger_leads_to() {
    let (world, mirror, bad, path) = unlisted();
    sqlite(
        &world,
        &format!(
            "INSERT INTO texts (text) VALUES ('simpledesktops https://elsewhere.invalid/'); \
             UPDATE images SET key_start = last_insert_rowid(), key_rest = 'x', address = NULL \
             WHERE '/' || key_rest LIKE '%{path}'"
        ),
    );
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for said in [
        format!("not requested: {bad}; it is not in the listing any more"),
        "the definition does not name its host `elsewhere.invalid`".to_owned(),
    ] {
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    }
    assert!(mirror.originals_asked().is_empty());
}

#[test]
fn repair_for_another_site_is_refused_before_any_change() {
    let (world, _mirror) = fetched(30);
    damage(&world);
    let before = files(&folder(&world));
    let ended = world
        .wallhaul()
        .args(["verify", "demo", "-d", GOT, "--repair"])
        .run();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("`simpledesktops`"),
        "{}",
        ended.stderr
    );
    assert!(files(&folder(&world)) == before);
}

#[test]
fn sha256sums_are_accepted_by_sha256sum() {
    let (world, _mirror) = fetched(40);
    let [changed, cut, deleted] = damage(&world);
    let sums = world.work().join("sums");
    assert_eq!(
        verify(&world).args(["--sha256sums", "sums"]).run().code,
        Some(1)
    );
    let ended = world
        .program("sha256sum")
        .args(["--strict", "-c"])
        .args([&sums])
        .inside(folder(&world))
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.matches(": OK\n").count(), 37);
    let text = fs::read_to_string(&sums).unwrap();
    assert!(
        [changed, cut, deleted]
            .iter()
            .all(|name| !text.contains(name.as_str()))
    );
    let ended = verify(&world).args(["--sha256sums", "-"]).run();
    assert_eq!(ended.stdout, text, "standard output is for the sums");
    assert!(ended.stderr.contains("missing\t"));
}

#[test]
fn sha256sums_write_error_exits_with_4() {
    let (world, _mirror) = fetched(3);
    let ended = verify(&world)
        .args(["--sha256sums", "no/such/folder"])
        .run();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("no/such/folder"), "{}", ended.stderr);
}

/// A PNG whose chunks are all right and whose pixels are not those that its stream's checksum stands for.
fn with_wrong_pixels(png: &[u8]) -> Vec<u8> {
    let mut png = png.to_vec();
    let data = png.windows(4).rposition(|four| four == b"IDAT").unwrap();
    let length = u32::from_be_bytes(png[data - 4..data].try_into().unwrap()) as usize;
    let end = data + 4 + length;
    png[end - 1] ^= 1;
    let checksum = crc32fast::hash(&png[data..end]).to_be_bytes();
    png[end..end + 4].copy_from_slice(&checksum);
    png
}

#[test]
fn verify_decode_finds_wrong_pixels_in_a_valid_structure() {
    let (world, mirror) = (Sandbox::new(), Mirror::of(30));
    let is_png = |original: &&Original| original.format == ImageFormat::Png;
    let bad = mirror.gallery.originals.iter().find(is_png).unwrap();
    mirror.put(&bad.path, &with_wrong_pixels(&mirror.bytes(&bad.path)));
    assert_eq!(mirror.fetch(&world).run().code, Some(0));
    let ended = verify(&world).run();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "it is what was fetched"
    );
    let ended = verify(&world).args(["--decode"]).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let [[kind, _name, reason]] = &findings(&ended)[..] else {
        panic!("{}", ended.stdout)
    };
    assert_eq!(kind, "damaged");
    assert!(reason.contains("decoded"), "{reason}");
}

#[test]
fn verify_shows_progress_and_summary_on_a_terminal() {
    let (world, _mirror) = fetched(60);
    let [changed, ..] = damage(&world);
    let terminal = Terminal::open(&world, (100, 30), &[program::WALLHAUL, "verify", "-d", GOT]);
    assert_eq!(terminal.ended(), 1);
    let screen = terminal.until("the summary", |screen| screen.contains("57 intact"));
    assert!(screen.contains(&changed), "{screen}");
    assert!(!screen.contains("verifying"), "the bar is gone: {screen}");
    assert!(terminal.shows_cursor());
}

#[test]
fn verify_without_a_collection_is_an_error_and_creates_none() {
    let world = Sandbox::new();
    for more in [&[][..], &["--repair"]] {
        let ended = world.wallhaul().args(["verify", "demo"]).args(more).run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("wallpapers/demo"), "{}", ended.stderr);
    }
    assert_eq!(rebuild(&world).run().code, Some(2));
    assert_eq!(fs::read_dir(world.work()).unwrap().count(), 0);
}

#[test]
fn verify_works_during_a_run_and_repair_is_refused_by_the_lock() {
    let stuck = "location /uploads/ { if (-f $document_root/stuck) { set $limit_rate 1; } }";
    let (world, mirror) = (Sandbox::new(), Mirror::with(60, stuck));
    assert_eq!(
        mirror
            .fetch(&world)
            .args(["--max-downloads", "30"])
            .run()
            .code,
        Some(0)
    );
    mirror.put("/stuck", b"");
    let running = mirror.fetch(&world).args(["-vv"]).start();
    until("an image to be asked for", || {
        running.stderr().contains("requesting ").then_some(())
    });
    let ended = verify(&world).run();
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{}",
        ended.stderr
    );
    for program in [repair(&world, &mirror), rebuild(&world)] {
        let ended = program.run();
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        assert!(ended.stderr.contains("another run"), "{}", ended.stderr);
    }
}

#[test]
fn ledger_rebuild_after_loss_or_damage_fetches_no_image_again() {
    let damages: [fn(&Sandbox); 4] = [
        |world| fs::remove_file(ledger(world)).unwrap(),
        |world| fs::write(ledger(world), b"<!DOCTYPE html>".repeat(900)).unwrap(),
        |world| fs::write(ledger(world), [0; 16_384]).unwrap(),
        |world| {
            let bytes = fs::read(ledger(world)).unwrap();
            fs::write(ledger(world), &bytes[..bytes.len() / 2]).unwrap();
        },
    ];
    let (world, mirror) = fetched(60);
    fs::write(folder(&world).join("mine.png"), "a note").unwrap();
    let (sound, mut asides) = (collection(&world), 0);
    for (number, damage) in damages.into_iter().enumerate() {
        damage(&world);
        let lost = number == 0;
        if !lost {
            let ended = mirror.fetch(&world).run();
            assert_eq!(ended.code, Some(5), "{}", ended.stderr);
            assert!(
                ended.stderr.contains("ledger.db")
                    && ended.stderr.contains("wallhaul ledger rebuild")
            );
        }
        let ended = rebuild(&world).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(kinds(&ended), [found("foreign", "mine.png")]);
        assert!(ended.stderr.contains("knows 60 images"), "{}", ended.stderr);
        asides += usize::from(!lost);
        let ours = files(&folder(&world).join(".wallhaul"));
        assert_eq!(
            ours.keys()
                .filter(|name| name.starts_with("ledger-") && !name.contains(".db-"))
                .count(),
            asides,
            "{:?}",
            ours.keys()
        );
        let ended = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(mirror.originals_asked().is_empty(), "after damage {number}");
        assert!(collection(&world) == sound);
    }
}

#[test]
fn ledger_missing_at_fetch_adopts_the_files_in_the_folder() {
    let (world, mirror) = fetched(40);
    for _ in 0..2 {
        fs::remove_file(ledger(&world)).unwrap();
        let ended = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("made a new one from 40 images"),
            "{}",
            ended.stderr
        );
        fs::write(ledger(&world), "").unwrap();
    }
    assert!(mirror.originals_asked().is_empty());
    mirror.fetch(&world).run();
    assert_whole(&world, &mirror);
}

#[test]
fn ledger_rebuild_skips_damaged_images_and_finds_repaired_images_by_name() {
    let (world, mirror) = fetched(40);
    assert_eq!(rebuild(&world).run().code, Some(0));
    let whole = collection(&world);
    let [changed, cut, deleted] = damage(&world);
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        kinds(&ended)[3..],
        [&changed, &cut, &deleted].map(|name| found("repaired", name))
    );
    assert!(collection(&world) == whole);
    assert_eq!(mirror.originals_asked().len(), 3);
    fs::write(
        folder(&world).join(&cut),
        &fs::read(folder(&world).join(&cut)).unwrap()[..50],
    )
    .unwrap();
    let ended = rebuild(&world).run();
    assert_eq!(kinds(&ended), [found("foreign", &cut)]);
    assert!(ended.stderr.contains("knows 39 images"), "{}", ended.stderr);
}

#[test]
fn a_rebuilt_image_that_was_gone_is_repaired_once_its_server_has_it_again() {
    let (world, mirror) = fetched(20);
    assert_eq!(rebuild(&world).run().code, Some(0));
    let whole = collection(&world);
    let [name, ..] = damage(&world);
    let mut originals = mirror.originals().into_iter();
    let path = originals
        .find(|path| name.contains(path.rsplit('/').next().unwrap()))
        .unwrap();
    let bytes = mirror.bytes(&path);
    mirror.take(&path);
    let ended = repair(&world, &mirror).run();
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    assert!(collection(&world) != whole);
    mirror.put(&path, &bytes);
    // The ledger knows by now that it was gone.
    let ended = repair(&world, &mirror).run();
    assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
    assert!(collection(&world) == whole);
}
