//! A visit to a site: its definition, the door to it, the folder its collection lies in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use url::Url;

use super::Environment;
use crate::config::{PageRange, Settings, text};
use crate::demo::{self, DemoServer, Gallery};
use crate::engine::{self, DiscoverOptions, Pages, Run, Shutdown};
use crate::event::Events;
use crate::exit::RenderedError;
use crate::fetch::{Fetcher, SiteOrigins};
use crate::hooks::Hooks;
use crate::job::SiteId;
use crate::ledger::{self, Ledger};
use crate::report::escape;
use crate::sink::{self, Durability, Sink};
use crate::site::{self, Site, SiteError, UrlKind};

/// The site that is meant when none is named.
const DEFAULT_SITE: &str = "simpledesktops";

/// The site of images on no other.
const DIRECT: &str = "direct";

/// The site that the program serves itself.
const DEMO: &str = "demo";

/// A site, the door to it, and its folder.
pub(super) struct SiteSession {
    pub(super) site: Arc<Site>,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) directory: PathBuf,
    /// The listing pages, where an address named them.
    pages: Option<PageRange>,
    /// The built-in site is served as long as this lives.
    _served: Option<DemoServer>,
}

/// A site that was named, before it is visited.
#[derive(Clone)]
pub(super) struct SelectedSite {
    site: Arc<Site>,
    /// Whether the definition is the user's own: he named its hosts himself, so they may be private.
    own: bool,
}

/// The sites that were named, every definition read before the first one is asked.
pub(super) fn sites(names: &[String], settings: &Settings) -> anyhow::Result<Vec<SelectedSite>> {
    let mut own = settings
        .site_file
        .as_deref()
        .map(|path| own(path, settings))
        .transpose()?;
    if names.is_empty() {
        return Ok(vec![own.map_or_else(|| shipped(DEFAULT_SITE), Ok)?]);
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
            None => shipped(name)?,
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

/// The site whose collection is meant: that of images on no other, too, which has no listing to be visited.
pub(super) fn collected(name: Option<String>, settings: &Settings) -> anyhow::Result<SelectedSite> {
    if settings.site_file.is_none() && name.as_deref() == Some(DIRECT) {
        return Ok(SelectedSite::direct());
    }
    let names: Vec<_> = name.into_iter().collect();
    sites(&names, settings)?
        .pop()
        .context("there is no site of that name")
}

impl SiteSession {
    /// Opens the door to a site; the built-in one is served first.
    pub(super) async fn open(
        named: SelectedSite,
        settings: &Settings,
        several: bool,
    ) -> anyhow::Result<Self> {
        let premises = named.premises()?;
        let site = named.site;
        let directory = settings.place.collection(site.id().as_str(), several);
        if site.is_direct() {
            let fetcher = Arc::new(Fetcher::anywhere(&settings.fetch, &premises)?);
            return Ok(Self {
                site,
                fetcher,
                directory,
                pages: None,
                _served: None,
            });
        }
        let mut asking = settings.fetch.clone();
        let mut mirror = settings.base_url.clone();
        let mut served = None;
        if mirror.is_none() && site.id().as_str() == DEMO {
            let demo = demo::serve(Gallery::demo())
                .await
                .context("serving the demo site")?;
            mirror = Some(demo.address().clone());
            // No proxy reaches the loopback of this machine.
            asking.proxies = false;
            served = Some(demo);
        }
        let fetcher = Arc::new(Fetcher::new(&asking, &premises, mirror)?);
        Ok(Self {
            site,
            fetcher,
            directory,
            pages: None,
            _served: served,
        })
    }

    /// The same visit, to these listing pages if any are named.
    pub(super) fn at_pages(self, pages: Option<PageRange>) -> Self {
        Self { pages, ..self }
    }

    /// What every stage of a run on this site shares.
    pub(super) fn run(&self, world: &Environment, events: Events, shutdown: &Shutdown) -> Run {
        Run {
            fetcher: Arc::clone(&self.fetcher),
            clock: world.clock,
            events,
            shutdown: shutdown.clone(),
        }
    }

    /// The listing pages that are wanted.
    pub(super) fn pages(&self, settings: &Settings) -> Pages {
        let PageRange { first, last } = self.pages.unwrap_or(settings.pages);
        Pages {
            first: first.unwrap_or_else(|| self.site.start()),
            last,
        }
    }
}

/// How images are looked for.
pub(super) fn discover_options(settings: &Settings) -> DiscoverOptions {
    DiscoverOptions {
        prefetch: engine::pages_ahead(settings.jobs),
        limits: settings.limits,
        wait: settings.fetch.wait,
    }
}

/// A collection that this run works on: its folder is locked, and its ledger can be written.
pub(super) struct Collection {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) ledger: Arc<dyn Ledger>,
    /// The user's commands for what is new in it.
    pub(super) hooks: Option<Hooks>,
}

impl Collection {
    /// Opens the ledger of the collection in `directory`, which `sink` holds; there is room for more then.
    pub(super) fn open(
        sink: Arc<dyn Sink>,
        directory: &Path,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        sink.look_for_room()?;
        let ledger = ledger::open(
            &sink::ours(directory),
            settings.durability == Durability::Group,
        )?;
        Ok(Self {
            sink,
            ledger: Arc::from(ledger),
            hooks: None,
        })
    }
}

impl SelectedSite {
    /// Every site there is, the one of images on no other last.
    pub(super) fn all(settings: &Settings) -> anyhow::Result<Vec<Self>> {
        let mut sites: Vec<_> = settings
            .site_file
            .as_deref()
            .map(|path| own(path, settings))
            .transpose()?
            .into_iter()
            .collect();
        for (name, _) in site::shipped() {
            sites.push(shipped(name)?);
        }
        sites.push(Self::direct());
        Ok(sites)
    }

    /// The site of images on no other.
    fn direct() -> Self {
        Self {
            site: Arc::new(Site::direct()),
            own: false,
        }
    }

    /// The site's name.
    pub(super) fn id(&self) -> &SiteId {
        self.site.id()
    }

    /// The one that ships under this name.
    pub(super) fn shipped(name: &str) -> anyhow::Result<Self> {
        shipped(name)
    }

    /// Whether it is that of images on no other site.
    pub(super) fn is_direct(&self) -> bool {
        self.site.is_direct()
    }

    /// What an address is to the site.
    pub(super) fn place(&self, address: &Url) -> Option<UrlKind> {
        self.site.place(address)
    }

    fn premises(&self) -> anyhow::Result<SiteOrigins> {
        let site = &self.site;
        let on = |host: &str| Url::parse(&format!("{}://{host}", site.scheme()));
        let hosts: Vec<_> = site.hosts().map(str::to_owned).collect();
        let pages = site.base().clone();
        // Only `base` can have a port, which is one of the images too where they lie on its host.
        let at_home = pages.host_str() == Some(site.image_host());
        let images = if at_home {
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
            .collect();
        Ok(SiteOrigins {
            pages,
            images,
            hosts,
            named,
        })
    }
}

fn shipped(name: &str) -> anyhow::Result<SelectedSite> {
    Ok(SelectedSite {
        site: Arc::new(Site::shipped(name)?),
        own: false,
    })
}

fn own(path: &Path, settings: &Settings) -> anyhow::Result<SelectedSite> {
    let file = path.display().to_string();
    let text = text::read(path).with_context(|| format!("reading the site definition `{file}`"))?;
    let told =
        |error: SiteError| RenderedError(error.told(&escape(&file), settings.telling.coloured()));
    Ok(SelectedSite {
        site: Arc::new(Site::from_toml(&text).map_err(told)?),
        own: true,
    })
}
