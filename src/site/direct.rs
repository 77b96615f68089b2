//! URLs given by the user that belong to no site: each is its own original, in a collection named `direct`.

use std::sync::Arc;

use url::Url;

use super::signature::without_signature;
use super::{address, file_name, name};
use crate::job::{Candidate, ImageKey, ImageRef, Record, Resolved, SiteId};
use crate::outcome::SkipReason;

/// The source of images that belong to no site.
#[derive(Debug, Clone)]
pub struct DirectUrls {
    id: SiteId,
}

impl DirectUrls {
    /// The name of its collection, and the first half of its keys.
    pub const NAME: &str = "direct";

    /// The one source there is of this kind.
    ///
    /// # Panics
    ///
    /// Never: its name is a constant that a test reads.
    pub fn new() -> Self {
        let id = SiteId::new(Self::NAME).expect("a constant that is a site's name");
        Self { id }
    }

    /// Its name, as that of a site.
    pub fn id(&self) -> &SiteId {
        &self.id
    }

    /// The image at `url`; `None` if that cannot be requested at all ([`super::objection`] says why).
    pub fn image(&self, url: &Url) -> Option<ImageRef> {
        let url = usable(url).ok()?;
        Some(ImageRef {
            site: self.id.clone(),
            page: Arc::new(url.clone()),
            thumb: url,
            link: None,
            title: None,
            is_original: true,
            record: Record::default(),
        })
    }

    /// The one candidate of an image, and its key.
    ///
    /// # Errors
    ///
    /// When its URL cannot be requested.
    pub fn resolve(&self, image: &ImageRef) -> Result<Resolved, SkipReason> {
        let original = usable(&image.thumb).map_err(SkipReason::Address)?;
        Ok(Resolved {
            // The request keeps the signature, which another run's address may have anew.
            key: ImageKey::new(&self.id, &without_signature(&original)),
            declared: None,
            candidates: vec![Candidate::Direct(original)],
        })
    }

    /// There is no definition with a template, so the last part of the path and the query name the file, without what
    /// would give it another name each time.
    pub(super) fn file_stem(original: &Url) -> String {
        name::stem(&file_name::last_part_and_query(&without_signature(
            original,
        )))
    }
}

impl Default for DirectUrls {
    fn default() -> Self {
        Self::new()
    }
}

fn usable(url: &Url) -> Result<Url, String> {
    let mut url = url.clone();
    url.set_fragment(None);
    address::usable(&url)?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_url_is_its_own_original_named_after_its_last_part() {
        let direct = DirectUrls::new();
        let cases = [
            ("http://127.0.0.1:8080/a/b/Tall%20Trees.png#x", "Tall Trees"),
            ("https://elsewhere.invalid/a%2Fb.jpeg", "b"),
            ("https://elsewhere.invalid/download?id=7", "download-id=7"),
            (
                "https://elsewhere.invalid/download?id=7&Expires=1&Signature=x",
                "download-id=7",
            ),
        ];
        for (address, stem) in cases {
            let url = Url::parse(address).unwrap();
            let image = direct.image(&url).unwrap();
            let resolved = direct.resolve(&image).unwrap();
            let [candidate] = &resolved.candidates[..] else {
                panic!("{address}")
            };
            let without_fragment = address.split('#').next().unwrap();
            assert_eq!(candidate.url().as_str(), without_fragment);
            assert_eq!(DirectUrls::file_stem(candidate.url()), stem, "{address}");
        }
    }

    #[test]
    fn a_direct_url_of_another_scheme_or_with_credentials_is_refused() {
        for bad in [
            "ftp://elsewhere.invalid/a.png",
            "https://me:secret@elsewhere.invalid/a.png",
            "file:///etc/passwd",
            "data:,x",
        ] {
            let url = Url::parse(bad).unwrap();
            assert_eq!(DirectUrls::new().image(&url), None, "{bad}");
        }
    }
}
