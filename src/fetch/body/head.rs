//! What the headers of a response say about its body.

use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, LOCATION, TRANSFER_ENCODING};
use url::Url;

/// The value of a header if there is one and it is plain text.
pub(crate) fn text_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The size of all headers together, in bytes.
pub(crate) fn head_size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// The length of the body; unknown for a chunked one.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    if is_chunked(headers) {
        return None;
    }
    text_value(headers, &CONTENT_LENGTH)?.trim().parse().ok()
}

/// Whether the body is chunked, so that its last chunk says that it is the last.
pub(super) fn is_chunked(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
}

/// The target of a redirect from `address`; `None` for any other status.
///
/// # Errors
///
/// When the redirect has no usable target: why.
pub(crate) fn redirect_target(
    status: u16,
    headers: &HeaderMap,
    address: &Url,
) -> Result<Option<Url>, &'static str> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = headers.get(LOCATION).ok_or("it has no Location header")?;
    let location = String::from_utf8_lossy(location.as_bytes());
    address
        .join(&location)
        .map(Some)
        .map_err(|_| "its Location is not a valid address")
}
