//! An object store: one object an image, put only where no other has its key; everything else in a folder of this machine.
//!
//! Each image is one request (never several parts: stores were seen to let two of those win), with its SHA-256 checksum, and
//! carries its BLAKE3 hash. Whether an object is ours is always settled by looking: where the key is taken, where an
//! answer was lost, and where a store answered with a fault. So any number of machines may write into one prefix.

mod address;
mod breaker;
mod client;
mod owner;
mod read;
mod store;
mod trouble;
mod words;

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use object_store::{
    Attribute, Attributes, Error, ObjectStore as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::sync::Semaphore;

use self::read::StoreReader;
use self::store::{Found, HASH_ENTRY, Store, no_answer};
use self::trouble::{Trouble, trouble};
use super::local::quarantine::{Rejected, quarantine};
use super::{
    EntryStream, OpenSink, Placed, ReadError, Sink, SinkError, SinkOptions, SinkReader, Staging,
    StoreOptions, StoredImageReader,
};
use crate::job::ImageName;
use crate::outcome::Content;
use crate::part::CompleteFile;
use crate::verify::VerifiedImage;

/// Images that are put at a time.
const IN_FLIGHT: usize = 16;

/// Bytes of images that are put at a time, in KiB: each is in memory as a whole. A larger one goes alone.
const IN_FLIGHT_KIB: u32 = 48 * 1024;

/// How often a key is put that is said to be taken and is not there, or whose bytes arrived changed.
const TRIES: u32 = 3;

/// Images in a row that the store refuses before it counts as unusable.
const MAX_REFUSED: u32 = 3;

/// Opens the place, and locks the folder `state_dir` for this process.
pub(super) async fn open(
    (scheme, text): (&str, &str),
    state_dir: &FilePath,
    options: &SinkOptions<'_>,
) -> Result<OpenSink, SinkError> {
    let store = Store::new((scheme, text), &options.store)?;
    // Rights and bucket, before anything is fetched. Nothing is written for it; and some stores make a missing bucket when
    // something is put into it.
    store.probe().await?;
    let state_dir = options.staging_dir(state_dir.to_owned());
    std::fs::create_dir_all(&state_dir).map_err(super::local::storage_error(
        "creating the folder",
        &state_dir,
    ))?;
    let staging = Arc::new(Staging::open(&state_dir, &state_dir, options)?);
    owner::claim(&state_dir, &store.name, text)?;
    let sink = Arc::new(ObjectSink {
        store,
        memory: Semaphore::new(IN_FLIGHT_KIB as usize),
        refused: AtomicU32::new(0),
        staging: Arc::clone(&staging),
    });
    Ok(OpenSink { sink, staging })
}

pub(super) fn open_to_read(
    url: (&str, &str),
    options: &StoreOptions<'_>,
) -> Result<Arc<dyn SinkReader>, SinkError> {
    Ok(Arc::new(StoreReader::new(Store::new(url, options)?)))
}

/// Stores images as objects.
struct ObjectSink {
    store: Store,
    /// Room for the images in flight, in KiB.
    memory: Semaphore,
    /// How many images in a row the store has refused.
    refused: AtomicU32,
    /// Nobody else works in this folder while this can.
    staging: Arc<Staging>,
}

/// How a put ended.
enum Put {
    Stored,
    /// Another object has the key.
    Taken,
    /// The store does not take it: why.
    Refused(Error),
}

impl ObjectSink {
    async fn place_one(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let content = *image.content();
        let file = image.into_file();
        let (payload, _room) = self.payload(&file, &content).await?;
        for is_taken in [false, true] {
            let name = if is_taken {
                name.with_hash_suffix(&content.hash)
            } else {
                name.clone()
            };
            match self.put(&payload, &name, &content, PutMode::Create).await? {
                Put::Stored => {
                    file.discard();
                    return Ok(Placed::Stored(name));
                }
                Put::Taken => {}
                Put::Refused(error) => return Err(not_stored(name, error)),
            }
        }
        Err(SinkError::Name {
            name,
            source: io::ErrorKind::AlreadyExists.into(),
        })
    }

    /// The bytes of an image, and the room for them.
    async fn payload(
        &self,
        file: &CompleteFile,
        content: &Content,
    ) -> Result<(PutPayload, tokio::sync::SemaphorePermit<'_>), SinkError> {
        let kib = u32::try_from(content.bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = self.memory.acquire_many(kib.min(IN_FLIGHT_KIB)).await;
        let room = room.expect("it is never closed");
        let path = file.path().to_owned();
        let reading = tokio::task::spawn_blocking(move || std::fs::read(path));
        let bytes = reading
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        let bytes = bytes.map_err(super::local::storage_error("reading", file.path()))?;
        Ok((PutPayload::from(bytes), room))
    }

    /// Puts an image under this name, until it is settled how that ended.
    async fn put(
        &self,
        payload: &PutPayload,
        name: &ImageName,
        content: &Content,
        mode: PutMode,
    ) -> Result<Put, SinkError> {
        let put = self.try_put(payload, name, content, mode).await?;
        if let Put::Stored | Put::Taken = put {
            self.store.breaker.succeeded();
            self.refused.store(0, Ordering::Relaxed);
        }
        Ok(put)
    }

    async fn try_put(
        &self,
        payload: &PutPayload,
        name: &ImageName,
        content: &Content,
        mode: PutMode,
    ) -> Result<Put, SinkError> {
        let Self { store, refused, .. } = self;
        let key = store.key(name.as_str())?;
        let unusable = |said| store.unusable_as("storing an image in", said);
        // Not what is to be replaced, whose hash says what its bytes were once.
        let is_new = |found: &UpdateVersion| match &mode {
            PutMode::Update(old) => old != found,
            PutMode::Create | PutMode::Overwrite => true,
        };
        let mut tries = 0;
        loop {
            let error = {
                let _turn = store.breaker.pass().await.map_err(unusable)?;
                let options = put_options(content, mode.clone());
                let put = store.client.put_opts(&key, payload.clone(), options);
                let put = tokio::time::timeout(store.time_for(content.bytes), put).await;
                match put.unwrap_or_else(|_| Err(no_answer())) {
                    Ok(_) => return Ok(Put::Stored),
                    Err(error) => error,
                }
            };
            match trouble(&error) {
                Trouble::Taken => match store.look(&key, content).await? {
                    Found::Same(found) if is_new(&found) => return Ok(Put::Stored),
                    Found::Same(_) | Found::Other(_) => return Ok(Put::Taken),
                    // A conflict of the moment, or objects below this key.
                    Found::Nothing if tries < TRIES => {
                        tries += 1;
                        tokio::time::sleep(Duration::from_secs(tries.into())).await;
                    }
                    Found::Nothing => return Ok(Put::Refused(error)),
                },
                Trouble::Unknown => {
                    let failed = store.breaker.failed(|| store.explain(&error));
                    failed.map_err(unusable)?;
                    match store.look(&key, content).await? {
                        Found::Same(found) if is_new(&found) => return Ok(Put::Stored),
                        Found::Other(_) if mode == PutMode::Create => return Ok(Put::Taken),
                        Found::Nothing | Found::Same(_) | Found::Other(_) => {}
                    }
                }
                Trouble::Later => {
                    let failed = store.breaker.failed(|| store.explain(&error));
                    failed.map_err(unusable)?;
                }
                Trouble::Bytes if tries < 1 => tries = TRIES,
                Trouble::Bytes => return Ok(Put::Refused(error)),
                Trouble::Refused | Trouble::Missing => {
                    if refused.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_REFUSED {
                        return Err(unusable(store.explain(&error)));
                    }
                    return Ok(Put::Refused(error));
                }
            }
        }
    }
}

fn put_options(content: &Content, mode: PutMode) -> PutOptions {
    let attributes = Attributes::from_iter([
        (
            Attribute::ContentType,
            content.format.media_type().to_owned(),
        ),
        (
            Attribute::Metadata(HASH_ENTRY.into()),
            content.hash.to_string(),
        ),
    ]);
    PutOptions {
        mode,
        attributes,
        ..PutOptions::default()
    }
}

fn not_stored(name: ImageName, error: Error) -> SinkError {
    SinkError::Name {
        name,
        source: io::Error::other(error),
    }
}

impl SinkReader for ObjectSink {
    fn list(&self) -> EntryStream {
        StoreReader::new(self.store.clone()).list()
    }

    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError> {
        StoreReader::new(self.store.clone()).read(name)
    }
}

#[async_trait]
impl Sink for ObjectSink {
    async fn place(
        &self,
        group: Vec<(VerifiedImage, ImageName)>,
    ) -> Vec<Result<Placed, SinkError>> {
        let placing = group
            .into_iter()
            .map(|(image, name)| self.place_one(image, name));
        stream::iter(placing).buffered(IN_FLIGHT).collect().await
    }

    async fn exists(
        &self,
        name: &ImageName,
        content: &Content,
    ) -> Result<Option<ImageName>, SinkError> {
        for name in [name.clone(), name.with_hash_suffix(&content.hash)] {
            let key = self.store.key(name.as_str())?;
            if let Found::Same(_) = self.store.look(&key, content).await? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    async fn replace(&self, image: VerifiedImage, name: ImageName) -> Result<Placed, SinkError> {
        let content = *image.content();
        let file = image.into_file();
        let (payload, _room) = self.payload(&file, &content).await?;
        let key = self.store.key(name.as_str())?;
        // Only what was looked at is replaced: another run may be at work there.
        for _ in 0..TRIES {
            let mode = match self.store.look(&key, &content).await? {
                Found::Nothing => PutMode::Create,
                Found::Same(version) | Found::Other(version) => PutMode::Update(version),
            };
            match self.put(&payload, &name, &content, mode).await? {
                Put::Stored => {
                    file.discard();
                    return Ok(Placed::Stored(name));
                }
                Put::Taken => {}
                Put::Refused(error) => return Err(not_stored(name, error)),
            }
        }
        Err(SinkError::Name {
            name,
            source: io::Error::other("others change it all the time"),
        })
    }

    async fn finish(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn longest_name(&self) -> usize {
        ImageName::MAX_BYTES
    }

    async fn quarantine(&self, name: &ImageName, reason: &str) -> Result<(), SinkError> {
        self.keep_rejected(name, reason).await
    }

    async fn keep_rejected(&self, name: &ImageName, reason: &str) -> Result<(), SinkError> {
        let key = self.store.key(name.as_str())?;
        let failed = |source| SinkError::Name {
            name: name.clone(),
            source,
        };
        let size = self.store.size(&key).await?.unwrap_or(0);
        let bytes = self.store.bytes(&key, size).await?;
        let bytes = bytes.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let (name, reason) = (name.to_string(), reason.to_owned());
        let state_dir = self.staging.state_dir().to_owned();
        let keeping = tokio::task::spawn_blocking(move || {
            // From a folder of its own, whose name is none of an image.
            let written = tempfile::tempdir_in(&state_dir)?;
            std::fs::write(written.path().join(&name), bytes)?;
            let folder = state_dir.join("rejected");
            quarantine(written.path(), &folder, &name, &reason, Rejected::Moved)
        });
        let kept = keeping
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        kept.map_err(failed)
    }
}
