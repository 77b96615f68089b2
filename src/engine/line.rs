//! The line from the workers to the keeper: what is handed over, and when a group of it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::ledger::Origin;
use crate::outcome::Outcome;
use crate::queue::Lease;
use crate::verify::Sound;

/// A group is flushed when it has this many images,
const GROUP_IMAGES: usize = 256;
/// or this many bytes,
const GROUP_BYTES: u64 = 64_000_000;
/// or its first image has waited this long, or nobody has another one in hand.
const GROUP_WAIT: Duration = Duration::from_millis(250);

/// A job that came to its end at a worker.
pub(super) struct Finished {
    pub(super) lease: Lease,
    pub(super) kept: Kept,
}

/// What a worker brought.
pub(super) enum Kept {
    /// An image to be kept, and where it came from.
    Sound(Box<(Sound, Origin)>),
    /// None.
    Not(Outcome),
}

/// The workers' end of the line to the keeper.
#[derive(Clone)]
pub(super) struct Line {
    finished: mpsc::Sender<Finished>,
    in_hand: Arc<AtomicUsize>,
}

/// The keeper's end.
pub(super) struct Arrivals {
    finished: mpsc::Receiver<Finished>,
    in_hand: Arc<AtomicUsize>,
}

/// How many images workers have in hand.
pub(super) struct Hands(Arc<AtomicUsize>);

/// Says, while it lives, that a worker has an image in hand.
pub(super) struct InHand(Arc<AtomicUsize>);

/// A line with room for a whole group, so that workers go on while the one before is flushed.
pub(super) fn line() -> (Line, Arrivals) {
    let (sender, receiver) = mpsc::channel(GROUP_IMAGES);
    let in_hand = Arc::new(AtomicUsize::new(0));
    (Line { finished: sender, in_hand: Arc::clone(&in_hand) }, Arrivals { finished: receiver, in_hand })
}

impl Line {
    pub(super) fn in_hand(&self) -> InHand {
        self.in_hand.fetch_add(1, Ordering::SeqCst);
        InHand(Arc::clone(&self.in_hand))
    }

    pub(super) fn hands(&self) -> Hands {
        Hands(Arc::clone(&self.in_hand))
    }

    /// Hands over; false when the keeper is gone.
    pub(super) async fn hand_over(&self, finished: Finished) -> bool {
        self.finished.send(finished).await.is_ok()
    }
}

impl Hands {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Arrivals {
    /// The next group, or `None` once there will never be one again.
    pub(super) async fn group(&mut self) -> Option<Vec<Finished>> {
        let mut group = vec![self.finished.recv().await?];
        let mut bytes = group[0].bytes();
        let due = Instant::now() + GROUP_WAIT;
        while group.len() < GROUP_IMAGES && bytes < GROUP_BYTES {
            let next = match self.finished.try_recv() {
                Ok(next) => next,
                Err(_) if self.in_hand.load(Ordering::SeqCst) == 0 => break,
                Err(_) => match timeout_at(due, self.finished.recv()).await {
                    Ok(Some(next)) => next,
                    Ok(None) | Err(_) => break,
                },
            };
            bytes += next.bytes();
            group.push(next);
        }
        Some(group)
    }
}

impl Finished {
    fn bytes(&self) -> u64 {
        match &self.kept {
            Kept::Sound(sound) => sound.0.content().bytes,
            Kept::Not(_) => 0,
        }
    }
}
