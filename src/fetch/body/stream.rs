//! A body on its way: handed on as it comes, and measured while it does.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{ETAG, HeaderName, LAST_MODIFIED};

use crate::fetch::body::ranges::is_strong;
use crate::fetch::error::FetchError;
use crate::fetch::limits::bandwidth::Throttle;
use crate::fetch::limits::stall::{Lost, StallTimer};
use crate::fetch::transport::host_response::Answer;

/// An image's bytes, as the site sends them; also those of a page.
#[derive(Debug)]
pub struct Body {
    answer: Answer,
    limit: u64,
    from: u64,
    length: Option<u64>,
    got: u64,
    throttle: Option<Arc<Throttle>>,
}

impl Body {
    /// A whole body of at most `limit` bytes.
    pub(crate) fn whole(answer: Answer, limit: u64) -> Result<Self, FetchError> {
        let length = answer.content_length();
        Self {
            answer,
            limit,
            from: 0,
            length,
            got: 0,
            throttle: None,
        }
        .within_limit()
    }

    /// The rest from `from` of one that is `length` bytes long as a whole.
    pub(crate) fn rest(
        answer: Answer,
        limit: u64,
        from: u64,
        length: u64,
    ) -> Result<Self, FetchError> {
        Self {
            answer,
            limit,
            from,
            length: Some(length),
            got: 0,
            throttle: None,
        }
        .within_limit()
    }

    /// The same body, read no faster than all bodies together may be.
    pub(crate) fn paced(self, throttle: Option<Arc<Throttle>>) -> Self {
        Self { throttle, ..self }
    }

    /// The length of the whole image, where the server said so: at once, or by a last chunk.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Where its first byte belongs: 0, or where the part that is to go on ends. A part goes on only when this is
    /// what it has; otherwise it starts over.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The server's `ETag`.
    pub fn etag(&self) -> Option<&str> {
        self.header(&ETAG)
    }

    /// The server's `ETag`, if it tells every byte apart: what a part may go on with.
    pub fn strong_etag(&self) -> Option<&str> {
        self.etag().filter(|etag| is_strong(etag))
    }

    /// The server's `Last-Modified`.
    pub fn last_modified(&self) -> Option<&str> {
        self.header(&LAST_MODIFIED)
    }

    /// The next bytes; `None` once all of them were there.
    ///
    /// # Errors
    ///
    /// When the connection breaks or ends too early, goes silent or all but silent, or brings too much.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let next = self.next().await;
        match &next {
            Ok(Some(chunk)) => {
                if let Some(throttle) = &self.throttle {
                    throttle.pay(chunk.len()).await;
                }
            }
            Ok(None) => self.answer.went_well(),
            Err(error) => self.answer.went_wrong(error),
        }
        next
    }

    /// All that is left of it. More than `most` bytes are not read; the limit of the body holds as well.
    pub(crate) async fn all(mut self, most: usize) -> Result<Vec<u8>, FetchError> {
        let mut all = Vec::new();
        while all.len() < most {
            match self.chunk().await? {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => break,
            }
        }
        all.truncate(most);
        Ok(all)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let next = self.answer.chunk().await.map_err(|lost| self.lost(lost))?;
        let Some(chunk) = next.map_err(|reason| self.cut_short(reason))? else {
            return match self.length {
                Some(length) if self.from + self.got < length => {
                    Err(self.cut_short("that was all".to_owned()))
                }
                Some(_) => Ok(None),
                None => {
                    // The last chunk says how long it was; an end of the connection may be anything.
                    self.length = self.answer.is_chunked().then_some(self.from + self.got);
                    Ok(None)
                }
            };
        };
        self.got += chunk.len() as u64;
        let end = self.from + self.got;
        if end > self.limit {
            return Err(self.too_large());
        }
        if self.length.is_some_and(|length| end > length) {
            let (host, reason) = (
                self.answer.host().to_owned(),
                "it sends more than it announced".to_owned(),
            );
            return Err(FetchError::NotHttp { host, reason });
        }
        self.answer
            .patience
            .weigh(chunk.len())
            .map_err(|lost| self.lost(lost))?;
        Ok(Some(chunk))
    }

    /// Refuses before a byte is read what says itself that it is too large.
    fn within_limit(self) -> Result<Self, FetchError> {
        if self.length.is_some_and(|length| length > self.limit) {
            Err(self.too_large())
        } else {
            Ok(self)
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.answer.header(name)
    }

    fn too_large(&self) -> FetchError {
        FetchError::TooLarge {
            host: self.answer.host().to_owned(),
            limit: self.limit,
        }
    }

    fn cut_short(&self, reason: String) -> FetchError {
        let (got, want) = (self.from + self.got, self.length);
        FetchError::CutShort {
            host: self.answer.host().to_owned(),
            got,
            want,
            reason,
        }
    }

    fn lost(&self, lost: Lost) -> FetchError {
        let host = self.answer.host().to_owned();
        let StallTimer { stall, floor, .. } = self.answer.patience;
        match lost {
            Lost::Silent => FetchError::Stalled { host, limit: stall },
            Lost::Slow => FetchError::TooSlow {
                host,
                floor,
                over: stall,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, image, line, settings};

    #[tokio::test]
    async fn a_whole_image_comes_as_it_is_and_says_what_it_is() {
        let headers = [
            "ETag: \"v1\"",
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
        ];
        let server = Server::start(move |_| Reply::new(200, &headers, "picture")).await;
        let mut body = server
            .fetcher()
            .image(&server.url("/a.png"), None)
            .await
            .unwrap();
        assert_eq!((body.from(), body.length()), (0, Some(7)));
        assert_eq!(
            (body.etag(), body.strong_etag()),
            (Some("\"v1\""), Some("\"v1\""))
        );
        assert_eq!(body.last_modified(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(body.chunk().await.unwrap().unwrap(), "picture");
        assert_eq!(body.chunk().await.unwrap(), None);
        assert_eq!(body.chunk().await.unwrap(), None);
        assert_eq!(
            line(&server.heads()[0], "accept-encoding"),
            Some("identity")
        );
        assert_eq!(
            line(&server.heads()[0], "user-agent"),
            Some("wallhaul/test")
        );
    }

    #[tokio::test]
    async fn a_weak_validator_is_no_validator() {
        let server = Server::start(|_| Reply::new(200, &["ETag: W/\"v1\""], "x")).await;
        let body = server
            .fetcher()
            .image(&server.url("/a.png"), None)
            .await
            .unwrap();
        assert_eq!((body.etag(), body.strong_etag()), (Some("W/\"v1\""), None));
    }

    #[tokio::test]
    async fn an_image_without_a_length_is_whole_when_it_ends_as_it_should() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let closed = "HTTP/1.1 200 OK\r\n\r\nabc";
        for whole in [Reply::raw(chunked), Reply::raw(closed).and_close()] {
            let server = Server::start(move |_| whole.clone()).await;
            assert_eq!(
                image(&server.fetcher(), &server.url("/a.png"))
                    .await
                    .unwrap(),
                b"abc"
            );
        }
    }

    #[tokio::test]
    async fn an_image_that_ends_too_early_is_cut_short() {
        for (cut, want) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Some(9)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                None,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nffffffffffffffffff\r\nx",
                None,
            ),
        ] {
            let server = Server::start(move |_| Reply::raw(cut).and_close()).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(
                matches!(error, FetchError::CutShort { got: 3, want: w, .. } if w == want),
                "{error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_silent_is_left_at_the_stall_limit() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        let server = Server::start(move |_| Reply::raw(head).and_hang()).await;
        let start = Instant::now();
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Stalled { .. }), "{error}");
        assert!(error.to_string().starts_with("`127.0.0.1:"), "{error}");
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_or_drips_its_headers_is_left_at_the_stall_limit() {
        let drip = Reply::ok("abc").drop_by_drop(Duration::from_secs(1));
        for slow in [Reply::raw("").and_hang(), drip] {
            let server = Server::start(move |_| slow.clone()).await;
            let start = Instant::now();
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(matches!(error, FetchError::Stalled { .. }), "{error}");
            assert_eq!(start.elapsed().as_secs(), 30);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_too_slow() {
        let body = Reply::ok([b'x'; 500]).drop_by_drop(Duration::from_millis(200));
        let server = Server::start(move |_| body.clone()).await;
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::TooSlow { floor: 100, .. }),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_slow_but_steady_succeeds_however_long_it_takes() {
        let body = Reply::ok(vec![b'x'; 10_000]).drop_by_drop(Duration::from_millis(9));
        let server = Server::start(move |_| body.clone()).await;
        let start = Instant::now();
        assert_eq!(
            image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap()
                .len(),
            10_000
        );
        assert!(start.elapsed() > Duration::from_secs(80));
    }

    #[tokio::test]
    async fn an_image_that_says_it_is_too_large_is_refused_before_a_byte_is_read() {
        let server = Server::start(|_| {
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n").and_hang()
        });
        let server = server.await;
        let error = server
            .fetcher()
            .image(&server.url("/a.png"), None)
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge { limit: 65_536, .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_image_without_an_end_is_left_at_the_size_limit() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".as_slice();
        let endless = Reply::raw([head, &vec![0; 100_000]].concat()).and_hang();
        let server = Server::start(move |_| endless.clone()).await;
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_encoded_image_is_refused() {
        for coding in ["gzip", "br", "gzip, gzip", "klingon"] {
            let header = format!("Content-Encoding: {coding}");
            let server = Server::start(move |_| Reply::new(200, &[&header], "packed")).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(
                matches!(&error, FetchError::Encoded { coding: said, .. } if said == coding),
                "{error}"
            );
        }
        let server =
            Server::start(|_| Reply::new(200, &["Content-Encoding: identity"], "plain")).await;
        assert_eq!(
            image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap(),
            b"plain"
        );
    }

    #[tokio::test]
    async fn images_that_follow_one_another_share_one_connection() {
        let server = Server::start(|_| Reply::ok(vec![7; 40_000])).await;
        let fetcher = server.fetcher();
        for _ in 0..20 {
            image(&fetcher, &server.url("/a.png")).await.unwrap();
        }
        assert_eq!((server.asked("/a.png"), server.connections()), (20, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_bodies_all_break_off_is_given_up() {
        let cut = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").and_close();
        let server = Server::start(move |_| cut.clone()).await;
        let fetcher = server.fetcher_with(&settings());
        for _ in 0..25 {
            image(&fetcher, &server.url("/a.png")).await.unwrap_err();
        }
        let error = image(&fetcher, &server.url("/a.png")).await.unwrap_err();
        assert!(
            matches!(error, FetchError::GivenUp { failures: 20, .. }),
            "{error}"
        );
        assert_eq!(server.asked("/a.png"), 20);
    }
}
