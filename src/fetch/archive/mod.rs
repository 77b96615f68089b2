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
mod index;
mod memento;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use self::index::LATEST;
use self::memento::Found;
use super::access::{Policy, SiteOrigins, host_of};
use super::body::{BodyStream, Page};
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

/// How many captures of one address are tried in a row.
const MAX_CAPTURES: usize = 3;

/// Redirects are followed here and not below: what they mean depends on their headers.
const REDIRECTS: &[u16] = &[301, 302, 303, 307, 308];

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
        FetchError::new(host_of(&self.settings.base), kind)
    }
}
