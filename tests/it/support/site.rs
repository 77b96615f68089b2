//! The newest images of the catalogue on an nginx, behind a request gate.

use tempfile::TempDir;

use super::gallery::Gallery;
use super::nginx::Nginx;
use super::program::{Program, Sandbox};
use super::request_gate::RequestGate;

/// A site that is being served.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) gallery: Gallery,
    pub(crate) nginx: Nginx,
    pub(crate) gate: RequestGate,
}

impl Site {
    /// What the gate stands before: the images,
    pub(crate) const IMAGES: &str = "/uploads/";
    /// or the listing.
    pub(crate) const LISTING: &str = "/browse/";

    /// A site of `count` images with an open gate.
    pub(crate) fn open(count: usize) -> Self {
        let site = Self::closed(count, Self::IMAGES);
        site.gate.open();
        site
    }

    /// A site of `count` images with a closed gate before `path`.
    pub(crate) fn closed(count: usize, path: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gallery = Gallery::lay(folder.path(), "", count);
        let gate = RequestGate::closed();
        let nginx = Nginx::serve(folder.path(), &gate.before(path));
        Self {
            folder,
            gallery,
            nginx,
            gate,
        }
    }

    /// The program about to fetch this site.
    pub(crate) fn fetch(&self, world: &Sandbox) -> Program {
        self.visit(world, "fetch")
    }

    /// The program about to do `command` with this site.
    pub(crate) fn visit(&self, world: &Sandbox, command: &str) -> Program {
        world
            .wallhaul()
            .args([command, "--base-url", &self.nginx.origin()])
    }

    /// Takes the original that the listing shows at `index` from the server.
    pub(crate) fn lose(&self, index: usize) {
        let path = self.gallery.originals[index].path.trim_start_matches('/');
        std::fs::remove_file(self.folder.path().join(path))
            .expect("an original whose path needs no decoding");
    }

    /// The paths of the originals that were sent, sorted, each as often as it was.
    pub(crate) fn sent(&self) -> Vec<String> {
        let sent = self
            .nginx
            .requests()
            .into_iter()
            .filter(|request| request.status == 200);
        let mut paths: Vec<_> = sent
            .map(|request| request.path)
            .filter(|path| path.starts_with(Self::IMAGES))
            .collect();
        paths.sort_unstable();
        paths
    }

    /// The paths of all originals, sorted.
    pub(crate) fn originals(&self) -> Vec<String> {
        let mut paths: Vec<_> = self
            .gallery
            .originals
            .iter()
            .map(|original| original.path.clone())
            .collect();
        paths.sort_unstable();
        paths
    }
}
