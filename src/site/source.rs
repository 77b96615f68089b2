//! What a site and the user's own URLs have in common: a name, and images that are resolved and named.

use std::sync::Arc;

use url::Url;

use super::{DirectUrls, Site};
use crate::job::{Candidate, ImageName, ImageRef, Resolved, SiteId};
use crate::mask::Masks;
use crate::outcome::{Format, SkipReason};

/// Where the images of a collection come from. Cheap to clone.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// A site, with a listing and a definition.
    Site(Arc<Site>),
    /// URLs that the user gave and that belong to no site.
    Direct(DirectUrls),
}

impl ImageSource {
    /// The name of the site or source: its collection's default name, and the first half of its keys.
    pub fn id(&self) -> &SiteId {
        match self {
            Self::Site(site) => site.id(),
            Self::Direct(direct) => direct.id(),
        }
    }

    /// The rules by which originals are found, as text: what has another text may find what this did not.
    pub fn rules(&self) -> &str {
        match self {
            Self::Site(site) => site.rules(),
            // Each address is its own original.
            Self::Direct(_) => "",
        }
    }

    /// The candidates and the key of an image, as [`Site::resolve`].
    ///
    /// # Errors
    ///
    /// When it has no candidate: why it is skipped.
    pub fn resolve(&self, image: &ImageRef, masks: &Masks) -> Result<Resolved, SkipReason> {
        match self {
            Self::Site(site) => site.resolve(image, masks),
            Self::Direct(direct) => direct.resolve(image),
        }
    }

    /// The stem of the file of an image with these candidates, as [`super::ImageResolver::stem`].
    pub fn stem(&self, image: &ImageRef, candidates: &[Candidate], masks: &Masks) -> String {
        match self {
            Self::Site(site) => site.resolver().stem(image, candidates, masks),
            Self::Direct(_) => candidates.first().map_or_else(String::new, |original| {
                DirectUrls::file_stem(original.url())
            }),
        }
    }

    /// The name of the image's file.
    pub fn name(&self, image: &ImageRef, original: &Url, format: Format) -> ImageName {
        match self {
            Self::Site(site) => site.name(image, original, format),
            Self::Direct(_) => {
                ImageName::from_safe(&DirectUrls::file_stem(original), format.extension())
            }
        }
    }

    /// The least width and height of an original in pixels: a smaller image is a thumbnail in its place.
    pub fn min_size(&self) -> (u32, u32) {
        match self {
            Self::Site(site) => site.min_size(),
            // Without a definition nothing says how small an original may be.
            Self::Direct(_) => (0, 0),
        }
    }
}
