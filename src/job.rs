//! The job, and the identities in it: a site's name, an image's key, a file's name, a hash.

mod name;
mod rules;
mod tried;
mod version;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use thiserror::Error;
use url::{Position, Url};

pub use name::{ContentHash, ImageName, Stem};
pub use rules::RulesHash;
pub use tried::Tried;
pub use version::{JobVersion, UnsupportedJobVersion};

use crate::mask::Masks;

/// The name of a site definition: what the user types, a folder's name, and the first half of a key.
///
/// Lower-case letters, digits and inner dashes, at most 64 of them. A short one is held in place: every stage copies it, and
/// one count of its copies would go to and fro between the cores with each job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteId(SmolStr);

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

/// The identity of an image: `SITE ADDRESS`, with the original's canonical address, written with `https` whichever
/// scheme it is requested by. Every stage holds a copy, so copies share the text.
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

    /// The key of the image that `site` knows by `id`, whatever its address is today. The site's part of the text comes
    /// first, so that no address can equal it.
    pub fn with_id(site: &SiteId, id: &str) -> Self {
        [site.as_str(), " id:", id].concat().into()
    }

    /// A key from its stored form, that of [`ImageKey::as_str`].
    pub fn from_stored(written: String) -> Self {
        Self(written.into())
    }

    /// Takes the secrets out of the address or the id in it.
    pub(crate) fn mask(&mut self, masks: &Masks) {
        if let Cow::Owned(masked) = masks.apply(self.identity()) {
            *self = [self.site(), " ", &masked].concat().into();
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The site half of the key.
    pub fn site(&self) -> &str {
        self.0.split_once(' ').map_or("", |(site, _address)| site)
    }

    /// The second half of the key as text: the address, or `id:` and what the site calls the image.
    pub fn identity(&self) -> &str {
        self.0
            .split_once(' ')
            .map_or(&self.0, |(_site, identity)| identity)
    }

    /// The address half of the key; `None` where the site's own name for the image stands in its place. Not the
    /// address of a request: that may be another candidate's, or have another scheme or a signature.
    pub fn address(&self) -> Option<&str> {
        Some(self.identity()).filter(|identity| !identity.starts_with("id:"))
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

/// One image as a listing page shows it; every address is canonical, even where the page came from a mirror. Only
/// the first half of a run knows it: the second half gets a [`Job`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The site it was found on.
    pub site: SiteId,
    /// The listing page that showed it, shared with the page's other images.
    pub page: Arc<Url>,
    /// The small picture on that page.
    pub thumb: Url,
    /// The address that the picture links to.
    pub link: Option<Url>,
    /// The picture's title, as written: untrusted text.
    pub title: Option<String>,
    /// Whether `thumb` is the original itself: its address was given, and no listing was read.
    pub is_original: bool,
    /// The item's other texts, by the numbers that its site's definition gives them.
    pub record: Record,
}

impl ImageRef {
    /// Takes the secrets out of its addresses and texts.
    pub(crate) fn mask(&mut self, masks: &Masks) {
        let Self {
            site: _,
            page,
            thumb,
            link,
            title,
            is_original: _,
            record: Record(fields),
        } = self;
        *page = masks.apply_shared(page);
        for address in link.iter_mut().chain([thumb]) {
            masks.mask_url(address);
        }
        for text in fields.iter_mut().flatten().chain(title) {
            masks.mask(text);
        }
    }
}

/// The texts of one item, by the numbers that the site's definition gives its fields: of each field those that were
/// found, the preferred one first. Addresses among them are absolute. Untrusted text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record(pub Vec<Vec<String>>);

/// One image to be fetched, with everything a worker needs: it knows neither the site's definition nor the ledger.
///
/// It may cross machines, so it is serialised whole, holds no secret but those that the site itself wrote into addresses
/// (headers and proxies belong to the worker's own settings), and one that arrives from elsewhere is as untrusted as a listing page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// First, so that a job of another format is refused for that reason and not for a field it lacks.
    #[serde(rename = "v")]
    pub version: JobVersion,
    /// What the ledger and a broker know it by.
    pub key: ImageKey,
    /// The site it was found on.
    pub site: SiteId,
    /// Where the original may be found, in the order to be tried; never the thumb.
    pub candidates: Vec<Candidate>,
    /// The name of its file without the extension, made safe by `site::name`.
    pub stem: String,
    /// The listing page that showed it, or its own address where no listing was read; for the `Referer`, the record and
    /// hooks.
    pub page: Arc<Url>,
    /// The title on that page, without secrets: untrusted text, for the record and hooks.
    pub title: Option<String>,
    /// What the listing declares of the image's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Box<Declared>>,
    /// The dimensions it must have.
    pub limits: JobLimits,
    /// What it was looked for by.
    #[serde(default)]
    pub rules: RulesHash,
    /// The least time between two requests to one host (`--wait`).
    pub wait: Duration,
    /// What came of candidates that are not among these any more.
    #[serde(default, skip_serializing_if = "Tried::is_nothing")]
    pub tried: Tried,
}

impl Job {
    /// The version of the serialised form; it grows when a field changes its meaning or goes.
    pub const VERSION: u32 = 1;

    /// The canonical address that is requested first; without candidates, that of the page.
    pub fn first_url(&self) -> &Url {
        self.candidates.first().map_or(&*self.page, Candidate::url)
    }

    /// The host that is asked first, with its port where that is not the scheme's own: `HOST` or `HOST:PORT`.
    pub fn host(&self) -> String {
        host_of(self.first_url())
    }

    /// The name of the image's file, with the extension that its bytes ask for.
    ///
    /// It depends on the key's address, not on the candidate that brought the bytes: a name must not change with
    /// what a server had on the day.
    pub fn name(&self, extension: &str) -> ImageName {
        ImageName::from_safe(&self.stem, extension)
    }
}

/// The dimensions that an original must have, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLimits {
    /// A narrower image is a thumbnail in the original's place.
    pub min_width: u32,
    /// A lower image is one too.
    pub min_height: u32,
    /// Whether such an image is one that nobody wants, and not a fault of the site.
    pub skips_small: bool,
    /// Width times height at most. A worker may set a lower limit.
    pub max_pixels: u64,
}

/// What a listing declares of an image's bytes: whoever fetches them compares. What is not declared is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declared {
    /// The MD5 hash, as 32 lower-case hexadecimal digits; so that the form is the same in every listing.
    pub md5: Option<String>,
    /// The SHA-1 hash, as 40 lower-case hexadecimal digits.
    pub sha1: Option<String>,
    /// The SHA-256 hash, as 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Git's name for the bytes, as 40 lower-case hexadecimal digits: the SHA-1 hash of the word `blob`, a blank, the
    /// length, a zero byte and the bytes. Compared where the length is declared, too. (Pro Git, "Git Objects".)
    pub git_sha1: Option<String>,
    /// The length in bytes.
    pub bytes: Option<u64>,
    /// The width in pixels.
    pub width: Option<u32>,
    /// The height in pixels.
    pub height: Option<u32>,
}

impl Declared {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A way to an image's original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// The original's own canonical address.
    Direct(Url),
    /// A page to be read first, that holds the original's address.
    Follow(Follow),
}

impl Candidate {
    /// The canonical address to request first.
    pub fn url(&self) -> &Url {
        match self {
            Self::Direct(url) | Self::Follow(Follow { page: url, .. }) => url,
        }
    }

    /// The host to request first, with its port where that is not the scheme's own.
    pub fn host(&self) -> String {
        host_of(self.url())
    }

    /// Takes the secrets out of its address.
    pub(crate) fn mask(&mut self, masks: &Masks) {
        match self {
            Self::Direct(url) | Self::Follow(Follow { page: url, .. }) => masks.mask_url(url),
        }
    }
}

fn host_of(url: &Url) -> String {
    url[Position::BeforeHost..Position::AfterPort].to_owned()
}

/// A page that leads to an original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// Its canonical address.
    pub page: Url,
    /// What is looked for on it.
    pub rule: FollowRule,
}

/// What is looked for on a page that leads to an original: a definition's `follow` table as TOML, read by
/// `site::follow` alone. Text, because a job may cross machines and its worker has no definition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct FollowRule(Arc<str>);

impl FollowRule {
    /// A rule in its serialised form.
    pub fn from_toml(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The serialised form.
    pub fn as_toml(&self) -> &str {
        &self.0
    }
}

impl From<String> for FollowRule {
    fn from(text: String) -> Self {
        Self::from_toml(text)
    }
}

impl From<FollowRule> for String {
    fn from(rule: FollowRule) -> Self {
        rule.as_toml().to_owned()
    }
}

/// What a site's definition makes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its identity.
    pub key: ImageKey,
    /// In the order to be tried; never empty, never the thumb.
    pub candidates: Vec<Candidate>,
    /// What the listing declares of its bytes.
    pub declared: Option<Box<Declared>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_for_http_and_https() {
        let site = SiteId::new("demo").unwrap();
        let plain = Url::parse("http://demo.invalid/a.png").unwrap();
        let secure = Url::parse("https://demo.invalid/a.png#top").unwrap();
        assert_eq!(ImageKey::new(&site, &plain), ImageKey::new(&site, &secure));
        assert_eq!(
            ImageKey::new(&site, &plain).address(),
            Some("https://demo.invalid/a.png")
        );
    }

    #[test]
    fn a_key_made_of_an_id_has_no_address() {
        let key = ImageKey::with_id(&SiteId::new("demo").unwrap(), "94x38z");
        assert_eq!(key.as_str(), "demo id:94x38z");
        assert_eq!((key.site(), key.address()), ("demo", None));
        assert_eq!(key.identity(), "id:94x38z");
    }

    #[test]
    fn names_that_differ_by_case_or_unicode_form_collide_after_normalization() {
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
    fn a_hash_is_parsed_from_the_hex_it_prints() {
        let hash = ContentHash::from_bytes([0xa7; 32]);
        assert_eq!(ContentHash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(ContentHash::from_hex("a7"), None);
        assert_eq!(ContentHash::from_hex(&"g".repeat(64)), None);
    }

    #[test]
    fn a_name_collision_suffix_keeps_the_extension() {
        let name = ImageName::from_stored("2018-03-29-a.b.png");
        let suffixed = name.with_hash_suffix(&ContentHash::from_bytes([0x1f; 32]));
        assert_eq!(suffixed.to_string(), "2018-03-29-a.b~1f1f1f1f.png");
    }

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
            title: None,
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

    #[test]
    fn a_job_is_the_same_after_json() {
        let json = serde_json::to_string(&job()).unwrap();
        assert!(json.starts_with(r#"{"v":1,"#), "{json}");
        assert!(
            json.contains(r#""candidates":[{"direct":"https://demo.invalid/a.png"}]"#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Job>(&json).unwrap(), job());
        assert_eq!(job().name("png").as_str(), "2018-03-29-a.png");
    }

    #[test]
    fn a_job_of_another_version_is_refused() {
        let json = serde_json::to_string(&job()).unwrap();
        let error = serde_json::from_str::<Job>(&json.replace(r#""v":1"#, r#""v":2"#)).unwrap_err();
        let refused = "unsupported job format version 2, expected 1";
        assert!(error.to_string().starts_with(refused), "{error}");
    }

    #[test]
    fn a_site_id_is_a_portable_folder_name() {
        for bad in ["", "-a", "a-", "A", "a/b", "..", "a b", &"a".repeat(65)] {
            assert!(SiteId::new(bad).is_err(), "{bad:?}");
        }
        assert!(SiteId::new("wallhaven-toplist2").is_ok());
    }
}
