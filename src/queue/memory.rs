//! A bounded queue in memory, for a run that is producer and workers in one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::{Drain, Ends, Feed, Lease, Loan, QueueError, Verdict};
use crate::job::Job;

/// Opens a queue for at most `capacity` fresh jobs, and as many that wait for another try.
pub(super) fn open(capacity: NonZeroUsize) -> Ends {
    let hall = Arc::new(Hall {
        room: Semaphore::new(capacity.get()),
        standing: Mutex::default(),
        changed: Notify::new(),
        waiting_at_most: capacity.get(),
    });
    Ends {
        feed: Box::new(In(Arc::clone(&hall))),
        drain: Box::new(Out(hall)),
    }
}

/// Where the jobs are, under one lock that is held for a moment: workers that stood in line for a lock would wake
/// one another for each job.
struct Hall {
    /// Places for fresh jobs.
    room: Semaphore,
    standing: Mutex<Standing>,
    /// Told when there is a job to be taken, or there will never be one again.
    changed: Notify,
    /// While more than this wait for another try no fresh job is taken, so that the waiting stay bounded too.
    waiting_at_most: usize,
}

#[derive(Default)]
struct Standing {
    fresh: VecDeque<Job>,
    /// Whether there will be no more fresh ones.
    closed: bool,
    lent: usize,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// How many ever came back: tells those due at one moment apart.
    count: u64,
}

struct In(Arc<Hall>);

#[async_trait]
impl Feed for In {
    async fn push(&self, job: Job) -> Result<(), QueueError> {
        // Given back when the job is taken.
        self.0
            .room
            .acquire()
            .await
            .map_err(|_closed| QueueError::Closed)?
            .forget();
        self.0.standing().fresh.push_back(job);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for In {
    fn drop(&mut self) {
        self.0.standing().closed = true;
        self.0.changed.notify_waiters();
    }
}

struct Out(Arc<Hall>);

#[async_trait]
impl Drain for Out {
    async fn next(&self) -> Result<Option<Lease>, QueueError> {
        loop {
            // Most often a job is there, and nothing needs to be waited for.
            if let Next::Now(next) = self.take() {
                return Ok(next);
            }
            let mut changed = pin!(self.0.changed.notified());
            // What changes from here on is not missed.
            changed.as_mut().enable();
            let due = match self.take() {
                Next::Now(next) => return Ok(next),
                Next::At(due) => due,
            };
            // Both are cancel-safe; a wake-up that was lost on one who left goes to another.
            tokio::select! {
                () = changed => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.0.room.close();
    }
}

/// What there is for a worker.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and most often it is the job"
)]
enum Next {
    /// A job, or the end.
    Now(Option<Lease>),
    /// Nothing before this moment, or before something changes.
    At(Option<Instant>),
}

impl Out {
    fn take(&self) -> Next {
        let mut standing = self.0.standing();
        if let Some((job, attempt)) = standing.take_due(Instant::now) {
            if standing.waiting.len() + 1 == self.0.waiting_at_most && !standing.fresh.is_empty() {
                // Fresh ones may be taken again.
                self.0.changed.notify_one();
            }
            return Next::Now(Some(self.lend(standing, job, attempt)));
        }
        if standing.waiting.len() < self.0.waiting_at_most
            && let Some(job) = standing.fresh.pop_front()
        {
            self.0.room.add_permits(1);
            return Next::Now(Some(self.lend(standing, job, 1)));
        }
        if standing.is_over() {
            Next::Now(None)
        } else {
            Next::At(standing.next_due())
        }
    }

    fn lend(&self, mut standing: MutexGuard<'_, Standing>, job: Job, attempt: u32) -> Lease {
        standing.lent += 1;
        Lease::new(job, attempt, Lent(Arc::clone(&self.0)))
    }
}

impl Hall {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing that holds it can panic half way.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, again: Option<(Job, u32, Instant)>) {
        let mut standing = self.standing();
        standing.lent -= 1;
        let came_back = again.is_some();
        if let Some((job, attempt, due)) = again {
            standing.count += 1;
            let count = standing.count;
            standing.waiting.push(Reverse(Waiting {
                due,
                count,
                job,
                attempt,
            }));
        }
        if standing.is_over() {
            self.changed.notify_waiters();
        } else if came_back {
            self.changed.notify_one();
        }
    }
}

impl Standing {
    /// Takes the job whose time has come. The clock is looked at only where one waits.
    fn take_due(&mut self, now: impl FnOnce() -> Instant) -> Option<(Job, u32)> {
        if self.next_due()? > now() {
            return None;
        }
        self.waiting
            .pop()
            .map(|Reverse(waiting)| (waiting.job, waiting.attempt))
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.due)
    }

    /// The queue ends only when nothing is on loan and nothing waits for another try.
    fn is_over(&self) -> bool {
        self.closed && self.fresh.is_empty() && self.lent == 0 && self.waiting.is_empty()
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

struct Lent(Arc<Hall>);

#[async_trait]
impl Loan for Lent {
    async fn settle(
        self: Box<Self>,
        job: &Job,
        attempt: u32,
        verdict: Verdict,
    ) -> Result<(), QueueError> {
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
        let image = ImageRef {
            site: site.clone(),
            page: address.clone(),
            thumb: address.clone(),
            link: None,
            title: None,
            is_original: false,
        };
        Job {
            key: ImageKey::new(&site, &address),
            image,
            worked_out: None,
        }
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
        lease
            .settle(Verdict::Again {
                after: Duration::from_secs(5),
            })
            .await
            .unwrap();
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

    #[tokio::test(start_paused = true)]
    async fn fresh_jobs_are_held_back_while_too_many_wait_for_another_try() {
        let Ends { feed, drain } = ends(1);
        let drain: Arc<dyn Drain> = Arc::from(drain);
        feed.push(job(0)).await.unwrap();
        let lease = drain.next().await.unwrap().unwrap();
        lease
            .settle(Verdict::Again {
                after: Duration::from_secs(5),
            })
            .await
            .unwrap();
        feed.push(job(1)).await.unwrap();
        let workers = [(); 2].map(|()| {
            let drain = Arc::clone(&drain);
            tokio::spawn(async move { drain.next().await.unwrap().unwrap() })
        });
        let mut taken = Vec::new();
        let start = Instant::now();
        for worker in workers {
            taken.push(worker.await.unwrap());
        }
        assert!(start.elapsed() >= Duration::from_secs(5));
        let took = |number| taken.iter().any(|lease| lease.job == job(number));
        assert!(
            took(0) && took(1),
            "the second worker is told that it may go on"
        );
    }

    #[tokio::test]
    async fn a_producer_whose_workers_are_gone_is_told() {
        let Ends { feed, drain } = ends(1);
        feed.push(job(0)).await.unwrap();
        let waits = feed.push(job(1));
        drop(drain);
        assert!(matches!(waits.await, Err(QueueError::Closed)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
