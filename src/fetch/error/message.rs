//! The messages of the errors.

use std::fmt;
use std::time::Duration;

use super::{FetchError, TlsFailure};
use crate::units::HumanDuration;

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::FetchErrorKind as Kind;
        let host = &self.host;
        match &self.kind {
            Kind::Refused { address, reason } => write!(f, "{address} is not allowed: {reason}"),
            Kind::RobotsDisallowed { path } => write!(
                f,
                "robots.txt of `{host}` disallows {path}; use `--robots ignore` to fetch it anyway"
            ),
            Kind::RobotsUnreadable { cause } => match cause.status() {
                Some(_) => write!(
                    f,
                    "cannot read robots.txt of `{host}`: {cause}; use `--robots ignore` to go without it"
                ),
                // A host that cannot be reached at all is not a matter of its robots.txt.
                None => write!(f, "{cause} (while fetching robots.txt)"),
            },
            Kind::GivenUp { failures } => write!(
                f,
                "`{host}` is skipped for the rest of this run: its last {failures} responses all failed"
            ),
            Kind::Dns { reason } => write!(f, "DNS lookup of `{host}` failed: {reason}"),
            Kind::Connect { reason } => write!(f, "cannot connect to `{host}`: {reason}"),
            Kind::Tls(failure) => write!(f, "TLS handshake with `{host}` failed: {failure}"),
            Kind::Proxy { proxy, reason } => {
                write!(f, "proxy `{proxy}` cannot reach `{host}`: {reason}")
            }
            Kind::Disconnected { reason } => {
                write!(f, "`{host}` disconnected before responding: {reason}")
            }
            Kind::InvalidHttp { reason } => {
                write!(f, "`{host}` sent an invalid HTTP response: {reason}")
            }
            Kind::Timeout { limit } => write!(
                f,
                "timed out waiting {} for `{host}`",
                HumanDuration(*limit)
            ),
            Kind::TooSlow { floor, over } => write!(
                f,
                "`{host}` sent fewer than {floor} bytes a second for {}",
                HumanDuration(*over)
            ),
            Kind::Truncated { got, want, reason } => {
                write!(f, "transfer from `{host}` broke off after {got} ")?;
                if let Some(want) = want {
                    write!(f, "of {want} ")?;
                }
                write!(f, "bytes: {reason}")
            }
            Kind::TooLarge { limit } => {
                write!(f, "`{host}` sent more than the {limit} bytes allowed")
            }
            Kind::LongerThanAnnounced => write!(
                f,
                "`{host}` sent an invalid HTTP response: the body is longer than announced"
            ),
            Kind::Status {
                status,
                retry_after,
            } => {
                write!(f, "`{host}` answered {status}")?;
                match (status, retry_after) {
                    (_, Some(wait)) => write!(f, ", retry after {}", HumanDuration(*wait)),
                    (206, None) => f.write_str(" with a part, though the whole was requested"),
                    (407, None) => f.write_str(": a proxy asks for a password"),
                    (_, None) => Ok(()),
                }
            }
            Kind::KnownError {
                status,
                action: _,
                hint,
                retry_after,
            } => known_error(f, host, *status, hint, *retry_after),
            Kind::Redirect { reason } => write!(f, "bad redirect from `{host}`: {reason}"),
            Kind::BadCoding { coding } => {
                write!(f, "`{host}` sent damaged or incomplete {coding} data")
            }
            // The server's own text comes last: it may be so long that it is cut off when shown.
            Kind::ContentEncoding { coding } => write!(
                f,
                "`{host}` used a content encoding that was not requested: `{coding}`"
            ),
            Kind::NotArchived { reason } => {
                write!(f, "not in the web archive at `{host}`: {reason}")
            }
            Kind::ArchiveRefused { reason } => {
                write!(f, "the web archive at `{host}` gives no answer: {reason}")
            }
            Kind::NotAsArchived { reason } => {
                write!(f, "the web archive at `{host}` sent wrong bytes: {reason}")
            }
            Kind::StalePart { reason } => {
                write!(f, "`{host}` cannot resume the download: {reason}")
            }
        }
    }
}

fn known_error(
    f: &mut fmt::Formatter<'_>,
    host: &str,
    status: u16,
    hint: &str,
    retry_after: Option<Duration>,
) -> fmt::Result {
    write!(f, "`{host}` answered {status}")?;
    if let Some(wait) = retry_after {
        write!(f, ", retry after {}", HumanDuration(wait))?;
    }
    if hint.is_empty() {
        f.write_str(", an error that the site's definition knows")
    } else {
        write!(f, ": {hint}")
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str(
                "its certificate is not signed by a trusted authority; `--ca-certificate FILE` adds one",
            ),
            Self::SelfSigned => f.write_str(
                "its certificate is self-signed; `--ca-certificate FILE` makes it trusted",
            ),
            Self::Expired => f.write_str("its certificate has expired"),
            Self::WrongName => f.write_str("its certificate is for another name"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}
