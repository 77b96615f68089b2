//! What a client answered, whichever client it was.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use reqwest::header::HeaderMap;

use super::cause;

/// The headers of an answer, its body still to come.
#[derive(Debug)]
pub(super) enum Response {
    /// Of the client that knows proxies, packed bodies and HTTP/2.
    Any(reqwest::Response),
    /// Of the straight way.
    Direct(hyper::Response<Incoming>),
}

impl Response {
    /// The status code.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Any(response) => response.status().as_u16(),
            Self::Direct(response) => response.status().as_u16(),
        }
    }

    /// All headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Any(response) => response.headers(),
            Self::Direct(response) => response.headers(),
        }
    }

    /// How many bytes its headers have.
    pub(super) fn head(&self) -> usize {
        self.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
    }

    /// The next bytes of the body; `None` at its end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The last words of a connection that broke.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Any(response) => response.chunk().await.map_err(|error| cause::of_body(&error)),
            Self::Direct(response) => loop {
                match response.body_mut().frame().await {
                    // Trailers say nothing that we asked for.
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                    Some(Err(error)) => return Err(cause::of_body(&error)),
                    None => return Ok(None),
                }
            },
        }
    }
}
