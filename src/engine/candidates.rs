//! The addresses that may have an image's original. A page among the candidates is read when its turn comes, and what
//! it leads to is tried in its place.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use url::Url;

use super::attempt::AttemptErrorKind;
use super::{Run, joined};
use crate::fetch::{Fetcher, Page};
use crate::job::{Candidate, Follow};
use crate::outcome::{Failure, SkipReason};
use crate::site::{self, PageText};

/// The most pages that lead one to the next: what a definition may nest.
const MAX_HOPS: usize = 3;

/// The most addresses that are requested for one image, pages among them: no page may send us all over its site.
const MAX_CANDIDATES: usize = 20;

/// A walk over an image's candidates, in the order in which they stand in its job and on its pages.
///
/// That order never changes, not even where the second candidate of all images before this one was theirs: the first
/// candidate is the better image where a site has both, and a run must not depend on what an earlier image met. The
/// price is a request an image, once.
pub(super) struct Candidates {
    fetcher: Arc<Fetcher>,
    /// The next one is the last; each with the number of pages that led to it.
    left: Vec<(Candidate, usize)>,
    /// Every address that had its turn.
    tried: Vec<Url>,
    /// Whether a page that cannot be read now is requested again here, and not in another attempt at the image.
    retries_pages: bool,
}

impl Candidates {
    pub(super) fn new(fetcher: &Arc<Fetcher>, candidates: &[Candidate]) -> Self {
        Self {
            fetcher: Arc::clone(fetcher),
            left: candidates
                .iter()
                .rev()
                .cloned()
                .map(|found| (found, 0))
                .collect(),
            tried: Vec::new(),
            retries_pages: false,
        }
    }

    /// Whether another candidate follows the one that was returned last.
    pub(super) fn has_next(&self) -> bool {
        self.tried.len() < MAX_CANDIDATES
            && self
                .left
                .iter()
                .any(|(candidate, _)| !self.tried.contains(candidate.url()))
    }

    /// The next address that may have the original, or a page that led to none: which, and why. `None` after the last.
    pub(super) async fn next(&mut self) -> Option<Result<Url, (Url, AttemptErrorKind)>> {
        while self.tried.len() < MAX_CANDIDATES {
            let (candidate, hops) = self.left.pop()?;
            if self.tried.contains(candidate.url()) {
                continue;
            }
            self.tried.push(candidate.url().clone());
            let follow = match candidate {
                Candidate::Direct(address) => return Some(Ok(address)),
                Candidate::Follow(follow) => follow,
            };
            // Boxed: most images need no page, and every worker would hold the room for one.
            let found = match Box::pin(self.read(&follow, hops)).await {
                Ok(found) => found,
                Err(kind) => return Some(Err((follow.page, kind))),
            };
            let found = found.into_iter().rev().map(|found| (found, hops + 1));
            self.left.extend(found);
        }
        None
    }

    /// Reads a page, and returns the candidates on it: at least one that was not tried before.
    async fn read(&self, follow: &Follow, hops: usize) -> Result<Vec<Candidate>, AttemptErrorKind> {
        if hops == MAX_HOPS {
            let why = format!("{MAX_HOPS} pages led to it, and no more are followed");
            return Err(AttemptErrorKind::NotFollowed(why));
        }
        let page = if self.retries_pages {
            self.fetcher.page(&follow.page).await?
        } else {
            self.fetcher
                .candidate_page(&follow.page, self.has_next())
                .await?
        };
        let mut found = candidates_on(page, follow).await?;
        self.fetcher.canonicalize_candidates(&mut found);
        found.retain(|candidate| !self.tried.contains(candidate.url()));
        if found.is_empty() {
            return Err(AttemptErrorKind::NoOriginal(None));
        }
        Ok(found)
    }
}

/// Looks for candidates on a page, on a thread for blocking work: a page may be so large that every other image would
/// have to wait for it.
async fn candidates_on(page: Page, follow: &Follow) -> Result<Vec<Candidate>, AttemptErrorKind> {
    let rule = follow.rule.clone();
    let reading = spawn_blocking(move || {
        let text = PageText {
            text: &page.text,
            encoding: page.encoding,
            is_xml: page.is_xml,
        };
        site::follow(&rule, &page.url, text)
    });
    joined(reading.await).map_err(|why| match why {
        SkipReason::NoRule => AttemptErrorKind::NoOriginal(None),
        SkipReason::Address(_) | SkipReason::DryRun => AttemptErrorKind::NoOriginal(Some(why)),
    })
}

/// The address of an image's original, as far as it can be told without requesting that: its first candidate, or the
/// first that a page leads to. `None` where there is no candidate at all.
///
/// # Errors
///
/// When no page leads to one.
pub async fn first_original(run: &Run, candidates: &[Candidate]) -> Result<Option<Url>, Failure> {
    let mut candidates = Candidates {
        retries_pages: true,
        ..Candidates::new(&run.fetcher, candidates)
    };
    let mut failure = None;
    while let Some(next) = candidates.next().await {
        match next {
            Ok(address) => return Ok(Some(address)),
            Err((page, kind)) => failure = Some(kind.into_failure(run.shown(&page), 1)),
        }
    }
    failure.map_or(Ok(None), Err)
}
