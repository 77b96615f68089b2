//! Handing jobs from one producer to many workers, without any work in them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use tokio::task::JoinSet;
use wallhaul::job::Job;
use wallhaul::queue::{self, Ack, Queue};

use crate::{address, job, runtime, sure};

const JOBS: usize = 100_000;
const WORKERS: usize = 400;

/// As many as the program lets wait for so many workers.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4 * WORKERS).expect("not zero");

#[divan::bench(sample_size = 1)]
fn hop_100_000_jobs_to_400_workers(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let prepared: Vec<Job> = (0..JOBS).map(job).collect();
    bencher
        .counter(ItemsCount::new(JOBS))
        .with_inputs(|| prepared.clone())
        .bench_local_values(|jobs| assert_eq!(runtime.block_on(hop(jobs)), JOBS));
}

/// Feeds `jobs` and answers with how many the workers settled.
async fn hop(jobs: Vec<Job>) -> usize {
    let Queue { sender, receiver } = sure(queue::open(&address("memory:"), CAPACITY));
    let receiver = Arc::from(receiver);
    let mut workers: JoinSet<usize> = (0..WORKERS)
        .map(|_| settle_all(Arc::clone(&receiver)))
        .collect();
    let producer = tokio::spawn(async move {
        for job in jobs {
            sure(sender.send(job).await);
        }
    });
    let mut settled = 0;
    while let Some(worker) = workers.join_next().await {
        settled += sure(worker);
    }
    sure(producer.await);
    settled
}

async fn settle_all(receiver: Arc<dyn queue::JobReceiver>) -> usize {
    let mut settled = 0;
    while let Some(lease) = sure(receiver.next().await) {
        sure(lease.ack(Ack::Done).await);
        settled += 1;
    }
    settled
}
