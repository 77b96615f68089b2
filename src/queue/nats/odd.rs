//! What arrives beside results: jobs that nobody can read, and jobs that nobody survives.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::super::{QueueError, ReceivedResult};
use super::coordinator::{self, Coordinator};
use super::link::{Letter, to_json};
use super::message::{Buried, DeadLetter, given_up, read_job};
use super::results::ResultAck;
use super::streams;
use super::subject::{self, HostToken, JOBS};
use crate::event::Warning;
use crate::outcome::JobResult;

/// After how long another run may look at what was not for us.
const NOT_OURS: Duration = Duration::from_secs(30);

/// Reads a result, or makes one of a job that a worker could not read, and that we can.
pub(super) fn read_result(message: &[u8], collection: &str) -> Option<JobResult> {
    if let Ok(result) = serde_json::from_slice(message) {
        return Some(result);
    }
    let buried = Buried::read(message)?;
    let queued = read_job(&buried.message()).ok()?;
    (queued.collection == collection).then(|| {
        let cause = format!("a worker could not read the job: {}", buried.reason);
        given_up(queued.job, buried.attempt, cause)
    })
}

/// What is to be done about something that arrived and is no result.
pub(super) enum Odd {
    /// What the broker says of a job that was delivered too often.
    Advisory(Message),
    /// A line of a message of results.
    NoResult(Bytes, ResultAck),
}

/// Puts a line that is no result among the dead letters.
pub(super) async fn bury_result(
    coordinator: &Coordinator,
    line: &[u8],
    ack: &ResultAck,
) -> Result<(), QueueError> {
    let collection = &coordinator.options.collection;
    let (cause, letter) = if let Some(buried) = Buried::read(line) {
        let whole = buried.message();
        let letter = DeadLetter::of_message("", &buried.reason, buried.attempt, &whole);
        (buried.reason, letter)
    } else {
        let cause = "a worker sent a result that cannot be read".to_owned();
        let letter = DeadLetter::of_message(collection, &cause, 1, line);
        (cause, letter)
    };
    let id = format!("result#{}.{}", ack.sequence, ack.line);
    bury_unknown(coordinator, &letter, id, cause).await?;
    ack.finish().await
}

async fn bury_unknown(
    coordinator: &Coordinator,
    letter: &DeadLetter,
    id: String,
    cause: String,
) -> Result<(), QueueError> {
    let letter = Letter {
        subject: subject::dead(&HostToken::new("-")),
        id,
        payload: to_json(letter),
    };
    coordinator.bury(&letter).await?;
    let queue = coordinator.link.url.clone();
    coordinator
        .link
        .warn(Warning::QueueMessage { queue, cause })
        .await;
    Ok(())
}

/// What an advisory says of a job that was delivered too often.
#[derive(Deserialize)]
struct Advisory {
    stream_seq: u64,
    deliveries: u32,
}

/// The result of a job that was delivered too often, if it is this run's.
pub(super) async fn exhausted(
    coordinator: &Arc<Coordinator>,
    message: &Message,
    reply: &Subject,
) -> Result<Option<ReceivedResult>, QueueError> {
    let link = &coordinator.link;
    let done = Bytes::from_static(b"+ACK");
    let Ok(advisory) = serde_json::from_slice::<Advisory>(&message.payload) else {
        link.confirm(reply, done).await?;
        return Ok(None);
    };
    let Some(job) = coordinator::read_one(link, JOBS, advisory.stream_seq).await? else {
        link.confirm(reply, done).await?;
        return Ok(None);
    };
    let cause = format!("delivered {} times, never answered", advisory.deliveries);
    let handle = ResultAck {
        coordinator: Arc::clone(coordinator),
        sequence: advisory.stream_seq,
        line: 0,
        unfinished: Arc::new(AtomicU64::new(1)),
        job: Some(advisory.stream_seq),
        reply: reply.clone(),
        exhausted: Some(advisory.stream_seq),
    };
    match read_job(&job.payload) {
        Ok(queued) if queued.collection == coordinator.options.collection => {
            let result = given_up(queued.job, advisory.deliveries, cause);
            let handle = Box::new(handle);
            return Ok(Some(ReceivedResult { result, handle }));
        }
        Ok(_) => {
            let later = format!("-NAK {}", json!({"delay": streams::nanos(NOT_OURS)}));
            link.confirm(reply, later.into()).await?;
        }
        Err(_) => {
            let letter = DeadLetter::of_message("", &cause, advisory.deliveries, &job.payload);
            let id = format!("job#{}", advisory.stream_seq);
            bury_unknown(coordinator, &letter, id, cause).await?;
            handle.finish().await?;
        }
    }
    Ok(None)
}
