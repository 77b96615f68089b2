//! The response of one of the clients, its body still to come.

use std::mem;

use bytes::Bytes;
use reqwest::Version;
use reqwest::header::HeaderMap;
use tokio::task::yield_now;

use super::classify::body_error;
use super::direct::DirectResponse;
use crate::fetch::body::{BodySource, BrokenBody};

/// The response of one of the clients.
#[derive(Debug)]
pub struct ClientResponse(Inner);

#[derive(Debug)]
enum Inner {
    /// From the client that can do proxies, decompression and HTTP/2.
    /// With the bytes that were waited for.
    Reqwest(reqwest::Response, Bytes),
    Direct(DirectResponse),
}

impl From<reqwest::Response> for ClientResponse {
    fn from(response: reqwest::Response) -> Self {
        Self(Inner::Reqwest(response, Bytes::new()))
    }
}

impl From<DirectResponse> for ClientResponse {
    fn from(response: DirectResponse) -> Self {
        Self(Inner::Direct(response))
    }
}

impl ClientResponse {
    pub(super) fn status(&self) -> u16 {
        match &self.0 {
            Inner::Reqwest(response, _) => response.status().as_u16(),
            Inner::Direct(response) => response.status(),
        }
    }
}

impl BodySource for ClientResponse {
    fn headers(&self) -> &HeaderMap {
        match &self.0 {
            Inner::Reqwest(response, _) => response.headers(),
            Inner::Direct(response) => response.headers(),
        }
    }

    async fn fill(&mut self) -> Result<bool, BrokenBody> {
        match &mut self.0 {
            Inner::Reqwest(response, data) => {
                let version = response.version();
                // Boxed: HTTP/2 is the exception, and every worker would hold the room for it.
                let chunk = Box::pin(response.chunk())
                    .await
                    .map_err(|error| body_error(&error, version))?;
                if chunk.is_none() {
                    // reqwest's connection is a separate task, which puts itself back into the
                    // pool only when it runs next. Without this yield the next request would come
                    // first and open another connection.
                    yield_now().await;
                }
                let is_there = chunk.is_some();
                *data = chunk.unwrap_or_default();
                Ok(is_there)
            }
            Inner::Direct(response) => response
                .fill()
                .await
                .map_err(|error| body_error(&error, Version::HTTP_11)),
        }
    }

    fn show<R>(&mut self, see: impl FnOnce(&[u8]) -> R) -> R {
        match &mut self.0 {
            Inner::Reqwest(_, data) => see(&mem::take(data)),
            Inner::Direct(response) => response.show(see),
        }
    }
}
