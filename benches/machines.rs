//! A run over several processes beside one on one machine, by the built program: `cargo bench --features full --bench
//! machines -- workers BASE PAGES`; `apart` in the place of `workers` has the program on one core and the broker on
//! another (serve the site from there, too), and `store` stores the images in an object store, which has room for a
//! gigabyte of all rounds together.
//!
//! BASE is the address of a site with the pages and images of the demo's site, PAGES how many of its listing pages are
//! used. The broker and the object store are those that `tests/run` has installed, on this machine. Rounds of all cases
//! alternate; printed are the least, the middle and the greatest of what each took over the first case of its round.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use object_store::{ObjectStore, PutMode, PutOptions};
use tempfile::TempDir;
use tokio::runtime::Builder;

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/support/nats.rs"]
mod nats;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/support/stores.rs"]
mod stores;

use nats::Nats;
use stores::{BUCKET, Role, StoreServer, Variables, free_ports, s3_client};

const ROUNDS: usize = 9;

/// Images in flight in all: of one process, or of all workers together.
const IN_FLIGHT: usize = 50;

/// Images in flight into the object store.
const PUTS: usize = 16;

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    match &words[..] {
        [what, base, pages] => {
            let apart = what == "apart";
            let site = Site { base, pages, apart };
            match what.as_str() {
                "workers" | "apart" => workers(&site),
                "store" => store(&site),
                _ => panic!("{what}: neither workers nor apart nor store"),
            }
        }
        _ => panic!("which of them: workers, apart or store, each with BASE and PAGES"),
    }
}

/// What is fetched.
struct Site<'a> {
    base: &'a str,
    pages: &'a str,
    /// Whether the program has one core and the broker another one.
    apart: bool,
}

impl Site<'_> {
    /// The program with the options that all its runs have.
    fn wallhaul(&self, command: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_wallhaul");
        let mut wallhaul = Command::new(if self.apart { "taskset" } else { program });
        if self.apart {
            wallhaul.args(["-c", "0", program]);
        }
        wallhaul.args([command, "--no-config"]);
        wallhaul.args(["--base-url", self.base]);
        wallhaul.stdin(Stdio::null()).stdout(Stdio::null());
        wallhaul
    }

    fn pages(&self) -> [String; 2] {
        ["--pages".to_owned(), format!("1-{}", self.pages)]
    }
}

/// What a case took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    /// Of all its processes, without the broker.
    cpu: Duration,
    /// The most memory that a worker process had, in KiB; zero where there is none.
    memory: u64,
    /// Of the broker.
    broker: Duration,
}

fn workers(site: &Site<'_>) {
    let mut costs: BTreeMap<usize, Vec<Cost>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for processes in [0, 1, 2, 4] {
            let cost = match processes {
                0 => alone(site),
                _ => together(site, processes),
            };
            costs.entry(processes).or_default().push(cost);
        }
    }
    print("fetch alone", &costs[&0], &costs[&0]);
    for (processes, of) in costs.iter().skip(1) {
        print(&format!("{processes} worker processes"), of, &costs[&0]);
    }
}

fn alone(site: &Site<'_>) -> Cost {
    let folder = folder();
    let (start, before) = (Instant::now(), cpu_of_ended());
    let mut fetch = site.wallhaul("fetch");
    fetch.arg("--quiet");
    fetch
        .args(site.pages())
        .arg("-j")
        .arg(IN_FLIGHT.to_string())
        .arg("-d")
        .arg(folder.path());
    succeed(&mut fetch);
    Cost {
        wall: start.elapsed(),
        cpu: cpu_of_ended().saturating_sub(before),
        memory: 0,
        broker: Duration::ZERO,
    }
}

/// A run that queues and follows, and this number of workers, all started at the same time.
fn together(site: &Site<'_>, processes: usize) -> Cost {
    let nats = Nats::start();
    if site.apart {
        succeed(Command::new("taskset").args(["-apc", "1", &nats.pid().to_string()]));
    }
    let folder = folder();
    let (start, before) = (Instant::now(), cpu_of_ended());
    let mut workers: Vec<Child> = (0..processes)
        .map(|number| {
            let mut work = site.wallhaul("work");
            work.arg("--quiet");
            work.args([
                "--queue",
                &nats.url(),
                "-j",
                &(IN_FLIGHT / processes).to_string(),
            ]);
            work.arg("-d").arg(folder.path().join(number.to_string()));
            sure(work.spawn())
        })
        .collect();
    let mut scan = site.wallhaul("scan");
    scan.arg("--quiet");
    scan.args(site.pages())
        .args(["--follow", "--host-jobs", "400", "--queue", &nats.url()]);
    scan.arg("-d").arg(folder.path().join("scan"));
    succeed(&mut scan);
    let wall = start.elapsed();
    let broker = cpu(
        &sure(fs::read_to_string(format!("/proc/{}/stat", nats.pid()))),
        [13, 14],
    );
    let memory = workers.iter().map(|worker| peak_memory(worker.id())).max();
    for worker in &mut workers {
        let pid = rustix::process::Pid::from_child(worker);
        sure(rustix::process::kill_process(
            pid,
            rustix::process::Signal::TERM,
        ));
        sure(worker.wait());
    }
    Cost {
        wall,
        cpu: cpu_of_ended().saturating_sub(before),
        memory: memory.unwrap_or_default(),
        broker,
    }
}

/// The same images by `fetch`, and by a client that checks nothing and keeps no record.
fn store(site: &Site<'_>) {
    let store = StoreServer::seaweedfs(folder().keep().as_path(), free_ports(), true);
    let variables = store.s3(Role::Worker);
    let urls = sure(
        site.wallhaul("urls")
            .args(site.pages())
            .stdout(Stdio::piped())
            .output(),
    );
    let urls: Vec<String> = sure(String::from_utf8(urls.stdout))
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(!urls.is_empty(), "no image at {}", site.base);
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bare.push(bare_client(&urls, &variables, &format!("bare-{round}")));
        ours.push(into_store(site, &variables, &format!("ours-{round}")));
    }
    print(
        &format!("a bare client, {} images", urls.len()),
        &bare,
        &bare,
    );
    print("fetch into the store", &ours, &bare);
}

fn into_store(site: &Site<'_>, variables: &Variables, prefix: &str) -> Cost {
    let folder = folder();
    let (start, before) = (Instant::now(), cpu_of_ended());
    let mut fetch = site.wallhaul("fetch");
    fetch.arg("--quiet");
    fetch.args(site.pages()).arg("-j").arg(PUTS.to_string());
    fetch
        .args(["-d", &format!("s3://{BUCKET}/{prefix}")])
        .arg("--state-dir")
        .arg(folder.path());
    fetch.envs(variables.iter().map(|(name, value)| (name, value)));
    succeed(&mut fetch);
    Cost {
        wall: start.elapsed(),
        cpu: cpu_of_ended().saturating_sub(before),
        memory: 0,
        broker: Duration::ZERO,
    }
}

fn bare_client(urls: &[String], variables: &Variables, prefix: &str) -> Cost {
    let runtime = sure(Builder::new_multi_thread().enable_all().build());
    let client = s3_client(variables);
    let http = reqwest::Client::new();
    let (start, before) = (Instant::now(), cpu_of_self());
    runtime.block_on(async {
        stream::iter(urls.iter().enumerate())
            .map(|(number, url)| put(&http, url, &client, format!("{prefix}/{number}.png")))
            .buffer_unordered(PUTS)
            .for_each(async |()| ())
            .await;
    });
    Cost {
        wall: start.elapsed(),
        cpu: cpu_of_self().saturating_sub(before),
        memory: 0,
        broker: Duration::ZERO,
    }
}

async fn put(http: &reqwest::Client, url: &str, client: &Arc<dyn ObjectStore>, name: String) {
    let answer = sure(http.get(url).send().await);
    let bytes = sure(sure(answer.error_for_status()).bytes().await);
    let options = PutOptions::from(PutMode::Create);
    sure(client.put_opts(&name.into(), bytes.into(), options).await);
}

/// The least, the middle and the greatest of each figure, and of each round's ratio.
fn print(what: &str, costs: &[Cost], first: &[Cost]) {
    let of = |figure: fn(&Cost) -> f64| spread(costs.iter().map(figure));
    let over = |figure: fn(&Cost) -> f64| {
        spread(
            costs
                .iter()
                .zip(first)
                .map(|(cost, first)| figure(cost) / figure(first)),
        )
    };
    let wall: fn(&Cost) -> f64 = |cost| cost.wall.as_secs_f64();
    let cpu: fn(&Cost) -> f64 = |cost| cost.cpu.as_secs_f64();
    let broker = of(|cost| cost.broker.as_secs_f64());
    let memory = costs
        .iter()
        .map(|cost| cost.memory)
        .max()
        .unwrap_or_default()
        / 1024;
    writeln!(
        std::io::stdout(),
        "{what}: wall {} s ({}), CPU {} s ({}), broker's CPU {broker} s, worker's memory at most {memory} MiB",
        of(wall),
        over(wall),
        of(cpu),
        over(cpu),
    )
    .expect("standard output");
}

fn spread(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let [least, middle, greatest] = [0, values.len() / 2, values.len() - 1].map(|at| values[at]);
    format!("{least:.2} - {middle:.2} - {greatest:.2}")
}

/// In memory, where there is such a place: the disk is another question.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    sure(if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    })
}

fn succeed(command: &mut Command) {
    let status = sure(command.stdout(Stdio::null()).status());
    assert!(status.success(), "{command:?}: {status}");
}

/// CPU of the processes that have ended and were waited for.
fn cpu_of_ended() -> Duration {
    cpu(&sure(fs::read_to_string("/proc/self/stat")), [15, 16])
}

fn cpu_of_self() -> Duration {
    cpu(&sure(fs::read_to_string("/proc/self/stat")), [13, 14])
}

/// The sum of these fields of `/proc/PID/stat`, counted from 0, in its unit of 10 ms.
fn cpu(stat: &str, fields: [usize; 2]) -> Duration {
    // The second field is a name, in which anything may be.
    let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
    let fields = fields.map(|at| {
        let ticks = rest
            .split(' ')
            .nth(at - 2)
            .and_then(|ticks| ticks.parse().ok());
        ticks.expect("a number")
    });
    Duration::from_millis(10 * fields.iter().sum::<u64>())
}

/// The most memory that a process had, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = sure(fs::read_to_string(format!("/proc/{pid}/status")));
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse().ok());
    number.expect("a number")
}

/// What cannot fail where anything works at all: a figure for anything else would be none.
fn sure<T, E: Debug>(done: Result<T, E>) -> T {
    done.expect("a machine on which all of it works")
}
