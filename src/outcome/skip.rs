//! Images that were left out on purpose.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An image that was left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The address of the thumb, or of the original where a dry run would fetch it, in the form that is requested:
    /// untrusted text.
    pub address: String,
    /// Why.
    #[serde(flatten)]
    pub reason: SkipReason,
    /// Whether no earlier run reported this skip: a new one is shown by default, an old one only on request.
    pub new: bool,
}

impl Skip {
    /// A skip that no earlier run reported.
    pub fn new(address: impl Into<String>, reason: SkipReason) -> Self {
        Self {
            address: address.into(),
            reason,
            new: true,
        }
    }
}

/// Why an image was left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", content = "detail", rename_all = "snake_case")]
pub enum SkipReason {
    /// No rule of the definition leads from what its listing shows to an original.
    NoRule,
    /// The rewritten address may not be requested: why.
    Address(String),
    /// It is on a host that the site's definition does not name, and the user has not allowed others: the host.
    OtherHost(String),
    /// The site answered with an error that its definition says to skip: what the definition says of it.
    ErrorRule(String),
    /// The page that should lead to it has none, and has what the definition says such pages have.
    NoImage,
    /// It is smaller than an image of the site must be: how large it is.
    TooSmall(String),
    /// Another run has it in the queue, or it was there until a moment ago and cannot be queued again so soon.
    InQueue,
    /// `--dry-run`: the image would be fetched.
    DryRun,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule matches"),
            Self::Address(reason) => write!(f, "address not allowed: {reason}"),
            // Without the host, so that all of them are one line of the summary.
            Self::OtherHost(_) => f.write_str("on another host; `--allow-any-host` takes it"),
            Self::ErrorRule(hint) => f.write_str(hint),
            Self::NoImage => f.write_str("its page has no image"),
            // Without the size, so that all of them are one line of the summary.
            Self::TooSmall(_) => f.write_str("smaller than wanted"),
            Self::InQueue => f.write_str("in the queue for another run, or was a moment ago"),
            Self::DryRun => f.write_str("dry run"),
        }
    }
}
