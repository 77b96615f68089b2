//! The reading side of a store.

use std::ffi::OsString;
use std::future::ready;
use std::io::{self, Cursor};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectMeta;
use tokio::runtime::Handle;

use super::store::Store;
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
        let skipped = match self.store.prefix.as_str() {
            "" => 0,
            prefix => prefix.len() + 1,
        };
        let entry = move |object: ObjectMeta| {
            let name = object.location.as_ref().get(skipped..).unwrap_or_default();
            // What lies deeper is another collection's.
            (!name.is_empty() && !name.contains('/')).then(|| SinkEntry {
                name: OsString::from(name),
                kind: EntryKind::File { bytes: object.size },
            })
        };
        let entries = self.store.list().map_ok(entry);
        entries.try_filter_map(|entry| ready(Ok(entry))).boxed()
    }

    fn read(&self, name: &str) -> Result<Box<dyn StoredImageReader>, ReadError> {
        let key = self.store.key(name)?;
        let reading = async {
            let Some(size) = self.store.size(&key).await? else {
                return Err(ReadError::Missing);
            };
            if size > MAX_BYTES {
                return Err(ReadError::NotAFile(format!(
                    "an object of {}",
                    ByteSize(size)
                )));
            }
            let bytes = self.store.bytes(&key, size).await?;
            bytes.ok_or(ReadError::Missing)
        };
        let bytes = self.runtime.block_on(reading)?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}

impl StoredImageReader for Cursor<Bytes> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.get_ref().len() as u64)
    }
}
