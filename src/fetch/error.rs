//! Why something could not be had from the network, and whether asking again can help.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// Why a page or an image could not be had. Addresses and reasons may quote a server: untrusted text.
#[derive(Debug, Clone, Error)]
pub enum FetchError {
    /// The user's settings cannot be used; nothing was asked.
    #[error("{what}: {reason}")]
    Setting {
        /// Which setting, and its value.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address may not be asked; nobody was.
    #[error("{address} is not asked: {reason}")]
    Refused {
        /// The address.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The host's robots.txt forbids the address.
    #[error("robots.txt of `{host}` forbids {path}; `--robots ignore` asks all the same")]
    Forbidden {
        /// The host.
        host: String,
        /// The address, from its path on.
        path: String,
    },
    /// Whether the address may be asked cannot be known; every try was made.
    #[error("{}", unread(.host, .cause))]
    Robots {
        /// The host.
        host: String,
        /// What went wrong at last.
        cause: Arc<FetchError>,
    },
    /// The host failed so often in a row that this run leaves it alone.
    #[error("`{host}` is not asked again in this run: its last {failures} answers all failed")]
    GivenUp {
        /// The host.
        host: String,
        /// How many failures made the row.
        failures: u32,
    },
    /// The host's name has no address.
    #[error("`{host}` is not found in the DNS: {reason}")]
    Dns {
        /// The host.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No connection came about.
    #[error("`{host}` cannot be reached: {reason}")]
    Connect {
        /// The host.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// The host is not who it says it is, or speaks no TLS that we do.
    #[error("no safe connection to `{host}`: {reason}; `--ca-certificate` adds a root of trust")]
    Tls {
        /// The host.
        host: String,
        /// What failed in the handshake.
        reason: String,
    },
    /// The proxy of the environment does not let us through.
    #[error("the proxy `{proxy}` does not lead to `{host}`: {reason}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// The host that should have been reached by it.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The connection was lost before an answer.
    #[error("`{host}` hung up before it answered: {reason}")]
    HungUp {
        /// The host.
        host: String,
        /// What the connection said.
        reason: String,
    },
    /// The answer is no HTTP.
    #[error("`{host}` answered with something that is no HTTP: {reason}")]
    NotHttp {
        /// The host.
        host: String,
        /// What the parser said.
        reason: String,
    },
    /// The answer did not begin, or went silent.
    #[error("`{host}` kept us waiting for {}", spoken(*.limit))]
    Stalled {
        /// The host.
        host: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The answer came too slowly to be worth waiting for.
    #[error("`{host}` sent fewer than {floor} bytes a second for {}", spoken(*.over))]
    TooSlow {
        /// The host.
        host: String,
        /// The least that is waited for, in bytes a second.
        floor: u64,
        /// Over how long.
        over: Duration,
    },
    /// The answer ended before its end.
    #[error("`{host}` broke off after {got} bytes{}: {reason}", .want.map(|want| format!(" of {want}")).unwrap_or_default())]
    CutShort {
        /// The host.
        host: String,
        /// How many bytes came.
        got: u64,
        /// How many were announced.
        want: Option<u64>,
        /// What the connection said.
        reason: String,
    },
    /// The answer is, or says it will be, larger than allowed.
    #[error("`{host}` sends more than the {limit} bytes allowed")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit.
        limit: u64,
    },
    /// The host answered, but not with what was asked for.
    #[error("`{host}` answered {status}{}", told(*.status, *.retry_after))]
    Status {
        /// The host.
        host: String,
        /// The status code.
        status: u16,
        /// How long it asks us to stay away.
        retry_after: Option<Duration>,
    },
    /// The host sent us somewhere we do not go.
    #[error("`{host}` redirects, but {reason}")]
    Redirect {
        /// The host.
        host: String,
        /// Why we do not follow.
        reason: String,
    },
    /// The answer is packed in a way nobody asked for.
    #[error("`{host}` sent it encoded, which was not asked for, as `{coding}`")]
    Encoded {
        /// The host.
        host: String,
        /// The encoding it names.
        coding: String,
    },
    /// The image is no longer what the part is a part of: drop the part and begin anew.
    #[error("`{host}` does not go on with the part: {reason}")]
    StalePart {
        /// The host.
        host: String,
        /// What does not fit.
        reason: String,
    },
}

/// Whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It would end the same way.
    Never,
    /// It may, after a pause of one's own choice.
    Later,
    /// It may, and the host says when.
    After(Duration),
}

impl FetchError {
    /// Whether asking again can help.
    pub fn again(&self) -> Again {
        match self {
            Self::Status {
                status: 408 | 429 | 500 | 502 | 503 | 504,
                retry_after,
                ..
            } => retry_after.map_or(Again::Later, Again::After),
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Proxy { .. }
            | Self::HungUp { .. }
            | Self::Stalled { .. }
            | Self::TooSlow { .. }
            | Self::CutShort { .. }
            | Self::StalePart { .. } => Again::Later,
            Self::Setting { .. }
            | Self::Refused { .. }
            | Self::Forbidden { .. }
            | Self::Robots { .. }
            | Self::GivenUp { .. }
            | Self::Tls { .. }
            | Self::NotHttp { .. }
            | Self::TooLarge { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::Encoded { .. } => Again::Never,
        }
    }

    /// The status code, when it is the status that was wrong.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the host says that there is nothing at the address (404 or 410).
    pub fn is_gone(&self) -> bool {
        matches!(self.status(), Some(404 | 410))
    }

    /// Whether the part that was to go on must be dropped first.
    pub fn is_stale_part(&self) -> bool {
        matches!(self, Self::StalePart { .. })
    }

    /// Whether it speaks against the host as a whole, and not against this one address.
    pub(crate) fn blames_host(&self) -> bool {
        let turned_away = matches!(self.status(), Some(401 | 403 | 407 | 500..));
        let broken = matches!(self, Self::Tls { .. } | Self::NotHttp { .. });
        turned_away || broken || (self.again() != Again::Never && !self.is_stale_part())
    }
}

/// A host that is out of reach is no matter of its robots.txt.
fn unread(host: &str, cause: &FetchError) -> String {
    match cause.status() {
        Some(_) => format!(
            "robots.txt of `{host}` cannot be read: {cause}; `--robots ignore` does without"
        ),
        None => format!("{cause} (asked for its robots.txt)"),
    }
}

/// What the status does not say by itself.
fn told(status: u16, retry_after: Option<Duration>) -> String {
    match (status, retry_after) {
        (_, Some(wait)) => format!(" and asks us to come back in {}", spoken(wait)),
        (206, None) => " (a part), though the whole was asked for".to_owned(),
        (407, None) => ": a proxy asks for a password".to_owned(),
        (_, None) => String::new(),
    }
}

/// A duration as one would say it: the largest unit that keeps two figures, rounded down.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=179 => format!("{seconds} s"),
        180..=10_799 => format!("{} minutes", seconds / 60),
        10_800..=259_199 => format!("{} hours", seconds / 3600),
        259_200..=315_359_999 => format!("{} days", seconds / 86_400),
        _ => "more than ten years".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status {
            host: "gallery.test".to_owned(),
            status,
            retry_after,
        }
    }

    #[test]
    fn only_an_answer_that_may_change_is_asked_for_again() {
        for code in [408, 429, 500, 502, 503, 504] {
            assert_eq!(status(code, None).again(), Again::Later, "{code}");
        }
        for code in [204, 206, 304, 400, 401, 403, 404, 410, 416, 451, 501, 999] {
            assert_eq!(status(code, None).again(), Again::Never, "{code}");
        }
        let wait = Duration::from_secs(7);
        assert_eq!(status(503, Some(wait)).again(), Again::After(wait));
    }

    #[test]
    fn a_missing_image_says_nothing_against_its_host() {
        assert!(!status(404, None).blames_host());
        assert!(status(404, None).is_gone() && status(410, None).is_gone());
        assert!(status(403, None).blames_host() && status(503, None).blames_host());
    }

    #[test]
    fn a_host_that_asks_for_a_long_pause_is_quoted_in_words() {
        let told = |seconds| status(429, Some(Duration::from_secs(seconds))).to_string();
        assert_eq!(
            told(90),
            "`gallery.test` answered 429 and asks us to come back in 90 s"
        );
        assert_eq!(
            told(7200),
            "`gallery.test` answered 429 and asks us to come back in 120 minutes"
        );
        assert_eq!(
            told(u64::MAX),
            "`gallery.test` answered 429 and asks us to come back in more than ten years"
        );
    }

    #[test]
    fn a_cut_answer_says_how_far_it_came() {
        let cut = |want| FetchError::CutShort {
            host: "h".to_owned(),
            got: 5,
            want,
            reason: "gone".to_owned(),
        };
        assert_eq!(
            cut(Some(9)).to_string(),
            "`h` broke off after 5 bytes of 9: gone"
        );
        assert_eq!(cut(None).to_string(), "`h` broke off after 5 bytes: gone");
    }
}
