//! What an answer of the store, or the lack of one, means for an image.

use std::error::Error as _;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Something has the key, or another version of it; or the store refused for a reason of the moment, which is told
    /// apart by looking.
    Taken,
    /// Nothing has the key.
    Missing,
    /// It may have been done or not.
    Unknown,
    /// It was not done, and may be later.
    Later,
    /// The store refuses: rights, the bucket, the configuration.
    Refused,
    /// The store refuses these bytes.
    Bytes,
}

/// Reads an error. The crate tells a few statuses apart by its variants; the others stand in its text alone, and whether a
/// request was sent at all stands in the error below it.
pub(super) fn trouble(error: &Error) -> Trouble {
    match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } => Trouble::Taken,
        Error::NotFound { .. } => Trouble::Missing,
        Error::Generic { .. } => of_generic(error),
        Error::JoinError { .. } => Trouble::Unknown,
        _ => Trouble::Refused,
    }
}

fn of_generic(error: &Error) -> Trouble {
    let text = error.to_string();
    match status(&text) {
        Some(413) => Trouble::Bytes,
        Some(400) if text.contains("ExpiredToken") => Trouble::Refused,
        // What arrived is not what was sent, or is larger than the store takes.
        Some(400) if text.contains("BadDigest") || text.contains("EntityTooLarge") => {
            Trouble::Bytes
        }
        Some(408 | 429) => Trouble::Later,
        Some(501) => Trouble::Refused,
        // Stores were seen to keep an object and answer so all the same.
        Some(500..=599) => Trouble::Unknown,
        Some(_) => Trouble::Refused,
        None => match kind(error) {
            Some(HttpErrorKind::Connect) => Trouble::Later,
            // "Builder error": it was never sent.
            Some(HttpErrorKind::Unknown) if text.contains("builder error") => Trouble::Refused,
            Some(_) => Trouble::Unknown,
            None => Trouble::Refused,
        },
    }
}

/// The status in the text of an error. The words are the crate's, and in front of what the store said.
pub(super) fn status(text: &str) -> Option<u16> {
    let (_, behind) = text.split_once("Server returned non-2xx status code: ")?;
    behind.get(..3)?.parse().ok()
}

pub(super) fn kind(error: &Error) -> Option<HttpErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic {
            store: "S3",
            source: io::Error::other(text.to_owned()).into(),
        }
    }

    #[test]
    fn a_status_is_read_from_the_crates_words_and_not_from_the_stores() {
        let answered = |status: &str| {
            generic(&format!(
                "Error performing PUT http://127.0.0.1/b/a.png in 1ms - Server returned non-2xx status code: {status}"
            ))
        };
        for (status, expected) in [
            (
                "503 Service Unavailable: <Code>SlowDown</Code>",
                Trouble::Unknown,
            ),
            ("500 Internal Server Error: ", Trouble::Unknown),
            ("507 Insufficient Storage: ", Trouble::Unknown),
            ("429 Too Many Requests: ", Trouble::Later),
            ("408 Request Timeout: ", Trouble::Later),
            ("501 Not Implemented: ", Trouble::Refused),
            ("413 Payload Too Large: ", Trouble::Bytes),
            ("400 Bad Request: <Code>BadDigest</Code>", Trouble::Bytes),
            (
                "400 Bad Request: <Code>ExpiredToken</Code>",
                Trouble::Refused,
            ),
            (
                "400 Bad Request: Server returned non-2xx status code: 503",
                Trouble::Refused,
            ),
        ] {
            assert_eq!(trouble(&answered(status)), expected, "{status}");
        }
        assert_eq!(trouble(&generic("503")), Trouble::Refused);
    }

    #[test]
    fn whether_a_request_was_sent_is_read_from_the_error_below() {
        for (kind, expected) in [
            (HttpErrorKind::Connect, Trouble::Later),
            (HttpErrorKind::Timeout, Trouble::Unknown),
            (HttpErrorKind::Interrupted, Trouble::Unknown),
            (HttpErrorKind::Request, Trouble::Unknown),
        ] {
            let source = HttpError::new(kind, io::Error::other("cut"));
            let error = Error::Generic {
                store: "S3",
                source: source.into(),
            };
            // As the crate wraps it: once more.
            let wrapped = Error::Generic {
                store: "S3",
                source: Box::new(error),
            };
            assert_eq!(trouble(&wrapped), expected, "{kind:?}");
        }
    }
}
