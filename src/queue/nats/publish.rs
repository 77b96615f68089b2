//! Publishing: a message is stored when the broker says so, however long that takes.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::super::QueueError;
use super::link::{ApiError, Letter, Link, OUT_OF_REACH};
use crate::event::WaitReason;

/// What became of a message that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// It is stored.
    New,
    /// Another one with its name was stored a while ago.
    Duplicate,
    /// No stream takes its subject.
    NoStream,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PubAck {
    Refused {
        error: ApiError,
    },
    Stored {
        #[serde(default)]
        duplicate: bool,
    },
}

impl Link {
    /// Publishes a message and waits until it is stored, however long the stream is full.
    pub(super) async fn publish(&self, letter: &Letter) -> Result<Published, QueueError> {
        let silence = "it does not store; is its disk full? Free some space and restart it";
        let mut full = FullFor::default();
        let mut sent_before = false;
        loop {
            let (answer, sent) = self.request(letter, silence).await?;
            sent_before |= sent > 1;
            let Some(answer) = answer else {
                return Ok(Published::NoStream);
            };
            match serde_json::from_slice(&answer.payload) {
                Ok(PubAck::Stored { duplicate: true }) if !sent_before => {
                    return Ok(Published::Duplicate);
                }
                Ok(PubAck::Stored { .. }) => return Ok(Published::New),
                Ok(PubAck::Refused { error }) => {
                    let is_full =
                        fullness(&error).ok_or_else(|| self.refused(&letter.subject, &error))?;
                    full.wait(self, is_full, &error).await?;
                }
                Err(error) => {
                    return Err(self.error("asking", format!("unreadable answer: {error}")));
                }
            }
        }
    }
}

/// Which of its limits the broker has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fullness {
    /// The stream holds as many as it was made for: somebody takes them out.
    Stream,
    /// The server's store, or its disk: it may be that nobody helps.
    Server,
}

/// Whether a refusal means that it is full. The stream's number stands for every reason not to store; which limit it
/// was stands in the text alone.
fn fullness(error: &ApiError) -> Option<Fullness> {
    match error.err_code {
        ApiError::NOT_STORED if error.description.starts_with("maximum ") => Some(Fullness::Stream),
        ApiError::NOT_STORED | ApiError::NO_RESOURCES => Some(Fullness::Server),
        _ => None,
    }
}

/// The wait of one message for room.
#[derive(Default)]
struct FullFor {
    since: Option<Instant>,
    times: u32,
    said: bool,
}

impl FullFor {
    /// After this long a server that is full is mentioned.
    const MENTIONED: Duration = Duration::from_secs(30);

    async fn wait(
        &mut self,
        link: &Link,
        full: Fullness,
        error: &ApiError,
    ) -> Result<(), QueueError> {
        let waited = self.since.get_or_insert_with(Instant::now).elapsed();
        let (due, ends) = match full {
            Fullness::Stream => (self.times > 2, false),
            Fullness::Server => (waited > Self::MENTIONED, waited > OUT_OF_REACH),
        };
        if ends {
            return Err(link.error(
                "filling",
                format!("it has had no room for 5 minutes: {}", error.description),
            ));
        }
        if due && !std::mem::replace(&mut self.said, true) {
            link.waiting(WaitReason::QueueFull {
                queue: link.url.clone(),
            });
        }
        let pause = Duration::from_millis(50) * 2_u32.pow(self.times.min(6));
        self.times += 1;
        tokio::select! {
            () = sleep(pause.min(Duration::from_secs(2))) => Ok(()),
            broken = link.broken() => Err(broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_stream_is_told_from_a_full_server_and_from_a_refusal() {
        let of = |err_code, description: &str| {
            fullness(&ApiError {
                err_code,
                description: description.to_owned(),
            })
        };
        assert_eq!(
            of(10077, "maximum messages exceeded"),
            Some(Fullness::Stream)
        );
        assert_eq!(of(10077, "maximum bytes exceeded"), Some(Fullness::Stream));
        assert_eq!(of(10077, "no space left on device"), Some(Fullness::Server));
        assert_eq!(of(10023, "insufficient resources"), Some(Fullness::Server));
        assert_eq!(of(10060, "expected stream does not match"), None);
    }
}
