//! Which addresses on a page can be an image's or a link's: resolved as a browser does, then judged.

use url::{Position, Url};

/// The longest address that is looked at; servers take no more.
pub(super) const MAX_BYTES: usize = 8 * 1024;

/// What `written` points at on a page whose addresses are relative to `base`; `None` when that is nothing
/// that could be asked for: another scheme, credentials, the page itself, or no address at all.
pub(super) fn resolve(base: &Url, written: &str) -> Option<Url> {
    // The page's reader has put this sign where there was a NUL or what is no character.
    if written.len() > MAX_BYTES || written.contains('\u{fffd}') {
        return None;
    }
    let mut address = base.join(written).ok()?;
    address.set_fragment(None);
    (usable(&address).is_ok() && !same(&address, base)).then_some(address)
}

/// Takes the whole address `text` as an original's.
pub(super) fn whole(text: &str) -> Result<Url, String> {
    let Ok(mut address) = Url::parse(text) else {
        return Err("what the rewrite yields is no address".to_owned());
    };
    address.set_fragment(None);
    usable(&address)?;
    Ok(address)
}

/// Says why an address is none to ask for.
pub(super) fn usable(address: &Url) -> Result<(), String> {
    match address.scheme() {
        "http" | "https" => {}
        scheme => return Err(format!("`{scheme}:` is not asked for, only http and https")),
    }
    if !address.username().is_empty() || address.password().is_some() {
        return Err("it holds a user name or a password".to_owned());
    }
    if address.as_str().len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    if address.path().contains("%00") {
        return Err("it holds a NUL".to_owned());
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
    fn what_cannot_be_asked_for_is_nothing() {
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
