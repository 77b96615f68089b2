//! Secrets that go along with requests.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a query as it is (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A value that no output may show: the type has neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The shortest one, in bytes. A shorter text stands by chance in many others, which would all be masked.
    pub const MIN_BYTES: usize = 4;

    /// Takes `text` as a secret, without the blanks and the line break around it; `None` if too little is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() >= Self::MIN_BYTES).then(|| Self(text.to_owned()))
    }

    /// The value, for requests and for [`Masks`](crate::mask::Masks) alone.
    pub(in crate::fetch) fn expose(&self) -> &str {
        &self.0
    }
}

/// The secrets of a site by their names in its definition; one that is not there is left out of requests.
pub type Secrets = BTreeMap<String, Secret>;

/// Percent-encodes a name or a value of a query, `%20` for a blank.
pub(super) fn encode_query(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_without_the_blanks_around_it_and_not_if_it_is_short() {
        let exposed = |text| Secret::new(text).map(|secret| secret.expose().to_owned());
        assert_eq!(exposed(" a/b c\n").as_deref(), Some("a/b c"));
        assert_eq!(exposed("abc\n"), None);
    }
}
