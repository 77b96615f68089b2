//! The bytes of a body as they are sent: within their limits, their announced length and their time.

use super::head::is_chunked;
use super::source::BodySource;
use crate::fetch::error::{FetchError, FetchErrorKind};
use crate::fetch::limits::{Exchange, StallError};

/// The bytes as the server sends them.
#[derive(Debug)]
pub(super) struct Transfer<S> {
    pub(super) source: S,
    pub(super) exchange: Exchange,
    pub(super) limit: u64,
    pub(super) from: u64,
    pub(super) length: Option<u64>,
    pub(super) received: u64,
    /// Why the end of the body proves nothing, once it is reached.
    pub(super) doubt: Option<String>,
}

impl<S: BodySource> Transfer<S> {
    pub(super) fn checked(self) -> Result<Self, FetchError> {
        if self.length.is_some_and(|length| length > self.limit) {
            return Err(self.too_large());
        }
        Ok(self)
    }

    /// Shows the next bytes; `None` at the end.
    pub(super) async fn show<R>(
        &mut self,
        see: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, FetchError> {
        if self.doubt.is_some() {
            return Ok(None);
        }
        // What is done with the bytes comes behind the wait: a slow disk is not the server's fault.
        let filled = self.exchange.stall.wait(self.source.fill()).await;
        let is_there = match filled.map_err(|error| self.stalled(error))? {
            Ok(is_there) => is_there,
            Err(broken) if broken.is_closed && self.ends_by_close() => {
                self.doubt = Some(broken.reason);
                return Ok(None);
            }
            Err(broken) => return Err(self.truncated(broken.reason)),
        };
        if !is_there {
            return match self.length {
                Some(length) if self.from + self.received < length => {
                    Err(self.truncated("the connection was closed".to_owned()))
                }
                Some(_) => Ok(None),
                None => {
                    // A last chunk proves that the body is complete; a closed connection proves
                    // nothing.
                    self.length =
                        is_chunked(self.source.headers()).then_some(self.from + self.received);
                    Ok(None)
                }
            };
        }
        let (limit, length) = (self.limit, self.length);
        let before = self.from + self.received;
        let stall = &mut self.exchange.stall;
        // Nothing of what is too much, or too late, is shown.
        let (end, rate, seen) = self.source.show(|bytes| {
            let end = before + bytes.len() as u64;
            let fits = end <= limit && length.is_none_or(|length| end <= length);
            let rate = stall.check_rate(bytes.len());
            (end, rate, (fits && rate.is_ok()).then(|| see(bytes)))
        });
        self.received = end - self.from;
        if end > limit {
            return Err(self.too_large());
        }
        if length.is_some_and(|length| end > length) {
            return Err(self.exchange.error(FetchErrorKind::LongerThanAnnounced));
        }
        rate.map_err(|error| self.stalled(error))?;
        Ok(seen)
    }

    /// Whether the end of the connection is the end of the body, because nothing else is
    /// (RFC 9112 section 6.3).
    fn ends_by_close(&self) -> bool {
        self.length.is_none() && !is_chunked(self.source.headers())
    }

    pub(super) fn too_large(&self) -> FetchError {
        let limit = self.limit;
        self.exchange.error(FetchErrorKind::TooLarge { limit })
    }

    pub(super) fn truncated(&self, reason: String) -> FetchError {
        self.exchange.error(FetchErrorKind::Truncated {
            got: self.from + self.received,
            want: self.length,
            reason,
        })
    }

    fn stalled(&self, error: StallError) -> FetchError {
        self.exchange.stall_error(error)
    }
}
