//! What the headers of a response say about its body.

use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, LOCATION, TRANSFER_ENCODING};
use url::Url;

/// The value of a header if there is one and it is plain text.
pub(crate) fn text_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The size of all headers together, in bytes.
pub(crate) fn head_size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// The length of the body; unknown for a chunked one.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    if is_chunked(headers) {
        return None;
    }
    text_value(headers, &CONTENT_LENGTH)?.trim().parse().ok()
}

/// Whether the body is chunked, so that its last chunk says that it is the last.
pub(super) fn is_chunked(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
}

/// The target of a redirect from `address`; `None` for any other status.
///
/// # Errors
///
/// When the redirect has no usable target: why.
pub(crate) fn redirect_target(
    status: u16,
    headers: &HeaderMap,
    address: &Url,
) -> Result<Option<Url>, &'static str> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = headers.get(LOCATION).ok_or("it has no Location header")?;
    let mut target = address
        .join(&as_ascii(location.as_bytes()))
        .map_err(|_| "its Location is not a valid address")?;
    // It is never sent, and would hide that two addresses are one.
    target.set_fragment(None);
    Ok(Some(target))
}

/// A `Location` as browsers ask it: bytes beyond ASCII, in any charset, are percent-encoded as
/// they are. Decoded first, they would come back as another charset's bytes. What else an address may
/// not have unescaped, such as a blank, joining escapes.
fn as_ascii(location: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut ascii = String::with_capacity(location.len());
    for &byte in location {
        if byte.is_ascii() {
            ascii.push(char::from(byte));
        } else {
            write!(ascii, "%{byte:02X}").expect("a string takes all text");
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn led_to(location: &[u8]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_bytes(location).unwrap());
        let from = Url::parse("http://gallery.test/a/b.png?c").unwrap();
        Ok(redirect_target(302, &headers, &from)?.unwrap().into())
    }

    #[test]
    fn a_location_in_any_charset_is_asked_byte_for_byte() {
        for (location, address) in [
            (b"/caf\xe9.png".as_slice(), "http://gallery.test/caf%E9.png"),
            (
                "/caf\u{e9}.png".as_bytes(),
                "http://gallery.test/caf%C3%A9.png",
            ),
            (
                b"caf%E9 \xb2\xe5?q=\xe9 x#\xe9",
                "http://gallery.test/a/caf%E9%20%B2%E5?q=%E9%20x",
            ),
            (
                b" /a b<\"c>.png\t",
                "http://gallery.test/a%20b%3C%22c%3E.png",
            ),
            (b"?d", "http://gallery.test/a/b.png?d"),
            (b"//cdn.test/x", "http://cdn.test/x"),
            (b"http:\\\\cdn.test\\x", "http://cdn.test/x"),
            (
                "http://b\u{fc}cher.test/".as_bytes(),
                "http://xn--bcher-kva.test/",
            ),
        ] {
            assert_eq!(led_to(location).unwrap(), address);
        }
        assert!(led_to(b"http://b\xfccher.test/").is_err());
        assert!(led_to(b"http://[nowhere").is_err());
    }
}
