//! Why an image is rejected.

use thiserror::Error;

/// Why the bytes of an image are not kept. A value, not an error: one bad image never ends a run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Defect {
    /// There are no bytes.
    #[error("the answer is empty")]
    Empty,
    /// A page for people: a login wall, an error page with status 200.
    #[error("an HTML page{} instead of an image", titled(.title.as_deref()))]
    Html {
        /// Its title: untrusted text.
        title: Option<String>,
    },
    /// No image of a supported format.
    #[error("not a supported image: {what}")]
    NotAnImage {
        /// What it looks like.
        what: String,
    },
    /// The bytes end before the image does.
    #[error("truncated: the image is cut off before its end")]
    Truncated,
    /// The server announced another length, or the ledger holds another.
    #[error("{got} bytes instead of the announced {want}")]
    WrongLength {
        /// The announced length.
        want: u64,
        /// The length received.
        got: u64,
    },
    /// Neither the image nor the server says where the image ends.
    #[error("neither the image nor the server says how long it is, so it may be truncated")]
    EndUnknown,
    /// A chunk does not match its own checksum.
    #[error("the checksum of chunk `{chunk}` is wrong")]
    BadChecksum {
        /// The chunk's name: four letters.
        chunk: String,
    },
    /// The format's rules are broken.
    #[error("broken image: {what}")]
    BadStructure {
        /// The rule, as a noun phrase: `a GIF without an image`.
        what: &'static str,
    },
    /// The image declares no pixels.
    #[error("broken image: {width} x {height} pixels")]
    NoPixels {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// The image declares more pixels than allowed.
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
    /// The image is smaller than the site's originals are, or than the user wants.
    #[error("{width} x {height} pixels are too few: {} wanted", too_small((*width, *height), (*min_width, *min_height)))]
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
    /// It is another image than the listing declares, or arrived damaged.
    #[error("its {what} is {}, not {} as the listing declares", .values.found, .values.declared)]
    NotAsDeclared {
        /// What differs: `MD5 hash`, `width in pixels`.
        what: &'static str,
        /// As the listing has it, and as the bytes have it. Boxed, for each worker's task has room for a defect.
        values: Box<DeclaredAndFound>,
    },
    /// Its structure is valid, its pixels are not.
    #[error("the pixels cannot be decoded: {reason}")]
    Undecodable {
        /// What the decoder says.
        reason: String,
    },
}

/// A value that a listing declares, and the one that the bytes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredAndFound {
    /// As the listing has it.
    pub declared: String,
    /// As the bytes have it.
    pub found: String,
}

impl Defect {
    /// Its length is not the one that the listing declares; both in bytes.
    pub fn wrong_length(found: u64, declared: u64) -> Self {
        Self::not_as_declared("length in bytes", declared.to_string(), found.to_string())
    }

    /// It is not as the listing declares.
    pub(super) fn not_as_declared(
        what: &'static str,
        declared: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let values = Box::new(DeclaredAndFound {
            declared: declared.into(),
            found: found.into(),
        });
        Self::NotAsDeclared { what, values }
    }

    /// Whether the image is not the declared one, which the next candidate may be. Where none is, the transfer may be
    /// to blame, so that another attempt is worth it.
    pub fn is_not_as_declared(&self) -> bool {
        matches!(self, Self::NotAsDeclared { .. })
    }

    /// True when the server sent something else than the image, so that the next candidate is worth
    /// a try. Every other defect may come from the transfer, or is in the image itself.
    pub fn is_not_an_image(&self) -> bool {
        match self {
            Self::Empty | Self::Html { .. } | Self::NotAnImage { .. } | Self::TooSmall { .. } => {
                true
            }
            Self::Truncated
            | Self::WrongLength { .. }
            | Self::EndUnknown
            | Self::BadChecksum { .. }
            | Self::BadStructure { .. }
            | Self::NoPixels { .. }
            | Self::TooManyPixels { .. }
            | Self::NotAsDeclared { .. }
            | Self::Undecodable { .. } => false,
        }
    }
}

/// What is too small, and how large it must be at least.
fn too_small((width, height): (u32, u32), (min_width, min_height): (u32, u32)) -> String {
    let wide = (width < min_width).then(|| format!("a width of {min_width}"));
    let high = (height < min_height).then(|| format!("a height of {min_height}"));
    match (wide, high) {
        (Some(wide), Some(high)) => format!("at least {wide} and {high} are"),
        (Some(one), None) | (None, Some(one)) => format!("at least {one} is"),
        (None, None) => "more are".to_owned(),
    }
}

fn titled(title: Option<&str>) -> String {
    title
        .map(|title| format!(" titled `{title}`"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_side_that_is_too_small_is_named() {
        for (minimum, wanted) in [
            ((51, 0), "at least a width of 51 is wanted"),
            ((0, 41), "at least a height of 41 is wanted"),
            ((50, 41), "at least a height of 41 is wanted"),
            (
                (51, 41),
                "at least a width of 51 and a height of 41 are wanted",
            ),
        ] {
            let defect = Defect::TooSmall {
                width: 50,
                height: 40,
                min_width: minimum.0,
                min_height: minimum.1,
            };
            let message = format!("50 x 40 pixels are too few: {wanted}");
            assert_eq!(defect.to_string(), message);
        }
    }
}
