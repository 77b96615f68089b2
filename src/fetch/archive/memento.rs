//! Requests of captures (mementos, RFC 7089): what an answer of the archive is, by its headers.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName};
use tokio::sync::OwnedSemaphorePermit;

use super::cdx::{self, Digest, Row};
use super::{Archive, REDIRECTS};
use crate::fetch::access::MAX_REDIRECTS;
use crate::fetch::body::{ArchivedBody, text_value};
use crate::fetch::error::FetchError;
use crate::fetch::hops::Question;
use crate::fetch::request::Requester;
use crate::fetch::transport::{HostResponse, RequestKind};
use crate::outcome::Capture;

const MEMENTO_DATETIME: HeaderName = HeaderName::from_static("memento-datetime");
const ORIGINAL_LENGTH: HeaderName = HeaderName::from_static("x-archive-orig-content-length");
const ORIGINAL_CODING: HeaderName = HeaderName::from_static("x-archive-orig-content-encoding");
const ORIGINAL_FRAMING: HeaderName = HeaderName::from_static("x-archive-orig-transfer-encoding");

/// A capture that the archive answers with; its body is not read yet.
pub(super) struct Found {
    /// With the original's address in place of the archive's.
    response: HostResponse,
    capture: Capture,
    length: Option<u64>,
    digest: Option<Digest>,
}

impl Found {
    pub(super) fn into_parts(
        self,
        rejected: &Arc<Mutex<HashSet<String>>>,
        turn: OwnedSemaphorePermit,
    ) -> (HostResponse, Box<ArchivedBody>) {
        let archived = ArchivedBody::new(
            self.capture,
            self.length,
            self.digest,
            Arc::clone(rejected),
            turn,
        );
        (self.response, Box::new(archived))
    }
}

impl Archive {
    /// Requests a capture and follows the archive's redirects, and those that the site made then.
    pub(super) async fn follow(
        &self,
        site: &Requester,
        kind: RequestKind,
        row: &Row,
        rows: &[Row],
    ) -> Result<Found, FetchError> {
        let (mut at, mut original) = (row.at, row.original.clone());
        for _ in 0..=MAX_REDIRECTS {
            let address = Capture::new(&self.settings.base, at, &original).address;
            let mut response = self.request(kind, &address, &self.capture_rate).await?;
            let captured = captured(response.headers());
            let target = response.redirect_target().ok().flatten();
            if target.is_some() || REDIRECTS.contains(&response.status()) {
                response.record_success();
                response.drain().await;
                let target = target.and_then(|url| Capture::parse(&self.settings.base, &url));
                let (next_at, next) = target.ok_or_else(|| {
                    let reason = "it redirects out of the archive".to_owned();
                    match captured {
                        Some(_) => self.absent(reason),
                        None => self.refusal(reason),
                    }
                })?;
                if captured.is_none() && !cdx::is_same(&next, &original) {
                    return Err(self.absent("it answered with another address".to_owned()));
                }
                // The site's own redirect: the hosts are those that may be asked of the site.
                site.check(&next, Question::new(kind).subject(), false)
                    .map_err(|error| self.absent(error.to_string()))?;
                self.check_window(next_at, row.at)?;
                (at, original) = (next_at, next);
                continue;
            }
            let Some(captured) = captured else {
                return Err(self.no_capture(response).await);
            };
            self.check_window(captured, row.at)?;
            if !response.is_whole() {
                let status = response.status();
                // Not the archive's status: a 429 or 503 of that day pauses nobody today.
                response.record_success();
                response.drain().await;
                let at = captured.strftime("%F");
                return Err(self.absent(format!("its capture of {at} is an answer {status}")));
            }
            let (length, is_packed) = original_length(response.headers());
            // The index has the hash of what the site sent, which was packed then and is unpacked on its way: what
            // of a packed body the archive sends as it was is not known.
            let digest = cdx::digest_of(rows, captured, &original).filter(|_| !is_packed);
            let capture = Capture::new(&self.settings.base, captured, &original);
            response.address = original;
            return Ok(Found {
                response,
                capture,
                length,
                digest,
            });
        }
        Err(self.absent(format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// An answer without the date of a capture.
    async fn no_capture(&self, response: HostResponse) -> FetchError {
        match response.status() {
            404 => {
                response.record_success();
                response.drain().await;
                self.absent(self.nothing())
            }
            // A page of the archive's own: its index has the capture, so that this says nothing of it.
            200..300 | 403 | 451 => {
                let reason = "it answered with a page of its own".to_owned();
                self.refused(response, reason).await
            }
            _ => self.trouble(response).await,
        }
    }

    fn check_window(&self, at: Timestamp, asked: Timestamp) -> Result<(), FetchError> {
        if self.settings.wanted.is_near(at, asked) {
            return Ok(());
        }
        let at = at.strftime("%F");
        let reason = format!("its capture of {at} is too far from the date; see --archive-window");
        Err(self.absent(reason))
    }
}

/// When the bytes of a response were captured, if it is a capture.
fn captured(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text_value(headers, &MEMENTO_DATETIME)?).ok()?;
    Timestamp::try_from(date).ok()
}

/// The length that the site announced, where it is that of the bytes as the archive sends them, and whether the site
/// had packed them.
fn original_length(headers: &HeaderMap) -> (Option<u64>, bool) {
    let is_packed = text_value(headers, &ORIGINAL_CODING)
        .is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity"));
    // A length beside chunks means nothing (RFC 9112, 6.3). The archive writes -1 where there was none.
    let is_meant = !is_packed && !headers.contains_key(ORIGINAL_FRAMING);
    let length = text_value(headers, &ORIGINAL_LENGTH)
        .filter(|_| is_meant)
        .and_then(|length| length.trim().parse().ok());
    (length, is_packed)
}
