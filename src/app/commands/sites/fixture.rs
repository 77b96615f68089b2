//! Fixture folders: recorded pages and images below the name of their host, and a manifest of where each came from.
//!
//! ```text
//! DIR/manifest.jsonl                    {"url":...,"file":"HOST/path/index.html","kind":"page","status":200,"content_type":...}
//! DIR/HOST/path/index.html
//! ```
//!
//! Any static server on DIR serves it for `--base-url 'http://127.0.0.1:PORT/{host}/'`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::Url;

use super::test::read;
use crate::fetch::RawPage;
use crate::mask::Masks;

/// The name of the manifest.
const MANIFEST: &str = "manifest.jsonl";

/// The longest name of a file or folder, in bytes; longer ones become hashes.
const MAX_NAME: usize = 120;

/// What a recorded file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RecordedKind {
    /// A listing page.
    Page,
    /// A page that leads to an original.
    Detail,
    /// An original.
    Image,
}

/// A line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    url: Url,
    file: String,
    kind: RecordedKind,
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
}

/// A fixture folder.
pub(super) struct Fixture {
    folder: PathBuf,
    recorded: Vec<Recorded>,
    masks: Masks,
}

impl Fixture {
    /// A new fixture in a folder that is empty or not yet there; none of these secrets is written into it, but for what
    /// is in the bytes of images.
    ///
    /// # Errors
    ///
    /// When the folder holds anything, or cannot be made.
    pub(super) fn create(folder: &Path, masks: &Masks) -> anyhow::Result<Self> {
        let making = || format!("making the folder `{}`", folder.display());
        fs::create_dir_all(folder).with_context(making)?;
        if fs::read_dir(folder).with_context(making)?.next().is_some() {
            bail!(
                "`{}` is not empty: name a new folder with -d",
                folder.display()
            );
        }
        Ok(Self {
            folder: folder.to_owned(),
            recorded: Vec::new(),
            masks: masks.clone(),
        })
    }

    /// The fixture in a folder.
    ///
    /// # Errors
    ///
    /// When it has no manifest, or a line of it is wrong.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let text = String::from_utf8(read(&path)?)
            .with_context(|| format!("`{}` is not UTF-8", path.display()))?;
        let lines = (1..).zip(text.lines());
        let recorded = lines
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| {
                let of = || format!("{}:{number}", path.display());
                let recorded: Recorded = serde_json::from_str(line).with_context(of)?;
                let inside = Path::new(&recorded.file)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)));
                if inside {
                    Ok(recorded)
                } else {
                    bail!("{}: `{}` is outside of the folder", of(), recorded.file)
                }
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            folder: folder.to_owned(),
            recorded,
            masks: Masks::default(),
        })
    }

    /// The pages of a kind, in the order in which they were recorded.
    ///
    /// # Errors
    ///
    /// When a file of the manifest cannot be read.
    pub(super) fn pages(&self, kind: RecordedKind) -> anyhow::Result<Vec<RawPage>> {
        let pages = self
            .recorded
            .iter()
            .filter(|recorded| recorded.kind == kind);
        pages
            .map(|page| {
                Ok(RawPage {
                    charset: None,
                    url: page.url.clone(),
                    status: page.status,
                    content_type: page.content_type.clone(),
                    next: None,
                    bytes: read(&self.folder.join(&page.file))?,
                })
            })
            .collect()
    }

    /// Whether something came from this address already.
    pub(super) fn has(&self, url: &Url) -> bool {
        let url = self.masks.apply_url(url);
        self.recorded.iter().any(|recorded| recorded.url == *url)
    }

    /// Writes the page that came from `url`, and its line of the manifest. Returns its path in the folder.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn add_page(
        &mut self,
        url: &Url,
        kind: RecordedKind,
        page: RawPage,
    ) -> anyhow::Result<String> {
        let page = page.masked(&self.masks);
        self.add(
            url,
            kind,
            page.status,
            page.content_type.as_deref(),
            &page.bytes,
        )
    }

    /// Writes what came from `url`, and its line of the manifest. Returns its path in the folder.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn add(
        &mut self,
        url: &Url,
        kind: RecordedKind,
        status: u16,
        content_type: Option<&str>,
        bytes: &[u8],
    ) -> anyhow::Result<String> {
        let url = self.masks.apply_url(url).into_owned();
        let url = &url;
        let file = self.free_file(url, kind, content_type);
        let path = self.folder.join(&file);
        let writing = || format!("writing `{}`", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(writing)?;
        }
        fs::write(&path, bytes).with_context(writing)?;
        let recorded = Recorded {
            url: url.clone(),
            file: file.clone(),
            kind,
            status,
            content_type: content_type.map(str::to_owned),
        };
        let line = serde_json::to_string(&recorded)? + "\n";
        File::options()
            .append(true)
            .create(true)
            .open(self.folder.join(MANIFEST))
            .and_then(|mut manifest| manifest.write_all(line.as_bytes()))
            .with_context(|| format!("writing `{}`", self.folder.join(MANIFEST).display()))?;
        self.recorded.push(recorded);
        Ok(file)
    }

    /// The path for an address that no other one has: the one that a static server looks for, or where another page or
    /// a folder has that, with a hash.
    fn free_file(&self, url: &Url, kind: RecordedKind, content_type: Option<&str>) -> String {
        let plain = file_of(url, kind, content_type);
        let clashes = |file: &str| {
            self.recorded.iter().any(|recorded| {
                let known = recorded.file.to_lowercase();
                let file = file.to_lowercase();
                known == file
                    || known.starts_with(&format!("{file}/"))
                    || file.starts_with(&format!("{known}/"))
            })
        };
        if !clashes(&plain) {
            return plain;
        }
        let hash = short_hash(url.as_str());
        let (host, name) = plain.split_once('/').unwrap_or((&plain, ""));
        let name = name.rsplit('/').next().unwrap_or_default();
        format!("{host}/~{hash}-{name}")
    }
}

/// The path of an address below the folder: its host, then its path with the names decoded, as static servers look for.
fn file_of(url: &Url, kind: RecordedKind, content_type: Option<&str>) -> String {
    let mut host = url.host_str().unwrap_or("host").to_ascii_lowercase();
    if let Some(port) = url.port() {
        host += &format!(":{port}");
    }
    let mut parts = vec![safe(&host)];
    let segments: Vec<_> = url.path_segments().into_iter().flatten().collect();
    let (last, folders) = segments
        .split_last()
        .map_or(("", &[][..]), |(l, f)| (*l, f));
    parts.extend(folders.iter().map(|name| safe(name)));
    if last.is_empty() {
        let is_json = content_type.is_some_and(|kind| kind.contains("json"));
        let is_page = kind != RecordedKind::Image;
        let index = match (is_page, is_json) {
            (true, false) => "index.html",
            (true, true) => "index.json",
            (false, _) => "index",
        };
        parts.push(index.to_owned());
    } else {
        parts.push(safe(last));
    }
    parts.join("/")
}

/// A part of an address as the name of a file; one that cannot be a name, or has a special meaning, becomes a hash.
fn safe(part: &str) -> String {
    let name = percent_decode_str(part).decode_utf8_lossy();
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '\0');
    let fits = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_plain);
    if fits && !name.starts_with(['.', '~']) && name != MANIFEST {
        name.into_owned()
    } else {
        format!("~{}", short_hash(part))
    }
}

fn short_hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn file(text: &str) -> String {
        file_of(&url(text), RecordedKind::Page, Some("text/html"))
    }

    #[test]
    fn the_file_of_an_address_is_where_a_static_server_looks_for_it() {
        assert_eq!(file("https://a.invalid/"), "a.invalid/index.html");
        assert_eq!(file("https://A.invalid/b/c/"), "a.invalid/b/c/index.html");
        assert_eq!(
            file("http://a.invalid:81/b%20c.png"),
            "a.invalid:81/b c.png"
        );
    }

    #[test]
    fn no_address_leads_out_of_the_fixture_folder() {
        for hostile in [
            "https://a.invalid/..%2f..%2fetc/passwd",
            "https://a.invalid/%2e%2e%5cx",
            "https://a.invalid/a%00b",
            "https://a.invalid/.bashrc",
            "https://a.invalid//etc//passwd",
        ] {
            let file = file(hostile);
            let parts = Path::new(&file).components();
            assert!(
                parts.clone().count() >= 2
                    && parts
                        .into_iter()
                        .all(|part| matches!(part, Component::Normal(_))),
                "{file}"
            );
            assert!(!file.contains("/.") && !file.contains("//"), "{file}");
        }
    }

    #[test]
    fn a_fixture_keeps_hosts_and_queries_apart_and_reads_its_pages_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new");
        let mut fixture = Fixture::create(&place, &Masks::default()).unwrap();
        let kind = RecordedKind::Page;
        for (address, text) in [
            ("https://a.invalid/list", "one"),
            ("https://a.invalid/list?page=2", "two"),
            ("https://b.invalid/list", "three"),
            ("https://a.invalid/list/x/", "four"),
        ] {
            fixture
                .add(&url(address), kind, 200, None, text.as_bytes())
                .unwrap();
        }
        fixture
            .add(
                &url("https://a.invalid/p.png"),
                RecordedKind::Image,
                200,
                None,
                b"png",
            )
            .unwrap();
        assert_eq!(fs::read(place.join("a.invalid/list")).unwrap(), b"one");
        assert_eq!(fs::read(place.join("b.invalid/list")).unwrap(), b"three");
        let pages = Fixture::open(&place)
            .unwrap()
            .pages(RecordedKind::Page)
            .unwrap();
        let texts: Vec<_> = pages.iter().map(|page| page.bytes.as_slice()).collect();
        assert_eq!(texts, [&b"one"[..], b"two", b"three", b"four"]);
        assert!(
            Fixture::create(&place, &Masks::default()).is_err(),
            "it is not empty"
        );
    }

    #[test]
    fn a_manifest_that_names_a_file_outside_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["../x", "/etc/passwd", "a/../../x"] {
            let line = format!(
                r#"{{"url":"https://a.invalid/","file":"{file}","kind":"page","status":200}}"#
            );
            fs::write(folder.path().join(MANIFEST), line).unwrap();
            assert!(Fixture::open(folder.path()).is_err(), "{file}");
        }
    }
}
