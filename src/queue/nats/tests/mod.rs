//! The queue against real servers.

mod contract;
mod drain;
mod faults;
mod flow;
mod hosts;
mod logins;
mod roles;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::server::Server;
use crate::event::{Event, Events};
use crate::queue::{
    Ack, Broker, Coordination, CoordinatorOptions, Depth, JobReceiver, Lease, Login, QueueError,
    ReceivedResult, WorkerOptions, coordinate, work,
};

/// How long a worker may be silent, in tests.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// How long to wait for what must happen.
const SOON: Duration = Duration::from_secs(20);

/// How long to wait for what must not happen.
const GRACE: Duration = Duration::from_millis(500);

fn broker(url: &str) -> Broker {
    Broker {
        url: Url::parse(url).unwrap(),
        login: Login::Anonymous,
        ca: None,
        client_certificate: None,
        insecure: false,
    }
}

fn options(host_cap: usize) -> CoordinatorOptions {
    CoordinatorOptions {
        collection: "demo1".to_owned(),
        host_cap: NonZeroUsize::new(host_cap).unwrap(),
        max_jobs: 100_000,
        max_bytes: 64 << 20,
        ack_wait: ACK_WAIT,
    }
}

fn slots(slots: usize) -> WorkerOptions {
    WorkerOptions {
        slots: NonZeroUsize::new(slots).unwrap(),
        until_idle: None,
    }
}

/// A run's events, and what came of them.
fn events() -> (Events, tokio::sync::mpsc::Receiver<Event>) {
    Events::channel(true)
}

async fn coordinator(server: &Server, host_cap: usize) -> Coordination {
    let (events, _) = events();
    coordinate(&broker(&server.url()), &options(host_cap), &events)
        .await
        .unwrap()
}

async fn worker(server: &Server, number: usize) -> Arc<dyn JobReceiver> {
    let (events, _) = events();
    work(&broker(&server.url()), &slots(number), &events)
        .await
        .unwrap()
}

async fn raw(server: &Server) -> async_nats::Client {
    async_nats::connect(server.url()).await.unwrap()
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"))
}

async fn next(worker: &Arc<dyn JobReceiver>) -> Lease {
    soon("a job", worker.next()).await.unwrap().unwrap()
}

/// Waits for this many results.
async fn results(coordination: &Coordination, number: usize) -> Vec<ReceivedResult> {
    let mut all = Vec::new();
    while all.len() < number {
        all.extend(soon("a result", coordination.results.next()).await.unwrap());
    }
    all
}

/// Waits until so much is in the queue: a server removes some messages after it has answered.
async fn depth_becomes(coordination: &Coordination, jobs: u64, results: u64) {
    let due = Depth { jobs, results };
    let settled = async {
        while coordination.results.depth().await.unwrap() != due {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the right depth", settled).await;
}

/// Removes a result, and makes a dead letter of a failure.
pub(super) async fn acked(result: ReceivedResult) -> Result<(), QueueError> {
    let (lease, ..) = result.into_lease();
    let reason = String::new();
    lease.ack(Ack::Dead { reason }).await
}
