//! What can be wrong with an image.

use thiserror::Error;

/// Why the bytes of an image cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Defect {
    /// There are none.
    #[error("the answer is empty")]
    Empty,
    /// A page for people: a login wall, an error told with status 200.
    #[error("an HTML page{} in place of an image", titled(.title.as_deref()))]
    Html {
        /// Its title: untrusted text.
        title: Option<String>,
    },
    /// Something else than an image of a known format.
    #[error("{what} in place of an image")]
    NotAnImage {
        /// What it looks like.
        what: String,
    },
    /// The bytes end before the image does.
    #[error("cut: the bytes end before the image does")]
    Cut,
    /// The sender promised another length.
    #[error("{got} bytes instead of the {want} that were announced")]
    WrongLength {
        /// The length promised.
        want: u64,
        /// The length there is.
        got: u64,
    },
    /// Neither the image nor its sender says where it ends.
    #[error("neither the image nor the server says how long it is, so it may be cut")]
    EndUnknown,
    /// A chunk's bytes are not those that were written.
    #[error("the checksum of chunk `{chunk}` is wrong")]
    BadChecksum {
        /// The chunk's name: four letters.
        chunk: String,
    },
    /// The format's rules are broken.
    #[error("broken image: {what}")]
    BadStructure {
        /// Which rule.
        what: &'static str,
    },
    /// The image says that it has no pixels.
    #[error("broken image: {width} x {height} pixels")]
    NoPixels {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// The image says that it is larger than allowed.
    #[error(
        "{width} x {height} pixels are more than the {limit} allowed: raise the limit with --max-pixels"
    )]
    TooManyPixels {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Pixels allowed.
        limit: u64,
    },
    /// The image is smaller than the site's originals are.
    #[error(
        "{width} x {height} pixels are fewer than the {min_width} x {min_height} of an original: a thumbnail in its place"
    )]
    TooSmall {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The fewest pixels across.
        min_width: u32,
        /// The fewest pixels down.
        min_height: u32,
    },
    /// Its structure is whole, its pixels are not.
    #[error("its pixels cannot be decoded: {reason}")]
    Undecodable {
        /// What the decoder says.
        reason: String,
    },
}

impl Defect {
    /// True when the sender gave something else than the image: the next candidate is worth a try. The
    /// others may have been the transfer, or are the image's own.
    pub fn is_not_an_image(&self) -> bool {
        match self {
            Self::Empty | Self::Html { .. } | Self::NotAnImage { .. } | Self::TooSmall { .. } => {
                true
            }
            Self::Cut
            | Self::WrongLength { .. }
            | Self::EndUnknown
            | Self::BadChecksum { .. }
            | Self::BadStructure { .. }
            | Self::NoPixels { .. }
            | Self::TooManyPixels { .. }
            | Self::Undecodable { .. } => false,
        }
    }
}

fn titled(title: Option<&str>) -> String {
    title
        .map(|title| format!(" titled `{title}`"))
        .unwrap_or_default()
}
