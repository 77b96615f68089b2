//! What bodies are read from.

use reqwest::header::HeaderMap;

/// Where the bytes of a body come from: a response, whichever client it belongs to.
///
/// A type parameter and not a `dyn`: a boxed future for each piece would be an allocation for each
/// piece.
pub trait BodySource {
    /// The headers of the response.
    fn headers(&self) -> &HeaderMap;

    /// Waits for the next bytes; false at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection breaks or ends too early: why.
    fn fill(&mut self) -> impl Future<Output = Result<bool, BrokenBody>> + Send;

    /// Shows the bytes that were waited for, once. They are copied nowhere.
    fn show<R>(&mut self, see: impl FnOnce(&[u8]) -> R) -> R;
}

/// How a body ended too early.
#[derive(Debug)]
pub struct BrokenBody {
    /// In the network crates' words.
    pub reason: String,
    /// Whether the server closed the connection, as opposed to breaking it or sending nonsense.
    pub is_closed: bool,
}
