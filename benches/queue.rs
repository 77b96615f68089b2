//! The queue alone: one producer, many workers, no work in the jobs.

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

/// What the program gives a queue for this many workers.
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

/// Sends `jobs` and returns how many the workers acknowledged.
async fn hop(jobs: Vec<Job>) -> usize {
    let Queue { sender, receiver } = sure(queue::open(&address("memory:"), CAPACITY).await);
    let receiver = Arc::from(receiver);
    let mut workers: JoinSet<usize> = (0..WORKERS)
        .map(|_| ack_all(Arc::clone(&receiver)))
        .collect();
    let producer = tokio::spawn(async move {
        for job in jobs {
            sure(sender.send(job).await);
        }
    });
    let mut done = 0;
    while let Some(worker) = workers.join_next().await {
        done += sure(worker);
    }
    sure(producer.await);
    done
}

async fn ack_all(receiver: Arc<dyn queue::JobReceiver>) -> usize {
    let mut done = 0;
    while let Some(lease) = sure(receiver.next().await) {
        sure(lease.ack(Ack::Done).await);
        done += 1;
    }
    done
}
