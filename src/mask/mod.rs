//! Secrets in texts: found however they are spelt, with `***` put in their place.
//!
//! Texts are masked where they leave the program (events, the ledger, copies of pages, fixtures) and never before:
//! what a site wrote into an address must be requested as it is.

mod spelling;
#[cfg(test)]
mod tests;
mod user_info;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use memchr::memmem::Finder;
use url::Url;

use spelling::Spelling;

pub use user_info::hide_user_info;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// How often a text may be escaped: `%252541` is escaped three times.
const MAX_ESCAPES: usize = 4;

/// The shortest text that is looked for, in bytes: a shorter one stands by chance in many others.
const MIN_BYTES: usize = 4;

/// The same for a text in Base64: every page has long words that mean nothing.
const MIN_BASE64: usize = 6;

/// The secrets that no output may show. Cheap to clone.
#[derive(Clone, Default)]
pub struct Masks(Arc<[Finder<'static>]>);

impl Masks {
    /// The masks of these secrets. One of fewer than four bytes is not looked for.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter();
        let secrets = secrets.filter(|secret| secret.len() >= MIN_BYTES);
        let wanted: BTreeSet<_> = secrets.flat_map(wanted).collect();
        let finders = wanted.iter().map(|text| Finder::new(text).into_owned());
        Self(finders.collect())
    }

    /// These masks and those of further secrets.
    #[must_use]
    pub fn and<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let further = Self::new(secrets);
        Self(self.0.iter().chain(&*further.0).cloned().collect())
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `text` holds a secret.
    pub fn matches(&self, text: &str) -> bool {
        !self.places(text).is_empty()
    }

    /// `text` without the secrets, in time proportional to its length.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let places = self.places(text);
        if places.is_empty() {
            return text.into();
        }
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for place in places {
            masked += &text[end..place.start];
            masked += MASK;
            end = place.end;
        }
        masked += &text[end..];
        masked.into()
    }

    /// An address without the secrets, in whatever part of it they stand.
    pub fn apply_url<'a>(&self, address: &'a Url) -> Cow<'a, Url> {
        match self.apply(address.as_str()) {
            Cow::Borrowed(_) => Cow::Borrowed(address),
            // A mask can stand wherever a secret can, but for a number: a port or a part of an IP address.
            Cow::Owned(masked) => {
                Cow::Owned(Url::parse(&masked).unwrap_or_else(|_| self.without_host(address)))
            }
        }
    }

    /// Takes the secrets out of an address that others share: it is shared on if there are none.
    pub fn apply_shared(&self, address: &Arc<Url>) -> Arc<Url> {
        match self.apply_url(address) {
            Cow::Borrowed(_) => Arc::clone(address),
            Cow::Owned(masked) => Arc::new(masked),
        }
    }

    /// What is left of an address whose host or port holds a secret: addresses that differ elsewhere stay different.
    fn without_host(&self, address: &Url) -> Url {
        let mut masked = Url::parse("https://masked.invalid").expect("a constant that parses");
        masked.set_path(&self.apply(address.path()));
        masked.set_query(address.query().map(|query| self.apply(query)).as_deref());
        masked
    }

    /// Takes the secrets out of a text.
    pub fn mask(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.apply(text) {
            *text = masked;
        }
    }

    /// Takes the secrets out of an address.
    pub fn mask_url(&self, address: &mut Url) {
        if let Cow::Owned(masked) = self.apply_url(address) {
            *address = masked;
        }
    }

    /// Where the secrets stand in `text`, in their order; none touches another.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        if self.is_empty() {
            return places;
        }
        let mut spelling = Spelling::written(text);
        for _ in 0..=MAX_ESCAPES {
            for finder in &*self.0 {
                let length = finder.needle().len();
                let found = finder.find_iter(spelling.bytes());
                places.extend(found.map(|at| spelling.written_at(at..at + length)));
            }
            match spelling.unescaped() {
                Some(unescaped) => spelling = unescaped,
                None => break,
            }
        }
        for place in &mut places {
            // A secret that looks like an escape may end within a character.
            while !text.is_char_boundary(place.start) {
                place.start -= 1;
            }
            while !text.is_char_boundary(place.end) {
                place.end += 1;
            }
        }
        places.sort_by_key(|place| place.start);
        places.dedup_by(|next, place| {
            let touches = next.start <= place.end;
            if touches {
                place.end = place.end.max(next.end);
            }
            touches
        });
        places
    }
}

impl fmt::Debug for Masks {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").finish_non_exhaustive()
    }
}

/// The texts by which a secret is found once nothing is escaped: as it is, as hosts and forms change it, as it is where
/// a part of it looks like an escape itself, and in Base64.
fn wanted(secret: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let plain = [
        secret.to_owned(),
        secret.to_ascii_lowercase(),
        secret.replace(' ', "+"),
        json.trim_matches('"').to_owned(),
    ];
    let mut wanted: Vec<Vec<u8>> = Vec::new();
    for text in &plain {
        let mut spelling = Spelling::written(text);
        wanted.push(spelling.bytes().to_vec());
        for _ in 0..MAX_ESCAPES {
            let Some(unescaped) = spelling.unescaped() else {
                break;
            };
            spelling = unescaped;
            wanted.push(spelling.bytes().to_vec());
        }
    }
    wanted.retain(|text| text.len() >= MIN_BYTES);
    wanted.extend(in_base64(secret.as_bytes()));
    wanted
}

/// What of `secret` is the same in Base64 whatever stands around it, for each of the three ways in which it can be
/// aligned, in both alphabets (RFC 4648).
fn in_base64(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let aligned = (0..3).map(|before| [&b"\0\0"[..before], secret].concat());
    let texts = aligned.flat_map(|bytes| {
        // A character has six bits: the first ones and the last one have some of the neighbours'.
        let before = (bytes.len() - secret.len()) * 8;
        let range = before.div_ceil(6)..bytes.len() * 8 / 6;
        [BASE64_NOPAD, BASE64URL_NOPAD]
            .map(|alphabet| alphabet.encode(&bytes).as_bytes()[range.clone()].to_vec())
    });
    texts.filter(|text| text.len() >= MIN_BASE64)
}
