//! What an address is to a site, when the user gives it and no page shows it.

use url::Url;

use super::{PAGE_IN_PATH, Site, address};
use crate::job::ImageRef;
use crate::outcome::Format;

/// What an address is to a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlKind {
    /// The listing, or one page of it.
    Listing(Option<u32>),
    /// An image, by its thumb or itself.
    Image(Box<ImageRef>),
    /// It lies on the site, and is neither.
    Unusable,
}

/// Whether an original may lie at this address of the site.
pub(super) fn given(site: &Site, mut address: Url) -> Result<Url, String> {
    address.set_fragment(None);
    address::usable(&address)?;
    match address.host_str().unwrap_or_default() {
        host if site.anywhere || site.hosts().any(|known| known == host) => Ok(address),
        host => Err(format!("the definition does not name its host `{host}`")),
    }
}

/// Why no site's images can lie at this address, if so.
pub fn objection(address: &Url) -> Option<String> {
    address::usable(address).err()
}

impl Site {
    /// What `address` is to this site; `None` where it lies elsewhere.
    pub fn place(&self, address: &Url) -> Option<UrlKind> {
        let address = given(self, self.canonical(address.clone())).ok()?;
        let image = |is_original| ImageRef {
            site: self.id.clone(),
            page: address.clone(),
            thumb: address.clone(),
            link: None,
            title: None,
            is_original,
        };
        if !self.anywhere && self.candidates(&image(false)).is_ok() {
            return Some(UrlKind::Image(Box::new(image(false))));
        }
        if !self.anywhere
            && let Some(listing) = self.listing_at(&address)
        {
            return Some(listing);
        }
        let host = address.host_str().unwrap_or_default();
        let is_original = self.anywhere
            || self.image_hosts.iter().any(|known| known == host)
            || is_named_so(&address);
        Some(if is_original {
            UrlKind::Image(Box::new(image(true)))
        } else {
            UrlKind::Unusable
        })
    }

    fn listing_at(&self, address: &Url) -> Option<UrlKind> {
        let written = address.as_str();
        let template = self
            .paging
            .template
            .as_str()
            .replace(PAGE_IN_PATH, super::PAGE_IN_QUERY);
        let (before, behind) = template.split_once(super::PAGE_IN_QUERY)?;
        let number = written
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(behind));
        if let Some(number) = number
            .and_then(|number| number.parse().ok())
            .filter(|number| self.page(*number) == *address)
        {
            return Some(UrlKind::Listing(Some(number)));
        }
        let front = before.trim_end_matches(|c| c != '/');
        let whole = [self.base.as_str(), front].map(|front| front.trim_end_matches('/'));
        whole
            .contains(&written.trim_end_matches('/'))
            .then_some(UrlKind::Listing(None))
    }
}

/// Whether the last part of the address is named as an image's file is.
fn is_named_so(address: &Url) -> bool {
    let extension = address.path().rsplit_once('.');
    extension.is_some_and(|(_, extension)| Format::is_extension(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(site: &Site, address: &str) -> Option<UrlKind> {
        site.place(&Url::parse(address).unwrap())
    }

    #[test]
    fn an_address_of_a_known_site_is_told_for_what_it_is() {
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
                place(&site, address),
                Some(UrlKind::Listing(page)),
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
            let Some(UrlKind::Image(image)) = place(&site, &address) else {
                panic!("{address}")
            };
            assert_eq!(image.is_original, is_original, "{address}");
            assert_eq!(site.key(&image).unwrap().address(), original);
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
                place(&site, unusable),
                Some(UrlKind::Unusable),
                "{unusable}"
            );
        }
        for elsewhere in [
            "https://elsewhere.invalid/a.png",
            "ftp://simpledesktops.com/a.png",
            "data:,x",
        ] {
            assert_eq!(place(&site, elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn any_other_address_is_an_image_named_after_its_last_part() {
        let site = Site::direct();
        let cases = [
            ("http://127.0.0.1:8080/a/b/Tall%20Trees.png#x", "tall trees"),
            ("https://elsewhere.invalid/a%2Fb.jpeg", "b"),
            ("https://elsewhere.invalid/download?id=7", "download-id=7"),
        ];
        for (address, stem) in cases {
            let Some(UrlKind::Image(image)) = place(&site, address) else {
                panic!("{address}")
            };
            let candidates = site.candidates(&image).unwrap();
            assert_eq!(
                (candidates.len(), image.is_original),
                (1, true),
                "{address}"
            );
            assert_eq!(site.stem(&image, &candidates[0].address).as_str(), stem);
        }
        for bad in [
            "ftp://elsewhere.invalid/a.png",
            "https://me:secret@elsewhere.invalid/a.png",
            "file:///etc/passwd",
        ] {
            assert_eq!(place(&site, bad), None, "{bad}");
        }
    }
}
