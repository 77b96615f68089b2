//! Why a request failed, and whether another one can help.

mod message;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::site::ErrorAction;

/// A setting that cannot be used; nothing was requested yet.
#[derive(Debug, Clone, Error)]
#[error("{setting}: {reason}")]
pub struct SettingError {
    /// The setting with its value, such as "header `Range`".
    pub setting: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a page or an image could not be fetched. The message may quote a server: untrusted text.
#[derive(Debug, Clone, Error)]
pub struct FetchError {
    host: String,
    kind: FetchErrorKind,
}

/// What went wrong with one host.
#[derive(Debug, Clone)]
pub enum FetchErrorKind {
    /// The policy does not allow the address, so no request was made.
    Refused {
        /// Without its password.
        address: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// The host's robots.txt disallows the address.
    RobotsDisallowed {
        /// Path and query of the address.
        path: String,
    },
    /// The host's robots.txt could not be read, so nothing on the host is requested.
    RobotsUnreadable {
        /// The error of the last try.
        cause: Arc<FetchError>,
    },
    /// The host failed so often in a row that this run leaves it alone.
    GivenUp {
        /// The length of that row.
        failures: u32,
    },
    /// The host's name could not be resolved.
    Dns {
        /// The resolver's own words, or how long it was waited for.
        reason: String,
    },
    /// No connection could be opened.
    Connect {
        /// The system's own words, or how long it was waited for.
        reason: String,
    },
    /// The TLS handshake failed.
    Tls(TlsFailure),
    /// The proxy from the environment did not open a connection to the host.
    Proxy {
        /// Host and port of the proxy, without its password.
        proxy: String,
        /// The proxy's or the system's own words.
        reason: String,
    },
    /// The connection ended before the response began.
    Disconnected {
        /// The system's or the HTTP client's own words.
        reason: String,
    },
    /// The response breaks the rules of HTTP.
    InvalidHttp {
        /// Which rule.
        reason: String,
    },
    /// No response, or no further byte of it, arrived within the stall time-out.
    Timeout {
        /// The stall time-out.
        limit: Duration,
    },
    /// Bytes arrived, but more slowly than the speed limit allows.
    TooSlow {
        /// The limit, in bytes a second.
        floor: u64,
        /// The time over which the speed is measured.
        over: Duration,
    },
    /// The body ended too early.
    Truncated {
        /// How many bytes of the whole file are there, those of a resumed part included.
        got: u64,
        /// How many bytes the whole file has, where the server said so.
        want: Option<u64>,
        /// How it ended.
        reason: String,
    },
    /// The body is longer than allowed, or its header says that it will be.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The body is longer than the response said, so that nobody knows what it is.
    LongerThanAnnounced,
    /// The status is not one that the request expects.
    Status {
        /// The status code.
        status: u16,
        /// From `Retry-After`; unlimited, so that the message can quote it.
        retry_after: Option<Duration>,
    },
    /// The response is an error that the site's definition knows.
    KnownError {
        /// The status code; some sites answer errors with 200.
        status: u16,
        /// What follows from it.
        action: ErrorAction,
        /// What the definition says about it; may be empty.
        hint: String,
        /// When to try again, where the response says that.
        retry_after: Option<Duration>,
    },
    /// The redirect cannot be followed.
    Redirect {
        /// Why not.
        reason: String,
    },
    /// The packed body is damaged, or ends before its coding does.
    BadCoding {
        /// The coding: `gzip`, `deflate` or `br`.
        coding: &'static str,
    },
    /// The body has a content encoding that was not requested.
    ContentEncoding {
        /// As the header names it.
        coding: String,
    },
    /// The web archive has no usable capture of the address.
    NotArchived {
        /// What it has, or said.
        reason: String,
    },
    /// The web archive answered with something else than what it was asked for: that says nothing of what it has.
    ArchiveRefused {
        /// What it answered.
        reason: String,
    },
    /// The bytes are not those that the web archive's index names, or not all of them.
    NotAsArchived {
        /// What does not match.
        reason: String,
    },
    /// The image is no longer the one that the part belongs to: drop the part and start over.
    StalePart {
        /// What does not match.
        reason: String,
    },
}

/// Why a TLS handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFailure {
    /// No trusted authority signed the certificate.
    UnknownIssuer,
    /// The certificate is a root of its own that nobody named as trusted.
    SelfSigned,
    /// The certificate is too old.
    Expired,
    /// The certificate was issued for another host.
    WrongName,
    /// Anything else, in the TLS library's words.
    Other(String),
}

/// Whether another try can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retryability {
    /// It would end the same way.
    Never,
    /// It may help, after a pause of our own choice.
    AfterBackoff,
    /// It may help, after the pause that the host asks for.
    After(Duration),
}

impl FetchError {
    /// What went wrong with `host`, given as `HOST` or `HOST:PORT`.
    pub fn new(host: impl Into<String>, kind: FetchErrorKind) -> Self {
        Self {
            host: host.into(),
            kind,
        }
    }

    /// The host that was, or would have been, asked: `HOST`, with `:PORT` where that is not the
    /// scheme's own.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What went wrong.
    pub fn kind(&self) -> &FetchErrorKind {
        &self.kind
    }

    /// Whether another try can help.
    pub fn retryability(&self) -> Retryability {
        use FetchErrorKind as Kind;
        match &self.kind {
            // A few large sites refuse with 403 who was too fast, and say until when.
            Kind::Status {
                status: 403,
                retry_after: Some(pause),
            } => Retryability::After(*pause),
            Kind::Status {
                status: 408 | 429 | 500..=599,
                retry_after,
            }
            | Kind::KnownError {
                action: ErrorAction::Wait,
                retry_after,
                ..
            } => retry_after.map_or(Retryability::AfterBackoff, Retryability::After),
            Kind::Dns { .. }
            | Kind::Connect { .. }
            | Kind::Proxy { .. }
            | Kind::Disconnected { .. }
            | Kind::Timeout { .. }
            | Kind::TooSlow { .. }
            | Kind::Truncated { .. }
            | Kind::BadCoding { .. }
            | Kind::InvalidHttp { .. }
            // Another capture may be whole.
            | Kind::NotAsArchived { .. }
            | Kind::StalePart { .. } => Retryability::AfterBackoff,
            Kind::Refused { .. }
            | Kind::RobotsDisallowed { .. }
            | Kind::RobotsUnreadable { .. }
            | Kind::GivenUp { .. }
            | Kind::Tls(_)
            | Kind::TooLarge { .. }
            | Kind::LongerThanAnnounced
            | Kind::NotArchived { .. }
            | Kind::ArchiveRefused { .. }
            | Kind::Status { .. }
            | Kind::KnownError { .. }
            | Kind::Redirect { .. }
            | Kind::ContentEncoding { .. } => Retryability::Never,
        }
    }

    /// The status code, if the status is what was wrong.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            FetchErrorKind::Status { status, .. } | FetchErrorKind::KnownError { status, .. } => {
                Some(status)
            }
            _ => None,
        }
    }

    /// What the site's definition says of the response, where it knows the error.
    pub fn known_error(&self) -> Option<(ErrorAction, &str)> {
        match &self.kind {
            FetchErrorKind::KnownError { action, hint, .. } => Some((*action, hint)),
            _ => None,
        }
    }

    /// Whether the host says that there is nothing at the address (404 or 410).
    pub fn is_gone(&self) -> bool {
        matches!(self.status(), Some(404 | 410))
    }

    /// Whether the image may be at another address instead: the host refuses this one (4xx, but for
    /// those that speak of us or of the moment), it leads nowhere that may be requested, or nothing
    /// may be requested there.
    pub fn is_absence(&self) -> bool {
        use FetchErrorKind as Kind;
        match &self.kind {
            Kind::Status {
                status,
                retry_after,
            } => {
                let asks_to_wait = *status == 403 && retry_after.is_some();
                matches!(status, 400..=499) && !matches!(status, 407 | 408 | 429) && !asks_to_wait
            }
            Kind::KnownError { action, .. } => *action == ErrorAction::Skip,
            Kind::Refused { .. }
            | Kind::RobotsDisallowed { .. }
            | Kind::NotArchived { .. }
            | Kind::Redirect { .. } => true,
            Kind::RobotsUnreadable { .. }
            | Kind::GivenUp { .. }
            | Kind::Dns { .. }
            | Kind::Connect { .. }
            | Kind::Tls(_)
            | Kind::Proxy { .. }
            | Kind::Disconnected { .. }
            | Kind::InvalidHttp { .. }
            | Kind::Timeout { .. }
            | Kind::TooSlow { .. }
            | Kind::Truncated { .. }
            | Kind::TooLarge { .. }
            | Kind::LongerThanAnnounced
            | Kind::ContentEncoding { .. }
            | Kind::BadCoding { .. }
            | Kind::ArchiveRefused { .. }
            | Kind::NotAsArchived { .. }
            | Kind::StalePart { .. } => false,
        }
    }

    /// Whether the site has lost the image, or itself: it answers that there is nothing (403 as well, which is what
    /// storage services say of a file that is gone), it redirects to where nothing may be requested, as parked
    /// names do, or its host cannot be found or reached. What it refuses to us by its robots.txt, or the policy
    /// does, is not lost.
    pub fn is_loss(&self) -> bool {
        use FetchErrorKind as Kind;
        match &self.kind {
            // A 403 with a pause asks us to wait.
            Kind::Status {
                status,
                retry_after,
            } => matches!((status, retry_after), (403, None) | (404 | 410 | 451, _)),
            Kind::Dns { .. }
            | Kind::Connect { .. }
            | Kind::GivenUp { .. }
            | Kind::Redirect { .. } => true,
            Kind::RobotsUnreadable { cause } => cause.status().is_none() && cause.is_loss(),
            Kind::Refused { .. }
            | Kind::RobotsDisallowed { .. }
            | Kind::Tls(_)
            | Kind::Proxy { .. }
            | Kind::Disconnected { .. }
            | Kind::InvalidHttp { .. }
            | Kind::Timeout { .. }
            | Kind::TooSlow { .. }
            | Kind::Truncated { .. }
            | Kind::TooLarge { .. }
            | Kind::LongerThanAnnounced
            | Kind::ContentEncoding { .. }
            | Kind::BadCoding { .. }
            | Kind::KnownError { .. }
            | Kind::NotArchived { .. }
            | Kind::ArchiveRefused { .. }
            | Kind::NotAsArchived { .. }
            | Kind::StalePart { .. } => false,
        }
    }

    /// Whether the web archive has nothing for the address.
    pub(crate) fn is_not_archived(&self) -> bool {
        matches!(self.kind, FetchErrorKind::NotArchived { .. })
    }

    /// Whether the part must be dropped before the next try.
    pub fn is_stale_part(&self) -> bool {
        matches!(self.kind, FetchErrorKind::StalePart { .. })
    }

    /// Whether there was a response that no client can read.
    pub(crate) fn is_invalid_http(&self) -> bool {
        matches!(self.kind, FetchErrorKind::InvalidHttp { .. })
    }

    /// Whether the error counts against the host as a whole, and not against this one address.
    pub(crate) fn blames_host(&self) -> bool {
        let refuses_us = matches!(self.status(), Some(401 | 403 | 407 | 500..));
        let broken = matches!(
            self.kind,
            FetchErrorKind::Tls(_)
                | FetchErrorKind::LongerThanAnnounced
                | FetchErrorKind::ArchiveRefused { .. }
        );
        // Bad bytes are this one body's.
        let is_one_body = matches!(
            self.kind,
            FetchErrorKind::StalePart { .. }
                | FetchErrorKind::BadCoding { .. }
                | FetchErrorKind::NotAsArchived { .. }
        );
        if let Some((action, _)) = self.known_error() {
            return action == ErrorAction::Wait;
        }
        let may_change = self.retryability() != Retryability::Never && !is_one_body;
        refuses_us || broken || may_change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<Duration>) -> FetchError {
        let kind = FetchErrorKind::Status {
            status,
            retry_after,
        };
        FetchError::new("gallery.test", kind)
    }

    #[test]
    fn only_a_status_that_may_change_is_retryable() {
        for code in [
            408, 429, 500, 501, 502, 503, 504, 505, 509, 511, 520, 522, 529, 530, 599,
        ] {
            assert_eq!(
                status(code, None).retryability(),
                Retryability::AfterBackoff,
                "{code}"
            );
        }
        for code in [204, 206, 304, 400, 401, 403, 404, 410, 416, 451, 600, 999] {
            assert_eq!(
                status(code, None).retryability(),
                Retryability::Never,
                "{code}"
            );
        }
        let wait = Duration::from_secs(7);
        assert_eq!(
            status(503, Some(wait)).retryability(),
            Retryability::After(wait)
        );
    }

    #[test]
    fn an_image_may_be_elsewhere_after_a_refusal_and_not_after_a_plea_to_wait() {
        for code in [
            400, 401, 402, 403, 404, 405, 406, 410, 418, 421, 425, 451, 499,
        ] {
            assert!(status(code, None).is_absence(), "{code}");
        }
        for code in [204, 206, 304, 407, 408, 429, 500, 503, 522, 999] {
            assert!(!status(code, None).is_absence(), "{code}");
        }
        let refused = FetchErrorKind::Redirect {
            reason: "redirect loop".to_owned(),
        };
        assert!(FetchError::new("h", refused).is_absence());
    }

    #[test]
    fn an_image_is_lost_where_its_site_has_nothing_and_not_where_it_is_late_or_refuses_us() {
        for code in [403, 404, 410, 451] {
            assert!(status(code, None).is_loss(), "{code}");
        }
        for code in [204, 400, 401, 407, 429, 500, 503] {
            assert!(!status(code, None).is_loss(), "{code}");
        }
        let error = |kind| FetchError::new("gallery.test", kind);
        let reason = || "no such host".to_owned();
        let unknown = || error(FetchErrorKind::Dns { reason: reason() });
        let unreadable = |cause| {
            let cause = Arc::new(cause);
            error(FetchErrorKind::RobotsUnreadable { cause })
        };
        assert!(unknown().is_loss() && unreadable(unknown()).is_loss());
        assert!(error(FetchErrorKind::Connect { reason: reason() }).is_loss());
        assert!(!unreadable(status(403, None)).is_loss());
        let path = "/a.png".to_owned();
        assert!(!error(FetchErrorKind::RobotsDisallowed { path }).is_loss());
        assert!(!error(FetchErrorKind::Tls(TlsFailure::Expired)).is_loss());
        assert!(!error(FetchErrorKind::NotArchived { reason: reason() }).is_loss());
    }

    #[test]
    fn a_404_or_410_does_not_count_against_the_host() {
        assert!(!status(404, None).blames_host());
        assert!(status(404, None).is_gone() && status(410, None).is_gone());
        assert!(status(403, None).blames_host() && status(503, None).blames_host());
    }

    #[test]
    fn a_long_retry_after_is_shown_in_a_large_unit() {
        let message = |seconds| status(429, Some(Duration::from_secs(seconds))).to_string();
        assert_eq!(
            message(90),
            "`gallery.test` answered 429, retry after 1 min 30 s"
        );
        assert_eq!(
            message(7200),
            "`gallery.test` answered 429, retry after 2 h"
        );
        assert_eq!(
            message(u64::MAX),
            "`gallery.test` answered 429, retry after more than a year"
        );
    }

    #[test]
    fn a_truncated_body_says_how_many_bytes_arrived() {
        let message = |want| {
            let reason = "connection reset".to_owned();
            let kind = FetchErrorKind::Truncated {
                got: 5,
                want,
                reason,
            };
            FetchError::new("h", kind).to_string()
        };
        assert_eq!(
            message(Some(9)),
            "transfer from `h` broke off after 5 of 9 bytes: connection reset"
        );
        assert_eq!(
            message(None),
            "transfer from `h` broke off after 5 bytes: connection reset"
        );
    }

    #[test]
    fn an_unreachable_host_is_reported_as_such_and_not_as_a_robots_txt_problem() {
        let message = |cause: FetchError| {
            let cause = Arc::new(cause);
            FetchError::new("h", FetchErrorKind::RobotsUnreadable { cause }).to_string()
        };
        let reason = "connection refused".to_owned();
        let refused = FetchError::new("h", FetchErrorKind::Connect { reason });
        assert_eq!(
            message(refused),
            "cannot connect to `h`: connection refused (while fetching robots.txt)"
        );
        assert!(message(status(503, None)).starts_with("cannot read robots.txt of `h`: "));
    }
}
