//! A body: passed on as it arrives, and checked against its limits and its announced length on the
//! way.

use std::sync::Arc;

#[cfg(test)]
use bytes::Bytes;
use reqwest::header::{CONTENT_DISPOSITION, ETAG, HeaderName, LAST_MODIFIED};

use super::archived::ArchivedBody;
use super::coding::{Accepted, Decoder};
use super::disposition;
use super::head::{content_length, text_value};
use super::layer::CodingError;
use super::ranges::{RangeRequest, is_strong, whole_range};
use super::source::BodySource;
use super::transfer::Transfer;
use crate::fetch::error::{FetchError, FetchErrorKind};
use crate::fetch::limits::{Exchange, Throttle};
use crate::outcome::Capture;

/// The bytes of an image or a page.
#[derive(Debug)]
pub struct BodyStream<S> {
    transfer: Transfer<S>,
    throttle: Option<Arc<Throttle>>,
    /// Whether the labels are not to be known: they hold a secret.
    hides_labels: bool,
    /// Boxed, for hardly any image is packed.
    decoding: Option<Box<Decoding>>,
    /// Boxed, for hardly any image comes from the web archive.
    archived: Option<Box<ArchivedBody>>,
}

/// The state of a body that is packed.
#[derive(Debug)]
struct Decoding {
    decoder: Decoder,
    decoded: u64,
    has_ended: bool,
    /// The length after decoding, known at the end.
    length: Option<u64>,
}

impl<S: BodySource> BodyStream<S> {
    /// A whole body of at most `limit` bytes, packed and unpacked, read no faster than `throttle`
    /// allows. What it may be packed by, `accepted` says.
    ///
    /// # Errors
    ///
    /// When the headers say that it is too large, or name a coding that cannot be undone; no byte
    /// of it is read then.
    pub(crate) fn whole(
        source: S,
        exchange: Exchange,
        accepted: Accepted,
        limit: u64,
        throttle: Option<Arc<Throttle>>,
    ) -> Result<Self, FetchError> {
        let length = content_length(source.headers()).or_else(|| whole_range(source.headers()));
        let decoder = Decoder::new(source.headers(), accepted)
            .map_err(|coding| exchange.error(FetchErrorKind::ContentEncoding { coding }))?;
        let decoding = decoder.map(|decoder| {
            Box::new(Decoding {
                decoder,
                decoded: 0,
                has_ended: false,
                length: None,
            })
        });
        let transfer = Transfer {
            source,
            exchange,
            limit,
            from: 0,
            length,
            received: 0,
            doubt: None,
        };
        Ok(Self {
            transfer: transfer.checked()?,
            throttle,
            hides_labels: false,
            decoding,
            archived: None,
        })
    }

    /// The rest of an image; otherwise as [`BodyStream::whole`].
    ///
    /// # Errors
    ///
    /// Also when the headers do not belong to that rest: the part is stale.
    pub(crate) fn rest(
        source: S,
        exchange: Exchange,
        range: RangeRequest<'_>,
        limit: u64,
        throttle: Option<Arc<Throttle>>,
    ) -> Result<Self, FetchError> {
        if let Err(reason) = range.check(source.headers()) {
            return Err(exchange.error(FetchErrorKind::StalePart { reason }));
        }
        if !matches!(Decoder::new(source.headers(), Accepted::Identity), Ok(None)) {
            // A range of packed bytes continues nothing: a part holds unpacked ones.
            let reason = "the rest of it came packed".to_owned();
            return Err(exchange.error(FetchErrorKind::StalePart { reason }));
        }
        let transfer = Transfer {
            source,
            exchange,
            limit,
            from: range.from(),
            length: Some(range.length()),
            received: 0,
            doubt: None,
        };
        Ok(Self {
            transfer: transfer.checked()?,
            throttle,
            hides_labels: false,
            decoding: None,
            archived: None,
        })
    }

    /// The same body as what the web archive says it is; its bytes are compared as they pass.
    pub(crate) fn of_capture(mut self, archived: Box<ArchivedBody>) -> Self {
        self.archived = Some(archived);
        self
    }

    /// The web archive's capture that this is.
    pub fn capture(&self) -> Option<&Capture> {
        Some(&self.archived.as_ref()?.capture)
    }

    /// The length of the whole image, if the server announced it; for a chunked or packed body it
    /// is known after the last byte.
    pub fn length(&self) -> Option<u64> {
        match &self.decoding {
            None => self.transfer.length,
            Some(decoding) => decoding.length,
        }
    }

    /// The offset of the first byte: 0, or where the part that is resumed ends. A part may only be
    /// appended to if this equals its length; otherwise it starts over.
    pub fn from(&self) -> u64 {
        self.transfer.from
    }

    /// Takes the labels of the image (validators and file name) as not sent, if one of them `is_secret`: the ledger and
    /// the name of the file would show it.
    pub(crate) fn hide_labels_if(&mut self, is_secret: impl Fn(&str) -> bool) {
        let file_name = self.file_name();
        let labels = [self.etag(), self.last_modified(), file_name.as_deref()];
        let hides_labels = labels.into_iter().flatten().any(is_secret);
        self.hides_labels = hides_labels;
    }

    /// The server's `ETag`.
    pub fn etag(&self) -> Option<&str> {
        self.header(&ETAG)
    }

    /// The server's `ETag` if it is a strong one: only then can a part be resumed.
    pub fn strong_etag(&self) -> Option<&str> {
        self.etag().filter(|etag| is_strong(etag))
    }

    /// The server's `Last-Modified`.
    pub fn last_modified(&self) -> Option<&str> {
        self.header(&LAST_MODIFIED)
    }

    /// The name that the server's `Content-Disposition` gives the file: untrusted text.
    pub fn file_name(&self) -> Option<String> {
        let headers = Some(self.transfer.source.headers()).filter(|_| !self.hides_labels)?;
        let header = headers.get(CONTENT_DISPOSITION)?;
        disposition::file_name(header.as_bytes())
    }

    /// Shows the next bytes to `see`; `None` after the last ones. A server may close a TLS connection without a
    /// `close_notify` (RFC 8446 section 6.1), as many do; if nothing else tells the end of the body,
    /// that is one too, but its bytes must show that they are all there: with
    /// [`BodyStream::accept_end`] or [`BodyStream::reject_end`] the reader says whether they do.
    ///
    /// # Errors
    ///
    /// When the connection breaks, ends too early or stalls, or the body is too long.
    pub async fn show<R>(&mut self, see: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, FetchError> {
        let mut count = 0;
        let archived = &mut self.archived;
        let see = |bytes: &[u8]| {
            count = bytes.len();
            if let Some(archived) = archived {
                archived.update(bytes);
            }
            see(bytes)
        };
        let mut next = match &mut self.decoding {
            None => self.transfer.show(see).await,
            // Boxed like all that hardly any image needs.
            Some(decoding) => Box::pin(decoding.show(&mut self.transfer, see)).await,
        };
        if let Some(archived) = &mut self.archived {
            match &next {
                Ok(Some(_)) => {}
                Ok(None) => {
                    if let Err(reason) = archived.finish() {
                        let kind = FetchErrorKind::NotAsArchived { reason };
                        next = Err(self.transfer.exchange.error(kind));
                    }
                }
                Err(_) => archived.set_broken(),
            }
        }
        match &next {
            Ok(Some(_)) => {
                if let Some(throttle) = &self.throttle {
                    throttle.acquire(count).await;
                }
            }
            Ok(None) if self.transfer.doubt.is_some() => {}
            Ok(None) => self.transfer.exchange.record_success(),
            Err(error) => self.transfer.exchange.record_failure(error),
        }
        next
    }

    /// The next bytes; otherwise as [`BodyStream::show`].
    #[cfg(test)]
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.show(Bytes::copy_from_slice).await
    }

    /// The bytes show that they are all there.
    pub fn accept_end(&self) {
        if self.transfer.doubt.is_some() {
            self.transfer.exchange.record_success();
        }
        if let Some(archived) = &self.archived {
            archived.accept();
        }
    }

    /// The bytes do not show that they are all there: the error that this is, unless the server
    /// ended the body in a way that proves it.
    pub fn reject_end(&self) -> Option<FetchError> {
        let error = self.transfer.truncated(self.transfer.doubt.clone()?);
        self.transfer.exchange.record_failure(&error);
        Some(error)
    }

    /// Reads a body into memory that must be complete by its framing; otherwise as
    /// [`BodyStream::collect_to_close`].
    #[cfg(test)]
    pub(crate) async fn collect(mut self, most: usize) -> Result<Vec<u8>, FetchError> {
        let collected = self.collect_to_close(most).await?;
        self.reject_end().map_or(Ok(collected), Err)
    }

    /// Reads the rest into memory, but at most `most` bytes; the limit of the body holds as well.
    /// The reader must judge the end, as after [`BodyStream::show`].
    pub(crate) async fn collect_to_close(&mut self, most: usize) -> Result<Vec<u8>, FetchError> {
        let mut collected = Vec::new();
        while collected.len() < most {
            let more = self.show(|bytes| collected.extend_from_slice(bytes));
            if more.await?.is_none() {
                break;
            }
        }
        collected.truncate(most);
        Ok(collected)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        let headers = Some(self.transfer.source.headers()).filter(|_| !self.hides_labels)?;
        text_value(headers, name)
    }
}

impl Decoding {
    /// Shows the next bytes after decoding; `None` at the end.
    async fn show<S: BodySource, R>(
        &mut self,
        transfer: &mut Transfer<S>,
        see: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, FetchError> {
        loop {
            let bytes = match self.decoder.next() {
                Ok(bytes) => bytes,
                Err(CodingError { coding }) => {
                    let (is_known, coding) = (coding.is_known(), coding.name());
                    return Err(transfer.exchange.error(if is_known {
                        FetchErrorKind::BadCoding { coding }
                    } else {
                        let coding = coding.to_owned();
                        FetchErrorKind::ContentEncoding { coding }
                    }));
                }
            };
            if let Some(bytes) = bytes {
                self.decoded += bytes.len() as u64;
                if self.decoded > transfer.limit {
                    return Err(transfer.too_large());
                }
                return Ok(Some(see(&bytes)));
            }
            if self.has_ended {
                let is_proven = self.decoder.is_proven();
                if is_proven {
                    // The coding has an end mark of its own.
                    transfer.doubt = None;
                }
                let is_whole = transfer.length.is_some() || is_proven;
                self.length = is_whole.then_some(self.decoded);
                return Ok(None);
            }
            let decoder = &mut self.decoder;
            if transfer
                .show(|packed| decoder.push(packed))
                .await?
                .is_none()
            {
                self.decoder.end();
                self.has_ended = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::fetch::scripted::{Reply, Server, header, image, settings};

    #[tokio::test]
    async fn a_whole_image_is_passed_on_with_its_validators() {
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
            header(&server.heads()[0], "accept-encoding"),
            Some("identity")
        );
        assert_eq!(
            header(&server.heads()[0], "user-agent"),
            Some("wallhaul/test")
        );
    }

    #[tokio::test]
    async fn a_weak_etag_is_not_used_for_resuming() {
        let server = Server::start(|_| Reply::new(200, &["ETag: W/\"v1\""], "x")).await;
        let body = server
            .fetcher()
            .image(&server.url("/a.png"), None)
            .await
            .unwrap();
        assert_eq!((body.etag(), body.strong_etag()), (Some("W/\"v1\""), None));
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_complete_at_its_last_chunk_or_close() {
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
    async fn a_body_that_ends_too_early_is_truncated() {
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
                matches!(error.kind(), FetchErrorKind::Truncated { got: 3, want: w, .. } if *w == want),
                "{error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_ends_at_the_stall_timeout() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        let server = Server::start(move |_| Reply::raw(head).and_hang()).await;
        let start = Instant::now();
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::Timeout { .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .starts_with("timed out waiting 30 s for `127.0.0.1:"),
            "{error}"
        );
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_responds_or_drips_headers_ends_at_the_stall_timeout() {
        let drip = Reply::ok("abc").dripping(Duration::from_secs(1));
        for slow in [Reply::raw("").and_hang(), drip] {
            let server = Server::start(move |_| slow.clone()).await;
            let start = Instant::now();
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::Timeout { .. }),
                "{error}"
            );
            assert_eq!(start.elapsed().as_secs(), 30);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_body_is_too_slow() {
        let body = Reply::ok([b'x'; 500]).dripping(Duration::from_millis(200));
        let server = Server::start(move |_| body.clone()).await;
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::TooSlow { floor: 100, .. }),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_but_steady_body_has_no_timeout() {
        let body = Reply::ok(vec![b'x'; 10_000]).dripping(Duration::from_millis(9));
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
    async fn an_image_announced_as_too_large_is_refused_before_it_is_read() {
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
            matches!(error.kind(), FetchErrorKind::TooLarge { limit: 65_536 }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_endless_image_ends_at_the_size_limit() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".as_slice();
        let endless = Reply::raw([head, &vec![0; 100_000]].concat()).and_hang();
        let server = Server::start(move |_| endless.clone()).await;
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::TooLarge { .. }),
            "{error}"
        );
    }

    /// The word `picture`, by gzip.
    const PACKED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\xc8\x4c\x2e\x29\x2d\x4a\x05\x00\x89\x4f\xdb\x16\x07\x00\x00\x00";

    #[tokio::test]
    async fn an_image_in_a_coding_that_cannot_be_undone_is_refused() {
        for coding in ["br", "zstd", "gzip, gzip, gzip, gzip, gzip"] {
            let header = format!("Content-Encoding: {coding}");
            let server = Server::start(move |_| Reply::new(200, &[&header], "packed")).await;
            let error = image(&server.fetcher(), &server.url("/a.png"))
                .await
                .unwrap_err();
            assert!(
                matches!(error.kind(), FetchErrorKind::ContentEncoding { coding: said, .. } if said == coding),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn words_that_are_no_coding_leave_an_image_as_it_is() {
        for word in [
            "identity",
            "UTF-8",
            "none",
            "binary",
            "aws-chunked",
            "klingon",
            "",
        ] {
            let header = format!("Content-Encoding: {word}");
            let server = Server::start(move |_| Reply::new(200, &[&header], "picture")).await;
            let mut body = server
                .fetcher()
                .image(&server.url("/a.png"), None)
                .await
                .unwrap();
            assert_eq!(body.length(), Some(7), "{word}");
            assert_eq!(body.chunk().await.unwrap().unwrap(), "picture", "{word}");
        }
    }

    #[tokio::test]
    async fn an_image_packed_without_request_is_unpacked_and_its_length_known_at_the_end() {
        let gzip = ["Content-Encoding: gzip"];
        let server = Server::start(move |_| Reply::new(200, &gzip, PACKED)).await;
        let mut body = server
            .fetcher()
            .image(&server.url("/a.png"), None)
            .await
            .unwrap();
        assert_eq!(body.length(), None);
        assert_eq!(body.chunk().await.unwrap().unwrap(), "picture");
        assert_eq!(body.chunk().await.unwrap(), None);
        assert_eq!(body.length(), Some(7));
        let server =
            Server::start(move |_| Reply::new(200, &gzip, &PACKED[..PACKED.len() - 9])).await;
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::BadCoding { coding: "gzip" }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn consecutive_images_share_one_connection() {
        let server = Server::start(|_| Reply::ok(vec![7; 40_000])).await;
        let fetcher = server.fetcher();
        for _ in 0..20 {
            image(&fetcher, &server.url("/a.png")).await.unwrap();
        }
        assert_eq!(
            (server.request_count("/a.png"), server.connections()),
            (20, 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_bodies_are_all_truncated_is_given_up() {
        let cut = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").and_close();
        let server = Server::start(move |_| cut.clone()).await;
        let fetcher = server.fetcher_with(&settings());
        for _ in 0..25 {
            image(&fetcher, &server.url("/a.png")).await.unwrap_err();
        }
        let error = image(&fetcher, &server.url("/a.png")).await.unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::GivenUp { failures: 20, .. }),
            "{error}"
        );
        assert_eq!(server.request_count("/a.png"), 20);
    }
}
