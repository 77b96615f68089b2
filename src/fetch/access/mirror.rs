//! Mirrors (`--base-url`): canonical addresses are turned into the mirror's and back. No other
//! module knows that there is a mirror.

use std::collections::HashSet;

use url::Url;

use super::origins::{SiteOrigins, is_below, same_origin};
use crate::job::{Candidate, ImageRef};

/// A site's canonical addresses, and the mirror that is used instead.
#[derive(Debug)]
pub(crate) struct Mirror {
    base: Option<Url>,
    pages: Url,
    images: Url,
    hosts: HashSet<String>,
    /// What the hosts below a named domain end with.
    domains: Vec<String>,
}

impl Mirror {
    /// With `base`, the mirror there stands in for the site; without it, every address stays as it
    /// is.
    pub(crate) fn new(site: &SiteOrigins, base: Option<Url>) -> Self {
        let (below, hosts): (Vec<_>, Vec<_>) =
            site.hosts.iter().partition(|host| host.starts_with('*'));
        let domains = below.iter().map(|host| host[1..].to_owned()).collect();
        let further = hosts
            .iter()
            .filter_map(|host| Url::parse(&format!("http://{host}/")).ok());
        let addresses = further.chain([site.pages.clone(), site.images.clone()]);
        let hosts = addresses
            .filter_map(|address| address.host_str().map(str::to_owned))
            .collect();
        Self {
            base,
            pages: site.pages.clone(),
            images: site.images.clone(),
            hosts,
            domains,
        }
    }

    /// The address to request for a canonical address.
    pub(crate) fn request_url(&self, address: &Url) -> Url {
        let Some(base) = &self.base else {
            return address.clone();
        };
        let is_http = matches!(address.scheme(), "http" | "https");
        let of_site = is_http
            && address
                .host_str()
                .is_some_and(|host| self.hosts.contains(host) || is_below(host, &self.domains));
        if !of_site || same_origin(address, base) {
            return address.clone();
        }
        let mut url = base.clone();
        url.set_path(&format!("{}{}", prefix(base), address.path()));
        url.set_query(address.query());
        url
    }

    /// Makes the addresses of images that were found on one page of the mirror canonical.
    pub(crate) fn canonicalize(&self, images: &mut [ImageRef]) {
        let page = images
            .first()
            .and_then(|first| self.canonical(&first.page, &self.pages));
        for image in images {
            if let Some(page) = &page {
                image.page.clone_from(page);
            }
            self.canonicalize_url(&mut image.thumb, &self.images);
            if let Some(link) = &mut image.link {
                self.canonicalize_url(link, &self.pages);
            }
        }
    }

    /// The canonical address of a listing page that was found on a page of the mirror.
    pub(crate) fn canonical_page(&self, address: Url) -> Url {
        self.canonical(&address, &self.pages).unwrap_or(address)
    }

    /// Makes candidates that were found on a page of the mirror canonical: originals move to the site's image host, as
    /// thumbs do, and pages to the page host.
    pub(crate) fn canonicalize_candidates(&self, candidates: &mut [Candidate]) {
        for candidate in candidates {
            match candidate {
                Candidate::Direct(original) => self.canonicalize_url(original, &self.images),
                Candidate::Follow(follow) => self.canonicalize_url(&mut follow.page, &self.pages),
            }
        }
    }

    fn canonicalize_url(&self, address: &mut Url, site: &Url) {
        if let Some(canonical) = self.canonical(address, site) {
            *address = canonical;
        }
    }

    /// The address of the mirror `address`, moved to the origin of `site`; `None` if it is not the
    /// mirror's.
    fn canonical(&self, address: &Url, site: &Url) -> Option<Url> {
        let base = self
            .base
            .as_ref()
            .filter(|base| same_origin(base, address))?;
        // A page that was copied unchanged links to `/uploads/...` even where the mirror serves it
        // below a prefix.
        let path = address
            .path()
            .strip_prefix(prefix(base))
            .filter(|rest| rest.starts_with('/'));
        let mut canonical = site.clone();
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
    use crate::job::{Record, SiteId};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn mirror(base: Option<&str>) -> Mirror {
        let site = SiteOrigins {
            pages: url("https://gallery.test/browse/"),
            images: url("https://static.gallery.test/"),
            hosts: vec!["cdn.test:8080".to_owned()],
            named: Vec::new(),
        };
        Mirror::new(&site, base.map(url))
    }

    fn image_with(page: &str, thumb: &str, link: &str) -> ImageRef {
        let site = SiteId::new("gallery").unwrap();
        ImageRef {
            site,
            page: url(page),
            thumb: url(thumb),
            link: Some(url(link)),
            title: None,
            is_original: false,
            record: Record::default(),
        }
    }

    fn canonicalized(mirror: &Mirror, mut image: ImageRef) -> ImageRef {
        mirror.canonicalize(std::slice::from_mut(&mut image));
        image
    }

    #[test]
    fn without_a_mirror_every_address_stays_the_same() {
        let mirror = mirror(None);
        let found = image_with(
            "https://gallery.test/browse/",
            "http://127.0.0.1/a.png",
            "https://gallery.test/a/",
        );
        assert_eq!(mirror.request_url(&found.thumb), found.thumb);
        assert_eq!(canonicalized(&mirror, found.clone()), found);
    }

    #[test]
    fn a_mirror_gets_path_and_query_of_every_host_of_the_site() {
        for base in ["http://127.0.0.1:8000/sd", "http://127.0.0.1:8000/sd/"] {
            let requested = |address| mirror(Some(base)).request_url(&url(address)).to_string();
            assert_eq!(
                requested("https://gallery.test/browse/2/?a=b"),
                "http://127.0.0.1:8000/sd/browse/2/?a=b"
            );
            assert_eq!(
                requested("http://static.gallery.test/a%20b.png"),
                "http://127.0.0.1:8000/sd/a%20b.png"
            );
            assert_eq!(
                requested("http://cdn.test:8080/a"),
                "http://127.0.0.1:8000/sd/a"
            );
            assert_eq!(requested("https://other.test/a"), "https://other.test/a");
            assert_eq!(requested("ftp://gallery.test/a"), "ftp://gallery.test/a");
            assert_eq!(
                requested("http://127.0.0.1:8000/uploads/a"),
                "http://127.0.0.1:8000/uploads/a"
            );
        }
    }

    #[test]
    fn the_password_of_a_mirror_is_in_requests_and_not_in_canonical_addresses() {
        let mirror = mirror(Some("https://user:secret@mirror.test/"));
        let requested = mirror.request_url(&url("https://gallery.test/browse/"));
        assert_eq!(
            requested.as_str(),
            "https://user:secret@mirror.test/browse/"
        );
        let canonical = canonicalized(
            &mirror,
            image_with(requested.as_str(), requested.as_str(), requested.as_str()),
        );
        assert_eq!(canonical.page.as_str(), "https://gallery.test/browse/");
    }

    #[test]
    fn thumbs_move_to_the_image_host_and_pages_and_links_to_the_page_host() {
        let mirror = mirror(Some("http://127.0.0.1:8000/sd/"));
        let base = "http://127.0.0.1:8000";
        let found = image_with(
            &format!("{base}/sd/browse/2/"),
            &format!("{base}/sd/up/a.png?x"),
            &format!("{base}/sd/a/"),
        );
        let canonical = canonicalized(&mirror, found);
        assert_eq!(canonical.page.as_str(), "https://gallery.test/browse/2/");
        assert_eq!(
            canonical.thumb.as_str(),
            "https://static.gallery.test/up/a.png?x"
        );
        assert_eq!(canonical.link.unwrap().as_str(), "https://gallery.test/a/");
    }

    #[test]
    fn a_next_page_on_the_mirror_is_moved_to_the_page_host() {
        let mirror = mirror(Some("http://127.0.0.1:8000/sd/"));
        let canonical = |address| mirror.canonical_page(url(address)).to_string();
        assert_eq!(
            canonical("http://127.0.0.1:8000/sd/all?page=2"),
            "https://gallery.test/all?page=2"
        );
        assert_eq!(canonical("https://other.test/a"), "https://other.test/a");
    }

    #[test]
    fn a_root_relative_thumb_of_a_copied_page_becomes_canonical_without_the_prefix() {
        let mirror = mirror(Some("http://127.0.0.1:8000/sd/"));
        let page = "http://127.0.0.1:8000/sd/browse/";
        let canonical = canonicalized(
            &mirror,
            image_with(
                page,
                "http://127.0.0.1:8000/uploads/a.png",
                "http://127.0.0.1:8000/sdx/a",
            ),
        );
        assert_eq!(
            canonical.thumb.as_str(),
            "https://static.gallery.test/uploads/a.png"
        );
        assert_eq!(
            canonical.link.unwrap().as_str(),
            "https://gallery.test/sdx/a"
        );
    }

    #[test]
    fn an_address_of_the_site_itself_on_a_mirrored_page_is_canonical_already() {
        let mirror = mirror(Some("http://127.0.0.1:8000/"));
        let thumb = "http://static.gallery.test/up/a.png";
        let canonical = canonicalized(
            &mirror,
            image_with(
                "http://127.0.0.1:8000/browse/",
                thumb,
                "https://gallery.test/a/",
            ),
        );
        assert_eq!(canonical.thumb.as_str(), thumb);
        assert_eq!(
            mirror.request_url(&canonical.thumb).as_str(),
            "http://127.0.0.1:8000/up/a.png"
        );
    }

    #[tokio::test]
    async fn with_a_mirror_nothing_else_is_requested() {
        let server = Server::start(|head| Reply::ok(path_of(head))).await;
        let site = SiteOrigins {
            pages: url("https://demo.invalid/browse/"),
            images: url("https://static.demo.invalid/"),
            hosts: Vec::new(),
            named: Vec::new(),
        };
        let fetcher = Fetcher::new(&settings(), &site, Some(server.url("/sd/"))).unwrap();
        let page = fetcher.page(&site.pages).await.unwrap();
        assert_eq!(
            (page.text.as_str(), page.url),
            ("/sd/browse/", server.url("/sd/browse/"))
        );
        let original = url("http://static.demo.invalid/uploads/a.png");
        assert_eq!(
            image(&fetcher, &original).await.unwrap(),
            b"/sd/uploads/a.png"
        );
    }
}
