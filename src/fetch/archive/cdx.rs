//! The web archive's index (CDX) as text, and which of its captures are wanted: pure functions.
//!
//! A row is `urlkey timestamp original mimetype status digest length`. The rules are those of recorded
//! exchanges with web.archive.org: rows repeat, a revisit has the status `-`, a page of rows that is not the
//! last ends with a blank line and the key of the next one, and an empty page is the end.

use std::cmp::Reverse;
use std::collections::HashSet;

use data_encoding::BASE32_NOPAD;
use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::fetch::settings::WantedCaptures;
use crate::outcome::Capture;

/// The most characters of a row that are read: addresses are shorter.
const MAX_ROW: usize = 8 * 1024;

/// The SHA-1 hash of a capture's bytes.
pub(super) type Digest = [u8; 20];

/// One row of the index: something was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: Timestamp,
    /// As it was captured, with a port 80 perhaps.
    pub(super) original: Url,
    pub(super) mime: String,
    /// None for a revisit: the status is that of the capture with the same digest.
    pub(super) status: Option<u16>,
    pub(super) digest: Option<Digest>,
}

/// A page of rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// The key of the next page; it is to be percent-encoded once more in the request.
    pub(super) next: Option<String>,
}

/// Whether a text is a page of rows, which may be empty, and not a page for people.
pub(super) fn is_index(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.next().is_none_or(|line| {
        let mut fields = line.split_ascii_whitespace();
        let date = fields.nth(1).unwrap_or_default();
        let is_date = !date.is_empty() && date.bytes().all(|byte| byte.is_ascii_digit());
        is_date && fields.count() >= 3
    })
}

/// Reads a page of rows. Lines that are no row are left out.
pub(super) fn parse(text: &str) -> Rows {
    let mut page = Rows::default();
    let mut lines = text.lines();
    for line in lines.by_ref() {
        if line.trim().is_empty() {
            break;
        }
        page.rows.extend(row(line));
    }
    let key = lines.map(str::trim).find(|line| !line.is_empty());
    // Nothing follows a page without rows: a key there would lead in a circle.
    page.next = key
        .filter(|key| key.len() <= MAX_ROW && !page.rows.is_empty())
        .map(str::to_owned);
    page
}

fn row(line: &str) -> Option<Row> {
    if line.len() > MAX_ROW {
        return None;
    }
    let mut fields = line.split_ascii_whitespace().skip(1);
    let at = Capture::parse_date(fields.next()?)?;
    let original = Url::parse(fields.next()?).ok()?;
    let mime = fields.next()?.to_ascii_lowercase();
    let status = fields.next()?;
    let status = match status {
        "-" => None,
        code => Some(code.parse().ok()?),
    };
    let digest = fields.next().and_then(parse_digest);
    Some(Row {
        at,
        original,
        mime,
        status,
        digest,
    })
}

/// A digest as the index writes it: base 32 (RFC 4648, 6) without padding.
fn parse_digest(text: &str) -> Option<Digest> {
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok()
}

/// Adds a page of rows to those before, each capture once.
pub(super) fn add(rows: &mut Vec<Row>, more: Vec<Row>) {
    let mut known: HashSet<_> = rows
        .iter()
        .map(|row| (row.at, row.original.clone()))
        .collect();
    rows.extend(
        more.into_iter()
            .filter(|row| known.insert((row.at, row.original.clone()))),
    );
}

/// Whether two addresses are the same resource: scheme, default port, a leading `www.` and fragment aside. The
/// index finds more for an address, such as other spellings of its path, which may be other images.
pub(super) fn is_same(one: &Url, other: &Url) -> bool {
    fn identity(url: &Url) -> (&str, Option<u16>, &str, Option<&str>) {
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_prefix("www.").unwrap_or(host);
        // Port 80 is written in old rows of what is asked for by https today.
        let port = url.port().filter(|port| !matches!(port, 80 | 443));
        (host, port, url.path(), url.query())
    }
    identity(one) == identity(other)
}

/// The captures of `address` to try, best first: images before pages where an image is wanted, whole answers
/// before redirects, and among these the ones nearest to what is wanted. A revisit stands for the capture with
/// the same digest.
pub(super) fn select(
    rows: &[Row],
    address: &Url,
    wanted: &WantedCaptures,
    is_image: bool,
) -> Vec<Row> {
    let ours: Vec<&Row> = rows
        .iter()
        .filter(|row| is_same(&row.original, address) && wanted.is_near(row.at, row.at))
        .collect();
    let mut found: Vec<(u8, SignedDuration, Row)> = Vec::new();
    for row in &ours {
        let resolved = resolve(row, &ours);
        let rank = match resolved.status {
            Some(200 | 203 | 226) if is_image && resolved.mime.starts_with("text/") => 1,
            // A revisit whose first capture is not among the rows may be anything.
            Some(200 | 203 | 226) | None => 0,
            Some(301 | 302 | 303 | 307 | 308) => 2,
            Some(_) => continue,
        };
        found.push((rank, wanted.distance(row.at), resolved));
    }
    // Stable, so that of two captures at one distance the later one is made the first here.
    found.sort_by_key(|(_, _, row)| Reverse(row.at));
    found.sort_by_key(|(rank, distance, _)| (*rank, *distance));
    let mut seen = HashSet::new();
    found.retain(|(_, _, row)| seen.insert((row.at, row.original.clone())));
    found.into_iter().map(|(_, _, row)| row).collect()
}

/// The row that a revisit stands for: the nearest one of the same digest that has a status, or itself.
fn resolve(row: &Row, rows: &[&Row]) -> Row {
    if row.status.is_some() || row.digest.is_none() {
        return row.clone();
    }
    let same = rows
        .iter()
        .filter(|other| other.status.is_some() && other.digest == row.digest);
    let apart = |other: &&&Row| {
        (
            other.status != Some(200),
            other.at.duration_since(row.at).abs(),
        )
    };
    same.min_by_key(apart)
        .map_or_else(|| row.clone(), |other| (*other).clone())
}

/// Whether the index says that the site answered 404 or 410 to the address, and nothing else.
pub(super) fn was_missing(rows: &[Row], address: &Url) -> Option<u16> {
    let mut ours = rows
        .iter()
        .rev()
        .filter(|row| is_same(&row.original, address));
    let status = ours.next()?.status?;
    matches!(status, 404 | 410).then_some(status)
}

/// The digest of a capture, where the index has it.
pub(super) fn digest_of(rows: &[Row], at: Timestamp, original: &Url) -> Option<Digest> {
    rows.iter()
        .find(|row| row.at == at && is_same(&row.original, original))?
        .digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        Capture::parse_date(text).unwrap()
    }

    const ONE: &str = "MJSK5PIAYRBJY7SXPZQR3CUYAZKCTNJP";
    const TWO: &str = "VFAHTJZQOQ5WDMPVWVIBGCBOXMHFGLTC";
    const EMPTY: &str = "3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ";

    fn line(at: &str, original: &str, mime: &str, status: &str, digest: &str) -> String {
        format!("test,gallery)/a.png {at} {original} {mime} {status} {digest} 4321\n")
    }

    fn latest() -> WantedCaptures {
        WantedCaptures::default()
    }

    fn dates(text: &str, wanted: &WantedCaptures, is_image: bool) -> Vec<String> {
        let mut rows = Vec::new();
        add(&mut rows, parse(text).rows);
        select(&rows, &url("https://gallery.test/a.png"), wanted, is_image)
            .into_iter()
            .map(|row| Capture::digits(row.at))
            .collect()
    }

    const ADDRESS: &str = "http://www.gallery.test:80/a.png";

    #[test]
    fn an_index_page_ends_at_a_blank_line_with_the_key_of_the_next() {
        let first = line("20190102030405", ADDRESS, "image/png", "200", ONE);
        let page = parse(&format!(
            "{first}\ncom%2Cgallery%29%2Fa.png+20190102030406\n"
        ));
        assert_eq!(page.rows.len(), 1);
        assert_eq!(
            page.next.as_deref(),
            Some("com%2Cgallery%29%2Fa.png+20190102030406")
        );
        assert_eq!(parse(&first).next, None);
        assert_eq!(parse(""), Rows::default());
        assert_eq!(parse("\nkey"), Rows::default(), "that would be a circle");
    }

    #[test]
    fn repeated_rows_of_the_index_are_one_capture() {
        let row = line("20190102030405", ADDRESS, "image/png", "200", ONE);
        assert_eq!(dates(&row.repeat(3), &latest(), true), ["20190102030405"]);
    }

    #[test]
    fn a_port_80_and_another_scheme_are_the_same_address_and_another_case_is_not() {
        let text = [
            line(
                "20190101000000",
                "http://gallery.test:80/a.png",
                "image/png",
                "200",
                ONE,
            ),
            line(
                "20190102000000",
                "https://gallery.test/A.png",
                "image/png",
                "200",
                ONE,
            ),
            line(
                "20190103000000",
                "https://gallery.test/a.png?b",
                "image/png",
                "200",
                ONE,
            ),
            line(
                "20190104000000",
                "https://www.gallery.test/a.png",
                "image/png",
                "200",
                ONE,
            ),
            line(
                "20190105000000",
                "https://gallery.test:8080/a.png",
                "image/png",
                "200",
                ONE,
            ),
        ]
        .concat();
        assert_eq!(
            dates(&text, &latest(), true),
            ["20190104000000", "20190101000000"]
        );
    }

    #[test]
    fn a_revisit_is_resolved_through_its_digest_or_stands_for_itself() {
        let full = line("20190101000000", ADDRESS, "image/png", "200", ONE);
        let revisit = line("20190601000000", ADDRESS, "warc/revisit", "-", ONE);
        let alone = line("20190701000000", ADDRESS, "warc/revisit", "-", TWO);
        assert_eq!(
            dates(&(full.clone() + &revisit), &latest(), true),
            ["20190101000000"]
        );
        assert_eq!(
            dates(&(full + &alone), &latest(), true),
            ["20190701000000", "20190101000000"]
        );
        let missing = line("20190101000000", ADDRESS, "text/html", "404", ONE);
        assert_eq!(
            dates(&(missing + &revisit), &latest(), true),
            [""; 0],
            "it is a revisit of a 404"
        );
    }

    #[test]
    fn a_redirect_or_a_page_in_an_images_place_is_tried_after_images() {
        let text = [
            line("20180101000000", ADDRESS, "image/png", "200", ONE),
            line("20190101000000", ADDRESS, "text/html", "301", EMPTY),
            line("20200101000000", ADDRESS, "text/html", "200", TWO),
            line("20210101000000", ADDRESS, "text/html", "503", TWO),
        ]
        .concat();
        assert_eq!(
            dates(&text, &latest(), true),
            ["20180101000000", "20200101000000", "20190101000000"]
        );
        assert_eq!(
            dates(&text, &latest(), false),
            ["20200101000000", "20180101000000", "20190101000000"]
        );
    }

    #[test]
    fn the_capture_nearest_to_the_date_comes_first_and_none_beyond_the_window() {
        let text: String = [
            "20100101000000",
            "20180601000000",
            "20190301000000",
            "20200201000000",
        ]
        .into_iter()
        .map(|at| line(at, ADDRESS, "image/png", "200", ONE))
        .collect();
        let wanted = WantedCaptures {
            period: Some((time("20190101000000"), time("20191231235959"))),
            window: SignedDuration::from_hours(365 * 24),
        };
        assert_eq!(
            dates(&text, &wanted, true),
            ["20190301000000", "20200201000000", "20180601000000"]
        );
        assert_eq!(dates(&text, &latest(), true)[0], "20200201000000");
    }

    #[test]
    fn a_digest_is_base_32_of_twenty_bytes() {
        let empty = parse_digest(EMPTY).unwrap();
        assert_eq!(&empty[..4], &[0xda, 0x39, 0xa3, 0xee]);
        for text in [
            "-",
            "",
            "3I42H3S6",
            "3i42h3s6nnfq2msvx7xzkyayscx5qbyj",
            "1I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ",
        ] {
            assert_eq!(parse_digest(text), None, "{text}");
        }
    }

    #[test]
    fn lines_that_are_no_row_are_left_out() {
        let odd = [
            "x",
            "k 2019 http://a.test/ image/png 200 - 1",
            "k 20191301000000 http://a.test/ image/png 200 - 1",
            "k 20190101000000 no-address image/png 200 - 1",
            "k 20190101000000 http://a.test/ image/png many - 1",
        ];
        assert_eq!(parse(&odd.join("\n")).rows, []);
        let short = "k 20190101000000 http://a.test/ image/png 200";
        assert_eq!(parse(short).rows.len(), 1);
    }

    #[test]
    fn a_page_for_people_is_no_index() {
        for index in [
            "",
            "\n",
            "k 20190101000000 http://a.test/ image/png 200",
            "k 20191301000000 http://a.test/ image/png 200 - 1\n\nkey",
        ] {
            assert!(is_index(index), "{index}");
        }
        for page in [
            "<html><title>503</title></html>",
            "Too many requests 429 from your network today",
            "{\"error\": \"blocked\"}",
            "error 403",
        ] {
            assert!(!is_index(page), "{page}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_index_parser_panic(text in "\\PC*", lines in prop::collection::vec("[a-z)/ 0-9:.-]{0,60}", 0..20)) {
            let _ = parse(&text);
            let _ = parse(&lines.join("\n"));
        }
    }
}
