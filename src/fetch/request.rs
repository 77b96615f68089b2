//! One request, from the policy to the body: policy, robots.txt, the host's rate, the HTTP
//! exchange, redirects, retries.

mod pages;
mod robots;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use tokio::time::sleep;
use url::Url;

use super::access::{CookieFile, Policy, SiteRules, Subject};
use super::body::{Accepted, ArchivedBody, BodySource as _, BodyStream, RangeRequest, head_size};
use super::error::{FetchError, FetchErrorKind, SettingError};
use super::hops::{Hops, Question};
use super::limits::{Exchange, Host, Hosts, Intervals, Retry, StallTimer, Throttle, exhausted_for};
use super::settings::FetchSettings;
use super::transport::{
    ClientResponse, Clients, HostResponse, MAX_HEAD_BYTES, RequestKind, parse_headers,
};
use crate::event::{Events, Warning, WeakEvents};
use crate::site::ErrorAction;

/// Makes the requests of a run, to addresses as they are sent: what a mirror changes is changed
/// already.
#[derive(Debug)]
pub(super) struct Requester {
    clients: Clients,
    policy: Policy,
    hosts: Hosts,
    retry: Retry,
    headers: HeaderMap,
    /// What the site's definition says.
    rules: SiteRules,
    /// The error after which nothing more is requested, as the definition has it.
    stopped: OnceLock<FetchError>,
    cookies: CookieFile,
    /// Locked for each run, and for the one event of a host.
    events: Mutex<Option<WeakEvents>>,
    throttle: Option<Arc<Throttle>>,
    settings: FetchSettings,
}

impl Requester {
    /// Nothing is requested yet. `pages` is an address on the host of the site's pages.
    pub(super) fn new(
        policy: Policy,
        settings: &FetchSettings,
        rules: SiteRules,
        pages: &Url,
    ) -> Result<Self, SettingError> {
        let retry = Retry::new(settings.retries, settings.retry_wait);
        let policy = policy.with_hosts(&rules).with_proxies(&settings.proxies);
        // The slower of the two, and a robots.txt may ask for more.
        let intervals = Intervals {
            pages: settings.wait.max(rules.interval(Subject::Page)),
            others: settings.wait.max(rules.interval(Subject::Image)),
        };
        Ok(Self {
            clients: Clients::new(settings, &policy)?,
            policy,
            hosts: Hosts::new(intervals, pages, retry),
            retry,
            headers: parse_headers(&settings.headers)?,
            rules,
            stopped: OnceLock::new(),
            cookies: settings.cookies.as_ref().map_or_else(
                || Ok(CookieFile::default()),
                |file| CookieFile::read(file, SystemTime::now()),
            )?,
            events: Mutex::default(),
            throttle: settings
                .limit_rate
                .map(|rate| Arc::new(Throttle::new(rate))),
            settings: settings.clone(),
        })
    }

    /// Where events go from now on; the first is what is wrong with the cookie file.
    pub(super) async fn report_to(&self, events: &Events) {
        *self.events.lock() = Some(events.downgrade());
        let file = self.settings.cookies.as_ref();
        if let (Some(source), Some(skipped)) = (file, self.cookies.skipped()) {
            let warning = Warning::SkippedCookies {
                path: source.path().display().to_string(),
                lines: skipped.lines,
                first_line: skipped.first,
                cause: skipped.fault.to_string(),
            };
            events.warn(warning).await;
        }
    }

    /// Remembers an error after which nothing more is requested; whether it is the first.
    fn note_stop(&self, error: &FetchError) -> bool {
        let stops = matches!(error.known_error(), Some((ErrorAction::Stop, _)));
        stops && self.stopped.set(error.clone()).is_ok()
    }

    /// Allows the origin of an address from now on, where the user gives the addresses.
    pub(super) fn allow(&self, address: &Url) {
        self.policy.add_user_origin(address);
    }

    /// The body of a response that brings what was requested, or why it does not.
    pub(super) async fn text_body(
        &self,
        response: HostResponse,
        accepted: Accepted,
        limit: u64,
        has_next: bool,
    ) -> Result<BodyStream<ClientResponse>, FetchError> {
        if response.is_whole() {
            response.into_body(accepted, limit, self.throttle.clone())
        } else {
            // What the definition says of errors is not about the host's robots.txt.
            let rules = match accepted {
                Accepted::PackedOrText => &[],
                Accepted::Packed | Accepted::Identity => self.rules.errors(),
            };
            Err(Box::pin(response.into_status_error(has_next, rules)).await)
        }
    }

    /// Requests an image, or the rest of one, once; `page` shows it. Where the user gave a list of addresses,
    /// the origin of this one is allowed from now on.
    pub(super) async fn image(
        &self,
        address: Url,
        page: Option<&Url>,
        range: Option<RangeRequest<'_>>,
        has_next: bool,
    ) -> Result<BodyStream<ClientResponse>, FetchError> {
        self.policy.add_user_origin(&address);
        let question = Question {
            range,
            page,
            ..Question::new(RequestKind::Image)
        };
        let response = self.request(question, address).await?;
        let (limit, throttle) = (self.settings.max_image_bytes, self.throttle.clone());
        match (response.status(), range) {
            _ if response.is_whole() => response.into_body(Accepted::Identity, limit, throttle),
            (206, Some(range)) => response.into_rest(range, limit, throttle),
            // Not only 416: what a server cannot do with a range, it may do without one.
            (status @ (400 | 412 | 416 | 501), Some(_)) => {
                let reason = format!("it answered {status} to a request for the rest");
                let error = response.error(FetchErrorKind::StalePart { reason });
                response.drain().await;
                Err(error)
            }
            // Boxed: errors are rare, and unboxed every worker would hold the room for this all the
            // time.
            _ => Err(Box::pin(self.image_error(response, has_next)).await),
        }
    }

    /// The error that the response to a request for an image is. One after which nothing more is requested concerns the
    /// whole run, so that it is told as well.
    async fn image_error(&self, response: HostResponse, has_next: bool) -> FetchError {
        let error = response
            .into_status_error(has_next, self.rules.errors())
            .await;
        self.tell_stop(&error).await;
        error
    }

    /// Tells of an error after which nothing more is requested.
    async fn tell_stop(&self, error: &FetchError) {
        if self.note_stop(error) {
            let events = self.events.lock().as_ref().and_then(WeakEvents::upgrade);
            if let Some(events) = events {
                let cause = error.to_string();
                events.warn(Warning::SiteStopped { cause }).await;
            }
        }
    }

    /// The body of an image that comes from the web archive.
    pub(super) fn image_of(
        &self,
        response: HostResponse,
        archived: Box<ArchivedBody>,
    ) -> Result<BodyStream<ClientResponse>, FetchError> {
        let (limit, throttle) = (self.settings.max_image_bytes, self.throttle.clone());
        let body = response.into_body(Accepted::Identity, limit, throttle)?;
        Ok(body.of_capture(archived))
    }

    /// Refuses an address that may not be requested, though it is not requested here. One that the user gives is
    /// allowed from now on.
    pub(super) fn check(
        &self,
        address: &Url,
        subject: Subject,
        is_given: bool,
    ) -> Result<(), FetchError> {
        if is_given {
            self.policy.add_user_origin(address);
        }
        self.policy.check(address, subject)
    }

    /// Whether an address holds a secret of the site.
    pub(super) fn is_secret(&self, address: &Url) -> bool {
        self.rules.masks().matches(address.as_str())
    }

    /// Reads bodies no faster than those of `other` together with them.
    pub(super) fn share_throttle(&mut self, other: &Self) {
        self.throttle.clone_from(&other.throttle);
    }

    /// Repeats `request` until it succeeds or another try cannot help.
    pub(super) async fn retry<T, F>(&self, request: impl Fn() -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, FetchError>>,
    {
        let mut attempt = 1;
        loop {
            let error = match request().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            match self.retry.pause(attempt, &error) {
                Some(pause) => sleep(pause).await,
                None => return Err(error),
            }
            attempt += 1;
        }
    }

    /// Requests `address` and follows redirects; each of them is checked like the first address.
    pub(super) async fn request(
        &self,
        question: Question<'_>,
        address: Url,
    ) -> Result<HostResponse, FetchError> {
        let (kind, subject) = (question.kind, question.subject());
        if let Some(error) = self.stopped.get() {
            return Err(error.clone());
        }
        self.policy.check(&address, subject)?;
        let mut address = address;
        let mut hops = Hops::default();
        loop {
            let host = self.hosts.of(&address);
            if kind != RequestKind::Robots {
                self.check_robots(&host, &address).await?;
            }
            // Headers may be credentials, meant for the first origin alone.
            let is_for_site = kind != RequestKind::Robots;
            let mut headers = HeaderMap::new();
            let mut sent = None;
            if is_for_site && hops.are_at_first_origin(&address) {
                sent = self.add_for_site(&mut headers, question, &address);
            }
            self.cookies
                .add_header(&mut headers, &address, hops.cookies(), is_for_site);
            if let Some(range) = question.range {
                range.add_headers(&mut headers);
            }
            let response = self.send(kind, host, address, sent, headers).await?;
            if question.end_statuses.contains(&response.status()) {
                return Ok(response);
            }
            let Some(next) = response.redirect_target()? else {
                return Ok(response);
            };
            // Boxed like all that hardly any image needs.
            address = Box::pin(self.follow(response, next, subject, &mut hops)).await?;
        }
    }

    /// Adds the headers that the definition and the user have for the site, the user's last: they win. Returns the
    /// address to send, if that is another one. A host that only `any` allows gets nothing.
    fn add_for_site(
        &self,
        headers: &mut HeaderMap,
        question: Question<'_>,
        address: &Url,
    ) -> Option<Box<Url>> {
        let (subject, rules) = (question.subject(), &self.rules);
        let adds = rules.adds(subject);
        let is_stranger = (adds || rules.takes_any_host()) && !self.policy.is_named(address);
        if is_stranger {
            return None;
        }
        if adds {
            rules.add_headers(headers, subject, address, question.page);
        }
        headers.extend(self.headers.clone());
        // Boxed: most requests have none, and each worker would hold the room for it.
        rules.sent_address(subject, address).map(Box::new)
    }

    /// Checks a redirect and disposes of its response.
    async fn follow(
        &self,
        response: HostResponse,
        mut next: Url,
        subject: Subject,
        hops: &mut Hops,
    ) -> Result<Url, FetchError> {
        let address = &response.address;
        // The host may have copied what was added to the address.
        self.rules.strip(subject, &mut next);
        self.policy.check_redirect(address, &next, subject)?;
        hops.add(address, &next, response.set_cookies())
            .map_err(|reason| response.error(FetchErrorKind::Redirect { reason }))?;
        response.record_success();
        response.drain().await;
        Ok(next)
    }

    /// Sends one request as soon as the host's rate allows it: to `sent`, if that is not the address itself.
    async fn send(
        &self,
        kind: RequestKind,
        host: Arc<Host>,
        address: Url,
        sent: Option<Box<Url>>,
        headers: HeaderMap,
    ) -> Result<HostResponse, FetchError> {
        let stall = StallTimer::new(self.settings.stall_timeout, self.settings.min_speed);
        let mut exchange = Exchange::start(host, stall).await?;
        // One time-out from connecting to the last header: a byte of header a second does not
        // extend it.
        let result = {
            // Pinned here, the future stays where it is; passed by value it would be copied into
            // `wait`, and each worker would hold room for it twice.
            let sent = sent.as_deref().unwrap_or(&address);
            let response = pin!(self.clients.get(kind, sent, headers));
            exchange.stall.wait(response).await
        };
        let error = match result {
            Ok(Ok(response)) if head_size(response.headers()) > MAX_HEAD_BYTES => {
                let reason = format!("more than {} KB of headers", MAX_HEAD_BYTES / 1024);
                exchange.error(FetchErrorKind::InvalidHttp { reason })
            }
            Ok(Ok(response)) => {
                exchange.stall.reset();
                if let Some(pause) = exhausted_for(response.headers(), SystemTime::now()) {
                    exchange.pause_host(pause);
                }
                return Ok(HostResponse::new(response, exchange, address));
            }
            Ok(Err(error)) => error,
            Err(stalled) => exchange.stall_error(stalled),
        };
        exchange.record_failure(&error);
        Err(error)
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        self.clients.idle_connections()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, header, image, path_of, settings};
    use crate::fetch::{CookieSource, Fetcher, Retryability, Robots, SiteOrigins};

    fn with_retries() -> FetchSettings {
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
    async fn a_missing_page_is_not_retried() {
        for status in [400, 401, 403, 404, 410, 416, 451, 204, 206, 300, 304, 999] {
            let server = Server::start(move |_| Reply::new(status, &[], "")).await;
            let error = server
                .fetcher_with(&with_retries())
                .page(&server.url("/browse/"))
                .await
                .unwrap_err();
            assert_eq!(
                (error.status(), server.request_count("/browse/")),
                (Some(status), 1)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_with_a_server_error_is_retried_and_then_given_up() {
        for status in [500, 501, 502, 503, 504, 505, 511, 520, 522, 530, 429] {
            let server = Server::start(move |_| Reply::new(status, &[], "later")).await;
            let error = server
                .fetcher_with(&with_retries())
                .page(&server.url("/browse/"))
                .await
                .unwrap_err();
            assert_eq!(
                (error.status(), server.request_count("/browse/")),
                (Some(status), 3)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_arrives_at_the_last_retry_is_used() {
        let tries = std::sync::atomic::AtomicUsize::new(0);
        let script = move |_: &str| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Reply::raw("").and_close(),
            1 => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").and_close(),
            _ => Reply::ok("page"),
        };
        let server = Server::start(script).await;
        let page = server
            .fetcher_with(&with_retries())
            .page(&server.url("/browse/"))
            .await
            .unwrap();
        assert_eq!(
            (page.text.as_str(), page.url),
            ("page", server.url("/browse/"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_image_is_not_retried_on_the_spot() {
        let server = Server::start(|_| Reply::new(503, &[], "later")).await;
        image(&server.fetcher_with(&with_retries()), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert_eq!(server.request_count("/a.png"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_pauses_the_whole_host() {
        let script = |head: &str| match path_of(head) {
            "/busy.png" => Reply::new(429, &["Retry-After: 7"], ""),
            _ => Reply::ok("x"),
        };
        let server = Server::start(script).await;
        let fetcher = server.fetcher_with(&with_retries());
        let error = image(&fetcher, &server.url("/busy.png")).await.unwrap_err();
        assert_eq!(
            error.retryability(),
            Retryability::After(Duration::from_secs(7))
        );
        let start = Instant::now();
        image(&fetcher, &server.url("/other.png")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_that_is_used_up_pauses_the_host_by_the_servers_clock() {
        // An hour behind ours.
        let theirs = SystemTime::now() - Duration::from_secs(3_600);
        let reset = theirs + Duration::from_secs(7);
        let reset = reset.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let date = format!("Date: {}", httpdate::fmt_http_date(theirs));
        let reset = format!("X-RateLimit-Reset: {}", reset.as_secs());
        let script =
            move |_: &str| Reply::new(200, &[&date, "X-RateLimit-Remaining: 0", &reset], "x");
        let server = Server::start(script).await;
        let fetcher = server.fetcher();
        image(&fetcher, &server.url("/a.png")).await.unwrap();
        let start = Instant::now();
        image(&fetcher, &server.url("/b.png")).await.unwrap();
        let waited = start.elapsed().as_secs();
        assert!((6..=8).contains(&waited), "{waited} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_that_is_too_long_fails_at_once_and_is_quoted() {
        let server =
            Server::start(|_| Reply::new(503, &["Retry-After: 100000000000000000000"], "")).await;
        let error = server
            .fetcher_with(&with_retries())
            .page(&server.url("/"))
            .await
            .unwrap_err();
        assert!(
            error.to_string().ends_with("retry after more than a year"),
            "{error}"
        );
        assert_eq!(server.request_count("/"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalid_or_past_retry_after_is_ignored() {
        for junk in ["soon", "-1", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            let header = format!("Retry-After: {junk}");
            let server = Server::start(move |_| Reply::new(503, &[&header], "")).await;
            server
                .fetcher_with(&with_retries())
                .page(&server.url("/"))
                .await
                .unwrap_err();
            assert_eq!(server.request_count("/"), 3, "{junk}");
        }
    }

    #[tokio::test]
    async fn a_response_that_is_not_http_is_refused() {
        for nonsense in [
            "hello, I am an old server\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length : 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n 3\r\n 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\rX: y\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nX: y\rContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding\x0b: chunked\r\n\r\nabc",
            "HTTP/1.1 2000 OK\r\n\r\n",
        ] {
            let server = Server::start(move |_| Reply::raw(nonsense).and_close()).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::InvalidHttp { .. }),
                "{nonsense:?}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn headers_that_are_too_long_are_refused() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(50_000));
        let huge = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(2_000_000));
        for headers in [many, huge] {
            let server = Server::start(move |_| Reply::raw(&headers).and_close()).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::InvalidHttp { .. }),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_host_and_port() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::start(|_| Reply::ok("")).await;
        drop(listener);
        let site = SiteOrigins {
            pages: server.url("/"),
            images: server.url("/"),
            hosts: Vec::new(),
            named: vec![Url::parse(&format!("http://{address}/")).unwrap()],
        };
        let fetcher = Fetcher::new(&settings(), &site, None).unwrap();
        let error = image(&fetcher, &site.named[0]).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::Connect { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_is_followed_and_the_page_has_its_last_address() {
        let script = |head: &str| match path_of(head) {
            "/browse" => Reply::to("browse/"),
            _ => Reply::ok("page"),
        };
        let server = Server::start(script).await;
        let page = server.fetcher().page(&server.url("/browse")).await.unwrap();
        assert_eq!(
            (page.text.as_str(), page.url),
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
        assert!(
            error.to_string().ends_with("more than 10 redirects"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_redirect_loop_is_refused() {
        let (server, error) = redirected(|_| Reply::to("/a.png")).await;
        assert!(error.to_string().ends_with("redirect loop"), "{error}");
        assert_eq!(server.heads().len(), 1);
    }

    #[tokio::test]
    async fn a_redirect_without_a_valid_location_is_refused() {
        let (_, error) = redirected(|_| Reply::new(302, &[], "")).await;
        assert!(error.to_string().contains("no Location header"), "{error}");
        let (_, error) = redirected(|_| Reply::to("http://[nowhere")).await;
        assert!(error.to_string().contains("not a valid address"), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_to_a_forbidden_address_is_refused() {
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
                matches!(error.kind(), FetchErrorKind::Redirect { .. }),
                "{to}: {error}"
            );
            assert_eq!(server.heads().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_redirect_with_an_end_status_is_the_answer_wherever_it_leads() {
        for (status, to) in [
            (302, "/login"),
            (303, "http://other.test/"),
            (308, "/a"),
            (301, ""),
        ] {
            let location = format!("Location: {to}");
            let server = Server::start(move |head| match path_of(head) {
                "/a" => Reply::new(302, &["Location: /b"], ""),
                "/b" => Reply::new(status, &[&location], ""),
                _ => Reply::ok("page"),
            });
            let server = server.await;
            let page = |ends| {
                let (fetcher, address) = (server.fetcher(), server.url("/b"));
                async move { fetcher.listing_page(&address, ends).await }
            };
            let error = page(&[404, 301, 302, 303, 308]).await.unwrap_err();
            assert_eq!(error.status(), Some(status));
            assert_eq!(server.heads().len(), 1);
        }
        let server = Server::start(|head| match path_of(head) {
            "/a" => Reply::new(301, &["Location: /a/"], ""),
            "/a/" => Reply::to("/login"),
            _ => Reply::ok("page"),
        });
        let server = server.await;
        let (fetcher, address) = (server.fetcher(), server.url("/a"));
        assert_eq!(fetcher.page(&address).await.unwrap().text, "page");
        let error = fetcher.listing_page(&address, &[302]).await.unwrap_err();
        assert_eq!(error.status(), Some(302));
    }

    #[tokio::test]
    async fn a_whole_page_or_image_may_have_the_status_203_226_or_206() {
        for (status, header) in [
            (203, "Via: x"),
            (226, "Via: x"),
            (206, "Content-Range: bytes 0-3/4"),
        ] {
            let server = Server::start(move |_| Reply::new(status, &[header], "page")).await;
            let fetcher = server.fetcher();
            assert_eq!(fetcher.page(&server.url("/")).await.unwrap().text, "page");
            assert_eq!(image(&fetcher, &server.url("/")).await.unwrap(), b"page");
        }
        for part in [
            "bytes 0-3/5",
            "bytes 1-4/5",
            "bytes 0-3/*",
            "bytes 0-4/5",
            "lines 0-3/4",
        ] {
            let header = format!("Content-Range: {part}");
            let server = Server::start(move |_| Reply::new(206, &[&header], "page")).await;
            let error = image(&server.fetcher(), &server.url("/"))
                .await
                .unwrap_err();
            assert_eq!(error.status(), Some(206), "{part}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_that_leave_a_candidate_do_not_count_against_the_host() {
        let server = Server::start(|head| match path_of(head) {
            "/b.png" => Reply::ok("b"),
            _ => Reply::new(403, &[], ""),
        });
        let server = server.await;
        let (fetcher, address) = (server.fetcher(), server.url("/a.png"));
        for _ in 0..40 {
            let error = fetcher
                .candidate(&address, None, None, true)
                .await
                .unwrap_err();
            assert_eq!(error.status(), Some(403));
        }
        assert!(image(&fetcher, &server.url("/b.png")).await.is_ok());
        for _ in 0..20 {
            image(&fetcher, &address).await.unwrap_err();
        }
        let error = image(&fetcher, &server.url("/b.png")).await.unwrap_err();
        assert!(matches!(error.kind(), FetchErrorKind::GivenUp { .. }));
    }

    /// A page behind a wall that sets `seen=1` with these attributes, and wants it back.
    async fn behind_a_wall(attributes: &'static str) -> (Server, Result<Vec<u8>, FetchError>) {
        let server = Server::start(move |head| {
            if header(head, "cookie").is_some_and(|cookies| cookies.contains("seen=1")) {
                return Reply::ok("there");
            }
            let set = format!("Set-Cookie: seen=1{attributes}");
            Reply::new(302, &[&format!("Location: {}", path_of(head)), &set], "")
        });
        let server = server.await;
        let answer = image(&server.fetcher(), &server.url("/a.png")).await;
        (server, answer)
    }

    #[tokio::test]
    async fn a_cookie_is_sent_back_on_the_way_of_one_request_and_then_forgotten() {
        let (server, answer) = behind_a_wall("; Path=/; HttpOnly").await;
        assert_eq!(answer.unwrap(), b"there");
        let fetcher = server.fetcher();
        for _ in 0..2 {
            image(&fetcher, &server.url("/a.png")).await.unwrap();
        }
        let with_cookie = server
            .heads()
            .iter()
            .map(|head| header(head, "cookie").is_some())
            .collect::<Vec<_>>();
        assert_eq!(with_cookie, [false, true, false, true, false, true]);
    }

    #[tokio::test]
    async fn a_circle_for_want_of_a_cookie_names_the_cookie_file() {
        for lost in [
            "; Secure",
            "; Path=/other",
            "; Domain=other.test",
            "; Max-Age=0",
        ] {
            let (server, answer) = behind_a_wall(lost).await;
            let error = answer.unwrap_err().to_string();
            assert!(
                error.contains("redirect loop, which sets cookies"),
                "{error}"
            );
            assert!(error.contains("`--cookies FILE`"), "{error}");
            assert_eq!(server.heads().len(), 1, "{lost}");
        }
        let count = std::sync::atomic::AtomicUsize::new(0);
        let (server, error) = redirected(move |_| {
            let next = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let set = format!("Set-Cookie: c={next}");
            Reply::new(302, &["Location: /a.png", &set], "")
        })
        .await;
        assert!(
            error
                .to_string()
                .contains("more than 10 redirects, which sets"),
            "{error}"
        );
        assert_eq!(server.heads().len(), 11);
    }

    #[tokio::test]
    async fn cookies_on_the_way_and_of_the_file_go_only_where_they_belong() {
        let other = Server::start(|_| Reply::ok("there")).await;
        let there = other.url("/there.png");
        let server = Server::start(move |head| match path_of(head) {
            "/a.png" => Reply::new(
                302,
                &["Location: /b/c.png", "Set-Cookie: set=1; Path=/b"],
                "",
            ),
            "/b/c.png" => Reply::to(there.as_str()),
            _ => Reply::new(404, &[], ""),
        });
        let server = server.await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cookies.txt");
        let text = "127.0.0.1\tFALSE\t/b\tFALSE\t0\tdeep\t1\n\
                    127.0.0.1\tFALSE\t/there.png\tTRUE\t0\tsafe\t1\n\
                    other.test\tTRUE\t/\tFALSE\t0\tother\t1\n\
                    127.0.0.1\tFALSE\t/there.png\tFALSE\t0\tfiled\t1\n";
        std::fs::write(&file, text).unwrap();
        let settings = FetchSettings {
            headers: vec![("Cookie".to_owned(), "own=1".to_owned())],
            cookies: Some(CookieSource::new(file)),
            robots: Robots::Obey,
            ..settings()
        };
        let site = SiteOrigins {
            pages: server.url("/"),
            images: other.url("/"),
            hosts: Vec::new(),
            named: vec![server.url("/"), other.url("/")],
        };
        let fetcher = Fetcher::new(&settings, &site, None).unwrap();
        image(&fetcher, &server.url("/a.png")).await.unwrap();
        let cookies = |server: &Server| {
            let heads = server.heads();
            let cookies = heads
                .iter()
                .map(|head| header(head, "cookie").map(str::to_owned));
            cookies.collect::<Vec<_>>()
        };
        let own = Some("own=1".to_owned());
        let deep = Some("own=1; set=1; deep=1".to_owned());
        assert_eq!(
            cookies(&server),
            [None, own, deep],
            "robots.txt is asked without"
        );
        let filed = Some("filed=1".to_owned());
        assert_eq!(cookies(&other), [None, filed], "it is another origin");
    }

    #[tokio::test]
    async fn user_headers_are_not_sent_to_another_origin() {
        let other = Server::start(|_| Reply::ok("there")).await;
        let there = other.url("/there.png");
        let server = Server::start(move |head| match path_of(head) {
            "/a.png" => Reply::to("/b.png"),
            "/b.png" => Reply::to(there.as_str()),
            _ => Reply::ok(""),
        });
        let server = server.await;
        let site = SiteOrigins {
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
        let fetcher = Fetcher::new(&settings, &site, None).unwrap();
        assert_eq!(
            image(&fetcher, &server.url("/a.png")).await.unwrap(),
            b"there"
        );
        for path in ["/a.png", "/b.png"] {
            let heads = server.heads();
            let head = heads.iter().find(|head| path_of(head) == path).unwrap();
            assert_eq!(header(head, "authorization"), Some("secret"));
        }
        assert_eq!(other.heads().len(), 2, "robots.txt and the image");
        assert!(
            other
                .heads()
                .iter()
                .all(|head| header(head, "authorization").is_none())
        );
    }
}
