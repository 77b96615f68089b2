//! Requests to the archive's index: which captures of an address there are.

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName};
use url::Url;

use super::Archive;
use super::cdx::{self, Row, Rows};
use crate::fetch::body::{Accepted, text_value};
use crate::fetch::error::FetchError;
use crate::fetch::transport::RequestKind;
use crate::outcome::Capture;

/// Rows of the index that are requested at a time, and how often at most for one address.
const ROWS: usize = 1000;
const MAX_INDEX_PAGES: usize = 10;

/// The longest answer of the index that is read, in bytes: [`ROWS`] with long addresses.
const MAX_INDEX_BYTES: u64 = 4_000_000;

/// Where the index says why it has no answer.
const ERROR: HeaderName = HeaderName::from_static("x-archive-wayback-runtime-error");

/// The first and the last time that 14 digits can say.
const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);
pub(super) const LATEST: Timestamp = Timestamp::constant(253_402_207_200, 0);

impl Archive {
    /// The rows of the index for `address`.
    pub(super) async fn rows(&self, address: &Url) -> Result<Vec<Row>, FetchError> {
        let mut rows = Vec::new();
        let mut key = None;
        for _ in 0..MAX_INDEX_PAGES {
            let query = self.query(address, key.as_deref());
            let page = self.requester.retry(|| self.index_page(&query)).await?;
            cdx::add(&mut rows, page.rows);
            key = page.next;
            if key.is_none() {
                break;
            }
        }
        Ok(rows)
    }

    fn query(&self, address: &Url, key: Option<&str>) -> Url {
        let mut query = self.settings.base.clone();
        let folder = query.path().trim_end_matches('/').to_owned();
        query.set_path(&format!("{folder}/cdx/search/cdx"));
        let mut plain = address.clone();
        plain.set_fragment(None);
        // Both are refused only where there is no host.
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
        let mut pairs = query.query_pairs_mut();
        pairs.append_pair("url", plain.as_str());
        match self.settings.wanted.period {
            Some((first, last)) => {
                let window = self.settings.wanted.window;
                let from = first.checked_sub(window).unwrap_or(EARLIEST).max(EARLIEST);
                let to = last.checked_add(window).unwrap_or(LATEST).min(LATEST);
                pairs.append_pair("limit", &ROWS.to_string());
                pairs.append_pair("from", &Capture::digits(from));
                pairs.append_pair("to", &Capture::digits(to));
                pairs.append_pair("showResumeKey", "true");
            }
            // The last rows, and the index says nothing of more.
            None => {
                pairs.append_pair("limit", &format!("-{ROWS}"));
            }
        }
        pairs.append_pair("resolveRevisits", "true");
        if let Some(key) = key {
            pairs.append_pair("resumeKey", key);
        }
        drop(pairs);
        query
    }

    async fn index_page(&self, query: &Url) -> Result<Rows, FetchError> {
        let response = self
            .request(RequestKind::Page, query, &self.index_rate)
            .await?;
        if response.is_whole() {
            let mut body = self
                .requester
                .text_body(response, Accepted::Packed, MAX_INDEX_BYTES, false)
                .await?;
            let text = body.collect_to_close(usize::MAX).await?;
            if let Some(cut) = body.reject_end() {
                return Err(cut);
            }
            let text = String::from_utf8_lossy(&text);
            if !cdx::is_index(&text) {
                return Err(self.refusal("its index answered with a page".to_owned()));
            }
            return Ok(cdx::parse(&text));
        }
        let status = response.status();
        match status {
            // The owner of a site can have its captures closed.
            403 | 404 | 451 if is_closed(response.headers()) => {
                response.record_success();
                response.drain().await;
                Err(self.absent("the archive does not show captures of this site".to_owned()))
            }
            300..=499 if !matches!(status, 408 | 429) => Err(self
                .refused(response, format!("its index answered {status}"))
                .await),
            _ => Err(self.trouble(response).await),
        }
    }
}

/// Whether the archive says that it does not show a site, and not that it does not talk to us.
fn is_closed(headers: &HeaderMap) -> bool {
    text_value(headers, &ERROR).is_some_and(|error| error.contains("AccessControlException"))
}
