//! Jobs out, results in.

use jiff::Timestamp;
use tokio::time::timeout;

use super::super::server::{NEW, OLD, Server};
use super::{GRACE, acked, coordinator, depth_becomes, next, results, worker};
use crate::outcome::{Failure, JobEnd, Stage};
use crate::queue::contract::job;
use crate::queue::{Ack, Sent};

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
