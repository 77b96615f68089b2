//! How fast jobs go out: run by hand, `cargo test --features nats -- --ignored drain --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use futures_util::StreamExt as _;

use super::super::server::{NEW, Server};
use super::{coordinator, worker};
use crate::queue::Ack;
use crate::queue::contract::job;

#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread")]
async fn drain_of_a_hundred_thousand_jobs() {
    const JOBS: u32 = 100_000;
    const IN_FLIGHT: usize = 400;
    let server = Server::start(NEW);
    let coordination = coordinator(&server, IN_FLIGHT).await;
    let start = Instant::now();
    futures_util::stream::iter(0..JOBS)
        .map(|number| coordination.sender.send(job(number as usize)))
        .buffer_unordered(256)
        .for_each(|sent| {
            sent.unwrap();
            std::future::ready(())
        })
        .await;
    let took = start.elapsed();
    println!(
        "queued {JOBS} in {took:.2?}: {:.0}/s",
        f64::from(JOBS) / took.as_secs_f64()
    );
    let start = Instant::now();
    let receiver = worker(&server, IN_FLIGHT).await;
    let done = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (receiver, done) = (Arc::clone(&receiver), Arc::clone(&done));
            tokio::spawn(async move {
                while let Some(lease) = receiver.next().await.unwrap() {
                    assert_eq!(lease.attempt, 1);
                    lease.ack(Ack::Done).await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while done.load(Ordering::Relaxed) < JOBS {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let took = start.elapsed();
    println!(
        "drained {JOBS} in {took:.2?}: {:.0}/s",
        f64::from(JOBS) / took.as_secs_f64()
    );
    assert_eq!(coordination.results.depth().await.unwrap().jobs, 0);
    for task in tasks {
        task.abort();
    }
}
