//! A walk over a listing, page by page, for those who keep the pages.

use jiff::civil::Date;
use url::Url;

use super::items::{TriedPage, failure_text, try_page};
use crate::fetch::{Fetcher, RawPage};
use crate::site::{NextPage, PageAnswer, PageContent, Pager, Pages, Site, StatusMeaning, Step};

/// Days without a page that are passed over, one after another.
const MAX_HOLES: usize = 40;

/// A walk over a site's listing.
pub(super) struct Walk<'a> {
    site: &'a Site,
    fetcher: &'a Fetcher,
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

impl<'a> Walk<'a> {
    pub(super) fn new(site: &'a Site, fetcher: &'a Fetcher, today: Date) -> Self {
        Self {
            site,
            fetcher,
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
            let page = raw.decoded();
            let (site, fetcher) = (self.site, self.fetcher);
            let read = try_page(site, &page, request.is_first, fetcher.masks(), |images| {
                fetcher.canonicalize(images);
            });
            let read = read.and_then(|mut tried| {
                let next = &mut tried.listing.next;
                next.canonicalize(|url| site.canonical(fetcher.canonical_page(&page.url, url)));
                let content = self.pager.read(site, &request, &tried.listing)?;
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
