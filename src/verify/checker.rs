//! What a format's checker is: a state machine that follows the format's structure while the bytes
//! arrive.

use super::Defect;
use super::cursor::ByteCursor;
use super::limits::Dimensions;
use crate::outcome::ImageWarning;

/// Follows one format's structure. It is a state machine and no parser that reads, because bytes
/// arrive in chunks of any size and are seen once: a parser would need the whole image in memory,
/// or a thread for each to block in.
pub(super) trait Checker: Send {
    /// Does one step: asks `input` at most once, and keeps what it learned for the next step. A
    /// step that asks twice would lose the first answer when the second one has to wait for more
    /// bytes.
    fn step(&mut self, input: &mut ByteCursor<'_>) -> Result<(), ParseStop>;

    /// The image's size as the file stores it, if the image may end after the bytes seen so far.
    fn end(&self) -> Option<Dimensions>;

    /// The size at which viewers display the image, where it is not the stored one. Asked after
    /// [`Checker::end`] has given a size.
    fn displayed(&self) -> Option<Dimensions> {
        None
    }

    /// The first thing that is odd about the image and is no defect.
    fn warning(&self) -> Option<ImageWarning> {
        None
    }

    /// False when the image leaves it to its sender to say where it ends.
    fn knows_its_end(&self) -> bool {
        true
    }

    /// Does as many steps as `input` has bytes for. It stands in the trait so that each checker has
    /// a copy in which `step` is called directly: one virtual call a chunk, not one a step.
    fn feed(&mut self, input: &mut ByteCursor<'_>) -> ParseStop {
        loop {
            if let Err(stop) = self.step(input) {
                return stop;
            }
        }
    }
}

/// Why a checker stopped.
#[derive(Debug)]
pub(super) enum ParseStop {
    /// It has seen every byte there is so far.
    NeedMore,
    /// It has seen the image's end.
    Ended,
    /// It has found a defect.
    Rejected(Defect),
}

impl ParseStop {
    /// A rule of the format is broken.
    pub(super) fn broken(what: &'static str) -> Self {
        Self::Rejected(Defect::BadStructure { what })
    }
}

impl From<Defect> for ParseStop {
    fn from(defect: Defect) -> Self {
        Self::Rejected(defect)
    }
}
