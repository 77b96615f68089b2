//! One HTTP/1.1 connection that is driven by the task that waits for the response.
//!
//! hyper splits a connection into a sender of requests and a future that does the reading and
//! writing. Usually that future is spawned as a separate task. Each image then goes from the
//! worker's task to the connection's and back, often on another thread, and each hop is a wake-up.
//! Here the worker polls both halves itself: there is no second task, nothing is passed between
//! threads, and only the socket wakes anybody.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Response;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Builder, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::head_filter::HeadFilter;

/// The most that is read from a connection at once, so memory is jobs times this.
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
type FilteredStream = TokioIo<HeadFilter<TokioIo<Stream>>>;

/// A connection that carries one request after the other.
///
/// While it is idle nobody polls it, so it notices that the server has hung up only in
/// [`Connection::is_usable`]. A task for each idle connection would notice at once, and wake up for
/// it.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: Driver,
}

impl Connection {
    /// Prepares a stream for requests; nothing is sent yet.
    pub(super) async fn open(stream: Stream) -> Result<Self, hyper::Error> {
        let (sender, driver) = Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(HeadFilter::new(TokioIo::new(stream))))
            .await?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    /// Whether the next request can be sent. The server may have hung up without us having read
    /// that yet; then the request comes back unsent.
    pub(super) fn is_usable(&mut self) -> bool {
        // One poll reads what the server did since the last request. No waker is kept: the caller
        // uses the answer at once, and an idle connection must not wake a worker that is busy
        // with another one.
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and returns the headers of the response.
    ///
    /// Not cancel-safe: dropped half-way, the response is still to come, and the connection must be
    /// dropped as well.
    ///
    /// # Errors
    ///
    /// When the connection broke; with the request, if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request,
    ) -> Result<Response<Incoming>, TrySendError<Request>> {
        let Self { sender, driver } = self;
        let mut response = pin!(sender.try_send_request(request));
        poll_fn(|context| drive_until(driver, context, |context| response.as_mut().poll(context)))
            .await
    }

    /// The next frame of the body that belongs to the last response; `None` at its end.
    /// Cancel-safe: a frame leaves `body` only in the poll that returns it.
    ///
    /// # Errors
    ///
    /// When the connection broke or ended too early.
    pub(super) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        poll_fn(|context| {
            drive_until(&mut self.driver, context, |context| {
                Pin::new(&mut *body).poll_frame(context)
            })
        })
        .await
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
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

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
}
