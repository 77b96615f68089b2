//! A place as an object store is one: put-if-absent, no folder, answers that may get lost.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;

use super::super::{
    EntryKind, EntryStream, Placed, ReadError, Sink, SinkEntry, SinkError, SinkReader,
    StoredImageReader,
};
use super::Fixture;
use crate::job::{ContentHash, ImageName};
use crate::outcome::Content;
use crate::part::Parts;
use crate::verify::VerifiedImage;

pub(super) struct InMemory {
    objects: Mutex<BTreeMap<String, Arc<[u8]>>>,
    /// Whether every second answer is lost.
    lossy: bool,
    puts: AtomicUsize,
}

impl InMemory {
    pub(super) fn new(lossy: bool) -> Self {
        Self {
            objects: Mutex::default(),
            lossy,
            puts: AtomicUsize::new(0),
        }
    }

    fn answer(&self, name: ImageName) -> Placed {
        let put = self.puts.fetch_add(1, Ordering::Relaxed);
        if self.lossy && put.is_multiple_of(2) {
            Placed::Unknown
        } else {
            Placed::Stored(name)
        }
    }

    fn put_if_absent(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let suffixed = name.with_hash_suffix(&image.content().hash);
        let file = image.into_file();
        let bytes: Arc<[u8]> = std::fs::read(file.path()).unwrap().into();
        for name in [name.clone(), suffixed] {
            let mut objects = self.objects.lock();
            let stored = objects
                .entry(name.to_string())
                .or_insert_with(|| Arc::clone(&bytes));
            if *stored == bytes {
                file.discard();
                return Ok(self.answer(name));
            }
        }
        let source = io::ErrorKind::AlreadyExists.into();
        Err(SinkError::Name { name, source })
    }
}

impl SinkReader for InMemory {
    fn list(&self) -> EntryStream {
        let objects = self.objects.lock();
        let entries: Vec<_> = objects
            .iter()
            .map(|(name, bytes)| {
                Ok(SinkEntry {
                    name: name.into(),
                    kind: EntryKind::File {
                        bytes: bytes.len() as u64,
                    },
                })
            })
            .collect();
        stream::iter(entries).boxed()
    }

    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError> {
        let objects = self.objects.lock();
        let bytes = objects.get(name).ok_or(ReadError::Missing)?;
        Ok(Box::new(Cursor::new(Arc::clone(bytes))))
    }
}

impl StoredImageReader for Cursor<Arc<[u8]>> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.get_ref().len() as u64)
    }
}

#[async_trait]
impl Sink for InMemory {
    async fn place(
        &self,
        group: Vec<(VerifiedImage, ImageName)>,
    ) -> Vec<Result<Placed, SinkError>> {
        let placed = group
            .into_iter()
            .map(|(image, name)| self.put_if_absent(image, name));
        placed.collect()
    }

    async fn exists(
        &self,
        name: &ImageName,
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError> {
        let objects = self.objects.lock();
        let mut names = [name.clone(), name.with_hash_suffix(&content.hash)].into_iter();
        Ok(names.find(|name| {
            objects.get(&name.to_string()).is_some_and(|bytes| {
                bytes.len() as u64 == content.bytes
                    && ContentHash::from_bytes(*blake3::hash(bytes).as_bytes()) == content.hash
            })
        }))
    }

    async fn replace(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let file = image.into_file();
        let bytes = std::fs::read(file.path()).unwrap().into();
        self.objects.lock().insert(name.to_string(), bytes);
        file.discard();
        Ok(self.answer(name))
    }

    async fn finish(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn longest_name(&self) -> usize {
        ImageName::MAX_BYTES
    }

    async fn quarantine(&self, name: &ImageName, _reason: &str) -> Result<(), SinkError> {
        self.objects.lock().remove(name.as_str());
        Ok(())
    }

    async fn keep_rejected(&self, _name: &ImageName, _reason: &str) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Not a plug of the program: a place without a folder, a lock or atomic answers, as an object store is one. It shows
/// that the contract asks for nothing that only a folder can do.
pub(super) fn fixture(lossy: bool) -> Fixture {
    let home = tempfile::tempdir().unwrap();
    let parts = Parts::open(&home.path().join("parts"), "boot").unwrap();
    let sink = Arc::new(InMemory::new(lossy));
    Fixture { sink, parts, home }
}
