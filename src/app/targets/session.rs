//! The source that a command works on: its definition, the fetcher for its hosts, and where its collection is.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use percent_encoding::percent_decode_str;
use url::Url;

use super::definitions::{Definition, Definitions};
use super::secrets::secrets;
use crate::config::{PageRange, Settings};
use crate::demo::{self, DemoServer, Gallery};
use crate::fetch::{Fetcher, Proxies, Secrets, SiteOrigins, SiteRules};
use crate::job::SiteId;
use crate::sink::Location;
use crate::site::{DirectUrls, ImageSource, Pages, Site, UrlKind};

/// The site where none is named.
const DEFAULT_SITE: &str = "simpledesktops";

/// The site that the program serves itself.
const DEMO: &str = "demo";

/// A source of images, the fetcher for its hosts, and the location of its collection.
pub(in crate::app) struct SiteSession {
    pub(in crate::app) source: ImageSource,
    pub(in crate::app) fetcher: Arc<Fetcher>,
    pub(in crate::app) location: Location,
    /// The built-in site is served as long as this lives.
    _demo_server: Option<DemoServer>,
}

/// A site, or the user's own URLs, before anything is requested.
#[derive(Clone)]
pub(in crate::app) enum SelectedSource {
    Site(SelectedSite),
    /// URLs that belong to no site.
    Direct(DirectUrls),
}

/// A site that was named, before anything is requested.
#[derive(Clone)]
pub(in crate::app) struct SelectedSite {
    pub(in crate::app) site: Arc<Site>,
    /// Whether the definition is the user's own. Its hosts were then named by the user, so they may be private.
    own: bool,
    /// Addresses that the user gave for it.
    given: Vec<Url>,
}

/// The sites that were named; every definition is read before the first request.
pub(in crate::app) fn select_sites(
    names: &[String],
    settings: &Settings,
    definitions: &Definitions,
) -> anyhow::Result<Vec<SelectedSite>> {
    let mut own = SelectedSite::from_site_file(settings, definitions)?;
    if names.is_empty() {
        return Ok(vec![own.map_or_else(
            || SelectedSite::named(DEFAULT_SITE, definitions),
            Ok,
        )?]);
    }
    if names.len() > 1 && settings.base_url.is_some() {
        bail!("--base-url is the mirror of one site: name one");
    }
    let mut sites: Vec<SelectedSite> = Vec::with_capacity(names.len());
    for name in names {
        if sites.iter().any(|named| named.id().as_str() == name) {
            bail!("the site `{name}` is named twice");
        }
        sites.push(match own.take_if(|own| own.site.id().as_str() == name) {
            Some(own) => own,
            None => SelectedSite::named(name, definitions)?,
        });
    }
    if let Some(unused) = own {
        bail!(
            "--site-file defines the site `{}`, which is not among those named",
            unused.site.id()
        );
    }
    Ok(sites)
}

/// The source whose collection is named: a site, or `direct`, which has no listing.
pub(in crate::app) fn select_source(
    name: Option<String>,
    settings: &Settings,
    definitions: &Definitions,
) -> anyhow::Result<SelectedSource> {
    if settings.site_file.is_none() && name.as_deref() == Some(DirectUrls::NAME) {
        return Ok(SelectedSource::Direct(DirectUrls::new()));
    }
    let names: Vec<_> = name.into_iter().collect();
    select_sites(&names, settings, definitions)?
        .pop()
        .map(SelectedSource::Site)
        .context("there is no site of that name")
}

impl SiteSession {
    /// [`SiteSession::open`] for jobs that came from another machine: what they name is not what the user names.
    pub(in crate::app) async fn open_for_jobs(
        selected: SelectedSource,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let session = Self::open(selected, settings, true).await?;
        if matches!(session.source, ImageSource::Site(_)) {
            return Ok(session);
        }
        let fetcher = Fetcher::anywhere_public(&settings.fetch, &direct_origins()?)?;
        Ok(Self {
            fetcher: Arc::new(fetcher),
            ..session
        })
    }

    /// Prepares requests to a source; the built-in site is started first.
    pub(in crate::app) async fn open(
        selected: SelectedSource,
        settings: &Settings,
        several: bool,
    ) -> anyhow::Result<Self> {
        let location = settings.place.collection(selected.id().as_str(), several);
        let named = match selected {
            SelectedSource::Site(named) => named,
            SelectedSource::Direct(direct) => {
                let fetcher = Fetcher::anywhere(&settings.fetch, &direct_origins()?)?;
                return Ok(Self {
                    source: ImageSource::Direct(direct),
                    fetcher: Arc::new(fetcher),
                    location,
                    _demo_server: None,
                });
            }
        };
        let secrets = named.check(settings)?;
        let origins = named.origins()?;
        let site = named.site;
        let mut fetch_settings = settings.fetch.clone();
        let mut mirror = settings.base_url.clone();
        let mut demo_server = None;
        if mirror.is_none() && site.id().as_str() == DEMO {
            let demo = demo::serve(Gallery::demo())
                .await
                .context("serving the demo site")?;
            mirror = Some(demo.address().clone());
            // A proxy cannot reach the loopback interface of this machine.
            fetch_settings.proxies = Proxies::default();
            demo_server = Some(demo);
        }
        let (hosts, requests) = (site.image_hosts(), site.requests());
        if let Some(user_agent) = &requests.user_agent
            && settings.chosen_user_agent.is_none()
        {
            fetch_settings.user_agent.clone_from(user_agent);
        }
        let rules = if mirror.is_some() {
            SiteRules::for_mirror(hosts, requests)?
        } else {
            SiteRules::new(hosts, requests, &secrets)?
        };
        let passwords = passwords(settings);
        let rules = rules.hiding(passwords.iter().map(String::as_str));
        let fetcher = Fetcher::for_site(&fetch_settings, &origins, rules, mirror)?;
        let fetcher = Arc::new(fetcher);
        Ok(Self {
            source: ImageSource::Site(site),
            fetcher,
            location,
            _demo_server: demo_server,
        })
    }
}

/// The passwords in addresses that the user gave for variables: a word to search for may be in the address of a page.
fn passwords(settings: &Settings) -> Vec<String> {
    let values = settings.variables.values();
    let addresses = values.flat_map(|value| Url::parse(value));
    let passwords = addresses.filter_map(|address| {
        let password = percent_decode_str(address.password()?);
        Some(password.decode_utf8_lossy().into_owned())
    });
    passwords.collect()
}

/// The pages of a site's listing that the settings ask for.
///
/// # Errors
///
/// When the listing cannot have such pages.
pub(in crate::app) fn wanted_pages(settings: &Settings, site: &Site) -> anyhow::Result<Pages> {
    let PageRange { first, last } = settings.pages;
    let pages = Pages { first, last };
    match site.objection_to(pages) {
        Some(objection) => bail!("--pages: {objection} (`{}`)", site.id()),
        None => Ok(pages),
    }
}

impl SelectedSource {
    pub(in crate::app) fn id(&self) -> &SiteId {
        match self {
            Self::Site(named) => named.id(),
            Self::Direct(direct) => direct.id(),
        }
    }

    /// The variables that hold its secrets, or name the files with them, and those that the user lets definitions have.
    /// No other program is to see them.
    pub(in crate::app) fn secret_variables(&self, settings: &Settings) -> Vec<OsString> {
        let of_site = match self {
            Self::Site(named) => &named.site.requests().secrets[..],
            Self::Direct(_) => &[],
        };
        let named = of_site.iter().map(|secret| &secret.variable);
        let named = named.chain(&settings.secret_env);
        named
            .flat_map(|name| [OsString::from(name), OsString::from(format!("{name}_FILE"))])
            .collect()
    }

    /// Finds out whether anything may be requested; nothing is.
    ///
    /// # Errors
    ///
    /// As [`SelectedSite::check`].
    pub(in crate::app) fn check(&self, settings: &Settings) -> anyhow::Result<()> {
        match self {
            Self::Site(named) => named.check(settings).map(drop),
            Self::Direct(_) => Ok(()),
        }
    }
}

impl SelectedSite {
    /// Every site there is: the one of `--site-file` first, then the user's others, then those that ship.
    pub(in crate::app) fn all(
        settings: &Settings,
        definitions: &Definitions,
    ) -> anyhow::Result<Vec<Self>> {
        let mut sites = Vec::from_iter(Self::from_site_file(settings, definitions)?);
        for name in definitions.names()? {
            let definition = definitions.find(&name)?;
            // One that lacks a value has no pages, and no URL can be one of theirs.
            if let Some(site) = definitions.compile_if_complete(&definition)? {
                sites.push(Self::compiled(site, &definition, definitions));
            }
        }
        definitions.check_variables(sites.iter().map(|named| &*named.site))?;
        Ok(sites)
    }

    pub(in crate::app) fn id(&self) -> &SiteId {
        self.site.id()
    }

    /// The site of this name.
    pub(in crate::app) fn named(name: &str, definitions: &Definitions) -> anyhow::Result<Self> {
        Self::new(&definitions.find(name)?, definitions)
    }

    /// The site that this definition describes.
    pub(in crate::app) fn new(
        definition: &Definition,
        definitions: &Definitions,
    ) -> anyhow::Result<Self> {
        let site = definitions.compile(definition)?;
        Ok(Self::compiled(site, definition, definitions))
    }

    fn compiled(site: Site, definition: &Definition, definitions: &Definitions) -> Self {
        let own = definition.place.path().is_some();
        // Its `any` is the user's own word.
        let takes_any = own || definitions.allows_any_host(site.id());
        let given = Vec::from_iter(definitions.given_address(site.base()));
        Self {
            site: Arc::new(if takes_any {
                site.allowing_any_host()
            } else {
                site
            }),
            own,
            given,
        }
    }

    /// The same, named by an address that the user gave: its host is theirs.
    pub(super) fn named_by(mut self, address: &str) -> Self {
        self.given
            .extend(Url::parse(address).map(|url| self.site.canonical(url)));
        self
    }

    /// Finds out whether anything may be requested of the site; its secrets. A mirror gets none.
    ///
    /// # Errors
    ///
    /// When the site is off and the user has not turned it on, or a secret that it needs is missing.
    fn check(&self, settings: &Settings) -> anyhow::Result<Secrets> {
        let site = &self.site;
        let name = site.id();
        let is_on = settings.opt_in.iter().any(|known| known == name.as_str());
        if let Some(reason) = site.opt_in()
            && !is_on
        {
            bail!("`{name}` is off: {reason}; `--opt-in {name}` turns it on");
        }
        if settings.base_url.is_some() || name.as_str() == DEMO {
            return Ok(Secrets::new());
        }
        secrets(site, self.own, settings)
    }

    /// The user's own, from `--site-file`; `None` if that is not given.
    fn from_site_file(
        settings: &Settings,
        definitions: &Definitions,
    ) -> anyhow::Result<Option<Self>> {
        let Some(path) = settings.site_file.as_deref() else {
            return Ok(None);
        };
        Self::new(&Definitions::read(path)?, definitions).map(Some)
    }

    /// Finds out whether a URL is one of the site's, and of which kind.
    pub(in crate::app) fn classify_url(&self, url: &Url) -> Option<UrlKind> {
        self.site.classify_url(url)
    }

    pub(in crate::app) fn origins(&self) -> anyhow::Result<SiteOrigins> {
        let site = &self.site;
        let on = |host: &str| Url::parse(&format!("{}://{host}", site.scheme()));
        let hosts: Vec<_> = site.hosts().map(str::to_owned).collect();
        let pages = site.base().clone();
        // Only `base` can have a port, which holds for the images too where they are on its host.
        let same_host = pages.host_str() == Some(site.image_host());
        let images = if same_host {
            pages.clone()
        } else {
            on(site.image_host())?
        };
        let named: Result<Vec<_>, _> = hosts
            .iter()
            .filter(|_| self.own)
            .map(|host| on(host))
            .collect();
        let named = named?
            .into_iter()
            .chain(self.own.then(|| pages.clone()))
            .chain(self.given.iter().cloned())
            .collect();
        Ok(SiteOrigins {
            pages,
            images,
            hosts,
            named,
        })
    }
}

/// The origins for URLs of no site: a host that cannot exist (RFC 2606), so that no given URL counts as a site's own.
pub(in crate::app) fn direct_origins() -> anyhow::Result<SiteOrigins> {
    let reserved = Url::parse("https://direct.invalid")?;
    Ok(SiteOrigins {
        pages: reserved.clone(),
        images: reserved,
        hosts: Vec::new(),
        named: Vec::new(),
    })
}

/// The origins for a page that the user named, which may have redirected to `page`, and for what stands on it: only the
/// origin that was named may be private.
pub(in crate::app) fn user_origins(page: &Url, named: &Url, hosts: Vec<String>) -> SiteOrigins {
    SiteOrigins {
        pages: page.clone(),
        images: page.clone(),
        hosts,
        named: vec![named.clone()],
    }
}
