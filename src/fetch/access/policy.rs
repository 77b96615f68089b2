//! Which addresses may be requested: one rule for pages, images, robots.txt and every redirect.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use url::{Host, Origin, Url};

use super::origins::{
    SiteOrigins, UserOrigins, domain, host_of, origins_of_host, without_password,
};
use super::private::is_private;
use super::resolver::{FreeNames, Resolver};
use super::site_rules::{SiteRules, Subject};
use crate::fetch::error::{FetchError, FetchErrorKind, SettingError};
use crate::fetch::proxies::Proxies;
use crate::site::{AnyHost, ImageHosts};

/// The most redirects that are followed for one request.
pub(crate) const MAX_REDIRECTS: usize = 10;

/// The origins that may be requested, and which of them may be private.
#[derive(Debug)]
pub(crate) struct Policy {
    allowed: HashSet<Origin>,
    named: HashSet<Origin>,
    /// The hosts of the definition beyond those, at the ports of http and https: none of them may be private.
    further: ImageHosts,
    /// Where the user lists the addresses: the origins listed so far.
    user: Option<Arc<UserOrigins>>,
    /// Whether an address that is requested was listed by the user, and not by somebody else.
    is_users_list: bool,
    proxies: Proxies,
}

impl Policy {
    /// The policy for a site and for the mirror it is fetched from, if any.
    pub(crate) fn new(site: &SiteOrigins, mirror: Option<&Url>) -> Result<Self, SettingError> {
        let named: HashSet<Origin> = site.named.iter().chain(mirror).map(Url::origin).collect();
        let mut allowed = named.clone();
        for address in [&site.pages, &site.images] {
            allowed.insert(address.origin());
            allowed.extend(address.host_str().into_iter().flat_map(origins_of_host));
        }
        for host in &site.hosts {
            let of_host: Vec<Origin> = origins_of_host(host).collect();
            if of_host.is_empty() {
                return Err(SettingError {
                    setting: format!("host `{host}`"),
                    reason: "not a host name".to_owned(),
                });
            }
            allowed.extend(of_host);
        }
        Ok(Self {
            allowed,
            named,
            further: ImageHosts::default(),
            user: None,
            is_users_list: false,
            proxies: Proxies::default(),
        })
    }

    /// The same, where the definition names further hosts by patterns, or any.
    pub(crate) fn with_hosts(self, rules: &SiteRules) -> Self {
        Self {
            further: rules.hosts().clone(),
            ..self
        }
    }

    /// The same, where some requests go through proxies: their hosts may be private.
    pub(crate) fn with_proxies(self, proxies: &Proxies) -> Self {
        Self {
            proxies: proxies.clone(),
            ..self
        }
    }

    /// The policy for a list of addresses: each names its own origin, and may redirect to any
    /// public host.
    pub(crate) fn anywhere() -> Self {
        Self {
            allowed: HashSet::new(),
            named: HashSet::new(),
            further: ImageHosts::default(),
            user: Some(Arc::default()),
            is_users_list: true,
            proxies: Proxies::default(),
        }
    }

    /// The policy for addresses that others have listed: any public host.
    pub(crate) fn anywhere_public() -> Self {
        Self {
            is_users_list: false,
            ..Self::anywhere()
        }
    }

    /// Allows the origin of an address from the user's list. Where the user gives no list, this
    /// does nothing.
    pub(crate) fn add_user_origin(&self, address: &Url) {
        if let Some(user) = self.user.as_ref().filter(|_| self.is_users_list) {
            user.add(address.origin());
        }
    }

    /// Refuses an address that may not be requested.
    pub(crate) fn check(&self, address: &Url, subject: Subject) -> Result<(), FetchError> {
        match self.objection(address, subject) {
            Some(reason) => {
                let kind = FetchErrorKind::Refused {
                    address: without_password(address),
                    reason: reason.to_owned(),
                };
                Err(FetchError::new(host_of(address), kind))
            }
            None => Ok(()),
        }
    }

    /// Refuses a redirect that may not be followed.
    pub(crate) fn check_redirect(
        &self,
        from: &Url,
        to: &Url,
        subject: Subject,
    ) -> Result<(), FetchError> {
        let downgrade = from.scheme() == "https" && to.scheme() == "http";
        let objection = if downgrade {
            Some("a redirect must not leave https for http")
        } else {
            self.objection(to, subject)
        };
        match objection {
            Some(reason) => {
                let reason = format!("{} is not allowed: {reason}", without_password(to));
                let kind = FetchErrorKind::Redirect { reason };
                Err(FetchError::new(host_of(from), kind))
            }
            None => Ok(()),
        }
    }

    /// Whether the definition or the user names the origin of this address: it gets what is meant for the site, as
    /// headers. That it may be requested is not enough, where any host may.
    pub(crate) fn is_named(&self, address: &Url) -> bool {
        let origin = address.origin();
        self.named.contains(&origin) || self.allowed.contains(&origin) || self.is_below(address)
    }

    /// Whether a pattern of the definition holds for the host, at the port of its scheme.
    fn is_below(&self, address: &Url) -> bool {
        let host = address.host_str().unwrap_or_default();
        address.port().is_none() && self.further.names(host)
    }

    fn objection(&self, address: &Url, subject: Subject) -> Option<&'static str> {
        if !matches!(address.scheme(), "http" | "https") {
            return Some("its scheme is neither http nor https");
        }
        let origin = address.origin();
        let user_allows = self.user.as_ref().is_some_and(|user| user.allows(address));
        if self.named.contains(&origin) || user_allows {
            return None;
        }
        let name = domain(&origin);
        // The resolver lets a host that the user named be private, at every port; so only the
        // named origins of that host are allowed.
        let is_users_host = name.as_ref().is_some_and(|name| match &self.user {
            Some(user) => user.contains_host(name),
            None => self
                .named
                .iter()
                .filter_map(domain)
                .any(|named| named == *name),
        });
        let is_listed = self.allowed.contains(&origin);
        if self.user.is_none() && !is_listed && !self.is_below(address) {
            let any = self.further.any == AnyHost::Allowed && subject == Subject::Image;
            if !any {
                return Some("the site's definition does not name its host");
            }
        }
        if is_users_host && !is_listed {
            return Some("the user named its host with another scheme or port");
        }
        if self.is_proxy(address) {
            // Nor does the resolver withhold a proxy's private address.
            return Some("it is the host of a proxy, which the user did not name otherwise");
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Some("it contains a password that the user did not give");
        }
        let ip = match address.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(Host::Domain(_)) | None => return None,
        };
        is_private(ip).then_some("it is a private address that the user did not name")
    }

    /// Whether an address is on the host of a proxy and requested without one.
    fn is_proxy(&self, address: &Url) -> bool {
        let host = address.host_str().unwrap_or_default();
        let mut proxies = self.proxies.hosts();
        proxies.any(|proxy| proxy.eq_ignore_ascii_case(host))
            && self.proxies.of(address.scheme(), host).is_none()
    }

    /// A resolver that applies the same rule to the addresses behind a name. It is the resolver of
    /// the connector, so the address that is checked is the address that is connected to: a check
    /// before connecting could be answered differently the second time (DNS rebinding).
    ///
    /// A name that it does not guard is one that the user named, or a proxy's: nothing else passes
    /// [`Policy::check`]. Behind a proxy, the proxy resolves the site's names, so only literal IP
    /// addresses are checked there. A look-up may take up to `limit`.
    pub(crate) fn resolver(&self, limit: Duration) -> Resolver {
        let mut names: HashSet<String> = self.named.iter().filter_map(domain).collect();
        // In the proxy's own spelling too: only http and https make small letters of a name.
        for proxy in self.proxies.hosts() {
            names.extend([proxy.to_owned(), proxy.to_ascii_lowercase()]);
        }
        let user = self.user.clone();
        Resolver::new(FreeNames { names, user }, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, settings};
    use crate::fetch::{FetchSettings, Fetcher};

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
    fn the_hosts_of_a_definition_are_allowed_with_http_and_https_at_their_ports() {
        for open in [
            "https://gallery.test/",
            "http://static.gallery.test/a.png",
            "https://cdn.test/x?y",
        ] {
            assert!(policy().check(&url(open), Subject::Image).is_ok(), "{open}");
        }
        for shut in [
            "https://gallery.test:8443/",
            "https://other.test/",
            "https://evil.gallery.test/",
            "https://gallery.test./",
        ] {
            assert!(
                policy().check(&url(shut), Subject::Image).is_err(),
                "{shut}"
            );
        }
    }

    #[test]
    fn schemes_other_than_http_and_https_are_refused() {
        for shut in [
            "file:///etc/passwd",
            "ftp://gallery.test/",
            "gopher://gallery.test/",
            "data:,x",
            "javascript:x",
        ] {
            assert!(
                policy()
                    .check(&url(shut), Subject::Image)
                    .is_err_and(|error| matches!(error.kind(), FetchErrorKind::Refused { .. })),
                "{shut}"
            );
        }
    }

    #[test]
    fn a_private_ip_address_is_refused_unless_the_user_named_its_origin() {
        let error = policy()
            .check(&url("http://10.1.2.3/"), Subject::Image)
            .unwrap_err();
        assert!(error.to_string().contains("private address"), "{error}");
        let named = SiteOrigins {
            named: vec![url("http://10.1.2.3/any")],
            ..gallery()
        };
        let policy = Policy::new(&named, None).unwrap();
        assert!(
            policy
                .check(&url("http://10.1.2.3/other"), Subject::Image)
                .is_ok()
        );
        assert!(
            policy
                .check(&url("https://10.1.2.3/other"), Subject::Image)
                .is_err()
        );
    }

    #[test]
    fn the_origin_of_a_mirror_counts_as_named() {
        let policy = Policy::new(&gallery(), Some(&url("http://127.0.0.1:8000/sd/"))).unwrap();
        assert!(
            policy
                .check(&url("http://127.0.0.1:8000/x"), Subject::Image)
                .is_ok()
        );
        assert!(
            policy
                .check(&url("http://127.0.0.1:22/x"), Subject::Image)
                .is_err()
        );
    }

    #[test]
    fn a_password_is_only_sent_to_an_origin_that_the_user_named() {
        assert!(
            policy()
                .check(&url("https://user:secret@gallery.test/"), Subject::Image)
                .is_err()
        );
        let policy =
            Policy::new(&gallery(), Some(&url("https://user:secret@mirror.test/"))).unwrap();
        assert!(
            policy
                .check(&url("https://user:secret@mirror.test/x"), Subject::Image)
                .is_ok()
        );
    }

    #[test]
    fn an_address_on_the_users_list_is_allowed_and_may_redirect_only_to_public_hosts() {
        let policy = Policy::anywhere();
        let given = [
            "http://127.0.0.1:8000/a.png",
            "http://gallery.test/a.png",
            "http://nas.local:8080/a.png",
        ]
        .map(url);
        for address in &given {
            policy.add_user_origin(address);
        }
        for open in [
            "http://127.0.0.1:8000/b",
            "https://gallery.test/a",
            "https://cdn.test/a",
            "http://1.1.1.1/a",
        ] {
            assert!(
                policy
                    .check_redirect(&given[0], &url(open), Subject::Image)
                    .is_ok(),
                "{open}"
            );
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
            assert!(
                policy
                    .check_redirect(&given[0], &url(shut), Subject::Image)
                    .is_err(),
                "{shut}"
            );
        }
        let (resolver, free) = (policy.user.unwrap(), ["gallery.test", "nas.local"]);
        assert!(
            free.iter().all(|name| resolver.contains_host(name))
                && !resolver.contains_host("cdn.test")
        );
    }

    #[test]
    fn a_redirect_is_checked_like_a_first_address_and_never_leaves_https() {
        let from = url("https://gallery.test/");
        let hop = |to| policy().check_redirect(&from, &url(to), Subject::Image);
        assert!(hop("https://static.gallery.test/a").is_ok());
        for shut in [
            "http://gallery.test/",
            "file:///etc/passwd",
            "https://other.test/",
            "https://10.1.2.3/",
        ] {
            assert!(
                hop(shut)
                    .is_err_and(|error| matches!(error.kind(), FetchErrorKind::Redirect { .. })),
                "{shut}"
            );
        }
        assert!(
            policy()
                .check_redirect(&url("http://gallery.test/"), &from, Subject::Image)
                .is_ok()
        );
    }

    #[test]
    fn an_invalid_host_in_a_definition_is_refused_at_the_start() {
        for bad in ["", "a b", "a/b", "user@"] {
            let site = SiteOrigins {
                hosts: vec![bad.to_owned()],
                ..gallery()
            };
            assert!(Policy::new(&site, None).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_dns_name_with_a_private_address_is_refused_before_connecting() {
        let server = Server::start(|_| Reply::ok("secret")).await;
        let mut here = server.url("/a.png");
        here.set_host(Some("localhost")).unwrap();
        let site = SiteOrigins {
            pages: here.clone(),
            images: here.clone(),
            hosts: Vec::new(),
            named: Vec::new(),
        };
        let fetcher = Fetcher::new(&settings(), &site, None).unwrap();
        let error = image(&fetcher, &here).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::Refused { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("private address"), "{error}");
        assert_eq!(server.connections(), 0);
    }

    fn behind(variables: &[(&str, &str)]) -> Proxies {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Proxies::from_variables(&variables).unwrap()
    }

    #[test]
    fn the_host_of_a_proxy_is_no_target_of_direct_requests() {
        let variables = [
            ("http_proxy", "http://localhost:3128"),
            ("no_proxy", "localhost"),
        ];
        let site = SiteOrigins {
            hosts: vec!["localhost".to_owned()],
            ..gallery()
        };
        for policy in [Policy::new(&site, None).unwrap(), Policy::anywhere()] {
            let here = url("http://localhost/a");
            let from = url("http://gallery.test/");
            let hop = |policy: &Policy| policy.check_redirect(&from, &here, Subject::Image);
            assert!(hop(&policy).is_ok());
            let policy = policy.with_proxies(&behind(&variables));
            let error = hop(&policy).unwrap_err().to_string();
            assert!(error.contains("host of a proxy"), "{error}");
            // By way of the proxy it is the proxy that finds the address.
            let policy = policy.with_proxies(&behind(&variables[..1]));
            assert!(hop(&policy).is_ok());
        }
        let policy = Policy::anywhere().with_proxies(&behind(&variables));
        policy.add_user_origin(&url("http://localhost/a"));
        assert!(
            policy
                .check(&url("http://localhost/b"), Subject::Image)
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_proxy_by_a_name_with_a_private_address_is_used() {
        let proxy = Server::start(|head| {
            assert!(head.starts_with("GET http://gallery.test/a.png "), "{head}");
            Reply::ok("by the proxy")
        });
        let proxy = proxy.await;
        let mut address = proxy.url("/");
        address.set_host(Some("localhost")).unwrap();
        let settings = FetchSettings {
            proxies: behind(&[("http_proxy", address.as_str())]),
            ..settings()
        };
        let fetcher = Fetcher::anywhere(&settings, &gallery()).unwrap();
        let asked = url("http://gallery.test/a.png");
        assert_eq!(image(&fetcher, &asked).await.unwrap(), b"by the proxy");
    }
}
