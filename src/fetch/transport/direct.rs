//! The direct client: HTTP/1.1 on connections of our own, by way of an HTTP proxy where there is one.
//!
//! `reqwest` has a read buffer for each connection and lets it grow to 400 KB: a run of 50 jobs over a fast link took 63 MB.
//! Here a thread has a buffer or two.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use thiserror::Error;
use url::Url;

use super::connection::{Connection, Response, SendError};
use super::connector::Connector;
use super::pool::{OriginPool, OriginPools, RequestParts, Route};
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
    #[error(transparent)]
    Broken(#[from] SendError),
}

/// A response whose body is still to come.
pub(super) struct DirectResponse {
    response: Response,
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
        let request = RequestParts {
            pool: &pool,
            path,
            headers,
        };
        loop {
            let (mut connection, is_new) = if let Some(idle) = pool.idle.take() {
                (idle, false)
            } else {
                // Boxed: hardly any image opens a connection, and unboxed every worker would hold the room for it all the
                // time (with the other boxes on the way of a request: 18 KB a worker became 6).
                let new = Box::pin(self.connect(&pool)).await?;
                // One that became idle meanwhile is warmer: the first pages of a listing return several at once.
                match pool.idle.take() {
                    Some(idle) => {
                        pool.idle.put_unused(new);
                        (idle, false)
                    }
                    None => (new, true),
                }
            };
            match connection.send(&request).await {
                Ok(response) => return Ok(DirectResponse::new(response, connection, pool)),
                // The server had closed it. It is not a retry and does not count as one.
                Err(SendError::Unsent(_)) if !is_new => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn connect(&self, pool: &OriginPool) -> Result<Connection, DirectError> {
        let stream = self
            .connector
            .connect(&pool.origin, pool.proxy.as_ref())
            .await
            .map_err(DirectError::Connect)?;
        Ok(Connection::new(stream))
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
    fn new(response: Response, connection: Connection, pool: Arc<OriginPool>) -> Self {
        Self {
            response,
            connection: Some(connection),
            pool,
        }
    }

    pub(super) fn status(&self) -> u16 {
        match &self.response {
            Response::Fast(..) => 200,
            Response::Hyper(response, _) => response.status().as_u16(),
        }
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        match &self.response {
            Response::Fast(head, _) => &head.headers,
            Response::Hyper(response, _) => response.headers(),
        }
    }

    /// Waits for the next bytes of the body; false at its end, where the connection becomes idle. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection broke or ended too early.
    pub(super) async fn fill(&mut self) -> Result<bool, SendError> {
        let Some(connection) = &mut self.connection else {
            return Ok(false);
        };
        let is_there = connection.fill(&mut self.response).await?;
        if !is_there
            && let Some(connection) = self.connection.take()
            && self.response.leaves_connection_usable()
        {
            self.pool.idle.put(connection);
        }
        Ok(is_there)
    }

    /// Shows the bytes that were waited for.
    pub(super) fn show<R>(&mut self, see: impl FnOnce(&[u8]) -> R) -> R {
        self.response.show(see)
    }
}

impl fmt::Debug for DirectResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DirectResponse");
        shown
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
