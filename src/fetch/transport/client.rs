//! The HTTP clients: the direct client, and reqwest for what that one cannot do: SOCKS proxies,
//! proxies behind TLS, and HTTP/2.
//!
//! What goes through reqwest has its heads read by hyper alone, a little more strictly than browsers
//! do: our filter of heads sits in the connections of the direct client, and reqwest opens its own.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName,
    HeaderValue, IF_RANGE, RANGE, TRANSFER_ENCODING, USER_AGENT,
};
use reqwest::{Client, ClientBuilder, Proxy, redirect, retry};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::{CipherSuite, ClientConfig};
use url::{Position, Url};

use super::classify::request_error;
use super::connector::HttpProxy;
use super::direct::DirectClient;
use super::pool::{OriginPool, Route};
use super::response::ClientResponse;
use super::tls::{AnyCertificate, CertificateVerifier};
use crate::fetch::access::{Policy, Resolver};
use crate::fetch::body::PAGE_CODINGS;
use crate::fetch::error::{FetchError, SettingError};
use crate::fetch::proxies::Proxies;
use crate::fetch::settings::FetchSettings;

/// What is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Page,
    Robots,
    Image,
}

impl RequestKind {
    fn accept_encoding(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Page | Self::Robots => PAGE_CODINGS,
            Self::Image => "identity",
        })
    }
}

/// The clients of a run, each with its own connections.
#[derive(Debug)]
pub(crate) struct Clients {
    indirect: Client,
    direct: Option<DirectClient>,
    proxies: Proxies,
    connect_timeout: Duration,
}

impl Clients {
    /// Builds the clients; nothing is connected or looked up yet.
    pub(crate) fn new(settings: &FetchSettings, policy: &Policy) -> Result<Self, SettingError> {
        let tls = tls_config(settings)?;
        // A name may take three quarters of the time for connecting. With all of it, the
        // connector's own time-out would win, and the message would blame the host instead of the
        // DNS.
        let dns_timeout = settings.connect_timeout.min(settings.stall_timeout) / 4 * 3;
        // One resolver, and so one cache, for all clients.
        let resolver = Arc::new(policy.resolver(dns_timeout));
        let mut default_headers = HeaderMap::new();
        default_headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        default_headers.insert(USER_AGENT, settings.user_agent.parse().map_err(unusable)?);
        Ok(Self {
            indirect: builder(settings, &resolver, &tls)
                .build()
                .map_err(unusable)?,
            direct: (!settings.http2)
                .then(|| DirectClient::new(settings, &resolver, tls, default_headers)),
            proxies: settings.proxies.clone(),
            connect_timeout: settings.connect_timeout,
        })
    }

    /// Requests `address` with further headers, and returns the headers of the response.
    pub(crate) async fn get(
        &self,
        kind: RequestKind,
        address: &Url,
        mut headers: HeaderMap,
    ) -> Result<ClientResponse, FetchError> {
        headers.insert(ACCEPT_ENCODING, kind.accept_encoding());
        if let Some((direct, pool, path)) = self.direct_route(address) {
            // The user's own header comes first. reqwest does the same below.
            if !headers.contains_key(AUTHORIZATION)
                && let Some(value) = basic_authorization(address)
            {
                headers.insert(AUTHORIZATION, value);
            }
            let response = direct.get(pool, path, headers).await;
            return response
                .map(ClientResponse::from)
                .map_err(|error| self.error(&error, address));
        }
        let request = self.indirect.get(address.clone()).headers(headers);
        let response = request.send().await;
        response
            .map(ClientResponse::from)
            .map_err(|error| self.error(&error, address))
    }

    fn error(&self, error: &(dyn std::error::Error + 'static), address: &Url) -> FetchError {
        request_error(error, address, Some(&self.proxies), self.connect_timeout)
    }

    /// How the direct client requests `address`; `None` where reqwest must do it: with HTTP/2,
    /// through a SOCKS proxy or one behind TLS, or where hyper does not accept the path as it is,
    /// for which reqwest has an error.
    fn direct_route(
        &self,
        address: &Url,
    ) -> Option<(&DirectClient, Arc<OriginPool>, PathAndQuery)> {
        let direct = self.direct.as_ref()?;
        let pool = direct.pool(address, |origin| self.route(origin))?;
        let path = address[Position::BeforePath..Position::AfterQuery]
            .parse()
            .ok()?;
        Some((direct, pool, path))
    }

    fn route(&self, origin: &Uri) -> Route {
        let host = origin.host().unwrap_or_default();
        let scheme = origin.scheme_str().unwrap_or_default();
        let Some(proxy) = self.proxies.of(scheme, host) else {
            return Route::Direct;
        };
        if proxy.scheme() != "http" {
            return Route::Unsupported;
        }
        // The library makes a header of the name and password.
        let matcher = Matcher::builder().all(proxy.as_str()).build();
        matcher
            .intercept(origin)
            .map_or(Route::Unsupported, |proxy| {
                Route::Proxy(HttpProxy {
                    address: proxy.uri().clone(),
                    authorization: proxy.basic_auth().cloned(),
                })
            })
    }

    #[cfg(test)]
    pub(crate) fn idle_connections(&self) -> usize {
        let direct = self.direct.as_ref().expect("no proxy and no HTTP/2");
        direct.idle_connections()
    }
}

/// The header for the user name and password in an address. It goes to the origin of that address
/// alone: a redirect to another one is another address.
fn basic_authorization(address: &Url) -> Option<HeaderValue> {
    if address.username().is_empty() && address.password().is_none() {
        return None;
    }
    let server = &address[..Position::BeforePath];
    // As for a proxy: the library decodes both, and makes a header of them.
    let matcher = Matcher::builder().all(server).build();
    let any = Uri::from_static("http://site.invalid/");
    matcher.intercept(&any)?.basic_auth().cloned()
}

fn tls_config(settings: &FetchSettings) -> Result<ClientConfig, SettingError> {
    let mut provider = ring::default_provider();
    // AES with keys of 128 bits first, as browsers have it: 2 % less time for 1,400 images of 400 KB over loopback.
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    let provider = Arc::new(provider);
    // Fails if a default is there already, which is then the same one: another fetcher of this
    // process installed it.
    let _ = ring::default_provider().install_default();
    // The user's files are read in any case, as one that cannot be read is an error.
    let verifier = CertificateVerifier::new(Arc::clone(&provider), &settings.ca_certificates)?;
    let verifier: Arc<dyn ServerCertVerifier> = if settings.insecure {
        Arc::new(AnyCertificate::new(&provider))
    } else {
        Arc::new(verifier)
    };
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let versions: &[&str] = if settings.http2 {
        &["h2", "http/1.1"]
    } else {
        &["http/1.1"]
    };
    tls.alpn_protocols = versions
        .iter()
        .map(|version| version.as_bytes().to_vec())
        .collect();
    Ok(tls)
}

fn builder(
    settings: &FetchSettings,
    resolver: &Arc<Resolver>,
    tls: &ClientConfig,
) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(&settings.user_agent)
        // Each redirect passes the policy in our own loop, and tries are counted in one place.
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .connect_timeout(settings.connect_timeout)
        // As far as these go, heads are read as the direct client reads them; it has a filter of its
        // own, which does not fit in here.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_max_headers(MAX_HEADERS)
        // A connection that is closed for want of room is opened again, with all its round trips.
        .pool_max_idle_per_host(settings.connections.max(1))
        .tcp_nodelay(true)
        .dns_resolver(Arc::clone(resolver))
        .tls_backend_preconfigured(tls.clone())
        // Without this reqwest reads the environment itself, and leaves out what it does not
        // understand.
        .no_proxy();
    let builder = if settings.proxies.is_empty() {
        builder
    } else {
        let proxies = settings.proxies.clone();
        builder.proxy(Proxy::custom(move |address| {
            proxies.of(address.scheme(), address.host_str()?).cloned()
        }))
    };
    // HTTP/2 only on request: for large bodies its framing and flow control cost more than its
    // streams save.
    if settings.http2 {
        builder.http2_adaptive_window(true)
    } else {
        builder.http1_only()
    }
}

/// The most header fields of a response by way of reqwest. There is room for so many in memory with
/// each response, and a header map has no room for 25,000.
const MAX_HEADERS: usize = 4096;

/// Headers that the user cannot set: they would change what the response means.
const RESERVED_HEADERS: [HeaderName; 6] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    IF_RANGE,
    RANGE,
    TRANSFER_ENCODING,
];

/// Parses the headers that the user wants to be sent.
pub(crate) fn parse_headers(headers: &[(String, String)]) -> Result<HeaderMap, SettingError> {
    let mut parsed = HeaderMap::new();
    for (name, value) in headers {
        let invalid = |reason: String| SettingError {
            setting: format!("header `{name}`"),
            reason,
        };
        let parsed_name = name
            .trim()
            .parse::<HeaderName>()
            .map_err(|error| invalid(error.to_string()))?;
        if RESERVED_HEADERS.contains(&parsed_name) {
            return Err(invalid("wallhaul sets it itself".to_owned()));
        }
        let mut parsed_value = value
            .trim()
            .parse::<HeaderValue>()
            .map_err(|error| invalid(error.to_string()))?;
        parsed_value.set_sensitive(true);
        parsed.append(parsed_name, parsed_value);
    }
    Ok(parsed)
}

fn unusable(error: impl std::error::Error) -> SettingError {
    let reason = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    SettingError {
        setting: "cannot build the HTTP client".to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::scripted::{Reply, Server, header, image, path_of, settings};
    use crate::fetch::{FetchSettings, Fetcher, SettingError, SiteOrigins};

    fn build(settings: &FetchSettings) -> Result<Fetcher, SettingError> {
        let here = Url::parse("https://gallery.test/").unwrap();
        let site = SiteOrigins {
            pages: here.clone(),
            images: here,
            hosts: Vec::new(),
            named: Vec::new(),
        };
        Fetcher::new(settings, &site, None)
    }

    #[test]
    fn clients_can_be_built_for_every_combination_of_settings() {
        for (insecure, http2) in [(false, false), (false, true), (true, false), (true, true)] {
            build(&FetchSettings {
                insecure,
                http2,
                connections: 0,
                ..settings()
            })
            .unwrap();
        }
    }

    #[test]
    fn an_invalid_or_reserved_header_is_named_at_the_start() {
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("x", "line\nbreak"),
            ("Range", "bytes=0-"),
            ("accept-encoding", "gzip"),
        ] {
            let headers = vec![(name.to_owned(), value.to_owned())];
            let error = build(&FetchSettings {
                headers,
                ..settings()
            })
            .unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("header `{name}`: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn user_name_and_password_of_an_address_become_a_sensitive_header() {
        for (address, header) in [
            ("http://a.test/", None),
            ("http://me:secret@a.test/x", Some("Basic bWU6c2VjcmV0")),
            (
                "https://m%40e:p%3A%25%C3%A9@[::1]:8443/",
                Some("Basic bUBlOnA6JcOp"),
            ),
            ("http://token@a.test/", Some("Basic dG9rZW46")),
            ("http://:secret@a.test/", Some("Basic OnNlY3JldA==")),
        ] {
            let value = basic_authorization(&Url::parse(address).unwrap());
            assert!(value.as_ref().is_none_or(HeaderValue::is_sensitive));
            let value = value.map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(value.as_deref(), header, "{address}");
        }
    }

    #[tokio::test]
    async fn password_of_an_address_goes_to_its_origin_alone_and_by_the_direct_client() {
        let other = Server::start(|_| Reply::ok("x")).await;
        let there = other.url("/b.png").to_string();
        let server = Server::start(move |head| match path_of(head) {
            "/a.png" => Reply::to("/here.png"),
            "/away.png" => Reply::to(&there),
            // hyper alone does not read this head.
            _ => Reply::raw("HTTP/1.1  200 OK\r\nContent-Length: 1\r\n\r\nx"),
        })
        .await;
        let with_password = |path: &str| {
            let mut address = server.url(path);
            address.set_username("me").unwrap();
            address.set_password(Some("secret")).unwrap();
            address
        };
        let site = SiteOrigins {
            pages: server.url("/"),
            images: server.url("/"),
            hosts: Vec::new(),
            named: vec![server.url("/"), other.url("/")],
        };
        let fetcher = Fetcher::new(&settings(), &site, None).unwrap();
        image(&fetcher, &with_password("/a.png")).await.unwrap();
        image(&fetcher, &with_password("/away.png")).await.unwrap();
        image(&fetcher, &server.url("/without.png")).await.unwrap();
        for head in server.heads() {
            let due = (path_of(&head) != "/without.png").then_some("Basic bWU6c2VjcmV0");
            assert_eq!(header(&head, "authorization"), due, "{head}");
            assert!(!head.contains('@'), "{head}");
        }
        assert_eq!(server.heads().len(), 4);
        assert_eq!(header(&other.heads()[0], "authorization"), None);
        assert_eq!(server.connections(), 1, "one pool for the origin");

        let headers = vec![("Authorization".to_owned(), "Bearer own".to_owned())];
        let own = FetchSettings {
            headers,
            ..settings()
        };
        let fetcher = Fetcher::new(&own, &site, None).unwrap();
        image(&fetcher, &with_password("/here.png")).await.unwrap();
        let heads = server.heads();
        assert_eq!(header(&heads[4], "authorization"), Some("Bearer own"));
    }

    #[test]
    fn an_invalid_user_agent_is_an_error() {
        assert!(
            build(&FetchSettings {
                user_agent: "a\nb".to_owned(),
                ..settings()
            })
            .is_err()
        );
    }

    #[test]
    fn the_futures_of_a_fetcher_are_send() {
        fn may_move<T: Send>(_: T) {}
        let (fetcher, address) = (
            build(&settings()).unwrap(),
            Url::parse("https://gallery.test/").unwrap(),
        );
        may_move(fetcher.page(&address));
        may_move(fetcher.image(&address, None));
    }
}
