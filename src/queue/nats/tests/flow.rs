//! Jobs out, results in.

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::timeout;

use super::super::server::{NEW, OLD, Server};
use super::{
    GRACE, acked, broker, coordinator, depth_becomes, events, next, options, raw, results, worker,
};
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
