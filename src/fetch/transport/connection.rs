//! A connection of HTTP/1.1 that whoever waits for its answer keeps going: it has no task of its own, so nothing is
//! handed from one task to another, and only the socket wakes anybody.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The most that is read of a connection at once. Headers without an end are left here; how long those with one may be is
/// judged when they are there.
const READ_BUFFER: usize = 128 * 1024;

/// What is asked with: a request without a body.
pub(crate) type Question = Request<Empty<Bytes>>;

/// A connection, plain or secured.
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection at work, or nothing once it has ended.
type Going = Option<Pin<Box<Connection<Stream, Empty<Bytes>>>>>;

/// A connection for one question after the other.
pub(crate) struct Wire {
    asks: SendRequest<Empty<Bytes>>,
    connection: Going,
}

impl Wire {
    /// Makes ready for questions; nothing is sent yet.
    pub(crate) async fn over(stream: Stream) -> Result<Self, hyper::Error> {
        let (asks, connection) = Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(stream)
            .await?;
        Ok(Self {
            asks,
            connection: Some(Box::pin(connection)),
        })
    }

    /// Whether it can be asked now, as far as is known here: a server that has hung up may not have been heard yet.
    pub(crate) fn is_free(&mut self) -> bool {
        let mut unheard = Context::from_waker(Waker::noop());
        // Brings in what the server did meanwhile.
        turn_on(&mut self.connection, &mut unheard);
        self.connection.is_some() && self.asks.is_ready()
    }

    /// Sends a request and answers with the headers of what came back. Dropped before, the wire is of no use any more.
    ///
    /// # Errors
    ///
    /// When it broke; with the request, if nothing of that was sent.
    pub(crate) async fn ask(
        &mut self,
        question: Question,
    ) -> Result<Response<Incoming>, TrySendError<Question>> {
        let Self { asks, connection } = self;
        let mut answer = pin!(asks.try_send_request(question));
        poll_fn(|context| turn(connection, context, |unheard| answer.as_mut().poll(unheard))).await
    }

    /// The next piece of the answer that it brought last; nothing at its end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the connection broke, or ended too early.
    pub(crate) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        poll_fn(|context| {
            turn(&mut self.connection, context, |unheard| {
                Pin::new(&mut *body).poll_frame(unheard)
            })
        })
        .await
    }
}

/// Keeps the connection going until `wanted` is there. The two are turned by one hand, so that neither has to be woken
/// for the other: what they would wake is deaf. Only when nothing moves any more are both told whom to wake, the socket
/// for what comes, and `wanted` because a task that had its share of the runtime is to come again.
fn turn<T>(
    connection: &mut Going,
    context: &mut Context<'_>,
    mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let mut unheard = Context::from_waker(Waker::noop());
    if let Poll::Ready(wanted) = wanted(&mut unheard) {
        return Poll::Ready(wanted);
    }
    turn_on(connection, &mut unheard);
    if let Poll::Ready(wanted) = wanted(&mut unheard) {
        return Poll::Ready(wanted);
    }
    turn_on(connection, context);
    wanted(context)
}

fn turn_on(connection: &mut Going, context: &mut Context<'_>) {
    if let Some(going) = connection
        && going.as_mut().poll(context).is_ready()
    {
        // Why it ended is told by what was waited for.
        *connection = None;
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
    fn what_is_waited_for_is_told_whom_to_wake_before_the_task_sleeps() {
        let task = Waker::from(Arc::new(Task));
        let mut told = Vec::new();
        let turned = turn(&mut None, &mut Context::from_waker(&task), |context| {
            told.push(context.waker().will_wake(&task));
            Poll::<()>::Pending
        });
        assert_eq!((turned, told), (Poll::Pending, vec![false, false, true]));
    }
}
