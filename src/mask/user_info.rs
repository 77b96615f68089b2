//! Addresses without the user names and passwords in them.

use std::borrow::Cow;

use url::{Position, Url};

/// What an error may show of a text that should be an address: `...` stands for the user name and the password in it,
/// since the message may end in a log.
///
/// Where the text is no address, nobody knows where its password ends, so all in front of the last `@` is left out but
/// the scheme.
pub fn hide_user_info(text: &str) -> Cow<'_, str> {
    if let Ok(address) = Url::parse(text)
        && address.has_host()
    {
        if address.username().is_empty() && address.password().is_none() {
            return text.into();
        }
        let (scheme, rest) = (address.scheme(), &address[Position::BeforeHost..]);
        return format!("{scheme}://...@{rest}").into();
    }
    let Some(at) = text.rfind('@') else {
        return text.into();
    };
    let scheme = text[..at]
        .find("://")
        .map_or("", |end| &text[..end + "://".len()]);
    format!("{scheme}...{}", &text[at..]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_in_an_address_is_not_shown() {
        for (text, shown) in [
            ("http://me:s3cr3t@ho st/", "http://...@ho st/"),
            ("http://me:s3/cr3t@host/", "http://...@host/"),
            ("http://me:s3@cr3t@host:x/", "http://...@host:x/"),
            ("http:///me:s3cr3t@host/a@b", "http://...@host/a@b"),
            ("http:me:s3cr3t@host/", "http://...@host/"),
            ("ftp://s3cr3t@host/a", "ftp://...@host/a"),
            ("me:s3cr3t@host/x://y", "...@host/x://y"),
            ("me:s3cr3t@host", "...@host"),
            ("http://host/a@b", "http://host/a@b"),
            ("http://ho st/", "http://ho st/"),
            ("nowhere", "nowhere"),
        ] {
            assert_eq!(hide_user_info(text), shown, "{text}");
        }
    }
}
