//! The queue from the workers to the committer, which takes from it in groups: one flush of the disk and one
//! transaction serve a whole group.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::ledger::Origin;
use crate::outcome::Outcome;
use crate::queue::{JobReceiver, Lease, MoreJobs};
use crate::verify::VerifiedImage;

/// A group is complete when it has this many images,
const GROUP_IMAGES: usize = 256;
/// or this many bytes,
const GROUP_BYTES: u64 = 64_000_000;
/// or its first image has waited long enough, or no worker has an image in flight and none comes soon. The first group
/// of a run waits this long, so that the first images have their names soon,
const FIRST_GROUP_WAIT: Duration = Duration::from_millis(2);
/// and each further one twice as long, up to this: seven more groups in a run, and as few as before from then on.
const GROUP_WAIT: Duration = Duration::from_millis(250);
/// Once the last job is taken no group waits longer than this, so that little is left to commit when the last image
/// arrives. Seen with 1,400 images at a round trip of 50 ms: the last group has 7 to 28 images, and 11 to 76 without this.
const LAST_GROUPS_WAIT: Duration = Duration::from_millis(10);
/// How often an open group checks whether the last job is taken. The queue could notify of it, but would then have to look
/// at each job whether it is the last one.
const CHECK_LAST_JOB_EVERY: Duration = Duration::from_millis(10);
/// How long the committer waits for the next image when none is in flight and jobs are expected: longer than the next
/// listing page takes on one machine or in one house (measured: 20,000 images of 20 KB over loopback are 81 groups, and
/// were 246 without this; half as many pages of the ledger are written).
const LULL: Duration = Duration::from_millis(5);

/// A job that a worker is done with.
pub(super) struct FinishedJob {
    pub(super) lease: Lease,
    pub(super) result: WorkerResult,
}

/// What a worker made of a job.
pub(super) enum WorkerResult {
    /// An image to be saved, and where it came from. Boxed, so that the channel, which has a slot for each image of a group, is small.
    VerifiedImage(Box<(VerifiedImage, Origin)>),
    /// No image: the outcome is final.
    NoImage(Outcome),
}

/// The workers' end.
#[derive(Clone)]
pub(super) struct CommitQueue {
    /// There until this is dropped.
    sender: Option<mpsc::Sender<FinishedJob>>,
    state: Arc<State>,
}

/// The committer's end.
pub(super) struct BatchReceiver {
    receiver: mpsc::Receiver<FinishedJob>,
    state: Arc<State>,
    /// Where the jobs come from. Weak: the queue is to close when the workers are gone.
    jobs: Weak<dyn JobReceiver>,
    /// How long the first image of the next group waits for others.
    wait: Duration,
}

/// What both ends know beside the channel. Atomics suffice: each number is meaningful alone, and the channel itself
/// orders what is sent.
#[derive(Default)]
struct State {
    /// Workers that have an image in flight.
    active: AtomicUsize,
    /// Bytes of the images in the channel.
    bytes: AtomicU64,
    /// Notified when a group is complete, no image is in flight or the workers are gone. Waiting on the channel itself
    /// would wake the committer for each image, which costs as much as fetching a small one.
    due: Notify,
}

/// Counts the images that workers have in flight.
pub(super) struct ActiveCount(Arc<State>);

/// While it lives, its worker counts as having an image in flight.
pub(super) struct ActiveGuard(Arc<State>);

/// A channel for as many images as a group has, so that workers continue while the group before is flushed. With a
/// longer one there would only be more images to verify again after a kill.
pub(super) fn commit_queue(jobs: &Arc<dyn JobReceiver>) -> (CommitQueue, BatchReceiver) {
    let (sender, receiver) = mpsc::channel(GROUP_IMAGES);
    let state = Arc::new(State::default());
    (
        CommitQueue {
            sender: Some(sender),
            state: Arc::clone(&state),
        },
        BatchReceiver {
            receiver,
            state,
            jobs: Arc::downgrade(jobs),
            wait: FIRST_GROUP_WAIT,
        },
    )
}

impl CommitQueue {
    /// A worker begins an image.
    pub(super) fn begin(&self) -> ActiveGuard {
        self.state.active.fetch_add(1, Ordering::SeqCst);
        ActiveGuard(Arc::clone(&self.state))
    }

    pub(super) fn active(&self) -> ActiveCount {
        ActiveCount(Arc::clone(&self.state))
    }

    /// Sends a finished job to the committer; false when the committer has ended.
    pub(super) async fn send(&self, finished: FinishedJob) -> bool {
        let Some(sender) = &self.sender else {
            return false;
        };
        let bytes = finished.bytes();
        let queued = self.state.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let sent = sender.send(finished).await.is_ok();
        if queued >= GROUP_BYTES || sender.capacity() == 0 {
            self.state.due.notify_one();
        }
        sent
    }
}

impl Drop for CommitQueue {
    fn drop(&mut self) {
        // In this order: the committer that wakes up must find the channel closed.
        drop(self.sender.take());
        self.state.due.notify_one();
    }
}

impl ActiveCount {
    pub(super) fn count(&self) -> usize {
        self.0.active.load(Ordering::SeqCst)
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        // The last image in flight has arrived: nothing that could complete the group is on its way.
        if self.0.active.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.due.notify_one();
        }
    }
}

impl BatchReceiver {
    /// The next group, or `None` once every sender is dropped.
    pub(super) async fn next_batch(&mut self) -> Option<Vec<FinishedJob>> {
        let first = self.receiver.recv().await?;
        let start = Instant::now();
        let due = start + self.wait;
        self.wait = GROUP_WAIT.min(self.wait * 2);
        while !self.is_complete() {
            let now = Instant::now();
            let until = match (self.is_active(), self.more_jobs()) {
                (true, MoreJobs::Expected) => due.min(now + CHECK_LAST_JOB_EVERY),
                (true, MoreJobs::NotExpected) => due.min(start + LAST_GROUPS_WAIT),
                (true, MoreJobs::Unknown) => due,
                (false, MoreJobs::Expected) => due.min(now + LULL),
                (false, MoreJobs::NotExpected | MoreJobs::Unknown) => break,
            };
            if until <= now {
                break;
            }
            // `notify_one` stores a permit, so a notice that comes between the check and this wait is not lost.
            let notified = timeout_at(until, self.state.due.notified()).await.is_ok();
            if !notified && !self.is_active() {
                break;
            }
        }
        let mut bytes = first.bytes();
        let mut group = Vec::with_capacity(1 + self.receiver.len());
        group.push(first);
        while group.len() < GROUP_IMAGES
            && bytes < GROUP_BYTES
            && let Ok(next) = self.receiver.try_recv()
        {
            bytes += next.bytes();
            group.push(next);
        }
        self.state.bytes.fetch_sub(bytes, Ordering::SeqCst);
        Some(group)
    }

    /// Whether a complete group has arrived, counting the image of it that was taken from the channel.
    fn is_complete(&self) -> bool {
        self.receiver.len() + 1 >= GROUP_IMAGES
            || self.state.bytes.load(Ordering::SeqCst) >= GROUP_BYTES
    }

    /// Whether a worker has an image in flight.
    fn is_active(&self) -> bool {
        self.state.active.load(Ordering::SeqCst) > 0
    }

    /// Whether there are workers for whom jobs are on their way.
    fn more_jobs(&self) -> MoreJobs {
        match self.jobs.upgrade() {
            Some(jobs) if !self.receiver.is_closed() => jobs.more_jobs(),
            Some(_) | None => MoreJobs::NotExpected,
        }
    }
}

impl FinishedJob {
    fn bytes(&self) -> u64 {
        match &self.result {
            WorkerResult::VerifiedImage(image) => image.0.content().bytes,
            WorkerResult::NoImage(_) => 0,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroUsize;

    use url::Url;

    use super::*;
    use crate::job::{Candidate, ImageKey, Job, JobLimits, JobVersion, RulesHash, SiteId, Tried};
    use crate::queue::{self, JobSender, Queue};

    fn job(number: usize) -> Job {
        let site = SiteId::new("demo").unwrap();
        let original = Url::parse(&format!("https://demo.invalid/{number}.png")).unwrap();
        Job {
            version: JobVersion,
            key: ImageKey::new(&site, &original),
            site,
            candidates: vec![Candidate::Direct(original.clone())],
            stem: number.to_string(),
            page: original.into(),
            title: None,
            declared: None,
            limits: JobLimits {
                min_width: 0,
                min_height: 0,
                skips_small: false,
                max_pixels: u64::MAX,
            },
            rules: RulesHash::default(),
            wait: Duration::ZERO,
            tried: Tried::default(),
        }
    }

    /// That many jobs, each taken from a queue.
    pub(in crate::engine) async fn leases(number: usize) -> Vec<Lease> {
        let memory = Url::parse("memory:").unwrap();
        let capacity = NonZeroUsize::new(number).unwrap();
        let Queue { sender, receiver } = queue::open(&memory, capacity).await.unwrap();
        let mut leases = Vec::new();
        for number in 0..number {
            sender.send(job(number)).await.unwrap();
            leases.push(receiver.next().await.unwrap().unwrap());
        }
        leases
    }

    /// A queue of no jobs, of which the producer has the sender.
    async fn no_jobs() -> (Box<dyn JobSender>, Arc<dyn JobReceiver>) {
        let memory = Url::parse("memory:").unwrap();
        let Queue { sender, receiver } = queue::open(&memory, NonZeroUsize::MIN).await.unwrap();
        (sender, Arc::from(receiver))
    }

    async fn send(commits: &CommitQueue, leases: Vec<Lease>) {
        for lease in leases {
            let result = WorkerResult::NoImage(Outcome::AlreadyThere);
            assert!(commits.send(FinishedJob { lease, result }).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_due_at_once_when_no_image_is_in_flight_and_none_is_expected() {
        let (producer, jobs) = no_jobs().await;
        let (commits, mut batches) = commit_queue(&jobs);
        batches.wait = GROUP_WAIT;
        send(&commits, leases(3).await).await;
        let start = Instant::now();
        assert_eq!(batches.next_batch().await.unwrap().len(), 3);
        assert_eq!(start.elapsed(), LULL, "the producer may send more");
        drop(producer);
        send(&commits, leases(2).await).await;
        let start = Instant::now();
        assert_eq!(batches.next_batch().await.unwrap().len(), 2);
        assert!(start.elapsed().is_zero());
        drop(commits);
        assert!(batches.next_batch().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_due_at_once_when_the_workers_are_gone() {
        let (_producer, jobs) = no_jobs().await;
        let (commits, mut batches) = commit_queue(&jobs);
        batches.wait = GROUP_WAIT;
        send(&commits, leases(2).await).await;
        let (last, start) = (commits.clone(), Instant::now());
        drop(commits);
        let (batch, ()) = tokio::join!(batches.next_batch(), async {
            tokio::task::yield_now().await;
            drop(last);
        });
        assert_eq!(batch.unwrap().len(), 2);
        assert!(start.elapsed().is_zero());
        assert!(batches.next_batch().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lull_that_ends_ends_no_batch() {
        let (_producer, jobs) = no_jobs().await;
        let (commits, mut batches) = commit_queue(&jobs);
        batches.wait = GROUP_WAIT;
        let start = Instant::now();
        send(&commits, leases(1).await).await;
        let (batch, ()) = tokio::join!(batches.next_batch(), async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let in_flight = commits.begin();
            tokio::time::sleep(LULL).await;
            send(&commits, leases(1).await).await;
            drop(in_flight);
        });
        assert_eq!(batch.map(|batch| batch.len()), Some(2));
        assert_eq!(start.elapsed(), Duration::from_millis(2) + LULL * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_images_in_flight_2_ms_at_first_and_250_ms_later() {
        let (_producer, jobs) = no_jobs().await;
        let (commits, mut batches) = commit_queue(&jobs);
        let _in_flight = commits.begin();
        assert_eq!(commits.active().count(), 1);
        for wait in [2, 4, 8, 16, 32, 64, 128, 250, 250] {
            send(&commits, leases(2).await).await;
            let start = Instant::now();
            assert_eq!(batches.next_batch().await.unwrap().len(), 2);
            assert_eq!(start.elapsed().as_millis(), wait);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_10_ms_for_images_in_flight_behind_the_last_job() {
        let (producer, jobs) = no_jobs().await;
        let (commits, mut batches) = commit_queue(&jobs);
        batches.wait = GROUP_WAIT;
        let _in_flight = commits.begin();
        send(&commits, leases(2).await).await;
        let start = Instant::now();
        let (batch, ()) = tokio::join!(batches.next_batch(), async {
            tokio::time::sleep(CHECK_LAST_JOB_EVERY * 5 / 2).await;
            drop(producer);
        });
        assert_eq!(batch.unwrap().len(), 2);
        assert_eq!(
            start.elapsed(),
            CHECK_LAST_JOB_EVERY * 3,
            "it is noticed by the next check"
        );
        send(&commits, leases(2).await).await;
        let start = Instant::now();
        assert_eq!(batches.next_batch().await.unwrap().len(), 2);
        assert_eq!(start.elapsed(), LAST_GROUPS_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_complete_with_256_images() {
        let (_producer, jobs) = no_jobs().await;
        let (commits, mut batches) = commit_queue(&jobs);
        let _in_flight = commits.begin();
        let mut leases = leases(GROUP_IMAGES + 1).await;
        let last = leases.pop().into_iter().collect();
        send(&commits, leases).await;
        let start = Instant::now();
        assert_eq!(batches.next_batch().await.unwrap().len(), GROUP_IMAGES);
        assert!(start.elapsed().is_zero());
        send(&commits, last).await;
        assert_eq!(batches.next_batch().await.unwrap().len(), 1);
    }
}
