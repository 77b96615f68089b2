//! Mirrors: what is asked in place of a canonical address, and back. Nobody else knows that there is a mirror.

use std::collections::HashSet;

use url::Url;

use crate::fetch::access::policy::{SiteOrigins, same_origin};
use crate::job::ImageRef;

/// A site's canonical addresses, and where they are asked for instead.
#[derive(Debug)]
pub(crate) struct Mirror {
    base: Option<Url>,
    pages: Url,
    images: Url,
    hosts: HashSet<String>,
}

impl Mirror {
    /// The site's own addresses, or the mirror at `base` in their place.
    pub(crate) fn new(premises: &SiteOrigins, base: Option<Url>) -> Self {
        let further = premises
            .hosts
            .iter()
            .filter_map(|host| Url::parse(&format!("http://{host}/")).ok());
        let addresses = further.chain([premises.pages.clone(), premises.images.clone()]);
        let hosts = addresses
            .filter_map(|address| address.host_str().map(str::to_owned))
            .collect();
        Self {
            base,
            pages: premises.pages.clone(),
            images: premises.images.clone(),
            hosts,
        }
    }

    /// What is really asked for a canonical address.
    pub(crate) fn asked(&self, address: &Url) -> Url {
        let Some(base) = &self.base else {
            return address.clone();
        };
        let of_web = matches!(address.scheme(), "http" | "https");
        let of_site = of_web
            && address
                .host_str()
                .is_some_and(|host| self.hosts.contains(host));
        if !of_site || same_origin(address, base) {
            return address.clone();
        }
        let mut asked = base.clone();
        asked.set_path(&format!("{}{}", prefix(base), address.path()));
        asked.set_query(address.query());
        asked
    }

    /// Brings the addresses of images that were found on one page of a mirror home to the site.
    pub(crate) fn home(&self, images: &mut [ImageRef]) {
        let home = images
            .first()
            .and_then(|first| self.canonical(&first.page, &self.pages));
        for image in images {
            if let Some(home) = &home {
                image.page.clone_from(home);
            }
            self.bring_home(&mut image.thumb, &self.images);
            if let Some(link) = &mut image.link {
                self.bring_home(link, &self.pages);
            }
        }
    }

    fn bring_home(&self, address: &mut Url, home: &Url) {
        if let Some(canonical) = self.canonical(address, home) {
            *address = canonical;
        }
    }

    /// An address of the mirror, moved to the origin of `home`; `None` for any other.
    fn canonical(&self, address: &Url, home: &Url) -> Option<Url> {
        let base = self
            .base
            .as_ref()
            .filter(|base| same_origin(base, address))?;
        // A page that was copied as it is says `/uploads/...` though it lies below the prefix.
        let path = address
            .path()
            .strip_prefix(prefix(base))
            .filter(|rest| rest.starts_with('/'));
        let mut canonical = home.clone();
        canonical.set_path(path.unwrap_or(address.path()));
        canonical.set_query(address.query());
        canonical.set_fragment(address.fragment());
        Some(canonical)
    }
}

/// The mirror's path without the slash at its end.
fn prefix(base: &Url) -> &str {
    base.path().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Fetcher;
    use crate::fetch::scripted::{Reply, Server, image, path_of, settings};
    use crate::job::SiteId;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn mirror(base: Option<&str>) -> Mirror {
        let premises = SiteOrigins {
            pages: url("https://gallery.test/browse/"),
            images: url("https://static.gallery.test/"),
            hosts: vec!["cdn.test:8080".to_owned()],
            named: Vec::new(),
        };
        Mirror::new(&premises, base.map(url))
    }

    fn found(page: &str, thumb: &str, link: &str) -> ImageRef {
        let site = SiteId::new("gallery").unwrap();
        ImageRef {
            site,
            page: url(page),
            thumb: url(thumb),
            link: Some(url(link)),
            title: None,
            is_original: false,
        }
    }

    fn at_home(mirror: &Mirror, mut image: ImageRef) -> ImageRef {
        mirror.home(std::slice::from_mut(&mut image));
        image
    }

    #[test]
    fn without_a_mirror_every_address_stays_as_it_is() {
        let mirror = mirror(None);
        let found = found(
            "https://gallery.test/browse/",
            "http://127.0.0.1/a.png",
            "https://gallery.test/a/",
        );
        assert_eq!(mirror.asked(&found.thumb), found.thumb);
        assert_eq!(at_home(&mirror, found.clone()), found);
    }

    #[test]
    fn a_mirror_is_asked_for_the_path_and_query_of_every_host_of_the_site() {
        for base in ["http://127.0.0.1:8000/sd", "http://127.0.0.1:8000/sd/"] {
            let asked = |address| mirror(Some(base)).asked(&url(address)).to_string();
            assert_eq!(
                asked("https://gallery.test/browse/2/?a=b"),
                "http://127.0.0.1:8000/sd/browse/2/?a=b"
            );
            assert_eq!(
                asked("http://static.gallery.test/a%20b.png"),
                "http://127.0.0.1:8000/sd/a%20b.png"
            );
            assert_eq!(
                asked("http://cdn.test:8080/a"),
                "http://127.0.0.1:8000/sd/a"
            );
            assert_eq!(asked("https://other.test/a"), "https://other.test/a");
            assert_eq!(asked("ftp://gallery.test/a"), "ftp://gallery.test/a");
            assert_eq!(
                asked("http://127.0.0.1:8000/uploads/a"),
                "http://127.0.0.1:8000/uploads/a"
            );
        }
    }

    #[test]
    fn a_mirrors_password_goes_with_what_is_asked_and_stays_out_of_what_comes_home() {
        let mirror = mirror(Some("https://user:secret@mirror.test/"));
        let asked = mirror.asked(&url("https://gallery.test/browse/"));
        assert_eq!(asked.as_str(), "https://user:secret@mirror.test/browse/");
        let home = at_home(
            &mirror,
            found(asked.as_str(), asked.as_str(), asked.as_str()),
        );
        assert_eq!(home.page.as_str(), "https://gallery.test/browse/");
    }

    #[test]
    fn thumbs_come_home_to_the_image_host_and_pages_and_links_to_the_page_host() {
        let mirror = mirror(Some("http://127.0.0.1:8000/sd/"));
        let base = "http://127.0.0.1:8000";
        let found = found(
            &format!("{base}/sd/browse/2/"),
            &format!("{base}/sd/up/a.png?x"),
            &format!("{base}/sd/a/"),
        );
        let home = at_home(&mirror, found);
        assert_eq!(home.page.as_str(), "https://gallery.test/browse/2/");
        assert_eq!(
            home.thumb.as_str(),
            "https://static.gallery.test/up/a.png?x"
        );
        assert_eq!(home.link.unwrap().as_str(), "https://gallery.test/a/");
    }

    #[test]
    fn a_root_relative_thumb_of_a_copied_page_comes_home_without_the_prefix() {
        let mirror = mirror(Some("http://127.0.0.1:8000/sd/"));
        let page = "http://127.0.0.1:8000/sd/browse/";
        let home = at_home(
            &mirror,
            found(
                page,
                "http://127.0.0.1:8000/uploads/a.png",
                "http://127.0.0.1:8000/sdx/a",
            ),
        );
        assert_eq!(
            home.thumb.as_str(),
            "https://static.gallery.test/uploads/a.png"
        );
        assert_eq!(home.link.unwrap().as_str(), "https://gallery.test/sdx/a");
    }

    #[test]
    fn what_a_mirrors_page_says_of_the_site_itself_is_home_already() {
        let mirror = mirror(Some("http://127.0.0.1:8000/"));
        let thumb = "http://static.gallery.test/up/a.png";
        let home = at_home(
            &mirror,
            found(
                "http://127.0.0.1:8000/browse/",
                thumb,
                "https://gallery.test/a/",
            ),
        );
        assert_eq!(home.thumb.as_str(), thumb);
        assert_eq!(
            mirror.asked(&home.thumb).as_str(),
            "http://127.0.0.1:8000/up/a.png"
        );
    }

    #[tokio::test]
    async fn a_mirror_is_all_that_is_asked() {
        let server = Server::start(|head| Reply::ok(path_of(head))).await;
        let premises = SiteOrigins {
            pages: url("https://demo.invalid/browse/"),
            images: url("https://static.demo.invalid/"),
            hosts: Vec::new(),
            named: Vec::new(),
        };
        let fetcher = Fetcher::new(&settings(), &premises, Some(server.url("/sd/"))).unwrap();
        let page = fetcher.page(&premises.pages).await.unwrap();
        assert_eq!(
            (page.text.as_str(), page.asked),
            ("/sd/browse/", server.url("/sd/browse/"))
        );
        let original = url("http://static.demo.invalid/uploads/a.png");
        assert_eq!(
            image(&fetcher, &original).await.unwrap(),
            b"/sd/uploads/a.png"
        );
    }
}
