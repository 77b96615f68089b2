//! The encoding of a page, in the order in which browsers look for it (HTML Standard, section 13.2.3.2).

use std::cell::Cell;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};
use html5ever::TokenizerResult;
use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// How far into a page its own declaration is looked for. The standard demands 1024 bytes; browsers parse a page again
/// when they meet a `meta` behind those.
const PRESCAN_BYTES: usize = 64 * 1024;

/// Bytes that are searched at a time: most declarations are in the first of them.
const STEP_BYTES: usize = 256;

/// The encoding of `page`, and the length of its byte order mark. `content_type` is the header's value, `is_xml` whether
/// browsers parse the page as XML, which has no `meta` that counts.
pub(super) fn of_page(
    page: &[u8],
    content_type: Option<&str>,
    is_xml: bool,
) -> (&'static Encoding, usize) {
    if let Some((encoding, mark)) = Encoding::for_bom(page) {
        return (encoding, mark);
    }
    let head = &page[..page.len().min(PRESCAN_BYTES)];
    let encoding = content_type
        .and_then(after_charset)
        .or_else(|| utf16_declaration(head))
        .or_else(|| if is_xml { declaration(head) } else { None })
        .or_else(|| {
            // XML without a declaration is UTF-8; its `meta` helps only where that cannot be.
            let looks_at_meta = !is_xml || std::str::from_utf8(page).is_err();
            looks_at_meta.then(|| meta(head)).flatten()
        })
        .or_else(|| declaration(head));
    (encoding.unwrap_or_else(|| guessed(page)), 0)
}

/// The encoding of a page that names none, by its bytes as in browsers.
fn guessed(page: &[u8]) -> &'static Encoding {
    // Some broken bytes leave UTF-8 what it is; text in another encoding hardly ever has a character of UTF-8.
    let (mut characters, mut broken) = (0, 0);
    for chunk in page.utf8_chunks() {
        characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    if broken <= characters {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(page, true);
    detector.guess(None, Utf8Detection::Deny)
}

/// The encoding with this label; none for the few that browsers know only to refuse them.
fn labelled(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(label.as_bytes())
}

/// The encoding that a page names within itself: one that can be read byte by byte is not UTF-16.
fn named_inside(label: &str) -> Option<&'static Encoding> {
    let encoding = labelled(label)?;
    Some(if encoding == UTF_16LE || encoding == UTF_16BE {
        UTF_8
    } else if encoding == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        encoding
    })
}

/// The encoding after the first `charset=` that names a known one.
fn after_charset(text: &str) -> Option<&'static Encoding> {
    labels(text).find_map(labelled)
}

/// What stands after each `charset=` in a header's value, or in the `content` of a `meta`.
fn labels(text: &str) -> impl Iterator<Item = &str> {
    const WORD: &str = "charset";
    let places = text.as_bytes().windows(WORD.len()).enumerate();
    let places = places.filter(|(_, word)| word.eq_ignore_ascii_case(WORD.as_bytes()));
    places.filter_map(move |(at, _)| {
        let rest = text[at + WORD.len()..].trim_start().strip_prefix('=')?;
        let label = rest.trim_start().trim_start_matches(['"', '\'']);
        let is_end = |c: char| matches!(c, '"' | '\'' | ';' | ',' | '/') || c.is_whitespace();
        Some(&label[..label.find(is_end).unwrap_or(label.len())])
    })
}

/// The beginning of an XML declaration in UTF-16 without a byte order mark.
fn utf16_declaration(head: &[u8]) -> Option<&'static Encoding> {
    if head.starts_with(b"<\0?\0x\0") {
        Some(UTF_16LE)
    } else if head.starts_with(b"\0<\0?\0x") {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// The encoding that the XML declaration names. Browsers follow it in `text/html` too, behind a `meta`.
fn declaration(head: &[u8]) -> Option<&'static Encoding> {
    let inside = head.strip_prefix(b"<?xml")?;
    let inside = &inside[..inside.iter().position(|&byte| byte == b'>')?];
    let inside = std::str::from_utf8(inside).ok()?;
    let (_, rest) = inside.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    named_inside(rest[1..].split_once(quote)?.0)
}

/// The encoding that a `meta` names, outside of comments, scripts and style sheets.
fn meta(head: &[u8]) -> Option<&'static Encoding> {
    // Names and values that count are ASCII, which any encoding that a page can name so has at the same bytes.
    let head = encoding_rs::mem::decode_latin1(head);
    let tokenizer = Tokenizer::new(MetaSink::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    let mut rest = &*head;
    while !rest.is_empty() && tokenizer.sink.found.get().is_none() {
        let end = rest.char_indices().nth(STEP_BYTES);
        let (step, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        input.push_back(StrTendril::from_slice(step));
        while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
        rest = after;
    }
    tokenizer.sink.found.get()
}

/// Looks for the first `meta` that names a known encoding.
#[derive(Default)]
struct MetaSink {
    found: Cell<Option<&'static Encoding>>,
}

impl TokenSink for MetaSink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else {
            return TokenSinkResult::Continue;
        };
        if tag.kind == TagKind::EndTag {
            return TokenSinkResult::Continue;
        }
        match &*tag.name {
            "meta" if self.found.get().is_none() => self.found.set(meta_tag(&tag)),
            "script" => return TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
                return TokenSinkResult::RawData(RawKind::Rawtext);
            }
            "title" | "textarea" => return TokenSinkResult::RawData(RawKind::Rcdata),
            "plaintext" => return TokenSinkResult::Plaintext,
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// The encoding that one `meta` names: by `charset`, or by `content` where it stands for the header.
fn meta_tag(tag: &Tag) -> Option<&'static Encoding> {
    let value = |name: &str| {
        let mut attributes = tag.attrs.iter();
        let found = attributes.find(|attribute| &*attribute.name.local == name);
        found.map(|attribute| attribute.value.trim())
    };
    if let Some(label) = value("charset") {
        // The slash of `<meta charset=gbk/>` belongs to the value, though nobody who writes so means it.
        return named_inside(label.trim_end_matches('/'));
    }
    value("http-equiv").filter(|header| header.eq_ignore_ascii_case("content-type"))?;
    labels(value("content")?).find_map(named_inside)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GBK, WINDOWS_1251};

    use super::*;

    fn html(page: &str) -> &'static Encoding {
        of_page(page.as_bytes(), Some("text/html"), false).0
    }

    #[test]
    fn a_meta_charset_counts_in_the_first_64_kilobytes_as_it_does_for_browsers() {
        let meta = "<meta charset=windows-1251>";
        for before in [
            format!("<!-- {} -->", "x".repeat(60_000)),
            format!("<style>{}</style>", "a{}".repeat(10_000)),
            format!("<script>{}</script>", "if (a<b) {}".repeat(4_000)),
            "<title>a &lt; b</title></head><body><p>".to_owned(),
            "<noscript>".to_owned(),
            "\u{e9}".repeat(2_000),
        ] {
            assert_eq!(html(&format!("{before}{meta}")), WINDOWS_1251);
        }
        assert_eq!(html(&format!("{}{meta}", "x".repeat(65_536))), UTF_8);
    }

    #[test]
    fn a_meta_charset_in_a_comment_a_script_or_an_unknown_one_does_not_count() {
        for not_one in [
            "<!-- <meta charset=gbk> -->",
            "<script>'<meta charset=gbk>'</script>",
            "<style><meta charset=gbk></style>",
            "<title><meta charset=gbk></title>",
            "<meta charset=klingon>",
            "<meta charset=>",
            "<meta charset=hz-gb-2312>",
            "<meta name=description content='charset=gbk'>",
            "<meta http-equiv=refresh content='0; url=?charset=gbk'>",
            "<metadata charset=gbk>",
            "<p title='<meta charset=gbk>'>",
        ] {
            assert_eq!(html(not_one), UTF_8, "{not_one}");
            assert_eq!(
                html(&format!("{not_one}<meta charset=windows-1251>")),
                WINDOWS_1251
            );
        }
    }

    #[test]
    fn a_meta_charset_is_read_in_any_spelling() {
        for meta in [
            "<META CHARSET='GBK'>",
            "<meta charset=\" gbk \">",
            "<meta charset=gbk/>",
            "<meta content='text/html;charset = \"gb2312\"' http-equiv=content-type>",
            "<meta http-equiv='Content-Type' content='text/html; charset=klingon; charset=gbk'>",
            "<meta charset=&#103;bk>",
        ] {
            assert_eq!(html(meta), GBK, "{meta}");
        }
        assert_eq!(html("<meta charset=utf-16>"), UTF_8);
        assert_eq!(html("<meta charset=x-user-defined>"), WINDOWS_1252);
    }

    #[test]
    fn an_xml_declaration_names_the_charset_behind_the_header_and_the_meta() {
        let xml = "<?xml version='1.0' encoding = \"windows-1251\" ?>";
        assert_eq!(html(xml), WINDOWS_1251);
        assert_eq!(html(&format!("{xml}<meta charset=gbk>")), GBK);
        assert_eq!(html(&format!(" {xml}")), UTF_8);
        assert_eq!(html("<?xml encoding='utf-16'?>"), UTF_8);
        let header = Some("text/html; charset=gbk");
        assert_eq!(of_page(xml.as_bytes(), header, false).0, GBK);
    }

    #[test]
    fn an_xhtml_page_has_the_charset_of_its_declaration_or_utf_8() {
        let xhtml = |page: &[u8]| of_page(page, Some("application/xhtml+xml"), true).0;
        assert_eq!(
            xhtml(b"<?xml version='1.0' encoding='gbk'?><meta charset='utf-8'/>"),
            GBK
        );
        assert_eq!(xhtml("<meta charset='gbk'/>\u{e9}".as_bytes()), UTF_8);
        assert_eq!(xhtml(b"<meta charset='gbk'/>\xb2\xe5"), GBK);
    }

    #[test]
    fn the_charset_of_a_page_that_names_none_is_guessed_where_it_is_not_utf_8() {
        let russian = "<p>\u{41a}\u{440}\u{430}\u{441}\u{438}\u{432}\u{44b}\u{435} \u{43e}\u{431}\u{43e}\u{438} \u{434}\u{43b}\u{44f} \u{440}\u{430}\u{431}\u{43e}\u{447}\u{435}\u{433}\u{43e} \u{441}\u{442}\u{43e}\u{43b}\u{430}";
        let (bytes, ..) = WINDOWS_1251.encode(russian);
        assert_eq!(of_page(&bytes, None, false).0, WINDOWS_1251);
        assert_eq!(of_page(russian.as_bytes(), None, false).0, UTF_8);
        // One broken byte in a long page in UTF-8 is no other encoding.
        let broken = [russian.repeat(50).as_bytes(), b"\xff"].concat();
        assert_eq!(
            of_page(&broken, Some("text/html; charset=utf-8"), false).0,
            UTF_8
        );
    }

    #[test]
    fn utf_16_without_a_mark_is_known_by_its_xml_declaration() {
        assert_eq!(of_page(b"<\0?\0x\0m\0l\0", None, true).0, UTF_16LE);
        assert_eq!(of_page(b"\0<\0?\0x\0m", None, false).0, UTF_16BE);
    }
}
