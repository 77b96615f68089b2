//! Inspects an image's bytes while they pass, in constant memory.

use super::checker::{Checker, ParseStop};
use super::cursor::{ByteCursor, Carry};
use super::declared::DeclaredFacts;
use super::formats::{self, SignatureMatch};
use super::hash::ContentHasher;
use super::{Defect, Limits, sniff};
use crate::job::Declared;
use crate::outcome::{Content, Format, StoredSize};
use crate::part::ByteObserver;

/// How many bytes without an image's signature are gathered before they are rejected: enough for an
/// HTML page's title, which tells the user more than "not an image".
pub(super) const HEAD_BYTES: usize = 4096;

/// Sees each chunk of an image once, as it is written to its part: hashes it, and follows the
/// format's structure, so that no file is read again to verify it. [`verify`](super::verify) asks
/// it for the result.
pub struct Inspector {
    limits: Limits,
    hasher: ContentHasher,
    /// Boxed, as few images have any: the inspector moves with its part.
    declared: Option<Box<DeclaredFacts>>,
    state: State,
}

enum State {
    /// Too few bytes to tell the format; these are all so far.
    Head(Vec<u8>),
    /// The signature has identified the format.
    Body {
        format: Format,
        checker: Box<dyn Checker>,
        carry: Carry,
    },
    /// No later byte can make it valid.
    Rejected(Defect),
}

impl Inspector {
    /// An inspector that has seen no bytes yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            hasher: ContentHasher::new(),
            declared: None,
            state: State::Head(Vec::new()),
        }
    }

    /// An inspector that also compares the image with what its listing declares of it.
    pub fn comparing(limits: Limits, declared: Option<&Declared>) -> Self {
        Self {
            declared: declared.map(|declared| Box::new(DeclaredFacts::new(declared))),
            ..Self::new(limits)
        }
    }

    /// A defect that no later byte can mend: there is no use in reading on.
    pub fn defect(&self) -> Option<&Defect> {
        match &self.state {
            State::Head(_) | State::Body { .. } => None,
            State::Rejected(defect) => Some(defect),
        }
    }

    /// Adds to the head until it tells what the file is; returns the bytes that are still to be
    /// checked.
    fn gather<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let State::Head(head) = &mut self.state else {
            return chunk;
        };
        let (more, rest) = chunk.split_at(chunk.len().min(HEAD_BYTES - head.len()));
        head.extend_from_slice(more);
        match formats::recognize(head) {
            SignatureMatch::Full(format) => {
                let head = std::mem::take(head);
                self.state = State::Body {
                    format,
                    checker: (formats::row(format).checker)(self.limits),
                    carry: Carry::default(),
                };
                self.check(&head);
            }
            SignatureMatch::Partial | SignatureMatch::None if head.len() == HEAD_BYTES => {
                self.state = State::Rejected(sniff::not_an_image(head));
            }
            SignatureMatch::Partial | SignatureMatch::None => {}
        }
        rest
    }

    fn check(&mut self, bytes: &[u8]) {
        let State::Body { checker, carry, .. } = &mut self.state else {
            return;
        };
        match checker.feed(&mut ByteCursor::new(bytes, carry)) {
            ParseStop::NeedMore | ParseStop::Ended => {}
            ParseStop::Rejected(defect) => self.state = State::Rejected(defect),
        }
    }

    /// The result, now that all `bytes` bytes have arrived; `want` is the length that was
    /// announced, if any.
    pub(super) fn finish(self, bytes: u64, want: Option<u64>) -> Result<Content, Defect> {
        let (format, checker, carry) = match self.state {
            State::Head(head) => return Err(sniff::too_short(&head)),
            State::Rejected(defect) => return Err(defect),
            State::Body {
                format,
                checker,
                carry,
            } => (format, checker, carry),
        };
        if let Some(want) = want.filter(|&want| want != bytes) {
            return Err(Defect::WrongLength { want, got: bytes });
        }
        let stored = checker
            .end()
            .filter(|_| carry.is_empty())
            .ok_or(Defect::Truncated)?;
        if want.is_none() && !checker.knows_its_end() {
            return Err(Defect::EndUnknown);
        }
        let displayed = checker.displayed().unwrap_or(stored);
        let content = Content {
            bytes,
            hash: self.hasher.finish(),
            format,
            width: displayed.width,
            height: displayed.height,
            stored: (stored != displayed).then_some(StoredSize {
                width: stored.width,
                height: stored.height,
            }),
            warning: checker.warning(),
        };
        match self.declared {
            Some(declared) => declared.compare(&content).map(|()| content),
            None => Ok(content),
        }
    }
}

impl ByteObserver for Inspector {
    fn update(&mut self, chunk: &[u8]) {
        if self.defect().is_none() {
            self.hasher.update(chunk);
            let rest = self.gather(chunk);
            self.check(rest);
            let compared = self
                .declared
                .as_mut()
                .map(|declared| declared.update(chunk));
            if let Some(Err(defect)) = compared
                && self.defect().is_none()
            {
                self.state = State::Rejected(defect);
            }
        }
    }

    fn reset(&mut self) {
        let declared = self.declared.take();
        *self = Self {
            declared: declared.map(|declared| Box::new(declared.restarted())),
            ..Self::new(self.limits)
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verify::testing::{HEIGHT, WIDTH, inspect, inspect_in_chunks, samples};

    #[test]
    fn max_pixels_is_enforced_before_the_image_has_arrived() {
        for (format, bytes) in samples() {
            let mut inspector = Inspector::new(Limits {
                max_pixels: u64::from(WIDTH * HEIGHT) - 1,
            });
            inspector.update(&bytes[..bytes.len() - 2]);
            let defect = Defect::TooManyPixels {
                width: WIDTH,
                height: HEIGHT,
                limit: 208,
            };
            assert_eq!(inspector.defect(), Some(&defect), "{format}");
            assert!(!defect.is_not_an_image());
        }
    }

    #[test]
    fn html_page_is_rejected_before_it_has_arrived() {
        let mut inspector = Inspector::new(Limits::default());
        inspector.update(b"<!doctype html><title>Please log in</title>");
        assert_eq!(inspector.defect(), None);
        inspector.update(&[b'.'; HEAD_BYTES]);
        let defect = inspector.defect().cloned().unwrap();
        assert_eq!(
            defect.to_string(),
            "an HTML page titled `Please log in` instead of an image"
        );
        assert!(defect.is_not_an_image());
        // A caller that stopped reading here learns what it was, not that bytes are missing.
        assert_eq!(inspector.finish(4139, Some(100_000)), Err(defect));
    }

    #[test]
    fn restart_forgets_all_bytes() {
        let samples: Vec<_> = samples().collect();
        for (_, first) in &samples {
            for (_, second) in &samples {
                let mut inspector = Inspector::new(Limits::default());
                inspector.update(&first[..first.len() - 3]);
                inspector.reset();
                inspector.update(second);
                assert_eq!(inspector.finish(second.len() as u64, None), inspect(second));
            }
        }
    }

    /// A damaged or truncated image with junk behind it, or junk alone.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let junk = proptest::collection::vec(any::<u8>(), 0..6000);
        let damaged = (
            0..=Format::ALL.len(),
            junk,
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
        );
        damaged.prop_map(|(which, junk, keep, damage)| {
            let mut image = samples()
                .nth(which)
                .map_or_else(Vec::new, |(_, image)| image);
            let at = damage.index(image.len() + 1);
            if let (Some(byte), Some(junk)) = (image.get_mut(at), junk.first()) {
                *byte ^= junk;
            }
            image.truncate(keep.index(image.len() + 1));
            [image, junk].concat()
        })
    }

    proptest! {
        #[test]
        fn result_does_not_depend_on_how_the_bytes_are_split(bytes in bytes(), size in 1..40_usize) {
            let at_once = inspect(&bytes);
            prop_assert_eq!(&inspect_in_chunks(&bytes, size), &at_once);
            prop_assert_eq!(&inspect_in_chunks(&bytes, size * 100), &at_once);
        }

        #[test]
        fn early_defect_is_the_result(bytes in bytes(), at in any::<prop::sample::Index>()) {
            let mut inspector = Inspector::new(Limits::default());
            let (early, late) = bytes.split_at(at.index(bytes.len() + 1));
            inspector.update(early);
            let defect = inspector.defect().cloned();
            inspector.update(late);
            let result = inspector.finish(bytes.len() as u64, None);
            prop_assert!(defect.is_none_or(|defect| result == Err(defect)));
        }
    }
}
