//! What breaks on the way: servers, leases, messages.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout;

use super::super::server::{NEW, OLD, Server};
use super::{
    ACK_WAIT, GRACE, acked, broker, coordinator, depth_becomes, events, next, options, raw,
    results, slots, soon, worker,
};
use crate::event::{Event, Warning};
use crate::outcome::{JobEnd, Skip, SkipReason};
use crate::queue::contract::job;
use crate::queue::{Ack, Lease, Sent, administer, coordinate, work};

fn skipped() -> JobEnd {
    JobEnd::Skipped(Skip {
        address: String::new(),
        reason: SkipReason::NoRule,
        new: true,
    })
}

/// Reports a job and acknowledges it.
async fn finish(lease: Lease) {
    lease.report(Timestamp::now(), skipped()).await.unwrap();
    lease.ack(Ack::Done).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_for_as_long_as_it_is_held() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let (one, other) = (worker(&server, 1).await, worker(&server, 1).await);
    coordination.sender.send(job(0)).await.unwrap();
    let lease = tokio::select! {
        lease = next(&one) => lease,
        lease = next(&other) => lease,
    };
    tokio::select! {
        _ = one.next() => panic!("it was delivered twice"),
        _ = other.next() => panic!("it was delivered twice"),
        () = tokio::time::sleep(ACK_WAIT * 2) => {}
    }
    assert!(!lease.is_lost());
    finish(lease).await;
    depth_becomes(&coordination, 0, 1).await;
    assert_eq!(results(&coordination, 1).await[0].result.attempt, 1);
}

async fn a_frozen_server_takes_the_leases(version: &str) {
    let server = Server::start(version);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 2).await;
    coordination.sender.send(job(0)).await.unwrap();
    let lease = next(&worker).await;
    server.freeze();
    let frozen = Instant::now();
    soon("the loss of the lease", lease.lost()).await;
    assert!(frozen.elapsed() < ACK_WAIT, "{:?}", frozen.elapsed());
    // Nothing is said of it any more.
    finish(lease).await;
    tokio::time::sleep(ACK_WAIT * 2).await;
    server.thaw();
    let again = next(&worker).await;
    assert_eq!(again.attempt, 2);
    finish(again).await;
    depth_becomes(&coordination, 0, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_lost_before_a_frozen_server_gives_it_to_another() {
    a_frozen_server_takes_the_leases(NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_lost_before_a_frozen_old_server_gives_it_to_another() {
    a_frozen_server_takes_the_leases(OLD).await;
}

async fn a_killed_server_loses_nothing(version: &str) {
    let mut server = Server::start(version);
    let (events, mut seen) = events();
    let coordination = coordinate(&broker(&server.url()), &options(8), &events)
        .await
        .unwrap();
    let worker = worker(&server, 8).await;
    for number in 0..20 {
        assert_eq!(
            coordination.sender.send(job(number)).await.unwrap(),
            Sent::New
        );
    }
    let held = next(&worker).await;
    server.kill();
    tokio::time::sleep(GRACE).await;
    server.restart();
    // All at once: the server does not answer for a delivery that it forgot.
    let mut finishing = tokio::task::JoinSet::new();
    finishing.spawn(finish(held));
    // One whose delivery the server forgot comes again; its result is the same one.
    let mut keys = BTreeSet::from([job(0).key]);
    while coordination.results.depth().await.unwrap().jobs > 0 {
        if let Ok(lease) = timeout(GRACE, worker.next()).await {
            let lease = lease.unwrap().unwrap();
            keys.insert(lease.job.key.clone());
            finishing.spawn(finish(lease));
        }
    }
    finishing.join_all().await;
    assert_eq!(keys.len(), 20);
    assert!(results(&coordination, 20).await.len() >= 20);
    let reasons = std::iter::from_fn(|| seen.try_recv().ok());
    assert!(
        reasons
            .filter(|event| matches!(event, Event::Waiting { .. }))
            .count()
            >= 2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_restarted_loses_nothing() {
    a_killed_server_loses_nothing(NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_that_is_killed_and_restarted_loses_nothing() {
    a_killed_server_loses_nothing(OLD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_server_is_filled_again() {
    let mut server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 2).await;
    coordination.sender.send(job(0)).await.unwrap();
    let before = next(&worker).await;
    server.kill();
    server.wipe();
    server.restart();
    let sent = soon("the streams", coordination.sender.send(job(1))).await;
    assert_eq!(sent.unwrap(), Sent::New);
    // It has the number of the other one now.
    before.ack(Ack::Done).await.unwrap();
    depth_becomes(&coordination, 1, 0).await;
    let after = next(&worker).await;
    assert_eq!((&after.job, after.attempt), (&job(1), 1));
    finish(after).await;
    assert_eq!(results(&coordination, 1).await[0].result.job, job(1));
    depth_becomes(&coordination, 0, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_somebody_deleted_is_made_again() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let raw = raw(&server).await;
    coordination.sender.send(job(0)).await.unwrap();
    let api = "$JS.API.CONSUMER.DELETE.JOBS.demo=2Einvalid";
    raw.request(api, "".into()).await.unwrap();
    let worker = worker(&server, 2).await;
    let tended = async {
        tokio::select! {
            lease = next(&worker) => lease,
            _ = coordination.results.next() => panic!("there is no result"),
        }
    };
    finish(tended.await).await;
    depth_becomes(&coordination, 0, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_messages_are_buried_once_with_their_reason() {
    let server = Server::start(NEW);
    let (events, mut seen) = events();
    let coordination = coordinate(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    let worker = worker(&server, 4).await;
    coordination.sender.send(job(0)).await.unwrap();
    let newer = r#"{"v":2,"collection":"demo1","job":{}}"#;
    let raw = raw(&server).await;
    for message in ["{", newer, "\u{1F4A3}"] {
        let stored = raw
            .request("wallhaul.job.demo=2Einvalid", message.into())
            .await;
        assert!(stored.unwrap().payload.starts_with(b"{\"stream\":\"JOBS\""));
    }
    finish(next(&worker).await).await;
    assert!(timeout(GRACE, worker.next()).await.is_err());
    let all = results(&coordination, 1).await;
    assert_eq!(all[0].result.job, job(0));
    for result in all {
        acked(result).await.unwrap();
    }
    assert!(timeout(GRACE, coordination.results.next()).await.is_err());
    depth_becomes(&coordination, 0, 0).await;
    let admin = administer(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    let dead = admin.dead(0).await.unwrap();
    let mut reasons: Vec<_> = dead.iter().map(|letter| letter.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(
        reasons[0].starts_with("the message has version 2"),
        "{reasons:?}"
    );
    assert!(
        reasons[2].starts_with("the message is no job"),
        "{reasons:?}"
    );
    let warned = std::iter::from_fn(|| seen.try_recv().ok()).filter(|event| {
        let warning = Warning::QueueMessage { queue: String::new(), cause: String::new() };
        matches!(event, Event::Warned { warning: seen } if std::mem::discriminant(seen) == std::mem::discriminant(&warning))
    });
    assert_eq!(warned.count(), 3);
}

async fn a_job_that_nobody_survives_is_given_up(version: &str) {
    let server = Server::start(version);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 2).await;
    coordination.sender.send(job(0)).await.unwrap();
    for attempt in 1..=20 {
        let lease = next(&worker).await;
        assert_eq!(lease.attempt, attempt);
        drop(lease);
    }
    let result = results(&coordination, 1).await.pop().unwrap();
    assert_eq!(result.result.job, job(0));
    let JobEnd::Failed(failure) = &result.result.end else {
        panic!("{:?}", result.result)
    };
    assert_eq!(failure.cause, "delivered 20 times, never answered");
    acked(result).await.unwrap();
    depth_becomes(&coordination, 0, 0).await;
    let (events, _seen) = events();
    let admin = administer(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    let dead = admin.dead(0).await.unwrap();
    assert_eq!(dead[0].job.as_ref(), Some(&job(0)));
    // And it can be tried again.
    assert!(admin.retry(dead[0].number).await.unwrap());
    assert_eq!(admin.dead(0).await.unwrap(), []);
    let lease = next(&worker).await;
    assert_eq!((&lease.job, lease.attempt), (&job(0), 1));
    finish(lease).await;
    assert_eq!(results(&coordination, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_no_worker_survives_is_given_up_after_twenty_deliveries() {
    a_job_that_nobody_survives_is_given_up(NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_no_worker_survives_is_given_up_by_the_old_server_too() {
    a_job_that_nobody_survives_is_given_up(OLD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_closes_returns_its_jobs_at_once() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 8).await;
    let first = worker(&server, 4).await;
    for number in 0..8 {
        coordination.sender.send(job(number)).await.unwrap();
    }
    drop(next(&first).await);
    first.close().await;
    assert!(first.next().await.unwrap().is_none());
    let start = Instant::now();
    let second = worker(&server, 8).await;
    for _ in 0..8 {
        finish(next(&second).await).await;
    }
    assert!(start.elapsed() < ACK_WAIT, "{:?}", start.elapsed());
    depth_becomes(&coordination, 0, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_work_ends_when_the_queue_is_empty_and_not_before() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 8).await;
    let (events, _seen) = events();
    let mut options = slots(2);
    options.until_idle = Some(Duration::from_millis(300));
    coordination.sender.send(job(0)).await.unwrap();
    let busy = worker(&server, 1).await;
    let lease = next(&busy).await;
    let idle = work(&broker(&server.url()), &options, &events)
        .await
        .unwrap();
    assert!(timeout(GRACE * 3, idle.next()).await.is_err());
    finish(lease).await;
    assert!(soon("the end", idle.next()).await.unwrap().is_none());
}

/// A small file system in memory, unmounted on drop. Needs root.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::TempDir::with_prefix("nats-disk-").unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "memory"]);
        assert!(mount.arg(folder.path()).status().unwrap().success());
        Self(folder)
    }

    fn fill(&self) {
        let file = std::fs::File::create(self.0.path().join("full")).unwrap();
        let error = std::io::copy(&mut std::io::repeat(0), &mut &file).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_disk_is_full_is_an_error_that_asks_for_it() {
    let disk = SmallDisk::new();
    let config = format!(
        "listen: \"LISTEN\"\njetstream {{ store_dir: \"{}\", max_file_store: 4G }}",
        disk.0.path().display()
    );
    let server = Server::with_whole_config(NEW, &config, &[]);
    let (events, mut seen) = events();
    let coordination = coordinate(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    coordination.sender.send(job(0)).await.unwrap();
    disk.fill();
    let mut number = 1;
    // Some may find room in what the server has opened already.
    let error = loop {
        match coordination.sender.send(job(number)).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    let words = "it does not store; is its disk full?";
    assert!(error.to_string().contains(words), "{error}");
    let said = serde_json::to_string(&seen.recv().await.unwrap()).unwrap();
    assert!(said.contains(r#""reason":"queue_silent""#), "{said}");
    drop(server);
}
