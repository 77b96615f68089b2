//! The reading side of a store.

use std::ffi::OsString;
use std::io::{self, Cursor};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use object_store::{GetOptions, ObjectStore as _};
use tokio::runtime::Handle;

use super::store::{Asked, Store, time_for};
use crate::sink::{EntryKind, EntryStream, ReadError, SinkEntry, SinkReader, StoredImageReader};
use crate::units::ByteSize;

/// Reads images, each as a whole.
pub(super) struct StoreReader {
    store: Store,
    /// Reads block their threads, and the requests run here.
    runtime: Handle,
}

impl StoreReader {
    /// Within the runtime on which its requests are to run.
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            runtime: Handle::current(),
        }
    }
}

/// The largest object that is read. Images of ours are far below it.
const MAX_BYTES: u64 = 2 << 30;

impl SinkReader for StoreReader {
    fn list(&self) -> EntryStream {
        let store = self.store.clone();
        let prefix = match store.listed_prefix() {
            Ok(prefix) => prefix,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let skipped = prefix
            .as_ref()
            .map_or(0, |prefix| prefix.as_ref().len() + 1);
        let listed = store.client.list(prefix.as_ref());
        listed
            .filter_map(move |object| {
                let entry = match object {
                    Ok(object) => {
                        let name = object.location.as_ref().get(skipped..).unwrap_or_default();
                        // What lies deeper is another collection's.
                        (!name.is_empty() && !name.contains('/')).then(|| {
                            Ok(SinkEntry {
                                name: OsString::from(name),
                                kind: EntryKind::File { bytes: object.size },
                            })
                        })
                    }
                    Err(error) => Some(Err(store.unusable("listing", &error))),
                };
                std::future::ready(entry)
            })
            .boxed()
    }

    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError> {
        let key = self.store.key(name).map_err(unreadable)?;
        let reading = async {
            let head = GetOptions {
                head: true,
                ..GetOptions::default()
            };
            let client = &self.store.client;
            let asked = self
                .store
                .ask(time_for(0), || client.get_opts(&key, head.clone()));
            let size = match asked.await {
                Ok(found) => found.meta.size,
                Err(Asked::Missing) => return Err(ReadError::Missing),
                Err(Asked::Failed(error)) => return Err(unreadable(error)),
            };
            if size > MAX_BYTES {
                return Err(ReadError::NotAFile(format!(
                    "an object of {}",
                    ByteSize(size)
                )));
            }
            let bytes = self.store.bytes(&key, size).await.map_err(unreadable)?;
            bytes.ok_or(ReadError::Missing)
        };
        let bytes = self.runtime.block_on(reading)?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ReadError {
    ReadError::Unreadable(io::Error::other(error))
}

impl StoredImageReader for Cursor<Bytes> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.get_ref().len() as u64)
    }
}
