//! Errors without the secrets that a server may have quoted.

use std::sync::Arc;

use super::{FetchError, FetchErrorKind, TlsFailure};

impl FetchError {
    /// The same error with its texts changed by `mask`, which takes the secrets out of what a server said.
    pub(crate) fn masked(mut self, mask: &dyn Fn(&str) -> String) -> Self {
        use FetchErrorKind as Kind;
        let change = |text: &mut String| *text = mask(text);
        match &mut self.kind {
            Kind::Refused { address, reason } => {
                change(address);
                change(reason);
            }
            Kind::RobotsDisallowed { path: text }
            | Kind::Dns { reason: text }
            | Kind::Connect { reason: text }
            | Kind::Tls(TlsFailure::Other(text))
            | Kind::Proxy { reason: text, .. }
            | Kind::Disconnected { reason: text }
            | Kind::InvalidHttp { reason: text }
            | Kind::Truncated { reason: text, .. }
            | Kind::Redirect { reason: text }
            | Kind::NotArchived { reason: text }
            | Kind::ArchiveRefused { reason: text }
            | Kind::NotAsArchived { reason: text }
            | Kind::ContentEncoding { coding: text }
            | Kind::StalePart { reason: text } => change(text),
            Kind::RobotsUnreadable { cause } => {
                *cause = Arc::new(cause.as_ref().clone().masked(mask));
            }
            Kind::GivenUp { .. }
            | Kind::Tls(_)
            | Kind::Timeout { .. }
            | Kind::TooSlow { .. }
            | Kind::TooLarge { .. }
            | Kind::LongerThanAnnounced
            | Kind::Status { .. }
            // What a definition says is not a server's.
            | Kind::KnownError { .. }
            | Kind::BadCoding { .. } => {}
        }
        self
    }
}
