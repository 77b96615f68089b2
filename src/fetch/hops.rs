//! The way of one question through its redirects: what is asked, where it was asked, and the cookies
//! that were set on the way.

use std::time::SystemTime;

use reqwest::header::HeaderValue;
use url::Url;

use super::access::{HopCookies, MAX_REDIRECTS, Subject, same_origin};
use super::body::RangeRequest;
use super::transport::RequestKind;

/// What is asked in one question, over all its redirects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) kind: RequestKind,
    pub(super) range: Option<RangeRequest<'a>>,
    /// The canonical address of the page that shows the image.
    pub(super) page: Option<&'a Url>,
    /// Statuses of redirects that are not followed, but are the answer.
    pub(super) end_statuses: &'a [u16],
}

impl Question<'_> {
    pub(super) fn new(kind: RequestKind) -> Self {
        Self {
            kind,
            range: None,
            page: None,
            end_statuses: &[],
        }
    }

    /// What is requested, for the policy and the definition. A robots.txt may be on the host of an image.
    pub(super) fn subject(&self) -> Subject {
        match self.kind {
            RequestKind::Page => Subject::Page,
            RequestKind::Image | RequestKind::Robots => Subject::Image,
        }
    }
}

/// The way so far.
#[derive(Debug, Default)]
pub(super) struct Hops {
    /// The addresses that were asked, each with the cookies of earlier ones that went along: only the
    /// same cookies make the same request.
    visited: Vec<(Url, Vec<u8>)>,
    cookies: HopCookies,
}

impl Hops {
    /// Whether `address` has the origin that was asked first.
    pub(super) fn are_at_first_origin(&self, address: &Url) -> bool {
        self.visited
            .first()
            .is_none_or(|(first, _)| same_origin(first, address))
    }

    /// The cookies that were set so far.
    pub(super) fn cookies(&self) -> &HopCookies {
        &self.cookies
    }

    /// Goes from `address` on to `next`, with what the redirect sets.
    ///
    /// # Errors
    ///
    /// When the way leads in a circle, or is too long: what to say of it.
    pub(super) fn add<'a>(
        &mut self,
        address: &Url,
        next: &Url,
        set_cookies: impl Iterator<Item = &'a HeaderValue>,
    ) -> Result<(), String> {
        let sent = self.cookies.text(address);
        self.visited.push((address.clone(), sent));
        self.cookies.store(address, set_cookies, SystemTime::now());
        let to_send = self.cookies.text(next);
        let is_known = |(address, sent): &(Url, Vec<u8>)| address == next && *sent == to_send;
        let objection = if self.visited.iter().any(is_known) {
            "redirect loop".to_owned()
        } else if self.visited.len() > MAX_REDIRECTS {
            format!("more than {MAX_REDIRECTS} redirects")
        } else {
            return Ok(());
        };
        if !self.cookies.any_set {
            return Err(objection);
        }
        Err(format!(
            "{objection}, which sets cookies: the page may want one that only a browser gets; pass it with \
             `--cookies FILE`"
        ))
    }
}
