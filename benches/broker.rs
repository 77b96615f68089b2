//! How fast jobs pass through a broker, without images: `cargo bench --features nats --bench broker`; with `-- drain`, or
//! another part of a case's name, only what has that in its name.
//!
//! Starts the nats-server that `tests/run` has installed, queues 100,000 jobs of one host, and times how long one process
//! and four take to finish them, 400 in flight in all: by confirmed acknowledgements alone (`drain`), and with a result for
//! each that the coordinator receives and acknowledges (`flow`). `always` writes each message to the disk for good.
//! Prints the least, the middle and the greatest of five rounds.

use std::fmt::Debug;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use url::Url;
use wallhaul::event::Events;
use wallhaul::job::{Candidate, ImageKey, Job, JobLimits, JobVersion, RulesHash, SiteId, Tried};
use wallhaul::outcome::{JobEnd, Skip, SkipReason};
use wallhaul::queue::{
    self, Ack, Broker, Coordination, CoordinatorOptions, JobReceiver, Login, WorkerOptions,
};

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/support/nats.rs"]
mod nats;

use nats::{NEWEST, Nats};

const JOBS: usize = 100_000;
const IN_FLIGHT: usize = 400;
const ROUNDS: usize = 5;

/// What makes a process of this program a worker: the broker's address, the jobs in flight, and whether it sends results.
const WORKER: &str = "WALLHAUL_BENCH_WORKER";

fn main() {
    let runtime = sure(Builder::new_multi_thread().enable_all().build());
    if let Ok(task) = std::env::var(WORKER) {
        return runtime.block_on(work(&task));
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    for (sync, settings) in [
        ("default sync", ""),
        ("sync always", "sync_interval: always"),
    ] {
        for reports in [false, true] {
            for processes in [1, 4] {
                let what = if reports { "flow" } else { "drain" };
                let name = format!("{what}, {processes} worker processes, {sync}");
                if !wanted.iter().all(|word| name.contains(word)) {
                    continue;
                }
                let mut times: Vec<_> = (0..ROUNDS)
                    .map(|_| runtime.block_on(round(settings, reports, processes)))
                    .collect();
                times.sort_unstable();
                let [least, middle, greatest] =
                    [0, ROUNDS / 2, ROUNDS - 1].map(|at| times[at].as_secs_f64());
                writeln!(
                    std::io::stdout(),
                    "{name}: {least:.2} - {middle:.2} - {greatest:.2} s"
                )
                .expect("standard output");
            }
        }
    }
}

/// How long so many processes take to finish all jobs.
async fn round(settings: &str, reports: bool, processes: usize) -> Duration {
    let server = Nats::with(
        NEWEST,
        &format!("jetstream {{ store_dir: \"STORE_DIR\"\n{settings}\n}}"),
    );
    let broker = broker(&server.url());
    let (events, _heard) = Events::channel(false);
    let options = CoordinatorOptions {
        collection: "bench".to_owned(),
        host_cap: sure(NonZeroUsize::try_from(IN_FLIGHT)),
        max_jobs: 2 * JOBS as u64,
        max_bytes: CoordinatorOptions::MAX_BYTES,
        ack_wait: CoordinatorOptions::ACK_WAIT,
    };
    let Coordination { sender, results } =
        sure(queue::coordinate(&broker, &options, &events).await);
    stream::iter(0..JOBS)
        .map(|number| sender.send(job(number)))
        .buffer_unordered(256)
        .for_each(async |sent| {
            sure(sent);
        })
        .await;
    let start = Instant::now();
    let each = IN_FLIGHT / processes;
    let task = format!("{} {each} {reports}", server.url());
    let _workers: Vec<_> = (0..processes)
        .map(|_| {
            Ended(sure(
                Command::new(sure(std::env::current_exe()))
                    .env(WORKER, &task)
                    .spawn(),
            ))
        })
        .collect();
    let mut received = 0;
    while reports && received < JOBS {
        let group = sure(results.next().await);
        received += group.len();
        let acks = group.into_iter().map(|result| {
            let (lease, ..) = result.into_lease();
            lease.ack(Ack::Done)
        });
        sure(
            stream::iter(acks)
                .buffer_unordered(64)
                .try_collect::<()>()
                .await,
        );
    }
    while sure(results.depth().await).jobs > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Finishes jobs until it is killed.
async fn work(task: &str) {
    let words: Vec<_> = task.split(' ').collect();
    let [url, slots, reports] = words[..] else {
        panic!("{task}");
    };
    let (slots, reports): (NonZeroUsize, bool) = (sure(slots.parse()), sure(reports.parse()));
    let (events, _heard) = Events::channel(false);
    let options = WorkerOptions {
        slots,
        until_idle: None,
    };
    let receiver = sure(queue::work(&broker(url), &options, &events).await);
    let mut workers = JoinSet::new();
    for _ in 0..slots.get() {
        workers.spawn(finish_all(Arc::clone(&receiver), reports));
    }
    workers.join_all().await;
}

async fn finish_all(receiver: Arc<dyn JobReceiver>, reports: bool) {
    while let Some(lease) = sure(receiver.next().await) {
        if reports {
            let end = JobEnd::Skipped(Skip::new("https://bench.invalid/", SkipReason::NoImage));
            sure(lease.report(Timestamp::UNIX_EPOCH, end).await);
        }
        sure(lease.ack(Ack::Done).await);
    }
}

fn broker(url: &str) -> Broker {
    Broker {
        url: sure(Url::parse(url)),
        login: Login::Anonymous,
        ca: None,
        client_certificate: None,
        insecure: false,
    }
}

fn job(number: usize) -> Job {
    let site = sure(SiteId::new("bench"));
    let original = sure(Url::parse(&format!(
        "https://bench.invalid/uploads/{number}.png"
    )));
    Job {
        version: JobVersion,
        key: ImageKey::new(&site, &original),
        site,
        candidates: vec![Candidate::Direct(original.clone())],
        stem: number.to_string(),
        page: original.into(),
        title: None,
        declared: None,
        limits: JobLimits {
            min_width: 0,
            min_height: 0,
            skips_small: false,
            max_pixels: u64::MAX,
        },
        rules: RulesHash::default(),
        wait: Duration::ZERO,
        tried: Tried::default(),
    }
}

/// A process that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What cannot fail where a broker works at all: a figure for anything else would be none.
fn sure<T, E: Debug>(done: Result<T, E>) -> T {
    done.expect("a broker that works")
}
