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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::{ContentHash, ImageKey, JobLimits, JobVersion, RulesHash, SiteId, Tried};
    use crate::outcome::{ChunkName, Format, ImageWarning, SkipReason, Stage, StoredSize};

    fn job() -> Job {
        let site = SiteId::new("demo").unwrap();
        let original = Url::parse("https://demo.invalid/a.png").unwrap();
        Job {
            version: JobVersion,
            key: ImageKey::new(&site, &original),
            site,
            candidates: vec![Candidate::Direct(original)],
            stem: "2018-03-29-a".to_owned(),
            page: Url::parse("https://demo.invalid/1/").unwrap().into(),
            title: Some("A\u{202e}b".to_owned()),
            declared: None,
            limits: JobLimits {
                min_width: 480,
                min_height: 360,
                skips_small: false,
                max_pixels: 200_000_000,
            },
            rules: RulesHash::of(["demo"]),
            wait: Duration::from_millis(1_500),
            tried: Tried::default(),
        }
    }

    fn result(end: JobEnd) -> JobResult {
        JobResult {
            version: ResultVersion,
            job: job(),
            attempt: 2,
            at: Timestamp::UNIX_EPOCH,
            end,
        }
    }

    fn stored(warning: Option<ImageWarning>, stored: Option<StoredSize>) -> JobEnd {
        JobEnd::Stored(Box::new(StoredImage {
            name: ImageName::from_stored("2018-03-29-a.png"),
            address: Url::parse("https://demo.invalid/a.png").unwrap(),
            content: Content {
                bytes: 170_200,
                hash: ContentHash::from_bytes([0xa7; 32]),
                format: Format::Png,
                width: 2880,
                height: 1800,
                stored,
                warning,
            },
            etag: Some("\"x\"".to_owned()),
            last_modified: None,
            capture: None,
        }))
    }

    #[test]
    fn a_result_is_the_same_after_json() {
        let failure = Failure {
            stage: Stage::Fetch,
            address: "https://demo.invalid/a.png".to_owned(),
            cause: "answered 404".to_owned(),
            attempts: 1,
            gone: true,
        };
        let size = StoredSize {
            width: 1800,
            height: 2880,
        };
        let chunk = ChunkName(*b"iCCP");
        for end in [
            stored(None, None),
            stored(Some(ImageWarning::BytesBetweenSegments), Some(size)),
            stored(Some(ImageWarning::BadAncillaryChecksum { chunk }), None),
            JobEnd::Skipped(Skip::new("https://a.invalid/", SkipReason::NoImage)),
            JobEnd::Skipped(Skip::new(
                "https://a.invalid/",
                SkipReason::TooSmall("1x1".to_owned()),
            )),
            JobEnd::Failed(failure),
            JobEnd::Elsewhere(job().candidates),
        ] {
            let result = result(end);
            let json = serde_json::to_string(&result).unwrap();
            assert!(json.starts_with(r#"{"v":1,"#), "{json}");
            assert_eq!(serde_json::from_str::<JobResult>(&json).unwrap(), result);
        }
    }

    #[test]
    fn a_result_of_another_version_or_with_a_hostile_name_is_refused() {
        let json = serde_json::to_string(&result(stored(None, None))).unwrap();
        let newer = json.replacen(r#""v":1"#, r#""v":2"#, 1);
        let error = serde_json::from_str::<JobResult>(&newer).unwrap_err();
        let refused = "unsupported result format version 2, expected 1";
        assert!(error.to_string().starts_with(refused), "{error}");
        for name in [
            "../a.png",
            "a/b.png",
            ".png",
            "a",
            ".a.png",
            "a\\nb.png",
            "c:a.png",
        ] {
            let hostile = json.replace("2018-03-29-a.png", name);
            assert!(
                serde_json::from_str::<JobResult>(&hostile).is_err(),
                "{name}"
            );
        }
    }
}
