//! Runs on several machines: coordinators and workers around a real nats-server.

mod brokers;
mod disks;
mod flow;
mod hosts;
mod kills;
mod letters;
mod machines;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::nats::Nats;
use crate::support::program::{Program, ProgramOutput, Running, Sandbox, files};
use crate::support::site::Site;
use crate::support::until;

/// A site, a broker, and a world in which every coordinator and worker has folders of its own.
struct Cluster {
    world: Sandbox,
    site: Site,
    nats: Nats,
}

impl Cluster {
    fn new(site: Site) -> Self {
        Self::around(site, Nats::start())
    }

    fn around(site: Site, nats: Nats) -> Self {
        let world = Sandbox::new();
        Self { world, site, nats }
    }

    /// A coordinator that waits for its results. Jobs are given back soon.
    fn follow(&self) -> Program {
        let run = self.coordinator("scan");
        run.args(["--follow", "--json", "-d", "walls"])
    }

    fn coordinator(&self, command: &str) -> Program {
        let run = self.site.visit(&self.world, command);
        run.args(["--queue", &self.nats.url(), "--lease", "2s", "--no-config"])
    }

    /// A worker that stores images in this folder, and ends when there is no more to do.
    fn worker(&self, folder: &str) -> Program {
        self.lasting_worker(folder).args(["--until-idle", "2s"])
    }

    /// A worker that ends by a signal alone.
    fn lasting_worker(&self, folder: &str) -> Program {
        let run = self.site.visit(&self.world, "work");
        run.args([
            "--queue",
            &self.nats.url(),
            "-d",
            folder,
            "--json",
            "-j",
            "4",
        ])
    }

    /// What `wallhaul queue` says.
    fn queue(&self, arguments: &[&str]) -> ProgramOutput {
        let run = self.world.wallhaul().args(["queue"]).args(arguments);
        run.args(["--queue", &self.nats.url(), "--no-config"]).run()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.world.work().join(name).join("simpledesktops")
    }

    /// The images in the folders of these workers by their hashes, each as often as it is there.
    fn images(&self, workers: &[&str]) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for worker in workers {
            for bytes in files(&self.folder(worker)).values() {
                *found.entry(blake3::hash(bytes).to_string()).or_insert(0) += 1;
            }
        }
        found
    }

    /// Every image of the site is in one of these folders, and in none twice.
    fn assert_complete(&self, workers: &[&str]) {
        let originals = self.site.gallery.originals.iter();
        let expected: BTreeMap<_, _> = originals.map(|one| (one.hash.to_string(), 1)).collect();
        let found = self.images(workers);
        let missing: Vec<_> = expected
            .keys()
            .filter(|hash| !found.contains_key(*hash))
            .collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        assert_eq!(found.len(), expected.len());
    }

    /// How many images were sent more than once.
    fn sent_again(&self) -> usize {
        let sent = self.site.sent();
        let mut different = sent.clone();
        different.dedup();
        sent.len() - different.len()
    }
}

/// What a run has counted.
fn count(sum: &Value, of: &str) -> u64 {
    sum[of]
        .as_u64()
        .unwrap_or_else(|| panic!("no number `{of}` in {sum}"))
}

/// Waits until a worker has images in flight: as many as were asked for and not answered.
fn in_flight(cluster: &Cluster, images: usize) {
    until("images in flight", || {
        (cluster.site.gate.waiting() >= images).then_some(())
    });
}

/// Ends a worker that is not to work any more.
fn end(worker: Running) -> ProgramOutput {
    worker.signal(rustix::process::Signal::TERM);
    worker.wait()
}
