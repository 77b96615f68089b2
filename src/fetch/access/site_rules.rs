//! What goes along with the requests for one site, as its definition says it: headers, queries, secrets, pace. Only the
//! site's own hosts get them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use encoding_rs::Encoding;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, REFERER};
use url::Url;

use super::same_origin;
use super::secret::{Secret, Secrets, encode_query};
use crate::fetch::error::SettingError;
use crate::mask::Masks;
use crate::site::{AnyHost, ErrorRule, ImageHosts, Referer, RequestAdditions, SiteRequests};

/// What a site's definition says about requests, with its secrets filled in. Cheap to clone.
#[derive(Clone, Default)]
pub struct SiteRules(Arc<Rules>, Masks);

#[derive(Default)]
struct Rules {
    hosts: ImageHosts,
    pages: Additions,
    images: Additions,
    referer: Option<Referer>,
    interval: Duration,
    image_interval: Duration,
    charset: Option<&'static Encoding>,
    errors: Vec<ErrorRule>,
}

/// What is added to one kind of request.
#[derive(Default)]
struct Additions {
    headers: HeaderMap,
    query: Vec<Parameter>,
}

/// A parameter of a query, name and value percent-encoded.
struct Parameter {
    name: String,
    value: String,
}

/// What is requested of a site, so far as its definition tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Page,
    Image,
}

impl SiteRules {
    /// The rules of a definition. What names a secret that is not among `secrets` is left out.
    ///
    /// # Errors
    ///
    /// When a header cannot be sent with the value that a secret gives it.
    pub fn new(
        hosts: &ImageHosts,
        requests: &SiteRequests,
        secrets: &Secrets,
    ) -> Result<Self, SettingError> {
        let SiteRequests {
            secrets: _,
            pages,
            images,
            referer,
            // The caller's settings have it already.
            user_agent: _,
            per_minute,
            image_per_minute,
            charset,
            errors,
        } = requests;
        let interval = |per_minute: Option<std::num::NonZeroU32>| {
            per_minute.map_or(Duration::ZERO, |most| Duration::from_secs(60) / most.get())
        };
        let rules = Rules {
            hosts: hosts.clone(),
            pages: Additions::new(pages, secrets)?,
            images: Additions::new(images, secrets)?,
            referer: referer.clone(),
            interval: interval(*per_minute),
            image_interval: interval(image_per_minute.or(*per_minute)),
            charset: *charset,
            errors: errors.clone(),
        };
        let masks = Masks::new(secrets.values().map(Secret::expose));
        Ok(Self(Arc::new(rules), masks))
    }

    /// The rules for a mirror that stands in for the site: it keeps no pace and gets no secret.
    ///
    /// # Errors
    ///
    /// As [`SiteRules::new`].
    pub fn for_mirror(hosts: &ImageHosts, requests: &SiteRequests) -> Result<Self, SettingError> {
        let requests = SiteRequests {
            per_minute: None,
            image_per_minute: None,
            ..requests.clone()
        };
        Self::new(hosts, &requests, &Secrets::new())
    }

    /// The same rules; what is masked beside the secrets are these words, such as the password in an address that the
    /// user gave.
    #[must_use]
    pub fn hiding<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let masks = self.1.and(words);
        Self(self.0, masks)
    }

    /// Whether anything is added to requests of this kind.
    pub(crate) fn adds(&self, subject: Subject) -> bool {
        let Additions { headers, query } = self.additions(subject);
        let has_referer = subject == Subject::Image && self.0.referer.is_some();
        !headers.is_empty() || !query.is_empty() || has_referer
    }

    /// Whether images may be on hosts that nobody named.
    pub(crate) fn takes_any_host(&self) -> bool {
        self.0.hosts.any == AnyHost::Allowed
    }

    pub(crate) fn hosts(&self) -> &ImageHosts {
        &self.0.hosts
    }

    pub(crate) fn charset(&self) -> Option<&'static Encoding> {
        self.0.charset
    }

    pub(crate) fn errors(&self) -> &[ErrorRule] {
        &self.0.errors
    }

    pub(crate) fn masks(&self) -> &Masks {
        &self.1
    }

    /// The least time between two requests to the host of the pages, or to another one.
    pub(crate) fn interval(&self, subject: Subject) -> Duration {
        match subject {
            Subject::Page => self.0.interval,
            Subject::Image => self.0.image_interval,
        }
    }

    fn additions(&self, subject: Subject) -> &Additions {
        match subject {
            Subject::Page => &self.0.pages,
            Subject::Image => &self.0.images,
        }
    }

    /// Adds the headers of the definition. `page` is the one that shows an image.
    pub(crate) fn add_headers(
        &self,
        headers: &mut HeaderMap,
        subject: Subject,
        address: &Url,
        page: Option<&Url>,
    ) {
        headers.extend(self.additions(subject).headers.clone());
        let referer = match (&self.0.referer, subject) {
            (Some(Referer::Page), Subject::Image) => page,
            (Some(Referer::Address(address)), Subject::Image) => Some(address),
            (_, Subject::Page) | (None, Subject::Image) => None,
        };
        // A page that came by https is not told to a host without (RFC 9110 section 10.1.3), nor one with a secret in
        // its address to another host.
        let referer = referer.filter(|page| {
            let is_leak = page.scheme() == "https" && address.scheme() != "https";
            !is_leak && (same_origin(page, address) || !self.masks().matches(page.as_str()))
        });
        if let Some(value) = referer.and_then(|page| HeaderValue::from_str(page.as_str()).ok()) {
            headers.insert(REFERER, value);
        }
    }

    /// The address as it is sent: with the parameters of the definition at the end of its query. One of the same name
    /// gives way.
    pub(crate) fn sent_address(&self, subject: Subject, address: &Url) -> Option<Url> {
        let Additions { headers: _, query } = self.additions(subject);
        if query.is_empty() {
            return None;
        }
        let is_replaced = |name: &str| query.iter().any(|added| added.name == name);
        let mut pairs: Vec<_> = pairs(address)
            .filter(|pair| !is_replaced(name_of(pair)))
            .map(str::to_owned)
            .collect();
        pairs.extend(
            query
                .iter()
                .map(|Parameter { name, value }| format!("{name}={value}")),
        );
        let mut sent = address.clone();
        sent.set_query(Some(&pairs.join("&")));
        Some(sent)
    }

    /// [`SiteRules::strip`] for a text that may be an address.
    pub(crate) fn strip_text(&self, subject: Subject, text: &mut String) {
        let may_be =
            text.contains('?') && (text.starts_with("http://") || text.starts_with("https://"));
        if may_be
            && !self.additions(subject).query.is_empty()
            && let Ok(mut address) = Url::parse(text)
        {
            let before = address.clone();
            self.strip(subject, &mut address);
            if address != before {
                *text = address.into();
            }
        }
    }

    /// Takes from an address what the definition adds when it is sent: a site may write it into its links. What is
    /// added to requests of the other kind alone, or has another value, is the site's own and stays.
    pub(crate) fn strip(&self, subject: Subject, address: &mut Url) {
        let added = &self.additions(subject).query;
        if address.query().is_none() || added.is_empty() {
            return;
        }
        let is_added = |pair: &str| {
            let is_same = |parameter: &Parameter| {
                let value = pair.strip_prefix(&*parameter.name)?.strip_prefix('=')?;
                Some(percent_decode_str(value).eq(percent_decode_str(&parameter.value)))
            };
            added
                .iter()
                .any(|parameter| is_same(parameter) == Some(true))
        };
        let kept: Vec<_> = pairs(address).filter(|pair| !is_added(pair)).collect();
        if kept.len() < pairs(address).count() {
            let query = kept.join("&");
            address.set_query((!query.is_empty()).then_some(&query));
        }
    }
}

impl fmt::Debug for SiteRules {
    /// Without what the headers and queries hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteRules")
            .field("hosts", &self.0.hosts)
            .finish_non_exhaustive()
    }
}

impl Additions {
    fn new(written: &RequestAdditions, secrets: &Secrets) -> Result<Self, SettingError> {
        let secret = |name: &str| secrets.get(name).map(Secret::expose);
        let mut headers = HeaderMap::new();
        for (name, text) in &written.headers {
            let Some(value) = text.fill(secret) else {
                continue;
            };
            // The value stays out of the message.
            let refuse = |reason: &str| SettingError {
                setting: format!("header `{name}` of the site's definition"),
                reason: reason.to_owned(),
            };
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| refuse("not the name of a header"))?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                refuse("its secret holds a line break or another control character")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let query = written.query.iter().filter_map(|(name, text)| {
            Some(Parameter {
                name: encode_query(name),
                value: encode_query(&text.fill(secret)?),
            })
        });
        Ok(Self {
            headers,
            query: query.collect(),
        })
    }
}

/// The parameters of an address, as they are written.
fn pairs(address: &Url) -> impl Iterator<Item = &str> {
    let query = address.query().unwrap_or_default();
    query.split('&').filter(|pair| !pair.is_empty())
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::policy::Policy;
    use super::super::secret::Secret;
    use super::*;
    use crate::fetch::scripted::{Reply, Server, header, image, path_of, settings};
    use crate::fetch::{FetchErrorKind, FetchSettings, Fetcher, SiteOrigins};
    use crate::site::{ErrorAction, Site};

    const SECRET: &str = "s3cr3t/key";

    /// A definition with these tables in front of the others.
    fn site(tables: &str) -> Site {
        let text = r#"
            [site]
            name = "gallery"
            base = "https://gallery.test"
            image_hosts = ["*.gallery.test", "any"]
            [listing]
            kind = "html"
            url = "/{page}"
            [item]
            select = "li"
            thumb = "img@src"
            [[full]]
            rewrite = { from = "thumb", regex = '(?<full>.+)-small', to = '${full}' }
            [file]
            capture = { from = "full", regex = '(?<name>[^/]+)$' }
            name = "{name}"
        "#;
        Site::from_toml(&format!("{tables}\n{text}")).unwrap()
    }

    /// The rules of a definition with this `[request]`, and one secret.
    fn rules(request: &str) -> SiteRules {
        let secrets = "[secrets]\nkey = { variable = 'GALLERY_KEY' }\nno = { variable = 'NO', optional = true }\n";
        let site = site(&format!("{secrets}[request]\n{request}")).allowing_any_host();
        let known = Secrets::from([("key".to_owned(), Secret::new(SECRET).unwrap())]);
        SiteRules::new(site.image_hosts(), site.requests(), &known).unwrap()
    }

    fn fetcher(server: &Server, further: &[&Server], rules: SiteRules) -> Fetcher {
        let quick = FetchSettings {
            retries: 2,
            ..settings()
        };
        fetcher_with(&quick, server, further, rules)
    }

    fn fetcher_with(
        settings: &FetchSettings,
        server: &Server,
        further: &[&Server],
        rules: SiteRules,
    ) -> Fetcher {
        let servers = [server].into_iter().chain(further.iter().copied());
        let site = SiteOrigins {
            pages: server.url("/"),
            images: server.url("/"),
            hosts: Vec::new(),
            named: servers.map(|server| server.url("/")).collect(),
        };
        Fetcher::for_site(settings, &site, rules, None).unwrap()
    }

    const ADDING: &str = "headers = { X-Key = 'key {secret.key}', X-Not = '{secret.no}' }\n\
        query = { k = '{secret.key}', raw = '1 2', not = '{secret.no}' }\n\
        image_headers = { X-Image = 'yes' }\nimage_query = { full = '1' }\n";

    #[tokio::test]
    async fn headers_and_queries_of_a_definition_are_sent_and_in_no_address() {
        let server = Server::start(|head| match path_of(head) {
            path if path.starts_with("/old") => Reply::to("/new?k=s3cr3t%2Fkey&raw=1%202&a=b"),
            _ => Reply::ok("page with s3cr3t/key in it"),
        });
        let server = server.await;
        let fetcher = fetcher(&server, &[], rules(ADDING));
        let page = fetcher.page(&server.url("/old?k=mine&x=y")).await.unwrap();
        assert_eq!(page.url, server.url("/new?a=b"));
        assert_eq!(page.text, "page with s3cr3t/key in it");
        image(&fetcher, &server.url("/a.png")).await.unwrap();
        let heads = server.heads();
        let paths: Vec<_> = heads.iter().map(|head| path_of(head)).collect();
        let sent = "k=s3cr3t%2Fkey&raw=1%202";
        assert_eq!(
            paths,
            [
                &format!("/old?x=y&{sent}"),
                &format!("/new?a=b&{sent}"),
                "/a.png?full=1"
            ]
        );
        assert_eq!(header(&heads[1], "x-key"), Some("key s3cr3t/key"));
        assert_eq!(header(&heads[1], "x-not"), None, "its secret is not there");
        assert_eq!(header(&heads[2], "x-key"), None, "an image is no page");
        assert_eq!(header(&heads[2], "x-image"), Some("yes"));
        let raw = fetcher.raw_page(&server.url("/new")).await.unwrap();
        assert_eq!(
            raw.masked(fetcher.masks()).decoded().text,
            "page with *** in it"
        );
    }

    #[tokio::test]
    async fn what_a_definition_adds_is_not_sent_to_another_origin_nor_to_a_host_without_a_name() {
        let other = Server::start(|_| Reply::ok("there")).await;
        let there = other.url("/there?k=s3cr3t%2Fkey");
        let server = Server::start(move |_| Reply::to(there.as_str())).await;
        let fetcher = fetcher(&server, &[&other], rules(ADDING));
        let page = fetcher.page(&server.url("/a")).await.unwrap();
        assert_eq!(page.url, other.url("/there"));
        let heads = other.heads();
        assert_eq!(path_of(&heads[0]), "/there");
        assert_eq!(header(&heads[0], "x-key"), None);
        // Public, and allowed by `any` alone.
        let policy = Policy::new(&origins(), None)
            .unwrap()
            .with_hosts(&rules(ADDING));
        let url = |text| Url::parse(text).unwrap();
        for named in ["https://gallery.test/", "https://i.gallery.test/a"] {
            assert!(policy.is_named(&url(named)), "{named}");
        }
        for other in ["https://other.test/a", "https://i.gallery.test:8443/a"] {
            assert!(policy.check(&url(other), Subject::Image).is_ok(), "{other}");
            assert!(policy.check(&url(other), Subject::Page).is_err(), "{other}");
            assert!(!policy.is_named(&url(other)), "{other}");
        }
        for private in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://10.0.0.1/a.png",
        ] {
            assert!(
                policy.check(&url(private), Subject::Image).is_err(),
                "{private}"
            );
        }
    }

    fn origins() -> SiteOrigins {
        let here = Url::parse("https://gallery.test/").unwrap();
        SiteOrigins {
            pages: here.clone(),
            images: here,
            hosts: Vec::new(),
            named: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_host_that_any_or_a_pattern_allows_may_not_resolve_to_a_private_address() {
        let server = Server::start(|_| Reply::ok("secret")).await;
        let mut here = server.url("/a.png");
        here.set_host(Some("localhost")).unwrap();
        let fetcher = Fetcher::for_site(&settings(), &origins(), rules(""), None).unwrap();
        let error = image(&fetcher, &here).await.unwrap_err();
        assert!(error.to_string().contains("private address"), "{error}");
        assert_eq!(server.connections(), 0);
    }

    #[tokio::test]
    async fn an_image_has_the_referer_that_its_definition_wants() {
        let server = Server::start(|_| Reply::ok("x")).await;
        let page = Url::parse("http://gallery.test/2?a=b").unwrap();
        let secure = Url::parse("https://gallery.test/2").unwrap();
        let with_secret = Url::parse("http://gallery.test/2?a=s3cr3t%2Fkey").unwrap();
        let own_page = server.url("/2?a=s3cr3t%2Fkey");
        for (request, page, referer) in [
            ("referer = 'page'", &page, Some("http://gallery.test/2?a=b")),
            ("referer = 'page'", &secure, None),
            (
                "referer = 'http://gallery.test/x#y'",
                &page,
                Some("http://gallery.test/x"),
            ),
            ("", &page, None),
            ("referer = 'page'", &with_secret, None),
            ("referer = 'page'", &own_page, Some(own_page.as_str())),
        ] {
            let fetcher = fetcher(&server, &[], rules(request));
            let address = server.url("/a.png");
            let body = fetcher.candidate(&address, Some(page), None, false).await;
            body.unwrap().collect(9).await.unwrap();
            let head = server.heads().pop().unwrap();
            assert_eq!(header(&head, "referer"), referer, "{request}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_definition_slows_requests_down_and_the_slowest_wins() {
        let server = Server::start(|_| Reply::ok("x")).await;
        let other = Server::start(|_| Reply::ok("x")).await;
        let pace = "per_minute = 30\nimage_per_minute = 12";
        for (wait, seconds) in [(0, [2, 5]), (3, [3, 5]), (9, [9, 9])] {
            let settings = FetchSettings {
                wait: Duration::from_secs(wait),
                ..settings()
            };
            let fetcher = fetcher_with(&settings, &server, &[&other], rules(pace));
            for (server, seconds) in [&server, &other].into_iter().zip(seconds) {
                let start = Instant::now();
                for _ in 0..2 {
                    image(&fetcher, &server.url("/a.png")).await.unwrap();
                }
                assert_eq!(start.elapsed().as_secs(), seconds, "--wait {wait}");
            }
        }
    }

    #[tokio::test]
    async fn the_charset_of_a_definition_wins_over_that_of_the_page() {
        let page = b"<meta charset=utf-8>\xb2\xe5".to_vec();
        let server = Server::start(move |_| Reply::ok(&page)).await;
        let fetcher = fetcher(&server, &[], rules("charset = 'gbk'"));
        let page = fetcher.page(&server.url("/")).await.unwrap();
        assert!(page.text.ends_with('\u{63d2}'), "{}", page.text);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_rule_waits_and_another_stops_all_requests() {
        let server = Server::start(|head| match path_of(head) {
            "/wait" => Reply::new(403, &[], r#"{"error": {"code": "OVER"}}"#),
            "/odd" => Reply::ok(r#"{"stat": "fail"}"#),
            "/gzip" => Reply::new(403, &["Content-Encoding: gzip"], "not gzip"),
            "/stop" => Reply::new(403, &[], r#"{"error": {"code": "BAD_KEY"}}"#),
            _ => Reply::ok("x"),
        });
        let server = server.await;
        let fetcher = fetcher(
            &server,
            &[],
            rules(
                "error = [{ status = 403, pointer = '/error/code', equals = 'OVER', action = 'wait' },\n\
                 { status = 403, pointer = '/error/code', contains = 'KEY', action = 'stop', hint = 'get a key' },\n\
                 { pointer = '/stat', equals = 'fail', action = 'skip', hint = 'no such set' }]",
            ),
        );
        let error = fetcher.page(&server.url("/wait")).await.unwrap_err();
        assert_eq!(error.known_error().unwrap().0, ErrorAction::Wait);
        assert_eq!(server.request_count("/wait"), 3, "it is retried");
        let error = fetcher.page(&server.url("/odd")).await.unwrap_err();
        assert!(
            error.to_string().ends_with("answered 200: no such set"),
            "{error}"
        );
        let error = fetcher.page(&server.url("/gzip")).await.unwrap_err();
        assert!(matches!(
            error.kind(),
            FetchErrorKind::Status { status: 403, .. }
        ));
        fetcher.page(&server.url("/fine")).await.unwrap();
        for _ in 0..2 {
            let error = fetcher.page(&server.url("/stop")).await.unwrap_err();
            assert!(
                error.to_string().ends_with("answered 403: get a key"),
                "{error}"
            );
        }
        image(&fetcher, &server.url("/a.png")).await.unwrap_err();
        assert_eq!(server.request_count("/stop"), 1);
        assert_eq!(
            server.request_count("/a.png"),
            0,
            "nothing more is requested"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_quota_pauses_the_host_until_its_reset() {
        let server = Server::start(|head| match path_of(head) {
            "/last" => Reply::new(
                200,
                &["X-RateLimit-Remaining: 0.0", "X-RateLimit-Reset: 67"],
                "x",
            ),
            "/long" => Reply::new(
                200,
                &["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 3000"],
                "x",
            ),
            "/over" => Reply::new(403, &["RateLimit: \"default\";r=0;t=40"], "x"),
            _ => Reply::ok("x"),
        });
        let server = server.await;
        let fetcher = fetcher(&server, &[], SiteRules::default());
        for (path, seconds) in [("/last", 67), ("/long", 0)] {
            fetcher.page(&server.url(path)).await.unwrap();
            let start = Instant::now();
            fetcher.page(&server.url("/a")).await.unwrap();
            assert_eq!(start.elapsed().as_secs(), seconds, "{path}");
        }
        let start = Instant::now();
        fetcher.page(&server.url("/over")).await.unwrap_err();
        assert_eq!(
            server.request_count("/over"),
            3,
            "a 403 that says when to come back"
        );
        assert!(start.elapsed().as_secs() >= 80);
    }

    #[test]
    fn a_mirror_gets_no_secret_and_keeps_no_pace() {
        let site = site(
            "[secrets]\nkey = { variable = 'GALLERY_KEY' }\n[request]\nper_minute = 1\nquery = { k = '{secret.key}', raw = '1' }",
        );
        let rules = SiteRules::for_mirror(site.image_hosts(), site.requests()).unwrap();
        let page = Url::parse("http://mirror.test/a").unwrap();
        let sent = rules.sent_address(Subject::Page, &page).unwrap();
        assert_eq!(sent.as_str(), "http://mirror.test/a?raw=1");
        assert_eq!(rules.interval(Subject::Page), Duration::ZERO);
    }

    #[test]
    fn a_secret_that_no_header_can_hold_is_refused_without_being_shown() {
        let site = site(
            "[secrets]\nkey = { variable = 'K' }\n[request]\nheaders = { X-Key = '{secret.key}' }",
        );
        let known = Secrets::from([("key".to_owned(), Secret::new("s3cr3t\nline").unwrap())]);
        let error = SiteRules::new(site.image_hosts(), site.requests(), &known).unwrap_err();
        assert!(error.to_string().contains("X-Key") && !error.to_string().contains("s3cr3t"));
    }
}
