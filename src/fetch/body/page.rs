//! Pages: text out of bytes, by the encoding that the header or the page itself declares.

use encoding_rs::Encoding;
use url::Url;

use super::charset;
use crate::mask::Masks;

/// A page of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The address that answered after all redirects: the base of relative addresses on the page.
    pub url: Url,
    /// Decoded to UTF-8.
    pub text: String,
    /// What it was decoded from: queries of addresses on the page are in it.
    pub encoding: &'static Encoding,
    /// Whether browsers parse it as XML: XHTML by its content type.
    pub is_xml: bool,
    /// The next page by the `Link` header, as written there: relative to `url`; or `<` and the header, if that is
    /// malformed.
    pub next: Option<String>,
}

impl Page {
    /// Decodes the page that `url` answered with. Bytes that cannot be decoded are replaced, never refused.
    /// `charset` is its encoding, whatever it says of itself.
    pub(in crate::fetch) fn new(
        url: Url,
        bytes: &[u8],
        content_type: Option<&str>,
        next: Option<String>,
        charset: Option<&'static Encoding>,
    ) -> Self {
        let is_xml = content_type.is_some_and(is_xml);
        let (encoding, text) = match charset {
            Some(charset) => {
                // A byte order mark wins, as in browsers.
                let (text, encoding, _) = charset.decode(bytes);
                (encoding, text.into_owned())
            }
            None => decoded(bytes, content_type, is_xml),
        };
        Self {
            url,
            text,
            encoding,
            is_xml,
            next,
        }
    }
}

/// A page as a server sent it, or as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPage {
    /// The address that answered after all redirects.
    pub url: Url,
    /// The status of the answer.
    pub status: u16,
    /// Its `Content-Type` header.
    pub content_type: Option<String>,
    /// The next page by the `Link` header, as written there.
    pub next: Option<String>,
    /// The encoding that its site's definition says it has.
    pub charset: Option<&'static Encoding>,
    /// Its bytes, after decompression.
    pub bytes: Vec<u8>,
}

impl RawPage {
    /// The page as text.
    pub fn decoded(&self) -> Page {
        Page::new(
            self.url.clone(),
            &self.bytes,
            self.content_type.as_deref(),
            self.next.clone(),
            self.charset,
        )
    }

    /// The page without secrets, to be stored. One that holds any becomes UTF-8 with a byte order mark, which wins over
    /// whatever else says how it is encoded.
    #[must_use]
    pub fn masked(mut self, masks: &Masks) -> Self {
        if masks.is_empty() {
            return self;
        }
        let text = self.decoded().text;
        // Read in the wrong encoding the text may hold none where the bytes do.
        if masks.matches(&text) || masks.matches(&String::from_utf8_lossy(&self.bytes)) {
            self.bytes = ["\u{feff}", &masks.apply(&text)].concat().into_bytes();
        }
        masks.mask_url(&mut self.url);
        for header in self.content_type.iter_mut().chain(&mut self.next) {
            masks.mask(header);
        }
        self
    }
}

fn decoded(page: &[u8], content_type: Option<&str>, is_xml: bool) -> (&'static Encoding, String) {
    let (encoding, mark) = charset::of_page(page, content_type, is_xml);
    let (text, _) = encoding.decode_without_bom_handling(&page[mark..]);
    (encoding, text.into_owned())
}

/// Whether a content type is XML's (MIME Sniffing Standard, "XML MIME type").
fn is_xml(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence.ends_with("+xml") || matches!(&*essence, "text/xml" | "application/xml")
}

/// The text of a page with this content type.
pub fn decode(page: &[u8], content_type: Option<&str>) -> String {
    decoded(page, content_type, content_type.is_some_and(is_xml)).1
}

/// Whether a page shows by its last tag that it is complete. Behind that, generators, caches and cheap
/// hosts leave blanks, comments and scripts.
pub(crate) fn ends_like_html(page: &str) -> bool {
    let mut page = page.trim_end();
    while let Some(before) =
        without_last(page, "<!--", "-->").or_else(|| without_last(page, "<script", "</script>"))
    {
        page = before.trim_end();
    }
    let tag = page.strip_suffix('>').map_or("", str::trim_end);
    ends_with(tag, "</html")
}

/// `page` without what it ends with, from the last `start` to `end`; both in any case.
fn without_last<'a>(page: &'a str, start: &str, end: &str) -> Option<&'a str> {
    if !ends_with(page, end) {
        return None;
    }
    let bytes = page.as_bytes();
    let at = bytes
        .windows(start.len())
        .rposition(|window| window.eq_ignore_ascii_case(start.as_bytes()))?;
    page.get(..at)
}

fn ends_with(text: &str, end: &str) -> bool {
    let at = text.len().checked_sub(end.len());
    at.and_then(|at| text.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use encoding_rs::GBK;
    use proptest::prelude::*;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, header, settings};
    use crate::fetch::{FetchErrorKind, FetchSettings};

    /// The word `page`, by gzip.
    const PACKED: &[u8] = b"\
        \x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\x48\x4c\x4f\x05\x00\x20\xb6\x0a\x14\x04\x00\x00\x00";

    /// 70,000 zeros, by gzip: more than a page may have in the tests.
    const ZEROS: &[u8] = b"\
        \x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0\xf5\x4f\x6d\x09\x4f\
        \xa0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\xb7\x01\xdc\
        \xc8\xa9\xa6\x70\x11\x01\x00";

    const GZIP: &[&str] = &["Content-Encoding: gzip"];

    const HTML: Option<&str> = Some("text/html");

    #[test]
    fn a_byte_order_mark_decides_the_charset_first() {
        let utf16 = [0xff, 0xfe, b'h', 0, 0x63, 0x63];
        assert_eq!(decode(&utf16, Some("text/html; charset=gbk")), "h\u{6363}");
        assert_eq!(
            decode(b"\xef\xbb\xbfh\xc3\xa9", Some("text/html; charset=gbk")),
            "h\u{e9}"
        );
    }

    #[test]
    fn the_charset_of_the_header_wins_over_the_meta() {
        let (page, ..) = GBK.encode("<meta charset=utf-8>\u{63d2}\u{5934}");
        for header in [
            "text/html; charset=GBK",
            "text/html;CHARSET = \"gb2312\" ; x=y",
        ] {
            assert!(
                decode(&page, Some(header)).ends_with("\u{63d2}\u{5934}"),
                "{header}"
            );
        }
    }

    #[test]
    fn a_meta_charset_is_used_without_one_in_the_header() {
        for meta in [
            "<META charset='gbk'>",
            "<!doctype html><html><head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=gbk\" />",
            "<meta name=x><meta charset=gbk/>",
        ] {
            let page = format!("{meta}\u{63d2}\u{5934}");
            let (page, ..) = GBK.encode(&page);
            assert!(decode(&page, HTML).ends_with("\u{63d2}\u{5934}"), "{meta}");
        }
        assert_eq!(
            decode("<meta charset=utf-16>\u{e9}".as_bytes(), HTML),
            "<meta charset=utf-16>\u{e9}"
        );
    }

    #[test]
    fn an_unknown_charset_is_ignored() {
        assert_eq!(
            decode(
                "<meta charset=gbk>a".as_bytes(),
                Some("text/html; charset=klingon")
            ),
            "<meta charset=gbk>a"
        );
        assert_eq!(
            decode("\u{e9}".as_bytes(), Some("text/html; charset=")),
            "\u{e9}"
        );
    }

    #[test]
    fn bytes_that_do_not_fit_the_charset_are_replaced() {
        assert_eq!(
            decode(b"a\xffb", Some("text/html; charset=utf-8")),
            "a\u{fffd}b"
        );
    }

    #[test]
    fn a_page_is_complete_behind_its_last_tag() {
        for whole in [
            "<html></html>",
            "x</HTML \n>\r\n \n",
            "x</html><!-- cached in 0.1 s -->\n<!-- by x --> ",
            "x</html>\n<SCRIPT src='//x'></script>\n<!-- a --><script>b</Script>",
        ] {
            assert!(ends_like_html(whole), "{whole}");
        }
        for cut in [
            "",
            "</html",
            "html>",
            "<html>",
            "</html><p>",
            "</html><!-- a",
            "<!-- </html> -->",
            "\u{e9}\u{e9}\u{e9}>",
            "</body>",
            "</html><script>a",
            "<script></html></script>",
            "\u{e9}</script>",
        ] {
            assert!(!ends_like_html(cut), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_gzip_page_is_decompressed() {
        let server = Server::start(|_| Reply::new(200, GZIP, PACKED)).await;
        assert_eq!(
            server.fetcher().page(&server.url("/")).await.unwrap().text,
            "page"
        );
        let accepted = server.heads().remove(0);
        let accepted = header(&accepted, "accept-encoding").unwrap();
        assert!(
            ["gzip", "br", "deflate"]
                .iter()
                .all(|coding| accepted.contains(coding)),
            "{accepted}"
        );
    }

    #[tokio::test]
    async fn the_page_size_limit_holds_after_decompression() {
        let server = Server::start(|_| Reply::new(200, GZIP, ZEROS)).await;
        let roomy = server.fetcher_with(&FetchSettings {
            max_page_bytes: 70_000,
            ..settings()
        });
        assert_eq!(
            roomy.page(&server.url("/")).await.unwrap().text.len(),
            70_000
        );
        let error = server.fetcher().page(&server.url("/")).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::TooLarge { limit: 65_536 }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_truncated_or_corrupt_gzip_page_is_an_error() {
        for broken in [&PACKED[..PACKED.len() - 9], b"not packed at all"] {
            let server = Server::start(move |_| Reply::new(200, GZIP, broken)).await;
            let error = server.fetcher().page(&server.url("/")).await.unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::BadCoding { coding: "gzip" }),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_page_with_a_coding_that_was_not_requested_is_refused() {
        for coding in ["zstd", "gzip, gzip, gzip, gzip, gzip"] {
            let header = format!("Content-Encoding: {coding}");
            let server = Server::start(move |_| Reply::new(200, &[&header], PACKED)).await;
            let error = server.fetcher().page(&server.url("/")).await.unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::ContentEncoding { .. }),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn members_of_a_gzip_page_are_read_however_late_they_arrive() {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nContent-Length: {}\r\n\r\n",
            5 * PACKED.len()
        );
        let bytes = [head.as_bytes(), &PACKED.repeat(5)].concat();
        let at_once = Reply::raw(&bytes);
        let late = at_once.clone().dripping(Duration::from_millis(1));
        for reply in [at_once, late] {
            let server = Server::start(move |_| reply.clone()).await;
            let page = server.fetcher().page(&server.url("/")).await.unwrap();
            assert_eq!(page.text, "page".repeat(5));
        }
    }

    #[tokio::test]
    async fn a_fetched_page_is_decoded_by_the_charset_of_its_header() {
        let (page, ..) = GBK.encode("\u{63d2}\u{5934}");
        let page = page.into_owned();
        let server = Server::start(move |_| {
            Reply::new(200, &["Content-Type: text/html; charset=gbk"], &page)
        })
        .await;
        assert_eq!(
            server.fetcher().page(&server.url("/")).await.unwrap().text,
            "\u{63d2}\u{5934}"
        );
    }

    #[tokio::test]
    async fn a_page_has_the_next_link_of_its_header() {
        let server = Server::start(|_| {
            let headers = [
                "Link: <?page=1>; rel=\"prev\"",
                "Link: <?page=3>; rel=\"next\"",
            ];
            Reply::new(200, &headers, "page")
        })
        .await;
        let page = server
            .fetcher()
            .page(&server.url("/?page=2"))
            .await
            .unwrap();
        assert_eq!(page.next.as_deref(), Some("?page=3"));
    }

    proptest! {
        #[test]
        fn no_page_makes_the_decoder_panic(page in proptest::collection::vec(any::<u8>(), 0..200), header in "\\PC*") {
            let _ = decode(&page, Some(&header));
        }
    }
}
