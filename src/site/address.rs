//! Addresses on a page: resolved as a browser does, then checked.

use url::{Position, Url};

/// The longest usable address in bytes; servers accept no longer ones.
pub(super) const MAX_BYTES: usize = 8 * 1024;

/// Resolves `written` on a page whose addresses are relative to `base`; `None` when the result cannot be requested:
/// another scheme, credentials, the page itself, or not an address at all.
pub(super) fn resolve(base: &Url, written: &str) -> Option<Url> {
    // The HTML parser writes this character in place of a NUL and of bytes that are not text.
    if written.len() > MAX_BYTES || written.contains('\u{fffd}') {
        return None;
    }
    let mut address = base.join(written).ok()?;
    address.set_fragment(None);
    (usable(&address).is_ok() && !same(&address, base)).then_some(address)
}

/// Parses `text`, the result of a rewrite, as an absolute address.
pub(super) fn absolute(text: &str) -> Result<Url, String> {
    let Ok(mut address) = Url::parse(text) else {
        return Err("the result of the rewrite is not an address".to_owned());
    };
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
                resolve(&base, written).as_ref().map(Url::as_str),
                Some(expected),
                "{written}"
            );
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
            assert_eq!(resolve(&base, written), None, "{written:.80}");
        }
    }
}
