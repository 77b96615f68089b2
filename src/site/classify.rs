//! Tells what a URL given by the user is to a site: its listing, an image, or neither.

use std::sync::Arc;

use url::Url;

use super::{Pages, Site, address};
use crate::job::{ImageRef, Record};
use crate::outcome::Format;

/// What a URL is to a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlKind {
    /// These pages of the listing.
    Listing(Pages),
    /// An image, by its thumb or its original.
    Image(Box<ImageRef>),
    /// On the site, and neither.
    Unusable,
}

/// Takes a canonical address as an original's, if it is usable and on a host that the definition names.
pub(super) fn on_site(site: &Site, mut address: Url) -> Result<Url, String> {
    address.set_fragment(None);
    address::usable(&address)?;
    match address.host_str().unwrap_or_default() {
        host if site.names_host(host) => Ok(address),
        host => Err(unnamed_host(host)),
    }
}

/// Why an address on a host that the definition names may not be requested, if so: it is at another port than that of
/// its scheme, and not at the site's own.
pub(super) fn port_objection(site: &Site, address: &Url, host: &str) -> Option<String> {
    let port = address.port()?;
    let scheme = address.scheme();
    (address.origin() != site.base().origin())
        .then(|| format!("the definition does not name port {port} of `{host}` for {scheme}"))
}

pub(super) fn unnamed_host(host: &str) -> String {
    format!("the definition does not name its host `{host}`")
}

/// Why a URL cannot be an image's on any site, if so.
pub fn objection(url: &Url) -> Option<String> {
    address::usable(url).err()
}

impl Site {
    /// The image whose original is at `url`.
    ///
    /// # Errors
    ///
    /// When it cannot be requested, or is on no host of the definition.
    pub fn image_at(&self, url: &Url) -> Result<ImageRef, String> {
        let url = on_site(self, self.canonical(url.clone()))?;
        Ok(self.image_of(&url, None, true))
    }

    fn image_of(&self, url: &Url, link: Option<Url>, is_original: bool) -> ImageRef {
        ImageRef {
            site: self.id.clone(),
            page: Arc::new(url.clone()),
            thumb: url.clone(),
            link,
            title: None,
            is_original,
            record: Record::default(),
        }
    }

    /// What `url` is to this site; `None` if it is on another host.
    pub fn classify_url(&self, url: &Url) -> Option<UrlKind> {
        let url = on_site(self, self.canonical(url.clone())).ok()?;
        let image = |link: Option<Url>, is_original| self.image_of(&url, link, is_original);
        if let Some(pages) = self.page_order.pages_at(&url, &self.base) {
            return Some(UrlKind::Listing(pages));
        }
        let shown = image(None, false);
        if self.candidates(&shown).is_ok() {
            return Some(UrlKind::Image(Box::new(shown)));
        }
        let host = url.host_str().unwrap_or_default();
        if host != self.base_host() || has_image_extension(&url) {
            return Some(UrlKind::Image(Box::new(image(None, true))));
        }
        // What a thumb links to: its page leads to the original, or its address does.
        let linked = image(Some(url.clone()), false);
        Some(if self.candidates(&linked).is_ok() {
            UrlKind::Image(Box::new(linked))
        } else {
            UrlKind::Unusable
        })
    }
}

pub(super) fn has_image_extension(address: &Url) -> bool {
    let extension = address.path().rsplit_once('.');
    extension.is_some_and(|(_, extension)| Format::is_extension(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(site: &Site, address: &str) -> Option<UrlKind> {
        site.classify_url(&Url::parse(address).unwrap())
    }

    #[test]
    fn a_url_of_a_known_site_is_classified() {
        let site = Site::shipped("simpledesktops").unwrap();
        let listings = [
            ("https://simpledesktops.com/", None),
            ("http://simpledesktops.com", None),
            ("http://simpledesktops.com/browse/", None),
            ("http://simpledesktops.com/browse", None),
            ("http://simpledesktops.com/browse/17/#top", Some(17)),
        ];
        for (address, page) in listings {
            assert_eq!(
                classify(&site, address),
                Some(UrlKind::Listing(Pages {
                    first: page,
                    last: page
                })),
                "{address}"
            );
        }
        let original =
            "https://static.simpledesktops.com/uploads/desktops/2018/03/29/mountains.png";
        for (address, is_original) in [
            (original.to_owned(), true),
            (original.replacen("https", "http", 1), true),
            (format!("{original}.295x184_q100.png"), false),
        ] {
            let Some(UrlKind::Image(image)) = classify(&site, &address) else {
                panic!("{address}")
            };
            assert_eq!(image.is_original, is_original, "{address}");
            assert_eq!(site.key(&image).unwrap().address(), Some(original));
            assert_eq!(
                site.stem(&image, &Url::parse(original).unwrap()).as_str(),
                "2018-03-29-mountains"
            );
        }
        for unusable in [
            "https://simpledesktops.com/browse/desktops/2018/mar/29/x/",
            "https://simpledesktops.com/browse/x/",
        ] {
            assert_eq!(
                classify(&site, unusable),
                Some(UrlKind::Unusable),
                "{unusable}"
            );
        }
        for elsewhere in [
            "https://elsewhere.invalid/a.png",
            "ftp://simpledesktops.com/a.png",
            "data:,x",
        ] {
            assert_eq!(classify(&site, elsewhere), None, "{elsewhere}");
        }
    }
}
