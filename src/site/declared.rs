//! What a listing declares of an image's bytes: hashes in the forms that sites write them, and numbers.

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};

use super::fields::FieldRef;
use super::template::Template;
use crate::job::{Declared, ImageRef};

/// The `verify` table of a definition.
#[derive(Debug, Default)]
pub(super) struct DeclaredSources {
    pub(super) md5: Option<DeclaredSource>,
    pub(super) sha1: Option<DeclaredSource>,
    pub(super) sha256: Option<DeclaredSource>,
    pub(super) git_sha1: Option<DeclaredSource>,
    pub(super) bytes: Option<DeclaredSource>,
    pub(super) width: Option<DeclaredSource>,
    pub(super) height: Option<DeclaredSource>,
}

/// Where a declared fact is.
#[derive(Debug)]
pub(super) struct DeclaredSource {
    pub(super) template: Template<FieldRef>,
    /// As the definition writes it: `md5 = "{md5}" (md5 = "/md5")`.
    pub(super) written: String,
}

/// A text in the place of a hash or a number that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableDeclaration {
    /// Where it is, as the definition writes it.
    pub declared: String,
    /// The text: untrusted.
    pub value: String,
}

/// What listings write for what they do not know, in lower case.
const UNKNOWN: [&str; 10] = [
    "", "0", "-", "?", "null", "nil", "none", "n/a", "unknown", "false",
];

/// Characters of a text that a message shows.
const SHOWN_CHARACTERS: usize = 200;

impl DeclaredSources {
    /// What the item declares. A text that is no hash or number declares nothing.
    pub(super) fn declared(&self, image: &ImageRef) -> Option<Box<Declared>> {
        let Self {
            md5,
            sha1,
            sha256,
            git_sha1,
            bytes,
            width,
            height,
        } = self;
        let text = |source: &Option<DeclaredSource>| source.as_ref()?.text(image);
        let declared = Declared {
            md5: text(md5).and_then(|text| hash(&text, 16)),
            sha1: text(sha1).and_then(|text| hash(&text, 20)),
            sha256: text(sha256).and_then(|text| hash(&text, 32)),
            git_sha1: text(git_sha1).and_then(|text| hash(&text, 20)),
            bytes: text(bytes).and_then(|text| number(&text)),
            width: text(width).and_then(|text| pixels(&text)),
            height: text(height).and_then(|text| pixels(&text)),
        };
        (!declared.is_empty()).then(|| Box::new(declared))
    }

    /// The first text that declares nothing and is not what listings write for what they do not know.
    pub(super) fn unusable(&self, image: &ImageRef) -> Option<UnusableDeclaration> {
        let Self {
            md5,
            sha1,
            sha256,
            git_sha1,
            bytes,
            width,
            height,
        } = self;
        let is_hash = |length| move |text: &str| hash(text, length).is_some();
        let is_number = |text: &str| number(text).is_some();
        let is_size = |text: &str| pixels(text).is_some();
        let unusable = |source: &Option<DeclaredSource>, is_usable: &dyn Fn(&str) -> bool| {
            source.as_ref()?.unusable(image, is_usable)
        };
        unusable(md5, &is_hash(16))
            .or_else(|| unusable(sha1, &is_hash(20)))
            .or_else(|| unusable(sha256, &is_hash(32)))
            .or_else(|| unusable(git_sha1, &is_hash(20)))
            .or_else(|| unusable(bytes, &is_number))
            .or_else(|| unusable(width, &is_size))
            .or_else(|| unusable(height, &is_size))
    }
}

impl DeclaredSource {
    fn text(&self, image: &ImageRef) -> Option<String> {
        self.template.fill(|field| field.text(image))
    }

    fn unusable(
        &self,
        image: &ImageRef,
        is_usable: &dyn Fn(&str) -> bool,
    ) -> Option<UnusableDeclaration> {
        let text = self.text(image)?;
        let is_unknown = UNKNOWN.contains(&&*text.trim().to_ascii_lowercase());
        (!is_unknown && !is_usable(&text)).then(|| UnusableDeclaration {
            declared: self.written.clone(),
            value: text.chars().take(SHOWN_CHARACTERS).collect(),
        })
    }
}

/// The lower-case hexadecimal digits of a hash of `length` bytes, written in hexadecimal, base64 of either alphabet, or
/// base32 (RFC 4648, sections 4 to 8). No two of these forms of one hash have the same length.
fn hash(text: &str, length: usize) -> Option<String> {
    let text = text.trim();
    let digits = text.trim_end_matches('=').as_bytes();
    let forms = [
        HEXLOWER_PERMISSIVE,
        BASE32_NOPAD,
        BASE64_NOPAD,
        BASE64URL_NOPAD,
    ];
    let mut decoded = forms.iter().filter_map(|form| {
        let has_length = form.encode_len(length) == digits.len();
        has_length.then(|| form.decode(digits).ok()).flatten()
    });
    decoded.next().map(|bytes| HEXLOWER.encode(&bytes))
}

/// A whole number above 0, also one written as `12.0`.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok().filter(|&number| number > 0)
}

fn pixels(text: &str) -> Option<u32> {
    number(text).and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_hash_is_read_in_hex_base64_and_base32() {
        // Of no bytes, as RFC 1321 and FIPS 180 give them.
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let cases = [
            (md5, 16, md5),
            (" D41D8CD98F00B204E9800998ECF8427E\n", 16, md5),
            ("1B2M2Y8AsgTpgAmY7PhCfg==", 16, md5),
            (sha1, 20, sha1),
            ("3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ", 20, sha1),
            ("2jmj7l5rSw0yVb/vlWAYkK/YBwk=", 20, sha1),
            ("2jmj7l5rSw0yVb_vlWAYkK_YBwk", 20, sha1),
            (sha256, 32, sha256),
            ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 32, sha256),
        ];
        for (text, length, expected) in cases {
            assert_eq!(hash(text, length).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "null", &md5[1..], &format!("{}g", &md5[1..]), sha1] {
            assert_eq!(hash(bad, 16), None, "{bad}");
        }
    }

    #[test]
    fn a_declared_number_is_whole_and_above_0() {
        for (text, expected) in [("3178", 3178), (" 24 ", 24), ("88.0", 88)] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for bad in [
            "0",
            "",
            "-1",
            "1.5",
            "1,024",
            "1920x1080",
            "99999999999999999999",
        ] {
            assert_eq!(number(bad), None, "{bad}");
        }
        assert_eq!(pixels("4294967296"), None);
    }
}
