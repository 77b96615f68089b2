//! What `check`, `record` and `new` share: one image by its bytes, and one walk over the listing.

use url::Url;

use crate::app::blocking::blocking;
use crate::fetch::{FetchError, Fetcher, RawPage};
use crate::job::{Candidate, Declared, FollowRule, Resolved};
use crate::outcome::{Content, SkipReason};
use crate::site::{self, PageText};
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

/// Why a candidate brought no image.
pub(super) struct LoadFailure {
    /// Its number among the image's candidates, from 0: itself, or the page that led to it.
    pub(super) candidate: usize,
    pub(super) url: Url,
    pub(super) reason: String,
}

/// Fetches and verifies the image at `url`, and compares it with what its listing declares; nothing is stored.
///
/// # Errors
///
/// When it cannot be fetched, is not a complete image, or not the declared one: a text that names the reason.
pub(super) async fn load_image(
    fetcher: &Fetcher,
    url: &Url,
    declared: Option<&Declared>,
    limits: Limits,
) -> Result<LoadedImage, String> {
    let text = |error: FetchError| error.to_string();
    let mut body = fetcher.image(url, None).await.map_err(text)?;
    let mut bytes = Vec::new();
    loop {
        let is_head = bytes.len() < HEAD_BYTES;
        let more = body.show(|more| bytes.extend_from_slice(more)).await;
        if more.map_err(text)?.is_none() {
            break;
        }
        if is_head && bytes.len() >= HEAD_BYTES && !verify::is_image(&bytes) {
            return Err("not an image".to_owned());
        }
    }
    let length = body.length().unwrap_or(bytes.len() as u64);
    let declared = declared.cloned();
    let (bytes, content) = blocking(move || {
        let content = verify::verify_bytes(&bytes, length, limits, declared.as_ref());
        (bytes, content)
    })
    .await;
    let content = content.map_err(|defect| defect.to_string())?;
    body.accept_end();
    Ok(LoadedImage {
        url: url.clone(),
        bytes,
        content,
    })
}

/// Pages that may lead from one to the next, and addresses that are requested for one image, as in a run.
pub(super) const MAX_HOPS: usize = 3;
const MAX_CANDIDATES: usize = 20;

/// What a page that leads to an original shows.
///
/// # Errors
///
/// When it cannot be read, or shows none.
pub(super) fn follow_page(rule: &FollowRule, raw: &RawPage) -> Result<Vec<Candidate>, SkipReason> {
    let page = raw.decoded();
    let text = PageText {
        text: &page.text,
        encoding: page.encoding,
        is_xml: page.is_xml,
    };
    site::follow(rule, &page.url, text)
}

/// Fetches the original of an image: the first of its candidates that is one. Pages that lead there are read, and kept in
/// `details` as they came.
///
/// # Errors
///
/// When none is: why, for each.
pub(super) async fn load_original(
    fetcher: &Fetcher,
    resolved: &Resolved,
    limits: Limits,
    details: &mut Vec<(Url, RawPage)>,
) -> Result<LoadedImage, Vec<LoadFailure>> {
    let mut failures = Vec::new();
    let declared = resolved.declared.as_deref();
    // The next one is the last; each with its number, or that of the page that led to it, and the number of such pages.
    let candidates = resolved.candidates.iter().cloned().enumerate().rev();
    let mut left: Vec<_> = candidates
        .map(|(number, candidate)| (number, candidate, 0))
        .collect();
    for _ in 0..MAX_CANDIDATES {
        let Some((number, candidate, hops)) = left.pop() else {
            break;
        };
        let reason = match &candidate {
            Candidate::Direct(url) => match load_image(fetcher, url, declared, limits).await {
                Ok(image) => return Ok(image),
                Err(reason) => reason,
            },
            Candidate::Follow(follow) if hops < MAX_HOPS => {
                match fetcher.raw_page(&follow.page).await {
                    Ok(raw) => {
                        details.push((follow.page.clone(), raw.clone()));
                        let (rule, at) = (follow.rule.clone(), raw.url.clone());
                        match blocking(move || follow_page(&rule, &raw)).await {
                            Ok(mut found) => {
                                fetcher.canonicalize_candidates(&at, &mut found);
                                let found = found.into_iter().rev();
                                left.extend(found.map(|candidate| (number, candidate, hops + 1)));
                                continue;
                            }
                            Err(why) => why.to_string(),
                        }
                    }
                    Err(error) => error.to_string(),
                }
            }
            Candidate::Follow(_) => "too many pages lead one to the next".to_owned(),
        };
        failures.push(LoadFailure {
            candidate: number,
            url: candidate.url().clone(),
            reason,
        });
    }
    Err(failures)
}
