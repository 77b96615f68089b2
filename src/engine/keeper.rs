//! The keeper: gathers what workers finished, gives images their names a group at a time, writes them
//! down, and only then lets go of their leases. So durability never slows the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{EngineError, Haul};
use crate::event::{Event, Events};
use crate::job::ImageName;
use crate::ledger::{Berth, Intent, Ledger, Origin, Record};
use crate::outcome::{Content, Failure, Outcome, Saved, Stage};
use crate::queue::{Lease, Verdict};
use crate::sink::{Sink, SinkError};
use crate::site::Site;
use crate::verify::Sound;

/// A group is flushed when it has this many images,
const GROUP_IMAGES: usize = 256;
/// or this many bytes,
const GROUP_BYTES: u64 = 64_000_000;
/// or its first image has waited this long, or nobody has another one in hand.
const GROUP_WAIT: Duration = Duration::from_millis(250);

/// An image that is gone (404, 410) is left alone for this long.
const GONE_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

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

    pub(super) async fn hand_over(&self, finished: Finished) {
        // A keeper that is gone has told its error; dropped here, the lease goes back.
        let _ = self.finished.send(finished).await;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Arrivals {
    /// The next group, or `None` once there will never be one again.
    async fn group(&mut self) -> Option<Vec<Finished>> {
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

pub(super) struct Keeper {
    site: Arc<Site>,
    ledger: Arc<dyn Ledger>,
    sink: Arc<dyn Sink>,
    clock: fn() -> Timestamp,
    events: Events,
}

impl Keeper {
    pub(super) fn new(haul: &Haul) -> Self {
        Self {
            site: Arc::clone(&haul.site),
            ledger: Arc::clone(&haul.ledger),
            sink: Arc::clone(&haul.sink),
            clock: haul.clock,
            events: haul.events.clone(),
        }
    }

    /// Keeps group after group until the workers are gone.
    pub(super) async fn run(self, mut arrivals: Arrivals) -> Result<(), EngineError> {
        while let Some(group) = arrivals.group().await {
            self.keep(group).await?;
        }
        Ok(())
    }

    /// Data on disk, promises, names, folder on disk, rows, leases, in this order: a kill between any two of
    /// them repeats work and loses none.
    async fn keep(&self, group: Vec<Finished>) -> Result<(), EngineError> {
        let now = (self.clock)();
        let mut ends = Vec::with_capacity(group.len());
        let (mut sounds, mut intents, mut leases) = (Vec::new(), Vec::new(), Vec::new());
        for Finished { lease, kept } in group {
            match kept {
                Kept::Not(outcome) => ends.push((lease, outcome)),
                Kept::Sound(sound) => {
                    let (sound, origin) = *sound;
                    intents.push(self.intent(&lease, origin, *sound.content(), now));
                    sounds.push(sound);
                    leases.push(lease);
                }
            }
        }
        let outcomes = self.place(sounds, intents).await?;
        ends.extend(leases.into_iter().zip(outcomes));
        let records = ends.iter().filter_map(|(lease, outcome)| self.record(lease, outcome, now)).collect();
        self.ledger.record(records).await?;
        for (lease, outcome) in ends {
            let key = lease.job.key.clone();
            lease.settle(Verdict::Settled).await?;
            self.events.emit(Event::ImageFinished { key, outcome }).await;
        }
        Ok(())
    }

    fn intent(&self, lease: &Lease, origin: Origin, content: Content, at: Timestamp) -> Intent {
        let image = &lease.job.image;
        // Named by the key's address, not by the candidate that brought the bytes: a name must not change
        // with what a server had on the day.
        let original = Url::parse(lease.job.key.address()).unwrap_or_else(|_| origin.address.clone());
        let name = self.site.name(image, &original, content.format);
        Intent { key: lease.job.key.clone(), site: image.site.clone(), origin, name, content, at }
    }

    /// Gives each sound image its name; in the order they came.
    async fn place(&self, sounds: Vec<Sound>, intents: Vec<Intent>) -> Result<Vec<Outcome>, EngineError> {
        if sounds.is_empty() {
            return Ok(Vec::new());
        }
        let origins: Vec<_> = intents.iter().map(|intent| (intent.content, intent.origin.address.clone())).collect();
        let berths = self.ledger.placing(intents).await?;
        let mut group = Vec::with_capacity(sounds.len());
        let mut twins = Vec::with_capacity(sounds.len());
        for (sound, berth) in sounds.into_iter().zip(berths) {
            match berth {
                Berth::Free(name) => {
                    group.push((sound, name));
                    twins.push(None);
                }
                Berth::Twin(name) => twins.push(Some(name)),
            }
        }
        let mut placed = self.sink.place(group).await.into_iter();
        let mut outcomes = Vec::with_capacity(twins.len());
        for (twin, (content, address)) in twins.into_iter().zip(origins) {
            let is_twin = twin.is_some();
            let named = match twin {
                Some(name) => Some(Ok(name)),
                None => placed.next().map(|placed| placed.map(|placed| placed.name)),
            };
            outcomes.push(match named {
                Some(Ok(name)) => Outcome::Saved(Saved { name, content, twin: is_twin }),
                Some(Err(SinkError::Name { name, source })) => unplaced(&address, &name, &source),
                Some(Err(broken)) => return Err(broken.into()),
                None => Outcome::Interrupted,
            });
        }
        Ok(outcomes)
    }

    fn record(&self, lease: &Lease, outcome: &Outcome, at: Timestamp) -> Option<Record> {
        let key = lease.job.key.clone();
        match outcome {
            Outcome::Saved(saved) => Some(Record::Saved { key, name: saved.name.clone() }),
            Outcome::Failed(failure) if failure.stage == Stage::Place => Some(Record::Unplaced { key }),
            Outcome::Failed(failure) => {
                let until = failure.gone.then(|| at.checked_add(GONE_FOR).unwrap_or(Timestamp::MAX));
                let site = self.site.id().clone();
                Some(Record::Failed { key, site, failure: failure.clone(), at, until })
            }
            Outcome::Known | Outcome::Filtered(_) | Outcome::Interrupted => None,
        }
    }
}

fn unplaced(address: &Url, name: &ImageName, source: &std::io::Error) -> Outcome {
    let cause = format!("giving it the name `{name}`: {source}");
    Outcome::Failed(Failure { stage: Stage::Place, address: address.to_string(), cause, tries: 1, gone: false })
}
