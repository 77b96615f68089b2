//! Sites as data: what each definition makes of the pages in its folder of `tests/fixtures/sites`.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use encoding_rs::{GBK, UTF_8};
use jiff::civil::{Date, date};

use super::*;
use crate::job::{Declared, Follow};

/// Set, the expected texts are written and not compared.
const WRITE: &str = "WRITE_EXPECTED";

/// The day of every walk over windows of days.
const TODAY: Date = date(2026, 3, 1);

/// A page that was saved, and the encoding that it had.
struct SavedPage {
    text: String,
    encoding: &'static encoding_rs::Encoding,
}

impl SavedPage {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let encoding = if std::str::from_utf8(&bytes).is_ok() {
            UTF_8
        } else {
            GBK
        };
        let (text, ..) = encoding.decode(&bytes);
        Self {
            text: text.into_owned(),
            encoding,
        }
    }

    fn page(&self) -> PageText<'_> {
        PageText {
            text: &self.text,
            encoding: self.encoding,
            is_xml: false,
        }
    }
}

fn sites() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sites")
}

fn site_of(folder: &Path) -> Site {
    let own = fs::read_to_string(folder.join("definition.toml"));
    let name = folder.file_name().unwrap().to_str().unwrap();
    let text = own.unwrap_or_else(|_| shipped_definition(name).unwrap().to_owned());
    Site::to_show(&text).unwrap_or_else(|error| panic!("{}", error.render(name, false)))
}

/// The saved pages by the name of their walk, `page` first; in a walk each is the next one.
fn walks(folder: &Path) -> Vec<Vec<PathBuf>> {
    let mut walks = BTreeMap::<_, BTreeMap<u32, PathBuf>>::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let is_page = path
            .extension()
            .is_some_and(|kind| ["html", "json", "xml"].iter().any(|known| kind == *known));
        let Some((walk, number)) = stem.rsplit_once('-').filter(|_| is_page) else {
            continue;
        };
        if walk != "follow" {
            let pages = walks.entry((walk != "page", walk.to_owned())).or_default();
            pages.insert(number.parse().unwrap(), path);
        }
    }
    let walks = walks.into_values();
    walks.map(|pages| pages.into_values().collect()).collect()
}

/// Everything that the definition makes of a folder's pages, a fact a line.
fn made_of(site: &Site, folder: &Path) -> String {
    let mut made = String::new();
    let mut row = |cells: &[&str]| writeln!(made, "{}", cells.join("\t")).unwrap();
    let mut number = 0;
    for pages in walks(folder) {
        let mut pager = site.pager(Pages::default(), TODAY);
        let mut keys = HashSet::new();
        for path in &pages {
            let NextPage::Request(request) = pager.next_page() else {
                panic!("{} follows no page", path.display())
            };
            row(&[
                "page",
                path.file_name().unwrap().to_str().unwrap(),
                request.url.as_str(),
            ]);
            let saved = SavedPage::read(path);
            let mut page = site.read(&request.url, saved.page()).unwrap();
            if let Ok(link) = fs::read_to_string(path.with_extension("link")) {
                page.next.set_header_next(&request.url, link.trim());
            }
            let PageHealth {
                items,
                filtered,
                without_thumb,
                unusable,
                ..
            } = &page.health;
            row(&[
                "health",
                &format!(
                    "{items} items, {filtered} filtered, {without_thumb} without, {unusable} unusable"
                ),
            ]);
            let mut new = 0;
            for image in &page.images {
                number += 1;
                let follow = follow_file(folder, number);
                new += usize::from(write_image(
                    site,
                    image,
                    follow.as_deref(),
                    &mut keys,
                    &mut row,
                ));
            }
            let answer = match pager.read(site, &request, &page) {
                Ok(PageContent::Items) => PageAnswer::Items {
                    new,
                    repeated: page.images.len() - new,
                },
                Ok(PageContent::Links { new, repeated }) => PageAnswer::Items { new, repeated },
                Ok(PageContent::Empty) => PageAnswer::Empty,
                Err(failure) => {
                    row(&["failed", &format!("{failure:?}")]);
                    continue;
                }
            };
            if let Step::Failed(failure) = pager.answered(&request, answer) {
                row(&["failed", &format!("{failure:?}")]);
            }
        }
        match pager.next_page() {
            NextPage::Request(request) => row(&["next", request.url.as_str()]),
            NextPage::AfterAnswer => row(&["next", "unknown"]),
            NextPage::NoMore => row(&["end", &format!("{:?}", pager.finish().1)]),
        }
    }
    made
}

/// The page behind the item of this number, of all walks, if one was saved.
fn follow_file(folder: &Path, number: u32) -> Option<PathBuf> {
    let files = ["html", "json"].map(|kind| folder.join(format!("follow-{number}.{kind}")));
    files.into_iter().find(|file| file.is_file())
}

/// Writes what becomes of an image; whether the walk did not know it.
fn write_image(
    site: &Site,
    image: &ImageRef,
    follow: Option<&Path>,
    keys: &mut HashSet<ImageKey>,
    row: &mut impl FnMut(&[&str]),
) -> bool {
    let resolved = site.resolve(image, &Masks::default());
    let key = match &resolved {
        Ok(resolved) => resolved.key.clone(),
        Err(_) => site.key_without_original(image, &Masks::default()),
    };
    let is_new = keys.insert(key.clone());
    let stem = resolved.as_ref().map_or_else(
        |_| String::new(),
        |resolved| {
            let of_image = site.resolver();
            of_image.stem(image, &resolved.candidates, &Masks::default())
        },
    );
    row(&["item", key.as_str(), &stem]);
    row(&["thumb", image.thumb.as_str()]);
    if let Some(link) = &image.link {
        row(&["link", link.as_str()]);
    }
    if let Some(title) = &image.title {
        row(&["title", title]);
    }
    match resolved {
        Err(reason) => row(&["skipped", &reason.to_string()]),
        Ok(Resolved {
            candidates,
            declared,
            ..
        }) => {
            if let Some(declared) = declared {
                row(&["declared", &declared_text(&declared)]);
            }
            for candidate in &candidates {
                match candidate {
                    Candidate::Direct(url) => row(&["direct", url.as_str()]),
                    Candidate::Follow(Follow { page, rule }) => {
                        row(&["follow", page.as_str()]);
                        let Some(saved) = follow.map(SavedPage::read) else {
                            continue;
                        };
                        match super::follow(rule, page, saved.page()) {
                            Ok(found) => {
                                for one in found {
                                    row(&["found", one.url().as_str()]);
                                }
                            }
                            Err(reason) => row(&["found", "nothing:", &reason.to_string()]),
                        }
                    }
                }
            }
        }
    }
    is_new
}

fn declared_text(declared: &Declared) -> String {
    let Declared {
        md5,
        sha1,
        sha256,
        git_sha1,
        bytes,
        width,
        height,
    } = declared;
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let facts = [
        ("md5", md5.clone()),
        ("sha1", sha1.clone()),
        ("sha256", sha256.clone()),
        ("git_sha1", git_sha1.clone()),
        ("bytes", number(*bytes)),
        ("width", number(width.map(u64::from))),
        ("height", number(height.map(u64::from))),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, fact)| Some(format!("{name} {}", fact?)));
    facts.collect::<Vec<_>>().join(", ")
}

#[test]
fn definitions_make_of_their_fixtures_what_is_expected() {
    let mut folders = fs::read_dir(sites())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect::<Vec<_>>();
    folders.sort();
    let mut wrong = String::new();
    for folder in &folders {
        let made = made_of(&site_of(folder), folder);
        let file = folder.join("expected.tsv");
        if std::env::var_os(WRITE).is_some() {
            fs::write(&file, made).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        let mut lines = (1..).zip(expected.lines().zip(made.lines()));
        let different = lines.find(|(_, (expected, made))| expected != made);
        if let Some((line, (expected, made))) = different {
            let file = file.display();
            writeln!(wrong, "{file}:{line}\n-{expected}\n+{made}").unwrap();
        } else if expected.lines().count() != made.lines().count() {
            writeln!(wrong, "{}: not as many lines", file.display()).unwrap();
        }
    }
    assert!(!folders.is_empty() && wrong.is_empty(), "{wrong}");
}

#[test]
fn every_shipped_definition_has_a_fixture_folder() {
    for (name, _) in shipped() {
        let file = sites().join(name).join("expected.tsv");
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert!(expected.contains("\nitem\t"), "{}", file.display());
    }
}

/// The images of the first page in a site's folder.
fn first_images(site: &Site, page: &str) -> Vec<ImageRef> {
    site.read(&site.first_page(), page).unwrap().images
}

fn fixture(file: &str) -> String {
    fs::read_to_string(sites().join(file)).unwrap()
}

#[test]
fn reddit_gives_images_on_other_hosts_where_the_user_allows_any_host() {
    let page = fixture("reddit/page-1.json");
    let addresses = |site: &Site| {
        let images = first_images(site, &page);
        let resolved = images
            .iter()
            .filter_map(|image| site.resolve(image, &Masks::default()).ok());
        resolved
            .map(|resolved| resolved.candidates[0].url().to_string())
            .collect::<Vec<_>>()
    };
    let own = addresses(&Site::shipped("reddit").unwrap());
    assert!(own.iter().all(|url| url.starts_with("https://i.redd.it/")));
    let all = addresses(&Site::shipped("reddit").unwrap().allowing_any_host());
    let others: Vec<_> = all.iter().filter(|url| !own.contains(url)).collect();
    assert_eq!(
        others,
        [
            "http://i.imgur.com/Xyz12.jpg?1",
            "https://i.imgur.com/AbCd3.jpg",
            "https://external-preview.redd.it/p8.jpg?auto=webp&s=08",
        ]
    );
    assert_eq!(all.len(), own.len() + others.len());
}

#[test]
fn an_image_keeps_its_key_when_its_address_changes_its_signature() {
    let cases = [
        (
            "unsplash",
            "unsplash/page-1.json",
            "M3wxfDF8",
            "OtherAnswer",
        ),
        (
            "bing",
            "bing/page-1.json",
            "EN-US1234567890",
            "ROW5555555555",
        ),
        ("reddit", "reddit/page-1.json", "s=0", "s=f"),
        (
            "commons",
            "commons/page-1.json",
            "utm_source=commons",
            "utm_source=other",
        ),
    ];
    for (name, file, before, after) in cases {
        let site = Site::shipped(name).unwrap();
        let page = fixture(file);
        let keys = |page: &str| {
            let images = first_images(&site, page);
            let keys = images.iter().filter_map(|image| site.key(image).ok());
            keys.collect::<Vec<_>>()
        };
        let changed = page.replace(before, after);
        assert!(changed != page && !keys(&page).is_empty(), "{name}");
        assert_eq!(keys(&changed), keys(&page), "{name}");
    }
}

#[test]
fn an_error_answer_waits_or_stops_as_the_shipped_definition_says() {
    use ErrorAction::{Stop, Wait};
    let cases = [
        (
            "apod-api",
            429,
            r#"{ "error": { "code": "OVER_RATE_LIMIT", "message": ".." } }"#,
            Some(Wait),
        ),
        (
            "apod-api",
            403,
            r#"{ "error": { "code": "API_KEY_INVALID", "message": ".." } }"#,
            Some(Stop),
        ),
        (
            "apod-api",
            404,
            r#"{ "code": 404, "msg": "no data", "service_version": "v1" }"#,
            None,
        ),
        (
            "github",
            403,
            r#"{ "message": "API rate limit exceeded for 192.0.2.1" }"#,
            Some(Wait),
        ),
        ("github", 404, r#"{ "message": "Not Found" }"#, Some(Stop)),
        ("pexels", 401, "", Some(Stop)),
        (
            "reddit",
            403,
            r#"{ "message": "Forbidden", "error": 403 }"#,
            Some(Stop),
        ),
        ("reddit", 500, "", None),
        (
            "unsplash",
            401,
            r#"{ "errors": ["OAuth error"] }"#,
            Some(Stop),
        ),
        ("unsplash", 403, "Rate Limit Exceeded", Some(Wait)),
        (
            "wallhaven",
            401,
            r#"{ "error": "Unauthorized" }"#,
            Some(Stop),
        ),
    ];
    for (name, status, body, expected) in cases {
        let site = Site::to_show(shipped_definition(name).unwrap()).unwrap();
        let rule = ErrorRule::find(&site.requests().errors, status, body);
        assert_eq!(
            rule.map(|rule| rule.action),
            expected,
            "{name} {status} {body}"
        );
        let is_told = rule.is_none_or(|rule| rule.action != Stop || !rule.hint.is_empty());
        assert!(is_told, "{name} {status}");
    }
}

#[test]
fn a_shipped_site_that_needs_a_key_is_off_until_the_user_opts_in() {
    for (name, text) in shipped() {
        let facts = DefinitionFacts::from_toml(text);
        assert!(!facts.needs_secret() || facts.opt_in.is_some(), "{name}");
    }
}
