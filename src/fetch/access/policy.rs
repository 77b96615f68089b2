//! Which address may be asked: one rule for pages, images, robots.txt and every redirect on the way.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::{Host, Origin, Position, Url};

use crate::fetch::access::resolver::{Resolver, is_private};
use crate::fetch::error::FetchError;

/// How many redirects are followed.
pub(crate) const MOST_HOPS: usize = 10;

/// Where a site lies: what its definition names, and what of it the user named himself.
#[derive(Debug, Clone)]
pub struct SiteOrigins {
    /// The listing's canonical address; its origin is the canonical one of every page.
    pub pages: Url,
    /// Its origin is the canonical one of every thumb and original.
    pub images: Url,
    /// Further hosts of the definition, each `HOST` or `HOST:PORT`.
    pub hosts: Vec<String>,
    /// Addresses whose origins the user named, by argument, list or a definition of his own: these alone may
    /// be private.
    pub named: Vec<Url>,
}

/// The origins that may be asked, and which of them may lie in a private network.
#[derive(Debug)]
pub(crate) struct Policy {
    open: HashSet<Origin>,
    named: HashSet<Origin>,
    /// Where every address is the user's own: the origins he has named so far.
    given: Option<Arc<Given>>,
}

/// Origins that the user names while the run goes on: he gives a list of addresses.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<(HashSet<Origin>, HashSet<String>)>);

impl Given {
    fn origins_and_hosts(&self) -> MutexGuard<'_, (HashSet<Origin>, HashSet<String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, origin: Origin) {
        let mut both = self.origins_and_hosts();
        both.1.extend(domain(&origin));
        both.0.insert(origin);
    }

    /// Whether the user named this host, by whichever scheme and port.
    pub(crate) fn names(&self, host: &str) -> bool {
        self.origins_and_hosts().1.contains(host)
    }

    /// Whether the user named this very origin, or the one that has no secrets of the same host.
    fn opens(&self, address: &Url) -> bool {
        let (origins, _) = &*self.origins_and_hosts();
        let mut plain = address.clone();
        let is_secure = address.scheme() == "https"
            && address.port().is_none()
            && plain.set_scheme("http").is_ok();
        origins.contains(&address.origin()) || (is_secure && origins.contains(&plain.origin()))
    }
}

impl Policy {
    /// The policy for a site and the mirror it is fetched from, if any.
    pub(crate) fn new(premises: &SiteOrigins, mirror: Option<&Url>) -> Result<Self, FetchError> {
        let named: HashSet<Origin> = premises
            .named
            .iter()
            .chain(mirror)
            .map(Url::origin)
            .collect();
        let mut open = named.clone();
        for address in [&premises.pages, &premises.images] {
            open.insert(address.origin());
            open.extend(address.host_str().into_iter().flat_map(origins));
        }
        for host in &premises.hosts {
            let of_host: Vec<Origin> = origins(host).collect();
            if of_host.is_empty() {
                let (what, reason) = (format!("host `{host}`"), "not a host name".to_owned());
                return Err(FetchError::Setting { what, reason });
            }
            open.extend(of_host);
        }
        Ok(Self {
            open,
            named,
            given: None,
        })
    }

    /// The policy for addresses that the user gives himself, each of which names its origin: any may be asked, and
    /// redirect to any host that is public.
    pub(crate) fn anywhere() -> Self {
        Self {
            open: HashSet::new(),
            named: HashSet::new(),
            given: Some(Arc::default()),
        }
    }

    /// Takes note of an address that the user gives, where he gives them himself.
    pub(crate) fn give(&self, address: &Url) {
        if let Some(given) = &self.given {
            given.add(address.origin());
        }
    }

    /// Refuses an address that may not be asked, before anybody is.
    pub(crate) fn check(&self, address: &Url) -> Result<(), FetchError> {
        match self.objection(address) {
            Some(reason) => Err(FetchError::Refused {
                address: shown(address),
                reason: reason.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Refuses a redirect that may not be followed.
    pub(crate) fn check_hop(&self, from: &Url, to: &Url) -> Result<(), FetchError> {
        let downgrade = from.scheme() == "https" && to.scheme() == "http";
        let objection = if downgrade {
            Some("that would leave https for http")
        } else {
            self.objection(to)
        };
        match objection {
            Some(reason) => {
                let reason = format!("{} is not asked: {reason}", shown(to));
                Err(FetchError::Redirect {
                    host: host_of(from),
                    reason,
                })
            }
            None => Ok(()),
        }
    }

    fn objection(&self, address: &Url) -> Option<&'static str> {
        if !matches!(address.scheme(), "http" | "https") {
            return Some("only http and https addresses are");
        }
        let origin = address.origin();
        if self.named.contains(&origin)
            || self
                .given
                .as_ref()
                .is_some_and(|given| given.opens(address))
        {
            return None;
        }
        match &self.given {
            None if !self.open.contains(&origin) => {
                return Some("the site's definition does not name its host");
            }
            // Its names are not guarded any more.
            Some(given) if domain(&origin).is_some_and(|name| given.names(&name)) => {
                return Some("the user named its host by another scheme or port");
            }
            None | Some(_) => {}
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Some("it holds a password that the user did not name");
        }
        let literal = match address.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(Host::Domain(_)) | None => return None,
        };
        is_private(literal).then_some("it lies in a private network, and the user did not name it")
    }

    /// A resolver that keeps the names it looks up to the same rule: the address checked is the one connected to.
    ///
    /// A name that it does not guard is one whose origin the user named, or his proxy's: nothing else passes
    /// [`Policy::check`]. Behind a proxy it is the proxy that looks the site's names up, so that only addresses
    /// written as numbers are checked then.
    /// A name is waited for up to `limit`.
    pub(crate) fn resolver(&self, limit: Duration) -> Resolver {
        let free: HashSet<String> = self.named.iter().filter_map(domain).collect();
        let guarded = || {
            self.open
                .iter()
                .filter_map(domain)
                .filter(|name| !free.contains(name))
                .collect()
        };
        match &self.given {
            Some(given) => Resolver::of_given(Arc::clone(given), limit),
            None => Resolver::new(guarded(), limit),
        }
    }
}

/// Whether two addresses for the web have one origin.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port() == other.port()
}

/// The origin of an address for the web as text: one text an origin, and no password in it.
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

/// The host of an address as errors name it, with its port where that is not the scheme's own.
pub(crate) fn host_of(address: &Url) -> String {
    let host = address.host_str().unwrap_or_default();
    match address.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// An address as errors show it: without a password.
pub(crate) fn shown(address: &Url) -> String {
    let mut address = address.clone();
    // Where there can be no password there is none to be shown.
    let _ = address.set_password(None);
    address.into()
}

/// The origins that a definition opens by naming `host`.
fn origins(host: &str) -> impl Iterator<Item = Origin> {
    let plain = Url::parse(&format!("http://{host}/")).ok();
    let secure = Url::parse(&format!("https://{host}/")).ok();
    plain
        .into_iter()
        .chain(secure)
        .filter(|address| address.path() == "/")
        .map(|address| address.origin())
}

fn domain(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Tuple(_, Host::Domain(name), _) => Some(name.clone()),
        Origin::Tuple(..) | Origin::Opaque(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Fetcher;
    use crate::fetch::scripted::{Reply, Server, image, settings};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn gallery() -> SiteOrigins {
        SiteOrigins {
            pages: url("https://gallery.test/browse/"),
            images: url("https://static.gallery.test/"),
            hosts: vec!["cdn.test".to_owned(), "10.1.2.3".to_owned()],
            named: Vec::new(),
        }
    }

    fn policy() -> Policy {
        Policy::new(&gallery(), None).unwrap()
    }

    #[test]
    fn an_origin_has_one_text_whatever_stands_before_the_host() {
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

    #[test]
    fn a_definitions_hosts_are_open_by_http_and_https_at_their_own_ports() {
        for open in [
            "https://gallery.test/",
            "http://static.gallery.test/a.png",
            "https://cdn.test/x?y",
        ] {
            assert!(policy().check(&url(open)).is_ok(), "{open}");
        }
        for shut in [
            "https://gallery.test:8443/",
            "https://other.test/",
            "https://evil.gallery.test/",
            "https://gallery.test./",
        ] {
            assert!(policy().check(&url(shut)).is_err(), "{shut}");
        }
    }

    #[test]
    fn no_other_scheme_is_asked() {
        for shut in [
            "file:///etc/passwd",
            "ftp://gallery.test/",
            "gopher://gallery.test/",
            "data:,x",
            "javascript:x",
        ] {
            assert!(
                matches!(policy().check(&url(shut)), Err(FetchError::Refused { .. })),
                "{shut}"
            );
        }
    }

    #[test]
    fn a_private_literal_is_refused_unless_its_very_origin_was_named() {
        let error = policy().check(&url("http://10.1.2.3/")).unwrap_err();
        assert!(error.to_string().contains("private network"), "{error}");
        let named = SiteOrigins {
            named: vec![url("http://10.1.2.3/any")],
            ..gallery()
        };
        let policy = Policy::new(&named, None).unwrap();
        assert!(policy.check(&url("http://10.1.2.3/other")).is_ok());
        assert!(policy.check(&url("https://10.1.2.3/other")).is_err());
    }

    #[test]
    fn a_mirror_is_named_by_giving_it() {
        let policy = Policy::new(&gallery(), Some(&url("http://127.0.0.1:8000/sd/"))).unwrap();
        assert!(policy.check(&url("http://127.0.0.1:8000/x")).is_ok());
        assert!(policy.check(&url("http://127.0.0.1:22/x")).is_err());
    }

    #[test]
    fn a_password_is_only_sent_where_the_user_named_the_place() {
        assert!(
            policy()
                .check(&url("https://user:secret@gallery.test/"))
                .is_err()
        );
        let policy =
            Policy::new(&gallery(), Some(&url("https://user:secret@mirror.test/"))).unwrap();
        assert!(
            policy
                .check(&url("https://user:secret@mirror.test/x"))
                .is_ok()
        );
    }

    #[test]
    fn what_the_user_gives_is_open_and_leads_to_public_places_alone() {
        let policy = Policy::anywhere();
        let given = [
            "http://127.0.0.1:8000/a.png",
            "http://gallery.test/a.png",
            "http://nas.local:8080/a.png",
        ]
        .map(url);
        for address in &given {
            policy.give(address);
        }
        for open in [
            "http://127.0.0.1:8000/b",
            "https://gallery.test/a",
            "https://cdn.test/a",
            "http://1.1.1.1/a",
        ] {
            assert!(policy.check_hop(&given[0], &url(open)).is_ok(), "{open}");
        }
        let shut = [
            "http://127.0.0.1:22/",
            "http://10.0.0.1/",
            "http://[::1]/",
            "http://nas.local/",
            "https://nas.local/",
            "http://gallery.test:8080/",
            "https://me:secret@cdn.test/",
            "file:///etc/passwd",
        ];
        for shut in shut {
            assert!(policy.check_hop(&given[0], &url(shut)).is_err(), "{shut}");
        }
        let (resolver, free) = (policy.given.unwrap(), ["gallery.test", "nas.local"]);
        assert!(free.iter().all(|name| resolver.names(name)) && !resolver.names("cdn.test"));
    }

    #[test]
    fn a_redirect_is_checked_like_a_first_address_and_never_leaves_https() {
        let from = url("https://gallery.test/");
        let hop = |to| policy().check_hop(&from, &url(to));
        assert!(hop("https://static.gallery.test/a").is_ok());
        for shut in [
            "http://gallery.test/",
            "file:///etc/passwd",
            "https://other.test/",
            "https://10.1.2.3/",
        ] {
            assert!(
                matches!(hop(shut), Err(FetchError::Redirect { .. })),
                "{shut}"
            );
        }
        assert!(
            policy()
                .check_hop(&url("http://gallery.test/"), &from)
                .is_ok()
        );
    }

    #[test]
    fn a_host_that_is_none_is_refused_at_the_start() {
        for bad in ["", "a b", "a/b", "user@"] {
            let premises = SiteOrigins {
                hosts: vec![bad.to_owned()],
                ..gallery()
            };
            assert!(
                matches!(
                    Policy::new(&premises, None),
                    Err(FetchError::Setting { .. })
                ),
                "{bad:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused_before_anybody_is_connected_to() {
        let server = Server::start(|_| Reply::ok("secret")).await;
        let mut here = server.url("/a.png");
        here.set_host(Some("localhost")).unwrap();
        let premises = SiteOrigins {
            pages: here.clone(),
            images: here.clone(),
            hosts: Vec::new(),
            named: Vec::new(),
        };
        let fetcher = Fetcher::new(&settings(), &premises, None).unwrap();
        let error = image(&fetcher, &here).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("private address"), "{error}");
        assert_eq!(server.connections(), 0);
    }
}
