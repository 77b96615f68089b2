//! Reads what went wrong out of the network crates' errors: DNS, TLS, proxy, or the plain connection.

use std::error::Error;
use std::io;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::CertificateError;
use url::Url;

use crate::fetch::access::policy::{host_of, shown};
use crate::fetch::access::resolver::{PrivateOnly, Unknown};
use crate::fetch::error::FetchError;
use crate::fetch::transport::direct::NoAnswer;
use crate::fetch::transport::tls::is_own_root;

/// Why a request to `address` brought no answer: the error of either client, and the proxies that it heeded.
pub(crate) fn of_request(
    error: &(dyn Error + 'static),
    address: &Url,
    proxies: Option<&Matcher>,
) -> FetchError {
    let host = host_of(address);
    if let Some(private) = find::<PrivateOnly>(error) {
        return FetchError::Refused {
            address: shown(address),
            reason: private.to_string(),
        };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return FetchError::Tls {
            host,
            reason: handshake(tls),
        };
    }
    let reason = deepest(error);
    if is_connect(error) {
        if let Some(proxy) = proxies.and_then(|proxies| proxy_for(proxies, address)) {
            return FetchError::Proxy {
                proxy,
                host,
                reason,
            };
        }
        let unknown = find::<Unknown>(error).is_some();
        return if unknown {
            FetchError::Dns { host, reason }
        } else {
            FetchError::Connect { host, reason }
        };
    }
    match find::<hyper::Error>(error) {
        Some(hyper) if hyper.is_parse() => FetchError::NotHttp { host, reason },
        _ if find::<reqwest::Error>(error).is_some_and(reqwest::Error::is_builder) => {
            FetchError::Refused {
                address: shown(address),
                reason,
            }
        }
        _ => FetchError::HungUp { host, reason },
    }
}

/// Why a body did not come to its end: the last words of the connection.
pub(crate) fn of_body(error: &(dyn Error + 'static)) -> String {
    deepest(error)
}

/// The proxy that they prescribe for `address`.
fn proxy_for(proxies: &Matcher, address: &Url) -> Option<String> {
    let address = address.as_str().parse::<Uri>().ok()?;
    let proxy = proxies.intercept(&address)?;
    proxy.uri().authority().map(|authority| {
        // A password stands before the last `@`.
        let authority = authority.as_str();
        authority
            .rsplit_once('@')
            .map_or(authority, |(_password, host)| host)
            .to_owned()
    })
}

fn handshake(error: &rustls::Error) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            "its certificate is signed by nobody we trust".to_owned()
        }
        error if is_own_root(error) => "its certificate is self-signed".to_owned(),
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "its certificate is for another name".to_owned()
        }
        other => other.to_string(),
    }
}

/// What lies at the bottom of an error, which says most; a time-out says nothing of itself.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let late = |link: &io::Error| link.kind() == io::ErrorKind::TimedOut;
    let timed_out = links(error).any(|link| link.downcast_ref().is_some_and(late));
    if timed_out || find::<reqwest::Error>(error).is_some_and(reqwest::Error::is_timeout) {
        return "no answer in time".to_owned();
    }
    links(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether no connection came about.
fn is_connect(error: &(dyn Error + 'static)) -> bool {
    let of_reqwest = find(error).is_some_and(reqwest::Error::is_connect);
    of_reqwest || matches!(find(error), Some(NoAnswer::Connect(_)))
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    links(error).find_map(|link| link.downcast_ref())
}

/// The error and what caused it, from the outside in.
fn links<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&link| {
        // An I/O error passes over the error it wraps when asked for its source.
        let wrapped = link
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        wrapped
            .map(|wrapped| wrapped as &(dyn Error + 'static))
            .or_else(|| link.source())
    })
}
