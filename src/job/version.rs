//! The version of a serialised job.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Job;

/// [`Job::VERSION`], as a field: reading any other number fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct JobVersion;

/// A job of a format that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unsupported job format version {0}, expected {expected}", expected = Job::VERSION)]
pub struct UnsupportedJobVersion(u32);

impl TryFrom<u32> for JobVersion {
    type Error = UnsupportedJobVersion;

    fn try_from(version: u32) -> Result<Self, UnsupportedJobVersion> {
        if version == Job::VERSION {
            Ok(Self)
        } else {
            Err(UnsupportedJobVersion(version))
        }
    }
}

impl From<JobVersion> for u32 {
    fn from(JobVersion: JobVersion) -> Self {
        Job::VERSION
    }
}
