//! Hosts and their caps; what is queued twice; who looks after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use url::Url;

use super::super::server::{NEW, OLD, Server};
use super::{GRACE, SOON, broker, coordinator, depth_becomes, events, next, options, soon, worker};
use crate::job::{Candidate, Job};
use crate::queue::contract::job;
use crate::queue::{Ack, Purge, QueueError, Sent, administer, coordinate};

/// A job of another host.
pub(super) fn elsewhere(number: usize, host: &str) -> Job {
    let mut job = job(number);
    let address = Url::parse(&format!("https://{host}/{number}.png")).unwrap();
    job.candidates = vec![Candidate::Direct(address)];
    job
}

async fn a_host_is_served_by_its_cap(version: &str) {
    const JOBS: usize = 60;
    let server = Server::start(version);
    let coordination = coordinator(&server, 3).await;
    let active = Arc::new(AtomicUsize::new(0));
    let peak = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let worker = worker(&server, 4).await;
        for _ in 0..4 {
            let (worker, active, peak, done) = (
                Arc::clone(&worker),
                Arc::clone(&active),
                Arc::clone(&peak),
                Arc::clone(&done),
            );
            tasks.push(tokio::spawn(async move {
                while let Some(lease) = worker.next().await.unwrap() {
                    let now = active.fetch_add(1, Ordering::SeqCst) + 1;
                    peak.fetch_max(now, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    active.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                    lease.ack(Ack::Done).await.unwrap();
                }
            }));
        }
    }
    for number in 0..JOBS {
        coordination.sender.send(job(number)).await.unwrap();
    }
    depth_becomes(&coordination, 0, 0).await;
    for task in tasks {
        task.abort();
    }
    assert_eq!(done.load(Ordering::SeqCst), JOBS);
    assert_eq!(peak.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_of_a_host_holds_for_six_workers() {
    a_host_is_served_by_its_cap(NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_of_a_host_holds_for_six_workers_of_the_old_server() {
    a_host_is_served_by_its_cap(OLD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_at_most_its_slots_and_all_hosts_get_their_turn() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 2).await;
    for number in 0..30 {
        let job = elsewhere(number, &format!("h{number}.invalid"));
        coordination.sender.send(job).await.unwrap();
    }
    let worker = worker(&server, 2).await;
    let mut first = next(&worker).await;
    let second = next(&worker).await;
    assert!(timeout(GRACE, worker.next()).await.is_err());
    // One whose image waits to be committed is not in the way.
    first.free_slot();
    let third = next(&worker).await;
    for lease in [first, second, third] {
        lease.ack(Ack::Done).await.unwrap();
    }
    let start = Instant::now();
    for _ in 3..30 {
        next(&worker).await.ack(Ack::Done).await.unwrap();
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    depth_becomes(&coordination, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_host_stands_still_and_no_other_host_does() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 4).await;
    coordination
        .sender
        .send(elsewhere(0, "busy.invalid"))
        .await
        .unwrap();
    let lease = next(&worker).await;
    let pause = Duration::from_secs(4);
    worker.pause_host("busy.invalid", pause).await.unwrap();
    let start = Instant::now();
    // A shorter one changes nothing.
    worker
        .pause_host("busy.invalid", Duration::from_millis(10))
        .await
        .unwrap();
    lease
        .ack(Ack::Retry {
            after: Duration::ZERO,
        })
        .await
        .unwrap();
    coordination
        .sender
        .send(elsewhere(1, "other.invalid"))
        .await
        .unwrap();
    let other = next(&worker).await;
    assert_eq!(other.job.host(), "other.invalid");
    other.ack(Ack::Done).await.unwrap();
    let (events, _seen) = events();
    let admin = administer(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    let status = admin.status().await.unwrap();
    assert_eq!((status.jobs, status.results, status.dead), (1, 0, 0));
    let busy = &status.hosts[0];
    assert_eq!((busy.host.as_str(), busy.cap), ("busy.invalid", 4));
    assert!(busy.paused_until.is_some() && status.hosts[1].paused_until.is_none());
    let again = next(&worker).await;
    assert_eq!(
        (again.job.host(), again.attempt),
        ("busy.invalid".to_owned(), 2)
    );
    assert!(start.elapsed() > pause * 9 / 10, "{:?}", start.elapsed());
    assert!(!admin.pause("nowhere.invalid", pause).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_is_not_queued_twice_and_that_of_another_run_is_refused() {
    let server = Server::start(NEW);
    let first = coordinator(&server, 4).await;
    for number in 0..700 {
        assert_eq!(first.sender.send(job(number)).await.unwrap(), Sent::New);
    }
    assert_eq!(first.sender.send(job(0)).await.unwrap(), Sent::Refused);
    let again = coordinator(&server, 4).await;
    for number in [0, 1, 699] {
        assert_eq!(again.sender.send(job(number)).await.unwrap(), Sent::Waiting);
    }
    let (events, _seen) = events();
    let mut other = options(4);
    other.collection = "other".to_owned();
    let other = coordinate(&broker(&server.url()), &other, &events)
        .await
        .unwrap();
    assert_eq!(other.sender.send(job(0)).await.unwrap(), Sent::Refused);
    assert_eq!(other.sender.send(job(700)).await.unwrap(), Sent::New);
    depth_becomes(&again, 701, 0).await;
    let admin = administer(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    assert_eq!(
        admin.purge(Purge::Host("nowhere.invalid")).await.unwrap(),
        0
    );
    assert_eq!(admin.purge(Purge::Jobs).await.unwrap(), 701);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_another_run_on_another_host_do_not_count() {
    let server = Server::start(NEW);
    let first = coordinator(&server, 4).await;
    let (events, _seen) = events();
    let mut other = options(4);
    other.collection = "other".to_owned();
    let other = coordinate(&broker(&server.url()), &other, &events)
        .await
        .unwrap();
    for number in 1..4 {
        let job = elsewhere(number, "other.invalid");
        assert_eq!(other.sender.send(job).await.unwrap(), Sent::New);
    }
    depth_becomes(&first, 0, 0).await;
    first.sender.send(job(0)).await.unwrap();
    depth_becomes(&first, 1, 0).await;
    depth_becomes(&other, 3, 0).await;
    // Jobs of an earlier run of the collection are this run's as well.
    let again = coordinator(&server, 4).await;
    assert_eq!(again.sender.send(job(0)).await.unwrap(), Sent::Waiting);
    depth_becomes(&again, 1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_other_settings_is_told_what_differs() {
    let server = Server::start(NEW);
    let first = coordinator(&server, 4).await;
    first.sender.send(job(0)).await.unwrap();
    let (events, _seen) = events();
    let broker = broker(&server.url());
    let mut other = options(4);
    other.max_jobs = 7;
    let Err(QueueError::BadBroker { reason, .. }) = coordinate(&broker, &other, &events).await
    else {
        panic!("the stream holds more")
    };
    assert!(
        reason.contains("`max_msgs` 100000 instead of 7"),
        "{reason}"
    );
    let second = coordinate(&broker, &options(5), &events).await.unwrap();
    let Err(QueueError::BadBroker { reason, .. }) = second.sender.send(job(1)).await else {
        panic!("the cap is another")
    };
    assert!(
        reason.contains("`max_ack_pending` 4 instead of 5"),
        "{reason}"
    );
    assert!(reason.contains("`demo.invalid`"), "{reason}");
    // Without jobs, it is what a run that was killed has left.
    let worker = worker(&server, 1).await;
    next(&worker).await.ack(Ack::Done).await.unwrap();
    let sent = second.sender.send(job(1)).await;
    assert_eq!(sent.unwrap(), Sent::New);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_without_jobs_are_removed_at_the_end_of_a_run() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    for (number, host) in ["done.invalid", "left.invalid"].into_iter().enumerate() {
        let sent = coordination.sender.send(elsewhere(number, host)).await;
        assert_eq!(sent.unwrap(), Sent::New);
    }
    let worker = worker(&server, 2).await;
    let leases = [next(&worker).await, next(&worker).await];
    for lease in leases {
        if lease.job.host() == "done.invalid" {
            lease.ack(Ack::Done).await.unwrap();
        }
    }
    coordination.results.close().await.unwrap();
    let (events, _seen) = events();
    let admin = administer(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    let hosts = admin.status().await.unwrap().hosts;
    let hosts: Vec<_> = hosts.iter().map(|host| host.host.as_str()).collect();
    assert_eq!(hosts, ["left.invalid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_mentioned_and_waited_for() {
    let server = Server::start(NEW);
    let (events, mut seen) = events();
    let mut two = options(4);
    two.max_jobs = 2;
    let coordination = coordinate(&broker(&server.url()), &two, &events)
        .await
        .unwrap();
    for number in 0..2 {
        coordination.sender.send(job(number)).await.unwrap();
    }
    assert!(
        timeout(GRACE * 3, coordination.sender.send(job(2)))
            .await
            .is_err()
    );
    let said = serde_json::to_string(&seen.recv().await.unwrap()).unwrap();
    assert!(said.contains(r#""reason":"queue_full""#), "{said}");
    let worker = worker(&server, 1).await;
    next(&worker).await.ack(Ack::Done).await.unwrap();
    let sent = soon("room", coordination.sender.send(job(2))).await;
    assert_eq!(sent.unwrap(), Sent::New);
}
