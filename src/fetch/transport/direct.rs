//! The straight way to a host for images, over HTTP/1.1 and without a proxy: connections of our own, whose read buffers
//! are bounded. Memory is jobs times read buffer, and `reqwest` lets each grow to 400 KB.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::http::uri::PathAndQuery;
use hyper::{Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use rustls::ClientConfig;
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tower_service::Service;
use url::{Position, Url};

use crate::fetch::FetchSettings;
use crate::fetch::access::resolver::Resolver;
use crate::fetch::transport::connection::{Question, Wire};

/// A connection that nobody used for so long is not used any more,
const IDLE: Duration = Duration::from_secs(90);
/// and closed at the next look at all of them, as is one that its server has closed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Asks for images on connections that it keeps.
pub(crate) struct Direct {
    connector: Timely<HttpsConnector<HttpConnector<Names>>>,
    /// What every image is asked with.
    manners: HeaderMap,
    connections: usize,
    peers: Mutex<Peers>,
}

/// Whom images were asked of so far.
struct Peers {
    /// By origin; nobody where no straight way leads to it.
    known: HashMap<String, Option<Arc<Peer>>>,
    looked: Instant,
}

/// Whom images are asked of: one origin.
pub(crate) struct Peer {
    address: Uri,
    /// What every image is asked with there.
    manners: HeaderMap,
    idle: Idle,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum NoAnswer {
    /// No connection came about.
    #[error("no connection")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// It broke.
    #[error("a broken connection")]
    Broke(#[from] hyper::Error),
}

/// An answer on its way.
pub(crate) struct Incomplete {
    response: Response<Incoming>,
    /// What it comes by; nothing once it is there.
    wire: Option<Wire>,
    peer: Arc<Peer>,
}

impl Direct {
    /// Nothing is connected or looked up yet. `manners` go with every question.
    pub(crate) fn new(
        settings: &FetchSettings,
        resolver: &Arc<Resolver>,
        mut tls: ClientConfig,
        manners: HeaderMap,
    ) -> Self {
        let mut plain = HttpConnector::new_with_resolver(Names(Arc::clone(resolver)));
        plain.enforce_http(false);
        plain.set_nodelay(true);
        plain.set_connect_timeout(Some(settings.connect_timeout));
        // The connector names the protocols itself.
        tls.alpn_protocols.clear();
        let either = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1();
        let connector = Timely {
            connector: either.wrap_connector(plain),
            limit: settings.connect_timeout,
        };
        let peers = Mutex::new(Peers {
            known: HashMap::new(),
            looked: Instant::now(),
        });
        Self {
            connector,
            manners,
            connections: settings.connections.max(1),
            peers,
        }
    }

    /// Whom to ask for `address`; nobody where no straight way leads to its origin. `is_straight` is asked for that once
    /// an origin.
    pub(crate) fn peer(
        &self,
        address: &Url,
        is_straight: impl FnOnce(&Uri) -> bool,
    ) -> Option<Arc<Peer>> {
        let origin = &address[..Position::BeforePath];
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let Peers { known, looked } = &mut *peers;
        if looked.elapsed() >= LOOK_EVERY {
            // A list may name thousands of hosts, most of them once.
            known.values().flatten().for_each(|peer| peer.idle.forget());
            *looked = Instant::now();
        }
        if let Some(known) = known.get(origin) {
            return known.clone();
        }
        let peer = self
            .first_met(origin)
            .filter(|peer| is_straight(&peer.address))
            .map(Arc::new);
        known.insert(origin.to_owned(), peer.clone());
        peer
    }

    fn first_met(&self, origin: &str) -> Option<Peer> {
        let address: Uri = origin.parse().ok()?;
        let mut manners = self.manners.clone();
        manners.insert(
            HOST,
            HeaderValue::from_str(address.authority()?.as_str()).ok()?,
        );
        Some(Peer {
            address,
            manners,
            idle: Idle::new(self.connections),
        })
    }

    /// Asks `peer` for what lies at `path` with `further` headers, and answers with the headers of what came back.
    pub(crate) async fn get(
        &self,
        peer: Arc<Peer>,
        path: PathAndQuery,
        further: HeaderMap,
    ) -> Result<Incomplete, NoAnswer> {
        let mut question = Question::new(Empty::new());
        *question.uri_mut() = path.into();
        *question.headers_mut() = peer.manners.clone();
        question.headers_mut().extend(further);
        while let Some(mut wire) = peer.idle.take() {
            match wire.ask(question).await {
                Ok(response) => {
                    return Ok(Incomplete {
                        response,
                        wire: Some(wire),
                        peer,
                    });
                }
                Err(mut unsent) => match unsent.take_message() {
                    // The server hung up before it was asked anything.
                    Some(unsent) => question = unsent,
                    None => return Err(unsent.into_error().into()),
                },
            }
        }
        // Boxed, for hardly any image needs it, and each worker would have room for it.
        let mut wire = Box::pin(self.dial(&peer)).await?;
        let response = wire.ask(question).await.map_err(TrySendError::into_error)?;
        Ok(Incomplete {
            response,
            wire: Some(wire),
            peer,
        })
    }

    async fn dial(&self, peer: &Peer) -> Result<Wire, NoAnswer> {
        let stream = self
            .connector
            .clone()
            .call(peer.address.clone())
            .await
            .map_err(NoAnswer::Connect)?;
        Ok(Wire::over(stream).await?)
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

impl Incomplete {
    /// Its status and headers.
    pub(crate) fn head(&self) -> &Response<Incoming> {
        &self.response
    }

    /// The next bytes of the body; nothing at its end, when its connection is free for the next. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection broke, or ended too early.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(wire) = &mut self.wire {
            match wire.frame(self.response.body_mut()).await {
                // Trailers say nothing that we asked for.
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
                None => {
                    if let Some(wire) = self.wire.take() {
                        self.peer.idle.put(wire);
                    }
                }
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incomplete").field(&self.response).finish()
    }
}

/// Connections that wait for a question, each with the moment since when; the one used last comes last.
struct Idle {
    /// As many as there are jobs: one that is dropped is dialled again, with all its round trips.
    most: usize,
    wires: Mutex<VecDeque<(Wire, Instant)>>,
}

impl Idle {
    fn new(most: usize) -> Self {
        Self {
            most,
            wires: Mutex::default(),
        }
    }

    /// The one used last that is still open.
    fn take(&self) -> Option<Wire> {
        loop {
            let (mut wire, since) = self.wires().pop_back()?;
            if since.elapsed() < IDLE && wire.is_free() {
                return Some(wire);
            }
        }
    }

    fn put(&self, mut wire: Wire) {
        if !wire.is_free() {
            return;
        }
        let mut wires = self.wires();
        if wires.len() == self.most {
            wires.pop_front();
        }
        wires.push_back((wire, Instant::now()));
    }

    /// Closes those that waited for too long, and those whose server did not wait.
    fn forget(&self) {
        self.wires()
            .retain_mut(|(wire, since)| since.elapsed() < IDLE && wire.is_free());
    }

    fn wires(&self) -> MutexGuard<'_, VecDeque<(Wire, Instant)>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Looks names up for the connector.
#[derive(Debug, Clone)]
struct Names(Arc<Resolver>);

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
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
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, settings};
    use crate::fetch::{FetchError, Fetcher, SiteOrigins};

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_is_left_for_another() {
        let server = Server::start(|_| Reply::ok("x").and_close()).await;
        let fetcher = server.fetcher();
        for _ in 0..2 {
            image(&fetcher, &server.url("/a.png")).await.unwrap();
            // Its end comes meanwhile.
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((server.asked("/a.png"), server.connections()), (2, 2));
    }

    #[tokio::test]
    async fn an_answer_that_was_not_read_to_its_end_takes_its_connection_along() {
        let server = Server::start(|_| Reply::ok(vec![7; 60_000])).await;
        let fetcher = server.fetcher();
        for _ in 0..3 {
            let mut body = fetcher.image(&server.url("/a.png"), None).await.unwrap();
            body.chunk().await.unwrap().unwrap();
        }
        assert_eq!(server.connections(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_lay_idle_for_long_is_left_for_another() {
        let server = Server::start(|_| Reply::ok("x")).await;
        let fetcher = server.fetcher();
        for (pause, connections) in [(Duration::ZERO, 1), (IDLE / 2, 1), (IDLE, 2)] {
            advance(pause).await;
            image(&fetcher, &server.url("/a.png")).await.unwrap();
            assert_eq!(server.connections(), connections);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_to_hosts_that_are_asked_no_more_are_closed() {
        let servers = [
            Server::start(|_| Reply::ok("x")).await,
            Server::start(|_| Reply::ok("x")).await,
        ];
        let [here, there] = servers.each_ref().map(|server| server.url("/a.png"));
        let premises = SiteOrigins {
            pages: here.clone(),
            images: there.clone(),
            hosts: Vec::new(),
            named: vec![here, there],
        };
        let fetcher = Fetcher::new(&settings(), &premises, None).unwrap();
        let idle = || {
            let peers = fetcher.clients.direct().peers.lock().unwrap();
            peers
                .known
                .values()
                .flatten()
                .map(|peer| peer.idle.wires().len())
                .sum::<usize>()
        };
        for server in &servers {
            image(&fetcher, &server.url("/a.png")).await.unwrap();
        }
        assert_eq!(idle(), 2);
        advance(IDLE).await;
        image(&fetcher, &servers[0].url("/a.png")).await.unwrap();
        assert_eq!(idle(), 1);
    }

    #[tokio::test]
    async fn no_more_connections_are_kept_than_there_are_jobs() {
        let server =
            Server::start(|_| Reply::ok("image").drop_by_drop(Duration::from_millis(1))).await;
        let fetcher = server.fetcher_with(&FetchSettings {
            connections: 1,
            ..settings()
        });
        let address = server.url("/a.png");
        for connections in [2, 3] {
            let (one, other) = tokio::join!(image(&fetcher, &address), image(&fetcher, &address));
            assert_eq!(
                (one.unwrap(), other.unwrap()),
                (b"image".to_vec(), b"image".to_vec())
            );
            assert_eq!(server.connections(), connections);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_hangs_is_left_at_the_time_for_connecting() {
        let server = Server::start(|_| Reply::raw("").and_hang()).await;
        let mut address = server.url("/a.png");
        address.set_scheme("https").unwrap();
        let premises = SiteOrigins {
            pages: address.clone(),
            images: address.clone(),
            hosts: Vec::new(),
            named: vec![address.clone()],
        };
        let fetcher = Fetcher::new(&settings(), &premises, None).unwrap();
        let start = Instant::now();
        let error = image(&fetcher, &address).await.unwrap_err();
        assert!(
            matches!(&error, FetchError::Connect { reason, .. } if reason == "no answer in time"),
            "{error}"
        );
        assert_eq!(
            start.elapsed().as_secs(),
            settings().connect_timeout.as_secs()
        );
    }
}
