//! What the web archive says of a body beside its bytes: the capture it is, and how to tell that it is whole.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Whether the transfer failed, which says nothing of the capture.
    is_broken: bool,
    /// Whether its reader found it good. Atomic only because a reader says so of a body that it does not change.
    is_accepted: AtomicBool,
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
            is_broken: false,
            is_accepted: AtomicBool::new(false),
            rejected,
            _turn: turn,
        }
    }

    /// The transfer failed.
    pub(super) fn set_broken(&mut self) {
        self.is_broken = true;
    }

    /// Its reader found it good.
    pub(super) fn accept(&self) {
        self.is_accepted.store(true, Ordering::Relaxed);
    }

    pub(super) fn update(&mut self, chunk: &[u8]) {
        self.received += chunk.len() as u64;
        if let Some((_, hasher)) = &mut self.digest {
            hasher.update(chunk);
        }
    }

    /// Compares the bytes, now that all have arrived.
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
        Err(format!("its capture of {at} {reason}"))
    }
}

impl Drop for ArchivedBody {
    /// What arrived and was not accepted is not asked for again in this run, so that the next attempt gets another
    /// capture.
    fn drop(&mut self) {
        if !self.is_broken && !*self.is_accepted.get_mut() && self.received > 0 {
            let address = self.capture.address.to_string();
            self.rejected.lock().insert(address);
        }
    }
}
