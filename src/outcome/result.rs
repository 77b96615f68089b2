//! How a job ended on another machine: what a worker without a ledger sends to the run that queued it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::{Capture, Content, Failure, Skip};
use crate::job::{Candidate, ImageName, Job};

/// How a job ended. It crosses machines, so it is serialised whole; one that arrives is as untrusted as the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// First, so that a result of another format is refused for that reason and not for a field it lacks.
    #[serde(rename = "v")]
    pub version: ResultVersion,
    /// The job as it was queued.
    pub job: Job,
    /// How often it was delivered, this time included.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub end: JobEnd,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    /// Its image is in the sink, durable.
    Stored(Box<StoredImage>),
    /// Left out on purpose.
    Skipped(Skip),
    /// Given up.
    Failed(Failure),
    /// The next address to try is on another host, whose limits are not those that the job was leased by: it is to be
    /// queued again with these candidates.
    Elsewhere(Vec<Candidate>),
}

/// An image that a worker stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Its name in the sink.
    pub name: ImageName,
    /// The canonical address that its bytes came from.
    pub address: Url,
    /// What verification established.
    pub content: Content,
    /// The server's `ETag`.
    pub etag: Option<String>,
    /// The server's `Last-Modified`.
    pub last_modified: Option<String>,
    /// The web archive's capture, if it came from there.
    pub capture: Option<Capture>,
}

/// The version of the serialised form, as a field: reading any other number fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ResultVersion;

impl ResultVersion {
    /// It grows when a field changes its meaning or goes.
    pub const NUMBER: u32 = 1;
}

/// A result of a format that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unsupported result format version {0}, expected {expected}", expected = ResultVersion::NUMBER)]
pub struct UnsupportedResultVersion(u32);

impl TryFrom<u32> for ResultVersion {
    type Error = UnsupportedResultVersion;

    fn try_from(version: u32) -> Result<Self, UnsupportedResultVersion> {
        if version == Self::NUMBER {
            Ok(Self)
        } else {
            Err(UnsupportedResultVersion(version))
        }
    }
}

impl From<ResultVersion> for u32 {
    fn from(ResultVersion: ResultVersion) -> Self {
        ResultVersion::NUMBER
    }
}
