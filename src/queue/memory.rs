//! A bounded queue in memory, for a run that is producer and workers in one process.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::lease::AckHandle;
use super::{Ack, JobReceiver, JobSender, Lease, MoreJobs, Queue, QueueError, Sent};
use crate::job::Job;

/// Opens a queue for at most `capacity` fresh jobs, and as many that wait for another attempt.
pub(super) fn open(capacity: NonZeroUsize) -> Queue {
    let shared = Arc::new(Shared {
        free_slots: Semaphore::new(capacity.get()),
        sent: Mutex::default(),
        state: Mutex::default(),
        unfinished: AtomicUsize::new(1),
        is_closed: AtomicBool::new(false),
        is_waking: AtomicBool::new(false),
        changed: Notify::new(),
        max_delayed: capacity.get(),
        slots_at_once: (capacity.get() / 4).clamp(1, SLOTS_AT_ONCE),
    });
    Queue {
        sender: Box::new(MemorySender(Arc::clone(&shared))),
        receiver: Box::new(MemoryReceiver(shared)),
    }
}

/// Slots that are given back together, at most. One at a time woke the producer for every job of a full queue, to send one
/// more.
const SLOTS_AT_ONCE: usize = 32;

struct Shared {
    /// Slots for fresh jobs. A semaphore, not a bounded channel: a job that is retried must not need a slot, or
    /// workers that return jobs and a producer that fills the channel would wait for each other.
    free_slots: Semaphore,
    /// The newest jobs. Apart from `state`, so that the sender and the workers do not wait for each other at each job.
    /// Where both are locked, this one is the second.
    sent: Mutex<VecDeque<Job>>,
    /// A blocking lock, held for a few instructions and never across an await: with an async one, workers that queue
    /// for it would wake one another for each job.
    state: Mutex<State>,
    /// Jobs that were sent and have not ended, and one for the sender until it is dropped: at zero no job can come. A number,
    /// so that a job ends without the lock.
    unfinished: AtomicUsize,
    /// Whether the sender is gone.
    is_closed: AtomicBool,
    /// Whether a worker was woken for fresh jobs that has not looked yet. It wakes the next one if it leaves any: where
    /// jobs take no time, a few workers take them all, and the others sleep on.
    is_waking: AtomicBool,
    /// Notified when a job can be taken, or the end has come. Not a channel of jobs: the end depends on leases and
    /// delayed jobs too, which no channel knows of.
    changed: Notify,
    /// How many slots are given back together.
    slots_at_once: usize,
    /// While this many are delayed no fresh job is taken, so that the delayed ones stay bounded too.
    max_delayed: usize,
}

#[derive(Default)]
struct State {
    /// The oldest jobs. Empty only where [`Shared::sent`] was, too, at the last look.
    fresh: VecDeque<Job>,
    /// Slots of jobs that were taken, not given back yet. None where no fresh job is left.
    freed: usize,
    delayed: BinaryHeap<Reverse<DelayedJob>>,
    /// How many jobs ever came back: orders those that are due at the same moment.
    sequence: u64,
}

struct MemorySender(Arc<Shared>);

#[async_trait]
impl JobSender for MemorySender {
    async fn send(&self, job: Job) -> Result<Sent, QueueError> {
        // Forgotten here and added again when the job is taken: a permit held in the queue would need a lifetime.
        self.0
            .free_slots
            .acquire()
            .await
            .map_err(|_closed| QueueError::Closed)?
            .forget();
        self.0.unfinished.fetch_add(1, SeqCst);
        self.0.sent.lock().push_back(job);
        self.0.wake_one();
        Ok(Sent::New)
    }
}

impl Drop for MemorySender {
    fn drop(&mut self) {
        self.0.is_closed.store(true, SeqCst);
        self.0.finish_one();
    }
}

struct MemoryReceiver(Arc<Shared>);

#[async_trait]
impl JobReceiver for MemoryReceiver {
    fn more_jobs(&self) -> MoreJobs {
        if !self.0.is_closed.load(SeqCst) {
            return MoreJobs::Expected;
        }
        let mut state = self.0.state.lock();
        self.0.take_sent(&mut state);
        if state.fresh.is_empty() && state.delayed.is_empty() {
            MoreJobs::NotExpected
        } else {
            MoreJobs::Expected
        }
    }

    async fn next(&self) -> Result<Option<Lease>, QueueError> {
        let mut is_woken = false;
        loop {
            // Most often a job is there: then nothing is registered with `changed`.
            if let Polled::Ready(next) = self.poll(is_woken) {
                return Ok(next);
            }
            let mut changed = pin!(self.0.changed.notified());
            // Registered before the second look, so that no change between the look and the wait is missed. A change
            // before that is this worker's alone: nobody else is notified of it.
            is_woken = changed.as_mut().enable();
            let due = match self.poll(is_woken) {
                Polled::Ready(next) => return Ok(next),
                Polled::NotBefore(due) => due,
            };
            // Both are cancel-safe: a `Notified` that is dropped after it was notified passes that on to another.
            is_woken = match due {
                None => {
                    changed.await;
                    true
                }
                Some(due) => tokio::select! {
                    () = changed => true,
                    () = sleep_until(due) => false,
                },
            };
        }
    }
}

impl Drop for MemoryReceiver {
    fn drop(&mut self) {
        // A producer that waits for a slot would wait for ever.
        self.0.free_slots.close();
    }
}

/// What a look for a job finds, without waiting.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and most often it is the job"
)]
enum Polled {
    /// A job, or the end.
    Ready(Option<Lease>),
    /// Nothing before this moment, or before something changes.
    NotBefore(Option<Instant>),
}

impl MemoryReceiver {
    /// Looks for a job; `is_woken` says whether somebody woke this worker to do so.
    fn poll(&self, is_woken: bool) -> Polled {
        if is_woken {
            self.0.is_waking.store(false, SeqCst);
        }
        let mut state = self.0.state.lock();
        self.0.take_sent(&mut state);
        if let Some((job, attempt)) = state.pop_due(Instant::now) {
            return Polled::Ready(Some(self.lease(&state, job, attempt)));
        }
        if state.delayed.len() < self.0.max_delayed
            && let Some(job) = state.fresh.pop_front()
        {
            self.0.take_sent(&mut state);
            state.freed += 1;
            if state.freed >= self.0.slots_at_once || state.fresh.is_empty() {
                self.0.free_slots.add_permits(mem::take(&mut state.freed));
            }
            return Polled::Ready(Some(self.lease(&state, job, 1)));
        }
        if self.0.unfinished.load(SeqCst) == 0 {
            Polled::Ready(None)
        } else {
            Polled::NotBefore(state.next_due())
        }
    }

    /// Also wakes the next worker, for fresh jobs that were left, or held back until now by too many delayed ones.
    fn lease(&self, state: &State, job: Job, attempt: u32) -> Lease {
        if !state.fresh.is_empty() {
            self.0.wake_one();
        }
        Lease::new(job, attempt, Arc::clone(&self.0) as _)
    }
}

impl Shared {
    /// Takes what was sent, where nothing is left of what was taken before.
    fn take_sent(&self, state: &mut State) {
        if state.fresh.is_empty() {
            mem::swap(&mut state.fresh, &mut *self.sent.lock());
        }
    }

    /// Wakes a worker for fresh jobs, unless one is on its way to look for them.
    fn wake_one(&self) {
        if !self.is_waking.load(SeqCst) && !self.is_waking.swap(true, SeqCst) {
            // Where no worker waits it is kept for the next one, and a worker that is dropped passes it on. So one does
            // look, and takes the flag away.
            self.changed.notify_one();
        }
    }

    /// Says that a job has ended, or that no more are sent.
    fn finish_one(&self) {
        if self.unfinished.fetch_sub(1, SeqCst) == 1 {
            // All of them: each idle worker has to see the end.
            self.changed.notify_waiters();
        }
    }

    /// Delivers a leased job again, from `due` on.
    fn requeue(&self, job: Job, attempt: u32, due: Instant) {
        let mut state = self.state.lock();
        state.sequence += 1;
        let sequence = state.sequence;
        state.delayed.push(Reverse(DelayedJob {
            due,
            sequence,
            job,
            attempt,
        }));
        // Also where it is due later: a worker that waits has to learn of the new, perhaps earlier, moment.
        self.changed.notify_one();
    }
}

impl State {
    /// Takes the job that is due. The clock is read only where one is delayed: for most jobs it is not.
    fn pop_due(&mut self, now: impl FnOnce() -> Instant) -> Option<(Job, u32)> {
        if self.next_due()? > now() {
            return None;
        }
        self.delayed
            .pop()
            .map(|Reverse(delayed)| (delayed.job, delayed.attempt))
    }

    fn next_due(&self) -> Option<Instant> {
        self.delayed.peek().map(|Reverse(delayed)| delayed.due)
    }
}

struct DelayedJob {
    due: Instant,
    sequence: u64,
    job: Job,
    attempt: u32,
}

impl Ord for DelayedJob {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl PartialOrd for DelayedJob {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DelayedJob {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for DelayedJob {}

#[async_trait]
impl AckHandle for Shared {
    async fn ack(&self, job: &Job, attempt: u32, ack: Ack) -> Result<(), QueueError> {
        match ack {
            Ack::Retry { after } => {
                self.requeue(job.clone(), attempt + 1, Instant::now() + after);
            }
            Ack::Done | Ack::Dead { reason: _ } => self.finish_one(),
        }
        Ok(())
    }

    fn nack(&self, job: &Job, attempt: u32) {
        // The same attempt: the worker stopped before the image could fail.
        self.requeue(job.clone(), attempt, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::contract::job;
    use super::*;

    fn queue(capacity: usize) -> Queue {
        open(NonZeroUsize::new(capacity).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn retry_jobs_are_bounded_by_holding_back_fresh_ones() {
        let Queue { sender, receiver } = queue(1);
        let receiver: Arc<dyn JobReceiver> = Arc::from(receiver);
        sender.send(job(0)).await.unwrap();
        let lease = receiver.next().await.unwrap().unwrap();
        let after = Duration::from_secs(5);
        lease.ack(Ack::Retry { after }).await.unwrap();
        sender.send(job(1)).await.unwrap();
        let workers = [(); 2].map(|()| {
            let receiver = Arc::clone(&receiver);
            tokio::spawn(async move { receiver.next().await.unwrap().unwrap() })
        });
        let mut leases = Vec::new();
        let start = Instant::now();
        for worker in workers {
            leases.push(worker.await.unwrap());
        }
        assert!(start.elapsed() >= after);
        let has = |number| leases.iter().any(|lease| lease.job == job(number));
        assert!(
            has(0) && has(1),
            "the second worker learns that fresh jobs may be taken again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_is_sent_while_a_worker_wakes_up_reaches_the_next_idle_one() {
        let Queue { sender, receiver } = queue(8);
        let receiver: Arc<dyn JobReceiver> = Arc::from(receiver);
        let idle = [(); 2].map(|()| {
            let receiver = Arc::clone(&receiver);
            tokio::spawn(async move { receiver.next().await.unwrap().unwrap() })
        });
        tokio::task::yield_now().await;
        // The first of them is woken, and has not looked yet.
        for number in 0..2 {
            sender.send(job(number)).await.unwrap();
        }
        let mut leases = vec![receiver.next().await.unwrap().unwrap()];
        sender.send(job(2)).await.unwrap();
        for worker in idle {
            let lease = tokio::time::timeout(Duration::from_secs(1), worker).await;
            leases.push(lease.expect("a job for each").unwrap());
        }
        for number in 0..3 {
            assert!(leases.iter().any(|lease| lease.job == job(number)));
        }
    }

    #[tokio::test]
    async fn a_producer_whose_workers_are_gone_gets_an_error() {
        let Queue { sender, receiver } = queue(1);
        sender.send(job(0)).await.unwrap();
        let sending = sender.send(job(1));
        drop(receiver);
        assert!(matches!(sending.await, Err(QueueError::Closed)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_job_is_left_where_workers_stop_waiting_at_any_moment() {
        for capacity in [1, 3, 200] {
            let Queue { sender, receiver } = queue(capacity);
            let receiver: Arc<dyn JobReceiver> = Arc::from(receiver);
            let workers: Vec<_> = (0..20)
                .map(|number| {
                    let receiver = Arc::clone(&receiver);
                    tokio::spawn(async move {
                        let mut done = 0;
                        // Half of them wait for good. The others are always about to give up, and go away in the end:
                        // what they did not pass on, nobody else would look for.
                        let mut patience_left = 30;
                        while patience_left > 0 {
                            let patience = Duration::from_micros(if number % 2 == 0 {
                                u64::MAX / 4
                            } else {
                                100
                            });
                            match tokio::time::timeout(patience, receiver.next()).await {
                                Err(_) => patience_left -= 1,
                                Ok(next) => match next.unwrap() {
                                    None => break,
                                    Some(lease) => {
                                        if done % 7 == 0 {
                                            tokio::task::yield_now().await;
                                        }
                                        lease.ack(Ack::Done).await.unwrap();
                                        done += 1;
                                    }
                                },
                            }
                        }
                        done
                    })
                })
                .collect();
            for number in 0..10_000 {
                sender.send(job(number)).await.unwrap();
                if number % 97 == 0 {
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
            }
            drop(sender);
            let mut done = 0;
            for worker in workers {
                done += worker.await.unwrap();
            }
            assert_eq!(done, 10_000, "{capacity}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hundred_thousand_jobs_reach_four_hundred_workers_once_each() {
        let Queue { sender, receiver } = queue(1600);
        let receiver: Arc<dyn JobReceiver> = Arc::from(receiver);
        let workers: Vec<_> = (0..400)
            .map(|_| {
                let receiver = Arc::clone(&receiver);
                tokio::spawn(async move {
                    let mut done = 0;
                    while let Some(lease) = receiver.next().await.unwrap() {
                        lease.ack(Ack::Done).await.unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        for number in 0..100_000 {
            sender.send(job(number)).await.unwrap();
        }
        drop(sender);
        let mut done = 0;
        for worker in workers {
            done += worker.await.unwrap();
        }
        assert_eq!(done, 100_000);
    }
}
