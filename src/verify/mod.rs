//! Judges an image by its bytes while they pass: signature, structure to the end mark, checksums, declared size.

use crate::outcome::Content;
use crate::part::Whole;

/// An image that passed every check. Nothing but `examine` makes one, and a sink takes nothing else.
#[derive(Debug)]
pub struct Sound {
    whole: Whole,
    content: Content,
}

impl Sound {
    /// Where the bytes lie.
    pub fn whole(&self) -> &Whole {
        &self.whole
    }

    /// What was established about them.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Hands the file over to whoever gives it a name.
    pub fn into_whole(self) -> Whole {
        self.whole
    }
}
