//! The web archive (the Wayback Machine, or another with its interface) as a second source.
//!
//! ```text
//! address -> index (CDX) -> captures, best first -> web/TIMESTAMPid_/ADDRESS -> redirects -> Body
//! ```
//!
//! The captures are asked for in the form `id_`, the bytes as the site sent them: in the other forms the archive
//! rewrites pages, but not the addresses in `data-src`. The rules are those of recorded exchanges with
//! web.archive.org: only what has a `Memento-Datetime` (RFC 7089) is a capture, and then its status is the site's
//! of that time and says nothing of the archive.

mod cdx;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use self::cdx::{Digest, Row};
use super::access::{MAX_REDIRECTS, Policy, SiteOrigins};
use super::body::{ArchivedBody, BodyStream, Page, text_value};
use super::error::{FetchError, FetchErrorKind, SettingError};
use super::hops::Question;
use super::limits::{HostRate, Retry};
use super::request::Requester;
use super::settings::{ArchiveMode, ArchiveSettings, FetchSettings};
use super::transport::{ClientResponse, HostResponse, RequestKind};
use crate::outcome::Capture;

/// The archive that has limits of its own. Its hard limits are 30 requests to the index and 600 captures a minute
/// (release notes of the Python library `wayback`); clients are asked to stay at four fifths of them.
const INTERNET_ARCHIVE: &str = "web.archive.org";
const INDEX_INTERVAL: Duration = Duration::from_millis(60_000 / 24);
const CAPTURE_INTERVAL: Duration = Duration::from_millis(60_000 / 480);

/// How long the archive is left alone after a 429 that does not say.
const OWN_LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// Rows of the index that are requested at a time, and how often at most for one address.
const ROWS: usize = 1000;
const MAX_INDEX_PAGES: usize = 10;

/// The longest answer of the index that is read, in bytes: [`ROWS`] with long addresses.
const MAX_INDEX_BYTES: u64 = 4_000_000;

/// How many captures of one address are tried in a row.
const MAX_CAPTURES: usize = 3;

/// Redirects are followed here and not below: what they mean depends on their headers.
const REDIRECTS: &[u16] = &[301, 302, 303, 307, 308];

const MEMENTO_DATETIME: HeaderName = HeaderName::from_static("memento-datetime");
const ORIGINAL_LENGTH: HeaderName = HeaderName::from_static("x-archive-orig-content-length");
const ORIGINAL_CODING: HeaderName = HeaderName::from_static("x-archive-orig-content-encoding");
const ORIGINAL_FRAMING: HeaderName = HeaderName::from_static("x-archive-orig-transfer-encoding");
const ERROR: HeaderName = HeaderName::from_static("x-archive-wayback-runtime-error");

/// The archive, for the sites of one fetcher.
#[derive(Debug)]
pub(super) struct Archive {
    /// Apart from the site's, so that no header or cookie meant for the site is sent to the archive.
    requester: Requester,
    settings: ArchiveSettings,
    index_rate: HostRate,
    capture_rate: HostRate,
    /// One request at a time, its body included.
    turns: Arc<Semaphore>,
    /// Captures whose bytes turned out to be wrong, by address.
    rejected: Arc<Mutex<HashSet<String>>>,
}

/// A capture that the archive answers with; its body is not read yet.
struct Found {
    /// With the original's address in place of the archive's.
    response: HostResponse,
    capture: Capture,
    length: Option<u64>,
    digest: Option<Digest>,
}

impl Archive {
    /// Nothing is requested yet.
    pub(super) fn new(
        settings: &ArchiveSettings,
        fetch: &FetchSettings,
        site: &Requester,
    ) -> Result<Self, SettingError> {
        let base = settings.base.clone();
        if !matches!(base.scheme(), "http" | "https") {
            return Err(SettingError {
                setting: format!("the web archive's address `{base}`"),
                reason: "its scheme is neither http nor https".to_owned(),
            });
        }
        let origins = SiteOrigins {
            pages: base.clone(),
            images: base.clone(),
            hosts: Vec::new(),
            named: Vec::from_iter(settings.is_own.then(|| base.clone())),
        };
        let own = FetchSettings {
            headers: Vec::new(),
            cookies: None,
            archive: None,
            ..fetch.clone()
        };
        let mut requester = Requester::new(Policy::new(&origins, None)?, &own)?;
        requester.share_throttle(site);
        let is_internet_archive = base.host_str() == Some(INTERNET_ARCHIVE);
        let rate = |interval| {
            let interval = if is_internet_archive {
                interval
            } else {
                Duration::ZERO
            };
            HostRate::new(interval, Retry::new(0, Duration::ZERO))
        };
        Ok(Self {
            requester,
            settings: settings.clone(),
            index_rate: rate(INDEX_INTERVAL),
            capture_rate: rate(CAPTURE_INTERVAL),
            turns: Arc::new(Semaphore::new(1)),
            rejected: Arc::default(),
        })
    }

    pub(super) fn requester(&self) -> &Requester {
        &self.requester
    }

    /// Whether nothing but the archive is asked.
    pub(super) fn is_alone(&self) -> bool {
        self.settings.mode == ArchiveMode::Only
    }

    /// The address by which a fetcher is asked for what the archive has of `address`.
    pub(super) fn request_url(&self, address: &Url) -> Url {
        let at = self.settings.wanted.period.map_or(LATEST, |(_, last)| last);
        Capture::new(&self.settings.base, at, address).address
    }

    /// The address in the one of a capture.
    pub(super) fn original(&self, address: &Url) -> Option<Url> {
        Capture::parse(&self.settings.base, address).map(|(_, original)| original)
    }

    /// Requests the image that `site` had at `address`.
    pub(super) async fn image(
        &self,
        site: &Requester,
        address: &Url,
    ) -> Result<BodyStream<ClientResponse>, FetchError> {
        site.check(address, true)?;
        let turn = self.turn().await;
        let found = self.find(site, RequestKind::Image, address).await?;
        let (response, archived) = found.into_parts(&self.rejected, turn);
        self.requester.image_of(response, archived)
    }

    /// Reads the page that `site` had at `address`.
    pub(super) async fn page(&self, site: &Requester, address: &Url) -> Result<Page, FetchError> {
        site.check(address, false)?;
        let mut left = MAX_CAPTURES;
        loop {
            let turn = self.turn().await;
            let found = self.find(site, RequestKind::Page, address).await?;
            let (response, archived) = found.into_parts(&self.rejected, turn);
            left -= 1;
            match self.requester.page_of(response, Some(archived)).await {
                // It is among the rejected ones now, and the next is found.
                Err(error)
                    if left > 0 && matches!(error.kind(), FetchErrorKind::NotAsArchived { .. }) => {
                }
                result => return result,
            }
        }
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        let turns = Arc::clone(&self.turns);
        turns.acquire_owned().await.expect("it is never closed")
    }

    /// Finds the capture of `address` that is nearest to what is wanted and is one.
    async fn find(
        &self,
        site: &Requester,
        kind: RequestKind,
        address: &Url,
    ) -> Result<Found, FetchError> {
        let rows = self.rows(address).await?;
        let is_image = kind == RequestKind::Image;
        let mut captures = cdx::select(&rows, address, &self.settings.wanted, is_image);
        if captures.is_empty() {
            return Err(match cdx::was_missing(&rows, address) {
                // The listing had ended there: the archive has seen it.
                Some(status) if !is_image => self.error(FetchErrorKind::Status {
                    status,
                    retry_after: None,
                }),
                Some(status) => {
                    self.absent(format!("the site answered {status} when it was captured"))
                }
                None => self.absent(self.nothing()),
            });
        }
        captures.retain(|row| {
            let capture = Capture::new(&self.settings.base, row.at, &row.original);
            !self.rejected.lock().contains(capture.address.as_str())
        });
        let mut last = self.absent("the bytes of its captures are wrong".to_owned());
        for row in captures.into_iter().take(MAX_CAPTURES) {
            let found = self
                .requester
                .retry(|| self.follow(site, kind, &row, &rows))
                .await;
            match found {
                Err(error) if error.is_not_archived() => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// The rows of the index for `address`.
    async fn rows(&self, address: &Url) -> Result<Vec<Row>, FetchError> {
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

    async fn index_page(&self, query: &Url) -> Result<cdx::Rows, FetchError> {
        let response = self
            .request(RequestKind::Page, query, &self.index_rate)
            .await?;
        if response.is_whole() {
            let mut body = self.requester.text_body(response, MAX_INDEX_BYTES).await?;
            let text = body.collect_to_close(usize::MAX).await?;
            if let Some(cut) = body.reject_end() {
                return Err(cut);
            }
            return Ok(cdx::parse(&String::from_utf8_lossy(&text)));
        }
        match response.status() {
            // The owner of a site can have its captures closed.
            403 | 404 | 451 => {
                let reason = match text_value(response.headers(), &ERROR) {
                    Some(_) => "the archive does not show captures of this site".to_owned(),
                    None => format!("its index answered {}", response.status()),
                };
                response.record_success();
                response.drain().await;
                Err(self.absent(reason))
            }
            _ => Err(self.trouble(response).await),
        }
    }

    /// Requests a capture and follows the archive's redirects, and those that the site made then.
    async fn follow(
        &self,
        site: &Requester,
        kind: RequestKind,
        row: &Row,
        rows: &[Row],
    ) -> Result<Found, FetchError> {
        let (mut at, mut original) = (row.at, row.original.clone());
        for _ in 0..=MAX_REDIRECTS {
            let address = Capture::new(&self.settings.base, at, &original).address;
            let mut response = self.request(kind, &address, &self.capture_rate).await?;
            let captured = captured(response.headers());
            let target = response.redirect_target().ok().flatten();
            if target.is_some() || REDIRECTS.contains(&response.status()) {
                response.record_success();
                response.drain().await;
                let target = target.and_then(|url| Capture::parse(&self.settings.base, &url));
                let (next_at, next) = target
                    .ok_or_else(|| self.absent("it redirects out of the archive".to_owned()))?;
                if captured.is_none() && !cdx::is_same(&next, &original) {
                    return Err(self.absent("it answered with another address".to_owned()));
                }
                // The site's own redirect: the hosts are those that may be asked of the site.
                site.check(&next, false)
                    .map_err(|error| self.absent(error.to_string()))?;
                self.check_window(next_at, row.at)?;
                (at, original) = (next_at, next);
                continue;
            }
            let Some(captured) = captured else {
                return Err(self.no_capture(response).await);
            };
            self.check_window(captured, row.at)?;
            if !response.is_whole() {
                let status = response.status();
                // Not the archive's status: a 429 or 503 of that day pauses nobody today.
                response.record_success();
                response.drain().await;
                let at = captured.strftime("%F");
                return Err(self.absent(format!("its capture of {at} is an answer {status}")));
            }
            let (length, is_packed) = original_length(response.headers());
            // The index has the hash of what the site sent, which was packed then and is unpacked on its way: what
            // of a packed body the archive sends as it was is not known.
            let digest = cdx::digest_of(rows, captured, &original).filter(|_| !is_packed);
            let capture = Capture::new(&self.settings.base, captured, &original);
            response.address = original;
            return Ok(Found {
                response,
                capture,
                length,
                digest,
            });
        }
        Err(self.absent(format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn request(
        &self,
        kind: RequestKind,
        address: &Url,
        rate: &HostRate,
    ) -> Result<HostResponse, FetchError> {
        // Only the pace: failures are counted with the host's own rate.
        let _ = rate.acquire().await;
        let question = Question {
            end_statuses: REDIRECTS,
            ..Question::new(kind)
        };
        self.requester.request(question, address.clone()).await
    }

    /// An answer without the date of a capture.
    async fn no_capture(&self, response: HostResponse) -> FetchError {
        let reason = match response.status() {
            404 => self.nothing(),
            // A page of the archive's own, such as the one for a site that is closed.
            200..300 | 403 | 451 => "the archive answered with a page of its own".to_owned(),
            _ => return self.trouble(response).await,
        };
        response.record_success();
        response.drain().await;
        self.absent(reason)
    }

    /// An answer that is about the archive and not about the address.
    async fn trouble(&self, response: HostResponse) -> FetchError {
        if response.status() != 429 {
            return response.into_status_error(false).await;
        }
        let error = response.error(FetchErrorKind::Status {
            status: 429,
            retry_after: Some(response.retry_after().unwrap_or(OWN_LIMIT_PAUSE)),
        });
        response.record_failure(&error);
        response.drain().await;
        error
    }

    fn check_window(&self, at: Timestamp, asked: Timestamp) -> Result<(), FetchError> {
        if self.settings.wanted.is_near(at, asked) {
            return Ok(());
        }
        let at = at.strftime("%F");
        let reason = format!("its capture of {at} is too far from the date; see --archive-window");
        Err(self.absent(reason))
    }

    /// What is said where there is nothing.
    fn nothing(&self) -> String {
        match self.settings.wanted.period {
            Some(_) => {
                "no capture near the date; see --archive-date and --archive-window".to_owned()
            }
            None => "no capture".to_owned(),
        }
    }

    fn absent(&self, reason: String) -> FetchError {
        self.error(FetchErrorKind::NotArchived { reason })
    }

    fn error(&self, kind: FetchErrorKind) -> FetchError {
        FetchError::new(super::access::host_of(&self.settings.base), kind)
    }
}

impl Found {
    fn into_parts(
        self,
        rejected: &Arc<Mutex<HashSet<String>>>,
        turn: OwnedSemaphorePermit,
    ) -> (HostResponse, Box<ArchivedBody>) {
        let archived = ArchivedBody::new(
            self.capture,
            self.length,
            self.digest,
            Arc::clone(rejected),
            turn,
        );
        (self.response, Box::new(archived))
    }
}

/// The first and the last time that 14 digits can say.
const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);
const LATEST: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// When the bytes of a response were captured, if it is a capture.
fn captured(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text_value(headers, &MEMENTO_DATETIME)?).ok()?;
    Timestamp::try_from(date).ok()
}

/// The length that the site announced, where it is that of the bytes as the archive sends them, and whether the site
/// had packed them.
fn original_length(headers: &HeaderMap) -> (Option<u64>, bool) {
    let is_packed = text_value(headers, &ORIGINAL_CODING)
        .is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity"));
    // A length beside chunks means nothing (RFC 9112, 6.3). The archive writes -1 where there was none.
    let is_meant = !is_packed && !headers.contains_key(ORIGINAL_FRAMING);
    let length = text_value(headers, &ORIGINAL_LENGTH)
        .filter(|_| is_meant)
        .and_then(|length| length.trim().parse().ok());
    (length, is_packed)
}
