//! The user's cookies (`--cookies`): a file in the format of Netscape's browser, as curl, wget and
//! the exporters of browsers write it. One cookie a line, seven fields separated by tabs: domain,
//! whether hosts below it get it too, path, whether it is for https only, when it expires in seconds
//! since 1970 (0: with the browser's session), name, value.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use reqwest::header::{COOKIE, HeaderMap, HeaderValue};
use url::{Host, Url};

use super::cookies::{Cookie, HopCookies, header};
use crate::fetch::error::SettingError;
use crate::fetch::settings::CookieSource;

/// Before the domain of a cookie that scripts cannot read; otherwise `#` begins a comment.
const HTTP_ONLY: &str = "#HttpOnly_";

/// The cookies of the user's file, by domain.
#[derive(Debug, Default)]
pub(crate) struct CookieFile {
    by_domain: HashMap<String, Vec<Cookie>>,
}

impl CookieFile {
    /// Reads the file; cookies that have expired by `now` are left out.
    pub(crate) fn read(source: &CookieSource, now: SystemTime) -> Result<Self, SettingError> {
        let refuse = |reason: String| SettingError {
            setting: format!("cookie file `{}`", source.path().display()),
            reason,
        };
        let bytes = source.bytes().map_err(refuse)?;
        let text = str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|&byte| byte == b'\n').count();
            refuse(format!("line {line}: not UTF-8"))
        })?;
        Self::parse(text, now).map_err(refuse)
    }

    fn parse(text: &str, now: SystemTime) -> Result<Self, String> {
        let mut file = Self::default();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.strip_prefix(HTTP_ONLY).unwrap_or(line);
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            // The message never quotes the line: it may hold a secret.
            let cookie = cookie(line, now)
                .map_err(|reason| format!("line {}: {reason}", index.saturating_add(1)))?;
            if let Some(cookie) = cookie {
                let of_domain = file.by_domain.entry(cookie.domain.clone()).or_default();
                // Of two lines for one cookie the later one counts, as in browsers and curl.
                of_domain.retain(|old: &Cookie| !old.is_replaced_by(&cookie));
                of_domain.push(cookie);
            }
        }
        Ok(file)
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

/// The cookie of a line; `None` if it has expired.
fn cookie(line: &str, now: SystemTime) -> Result<Option<Cookie>, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (fields, value) = match fields[..] {
        [ref fields @ .., value] if fields.len() == 6 => (fields, value),
        // An editor that cuts blanks off cuts off the tab before an empty value.
        ref fields if fields.len() == 6 => (fields, ""),
        _ => {
            return Err(format!(
                "a cookie has 7 fields separated by tabs, and this line has {}",
                fields.len()
            ));
        }
    };
    let &[domain, subdomains, path, secure, expires, name] = fields else {
        unreachable!("six fields are left in both cases");
    };
    let (host, has_dot) = domain
        .strip_prefix('.')
        .map_or((domain, false), |host| (host, true));
    let with_subdomains = truth(subdomains, "second")? || has_dot;
    let secure = truth(secure, "fourth")?;
    let host = parse_host(host).ok_or("the first field is not a host")?;
    if !path.starts_with('/') {
        return Err("the third field is not a path: it does not begin with `/`".to_owned());
    }
    if has_delimiter(name) || name.contains('=') || has_delimiter(value) {
        return Err("the name or value has characters that no cookie can have".to_owned());
    }
    let expires: f64 = match expires.trim() {
        "" => 0.0,
        seconds => seconds
            .parse()
            .map_err(|_| "the fifth field is not a time in seconds since 1970")?,
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
        port: None,
    }))
}

fn truth(field: &str, which: &str) -> Result<bool, String> {
    match field.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("the {which} field is neither TRUE nor FALSE")),
    }
}

/// A host as addresses have it. An IPv6 address may stand without its brackets.
fn parse_host(text: &str) -> Option<Host> {
    let bracketed = || Host::parse(&format!("[{text}]"));
    Host::parse(text).or_else(|_| bracketed()).ok()
}

fn has_delimiter(text: &str) -> bool {
    text.contains(|c: char| c == ';' || c.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn sent(file: &str, to: &str) -> String {
        let file = CookieFile::parse(file, now()).unwrap();
        let mut headers = HeaderMap::new();
        let address = Url::parse(to).unwrap();
        file.add_header(&mut headers, &address, &HopCookies::default(), true);
        let value = headers.get(COOKIE).map(HeaderValue::as_bytes);
        String::from_utf8(value.unwrap_or_default().to_vec()).unwrap()
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
    fn a_bad_line_is_named_and_never_quoted() {
        for (line, reason) in [
            (
                "a.test TRUE / FALSE 0 c hunter2",
                "7 fields separated by tabs, and this line has 1",
            ),
            ("[{\"name\": \"hunter2\"}]", "7 fields"),
            ("a.test\tyes\t/\tFALSE\t0\tc\thunter2", "second field"),
            ("a.test\tTRUE\t/\t1\t0\tc\thunter2", "fourth field"),
            ("a test\tTRUE\t/\tTRUE\t0\tc\thunter2", "not a host"),
            ("\tTRUE\t/\tTRUE\t0\tc\thunter2", "not a host"),
            ("a.test\tTRUE\tx\tTRUE\t0\tc\thunter2", "not a path"),
            ("a.test\tTRUE\t/\tTRUE\tsoon\tc\thunter2", "fifth field"),
            (
                "a.test\tTRUE\t/\tTRUE\t0\tc\thunter2;x",
                "no cookie can have",
            ),
            ("a.test\tTRUE\t/\tTRUE\t0\tc\thunter2\tx", "this line has 8"),
        ] {
            let error = CookieFile::parse(&format!("# a\n\n{line}\n"), now()).unwrap_err();
            assert!(
                error.starts_with("line 3: ") && error.contains(reason),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
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
        assert_eq!(error.reason, "line 2: not UTF-8");
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
            let _ = CookieFile::parse(&text, now());
        }
    }
}
