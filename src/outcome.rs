//! How a job ended: a bad image is a value, never an error that ends the run.

mod mask;
mod result;
mod skip;

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use url::{Position, Url};

pub use result::{JobEnd, JobResult, ResultVersion, StoredImage, UnsupportedResultVersion};
pub use skip::{Skip, SkipReason};

use crate::job::{ContentHash, ImageName};

/// How one image ended. The variants' names are the words of the screen and of the JSON lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Added to the collection.
    Saved(Saved),
    /// Fetched, but a file of the collection has the same bytes; the image shares that file.
    Duplicate(Duplicate),
    /// In the collection before the run.
    AlreadyThere,
    /// Not requested: the site said too recently that it is gone.
    Gone(Gone),
    /// Left out on purpose.
    Skipped(Skip),
    /// Not fetched because of an error.
    Failed(Failure),
    /// Left in a queue for workers on other machines; the next run learns how it ended.
    Queued,
    /// The run ended first; the next one continues.
    Interrupted,
}

/// An image that is under its final name, durable and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// The file's name in the collection.
    pub name: ImageName,
    /// The canonical address that its bytes came from.
    pub address: Box<Url>,
    /// What verification established.
    #[serde(flatten)]
    pub content: Content,
    /// The web archive's capture, if it came from there. Boxed, for hardly any image does.
    #[serde(flatten)]
    pub capture: Option<Box<Capture>>,
}

/// An image whose bytes were in the collection already, from another address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The file that it shares.
    pub name: ImageName,
    /// The canonical address that its bytes came from.
    pub address: Box<Url>,
    /// What verification established.
    #[serde(flatten)]
    pub content: Content,
    /// The web archive's capture, if it came from there. Boxed, for hardly any image does.
    #[serde(flatten)]
    pub capture: Option<Box<Capture>>,
}

/// A capture of the web archive that an image came from. In JSON `capture` and `captured`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Where the archive has the bytes as the site sent them: `.../web/TIMESTAMPid_/ADDRESS`.
    #[serde(rename = "capture")]
    pub address: Url,
    /// When the archive got them from the site.
    #[serde(rename = "captured")]
    pub at: Timestamp,
}

impl Capture {
    /// The capture of `original` at the time `at`, in the archive whose address is `base`.
    pub fn new(base: &Url, at: Timestamp, original: &Url) -> Self {
        let mut address = base.clone();
        let folder = base.path().trim_end_matches('/');
        let (plain, query) = (&original[..Position::AfterPath], original.query());
        address.set_path(&format!("{folder}/web/{}id_/{plain}", Self::digits(at)));
        address.set_query(query);
        address.set_fragment(None);
        Self { address, at }
    }

    /// Reads the address of a capture in any form of the archive: the time, and the address that was captured.
    /// `None` if it is none of the archive whose address is `base`, whichever scheme it has.
    pub fn parse(base: &Url, address: &Url) -> Option<(Timestamp, Url)> {
        let is_there = address.host_str() == base.host_str()
            && (address.port() == base.port() || base.port().is_none());
        let folder = base.path().trim_end_matches('/');
        let text = address[Position::BeforePath..Position::AfterQuery].strip_prefix(folder)?;
        let (time, original) = text.strip_prefix("/web/")?.split_once('/')?;
        let (digits, form) = time.split_at_checked(14)?;
        let is_form = form.is_empty() || (form.len() == 3 && form.ends_with('_'));
        let at = Self::parse_date(digits)?;
        let original = Url::parse(original).ok()?;
        let is_http = matches!(original.scheme(), "http" | "https");
        (is_there && is_form && is_http).then_some((at, original))
    }

    /// A capture from its stored form, which is its address.
    pub fn from_stored(address: &str) -> Option<Self> {
        let address = Url::parse(address).ok()?;
        let (_, rest) = address.path().split_once("/web/")?;
        let at = Self::parse_date(rest.get(..14)?)?;
        Some(Self { address, at })
    }

    /// A time as the archive writes it: 14 digits in UTC.
    pub fn digits(at: Timestamp) -> String {
        at.strftime("%Y%m%d%H%M%S").to_string()
    }

    /// Reads a time of 14 digits.
    pub fn parse_date(digits: &str) -> Option<Timestamp> {
        let is_date = digits.len() == 14 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let date = is_date.then(|| DateTime::strptime("%Y%m%d%H%M%S", digits))?;
        Some(date.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

/// An image that the user named in a list, and whose site said too recently that it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gone {
    /// The original's address, in the form that would be requested: untrusted text.
    pub address: String,
    /// When the site said so last.
    pub since: Timestamp,
    /// When it is requested again.
    pub until: Timestamp,
}

/// What verification established about an image's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The file's length.
    pub bytes: u64,
    /// The BLAKE3 hash of all bytes.
    #[serde(rename = "blake3")]
    pub hash: ContentHash,
    /// The format by signature and structure, not by the address.
    pub format: Format,
    /// Pixels across, as displayed.
    pub width: u32,
    /// Pixels down, as displayed.
    pub height: u32,
    /// The size in the file, where viewers display another: a photo that EXIF metadata turn, a GIF
    /// whose first frame is larger than its screen.
    #[serde(flatten)]
    pub stored: Option<StoredSize>,
    /// What is odd about the file and did not keep it from being accepted.
    #[serde(flatten)]
    pub warning: Option<ImageWarning>,
}

impl Content {
    /// The size in the file, which may not be the displayed one.
    pub fn stored_size(&self) -> StoredSize {
        self.stored.unwrap_or(StoredSize {
            width: self.width,
            height: self.height,
        })
    }
}

/// An image's width and height in its file, before it is turned for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSize {
    /// Pixels across.
    #[serde(rename = "stored_width")]
    pub width: u32,
    /// Pixels down.
    #[serde(rename = "stored_height")]
    pub height: u32,
}

/// What is odd about an image that viewers show all the same. The ledger keeps it as
/// [`ImageWarning::to_stored`] writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum ImageWarning {
    /// A JPEG has bytes between two segments in front of its first scan; decoders skip them.
    BytesBetweenSegments,
    /// The checksum of an ancillary PNG chunk is wrong; decoders drop the chunk.
    BadAncillaryChecksum {
        /// The chunk's name.
        chunk: ChunkName,
    },
}

impl ImageWarning {
    /// Its form in the ledger: the word of the JSON lines and, behind a space, the chunk.
    pub fn to_stored(self) -> String {
        match self {
            Self::BytesBetweenSegments => "bytes_between_segments".to_owned(),
            Self::BadAncillaryChecksum { chunk } => format!("bad_ancillary_checksum {chunk}"),
        }
    }

    /// Reads [`ImageWarning::to_stored`]; `None` for what a later version wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None => (text == "bytes_between_segments").then_some(Self::BytesBetweenSegments),
            Some(("bad_ancillary_checksum", chunk)) => {
                let chunk = ChunkName(chunk.as_bytes().try_into().ok()?);
                Some(Self::BadAncillaryChecksum { chunk })
            }
            Some(_) => None,
        }
    }
}

impl fmt::Display for ImageWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BytesBetweenSegments => {
                f.write_str("there are bytes between its segments, which decoders skip")
            }
            Self::BadAncillaryChecksum { chunk } => write!(
                f,
                "the checksum of its chunk `{chunk}` is wrong, and decoders drop that chunk"
            ),
        }
    }
}

/// The name of a PNG chunk: four ASCII letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkName(pub [u8; 4]);

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl Serialize for ChunkName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChunkName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphabetic());
        let bytes = name.as_bytes().try_into().ok().filter(|_| is_name);
        bytes
            .map(Self)
            .ok_or_else(|| D::Error::custom("not the name of a PNG chunk"))
    }
}

/// Declares [`Format`], the list of its variants and their file extensions from one table. A list
/// written by hand beside the enum could lack a variant and still compile; files of that format
/// would then be neither recognized nor read back from the ledger.
macro_rules! formats {
    ($($(#[doc = $doc:literal])+ $format:ident: $extension:literal $(or $other:literal)*;)+) => {
        /// The image formats a collection takes. What verification knows of each is in `verify/formats/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// JPEG XL, bare or in boxes.
    Jxl: "jxl";
}

impl Format {
    /// The extension that a file of this format is given; also the format's name in the ledger and in JSON.
    pub const fn extension(self) -> &'static str {
        self.extensions()[0]
    }

    /// Its media type (IANA's registry).
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
            Self::Jxl => "image/jxl",
        }
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

/// Why an image could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage it failed in.
    pub stage: Stage,
    /// The address of the last request, or of the thumb when there was none: untrusted text.
    pub address: String,
    /// The error's message: may quote a server, so untrusted text.
    pub cause: String,
    /// How many requests were made.
    pub attempts: u32,
    /// Whether the site says that the image is gone (404, 410, or a page that should lead to it and does not): it is
    /// not requested again for a while.
    pub gone: bool,
}

/// The stages of an image's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Finding the original's address.
    Rewrite,
    /// Requesting and reading it.
    Fetch,
    /// Writing it to a part.
    Write,
    /// Checking its bytes.
    Verify,
    /// Placing it under its name.
    Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_is_read_back_from_the_ledger_and_an_unknown_one_is_not() {
        let chunk = ChunkName(*b"iCCP");
        for warning in [
            ImageWarning::BytesBetweenSegments,
            ImageWarning::BadAncillaryChecksum { chunk },
        ] {
            let stored = warning.to_stored();
            assert_eq!(ImageWarning::from_stored(&stored), Some(warning));
        }
        for text in [
            "",
            "later",
            "bad_ancillary_checksum",
            "bad_ancillary_checksum iCC",
        ] {
            assert_eq!(ImageWarning::from_stored(text), None, "{text}");
        }
    }

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
    fn the_address_of_a_capture_is_read_back_in_every_form_and_from_no_other_host() {
        let url = |text: &str| Url::parse(text).unwrap();
        let at: Timestamp = "2019-05-04T01:02:03Z".parse().unwrap();
        for (base, original) in [
            (
                "https://web.archive.org/",
                "http://gallery.test/a%20b.png?c=d&e",
            ),
            ("http://127.0.0.1:8080/pywb/", "https://gallery.test:8443/"),
        ] {
            let (base, original) = (url(base), url(original));
            let capture = Capture::new(&base, at, &original);
            assert_eq!(
                Capture::parse(&base, &capture.address),
                Some((at, original))
            );
            assert_eq!(
                Capture::from_stored(capture.address.as_str()),
                Some(capture)
            );
        }
        let base = url("https://web.archive.org/");
        let read = |text: &str| {
            Capture::parse(&base, &url(text)).map(|(_, original)| original.to_string())
        };
        for form in ["", "id_", "im_"] {
            let address =
                format!("http://web.archive.org/web/20190504010203{form}/http://a.test/x?y#z");
            assert_eq!(read(&address).as_deref(), Some("http://a.test/x?y"));
        }
        for odd in [
            "https://other.test/web/20190504010203id_/http://a.test/",
            "https://web.archive.org:8443/x/20190504010203id_/http://a.test/",
            "https://web.archive.org/web/2019id_/http://a.test/",
            "https://web.archive.org/web/20190504010203id_x/http://a.test/",
            "https://web.archive.org/web/20191304010203id_/http://a.test/",
            "https://web.archive.org/web/20190504010203id_/file:///etc/passwd",
            "https://web.archive.org/web/20190504010203id_/",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn image_extensions_are_known_in_any_spelling_and_case() {
        for extension in ["png", "JPG", "jpeg", "Gif", "webp", "avif", "jxl"] {
            assert!(Format::is_extension(extension), "{extension}");
        }
        for extension in ["", "html", "jp"] {
            assert!(!Format::is_extension(extension), "{extension}");
        }
    }
}
