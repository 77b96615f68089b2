//! Reads text files that users write (configuration, site definitions): bounded in size, UTF-8 only.

use std::io::{self, Read as _};
use std::path::Path;

use thiserror::Error;

use crate::user_path;

/// The largest file accepted, in bytes: twenty times what anybody writes by hand.
const MAX_BYTES: u64 = 1 << 17;

/// Why a text file cannot be read.
#[derive(Debug, Error)]
pub enum TextError {
    /// An error of the system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Too large for a text file written by hand.
    #[error("the file is larger than {MAX_BYTES} bytes")]
    TooLong,
    /// Another encoding, which was recognised.
    #[error("the file is {encoding}; save it as UTF-8")]
    Encoded {
        /// Its name, such as `UTF-16`.
        encoding: &'static str,
    },
    /// Another encoding, which was not recognised.
    #[error("line {line}, column {column}: invalid UTF-8; save the file as UTF-8")]
    NotText {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
}

/// Reads the text file at `path`.
///
/// # Errors
///
/// When it cannot be read, is larger than 1 MiB, or is not UTF-8 (with the encoding's name, or the place).
pub fn read(path: &Path) -> Result<String, TextError> {
    let mut bytes = Vec::new();
    user_path::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(TextError::TooLong);
    }
    decode(bytes)
}

fn decode(bytes: Vec<u8>) -> Result<String, TextError> {
    if let Some(encoding) = detect_wide_encoding(&bytes) {
        return Err(TextError::Encoded { encoding });
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let last = before.rsplit('\n').next().unwrap_or_default();
        TextError::NotText {
            line: before.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        }
    })
}

/// Detects UTF-16 and UTF-32 by their byte order mark, or by the zero bytes around an ASCII first letter.
fn detect_wide_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..] => Some("UTF-16"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_in_utf16_is_named_and_invalid_utf8_is_located() {
        let utf16 = |endian: fn(u16) -> [u8; 2], mark: &str| {
            format!("{mark}jobs = 4\n")
                .encode_utf16()
                .flat_map(endian)
                .collect::<Vec<u8>>()
        };
        let cases = [
            (
                utf16(u16::to_le_bytes, "\u{feff}"),
                "the file is UTF-16; save it as UTF-8",
            ),
            (utf16(u16::to_be_bytes, "\u{feff}"), "the file is UTF-16"),
            (utf16(u16::to_le_bytes, ""), "the file is UTF-16"),
            (utf16(u16::to_be_bytes, ""), "the file is UTF-16"),
            (b"\xff\xfe\0\0j\0\0\0".to_vec(), "the file is UTF-32"),
            (
                "jobs = 4\n# \u{e9}\u{e9}\n# "
                    .bytes()
                    .chain(*b"caf\xe9")
                    .collect(),
                "line 3, column 6: ",
            ),
        ];
        for (bytes, expected) in cases {
            let message = decode(bytes).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        assert_eq!(
            decode(b"\xef\xbb\xbfjobs = 4\r\n".to_vec()).unwrap(),
            "\u{feff}jobs = 4\r\n"
        );
        assert_eq!(decode(Vec::new()).unwrap(), "");
    }

    #[test]
    fn config_file_that_never_ends_is_refused() {
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(read(large.path()), Err(TextError::TooLong)));
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(TextError::Io(_))
        ));
        assert_eq!(read(Path::new("/dev/null")).unwrap(), "");
        assert!(matches!(
            read(Path::new("/nonexistent")),
            Err(TextError::Io(_))
        ));
    }
}
