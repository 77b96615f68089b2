//! A visit to a site: its definition, the door to it, the folder its collection lies in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use url::Url;

use crate::config::Settings;
use crate::demo::{self, Gallery, Served};
use crate::fetch::{Fetcher, Premises};
use crate::site::Site;

/// The site that is meant when none is named.
const DEFAULT_SITE: &str = "simpledesktops";

/// The site that the program serves itself.
const DEMO: &str = "demo";

/// A site, the door to it, and its folder.
pub(super) struct Visit {
    pub(super) site: Arc<Site>,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) directory: PathBuf,
    /// The built-in site is served as long as this lives.
    _served: Option<Served>,
}

/// The definitions of the sites that were named, all of them read before the first one is asked.
pub(super) fn sites(names: &[String], settings: &Settings) -> anyhow::Result<Vec<Site>> {
    let own = settings.site_file.as_deref().map(|path| own(path, settings)).transpose()?;
    if names.is_empty() {
        return Ok(vec![own.map_or_else(|| shipped(DEFAULT_SITE), Ok)?]);
    }
    let mut own = own;
    let mut sites = Vec::with_capacity(names.len());
    for name in names {
        sites.push(match own.take_if(|own| own.id().as_str() == name) {
            Some(own) => own,
            None => shipped(name)?,
        });
    }
    if let Some(unused) = own {
        bail!("--site-file defines the site `{}`, which is not among those named", unused.id());
    }
    Ok(sites)
}

impl Visit {
    /// Opens the door to `site`; the built-in one is served first.
    pub(super) async fn open(site: Site, settings: &Settings, several: bool) -> anyhow::Result<Self> {
        let served = match &settings.base_url {
            None if site.id().as_str() == DEMO => {
                Some(demo::serve(Gallery::demo()).await.context("serving the demo site")?)
            }
            Some(_) | None => None,
        };
        let mirror = served.as_ref().map(Served::address).or(settings.base_url.as_ref()).cloned();
        let fetcher = Fetcher::new(&settings.fetch, &premises(&site, settings)?, mirror)?;
        let directory = settings.collection(site.id(), several);
        Ok(Self { site: Arc::new(site), fetcher: Arc::new(fetcher), directory, _served: served })
    }
}

/// Where the site lies. A definition of the user's own names its hosts himself, so they may be private.
fn premises(site: &Site, settings: &Settings) -> anyhow::Result<Premises> {
    let on = |host: &str| Url::parse(&format!("{}://{host}", site.scheme()));
    let hosts: Vec<_> = site.hosts().map(str::to_owned).collect();
    let named = if settings.site_file.is_some() { hosts.iter().map(|host| on(host)).collect() } else { Ok(Vec::new()) };
    Ok(Premises { pages: site.base().clone(), images: on(site.image_host())?, hosts, named: named? })
}

fn shipped(name: &str) -> anyhow::Result<Site> {
    Ok(Site::shipped(name)?)
}

fn own(path: &Path, settings: &Settings) -> anyhow::Result<Site> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading the site definition `{}`", path.display()))?;
    Site::from_toml(&text)
        .map_err(|error| anyhow::anyhow!("{}", error.told(&path.display().to_string(), settings.telling.coloured())))
}
