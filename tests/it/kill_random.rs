//! Kills at random moments, many times over one collection: nothing is lost, no finished image is
//! requested again, and the bytes that are thrown away are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use blake3::Hash;
use rustix::process::Signal;

use crate::support::large_png::large_png;
use crate::support::mirror::{GOT, Mirror, collection, noted, parts, sqlite};
use crate::support::program::{Sandbox, files};
use crate::support::until;

/// How often the program is killed before it may finish.
const KILLS: usize = 200;

/// Images at a time.
const JOBS: u64 = 3;

/// A catalogue of small images; of three, one is large,
const IMAGES: usize = 150;
const EACH: usize = 3;
/// of so many bytes, and one is between these. Large ones of two years have no validator, and are smaller.
const LARGE: usize = 2_000_000;
const UNSURE: usize = 1_300_000;
const BETWEEN: Range<usize> = 300_000..900_000;

/// So many bytes of what has a validator are thrown away by a kill at most, for each image at a time.
const BOUND: u64 = 1_000_000;

/// A server that takes its time while there is a file called `slow`.
const SLOW: &str = "
    location = /.connections { access_log off; stub_status; }
    location /uploads/ { if (-f $document_root/slow) { set $limit_rate 8m; } }
    location ~ ^/uploads/desktops/201[67]/ { etag off; if (-f $document_root/slow) { set $limit_rate 8m; } }";

fn is_unsure(path: &str) -> bool {
    path.contains("/2016/") || path.contains("/2017/")
}

/// The site, and what an undisturbed run made of it.
struct Hung {
    mirror: Mirror,
    /// Name and hash of each image.
    whole: BTreeMap<String, Hash>,
    /// The path of each name, and how many bytes lie there.
    images: BTreeMap<String, (String, u64)>,
    rows: String,
}

/// What the ledger says of the collection, the time apart.
fn rows(world: &Sandbox) -> String {
    sqlite(
        world,
        "select site, state, name, format, width, height, bytes, blake3, title, address, page, cause, until from collection order by name",
    )
}

impl Hung {
    fn hang() -> Self {
        let mirror = Mirror::with(IMAGES, SLOW);
        for (seed, original) in (0..).zip(&mirror.gallery.originals) {
            let bytes = match seed as usize % EACH {
                0 if is_unsure(&original.path) => UNSURE,
                0 => LARGE,
                1 => BETWEEN.start + seed as usize * 7_919 % BETWEEN.len(),
                _ => continue,
            };
            mirror.put(&original.path, &large_png(seed, bytes));
        }
        let world = Sandbox::new();
        let ended = mirror.fetch(&world).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let whole = collection(&world);
        assert_eq!(whole.len(), IMAGES);
        let output = sqlite(&world, "select name, address, bytes from collection");
        let images = output.lines().map(|row| {
            let [name, address, bytes] = row.split('|').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let path = address
                .strip_prefix("https://static.simpledesktops.com")
                .expect("an image of the site");
            (
                name.to_owned(),
                (path.to_owned(), bytes.parse().expect("a length")),
            )
        });
        let images = images.collect();
        mirror.put("/slow", b"");
        Self {
            images,
            whole,
            rows: rows(&world),
            mirror,
        }
    }

    /// Waits until the server has noticed that a run is gone, and written down what it sent.
    fn settle(&self) {
        until("the server to have noticed", || {
            let (_, status) = self.mirror.nginx.get("/.connections");
            String::from_utf8_lossy(&status)
                .starts_with("Active connections: 1 ")
                .then_some(())
        });
    }

    /// How heavy the image at `path` is.
    fn bytes(&self, path: &str) -> u64 {
        self.images
            .values()
            .find(|(of, _)| of == path)
            .map(|(_, bytes)| *bytes)
            .expect("an image of the site")
    }

    /// What of each image, by its path, need not be asked for again.
    fn kept(&self, world: &Sandbox) -> BTreeMap<String, u64> {
        let (names, parts) = (names(world), parts(world));
        let noted = noted(&parts);
        let kept = self.images.iter().map(|(name, (path, bytes))| {
            let part = part(path);
            let have = match parts.get(&part) {
                _ if names.contains(name) => *bytes,
                Some(have) if noted.contains(&part) => have.len() as u64,
                _ => 0,
            };
            (path.clone(), have)
        });
        kept.collect()
    }

    /// What a kill has left of images and nothing can be made of, by path.
    fn lost(&self, world: &Sandbox) -> BTreeMap<String, u64> {
        let parts = parts(world);
        let noted = noted(&parts);
        let lost = self.images.values().filter_map(|(path, _)| {
            let part = part(path);
            let have = parts.get(&part)?;
            (!noted.contains(&part)).then(|| (path.clone(), have.len() as u64))
        });
        lost.collect()
    }
}

/// The name of an image's part.
fn part(path: &str) -> String {
    let key = format!("simpledesktops https://static.simpledesktops.com{path}");
    format!("{}.part", &blake3::hash(key.as_bytes()).to_hex()[..32])
}

fn names(world: &Sandbox) -> BTreeSet<String> {
    let entries = fs::read_dir(world.work().join(GOT))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.map(|entry| {
        entry
            .file_name()
            .into_string()
            .expect("a name that is text")
    });
    names.filter(|name| name != ".wallhaul").collect()
}

/// When a run is killed.
#[derive(Debug)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// As soon as it has given an image its name, or at this time at the latest.
    AfterRename(Duration),
}

/// Moments and flags for run after run, the same for the same seed.
struct RunGenerator(u64);

impl RunGenerator {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn moment(&mut self, complete: bool) -> Moment {
        let mut within = |least, most| Duration::from_millis(least + self.below(most - least));
        match (complete, within(0, 8).as_millis()) {
            // The start, where what an earlier run left is put in order; one that finds nothing to do is over then.
            (true, _) | (false, 0) => Moment::After(within(0, 25)),
            // The committer at work on a group.
            (false, 1) => Moment::AfterRename(Duration::from_secs(2)),
            (false, _) => Moment::After(within(20, 250)),
        }
    }

    fn flags(&mut self) -> Vec<String> {
        let mut flags = vec!["-j".to_owned(), JOBS.to_string()];
        if self.below(3) == 0 {
            flags.extend(["--sync", "group"].map(str::to_owned));
        }
        if self.below(4) == 0 {
            // So that the end of a run is met as well.
            flags.extend([
                "--max-downloads".to_owned(),
                (1 + self.below(12)).to_string(),
            ]);
        }
        flags
    }
}

/// What happened in all the runs together.
#[derive(Default)]
struct Totals {
    killed: usize,
    ended: usize,
    naming: usize,
    resumed: usize,
    sent: u64,
    wasted: u64,
    most: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            killed,
            ended,
            naming,
            resumed,
            sent,
            wasted,
            most,
        } = self;
        write!(
            f,
            "{killed} killed, of them {naming} that had named images; {ended} ended before; {resumed} images went on; "
        )?;
        write!(
            f,
            "{sent} bytes sent, {wasted} of them for nothing, {most} at most by one kill"
        )
    }
}

#[test]
fn kill_at_200_random_moments_loses_nothing_and_requests_no_finished_image_again() {
    let seed = std::env::var("KILLS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .expect("a clock after 1970");
            u64::from(now.subsec_nanos())
        });
    println!("KILLS_SEED={seed}");
    let (hung, world, mut dice, mut sum) = (
        Hung::hang(),
        Sandbox::new(),
        RunGenerator(seed),
        Totals::default(),
    );
    while sum.killed < KILLS {
        assert!(
            sum.killed + sum.ended < 3 * KILLS,
            "too few are killed before they end: {sum}"
        );
        one_life(&hung, &world, &mut dice, &mut sum);
    }
    println!("{sum}");
    assert!(sum.wasted < KILLS as u64 * JOBS * BOUND, "{sum}");
    assert!(
        sum.naming > 0 && sum.resumed > 0,
        "the moments meet every part of a run: {sum}"
    );

    fs::remove_file(hung.mirror.site().join("slow")).unwrap();
    let had = hung.kept(&world);
    hung.mirror.nginx.forget();
    let ended = hung.mirror.fetch(&world).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_no_more_than(&hung, &had);
    assert_eq!(collection(&world), hung.whole);
    assert_eq!(rows(&world), hung.rows);
    assert_eq!(parts(&world).into_keys().collect::<Vec<_>>(), [""; 0]);
    let ours = files(&world.work().join(GOT).join(".wallhaul"))
        .into_keys()
        .collect::<Vec<_>>();
    assert_eq!(ours, ["ledger.db", "lock"]);
    let verified = world.wallhaul().args(["verify", "-d", GOT]).run();
    assert_eq!(
        (verified.code, verified.stdout.as_str()),
        (Some(0), ""),
        "{}",
        verified.stderr
    );
}

/// Starts a run, kills it, and holds what is true after any kill.
fn one_life(hung: &Hung, world: &Sandbox, dice: &mut RunGenerator, sum: &mut Totals) {
    let (named, had) = (names(world), hung.kept(world));
    let (moment, flags) = (dice.moment(named.len() == IMAGES), dice.flags());
    let context = format!(
        "{moment:?} {flags:?}, life {} of {sum}",
        sum.killed + sum.ended
    );
    hung.mirror.nginx.forget();
    let running = hung.mirror.fetch(world).args(flags).start();
    let began = Instant::now();
    let due = || match moment {
        Moment::After(time) => began.elapsed() >= time,
        Moment::AfterRename(latest) => {
            began.elapsed() >= latest || names(world).len() > named.len()
        }
    };
    while !due() {
        thread::sleep(Duration::from_millis(1));
    }
    running.kill();
    let ended = running.wait();
    match ended.signal {
        Some(signal) => assert_eq!(signal, Signal::KILL, "{context}: {ended:?}"),
        None => assert_eq!(ended.code, Some(0), "{context}: {ended:?}"),
    }
    hung.settle();
    let new: Vec<String> = names(world).difference(&named).cloned().collect();
    for name in &new {
        let bytes = fs::read(world.work().join(GOT).join(name)).unwrap();
        assert_eq!(
            Some(&blake3::hash(&bytes)),
            hung.whole.get(name),
            "{context}: {name}"
        );
    }
    sum.naming += usize::from(ended.signal.is_some() && !new.is_empty());
    let requests = assert_no_more_than(hung, &had);
    let kept = hung.kept(world);
    for (path, (sent, ranges)) in requests {
        sum.resumed += ranges;
        sum.sent += sent;
        // What the server has sent and nobody has read is wasted as well.
        sum.wasted += sent.saturating_sub(kept[&path].saturating_sub(had[&path]));
    }
    let lost = hung.lost(world);
    // Without a validator the images in flight are lost as well.
    let unsure = lost
        .keys()
        .filter(|path| is_unsure(path))
        .map(|path| hung.bytes(path));
    let sure: u64 = lost
        .iter()
        .filter(|(path, _)| !is_unsure(path))
        .map(|(_, bytes)| bytes)
        .sum();
    assert!(sure <= JOBS * BOUND, "{context}: {lost:?}");
    assert!(
        unsure.sum::<u64>() <= JOBS * (BOUND + UNSURE as u64 + 1_000),
        "{context}: {lost:?}"
    );
    sum.most = sum.most.max(lost.values().sum());
    if ended.signal.is_some() {
        sum.killed += 1;
    } else {
        sum.ended += 1;
    }
}

/// Asserts that no byte that was there was asked for again; answers with what was sent of each image, by its path,
/// and with how many requests for a rest.
fn assert_no_more_than(hung: &Hung, had: &BTreeMap<String, u64>) -> BTreeMap<String, (u64, usize)> {
    let mut requests = BTreeMap::new();
    for request in hung.mirror.nginx.requests() {
        let Some(have) = had.get(&request.path) else {
            continue;
        };
        assert!(
            *have < hung.bytes(&request.path),
            "asked for again: {request:?}"
        );
        let rest = (*have > 0).then(|| format!("bytes={have}-"));
        assert_eq!(request.range, rest, "{request:?}");
        let (sent, ranges) = requests.entry(request.path).or_insert((0, 0));
        *sent += request.sent;
        *ranges += usize::from(rest.is_some());
    }
    requests
}
