//! Resuming a partial file with a range request (RFC 9110, 14): when it is possible, what is sent,
//! and what a valid 206 must contain.

use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use url::Url;

use super::head::{content_length, text_value};
use crate::part::ResumeInfo;

/// A request for the rest of a partial image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RangeRequest<'a> {
    etag: &'a str,
    last_modified: Option<&'a str>,
    length: u64,
    have: u64,
}

impl<'a> RangeRequest<'a> {
    /// The rest of the image at `address`, of which `have` bytes are there. `None` if the part
    /// belongs to another image, is empty or complete, or has no strong validator: the image could
    /// then have changed unnoticed.
    pub(crate) fn new(address: &Url, info: &'a ResumeInfo, have: u64) -> Option<Self> {
        let ResumeInfo {
            address: part_of,
            etag,
            last_modified,
            length,
            file_name: _,
            capture: _,
        } = info;
        let etag = etag
            .as_deref()
            .filter(|etag| is_strong(etag) && etag.parse::<HeaderValue>().is_ok())?;
        let fits = part_of == address.as_str() && (1..*length).contains(&have);
        fits.then_some(Self {
            etag,
            last_modified: last_modified.as_deref(),
            length: *length,
            have,
        })
    }

    /// Where the rest begins.
    pub(crate) fn from(&self) -> u64 {
        self.have
    }

    /// The length of the whole image.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds `Range` and `If-Range`. Only with a strong validator in `If-Range` does a changed image
    /// come back as a whole, instead of its end being appended to the old beginning.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(RANGE, self.range().parse().expect("digits in plain text"));
        headers.insert(
            IF_RANGE,
            self.etag.parse().expect("checked when it was made"),
        );
    }

    fn range(&self) -> String {
        format!("bytes={}-", self.have)
    }

    /// Checks that a 206 with these headers is exactly the rest that was requested, and of the same
    /// image: several servers ignore `If-Range`, so the part's validators are compared with those of
    /// the response (RFC 9110 section 15.3.7). It must repeat the `ETag`; the date it may leave out.
    ///
    /// # Errors
    ///
    /// When it is not: what does not match.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        match text_value(headers, &ETAG) {
            Some(etag) if etag == self.etag => {}
            Some(_) => return Err("the image now has another ETag".to_owned()),
            None => return Err("the response does not say which ETag the image has".to_owned()),
        }
        let last_modified = text_value(headers, &LAST_MODIFIED);
        if let (Some(had), Some(has)) = (self.last_modified, last_modified)
            && had != has
        {
            return Err("the image was modified".to_owned());
        }
        let due = (self.have, self.length - 1, self.length);
        match text_value(headers, &CONTENT_RANGE) {
            Some(range) if parse_content_range(range) == Some(due) => Ok(()),
            Some(range) => Err(format!("requested `{}`, received `{range}`", self.range())),
            None => Err("the response has no valid Content-Range".to_owned()),
        }
    }
}

/// Whether an `ETag` is strong, so that equal tags mean equal bytes.
pub(super) fn is_strong(etag: &str) -> bool {
    etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')
}

/// The length of the whole, if the `Content-Range` of a 206 says that this is what it brings.
pub(crate) fn whole_range(headers: &HeaderMap) -> Option<u64> {
    let (first, last, length) = parse_content_range(text_value(headers, &CONTENT_RANGE)?)?;
    let is_whole = first == 0 && last.checked_add(1) == Some(length);
    let fits = content_length(headers).is_none_or(|announced| announced == length);
    (is_whole && fits).then_some(length)
}

/// Parses `bytes FIRST-LAST/LENGTH`; a `*` in place of a number is not accepted.
pub fn parse_content_range(value: &str) -> Option<(u64, u64, u64)> {
    let (unit, rest) = value.trim().split_once(' ')?;
    let (span, length) = rest.trim().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    unit.eq_ignore_ascii_case("bytes").then_some(())?;
    Some((
        first.trim().parse().ok()?,
        last.trim().parse().ok()?,
        length.trim().parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::scripted::{Reply, Server, header};
    use crate::fetch::{Body, FetchError, FetchErrorKind};

    fn info() -> ResumeInfo {
        info_with("https://gallery.test/a.png", Some("\"v1\""), 100)
    }

    fn info_with(address: &str, etag: Option<&str>, length: u64) -> ResumeInfo {
        ResumeInfo {
            address: address.to_owned(),
            etag: etag.map(str::to_owned),
            last_modified: None,
            length,
            file_name: None,
            capture: None,
        }
    }

    fn answer(etag: &str, range: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, etag.parse().unwrap());
        headers.insert(CONTENT_RANGE, range.parse().unwrap());
        headers
    }

    #[test]
    fn a_part_is_resumed_only_for_its_own_image_and_with_a_strong_etag() {
        let address = Url::parse(&info().address).unwrap();
        assert!(RangeRequest::new(&address, &info(), 40).is_some());
        assert!(
            RangeRequest::new(
                &Url::parse("https://gallery.test/b.png").unwrap(),
                &info(),
                40
            )
            .is_none()
        );
        for etag in [Some("W/\"v1\""), Some(""), None] {
            assert!(
                RangeRequest::new(&address, &info_with(address.as_str(), etag, 100), 40).is_none(),
                "{etag:?}"
            );
        }
        for have in [0, 100, 101] {
            assert!(
                RangeRequest::new(&address, &info(), have).is_none(),
                "{have}"
            );
        }
    }

    #[test]
    fn only_the_exact_content_range_and_etag_are_accepted() {
        let (address, resume) = (Url::parse(&info().address).unwrap(), info());
        let rest = RangeRequest::new(&address, &resume, 40).unwrap();
        let mut headers = HeaderMap::new();
        rest.add_headers(&mut headers);
        assert_eq!(
            (&headers[RANGE], &headers[IF_RANGE]),
            (&"bytes=40-".parse().unwrap(), &"\"v1\"".parse().unwrap())
        );
        assert_eq!(rest.check(&answer("\"v1\"", "bytes 40-99/100")), Ok(()));
        for (etag, range) in [
            ("\"v2\"", "bytes 40-99/100"),
            ("W/\"v1\"", "bytes 40-99/100"),
            ("\"v1\"", "bytes 39-99/100"),
            ("\"v1\"", "bytes 40-98/100"),
            ("\"v1\"", "bytes 40-109/110"),
            ("\"v1\"", "bytes 40-99/*"),
            ("\"v1\"", "bytes */100"),
            ("\"v1\"", "bytes 40-39/100"),
            ("\"v1\"", "bytes 100-99/100"),
            ("\"v1\"", "bytes=40-99/100"),
            ("\"v1\"", "lines 40-99/100"),
            ("\"v1\"", "-1--1/-1"),
        ] {
            assert!(rest.check(&answer(etag, range)).is_err(), "{etag} {range}");
        }
        assert!(rest.check(&HeaderMap::new()).is_err());
    }

    const WHOLE: &str = "0123456789";

    /// Asks a server that answers `script` for what is missing behind `0123`.
    async fn resumed(
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> (Server, Result<Body, FetchError>) {
        let server = Server::start(script).await;
        let address = server.url("/a.png");
        let resume = info_with(address.as_str(), Some("\"v1\""), 10);
        let body = server.fetcher().image(&address, Some((&resume, 4))).await;
        (server, body)
    }

    fn rest(etag: &str, range: &str, bytes: &str) -> Reply {
        Reply::new(
            206,
            &[&format!("ETag: {etag}"), &format!("Content-Range: {range}")],
            bytes,
        )
    }

    #[tokio::test]
    async fn a_part_is_resumed_where_it_ends() {
        let (server, body) = resumed(|_| rest("\"v1\"", "bytes 4-9/10", &WHOLE[4..])).await;
        let body = body.unwrap();
        assert_eq!(
            (body.from(), body.length(), body.strong_etag()),
            (4, Some(10), Some("\"v1\""))
        );
        assert_eq!(body.collect(usize::MAX).await.unwrap(), b"456789");
        let head = server.heads().remove(0);
        assert_eq!(
            (header(&head, "range"), header(&head, "if-range")),
            (Some("bytes=4-"), Some("\"v1\""))
        );
    }

    #[tokio::test]
    async fn a_changed_image_is_sent_whole_and_the_part_starts_over() {
        let (_, body) = resumed(|_| Reply::new(200, &["ETag: \"v2\""], WHOLE)).await;
        let body = body.unwrap();
        assert_eq!((body.from(), body.length()), (0, Some(10)));
        assert_eq!(body.collect(usize::MAX).await.unwrap(), WHOLE.as_bytes());
    }

    #[tokio::test]
    async fn a_206_that_does_not_match_makes_the_part_stale() {
        for (etag, range) in [
            ("\"v2\"", "bytes 4-9/10"),
            ("\"v1\"", "bytes 3-9/10"),
            ("\"v1\"", "bytes 4-9/11"),
        ] {
            let (_, body) = resumed(move |_| rest(etag, range, &WHOLE[4..])).await;
            let error = body.unwrap_err();
            assert!(error.is_stale_part(), "{etag} {range}: {error}");
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_do_the_range_makes_the_part_stale() {
        for status in [400, 412, 416, 501] {
            for header in ["Content-Range: bytes */3", "Via: x"] {
                let (_, body) = resumed(move |_| Reply::new(status, &[header], "")).await;
                assert!(body.unwrap_err().is_stale_part(), "{status} {header}");
            }
        }
    }

    #[tokio::test]
    async fn a_206_of_the_whole_starts_the_part_over() {
        let (_, body) = resumed(|_| rest("\"v2\"", "bytes 0-9/10", WHOLE)).await;
        let body = body.unwrap();
        assert_eq!((body.from(), body.length()), (0, Some(10)));
        assert_eq!(body.collect(usize::MAX).await.unwrap(), WHOLE.as_bytes());
    }

    #[test]
    fn the_date_of_a_206_is_compared_where_it_has_one() {
        let (address, mut resume) = (Url::parse(&info().address).unwrap(), info());
        resume.last_modified = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
        let rest = RangeRequest::new(&address, &resume, 40).unwrap();
        let mut headers = answer("\"v1\"", "bytes 40-99/100");
        assert_eq!(rest.check(&headers), Ok(()));
        headers.insert(
            LAST_MODIFIED,
            "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap(),
        );
        assert_eq!(rest.check(&headers), Ok(()));
        headers.insert(
            LAST_MODIFIED,
            "Sun, 06 Nov 1994 08:49:38 GMT".parse().unwrap(),
        );
        assert!(rest.check(&headers).is_err());
    }

    #[tokio::test]
    async fn a_206_that_is_shorter_or_longer_than_announced_is_an_error() {
        let (_, body) = resumed(|_| rest("\"v1\"", "bytes 4-9/10", &WHOLE[5..])).await;
        let error = body.unwrap().collect(usize::MAX).await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                FetchErrorKind::Truncated {
                    got: 9,
                    want: Some(10),
                    ..
                }
            ),
            "{error}"
        );
        let (_, body) = resumed(|_| rest("\"v1\"", "bytes 4-9/10", WHOLE)).await;
        let error = body.unwrap().collect(usize::MAX).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::LongerThanAnnounced),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_part_with_a_weak_etag_is_not_resumed() {
        let server = Server::start(|_| Reply::ok(WHOLE)).await;
        let address = server.url("/a.png");
        let resume = info_with(address.as_str(), Some("W/\"v1\""), 10);
        let body = server
            .fetcher()
            .image(&address, Some((&resume, 4)))
            .await
            .unwrap();
        assert_eq!(
            (body.from(), header(&server.heads()[0], "range")),
            (0, None)
        );
    }

    #[tokio::test]
    async fn a_206_that_was_not_requested_is_an_error() {
        let server = Server::start(|_| rest("\"v1\"", "bytes 4-9/10", &WHOLE[4..])).await;
        let error = server
            .fetcher()
            .image(&server.url("/a.png"), None)
            .await
            .unwrap_err();
        assert_eq!((error.status(), error.is_stale_part()), (Some(206), false));
    }
}
