//! Compares an image with what its listing declares of it, while its bytes pass.

use std::fmt::Write as _;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Defect;
use crate::job::Declared;
use crate::outcome::Content;

/// The declared facts of one image, and the hashes that were asked for and no others.
pub(super) struct DeclaredFacts {
    declared: Declared,
    bytes: u64,
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    git_sha1: Option<Sha1>,
}

impl DeclaredFacts {
    pub(super) fn new(declared: &Declared) -> Self {
        Self {
            bytes: 0,
            md5: declared.md5.is_some().then(Md5::default),
            sha1: declared.sha1.is_some().then(Sha1::default),
            sha256: declared.sha256.is_some().then(Sha256::default),
            git_sha1: git_hasher(declared),
            declared: declared.clone(),
        }
    }

    /// The same facts of an image of which no byte has passed.
    pub(super) fn restarted(&self) -> Self {
        Self::new(&self.declared)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// When there are more than declared.
    pub(super) fn update(&mut self, chunk: &[u8]) -> Result<(), Defect> {
        self.bytes += chunk.len() as u64;
        update(self.md5.as_mut(), chunk);
        update(self.sha1.as_mut(), chunk);
        update(self.sha256.as_mut(), chunk);
        update(self.git_sha1.as_mut(), chunk);
        match self.declared.bytes {
            Some(declared) if self.bytes > declared => {
                let found = format!("more than {declared}");
                Err(Defect::not_as_declared(
                    "length in bytes",
                    declared.to_string(),
                    found,
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Compares everything with the image's `content`, now that all bytes have passed.
    ///
    /// # Errors
    ///
    /// The first fact that differs; the length comes first, as it says most about what happened.
    pub(super) fn compare(self, content: &Content) -> Result<(), Defect> {
        if let Some(declared) = self.declared.bytes.filter(|&length| length != self.bytes) {
            return Err(Defect::wrong_length(self.bytes, declared));
        }
        compare_hash("MD5 hash", self.declared.md5, self.md5)?;
        compare_hash("SHA-1 hash", self.declared.sha1, self.sha1)?;
        compare_hash("SHA-256 hash", self.declared.sha256, self.sha256)?;
        compare_hash("Git hash", self.declared.git_sha1, self.git_sha1)?;
        // Some listings count the pixels as displayed, others as they are in the file.
        let stored = content.stored_size();
        let width = (content.width, stored.width);
        let height = (content.height, stored.height);
        compare_side("width in pixels", self.declared.width, width)?;
        compare_side("height in pixels", self.declared.height, height)
    }
}

/// Git hashes the length in front of the bytes.
fn git_hasher(declared: &Declared) -> Option<Sha1> {
    let length = declared.git_sha1.as_ref().and(declared.bytes)?;
    Some(Sha1::new_with_prefix(format!("blob {length}\0")))
}

fn update<D: Digest>(hasher: Option<&mut D>, chunk: &[u8]) {
    if let Some(hasher) = hasher {
        hasher.update(chunk);
    }
}

fn compare_hash<D: Digest>(
    what: &'static str,
    declared: Option<String>,
    hasher: Option<D>,
) -> Result<(), Defect> {
    let (Some(declared), Some(hasher)) = (declared, hasher) else {
        return Ok(());
    };
    let mut found = String::new();
    for byte in hasher.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(found, "{byte:02x}");
    }
    if found.eq_ignore_ascii_case(&declared) {
        return Ok(());
    }
    Err(Defect::not_as_declared(what, declared, found))
}

fn compare_side(
    what: &'static str,
    declared: Option<u32>,
    (displayed, stored): (u32, u32),
) -> Result<(), Defect> {
    match declared {
        Some(declared) if declared != displayed && declared != stored => Err(
            Defect::not_as_declared(what, declared.to_string(), displayed.to_string()),
        ),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::outcome::Format;
    use crate::part::ByteObserver as _;
    use crate::verify::testing::{HEIGHT, WIDTH, sample};
    use crate::verify::{Inspector, Limits};

    fn inspect(bytes: &[u8], declared: &Declared) -> Result<Content, Defect> {
        let mut inspector = Inspector::comparing(Limits::default(), Some(declared));
        // What came before, of another answer, is no part of it.
        inspector.update(b"<html>");
        inspector.reset();
        for piece in bytes.chunks(37) {
            inspector.update(piece);
        }
        inspector.finish(bytes.len() as u64, None)
    }

    fn hex(hash: impl AsRef<[u8]>) -> String {
        HEXLOWER.encode(hash.as_ref())
    }

    fn right(bytes: &[u8]) -> Declared {
        Declared {
            md5: Some(hex(Md5::digest(bytes))),
            sha1: Some(hex(Sha1::digest(bytes))),
            sha256: Some(hex(Sha256::digest(bytes))),
            git_sha1: Some(hex(Sha1::new_with_prefix(format!(
                "blob {}\0",
                bytes.len()
            ))
            .chain_update(bytes)
            .finalize())),
            bytes: Some(bytes.len() as u64),
            width: Some(WIDTH),
            height: Some(HEIGHT),
        }
    }

    #[test]
    fn hashes_are_those_that_every_other_program_prints() {
        let facts = DeclaredFacts::new(&right(b""));
        assert_eq!(
            facts.declared.md5.as_deref(),
            Some("d41d8cd98f00b204e9800998ecf8427e")
        );
        assert_eq!(
            facts.declared.sha1.as_deref(),
            Some("da39a3ee5e6b4b0d3255bfef95601890afd80709")
        );
        // `git hash-object /dev/null` prints it.
        assert_eq!(
            facts.declared.git_sha1.as_deref(),
            Some("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
        );
    }

    #[test]
    fn an_image_that_is_as_declared_is_accepted() {
        let png = sample(Format::Png);
        assert!(inspect(&png, &right(&png)).is_ok());
        let mut upper = right(&png);
        upper.md5 = upper.md5.map(|hash| hash.to_uppercase());
        assert!(inspect(&png, &upper).is_ok());
    }

    #[test]
    fn an_image_that_differs_from_its_declared_md5_sha_length_or_size_is_rejected_with_both_values()
    {
        let png = sample(Format::Png);
        let (right, length) = (right(&png), png.len());
        let zeros = |digits: usize| Some("0".repeat(digits));
        let declare = |change: fn(&mut Declared)| {
            let mut declared = right.clone();
            change(&mut declared);
            inspect(&png, &declared).unwrap_err().to_string()
        };
        let md5 = Declared {
            md5: zeros(32),
            ..right.clone()
        };
        let sha1 = Declared {
            sha1: zeros(40),
            ..right.clone()
        };
        let sha256 = Declared {
            sha256: zeros(64),
            ..right.clone()
        };
        let git_sha1 = Declared {
            git_sha1: zeros(40),
            ..right.clone()
        };
        for (declared, what, found) in [
            (&md5, "MD5", &right.md5),
            (&sha1, "SHA-1", &right.sha1),
            (&sha256, "SHA-256", &right.sha256),
            (&git_sha1, "Git", &right.git_sha1),
        ] {
            let message = inspect(&png, declared).unwrap_err().to_string();
            let found = found.as_deref().unwrap();
            assert!(
                message.starts_with(&format!("its {what} hash is {found}, not 0000")),
                "{message}"
            );
        }
        assert_eq!(
            declare(|declared| declared.width = Some(1920)),
            format!("its width in pixels is {WIDTH}, not 1920 as the listing declares")
        );
        assert_eq!(
            declare(|declared| declared.height = Some(1)),
            format!("its height in pixels is {HEIGHT}, not 1 as the listing declares")
        );
        assert_eq!(
            declare(|declared| declared.bytes = Some(1_000_000)),
            format!("its length in bytes is {length}, not 1000000 as the listing declares")
        );
        assert_eq!(
            declare(|declared| declared.bytes = Some(20)),
            "its length in bytes is more than 20, not 20 as the listing declares"
        );
    }

    #[test]
    fn more_bytes_than_declared_are_rejected_before_they_have_all_arrived() {
        let png = sample(Format::Png);
        let declared = Declared {
            bytes: Some(20),
            ..Declared::default()
        };
        let mut inspector = Inspector::comparing(Limits::default(), Some(&declared));
        inspector.update(&png[..20]);
        assert_eq!(inspector.defect(), None);
        inspector.update(&png[20..21]);
        assert!(inspector.defect().is_some_and(Defect::is_not_as_declared));
    }
}
