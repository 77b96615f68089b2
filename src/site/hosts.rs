//! The hosts that a definition names for its images: single ones, all below a domain, or any.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use url::Host;

use super::diagnostic::Diagnostic;

/// The word for every host.
const ANY: &str = "any";

/// A host, or all hosts below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host alone.
    Exact(String),
    /// Every host with one or more labels in front of this domain, and not the domain itself.
    Below(String),
}

/// Why a text names no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostFault {
    /// It is no host, with or without `*.` in front.
    Syntax,
    /// A `*` elsewhere than in front, as the whole of a label.
    Star,
    /// All hosts of a top-level domain.
    TopLevel,
    /// A dot at its end.
    Dot,
}

impl HostPattern {
    /// Reads `host.example.com` or `*.example.com`.
    pub(super) fn parse(text: &str) -> Result<Self, HostFault> {
        // It would be accepted and match nothing: addresses on pages have none.
        if text.ends_with('.') && text != "*." {
            return Err(HostFault::Dot);
        }
        let Some(domain) = text.strip_prefix("*.") else {
            let star = if text.contains('*') {
                HostFault::Star
            } else {
                HostFault::Syntax
            };
            // The parser takes a `*` for a letter.
            return match Host::parse(text) {
                Ok(host) if !text.contains('*') => Ok(Self::Exact(host.to_string())),
                Ok(_) | Err(_) => Err(star),
            };
        };
        if domain.contains('*') {
            return Err(HostFault::Star);
        }
        match Host::parse(domain) {
            Ok(Host::Domain(domain)) if domain.contains('.') => Ok(Self::Below(domain)),
            Ok(Host::Domain(_)) => Err(HostFault::TopLevel),
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => Err(HostFault::Syntax),
        }
    }

    /// Whether `host`, as in an address, is one of these.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(domain) => host
                .strip_suffix(domain.as_str())
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// Whether images may be on hosts that the definition does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnyHost {
    /// They may not.
    #[default]
    Refused,
    /// The definition says so, and the user has not allowed it (`--allow-any-host`).
    NotAllowed,
    /// They may be on every public host.
    Allowed,
}

/// The hosts of a site's images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageHosts {
    /// Those that the definition names.
    pub named: Vec<HostPattern>,
    /// Whether there may be others.
    pub any: AnyHost,
}

impl ImageHosts {
    /// Whether the definition names `host`.
    pub fn names(&self, host: &str) -> bool {
        self.named.iter().any(|pattern| pattern.matches(host))
    }

    /// The hosts that are named one by one.
    pub fn exact(&self) -> impl Iterator<Item = &str> {
        self.named.iter().filter_map(|pattern| match pattern {
            HostPattern::Exact(host) => Some(host.as_str()),
            HostPattern::Below(_) => None,
        })
    }

    /// Reads `site.image_hosts`.
    pub(super) fn compile(written: &Spanned<HostsInput>) -> Result<Self, Diagnostic> {
        let mut hosts = Self::default();
        match written.get_ref() {
            HostsInput::Word(word) if word.eq_ignore_ascii_case(ANY) => {
                hosts.any = AnyHost::NotAllowed;
            }
            HostsInput::Word(word) => {
                let help = format!("write a list, as `[\"{word}\"]`, or `\"{ANY}\"`");
                return Err(Diagnostic::at(written, "not a list of hosts").help(help));
            }
            HostsInput::List(list) => {
                for host in list {
                    if host.get_ref().eq_ignore_ascii_case(ANY) {
                        hosts.any = AnyHost::NotAllowed;
                    } else {
                        hosts.named.push(pattern(host)?);
                    }
                }
            }
        }
        Ok(hosts)
    }
}

fn pattern(written: &Spanned<String>) -> Result<HostPattern, Diagnostic> {
    HostPattern::parse(written.get_ref()).map_err(|fault| match fault {
        HostFault::Syntax => Diagnostic::at(written, "not a host").help(
            "write the host alone, as `static.example.com` or `*.example.com`: no scheme, no port, no path",
        ),
        HostFault::Star => Diagnostic::at(written, "a `*` within the name of a host")
            .help("`*.example.com` is every host below `example.com`; there is no other form"),
        HostFault::Dot => Diagnostic::at(written, "a host with a dot at its end")
            .help("remove the dot: the addresses on pages have none"),
        HostFault::TopLevel => Diagnostic::at(written, "all hosts of a top-level domain").help(
            "name the domain of the site, as `*.example.com`, or allow every host with `\"any\"`",
        ),
    })
}

/// `site.image_hosts` as written.
pub(super) enum HostsInput {
    /// A text alone: only `any` is one.
    Word(String),
    List(Vec<Spanned<String>>),
}

impl Default for HostsInput {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<'de> Deserialize<'de> for HostsInput {
    /// Not an untagged enum: that buffers the value and loses its spans.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HostsVisitor)
    }
}

struct HostsVisitor;

impl<'de> Visitor<'de> for HostsVisitor {
    type Value = HostsInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hosts, or `\"any\"`")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<HostsInput, E> {
        Ok(HostsInput::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<HostsInput, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(HostsInput::List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_matches_hosts_below_a_domain_and_not_the_domain() {
        let below = HostPattern::parse("*.Example.com").unwrap();
        for inside in ["i.example.com", "a.b.example.com"] {
            assert!(below.matches(inside), "{inside}");
        }
        for outside in [
            "example.com",
            ".example.com",
            "badexample.com",
            "example.com.evil.test",
            "i.example.com.",
            "",
        ] {
            assert!(!below.matches(outside), "{outside}");
        }
        let exact = HostPattern::parse("I.example.com").unwrap();
        assert!(exact.matches("i.example.com") && !exact.matches("a.i.example.com"));
    }

    #[test]
    fn a_host_pattern_that_would_match_nothing_or_too_much_is_refused() {
        let fault = |text| HostPattern::parse(text).unwrap_err();
        for star in [
            "*",
            "i*.example.com",
            "a.*.com",
            "*.*.com",
            "**.a.com",
            "any.*",
        ] {
            assert_eq!(fault(star), HostFault::Star, "{star}");
        }
        for syntax in [
            "",
            "a b",
            "a/b",
            "a:80",
            "http://a.com",
            "//a.com",
            " a.com",
            "*.",
            "*.1.2.3.4",
            "*.[::1]",
            "*.a/b.com",
        ] {
            assert_eq!(fault(syntax), HostFault::Syntax, "{syntax}");
        }
        for wide in ["*.com", "*.localhost"] {
            assert_eq!(fault(wide), HostFault::TopLevel, "{wide}");
        }
        for dot in [".", "a.com.", "*.a.com.", "*.com.", "1.2.3.4."] {
            assert_eq!(fault(dot), HostFault::Dot, "{dot}");
        }
    }

    #[test]
    fn image_hosts_are_a_list_or_the_word_any() {
        #[derive(Deserialize)]
        struct Table {
            hosts: Spanned<HostsInput>,
        }
        let read = |text: &str| {
            let table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
            ImageHosts::compile(&table.hosts).map_err(|error| error.locate(text).to_string())
        };
        for any in ["'any'", "'Any'", "['ANY']"] {
            let hosts = read(&format!("hosts = {any}")).unwrap();
            assert_eq!(
                (hosts.any, hosts.named.len()),
                (AnyHost::NotAllowed, 0),
                "{any}"
            );
        }
        let both = read("hosts = ['i.example.com', 'any', '*.cdn.test']").unwrap();
        assert_eq!((both.named.len(), both.any), (2, AnyHost::NotAllowed));
        assert!(both.names("x.cdn.test") && !both.names("other.test"));
        let error = read("hosts = 'i.example.com'").unwrap_err();
        assert!(error.contains("not a list of hosts"), "{error}");
        let error = read("hosts = ['a.test', '*.com']").unwrap_err();
        assert!(error.contains("column 20"), "{error}");
    }
}
