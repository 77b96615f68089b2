//! The catalogue behind a real server: what `--base-url` points a run at, and the result of the
//! run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::slice::SliceIndex;

use blake3::Hash;
use serde_json::Value;
use tempfile::TempDir;

use super::gallery::{self, Gallery, Original};
use super::nginx::{Nginx, Request};
use super::program::{Program, Sandbox, files};

/// Where the runs of these tests keep their collection, seen from where they are started.
pub(crate) const GOT: &str = "got";

/// A mirror of the site: its folder, its images, its server.
pub(crate) struct Mirror {
    pub(crate) gallery: Gallery,
    pub(crate) nginx: Nginx,
    site: TempDir,
}

impl Mirror {
    /// Serves the first `count` images, with thumbs written relative to the site's root.
    pub(crate) fn of(count: usize) -> Self {
        Self::with(count, "")
    }

    /// The same, with `extra` among the server's settings. A file in the site's folder can be a switch there:
    /// `if (-f $document_root/busy) { return 503; }`.
    pub(crate) fn with(count: usize, extra: &str) -> Self {
        let site = tempfile::tempdir().expect("a temporary folder");
        let gallery = Gallery::lay(site.path(), "", count);
        let nginx = Nginx::serve(site.path(), extra);
        Self {
            gallery,
            nginx,
            site,
        }
    }

    /// The same with originals of `bytes` bytes: what stands behind an image's end mark is kept as served.
    pub(crate) fn of_length(count: usize, bytes: usize) -> Self {
        let mut mirror = Self::of(count);
        mirror.lengthen(.., bytes);
        mirror
    }

    /// Makes these originals `bytes` bytes long.
    pub(crate) fn lengthen(
        &mut self,
        which: impl SliceIndex<[Original], Output = [Original]>,
        bytes: usize,
    ) {
        for original in &mut self.gallery.originals[which] {
            let file = gallery::file(self.site.path(), &original.path);
            let mut image = fs::read(&file).expect("an original");
            image.resize(bytes, 0);
            fs::write(&file, &image).expect("room for it");
            original.hash = blake3::hash(&image);
        }
    }

    /// The folder that is served.
    pub(crate) fn site(&self) -> &Path {
        self.site.path()
    }

    /// Puts these bytes where the server has `path`.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        gallery::keep(self.site(), path, bytes);
    }

    /// Puts another image in the place of the original that the listing shows at `index`.
    pub(crate) fn replace(&mut self, index: usize, image: &[u8]) {
        let original = &mut self.gallery.originals[index];
        original.hash = blake3::hash(image);
        gallery::keep(self.site.path(), &original.path, image);
    }

    /// The bytes that the server has at `path`.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        let (status, bytes) = self.nginx.get(path);
        assert_eq!(status, 200, "{path}");
        bytes
    }

    /// `wallhaul fetch` from here into [`GOT`], ready for more arguments. It waits neither long between
    /// tries nor for the disk, which others keep busy; `--sync group` lets it.
    pub(crate) fn fetch(&self, world: &Sandbox) -> Program {
        let program = world
            .wallhaul()
            .env("WALLHAUL_RETRY_WAIT", "1ms")
            .env("WALLHAUL_SYNC", "off");
        program.args(["fetch", "--base-url", &self.nginx.origin(), "-d", GOT])
    }

    /// Takes away what the server has at `path`.
    pub(crate) fn take(&self, path: &str) {
        let file = gallery::file(self.site(), path);
        fs::remove_file(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// The paths below `/uploads/` that were asked for, sorted.
    pub(crate) fn originals_asked(&self) -> Vec<String> {
        let mut paths = self.asked(|path| path.starts_with("/uploads/"));
        paths.sort_unstable();
        paths
    }

    /// The paths of the originals that lie in the collection of `world`, sorted.
    ///
    /// # Panics
    ///
    /// When anything else lies there: nothing wrong is ever under a final name.
    pub(crate) fn kept(&self, world: &Sandbox) -> Vec<String> {
        let path = |(name, hash): (String, Hash)| {
            let original = self
                .gallery
                .originals
                .iter()
                .find(|original| original.hash == hash);
            original
                .unwrap_or_else(|| panic!("`{name}` holds no image of the site"))
                .path
                .clone()
        };
        let mut paths: Vec<_> = collection(world).into_iter().map(path).collect();
        paths.sort_unstable();
        paths
    }

    /// Holds that the same command, once what was wrong is put right, completes and asks for nothing that lies in
    /// the collection.
    pub(crate) fn hold_completed(&self, world: &Sandbox) {
        let kept = self.kept(world);
        self.nginx.forget();
        let ended = self.fetch(world).run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_whole(world, self);
        let mut due = self.originals();
        due.retain(|path| kept.binary_search(path).is_err());
        assert_eq!(
            self.originals_asked(),
            due,
            "what is missing, once, and nothing else"
        );
    }

    /// The numbers of the listing pages that were asked for, sorted.
    pub(crate) fn pages_asked(&self) -> Vec<u32> {
        let number = |path: &str| {
            path.strip_prefix("/browse/")?
                .strip_suffix('/')?
                .parse()
                .ok()
        };
        let mut pages: Vec<u32> = self
            .asked(|_| true)
            .iter()
            .filter_map(|path| number(path))
            .collect();
        pages.sort_unstable();
        pages
    }

    fn asked(&self, which: impl Fn(&str) -> bool) -> Vec<String> {
        let asked = self
            .nginx
            .requests()
            .into_iter()
            .map(|Request { path, .. }| path);
        asked.filter(|path| which(path)).collect()
    }

    /// The paths of all its originals, sorted.
    pub(crate) fn originals(&self) -> Vec<String> {
        let mut paths: Vec<String> = self
            .gallery
            .originals
            .iter()
            .map(|original| original.path.clone())
            .collect();
        paths.sort_unstable();
        paths
    }
}

/// The images of the collection in [`GOT`]: name and hash.
pub(crate) fn collection(world: &Sandbox) -> BTreeMap<String, Hash> {
    files(&world.work().join(GOT))
        .into_iter()
        .map(|(name, bytes)| (name, blake3::hash(&bytes)))
        .collect()
}

/// What lies among the parts of the collection.
pub(crate) fn parts(world: &Sandbox) -> BTreeMap<String, Vec<u8>> {
    files(&world.work().join(GOT).join(".wallhaul/parts"))
}

/// The names of those of the `parts` that a later run goes on with, or judges again: a note lies beside them, or speaks
/// of them on a sheet.
pub(crate) fn noted(parts: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    let mut spoken_of = BTreeSet::new();
    for (name, text) in parts {
        match name.rsplit_once('.') {
            // One that a kill left empty, between its making and its text, says nothing.
            Some((part, "note")) if serde_json::from_slice::<Value>(text).is_ok() => {
                spoken_of.extend([format!("{part}.part")]);
            }
            Some((_, "notes")) => {
                let lines = String::from_utf8_lossy(text).into_owned();
                // The last line of one that a kill cut off says nothing.
                let notes = lines
                    .lines()
                    .filter_map(|line| serde_json::from_str::<Value>(line).ok());
                spoken_of
                    .extend(notes.map(|note| note["part"].as_str().expect("a name").to_owned()));
            }
            _ => {}
        }
    }
    spoken_of
}

/// Asserts that the collection holds every image of `mirror` once, under any names, and nothing else.
pub(crate) fn assert_whole(world: &Sandbox, mirror: &Mirror) {
    assert_holds_all(world, &mirror.gallery);
}

/// The same for a gallery that another server has.
pub(crate) fn assert_holds_all(world: &Sandbox, gallery: &Gallery) {
    let mut got: Vec<_> = collection(world)
        .into_values()
        .map(|hash| hash.to_hex())
        .collect();
    let mut due: Vec<_> = gallery
        .originals
        .iter()
        .map(|original| original.hash.to_hex())
        .collect();
    got.sort_unstable();
    due.sort_unstable();
    assert!(got == due, "{} files of {} images", got.len(), due.len());
    let left: Vec<String> = parts(world).into_keys().collect();
    assert!(left.is_empty(), "left among the parts: {left:?}");
}

/// Runs an SQL query over the ledger with `SQLite`'s own shell: one row a line, fields separated by `|`.
pub(crate) fn sqlite(world: &Sandbox, query: &str) -> String {
    let ledger = world.work().join(GOT).join(".wallhaul/ledger.db");
    assert!(
        fs::exists(&ledger).expect("its folder can be read"),
        "there is no ledger"
    );
    let ended = world
        .program("sqlite3")
        .args([ledger.as_os_str()])
        .args(["-batch", query])
        .run();
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{query}"
    );
    ended.stdout
}
