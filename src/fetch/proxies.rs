//! The proxies that the environment names. Read once, before anything is requested, and asked by every client:
//! the libraries' own readers leave out a value that they do not understand, and go straight to the site.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use thiserror::Error;
use url::Url;

/// Which proxy each request goes through.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: DirectHosts,
}

/// A proxy that can be spoken to. The address may hold a password.
#[derive(Clone)]
struct Proxy(Url);

/// The password stays out of every log.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Proxy")
            .field(&host_and_port(&self.0))
            .finish()
    }
}

/// An environment variable names no proxy that could be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{variable}` names no usable proxy: {reason}; correct it, or unset it to request without a proxy"
)]
pub struct ProxyError {
    /// The variable. Its value is left out, since it may hold a password.
    variable: &'static str,
    reason: ProxyFault,
}

/// What is wrong with a proxy variable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum ProxyFault {
    #[error("it is not UTF-8")]
    Encoding,
    #[error(
        "it is no address as `http://proxy.example:3128` (a `#`, `/`, `?` or `@` in a password is written as %23, %2F, %3F or %40)"
    )]
    Address,
    #[error("the scheme `{0}` is none of http, https, socks, socks4, socks4a, socks5 and socks5h")]
    Scheme(String),
}

impl Proxies {
    /// Reads the variables as curl does, in both cases and the lower one first: `http_proxy`, `https_proxy`, `all_proxy`
    /// for both, and `no_proxy`. An empty one counts as unset. In a CGI program (`REQUEST_METHOD` is set) a client can set
    /// `HTTP_PROXY` by a header, so it is not read there; see [`Proxies::is_ignored`].
    ///
    /// # Errors
    ///
    /// When a value that would be used is no address, or has a scheme that is not spoken.
    pub fn from_variables(variables: &[(OsString, OsString)]) -> Result<Self, ProxyError> {
        let values: HashMap<_, _> = variables
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
            .collect();
        let first = |names: [&'static str; 2]| {
            names
                .into_iter()
                .filter(|name| *name != HTTP_PROXY || !values.contains_key(OsStr::new(CGI)))
                .find_map(|name| Some((name, *values.get(OsStr::new(name))?)))
        };
        let direct = match first(["no_proxy", "NO_PROXY"]) {
            Some((variable, list)) => DirectHosts::new(list.to_str().ok_or(ProxyError {
                variable,
                reason: ProxyFault::Encoding,
            })?),
            None => DirectHosts::default(),
        };
        if direct.all {
            return Ok(Self::default());
        }
        // `all_proxy` last: where both others are set it is not used, and so not read.
        let proxy = |names| {
            first(names)
                .or_else(|| first(["all_proxy", "ALL_PROXY"]))
                .map(read)
                .transpose()
        };
        Ok(Self(Arc::new(Rules {
            http: proxy(["http_proxy", HTTP_PROXY])?,
            https: proxy(["https_proxy", "HTTPS_PROXY"])?,
            direct,
        })))
    }

    /// Whether `HTTP_PROXY` is set and not read, as the program was started for a request to a web server.
    pub fn is_ignored(variables: &[(OsString, OsString)]) -> bool {
        let is_set = |wanted: &str| {
            variables
                .iter()
                .any(|(name, value)| name == wanted && !value.is_empty())
        };
        is_set(HTTP_PROXY) && is_set(CGI) && !is_set("http_proxy")
    }

    /// Whether every request goes straight to its site.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.http.is_none() && self.0.https.is_none()
    }

    /// The hosts of the proxies, as in an address.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        let Rules { http, https, .. } = &*self.0;
        let proxies = http.iter().chain(https);
        proxies.filter_map(|Proxy(address)| address.host_str())
    }

    /// The proxy for requests to a host, if they go through one. `host` is as in an address: IPv6 in brackets.
    pub(crate) fn of(&self, scheme: &str, host: &str) -> Option<&Url> {
        let Rules {
            http,
            https,
            direct,
        } = &*self.0;
        let proxy = match scheme {
            "http" => http,
            "https" => https,
            _ => &None,
        };
        let Proxy(address) = proxy.as_ref().filter(|_| !direct.contains(host))?;
        Some(address)
    }

    /// Host and port of the proxy for `address`.
    pub(crate) fn shown(&self, address: &Url) -> Option<String> {
        self.of(address.scheme(), address.host_str()?)
            .map(host_and_port)
    }
}

/// What a client of a web server can set by the header `Proxy` (CVE-2016-5385).
const HTTP_PROXY: &str = "HTTP_PROXY";

/// Set in every CGI program (RFC 3875 section 4.1.12).
const CGI: &str = "REQUEST_METHOD";

fn host_and_port(proxy: &Url) -> String {
    let host = proxy.host_str().unwrap_or_default();
    match proxy.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn read((variable, value): (&'static str, &OsStr)) -> Result<Proxy, ProxyError> {
    let value = value.to_str().ok_or(ProxyFault::Encoding);
    value
        .and_then(proxy)
        .map_err(|reason| ProxyError { variable, reason })
}

fn proxy(value: &str) -> Result<Proxy, ProxyFault> {
    let value = value.trim();
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let scheme = scheme.to_ascii_lowercase();
    let spoken = match scheme.as_str() {
        // GNOME's name for SOCKS 5, whose own programs let the proxy find the address of a name.
        "socks" => "socks5h",
        "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h" => &scheme,
        _ => {
            let named = scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            // Anything else may be part of a password.
            return Err(if named {
                ProxyFault::Scheme(scheme)
            } else {
                ProxyFault::Address
            });
        }
    };
    let mut address = Url::parse(&format!("{spoken}://{rest}")).map_err(|_| ProxyFault::Address)?;
    let no_path = matches!(address.path(), "" | "/");
    let whole = no_path && address.query().is_none() && address.fragment().is_none();
    if !whole || address.host_str().is_none_or(str::is_empty) {
        return Err(ProxyFault::Address);
    }
    if spoken.starts_with("socks") && address.port().is_none() {
        // The port of SOCKS (RFC 1928 section 3).
        address
            .set_port(Some(1080))
            .map_err(|()| ProxyFault::Address)?;
    }
    // What the clients' own parser refuses it would leave out in silence.
    let read = Matcher::builder().all(address.as_str()).build();
    let any = hyper::Uri::from_static("http://site.invalid/");
    if read.intercept(&any).is_none() {
        return Err(ProxyFault::Address);
    }
    Ok(Proxy(address))
}

/// The hosts that are requested without a proxy: `no_proxy`, as curl 7.86 and later read it. Names and addresses are
/// separated by commas or blanks; a name stands for itself and what is below it, with or without a leading dot; an
/// address may have a length of network behind it; `*` alone is every host. Ports are not known.
#[derive(Debug, Default)]
struct DirectHosts {
    all: bool,
    entries: Vec<String>,
}

impl DirectHosts {
    fn new(list: &str) -> Self {
        Self {
            all: list.trim() == "*",
            entries: list
                .split(|c: char| c == ',' || c.is_ascii_whitespace())
                .filter(|entry| !entry.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    fn contains(&self, host: &str) -> bool {
        if self.all {
            return true;
        }
        let host = without_brackets(host);
        match host.parse::<IpAddr>() {
            Ok(address) => self.entries.iter().any(|entry| covers(entry, address)),
            Err(_) => self.entries.iter().any(|entry| is_below(host, entry)),
        }
    }
}

fn without_brackets(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// Whether `host` is the domain `entry` or in it.
fn is_below(host: &str, entry: &str) -> bool {
    let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let (host, entry) = (bare(host), bare(entry.strip_prefix('.').unwrap_or(entry)));
    let before = host.strip_suffix(&entry);
    !entry.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether `entry` is the address, or a network (RFC 4632) that it is in.
fn covers(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, Some(bits)),
        None => (entry, None),
    };
    let Ok(network) = without_brackets(network).parse::<IpAddr>() else {
        return false;
    };
    let (network, address, length) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => (
            u128::from(network.to_bits()) << 96,
            u128::from(address.to_bits()) << 96,
            32,
        ),
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let bits = match bits.map(str::parse::<u32>) {
        None => length,
        Some(Ok(bits)) if bits <= length => bits,
        Some(_) => return false,
    };
    // Shifting by all 128 bits would overflow.
    (network ^ address)
        .checked_shr(128 - bits)
        .is_none_or(|different| different == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        Proxies::from_variables(&variables)
    }

    fn of(variables: &[(&str, &str)], address: &str) -> Option<String> {
        let address = Url::parse(address).unwrap();
        let proxies = read(variables).unwrap();
        let proxy = proxies.of(address.scheme(), address.host_str()?)?;
        Some(proxy.to_string())
    }

    #[test]
    fn a_proxy_is_read_in_every_scheme_that_is_spoken() {
        for (value, read) in [
            ("http://proxy.test:3128", "http://proxy.test:3128/"),
            ("HTTP://proxy.test:3128/", "http://proxy.test:3128/"),
            ("proxy.test:3128", "http://proxy.test:3128/"),
            (
                "me:secret@proxy.test:3128",
                "http://me:secret@proxy.test:3128/",
            ),
            (" 127.0.0.1:3128 ", "http://127.0.0.1:3128/"),
            ("[::1]:3128", "http://[::1]:3128/"),
            ("https://proxy.test", "https://proxy.test/"),
            ("socks://127.0.0.1:9050/", "socks5h://127.0.0.1:9050/"),
            ("SOCKS://127.0.0.1", "socks5h://127.0.0.1:1080"),
            ("socks5://127.0.0.1:9050", "socks5://127.0.0.1:9050"),
            (
                "socks5h://me:p%40ss@[::1]:9050",
                "socks5h://me:p%40ss@[::1]:9050",
            ),
            ("socks4a://127.0.0.1:9050", "socks4a://127.0.0.1:9050"),
        ] {
            let found = of(&[("all_proxy", value)], "http://a.test/");
            assert_eq!(found.as_deref(), Some(read), "{value}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_and_its_password_not_shown() {
        for value in [
            "http://bad host:xx",
            "ftp://127.0.0.1:21",
            "quic://me:secret@proxy.test",
            "http://me:secret#@proxy.test",
            "http://me:sec/ret@proxy.test:1",
            "me:secret/x://@proxy.test",
            "http://",
            "://",
            "http://proxy.test:99999",
            "socks5://",
            "http://proxy.test/wpad.dat",
            "DIRECT;PROXY x:1",
        ] {
            for variable in ["http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
                let error = read(&[(variable, value)]).unwrap_err().to_string();
                assert!(error.starts_with(&format!("`{variable}` ")), "{error}");
                assert!(!error.contains("secret"), "{error}");
            }
        }
    }

    #[test]
    fn the_lower_case_comes_first_and_an_empty_variable_counts_as_unset() {
        let site = "http://a.test/";
        let both = [
            ("http_proxy", "low:1"),
            ("HTTP_PROXY", "high:1"),
            ("all_proxy", "all:1"),
        ];
        assert_eq!(of(&both, site).unwrap(), "http://low:1/");
        assert_eq!(of(&both, "https://a.test/").unwrap(), "http://all:1/");
        let empty = [("http_proxy", ""), ("HTTP_PROXY", "high:1")];
        assert_eq!(of(&empty, site).unwrap(), "http://high:1/");
        assert_eq!(of(&[("http_proxy", ""), ("all_proxy", "")], site), None);
    }

    #[test]
    fn a_proxy_variable_that_is_not_used_is_not_read() {
        let odd = ("all_proxy", "quic://proxy.test");
        let (http, https) = (("http_proxy", "http:1"), ("HTTPS_PROXY", "https:1"));
        let both = [odd, http, https];
        assert_eq!(of(&both, "http://a.test/").unwrap(), "http://http:1/");
        assert_eq!(of(&both, "https://a.test/").unwrap(), "http://https:1/");
        for one in [http, https] {
            let error = read(&[odd, one]).unwrap_err().to_string();
            assert!(error.starts_with("`all_proxy` "), "{error}");
        }
        for odd in [odd, ("http_proxy", ":"), ("https_proxy", ":")] {
            assert!(read(&[odd, ("no_proxy", " * ")]).unwrap().is_empty());
            assert!(read(&[odd, ("no_proxy", "*.test")]).is_err());
        }
    }

    #[test]
    fn http_proxy_in_capitals_is_not_read_in_a_cgi_program() {
        let set = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "evil:1")];
        assert_eq!(of(&set, "http://a.test/"), None);
        let owned = set.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        assert!(Proxies::is_ignored(&owned) && !Proxies::is_ignored(&owned[1..]));
        let lower = [set[0], ("http_proxy", "mine:1")];
        assert_eq!(of(&lower, "http://a.test/").unwrap(), "http://mine:1/");
    }

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        for (list, host, direct) in [
            ("*", "a.test", true),
            ("example.com", "example.com", true),
            ("example.com", "WWW.Example.com", true),
            (".example.com", "www.example.com", true),
            (".example.com", "example.com", true),
            ("example.com.", "www.example.com", true),
            ("example.com", "badexample.com", false),
            ("www.example.com", "example.com", false),
            ("a.test, b.test\tc.test", "b.test", true),
            ("a.test, b.test\tc.test", "c.test", true),
            ("*.example.com", "www.example.com", false),
            ("example.com:80", "example.com", false),
            (",, ,", "a.test", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("0.0.1", "127.0.0.1", false),
            ("192.168.0.0/16", "192.168.7.7", true),
            ("192.168.0.0/16", "192.169.7.7", false),
            ("10.0.0.0/33", "10.0.0.1", false),
            ("0.0.0.0/0", "9.9.9.9", true),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("fd00::/8", "[fdff::1]", true),
            ("fd00::/8", "[fe80::1]", false),
            ("0.0.0.0/0", "[::1]", false),
        ] {
            let variables = [("all_proxy", "proxy.test:1"), ("NO_PROXY", list)];
            let proxy = of(&variables, &format!("http://{host}/"));
            assert_eq!(proxy.is_none(), direct, "{list}: {host}");
        }
    }
}
