//! An answer before its body is wanted: what it says, where it sends us, and how it is put away.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, LOCATION, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::fetch::error::FetchError;
use crate::fetch::limits::host::Host;
use crate::fetch::limits::retry::wish;
use crate::fetch::limits::stall::{Lost, StallTimer};
use crate::fetch::transport::response::Response;

/// A refused body up to this long is read to its end, so that its connection can be used again.
const WORTH_READING: u64 = 64 * 1024;

/// How long such a body may take.
const READING: Duration = Duration::from_secs(1);

/// The headers of an answer, its body still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    host: Arc<Host>,
    begun: Instant,
    /// How long the body is waited for.
    pub(crate) patience: StallTimer,
    /// The address that answered: the one asked, or the last that a redirect led to.
    pub(crate) address: Url,
}

impl Answer {
    /// What `host` answered to a request begun at `begun`.
    pub(crate) fn new(
        response: Response,
        host: Arc<Host>,
        begun: Instant,
        patience: StallTimer,
        address: Url,
    ) -> Self {
        Self {
            response,
            host,
            begun,
            patience,
            address,
        }
    }

    /// How errors name the host.
    pub(crate) fn host(&self) -> &str {
        &self.host.name
    }

    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        self.response.status()
    }

    /// All headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header's value, if it is plain text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// How long the body will be; nobody knows where it comes in chunks, or packed.
    pub(crate) fn content_length(&self) -> Option<u64> {
        if self.is_chunked() {
            return None;
        }
        self.header(&CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// Whether the body comes in chunks, the last of which says that it is the last.
    pub(crate) fn is_chunked(&self) -> bool {
        self.headers().contains_key(TRANSFER_ENCODING)
    }

    /// Refuses a body that is still packed here; the coding we asked for was undone on the way.
    pub(crate) fn unpacked(self) -> Result<Self, FetchError> {
        let identity =
            |coding: &&str| !coding.eq_ignore_ascii_case("identity") && !coding.is_empty();
        let codings = self.headers().get_all(CONTENT_ENCODING).into_iter();
        let coding = codings
            .map(|coding| coding.to_str().map_or("?", str::trim))
            .find(identity);
        match coding.map(str::to_owned) {
            Some(coding) => Err(FetchError::Encoded {
                host: self.host().to_owned(),
                coding,
            }),
            None => Ok(self),
        }
    }

    /// Where a redirect leads; `None` for any other answer.
    pub(crate) fn leads_to(&self) -> Result<Option<Url>, FetchError> {
        if !matches!(self.status(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let nowhere = |reason: &str| FetchError::Redirect {
            host: self.host().to_owned(),
            reason: reason.to_owned(),
        };
        let location = self
            .headers()
            .get(LOCATION)
            .ok_or_else(|| nowhere("does not say where to"))?;
        let location = String::from_utf8_lossy(location.as_bytes());
        self.address
            .join(&location)
            .map(Some)
            .map_err(|_| nowhere("what it leads to is no address"))
    }

    /// The next bytes of the body, or what became of them, unless patience ends before.
    pub(crate) async fn chunk(&mut self) -> Result<Result<Option<Bytes>, String>, Lost> {
        self.patience.wait(self.response.chunk()).await
    }

    /// Notes in the host's favour that all went well.
    pub(crate) fn went_well(&self) {
        self.host.pace.went_well();
    }

    /// Notes against the host what went wrong.
    pub(crate) fn went_wrong(&self, error: &FetchError) {
        self.host.pace.went_wrong(self.begun, error);
    }

    /// Turns an answer with the wrong status into the error it is.
    pub(crate) async fn turned_down(self) -> FetchError {
        let retry_after = self
            .header(&RETRY_AFTER)
            .and_then(|text| wish(text, SystemTime::now()));
        let error = FetchError::Status {
            host: self.host().to_owned(),
            status: self.status(),
            retry_after,
        };
        self.went_wrong(&error);
        self.put_away().await;
        error
    }

    /// Lets go of an answer whose body nobody wants, keeping its connection where that is cheap.
    pub(crate) async fn put_away(mut self) {
        if self
            .content_length()
            .is_some_and(|length| length > WORTH_READING)
        {
            return;
        }
        let to_its_end = async {
            let mut left = WORTH_READING;
            while let Ok(Some(chunk)) = self.response.chunk().await {
                let Some(less) = left.checked_sub(chunk.len() as u64) else {
                    return;
                };
                left = less;
            }
        };
        // Whether it came to its end makes no difference but to the connection.
        let _ = timeout(READING, to_its_end).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, line, path_of, settings};
    use crate::fetch::{Again, FetchSettings, Fetcher, Robots, SiteOrigins};

    fn patient() -> FetchSettings {
        FetchSettings {
            retries: 2,
            ..settings()
        }
    }

    async fn redirected(
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> (Server, FetchError) {
        let server = Server::start(script).await;
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        (server, error)
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_is_missing_is_asked_for_once() {
        for status in [400, 401, 403, 404, 410, 416, 451, 204, 206, 304, 999] {
            let server = Server::start(move |_| Reply::new(status, &[], "")).await;
            let error = server
                .fetcher_with(&patient())
                .page(&server.url("/browse/"))
                .await
                .unwrap_err();
            assert_eq!(
                (error.status(), server.asked("/browse/")),
                (Some(status), 1)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_asked_for_again_while_that_may_help_and_no_longer() {
        for status in [500, 502, 503, 504, 429] {
            let server = Server::start(move |_| Reply::new(status, &[], "later")).await;
            let error = server
                .fetcher_with(&patient())
                .page(&server.url("/browse/"))
                .await
                .unwrap_err();
            assert_eq!(
                (error.status(), server.asked("/browse/")),
                (Some(status), 3)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_comes_at_the_last_try_has_come() {
        let tries = std::sync::atomic::AtomicUsize::new(0);
        let script = move |_: &str| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Reply::raw("").and_close(),
            1 => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").and_close(),
            _ => Reply::ok("page"),
        };
        let server = Server::start(script).await;
        let page = server
            .fetcher_with(&patient())
            .page(&server.url("/browse/"))
            .await
            .unwrap();
        assert_eq!(
            (page.text.as_str(), page.asked),
            ("page", server.url("/browse/"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_image_is_asked_for_once_whatever_comes() {
        let server = Server::start(|_| Reply::new(503, &[], "later")).await;
        image(&server.fetcher_with(&patient()), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert_eq!(server.asked("/a.png"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_holds_the_whole_host_for_at_least_that_long() {
        let script = |head: &str| match path_of(head) {
            "/busy.png" => Reply::new(429, &["Retry-After: 7"], ""),
            _ => Reply::ok("x"),
        };
        let server = Server::start(script).await;
        let fetcher = server.fetcher_with(&patient());
        let error = image(&fetcher, &server.url("/busy.png")).await.unwrap_err();
        assert_eq!(error.again(), Again::After(Duration::from_secs(7)));
        let start = Instant::now();
        image(&fetcher, &server.url("/other.png")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_retry_after_ends_it_at_once_and_says_when() {
        let server =
            Server::start(|_| Reply::new(503, &["Retry-After: 100000000000000000000"], "")).await;
        let error = server
            .fetcher_with(&patient())
            .page(&server.url("/"))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("come back in more than ten years"),
            "{error}"
        );
        assert_eq!(server.asked("/"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_junk_or_past_retry_after_leaves_it_to_us() {
        for junk in ["soon", "-1", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            let header = format!("Retry-After: {junk}");
            let server = Server::start(move |_| Reply::new(503, &[&header], "")).await;
            server
                .fetcher_with(&patient())
                .page(&server.url("/"))
                .await
                .unwrap_err();
            assert_eq!(server.asked("/"), 3, "{junk}");
        }
    }

    #[tokio::test]
    async fn a_short_refusal_leaves_its_connection_usable() {
        let script = |head: &str| match path_of(head) {
            "/missing.png" => Reply::new(404, &[], vec![b'x'; 40_000]),
            _ => Reply::ok("x"),
        };
        let server = Server::start(script).await;
        let fetcher = server.fetcher();
        for _ in 0..5 {
            image(&fetcher, &server.url("/missing.png"))
                .await
                .unwrap_err();
            image(&fetcher, &server.url("/a.png")).await.unwrap();
        }
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn what_is_no_http_is_said_to_be_none() {
        for nonsense in [
            "hello, I am an old server\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 2000 OK\r\n\r\n",
        ] {
            let server = Server::start(move |_| Reply::raw(nonsense).and_close()).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(
                matches!(error, FetchError::NotHttp { .. }),
                "{nonsense:?}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn headers_without_end_are_refused() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(50_000));
        let huge = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(2_000_000));
        for headers in [many, huge] {
            let server = Server::start(move |_| Reply::raw(&headers).and_close()).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(matches!(error, FetchError::NotHttp { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_host_that_nobody_listens_at_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::start(|_| Reply::ok("")).await;
        drop(listener);
        let premises = SiteOrigins {
            pages: server.url("/"),
            images: server.url("/"),
            hosts: Vec::new(),
            named: vec![Url::parse(&format!("http://{address}/")).unwrap()],
        };
        let fetcher = Fetcher::new(&settings(), &premises, None).unwrap();
        let error = image(&fetcher, &premises.named[0]).await.unwrap_err();
        assert!(matches!(error, FetchError::Connect { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_is_followed_and_the_page_says_where_it_came_from() {
        let script = |head: &str| match path_of(head) {
            "/browse" => Reply::to("browse/"),
            _ => Reply::ok("page"),
        };
        let server = Server::start(script).await;
        let page = server.fetcher().page(&server.url("/browse")).await.unwrap();
        assert_eq!(
            (page.text.as_str(), page.asked),
            ("page", server.url("/browse/"))
        );
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn ten_redirects_are_followed_and_not_eleven() {
        let script = |head: &str| match path_of(head)[1..].parse::<u32>() {
            Ok(0) => Reply::ok("there"),
            Ok(left) => Reply::to(&format!("/{}", left - 1)),
            Err(_) => Reply::to("/11"),
        };
        let server = Server::start(script).await;
        assert_eq!(
            image(&server.fetcher(), &server.url("/10")).await.unwrap(),
            b"there"
        );
        let error = image(&server.fetcher(), &server.url("/11"))
            .await
            .unwrap_err();
        assert!(error.to_string().ends_with("more than 10 times"), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_in_a_circle_is_seen() {
        let (server, error) = redirected(|_| Reply::to("/a.png")).await;
        assert!(error.to_string().ends_with("in a circle"), "{error}");
        assert_eq!(server.heads().len(), 1);
    }

    #[tokio::test]
    async fn a_redirect_to_nowhere_is_an_error() {
        let (_, error) = redirected(|_| Reply::new(302, &[], "")).await;
        assert!(
            error.to_string().contains("does not say where to"),
            "{error}"
        );
        let (_, error) = redirected(|_| Reply::to("http://[nowhere")).await;
        assert!(error.to_string().contains("no address"), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_that_may_not_be_followed_is_refused() {
        for to in [
            "file:///etc/passwd",
            "data:image/png;base64,AAAA",
            "javascript:alert(1)",
            "http://other.test/a.png",
            "//127.0.0.1:1/a.png",
            "http://10.0.0.1/a.png",
            "http://localhost/a.png",
        ] {
            let (server, error) = redirected(move |_| Reply::to(to)).await;
            assert!(
                matches!(error, FetchError::Redirect { .. }),
                "{to}: {error}"
            );
            assert_eq!(server.heads().len(), 1);
        }
    }

    #[tokio::test]
    async fn the_users_headers_stay_at_the_origin_they_were_meant_for() {
        let other = Server::start(|_| Reply::ok("there")).await;
        let there = other.url("/there.png");
        let server = Server::start(move |head| match path_of(head) {
            "/a.png" => Reply::to("/b.png"),
            "/b.png" => Reply::to(there.as_str()),
            _ => Reply::ok(""),
        });
        let server = server.await;
        let premises = SiteOrigins {
            pages: server.url("/"),
            images: other.url("/"),
            hosts: Vec::new(),
            named: vec![server.url("/"), other.url("/")],
        };
        let headers = vec![("Authorization".to_owned(), "secret".to_owned())];
        let settings = FetchSettings {
            headers,
            robots: Robots::Obey,
            ..settings()
        };
        let fetcher = Fetcher::new(&settings, &premises, None).unwrap();
        assert_eq!(
            image(&fetcher, &server.url("/a.png")).await.unwrap(),
            b"there"
        );
        for path in ["/a.png", "/b.png"] {
            let heads = server.heads();
            let head = heads.iter().find(|head| path_of(head) == path).unwrap();
            assert_eq!(line(head, "authorization"), Some("secret"));
        }
        assert_eq!(other.heads().len(), 2, "robots.txt and the image");
        assert!(
            other
                .heads()
                .iter()
                .all(|head| line(head, "authorization").is_none())
        );
    }
}
