//! What makes two images the same one: an id of the site's, or the first candidate's address without the parameters
//! that change from answer to answer.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use toml::Spanned;
use url::Url;

use super::diagnostic::Diagnostic;
use super::fields::FieldRef;
use super::name::{char_boundary_before, decoded};
use super::template::Template;
use crate::job::{Candidate, ImageKey, ImageRef, SiteId};

/// The longest id in bytes; of a longer one the end is replaced by a hash.
const MAX_ID_BYTES: usize = 256;

/// Digits of the hash at the end of a long id.
const HASH_DIGITS: usize = 32;

/// What a key cannot hold: it is one word, and shown on terminals. The percent sign, so that no two ids become one.
const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// How a site's images are told apart.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) key: Option<Template<FieldRef>>,
    pub(super) ignored: Vec<IgnoredParameter>,
}

/// A parameter of a query that is no part of an address's identity.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IgnoredParameter {
    Named(String),
    /// Every one that begins so: `utm_*`.
    Beginning(String),
}

impl IgnoredParameter {
    pub(super) fn compile(written: &Spanned<String>) -> Result<Self, Diagnostic> {
        let text = written.get_ref();
        let parameter = match text.strip_suffix('*') {
            Some(beginning) => Self::Beginning(beginning.to_owned()),
            None => Self::Named(text.clone()),
        };
        let (Self::Named(name) | Self::Beginning(name)) = &parameter;
        if name.is_empty() || name.contains(['*', '&', '=']) {
            let help = "write its name, as `ixid`, or `utm_*` for all that begin so";
            return Err(Diagnostic::at(written, "not a parameter of a query").help(help));
        }
        Ok(parameter)
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Named(known) => known == name,
            Self::Beginning(beginning) => name.starts_with(beginning.as_str()),
        }
    }
}

impl Identity {
    /// The key of an image whose first candidate is `first`.
    pub(super) fn key(&self, site: &SiteId, image: &ImageRef, first: &Candidate) -> ImageKey {
        match self.id(image) {
            Some(id) => ImageKey::with_id(site, &id),
            None => ImageKey::new(site, &self.lasting(first.url())),
        }
    }

    /// Whether the definition names an id, and gives the image none.
    pub(super) fn lacks_id(&self, image: &ImageRef) -> bool {
        self.key.is_some() && self.written_id(image).is_none()
    }

    /// The site's id of the image as its listing writes it.
    fn written_id(&self, image: &ImageRef) -> Option<String> {
        // An address that the user gave has no record.
        let template = self.key.as_ref().filter(|_| !image.is_original)?;
        let id = template.fill(|field| field.text(image))?;
        (!id.trim().is_empty()).then_some(id)
    }

    /// The site's id of the image; `None` where the definition names none, or the item lacks it.
    pub(super) fn id(&self, image: &ImageRef) -> Option<String> {
        let id = self.written_id(image)?;
        let id = id.trim();
        let mut safe = utf8_percent_encode(id, UNSAFE).to_string();
        if safe.len() > MAX_ID_BYTES {
            let hash = blake3::hash(id.as_bytes()).to_hex();
            safe.truncate(char_boundary_before(&safe, MAX_ID_BYTES - HASH_DIGITS - 1));
            safe = format!("{safe}-{}", &hash[..HASH_DIGITS]);
        }
        Some(safe)
    }

    /// The address without the parameters that are no part of its identity.
    pub(super) fn lasting<'a>(&self, address: &'a Url) -> Cow<'a, Url> {
        let Some(query) = address.query().filter(|_| !self.ignored.is_empty()) else {
            return Cow::Borrowed(address);
        };
        let is_kept = |parameter: &&str| {
            let name = parameter.split('=').next().unwrap_or_default();
            let name = decoded(name);
            !self.ignored.iter().any(|ignored| ignored.matches(&name))
        };
        let kept = query
            .split('&')
            .filter(is_kept)
            .collect::<Vec<_>>()
            .join("&");
        if kept.len() == query.len() {
            return Cow::Borrowed(address);
        }
        let mut lasting = address.clone();
        lasting.set_query(Some(kept.as_str()).filter(|kept| !kept.is_empty()));
        Cow::Owned(lasting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignoring(parameters: &[&str]) -> Identity {
        let compile = |written: &&str| {
            IgnoredParameter::compile(&Spanned::new(0..0, (*written).to_owned()))
                .ok()
                .unwrap()
        };
        Identity {
            key: None,
            ignored: parameters.iter().map(compile).collect(),
        }
    }

    #[test]
    fn an_ignored_parameter_is_no_part_of_an_address_in_a_key() {
        let identity = ignoring(&["ixid", "utm_*"]);
        let cases = [
            ("?w=1&ixid=abc&h=2", "?w=1&h=2"),
            ("?ixid=abc", ""),
            ("?utm_source=a&utm_medium=b&w=1", "?w=1"),
            ("?i%78id=abc&w=%20", "?w=%20"),
            ("?ixid&w", "?w"),
            ("?xixid=1&utm=2", "?xixid=1&utm=2"),
            ("?a=ixid", "?a=ixid"),
            ("", ""),
        ];
        for (query, expected) in cases {
            let address = Url::parse(&format!("https://i.invalid/a.jpg{query}")).unwrap();
            let expected = format!("https://i.invalid/a.jpg{expected}");
            assert_eq!(identity.lasting(&address).as_str(), expected, "{query}");
        }
    }

    #[test]
    fn a_key_ignore_that_would_ignore_every_parameter_is_refused() {
        for bad in ["*", "", "a*b", "**", "a=b", "a&b"] {
            let written = Spanned::new(0..0, bad.to_owned());
            assert!(IgnoredParameter::compile(&written).is_err(), "{bad}");
        }
    }
}
