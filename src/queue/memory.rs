//! A bounded queue in memory, for a run that is producer and workers in one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{self, Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Drain, Ends, Feed, Lease, Loan, QueueError, Verdict};
use crate::job::Job;

/// Opens a queue for at most `capacity` fresh jobs, and as many that wait for another try.
pub(super) fn open(capacity: NonZeroUsize) -> Ends {
    let (sender, receiver) = mpsc::channel(capacity.get());
    let returns = Arc::new(Returns::default());
    let drain = Out { fresh: sync::Mutex::new(receiver), returns, waiting_at_most: capacity.get() };
    Ends { feed: Box::new(In(sender)), drain: Box::new(drain) }
}

struct In(mpsc::Sender<Job>);

#[async_trait]
impl Feed for In {
    async fn push(&self, job: Job) -> Result<(), QueueError> {
        self.0.send(job).await.map_err(|_| QueueError::Closed)
    }
}

struct Out {
    /// Whoever holds this is the one worker that waits; the others stand in line behind it.
    fresh: sync::Mutex<mpsc::Receiver<Job>>,
    returns: Arc<Returns>,
    /// While more than this wait for another try no fresh job is taken, so that the waiting stay bounded too.
    waiting_at_most: usize,
}

#[async_trait]
impl Drain for Out {
    async fn next(&self) -> Result<Option<Lease>, QueueError> {
        let mut fresh = self.fresh.lock().await;
        loop {
            let (due, waiting) = {
                let mut outstanding = self.returns.lock();
                if let Some((job, attempt)) = outstanding.take_due(Instant::now()) {
                    return Ok(Some(self.lend(&mut outstanding, job, attempt)));
                }
                if fresh.is_closed() && fresh.is_empty() && outstanding.nothing_returns() {
                    return Ok(None);
                }
                (outstanding.next_due(), outstanding.waiting.len())
            };
            // Most often a job is there, and nothing needs to be waited for.
            if waiting < self.waiting_at_most
                && let Ok(job) = fresh.try_recv()
            {
                return Ok(Some(self.lend(&mut self.returns.lock(), job, 1)));
            }
            tokio::select! {
                biased;
                () = self.returns.changed.notified() => {}
                job = fresh.recv(), if waiting < self.waiting_at_most && !(fresh.is_closed() && fresh.is_empty()) => {
                    if let Some(job) = job {
                        return Ok(Some(self.lend(&mut self.returns.lock(), job, 1)));
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }
}

impl Out {
    fn lend(&self, outstanding: &mut Outstanding, job: Job, attempt: u32) -> Lease {
        outstanding.lent += 1;
        Lease::new(job, attempt, Lent(Arc::clone(&self.returns)))
    }
}

/// What is on loan and what waits for another try: the queue ends only when there is neither.
#[derive(Default)]
struct Returns {
    outstanding: Mutex<Outstanding>,
    /// Told when a job came back, or the last one on loan came to its end.
    changed: Notify,
}

impl Returns {
    fn lock(&self) -> MutexGuard<'_, Outstanding> {
        // Nothing that holds it can panic half way.
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, again: Option<(Job, u32, Instant)>) {
        let mut outstanding = self.lock();
        outstanding.lent -= 1;
        let came_back = again.is_some();
        if let Some((job, attempt, due)) = again {
            outstanding.count += 1;
            let count = outstanding.count;
            outstanding.waiting.push(Reverse(Waiting { due, count, job, attempt }));
        }
        if came_back || outstanding.lent == 0 {
            self.changed.notify_one();
        }
    }
}

#[derive(Default)]
struct Outstanding {
    lent: usize,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// How many ever came back: tells those due at one moment apart.
    count: u64,
}

impl Outstanding {
    fn take_due(&mut self, now: Instant) -> Option<(Job, u32)> {
        if self.next_due()? > now {
            return None;
        }
        self.waiting.pop().map(|Reverse(waiting)| (waiting.job, waiting.attempt))
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.due)
    }

    fn nothing_returns(&self) -> bool {
        self.lent == 0 && self.waiting.is_empty()
    }
}

struct Waiting {
    due: Instant,
    count: u64,
    job: Job,
    attempt: u32,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.count).cmp(&(other.due, other.count))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

struct Lent(Arc<Returns>);

#[async_trait]
impl Loan for Lent {
    async fn settle(self: Box<Self>, job: &Job, attempt: u32, verdict: Verdict) -> Result<(), QueueError> {
        self.0.end(match verdict {
            Verdict::Again { after } => Some((job.clone(), attempt + 1, Instant::now() + after)),
            Verdict::Settled => None,
        });
        Ok(())
    }

    fn give_back(self: Box<Self>, job: &Job, attempt: u32) {
        self.0.end(Some((job.clone(), attempt, Instant::now())));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use url::Url;

    use super::*;
    use crate::job::{ImageKey, ImageRef, SiteId};

    fn job(number: usize) -> Job {
        let site = SiteId::new("demo").unwrap();
        let address = Url::parse(&format!("https://demo.invalid/{number}.png")).unwrap();
        let image =
            ImageRef { site: site.clone(), page: address.clone(), thumb: address.clone(), link: None, title: None };
        Job { key: ImageKey::new(&site, &address), image, worked_out: None }
    }

    fn ends(capacity: usize) -> Ends {
        open(NonZeroUsize::new(capacity).unwrap())
    }

    #[tokio::test]
    async fn jobs_come_out_in_the_order_they_went_in() {
        let Ends { feed, drain } = ends(8);
        for number in 0..3 {
            feed.push(job(number)).await.unwrap();
        }
        drop(feed);
        for number in 0..3 {
            let lease = drain.next().await.unwrap().unwrap();
            assert_eq!((&lease.job, lease.attempt), (&job(number), 1));
            lease.settle(Verdict::Settled).await.unwrap();
        }
        assert!(drain.next().await.unwrap().is_none());
        assert!(drain.next().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_makes_the_producer_wait() {
        let Ends { feed, drain } = ends(1);
        feed.push(job(0)).await.unwrap();
        let wait = tokio::time::timeout(Duration::from_secs(60), feed.push(job(1)));
        assert!(wait.await.is_err());
        let lease = drain.next().await.unwrap().unwrap();
        feed.push(job(2)).await.unwrap();
        drop(lease);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_waits_for_its_next_try_without_holding_a_worker() {
        let Ends { feed, drain } = ends(8);
        feed.push(job(0)).await.unwrap();
        feed.push(job(1)).await.unwrap();
        drop(feed);
        let start = Instant::now();
        let lease = drain.next().await.unwrap().unwrap();
        lease.settle(Verdict::Again { after: Duration::from_secs(5) }).await.unwrap();
        let other = drain.next().await.unwrap().unwrap();
        assert_eq!(other.job, job(1));
        other.settle(Verdict::Settled).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        let again = drain.next().await.unwrap().unwrap();
        assert_eq!((&again.job, again.attempt), (&job(0), 2));
        assert!(start.elapsed() >= Duration::from_secs(5));
        again.settle(Verdict::Settled).await.unwrap();
        assert!(drain.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_dropped_lease_gives_its_job_back_with_the_same_try() {
        let Ends { feed, drain } = ends(8);
        feed.push(job(0)).await.unwrap();
        drop(feed);
        drop(drain.next().await.unwrap().unwrap());
        let again = drain.next().await.unwrap().unwrap();
        assert_eq!((&again.job, again.attempt), (&job(0), 1));
        again.settle(Verdict::Settled).await.unwrap();
        assert!(drain.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_end_waits_for_the_last_loan() {
        let Ends { feed, drain } = ends(8);
        let drain: Arc<dyn Drain> = Arc::from(drain);
        feed.push(job(0)).await.unwrap();
        drop(feed);
        let lease = drain.next().await.unwrap().unwrap();
        let waiting = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.next().await.unwrap().is_none() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        lease.settle(Verdict::Settled).await.unwrap();
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn a_worker_that_stops_waiting_loses_no_job() {
        let Ends { feed, drain } = ends(8);
        for _ in 0..100 {
            let waiting = tokio::time::timeout(Duration::ZERO, drain.next());
            assert!(waiting.await.is_err());
        }
        feed.push(job(0)).await.unwrap();
        assert_eq!(drain.next().await.unwrap().unwrap().job, job(0));
    }

    #[tokio::test]
    async fn a_hundred_thousand_jobs_reach_four_hundred_workers_once_each() {
        let Ends { feed, drain } = ends(1600);
        let drain: Arc<dyn Drain> = Arc::from(drain);
        let workers: Vec<_> = (0..400)
            .map(|_| {
                let drain = Arc::clone(&drain);
                tokio::spawn(async move {
                    let mut taken = 0;
                    while let Some(lease) = drain.next().await.unwrap() {
                        lease.settle(Verdict::Settled).await.unwrap();
                        taken += 1;
                    }
                    taken
                })
            })
            .collect();
        for number in 0..100_000 {
            feed.push(job(number)).await.unwrap();
        }
        drop(feed);
        let mut taken = 0;
        for worker in workers {
            taken += worker.await.unwrap();
        }
        assert_eq!(taken, 100_000);
    }
}
