//! Images without an original that a later page may complete: where the answers to a listing are partial, an item is
//! shown again with what it lacked.

use std::collections::HashMap;

use url::Url;

use crate::job::ImageKey;
use crate::outcome::SkipReason;

/// Images that wait at a time. `MediaWiki` completes an item within one batch of at most 500.
const MAX_WAITING: usize = 10_000;

/// An image without an original: its key, the thumb's canonical address, and why.
pub(super) type Unresolved = (ImageKey, Url, SkipReason);

/// The images that wait for a later page.
#[derive(Default)]
pub(super) struct Deferred {
    /// Whether pages complete each other at all.
    is_on: bool,
    /// With their place in the listing's order.
    waiting: HashMap<ImageKey, (usize, Url, SkipReason)>,
    added: usize,
}

impl Deferred {
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            ..Self::default()
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Keeps those that may be completed later, and returns those that are to be reported now.
    pub(super) fn keep(&mut self, unresolved: Vec<Unresolved>) -> Vec<Unresolved> {
        if !self.is_on {
            return unresolved;
        }
        let mut reported = Vec::new();
        for (key, thumb, reason) in unresolved {
            if self.waiting.len() < MAX_WAITING {
                self.added += 1;
                self.waiting.insert(key, (self.added, thumb, reason));
            } else {
                reported.push((key, thumb, reason));
            }
        }
        reported
    }

    /// Whether the image waited for an original, which it has now.
    pub(super) fn complete(&mut self, key: &ImageKey) -> bool {
        self.waiting.remove(key).is_some()
    }

    /// The images that no page completed, in the listing's order.
    pub(super) fn take(&mut self) -> Vec<Unresolved> {
        let mut left = Vec::from_iter(std::mem::take(&mut self.waiting));
        left.sort_unstable_by_key(|(_, (order, ..))| *order);
        let left = left.into_iter();
        left.map(|(key, (_, thumb, reason))| (key, thumb, reason))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::SiteId;

    fn unresolved(name: &str) -> Unresolved {
        let thumb = Url::parse(&format!("https://demo.invalid/{name}")).unwrap();
        let key = ImageKey::new(&SiteId::new("demo").unwrap(), &thumb);
        (key, thumb, SkipReason::NoRule)
    }

    #[test]
    fn an_image_without_an_original_waits_for_the_answer_that_completes_it() {
        let mut deferred = Deferred::new(true);
        let images = ["c", "a", "b"].map(unresolved);
        assert!(deferred.keep(images.to_vec()).is_empty());
        assert!(deferred.complete(&images[1].0));
        assert!(!deferred.complete(&images[1].0));
        assert_eq!(deferred.take(), [images[0].clone(), images[2].clone()]);
        assert!(deferred.take().is_empty());
    }

    #[test]
    fn where_answers_are_whole_an_image_without_an_original_is_reported_at_once() {
        let mut deferred = Deferred::new(false);
        let images = vec![unresolved("a")];
        assert_eq!(deferred.keep(images.clone()), images);
        assert!(!deferred.complete(&images[0].0));
    }

    #[test]
    fn images_that_wait_are_bounded() {
        let mut deferred = Deferred::new(true);
        let images = (0..=MAX_WAITING).map(|index| unresolved(&index.to_string()));
        assert_eq!(deferred.keep(images.collect()).len(), 1);
    }
}
