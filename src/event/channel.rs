//! The channel that carries events from the stages to the reporters.

use tokio::sync::mpsc;

use super::{Event, WaitReason, Warning};
use crate::mask::Masks;

/// Events that may wait for their reporter; past that, `emit` waits and `hint` is lost.
const WAITING_EVENTS: usize = 1024;

/// Where stages send events. The run's events end when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    hints: bool,
    masks: Masks,
}

/// Where events may still be sent, if the run has not ended.
#[derive(Debug, Clone)]
pub struct WeakEvents {
    sender: mpsc::WeakSender<Event>,
    hints: bool,
    masks: Masks,
}

impl WeakEvents {
    /// The events, as long as some stage of the run can send them.
    pub fn upgrade(&self) -> Option<Events> {
        self.sender.upgrade().map(|sender| Events {
            sender,
            hints: self.hints,
            masks: self.masks.clone(),
        })
    }
}

impl Events {
    /// A bounded channel of events, so that a slow terminal slows the run instead of filling the memory. Without
    /// `hints` only what is emitted comes through: where nobody watches single images, sending their progress would
    /// cost as much as fetching small ones.
    pub fn channel(hints: bool) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
        let events = Self {
            sender,
            hints,
            masks: Masks::default(),
        };
        (events, receiver)
    }

    /// The same channel for events that may hold these secrets: none arrives with one.
    #[must_use]
    pub fn masking(self, masks: Masks) -> Self {
        Self { masks, ..self }
    }

    fn masked(&self, mut event: Event) -> Event {
        if !self.masks.is_empty() {
            event.mask(&self.masks);
        }
        event
    }

    /// Sends `event`: waits while the channel is full, and arrives.
    pub async fn emit(&self, event: Event) {
        // The reader outlives the stages; if it died, its own error says so.
        let _ = self.sender.send(self.masked(event)).await;
    }

    /// A handle that does not keep the run's events from ending, for what outlives the run.
    pub fn downgrade(&self) -> WeakEvents {
        let Self {
            sender,
            hints,
            masks,
        } = self;
        WeakEvents {
            sender: sender.downgrade(),
            hints: *hints,
            masks: masks.clone(),
        }
    }

    /// Sends a warning, as [`Events::emit`].
    pub async fn warn(&self, warning: Warning) {
        self.emit(Event::Warned { warning }).await;
    }

    /// Says what the run waits for, if the channel has room. Never waits: a stage that is asked to end must not be
    /// held up by a slow terminal, so the event is lost instead.
    pub fn waiting(&self, reason: WaitReason) {
        let _ = self.sender.try_send(Event::Waiting { reason });
    }

    /// Sends `event` if hints are wanted and the channel has room; for events that the next one of their kind
    /// replaces.
    pub fn hint(&self, event: impl FnOnce() -> Event) {
        if self.hints {
            let _ = self.sender.try_send(self.masked(event()));
        }
    }
}
