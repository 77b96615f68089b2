//! What every queue keeps, whichever plug it is. A new plug adds one line: at the end of this file, or, where its
//! queue needs a broker, among its own tests.
//!
//! No rule here needs a paused clock, so that a plug over the network can keep them too; with one they take no time.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::job::{Candidate, ImageKey, JobLimits, JobVersion, RulesHash, SiteId, Tried};

/// How long a job is delayed.
const DELAY: Duration = Duration::from_millis(200);

/// How long to wait for what must not happen.
const GRACE: Duration = Duration::from_millis(200);

pub(in crate::queue) fn job(number: usize) -> Job {
    let site = SiteId::new("demo").unwrap();
    let address = Url::parse(&format!("https://demo.invalid/{number}.png")).unwrap();
    Job {
        version: JobVersion,
        key: ImageKey::new(&site, &address),
        site,
        candidates: vec![Candidate::Direct(address.clone())],
        stem: number.to_string(),
        page: address.into(),
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

/// Where plugs differ.
#[derive(Debug, Clone, Copy)]
pub(in crate::queue) struct Kind {
    /// Whether a lease makes room for another job; elsewhere only the acknowledgement does.
    pub(in crate::queue) lease_makes_room: bool,
    /// Whether a dropped lease counts as an attempt: a broker counts deliveries.
    pub(in crate::queue) counts_deliveries: bool,
}

/// Opens a plug's queue, empty, for this many fresh jobs.
pub(in crate::queue) trait OpenQueue: AsyncFn(NonZeroUsize) -> Queue {}
impl<F: AsyncFn(NonZeroUsize) -> Queue> OpenQueue for F {}

async fn opened(
    open: impl OpenQueue,
    capacity: usize,
) -> (Box<dyn JobSender>, Arc<dyn JobReceiver>) {
    let Queue { sender, receiver } = open(NonZeroUsize::new(capacity).unwrap()).await;
    (sender, Arc::from(receiver))
}

async fn next(receiver: &Arc<dyn JobReceiver>) -> Lease {
    receiver.next().await.unwrap().unwrap()
}

async fn assert_finished(receiver: &Arc<dyn JobReceiver>) {
    assert!(receiver.next().await.unwrap().is_none());
}

pub(in crate::queue) async fn jobs_come_out_in_the_order_they_went_in(
    _kind: Kind,
    open: impl OpenQueue,
) {
    let (sender, receiver) = opened(open, 8).await;
    for number in 0..3 {
        sender.send(job(number)).await.unwrap();
    }
    drop(sender);
    for number in 0..3 {
        let lease = next(&receiver).await;
        assert_eq!((&lease.job, lease.attempt), (&job(number), 1));
        lease.ack(Ack::Done).await.unwrap();
    }
    assert_finished(&receiver).await;
    assert_finished(&receiver).await;
}

pub(in crate::queue) async fn a_full_queue_makes_the_producer_wait(
    kind: Kind,
    open: impl OpenQueue,
) {
    let (sender, receiver) = opened(open, 1).await;
    sender.send(job(0)).await.unwrap();
    assert!(timeout(GRACE, sender.send(job(1))).await.is_err());
    let lease = next(&receiver).await;
    if !kind.lease_makes_room {
        lease.ack(Ack::Done).await.unwrap();
        sender.send(job(2)).await.unwrap();
        return;
    }
    sender.send(job(2)).await.unwrap();
    drop(lease);
}

pub(in crate::queue) async fn an_empty_queue_makes_the_worker_wait_until_the_timeout(
    _kind: Kind,
    open: impl OpenQueue,
) {
    let (sender, receiver) = opened(open, 8).await;
    assert!(timeout(GRACE, receiver.next()).await.is_err());
    sender.send(job(0)).await.unwrap();
    assert_eq!(next(&receiver).await.job, job(0));
}

pub(in crate::queue) async fn a_retry_waits_its_delay_without_holding_a_worker(
    _kind: Kind,
    open: impl OpenQueue,
) {
    let (sender, receiver) = opened(open, 8).await;
    sender.send(job(0)).await.unwrap();
    sender.send(job(1)).await.unwrap();
    drop(sender);
    let lease = next(&receiver).await;
    let start = Instant::now();
    lease.ack(Ack::Retry { after: DELAY }).await.unwrap();
    let other = next(&receiver).await;
    assert_eq!(other.job, job(1));
    other.ack(Ack::Done).await.unwrap();
    assert!(start.elapsed() < DELAY);
    let retried = next(&receiver).await;
    assert_eq!((&retried.job, retried.attempt), (&job(0), 2));
    assert!(start.elapsed() >= DELAY);
    retried.ack(Ack::Done).await.unwrap();
    assert_finished(&receiver).await;
}

pub(in crate::queue) async fn retries_come_out_in_the_order_of_their_delays(
    _kind: Kind,
    open: impl OpenQueue,
) {
    let (sender, receiver) = opened(open, 8).await;
    for number in 0..3 {
        sender.send(job(number)).await.unwrap();
    }
    drop(sender);
    for factor in [3, 1, 2] {
        let after = DELAY * factor;
        let lease = next(&receiver).await;
        lease.ack(Ack::Retry { after }).await.unwrap();
    }
    for number in [1, 2, 0] {
        let lease = next(&receiver).await;
        assert_eq!(lease.job, job(number));
        lease.ack(Ack::Done).await.unwrap();
    }
    assert_finished(&receiver).await;
}

pub(in crate::queue) async fn a_dropped_lease_returns_its_job(kind: Kind, open: impl OpenQueue) {
    let (sender, receiver) = opened(open, 8).await;
    sender.send(job(0)).await.unwrap();
    drop(sender);
    drop(next(&receiver).await);
    let returned = next(&receiver).await;
    let attempt = if kind.counts_deliveries { 2 } else { 1 };
    assert_eq!((&returned.job, returned.attempt), (&job(0), attempt));
    returned.ack(Ack::Done).await.unwrap();
    assert_finished(&receiver).await;
}

pub(in crate::queue) async fn the_end_waits_for_the_last_lease(_kind: Kind, open: impl OpenQueue) {
    let (sender, receiver) = opened(open, 8).await;
    sender.send(job(0)).await.unwrap();
    drop(sender);
    let lease = next(&receiver).await;
    let idle = tokio::spawn({
        let receiver = Arc::clone(&receiver);
        async move { receiver.next().await.unwrap().is_none() }
    });
    assert!(timeout(GRACE, receiver.next()).await.is_err());
    assert!(!idle.is_finished());
    lease.ack(Ack::Done).await.unwrap();
    assert!(idle.await.unwrap());
}

pub(in crate::queue) async fn a_worker_that_stops_waiting_loses_no_job(
    _kind: Kind,
    open: impl OpenQueue,
) {
    let (sender, receiver) = opened(open, 8).await;
    for _ in 0..100 {
        assert!(timeout(Duration::ZERO, receiver.next()).await.is_err());
    }
    sender.send(job(0)).await.unwrap();
    assert_eq!(next(&receiver).await.job, job(0));
}

pub(in crate::queue) async fn each_job_reaches_one_of_many_workers(
    _kind: Kind,
    open: impl OpenQueue,
) {
    const JOBS: usize = 1_000;
    let (sender, receiver) = opened(open, 40).await;
    let workers: Vec<_> = (0..20)
        .map(|_| {
            let receiver = Arc::clone(&receiver);
            tokio::spawn(async move {
                let mut keys = Vec::new();
                while let Some(lease) = receiver.next().await.unwrap() {
                    keys.push(lease.job.key.clone());
                    lease.ack(Ack::Done).await.unwrap();
                }
                keys
            })
        })
        .collect();
    for number in 0..JOBS {
        sender.send(job(number)).await.unwrap();
    }
    drop(sender);
    let mut keys = Vec::new();
    for worker in workers {
        keys.extend(worker.await.unwrap());
    }
    let mut due: Vec<_> = (0..JOBS).map(|number| job(number).key).collect();
    due.sort_unstable();
    keys.sort_unstable();
    assert!(keys == due, "{} of {JOBS}", keys.len());
}

/// Runs every rule for one plug: `name`, the attributes of its tests, its kind, and what opens it.
macro_rules! contract {
    ($plug:ident, $test:meta, $kind:expr, $open:expr) => {
        $crate::queue::contract::contract!($plug, $test, $kind, $open,
            jobs_come_out_in_the_order_they_went_in
            a_full_queue_makes_the_producer_wait
            an_empty_queue_makes_the_worker_wait_until_the_timeout
            a_retry_waits_its_delay_without_holding_a_worker
            retries_come_out_in_the_order_of_their_delays
            a_dropped_lease_returns_its_job
            the_end_waits_for_the_last_lease
            a_worker_that_stops_waiting_loses_no_job
            each_job_reaches_one_of_many_workers
        );
    };
    ($plug:ident, $test:meta, $kind:expr, $open:expr, $($rule:ident)*) => {
        mod $plug {
            use super::*;
            $(
                #[$test]
                async fn $rule() {
                    $crate::queue::contract::$rule($kind, $open).await;
                }
            )*
        }
    };
}
pub(in crate::queue) use contract;

async fn open_url(url: &str, capacity: NonZeroUsize) -> Queue {
    open(&Url::parse(url).unwrap(), capacity).await.unwrap()
}

const MEMORY: Kind = Kind {
    lease_makes_room: true,
    counts_deliveries: false,
};

contract!(
    memory,
    tokio::test(start_paused = true),
    MEMORY,
    async |capacity| { open_url("memory:", capacity).await }
);

#[tokio::test]
async fn a_scheme_without_a_plug_is_refused_by_name() {
    let url = Url::parse("amqp://localhost/jobs").unwrap();
    let Err(refused) = open(&url, NonZeroUsize::MIN).await else {
        panic!("no plug serves {url}")
    };
    assert_eq!(
        refused.to_string(),
        "no queue for `amqp:` in this build: use `memory:`"
    );
}
