//! A connection that is handed over to hyper in the midst of an exchange: the request is sent, and the beginning of the
//! answer may have come.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What ends a request; ours have no body.
const REQUEST_END: &[u8] = b"\r\n\r\n";

/// A stream whose first bytes were read before, and whose first request was written before: hyper writes it once more,
/// and it goes nowhere.
#[derive(Debug)]
pub(super) struct Replay<S> {
    stream: S,
    /// What was read and not passed on.
    read: Vec<u8>,
    /// How much of it is passed on.
    passed: usize,
    /// How the reading ended behind it, if it has.
    ended: Option<io::Result<()>>,
    /// How much of the end of the first request was written; `None` behind it.
    swallowed: Option<usize>,
    /// Who waits for the answer while the request is not written: hyper takes bytes that come before for a fault.
    reader: Option<Waker>,
}

impl<S> Replay<S> {
    /// A stream on which the first request was sent and `read` has come in answer; and its end, if `ended`.
    pub(super) fn new(stream: S, read: Vec<u8>, ended: Option<io::Result<()>>) -> Self {
        Self {
            stream,
            read,
            passed: 0,
            ended,
            swallowed: Some(0),
            reader: None,
        }
    }

    /// A stream on which nothing has happened.
    #[cfg(test)]
    pub(super) fn fresh(stream: S) -> Self {
        Self {
            swallowed: None,
            ..Self::new(stream, Vec::new(), None)
        }
    }

    /// The stream, if all that was read before is passed on and it has not ended.
    pub(super) fn into_inner(self) -> Option<S> {
        let is_over = self.read.is_empty() && self.ended.is_none() && self.swallowed.is_none();
        is_over.then_some(self.stream)
    }

    /// How many of these bytes belong to the request that was sent before.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        let Some(mut matched) = self.swallowed else {
            return 0;
        };
        for (index, &byte) in bytes.iter().enumerate() {
            // Of `\r\n\r\n` only its first byte may follow what does not go on as it should.
            matched = match byte {
                _ if byte == REQUEST_END[matched] => matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if matched == REQUEST_END.len() {
                self.swallowed = None;
                self.reader.take().into_iter().for_each(Waker::wake);
                return index + 1;
            }
        }
        self.swallowed = Some(matched);
        bytes.len()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.swallowed.is_some() {
            this.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let rest = &this.read[this.passed..];
        if rest.is_empty()
            && let Some(ended) = this.ended.take()
        {
            return Poll::Ready(ended);
        }
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        this.passed += count;
        if this.passed == this.read.len() {
            (this.read, this.passed) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.swallow(bytes) {
            0 => Pin::new(&mut this.stream).poll_write(context, bytes),
            swallowed => Poll::Ready(Ok(swallowed)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.swallowed.is_none() {
            return Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        }
        let mut swallowed = 0;
        for slice in slices {
            let count = this.swallow(slice);
            swallowed += count;
            if count < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(swallowed))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn the_first_request_goes_nowhere_and_the_second_one_to_the_server() {
        let (here, mut there) = duplex(1024);
        let mut replay = Replay::new(here, b"HTTP/1.1 2".to_vec(), None);
        for piece in ["GET /a HTTP/1.1\r\n", "host: x\r", "\n\r\r\n", "\r\nGET /b"] {
            replay.write_all(piece.as_bytes()).await.unwrap();
        }
        replay.flush().await.unwrap();
        there.write_all(b"00 OK").await.unwrap();
        let mut answer = [0; 15];
        replay.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut sent = [0; 6];
        there.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent, b"GET /b");
    }
}
