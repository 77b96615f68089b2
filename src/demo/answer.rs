//! What is sent back: pages and redirects as they are, files with validators and by the part.

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

pub(super) type Answer = Response<Full<Bytes>>;

/// A page of the gallery.
pub(super) fn page(status: StatusCode, html: String) -> Answer {
    written(
        status,
        &[(CONTENT_TYPE, "text/html; charset=utf-8")],
        html.into(),
    )
}

/// A few words.
pub(super) fn text(status: StatusCode, words: &'static str) -> Answer {
    written(
        status,
        &[(CONTENT_TYPE, "text/plain; charset=utf-8")],
        words.into(),
    )
}

/// Sends the visitor on to another path.
pub(super) fn redirect(status: StatusCode, path: &str) -> Answer {
    written(status, &[(LOCATION, path)], Bytes::new())
}

/// Refuses everything but looking.
pub(super) fn refusal() -> Answer {
    let headers = [
        (ALLOW, "GET, HEAD"),
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    written(
        StatusCode::METHOD_NOT_ALLOWED,
        &headers,
        "only GET and HEAD are answered here\n".into(),
    )
}

/// One file as a visitor asks for it, with what tells its versions apart.
pub(super) struct File<'a> {
    path: &'a str,
    etag: String,
    modified: String,
    asked: &'a HeaderMap,
    method: &'a Method,
}

impl<'a> File<'a> {
    /// The file at `path` that shows `picture`, asked for by `method` with the headers `asked`.
    pub(super) fn new(
        picture: &Picture,
        path: &'a str,
        method: &'a Method,
        asked: &'a HeaderMap,
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
            asked,
            method,
        }
    }

    /// The answer to a visitor who has the file already; `None` where it must be sent.
    pub(super) fn unchanged(&self) -> Option<Answer> {
        let same = match self.asked(&IF_NONE_MATCH) {
            Some(tags) => tags.split(',').any(|tag| {
                let tag = tag.trim();
                tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
            }),
            None => self.asked(&IF_MODIFIED_SINCE) == Some(&self.modified),
        };
        let headers = [(ETAG, self.etag.as_str()), (LAST_MODIFIED, &self.modified)];
        same.then(|| written(StatusCode::NOT_MODIFIED, &headers, Bytes::new()))
    }

    /// The answer with the file's bytes, or with the part asked for.
    pub(super) fn sent(&self, bytes: io::Result<Vec<u8>>) -> Answer {
        let Ok(bytes) = bytes.map(Bytes::from) else {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the picture could not be drawn\n",
            );
        };
        let length = bytes.len();
        let (status, range, body) = match self.part(length) {
            Part::All => (StatusCode::OK, None, bytes),
            Part::Some(part) => {
                let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
                (StatusCode::PARTIAL_CONTENT, Some(range), bytes.slice(part))
            }
            Part::Beyond => (
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
        written(status, &headers, body)
    }

    /// Which part of `length` bytes is asked for.
    fn part(&self, length: usize) -> Part {
        let condition = self.asked(&IF_RANGE);
        let holds =
            condition.is_none_or(|condition| condition == self.etag || condition == self.modified);
        match self.asked(&RANGE) {
            Some(range) if holds && *self.method == Method::GET => part(range, length),
            _ => Part::All,
        }
    }

    fn asked(&self, header: &HeaderName) -> Option<&str> {
        self.asked.get(header).and_then(|value| value.to_str().ok())
    }
}

/// A part of a file.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    All,
    Some(Range<usize>),
    Beyond,
}

/// Reads `bytes=A-B`, `bytes=A-` or `bytes=-N`; anything else, several parts among it, means the whole file.
fn part(range: &str, length: usize) -> Part {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|part| part.split_once('-'))
    else {
        return Part::All;
    };
    let number = |digits: &str| {
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().unwrap_or(usize::MAX))
    };
    let part = match (first, last) {
        ("", "") => return Part::All,
        ("", last) => number(last).map(|count| length.saturating_sub(count)..length),
        (first, "") => number(first).map(|first| first..length),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => return Part::All,
            (Some(first), Some(last)) => Some(first..last.saturating_add(1).min(length)),
            _ => None,
        },
    };
    match part {
        None => Part::All,
        Some(part) if part.start >= part.end => Part::Beyond,
        Some(part) => Part::Some(part),
    }
}

/// What a server that looks at names alone would call the file at `path`.
fn content_type(path: &str) -> &'static str {
    match base_and_extension(path).1.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        _ => "application/octet-stream",
    }
}

/// Puts an answer together.
fn written(status: StatusCode, headers: &[(HeaderName, &str)], body: Bytes) -> Answer {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, *value);
    }
    // What a gallery of one's own may hold need not fit into a header.
    builder.body(Full::new(body)).unwrap_or_else(|_| {
        let mut failed = Answer::default();
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_standard_says() {
        for (range, expected) in [
            ("bytes=0-0", Part::Some(0..1)),
            ("bytes=4-", Part::Some(4..10)),
            ("bytes=4-99", Part::Some(4..10)),
            ("bytes=-3", Part::Some(7..10)),
            ("bytes=-99", Part::Some(0..10)),
            ("bytes=10-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=99999999999999999999999-", Part::Beyond),
            ("bytes=5-4", Part::All),
            ("bytes=-", Part::All),
            ("bytes=0-1,3-4", Part::All),
            ("bytes=+1-2", Part::All),
            ("lines=0-1", Part::All),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn no_range_of_an_empty_file_can_be_had() {
        assert_eq!(part("bytes=0-", 0), Part::Beyond);
        assert_eq!(part("bytes=-5", 0), Part::Beyond);
    }

    #[test]
    fn a_type_is_judged_by_the_name_alone() {
        assert_eq!(content_type("/2010/08/31/.png"), "image/png");
        assert_eq!(content_type("/a/QUIET.PNG"), "image/png");
        assert_eq!(content_type("/08.03/Liquid-45"), "application/octet-stream");
    }
}
