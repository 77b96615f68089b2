//! Turns the errors of the network crates into ours: DNS, TLS, proxy, or a broken connection. It
//! looks at the types in the chain of causes, never at their text.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::Version;
use rustls::CertificateError;
use url::Url;

use super::direct::DirectError;
use super::response_head::HeadError;
use super::tls::is_ca_used_as_server;
use crate::fetch::access::{LookupError, PrivateAddressError, host_of, without_password};
use crate::fetch::body::BrokenBody;
use crate::fetch::error::{FetchError, FetchErrorKind, TlsFailure};
use crate::fetch::proxies::Proxies;
use crate::units::HumanDuration;

/// Why a request to `address` brought no response. `proxies` are those that the client used, and
/// `connect_timeout` is its limit, for the message.
pub(super) fn request_error(
    error: &(dyn Error + 'static),
    address: &Url,
    proxies: Option<&Proxies>,
    connect_timeout: Duration,
) -> FetchError {
    FetchError::new(
        host_of(address),
        request_error_kind(error, address, proxies, connect_timeout),
    )
}

fn request_error_kind(
    error: &(dyn Error + 'static),
    address: &Url,
    proxies: Option<&Proxies>,
    connect_timeout: Duration,
) -> FetchErrorKind {
    if let Some(private) = find::<PrivateAddressError>(error) {
        return FetchErrorKind::Refused {
            address: without_password(address),
            reason: private.to_string(),
        };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return FetchErrorKind::Tls(tls_failure(tls));
    }
    if is_connect(error) {
        let lookup = find::<LookupError>(error);
        let reason = match lookup {
            Some(lookup) => lookup.to_string(),
            None if is_timeout(error) => {
                format!("timed out after {}", HumanDuration(connect_timeout))
            }
            None => root_cause(error),
        };
        if let Some(proxy) = proxies.and_then(|proxies| proxies.shown(address)) {
            return FetchErrorKind::Proxy { proxy, reason };
        }
        return match lookup {
            Some(_) => FetchErrorKind::Dns { reason },
            None => FetchErrorKind::Connect { reason },
        };
    }
    let reason = root_cause(error);
    let is_invalid = find::<HeadError>(error).is_some()
        || find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
    if is_invalid {
        FetchErrorKind::InvalidHttp { reason }
    } else if find::<reqwest::Error>(error).is_some_and(reqwest::Error::is_builder) {
        FetchErrorKind::Refused {
            address: without_password(address),
            reason,
        }
    } else {
        FetchErrorKind::Disconnected { reason }
    }
}

/// Why a body did not come to its end. Where HTTP/2 frames it, a closed connection is never that end.
pub(super) fn body_error(error: &(dyn Error + 'static), version: Version) -> BrokenBody {
    let ended = |link: &io::Error| link.kind() == io::ErrorKind::UnexpectedEof;
    BrokenBody {
        reason: root_cause(error),
        is_closed: version < Version::HTTP_2
            && chain(error).any(|link| link.downcast_ref().is_some_and(ended)),
    }
}

fn tls_failure(error: &rustls::Error) -> TlsFailure {
    use CertificateError as Cert;
    match error {
        error if is_ca_used_as_server(error) => TlsFailure::SelfSigned,
        rustls::Error::InvalidCertificate(Cert::UnknownIssuer) => TlsFailure::UnknownIssuer,
        rustls::Error::InvalidCertificate(Cert::Expired | Cert::ExpiredContext { .. }) => {
            TlsFailure::Expired
        }
        rustls::Error::InvalidCertificate(
            Cert::NotValidForName | Cert::NotValidForNameContext { .. },
        ) => TlsFailure::WrongName,
        other => TlsFailure::Other(other.to_string()),
    }
}

/// The message of the innermost error, which is the most precise one.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    if is_timeout(error) {
        return "timed out".to_owned();
    }
    let innermost = chain(error).last().unwrap_or(error);
    match innermost.downcast_ref::<io::Error>().map(io::Error::kind) {
        // The kind in plain words; the error itself would add "(os error 111)".
        Some(
            kind @ (io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable),
        ) => kind.to_string(),
        Some(_) | None => innermost.to_string(),
    }
}

/// Whether one of our own time-outs, or the system's, ended it.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let timed_out = |link: &io::Error| link.kind() == io::ErrorKind::TimedOut;
    chain(error).any(|link| link.downcast_ref().is_some_and(timed_out))
        || find::<reqwest::Error>(error).is_some_and(reqwest::Error::is_timeout)
}

/// Whether no connection could be opened.
fn is_connect(error: &(dyn Error + 'static)) -> bool {
    let of_reqwest = find(error).is_some_and(reqwest::Error::is_connect);
    of_reqwest || matches!(find(error), Some(DirectError::Connect(_)))
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|link| link.downcast_ref())
}

/// The error and its causes, from the outside in.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&link| {
        // `io::Error::source` skips the error that it wraps and names that one's source.
        let wrapped = link
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        wrapped
            .map(|wrapped| wrapped as &(dyn Error + 'static))
            .or_else(|| link.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn connect_error(cause: impl Error + Send + Sync + 'static) -> String {
        let address = Url::parse("http://gallery.test:8000/a.png").unwrap();
        let error = DirectError::Connect(Box::new(cause));
        request_error(&error, &address, None, LIMIT).to_string()
    }

    #[test]
    fn a_connect_timeout_is_named_with_its_limit() {
        assert_eq!(
            connect_error(io::Error::from(io::ErrorKind::TimedOut)),
            "cannot connect to `gallery.test:8000`: timed out after 10 s"
        );
    }

    #[test]
    fn a_refused_connection_is_named_without_an_error_number() {
        assert_eq!(
            connect_error(io::Error::from(rustix::io::Errno::CONNREFUSED)),
            "cannot connect to `gallery.test:8000`: connection refused"
        );
    }

    #[test]
    fn a_dns_failure_is_found_behind_an_io_error_that_wraps_it() {
        assert_eq!(
            connect_error(io::Error::other(LookupError::Timeout(LIMIT / 2))),
            "DNS lookup of `gallery.test:8000` failed: no answer within 5 s"
        );
    }

    #[test]
    fn a_tls_failure_is_told_from_others_by_its_type() {
        let failure = |error| tls_failure(&rustls::Error::InvalidCertificate(error));
        assert_eq!(
            failure(CertificateError::UnknownIssuer),
            TlsFailure::UnknownIssuer
        );
        assert_eq!(failure(CertificateError::Expired), TlsFailure::Expired);
        assert_eq!(
            failure(CertificateError::NotValidForName),
            TlsFailure::WrongName
        );
        assert!(matches!(
            failure(CertificateError::Revoked),
            TlsFailure::Other(_)
        ));
    }
}
