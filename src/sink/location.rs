//! Where a collection is: a folder, or a URL.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a collection is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder on this machine.
    Folder(PathBuf),
    /// Anything written as `scheme://...`. The text is kept as written: `Url` would decode `%20`, resolve `..` and cut
    /// at `#` and `?`, all of which may be part of an object's key.
    Url {
        /// In lower case.
        scheme: String,
        /// The whole text.
        text: String,
        /// The folder on this machine for all that is not an image.
        state_dir: PathBuf,
    },
}

impl Location {
    /// Reads what a user wrote. Only `scheme://` makes a URL: `C:\pictures`, `a:b` and `./s3://x` are paths. What is not an
    /// image of a URL's collection is kept in `state_dir`, which is given its scheme and its text.
    pub fn parse(text: &OsStr, state_dir: impl FnOnce(&str, &str) -> PathBuf) -> Self {
        match text.to_str().and_then(scheme_of) {
            Some((scheme, text)) => {
                let scheme = scheme.to_ascii_lowercase();
                Self::Url {
                    state_dir: state_dir(&scheme, text),
                    scheme,
                    text: text.to_owned(),
                }
            }
            None => Self::Folder(text.into()),
        }
    }

    /// The place of this name inside this one.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Folder(path) => Self::Folder(path.join(name)),
            Self::Url {
                scheme,
                text,
                state_dir,
            } => Self::Url {
                scheme: scheme.clone(),
                text: format!("{}/{name}", text.strip_suffix('/').unwrap_or(text)),
                state_dir: state_dir.join(name),
            },
        }
    }
}

impl From<&Path> for Location {
    fn from(folder: &Path) -> Self {
        Self::Folder(folder.to_owned())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Url { text, .. } => f.write_str(text),
        }
    }
}

/// The scheme of a URL, with the whole text (RFC 3986, 3.1). One letter alone is a Windows drive.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, _rest) = text.split_once("://")?;
    let valid = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then_some((scheme, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        Location::parse(OsStr::new(text), |_, _| PathBuf::from("state"))
    }

    #[test]
    fn only_a_scheme_with_two_slashes_makes_a_url() {
        for path in [
            "wallpapers",
            "/srv/wallpapers",
            r"C:\pictures",
            "C:/pictures",
            "C://pictures",
            "a:b",
            "s3:bucket",
            "./s3://bucket",
            "://bucket",
            "3s://bucket",
            "sub dir://x",
            "",
        ] {
            assert_eq!(parse(path), Location::Folder(path.into()), "{path}");
        }
        for (url, scheme) in [
            ("s3://bucket/prefix", "s3"),
            ("AZ://x", "az"),
            ("a+b://", "a+b"),
        ] {
            let Location::Url { scheme: found, .. } = parse(url) else {
                panic!("{url}")
            };
            assert_eq!(found, scheme);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_utf_8_stays_a_path() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = OsStr::from_bytes(b"s3://\xff");
        assert_eq!(
            Location::parse(path, |_, _| PathBuf::new()),
            Location::Folder(path.into())
        );
    }

    #[test]
    fn a_url_is_shown_as_it_was_written() {
        for text in ["s3://bucket/a%20b/../c#d?e", "S3://Bucket"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("wall papers").to_string(), "wall papers");
    }

    #[test]
    fn one_collection_of_several_is_inside_the_given_place() {
        assert_eq!(parse("pictures").join("demo"), parse("pictures/demo"));
        for text in ["s3://bucket/x", "s3://bucket/x/"] {
            let joined = parse(text).join("demo");
            assert_eq!(joined.to_string(), "s3://bucket/x/demo");
            assert!(
                matches!(&joined, Location::Url { state_dir, .. } if state_dir == Path::new("state/demo"))
            );
        }
    }
}
