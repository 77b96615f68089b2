//! Where a collection is in an object store: `s3://BUCKET/PREFIX`, read as it is written.

use thiserror::Error;

/// Which service is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage. Built, and tried with no real server.
    Google,
    /// The memory of this process, for tests.
    Memory,
}

impl Service {
    /// The service of a URL's scheme in lower case, if there is one.
    pub(super) fn of_scheme(scheme: &str) -> Option<Self> {
        Some(match scheme {
            "s3" => Self::S3,
            "az" => Self::Azure,
            "gs" => Self::Google,
            "memory" => Self::Memory,
            _ => return None,
        })
    }
}

/// A bucket, and the beginning that all keys of the collection share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreAddress {
    pub(super) service: Service,
    /// Azure calls it a container.
    pub(super) bucket: String,
    /// Without a slash at its ends; may be empty.
    pub(super) prefix: String,
}

/// What is wrong with the URL of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BadAddress {
    #[error("it names no bucket")]
    NoBucket,
    #[error("a bucket's name has only letters, digits, `-`, `_` and `.`")]
    Bucket,
    #[error("part of it is empty, `.` or `..`")]
    Segment,
    #[error("`{0}` would mean one thing in a URL and another in a key")]
    Ambiguous(char),
    #[error("it holds a control character")]
    Control,
}

impl StoreAddress {
    /// Reads the text of a URL. Not by the rules of URLs: those would cut the prefix at `#` and `?`, decode `%2F`, and leave
    /// out what stands before an `@`, all in silence. So these are refused.
    pub(super) fn parse(service: Service, text: &str) -> Result<Self, BadAddress> {
        let (_scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if rest.chars().any(char::is_control) {
            return Err(BadAddress::Control);
        }
        let ambiguous = |c: &char| matches!(c, '#' | '?' | '%' | '@' | '\\');
        if let Some(found) = rest.chars().find(ambiguous) {
            return Err(BadAddress::Ambiguous(found));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(BadAddress::NoBucket);
        }
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !bucket.chars().all(of_a_name) {
            return Err(BadAddress::Bucket);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_bad = |segment: &str| matches!(segment, "" | "." | "..");
        let is_empty = prefix.is_empty() && !rest.ends_with("//");
        if !is_empty && prefix.split('/').any(is_bad) {
            return Err(BadAddress::Segment);
        }
        Ok(Self {
            service,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_what_stands_behind_the_bucket() {
        for (text, bucket, prefix) in [
            ("s3://pictures", "pictures", ""),
            ("s3://pictures/", "pictures", ""),
            ("s3://pictures/a", "pictures", "a"),
            (
                "s3://Pic.tures_1/a b/\u{e9}+&=/",
                "Pic.tures_1",
                "a b/\u{e9}+&=",
            ),
        ] {
            let address = StoreAddress::parse(Service::S3, text).unwrap();
            assert_eq!(
                (address.bucket.as_str(), address.prefix.as_str()),
                (bucket, prefix)
            );
        }
    }

    #[test]
    fn what_a_url_would_read_otherwise_is_refused() {
        for (text, bad) in [
            ("s3://", BadAddress::NoBucket),
            ("s3:///a", BadAddress::NoBucket),
            ("s3://a:9000/b", BadAddress::Bucket),
            ("s3://b\u{fc}cket/a", BadAddress::Bucket),
            ("s3://b/a//c", BadAddress::Segment),
            ("s3://b//", BadAddress::Segment),
            ("s3://b/a/../c", BadAddress::Segment),
            ("s3://b/./c", BadAddress::Segment),
            ("s3://b/a#c", BadAddress::Ambiguous('#')),
            ("s3://b/a?c", BadAddress::Ambiguous('?')),
            ("s3://b/a%20c", BadAddress::Ambiguous('%')),
            ("s3://user:secret@b/a", BadAddress::Ambiguous('@')),
            ("s3://b/a\\c", BadAddress::Ambiguous('\\')),
            ("s3://b/a\u{1b}c", BadAddress::Control),
        ] {
            assert_eq!(StoreAddress::parse(Service::S3, text), Err(bad), "{text}");
        }
    }
}
