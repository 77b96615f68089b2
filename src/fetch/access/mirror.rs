//! Mirrors (`--base-url`): canonical addresses are turned into the mirror's and back. No other
//! module knows that there is a mirror.
//!
//! A mirror may have all hosts in one tree, or each in a folder of its own: then its address has the place `{host}`.

use std::collections::HashSet;
use std::sync::Arc;

use url::{Host, Url};

use super::origins::{SiteOrigins, host_of, same_origin};
use super::site_rules::SiteRules;
use crate::job::{Candidate, ImageRef, Record};
use crate::site::{AnyHost, ImageHosts};

/// The place of the host in the address of a mirror, as an address is written: `{host}`.
const HOST_PLACE: &str = "%7Bhost%7D";

/// A site's canonical addresses, and the mirror that is used instead.
#[derive(Debug)]
pub(crate) struct Mirror {
    base: Option<MirrorBase>,
    pages: Url,
    images: Url,
    hosts: HashSet<String>,
    further: ImageHosts,
}

/// The address of a mirror.
#[derive(Debug)]
struct MirrorBase {
    /// Without the place of the host and what follows it.
    address: Url,
    /// The path in front of the site's own, or of the host, without the slash at its end.
    before: String,
    /// The path between the host and the site's own, without the slash at its end, if the host has a place.
    after_host: Option<String>,
}

impl MirrorBase {
    fn new(address: Url) -> Self {
        let path = address.path().trim_end_matches('/').to_owned();
        let (before, after_host) = match path.split_once(HOST_PLACE) {
            Some((before, after)) => (
                before.trim_end_matches('/').to_owned(),
                Some(after.to_owned()),
            ),
            None => (path, None),
        };
        Self {
            address,
            before,
            after_host,
        }
    }

    /// The address of the mirror for one of the site's.
    fn of(&self, address: &Url) -> Url {
        let Self {
            address: base,
            before,
            after_host,
        } = self;
        let is_root = before.is_empty() && after_host.is_none();
        if is_root && let Some(url) = on_origin(address, base) {
            return url;
        }
        let mut url = base.clone();
        let path = address.path();
        url.set_path(&match after_host {
            Some(after) => format!("{before}/{}{after}{path}", host_of(address)),
            None => format!("{before}{path}"),
        });
        url.set_query(address.query());
        url
    }
}

/// `address` on another origin, without its fragment: at a third of the price of giving that origin a path, which would
/// be parsed again. `None` where either has credentials.
fn on_origin(address: &Url, origin: &Url) -> Option<Url> {
    let is_plain = |url: &Url| url.username().is_empty() && url.password().is_none();
    if !is_plain(address) || !is_plain(origin) {
        return None;
    }
    let mut url = address.clone();
    url.set_fragment(None);
    url.set_scheme(origin.scheme()).ok()?;
    // The text of an IP address would be parsed.
    match origin.host()? {
        Host::Domain(name) => url.set_host(Some(name)).ok()?,
        Host::Ipv4(address) => url.set_ip_host(address.into()).ok()?,
        Host::Ipv6(address) => url.set_ip_host(address.into()).ok()?,
    }
    url.set_port(origin.port()).ok()?;
    Some(url)
}

impl Mirror {
    /// With `base`, the mirror there stands in for the site; without it, every address stays as it
    /// is.
    pub(crate) fn new(site: &SiteOrigins, rules: &SiteRules, base: Option<Url>) -> Self {
        let further = site
            .hosts
            .iter()
            .filter_map(|host| Url::parse(&format!("http://{host}/")).ok());
        let addresses = further.chain([site.pages.clone(), site.images.clone()]);
        let hosts = addresses
            .filter_map(|address| address.host_str().map(str::to_owned))
            .collect();
        Self {
            base: base.map(MirrorBase::new),
            pages: site.pages.clone(),
            images: site.images.clone(),
            hosts,
            further: rules.hosts().clone(),
        }
    }

    /// The address to request for a canonical address.
    pub(crate) fn request_url(&self, address: &Url) -> Url {
        let Some(base) = &self.base else {
            return address.clone();
        };
        let is_http = matches!(address.scheme(), "http" | "https");
        let of_site = is_http && address.host_str().is_some_and(|host| self.is_of_site(host));
        if !of_site || same_origin(address, &base.address) {
            return address.clone();
        }
        base.of(address)
    }

    fn is_of_site(&self, host: &str) -> bool {
        self.hosts.contains(host)
            || self.further.names(host)
            || self.further.any == AnyHost::Allowed
    }

    /// Makes the addresses of images that were found on one page of the mirror canonical.
    pub(crate) fn canonicalize(&self, images: &mut [ImageRef]) {
        if self.base.is_none() {
            return;
        }
        let Some(page) = images
            .first()
            .map(|first| Arc::new(self.canonical_source(&first.page)))
        else {
            return;
        };
        let (images_at, links_at) = self.defaults(&page);
        for image in images {
            image.page = Arc::clone(&page);
            self.canonicalize_url(&mut image.thumb, images_at);
            if let Some(link) = &mut image.link {
                self.canonicalize_url(link, links_at);
            }
            let Record(fields) = &mut image.record;
            for text in fields.iter_mut().flatten() {
                self.canonicalize_text(text, images_at);
            }
        }
    }

    /// The canonical address of a listing page that was found on the page that came from `page`.
    pub(crate) fn canonical_page(&self, page: &Url, address: Url) -> Url {
        let page = self.canonical_source(page);
        let (_, links_at) = self.defaults(&page);
        self.canonical(&address, links_at).unwrap_or(address)
    }

    /// Makes candidates canonical that were found on the page that came from `page`: where all hosts share one tree,
    /// originals move to the site's image host, as thumbs do, and pages to the page host.
    pub(crate) fn canonicalize_candidates(&self, page: &Url, candidates: &mut [Candidate]) {
        if self.base.is_none() {
            return;
        }
        let page = self.canonical_source(page);
        let (images_at, links_at) = self.defaults(&page);
        for candidate in candidates {
            match candidate {
                Candidate::Direct(original) => self.canonicalize_url(original, images_at),
                Candidate::Follow(follow) => self.canonicalize_url(&mut follow.page, links_at),
            }
        }
    }

    /// The canonical address of a page that came from `page`.
    fn canonical_source(&self, page: &Url) -> Url {
        let canonical = self.canonical(page, &self.pages);
        canonical.unwrap_or_else(|| page.clone())
    }

    /// Where the images and the links of a page are whose addresses name no host of the site: where each host has its
    /// folder, that is the page's own host.
    fn defaults<'a>(&'a self, page: &'a Url) -> (&'a Url, &'a Url) {
        match &self.base {
            Some(MirrorBase {
                after_host: Some(_),
                ..
            }) => (page, page),
            Some(_) | None => (&self.images, &self.pages),
        }
    }

    /// A text of a record, if it is an address of the mirror.
    fn canonicalize_text(&self, text: &mut String, site: &Url) {
        let is_address = text.starts_with("http://") || text.starts_with("https://");
        if is_address
            && let Ok(address) = Url::parse(text)
            && let Some(canonical) = self.canonical(&address, site)
        {
            *text = canonical.into();
        }
    }

    fn canonicalize_url(&self, address: &mut Url, site: &Url) {
        if let Some(canonical) = self.canonical(address, site) {
            *address = canonical;
        }
    }

    /// The canonical address of the mirror's `address`, on the origin of `site` if it names no host itself; `None` if it
    /// is not the mirror's.
    fn canonical(&self, address: &Url, site: &Url) -> Option<Url> {
        let base = self
            .base
            .as_ref()
            .filter(|base| same_origin(&base.address, address))?;
        // A page that was copied unchanged links to `/uploads/...` even where the mirror serves it
        // below a prefix.
        if base.before.is_empty()
            && base.after_host.is_none()
            && let Some(mut canonical) = on_origin(address, site)
        {
            canonical.set_fragment(address.fragment());
            return Some(canonical);
        }
        let below = address
            .path()
            .strip_prefix(base.before.as_str())
            .filter(|rest| rest.starts_with('/'));
        let (mut canonical, path) = match &base.after_host {
            None => (site.clone(), below),
            Some(after) => match below.and_then(|below| self.split_host(below, after)) {
                Some((origin, path)) => (origin, Some(path)),
                None => (site.clone(), None),
            },
        };
        canonical.set_path(path.unwrap_or(address.path()));
        canonical.set_query(address.query());
        canonical.set_fragment(address.fragment());
        Some(canonical)
    }

    /// `/HOST/AFTER/path` as the origin of a host of the site and the path there.
    fn split_host<'a>(&self, below: &'a str, after: &str) -> Option<(Url, &'a str)> {
        let rest = below.strip_prefix('/')?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.strip_prefix(after)?;
        if !(path.is_empty() || path.starts_with('/')) {
            return None;
        }
        // Of the two schemes the site's own: which one was asked is not in the mirror's path.
        let known = [&self.pages, &self.images];
        let known = known.into_iter().find(|known| host_of(known) == host);
        let origin = match known {
            Some(known) => known.clone(),
            None => Url::parse(&format!("{}://{host}/", self.pages.scheme())).ok()?,
        };
        let is_host = Host::parse(origin.host_str()?).is_ok() && host_of(&origin) == host;
        (is_host && self.is_of_site(origin.host_str()?)).then_some((origin, path))
    }
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
        Mirror::new(&site, &SiteRules::default(), base.map(url))
    }

    fn image_with(page: &str, thumb: &str, link: &str) -> ImageRef {
        let site = SiteId::new("gallery").unwrap();
        ImageRef {
            site,
            page: url(page).into(),
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
    fn a_mirror_at_the_root_keeps_path_and_query_and_its_own_port() {
        for base in [
            "http://127.0.0.1:8000",
            "https://mirror.test/",
            "http://[::1]/",
        ] {
            let mirror = mirror(Some(base));
            for rest in ["/browse/2/?a=b", "/", "/a%20b/..;/%C3%A9.png?", "/x?q=%zz"] {
                for host in [
                    "https://gallery.test",
                    "http://static.gallery.test",
                    "http://cdn.test:8080",
                ] {
                    let requested = mirror.request_url(&url(&format!("{host}{rest}#top")));
                    let expected = url(&format!("{}{rest}", base.trim_end_matches('/')));
                    assert_eq!(requested, expected, "{host}{rest}");
                    let back = canonicalized(&mirror, image_with(base, requested.as_str(), base));
                    assert_eq!(
                        back.thumb,
                        url(&format!("https://static.gallery.test{rest}"))
                    );
                }
            }
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
        let page = url("http://127.0.0.1:8000/sd/all");
        let canonical = |address| mirror.canonical_page(&page, url(address)).to_string();
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

    #[test]
    fn a_mirror_with_a_place_for_the_host_is_exact_both_ways() {
        for (base, before) in [
            ("http://127.0.0.1:8000/{host}/", "http://127.0.0.1:8000/"),
            ("http://127.0.0.1:8000/x/{host}", "http://127.0.0.1:8000/x/"),
        ] {
            let mirror = mirror(Some(base));
            for (canonical, at) in [
                (
                    "https://gallery.test/browse/2/?a=b",
                    "gallery.test/browse/2/?a=b",
                ),
                (
                    "https://static.gallery.test/up/a.png",
                    "static.gallery.test/up/a.png",
                ),
                ("https://cdn.test/a%20b", "cdn.test/a%20b"),
            ] {
                let requested = mirror.request_url(&url(canonical));
                assert_eq!(requested.as_str(), format!("{before}{at}"));
                let page = url("https://gallery.test/browse/");
                assert_eq!(
                    mirror.canonical_page(&page, requested.clone()).as_str(),
                    canonical
                );
            }
        }
        let deep = mirror(Some("http://127.0.0.1:8000/{host}/raw/"));
        let requested = deep.request_url(&url("https://gallery.test/a"));
        assert_eq!(
            requested.as_str(),
            "http://127.0.0.1:8000/gallery.test/raw/a"
        );
        let back = deep.canonical_page(&url("https://gallery.test/"), requested);
        assert_eq!(back.as_str(), "https://gallery.test/a");
    }

    #[test]
    fn a_root_relative_address_belongs_to_the_host_of_its_page() {
        let mirror = mirror(Some("http://127.0.0.1:8000/{host}/"));
        let base = "http://127.0.0.1:8000";
        let mut found = image_with(
            &format!("{base}/gallery.test/browse/2/"),
            &format!("{base}/uploads/a.png"),
            &format!("{base}/gallery.test/a/"),
        );
        found.record = Record(vec![
            vec![format!("{base}/static.gallery.test/b.png"), "7".to_owned()],
            vec![format!("{base}/other.test/b.png")],
            vec!["http://elsewhere.test/b.png".to_owned()],
        ]);
        let canonical = canonicalized(&mirror, found);
        assert_eq!(canonical.page.as_str(), "https://gallery.test/browse/2/");
        assert_eq!(
            canonical.thumb.as_str(),
            "https://gallery.test/uploads/a.png"
        );
        assert_eq!(canonical.link.unwrap().as_str(), "https://gallery.test/a/");
        let Record(fields) = canonical.record;
        assert_eq!(fields[0], ["https://static.gallery.test/b.png", "7"]);
        assert_eq!(fields[1], ["https://gallery.test/other.test/b.png"]);
        assert_eq!(fields[2], ["http://elsewhere.test/b.png"]);
    }

    #[test]
    fn addresses_in_a_record_move_to_the_image_host() {
        let mirror = mirror(Some("http://127.0.0.1:8000/sd/"));
        let page = "http://127.0.0.1:8000/sd/browse/";
        let mut found = image_with(page, page, page);
        found.record = Record(vec![vec!["http://127.0.0.1:8000/sd/up/a.png".to_owned()]]);
        let Record(fields) = canonicalized(&mirror, found).record;
        assert_eq!(fields[0], ["https://static.gallery.test/up/a.png"]);
    }
}
