//! What the web archive says of a body beside its bytes: the capture it is, and how to tell that it is whole.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use sha1::{Digest as _, Sha1};
use tokio::sync::OwnedSemaphorePermit;

use crate::outcome::Capture;

/// A body that the web archive brings.
#[derive(Debug)]
pub(crate) struct ArchivedBody {
    pub(crate) capture: Capture,
    /// What the site said the length is, in bytes.
    pub(crate) length: Option<u64>,
    /// What the archive's index says the SHA-1 hash is, with the hash of the bytes so far.
    pub(crate) digest: Option<([u8; 20], Sha1)>,
    received: u64,
    /// Captures that turned out to be no good in this run, by address.
    rejected: Arc<Mutex<HashSet<String>>>,
    /// Returned with the last byte: the archive gets one request at a time.
    _turn: OwnedSemaphorePermit,
}

impl ArchivedBody {
    pub(crate) fn new(
        capture: Capture,
        length: Option<u64>,
        digest: Option<[u8; 20]>,
        rejected: Arc<Mutex<HashSet<String>>>,
        turn: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            capture,
            length,
            digest: digest.map(|digest| (digest, Sha1::new())),
            received: 0,
            rejected,
            _turn: turn,
        }
    }

    pub(super) fn update(&mut self, chunk: &[u8]) {
        self.received += chunk.len() as u64;
        if let Some((_, hasher)) = &mut self.digest {
            hasher.update(chunk);
        }
    }

    /// Compares the bytes, now that all have arrived. What does not match is not asked for again in this run.
    ///
    /// # Errors
    ///
    /// What does not match.
    pub(super) fn finish(&self) -> Result<(), String> {
        let reason = match (&self.length, &self.digest) {
            (Some(length), _) if *length != self.received => {
                format!("has {} bytes, and the site sent {length}", self.received)
            }
            (_, Some((digest, hasher))) if *digest != *hasher.clone().finalize() => {
                "does not have the SHA-1 digest of the index".to_owned()
            }
            _ => return Ok(()),
        };
        let at = self.capture.at.strftime("%F");
        self.rejected
            .lock()
            .insert(self.capture.address.to_string());
        Err(format!("its capture of {at} {reason}"))
    }
}
