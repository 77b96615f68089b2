//! Secrets that go along with requests, and texts without them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What may stand in a query as it is (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A value that no output may show: the type has neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The shortest one, in bytes. A shorter text stands by chance in many others, which would all be masked.
    pub const MIN_BYTES: usize = 4;

    /// Takes `text` as a secret, without the blanks and the line break around it; `None` if too little is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() >= Self::MIN_BYTES).then(|| Self(text.to_owned()))
    }

    /// The value, for the request alone.
    pub(in crate::fetch) fn expose(&self) -> &str {
        &self.0
    }
}

/// The secrets of a site by their names in its definition; one that is not there is left out of requests.
pub type Secrets = BTreeMap<String, Secret>;

/// Percent-encodes a name or a value of a query, `%20` for a blank.
pub(super) fn encode_query(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Takes secrets out of texts.
#[derive(Default)]
pub(crate) struct Masks {
    /// The forms in which a secret may stand in a text, longest first: none is cut by a shorter one.
    forms: Vec<String>,
}

impl Masks {
    /// The masks of these secrets: as they are, and as they stand in addresses, in JSON and in HTML.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut forms = Vec::new();
        for Secret(text) in secrets {
            let encoded = encode_query(text);
            let lower: String = lower_escapes(&encoded);
            // As parsers of addresses leave it: only what cannot stand in a query is encoded.
            let by_url = Url::parse("http://h.invalid/").map(|mut url| {
                url.set_query(Some(text));
                url.query().unwrap_or_default().to_owned()
            });
            let form_encoded: String =
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let json = serde_json::to_string(text).unwrap_or_default();
            let json = json.trim_matches('"').to_owned();
            let html = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;");
            forms.extend([
                text.clone(),
                encoded,
                lower,
                form_encoded,
                json.replace('/', "\\/"),
                json,
                html,
            ]);
            forms.extend(by_url);
            forms.extend(escaped_forms(text));
        }
        forms.retain(|form| form.len() >= Secret::MIN_BYTES);
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self { forms }
    }

    /// An address without the secrets, in whatever part of it they stand.
    pub(crate) fn apply_url(&self, address: Url) -> Url {
        match self.apply(address.as_str()) {
            Cow::Borrowed(_) => address,
            // A mask can stand wherever a secret can, but in a host.
            Cow::Owned(masked) => Url::parse(&masked).unwrap_or_else(|_| {
                let mut origin = address;
                origin.set_path(MASK);
                origin.set_query(None);
                origin
            }),
        }
    }

    /// Whether there is nothing to take out.
    pub(crate) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// `text` without the secrets.
    pub(crate) fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.forms.iter().fold(text.into(), |text, form| {
            if text.contains(form.as_str()) {
                text.replace(form.as_str(), MASK).into()
            } else {
                text
            }
        })
    }
}

/// The spellings of a secret in which every character that is not a letter or a digit is escaped: in addresses with and
/// without the slash, in JSON and in HTML.
fn escaped_forms(text: &str) -> Vec<String> {
    let escaped = |escape: &dyn Fn(char) -> String| -> String {
        let escape = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_string()
            } else {
                escape(c)
            }
        };
        text.chars().map(escape).collect()
    };
    let percent = |c: char| -> String {
        let bytes = c.to_string().into_bytes();
        bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
    };
    let keeps = |kept: &'static str| {
        escaped(&move |c| {
            if kept.contains(c) {
                c.to_string()
            } else {
                percent(c)
            }
        })
    };
    let units = |c: char, upper: bool| -> String {
        let mut buffer = [0; 2];
        let units = c.encode_utf16(&mut buffer).iter();
        let unit = |unit: &u16| {
            if upper {
                format!("\\u{unit:04X}")
            } else {
                format!("\\u{unit:04x}")
            }
        };
        units.map(unit).collect()
    };
    let in_addresses = ["", "/", "-_.~", "-_.~/"].map(keeps);
    let mut forms: Vec<_> = in_addresses
        .iter()
        .flat_map(|form| [form.clone(), lower_escapes(form)])
        .collect();
    forms.extend([
        escaped(&|c| units(c, false)),
        escaped(&|c| units(c, true)),
        escaped(&|c| format!("&#{};", u32::from(c))),
        escaped(&|c| format!("&#x{:x};", u32::from(c))),
        escaped(&|c| format!("&#x{:X};", u32::from(c))),
    ]);
    forms
}

impl Masks {
    /// `bytes` without the secrets: a page, before it is known in which encoding it is.
    pub(crate) fn apply_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.forms.iter().fold(bytes, |bytes, form| {
            let finder = memchr::memmem::Finder::new(form);
            let mut rest = &bytes[..];
            let mut masked = Vec::new();
            while let Some(at) = finder.find(rest) {
                masked.extend_from_slice(&rest[..at]);
                masked.extend_from_slice(MASK.as_bytes());
                rest = &rest[at + form.len()..];
            }
            if masked.is_empty() && rest.len() == bytes.len() {
                return bytes;
            }
            masked.extend_from_slice(rest);
            masked
        })
    }
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masks").finish_non_exhaustive()
    }
}

/// `%2F` -> `%2f`.
fn lower_escapes(encoded: &str) -> String {
    let mut left = 0_u8;
    encoded
        .chars()
        .map(|c| {
            let in_escape = left > 0;
            left = if c == '%' { 2 } else { left.saturating_sub(1) };
            if in_escape { c.to_ascii_lowercase() } else { c }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_in_every_form_that_it_has_in_texts() {
        let secret = Secret::new(" a/b c&\"d\u{e9}\n").unwrap();
        let masks = Masks::new([&secret]);
        for text in [
            "a/b c&\"d\u{e9}",
            "https://h.test/?k=a%2Fb%20c%26%22d%C3%A9&p=2",
            "https://h.test/?k=a%2fb%20c%26%22d%c3%a9",
            "https://h.test/?k=a%2Fb+c%26%22d%C3%A9",
            r#"{"k": "a\/b c&\"dé"}"#,
            "<a title='a/b c&amp;&quot;d\u{e9}'>",
            "k=a/b%20c%26%22d%C3%A9",
            r#"{"k": "a\u002fb\u0020c\u0026\u0022d\u00e9"}"#,
            r#"{"k": "a\u002Fb\u0020c\u0026\u0022d\u00E9"}"#,
            "a&#47;b&#32;c&#38;&#34;d&#233;",
            "a&#x2f;b&#x20;c&#x26;&#x22;d&#xe9;",
        ] {
            let masked = masks.apply(text);
            assert!(masked.contains(MASK), "{text}: {masked}");
            assert!(
                !masked.contains("b c") && !masked.contains("%20c"),
                "{masked}"
            );
        }
        assert_eq!(masks.apply("a/b"), "a/b");
        let page = b"\xffk=a%2Fb%20c%26%22d%C3%A9&l=a%2Fb%20c%26%22d%C3%A9".to_vec();
        assert_eq!(masks.apply_bytes(page), b"\xffk=***&l=***");
        assert_eq!(masks.apply_bytes(b"a/b".to_vec()), b"a/b");
        assert!(Secret::new("abc\n").is_none());
        for (address, masked) in [
            (
                "https://h.test/a/b%20c&%22d%C3%A9/x",
                "https://h.test/***/x",
            ),
            (
                "https://h.test/?k=a%2Fb%20c%26%22d%C3%A9&l=1",
                "https://h.test/?k=***&l=1",
            ),
            ("https://h.test/?k=1", "https://h.test/?k=1"),
        ] {
            let address = Url::parse(address).unwrap();
            assert_eq!(masks.apply_url(address).as_str(), masked);
        }
    }
}
