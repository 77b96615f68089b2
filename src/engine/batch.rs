//! The line from the workers to the keeper: what is handed over, and when a group of it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::ledger::Origin;
use crate::outcome::Outcome;
use crate::queue::Lease;
use crate::verify::VerifiedImage;

/// A group is flushed when it has this many images,
const GROUP_IMAGES: usize = 256;
/// or this many bytes,
const GROUP_BYTES: u64 = 64_000_000;
/// or its first image has waited this long, or nobody has another one in hand.
const GROUP_WAIT: Duration = Duration::from_millis(250);

/// A job that came to its end at a worker.
pub(super) struct Finished {
    pub(super) lease: Lease,
    pub(super) kept: WorkerResult,
}

/// What a worker brought.
pub(super) enum WorkerResult {
    /// An image to be kept, and where it came from.
    VerifiedImage(Box<(VerifiedImage, Origin)>),
    /// None.
    Not(Outcome),
}

/// The workers' end of the line to the keeper.
#[derive(Clone)]
pub(super) struct CommitQueue {
    finished: mpsc::Sender<Finished>,
    state: Arc<State>,
}

/// The keeper's end.
pub(super) struct BatchReceiver {
    finished: mpsc::Receiver<Finished>,
    state: Arc<State>,
}

/// How things stand on the line.
#[derive(Default)]
struct State {
    /// Workers that have an image in hand.
    in_hand: AtomicUsize,
    /// Bytes of the images on the line.
    bytes: AtomicU64,
    /// Told when there is a whole group, or nobody has an image in hand: to wake the keeper for each image costs as
    /// much as a small image itself.
    due: Notify,
}

/// How many images workers have in hand.
pub(super) struct ActiveCount(Arc<State>);

/// Says, while it lives, that a worker has an image in hand.
pub(super) struct ActiveGuard(Arc<State>);

/// A line with room for a whole group, so that workers go on while the one before is flushed.
pub(super) fn commit_queue() -> (CommitQueue, BatchReceiver) {
    let (sender, receiver) = mpsc::channel(GROUP_IMAGES);
    let state = Arc::new(State::default());
    (
        CommitQueue {
            finished: sender,
            state: Arc::clone(&state),
        },
        BatchReceiver {
            finished: receiver,
            state,
        },
    )
}

impl CommitQueue {
    pub(super) fn in_hand(&self) -> ActiveGuard {
        self.state.in_hand.fetch_add(1, Ordering::SeqCst);
        ActiveGuard(Arc::clone(&self.state))
    }

    pub(super) fn hands(&self) -> ActiveCount {
        ActiveCount(Arc::clone(&self.state))
    }

    /// Hands over; false when the keeper is gone.
    pub(super) async fn hand_over(&self, finished: Finished) -> bool {
        let bytes = self
            .state
            .bytes
            .fetch_add(finished.bytes(), Ordering::SeqCst)
            + finished.bytes();
        let sent = self.finished.send(finished).await.is_ok();
        if bytes >= GROUP_BYTES || self.finished.capacity() == 0 {
            self.state.due.notify_one();
        }
        sent
    }
}

impl ActiveCount {
    pub(super) fn count(&self) -> usize {
        self.0.in_hand.load(Ordering::SeqCst)
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        if self.0.in_hand.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.due.notify_one();
        }
    }
}

impl BatchReceiver {
    /// The next group, or `None` once there will never be one again.
    pub(super) async fn group(&mut self) -> Option<Vec<Finished>> {
        let first = self.finished.recv().await?;
        let due = Instant::now() + GROUP_WAIT;
        while !self.is_whole() && self.state.in_hand.load(Ordering::SeqCst) > 0 {
            if timeout_at(due, self.state.due.notified()).await.is_err() {
                break;
            }
        }
        let mut bytes = first.bytes();
        let mut group = Vec::with_capacity(1 + self.finished.len());
        group.push(first);
        while group.len() < GROUP_IMAGES
            && bytes < GROUP_BYTES
            && let Ok(next) = self.finished.try_recv()
        {
            bytes += next.bytes();
            group.push(next);
        }
        self.state.bytes.fetch_sub(bytes, Ordering::SeqCst);
        Some(group)
    }

    /// Whether a whole group has arrived, one of it taken already.
    fn is_whole(&self) -> bool {
        self.finished.len() + 1 >= GROUP_IMAGES
            || self.state.bytes.load(Ordering::SeqCst) >= GROUP_BYTES
    }
}

impl Finished {
    fn bytes(&self) -> u64 {
        match &self.kept {
            WorkerResult::VerifiedImage(sound) => sound.0.content().bytes,
            WorkerResult::Not(_) => 0,
        }
    }
}
