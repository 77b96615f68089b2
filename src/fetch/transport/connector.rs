//! Opens connections: DNS, TCP and TLS within one time-out.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::ClientConfig;
use tokio::time::timeout;
use tower_service::Service;

use super::connection::Stream;
use crate::fetch::access::Resolver;

/// The connector of the direct client: opens connections, TLS handshake included, within a limit.
pub(super) struct Connector {
    tcp: Tcp,
    tls: ClientConfig,
    direct: TimeoutConnector<HttpsConnector<Tcp>>,
    limit: Duration,
}

type Tcp = HttpConnector<DnsService>;

/// A proxy that is spoken to in HTTP, without TLS to itself.
#[derive(Debug, Clone)]
pub(super) struct HttpProxy {
    pub(super) address: Uri,
    /// For `Proxy-Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

impl Connector {
    pub(super) fn new(resolver: &Arc<Resolver>, mut tls: ClientConfig, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(DnsService(Arc::clone(resolver)));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limit));
        // The builder sets the protocols itself, and panics if they are set already.
        tls.alpn_protocols.clear();
        let direct = TimeoutConnector {
            connector: over_tls(tls.clone(), tcp.clone()),
            limit,
        };
        Self {
            tcp,
            tls,
            direct,
            limit,
        }
    }

    /// Opens a connection to an origin. By way of a proxy it is a tunnel for https, and otherwise a
    /// connection to the proxy itself.
    pub(super) async fn connect(
        &self,
        origin: &Uri,
        proxy: Option<&HttpProxy>,
    ) -> Result<Stream, Box<dyn Error + Send + Sync>> {
        let Some(proxy) = proxy else {
            return self.direct.clone().call(origin.clone()).await;
        };
        if origin.scheme() != Some(&Scheme::HTTPS) {
            return self.direct.clone().call(proxy.address.clone()).await;
        }
        let mut tunnel = Tunnel::new(proxy.address.clone(), self.tcp.clone());
        if let Some(authorization) = &proxy.authorization {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let mut connector = TimeoutConnector {
            // Cloned configurations share their cache of TLS sessions.
            connector: over_tls(self.tls.clone(), tunnel),
            limit: self.limit,
        };
        connector.call(origin.clone()).await
    }
}

fn over_tls<C>(tls: ClientConfig, connector: C) -> HttpsConnector<C> {
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1();
    https.wrap_connector(connector)
}

/// Adds a time-out to a connector. The time-out of [`HttpConnector`] covers TCP alone, and divides
/// itself among the addresses of a name; a server that accepts and then never answers the TLS
/// handshake would hold a worker for ever.
#[derive(Debug, Clone)]
struct TimeoutConnector<C> {
    connector: C,
    limit: Duration,
}

impl<C: Service<Uri>> Service<Uri> for TimeoutConnector<C>
where
    C::Future: Send + 'static,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = C::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = timeout(self.limit, self.connector.call(address));
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// Our resolver in the shape that hyper's connector wants.
#[derive(Debug, Clone)]
struct DnsService(Arc<Resolver>);

impl Service<Name> for DnsService {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move { Ok(resolver.resolve_name(name.as_str()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use crate::fetch::scripted::{Reply, Server, image, settings};
    use crate::fetch::{FetchErrorKind, Fetcher, SiteOrigins};

    #[tokio::test(start_paused = true)]
    async fn a_tls_handshake_that_hangs_ends_at_the_connect_timeout() {
        let server = Server::start(|_| Reply::raw("").and_hang()).await;
        let mut address = server.url("/a.png");
        address.set_scheme("https").unwrap();
        let site = SiteOrigins {
            pages: address.clone(),
            images: address.clone(),
            hosts: Vec::new(),
            named: vec![address.clone()],
        };
        let fetcher = Fetcher::new(&settings(), &site, None).unwrap();
        let start = Instant::now();
        let error = image(&fetcher, &address).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::Connect { reason, .. } if reason == "timed out after 10 s"),
            "{error}"
        );
        assert_eq!(
            start.elapsed().as_secs(),
            settings().connect_timeout.as_secs()
        );
    }
}
