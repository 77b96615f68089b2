//! Jobs out, results in.

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::timeout;

use super::super::server::{NEW, OLD, Server};
use super::hosts::elsewhere;
use super::{
    GRACE, acked, broker, coordinator, depth_becomes, events, next, options, raw, results, worker,
};
use crate::job::Job;
use crate::outcome::{Failure, JobEnd, JobResult, ResultVersion, Skip, SkipReason, Stage};
use crate::queue::contract::job;
use crate::queue::{Ack, Sent, administer};

async fn a_job_goes_out_and_its_result_comes_in(version: &str) {
    let server = Server::start(version);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 2).await;
    assert_eq!(coordination.sender.send(job(0)).await.unwrap(), Sent::New);
    let lease = next(&worker).await;
    assert_eq!((&lease.job, lease.attempt), (&job(0), 1));
    let end = JobEnd::Failed(Failure {
        stage: Stage::Fetch,
        address: "https://demo.invalid/0.png".to_owned(),
        cause: "404 Not Found".to_owned(),
        attempts: 1,
        gone: true,
    });
    lease.report(Timestamp::now(), end.clone()).await.unwrap();
    let reason = "404 Not Found".to_owned();
    lease.ack(Ack::Dead { reason }).await.unwrap();
    depth_becomes(&coordination, 0, 1).await;
    let result = results(&coordination, 1).await.pop().unwrap();
    assert_eq!((&result.result.job, &result.result.end), (&job(0), &end));
    acked(result).await.unwrap();
    depth_becomes(&coordination, 0, 0).await;
    assert!(timeout(GRACE, coordination.results.next()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_out_and_its_result_comes_in_with_the_new_server() {
    a_job_goes_out_and_its_result_comes_in(NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_out_and_its_result_comes_in_with_the_old_server() {
    a_job_goes_out_and_its_result_comes_in(OLD).await;
}

fn skipped() -> JobEnd {
    JobEnd::Skipped(Skip::new("https://demo.invalid/", SkipReason::NoImage))
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_are_reported_at_the_same_time_share_a_message() {
    const JOBS: usize = 70;
    let server = Server::start(NEW);
    let coordination = coordinator(&server, JOBS).await;
    let worker = worker(&server, JOBS).await;
    let mut leases = Vec::new();
    for number in 0..JOBS {
        coordination.sender.send(job(number)).await.unwrap();
        leases.push(next(&worker).await);
    }
    let reports = leases
        .iter()
        .map(|lease| lease.report(Timestamp::now(), skipped()));
    for reported in join_all(reports).await {
        reported.unwrap();
    }
    for lease in leases {
        lease.ack(Ack::Done).await.unwrap();
    }
    // As many as a message takes, and the others.
    depth_becomes(&coordination, 0, 2).await;
    let mut received = results(&coordination, JOBS).await;
    let mut keys: Vec<_> = received
        .iter()
        .map(|received| received.result.job.key.clone())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), JOBS);
    // A message is there until the last of its results is acknowledged.
    let last = received.remove(3);
    for result in received {
        acked(result).await.unwrap();
    }
    depth_becomes(&coordination, 0, 1).await;
    acked(last).await.unwrap();
    depth_becomes(&coordination, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reporter_that_goes_leaves_its_message_to_the_others() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 4).await;
    let mut leases = Vec::new();
    for number in 0..3 {
        coordination.sender.send(job(number)).await.unwrap();
        leases.push(next(&worker).await);
    }
    let mut reports = leases
        .iter()
        .map(|lease| Box::pin(lease.report(Timestamp::now(), skipped())));
    // The first begins a message, and is dropped before it is sent.
    let mut first = reports.next().unwrap();
    assert!(futures_util::poll!(&mut first).is_pending());
    let others = join_all(reports);
    let mut others = Box::pin(others);
    assert!(futures_util::poll!(&mut others).is_pending());
    drop(first);
    for reported in others.await {
        reported.unwrap();
    }
    let received = results(&coordination, 2).await;
    let of = |number| {
        let key = job(number).key;
        received
            .iter()
            .any(|received| received.result.job.key == key)
    };
    assert!(of(1) && of(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_result_is_buried_and_the_others_count() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let result = |number| JobResult {
        version: ResultVersion,
        job: job(number),
        attempt: 1,
        at: Timestamp::now(),
        end: skipped(),
    };
    let [one, two] = [1, 2].map(|number| serde_json::to_string(&result(number)).unwrap());
    let message = format!("{one}\n{{\"v\":7}}\n{two}\n");
    let stored = raw(&server)
        .await
        .request("wallhaul.result.demo1", message.into())
        .await;
    assert!(
        stored
            .unwrap()
            .payload
            .starts_with(b"{\"stream\":\"RESULTS\"")
    );
    for result in results(&coordination, 2).await {
        acked(result).await.unwrap();
    }
    assert!(timeout(GRACE, coordination.results.next()).await.is_err());
    depth_becomes(&coordination, 0, 0).await;
    let (events, _seen) = events();
    let admin = administer(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    let dead = admin.dead(0).await.unwrap();
    let reasons: Vec<_> = dead.iter().map(|letter| letter.reason.as_str()).collect();
    // The line that is none, and the empty one behind the last.
    assert_eq!(reasons, ["a worker sent a result that cannot be read"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_an_image_that_was_stored_all_the_same_is_no_dead_letter() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 1).await;
    let (events, _seen) = events();
    let admin = administer(&broker(&server.url()), &options(4), &events)
        .await
        .unwrap();
    let reason = "answered 500".to_owned();
    for (number, ack, dead) in [(0, Ack::Done, 0), (1, Ack::Dead { reason }, 1)] {
        coordination.sender.send(job(number)).await.unwrap();
        let lease = next(&worker).await;
        let failure = Failure {
            stage: Stage::Fetch,
            address: "https://demo.invalid/0.png".to_owned(),
            cause: "answered 500".to_owned(),
            attempts: 1,
            gone: false,
        };
        let end = JobEnd::Failed(failure);
        lease.report(Timestamp::now(), end).await.unwrap();
        lease.ack(Ack::Done).await.unwrap();
        let received = results(&coordination, 1).await.pop().unwrap();
        received.into_lease().0.ack(ack).await.unwrap();
        assert_eq!(admin.status().await.unwrap().dead, dead);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_result_has_come_is_not_waited_for_again() {
    let server = Server::start(NEW);
    let first = coordinator(&server, 4).await;
    first.sender.send(job(0)).await.unwrap();
    // It sees the job in the queue.
    let again = coordinator(&server, 4).await;
    let lease = next(&worker(&server, 1).await).await;
    let end = JobEnd::Elsewhere(Vec::new());
    lease.report(Timestamp::now(), end).await.unwrap();
    lease.ack(Ack::Done).await.unwrap();
    acked(results(&again, 1).await.pop().unwrap())
        .await
        .unwrap();
    // Only because the broker remembers the name of the job for a while.
    assert_eq!(again.sender.send(job(0)).await.unwrap(), Sent::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_goes_to_another_host_is_queued_there_once_however_often_its_result_comes() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 1).await;
    coordination.sender.send(job(0)).await.unwrap();
    let candidates = elsewhere(0, "second.invalid").candidates;
    // Two workers had the job: the lease of the first had run out.
    for (delivery, last_word) in [(1, Ack::Retry { after: GRACE }), (2, Ack::Done)] {
        let mut lease = next(&worker).await;
        assert_eq!(lease.attempt, delivery);
        // Each worker counts its own tries, and the name of a result must not depend on it.
        lease.attempt = 1;
        let end = JobEnd::Elsewhere(candidates.clone());
        lease.report(Timestamp::now(), end).await.unwrap();
        lease.ack(last_word).await.unwrap();
    }
    for received in results(&coordination, 2).await {
        let forwarded = Job {
            candidates: candidates.clone(),
            ..received.result.job.clone()
        };
        // As where the run was killed before it acknowledged the result, and gets it again.
        for _ in 0..2 {
            received.forward(forwarded.clone()).await.unwrap();
        }
        acked(received).await.unwrap();
    }
    depth_becomes(&coordination, 1, 0).await;
    let forwarded = next(&worker).await;
    assert_eq!(forwarded.job.host(), "second.invalid");
    // From there it may go on to a third host.
    let candidates = elsewhere(0, "third.invalid").candidates;
    let end = JobEnd::Elsewhere(candidates.clone());
    forwarded.report(Timestamp::now(), end).await.unwrap();
    forwarded.ack(Ack::Done).await.unwrap();
    let received = results(&coordination, 1).await.pop().unwrap();
    let onward = Job {
        candidates,
        ..received.result.job.clone()
    };
    received.forward(onward).await.unwrap();
    acked(received).await.unwrap();
    assert_eq!(next(&worker).await.job.host(), "third.invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_went_on_to_another_host_counts_for_the_next_run() {
    let server = Server::start(NEW);
    let coordination = coordinator(&server, 4).await;
    let worker = worker(&server, 1).await;
    coordination.sender.send(job(0)).await.unwrap();
    let lease = next(&worker).await;
    let candidates = elsewhere(0, "second.invalid").candidates;
    let end = JobEnd::Elsewhere(candidates.clone());
    lease.report(Timestamp::now(), end).await.unwrap();
    lease.ack(Ack::Done).await.unwrap();
    worker.close().await;
    let received = results(&coordination, 1).await.pop().unwrap();
    let onward = Job {
        candidates,
        ..received.result.job.clone()
    };
    received.forward(onward).await.unwrap();
    acked(received).await.unwrap();
    drop(coordination);
    // It finds the image on the first host, and its job at the second.
    let again = coordinator(&server, 4).await;
    assert_eq!(again.sender.send(job(0)).await.unwrap(), Sent::Waiting);
    depth_becomes(&again, 1, 0).await;
}
