//! URLs that the user gives in place of a site's name: as arguments, or in files. A file is read once to find out which
//! sites its URLs are on, and once more for each of them, so that its length costs no memory.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use url::Url;

use super::definitions::Definitions;
use super::session::{SelectedSite, SelectedSource, select_sites, wanted_pages};
use super::url_file::{self, UrlFile};
use crate::app::blocking::blocking;
use crate::config::Settings;
use crate::engine::GivenLine;
use crate::job::{ImageRef, SiteId};
use crate::mask::hide_user_info;
use crate::site::{self, DirectUrls, Pages, UrlKind};

/// A source, and the images of it that are wanted.
pub(in crate::app) enum Target {
    /// New images on these pages of the site's listing.
    Listing { site: SelectedSite, pages: Pages },
    /// Images whose URLs are given.
    Urls {
        source: SelectedSource,
        urls: OwnerUrls,
    },
}

impl Target {
    pub(in crate::app) fn id(&self) -> &SiteId {
        match self {
            Self::Listing { site, pages: _ } => site.id(),
            Self::Urls { source, urls: _ } => source.id(),
        }
    }

    pub(in crate::app) fn source(&self) -> SelectedSource {
        match self {
            Self::Listing { site, pages: _ } => SelectedSource::Site(site.clone()),
            Self::Urls { source, urls: _ } => source.clone(),
        }
    }
}

/// The targets that the user names: names and listings in their order, then images by site.
///
/// # Errors
///
/// When a name, an argument or a definition is wrong, a file cannot be read, or has no usable address.
pub(in crate::app) async fn targets(
    arguments: Vec<String>,
    lists: &[PathBuf],
    settings: &Settings,
    definitions: &Definitions,
) -> anyhow::Result<Vec<Target>> {
    let (addresses, names): (Vec<_>, Vec<_>) = arguments
        .into_iter()
        // An `@` is in no site's name: before it may stand a password of an address without its scheme.
        .partition(|argument| argument.contains("://") || argument.contains('@'));
    let listing = |site: SelectedSite| -> anyhow::Result<Target> {
        let pages = wanted_pages(settings, &site.site)?;
        Ok(Target::Listing { site, pages })
    };
    if addresses.is_empty() && lists.is_empty() {
        let sites = select_sites(&names, settings, definitions)?.into_iter();
        return sites.map(listing).collect();
    }
    let known = KnownSources::new(settings, definitions)?;
    let mut targets = Vec::new();
    for name in names {
        let site = known.sites.iter().find(|site| site.id().as_str() == name);
        // Looked up once more, since the error for an unknown name lists the known ones.
        let site = site
            .cloned()
            .map_or_else(|| SelectedSite::named(&name, definitions), Ok)?;
        targets.push(listing(site)?);
    }
    let mut images = String::new();
    for address in addresses {
        match known
            .classify(&address)
            .map_err(|why| anyhow!("`{}`: {why}", hide_user_info(&address)))?
        {
            KnownUrl::Listing(site, at_url) => {
                let site = known.sites[site].clone().named_by(&address);
                targets.push(if at_url == Pages::default() {
                    // A URL of the whole listing names no pages: then the settings do.
                    listing(site)?
                } else {
                    Target::Listing {
                        site,
                        pages: at_url,
                    }
                });
            }
            KnownUrl::Image(..) => images.extend([address.as_str(), "\n"]),
        }
    }
    let paths = lists.to_vec();
    let lists = blocking(move || url_file::open(images, &paths)).await?;
    let input = Arc::new(UrlInput {
        known,
        lists: Mutex::new(lists),
    });
    let reading = Arc::clone(&input);
    targets.extend(
        blocking(move || reading.owners())
            .await?
            .into_iter()
            .enumerate()
            .map(|(at, owner)| Target::Urls {
                source: input.known.source(owner),
                urls: OwnerUrls {
                    input: Arc::clone(&input),
                    owner,
                    first: at == 0,
                },
            }),
    );
    let mirrored: BTreeSet<_> = targets.iter().filter_map(mirrored_site).collect();
    if settings.base_url.is_some() && mirrored.len() > 1 {
        bail!("--base-url is the mirror of one site: name one");
    }
    Ok(targets)
}

/// The site that `--base-url` would be the mirror of; URLs that belong to no site have none.
fn mirrored_site(target: &Target) -> Option<&SiteId> {
    match target {
        Target::Listing { site, pages: _ }
        | Target::Urls {
            source: SelectedSource::Site(site),
            urls: _,
        } => Some(site.id()),
        Target::Urls {
            source: SelectedSource::Direct(_),
            urls: _,
        } => None,
    }
}

/// Every source that a URL may belong to.
struct KnownSources {
    sites: Vec<SelectedSite>,
    direct: DirectUrls,
}

/// The source that a URL belongs to: a site, by its index among the known ones, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UrlOwner {
    Site(usize),
    Direct,
}

/// The role of a URL on the site that it is on.
enum KnownUrl {
    /// Pages of a known site's listing.
    Listing(usize, Pages),
    Image(UrlOwner, Box<ImageRef>),
}

impl KnownSources {
    fn new(settings: &Settings, definitions: &Definitions) -> anyhow::Result<Self> {
        Ok(Self {
            sites: SelectedSite::all(settings, definitions)?,
            direct: DirectUrls::new(),
        })
    }

    fn source(&self, owner: UrlOwner) -> SelectedSource {
        match owner {
            UrlOwner::Site(at) => SelectedSource::Site(self.sites[at].clone()),
            UrlOwner::Direct => SelectedSource::Direct(self.direct.clone()),
        }
    }

    /// Finds the first known site that the URL is on, and its kind there; a URL on no site is an image of its own.
    fn classify(&self, text: &str) -> Result<KnownUrl, String> {
        let url = Url::parse(text).map_err(|error| {
            format!("not an absolute URL, as https://example.com/a.png ({error})")
        })?;
        let mut kinds = self
            .sites
            .iter()
            .map(|site| site.classify_url(&url))
            .enumerate();
        match kinds.find_map(|(at, kind)| Some((at, kind?))) {
            Some((at, UrlKind::Listing(pages))) => Ok(KnownUrl::Listing(at, pages)),
            Some((at, UrlKind::Image(image))) => Ok(KnownUrl::Image(UrlOwner::Site(at), image)),
            Some((_, UrlKind::Unusable)) => Err(
                "it is on a known site, but neither a listing page nor a thumb or an original"
                    .to_owned(),
            ),
            None => match self.direct.image(&url) {
                Some(image) => Ok(KnownUrl::Image(UrlOwner::Direct, Box::new(image))),
                None => Err(site::objection(&url).unwrap_or_else(|| "it is unusable".to_owned())),
            },
        }
    }

    /// The image that a URL names.
    fn image(&self, text: &str) -> Result<(UrlOwner, Box<ImageRef>), String> {
        match self.classify(text)? {
            KnownUrl::Image(owner, image) => Ok((owner, image)),
            KnownUrl::Listing(..) => Err("it is a listing: give it as an argument".to_owned()),
        }
    }
}

/// All URLs that are given.
struct UrlInput {
    known: KnownSources,
    /// Locked while they are read: reading moves the one position that a file has. Opening them again for each owner
    /// was dropped: a pipe has no second time. Targets are worked on one after another, so at most the end of the last
    /// target's reader is waited for.
    lists: Mutex<Vec<UrlFile>>,
}

impl UrlInput {
    /// The owners of the given images, in the order of their first URLs.
    fn owners(&self) -> anyhow::Result<Vec<UrlOwner>> {
        let (mut seen, mut bad) = (Vec::new(), None);
        for list in self.lists.lock().iter_mut() {
            let name = list.name.clone();
            let read = list.each(|number, text| {
                match text
                    .map_err(|(_, why)| why)
                    .and_then(|text| self.known.image(&text))
                {
                    Ok((owner, _)) if seen.contains(&owner) => {}
                    Ok((owner, _)) => seen.push(owner),
                    Err(why) if bad.is_none() => bad = Some(anyhow!("{name}:{number}: {why}")),
                    Err(_) => {}
                }
                ControlFlow::Continue(())
            });
            read.with_context(|| format!("reading the list `{name}`"))?;
        }
        match bad {
            Some(bad) if seen.is_empty() => Err(bad.context("no usable address in the input")),
            _ => Ok(seen),
        }
    }
}

/// The images of one owner among all URLs that are given.
pub(in crate::app) struct OwnerUrls {
    input: Arc<UrlInput>,
    owner: UrlOwner,
    /// Whether the lines that are not usable are reported with them.
    first: bool,
}

/// URLs in a batch: enough that one query of the ledger for each batch costs little.
const BATCH: usize = 64;

impl OwnerUrls {
    /// Reads them in batches, no faster than they are received.
    pub(in crate::app) fn read(self) -> mpsc::Receiver<Vec<GivenLine>> {
        let (sender, lines) = mpsc::channel(1);
        // Not joined: it ends with the list, or when the receiver is dropped. The channel holds one batch, so that the
        // next is there when one is done, and a list of any length costs the memory of three: one is being read, one
        // waits, one is worked on.
        tokio::task::spawn_blocking(move || {
            let mut batch = Vec::with_capacity(BATCH);
            self.each(|line| {
                batch.push(line);
                let full = batch.len() == BATCH;
                let is_closed = full
                    && sender
                        .blocking_send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))
                        .is_err();
                if is_closed {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let _ = sender.blocking_send(batch);
        });
        lines
    }

    fn each(&self, mut take: impl FnMut(GivenLine) -> ControlFlow<()>) {
        for list in self.input.lists.lock().iter_mut() {
            let (name, ask_again) = (list.name.clone(), list.arguments);
            let read = list.each(|number, text| {
                let found =
                    text.and_then(|text| self.input.known.image(&text).map_err(|why| (text, why)));
                match found {
                    Ok((owner, image)) if owner == self.owner => {
                        take(GivenLine::Image { image, ask_again })
                    }
                    Err((text, why)) if self.first => take(GivenLine::Bad {
                        text: hide_user_info(&text).into_owned(),
                        cause: format!("{name}:{number}: {why}"),
                    }),
                    Ok(_) | Err(_) => ControlFlow::Continue(()),
                }
            });
            if let Err(error) = read {
                // The file was read to its end once, so its disk has failed since: reported as a last line.
                let _ = take(GivenLine::Bad {
                    text: name,
                    cause: format!("cannot read it a second time: {error}"),
                });
            }
        }
    }
}
