//! File names from a hostile listing: a million of them, none of which leaves its folder or
//! collides with another.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Component, Path};
use std::thread;

use jiff::Timestamp;
use url::Url;
use wallhaul::job::{ContentHash, ImageKey, ImageName, ImageRef};
use wallhaul::ledger::{self, Intent, Ledger, Origin, Placement};
use wallhaul::outcome::{Content, Format};
use wallhaul::site::Site;

use crate::fuzz::targets::portable::{careless, flaw};
use crate::support::rng::Rng;

/// What makes trouble in a name, as it is written in an address. Some are escaped once more on their way.
const TROUBLE: [&str; 96] = [
    "/",
    "\\",
    "%2f",
    "%2F",
    "%5c",
    "%252f",
    "%255C",
    "%25252f",
    "..",
    "../",
    "%2e%2e%2f",
    "%252e%252e",
    "..\\",
    ".",
    "...",
    "%2E",
    "-",
    "--",
    "~",
    "%7e1",
    " ",
    "%20",
    "+",
    "%09",
    "%c2%a0",
    "%e3%80%80",
    "%e2%80%a8",
    "%00",
    "%2500",
    "%01",
    "%0a",
    "%0d%0a",
    "%1b[31m",
    "%1b]0;x%07",
    "%7f",
    "%c2%85",
    "%c2%9b",
    "%e2%80%ae",
    "%e2%81%a6",
    "%d8%9c",
    "%e2%80%8b",
    "%e2%80%8d",
    "%ef%bb%bf",
    "%c2%ad",
    "%cc%81",
    "%cc%b8",
    "e%cc%81",
    "%c3%a9",
    "E%cc%81",
    "%c3%89",
    "%e1%84%92%e1%85%a1%e1%86%ab",
    "%ed%95%9c",
    "%ef%ac%81",
    "fi",
    "%c3%9f",
    "%e1%ba%9e",
    "ss",
    "SS",
    "%c4%b0",
    "%c4%b1",
    "i",
    "I",
    "%cf%82",
    "%cf%83",
    "%ce%a3",
    "%e2%84%aa",
    "k",
    "K",
    "%c5%bf",
    "s",
    "%e2%84%ab",
    "%c3%a5",
    "%f0%9f%98%80",
    "%f0%9f%8f%b3%ef%b8%8f%e2%80%8d%f0%9f%8c%88",
    "%f3%a0%81%81",
    "%ee%80%80",
    "%ff",
    "%c3",
    "%ed%a0%80",
    "%f4%90%80%80",
    "con",
    "NUL",
    "aux.",
    "COM1",
    "lpt%c2%b9",
    "conin$",
    "clock$",
    ":",
    "*",
    "%3c",
    "%3E",
    "%22",
    "%7c",
    "?x=",
    ".png",
    ".part",
];

/// What may stand at a name's end.
const ENDS: [&str; 12] = [
    "",
    ".png",
    ".JPG",
    ".webp",
    ".desktop",
    ".php",
    ".html",
    ".part",
    ".",
    "%20",
    ".png?size=%2f..%2f",
    "#.png",
];

/// An address as only somebody who means ill writes it.
fn address(dice: &mut Rng) -> String {
    let mut address = "https://gallery.invalid/uploads/".to_owned();
    if dice.below(2) == 0 {
        address.push_str("2011/01/02/");
    }
    // Mostly short ones, so that many meet; a few that are far too long.
    let pieces = match dice.below(64) {
        0 => 20 + dice.below(60),
        few => few / 12,
    };
    for _ in 0..pieces {
        match dice.below(12) {
            0 => {
                let _ = write!(address, "%{:02x}", dice.byte());
            }
            1 => {
                let any =
                    char::from_u32(u32::try_from(dice.number() % 0x11_0000).unwrap_or_default());
                address.push(any.unwrap_or('\u{fffd}'));
            }
            2 => address.push_str(&trouble(dice).replace('%', "%25")),
            3 => address.push_str(&trouble(dice).repeat(1 + dice.below(40))),
            4 => address.push(char::from(b"aAbB"[dice.below(4)])),
            _ => address.push_str(trouble(dice)),
        }
    }
    address.push_str(dice.one_of(&ENDS).expect("there are ends"));
    address
}

fn trouble(dice: &mut Rng) -> &'static str {
    dice.one_of(&TROUBLE).expect("there is trouble")
}

/// A site that names its images after all that stands behind `/uploads/`, or after their last part.
fn site(capture: &str) -> Site {
    let definition = format!(
        r#"
        site = {{ name = "gallery", base = "https://gallery.invalid" }}
        listing = {{ kind = "html", url = "/{{page}}" }}
        item = {{ select = "img", thumb = "@src" }}
        full = {{ rewrite = {{ from = "thumb", regex = '(.*)\.thumb', to = "$1" }} }}
        file = {{ capture = {{ from = "full", regex = '{capture}' }}, name = "{{name}}" }}
        "#
    );
    Site::from_toml(&definition).expect("a definition")
}

/// Images in one collection. Each has bytes of its own, in every fourth with a hash that begins as others do.
fn intent(site: &Site, original: &Url, number: u64) -> Intent {
    let image = ImageRef {
        site: site.id().clone(),
        page: site.first_page().into(),
        thumb: original.clone(),
        link: None,
        title: None,
        is_original: false,
        record: wallhaul::job::Record::default(),
    };
    let mut hash = *blake3::hash(&number.to_le_bytes()).as_bytes();
    if number.is_multiple_of(4) {
        hash[..4].fill(7);
    }
    let format = Format::ALL[usize::try_from(number % 6).expect("it is below six")];
    let hash = ContentHash::from_bytes(hash);
    let content = Content {
        bytes: 1 + number,
        hash,
        format,
        width: 1,
        height: 1,
        stored: None,
        warning: None,
    };
    let name = site.name(&image, original, format);
    let page = site.first_page();
    let origin = Origin {
        page: page.into(),
        address: original.clone(),
        title: None,
        etag: None,
        last_modified: None,
        capture: None,
    };
    let key = ImageKey::new(site.id(), original);
    Intent {
        key,
        site: site.id().clone(),
        origin,
        name,
        content,
        at: Timestamp::UNIX_EPOCH,
    }
}

/// Asserts that `name` is good everywhere, and that it is read back as it was written.
fn assert_good(name: &ImageName, format: Format) {
    let written = name.to_string();
    assert_eq!(flaw(&written), None, "{written:?}");
    assert!(matches!(
        Path::new(&written).components().collect::<Vec<_>>()[..],
        [Component::Normal(_)]
    ));
    assert!(written.ends_with(format.extension()), "{written:?}");
    assert_eq!(ImageName::from_stored(&written), *name);
}

/// Names a collection's images as a run does, and answers with how many collided with another and got a suffix.
async fn fill(ledger: &dyn Ledger, site: &Site, numbers: Range<u64>) -> usize {
    let mut dice = Rng::new("names", &format!("{numbers:?}"));
    let (mut keys, mut taken) = (HashSet::new(), HashSet::new());
    let mut apart = 0;
    let mut group = Vec::new();
    for number in numbers.clone() {
        // What is no address never gets as far as a name.
        let original =
            std::iter::repeat_with(|| Url::parse(&address(&mut dice))).find_map(Result::ok);
        let intent = intent(site, &original.expect("there is always another"), number);
        // The longest it can get; the one it does get is looked at below.
        assert_good(
            &intent.name.with_hash_suffix(&intent.content.hash),
            intent.content.format,
        );
        if keys.insert(intent.key.clone()) {
            group.push(intent);
        }
        if group.len() < 256 && number + 1 < numbers.end {
            continue;
        }
        let wanted: Vec<_> = group
            .iter()
            .map(|intent| (intent.name.clone(), intent.content))
            .collect();
        let placements = ledger
            .placing(std::mem::take(&mut group))
            .await
            .expect("a ledger that can be written");
        for (placement, (wanted, content)) in placements.into_iter().zip(wanted) {
            let Placement::New(name) = placement else {
                panic!("{wanted} has the bytes of no other: {placement:?}")
            };
            assert_good(&name, content.format);
            assert!(
                taken.insert(careless(&name.to_string())),
                "`{name}` is another's in {numbers:?}"
            );
            apart += usize::from(name != wanted);
        }
    }
    apart
}

/// How many names are made, and how many of them a collection has.
const NAMES: u64 = 1_000_000;
const IN_A_COLLECTION: usize = 2_500;

#[test]
fn file_names_of_a_million_hostile_urls_stay_in_the_folder_without_collision() {
    let sites = [
        site("/uploads/(?<name>.*)"),
        site("/(?<name>[^/?#]*)[^/]*$"),
        site("nothing like it(?<name>)"),
    ];
    let shares = 4;
    let share = NAMES / shares;
    let apart: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..shares)
            .map(|number| {
                let sites = &sites;
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .build()
                        .expect("a runtime");
                    let collections =
                        (number * share..(number + 1) * share).step_by(IN_A_COLLECTION);
                    let filled = collections.zip(sites.iter().cycle()).map(|(first, site)| {
                        let numbers = first..first + IN_A_COLLECTION as u64;
                        let folder = tempfile::tempdir().expect("a temporary folder");
                        let ledger = ledger::open(folder.path(), false).expect("a new ledger");
                        runtime.block_on(fill(&*ledger, site, numbers))
                    });
                    filled.sum::<usize>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("names that are good"))
            .sum()
    });
    assert!(apart > 10_000, "hardly any met: {apart}");
}
