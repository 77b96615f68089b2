//! What bodies are read from.

use bytes::Bytes;
use reqwest::header::HeaderMap;

/// Where the bytes of a body come from: a response, whichever client it belongs to.
///
/// A type parameter and not a `dyn`: a boxed future for each chunk would be an allocation for each
/// chunk.
pub trait BodySource {
    /// The headers of the response.
    fn headers(&self) -> &HeaderMap;

    /// The next bytes; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection breaks or ends too early: why.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, BrokenBody>> + Send;
}

/// How a body ended too early.
#[derive(Debug)]
pub struct BrokenBody {
    /// In the network crates' words.
    pub reason: String,
    /// Whether the server closed the connection, as opposed to breaking it or sending nonsense.
    pub is_closed: bool,
}
