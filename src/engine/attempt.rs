//! Why one attempt at an image failed, and what follows from it.

use std::time::Duration;

use url::Url;

use crate::fetch::{Body, FetchError, FetchErrorKind, Retryability};
use crate::job::{Candidate, Tried};
use crate::outcome::{Failure, Outcome, Skip, SkipReason, Stage};
use crate::part::Parts;
use crate::queue::Lease;
use crate::sink::SinkError;
use crate::site::ErrorAction;
use crate::verify::Defect;

/// How long a host is left alone by all workers that does not say how long it wants to be.
const PAUSE: Duration = Duration::from_secs(5);

/// An attempt that brought no image.
pub(super) enum AttemptError {
    /// The job names no candidate: no producer of ours makes such a job, but it may come from elsewhere.
    NoCandidate,
    /// The next candidate is on a host that the job is not leased for: it and those behind it, and what came of those
    /// before it.
    OtherHost(Vec<Candidate>, Tried),
    /// The last candidate that was tried; of several that are absent, the last that is not gone (404, 410), if any:
    /// an image is gone only if it is gone from every address.
    Candidate {
        /// Its canonical address.
        address: Url,
        kind: AttemptErrorKind,
    },
}

/// What was wrong with a candidate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptErrorKind {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("cannot write it: {0}")]
    Write(#[from] std::io::Error),
    #[error(transparent)]
    Defect(Defect),
    /// The page was read, and leads to no original. With the reason, where something on it was refused.
    #[error("no original found on it{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    NoOriginal(Option<SkipReason>),
    /// The page was not read: why.
    #[error("{0}")]
    NotFollowed(String),
    /// It was not asked for: it is on another host than the job is for.
    #[error("it is on another host")]
    OtherHost,
}

impl AttemptErrorKind {
    /// Whether the image may be at the next candidate's address instead.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_absence(),
            Self::Defect(defect) => defect.is_not_an_image() || defect.is_not_as_declared(),
            Self::Write(_) | Self::OtherHost => false,
            Self::NoOriginal(_) | Self::NotFollowed(_) => true,
        }
    }

    /// Whether the web archive has no usable capture of the address.
    pub(super) fn is_not_archived(&self) -> bool {
        matches!(self, Self::Fetch(error) if error.is_not_archived())
    }

    /// Whether a page is in no web archive, or leads to no original.
    pub(super) fn leads_nowhere(&self) -> bool {
        let has_no_original = matches!(self, Self::NoOriginal(_) | Self::NotFollowed(_));
        has_no_original || self.is_not_archived()
    }

    /// Whether the web archive's capture is bad, so that another one may be better.
    pub(super) fn is_bad_capture(&self) -> bool {
        match self {
            Self::Fetch(error) => matches!(error.kind(), FetchErrorKind::NotAsArchived { .. }),
            Self::Defect(_) => true,
            Self::Write(_) | Self::NoOriginal(_) | Self::NotFollowed(_) | Self::OtherHost => false,
        }
    }

    /// What the site's definition says of it, where that knows the error.
    fn known_error(&self) -> Option<(ErrorAction, &str)> {
        match self {
            Self::Fetch(error) => error.known_error(),
            Self::Write(_)
            | Self::Defect(_)
            | Self::NoOriginal(_)
            | Self::NotFollowed(_)
            | Self::OtherHost => None,
        }
    }

    /// Whether the site says that there is nothing at the address, or nothing to be had by it.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_gone(),
            // A refused address is a matter of the definition.
            Self::NoOriginal(why) => matches!(why, None | Some(SkipReason::NoImage)),
            Self::Write(_) | Self::Defect(_) | Self::NotFollowed(_) | Self::OtherHost => false,
        }
    }

    /// What was wrong with bytes that failed verification: their transfer, where it is that which was cut.
    pub(super) fn or_cut_transfer(self, body: &Body) -> Self {
        match self {
            Self::Defect(Defect::Truncated | Defect::EndUnknown) => {
                body.reject_end().map_or(self, Self::Fetch)
            }
            Self::Defect(_)
            | Self::Fetch(_)
            | Self::Write(_)
            | Self::NoOriginal(_)
            | Self::NotFollowed(_)
            | Self::OtherHost => self,
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Fetch(_) => Stage::Fetch,
            Self::Write(_) => Stage::Write,
            Self::Defect(_) => Stage::Verify,
            Self::NoOriginal(_) | Self::NotFollowed(_) | Self::OtherHost => Stage::Rewrite,
        }
    }

    /// The failure that it is, after so many attempts at `address`.
    pub(super) fn into_failure(self, address: impl Into<String>, attempts: u32) -> Failure {
        Failure {
            stage: self.stage(),
            address: address.into(),
            cause: self.to_string(),
            attempts,
            gone: self.is_gone(),
        }
    }
}

impl AttemptError {
    /// The address that was tried and what was wrong with it, if a candidate was tried.
    pub(super) fn candidate(&self) -> Option<(&Url, &AttemptErrorKind)> {
        match self {
            Self::NoCandidate | Self::OtherHost(..) => None,
            Self::Candidate { address, kind } => Some((address, kind)),
        }
    }

    /// The error that ends the run, where nothing can be written any more.
    pub(super) fn fatal(&self, parts: &Parts) -> Option<SinkError> {
        match self.candidate()?.1 {
            AttemptErrorKind::Write(error) => SinkError::from_part_write(parts, error),
            AttemptErrorKind::Fetch(_)
            | AttemptErrorKind::Defect(_)
            | AttemptErrorKind::NoOriginal(_)
            | AttemptErrorKind::NotFollowed(_)
            | AttemptErrorKind::OtherHost => None,
        }
    }

    /// Whether nothing was requested because of what this process has met on the host before.
    pub(super) fn is_of_the_host(&self) -> bool {
        let kind = self.candidate().map(|(_, kind)| kind);
        let Some(AttemptErrorKind::Fetch(error)) = kind else {
            return false;
        };
        matches!(
            error.kind(),
            FetchErrorKind::GivenUp { .. } | FetchErrorKind::RobotsUnreadable { .. }
        )
    }

    /// Whether the bytes were bad or doubtful: it may have been the transfer.
    pub(super) fn is_bad_image(&self) -> bool {
        let kind = self.candidate().map(|(_, kind)| kind);
        matches!(kind, Some(AttemptErrorKind::Defect(defect)) if !defect.is_not_an_image())
    }

    /// How long nobody is to ask the host, where it answered that it is asked too much (RFC 6585, 4; RFC 9110, 15.6.4).
    /// Only where `host` itself said so, and not one that it redirects to.
    pub(super) fn host_pause(&self, host: &str) -> Option<Duration> {
        let AttemptErrorKind::Fetch(error) = self.candidate()?.1 else {
            return None;
        };
        let asks_for_rest = error.host() == host && matches!(error.status(), Some(429 | 503));
        asks_for_rest.then(|| match error.retryability() {
            Retryability::After(pause) => pause,
            Retryability::Never | Retryability::AfterBackoff => PAUSE,
        })
    }

    /// The image's outcome, where no attempt follows.
    pub(super) fn into_outcome(self, lease: &Lease) -> Outcome {
        match self {
            // Workers know no ledger, so that such a skip counts as new each time.
            Self::NoCandidate | Self::OtherHost(..) => {
                Outcome::Skipped(Skip::new(Url::clone(&lease.job.page), SkipReason::NoRule))
            }
            Self::Candidate {
                address,
                kind: AttemptErrorKind::NoOriginal(Some(reason @ SkipReason::NoImage)),
            } => Outcome::Skipped(Skip::new(address, reason)),
            Self::Candidate {
                address,
                kind: AttemptErrorKind::Defect(Defect::TooSmall { width, height, .. }),
            } if lease.job.limits.skips_small => {
                let reason = SkipReason::TooSmall(format!("{width}x{height}"));
                Outcome::Skipped(Skip::new(address, reason))
            }
            Self::Candidate { address, kind } => match kind.known_error() {
                // The run was told why, and the next one continues.
                Some((ErrorAction::Stop, _)) => Outcome::Interrupted,
                Some((ErrorAction::Skip, _)) => {
                    let reason = SkipReason::ErrorRule(kind.to_string());
                    Outcome::Skipped(Skip::new(address, reason))
                }
                Some((ErrorAction::Wait | ErrorAction::End, _)) | None => {
                    let mut failure = kind.into_failure(address, lease.attempt);
                    failure.gone &= !lease.job.tried.may_come_back;
                    Outcome::Failed(failure)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_429_pauses_the_host_that_answered_it_and_not_one_that_redirects_there() {
        let kind = FetchErrorKind::Status {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
        };
        let error = AttemptError::Candidate {
            address: Url::parse("https://gallery.test/1.png").unwrap(),
            kind: FetchError::new("cdn.test", kind).into(),
        };
        assert_eq!(error.host_pause("cdn.test"), Some(Duration::from_secs(7)));
        assert_eq!(error.host_pause("gallery.test"), None);
    }
}
