//! Runs on several machines: coordinators and workers around a real nats-server.

mod brokers;
mod disks;
mod flow;
mod hosts;
mod kills;
mod letters;
mod machines;
mod other_hosts;
mod postponed_jobs;
mod retries;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use image::ImageFormat;
use serde_json::Value;

use crate::support::fault_server::FaultServer;
use crate::support::gallery::picture;
use crate::support::nats::{Listener, Nats};
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

/// A site of the user's own on a server with scripted faults, a broker, and a world for coordinators and workers.
struct OwnSite {
    world: Sandbox,
    server: FaultServer,
    nats: Nats,
}

/// The image of a card is where its thumb is, in another folder.
const FULL: &str = r#"
[[full]]
rewrite = { from = "thumb", regex = '^(?<site>.+)/thumb/(?<name>[^/]+)$', to = '${site}/full/${name}' }
"#;

impl OwnSite {
    /// A site of so many images: `/full/1.png` and on.
    fn new(images: usize) -> Self {
        let own = Self::with(images, FULL);
        for number in 1..=images {
            let path = format!("/full/{number}.png");
            own.server.show(&path, picture(number, ImageFormat::Png));
        }
        own
    }

    /// A site with so many cards, whose definition says this of their images. Card `n` shows `/thumb/n.png` and links to
    /// `/view/n`.
    fn with(cards: usize, rest: &str) -> Self {
        let server = FaultServer::start();
        let base = server.origin();
        Self::mirrored(server, &base, "", cards, rest)
    }

    /// The same with another address than the server's own, which has its tree below `root`.
    fn mirrored(server: FaultServer, base: &str, root: &str, cards: usize, rest: &str) -> Self {
        let world = Sandbox::new();
        let definition = format!(
            r#"
[site]
name = "own"
base = "{base}"
image_hosts = ["other.invalid"]

[listing]
kind = "html"
url = "/list/{{page}}/"
stop = {{ status = [404] }}

[item]
select = "li"
thumb = "img@src"
link = "a@href"

{rest}
"#
        );
        fs::write(world.work().join("own.toml"), definition).expect("a file for the definition");
        let card = |number| {
            format!(r#"<li><a href="/view/{number}"><img src="/thumb/{number}.png"></a></li>"#)
        };
        let cards: String = (1..=cards).map(card).collect();
        server.show(&format!("{root}/list/1/"), html(&cards));
        let nats = Nats::start();
        Self {
            world,
            server,
            nats,
        }
    }

    /// The program about to do `command` with this site. It waits hardly at all between tries.
    fn visit(&self, command: &str) -> Program {
        let run = self.world.wallhaul().env("WALLHAUL_RETRY_WAIT", "1ms");
        let run = run.args([command, "--site-file", "own.toml", "--queue"]);
        run.args([&self.nats.url(), "--lease", "2s", "--json", "--no-config"])
    }

    /// Queues all images, and ends.
    fn scan(&self) -> ProgramOutput {
        self.visit("scan").args(["-d", "walls"]).run()
    }

    /// Queues all images, and waits for their results.
    fn follow(&self) -> Program {
        self.visit("scan").args(["--follow", "-d", "walls"])
    }

    /// A worker that has one job at a time, and ends by a signal alone.
    fn worker(&self) -> Program {
        self.visit("work").args(["-d", "one", "-j", "1"])
    }

    /// What workers say of jobs from now on.
    fn listen_to_workers(&self) -> Words {
        Words(self.nats.listen("$JS.ACK.JOBS.>"))
    }

    /// How often an address below this one was requested.
    fn asked(&self, below: &str) -> usize {
        let requests = self.server.requests();
        let wanted = requests
            .iter()
            .filter(|asked| asked.path.starts_with(below));
        wanted.count()
    }
}

/// What workers say of jobs.
struct Words(Listener);

impl Words {
    /// Waits for the last words about this many jobs.
    fn wait_for(&self, jobs: usize) -> Vec<String> {
        until("what becomes of the jobs", || {
            let mut words: Vec<String> = self
                .0
                .heard()
                .iter()
                .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
                .collect();
            words.retain(|word| word != "+WPI");
            (words.len() >= jobs).then_some(words)
        })
    }
}

/// The word that returns a job to the queue for so many seconds.
fn nak(seconds: u64) -> String {
    format!(r#"-NAK {{"delay":{seconds}000000000}}"#)
}

fn html(body: &str) -> Vec<u8> {
    format!("<!doctype html><html><body>{body}</body></html>").into_bytes()
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
