//! Images that several addresses of one run gave: often what a site shows in place of a removed picture.

use std::collections::{HashMap, HashSet};

use serde::{Serialize, Serializer};

use crate::job::{ContentHash, ImageName};

/// Fewer addresses than this may well show the same picture.
const FEWEST_ADDRESSES: usize = 3;

/// The most groups kept: a run with more has its duplicates counted all the same.
const MAX_GROUPS: usize = 1_000;

/// Names kept of images that one address gave; behind these a group is named after the second.
const MAX_NAMES: usize = 10_000;

/// How many addresses gave the same bytes. In JSON it is the list of the images that at least three gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SameImages {
    /// The beginnings of the hashes of what this run saved: eight bytes an image, for there may be a million.
    saved: HashSet<u64>,
    /// The names of the first of them.
    names: HashMap<u64, ImageName>,
    /// By the beginning of the hash: the place in `groups`.
    places: HashMap<u64, usize>,
    groups: Vec<SameImage>,
}

/// An image that several addresses gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SameImage {
    /// The name of its file.
    pub name: ImageName,
    /// How many addresses of this run gave it.
    pub addresses: usize,
}

impl SameImages {
    /// Counts an image that was saved: another with the same bytes may be there under another name.
    pub(super) fn add_saved(&mut self, name: &ImageName, hash: &ContentHash) {
        let hash = beginning(hash);
        if !self.saved.insert(hash) {
            self.add_address(name, hash);
        } else if self.names.len() < MAX_NAMES {
            self.names.insert(hash, name.clone());
        }
    }

    /// Counts another address of a file that is there.
    pub(super) fn add_duplicate(&mut self, name: &ImageName, hash: &ContentHash) {
        self.add_address(name, beginning(hash));
    }

    fn add_address(&mut self, name: &ImageName, hash: u64) {
        if let Some(&place) = self.places.get(&hash) {
            self.groups[place].addresses += 1;
        } else if self.groups.len() < MAX_GROUPS {
            self.places.insert(hash, self.groups.len());
            self.groups.push(SameImage {
                name: self.names.get(&hash).unwrap_or(name).clone(),
                addresses: 1 + usize::from(self.saved.contains(&hash)),
            });
        }
    }

    /// The images that at least three addresses gave, in the order in which they were met.
    pub fn groups(&self) -> impl Iterator<Item = &SameImage> {
        self.groups
            .iter()
            .filter(|image| image.addresses >= FEWEST_ADDRESSES)
    }
}

impl Serialize for SameImages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.groups())
    }
}

fn beginning(hash: &ContentHash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_le_bytes(std::array::from_fn(|at| bytes[at]))
}
