//! The fast path, without hyper: a request that is one write, and a response that is an exact 200 of HTTP/1.1 with one
//! `Content-Length`.
//!
//! hyper took 13 of 148 us of CPU for an image of 20 KB, this takes 2. Whatever is not quite usual is left to hyper, with
//! all that was read of it: nothing here guesses. What a head may look like is decided in [`super::response_head`], for
//! both.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use reqwest::header::{
    ACCEPT_RANGES, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SERVER,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::unconstrained;

use super::buffer::Buffer;
use super::connection::Stream;
use super::head_lines::Fields;
use super::response_head::{CleanHead, clean, end_of_head};

/// The status line of every usual answer, up to the reason.
const STATUS_LINE: &[u8] = b"HTTP/1.1 200";

/// The most digits of a length that is no nonsense.
const MAX_DIGITS: usize = 18;

/// A connection that hyper has no part in.
///
/// Boxed: a stream with TLS has more than a kilobyte, and a connection moves from the idle ones to its worker and back.
#[derive(Debug)]
pub(super) struct FastConnection(Box<TokioIo<Stream>>);

/// What came in answer to a request.
#[derive(Debug)]
pub(super) enum Received {
    Fast(FastHead, FastBody),
    /// Something else, of which this was read; and how the reading ended behind it, if it has.
    Other(Vec<u8>, Option<io::Result<()>>),
}

/// The head of a usual answer.
#[derive(Debug)]
pub(super) struct FastHead {
    /// Without those that nobody asks for.
    pub(super) headers: HeaderMap,
    length: u64,
    /// Whether the connection may carry another request.
    keeps_alive: bool,
}

/// The body of a usual answer, as far as it was not passed on.
#[derive(Debug)]
pub(super) struct FastBody {
    /// Bytes that belong to it and were not passed on.
    left: u64,
    keeps_alive: bool,
    buffer: Option<Buffer>,
    /// How the reading ended, if bytes that came before that were passed on first.
    ended: Option<io::Result<()>>,
}

impl FastConnection {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Box::new(TokioIo::new(stream)))
    }

    pub(super) fn into_inner(self) -> TokioIo<Stream> {
        *self.0
    }

    /// Whether the server has sent nothing and hung up neither since the last answer. Without a waker: whoever asks uses
    /// the answer at once, and an idle connection must not wake a worker that is busy with another one.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        let mut byte = ReadBuf::new(&mut byte);
        let read = poll_fn(|context| Pin::new(&mut self.0).poll_read(context, &mut byte));
        // Outside of tokio's cooperative budget: once that is used up, every read is pending, whatever has come.
        pin!(unconstrained(read)).poll(&mut context).is_pending()
    }

    /// Sends a request; how much of it was sent, where it could not all be.
    ///
    /// # Errors
    ///
    /// When the connection broke: also whether nothing of the request was sent.
    pub(super) async fn send(&mut self, request: &[u8]) -> Result<(), (io::Error, bool)> {
        let mut sent = 0;
        while sent < request.len() {
            let rest = &request[sent..];
            match poll_fn(|context| Pin::new(&mut self.0).poll_write(context, rest)).await {
                Ok(0) => return Err((io::ErrorKind::WriteZero.into(), sent == 0)),
                Ok(count) => sent += count,
                Err(error) => return Err((error, sent == 0)),
            }
        }
        // TLS keeps what the socket has not taken.
        let flushed = poll_fn(|context| Pin::new(&mut self.0).poll_flush(context)).await;
        flushed.map_err(|error| (error, false))
    }

    /// The answer to the request that was sent.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    pub(super) async fn answer(&mut self) -> io::Result<Received> {
        let (mut buffer, mut ended) = (None, None);
        let mut searched = 0;
        loop {
            poll_fn(|context| poll_fill(&mut self.0, context, &mut buffer, &mut ended)).await;
            let mut filled = buffer.take().unwrap_or_else(Buffer::take);
            let bytes = filled.filled();
            let end = end_of_head(bytes, searched);
            searched = bytes.len();
            if let Ok(Some(end)) = end
                && let Some(head) = FastHead::parse(&bytes[..end])
            {
                filled.pass(end);
                let body = FastBody {
                    left: head.length,
                    keeps_alive: head.keeps_alive,
                    buffer: (!filled.filled().is_empty()).then_some(filled),
                    ended: ended.take(),
                };
                return Ok(Received::Fast(head, body));
            }
            // No head, one that hyper may understand, one that is cut off, or one that is too large.
            let is_over = !matches!(end, Ok(None)) || filled.room().is_empty();
            if is_over || ended.is_some() {
                return Ok(Received::Other(filled.filled().to_vec(), ended));
            }
            buffer = Some(filled);
        }
    }
}

impl FastHead {
    /// `None` where it is not usual in any respect.
    fn parse(head: &[u8]) -> Option<Self> {
        if !head.starts_with(STATUS_LINE) {
            return None;
        }
        let CleanHead {
            is_interim: false,
            rewritten: None,
        } = clean(head).ok()?
        else {
            return None;
        };
        let mut usual = Self {
            // Room for those that an image's server sends of the others.
            headers: HeaderMap::with_capacity(6),
            length: 0,
            keeps_alive: true,
        };
        let mut has_length = false;
        for (name, value) in Fields::of(head) {
            let name = HeaderName::from_bytes(name).ok()?;
            if UNUSED.contains(&name) {
                continue;
            }
            if name == CONNECTION {
                let mut options = value.split(|&byte| byte == b',');
                usual.keeps_alive &=
                    !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
                continue;
            }
            if name == reqwest::header::TRANSFER_ENCODING {
                return None;
            }
            if name == CONTENT_LENGTH {
                usual.length = digits(value)?;
                has_length = true;
            }
            usual
                .headers
                .append(name, HeaderValue::from_bytes(value).ok()?);
        }
        has_length.then_some(usual)
    }
}

/// For the fuzz target: how many bytes the usual head has that `bytes` begin with, and how many the body behind it.
pub fn usual_head(bytes: &[u8]) -> Option<(usize, u64)> {
    let end = end_of_head(bytes, 0).ok()??;
    Some((end, FastHead::parse(&bytes[..end])?.length))
}

/// Fields that nothing reads, though nearly every server sends them.
const UNUSED: [HeaderName; 2] = [SERVER, ACCEPT_RANGES];

/// A number of decimal digits and nothing else.
fn digits(text: &[u8]) -> Option<u64> {
    let is_number = (1..=MAX_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let number = |text: &[u8]| {
        text.iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    is_number.then(|| number(text))
}

impl FastBody {
    /// Waits for the next bytes; false at the end. Where the connection ends before the body does, that is an end as
    /// well: whoever reads it knows the length. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    pub(super) async fn fill(&mut self, connection: &mut FastConnection) -> io::Result<bool> {
        if self.left > 0 && self.buffer.is_none() {
            self.buffer = self.receive(connection).await?;
        }
        Ok(self.left > 0 && self.buffer.is_some())
    }

    /// Shows the bytes that were waited for.
    pub(super) fn show<R>(&mut self, see: impl FnOnce(&[u8]) -> R) -> R {
        let Some(mut buffer) = self.buffer.take() else {
            return see(&[]);
        };
        let bytes = buffer.filled();
        let count = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let seen = see(&bytes[..count]);
        self.left -= count as u64;
        buffer.pass(count);
        // What is left in it does not belong to the body: the connection cannot be used again.
        self.keeps_alive &= buffer.filled().is_empty();
        seen
    }

    /// Whether all of it was passed on, and nothing that does not belong to it was read.
    pub(super) fn leaves_connection_usable(&self) -> bool {
        self.left == 0 && self.keeps_alive && self.buffer.is_none()
    }

    /// What has come on the connection; `None` at its end.
    async fn receive(&mut self, connection: &mut FastConnection) -> io::Result<Option<Buffer>> {
        let mut buffer = None;
        if self.ended.is_none() {
            let ended = &mut self.ended;
            poll_fn(|context| {
                let polled = poll_fill(&mut connection.0, context, &mut buffer, ended);
                if polled.is_pending() {
                    acknowledge(&connection.0);
                }
                polled
            })
            .await;
        }
        if buffer.is_some() {
            return Ok(buffer);
        }
        self.ended.take().unwrap_or(Ok(())).map(|()| None)
    }
}

/// Has the system acknowledge what has come, in the middle of a body, at once. It waits up to 40 ms for more, as long as
/// what has come is no more than a segment; and so does a server that has filled the window: over loopback, where a segment
/// has 64 KB, one image in a hundred stood still for that long.
fn acknowledge(stream: &TokioIo<Stream>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let tcp = match stream.inner() {
            MaybeHttpsStream::Http(tcp) => tcp,
            MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner(),
        };
        // Without it all comes as well, only later.
        let _ = tcp.inner().set_quickack(true);
    }
}

/// Reads what has come into a buffer, behind what is in it, and notes in `ended` how the connection did, if it has.
///
/// A buffer is taken only for bytes that are there: one that waited for them would be missing to its thread.
fn poll_fill(
    stream: &mut TokioIo<Stream>,
    context: &mut Context<'_>,
    kept: &mut Option<Buffer>,
    ended: &mut Option<io::Result<()>>,
) -> Poll<()> {
    let mut buffer = kept.take().unwrap_or_else(Buffer::take);
    let mut result = Poll::Pending;
    // Until nothing is there: TLS passes on a record at a time, and each write to a file is a system call. TCP knows
    // without one that nothing is left behind a read that did not fill the buffer.
    while !buffer.room().is_empty() {
        let mut room = ReadBuf::new(buffer.room());
        let polled = Pin::new(&mut *stream).poll_read(context, &mut room);
        let count = room.filled().len();
        let Poll::Ready(read) = polled else { break };
        result = Poll::Ready(());
        if read.is_err() || count == 0 {
            *ended = Some(read);
            break;
        }
        buffer.add(count);
    }
    if !buffer.filled().is_empty() {
        *kept = Some(buffer);
    }
    result
}

#[cfg(test)]
mod tests {
    use hyper_rustls::MaybeHttpsStream;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::coop::poll_proceed;
    use tokio::time::{Duration, sleep};

    use super::*;

    #[tokio::test]
    async fn a_closed_connection_is_seen_by_a_task_that_has_used_up_its_budget() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(stream, listener.accept());
        let stream = MaybeHttpsStream::Http(TokioIo::new(stream.unwrap()));
        let mut connection = FastConnection::new(stream);
        assert!(connection.is_quiet());
        drop(accepted);
        sleep(Duration::from_millis(20)).await;
        let is_quiet = tokio::spawn(poll_fn(move |context| {
            while let Poll::Ready(proceeds) = poll_proceed(context) {
                proceeds.made_progress();
            }
            Poll::Ready(connection.is_quiet())
        }));
        assert!(!is_quiet.await.unwrap());
    }
}
