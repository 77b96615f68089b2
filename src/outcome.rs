//! How a job ended: a bad image is a value, never an error that ends the run.

use std::fmt;

use serde::Serialize;

use crate::job::{ContentHash, ImageName};

/// How one listed image ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the collection now.
    Saved(Saved),
    /// It was in the collection before, or is known to be gone from the site.
    AlreadyThere,
    /// It was left out on purpose.
    Skipped(SkipReason),
    /// It could not be had.
    Failed(Failure),
    /// The run ended first; the next one goes on with it.
    Interrupted,
}

/// Why an image was left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", content = "detail", rename_all = "snake_case")]
pub enum SkipReason {
    /// No rewrite rule of the definition matches its thumb.
    NoRule,
    /// The address a rule yields may not be asked: the reason.
    Address(String),
    /// `--dry-run`: it would be fetched.
    DryRun,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rewrite rule matches"),
            Self::Address(reason) => write!(f, "its address cannot be requested: {reason}"),
            Self::DryRun => f.write_str("dry run"),
        }
    }
}

/// An image that is under its final name, durable and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// Its file's name in the collection.
    pub name: ImageName,
    /// What the file holds.
    #[serde(flatten)]
    pub content: Content,
    /// True when the same bytes were already there under this name, from another address.
    pub duplicate: bool,
}

/// What verification established about an image's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Content {
    /// How many bytes.
    pub bytes: u64,
    /// Their BLAKE3 hash.
    #[serde(rename = "blake3")]
    pub hash: ContentHash,
    /// The format its signature and structure say.
    pub format: Format,
    /// Pixels across, as declared.
    pub width: u32,
    /// Pixels down, as declared.
    pub height: u32,
}

/// Declares [`Format`], the list of its variants and their file extensions from one table. A list
/// written by hand beside the enum could lack a variant and still compile; files of that format
/// would then be neither recognized nor read back from the ledger.
macro_rules! formats {
    ($($(#[doc = $doc:literal])+ $format:ident: $extension:literal $(or $other:literal)*;)+) => {
        /// The image formats a collection takes. What verification knows of each stands in `verify/formats/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum Format {
            $($(#[doc = $doc])+ #[serde(rename = $extension)] $format,)+
        }

        impl Format {
            /// Every format, in the order in which their signatures are tried.
            pub const ALL: &[Self] = &[$(Self::$format),+];

            /// The extensions that files of this format have, in lower case; the first is the one that we give them.
            const fn extensions(self) -> &'static [&'static str] {
                match self {
                    $(Self::$format => &[$extension $(, $other)*],)+
                }
            }
        }
    };
}

formats! {
    /// Portable Network Graphics.
    Png: "png";
    /// JPEG, any process.
    Jpeg: "jpg" or "jpeg";
    /// GIF 87a or 89a.
    Gif: "gif";
    /// WebP, lossy, lossless or animated.
    Webp: "webp";
    /// AV1 Image File Format.
    Avif: "avif";
}

impl Format {
    /// The extension that a file of this format is given; also the format's name in the ledger and in JSON.
    pub const fn extension(self) -> &'static str {
        self.extensions()[0]
    }

    /// The format whose [`Format::extension`] this is.
    pub fn from_extension(extension: &str) -> Option<Self> {
        let mut formats = Self::ALL.iter().copied();
        formats.find(|format| format.extension() == extension)
    }

    /// Whether images have this extension, in any spelling (`jpeg`) and case. It proves nothing about the bytes.
    pub fn is_extension(extension: &str) -> bool {
        Self::ALL
            .iter()
            .flat_map(|format| format.extensions())
            .any(|known| known.eq_ignore_ascii_case(extension))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// An image that could not be had, with what the user needs to judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where on its way it failed.
    pub stage: Stage,
    /// The address asked last, or the thumb when none was asked: untrusted text.
    pub address: String,
    /// What went wrong: may quote a server, so untrusted text.
    pub cause: String,
    /// How many requests were made for it.
    pub attempts: u32,
    /// True when the site says it is gone (404 or 410): not asked again for a while.
    pub gone: bool,
}

/// The stations of an image's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Finding the original's address.
    Rewrite,
    /// Asking for it and reading it.
    Fetch,
    /// Writing it to a part.
    Write,
    /// Judging its bytes.
    Verify,
    /// Giving it its name.
    Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_ledger_call_a_format_by_its_extension() {
        for &format in Format::ALL {
            let json = serde_json::to_string(&format).unwrap();
            assert_eq!(json, format!("\"{}\"", format.extension()));
            assert_eq!(Format::from_extension(format.extension()), Some(format));
        }
        assert_eq!(Format::from_extension("jpeg"), None);
    }

    #[test]
    fn image_extensions_are_known_in_any_spelling_and_case() {
        for extension in ["png", "JPG", "jpeg", "Gif", "webp", "avif"] {
            assert!(Format::is_extension(extension), "{extension}");
        }
        for extension in ["", "html", "jp"] {
            assert!(!Format::is_extension(extension), "{extension}");
        }
    }
}
