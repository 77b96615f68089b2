//! The straight way to a host for images, over HTTP/1.1 and without a proxy: `hyper`'s own pool, whose read buffers can
//! be bounded. Memory is jobs times read buffer, and `reqwest` lets each grow to 400 KB.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::timeout;
use tower_service::Service;

use super::FetchSettings;
use super::resolver::Resolver;

/// The most that is read of a connection at once. Headers without an end are left here; how long those with one may be is
/// judged when they are there.
const READ_BUFFER: usize = 128 * 1024;

/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(90);

/// Asks for images on connections that it keeps.
#[derive(Debug)]
pub(super) struct Direct(Client<Timely<HttpsConnector<HttpConnector<Names>>>, Empty<Bytes>>);

impl Direct {
    /// Nothing is connected or looked up yet.
    pub(super) fn new(settings: &FetchSettings, resolver: &Arc<Resolver>, mut tls: ClientConfig) -> Self {
        let mut plain = HttpConnector::new_with_resolver(Names(Arc::clone(resolver)));
        plain.enforce_http(false);
        plain.set_nodelay(true);
        plain.set_connect_timeout(Some(settings.connect_timeout));
        // The connector names the protocols itself.
        tls.alpn_protocols.clear();
        let either = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            // An idle connection that is dropped is dialled again, with all its round trips.
            .pool_max_idle_per_host(settings.connections.max(1))
            .http1_max_buf_size(READ_BUFFER)
            .build(Timely { connector: either.wrap_connector(plain), limit: settings.connect_timeout });
        Self(client)
    }

    /// Sends a request and answers with the headers of what came back.
    pub(super) async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Error> {
        self.0.request(request).await
    }
}

/// A connector that takes so long at most, its handshake included.
#[derive(Debug, Clone)]
struct Timely<C> {
    connector: C,
    limit: Duration,
}

impl<C: Service<Uri>> Service<Uri> for Timely<C>
where
    C::Future: Send + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = C::Response;
    type Error = Box<dyn std::error::Error + Send + Sync>;
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

/// Looks names up for the connector.
#[derive(Debug, Clone)]
struct Names(Arc<Resolver>);

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move { Ok(resolver.look_up(name.as_str()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use crate::fetch::scripted::{Reply, Server, image, settings};
    use crate::fetch::{FetchError, Fetcher, Premises};

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_hangs_is_left_at_the_time_for_connecting() {
        let server = Server::start(|_| Reply::raw("").and_hang()).await;
        let mut address = server.url("/a.png");
        address.set_scheme("https").unwrap();
        let premises = Premises {
            pages: address.clone(),
            images: address.clone(),
            hosts: Vec::new(),
            named: vec![address.clone()],
        };
        let fetcher = Fetcher::new(&settings(), &premises, None).unwrap();
        let start = Instant::now();
        let error = image(&fetcher, &address).await.unwrap_err();
        assert!(matches!(&error, FetchError::Connect { reason, .. } if reason == "no answer in time"), "{error}");
        assert_eq!(start.elapsed().as_secs(), settings().connect_timeout.as_secs());
    }
}
