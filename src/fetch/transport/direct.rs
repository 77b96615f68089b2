//! The direct client: HTTP/1.1 on connections of our own, by way of an HTTP proxy where there is one.
//!
//! Memory is jobs times read buffer, and `reqwest` lets each buffer grow to 400 KB: a run of 50
//! jobs over a fast link took 63 MB, and takes 37 with the bounded buffers of this client.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::http::uri::PathAndQuery;
use hyper::{Response, Uri};
use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use thiserror::Error;
use url::Url;

use super::connection::{Connection, Request};
use super::connector::Connector;
use super::pool::{OriginPool, OriginPools, Route};
use crate::fetch::access::Resolver;
use crate::fetch::settings::FetchSettings;

/// Requests images and pages on connections that it keeps.
pub(super) struct DirectClient {
    connector: Connector,
    pools: OriginPools,
}

/// Why there is no response.
#[derive(Debug, Error)]
pub(super) enum DirectError {
    #[error("no connection")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    #[error("connection broken")]
    Broken(#[from] hyper::Error),
}

/// A response whose body is still to come.
pub(super) struct DirectResponse {
    response: Response<Incoming>,
    /// `None` once the body is complete: the connection is idle again. A response that is dropped
    /// before takes its connection along, for what is left of the body is still on it.
    connection: Option<Connection>,
    pool: Arc<OriginPool>,
}

impl DirectClient {
    /// Nothing is connected or looked up yet. `default_headers` are sent with every request.
    pub(super) fn new(
        settings: &FetchSettings,
        resolver: &Arc<Resolver>,
        tls: ClientConfig,
        default_headers: HeaderMap,
    ) -> Self {
        Self {
            connector: Connector::new(resolver, tls, settings.connect_timeout),
            pools: OriginPools::new(default_headers, settings.connections.max(1)),
        }
    }

    /// The pool for `address`; see [`OriginPools::pool`].
    pub(super) fn pool(
        &self,
        address: &Url,
        route: impl FnOnce(&Uri) -> Route,
    ) -> Option<Arc<OriginPool>> {
        self.pools.pool(address, route)
    }

    /// Requests `path` from the origin of `pool`, with further headers, and returns the headers of
    /// the response.
    ///
    /// Dropped half-way, it drops its connection; no half-used one goes back to the pool.
    pub(super) async fn get(
        &self,
        pool: Arc<OriginPool>,
        path: PathAndQuery,
        headers: HeaderMap,
    ) -> Result<DirectResponse, DirectError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = pool.target(path);
        *request.headers_mut() = pool.default_headers.clone();
        request.headers_mut().extend(headers);
        while let Some(mut connection) = pool.idle.take() {
            match connection.send(request).await {
                Ok(response) => return Ok(DirectResponse::new(response, connection, pool)),
                Err(mut unsent) => match unsent.take_message() {
                    // The server closed the idle connection before any byte of the request was
                    // sent, so trying the next one sends nothing twice. It is not a retry and does
                    // not count as one.
                    Some(unsent) => request = unsent,
                    None => return Err(unsent.into_error().into()),
                },
            }
        }
        // Boxed: hardly any image opens a connection, and unboxed every worker would hold the room
        // for it all the time (with the other boxes on the way of a request: 18 KB a worker became
        // 6).
        let mut connection = Box::pin(self.connect(&pool)).await?;
        let response = connection
            .send(request)
            .await
            .map_err(TrySendError::into_error)?;
        Ok(DirectResponse::new(response, connection, pool))
    }

    async fn connect(&self, pool: &OriginPool) -> Result<Connection, DirectError> {
        let stream = self
            .connector
            .connect(&pool.origin, pool.proxy.as_ref())
            .await
            .map_err(DirectError::Connect)?;
        Ok(Connection::open(stream).await?)
    }

    #[cfg(test)]
    pub(crate) fn idle_connections(&self) -> usize {
        self.pools.idle_connections()
    }
}

impl fmt::Debug for DirectClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectClient").finish_non_exhaustive()
    }
}

impl DirectResponse {
    fn new(response: Response<Incoming>, connection: Connection, pool: Arc<OriginPool>) -> Self {
        Self {
            response,
            connection: Some(connection),
            pool,
        }
    }

    /// Its status and headers.
    pub(super) fn head(&self) -> &Response<Incoming> {
        &self.response
    }

    /// The next bytes of the body; `None` at its end, where the connection becomes idle.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection broke or ended too early.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(connection) = &mut self.connection {
            match connection.frame(self.response.body_mut()).await {
                // Trailers are skipped: they say nothing that we use.
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.pool.idle.put(connection);
                    }
                }
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for DirectResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirectResponse")
            .field(&self.response)
            .finish()
    }
}
