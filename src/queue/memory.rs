//! A bounded queue in memory, for a run that is producer and workers in one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::{Ack, AckHandle, JobReceiver, JobSender, Lease, Queue, QueueError};
use crate::job::Job;

/// Opens a queue for at most `capacity` fresh jobs, and as many that wait for another try.
pub(super) fn open(capacity: NonZeroUsize) -> Queue {
    let shared = Arc::new(Shared {
        room: Semaphore::new(capacity.get()),
        state: Mutex::default(),
        changed: Notify::new(),
        waiting_at_most: capacity.get(),
    });
    Queue {
        sender: Box::new(MemorySender(Arc::clone(&shared))),
        receiver: Box::new(MemoryReceiver(shared)),
    }
}

/// Where the jobs are, under one lock that is held for a moment: workers that stood in line for a lock would wake
/// one another for each job.
struct Shared {
    /// Places for fresh jobs.
    room: Semaphore,
    state: Mutex<State>,
    /// Told when there is a job to be taken, or there will never be one again.
    changed: Notify,
    /// While more than this wait for another try no fresh job is taken, so that the waiting stay bounded too.
    waiting_at_most: usize,
}

#[derive(Default)]
struct State {
    fresh: VecDeque<Job>,
    /// Whether there will be no more fresh ones.
    closed: bool,
    leased: usize,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// How many ever came back: tells those due at one moment apart.
    count: u64,
}

struct MemorySender(Arc<Shared>);

#[async_trait]
impl JobSender for MemorySender {
    async fn send(&self, job: Job) -> Result<(), QueueError> {
        // Given back when the job is taken.
        self.0
            .room
            .acquire()
            .await
            .map_err(|_closed| QueueError::Closed)?
            .forget();
        self.0.state().fresh.push_back(job);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for MemorySender {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_waiters();
    }
}

struct MemoryReceiver(Arc<Shared>);

#[async_trait]
impl JobReceiver for MemoryReceiver {
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

impl Drop for MemoryReceiver {
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

impl MemoryReceiver {
    fn take(&self) -> Next {
        let mut state = self.0.state();
        if let Some((job, attempt)) = state.take_due(Instant::now) {
            if state.waiting.len() + 1 == self.0.waiting_at_most && !state.fresh.is_empty() {
                // Fresh ones may be taken again.
                self.0.changed.notify_one();
            }
            return Next::Now(Some(self.lease(state, job, attempt)));
        }
        if state.waiting.len() < self.0.waiting_at_most
            && let Some(job) = state.fresh.pop_front()
        {
            self.0.room.add_permits(1);
            return Next::Now(Some(self.lease(state, job, 1)));
        }
        if state.is_over() {
            Next::Now(None)
        } else {
            Next::At(state.next_due())
        }
    }

    fn lease(&self, mut state: MutexGuard<'_, State>, job: Job, attempt: u32) -> Lease {
        state.leased += 1;
        Lease::new(job, attempt, MemoryAck(Arc::clone(&self.0)))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, again: Option<(Job, u32, Instant)>) {
        let mut state = self.state();
        state.leased -= 1;
        let came_back = again.is_some();
        if let Some((job, attempt, due)) = again {
            state.count += 1;
            let count = state.count;
            state.waiting.push(Reverse(Waiting {
                due,
                count,
                job,
                attempt,
            }));
        }
        if state.is_over() {
            self.changed.notify_waiters();
        } else if came_back {
            self.changed.notify_one();
        }
    }
}

impl State {
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
        self.closed && self.fresh.is_empty() && self.leased == 0 && self.waiting.is_empty()
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

struct MemoryAck(Arc<Shared>);

#[async_trait]
impl AckHandle for MemoryAck {
    async fn ack(self: Box<Self>, job: &Job, attempt: u32, verdict: Ack) -> Result<(), QueueError> {
        self.0.end(match verdict {
            Ack::Retry { after } => Some((job.clone(), attempt + 1, Instant::now() + after)),
            Ack::Done => None,
        });
        Ok(())
    }

    fn nack(self: Box<Self>, job: &Job, attempt: u32) {
        self.0.end(Some((job.clone(), attempt, Instant::now())));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use url::Url;

    use super::*;
    use crate::job::{Candidate, ImageKey, JobLimits, JobVersion, SiteId};

    fn job(number: usize) -> Job {
        let site = SiteId::new("demo").unwrap();
        let address = Url::parse(&format!("https://demo.invalid/{number}.png")).unwrap();
        Job {
            version: JobVersion,
            key: ImageKey::new(&site, &address),
            site,
            candidates: vec![Candidate::Direct(address.clone())],
            stem: number.to_string(),
            page: address,
            title: None,
            limits: JobLimits {
                min_width: 0,
                min_height: 0,
                max_pixels: u64::MAX,
            },
            wait: Duration::ZERO,
        }
    }

    fn ends(capacity: usize) -> Queue {
        open(NonZeroUsize::new(capacity).unwrap())
    }

    #[tokio::test]
    async fn jobs_come_out_in_the_order_they_went_in() {
        let Queue { sender, receiver } = ends(8);
        for number in 0..3 {
            sender.send(job(number)).await.unwrap();
        }
        drop(sender);
        for number in 0..3 {
            let lease = receiver.next().await.unwrap().unwrap();
            assert_eq!((&lease.job, lease.attempt), (&job(number), 1));
            lease.ack(Ack::Done).await.unwrap();
        }
        assert!(receiver.next().await.unwrap().is_none());
        assert!(receiver.next().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_makes_the_producer_wait() {
        let Queue { sender, receiver } = ends(1);
        sender.send(job(0)).await.unwrap();
        let wait = tokio::time::timeout(Duration::from_secs(60), sender.send(job(1)));
        assert!(wait.await.is_err());
        let lease = receiver.next().await.unwrap().unwrap();
        sender.send(job(2)).await.unwrap();
        drop(lease);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_waits_for_its_next_try_without_holding_a_worker() {
        let Queue { sender, receiver } = ends(8);
        sender.send(job(0)).await.unwrap();
        sender.send(job(1)).await.unwrap();
        drop(sender);
        let start = Instant::now();
        let lease = receiver.next().await.unwrap().unwrap();
        lease
            .ack(Ack::Retry {
                after: Duration::from_secs(5),
            })
            .await
            .unwrap();
        let other = receiver.next().await.unwrap().unwrap();
        assert_eq!(other.job, job(1));
        other.ack(Ack::Done).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        let again = receiver.next().await.unwrap().unwrap();
        assert_eq!((&again.job, again.attempt), (&job(0), 2));
        assert!(start.elapsed() >= Duration::from_secs(5));
        again.ack(Ack::Done).await.unwrap();
        assert!(receiver.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_dropped_lease_gives_its_job_back_with_the_same_try() {
        let Queue { sender, receiver } = ends(8);
        sender.send(job(0)).await.unwrap();
        drop(sender);
        drop(receiver.next().await.unwrap().unwrap());
        let again = receiver.next().await.unwrap().unwrap();
        assert_eq!((&again.job, again.attempt), (&job(0), 1));
        again.ack(Ack::Done).await.unwrap();
        assert!(receiver.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_end_waits_for_the_last_loan() {
        let Queue { sender, receiver } = ends(8);
        let receiver: Arc<dyn JobReceiver> = Arc::from(receiver);
        sender.send(job(0)).await.unwrap();
        drop(sender);
        let lease = receiver.next().await.unwrap().unwrap();
        let waiting = tokio::spawn({
            let receiver = Arc::clone(&receiver);
            async move { receiver.next().await.unwrap().is_none() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        lease.ack(Ack::Done).await.unwrap();
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn a_worker_that_stops_waiting_loses_no_job() {
        let Queue { sender, receiver } = ends(8);
        for _ in 0..100 {
            let waiting = tokio::time::timeout(Duration::ZERO, receiver.next());
            assert!(waiting.await.is_err());
        }
        sender.send(job(0)).await.unwrap();
        assert_eq!(receiver.next().await.unwrap().unwrap().job, job(0));
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_jobs_are_held_back_while_too_many_wait_for_another_try() {
        let Queue { sender, receiver } = ends(1);
        let receiver: Arc<dyn JobReceiver> = Arc::from(receiver);
        sender.send(job(0)).await.unwrap();
        let lease = receiver.next().await.unwrap().unwrap();
        lease
            .ack(Ack::Retry {
                after: Duration::from_secs(5),
            })
            .await
            .unwrap();
        sender.send(job(1)).await.unwrap();
        let workers = [(); 2].map(|()| {
            let receiver = Arc::clone(&receiver);
            tokio::spawn(async move { receiver.next().await.unwrap().unwrap() })
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
        let Queue { sender, receiver } = ends(1);
        sender.send(job(0)).await.unwrap();
        let waits = sender.send(job(1));
        drop(receiver);
        assert!(matches!(waits.await, Err(QueueError::Closed)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hundred_thousand_jobs_reach_four_hundred_workers_once_each() {
        let Queue { sender, receiver } = ends(1600);
        let receiver: Arc<dyn JobReceiver> = Arc::from(receiver);
        let workers: Vec<_> = (0..400)
            .map(|_| {
                let receiver = Arc::clone(&receiver);
                tokio::spawn(async move {
                    let mut taken = 0;
                    while let Some(lease) = receiver.next().await.unwrap() {
                        lease.ack(Ack::Done).await.unwrap();
                        taken += 1;
                    }
                    taken
                })
            })
            .collect();
        for number in 0..100_000 {
            sender.send(job(number)).await.unwrap();
        }
        drop(sender);
        let mut taken = 0;
        for worker in workers {
            taken += worker.await.unwrap();
        }
        assert_eq!(taken, 100_000);
    }
}
