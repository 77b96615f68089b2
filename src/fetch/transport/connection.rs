//! One HTTP/1.1 connection that is driven by the task that waits for the response: without hyper for as long as all is
//! as usual, and by hyper from the first answer on that is not. Only where its status alone was another one, as that of a
//! robots.txt that is not there, hyper has the connection for no more than that answer.
//!
//! hyper splits a connection into a sender of requests and a future that does the reading and
//! writing. Usually that future is spawned as a separate task. Each image then goes from the
//! worker's task to the connection's and back, often on another thread, and each hop is a wake-up.
//! Here the worker polls both halves itself: there is no second task, nothing is passed between
//! threads, and only the socket wakes anybody.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::{io, mem};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::StatusCode;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Builder, Parts, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use super::fast_path::{FastBody, FastConnection, FastHead, Received};
use super::head_filter::HeadFilter;
use super::pool::RequestParts;
use super::replay::Replay;

/// The most that hyper reads from a connection at once.
const READ_BUFFER: usize = 128 * 1024;

/// A request without a body.
pub(super) type Request = hyper::Request<Empty<Bytes>>;

/// A TCP stream, with TLS or without.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// hyper's half that reads and writes; `None` once it has ended. Boxed because hyper wants it
/// pinned, and a connection moves: from the worker to the idle ones and back.
type Driver = Option<Pin<Box<http1::Connection<FilteredStream, Empty<Bytes>>>>>;

/// hyper and tokio have traits of their own for reading and writing: the stream has hyper's, the
/// filter tokio's, whose buffers can be looked into without unsafe code.
type FilteredStream = TokioIo<HeadFilter<Replay<TokioIo<Stream>>>>;

/// A connection that carries one request after the other.
///
/// While it is idle nobody polls it, so it notices that the server has hung up only in
/// [`Connection::is_usable`]. A task for each idle connection would notice at once, and wake up for
/// it.
pub(super) struct Connection(Kind);

enum Kind {
    /// Until an unusual answer, and again behind one that was unusual by its status alone.
    Fast(FastConnection),
    /// From an unusual answer on.
    Hyper(HyperConnection),
    /// It broke.
    Broken,
}

/// A response, its body still to come on the connection.
pub(super) enum Response {
    Fast(FastHead, FastBody),
    /// With the bytes that were waited for.
    Hyper(hyper::Response<Incoming>, Bytes),
}

impl Response {
    /// Shows the bytes of the body that were waited for.
    pub(super) fn show<R>(&mut self, see: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Fast(_, body) => body.show(see),
            Self::Hyper(_, data) => see(&mem::take(data)),
        }
    }

    /// Whether, at the end of the body, the connection may carry another request as far as is known; hyper knows that of
    /// its own.
    pub(super) fn leaves_connection_usable(&self) -> bool {
        match self {
            Self::Fast(_, body) => body.leaves_connection_usable(),
            Self::Hyper(..) => true,
        }
    }
}

/// Why there is no response.
#[derive(Debug, Error)]
pub(super) enum SendError {
    /// The server closed the idle connection before any byte of the request was sent: trying another one sends nothing
    /// twice.
    #[error("nothing was sent")]
    Unsent(#[source] io::Error),
    #[error("connection broken")]
    Io(#[source] io::Error),
    #[error("connection broken")]
    Hyper(#[source] hyper::Error),
}

impl Connection {
    /// A connection for requests; nothing is sent yet.
    pub(super) fn new(stream: Stream) -> Self {
        Self(Kind::Fast(FastConnection::new(stream)))
    }

    /// A connection that is hyper's from the beginning, to compare with.
    #[cfg(test)]
    async fn hypers(stream: Stream) -> Self {
        let stream = Replay::fresh(TokioIo::new(stream));
        let hyper = HyperConnection::open(stream).await;
        Self(Kind::Hyper(hyper.expect("it does nothing yet")))
    }

    /// Whether the next request can be sent. The server may have hung up without us having read
    /// that yet; then the request comes back unsent.
    pub(super) fn is_usable(&mut self) -> bool {
        match &mut self.0 {
            Kind::Fast(fast) => fast.is_quiet(),
            Kind::Hyper(hyper) => {
                hyper.is_usable() && (!hyper.is_for_one_answer || self.take_back())
            }
            Kind::Broken => false,
        }
    }

    /// Sends a request and returns the headers of the response.
    ///
    /// Not cancel-safe: dropped half-way, the response is still to come, and the connection must be
    /// dropped as well.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    pub(super) async fn send(&mut self, request: &RequestParts<'_>) -> Result<Response, SendError> {
        let Kind::Fast(fast) = &mut self.0 else {
            return Box::pin(self.send_by_hyper(request)).await;
        };
        fast.send(&request.to_bytes())
            .await
            .map_err(|(error, nothing_sent)| {
                if nothing_sent {
                    SendError::Unsent(error)
                } else {
                    SendError::Io(error)
                }
            })?;
        match fast.answer().await.map_err(SendError::Io)? {
            Received::Fast(head, body) => Ok(Response::Fast(head, body)),
            Received::Other(read, ended) => {
                Box::pin(self.go_on_by_hyper(request, read, ended)).await
            }
        }
    }

    async fn send_by_hyper(&mut self, request: &RequestParts<'_>) -> Result<Response, SendError> {
        let Kind::Hyper(hyper) = &mut self.0 else {
            return Err(SendError::Unsent(io::ErrorKind::NotConnected.into()));
        };
        let sent = hyper.send(request.to_request()).await;
        sent.map(|response| Response::Hyper(response, Bytes::new()))
            .map_err(|mut unsent| match unsent.take_message() {
                Some(_) => SendError::Unsent(io::ErrorKind::ConnectionReset.into()),
                None => SendError::Hyper(unsent.into_error()),
            })
    }

    /// Leaves the connection to hyper, with the exchange that has begun on it.
    async fn go_on_by_hyper(
        &mut self,
        request: &RequestParts<'_>,
        read: Vec<u8>,
        ended: Option<io::Result<()>>,
    ) -> Result<Response, SendError> {
        if let Kind::Fast(fast) = mem::replace(&mut self.0, Kind::Broken) {
            let stream = Replay::new(fast.into_inner(), read, ended);
            let hyper = HyperConnection::open(stream).await;
            self.0 = Kind::Hyper(hyper.map_err(SendError::Hyper)?);
        }
        let sent = self.send_by_hyper(request).await;
        if let (Kind::Hyper(hyper), Ok(Response::Hyper(response, _))) = (&mut self.0, &sent) {
            // With this status, hyper is needed for the way in which the server sends its bodies: for the next one, too.
            hyper.is_for_one_answer = response.status() != StatusCode::OK;
        }
        // It was sent, by us.
        sent.map_err(|error| match error {
            SendError::Unsent(error) => SendError::Io(error),
            error => error,
        })
    }

    /// Takes the connection from hyper, between an answer and the next request; false where there is more on it than
    /// that answer.
    fn take_back(&mut self) -> bool {
        if let Kind::Hyper(hyper) = mem::replace(&mut self.0, Kind::Broken)
            && let Some(stream) = hyper.into_stream()
        {
            self.0 = Kind::Fast(FastConnection::new(stream));
            return true;
        }
        false
    }

    /// Waits for the next bytes of the body of the last response; false at its end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection broke or ended too early.
    pub(super) async fn fill(&mut self, response: &mut Response) -> Result<bool, SendError> {
        match (&mut self.0, response) {
            (Kind::Fast(connection), Response::Fast(_, body)) => {
                body.fill(connection).await.map_err(SendError::Io)
            }
            (Kind::Hyper(hyper), Response::Hyper(response, data)) => {
                let more = Box::pin(hyper.data(response.body_mut())).await;
                let more = more.map_err(SendError::Hyper)?;
                let is_there = more.is_some();
                *data = more.unwrap_or_default();
                Ok(is_there)
            }
            _ => Ok(false),
        }
    }
}

/// A connection of hyper's.
struct HyperConnection {
    sender: SendRequest<Empty<Bytes>>,
    driver: Driver,
    /// Whether the answer that it was opened for had to come by hyper, and the next ones may not.
    is_for_one_answer: bool,
}

impl HyperConnection {
    async fn open(stream: Replay<TokioIo<Stream>>) -> Result<Self, hyper::Error> {
        let (sender, driver) = Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(HeadFilter::new(stream)))
            .await?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
            is_for_one_answer: false,
        })
    }

    /// The stream, if nothing was read from it that was not passed on.
    fn into_stream(self) -> Option<Stream> {
        let Parts { io, read_buf, .. } = Pin::into_inner(self.driver?).into_parts();
        let filter = io.into_inner();
        let replay = filter.into_inner().filter(|_| read_buf.is_empty())?;
        replay.into_inner().map(TokioIo::into_inner)
    }

    fn is_usable(&mut self) -> bool {
        // One poll reads what the server did since the last request. No waker is kept: the caller
        // uses the answer at once, and an idle connection must not wake a worker that is busy
        // with another one.
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// # Errors
    ///
    /// When the connection broke; with the request, if nothing of it was sent.
    async fn send(
        &mut self,
        request: Request,
    ) -> Result<hyper::Response<Incoming>, TrySendError<Request>> {
        let Self { sender, driver, .. } = self;
        let mut response = pin!(sender.try_send_request(request));
        poll_fn(|context| drive_until(driver, context, |context| response.as_mut().poll(context)))
            .await
    }

    /// The next bytes of the body; `None` at its end. Cancel-safe: a frame leaves `body` only in the poll that returns
    /// it.
    ///
    /// # Errors
    ///
    /// When the connection broke or ended too early.
    async fn data(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            let frame = poll_fn(|context| {
                drive_until(&mut self.driver, context, |context| {
                    Pin::new(&mut *body).poll_frame(context)
                })
            })
            .await
            .transpose()?;
            match frame.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers are skipped: they say nothing that we use.
                Some(Err(_trailers)) => {}
            }
        }
    }
}

/// Polls both halves until `wanted` is ready or neither makes progress.
///
/// hyper's halves wake each other through channels: polled with the task's waker, each would wake
/// this very task for what the next line does anyway, and every image would be polled once more for
/// nothing. One task polls both, so we pass a no-op waker until neither makes progress:
///
/// 1. `wanted`, for what was read earlier: the usual case while a body streams;
/// 2. the driver, which reads and writes what it can;
/// 3. `wanted` again, for what the driver just read.
///
/// Only then do both get the real waker, because a task may sleep only if somebody will wake it.
/// The driver registers it with the socket. `wanted` needs it too: a poll may also be pending
/// because the task has used up tokio's cooperative budget, and then it is `wanted` that asks to be
/// polled again.
///
/// So the driver is polled twice before a sleep. The second poll costs no system call unless the
/// first one read something: tokio remembers that a socket would block.
fn drive_until<T>(
    driver: &mut Driver,
    context: &mut Context<'_>,
    mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let mut no_waker = Context::from_waker(Waker::noop());
    if let Poll::Ready(output) = wanted(&mut no_waker) {
        return Poll::Ready(output);
    }
    drive(driver, &mut no_waker);
    if let Poll::Ready(output) = wanted(&mut no_waker) {
        return Poll::Ready(output);
    }
    drive(driver, context);
    wanted(context)
}

fn drive(driver: &mut Driver, context: &mut Context<'_>) {
    if let Some(running) = driver
        && running.as_mut().poll(context).is_ready()
    {
        // Its error is dropped: hyper passes it on to the response or the body that was waited for.
        // A future that has ended must not be polled again.
        *driver = None;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::task::Wake;
    use std::time::Duration;

    use hyper::Uri;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};
    use reqwest::header::HeaderMap;
    use rustls::crypto::ring;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::Runtime;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::fetch::access::{FreeNames, Resolver};
    use crate::fetch::transport::connector::Connector;
    use crate::fetch::transport::pool::{OriginPool, OriginPools, Route};

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn the_last_poll_before_a_sleep_registers_the_real_waker() {
        let task = Waker::from(Arc::new(Task));
        let mut has_waker = Vec::new();
        let polled = drive_until(&mut None, &mut Context::from_waker(&task), |context| {
            has_waker.push(context.waker().will_wake(&task));
            Poll::<()>::Pending
        });
        assert_eq!(
            (polled, has_waker),
            (Poll::Pending, vec![false, false, true])
        );
    }

    /// What a server does with every request.
    #[derive(Debug, Clone)]
    struct ServedAnswer {
        /// What it writes, each in a write of its own.
        pieces: Vec<Vec<u8>>,
        /// Whether it hangs up then, or waits for the next request.
        hangs_up: bool,
        /// Whether it says so before, where there is TLS.
        says_so: bool,
    }

    async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, answer: ServedAnswer) {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, answer) = (tls.clone(), answer.clone());
            tokio::spawn(async move {
                match tls {
                    None => answer.give(stream).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            answer.give(stream).await;
                        }
                    }
                }
            });
        }
    }

    impl ServedAnswer {
        async fn give(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
            let mut request = Vec::new();
            while stream
                .read_buf(&mut request)
                .await
                .is_ok_and(|count| count > 0)
            {
                if !request.ends_with(b"\r\n\r\n") {
                    continue;
                }
                request.clear();
                for piece in &self.pieces {
                    // With TLS, a piece is a record, which waits for nothing else.
                    if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                if self.hangs_up {
                    if self.says_so {
                        let _ = stream.shutdown().await;
                    }
                    return;
                }
            }
        }
    }

    /// Both sides of TLS, whose certificate nobody else trusts.
    fn tls() -> (TlsAcceptor, ClientConfig) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (TlsAcceptor::from(Arc::new(server)), client)
    }

    /// What comes of two requests, one after the other, on a connection: for each the status, the fields, the body and
    /// whether the connection is usable after it. An error is only that: hyper has other words for some.
    async fn exchanges(
        connection: &mut Connection,
        parts: &RequestParts<'_>,
    ) -> Vec<(u16, Vec<(String, Vec<u8>)>, Result<Vec<u8>, Vec<u8>>, bool)> {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let Ok(mut response) = connection.send(parts).await else {
                break;
            };
            let (status, headers) = match &response {
                Response::Fast(head, _) => (200, &head.headers),
                Response::Hyper(response, _) => (response.status().as_u16(), response.headers()),
            };
            let unused = ["server", "accept-ranges", "connection"];
            let mut fields: Vec<_> = headers
                .iter()
                .filter(|(name, _)| !unused.contains(&name.as_str()))
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect();
            fields.sort();
            let length = fields.iter().find(|(name, _)| name == "content-length");
            let length = length
                .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
            let mut body = Vec::new();
            let is_whole = loop {
                match connection.fill(&mut response).await {
                    Ok(true) => response.show(|bytes| body.extend_from_slice(bytes)),
                    // Whoever reads a body knows its length: hyper's error is our early end.
                    Ok(false) => break length.is_none_or(|length| body.len() == length),
                    Err(_) => break false,
                }
            };
            let usable = is_whole && response.leaves_connection_usable() && connection.is_usable();
            seen.push((
                status,
                fields,
                if is_whole { Ok(body) } else { Err(body) },
                usable,
            ));
            if !usable {
                break;
            }
        }
        seen
    }

    fn pool(origin: &str) -> Arc<OriginPool> {
        let pools = OriginPools::new(HeaderMap::new(), 1);
        let url = url::Url::parse(&format!("{origin}/a.png")).unwrap();
        pools.pool(&url, |_: &Uri| Route::Direct).unwrap()
    }

    fn request(pool: &OriginPool) -> RequestParts<'_> {
        RequestParts {
            pool,
            path: "/a.png".parse().unwrap(),
            headers: HeaderMap::new(),
        }
    }

    /// Both ways, over connections with TLS and without.
    struct Comparison {
        runtime: Runtime,
        acceptor: TlsAcceptor,
        connector: Connector,
    }

    impl Comparison {
        fn new() -> Self {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let (acceptor, client) = tls();
            let limit = Duration::from_secs(30);
            let resolver = Arc::new(Resolver::new(FreeNames::default(), limit));
            Self {
                runtime: { runtime }.enable_all().build().unwrap(),
                acceptor,
                connector: Connector::new(&resolver, client, limit),
            }
        }

        /// Whether both see the same.
        fn compare(&self, pieces: &[Vec<u8>], hangs_up: bool) {
            for (scheme, says_so) in [("http", false), ("https", true), ("https", false)] {
                let answer = ServedAnswer {
                    pieces: pieces.to_vec(),
                    hangs_up,
                    says_so,
                };
                self.runtime.block_on(self.compare_over(scheme, answer));
            }
        }

        async fn compare_over(&self, scheme: &str, answer: ServedAnswer) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let origin = format!("{scheme}://{}", listener.local_addr().unwrap());
            let acceptor = (scheme == "https").then(|| self.acceptor.clone());
            let server = tokio::spawn(serve(listener, acceptor, answer.clone()));
            let pool = pool(&origin);
            let parts = request(&pool);
            let open = async || self.connector.connect(&pool.origin, None).await.unwrap();
            let ours = exchanges(&mut Connection::new(open().await), &parts).await;
            let hypers = exchanges(&mut Connection::hypers(open().await).await, &parts).await;
            server.abort();
            let pieces = answer.pieces.iter();
            let text: Vec<_> = pieces.map(|piece| String::from_utf8_lossy(piece)).collect();
            assert_eq!(ours, hypers, "{scheme} {text:?} {answer:?}");
        }
    }

    #[test]
    fn usual_and_odd_answers_are_what_they_are_to_hyper() {
        let comparison = Comparison::new();
        for (head, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "image"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length:5\r\nETag: \"1\"\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
                "image",
            ),
            ("HTTP/1.1 200\r\nContent-Length: \t5 \r\n\r\n", "image"),
            ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", "image"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
                "image",
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 5\r\n\r\n",
                "image",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "image"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "image"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "image"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "image"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
                "image",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                "image",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                "image",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                "5\r\nimage\r\n0\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "5\r\nimage\r\n0\r\n\r\n",
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", "image"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "image"),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                "image",
            ),
            (
                "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\n",
                "image",
            ),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n",
                "sorry",
            ),
            ("HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\n", "image"),
            ("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "image"),
            (
                "HTTP/1.1 200 OK\r\nX: \u{1}\r\n folded\r\nContent-Length: 5\r\n\r\n",
                "image",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\rb\r\n\r\n",
                "image",
            ),
            ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "image"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", ""),
            ("SSH-2.0-x\r\n\r\n", ""),
            ("", ""),
        ] {
            let whole = format!("{head}{body}").into_bytes();
            let bytewise: Vec<_> = whole.chunks(1).map(<[u8]>::to_vec).collect();
            let apart = vec![head.as_bytes().to_vec(), body.as_bytes().to_vec()];
            // A body that is longer or shorter than its head says has an end only if the server hangs up.
            for pieces in [vec![whole], apart, bytewise] {
                comparison.compare(&pieces, true);
            }
        }
    }

    #[test]
    fn answers_of_the_fuzz_corpus_are_what_they_are_to_hyper() {
        let comparison = Comparison::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/response_head");
        let mut count = 0;
        for file in fs::read_dir(folder).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            comparison.compare(&[bytes], true);
            count += 1;
        }
        assert!(count > 5, "{count}");
    }

    #[test]
    fn bytes_behind_an_empty_body_spoil_the_connection() {
        for status in ["200 OK", "404 Not Found"] {
            let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200");
            Comparison::new().compare(&[reply.into_bytes()], false);
        }
    }

    #[test]
    fn hyper_gives_a_connection_back_unless_it_is_needed_for_images() {
        let comparison = Comparison::new();
        for (reply, is_ours) in [
            ("404 Not Found\r\nContent-Length: 5\r\n\r\nsorry", true),
            (
                "404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n0\r\n\r\n",
                true,
            ),
            (
                "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nimage\r\n0\r\n\r\n",
                false,
            ),
        ] {
            let reply = format!("HTTP/1.1 {reply}").into_bytes();
            comparison.compare(std::slice::from_ref(&reply), false);
            comparison.runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let pool = pool(&format!("http://{}", listener.local_addr().unwrap()));
                let answer = ServedAnswer {
                    pieces: vec![reply.clone()],
                    hangs_up: false,
                    says_so: false,
                };
                let server = tokio::spawn(serve(listener, None, answer));
                let stream = comparison.connector.connect(&pool.origin, None).await;
                let mut connection = Connection::new(stream.unwrap());
                assert_eq!(exchanges(&mut connection, &request(&pool)).await.len(), 2);
                assert_eq!(matches!(connection.0, Kind::Fast(_)), is_ours);
                server.abort();
            });
        }
    }

    thread_local! {
        static COMPARISON: Comparison = Comparison::new();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn answers_that_are_changed_somewhere_are_what_they_are_to_hyper(
            at in 0_usize..90,
            with in proptest::sample::select(&b"\r\n :,;0159Aa\0\t\x7f\x80\"-"[..]),
            removes in any::<bool>(),
            cut in 0_usize..100,
        ) {
            let usual = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nETag: \"1\"\r\nConnection: close\r\n\r\nimage";
            let mut bytes = usual.to_vec();
            let at = at.min(bytes.len() - 1);
            if removes {
                bytes.remove(at);
            } else {
                bytes[at] = with;
            }
            let rest = bytes.split_off(cut.min(bytes.len()));
            COMPARISON.with(|comparison| comparison.compare(&[bytes, rest], true));
        }
    }
}
