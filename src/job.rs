//! What travels: a site's name, an image's identity, and the job that carries both.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

/// The name of a site definition: what the user types, a folder's name, and the first half of a key.
///
/// Lower-case letters, digits and inner dashes, at most 64 of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteId(Arc<str>);

/// Why a text cannot name a site.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` cannot name a site: use lower-case letters, digits and dashes, at most 64", .0.escape_debug())]
pub struct BadSiteId(String);

impl SiteId {
    /// Takes `name` as a site's name.
    ///
    /// # Errors
    ///
    /// When it holds anything but lower-case letters, digits and inner dashes, or more than 64 of them.
    pub fn new(name: impl Into<String>) -> Result<Self, BadSiteId> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=64).contains(&name.len()) && name.chars().all(allowed);
        if fits && !name.starts_with('-') && !name.ends_with('-') {
            Ok(Self(name.into()))
        } else {
            Err(BadSiteId(name))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SiteId {
    type Error = BadSiteId;

    fn try_from(name: String) -> Result<Self, BadSiteId> {
        Self::new(name)
    }
}

impl From<SiteId> for String {
    fn from(site: SiteId) -> Self {
        site.as_str().to_owned()
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the ledger remembers an image by: `SITE ADDRESS`, the address being the original's canonical
/// one, written with `https` whichever scheme it is asked by. It goes along everywhere, so copies share the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ImageKey(Arc<str>);

impl ImageKey {
    /// The key of the image that `site` keeps at `original`.
    pub fn new(site: &SiteId, original: &Url) -> Self {
        let address = original.as_str();
        let address = address
            .split_once('#')
            .map_or(address, |(address, _fragment)| address);
        match address.strip_prefix("http:") {
            Some(rest) => [site.as_str(), " https:", rest].concat().into(),
            None => [site.as_str(), " ", address].concat().into(),
        }
    }

    /// A key as it was written down before, by [`ImageKey::as_str`].
    pub fn from_stored(written: String) -> Self {
        Self(written.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The site half of the key.
    pub fn site(&self) -> &str {
        self.0.split_once(' ').map_or("", |(site, _address)| site)
    }

    /// The address half of the key.
    pub fn address(&self) -> &str {
        self.0
            .split_once(' ')
            .map_or(&self.0, |(_site, address)| address)
    }
}

impl From<String> for ImageKey {
    fn from(written: String) -> Self {
        Self::from_stored(written)
    }
}

impl From<ImageKey> for String {
    fn from(key: ImageKey) -> Self {
        key.as_str().to_owned()
    }
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One image as a listing page shows it; every address is canonical, whatever mirror the page came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// The site it was found on.
    pub site: SiteId,
    /// The listing page that showed it.
    pub page: Url,
    /// The small picture on that page.
    pub thumb: Url,
    /// Where the picture links to, if it does.
    pub link: Option<Url>,
    /// The picture's title, as written: untrusted text.
    pub title: Option<String>,
    /// Whether `thumb` is no thumb but the original itself: its address was given, and no listing was read.
    #[serde(default)]
    pub is_original: bool,
}

/// One image to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What the ledger and a broker know it by.
    pub key: ImageKey,
    /// Where it was found.
    pub image: ImageRef,
    /// What its producer worked out already. It does not cross machines: a job from elsewhere is as untrusted as a
    /// page, so that whoever gets it works this out anew by its own definition.
    #[serde(skip)]
    pub resolved: Option<Resolved>,
}

/// A way to an image's original.
///
/// A variant `Follow` has room here: a page to be read first, on which the original's address stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// The original's own canonical address.
    Direct(Url),
}

impl Candidate {
    /// The canonical address to request first.
    pub fn url(&self) -> &Url {
        match self {
            Self::Direct(url) => url,
        }
    }
}

/// What a site's definition makes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// In the order to be tried; never empty, never the thumb.
    pub candidates: Vec<Candidate>,
    /// The name of its file, without the extension.
    pub stem: String,
}

impl Resolved {
    /// The name of the image's file, with the extension that its bytes ask for.
    pub fn name(&self, extension: &str) -> ImageName {
        ImageName::from_safe(&self.stem, extension)
    }
}

/// The file name of an image: portable, printable, at most [`ImageName::MAX_BYTES`] long, never hidden.
///
/// `site::name` is the one place that makes one from untrusted text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct ImageName {
    written: String,
    /// Bytes of the stem; the dot stands behind it.
    stem: usize,
}

impl ImageName {
    /// The longest name in bytes: 255 less room for what a program beside us may append (`.part`).
    pub const MAX_BYTES: usize = 240;

    /// Bytes of the suffix that [`ImageName::apart`] adds.
    pub const SUFFIX_BYTES: usize = 9;

    /// Puts a name together from parts that are already safe; for `site::name` and for reading back.
    pub(crate) fn from_safe(stem: &str, extension: &str) -> Self {
        Self {
            written: [stem, ".", extension].concat(),
            stem: stem.len(),
        }
    }

    /// Reads a name back that was written down before, by its `Display`.
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

    /// The same name told apart by the first eight digits of its content's hash, for when the plain one is taken.
    pub fn with_hash_suffix(&self, hash: &ContentHash) -> Self {
        let digits = hash.to_hex();
        let (stem, dot_and_extension) = self.written.split_at(self.stem);
        let stem = [stem, "~", &digits[..Self::SUFFIX_BYTES - 1]].concat();
        Self {
            stem: stem.len(),
            written: stem + dot_and_extension,
        }
    }

    /// The name as a file system that knows neither case nor Unicode forms would compare it.
    pub fn normalized(&self) -> String {
        normalize(&self.written)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.written
    }
}

/// A file name without extension, folded: how an image is found again in a folder whose ledger was lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stem(String);

impl Stem {
    /// The folded form of `stem`.
    pub fn new(stem: &str) -> Self {
        Self(normalize(stem))
    }

    /// The stem as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Folds case and Unicode form: lower case in NFC, by way of upper case, as some file systems take `ß` for `ss` and
/// `ς` for `σ`.
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

    /// The 64 hexadecimal digits that it is shown as, without a string of their own.
    pub(crate) fn to_hex(self) -> impl Deref<Target = str> {
        blake3::Hash::from_bytes(self.0).to_hex()
    }

    /// Reads 64 hexadecimal digits back; `None` for anything else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_depend_on_the_scheme() {
        let site = SiteId::new("demo").unwrap();
        let plain = Url::parse("http://demo.invalid/a.png").unwrap();
        let secure = Url::parse("https://demo.invalid/a.png#top").unwrap();
        assert_eq!(ImageKey::new(&site, &plain), ImageKey::new(&site, &secure));
        assert_eq!(
            ImageKey::new(&site, &plain).address(),
            "https://demo.invalid/a.png"
        );
    }

    #[test]
    fn names_that_differ_by_case_or_unicode_form_fold_to_one() {
        let name = |stem: &str| ImageName::from_safe(stem, "png").normalized();
        assert_eq!(
            name("2010-01-01-\u{c9}t\u{e9}"),
            name("2010-01-01-e\u{301}te\u{301}")
        );
        assert_ne!(name("2010-01-01-ete"), name("2010-01-01-\u{e9}t\u{e9}"));
        for (one, other) in [
            ("\u{df}", "SS"),
            ("\u{3c3}", "\u{3c2}"),
            ("\u{fb01}", "Fi"),
            ("\u{130}", "i\u{307}"),
        ] {
            assert_eq!(name(one), name(other));
        }
    }

    #[test]
    fn a_hash_reads_back_what_it_shows() {
        let hash = ContentHash::from_bytes([0xa7; 32]);
        assert_eq!(ContentHash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(ContentHash::from_hex("a7"), None);
        assert_eq!(ContentHash::from_hex(&"g".repeat(64)), None);
    }

    #[test]
    fn a_name_told_apart_keeps_its_extension() {
        let name = ImageName::from_stored("2018-03-29-a.b.png");
        let apart = name.with_hash_suffix(&ContentHash::from_bytes([0x1f; 32]));
        assert_eq!(apart.to_string(), "2018-03-29-a.b~1f1f1f1f.png");
    }

    #[test]
    fn a_site_is_named_by_what_can_be_a_folder_anywhere() {
        for bad in ["", "-a", "a-", "A", "a/b", "..", "a b", &"a".repeat(65)] {
            assert!(SiteId::new(bad).is_err(), "{bad:?}");
        }
        assert!(SiteId::new("wallhaven-toplist2").is_ok());
    }
}
