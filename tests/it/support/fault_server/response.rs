//! Scripted responses: a sequence of actions on a connection.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::thread;
use std::time::Duration;

use super::connection::Connection;

/// An answer. After its last act the next request on the same connection is read, unless an act ended that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    acts: Vec<Action>,
}

#[derive(Debug, Clone)]
enum Action {
    Send(Vec<u8>),
    Drip(Vec<u8>, Duration),
    Forever(Vec<u8>),
    Pause(Duration),
    Hang,
    Reset,
    Close,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    Next,
    Over,
}

impl Answer {
    /// Just these bytes, HTTP or not.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().bytes(bytes)
    }

    /// The head of an answer, to its blank line; `status` is a code and its words: `200 OK`.
    pub(crate) fn head(status: &str, headers: &[&str]) -> Self {
        let mut head = format!("HTTP/1.1 {status}\r\n");
        for header in headers {
            let _ = write!(head, "{header}\r\n");
        }
        Self::raw(head + "\r\n")
    }

    /// A whole answer with the right `Content-Length`.
    pub(crate) fn whole(status: &str, headers: &[&str], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = format!("Content-Length: {}", body.len());
        Self::head(status, &[headers, &[&length]].concat()).bytes(body)
    }

    /// A healthy answer without a validator.
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::whole("200 OK", &[], body)
    }

    /// A code without a body.
    pub(crate) fn status(code: u16) -> Self {
        Self::whole(&format!("{code} So It Is"), &[], "")
    }

    /// A redirect.
    pub(crate) fn to(code: u16, location: &str) -> Self {
        Self::whole(
            &format!("{code} Elsewhere"),
            &[&format!("Location: {location}")],
            "",
        )
    }

    /// Chunks with their sizes and, at the end, the last one.
    pub(crate) fn chunked(headers: &[&str], chunks: &[&[u8]]) -> Self {
        let head = Self::head(
            "200 OK",
            &[headers, &["Transfer-Encoding: chunked"]].concat(),
        );
        let all = chunks
            .iter()
            .fold(head, |answer, chunk| answer.chunk(chunk));
        all.bytes("0\r\n\r\n")
    }

    /// One chunk of a chunked body.
    pub(crate) fn chunk(self, bytes: &[u8]) -> Self {
        self.bytes([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }

    /// And then that.
    pub(crate) fn and(mut self, then: Self) -> Self {
        self.acts.extend(then.acts);
        self
    }

    /// And these bytes.
    pub(crate) fn bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Action::Send(bytes.into()))
    }

    /// And these, one by one, after a pause each.
    pub(crate) fn drip(self, bytes: impl Into<Vec<u8>>, every: Duration) -> Self {
        self.then(Action::Drip(bytes.into(), every))
    }

    /// And these again and again, as long as somebody listens.
    pub(crate) fn forever(self, bytes: impl Into<Vec<u8>>) -> Self {
        let (bytes, mut block) = (bytes.into(), Vec::new());
        // A system call for a few bytes would keep a busy machine from ever reaching a limit.
        while block.len() < 64 * 1024 {
            block.extend_from_slice(&bytes);
        }
        self.then(Action::Forever(block))
    }

    /// And nothing for so long.
    pub(crate) fn pause(self, pause: Duration) -> Self {
        self.then(Action::Pause(pause))
    }

    /// And nothing any more, until the other side leaves.
    pub(crate) fn hang(self) -> Self {
        self.then(Action::Hang)
    }

    /// And the connection is torn down: an RST.
    pub(crate) fn reset(self) -> Self {
        self.then(Action::Reset)
    }

    /// And the connection is closed: a FIN.
    pub(crate) fn close(self) -> Self {
        self.then(Action::Close)
    }

    fn then(mut self, act: Action) -> Self {
        self.acts.push(act);
        self
    }

    /// Does it all; an error is the other side having left.
    pub(super) fn give(self, wire: &mut Connection) -> io::Result<NextStep> {
        for act in self.acts {
            match act {
                Action::Send(bytes) => wire.write_all(&bytes)?,
                Action::Drip(bytes, every) => {
                    for byte in bytes {
                        thread::sleep(every);
                        wire.write_all(&[byte])?;
                        wire.flush()?;
                    }
                }
                Action::Forever(block) => loop {
                    wire.write_all(&block)?;
                },
                Action::Pause(pause) => thread::sleep(pause),
                Action::Hang => {
                    wire.flush()?;
                    while wire.read(&mut [0; 1024])? > 0 {}
                    return Ok(NextStep::Over);
                }
                Action::Reset => {
                    wire.flush()?;
                    wire.tear_down()?;
                    return Ok(NextStep::Over);
                }
                Action::Close => {
                    wire.flush()?;
                    return Ok(NextStep::Over);
                }
            }
        }
        wire.flush()?;
        Ok(NextStep::Next)
    }
}
