//! What is known of a site, as values: text in, values out; no net, no clock, no disk.

mod address;
mod definition;
mod fault;
mod health;
mod listing;
mod name;
mod naming;
mod pattern;
mod place;
mod rewrite;
mod tree;
mod written;

use thiserror::Error;
use url::Url;

use crate::job::{ImageKey, ImageName, ImageRef, Resolved, SiteId, Stem};
use crate::outcome::{Format, SkipReason};

pub use fault::LocatedDiagnostic;
pub use health::{Health, PageVerdict};
pub use listing::ListingPage;
pub use place::{UrlKind, objection};
pub use rewrite::Candidate;

use listing::Listing;
use naming::FileNameTemplate;
use rewrite::Rule;

/// A site as its definition describes it, with everything compiled. Every address it takes and gives is
/// canonical: on the site's own hosts, and by https where the site has that.
#[derive(Debug)]
pub struct Site {
    id: SiteId,
    description: String,
    base: Url,
    image_hosts: Vec<String>,
    paging: Paging,
    end_statuses: Vec<u16>,
    empty_pages: u32,
    listing: Listing,
    rules: Vec<Rule>,
    naming: FileNameTemplate,
    /// Whether its images may lie on any host: their addresses are all given.
    anywhere: bool,
    min_size: (u32, u32),
}

/// How listing pages are counted.
#[derive(Debug)]
struct Paging {
    template: Url,
    start: u32,
}

/// How the place of the page's number reads in the path of a parsed address, and in its query.
const PAGE_IN_PATH: &str = "%7Bpage%7D";
const PAGE_IN_QUERY: &str = "{page}";

impl Site {
    /// Reads a definition.
    ///
    /// # Errors
    ///
    /// When anything in it is wrong; the error knows the place.
    pub fn from_toml(text: &str) -> Result<Self, SiteError> {
        definition::compile(text).map_err(|fault| SiteError::Definition(Box::new(fault)))
    }

    /// The site that ships under `name`.
    ///
    /// # Errors
    ///
    /// When none does.
    pub fn shipped(name: &str) -> Result<Self, SiteError> {
        let found = shipped().iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| SiteError::Unknown {
            name: name.to_owned(),
            help: fault::nearest_of(
                name,
                &shipped()
                    .iter()
                    .map(|(known, _)| *known)
                    .collect::<Vec<_>>(),
            ),
        })?;
        Self::from_toml(text)
    }

    /// The site of images that are on no site we know: all there is of them is the address that the user gives.
    ///
    /// # Panics
    ///
    /// Never: its definition is built in, and read by a test.
    pub fn direct() -> Self {
        let site =
            Self::from_toml(include_str!("direct.toml")).expect("a definition that is built in");
        Self {
            anywhere: true,
            ..site
        }
    }

    /// Whether it is [`Site::direct`].
    pub fn is_direct(&self) -> bool {
        self.anywhere
    }

    /// Its name.
    pub fn id(&self) -> &SiteId {
        &self.id
    }

    /// One line about it for people; may be empty.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The origin of its pages.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The host of its pages.
    fn base_host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Where its images lie, if only one host is to be named: where what a mirror serves is brought back to.
    pub fn image_host(&self) -> &str {
        self.image_hosts
            .first()
            .map_or(self.base_host(), String::as_str)
    }

    /// Every host the definition names, the pages' first: what may be asked, and nothing else.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let others = self.image_hosts.iter().map(String::as_str);
        std::iter::once(self.base_host()).chain(others.filter(|&host| host != self.base_host()))
    }

    /// The scheme its addresses are asked by: an address on its hosts that is written with http is asked
    /// with https where the pages are.
    pub fn scheme(&self) -> &str {
        self.base.scheme()
    }

    /// The least width and height of its originals, in pixels: whatever has less is a thumbnail in their place.
    pub fn min_size(&self) -> (u32, u32) {
        self.min_size
    }

    /// `address` as this site's own addresses are kept: the one place that knows of two schemes.
    pub fn canonical(&self, mut address: Url) -> Url {
        let ours = self.hosts().any(|host| address.host_str() == Some(host));
        if ours
            && self.scheme() == "https"
            && address.scheme() == "http"
            && address.port().is_none()
        {
            // From http to https nothing can refuse it.
            let _ = address.set_scheme("https");
        }
        address
    }

    /// The number of its first listing page.
    pub fn start(&self) -> u32 {
        self.paging.start
    }

    /// The first listing page's address.
    pub fn first(&self) -> Url {
        self.page(self.start())
    }

    /// A listing page's address.
    pub fn page(&self, number: u32) -> Url {
        let number = number.to_string();
        let mut page = self.paging.template.clone();
        page.set_path(&self.paging.template.path().replace(PAGE_IN_PATH, &number));
        if let Some(query) = self.paging.template.query() {
            page.set_query(Some(&query.replace(PAGE_IN_QUERY, &number)));
        }
        page
    }

    /// Whether an answer of this status to a listing page behind the first means that the listing is over.
    pub fn ends_at(&self, status: u16) -> bool {
        self.end_statuses.contains(&status)
    }

    /// How many pages in a row that are empty, as one behind the last is, mean that the listing is over.
    pub fn ends_after(&self) -> u32 {
        self.empty_pages
    }

    /// Reads the text of a listing page that came from the address `page`: what is relative is resolved
    /// against that. Whether it looks like the site at all is for [`Health::look`] to say.
    ///
    /// # Errors
    ///
    /// When the page holds more than any gallery's does.
    pub fn read(&self, page: &Url, body: &str) -> Result<ListingPage, SiteError> {
        listing::read(self, page, body)
    }

    /// Where the image's original may be found, in the order to be tried; never empty, never the thumb.
    ///
    /// # Errors
    ///
    /// When no rule matches, or what the rules yield may not be asked: why this image is left out.
    pub fn candidates(&self, image: &ImageRef) -> Result<Vec<Candidate>, SkipReason> {
        rewrite::candidates(self, image)
    }

    /// All that the definition makes of an image.
    ///
    /// # Errors
    ///
    /// When it has no candidate: why it is left out.
    pub fn resolve(&self, image: &ImageRef) -> Result<Resolved, SkipReason> {
        let originals: Vec<Url> = self
            .candidates(image)?
            .into_iter()
            .map(|candidate| candidate.address)
            .collect();
        let stem = self.file_stem(image, originals.first().ok_or(SkipReason::NoRule)?);
        Ok(Resolved { originals, stem })
    }

    /// What the image is remembered by: its first candidate.
    ///
    /// # Errors
    ///
    /// When it has no candidate.
    pub fn key(&self, image: &ImageRef) -> Result<ImageKey, SkipReason> {
        let candidates = self.candidates(image)?;
        let first = candidates.first().ok_or(SkipReason::NoRule)?;
        Ok(ImageKey::new(&self.id, &first.address))
    }

    /// The name for the image's file; depends on nothing but the addresses and the format of its bytes.
    pub fn name(&self, image: &ImageRef, original: &Url, format: Format) -> ImageName {
        ImageName::from_safe(&self.file_stem(image, original), format.extension())
    }

    /// The stem of [`Site::name`], which needs no bytes.
    pub fn stem(&self, image: &ImageRef, original: &Url) -> Stem {
        Stem::new(&self.file_stem(image, original))
    }

    fn file_stem(&self, image: &ImageRef, original: &Url) -> String {
        name::stem(&self.naming.text(image, original))
    }
}

/// The definitions that ship: name and TOML text, the default site first.
pub fn shipped() -> &'static [(&'static str, &'static str)] {
    &[
        (
            "simpledesktops",
            include_str!("shipped/simpledesktops.toml"),
        ),
        ("demo", include_str!("shipped/demo.toml")),
    ]
}

/// Why a definition or a page cannot be used.
#[derive(Debug, Error)]
pub enum SiteError {
    /// Something in a definition is wrong.
    #[error(transparent)]
    Definition(Box<LocatedDiagnostic>),
    /// No site ships under this name.
    #[error("no site `{}` ships with wallhaul: {help}", .name.escape_debug())]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        help: String,
    },
    /// A page that would make too large a tree, or take too long to make one.
    #[error("the page {page} is no gallery's: it holds too many elements, or one that is too long")]
    TooLarge {
        /// The page.
        page: Url,
    },
}

impl SiteError {
    /// Tells it to somebody who has the definition in `file`: with the place marked where there is one.
    pub fn told(&self, file: &str, color: bool) -> String {
        match self {
            Self::Definition(fault) => fault.told(file, color),
            Self::Unknown { .. } | Self::TooLarge { .. } => format!("error: {self}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    const CATALOG: &str = include_str!("../../tests/fixtures/simpledesktops/catalog.tsv");
    const THUMBS: &str = include_str!("../../tests/fixtures/simpledesktops/thumbs.txt");
    const ORIGINALS: &str = include_str!("../../tests/fixtures/simpledesktops/originals.txt");

    fn simpledesktops() -> Site {
        Site::shipped("simpledesktops").unwrap()
    }

    fn shown(site: &Site, thumb: &str) -> ImageRef {
        let thumb = Url::parse(thumb).unwrap();
        ImageRef {
            site: site.id().clone(),
            page: site.first(),
            thumb,
            link: None,
            title: None,
            is_original: false,
        }
    }

    /// Thumb and original of every image in the catalogue.
    fn catalog() -> impl Iterator<Item = (&'static str, &'static str)> {
        CATALOG.lines().skip(1).map(|row| {
            let mut cells = row.split('\t');
            (cells.next().unwrap(), cells.next().unwrap())
        })
    }

    #[test]
    fn every_thumb_of_the_catalogue_leads_to_its_original() {
        let site = simpledesktops();
        for (thumb, original) in catalog() {
            let candidates = site.candidates(&shown(&site, thumb)).unwrap();
            let [Candidate { address }] = &candidates[..] else {
                panic!("{candidates:?}")
            };
            assert_eq!(
                address.as_str(),
                original.replacen("http://", "https://", 1)
            );
        }
        assert_eq!(catalog().count(), 1_436);
    }

    #[test]
    fn every_sized_thumb_ever_seen_is_cut_and_no_original_is() {
        let site = simpledesktops();
        let sized = |address: &&str| address.contains("_q");
        for thumb in THUMBS.lines().filter(sized) {
            let original = site
                .candidates(&shown(&site, thumb))
                .unwrap()
                .remove(0)
                .address;
            let rest = site.canonical(Url::parse(thumb).unwrap());
            let rest = rest.as_str().strip_prefix(original.as_str()).unwrap();
            assert!(
                rest.starts_with('.')
                    && rest.ends_with("_q100.png")
                    && rest.matches('.').count() == 2,
                "{thumb}"
            );
        }
        assert_eq!(THUMBS.lines().filter(sized).count(), 1_455);
        for original in ORIGINALS.lines() {
            assert_eq!(
                site.candidates(&shown(&site, original)),
                Err(SkipReason::NoRule),
                "{original}"
            );
        }
    }

    #[test]
    fn no_two_images_of_the_catalogue_have_the_same_name_or_key() {
        let site = simpledesktops();
        let mut names = HashSet::new();
        let mut keys = HashSet::new();
        for (thumb, _) in catalog() {
            let image = shown(&site, thumb);
            let original = site.candidates(&image).unwrap().remove(0).address;
            let name = site.name(&image, &original, Format::Jpeg);
            assert_eq!(site.stem(&image, &original), name.stem());
            assert!(names.insert(name.normalized()), "{name}");
            assert!(keys.insert(site.key(&image).unwrap()), "{thumb}");
        }
        assert_eq!(names.len(), 1_436);
    }

    #[test]
    fn a_thumb_that_no_rule_fits_or_that_leads_astray_is_told_and_not_taken() {
        let site = simpledesktops();
        let why = |thumb: &str| site.candidates(&shown(&site, thumb)).unwrap_err();
        assert_eq!(
            why("https://static.simpledesktops.com/a_iphone_thumb.png"),
            SkipReason::NoRule
        );
        assert_eq!(
            why("https://static.simpledesktops.com/a.png.295x184_q100.svg"),
            SkipReason::NoRule
        );
        let elsewhere = why("http://elsewhere.invalid/a.png.295x184_q100.png");
        assert_eq!(
            elsewhere,
            SkipReason::Address(
                "the definition does not name its host `elsewhere.invalid`".to_owned()
            )
        );
        assert_eq!(
            site.key(&shown(&site, "https://simpledesktops.com/")),
            Err(SkipReason::NoRule)
        );
    }

    #[test]
    fn a_rewrite_that_yields_the_thumb_or_no_address_has_its_own_reason() {
        let (_, text) = shipped()[0];
        let why = |to: &str| {
            let site =
                Site::from_toml(&text.replace("to = \"${full}\"", &format!("to = \"{to}\"")))
                    .unwrap();
            let image = shown(
                &site,
                "http://static.simpledesktops.com/a.png.295x184_q100.png",
            );
            site.candidates(&image).unwrap_err().to_string()
        };
        assert!(
            why("https://static.simpledesktops.com/a.png.295x184_q100.png").contains("as it is")
        );
        assert!(why("a.png").contains("no address"));
        assert!(why("file:///etc/passwd").contains("`file:` is not asked for"));
        assert!(why("https://me@static.simpledesktops.com/a.png").contains("a user name"));
        assert!(why("https://static.simpledesktops.com:99999/a.png").contains("no address"));
    }

    #[test]
    fn a_name_comes_from_the_picture_and_its_extension_from_the_bytes() {
        let site = simpledesktops();
        let name = |path: &str, format: Format| {
            let original = Url::parse(&format!("https://static.simpledesktops.com{path}")).unwrap();
            site.name(
                &shown(&site, "https://static.simpledesktops.com/t"),
                &original,
                format,
            )
            .to_string()
        };
        assert_eq!(
            name("/uploads/desktops/2010/09/05/MacGiraf.png", Format::Jpeg),
            "2010-09-05-MacGiraf.jpg"
        );
        assert_eq!(
            name("/photo/2010/01/02/old.PNG", Format::Png),
            "2010-01-02-old.png"
        );
        assert_eq!(
            name("/desktops/2011/01/02/st.-patric.png", Format::Png),
            "2011-01-02-st.-patric.png"
        );
        assert_eq!(
            name("/uploads/2011/01/02/2880x1800.jpeg", Format::Png),
            "2011-01-02-2880x1800.png"
        );
        assert_eq!(
            name("/2011/01/02/..%2F..%2F.bashrc", Format::Gif),
            "2011-01-02-.bashrc.gif"
        );
        assert_eq!(name("/no/date/a%20b.png", Format::Png), "a b.png");
        assert_eq!(name("/no/date/", Format::Png), "image.png");
        assert_eq!(name("/download/?desktop=7", Format::Png), "desktop=7.png");
        assert_eq!(name("/con.png", Format::Png), "_con.png");
    }

    #[test]
    fn pages_are_counted_and_hosts_are_named_by_the_definition() {
        let site = simpledesktops();
        assert_eq!(
            site.first().as_str(),
            "https://simpledesktops.com/browse/1/"
        );
        assert_eq!(
            site.page(u32::MAX).as_str(),
            "https://simpledesktops.com/browse/4294967295/"
        );
        assert_eq!(
            site.hosts().collect::<Vec<_>>(),
            ["simpledesktops.com", "static.simpledesktops.com"]
        );
        assert_eq!(site.image_host(), "static.simpledesktops.com");
        assert!(site.ends_at(404) && !site.ends_at(200) && !site.ends_at(500));
    }

    #[test]
    fn a_site_can_be_shared_by_every_worker() {
        fn shared<T: Send + Sync>(_: &T) {}
        shared(&simpledesktops());
    }

    /// What should come of the page in a folder of `tests/fixtures/sites`.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expected {
        address: Url,
        items: usize,
        without_thumb: usize,
        unusable: usize,
        image: Vec<ExpectedImage>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ExpectedImage {
        thumb: Url,
        link: Option<Url>,
        title: Option<String>,
        candidates: Vec<Url>,
        name: Option<String>,
    }

    fn hold(folder: &Path) {
        let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        let site = match fs::read_to_string(folder.join("definition.toml")) {
            Ok(definition) => Site::from_toml(&definition).unwrap(),
            Err(_) => Site::shipped(folder.file_name().unwrap().to_str().unwrap()).unwrap(),
        };
        let Expected {
            address,
            items,
            without_thumb,
            unusable,
            image,
        } = toml::from_str(&text("expected.toml")).unwrap();
        assert_eq!(site.first(), address);
        let page = site.read(&address, &text("page-1.html")).unwrap();
        assert_eq!(page.health.look(true), PageVerdict::Items);
        assert_eq!(
            (
                page.health.items,
                page.health.without_thumb,
                page.health.unusable
            ),
            (items, without_thumb, unusable)
        );
        assert_eq!(page.images.len(), image.len());
        for (found, expected) in page.images.iter().zip(image) {
            let ExpectedImage {
                thumb,
                link,
                title,
                candidates,
                name,
            } = expected;
            let expected = ImageRef {
                site: site.id().clone(),
                page: address.clone(),
                thumb,
                link,
                title,
                is_original: false,
            };
            assert_eq!(found, &expected);
            let ways = site.candidates(found).unwrap_or_default();
            assert_eq!(
                ways.iter()
                    .map(|way| way.address.clone())
                    .collect::<Vec<_>>(),
                candidates
            );
            let named = candidates
                .first()
                .map(|original| site.name(found, original, Format::Png).to_string());
            assert_eq!(named, name);
        }
    }

    #[test]
    fn what_is_expected_of_each_sites_page_comes_of_it() {
        let sites = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sites");
        let folders = fs::read_dir(sites)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir());
        assert!(folders.inspect(|folder| hold(folder)).count() > 0);
    }
}
