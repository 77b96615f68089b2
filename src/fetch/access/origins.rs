//! Origins (scheme, host and port): those of a site, those that the user names, and the origin of
//! one address.

use std::borrow::Cow;
use std::collections::HashSet;

use parking_lot::Mutex;
use url::{Host, Origin, Position, Url};

/// The origins of one site: those its definition names, and those the user named.
#[derive(Debug, Clone)]
pub struct SiteOrigins {
    /// The canonical address of the listing; its origin is the canonical one of every page.
    pub pages: Url,
    /// Its origin is the canonical one of every thumb and original.
    pub images: Url,
    /// Further hosts of the definition, each `HOST` or `HOST:PORT`.
    pub hosts: Vec<String>,
    /// Addresses whose origins the user named: by argument, in a list, or in a definition of their
    /// own. Only these origins may be private.
    pub named: Vec<Url>,
}

/// The origins of a list of addresses that the user feeds to a run while it goes on.
///
/// A plain mutex: it is held for one look-up in a set, and only runs over lists have it at all.
#[derive(Debug, Default)]
pub(crate) struct UserOrigins(Mutex<OriginSets>);

#[derive(Debug, Default)]
struct OriginSets {
    origins: HashSet<Origin>,
    domains: HashSet<String>,
}

impl UserOrigins {
    pub(crate) fn add(&self, origin: Origin) {
        let mut sets = self.0.lock();
        sets.domains.extend(domain(&origin));
        sets.origins.insert(origin);
    }

    /// Whether the user named this host, with any scheme and port.
    pub(crate) fn contains_host(&self, host: &str) -> bool {
        self.0.lock().domains.contains(host)
    }

    /// Whether the user named the origin of `address`, or its http counterpart: https for the same
    /// host at the default port is only safer.
    pub(crate) fn allows(&self, address: &Url) -> bool {
        let mut plain = address.clone();
        let is_secure = address.scheme() == "https"
            && address.port().is_none()
            && plain.set_scheme("http").is_ok();
        let origins = &self.0.lock().origins;
        origins.contains(&address.origin()) || (is_secure && origins.contains(&plain.origin()))
    }
}

/// Whether two http or https addresses have the same origin.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port() == other.port()
}

/// The origin of an http or https address as text: equal for equal origins, and without a password.
/// It borrows from the address unless that holds one, so that the usual look-up of a host allocates
/// nothing.
pub(crate) fn origin_of(address: &Url) -> Cow<'_, str> {
    if address.username().is_empty() && address.password().is_none() {
        return address[..Position::BeforePath].into();
    }
    [
        &address[..Position::BeforeUsername],
        &address[Position::BeforeHost..Position::BeforePath],
    ]
    .concat()
    .into()
}

/// The host of an address for messages: with its port where that is not the scheme's default.
pub(crate) fn host_of(address: &Url) -> String {
    let host = address.host_str().unwrap_or_default();
    match address.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An address for messages.
pub(crate) fn without_password(address: &Url) -> String {
    let mut address = address.clone();
    // Fails only for an address that cannot hold a password.
    let _ = address.set_password(None);
    address.into()
}

/// The origins that a definition allows by naming `host`: http and https.
pub(crate) fn origins_of_host(host: &str) -> impl Iterator<Item = Origin> {
    let plain = Url::parse(&format!("http://{host}/")).ok();
    let secure = Url::parse(&format!("https://{host}/")).ok();
    plain
        .into_iter()
        .chain(secure)
        // Text with a slash in it is not a host.
        .filter(|address| address.path() == "/")
        .map(|address| address.origin())
}

/// The host of an origin if it is a name, and not an IP address.
pub(crate) fn domain(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Tuple(_, Host::Domain(name), _) => Some(name.clone()),
        Origin::Tuple(..) | Origin::Opaque(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_origins_have_equal_texts_without_a_password() {
        for address in [
            "http://h.test/a?b#c",
            "http://H.test:80",
            "http://u:p@h.test/",
            "http://u@h.test/x",
            "http://:p@h.test/",
        ] {
            assert_eq!(
                origin_of(&Url::parse(address).unwrap()),
                "http://h.test",
                "{address}"
            );
        }
        assert_eq!(
            origin_of(&Url::parse("https://u:p@[::1]:8443/x").unwrap()),
            "https://[::1]:8443"
        );
    }
}
