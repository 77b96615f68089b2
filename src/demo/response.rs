//! Responses: pages, redirects, and files with validators and byte ranges.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use hyper::{Method, Response, StatusCode};

use super::gallery::{Picture, base_and_extension};

pub(super) type HttpResponse = Response<Full<Bytes>>;

/// An HTML page.
pub(super) fn page(status: StatusCode, html: String) -> HttpResponse {
    build(
        status,
        &[(CONTENT_TYPE, "text/html; charset=utf-8")],
        html.into(),
    )
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: &'static str) -> HttpResponse {
    build(
        status,
        &[(CONTENT_TYPE, "text/plain; charset=utf-8")],
        body.into(),
    )
}

/// A redirect to another path.
pub(super) fn redirect(status: StatusCode, path: &str) -> HttpResponse {
    build(status, &[(LOCATION, path)], Bytes::new())
}

/// 405 for everything but GET and HEAD.
pub(super) fn refusal() -> HttpResponse {
    let headers = [
        (ALLOW, "GET, HEAD"),
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    build(
        StatusCode::METHOD_NOT_ALLOWED,
        &headers,
        "only GET and HEAD are answered here\n".into(),
    )
}

/// A requested file with its validators.
pub(super) struct ServedFile<'a> {
    path: &'a str,
    etag: String,
    modified: String,
    headers: &'a HeaderMap,
    method: &'a Method,
}

impl<'a> ServedFile<'a> {
    /// The file at `path` that shows `picture`, requested by `method` with the headers `headers`.
    pub(super) fn new(
        picture: &Picture,
        path: &'a str,
        method: &'a Method,
        headers: &'a HeaderMap,
    ) -> Self {
        let Picture {
            path: _,
            title: _,
            detail: _,
            coding,
            width,
            height,
            scene,
            seed,
        } = picture;
        // The bytes follow from these and from how this version of the program draws.
        let etag = format!(
            "\"{scene:?}-{seed:x}-{width}x{height}-{coding:?}-{}\"",
            env!("CARGO_PKG_VERSION")
        );
        let modified = picture
            .day()
            .strftime("%a, %d %b %Y 12:00:00 GMT")
            .to_string();
        Self {
            path,
            etag,
            modified,
            headers,
            method,
        }
    }

    /// 304 when the client's validators match; `None` when the file must be sent.
    pub(super) fn not_modified(&self) -> Option<HttpResponse> {
        let same = match self.headers(&IF_NONE_MATCH) {
            Some(tags) => tags.split(',').any(|tag| {
                let tag = tag.trim();
                tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
            }),
            None => self.headers(&IF_MODIFIED_SINCE) == Some(&self.modified),
        };
        let headers = [(ETAG, self.etag.as_str()), (LAST_MODIFIED, &self.modified)];
        same.then(|| build(StatusCode::NOT_MODIFIED, &headers, Bytes::new()))
    }

    /// The response with the whole file or the requested range.
    pub(super) fn respond(&self, bytes: io::Result<Vec<u8>>) -> HttpResponse {
        let Ok(bytes) = bytes.map(Bytes::from) else {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the picture could not be drawn\n",
            );
        };
        let length = bytes.len();
        let (status, range, body) = match self.byte_range(length) {
            ByteRange::All => (StatusCode::OK, None, bytes),
            ByteRange::Some(byte_range) => {
                let range = format!("bytes {}-{}/{length}", byte_range.start, byte_range.end - 1);
                (
                    StatusCode::PARTIAL_CONTENT,
                    Some(range),
                    bytes.slice(byte_range),
                )
            }
            ByteRange::Beyond => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                Some(format!("bytes */{length}")),
                Bytes::new(),
            ),
        };
        let size = body.len().to_string();
        let mut headers = vec![
            (CONTENT_TYPE, content_type(self.path)),
            (CONTENT_LENGTH, &size),
            (ACCEPT_RANGES, "bytes"),
            (ETAG, &self.etag),
            (LAST_MODIFIED, &self.modified),
        ];
        if let Some(range) = &range {
            headers.push((CONTENT_RANGE, range));
        }
        build(status, &headers, body)
    }

    /// The requested range of `length` bytes.
    fn byte_range(&self, length: usize) -> ByteRange {
        let condition = self.headers(&IF_RANGE);
        let holds =
            condition.is_none_or(|condition| condition == self.etag || condition == self.modified);
        match self.headers(&RANGE) {
            Some(range) if holds && *self.method == Method::GET => byte_range(range, length),
            _ => ByteRange::All,
        }
    }

    fn headers(&self, header: &HeaderName) -> Option<&str> {
        self.headers
            .get(header)
            .and_then(|value| value.to_str().ok())
    }
}

/// A byte range of a file.
#[derive(Debug, PartialEq, Eq)]
enum ByteRange {
    All,
    Some(Range<usize>),
    Beyond,
}

/// Reads `bytes=A-B`, `bytes=A-` or `bytes=-N`; anything else, several parts among it, means the whole file.
fn byte_range(range: &str, length: usize) -> ByteRange {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|byte_range| byte_range.split_once('-'))
    else {
        return ByteRange::All;
    };
    let number = |digits: &str| {
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().unwrap_or(usize::MAX))
    };
    let byte_range = match (first, last) {
        ("", "") => return ByteRange::All,
        ("", last) => number(last).map(|count| length.saturating_sub(count)..length),
        (first, "") => number(first).map(|first| first..length),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => return ByteRange::All,
            (Some(first), Some(last)) => Some(first..last.saturating_add(1).min(length)),
            _ => None,
        },
    };
    match byte_range {
        None => ByteRange::All,
        Some(byte_range) if byte_range.start >= byte_range.end => ByteRange::Beyond,
        Some(byte_range) => ByteRange::Some(byte_range),
    }
}

/// The content type a server would derive from the name of the file at `path`.
fn content_type(path: &str) -> &'static str {
    match base_and_extension(path).1.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        _ => "application/octet-stream",
    }
}

/// Builds a response.
fn build(status: StatusCode, headers: &[(HeaderName, &str)], body: Bytes) -> HttpResponse {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, *value);
    }
    // A test's gallery may hold text that no header can carry.
    builder.body(Full::new(body)).unwrap_or_else(|_| {
        let mut failed = HttpResponse::default();
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_header_is_parsed_by_rfc_9110() {
        for (range, expected) in [
            ("bytes=0-0", ByteRange::Some(0..1)),
            ("bytes=4-", ByteRange::Some(4..10)),
            ("bytes=4-99", ByteRange::Some(4..10)),
            ("bytes=-3", ByteRange::Some(7..10)),
            ("bytes=-99", ByteRange::Some(0..10)),
            ("bytes=10-", ByteRange::Beyond),
            ("bytes=-0", ByteRange::Beyond),
            ("bytes=99999999999999999999999-", ByteRange::Beyond),
            ("bytes=5-4", ByteRange::All),
            ("bytes=-", ByteRange::All),
            ("bytes=0-1,3-4", ByteRange::All),
            ("bytes=+1-2", ByteRange::All),
            ("lines=0-1", ByteRange::All),
        ] {
            assert_eq!(byte_range(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn range_of_an_empty_file_is_not_satisfiable() {
        assert_eq!(byte_range("bytes=0-", 0), ByteRange::Beyond);
        assert_eq!(byte_range("bytes=-5", 0), ByteRange::Beyond);
    }

    #[test]
    fn content_type_follows_the_file_name() {
        assert_eq!(content_type("/2010/08/31/.png"), "image/png");
        assert_eq!(content_type("/a/QUIET.PNG"), "image/png");
        assert_eq!(content_type("/08.03/Liquid-45"), "application/octet-stream");
    }
}
