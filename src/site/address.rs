//! Addresses on a page: resolved as a browser does, then checked.

use std::borrow::Cow;

use encoding_rs::{EncoderResult, Encoding};
use url::{Position, Url};

/// The longest usable address in bytes; servers accept no longer ones.
pub(super) const MAX_BYTES: usize = 8 * 1024;

/// Resolves `written` on a page in `encoding` whose addresses are relative to `base`; `None` when the result cannot be requested:
/// another scheme, credentials, the page itself, or not an address at all.
pub(super) fn resolve(base: &Url, written: &str, encoding: &'static Encoding) -> Option<Url> {
    // The HTML parser writes this character in place of a NUL and of bytes that are not text.
    if written.len() > MAX_BYTES || written.contains('\u{fffd}') {
        return None;
    }
    let mut address = join(base, written, encoding)?;
    address.set_fragment(None);
    (usable(&address).is_ok() && !same(&address, base)).then_some(address)
}

/// Why a text on a page is no usable address; `None` also for what pages write where a link leads nowhere: a fragment,
/// the page itself, or a script.
pub(super) fn objection(base: &Url, written: &str, encoding: &'static Encoding) -> Option<String> {
    let Some(mut address) = join(base, written, encoding) else {
        return Some("it is not an address".to_owned());
    };
    address.set_fragment(None);
    if address.scheme() == "javascript" || same(&address, base) {
        return None;
    }
    if written.contains('\u{fffd}') {
        return Some("it contains bytes that are not text".to_owned());
    }
    if written.len() > MAX_BYTES {
        return Some(format!("it is longer than {MAX_BYTES} bytes"));
    }
    usable(&address).err()
}

/// Resolves `written` as a page in `encoding` means it: its path is in UTF-8 and its query in the page's own encoding
/// (URL Standard, section 4.4, "query state").
pub(super) fn join(base: &Url, written: &str, encoding: &'static Encoding) -> Option<Url> {
    let in_encoding = borrowing(|query| encode(query, encoding));
    let parser = Url::options().base_url(Some(base));
    let parser = parser.encoding_override(Some(&in_encoding));
    parser.parse(written).ok()
}

/// The same function, known to the compiler as one whose result borrows from its argument.
fn borrowing<F: Fn(&str) -> Cow<'_, [u8]>>(function: F) -> F {
    function
}

/// A query in the encoding of a page (URL Standard, "percent-encode after encoding"); the parser escapes what is not
/// ASCII then.
fn encode<'a>(query: &'a str, encoding: &'static Encoding) -> Cow<'a, [u8]> {
    let encoding = encoding.output_encoding();
    if query.is_ascii() || encoding == encoding_rs::UTF_8 {
        return query.as_bytes().into();
    }
    let mut encoder = encoding.new_encoder();
    let mut bytes = Vec::new();
    let mut rest = query;
    loop {
        let most = encoder.max_buffer_length_from_utf8_without_replacement(rest.len());
        bytes.reserve(most.unwrap_or(rest.len()));
        let (result, read) =
            encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut bytes, true);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => return bytes.into(),
            EncoderResult::OutputFull => {}
            // A browser sends what the encoding lacks as a character reference, escaped.
            EncoderResult::Unmappable(c) => {
                bytes.extend(format!("%26%23{}%3B", u32::from(c)).into_bytes());
            }
        }
    }
}

/// What the URLs on the page at `page` are relative to: `base`, as the page writes it, where that is usable.
pub(super) fn page_base(page: &Url, base: Option<&str>, encoding: &'static Encoding) -> Url {
    base.and_then(|written| join(page, written, encoding))
        .filter(|base| matches!(base.scheme(), "http" | "https"))
        .unwrap_or_else(|| page.clone())
}

/// `address` with https in place of http, if its host is one that has https: the only code that knows of two schemes.
pub(super) fn with_https(mut address: Url, has_https: impl Fn(&str) -> bool) -> Url {
    if address.scheme() == "http"
        && address.port().is_none()
        && address.host_str().is_some_and(has_https)
    {
        // `set_scheme` cannot refuse to go from http to https.
        let _ = address.set_scheme("https");
    }
    address
}

/// Parses `text`, as a rewrite gives it or a record holds it, as an absolute address.
pub(super) fn absolute(text: &str) -> Result<Url, String> {
    let Ok(address) = Url::parse(text) else {
        return Err("it is not an address".to_owned());
    };
    requestable(address)
}

/// [`absolute`] of a text that was made from `other`. One that only lacks its end is not parsed again: scheme and host are
/// two thirds of the price.
pub(super) fn absolute_from(text: &str, other: &Url) -> Result<Url, String> {
    let before_path = other[..Position::BeforePath].len();
    let is_cut = other[..Position::AfterPath].starts_with(text) && text.len() >= before_path;
    if !is_cut || !matches!(other.scheme(), "http" | "https") {
        return absolute(text);
    }
    let mut address = other.clone();
    address.set_query(None);
    address.set_path(&text[before_path..]);
    requestable(address)
}

/// The address without its fragment, if it can be requested.
pub(super) fn requestable(mut address: Url) -> Result<Url, String> {
    address.set_fragment(None);
    usable(&address)?;
    Ok(address)
}

/// Checks that an address can be requested at all; the error says why not.
pub(super) fn usable(address: &Url) -> Result<(), String> {
    match address.scheme() {
        "http" | "https" => {}
        scheme => return Err(format!("`{scheme}:` is not supported, only http and https")),
    }
    if !address.username().is_empty() || address.password().is_some() {
        return Err("it contains a user name or a password".to_owned());
    }
    if address.as_str().len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    if address.path().contains("%00") {
        return Err("it contains a NUL".to_owned());
    }
    Ok(())
}

/// Whether an address without a fragment is that of `base`, which may have one.
fn same(address: &Url, base: &Url) -> bool {
    address.as_str() == &base[..Position::AfterQuery]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_resolved_as_a_browser_does() {
        let base = Url::parse("https://demo.invalid/browse/2/?a=b").unwrap();
        let cases = [
            ("x.png", "https://demo.invalid/browse/2/x.png"),
            ("/x.png", "https://demo.invalid/x.png"),
            ("../x.png", "https://demo.invalid/browse/x.png"),
            (
                "//static.demo.invalid/x.png",
                "https://static.demo.invalid/x.png",
            ),
            (
                " \n http://demo.invalid:80/a b.png#top ",
                "http://demo.invalid/a%20b.png",
            ),
            ("\\x.png", "https://demo.invalid/x.png"),
            ("?page=3", "https://demo.invalid/browse/2/?page=3"),
            ("HTTPS://DEMO.invalid/X.PNG", "https://demo.invalid/X.PNG"),
            ("http:x.png", "http://x.png/"),
        ];
        for (written, expected) in cases {
            assert_eq!(
                resolve(&base, written, encoding_rs::UTF_8)
                    .as_ref()
                    .map(Url::as_str),
                Some(expected),
                "{written}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_address_without_its_end_is_what_parsing_it_gives(
            host in "(https?|HTTP|ftp)://(u:p@)?(h\\.test|127\\.0\\.0\\.1|\\[::1\\]|\u{e9}\\.test)(:8080|:443)?",
            path in "(/|//|\\\\|/\\./|/\\.\\./|/%2e%2E|[ a.%2éё;:@?#\t]){0,12}",
        ) {
            if let Ok(other) = Url::parse(&format!("{host}{path}")) {
                for end in 0..=other.as_str().len() {
                    let text = &other.as_str()[..end];
                    prop_assert_eq!(absolute_from(text, &other), absolute(text), "{} of {}", text, other);
                }
            }
        }
    }

    #[test]
    fn an_address_that_cannot_be_requested_is_refused() {
        let base = Url::parse("https://demo.invalid/browse/2/").unwrap();
        let long = format!("/{}.png", "a".repeat(100_000));
        let spread = format!("/{}.png", "\u{e9}".repeat(3_000));
        let bad = [
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
            "mailto:a@b.invalid",
            "file:///etc/passwd",
            "ftp://demo.invalid/x.png",
            "",
            " ",
            "#",
            "#top",
            "https://[::1/x.png",
            "https://demo.invalid:99999/x.png",
            "https://user:password@demo.invalid/x.png",
            "https://user@demo.invalid/x.png",
            "/x\u{fffd}.png",
            "/x%00.png",
            "http://",
            "https:///",
            "about:blank",
            "blob:https://demo.invalid/x",
            &long,
            &spread,
        ];
        for written in bad {
            assert_eq!(
                resolve(&base, written, encoding_rs::UTF_8),
                None,
                "{written:.80}"
            );
        }
    }
    #[test]
    fn a_query_is_in_the_charset_of_its_page_and_a_path_in_utf_8() {
        let base = Url::parse("https://demo.invalid/browse/2/").unwrap();
        let cases: [(&'static Encoding, &str, &str); 9] = [
            (
                encoding_rs::GBK,
                "/\u{63d2}?n=\u{63d2}\u{5934}",
                "%E6%8F%92?n=%B2%E5%CD%B7",
            ),
            (
                encoding_rs::WINDOWS_1251,
                "/a?n=\u{417}\u{430}#\u{417}",
                "a?n=%C7%E0",
            ),
            (encoding_rs::WINDOWS_1251, "/a?n=%D0%97+x", "a?n=%D0%97+x"),
            (
                encoding_rs::WINDOWS_1251,
                "/a?n=\u{63d2}&\u{417}",
                "a?n=%26%2325554%3B&%C7",
            ),
            (
                encoding_rs::SHIFT_JIS,
                "/a?n=\u{58c1}\u{7d19}",
                "a?n=%95%C7%8E%86",
            ),
            (encoding_rs::UTF_16LE, "/a?n=\u{417}", "a?n=%D0%97"),
            (encoding_rs::UTF_8, "/a?n=\u{417}", "a?n=%D0%97"),
            (
                encoding_rs::WINDOWS_1252,
                "//demo.invalid/\u{e9}?\u{e9}",
                "%C3%A9?%E9",
            ),
            (
                encoding_rs::BIG5,
                "https://demo.invalid/?\u{63d2}",
                "?%B4%A1",
            ),
        ];
        for (encoding, written, expected) in cases {
            let address = resolve(&base, written, encoding).unwrap();
            assert_eq!(address.as_str(), format!("https://demo.invalid/{expected}"));
        }
    }
}
