//! What a client answered, whichever client it was.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::task::yield_now;

use crate::fetch::transport::classify as cause;
use crate::fetch::transport::direct::Incomplete;

/// The headers of an answer, its body still to come.
#[derive(Debug)]
pub(crate) enum Response {
    /// Of the client that knows proxies, packed bodies and HTTP/2.
    Any(reqwest::Response),
    /// Of the straight way.
    Direct(Incomplete),
}

impl Response {
    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Any(response) => response.status().as_u16(),
            Self::Direct(response) => response.head().status().as_u16(),
        }
    }

    /// All headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Any(response) => response.headers(),
            Self::Direct(response) => response.head().headers(),
        }
    }

    /// How many bytes its headers have.
    pub(crate) fn head(&self) -> usize {
        self.headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum()
    }

    /// The next bytes of the body; `None` at its end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The last words of a connection that broke.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Any(response) => {
                let chunk = response
                    .chunk()
                    .await
                    .map_err(|error| cause::of_body(&error))?;
                if chunk.is_none() {
                    // Lets the connection go back to its pool before the next request looks there for one.
                    yield_now().await;
                }
                Ok(chunk)
            }
            Self::Direct(response) => response
                .chunk()
                .await
                .map_err(|error| cause::of_body(&error)),
        }
    }
}
