//! Who tells the user how images ended.

use crate::event::{Event, Events};
use crate::job::ImageKey;
use crate::outcome::Outcome;

/// How the download half of a run reports the outcomes of images.
#[derive(Debug, Clone)]
pub struct Reports {
    events: Events,
    mode: ReportMode,
}

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportMode {
    /// Outcomes: the images were counted where they were found.
    Outcomes,
    /// Outcomes, each of an image that nobody has counted: it was found by another run.
    FoundAndOutcomes,
    /// Nothing: the run that queued the images does, once it knows.
    Nothing,
}

impl Reports {
    pub(super) fn new(events: Events, mode: ReportMode) -> Self {
        Self { events, mode }
    }

    /// Reports how an image ended.
    pub(super) async fn finished(&self, key: ImageKey, outcome: Outcome) {
        match self.mode {
            ReportMode::Nothing => return,
            ReportMode::FoundAndOutcomes => {
                let found = Event::AddressesRead {
                    found: 1,
                    already_there: 0,
                    gone: 0,
                    repeated: 0,
                };
                self.events.emit(found).await;
            }
            ReportMode::Outcomes => {}
        }
        self.events
            .emit(Event::ImageFinished { key, outcome })
            .await;
    }
}
