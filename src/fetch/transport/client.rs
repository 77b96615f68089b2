//! The clients: one for pages, which may come compressed, and two for images, which come as they are: the straight way
//! where it can be gone, and one that knows proxies and HTTP/2.

use std::sync::Arc;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, IF_RANGE, RANGE, TRANSFER_ENCODING,
    USER_AGENT,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, redirect, retry};
use rustls::ClientConfig;
use rustls::crypto::ring;
use url::{Position, Url};

use crate::fetch::FetchSettings;
use crate::fetch::access::policy::Policy;
use crate::fetch::access::resolver::Resolver;
use crate::fetch::error::FetchError;
use crate::fetch::transport::classify as cause;
use crate::fetch::transport::direct::{Direct, Peer};
use crate::fetch::transport::response::Response;
use crate::fetch::transport::tls::Roots;

/// What is being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A page of the site.
    Page,
    /// A host's robots.txt.
    Robots,
    /// Bytes, as the site keeps them.
    Image,
}

/// Who asks. Each client keeps its connections to itself.
#[derive(Debug)]
pub(crate) struct Clients {
    pages: Client,
    images: Client,
    direct: Option<Direct>,
    proxies: Option<Matcher>,
}

impl Clients {
    /// Builds them; nothing is connected or looked up yet.
    pub(crate) fn new(settings: &FetchSettings, policy: &Policy) -> Result<Self, FetchError> {
        let provider = Arc::new(ring::default_provider());
        // Whoever came first installed the same one.
        let _ = ring::default_provider().install_default();
        let roots = Arc::new(Roots::new(
            Arc::clone(&provider),
            &settings.ca_certificates,
        )?);
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut tls = tls
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(roots)
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

        // Most of the time for dialling, and not all of it: whoever waits in vain is told that it was for the DNS.
        let for_names = settings.connect_timeout.min(settings.stall_timeout) / 4 * 3;
        // One for all: what one looked up the others need not.
        let resolver = Arc::new(policy.resolver(for_names));
        let mut as_they_are = HeaderMap::new();
        as_they_are.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let images = builder(settings, &resolver, &tls)
            .no_gzip()
            .no_brotli()
            .no_deflate();
        let images = images.default_headers(as_they_are.clone());
        let mut manners = as_they_are;
        manners.insert(ACCEPT, HeaderValue::from_static("*/*"));
        manners.insert(USER_AGENT, settings.user_agent.parse().map_err(unusable)?);
        let is_plain = !settings.http2 && !settings.insecure;
        Ok(Self {
            pages: builder(settings, &resolver, &tls)
                .build()
                .map_err(unusable)?,
            images: images.build().map_err(unusable)?,
            direct: is_plain.then(|| Direct::new(settings, &resolver, tls, manners)),
            proxies: settings.proxies.then(Matcher::from_system),
        })
    }

    /// Asks for what is at `address` with `further` headers, and answers with the headers of what came.
    pub(crate) async fn get(
        &self,
        kind: Kind,
        address: &Url,
        further: HeaderMap,
    ) -> Result<Response, FetchError> {
        let client = match kind {
            Kind::Page | Kind::Robots => &self.pages,
            Kind::Image => match self.straight(address) {
                Some((direct, peer, path)) => {
                    let asked = direct.get(peer, path, further).await;
                    return asked
                        .map(Response::Direct)
                        .map_err(|error| cause::of_request(&error, address, None));
                }
                None => &self.images,
            },
        };
        let asked = client.get(address.clone()).headers(further).send().await;
        asked
            .map(Response::Any)
            .map_err(|error| cause::of_request(&error, address, self.proxies.as_ref()))
    }

    #[cfg(test)]
    pub(crate) fn direct(&self) -> &Direct {
        self.direct.as_ref().expect("a straight way")
    }

    /// The straight way to `address`, where one leads there: past no proxy, with no password, and by an address that
    /// can be sent as it stands.
    fn straight(&self, address: &Url) -> Option<(&Direct, Arc<Peer>, PathAndQuery)> {
        let direct = self.direct.as_ref()?;
        if !address.username().is_empty() || address.password().is_some() {
            return None;
        }
        let past_proxies = |origin: &Uri| {
            self.proxies
                .as_ref()
                .is_none_or(|proxies| proxies.intercept(origin).is_none())
        };
        let peer = direct.peer(address, past_proxies)?;
        let path = address[Position::BeforePath..Position::AfterQuery]
            .parse()
            .ok()?;
        Some((direct, peer, path))
    }
}

fn builder(
    settings: &FetchSettings,
    resolver: &Arc<Resolver>,
    tls: &ClientConfig,
) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(&settings.user_agent)
        // Redirects are followed by our own loop, tries are counted in one place.
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .connect_timeout(settings.connect_timeout)
        // An idle connection that is dropped is dialled again, with all its round trips.
        .pool_max_idle_per_host(settings.connections.max(1))
        .tcp_nodelay(true)
        .dns_resolver(Arc::clone(resolver));
    let builder = if settings.insecure {
        builder.tls_danger_accept_invalid_certs(true)
    } else {
        builder.tls_backend_preconfigured(tls.clone())
    };
    let builder = if settings.proxies {
        builder
    } else {
        builder.no_proxy()
    };
    // Framing and flow control cost more than streams save where bodies are large.
    if settings.http2 {
        builder.http2_adaptive_window(true)
    } else {
        builder.http1_only()
    }
}

/// Headers that would make an answer mean something else than what was asked.
const OURS: [HeaderName; 6] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    IF_RANGE,
    RANGE,
    TRANSFER_ENCODING,
];

/// Reads the headers that the user wants sent.
pub(crate) fn headers(said: &[(String, String)]) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    for (name, value) in said {
        let bad = |reason: String| FetchError::Setting {
            what: format!("header `{name}`"),
            reason,
        };
        let read_name = name
            .trim()
            .parse::<HeaderName>()
            .map_err(|error| bad(error.to_string()))?;
        if OURS.contains(&read_name) {
            return Err(bad("wallhaul sets it itself".to_owned()));
        }
        let mut read_value = value
            .trim()
            .parse::<HeaderValue>()
            .map_err(|error| bad(error.to_string()))?;
        read_value.set_sensitive(true);
        headers.append(read_name, read_value);
    }
    Ok(headers)
}

fn unusable(error: impl std::error::Error) -> FetchError {
    let reason = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    FetchError::Setting {
        what: "the network client cannot be built".to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use crate::fetch::scripted::settings;
    use crate::fetch::{FetchError, FetchSettings, Fetcher, SiteOrigins};
    use url::Url;

    fn opened(settings: &FetchSettings) -> Result<Fetcher, FetchError> {
        let here = Url::parse("https://gallery.test/").unwrap();
        let premises = SiteOrigins {
            pages: here.clone(),
            images: here,
            hosts: Vec::new(),
            named: Vec::new(),
        };
        Fetcher::new(settings, &premises, None)
    }

    #[test]
    fn every_way_to_set_it_up_can_be_built() {
        for (insecure, http2) in [(false, false), (false, true), (true, false), (true, true)] {
            opened(&FetchSettings {
                insecure,
                http2,
                connections: 0,
                ..settings()
            })
            .unwrap();
        }
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named_at_the_start() {
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("x", "line\nbreak"),
            ("Range", "bytes=0-"),
            ("accept-encoding", "gzip"),
        ] {
            let headers = vec![(name.to_owned(), value.to_owned())];
            let error = opened(&FetchSettings {
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
    fn a_user_agent_that_cannot_be_sent_is_an_error() {
        assert!(
            opened(&FetchSettings {
                user_agent: "a\nb".to_owned(),
                ..settings()
            })
            .is_err()
        );
    }

    #[test]
    fn what_waits_for_the_network_may_move_between_threads() {
        fn may_move<T: Send>(_: T) {}
        let (fetcher, address) = (
            opened(&settings()).unwrap(),
            Url::parse("https://gallery.test/").unwrap(),
        );
        may_move(fetcher.page(&address));
        may_move(fetcher.image(&address, None));
    }
}
