//! Cookies (RFC 6265): which of them go with a request, and those that a server sets on the way of
//! one request through its redirects. Nothing is kept between requests.
//!
//! A module of our own, as the `cookie_store` crate keeps cookies for a browser's life, with dates
//! of its own crate and a serialised store, none of which is wanted here.

use std::fmt;
use std::time::SystemTime;

use reqwest::header::HeaderValue;
use url::{Host, Url};

/// The most cookies that one request collects; browsers keep as many for a site.
const MAX_COOKIES: usize = 50;

/// The longest of them, name and value together, in bytes (RFC 6265 section 6.1).
const MAX_COOKIE_BYTES: usize = 4096;

/// The most bytes that they may have together; servers refuse longer headers.
const MAX_TOTAL_BYTES: usize = 8192;

/// A cookie and where it may be sent.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Cookie {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// A host, as [`Url::host_str`] has it.
    pub(super) domain: String,
    /// Whether hosts below the domain get it too.
    pub(super) with_subdomains: bool,
    pub(super) path: String,
    /// Only over https.
    pub(super) secure: bool,
    /// The port of the server that set it: another server on the same host is another origin.
    /// Beyond RFC 6265 section 8.5, as for the user's headers; the step from http to https at their
    /// own ports is allowed. `None` where the user's file names a host alone.
    pub(super) port: Option<u16>,
}

impl Cookie {
    /// Whether it is sent to `address` (RFC 6265 section 5.4).
    pub(super) fn matches(&self, address: &Url) -> bool {
        let host = address.host_str().unwrap_or_default();
        let of_host = if self.with_subdomains {
            covers(&self.domain, host)
        } else {
            self.domain == host
        };
        let has_default_port = address.port().is_none();
        let of_port = self.port.is_none_or(|port| {
            address.port_or_known_default() == Some(port)
                || (has_default_port && matches!(port, 80 | 443))
        });
        of_host
            && of_port
            && path_matches(&self.path, address.path())
            && (!self.secure || address.scheme() == "https")
    }

    /// In a header, in bytes.
    fn size(&self) -> usize {
        self.name.len() + self.value.len() + "=; ".len()
    }

    /// Whether `other` takes its place.
    pub(super) fn is_replaced_by(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }
}

impl fmt::Debug for Cookie {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("domain", &self.domain)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The cookies that were set on the way of one request.
#[derive(Debug, Default)]
pub(crate) struct HopCookies {
    cookies: Vec<Cookie>,
    /// Whether any server tried to set one, kept or not.
    pub(crate) any_set: bool,
}

impl HopCookies {
    /// Takes the `Set-Cookie` lines of a response from `address`. What a browser refuses is ignored,
    /// and what is beyond the limits.
    pub(crate) fn store<'a>(
        &mut self,
        address: &Url,
        lines: impl Iterator<Item = &'a HeaderValue>,
        now: SystemTime,
    ) {
        for line in lines {
            self.any_set = true;
            let Some((cookie, is_expired)) = parse_set_cookie(line.as_bytes(), address, now) else {
                continue;
            };
            self.cookies.retain(|old| !old.is_replaced_by(&cookie));
            let total = self.cookies.iter().map(Cookie::size).sum::<usize>() + cookie.size();
            if !is_expired && self.cookies.len() < MAX_COOKIES && total <= MAX_TOTAL_BYTES {
                self.cookies.push(cookie);
            }
        }
    }

    /// The cookies for `address`.
    pub(super) fn matching(&self, address: &Url) -> Vec<&Cookie> {
        self.cookies
            .iter()
            .filter(|cookie| cookie.matches(address))
            .collect()
    }

    /// What they add to a request for `address`: equal values mean equal requests.
    pub(crate) fn text(&self, address: &Url) -> Vec<u8> {
        join(&[], self.matching(address))
    }
}

/// The `Cookie` header for a request, `None` where there is nothing to send: the user's own `Cookie`
/// header, the cookies `set` on the way, and those `filed` by the user. Each name is sent once, the
/// first of them wins.
pub(super) fn header(
    own: &[&HeaderValue],
    set: Vec<&Cookie>,
    filed: Vec<&Cookie>,
) -> Option<HeaderValue> {
    let mut cookies = set;
    let mut filed = filed;
    // Of two with one name that of the longer path is meant.
    filed.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
    for cookie in filed {
        if !cookies.iter().any(|set| set.name == cookie.name) {
            cookies.push(cookie);
        }
    }
    if own.is_empty() && cookies.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_bytes(&join(own, cookies)).ok()?;
    value.set_sensitive(true);
    (!value.is_empty()).then_some(value)
}

/// Cookies as a header has them: those with longer paths first, as RFC 6265 section 5.4 wants it.
fn join(own: &[&HeaderValue], mut cookies: Vec<&Cookie>) -> Vec<u8> {
    let mut joined = Vec::new();
    for header in own {
        separate(&mut joined);
        joined.extend_from_slice(header.as_bytes());
    }
    let own_names: Vec<Vec<u8>> = joined
        .split(|&byte| byte == b';')
        .map(|pair| name_of(pair).to_vec())
        .collect();
    cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
    for cookie in cookies {
        let is_own = own_names.contains(&cookie.name) && !cookie.name.is_empty();
        if is_own {
            continue;
        }
        separate(&mut joined);
        joined.extend_from_slice(&cookie.name);
        if !cookie.name.is_empty() {
            joined.push(b'=');
        }
        joined.extend_from_slice(&cookie.value);
    }
    joined
}

fn separate(joined: &mut Vec<u8>) {
    if !joined.is_empty() {
        joined.extend_from_slice(b"; ");
    }
}

fn name_of(pair: &[u8]) -> &[u8] {
    pair.split(|&byte| byte == b'=')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

/// Whether `host` is `domain` or a host below it (RFC 6265 section 5.1.3).
fn covers(domain: &str, host: &str) -> bool {
    let is_below = || {
        host.strip_suffix(domain)
            .is_some_and(|below| below.ends_with('.'))
            && matches!(Host::parse(host), Ok(Host::Domain(_)))
    };
    domain == host || is_below()
}

/// Whether a cookie's path holds for an address's (RFC 6265 section 5.1.4).
fn path_matches(cookie: &str, address: &str) -> bool {
    address
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// The path that a cookie has which names none.
fn default_path(address: &Url) -> &str {
    match address.path().rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((folder, _)) => folder,
    }
}

/// Reads a `Set-Cookie` line (RFC 6265 section 5.2): the cookie, and whether the line removes it.
/// `None` for one that `address` may not set.
fn parse_set_cookie(line: &[u8], address: &Url, now: SystemTime) -> Option<(Cookie, bool)> {
    if line.len() > 2 * MAX_COOKIE_BYTES || line.iter().any(u8::is_ascii_control) {
        return None;
    }
    let mut fields = line.split(|&byte| byte == b';');
    let (name, value) = split_at_sign(fields.next()?)?;
    if name.is_empty() || name.len() + value.len() > MAX_COOKIE_BYTES {
        return None;
    }
    let host = address.host_str()?;
    let mut cookie = Cookie {
        name: name.to_vec(),
        value: value.to_vec(),
        domain: host.to_owned(),
        with_subdomains: false,
        path: default_path(address).to_owned(),
        secure: false,
        port: address.port_or_known_default(),
    };
    let (mut names_path, mut max_age, mut expires) = (false, None, None);
    for field in fields {
        let (attribute, value) = split_at_sign(field).unwrap_or((field.trim_ascii(), b""));
        let value = str::from_utf8(value).unwrap_or_default();
        match attribute.to_ascii_lowercase().as_slice() {
            b"domain" => (cookie.domain, cookie.with_subdomains) = domain_of(value, host)?,
            b"path" => {
                names_path = value.starts_with('/');
                let path = if names_path {
                    value
                } else {
                    default_path(address)
                };
                path.clone_into(&mut cookie.path);
            }
            b"secure" => cookie.secure = true,
            b"max-age" => max_age = value.parse::<i64>().ok().or(max_age),
            // Some write the old form with dashes and four digits of the year (RFC 6265 section 5.1.1).
            b"expires" => {
                let date = httpdate::parse_http_date(&value.replace('-', " "));
                let date = date.or_else(|_| httpdate::parse_http_date(value));
                expires = date.ok().or(expires);
            }
            _ => {}
        }
    }
    let is_secure = cookie.secure && address.scheme() == "https";
    // Only a secure origin sets a secure cookie, and the prefixes promise what they say.
    let prefix = |prefix: &[u8]| {
        cookie
            .name
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let breaks_promise = (prefix(b"__Secure-") && !is_secure)
        || (prefix(b"__Host-")
            && !(is_secure && names_path && cookie.path == "/" && !cookie.with_subdomains));
    if breaks_promise || (cookie.secure && !is_secure) {
        return None;
    }
    let is_expired = match max_age {
        Some(seconds) => seconds <= 0,
        None => expires.is_some_and(|end| end <= now),
    };
    Some((cookie, is_expired))
}

/// The domain that a `Domain` attribute asks for, and whether it covers more than the host; `None`
/// if `host` may not set cookies for it. We have no list of public suffixes: a domain of one label is
/// one, and a longer one can at worst send a host's cookie to where that host itself redirects.
fn domain_of(attribute: &str, host: &str) -> Option<(String, bool)> {
    let domain = attribute.trim_start_matches('.').to_ascii_lowercase();
    if domain.is_empty() || domain == host {
        let with_subdomains = domain == host && matches!(Host::parse(host), Ok(Host::Domain(_)));
        return Some((host.to_owned(), with_subdomains));
    }
    (domain.contains('.') && covers(&domain, host)).then_some((domain, true))
}

fn split_at_sign(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let sign = field.iter().position(|&byte| byte == b'=')?;
    Some((field[..sign].trim_ascii(), field[sign + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    /// What is sent to `to` after `from` has set `lines`.
    fn sent(from: &str, lines: &[&str], to: &str) -> String {
        let lines: Vec<HeaderValue> = lines
            .iter()
            .map(|line| HeaderValue::from_str(line).unwrap())
            .collect();
        let mut cookies = HopCookies::default();
        cookies.store(&url(from), lines.iter(), now());
        String::from_utf8(cookies.text(&url(to))).unwrap()
    }

    #[test]
    fn a_cookie_goes_back_to_the_host_path_and_port_that_set_it() {
        let from = "http://a.test/x/y.png";
        for (line, to, is_sent) in [
            ("c=1", "http://a.test/x/z.png", true),
            ("c=1", "http://a.test/x", true),
            ("c=1", "http://a.test/xy", false),
            ("c=1", "http://a.test/", false),
            ("c=1; Path=/", "http://a.test/", true),
            ("c=1; path=z", "http://a.test/", false),
            ("c=1; Path=/x/", "http://a.test/x", false),
            ("c=1; Path=/", "https://a.test/", true),
            ("c=1; Path=/", "http://a.test:8080/", false),
            ("c=1; Path=/", "http://b.a.test/", false),
            ("c=1; Path=/", "http://test/", false),
            ("c=1; Path=/; Domain=a.test", "http://b.a.test/", true),
            ("c=1; Path=/; Domain=.A.test", "http://b.a.test/", true),
            ("c=1; Path=/; Domain=a.test", "http://ba.test/", false),
            ("c=1; Path=/; Domain=b.a.test", "http://b.a.test/", false),
            ("c=1; Path=/; Domain=b.a.test", "http://a.test/", false),
            ("c=1; Path=/; Domain=test", "http://b.test/", false),
            ("c=1; Path=/; Domain=test", "http://a.test/", false),
            ("c=1; Path=/; Secure", "https://a.test/", false),
        ] {
            let wanted = if is_sent { "c=1" } else { "" };
            assert_eq!(sent(from, &[line], to), wanted, "{line} for {to}");
        }
    }

    #[test]
    fn a_domain_covers_sibling_hosts_only_where_the_server_is_below_it() {
        let line = &["c=1; Path=/; Domain=a.test"];
        assert_eq!(sent("https://x.a.test/", line, "https://y.a.test/"), "c=1");
        assert_eq!(sent("https://x.b.test/", line, "https://y.a.test/"), "");
        let address = &["c=1; Path=/; Domain=0.0.1"];
        assert_eq!(sent("http://127.0.0.1/", address, "http://127.0.0.1/"), "");
        let own = &["c=1; Path=/; Domain=127.0.0.1"];
        assert_eq!(sent("http://127.0.0.1/", own, "http://127.0.0.1/"), "c=1");
    }

    #[test]
    fn a_secure_cookie_is_set_and_sent_over_https_only() {
        let lines = &[
            "c=1; Secure; Path=/",
            "__Host-d=2; Secure; Path=/",
            "__Secure-e=3",
        ];
        assert_eq!(
            sent("https://a.test/", lines, "https://a.test/"),
            "c=1; __Host-d=2"
        );
        assert_eq!(sent("https://a.test/", lines, "http://a.test/"), "");
        let domain = &["__Host-d=2; Secure; Path=/; Domain=a.test"];
        assert_eq!(sent("https://a.test/", domain, "https://a.test/"), "");
    }

    #[test]
    fn a_later_cookie_replaces_and_an_expired_one_removes() {
        let at = "http://a.test/";
        assert_eq!(sent(at, &["c=1", "c=2; SameSite=Lax; HttpOnly"], at), "c=2");
        assert_eq!(sent(at, &["c=1", "c=; Max-Age=0"], at), "");
        let past = "c=; expires=Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(sent(at, &["c=1", past], at), "");
        let kept = "c=1; expires=Sun, 06 Nov 1994 08:49:36 GMT; max-age=9";
        assert_eq!(sent(at, &[kept], at), "c=1");
        assert_eq!(sent(at, &["c=1; expires=soon; max-age=x"], at), "c=1");
        assert_eq!(
            sent(
                "http://a.test/x/",
                &["c=1; Path=/", "d=2"],
                "http://a.test/x/"
            ),
            "d=2; c=1"
        );
    }

    #[test]
    fn too_many_or_too_large_cookies_are_ignored() {
        let at = "http://a.test/";
        let many: Vec<String> = (0..200).map(|number| format!("c{number}=1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(sent(at, &many, at).split("; ").count(), MAX_COOKIES);
        let large = format!("c={}", "x".repeat(MAX_COOKIE_BYTES));
        assert_eq!(sent(at, &[&large, "d=1"], at), "d=1");
        let large: Vec<String> = (0..20)
            .map(|number| format!("c{number}={}", "x".repeat(1000)))
            .collect();
        let large: Vec<&str> = large.iter().map(String::as_str).collect();
        assert!(sent(at, &large, at).len() <= MAX_TOTAL_BYTES);
        for odd in ["=1", "", ";", "novalue", "; Path=/"] {
            assert_eq!(sent(at, &[odd, "d=1"], at), "d=1", "{odd}");
        }
    }

    #[test]
    fn each_name_is_sent_once_and_the_users_own_header_wins() {
        let at = url("http://a.test/");
        let mut set = HopCookies::default();
        let lines = ["a=set", "b=set"].map(HeaderValue::from_static);
        set.store(&at, lines.iter(), now());
        let filed = |name: &str| Cookie {
            name: name.into(),
            value: b"filed".to_vec(),
            domain: "a.test".to_owned(),
            with_subdomains: false,
            path: "/".to_owned(),
            secure: false,
            port: None,
        };
        let filed = [filed("a"), filed("b"), filed("c")];
        let own = HeaderValue::from_static("a=own; x=y");
        let value = header(&[&own], set.matching(&at), filed.iter().collect()).unwrap();
        assert_eq!(value, "a=own; x=y; b=set; c=filed");
        assert_eq!(header(&[], Vec::new(), Vec::new()), None);
        assert!(!format!("{filed:?} {value:?}").contains("filed"));
    }

    proptest! {
        #[test]
        fn no_set_cookie_makes_the_parser_panic(line in "[ -~\u{80}-\u{ff}]*", to in "/x[a-z/]{0,9}") {
            let at = url("http://a.test/x/");
            let mut cookies = HopCookies::default();
            if let Ok(line) = HeaderValue::from_str(&line) {
                cookies.store(&at, std::iter::once(&line), now());
            }
            cookies.text(&at.join(&to).unwrap());
        }
    }
}
