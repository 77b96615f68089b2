//! Reads the head of an HTTP/1 response as browsers do, and writes it as hyper accepts it: lines
//! that are no header field are dropped, folded lines joined, blanks in the status line removed.
//!
//! What frames the message stays strict: `Content-Length` and `Transfer-Encoding` are passed on
//! with all that is wrong with them, for hyper to refuse, and are never dropped.

use memchr::memchr;
use thiserror::Error;

use super::head_lines::Lines;

/// The largest head, in bytes; browsers read as much.
pub(crate) const MAX_HEAD_BYTES: usize = 256 * 1024;

/// Beyond this size only the fields in [`USED`] are passed on: hyper's buffer is smaller than the
/// largest head.
const MAX_PASSED_BYTES: usize = 48 * 1024;

/// Beyond this number, too: hyper has room for 100 fields.
const MAX_PASSED_FIELDS: usize = 90;

/// The most fields of one name among those.
const MAX_SAME_NAME: usize = 16;

/// The fields that this program reads, or that the HTTP client does.
const USED: [&str; 20] = [
    "accept-ranges",
    "age",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "server",
    "set-cookie",
    "transfer-encoding",
    "www-authenticate",
];

/// Why a head cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum HeadError {
    #[error("it does not begin with `HTTP/`")]
    NotHttp,
    #[error("its status line has no valid version and status")]
    StatusLine,
    #[error("more than {} KB of headers", MAX_HEAD_BYTES / 1024)]
    TooLarge,
    #[error("a NUL byte in its headers")]
    Nul,
    #[error("a control character in its `Content-Length` or `Transfer-Encoding`")]
    Framing,
}

/// A complete head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CleanHead {
    /// Whether another head follows (1xx); not so for 101, after which HTTP has ended.
    pub(super) is_interim: bool,
    /// The head as hyper accepts it; `None` if it was acceptable.
    pub(super) rewritten: Option<Vec<u8>>,
}

/// Where the head that `bytes` begin with ends: behind its empty line. `None` if that is not there
/// yet. Blanks and empty lines before the status line belong to the head.
///
/// # Errors
///
/// When the bytes begin no head, or one that is too large.
pub(super) fn end_of_head(bytes: &[u8], searched: usize) -> Result<Option<usize>, HeadError> {
    let start = leading_blanks(bytes);
    let name = &bytes[start..bytes.len().min(start + HTTP.len())];
    if !name.eq_ignore_ascii_case(&HTTP[..name.len()]) {
        return Err(HeadError::NotHttp);
    }
    // The empty line may have begun in what was searched already.
    let mut from = searched.saturating_sub(3).max(start);
    let mut end = None;
    while let Some(line) = memchr(b'\n', &bytes[from..]) {
        from += line + 1;
        match bytes[from..] {
            [b'\n', ..] => end = Some(from + 1),
            [b'\r', b'\n', ..] => end = Some(from + 2),
            _ => continue,
        }
        break;
    }
    if end.unwrap_or(bytes.len()) > MAX_HEAD_BYTES {
        return Err(HeadError::TooLarge);
    }
    Ok(end)
}

const HTTP: &[u8] = b"HTTP/";

fn leading_blanks(bytes: &[u8]) -> usize {
    let blanks = bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    blanks.count()
}

/// For the fuzz target: the head that `bytes` begin with, if it can be used, as hyper accepts it.
pub fn clean_head(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = end_of_head(bytes, 0).ok()??;
    let rewritten = clean(&bytes[..end]).ok()?.rewritten;
    Some(rewritten.unwrap_or_else(|| bytes[..end].to_vec()))
}

/// Cleans a complete head, that is, up to its empty line.
///
/// # Errors
///
/// When it cannot be used.
pub(super) fn clean(head: &[u8]) -> Result<CleanHead, HeadError> {
    let mut lines = Lines(&head[leading_blanks(head)..]);
    let status_line = lines.next().unwrap_or_default();
    let (minor_version, status) = parse_status_line(status_line).ok_or(HeadError::StatusLine)?;
    let is_interim = matches!(status, 100 | 102..=199);
    if is_acceptable(head) {
        return Ok(CleanHead {
            is_interim,
            rewritten: None,
        });
    }
    if memchr(0, head).is_some() {
        return Err(HeadError::Nul);
    }
    let mut fields: Vec<Field> = Vec::new();
    // Whether a folded line continues the last field: the line before was one.
    let mut continues = false;
    let mut is_first = true;
    for line in lines {
        let is_folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if is_folded && !is_first {
            if let Some(field) = fields.last_mut().filter(|_| continues) {
                field.join(line)?;
            }
            continue;
        }
        is_first = false;
        let field = Field::parse(line)?;
        continues = field.is_some();
        fields.extend(field);
    }
    fields.retain_mut(Field::is_valid);
    let is_there = |name: &str| fields.iter().any(|field| field.is_named(name));
    if is_there("content-length") && is_there("transfer-encoding") {
        return Err(HeadError::Framing);
    }
    let size: usize = fields.iter().map(Field::size).sum();
    if size > MAX_PASSED_BYTES || fields.len() > MAX_PASSED_FIELDS {
        keep_used(&mut fields);
    }
    let mut rewritten = format!("HTTP/1.{minor_version} {status} \r\n").into_bytes();
    for field in &fields {
        field.write(&mut rewritten);
    }
    rewritten.extend_from_slice(b"\r\n");
    Ok(CleanHead {
        is_interim,
        rewritten: Some(rewritten),
    })
}

/// Drops all fields but those in use, and of those the ones that are too many or too long.
fn keep_used(fields: &mut Vec<Field>) {
    let mut counts = [0; USED.len()];
    let mut room = MAX_PASSED_BYTES;
    fields.retain(|field| {
        if field.is_framing() {
            return true;
        }
        let used = USED.iter().zip(&mut counts);
        let Some((_, count)) = used.into_iter().find(|(name, _)| field.is_named(name)) else {
            return false;
        };
        if *count == MAX_SAME_NAME || field.size() > room {
            return false;
        }
        *count += 1;
        room -= field.size();
        true
    });
}

/// The minor version of HTTP/1 and the status.
///
/// As in Chromium's parser the name may be in lower case and blanks may be many, and the reason may
/// be missing; other than there the status must have three digits.
fn parse_status_line(line: &[u8]) -> Option<(u8, u16)> {
    let (http, rest) = line.split_at_checked(HTTP.len())?;
    let (version, rest) = rest.split_at_checked(3)?;
    let minor = match version {
        b"1.0" => 0,
        [b'1', b'.', b'1'..=b'9'] => 1,
        _ => return None,
    };
    let code = rest.trim_ascii_start();
    let has_blank = rest.starts_with(b" ") || rest.starts_with(b"\t");
    let [
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        reason @ ..,
    ] = code
    else {
        return None;
    };
    // A bare CR would end the line for one reader and not for another.
    let is_over = !reason.first().is_some_and(u8::is_ascii_digit) && memchr(b'\r', line).is_none();
    let digit = |byte: &u8| u16::from(byte - b'0');
    let status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
    (http.eq_ignore_ascii_case(HTTP) && has_blank && is_over).then_some((minor, status))
}

/// Whether hyper accepts the head as it is. This is asked of every response, so it allocates
/// nothing.
fn is_acceptable(head: &[u8]) -> bool {
    if head.len() > MAX_PASSED_BYTES {
        return false;
    }
    let mut lines = Lines(head);
    let status_line = lines.next().unwrap_or_default();
    let code = [&b"HTTP/1.1 "[..], b"HTTP/1.0 "]
        .into_iter()
        .find_map(|version| status_line.strip_prefix(version));
    let is_status_line = code.is_some_and(|code| {
        code.len() >= 3
            && code[..3].iter().all(u8::is_ascii_digit)
            && (code.len() == 3 || code[3] == b' ')
            && is_all_text(code)
    });
    let mut count = 0;
    let mut framing = 0;
    is_status_line
        && lines.all(|line| {
            count += 1;
            let is_field = memchr(b':', line).is_some_and(|colon| {
                let name = &line[..colon];
                // One of two lines that frame the message may contradict the other.
                framing += u8::from(
                    name.eq_ignore_ascii_case(b"content-length")
                        || name.eq_ignore_ascii_case(b"transfer-encoding"),
                );
                is_token(name) && is_all_text(&line[colon + 1..])
            });
            is_field && count <= MAX_PASSED_FIELDS && framing <= 1
        })
}

/// A header field.
struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Field {
    /// `None` for a line that browsers pass over: no colon, or a name that is none.
    fn parse(line: &[u8]) -> Result<Option<Self>, HeadError> {
        // Whether a bare CR ends the line or not, nothing of such a line may frame the message.
        if memchr(b'\r', line).is_some() {
            let mut parts = line.split(|&byte| byte == b'\r');
            return if parts.any(names_framing) {
                Err(HeadError::Framing)
            } else {
                Ok(None)
            };
        }
        let Some(colon) = memchr(b':', line) else {
            return Ok(None);
        };
        // RFC 9112 (5.1) has clients remove a blank before the colon.
        let name = line[..colon].trim_ascii();
        if !is_token(name) {
            return if names_framing(line) {
                Err(HeadError::Framing)
            } else {
                Ok(None)
            };
        }
        let mut field = Self {
            name: name.to_vec(),
            value: Vec::new(),
        };
        field.join(&line[colon + 1..])?;
        Ok(Some(field))
    }

    /// Adds a line of the value; lines are joined by one blank (RFC 9112, 5.2).
    fn join(&mut self, line: &[u8]) -> Result<(), HeadError> {
        let more = line.trim_ascii();
        let has_control = !more.iter().all(|&byte| is_text(byte));
        if has_control && self.is_framing() {
            return Err(HeadError::Framing);
        }
        if !self.value.is_empty() && !more.is_empty() {
            self.value.push(b' ');
        }
        self.value.extend_from_slice(more);
        Ok(())
    }

    /// Whether hyper accepts the field. A target with control characters is written as an address
    /// with them, which the URL parser does as well; any other field is dropped with them.
    fn is_valid(&mut self) -> bool {
        if self.value.iter().all(|&byte| is_text(byte)) {
            return true;
        }
        if !self.is_named("location") || memchr(b'\r', &self.value).is_some() {
            return false;
        }
        let mut escaped = Vec::with_capacity(self.value.len() + 8);
        for &byte in &self.value {
            if is_text(byte) {
                escaped.push(byte);
            } else {
                escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
        }
        self.value = escaped;
        true
    }

    fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    fn is_framing(&self) -> bool {
        self.is_named("content-length") || self.is_named("transfer-encoding")
    }

    fn size(&self) -> usize {
        self.name.len() + self.value.len() + ": \r\n".len()
    }

    fn write(&self, head: &mut Vec<u8>) {
        head.extend_from_slice(&self.name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(&self.value);
        head.extend_from_slice(b"\r\n");
    }
}

/// Whether a line that is no field would be one that frames the message, but for its control
/// characters: some reader may take it for that.
fn names_framing(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    let letters: Vec<u8> = name
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_control() && *byte != b' ')
        .collect();
    letters.eq_ignore_ascii_case(b"content-length")
        || letters.eq_ignore_ascii_case(b"transfer-encoding")
}

/// A token (RFC 9110, 5.6.2).
fn is_token(name: &[u8]) -> bool {
    let is_tchar = |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.iter().all(is_tchar)
}

/// Whether all bytes are text. Without an early end the loop takes many bytes at a time, and hardly any head has others.
fn is_all_text(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |all, &byte| all & is_text(byte))
}

/// Whether the byte may stand in a value: no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The head with these lines, cleaned; the same head if it was acceptable.
    fn cleaned(head: impl AsRef<[u8]>) -> Result<String, HeadError> {
        let head = head.as_ref();
        let end = end_of_head(head, 0)?.expect("it is complete");
        let rewritten = clean(&head[..end])?.rewritten;
        let bytes = rewritten.unwrap_or_else(|| head[..end].to_vec());
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What is left of these lines below a status line.
    fn fields(lines: impl AsRef<[u8]>) -> Result<String, HeadError> {
        let head = [b"HTTP/1.1 200 OK\r\n", lines.as_ref(), b"\r\n\r\n"].concat();
        let all = cleaned(head)?;
        let (_, fields) = all.split_once("\r\n").expect("a status line");
        Ok(fields.trim_end().to_owned())
    }

    #[test]
    fn an_acceptable_head_is_not_rewritten() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nX:\r\nY:z\r\n\r\n",
            "HTTP/1.0 404 Not Found\r\n\r\n",
            "HTTP/1.1 200\r\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\n\n",
            "HTTP/1.1 200 \u{e9}\r\nA: \u{e9}\tb\r\n\r\n",
        ] {
            let clean = clean(head.as_bytes()).unwrap();
            assert_eq!(
                (clean.rewritten, clean.is_interim),
                (None, false),
                "{head:?}"
            );
        }
        for (status, is_interim) in [(100, true), (103, true), (101, false), (204, false)] {
            let head = format!("HTTP/1.1 {status} x\r\n\r\n");
            assert_eq!(clean(head.as_bytes()).unwrap().is_interim, is_interim);
        }
    }

    #[test]
    fn malformed_lines_are_dropped() {
        for line in [
            "<!DOCTYPE html>",
            "en-US Content-Language: en",
            ": x",
            "(x): y",
            "x\x01y: z",
            "X-Powered-By: a\x01b",
            "Set-Cookie: a=b; domain=x\x7f.invalid",
            "\u{e9}t\u{e9}: x",
            "X: a\rb",
            "X: a\r",
        ] {
            for lines in [
                format!("{line}\r\nA: b"),
                format!("A: b\r\n{line}"),
                format!("{line}\r\n folded: too\r\nA: b"),
            ] {
                assert_eq!(fields(&lines).unwrap(), "A: b", "{lines:?}");
            }
        }
        assert_eq!(
            fields(b"X: \xe9\xff\r\n\xff").unwrap(),
            "X: \u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn a_blank_before_the_colon_is_removed() {
        assert_eq!(
            fields("X-Frame-Options : DENY").unwrap(),
            "X-Frame-Options: DENY"
        );
        assert_eq!(
            fields("Content-Length \t:  5  ").unwrap(),
            "Content-Length: 5"
        );
        assert_eq!(fields(" Content-Length: 5").unwrap(), "Content-Length: 5");
    }

    #[test]
    fn folded_lines_are_joined() {
        assert_eq!(fields("A: b\r\n  c\r\n\td").unwrap(), "A: b c d");
        assert_eq!(fields("A:\r\n b\r\nC: d").unwrap(), "A: b\r\nC: d");
        assert_eq!(fields("A: b\n \n c").unwrap(), "A: b c");
        assert_eq!(
            fields("Content-Length:\r\n 5").unwrap(),
            "Content-Length: 5"
        );
        assert_eq!(
            fields("Content-Length: 1\r\n 5").unwrap(),
            "Content-Length: 1 5"
        );
    }

    #[test]
    fn a_location_keeps_its_control_characters_escaped() {
        assert_eq!(fields("Location: /a\x01b").unwrap(), "Location: /a%01b");
    }

    #[test]
    fn blanks_in_a_status_line_are_removed() {
        for line in [
            "HTTP/1.1  200 OK",
            "HTTP/1.1\t200\tOK",
            " HTTP/1.1 200 OK",
            "\r\n\r\nHTTP/1.1 200 OK",
            "HTTP/1.1 200 O\x01K",
            "HTTP/1.1 200OK",
            "HTTP/1.1  200",
            "HTTP/1.3 200 OK",
            "http/1.1 200 OK",
        ] {
            let head = format!("{line}\r\nA: b\r\n\r\n");
            assert_eq!(
                cleaned(&head).unwrap(),
                "HTTP/1.1 200 \r\nA: b\r\n\r\n",
                "{line:?}"
            );
        }
        let old = cleaned("HTTP/1.0  200\r\n\r\n").unwrap();
        assert_eq!(old, "HTTP/1.0 200 \r\n\r\n");
    }

    #[test]
    fn a_status_line_without_version_or_status_is_refused() {
        for line in [
            "HTTP/1.1 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 1000 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1 -200 OK",
            "HTTP/1.1",
            "HTTP/7.3 200 OK",
            "HTTP/1.1200 OK",
            "HTTP/1.1 200 O\rK",
            "HTTP/1.1\r200 OK",
        ] {
            let head = format!("{line}\r\n\r\n");
            assert_eq!(cleaned(&head), Err(HeadError::StatusLine), "{line:?}");
        }
        for bytes in [
            "220 mail.test ESMTP\r\n",
            "SSH-2.0",
            "ICY 200 OK",
            "\x15\x03\x01",
            "<html>",
        ] {
            assert_eq!(
                end_of_head(bytes.as_bytes(), 0),
                Err(HeadError::NotHttp),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn what_frames_the_message_is_passed_on_or_refused_and_never_dropped() {
        for line in [
            "Content-Length: -5",
            "Content-Length: 3\r\nContent-Length: 5",
            "Transfer-Encoding: x",
        ] {
            assert_eq!(fields(line).unwrap(), line);
            assert_eq!(fields(format!("{line}\r\njunk")).unwrap(), line);
        }
        for line in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "transfer-encoding: chunked\r\nX: y\r\ncontent-length: 3",
            "Content-Length: 3\rX: y",
            "X: y\rContent-Length: 3",
            "Content-Length: 3\r",
            "Content-Length\r: 3",
            "Content-Length: 3\x01",
            "Content-Length:\r\n 3\x0b",
            "Content-Length\x0b: 3",
            "Content- Length: 3",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding\x7f: chunked",
        ] {
            assert_eq!(fields(line), Err(HeadError::Framing), "{line:?}");
        }
        assert_eq!(fields("X: a\0b"), Err(HeadError::Nul));
    }

    #[test]
    fn of_a_head_with_many_or_long_fields_those_in_use_are_passed_on() {
        let used = "ETag: \"x\"\r\nContent-Length: 5\r\nset-cookie: a=b";
        for lines in [
            "X: y\r\n".repeat(20_000),
            format!("X: {}\r\n", "y".repeat(200_000)),
        ] {
            assert_eq!(fields(format!("{lines}{used}")).unwrap(), used);
            assert_eq!(fields(format!("{used}\r\n{lines}Y: z")).unwrap(), used);
        }
        let cookies = "Set-Cookie: a=b\r\n".repeat(200);
        let kept = fields(format!("{cookies}Content-Length: 5")).unwrap();
        assert_eq!(kept.matches("Set-Cookie").count(), MAX_SAME_NAME);
        assert!(kept.ends_with("Content-Length: 5"));
        let most = fields("X: y\r\n".repeat(MAX_PASSED_FIELDS) + " z").unwrap();
        assert_eq!(most.matches("X: y").count(), MAX_PASSED_FIELDS);
    }

    #[test]
    fn a_head_ends_at_its_first_empty_line() {
        let end = |bytes: &str, searched| end_of_head(bytes.as_bytes(), searched).unwrap();
        for head in [
            "HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\n\n",
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            let with_body = format!("{head}\r\n\r\nbody");
            for searched in 0..head.len() {
                assert_eq!(end(&with_body, searched), Some(head.len()), "{searched}");
                assert_eq!(end(&head[..searched], 0), None, "{searched}");
            }
        }
    }

    #[test]
    fn a_head_may_have_256_kb() {
        let head = |length: usize| {
            let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
            format!(
                "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
                "y".repeat(length - frame)
            )
        };
        assert_eq!(MAX_HEAD_BYTES, 262_144);
        assert_eq!(
            cleaned(head(MAX_HEAD_BYTES)).unwrap(),
            "HTTP/1.1 200 \r\n\r\n"
        );
        assert_eq!(cleaned(head(MAX_HEAD_BYTES + 1)), Err(HeadError::TooLarge));
        let endless = &head(2 * MAX_HEAD_BYTES)[..=MAX_HEAD_BYTES];
        assert_eq!(end_of_head(endless.as_bytes(), 0), Err(HeadError::TooLarge));
    }

    proptest! {
        #[test]
        fn a_cleaned_head_is_acceptable(lines in "(\\PC|[ :\r\n\t\x01]|Content-Length|[a-z]){0,60}") {
            let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n");
            if let Ok(clean_head) = cleaned(head) {
                prop_assert_eq!(clean(clean_head.as_bytes()).unwrap().rewritten, None);
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = [b"HTTP/1.1 200", &bytes[..]].concat();
            if let Ok(Some(end)) = end_of_head(&bytes, 0) {
                let _ = clean(&bytes[..end]);
            }
        }
    }
}
