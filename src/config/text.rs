//! Text files that people write: read whole, bounded, and in the one encoding that is taken.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use thiserror::Error;

/// The longest file that is read: a hundred times what anybody writes by hand.
const LONGEST: u64 = 1 << 20;

/// Why a text file cannot be read.
#[derive(Debug, Error)]
pub enum TextError {
    /// What the system said.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no text that somebody wrote.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// It is in an encoding that is known.
    #[error("it is {encoding}: save it as UTF-8")]
    Encoded {
        /// The encoding.
        encoding: &'static str,
    },
    /// It is in one that is not.
    #[error("line {line}, column {column}: what stands there is not UTF-8: save the file as UTF-8")]
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
/// When it cannot be read, is absurdly long, or is not UTF-8: the encoding is named, or the place.
pub fn read(path: &Path) -> Result<String, TextError> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(TextError::TooLong);
    }
    decoded(bytes)
}

fn decoded(bytes: Vec<u8>) -> Result<String, TextError> {
    if let Some(encoding) = wide(&bytes) {
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

/// Encodings whose characters are wider than a byte, by their mark or by the zeros that a first letter leaves.
fn wide(bytes: &[u8]) -> Option<&'static str> {
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
    fn an_encoding_that_is_not_taken_is_named_or_its_place_is() {
        let utf16 = |endian: fn(u16) -> [u8; 2], mark: &str| {
            format!("{mark}jobs = 4\n")
                .encode_utf16()
                .flat_map(endian)
                .collect::<Vec<u8>>()
        };
        let cases = [
            (
                utf16(u16::to_le_bytes, "\u{feff}"),
                "it is UTF-16: save it as UTF-8",
            ),
            (utf16(u16::to_be_bytes, "\u{feff}"), "it is UTF-16"),
            (utf16(u16::to_le_bytes, ""), "it is UTF-16"),
            (utf16(u16::to_be_bytes, ""), "it is UTF-16"),
            (b"\xff\xfe\0\0j\0\0\0".to_vec(), "it is UTF-32"),
            (
                "jobs = 4\n# \u{e9}\u{e9}\n# "
                    .bytes()
                    .chain(*b"caf\xe9")
                    .collect(),
                "line 3, column 6: ",
            ),
        ];
        for (bytes, words) in cases {
            let told = decoded(bytes).unwrap_err().to_string();
            assert!(told.starts_with(words), "{told}");
        }
        assert_eq!(
            decoded(b"\xef\xbb\xbfjobs = 4\r\n".to_vec()).unwrap(),
            "\u{feff}jobs = 4\r\n"
        );
        assert_eq!(decoded(Vec::new()).unwrap(), "");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(TextError::TooLong)
        ));
        assert!(matches!(
            read(Path::new("/nonexistent")),
            Err(TextError::Io(_))
        ));
    }
}
