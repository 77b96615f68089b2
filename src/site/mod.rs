//! Sites as pure values: text in, values out; no network, no clock, no disk.
//!
//! `definition` compiles the TOML of `schema` into a [`Site`]. Of the rest each part is one step of an image's way:
//! `paging` (which page is next), `document` (text -> tree), `extract` (page -> images), `candidate` (image -> addresses
//! of its original), `follow` (detail page -> original), `identity` (-> key), `declared` (-> what its bytes must be),
//! `file_name` and `name` (-> file name).

mod address;
mod candidate;
mod classify;
mod cut;
mod declared;
mod definition;
mod diagnostic;
mod direct;
mod document;
mod error;
mod extract;
mod facts;
mod fields;
mod file_name;
#[cfg(test)]
mod fixture_tests;
mod follow;
mod hosts;
mod identity;
mod json_schema;
pub mod learn;
mod name;
mod paging;
mod pattern;
mod requests;
mod resolver;
mod schema;
mod selector;
mod shipped;
mod signature;
mod source;
mod template;
mod variables;

/// Comparisons of two ways to read a page, for the fuzz targets; not part of the interface.
#[doc(hidden)]
pub mod fuzzing {
    pub use super::document::html::well_formed::matches_html_parser;
}

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::Date;
use url::Url;

use crate::event::ListingFailure;
use crate::job::{Candidate, ImageKey, ImageName, ImageRef, Resolved, SiteId, Stem};
use crate::mask::Masks;
use crate::outcome::{Format, SkipReason};

pub use classify::{UrlKind, objection};
pub use declared::UnusableDeclaration;
pub use diagnostic::LocatedDiagnostic;
pub use direct::DirectUrls;
pub use error::SiteError;
pub use extract::{ListingPage, PageHealth, PageText, PageVerdict, WrittenSources};
pub use facts::{DefinitionFacts, SecretFacts, VariableFacts};
pub use follow::follow;
pub use hosts::{AnyHost, HostPattern, ImageHosts};
pub use json_schema::definition_schema;
pub use name::{fit_name, fit_stem, safe_stem};
pub use paging::{
    NextPage, PageAnswer, PageContent, PageLinks, PageRequest, Pager, Pages, StatusMeaning, Step,
};
pub use requests::{
    ErrorAction, ErrorRule, Referer, RequestAdditions, RequestText, SecretSpec, SiteRequests,
};
pub use resolver::{ImageResolver, RuleResult};
pub use shipped::{shipped, shipped_definition, unknown_site};
pub use source::ImageSource;
pub use variables::{Variable, VariableError, VariableValues};

use candidate::CandidateRule;
use declared::DeclaredSources;
use document::Work;
use extract::Extractor;
use file_name::FileNameTemplate;
use identity::Identity;
use paging::PageOrder;
use variables::{Given, Variables};

/// A site as its definition describes it, with everything compiled. Every address that it takes and returns is
/// canonical: on the site's own hosts, and with https where the site has that.
#[derive(Debug)]
pub struct Site {
    id: SiteId,
    rules: String,
    description: String,
    inferred: Option<String>,
    opt_in: Option<String>,
    variables: Variables,
    requests: SiteRequests,
    base: Url,
    image_hosts: ImageHosts,
    page_order: Arc<PageOrder>,
    extractor: Extractor,
    candidates: Vec<CandidateRule>,
    identity: Identity,
    declared: DeclaredSources,
    file_name: FileNameTemplate,
    min_size: (u32, u32),
    skips_small: bool,
}

impl Site {
    /// Parses and compiles a definition; every variable has its default.
    ///
    /// # Errors
    ///
    /// When anything in it is wrong; the error has the line and the column. When a variable has no default.
    pub fn from_toml(text: &str) -> Result<Self, SiteError> {
        Self::with_variables(text, &VariableValues::new())
    }

    /// Parses and compiles a definition, whose variables have the user's values where these give any.
    ///
    /// # Errors
    ///
    /// When anything in it is wrong; the error has the line and the column. When a value does not fit it.
    pub fn with_variables(text: &str, values: &VariableValues) -> Result<Self, SiteError> {
        definition::compile(text, Given::User(values))
    }

    /// Parses and compiles a definition to be shown: an example stands in for a value that only the user can give.
    ///
    /// # Errors
    ///
    /// When anything in it is wrong; the error has the line and the column.
    pub fn to_show(text: &str) -> Result<Self, SiteError> {
        definition::compile(text, Given::Examples)
    }

    /// The site that ships under `name`.
    ///
    /// # Errors
    ///
    /// When there is none, or a variable of it has no default.
    pub fn shipped(name: &str) -> Result<Self, SiteError> {
        Self::shipped_with(name, &VariableValues::new())
    }

    /// The site that ships under `name`, whose variables have the user's values where these give any.
    ///
    /// # Errors
    ///
    /// When there is none, or a value does not fit it.
    pub fn shipped_with(name: &str, values: &VariableValues) -> Result<Self, SiteError> {
        Self::with_variables(shipped_definition(name)?, values)
    }

    /// What the user types, its collection's default name, and the first half of its keys.
    pub fn id(&self) -> &SiteId {
        &self.id
    }

    /// The definition's text and the values of its variables: what has other rules may find what these did not.
    pub fn rules(&self) -> &str {
        &self.rules
    }

    /// One line for people; may be empty.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What in the definition rests on no real answer of the site, if anything.
    pub fn inferred(&self) -> Option<&str> {
        self.inferred.as_deref()
    }

    /// Why the site is off until the user opts in, if it is.
    pub fn opt_in(&self) -> Option<&str> {
        self.opt_in.as_deref()
    }

    /// What the user may set.
    pub fn variables(&self) -> &[Variable] {
        self.variables.all()
    }

    /// What goes along with requests to it, and what its error answers mean.
    pub fn requests(&self) -> &SiteRequests {
        &self.requests
    }

    /// The origin of its pages.
    pub fn base(&self) -> &Url {
        &self.base
    }

    fn base_host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The host of its images, where one must be chosen: thumbs that a mirror serves are mapped back to it.
    pub fn image_host(&self) -> &str {
        self.image_hosts.exact().next().unwrap_or(self.base_host())
    }

    /// Every host that the definition names in full, the pages' first.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let others = self.image_hosts.exact();
        std::iter::once(self.base_host()).chain(others.filter(|&host| host != self.base_host()))
    }

    /// The hosts of its images beside that of its pages: no other host is contacted.
    pub fn image_hosts(&self) -> &ImageHosts {
        &self.image_hosts
    }

    /// Takes images on every public host from now on, if the definition offers that. It is for the user to allow: a
    /// definition of their own has said so itself, for one that ships they say `--allow-any-host`.
    #[must_use]
    pub fn allowing_any_host(mut self) -> Self {
        if self.image_hosts.any == AnyHost::NotAllowed {
            self.image_hosts.any = AnyHost::Allowed;
            self.rules.push_str("\nany host");
        }
        self
    }

    /// Whether the definition names `host`, in full or by a pattern.
    pub fn names_host(&self, host: &str) -> bool {
        host == self.base_host() || self.image_hosts.names(host)
    }

    /// The scheme of its addresses: an http address on its hosts is requested with https where the pages are.
    pub fn scheme(&self) -> &str {
        self.base.scheme()
    }

    /// The least width and height of its originals in pixels: a smaller image is a thumbnail in its place.
    pub fn min_size(&self) -> (u32, u32) {
        self.min_size
    }

    /// Whether a smaller image is one that the site shows beside its originals, to be skipped.
    pub fn skips_small(&self) -> bool {
        self.skips_small
    }

    /// The canonical form of `address`: with https on the site's hosts, where the site has that.
    pub fn canonical(&self, address: Url) -> Url {
        let has_https = self.scheme() == "https";
        address::with_https(address, |host| has_https && self.names_host(host))
    }

    /// The address of the first listing page.
    pub fn first_page(&self) -> Url {
        let first = self.page_order.first_page();
        first.unwrap_or_else(|| self.base.clone())
    }

    /// Begins a walk over these pages of the listing; a listing with windows of days begins with that of `today`.
    pub fn pager(&self, pages: Pages, today: Date) -> Pager {
        Pager::new(Arc::clone(&self.page_order), pages, today)
    }

    /// Why these pages cannot be asked for, if so: the listing is known to have fewer.
    pub fn objection_to(&self, pages: Pages) -> Option<String> {
        self.page_order.objection(pages)
    }

    /// Whether listing pages may be on `host`: the definition names it.
    fn names_page_host(&self, host: &str) -> bool {
        self.names_host(host)
    }

    /// Reads a listing page that came from the address `page`, to which its relative addresses are resolved. Whether it looks like the site at all is for [`PageHealth::verdict`] to say.
    ///
    /// # Errors
    ///
    /// When reading the page would take too much memory or time.
    pub fn read<'a>(
        &self,
        page: &Url,
        body: impl Into<PageText<'a>>,
    ) -> Result<ListingPage, ListingFailure> {
        extract::read(self, page, body.into())
    }

    /// Where the image's original may be found, in the order to be tried; never empty, never the thumb.
    ///
    /// # Errors
    ///
    /// When no rule matches, or no result of a rule may be requested: why this image is skipped.
    pub fn candidates(&self, image: &ImageRef) -> Result<Vec<Candidate>, SkipReason> {
        candidate::candidates(self, image, &Work::default())
    }

    /// What resolves the images of one page.
    pub fn resolver(&self) -> ImageResolver<'_> {
        ImageResolver::new(self)
    }

    /// The candidates and the key of an image that is alone on its page, as [`ImageResolver::resolve`].
    ///
    /// # Errors
    ///
    /// When it has no candidate: why it is skipped.
    pub fn resolve(&self, image: &ImageRef, masks: &Masks) -> Result<Resolved, SkipReason> {
        self.resolver().resolve(image, masks)
    }

    /// The identity of the image: its id, or made from its first candidate.
    ///
    /// # Errors
    ///
    /// When it has no candidate.
    pub fn key(&self, image: &ImageRef) -> Result<ImageKey, SkipReason> {
        let candidates = self.candidates(image)?;
        let first = candidates.first().ok_or(SkipReason::NoRule)?;
        Ok(self.identity.key(&self.id, image, first))
    }

    /// The first text of an item in the place of a hash or a number that is none, so that nothing is compared with it.
    pub fn unusable_declaration(&self, image: &ImageRef) -> Option<UnusableDeclaration> {
        self.declared.unusable(image)
    }

    /// What an image is known by that has no candidate: its id, or made from its thumb; without secrets.
    pub fn key_without_original(&self, image: &ImageRef, masks: &Masks) -> ImageKey {
        let mut image = Cow::Borrowed(image);
        if !masks.is_empty() {
            image.to_mut().mask(masks);
        }
        let thumb = Candidate::Direct(image.thumb.clone());
        self.identity.key(&self.id, &image, &thumb)
    }

    /// The name of the image's file, whose first candidate is `original`; depends only on what its listing shows of it and
    /// on the format of its bytes.
    pub fn name(&self, image: &ImageRef, original: &Url, format: Format) -> ImageName {
        let original = Candidate::Direct(original.clone());
        let stem = self.file_stem(image, &original, &Work::default());
        ImageName::from_safe(&stem, format.extension())
    }

    /// The normalized stem of [`Site::name`], which needs no bytes.
    pub fn stem(&self, image: &ImageRef, original: &Url) -> Stem {
        let original = Candidate::Direct(original.clone());
        Stem::new(&self.file_stem(image, &original, &Work::default()))
    }

    fn file_stem(&self, image: &ImageRef, first: &Candidate, work: &Work) -> String {
        let lasting = self.identity.lasting(first.url());
        name::stem(&self.file_name.text(image, first, &lasting, work))
    }
}

/// The safe stem of the file that a server names so; `None` if nothing is left of the name. The extension comes from the
/// bytes, as always.
pub fn served_stem(file_name: &str) -> Option<String> {
    let last = name::last(file_name);
    (!last.trim_matches(['.', ' ', '-']).is_empty()).then(|| name::stem(last))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::job::Record;

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
            page: site.first_page().into(),
            thumb,
            link: None,
            title: None,
            is_original: false,
            record: Record::default(),
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
    fn every_thumb_of_the_catalogue_is_rewritten_to_its_original() {
        let site = simpledesktops();
        for (thumb, original) in catalog() {
            let candidates = site.candidates(&shown(&site, thumb)).unwrap();
            let [candidate] = &candidates[..] else {
                panic!("{candidates:?}")
            };
            assert_eq!(
                candidate.url().as_str(),
                original.replacen("http://", "https://", 1)
            );
        }
        assert_eq!(catalog().count(), 1_436);
    }

    #[test]
    fn every_known_thumb_size_is_cut_and_no_original_is() {
        let site = simpledesktops();
        let sized = |address: &&str| address.contains("_q");
        for thumb in THUMBS.lines().filter(sized) {
            let candidates = site.candidates(&shown(&site, thumb)).unwrap();
            let original = candidates[0].url();
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
    fn the_catalogue_has_no_collision_of_file_names_or_keys() {
        let site = simpledesktops();
        let mut names = HashSet::new();
        let mut keys = HashSet::new();
        for (thumb, _) in catalog() {
            let image = shown(&site, thumb);
            let candidates = site.candidates(&image).unwrap();
            let original = candidates[0].url();
            let name = site.name(&image, original, Format::Jpeg);
            assert_eq!(site.stem(&image, original), name.stem());
            assert!(names.insert(name.normalized()), "{name}");
            assert!(keys.insert(site.key(&image).unwrap()), "{thumb}");
        }
        assert_eq!(names.len(), 1_436);
    }

    #[test]
    fn a_thumb_without_a_matching_regex_or_with_another_host_is_skipped_with_its_reason() {
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
        assert!(why("a.png").contains("not an address"));
        assert!(why("file:///etc/passwd").contains("`file:` is not supported"));
        assert!(why("https://me@static.simpledesktops.com/a.png").contains("a user name"));
        assert!(why("https://static.simpledesktops.com:99999/a.png").contains("not an address"));
    }

    #[test]
    fn a_file_name_comes_from_the_original_and_its_extension_from_the_bytes() {
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
    fn the_first_page_and_the_hosts_come_from_the_definition() {
        let site = simpledesktops();
        assert_eq!(
            site.first_page().as_str(),
            "https://simpledesktops.com/browse/1/"
        );
        assert_eq!(
            site.hosts().collect::<Vec<_>>(),
            ["simpledesktops.com", "static.simpledesktops.com"]
        );
        assert_eq!(site.image_host(), "static.simpledesktops.com");
    }

    #[test]
    fn a_site_can_be_shared_by_every_worker() {
        fn shared<T: Send + Sync>(_: &T) {}
        shared(&simpledesktops());
    }
}
