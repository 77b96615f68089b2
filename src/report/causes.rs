//! Failures and skips grouped by cause, for the summary.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::terminal::escape_truncated;

/// The most groups kept: causes quote servers, so a hostile one could fill the memory with different ones.
const MAX_GROUPS: usize = 100;

/// How many images ended for which cause. Safe to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Causes(BTreeMap<String, Group>);

/// The images with one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) count: usize,
    /// The first one's address.
    pub(super) example: String,
}

impl Causes {
    /// Counts an image; `cause` and `address` are untrusted.
    pub(super) fn add(&mut self, cause: &str, address: &str) {
        let cause = escape_truncated(cause);
        if let Some(group) = self.0.get_mut(&*cause) {
            group.count += 1;
        } else if self.0.len() < MAX_GROUPS {
            let example = escape_truncated(address).into_owned();
            let group = Group { count: 1, example };
            self.0.insert(cause.into_owned(), group);
        }
    }

    /// The groups of at least `least` images, the largest first; at most `most` of them.
    pub(super) fn largest(&self, least: usize, most: usize) -> Vec<(&str, &Group)> {
        let mut groups: Vec<_> = self
            .0
            .iter()
            .map(|(cause, group)| (cause.as_str(), group))
            .filter(|(_, group)| group.count >= least)
            .collect();
        groups.sort_by_key(|(_, group)| Reverse(group.count));
        groups.truncate(most);
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_do_not_fill_the_memory() {
        let mut causes = Causes::default();
        for number in 0..10_000 {
            causes.add(&format!("cause {number}"), "https://demo.invalid/a.png");
            causes.add("cause 0", "https://demo.invalid/b.png");
        }
        assert_eq!(causes.0.len(), MAX_GROUPS);
        let (cause, group) = causes.largest(2, 10)[0];
        assert_eq!((cause, group.count), ("cause 0", 10_001));
        assert_eq!(group.example, "https://demo.invalid/a.png");
    }
}
