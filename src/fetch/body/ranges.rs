//! Going on with a part: when it may be asked for, what is asked, and what the answer must say.

use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use url::Url;

use crate::part::ResumeInfo;

/// The rest of an image of which a part is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest<'a> {
    etag: &'a str,
    whole: u64,
    have: u64,
}

impl<'a> Rest<'a> {
    /// The rest of the image at `address`; `None` when the part is of another one, holds nothing or everything,
    /// or cannot be told apart from a changed image.
    pub(crate) fn of(address: &Url, note: &'a ResumeInfo, have: u64) -> Option<Self> {
        let ResumeInfo {
            address: of,
            etag,
            last_modified: _,
            length,
        } = note;
        let etag = etag
            .as_deref()
            .filter(|etag| is_strong(etag) && etag.parse::<HeaderValue>().is_ok())?;
        let fits = of == address.as_str() && (1..*length).contains(&have);
        fits.then_some(Self {
            etag,
            whole: *length,
            have,
        })
    }

    /// Where it begins.
    pub(crate) fn from(&self) -> u64 {
        self.have
    }

    /// The length of the whole image.
    pub(crate) fn whole(&self) -> u64 {
        self.whole
    }

    /// Adds to a request's headers what asks for this and nothing else: with a strong validator in `If-Range` alone
    /// is a changed image never glued to an old part.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(RANGE, self.range().parse().expect("digits in plain text"));
        headers.insert(
            IF_RANGE,
            self.etag.parse().expect("a validator that was judged"),
        );
    }

    fn range(&self) -> String {
        format!("bytes={}-", self.have)
    }

    /// Whether a 206 carries exactly this; what does not fit, otherwise.
    pub(crate) fn check(&self, answer: &HeaderMap) -> Result<(), String> {
        let etag = answer.get(ETAG).and_then(|etag| etag.to_str().ok());
        if etag != Some(self.etag) {
            return Err("the image has another ETag by now".to_owned());
        }
        let range = answer
            .get(CONTENT_RANGE)
            .and_then(|range| range.to_str().ok());
        let due = (self.have, self.whole - 1, self.whole);
        match range {
            Some(range) if read(range) == Some(due) => Ok(()),
            Some(range) => Err(format!("`{}` was asked for, `{range}` came", self.range())),
            None => Err("the answer does not say where it begins".to_owned()),
        }
    }
}

/// Whether an `ETag` tells every byte apart.
pub(crate) fn is_strong(etag: &str) -> bool {
    etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')
}

/// Reads `bytes FIRST-LAST/LENGTH`.
pub fn read(range: &str) -> Option<(u64, u64, u64)> {
    let (unit, rest) = range.trim().split_once(' ')?;
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
    use crate::fetch::scripted::{Reply, Server, line};
    use crate::fetch::{Body, FetchError};

    fn note() -> ResumeInfo {
        noted("https://gallery.test/a.png", Some("\"v1\""), 100)
    }

    fn noted(address: &str, etag: Option<&str>, length: u64) -> ResumeInfo {
        ResumeInfo {
            address: address.to_owned(),
            etag: etag.map(str::to_owned),
            last_modified: None,
            length,
        }
    }

    fn answer(etag: &str, range: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, etag.parse().unwrap());
        headers.insert(CONTENT_RANGE, range.parse().unwrap());
        headers
    }

    #[test]
    fn a_part_goes_on_only_for_its_own_image_and_only_with_a_strong_validator() {
        let address = Url::parse(&note().address).unwrap();
        assert!(Rest::of(&address, &note(), 40).is_some());
        assert!(
            Rest::of(
                &Url::parse("https://gallery.test/b.png").unwrap(),
                &note(),
                40
            )
            .is_none()
        );
        for etag in [Some("W/\"v1\""), Some(""), None] {
            assert!(
                Rest::of(&address, &noted(address.as_str(), etag, 100), 40).is_none(),
                "{etag:?}"
            );
        }
        for have in [0, 100, 101] {
            assert!(Rest::of(&address, &note(), have).is_none(), "{have}");
        }
    }

    #[test]
    fn only_the_very_rest_of_the_very_image_fits() {
        let (address, note) = (Url::parse(&note().address).unwrap(), note());
        let rest = Rest::of(&address, &note, 40).unwrap();
        let mut headers = HeaderMap::new();
        rest.ask(&mut headers);
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
        let note = noted(address.as_str(), Some("\"v1\""), 10);
        let body = server.fetcher().image(&address, Some((&note, 4))).await;
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
    async fn a_part_goes_on_where_it_ends() {
        let (server, body) = resumed(|_| rest("\"v1\"", "bytes 4-9/10", &WHOLE[4..])).await;
        let body = body.unwrap();
        assert_eq!(
            (body.from(), body.length(), body.strong_etag()),
            (4, Some(10), Some("\"v1\""))
        );
        assert_eq!(body.all(usize::MAX).await.unwrap(), b"456789");
        let head = server.heads().remove(0);
        assert_eq!(
            (line(&head, "range"), line(&head, "if-range")),
            (Some("bytes=4-"), Some("\"v1\""))
        );
    }

    #[tokio::test]
    async fn a_changed_image_comes_whole_and_the_part_starts_over() {
        let (_, body) = resumed(|_| Reply::new(200, &["ETag: \"v2\""], WHOLE)).await;
        let body = body.unwrap();
        assert_eq!((body.from(), body.length()), (0, Some(10)));
        assert_eq!(body.all(usize::MAX).await.unwrap(), WHOLE.as_bytes());
    }

    #[tokio::test]
    async fn a_rest_of_something_else_drops_the_part() {
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
    async fn a_range_that_cannot_be_served_drops_the_part() {
        let (_, body) = resumed(|_| Reply::new(416, &["Content-Range: bytes */3"], "")).await;
        assert!(body.unwrap_err().is_stale_part());
    }

    #[tokio::test]
    async fn a_rest_that_is_shorter_or_longer_than_it_says_is_no_rest() {
        let (_, body) = resumed(|_| rest("\"v1\"", "bytes 4-9/10", &WHOLE[5..])).await;
        let error = body.unwrap().all(usize::MAX).await.unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::CutShort {
                    got: 9,
                    want: Some(10),
                    ..
                }
            ),
            "{error}"
        );
        let (_, body) = resumed(|_| rest("\"v1\"", "bytes 4-9/10", WHOLE)).await;
        let error = body.unwrap().all(usize::MAX).await.unwrap_err();
        assert!(matches!(error, FetchError::NotHttp { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_part_that_cannot_be_trusted_is_not_asked_to_go_on() {
        let server = Server::start(|_| Reply::ok(WHOLE)).await;
        let address = server.url("/a.png");
        let note = noted(address.as_str(), Some("W/\"v1\""), 10);
        let body = server
            .fetcher()
            .image(&address, Some((&note, 4)))
            .await
            .unwrap();
        assert_eq!((body.from(), line(&server.heads()[0], "range")), (0, None));
    }

    #[tokio::test]
    async fn a_part_nobody_asked_for_is_an_error() {
        let server = Server::start(|_| rest("\"v1\"", "bytes 4-9/10", &WHOLE[4..])).await;
        let error = server
            .fetcher()
            .image(&server.url("/a.png"), None)
            .await
            .unwrap_err();
        assert_eq!((error.status(), error.is_stale_part()), (Some(206), false));
    }
}
