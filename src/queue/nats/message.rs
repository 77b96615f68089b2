//! What the messages of the queue hold, as JSON. Whatever arrives is untrusted.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::subject;
use crate::job::Job;
use crate::outcome::{Failure, JobEnd, JobResult, Stage};

/// The most bytes of a job's message.
pub(super) const MAX_JOB_BYTES: usize = 64 << 10;

/// The version of the messages; it grows when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// A job on its way to a worker.
#[derive(Debug, Serialize)]
pub(super) struct Envelope<'j> {
    v: u32,
    collection: &'j str,
    job: &'j Job,
}

impl<'j> Envelope<'j> {
    pub(super) fn new(collection: &'j str, job: &'j Job) -> Self {
        Self {
            v: VERSION,
            collection,
            job,
        }
    }
}

/// A job with its collection, as it arrives.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct QueuedJob {
    v: u32,
    pub(super) collection: String,
    pub(super) job: Job,
}

/// Why a message is no job that this build knows.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    #[error("the message is no job: {0}")]
    NoJob(serde_json::Error),
    #[error("the message has version {0}, and this build reads version {VERSION}")]
    Version(u32),
    #[error("the message names no collection")]
    NoCollection,
    #[error("the message has {0} bytes, and {MAX_JOB_BYTES} are the most")]
    TooLong(usize),
}

/// Reads a job. With the error comes the collection, where that much could be read.
pub(super) fn read_job(message: &[u8]) -> Result<QueuedJob, (Unreadable, Option<String>)> {
    if message.len() > MAX_JOB_BYTES {
        return Err((Unreadable::TooLong(message.len()), None));
    }
    let read = serde_json::from_slice::<QueuedJob>(message);
    let (v, collection) = match &read {
        Ok(queued) => (queued.v, queued.collection.clone()),
        Err(_) => match serde_json::from_slice::<Owner>(message) {
            Ok(Owner { v, collection }) => (v, collection),
            Err(error) => return Err((Unreadable::NoJob(error), None)),
        },
    };
    if !subject::is_collection(&collection) {
        return Err((Unreadable::NoCollection, None));
    }
    if v != VERSION {
        return Err((Unreadable::Version(v), Some(collection)));
    }
    read.map_err(|error| (Unreadable::NoJob(error), Some(collection)))
}

/// What can be read of a message whose job cannot.
#[derive(Deserialize)]
struct Owner {
    v: u32,
    collection: String,
}

/// Whose job a message is, without reading the job.
pub(super) fn read_collection(message: &[u8]) -> Option<String> {
    let owner: Owner = serde_json::from_slice(message).ok()?;
    Some(owner.collection)
}

/// What a worker sends instead of a result when it could not read the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Buried {
    v: u32,
    /// Why it was buried.
    #[serde(rename = "buried")]
    pub(super) reason: String,
    /// The message, or its beginning, in base64.
    message: String,
    /// How often it was delivered.
    pub(super) attempt: u32,
}

impl Buried {
    pub(super) fn new(reason: String, message: &[u8], attempt: u32) -> Self {
        Self {
            v: VERSION,
            reason,
            // A broker's limit must not keep it from being buried.
            message: data_encoding::BASE64.encode(&message[..message.len().min(MAX_JOB_BYTES)]),
            attempt,
        }
    }

    pub(super) fn message(&self) -> Vec<u8> {
        data_encoding::BASE64
            .decode(self.message.as_bytes())
            .unwrap_or_default()
    }

    /// Reads one; `None` for anything else.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let buried: Self = serde_json::from_slice(message).ok()?;
        (buried.v == VERSION).then_some(buried)
    }
}

/// A dead letter.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeadLetter {
    v: u32,
    /// When it was given up.
    pub(super) at: jiff::Timestamp,
    /// Whose it was; empty where nobody knows.
    pub(super) collection: String,
    /// Why.
    pub(super) reason: String,
    /// How often it was delivered.
    pub(super) attempt: u32,
    /// The job, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<Job>,
    /// The message in base64, where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

impl DeadLetter {
    pub(super) fn of_job(collection: &str, result: &JobResult, reason: &str) -> Self {
        Self {
            v: VERSION,
            at: result.at,
            collection: collection.to_owned(),
            reason: reason.to_owned(),
            attempt: result.attempt,
            job: Some(result.job.clone()),
            message: None,
        }
    }

    pub(super) fn of_message(collection: &str, reason: &str, attempt: u32, message: &[u8]) -> Self {
        Self {
            v: VERSION,
            at: jiff::Timestamp::now(),
            collection: collection.to_owned(),
            reason: reason.to_owned(),
            attempt,
            job: None,
            message: Some(data_encoding::BASE64.encode(message)),
        }
    }

    pub(super) fn read(message: &[u8]) -> Option<Self> {
        serde_json::from_slice(message).ok()
    }
}

/// The result of a job that no worker could say anything about.
pub(super) fn given_up(job: Job, attempt: u32, cause: String) -> JobResult {
    let failure = Failure {
        stage: Stage::Fetch,
        address: job.first_url().to_string(),
        cause,
        attempts: attempt,
        gone: false,
    };
    JobResult {
        version: crate::outcome::ResultVersion,
        attempt,
        at: jiff::Timestamp::now(),
        end: JobEnd::Failed(failure),
        job,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::contract::job;

    #[test]
    fn a_job_comes_back_with_its_collection() {
        let bytes = serde_json::to_vec(&Envelope::new("demo1", &job(3))).unwrap();
        assert!(bytes.starts_with(br#"{"v":1,"collection":"demo1","job":{"#));
        let read = read_job(&bytes).unwrap();
        assert_eq!((read.collection.as_str(), &read.job), ("demo1", &job(3)));
        assert_eq!(read_collection(&bytes).as_deref(), Some("demo1"));
    }

    #[test]
    fn an_unreadable_message_says_why_and_whose_it_is_where_that_can_be_read() {
        let whole = serde_json::to_string(&Envelope::new("demo1", &job(3))).unwrap();
        let newer = whole.replacen(r#""v":1"#, r#""v":9"#, 1);
        let strange = r#"{"v":1,"collection":"demo1","job":7}"#;
        let foreign = r#"{"v":1,"collection":"A.*","job":7}"#;
        for (message, collection, reason) in [
            ("{", None, "the message is no job"),
            (newer.as_str(), Some("demo1"), "the message has version 9"),
            (strange, Some("demo1"), "the message is no job"),
            (foreign, None, "the message names no collection"),
            (&" ".repeat(65_537), None, "the message has 65537 bytes"),
        ] {
            let (refused, owner) = read_job(message.as_bytes()).unwrap_err();
            assert!(refused.to_string().starts_with(reason), "{refused}");
            assert_eq!(owner.as_deref(), collection, "{refused}");
        }
    }
}
