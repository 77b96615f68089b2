//! A walk over a listing, page by page, for those who keep the pages.

use std::sync::Arc;

use jiff::civil::Date;
use url::Url;

use super::items::{TriedPage, failure_text, try_page};
use crate::app::blocking::blocking;
use crate::fetch::{Fetcher, RawPage};
use crate::site::{NextPage, PageAnswer, PageContent, Pager, Pages, Site, StatusMeaning, Step};

/// Days without a page that are passed over, one after another.
const MAX_HOLES: usize = 40;

/// A walk over a site's listing.
pub(super) struct Walk {
    site: Arc<Site>,
    fetcher: Arc<Fetcher>,
    pager: Pager,
    is_over: bool,
}

/// A page that was read.
pub(super) struct WalkedPage {
    /// Its canonical address.
    pub(super) url: Url,
    pub(super) raw: RawPage,
    /// What the definition makes of it, or why it does not fit; safe to print.
    pub(super) tried: Result<TriedPage, String>,
    /// Whether it shows images, and not links to further listings, or nothing.
    pub(super) has_items: bool,
}

impl Walk {
    pub(super) fn new(site: &Arc<Site>, fetcher: &Arc<Fetcher>, today: Date) -> Self {
        Self {
            site: Arc::clone(site),
            fetcher: Arc::clone(fetcher),
            pager: site.pager(Pages::default(), today),
            is_over: false,
        }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    ///
    /// When it cannot be fetched: its address, and why.
    pub(super) async fn next(&mut self) -> Result<Option<WalkedPage>, (Url, String)> {
        for _ in 0..MAX_HOLES {
            if self.is_over {
                break;
            }
            let NextPage::Request(request) = self.pager.next_page() else {
                break;
            };
            let raw = match self.fetcher.raw_page(&request.url).await {
                Ok(raw) => raw,
                Err(error) => {
                    let meaning = error
                        .status()
                        .map(|status| self.pager.refused(&request, status));
                    match meaning {
                        Some(StatusMeaning::Hole) => continue,
                        Some(StatusMeaning::End(_)) if !request.is_first => break,
                        Some(StatusMeaning::End(_) | StatusMeaning::Error) | None => {
                            return Err((request.url, error.to_string()));
                        }
                    }
                }
            };
            let (site, fetcher) = (Arc::clone(&self.site), Arc::clone(&self.fetcher));
            let is_first = request.is_first;
            // Beside the runtime, so that a signal ends the command while a large page is read.
            let (raw, read) = blocking(move || {
                let page = raw.decoded();
                let read = try_page(&site, &page, is_first, fetcher.masks(), |images| {
                    fetcher.canonicalize(images);
                });
                let read = read.map(|mut tried| {
                    let canonical = |url| site.canonical(fetcher.canonical_page(&page.url, url));
                    tried.listing.next.canonicalize(canonical);
                    tried
                });
                (raw, read)
            })
            .await;
            let read = read.and_then(|tried| {
                let content = self.pager.read(&self.site, &request, &tried.listing)?;
                Ok((content, tried))
            });
            let (tried, has_items) = match read {
                Ok((content, tried)) => {
                    let answer = match content {
                        PageContent::Items => PageAnswer::Items {
                            new: tried.items.len(),
                            repeated: 0,
                        },
                        PageContent::Links { new, repeated } => PageAnswer::Items { new, repeated },
                        PageContent::Empty => PageAnswer::Empty,
                    };
                    self.is_over = !matches!(self.pager.answered(&request, answer), Step::GoesOn);
                    (Ok(tried), content == PageContent::Items)
                }
                Err(failure) => {
                    self.is_over = true;
                    (Err(failure_text(&failure)), false)
                }
            };
            return Ok(Some(WalkedPage {
                url: request.url,
                raw,
                tried,
                has_items,
            }));
        }
        Ok(None)
    }
}
