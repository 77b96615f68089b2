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
use super::access::{Policy, SiteOrigins, SiteRules, Subject, host_of};
use super::body::{BodyStream, Page, RawPage};
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
        let mut requester = Requester::new(
            Policy::new(&origins, None)?,
            &own,
            SiteRules::default(),
            &base,
        )?;
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
        site.check(address, Subject::Image, true)?;
        self.check_secrets(site, address)?;
        let turn = self.turn().await;
        let found = self.find(site, RequestKind::Image, address).await?;
        let (response, archived) = found.into_parts(&self.rejected, turn);
        self.requester.image_of(response, archived)
    }

    /// Reads the page that `site` had at `address`, as it was sent and as text.
    pub(super) async fn page(
        &self,
        site: &Requester,
        address: &Url,
    ) -> Result<(RawPage, Page), FetchError> {
        site.check(address, Subject::Page, false)?;
        self.check_secrets(site, address)?;
        let mut left = MAX_CAPTURES;
        loop {
            let turn = self.turn().await;
            let found = self.find(site, RequestKind::Page, address).await?;
            let (response, archived) = found.into_parts(&self.rejected, turn);
            left -= 1;
            match self
                .requester
                .both_of(response, Some(archived), false)
                .await
            {
                // It is among the rejected ones now, and the next is found.
                Err(error)
                    if left > 0 && matches!(error.kind(), FetchErrorKind::NotAsArchived { .. }) => {
                }
                result => return result,
            }
        }
    }

    /// Refuses an address with a secret of the site in it, which is not the archive's business.
    fn check_secrets(&self, site: &Requester, address: &Url) -> Result<(), FetchError> {
        if site.is_secret(address) {
            let reason = "its address holds a secret, which the archive does not get".to_owned();
            return Err(self.absent(reason));
        }
        Ok(())
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
                // That one capture is refused hides no other, and is not forgotten for one that is not there.
                Err(error) if is_refusal(&error) => last = error,
                Err(error) if error.is_not_archived() => {
                    if !is_refusal(&last) {
                        last = error;
                    }
                }
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
            return response.into_status_error(false, &[]).await;
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

    /// An answer that is not what was asked for, counted against the archive as any host's refusal is.
    async fn refused(&self, response: HostResponse, reason: String) -> FetchError {
        let error = response.error(FetchErrorKind::ArchiveRefused { reason });
        response.record_failure(&error);
        response.drain().await;
        error
    }

    fn refusal(&self, reason: String) -> FetchError {
        self.error(FetchErrorKind::ArchiveRefused { reason })
    }

    fn absent(&self, reason: String) -> FetchError {
        self.error(FetchErrorKind::NotArchived { reason })
    }

    fn error(&self, kind: FetchErrorKind) -> FetchError {
        FetchError::new(host_of(&self.settings.base), kind)
    }
}

/// Whether the archive answered with something else than what it was asked for.
fn is_refusal(error: &FetchError) -> bool {
    matches!(error.kind(), FetchErrorKind::ArchiveRefused { .. })
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE32_NOPAD;
    use jiff::{SignedDuration, Timestamp};
    use sha1::{Digest as _, Sha1};
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::fetch::scripted::{Reply, Server, header, path_of, settings};
    use crate::fetch::{Body, Fetcher, Robots, WantedCaptures};

    const PICTURE: &str = "picture";

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn address() -> Url {
        url("http://gallery.test/a.png")
    }

    fn archive_at(base: Url, mode: ArchiveMode, period: Option<(&str, &str)>) -> FetchSettings {
        let time = |text| Capture::parse_date(text).unwrap();
        FetchSettings {
            headers: vec![("Authorization".to_owned(), "secret".to_owned())],
            archive: Some(ArchiveSettings {
                mode,
                wanted: WantedCaptures {
                    period: period.map(|(first, last)| (time(first), time(last))),
                    window: SignedDuration::from_hours(365 * 24),
                },
                base,
                is_own: true,
            }),
            ..settings()
        }
    }

    fn fetcher_with(settings: &FetchSettings) -> Fetcher {
        let site = SiteOrigins {
            pages: url("http://gallery.test/"),
            images: url("http://gallery.test/"),
            hosts: vec!["cdn.test".to_owned()],
            named: Vec::new(),
        };
        Fetcher::new(settings, &site, None).unwrap()
    }

    fn fetcher(server: &Server) -> Fetcher {
        fetcher_with(&archive_at(server.url("/"), ArchiveMode::Only, None))
    }

    fn digest(bytes: &str) -> String {
        BASE32_NOPAD.encode(&Sha1::digest(bytes))
    }

    fn row(at: &str, status: &str, bytes: &str) -> String {
        let digest = digest(bytes);
        format!(
            "test,gallery)/a.png {at} http://gallery.test:80/a.png image/png {status} {digest} 99\n"
        )
    }

    /// A capture of this time with these bytes and further headers.
    fn capture(at: &str, status: u16, headers: &[&str], body: &str) -> Reply {
        let at = Capture::parse_date(at).unwrap();
        let date = at
            .strftime("Memento-Datetime: %a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        Reply::new(status, &[headers, &[&date]].concat(), body)
    }

    fn is_index(head: &str) -> bool {
        path_of(head).starts_with("/cdx/search/cdx?")
    }

    async fn bytes(mut body: Body) -> Result<Vec<u8>, FetchError> {
        body.collect_to_close(usize::MAX).await
    }

    async fn image(fetcher: &Fetcher) -> Result<Vec<u8>, FetchError> {
        bytes(fetcher.image(&address(), None).await?).await
    }

    /// An archive whose index has one capture, which answers like this.
    async fn with_one(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Server {
        Server::start(move |head| {
            if is_index(head) {
                Reply::ok(row("20190504010203", "200", PICTURE))
            } else {
                script(head)
            }
        })
        .await
    }

    #[tokio::test]
    async fn an_archived_image_has_the_date_of_its_capture_and_no_header_of_the_site() {
        let server = with_one(|_| capture("20190504010203", 200, &[], PICTURE)).await;
        let body = fetcher(&server).image(&address(), None).await.unwrap();
        let captured = body.capture().unwrap().clone();
        assert_eq!(captured.at.to_string(), "2019-05-04T01:02:03Z");
        let path = "/web/20190504010203id_/http://gallery.test/a.png";
        assert_eq!(captured.address, server.url(path));
        assert_eq!(bytes(body).await.unwrap(), PICTURE.as_bytes());
        let heads = server.heads();
        assert_eq!(path_of(&heads[1]), path);
        let query = "/cdx/search/cdx?url=http%3A%2F%2Fgallery.test%2Fa.png&limit=-1000&resolveRevisits=true";
        assert_eq!(path_of(&heads[0]), query);
        assert!(
            heads
                .iter()
                .all(|head| header(head, "authorization").is_none())
        );
    }

    #[tokio::test]
    async fn only_what_has_a_memento_datetime_is_a_capture() {
        for (reply, says) in [
            (Reply::new(404, &[], "none"), "no capture"),
            (
                capture("20190504010203", 404, &[], ""),
                "its capture of 2019-05-04 is an answer 404",
            ),
            (capture("20190504010203", 503, &[], ""), "is an answer 503"),
        ] {
            let server = with_one(move |_| reply.clone()).await;
            let error = image(&fetcher(&server)).await.unwrap_err();
            assert!(
                error.is_not_archived() && error.to_string().contains(says),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn an_archive_that_refuses_a_capture_says_nothing_of_what_it_has() {
        for (reply, says) in [
            (Reply::ok("<html>blocked"), "a page of its own"),
            (Reply::new(403, &[], "blocked"), "a page of its own"),
            (
                Reply::to("https://archive.test/login"),
                "redirects out of the archive",
            ),
        ] {
            let server = with_one(move |_| reply.clone()).await;
            let error = image(&fetcher(&server)).await.unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(is_refusal(&error) && !error.is_absence() && !error.is_gone());
        }
    }

    #[tokio::test]
    async fn an_index_that_refuses_is_no_index_without_captures() {
        for (reply, says) in [
            (Reply::new(403, &[], "Forbidden"), "answered 403"),
            (Reply::new(404, &[], "Not here"), "answered 404"),
            (
                Reply::new(403, &["X-Archive-Wayback-Runtime-Error: busy"], ""),
                "answered 403",
            ),
            (Reply::to("https://archive.test/login"), "answered 302"),
            (Reply::ok("<html>Please log in</html>"), "with a page"),
        ] {
            let server = Server::start(move |_| reply.clone()).await;
            let error = image(&fetcher(&server)).await.unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(is_refusal(&error) && error.status().is_none());
        }
    }

    #[tokio::test]
    async fn an_empty_or_closed_index_has_no_capture() {
        let closed = ["X-Archive-Wayback-Runtime-Error: AccessControlException: Blocked Site"];
        for (reply, says) in [
            (Reply::ok(""), "no capture"),
            (
                Reply::new(403, &closed, "Blocked"),
                "does not show captures of this site",
            ),
            (
                Reply::ok(row("20190504010203", "404", "")),
                "the site answered 404",
            ),
        ] {
            let server = Server::start(move |_| reply.clone()).await;
            let error = image(&fetcher(&server)).await.unwrap_err();
            assert!(
                error.is_not_archived() && error.to_string().contains(says),
                "{error}"
            );
            assert_eq!(server.heads().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_archived_429_pauses_nobody_and_the_archives_own_waits_a_minute() {
        let server = with_one(|_| capture("20190504010203", 429, &["Retry-After: 50"], "")).await;
        let (start, fetcher) = (Instant::now(), fetcher(&server));
        for _ in 0..3 {
            assert!(image(&fetcher).await.unwrap_err().is_not_archived());
        }
        assert_eq!(start.elapsed().as_secs(), 0);

        for (headers, seconds) in [(&[][..], 60), (&["Retry-After: 7"], 7)] {
            let asked = std::sync::atomic::AtomicUsize::new(0);
            let server =
                with_one(
                    move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                        0 => Reply::new(429, headers, ""),
                        _ => capture("20190504010203", 200, &[], PICTURE),
                    },
                );
            let server = server.await;
            let settings = FetchSettings {
                retries: 1,
                ..archive_at(server.url("/"), ArchiveMode::Only, None)
            };
            let start = Instant::now();
            assert!(image(&fetcher_with(&settings)).await.is_ok());
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test]
    async fn the_archive_may_lead_to_the_nearest_capture_within_the_window() {
        for (near, is_taken) in [("20190804010203", true), ("20210804010203", false)] {
            let server = with_one(move |head| {
                if path_of(head).contains("20190504010203") {
                    Reply::to(&format!("/web/{near}id_/http://gallery.test/a.png"))
                } else {
                    capture(near, 200, &[], PICTURE)
                }
            });
            let server = server.await;
            match fetcher(&server).image(&address(), None).await {
                Ok(body) => {
                    assert!(is_taken);
                    assert_eq!(Capture::digits(body.capture().unwrap().at), near);
                }
                Err(error) => {
                    assert!(
                        !is_taken && error.to_string().contains("--archive-window"),
                        "{error}"
                    );
                    assert_eq!(server.heads().len(), 2, "it is not even asked for");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_redirect_that_the_site_made_is_followed_to_hosts_of_the_site_alone() {
        for (to, is_allowed) in [
            ("http://cdn.test/b.png", true),
            ("http://other.test/b.png", false),
        ] {
            let server = with_one(move |head| {
                if path_of(head).ends_with("/a.png") {
                    let location = format!("Location: /web/20190504010203id_/{to}");
                    capture("20190504010203", 301, &[&location], "")
                } else {
                    capture("20190504010209", 200, &[], "another")
                }
            });
            let server = server.await;
            match image(&fetcher(&server)).await {
                Ok(bytes) => assert!(is_allowed && bytes == b"another"),
                Err(error) => assert!(
                    !is_allowed && error.to_string().contains("not allowed"),
                    "{error}"
                ),
            }
        }
        let looping = with_one(|head| {
            let location = format!("Location: {}", path_of(head));
            capture("20190504010203", 302, &[&location], "")
        });
        let error = image(&fetcher(&looping.await)).await.unwrap_err();
        assert!(
            error.to_string().contains("more than 10 redirects"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn bytes_of_another_length_or_digest_are_refused_and_the_next_capture_is_taken() {
        for (headers, body, says) in [
            (
                &["X-Archive-Orig-Content-Length: 9"][..],
                PICTURE,
                "has 7 bytes, and the site sent 9",
            ),
            (
                &[],
                "pickled",
                "does not have the SHA-1 digest of the index",
            ),
        ] {
            let server = Server::start(move |head| match path_of(head) {
                path if path.contains("20190504010203") => {
                    capture("20190504010203", 200, headers, body)
                }
                path if path.contains("/web/") => capture("20180504010203", 200, &[], PICTURE),
                _ => Reply::ok(
                    row("20190504010203", "200", PICTURE) + &row("20180504010203", "200", PICTURE),
                ),
            });
            let server = server.await;
            let fetcher = fetcher(&server);
            let error = image(&fetcher).await.unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(image(&fetcher).await.unwrap(), PICTURE.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_length_or_digest_of_what_was_packed_or_chunked_is_not_compared() {
        for headers in [
            &[
                "X-Archive-Orig-Content-Length: 9",
                "X-Archive-Orig-Content-Encoding: gzip",
            ][..],
            &[
                "X-Archive-Orig-Content-Length: 9",
                "X-Archive-Orig-Transfer-Encoding: chunked",
            ],
            &["X-Archive-Orig-Content-Length: -1"],
        ] {
            let server = with_one(move |_| capture("20190504010203", 200, headers, PICTURE)).await;
            assert_eq!(image(&fetcher(&server)).await.unwrap(), PICTURE.as_bytes());
        }
    }

    #[tokio::test]
    async fn an_index_of_several_pages_is_read_to_its_end_within_the_window_of_the_date() {
        let key = "test%2Cgallery%29%2Fa.png+20190504010204";
        let server = Server::start(move |head| match path_of(head) {
            path if path.contains("/web/") => capture("20190601000000", 200, &[], PICTURE),
            path if path.contains("resumeKey=") => Reply::ok(row("20190601000000", "200", PICTURE)),
            _ => Reply::ok(row("20180504010203", "200", PICTURE) + "\n" + key + "\n"),
        });
        let server = server.await;
        let period = Some(("20190601000000", "20190601235959"));
        let settings = archive_at(server.url("/"), ArchiveMode::Only, period);
        assert!(image(&fetcher_with(&settings)).await.is_ok());
        let heads = server.heads();
        assert_eq!(heads.len(), 3);
        let next = "&resumeKey=test%252Cgallery%2529%252Fa.png%2B20190504010204";
        assert!(path_of(&heads[1]).ends_with(next), "{}", heads[1]);
        assert!(
            path_of(&heads[0]).contains("&from=20180601000000&to=20200531235959&"),
            "{}",
            heads[0]
        );
    }

    #[tokio::test]
    async fn a_page_of_a_dead_site_keeps_its_own_address() {
        let server = Server::start(|head| match path_of(head) {
            path if path.contains("/web/") => {
                let html = ["Content-Type: text/html; charset=gbk"];
                capture("20190504010203", 200, &html, "<p>page</html>")
            }
            path if path.contains("browse%2F2") => {
                let row = row("20190504010203", "404", "");
                Reply::ok(row.replace("/a.png image", "/browse/2 image"))
            }
            _ => Reply::ok(
                row("20190504010203", "200", "<p>page</html>")
                    .replace("/a.png image", "/browse image"),
            ),
        });
        let server = server.await;
        let fetcher = fetcher(&server);
        fetcher.load_robots(&address()).await;
        let page = fetcher
            .page(&url("http://gallery.test/browse"))
            .await
            .unwrap();
        assert_eq!(
            (page.url.as_str(), &*page.text),
            ("http://gallery.test/browse", "<p>page</html>")
        );
        assert_eq!(page.encoding.name(), "GBK");
        let error = fetcher
            .page(&url("http://gallery.test/browse/2"))
            .await
            .unwrap_err();
        assert_eq!(error.status(), Some(404), "so the listing ended there");
    }

    #[tokio::test]
    async fn the_robots_txt_of_the_archive_is_obeyed() {
        let server = Server::start(|head| match path_of(head) {
            "/robots.txt" => Reply::ok("User-agent: *\nDisallow: /web/"),
            _ => Reply::ok(row("20190504010203", "200", PICTURE)),
        });
        let server = server.await;
        let settings = FetchSettings {
            robots: Robots::Obey,
            ..archive_at(server.url("/"), ArchiveMode::Only, None)
        };
        let error = image(&fetcher_with(&settings)).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::RobotsDisallowed { .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_archive_gets_one_request_at_a_time() {
        let server = with_one(|_| capture("20190504010203", 200, &[], PICTURE)).await;
        let fetcher = fetcher(&server);
        let first = fetcher.image(&address(), None).await.unwrap();
        let wait = Duration::from_millis(100);
        assert!(timeout(wait, image(&fetcher)).await.is_err());
        assert_eq!(server.heads().len(), 2);
        drop(first);
        assert!(image(&fetcher).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn web_archive_org_gets_24_index_requests_and_480_captures_a_minute() {
        let settings = archive_at(url("https://web.archive.org/"), ArchiveMode::Only, None);
        let archive = settings.archive.as_ref().unwrap();
        let anywhere = Url::parse("https://direct.invalid/").unwrap();
        let rules = SiteRules::default();
        let site = Requester::new(Policy::anywhere(), &settings, rules, &anywhere).unwrap();
        let archive = Archive::new(archive, &settings, &site).unwrap();
        for (rate, requests) in [(&archive.index_rate, 24), (&archive.capture_rate, 480)] {
            let start = Instant::now();
            for _ in 0..=requests {
                rate.acquire().await.unwrap();
            }
            assert_eq!(start.elapsed().as_secs(), 60);
        }
    }

    #[tokio::test]
    async fn a_fallback_asks_the_site_first_and_the_archive_by_an_address_of_its_own() {
        let server = Server::start(|head| match path_of(head) {
            path if path.starts_with("/web/") => capture("20190504010203", 200, &[], PICTURE),
            path if path.starts_with("/cdx/") => Reply::ok(
                row("20190504010203", "200", PICTURE).replace("gallery.test:80", "127.0.0.1"),
            ),
            _ => Reply::new(404, &[], ""),
        });
        let server = server.await;
        let settings = archive_at(server.url("/"), ArchiveMode::Fallback, None);
        let fetcher = server.fetcher_with(&settings);
        let error = fetcher
            .image(&server.url("/a.png"), None)
            .await
            .unwrap_err();
        assert!(error.is_gone() && error.is_loss());
        let mut here = server.url("/a.png");
        here.set_port(None).unwrap();
        let archived = fetcher.archived_url(&here).unwrap();
        // The address without a port is not one that this site may ask for.
        let error = fetcher.image(&archived, None).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::Refused { .. }),
            "{error}"
        );
        assert_eq!(server.fetcher().archived_url(&here), None);
        assert!(Timestamp::now() < LATEST);
    }
}
