//! The user's cookies (`--cookies`): a file in the format of Netscape's browser, as curl, wget and
//! the exporters of browsers write it. One cookie a line, seven fields separated by tabs: domain,
//! whether hosts below it get it too, path, whether it is for https only, when it expires in seconds
//! since 1970 (0: with the browser's session), name, value.
//!
//! A line that is none of that is skipped, as curl does: exporters write a banner without a `#`, and
//! one odd cookie must not keep the others back.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use reqwest::header::{COOKIE, HeaderMap, HeaderValue};
use thiserror::Error;
use url::{Host, Url};

use super::cookies::{Cookie, HopCookies, header};
use crate::fetch::error::SettingError;
use crate::fetch::settings::CookieSource;

/// Before the domain of a cookie that scripts cannot read; otherwise `#` begins a comment.
const HTTP_ONLY: &[u8] = b"#HttpOnly_";

/// Before the first line of files that some editors write: U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The cookies of the user's file, by domain.
#[derive(Debug, Default)]
pub(crate) struct CookieFile {
    by_domain: HashMap<String, Vec<Cookie>>,
    skipped: Option<SkippedLines>,
}

/// The lines of a cookie file that are no cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkippedLines {
    /// How many.
    pub(crate) lines: usize,
    /// The number of the first of them; the file begins with line 1.
    pub(crate) first: usize,
    /// What is wrong with the first.
    pub(crate) fault: LineFault,
}

/// Why a line is no cookie. It never quotes the line, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum LineFault {
    #[error("a cookie has 7 fields separated by tabs, and this line has {0}")]
    FieldCount(usize),
    #[error("the first field is not a host")]
    Host,
    #[error("the {0} field is neither TRUE nor FALSE")]
    Truth(&'static str),
    #[error("the third field is not a path: it does not begin with `/`")]
    Path,
    #[error("the fifth field is not a time in seconds since 1970")]
    Time,
    #[error("the name or value has characters that no cookie can have")]
    Characters,
}

impl CookieFile {
    /// Reads the file; cookies that have expired by `now` are left out.
    pub(crate) fn read(source: &CookieSource, now: SystemTime) -> Result<Self, SettingError> {
        let refuse = |reason: String| SettingError {
            setting: format!("cookie file `{}`", source.path().display()),
            reason,
        };
        let bytes = source.bytes().map_err(refuse)?;
        Self::parse(bytes, now)
            .map_err(|SkippedLines { first, fault, .. }| refuse(format!("line {first}: {fault}")))
    }

    /// Skips what is no cookie. Where nothing else is there, the file is in another format (JSON), and
    /// a run without its cookies would fetch something else than the user wants: that is an error.
    fn parse(bytes: &[u8], now: SystemTime) -> Result<Self, SkippedLines> {
        let mut file = Self::default();
        let mut any_read = false;
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        for (number, line) in (1..).zip(lines(text)) {
            let line = line.strip_prefix(HTTP_ONLY).unwrap_or(line);
            if line.starts_with(b"#") || line.trim_ascii().is_empty() {
                continue;
            }
            match cookie(line, now) {
                Ok(cookie) => {
                    any_read = true;
                    if let Some(cookie) = cookie {
                        file.add(cookie);
                    }
                }
                Err(fault) => {
                    let first = SkippedLines {
                        lines: 0,
                        first: number,
                        fault,
                    };
                    file.skipped.get_or_insert(first).lines += 1;
                }
            }
        }
        match file.skipped {
            Some(skipped) if !any_read => Err(skipped),
            _ => Ok(file),
        }
    }

    fn add(&mut self, cookie: Cookie) {
        let of_domain = self.by_domain.entry(cookie.domain.clone()).or_default();
        // Of two lines for one cookie the later one counts, as in browsers and curl.
        of_domain.retain(|old| old.port != cookie.port || !old.is_replaced_by(&cookie));
        of_domain.push(cookie);
    }

    /// The lines that were skipped, if any.
    pub(crate) fn skipped(&self) -> Option<&SkippedLines> {
        self.skipped.as_ref()
    }

    /// Sets the `Cookie` header of a request for `address` from the one that is there, those `set` on
    /// the way, and where they `may_send` those of the file.
    pub(crate) fn add_header(
        &self,
        headers: &mut HeaderMap,
        address: &Url,
        set: &HopCookies,
        may_send: bool,
    ) {
        let filed = if may_send {
            self.matching(address)
        } else {
            Vec::new()
        };
        let set = set.matching(address);
        if filed.is_empty() && set.is_empty() {
            return;
        }
        let own: Vec<&HeaderValue> = headers.get_all(COOKIE).iter().collect();
        if let Some(value) = header(&own, set, filed) {
            headers.insert(COOKIE, value);
        }
    }

    fn matching(&self, address: &Url) -> Vec<&Cookie> {
        if self.by_domain.is_empty() {
            return Vec::new();
        }
        let host = address.host_str().unwrap_or_default();
        let above = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        std::iter::once(host)
            .chain(above)
            .filter_map(|domain| self.by_domain.get(domain))
            .flatten()
            .filter(|cookie| cookie.matches(address))
            .collect()
    }
}

/// The lines of a file, which end in LF, CR LF, or CR alone.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.split(|&byte| byte == b'\r')
    })
}

/// The cookie of a line; `None` if it has expired.
fn cookie(line: &[u8], now: SystemTime) -> Result<Option<Cookie>, LineFault> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
    let (fields, value) = match fields[..] {
        [ref fields @ .., value] if fields.len() == 6 => (fields, value),
        // An editor that cuts blanks off cuts off the tab before an empty value.
        ref fields if fields.len() == 6 => (fields, b"".as_slice()),
        _ => return Err(LineFault::FieldCount(fields.len())),
    };
    let &[domain, subdomains, path, secure, expires, name] = fields else {
        unreachable!("six fields are left in both cases");
    };
    let domain = str::from_utf8(domain).map_err(|_| LineFault::Host)?;
    let (host, has_dot) = domain
        .strip_prefix('.')
        .map_or((domain, false), |host| (host, true));
    let with_subdomains = truth(subdomains, "second")? || has_dot;
    let secure = truth(secure, "fourth")?;
    let (host, port) = parse_host(host).ok_or(LineFault::Host)?;
    let path = str::from_utf8(path).map_err(|_| LineFault::Path)?;
    if !path.starts_with('/') {
        return Err(LineFault::Path);
    }
    // Any other byte is sent as it is: what a server sets may be Latin-1 or UTF-8 (RFC 9110 section 5.5).
    if has_delimiter(name) || name.contains(&b'=') || has_delimiter(value) {
        return Err(LineFault::Characters);
    }
    let expires: f64 = match expires.trim_ascii() {
        b"" => 0.0,
        seconds => str::from_utf8(seconds)
            .ok()
            .and_then(|seconds| seconds.parse().ok())
            .ok_or(LineFault::Time)?,
    };
    let end = Duration::try_from_secs_f64(expires).ok();
    let is_expired = expires > 0.0
        && end
            .and_then(|end| SystemTime::UNIX_EPOCH.checked_add(end))
            .is_some_and(|end| end <= now);
    Ok((!is_expired).then(|| Cookie {
        name: name.into(),
        value: value.into(),
        with_subdomains: with_subdomains && matches!(host, Host::Domain(_)),
        domain: host.to_string(),
        path: path.to_owned(),
        secure,
        port,
    }))
}

fn truth(field: &[u8], which: &'static str) -> Result<bool, LineFault> {
    match field.trim_ascii().to_ascii_lowercase().as_slice() {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(LineFault::Truth(which)),
    }
}

/// A host as addresses have it, and the port behind it, which wget writes for a cookie from a port
/// that is not the scheme's own. An IPv6 address may stand without its brackets; a number behind one
/// then belongs to it.
fn parse_host(text: &str) -> Option<(Host, Option<u16>)> {
    let host = |text: &str| {
        Host::parse(text)
            .or_else(|_| Host::parse(&format!("[{text}]")))
            .ok()
    };
    if let Some(host) = host(text) {
        return Some((host, None));
    }
    let (name, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    Some((Host::parse(name).ok()?, Some(port)))
}

fn has_delimiter(text: &[u8]) -> bool {
    text.iter()
        .any(|byte| *byte == b';' || byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn sent(file: &str, to: &str) -> String {
        String::from_utf8(sent_bytes(file.as_bytes(), to)).unwrap()
    }

    fn sent_bytes(file: &[u8], to: &str) -> Vec<u8> {
        let file = CookieFile::parse(file, now()).unwrap();
        let mut headers = HeaderMap::new();
        let address = Url::parse(to).unwrap();
        file.add_header(&mut headers, &address, &HopCookies::default(), true);
        let value = headers.get(COOKIE).map(HeaderValue::as_bytes);
        value.unwrap_or_default().to_vec()
    }

    #[test]
    fn a_cookie_file_is_read_as_curl_and_exporters_write_it() {
        let file = "\u{feff}# Netscape HTTP Cookie File\r\n\r\n\
            .a.test\tTRUE\t/\tFALSE\t0\tsession\t1\r\n\
            #HttpOnly_a.test\tFALSE\t/\tTRUE\t2000000\tsecret\tx=y\r\n\
            a.test\tFALSE\t/p\tFALSE\t2000000.5\tdeep\t\r\n\
            a.test\tFALSE\t/\tFALSE\t999999\texpired\t1\n\
            a.test\tfalse\t/\tfalse\t-1\tshort\n\
            a.test\tFALSE\t/\tFALSE\t99999999999999999999\tever\t\u{e9}";
        assert_eq!(
            sent(file, "http://a.test/"),
            "session=1; short=; ever=\u{e9}"
        );
        assert_eq!(
            sent(file, "https://a.test:8443/p/q"),
            "deep=; session=1; secret=x=y; short=; ever=\u{e9}"
        );
        assert_eq!(sent(file, "http://b.a.test/p"), "session=1");
        assert_eq!(sent(file, "http://test/"), "");
        assert_eq!(sent(file, "http://aa.test/"), "");
    }

    #[test]
    fn a_cookie_for_an_ip_address_is_for_that_address_alone() {
        let line = |domain: &str| format!("{domain}\tTRUE\t/\tFALSE\t0\tc\t1\n");
        assert_eq!(sent(&line("127.0.0.1"), "http://127.0.0.1:8000/"), "c=1");
        assert_eq!(sent(&line("0.0.1"), "http://127.0.0.1/"), "");
        assert_eq!(sent(&line("::1"), "http://[::1]/"), "c=1");
        assert_eq!(
            sent(&line("B\u{fc}cher.test"), "http://xn--bcher-kva.test/"),
            "c=1"
        );
    }

    #[test]
    fn a_cookie_for_a_host_and_port_goes_to_that_port_alone() {
        let file = "a.test:8080\tFALSE\t/\tFALSE\t0\tc\t1\n\
            a.test:8081\tFALSE\t/\tFALSE\t0\tc\t2\n\
            [::1]:8080\tFALSE\t/\tFALSE\t0\tc\t3\n";
        assert_eq!(sent(file, "http://a.test:8080/"), "c=1");
        assert_eq!(sent(file, "http://a.test:8081/"), "c=2");
        assert_eq!(sent(file, "http://a.test/"), "");
        assert_eq!(sent(file, "http://[::1]:8080/"), "c=3");
        assert_eq!(sent(file, "http://[::1]/"), "");
        for host in [
            "a.test:",
            "a.test:0",
            "a.test:65536",
            "a.test:x",
            ":80",
            "a.test:80:80",
        ] {
            assert_eq!(parse_host(host), None, "{host}");
        }
    }

    #[test]
    fn cookie_values_in_latin_1_are_sent_as_they_are() {
        let line = b"a.test\tFALSE\t/\tFALSE\t0\tn\xe4me\tcaf\xe9 \x80\n";
        assert_eq!(sent_bytes(line, "http://a.test/"), b"n\xe4me=caf\xe9 \x80");
    }

    #[test]
    fn lines_of_a_cookie_file_may_end_in_cr_alone() {
        let file = "# x\ra.test\tFALSE\t/\tFALSE\t0\tc\t1\ra.test\tFALSE\t/\tFALSE\t0\td\t2";
        assert_eq!(sent(file, "http://a.test/"), "c=1; d=2");
    }

    const GOOD: &str = "a.test\tFALSE\t/\tFALSE\t0\tc\t1";

    #[test]
    fn a_bad_line_is_skipped_counted_and_never_quoted() {
        for (line, reason) in [
            (
                "a.test TRUE / FALSE 0 c hunter2",
                "7 fields separated by tabs, and this line has 1",
            ),
            ("[{\"name\": \"hunter2\"}]", "7 fields"),
            ("a.test\tyes\t/\tFALSE\t0\tc\thunter2", "second field"),
            ("a.test\tTRUE\t/\t1\t0\tc\thunter2", "fourth field"),
            ("a test\tTRUE\t/\tTRUE\t0\tc\thunter2", "not a host"),
            (" a.test\tTRUE\t/\tTRUE\t0\tc\thunter2", "not a host"),
            ("\tTRUE\t/\tTRUE\t0\tc\thunter2", "not a host"),
            ("a.test\tTRUE\tx\tTRUE\t0\tc\thunter2", "not a path"),
            ("a.test\tTRUE\t/\tTRUE\tsoon\tc\thunter2", "fifth field"),
            (
                "a.test\tTRUE\t/\tTRUE\t0\tc\thunter2;x",
                "no cookie can have",
            ),
            ("a.test\tTRUE\t/\tTRUE\t0\tc\thunter2\tx", "this line has 8"),
        ] {
            let alone = format!("# a\r\n\r\n{line}\r\n");
            let skipped = CookieFile::parse(alone.as_bytes(), now()).unwrap_err();
            assert_eq!((skipped.lines, skipped.first), (1, 3), "{line}");
            let fault = skipped.fault.to_string();
            assert!(
                fault.contains(reason) && !fault.contains("hunter2"),
                "{fault}"
            );

            let among = format!("{alone}{GOOD}\n\n{line}\n");
            let file = CookieFile::parse(among.as_bytes(), now()).unwrap();
            let both = SkippedLines {
                lines: 2,
                ..skipped
            };
            assert_eq!(file.skipped(), Some(&both), "{line}");
            assert_eq!(sent(&among, "http://a.test/"), "c=1");
        }
    }

    #[test]
    fn a_cookie_file_without_lines_or_with_expired_ones_is_no_error() {
        let expired = "a.test\tFALSE\t/\tFALSE\t1\tc\t1\nodd\n";
        for (text, skipped) in [("", 0), ("# a\n\n", 0), (expired, 1)] {
            let file = CookieFile::parse(text.as_bytes(), now()).unwrap();
            let lines = file.skipped().map_or(0, |skipped| skipped.lines);
            assert_eq!((file.by_domain.len(), lines), (0, skipped), "{text}");
        }
    }

    #[test]
    fn a_cookie_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cookies.txt");
        let read = || CookieFile::read(&CookieSource::new(file.clone()), now());
        let error = read().unwrap_err();
        assert!(error.setting.contains("cookies.txt"), "{error}");
        std::fs::write(&file, b"# x\n\xff").unwrap();
        let error = read().unwrap_err();
        assert!(
            error.reason.starts_with("line 2: a cookie has 7"),
            "{error}"
        );
    }

    #[test]
    fn a_cookie_file_is_read_once_for_all_sites() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cookies.txt");
        std::fs::write(&file, "a.test\tFALSE\t/\tFALSE\t0\tc\t1\n").unwrap();
        let source = CookieSource::new(file.clone());
        let shared = source.clone();
        CookieFile::read(&source, now()).unwrap();
        std::fs::remove_file(&file).unwrap();
        let again = CookieFile::read(&shared, now()).unwrap();
        assert_eq!(again.by_domain.len(), 1);
    }

    proptest! {
        #[test]
        fn no_cookie_file_makes_the_parser_panic(text in "(\\PC|\t|\n)*") {
            let _ = CookieFile::parse(text.as_bytes(), now());
        }
    }
}
