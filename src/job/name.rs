//! The names of images' files, and the hash of their bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The file name of an image: portable, printable, at most [`ImageName::MAX_BYTES`] long, never hidden.
///
/// `site::name` is the one place that makes one from untrusted text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImageName {
    written: String,
    /// Bytes of the stem; the dot follows it.
    stem: usize,
}

impl ImageName {
    /// The longest name in bytes: 255 less room for what a program beside us may append (`.part`).
    pub const MAX_BYTES: usize = 240;

    /// Bytes of the suffix that [`ImageName::with_hash_suffix`] adds.
    pub const SUFFIX_BYTES: usize = 9;

    /// Joins parts that are already safe; for `site::name` and for stored names.
    pub(crate) fn from_safe(stem: &str, extension: &str) -> Self {
        Self {
            written: [stem, ".", extension].concat(),
            stem: stem.len(),
        }
    }

    /// A name from its stored form, that of its `Display`.
    pub fn from_stored(written: &str) -> Self {
        let (stem, extension) = written.rsplit_once('.').unwrap_or((written, ""));
        Self::from_safe(stem, extension)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The name without its extension.
    pub fn stem(&self) -> Stem {
        Stem::new(&self.written[..self.stem])
    }

    /// The same name with the first eight digits of its content's hash appended to the stem, for when another file
    /// has the plain one.
    pub fn with_hash_suffix(&self, hash: &ContentHash) -> Self {
        let digits = hash.to_hex();
        let (stem, dot_and_extension) = self.written.split_at(self.stem);
        let stem = [stem, "~", &digits[..Self::SUFFIX_BYTES - 1]].concat();
        Self {
            stem: stem.len(),
            written: stem + dot_and_extension,
        }
    }

    /// The form in which a file system that ignores case and Unicode normalization would compare it.
    pub fn normalized(&self) -> String {
        normalize(&self.written)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// A text from another machine that cannot name an image's file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is no image's name", .0.escape_debug())]
pub struct BadImageName(String);

impl TryFrom<String> for ImageName {
    type Error = BadImageName;

    /// Takes a name that another machine has given a file: it must be one that `site::name` could have made, as far as
    /// that matters to whoever opens it.
    fn try_from(written: String) -> Result<Self, BadImageName> {
        let name = Self::from_stored(&written);
        let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':');
        let fits = (1..=Self::MAX_BYTES).contains(&written.len()) && written.chars().all(is_plain);
        let has_both = name.stem > 0 && name.stem + 1 < written.len();
        if fits && has_both && !written.starts_with('.') {
            Ok(name)
        } else {
            Err(BadImageName(written))
        }
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.written
    }
}

/// A file name without extension, normalized: how an image is recognized in a folder whose ledger was lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stem(String);

impl Stem {
    /// Normalizes `stem`.
    pub fn new(stem: &str) -> Self {
        Self(normalize(stem))
    }

    /// The stem as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower case in NFC, by way of upper case, because some file systems take `ß` for `ss` and `ς` for `σ`.
fn normalize(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.nfc().collect::<String>().to_uppercase().to_lowercase();
    lower.nfc().collect()
}

/// The BLAKE3 hash of an image's bytes; shown as 64 hexadecimal digits, as `b3sum` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Takes the 32 bytes of a finished hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, on the stack: this is called for every image.
    pub(crate) fn to_hex(self) -> impl Deref<Target = str> {
        blake3::Hash::from_bytes(self.0).to_hex()
    }

    /// Parses 64 hexadecimal digits; `None` for anything else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let hash = blake3::Hash::from_hex(hex).ok()?;
        Some(Self(*hash.as_bytes()))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(&hex).ok_or_else(|| D::Error::custom("not 64 hexadecimal digits"))
    }
}
