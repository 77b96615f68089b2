//! A response whose body is not read yet: its status, where it redirects to, and how it is disposed
//! of.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LINK, RETRY_AFTER, SET_COOKIE};
use tokio::time::timeout;
use url::Url;

use super::response::ClientResponse;
use crate::fetch::body::{
    Accepted, BodySource as _, BodyStream, RangeRequest, content_length, next_link,
    redirect_target, text_value, unpacked_start, whole_range,
};
use crate::fetch::error::{FetchError, FetchErrorKind};
use crate::fetch::limits::{Exchange, Throttle, exhausted_for, parse_retry_after};
use crate::site::ErrorRule;

/// An unwanted body up to this size is read to its end, because HTTP/1.1 can reuse the connection
/// only then. Beyond it a new connection is cheaper.
const MAX_DRAINED: u64 = 64 * 1024;

/// How long such a body may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the body of an error may take that the site's definition has rules for.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What an answer that fits `rule` is.
pub(crate) fn known_error(
    rule: &ErrorRule,
    status: u16,
    retry_after: Option<Duration>,
) -> FetchErrorKind {
    FetchErrorKind::KnownError {
        status,
        action: rule.action,
        hint: rule.hint.clone(),
        retry_after,
    }
}

/// The response of a host, its body not read yet.
#[derive(Debug)]
pub(crate) struct HostResponse {
    response: ClientResponse,
    exchange: Exchange,
    /// The address that was requested, after redirects the last one.
    pub(crate) address: Url,
}

impl HostResponse {
    pub(crate) fn new(response: ClientResponse, exchange: Exchange, address: Url) -> Self {
        Self {
            response,
            exchange,
            address,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.response.status()
    }

    /// Whether it brings the whole of what was requested: 203 through a proxy that changed it, 226
    /// of an instance (RFC 3229), 206 with a range that nobody asked for and that leaves nothing out.
    pub(crate) fn is_whole(&self) -> bool {
        match self.status() {
            200 | 203 | 226 => true,
            206 => whole_range(self.response.headers()).is_some(),
            _ => false,
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The `Set-Cookie` lines.
    pub(crate) fn set_cookies(&self) -> impl Iterator<Item = &HeaderValue> {
        self.response.headers().get_all(SET_COOKIE).into_iter()
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        text_value(self.response.headers(), &CONTENT_TYPE)
    }

    /// The target of the `Link` header with the relation `next`, as written.
    pub(crate) fn next_link(&self) -> Option<String> {
        next_link(self.response.headers().get_all(LINK))
    }

    /// What went wrong with this host; nothing is recorded yet.
    pub(crate) fn error(&self, kind: FetchErrorKind) -> FetchError {
        self.exchange.error(kind)
    }

    /// Where a redirect leads; `None` for any other response.
    pub(crate) fn redirect_target(&self) -> Result<Option<Url>, FetchError> {
        redirect_target(self.status(), self.response.headers(), &self.address).map_err(|reason| {
            self.error(FetchErrorKind::Redirect {
                reason: reason.to_owned(),
            })
        })
    }

    /// The whole body; see [`BodyStream::whole`].
    pub(crate) fn into_body(
        self,
        accepted: Accepted,
        limit: u64,
        throttle: Option<Arc<Throttle>>,
    ) -> Result<BodyStream<ClientResponse>, FetchError> {
        BodyStream::whole(self.response, self.exchange, accepted, limit, throttle)
    }

    /// The rest of a part; see [`BodyStream::rest`].
    pub(crate) fn into_rest(
        self,
        range: RangeRequest<'_>,
        limit: u64,
        throttle: Option<Arc<Throttle>>,
    ) -> Result<BodyStream<ClientResponse>, FetchError> {
        BodyStream::rest(self.response, self.exchange, range, limit, throttle)
    }

    pub(crate) fn record_success(&self) {
        self.exchange.record_success();
    }

    /// Counts against the host, if the error is the host's fault.
    pub(crate) fn record_failure(&self, error: &FetchError) {
        self.exchange.record_failure(error);
    }

    /// The pause that the host asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let (headers, now) = (self.response.headers(), SystemTime::now());
        text_value(headers, &RETRY_AFTER)
            .and_then(|text| parse_retry_after(text, now))
            .or_else(|| exhausted_for(headers, now))
    }

    /// Turns a response with an unwanted status into the error that it is by the `rules` of the site's definition, and
    /// records it. With `has_next`, one that only refuses this address says nothing of the host.
    pub(crate) async fn into_status_error(
        mut self,
        has_next: bool,
        rules: &[ErrorRule],
    ) -> FetchError {
        let (status, retry_after) = (self.status(), self.retry_after());
        let mut error = self.error(FetchErrorKind::Status {
            status,
            retry_after,
        });
        if rules.iter().any(|rule| rule.has_status(status)) {
            let needs_body = |rule: &ErrorRule| rule.has_status(status) && rule.needs_body();
            let body = if rules.iter().any(needs_body) {
                self.error_body().await
            } else {
                String::new()
            };
            if let Some(rule) = ErrorRule::find(rules, status, &body) {
                error = self.error(known_error(rule, status, retry_after));
            }
        }
        if !(has_next && error.is_absence()) {
            self.exchange.record_failure(&error);
        }
        self.drain().await;
        error
    }

    /// The beginning of the body of an error, as text; what has arrived where it breaks off or takes too long.
    async fn error_body(&mut self) -> String {
        let mut bytes = Vec::new();
        let reading = async {
            while bytes.len() < ErrorRule::MAX_BODY
                && matches!(self.response.fill().await, Ok(true))
            {
                self.response.show(|more| bytes.extend_from_slice(more));
            }
        };
        let _ = timeout(ERROR_BODY_TIMEOUT, reading).await;
        bytes.truncate(ErrorRule::MAX_BODY);
        let bytes = unpacked_start(self.response.headers(), bytes, ErrorRule::MAX_BODY);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Disposes of a response whose body nobody wants; a short body is read, so that its connection
    /// can be reused.
    pub(crate) async fn drain(mut self) {
        if content_length(self.response.headers()).is_some_and(|length| length > MAX_DRAINED) {
            return;
        }
        let to_the_end = async {
            let mut left = MAX_DRAINED;
            while matches!(self.response.fill().await, Ok(true)) {
                let count = self.response.show(<[u8]>::len);
                let Some(less) = left.checked_sub(count as u64) else {
                    return;
                };
                left = less;
            }
        };
        // A time-out, or an error above, costs the connection and nothing else.
        let _ = timeout(DRAIN_TIMEOUT, to_the_end).await;
    }
}

#[cfg(test)]
mod tests {
    use crate::fetch::scripted::{Reply, Server, image, path_of};

    #[tokio::test]
    async fn a_short_error_body_is_drained_and_its_connection_reused() {
        let script = |head: &str| match path_of(head) {
            "/missing.png" => Reply::new(404, &[], vec![b'x'; 40_000]),
            _ => Reply::ok("x"),
        };
        let server = Server::start(script).await;
        let fetcher = server.fetcher();
        for _ in 0..5 {
            image(&fetcher, &server.url("/missing.png"))
                .await
                .unwrap_err();
            image(&fetcher, &server.url("/a.png")).await.unwrap();
        }
        assert_eq!(server.connections(), 1);
    }
}
