//! A connection whose response heads are cleaned before hyper parses them.
//!
//! hyper has options for some malformed heads, but none for a line with a control character, blanks
//! in the status line, or more than a set number of fields, for which it would take memory with
//! each response. The filter only has to know where a head begins: requests are not pipelined, so a
//! head is the first thing that is read after a request was written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::response_head::{CleanHead, HeadError, MAX_HEAD_BYTES, clean, end_of_head};

/// What ends a request; ours have no body.
const REQUEST_END: [u8; 4] = *b"\r\n\r\n";

/// A stream of responses with clean heads.
#[derive(Debug)]
pub(super) struct HeadFilter<S> {
    stream: S,
    /// Whether the next byte that is read belongs to a head.
    is_head: bool,
    /// The size of the interim heads (1xx) before this one, which count as a part of it: they may
    /// come without end.
    interim_bytes: usize,
    /// What was read of a head that is not complete.
    partial: Vec<u8>,
    /// How much of that was searched for the head's end.
    searched: usize,
    /// What is to be passed on next, up to `passed` already.
    cleaned: Vec<u8>,
    passed: usize,
    /// The last bytes that were written; those of [`REQUEST_END`] if a request is complete.
    written: [u8; 4],
}

impl<S> HeadFilter<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            is_head: true,
            interim_bytes: 0,
            partial: Vec::new(),
            searched: 0,
            cleaned: Vec::new(),
            passed: 0,
            written: REQUEST_END,
        }
    }

    /// The stream, if all that was read is passed on.
    pub(super) fn into_inner(self) -> Option<S> {
        (self.partial.is_empty() && self.cleaned.is_empty()).then_some(self.stream)
    }

    /// Cleans what was read since `start`. A head that is acceptable stays where it is, so that the
    /// usual response is copied nowhere; from another one on, all is moved away.
    fn filter(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        let mut start = start;
        if self.partial.is_empty() {
            while self.is_head && start < buffer.filled().len() {
                let bytes = &buffer.filled()[start..];
                let Some(end) = end_of_head(bytes, 0).map_err(invalid)? else {
                    break;
                };
                match clean(&bytes[..end]).map_err(invalid)? {
                    CleanHead {
                        is_interim,
                        rewritten: None,
                    } => {
                        self.pass_head(end, is_interim)?;
                        start += end;
                    }
                    CleanHead { .. } => break,
                }
            }
            if !self.is_head {
                return Ok(());
            }
        }
        self.partial.extend_from_slice(&buffer.filled()[start..]);
        buffer.set_filled(start);
        self.clean_partial()
    }

    /// Cleans the complete heads of what was put aside.
    fn clean_partial(&mut self) -> io::Result<()> {
        while self.is_head && !self.partial.is_empty() {
            let Some(end) = end_of_head(&self.partial, self.searched).map_err(invalid)? else {
                self.searched = self.partial.len();
                return Ok(());
            };
            self.searched = 0;
            let CleanHead {
                is_interim,
                rewritten,
            } = clean(&self.partial[..end]).map_err(invalid)?;
            match rewritten {
                Some(head) => self.cleaned.extend_from_slice(&head),
                None => self.cleaned.extend_from_slice(&self.partial[..end]),
            }
            self.partial.drain(..end);
            self.pass_head(end, is_interim)?;
        }
        if !self.is_head {
            // The beginning of the body.
            self.cleaned.append(&mut self.partial);
            self.partial = Vec::new();
        }
        Ok(())
    }

    /// Notes that a head of this size is passed on.
    fn pass_head(&mut self, size: usize, is_interim: bool) -> io::Result<()> {
        self.is_head = is_interim;
        self.interim_bytes = if is_interim {
            self.interim_bytes + size
        } else {
            0
        };
        if self.interim_bytes > MAX_HEAD_BYTES {
            return Err(invalid(HeadError::TooLarge));
        }
        Ok(())
    }

    /// Passes on what was cleaned; whether there was anything.
    fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = &self.cleaned[self.passed..];
        if rest.is_empty() {
            return false;
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.passed += count;
        if self.passed == self.cleaned.len() {
            (self.cleaned, self.passed) = (Vec::new(), 0);
        }
        true
    }

    /// Notes what was written. The first byte of a request means that a head is read next; the last
    /// ones of a long request may follow its response, and mean nothing.
    fn note(&mut self, written: &[u8]) {
        if written.is_empty() {
            return;
        }
        if self.written == REQUEST_END {
            self.is_head = true;
        }
        for &byte in &written[written.len().saturating_sub(REQUEST_END.len())..] {
            self.written.rotate_left(1);
            self.written[REQUEST_END.len() - 1] = byte;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadFilter<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.pass_on(buffer) {
                return Poll::Ready(Ok(()));
            }
            let start = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            // At the end of the stream nothing was read. A head that was cut there is dropped: an
            // end without a head is what hyper has to know.
            if !this.is_head || buffer.filled().len() == start {
                return Poll::Ready(Ok(()));
            }
            this.filter(buffer, start)?;
            if buffer.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadFilter<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.note(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        let mut left = count;
        for slice in slices {
            let part = left.min(slice.len());
            this.note(&slice[..part]);
            left -= part;
        }
        Poll::Ready(Ok(count))
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

fn invalid(error: HeadError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::fetch::FetchErrorKind;
    use crate::fetch::scripted::{Reply, Server, image};

    /// What comes of an image and a page that are sent like this, at once and byte by byte; then
    /// the connection is used again.
    async fn arrives(reply: &str) {
        let at_once = Reply::raw(reply);
        let late = at_once.clone().dripping(Duration::from_micros(10));
        for reply in [at_once, late] {
            let sent = reply.clone();
            let server = Server::start(move |_| sent.clone()).await;
            let fetcher = server.fetcher();
            for path in ["/a.png", "/b.png"] {
                let bytes = image(&fetcher, &server.url(path)).await.unwrap();
                assert_eq!(bytes, b"HTTP/", "{reply:?}");
            }
            let page = fetcher.page(&server.url("/")).await.unwrap();
            assert_eq!(page.text, "HTTP/");
            assert_eq!(server.connections(), 1, "{reply:?}");
        }
    }

    #[tokio::test]
    async fn malformed_heads_are_read_and_their_bodies_left_alone() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200\nContent-Length : 5\n\n",
            "HTTP/1.1 200 OK\r\nno colon\r\nX: \x01\r\n folded\r\nContent-Length:\r\n 5\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 103 Early\r\njunk\r\n\r\nHTTP/1.1 200 OK\r\njunk\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 100  Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ] {
            arrives(&format!("{head}HTTP/")).await;
        }
    }

    #[tokio::test]
    async fn a_large_head_is_read_up_to_its_limit() {
        let head = |size: usize| {
            let long = "X: y\r\n".repeat(size / 6);
            format!("HTTP/1.1 200 OK\r\n{long}Content-Length: 5\r\n\r\nHTTP/")
        };
        let reply = head(250_000);
        let server = Server::start(move |_| Reply::raw(&reply)).await;
        for path in ["/a.png", "/b.png"] {
            let bytes = image(&server.fetcher(), &server.url(path)).await.unwrap();
            assert_eq!(bytes, b"HTTP/");
        }
        let reply = head(263_000);
        let server = Server::start(move |_| Reply::raw(&reply)).await;
        let error = image(&server.fetcher(), &server.url("/a.png"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), FetchErrorKind::InvalidHttp { reason } if reason == "more than 256 KB of headers"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn bytes_behind_a_body_spoil_the_connection() {
        let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimageHTTP/1.1 200 OK\r\n\r\n";
        let server = Server::start(move |_| Reply::raw(reply)).await;
        let fetcher = server.fetcher();
        for connections in 1..3 {
            let bytes = image(&fetcher, &server.url("/a.png")).await.unwrap();
            assert_eq!(
                (bytes, server.connections()),
                (b"image".to_vec(), connections)
            );
        }
    }
}
