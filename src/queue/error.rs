//! Why a queue does not work.

use thiserror::Error;

/// Why a queue does not work.
#[derive(Debug, Error)]
pub enum QueueError {
    /// No plug serves this kind of URL.
    #[error("no queue for `{0}:` in this build: {hint}", hint = hint(.0))]
    UnknownScheme(String),
    /// The other end is gone.
    #[error("the queue is closed")]
    Closed,
    /// The address, a file or an option for the broker is wrong.
    #[error("cannot use the queue `{url}`: {reason}")]
    BadBroker {
        /// The address, without secrets.
        url: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The broker is out of reach, or refuses.
    #[error("{doing} the queue `{url}`: {reason}")]
    Broker {
        /// What was being done, as in "asking" or "connecting to".
        doing: &'static str,
        /// The address, without secrets.
        url: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// The queue is empty, and results are missing: it was purged or wiped.
    #[error(
        "the queue has lost {jobs} jobs: they are in no queue, and no result of them came; run it again"
    )]
    Lost {
        /// Jobs without a result.
        jobs: usize,
    },
}

/// What to do about a URL that no plug of this build serves.
fn hint(scheme: &str) -> &'static str {
    if matches!(scheme, "nats" | "tls") {
        "rebuild with `--features nats`"
    } else {
        "use `memory:`"
    }
}
