//! What `check`, `record` and `new` share: one image by its bytes, and one walk over the listing.

use url::Url;

use crate::fetch::{FetchError, Fetcher};
use crate::job::Resolved;
use crate::outcome::Content;
use crate::units::ByteSize;
use crate::verify::{self, Limits};

/// Bytes after which something that is no image is not read on.
const HEAD_BYTES: usize = 64 * 1024;

/// An image that was fetched into memory and verified.
pub(super) struct LoadedImage {
    pub(super) url: Url,
    pub(super) bytes: Vec<u8>,
    pub(super) content: Content,
}

impl LoadedImage {
    /// `1920x1080 png, 1.2 MB`.
    pub(super) fn facts(&self) -> String {
        let Content {
            format,
            width,
            height,
            bytes,
            ..
        } = &self.content;
        format!("{width}x{height} {format}, {}", ByteSize(*bytes))
    }
}

/// Fetches and verifies the image at `url`; nothing is stored.
///
/// # Errors
///
/// When it cannot be fetched, or is not a complete image: a text that names the reason.
pub(super) async fn load_image(
    fetcher: &Fetcher,
    url: &Url,
    limits: Limits,
) -> Result<LoadedImage, String> {
    let text = |error: FetchError| error.to_string();
    let mut body = fetcher.image(url, None).await.map_err(text)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await.map_err(text)? {
        let is_head = bytes.len() < HEAD_BYTES;
        bytes.extend_from_slice(&chunk);
        if is_head && bytes.len() >= HEAD_BYTES && !verify::is_image(&bytes) {
            return Err("not an image".to_owned());
        }
    }
    let length = body.length().unwrap_or(bytes.len() as u64);
    let content = verify::verify_file(&bytes[..], length, limits)
        .map_err(|error| error.to_string())?
        .map_err(|defect| defect.to_string())?;
    body.accept_end();
    Ok(LoadedImage {
        url: url.clone(),
        bytes,
        content,
    })
}

/// Fetches the original of an image: the first of its candidates that is one.
///
/// # Errors
///
/// When none is: why, for each.
pub(super) async fn load_original(
    fetcher: &Fetcher,
    resolved: &Resolved,
    limits: Limits,
) -> Result<LoadedImage, Vec<(Url, String)>> {
    let mut reasons = Vec::new();
    for candidate in &resolved.candidates {
        match load_image(fetcher, candidate.url(), limits).await {
            Ok(image) => return Ok(image),
            Err(reason) => reasons.push((candidate.url().clone(), reason)),
        }
    }
    Err(reasons)
}
