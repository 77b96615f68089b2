//! The only way to the network: pages as text, images as bytes, and no address that the policy does
//! not allow.
//!
//! ```text
//! page(), image() -> mirror (the address to request) -> [ policy -> robots.txt -> host rate -> request ] -> Body
//!                                                         ^-------------------- redirect ----------+
//! ```
//!
//! The submodules, each of which names only those after it:
//! `archive` > `request` > `hops` > `transport` > `body` > `limits` > `access` > `error`, `settings` > `proxies`.

mod access;
mod archive;
mod body;
mod error;
mod hops;
mod limits;
mod proxies;
mod request;
#[cfg(test)]
pub(crate) mod scripted;
mod settings;
mod transport;

use std::sync::Arc;

use url::Url;

use self::access::{Mirror, Policy, Subject};
use self::archive::Archive;
use self::body::RangeRequest;
use self::request::Requester;
use crate::event::Events;
use crate::job::{Candidate, ImageRef, Record};
use crate::mask::Masks;
use crate::part::ResumeInfo;

pub use self::access::{Secret, Secrets, SiteOrigins, SiteRules};
pub use self::body::{Page, RawPage};
pub use self::error::{FetchError, FetchErrorKind, Retryability, SettingError, TlsFailure};
pub use self::limits::Retry;
pub use self::proxies::{Proxies, ProxyError};
pub use self::settings::{
    ArchiveMode, ArchiveSettings, CookieSource, FetchSettings, Robots, WantedCaptures,
};

/// The body of a response.
pub type Body = body::BodyStream<transport::ClientResponse>;

/// Parsers of what servers send, for the fuzz targets; not part of the interface.
#[doc(hidden)]
pub mod fuzzing {
    pub use super::body::{decode, parse_content_range, undo_codings};
    pub use super::limits::parse_retry_after;
    pub use super::transport::{clean_head, usual_head};
}

/// Fetches the pages and images of one site.
#[derive(Debug)]
pub struct Fetcher {
    requester: Requester,
    mirror: Mirror,
    archive: Option<Archive>,
    rules: SiteRules,
}

impl Fetcher {
    /// A fetcher for a site, or for the `mirror` that stands in for it. Nothing is requested yet.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used: a header, a certificate file, a host of the definition.
    pub fn new(
        settings: &FetchSettings,
        site: &SiteOrigins,
        mirror: Option<Url>,
    ) -> Result<Self, SettingError> {
        Self::for_site(settings, site, SiteRules::default(), mirror)
    }

    /// A fetcher for a site whose definition says more about its requests than where they go.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::new`].
    pub fn for_site(
        settings: &FetchSettings,
        site: &SiteOrigins,
        rules: SiteRules,
        mirror: Option<Url>,
    ) -> Result<Self, SettingError> {
        let policy = Policy::new(site, mirror.as_ref())?;
        let mirror = Mirror::new(site, &rules, mirror);
        Self::with_policy(policy, settings, rules, site, mirror)
    }

    /// A fetcher for addresses that the user lists: each allows its own origin, and may redirect to
    /// any public host. The origins of `site` are placeholders.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::new`].
    pub fn anywhere(settings: &FetchSettings, site: &SiteOrigins) -> Result<Self, SettingError> {
        let rules = SiteRules::default();
        let mirror = Mirror::new(site, &rules, None);
        Self::with_policy(Policy::anywhere(), settings, rules, site, mirror)
    }

    /// Prepares requests for addresses that others than the user have listed: to public hosts alone.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::new`].
    pub fn anywhere_public(
        settings: &FetchSettings,
        site: &SiteOrigins,
    ) -> Result<Self, SettingError> {
        let rules = SiteRules::default();
        let mirror = Mirror::new(site, &rules, None);
        Self::with_policy(Policy::anywhere_public(), settings, rules, site, mirror)
    }

    fn with_policy(
        policy: Policy,
        settings: &FetchSettings,
        rules: SiteRules,
        site: &SiteOrigins,
        mirror: Mirror,
    ) -> Result<Self, SettingError> {
        let requester = Requester::new(policy, settings, rules.clone(), &site.pages)?;
        let archive = settings
            .archive
            .as_ref()
            .map(|archive| Archive::new(archive, settings, &requester))
            .transpose()?;
        Ok(Self {
            requester,
            mirror,
            archive,
            rules,
        })
    }

    /// Reports to `events` what concerns all requests now, and later what concerns a whole host, as long as the run of
    /// these events goes on.
    pub async fn report_to(&self, events: &Events) {
        self.requester.report_to(events).await;
        if let Some(archive) = &self.archive {
            archive.requester().report_to(events).await;
        }
    }

    /// Reads the robots.txt that holds for a canonical address, unless that happened already: later
    /// requests to the host then need not wait for it. Whether it could be read is the result of
    /// those.
    pub async fn load_robots(&self, address: &Url) {
        if self.archive_alone().is_some() {
            // The site is not asked for anything.
            return;
        }
        self.requester.load_robots(&self.request_url(address)).await;
    }

    /// Whether the host of a canonical address gets its requests at an interval: that of the user, of the definition, or
    /// of its robots.txt, once that is read. The web archive counts as such a host.
    pub fn has_interval(&self, address: &Url) -> bool {
        self.archive_alone().is_some() || self.requester.has_interval(&self.request_url(address))
    }

    /// Reads the page at a canonical address, with retries.
    ///
    /// # Errors
    ///
    /// The error of the last try. [`FetchError::is_gone`] is how many listings end.
    pub async fn page(&self, address: &Url) -> Result<Page, FetchError> {
        self.listing_page(address, &[]).await
    }

    /// Reads a page as [`Fetcher::page`] does, but follows no redirect whose status is among
    /// `end_statuses`: that status is then the answer.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::page`]; one of `end_statuses` is an error too.
    pub async fn listing_page(
        &self,
        address: &Url,
        end_statuses: &[u16],
    ) -> Result<Page, FetchError> {
        if let Some(archive) = self.archive_alone() {
            let (_raw, page) = Box::pin(archive.page(&self.requester, address)).await?;
            return Ok(page);
        }
        self.requester
            .page(&self.request_url(address), end_statuses)
            .await
    }

    /// Reads a page that leads to an image, once; with `has_next`, another address may lead there too, as for
    /// [`Fetcher::candidate`].
    ///
    /// # Errors
    ///
    /// As [`Fetcher::candidate`].
    pub async fn candidate_page(&self, address: &Url, has_next: bool) -> Result<Page, FetchError> {
        if let Some(archive) = self.archive_alone() {
            let (_raw, page) = Box::pin(archive.page(&self.requester, address)).await?;
            return Ok(page);
        }
        self.requester
            .page_once(&self.request_url(address), has_next)
            .await
    }

    /// Reads a page that leads to an image from the web archive, and where that has none from its site. `None` where the
    /// archive is not to be asked for what a site has lost.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::candidate`]; [`FetchError::is_not_archived`] where neither has it.
    pub(crate) async fn lost_page(&self, address: &Url) -> Option<Result<Page, FetchError>> {
        let archive = self
            .archive
            .as_ref()
            .filter(|archive| !archive.is_alone())?;
        Some(match archive.page(&self.requester, address).await {
            Ok((_raw, page)) => Ok(page),
            Err(error) if error.is_not_archived() => {
                let page = self.candidate_page(address, true).await;
                page.map_err(|_| error)
            }
            Err(error) => Err(error),
        })
    }

    /// Reads the page at an address that the user gave: where the user gives the addresses, its origin is allowed from
    /// now on.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::page`].
    pub async fn given_page(&self, address: &Url) -> Result<Page, FetchError> {
        self.requester.allow(address);
        self.page(address).await
    }

    /// Reads the page at a canonical address as the server sends it, with retries.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::page`].
    pub async fn raw_page(&self, address: &Url) -> Result<RawPage, FetchError> {
        if let Some(archive) = self.archive_alone() {
            let (raw, _page) = Box::pin(archive.page(&self.requester, address)).await?;
            return Ok(raw);
        }
        self.requester.raw_page(&self.request_url(address)).await
    }

    /// Requests the image at a canonical address once; with `resume`, only the bytes after those
    /// that a part holds. If the part cannot be resumed, `Body::from` is 0 and the part starts
    /// over.
    ///
    /// # Errors
    ///
    /// [`Retry::pause`] says whether and when to try again, and [`FetchError::is_stale_part`] that
    /// the part must be dropped first.
    pub async fn image(
        &self,
        address: &Url,
        resume: Option<(&ResumeInfo, u64)>,
    ) -> Result<Body, FetchError> {
        self.candidate(address, None, resume, false).await
    }

    /// Requests an image as [`Fetcher::image`] does, where it may be at another address as well:
    /// with `has_next`, a refusal (403) that only means to try that one does not count against the
    /// host. `page` is the canonical address of the page that shows it, for its `Referer`.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::image`]; [`FetchError::is_absence`] says to try the next address.
    pub async fn candidate(
        &self,
        address: &Url,
        page: Option<&Url>,
        resume: Option<(&ResumeInfo, u64)>,
        has_next: bool,
    ) -> Result<Body, FetchError> {
        if let Some(archive) = &self.archive {
            let original = archive.original(address);
            if archive.is_alone() || original.is_some() {
                let address = original.as_ref().unwrap_or(address);
                return Box::pin(archive.image(&self.requester, address)).await;
            }
        }
        let masks = self.masks();
        // What is stored of a part has no secrets.
        let range = resume
            .and_then(|(info, have)| RangeRequest::new(&masks.apply_url(address), info, have));
        let mut body = self
            .requester
            .image(self.request_url(address), page, range, has_next)
            .await?;
        if !masks.is_empty() {
            body.hide_labels_if(|label| masks.matches(label));
        }
        Ok(body)
    }

    /// The address by which [`Fetcher::candidate`] asks the web archive for what it has of `address`; `None` where the
    /// archive is not to be asked for what a site has lost.
    pub fn archived_url(&self, address: &Url) -> Option<Url> {
        let archive = self
            .archive
            .as_ref()
            .filter(|archive| !archive.is_alone())?;
        Some(archive.request_url(address))
    }

    /// The archive, where nothing else is asked.
    fn archive_alone(&self) -> Option<&Archive> {
        self.archive.as_ref().filter(|archive| archive.is_alone())
    }

    /// The secrets that go along with requests. Pages, addresses and errors that come from here may hold them, for a
    /// server may repeat what it was sent: whoever shows or stores them takes the secrets out.
    pub fn masks(&self) -> &Masks {
        self.rules.masks()
    }

    /// The address that is requested for a canonical one: with a mirror, the mirror's. Where only the web archive is
    /// asked, it stays the same, for which capture answers is not known before. What the site's definition adds is added
    /// when it is sent.
    fn request_url(&self, address: &Url) -> Url {
        if self.archive_alone().is_some() {
            address.clone()
        } else {
            self.mirror.request_url(address)
        }
    }

    /// The address that is requested for a canonical one, as outputs show it: without secrets, and without the user name
    /// and password that the user may have given for a mirror.
    pub fn shown_url(&self, address: &Url) -> Url {
        let mut shown = self.request_url(address);
        // Both are refused only where there is no host, and hence no password.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        self.masks().mask_url(&mut shown);
        shown
    }

    /// Makes the addresses of images canonical that were all found on one page, whose address they share afterwards:
    /// from a mirror thumbs move to the site's image host, page and links to the page host, and what the definition adds
    /// to requests is taken away.
    pub fn canonicalize(&self, images: &mut [ImageRef]) {
        self.mirror.canonicalize(images);
        let Some(first) = images.first_mut() else {
            return;
        };
        self.rules
            .strip(Subject::Page, Arc::make_mut(&mut first.page));
        let page = Arc::clone(&first.page);
        for image in images {
            image.page = Arc::clone(&page);
            for address in image.link.iter_mut().chain([&mut image.thumb]) {
                self.rules.strip(Subject::Image, address);
            }
            let Record(fields) = &mut image.record;
            for text in fields.iter_mut().flatten() {
                self.rules.strip_text(Subject::Image, text);
            }
        }
    }

    /// The canonical address of a listing page that was found on the page that came from `page`.
    pub fn canonical_page(&self, page: &Url, address: Url) -> Url {
        let mut canonical = self.mirror.canonical_page(page, address);
        self.rules.strip(Subject::Page, &mut canonical);
        canonical
    }

    /// Makes candidates that were found on the page that came from `page` canonical, as [`Fetcher::canonicalize`] does.
    pub fn canonicalize_candidates(&self, page: &Url, candidates: &mut [Candidate]) {
        self.mirror.canonicalize_candidates(page, candidates);
        for candidate in candidates {
            match candidate {
                Candidate::Direct(address) => self.rules.strip(Subject::Image, address),
                Candidate::Follow(follow) => self.rules.strip(Subject::Page, &mut follow.page),
            }
        }
    }

    #[cfg(test)]
    fn idle_connections(&self) -> usize {
        self.requester.idle_connections()
    }
}
