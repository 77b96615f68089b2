//! Idle connections, by origin.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Uri;
use hyper::http::uri::{PathAndQuery, Scheme};
use parking_lot::Mutex;
use reqwest::header::{HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use tokio::time::Instant;
use url::Url;

use super::connection::{Connection, Request};
use super::connector::HttpProxy;
use crate::fetch::access::origin_of;

/// A connection that was idle for this long is not used any more: servers and middleboxes forget
/// theirs as well, often without a word.
const MAX_IDLE: Duration = Duration::from_secs(90);

/// How often the idle connections of all origins are looked through, for those to close.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The pools of all origins that were connected to so far.
pub(super) struct OriginPools {
    /// Sent with every request.
    default_headers: HeaderMap,
    /// The most idle connections of one origin.
    max_idle: usize,
    /// Locked for one look-up a request; a pool has its own lock for its connections.
    state: Mutex<PoolState>,
}

struct PoolState {
    /// By origin; `None` where the direct client cannot be used.
    pools: HashMap<String, Option<Arc<OriginPool>>>,
    swept: Instant,
}

/// How requests get to an origin.
pub(super) enum Route {
    Direct,
    Proxy(HttpProxy),
    /// The direct client does not speak the protocol of the proxy.
    Unsupported,
}

/// What is requested with from one origin.
pub(super) struct OriginPool {
    pub(super) origin: Uri,
    pub(super) proxy: Option<HttpProxy>,
    /// The default headers and `Host`,
    pub(super) default_headers: HeaderMap,
    /// and the same as they are sent.
    default_lines: Vec<u8>,
    pub(super) idle: IdleConnections,
}

impl OriginPools {
    pub(super) fn new(default_headers: HeaderMap, max_idle: usize) -> Self {
        let state = PoolState {
            pools: HashMap::new(),
            swept: Instant::now(),
        };
        Self {
            default_headers,
            max_idle,
            state: Mutex::new(state),
        }
    }

    /// The pool for `address`; `None` where the direct client cannot be used for its origin.
    /// `route` decides that, once an origin.
    pub(super) fn pool(
        &self,
        address: &Url,
        route: impl FnOnce(&Uri) -> Route,
    ) -> Option<Arc<OriginPool>> {
        let origin = &*origin_of(address);
        let mut state = self.state.lock();
        let PoolState { pools, swept } = &mut *state;
        if swept.elapsed() >= SWEEP_EVERY {
            // A list may name thousands of hosts, most of them once: their connections would stay
            // open until the end of the run. The sweep rides on a request, where a separate task
            // would have to be stopped with the run.
            pools.values().flatten().for_each(|pool| pool.idle.sweep());
            *swept = Instant::now();
        }
        if let Some(known) = pools.get(origin) {
            return known.clone();
        }
        let pool = self.new_pool(origin, route).map(Arc::new);
        pools.insert(origin.to_owned(), pool.clone());
        pool
    }

    fn new_pool(&self, origin: &str, route: impl FnOnce(&Uri) -> Route) -> Option<OriginPool> {
        let origin: Uri = origin.parse().ok()?;
        let proxy = match route(&origin) {
            Route::Direct => None,
            Route::Proxy(proxy) => Some(proxy),
            Route::Unsupported => return None,
        };
        let mut default_headers = self.default_headers.clone();
        default_headers.insert(
            HOST,
            HeaderValue::from_str(origin.authority()?.as_str()).ok()?,
        );
        let authorization = proxy.as_ref().and_then(|proxy| proxy.authorization.clone());
        if let Some(authorization) = authorization
            && origin.scheme() == Some(&Scheme::HTTP)
        {
            // In a tunnel only the request for the tunnel has it.
            default_headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        Some(OriginPool {
            origin,
            proxy,
            default_lines: header_lines(&default_headers),
            default_headers,
            idle: IdleConnections::new(self.max_idle),
        })
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        let state = self.state.lock();
        let pools = state.pools.values().flatten();
        pools.map(|pool| pool.idle.connections.lock().len()).sum()
    }
}

impl OriginPool {
    /// What a request for `path` names: the path, or the whole address where a proxy has to know it
    /// (RFC 9112, 3.2.2).
    pub(super) fn target(&self, path: PathAndQuery) -> Uri {
        if self.proxy.is_none() || self.origin.scheme() != Some(&Scheme::HTTP) {
            return path.into();
        }
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("an origin and a path are an address")
    }
}

/// A request for a path of an origin, with further headers than the default ones, which they replace.
pub(super) struct RequestParts<'a> {
    pub(super) pool: &'a OriginPool,
    pub(super) path: PathAndQuery,
    pub(super) headers: HeaderMap,
}

impl RequestParts<'_> {
    /// The request as it is sent.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let pool = self.pool;
        let replaces = |name| pool.default_headers.contains_key(name);
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(b"GET ");
        if pool.proxy.is_none() {
            bytes.extend_from_slice(self.path.as_str().as_bytes());
        } else {
            bytes.extend_from_slice(pool.target(self.path.clone()).to_string().as_bytes());
        }
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        if self.headers.keys().any(replaces) {
            bytes.extend_from_slice(&header_lines(&self.all_headers()));
        } else {
            bytes.extend_from_slice(&pool.default_lines);
            write_header_lines(&self.headers, &mut bytes);
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The request as hyper wants it.
    pub(super) fn to_request(&self) -> Request {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.pool.target(self.path.clone());
        *request.headers_mut() = self.all_headers();
        request
    }

    fn all_headers(&self) -> HeaderMap {
        let mut headers = self.pool.default_headers.clone();
        headers.extend(self.headers.clone());
        headers
    }
}

fn header_lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    write_header_lines(headers, &mut lines);
    lines
}

fn write_header_lines(headers: &HeaderMap, lines: &mut Vec<u8>) {
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
}

/// The idle connections of one origin, each with the time since when, the one used last at the end.
pub(super) struct IdleConnections {
    /// One for each job: a connection that is closed for want of room is opened again, with all its
    /// round trips.
    max: usize,
    /// A plain mutex: an image takes it twice, to take a connection and to put it back, and the
    /// critical section is a push or a pop. Checking the connection happens outside where it can,
    /// because that may read from the socket.
    connections: Mutex<VecDeque<(Connection, Instant)>>,
}

impl IdleConnections {
    fn new(max: usize) -> Self {
        Self {
            max,
            connections: Mutex::default(),
        }
    }

    /// The connection used last that is still open. Last in, first out: what is not needed ages and
    /// is closed, and the congestion window of the one in use is the warmest.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.connections.lock().pop_back()?;
            if since.elapsed() < MAX_IDLE && connection.is_usable() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(&self, mut connection: Connection) {
        if !connection.is_usable() {
            return;
        }
        let mut connections = self.connections.lock();
        if connections.len() == self.max {
            connections.pop_front();
        }
        connections.push_back((connection, Instant::now()));
    }

    /// Keeps a connection that was opened and then not needed, for when there is no warmer one.
    pub(super) fn put_unused(&self, connection: Connection) {
        let mut connections = self.connections.lock();
        if connections.len() < self.max {
            connections.push_front((connection, Instant::now()));
        }
    }

    /// Closes the connections that were idle for too long, and those that the server has closed.
    fn sweep(&self) {
        self.connections
            .lock()
            .retain_mut(|(connection, since)| since.elapsed() < MAX_IDLE && connection.is_usable());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, settings};
    use crate::fetch::{FetchSettings, Fetcher, SiteOrigins};

    #[tokio::test]
    async fn a_connection_that_the_server_closed_is_replaced() {
        let server = Server::start(|_| Reply::ok("x").and_close()).await;
        let fetcher = server.fetcher();
        for _ in 0..2 {
            image(&fetcher, &server.url("/a.png")).await.unwrap();
            // Its end comes meanwhile.
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            (server.request_count("/a.png"), server.connections()),
            (2, 2)
        );
    }

    #[tokio::test]
    async fn a_response_that_is_not_read_to_its_end_closes_its_connection() {
        let server = Server::start(|_| Reply::ok(vec![7; 60_000])).await;
        let fetcher = server.fetcher();
        for _ in 0..3 {
            let mut body = fetcher.image(&server.url("/a.png"), None).await.unwrap();
            body.chunk().await.unwrap().unwrap();
        }
        assert_eq!(server.connections(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_past_its_idle_timeout_is_replaced() {
        let server = Server::start(|_| Reply::ok("x")).await;
        let fetcher = server.fetcher();
        for (pause, connections) in [(Duration::ZERO, 1), (MAX_IDLE / 2, 1), (MAX_IDLE, 2)] {
            advance(pause).await;
            image(&fetcher, &server.url("/a.png")).await.unwrap();
            assert_eq!(server.connections(), connections);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_of_other_hosts_are_closed_too() {
        let servers = [
            Server::start(|_| Reply::ok("x")).await,
            Server::start(|_| Reply::ok("x")).await,
        ];
        let [here, there] = servers.each_ref().map(|server| server.url("/a.png"));
        let site = SiteOrigins {
            pages: here.clone(),
            images: there.clone(),
            hosts: Vec::new(),
            named: vec![here, there],
        };
        let fetcher = Fetcher::new(&settings(), &site, None).unwrap();
        for server in &servers {
            image(&fetcher, &server.url("/a.png")).await.unwrap();
        }
        assert_eq!(fetcher.idle_connections(), 2);
        advance(MAX_IDLE).await;
        image(&fetcher, &servers[0].url("/a.png")).await.unwrap();
        assert_eq!(fetcher.idle_connections(), 1);
    }

    #[tokio::test]
    async fn no_more_idle_connections_are_kept_than_there_are_jobs() {
        let server = Server::start(|_| Reply::ok("image").dripping(Duration::from_millis(1))).await;
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
}
