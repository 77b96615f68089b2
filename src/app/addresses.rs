//! Addresses that the user gives in place of a site's name: as arguments, or in lists of them. A list is read once to
//! find out which sites it is about, and once more for each of them, so that its length costs no memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Cursor, Read, Seek};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::mpsc;
use url::Url;

use super::blocking;
use super::visit::{SelectedSite, SelectedSource, sites, wanted_pages};
use crate::config::Settings;
use crate::engine::GivenLine;
use crate::job::{ImageRef, SiteId};
use crate::site::{self, DirectUrls, Pages, UrlKind};

/// A collection to be worked on, and the images that are wanted for it.
pub(super) enum Target {
    /// New images on these pages of the site's listing.
    Listing { site: SelectedSite, pages: Pages },
    /// Images whose URLs are given.
    Urls {
        source: SelectedSource,
        urls: GivenAddresses,
    },
}

impl Target {
    pub(super) fn id(&self) -> &SiteId {
        match self {
            Self::Listing { site, pages: _ } => site.id(),
            Self::Urls { source, urls: _ } => source.id(),
        }
    }

    pub(super) fn source(&self) -> SelectedSource {
        match self {
            Self::Listing { site, pages: _ } => SelectedSource::Site(site.clone()),
            Self::Urls { source, urls: _ } => source.clone(),
        }
    }
}

/// What the user names, site by site: names and listings in their order, then images by site.
///
/// # Errors
///
/// When a name, an argument or a definition is wrong, a list cannot be read, or nothing in it can be asked for.
pub(super) async fn targets(
    said: Vec<String>,
    lists: &[PathBuf],
    settings: &Settings,
) -> anyhow::Result<Vec<Target>> {
    let (addresses, names): (Vec<_>, Vec<_>) =
        said.into_iter().partition(|said| said.contains("://"));
    let pages = wanted_pages(settings);
    let listing = |site| Target::Listing { site, pages };
    if addresses.is_empty() && lists.is_empty() {
        return Ok(sites(&names, settings)?.into_iter().map(listing).collect());
    }
    let known = KnownSources::new(settings)?;
    let mut targets = Vec::new();
    for name in names {
        let site = known.sites.iter().find(|site| site.id().as_str() == name);
        // The error for an unknown name lists the known ones.
        let site = site
            .cloned()
            .map_or_else(|| SelectedSite::shipped(&name), Ok)?;
        targets.push(listing(site));
    }
    let mut images = String::new();
    for address in addresses {
        match known
            .classify(&address)
            .map_err(|why| anyhow!("`{address}`: {why}"))?
        {
            KnownUrl::Listing(site, named) => targets.push(Target::Listing {
                site: known.sites[site].clone(),
                // A URL of the whole listing names no pages: then the settings do.
                pages: if named == Pages::default() {
                    pages
                } else {
                    named
                },
            }),
            KnownUrl::Image(..) => images.extend([address.as_str(), "\n"]),
        }
    }
    let paths = lists.to_vec();
    let lists = blocking(move || open(images, &paths)).await?;
    let given = Arc::new(Given {
        known,
        lists: Mutex::new(lists),
    });
    let reading = Arc::clone(&given);
    targets.extend(
        blocking(move || reading.owners())
            .await?
            .into_iter()
            .enumerate()
            .map(|(at, owner)| Target::Urls {
                source: given.known.source(owner),
                urls: GivenAddresses {
                    given: Arc::clone(&given),
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

/// Whose URL it is: a site's, by its place among the known ones, or no site's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UrlOwner {
    Site(usize),
    Direct,
}

/// What a URL is to its owner.
enum KnownUrl {
    /// Pages of a known site's listing.
    Listing(usize, Pages),
    Image(UrlOwner, Box<ImageRef>),
}

impl KnownSources {
    fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            sites: SelectedSite::all(settings)?,
            direct: DirectUrls::new(),
        })
    }

    fn source(&self, owner: UrlOwner) -> SelectedSource {
        match owner {
            UrlOwner::Site(at) => SelectedSource::Site(self.sites[at].clone()),
            UrlOwner::Direct => SelectedSource::Direct(self.direct.clone()),
        }
    }

    /// Finds the first known site that the URL is on, and what it is there; a URL on no site is an image of its own.
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

/// Everything that is given.
struct Given {
    known: KnownSources,
    lists: Mutex<Vec<List>>,
}

impl Given {
    fn lists(&self) -> MutexGuard<'_, Vec<List>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owners of the given images, in the order of their first URLs.
    fn owners(&self) -> anyhow::Result<Vec<UrlOwner>> {
        let (mut met, mut bad) = (Vec::new(), None);
        for list in self.lists().iter_mut() {
            let name = list.name.clone();
            let read = list.each(|number, text| {
                match text
                    .map_err(|(_, why)| why)
                    .and_then(|text| self.known.image(&text))
                {
                    Ok((owner, _)) if met.contains(&owner) => {}
                    Ok((owner, _)) => met.push(owner),
                    Err(why) if bad.is_none() => bad = Some(anyhow!("{name}:{number}: {why}")),
                    Err(_) => {}
                }
                ControlFlow::Continue(())
            });
            read.with_context(|| format!("reading the list `{name}`"))?;
        }
        match bad {
            Some(bad) if met.is_empty() => Err(bad.context("no usable address in the input")),
            _ => Ok(met),
        }
    }
}

/// The images of one site among all that are given.
pub(super) struct GivenAddresses {
    given: Arc<Given>,
    owner: UrlOwner,
    /// Whether the lines that are not usable are reported with them.
    first: bool,
}

/// So many are handed on at once: enough that asking the ledger costs little.
const AT_ONCE: usize = 64;

impl GivenAddresses {
    /// Reads them, some at a time and no faster than they are taken.
    pub(super) fn read(self) -> mpsc::Receiver<Vec<GivenLine>> {
        let (sender, lines) = mpsc::channel(1);
        // Nobody waits for it: it ends when nobody takes any more.
        tokio::task::spawn_blocking(move || {
            let mut some = Vec::with_capacity(AT_ONCE);
            self.each(|line| {
                some.push(line);
                let full = some.len() == AT_ONCE;
                let gone = full
                    && sender
                        .blocking_send(std::mem::replace(&mut some, Vec::with_capacity(AT_ONCE)))
                        .is_err();
                if gone {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let _ = sender.blocking_send(some);
        });
        lines
    }

    fn each(&self, mut take: impl FnMut(GivenLine) -> ControlFlow<()>) {
        for list in self.given.lists().iter_mut() {
            let name = list.name.clone();
            let read = list.each(|number, text| {
                let found =
                    text.and_then(|text| self.given.known.image(&text).map_err(|why| (text, why)));
                match found {
                    Ok((owner, image)) if owner == self.owner => take(GivenLine::Image(image)),
                    Err((text, why)) if self.first => take(GivenLine::Bad {
                        text,
                        cause: format!("{name}:{number}: {why}"),
                    }),
                    Ok(_) | Err(_) => ControlFlow::Continue(()),
                }
            });
            if let Err(error) = read {
                // It was read to its end once; now its disk is broken, and that is told as its last line.
                let _ = take(GivenLine::Bad {
                    text: name,
                    cause: format!("it could not be read again: {error}"),
                });
            }
        }
    }
}

/// What can be read more than once.
trait Again: Read + Seek + Send {}
impl<T: Read + Seek + Send> Again for T {}

/// Addresses, one a line.
struct List {
    name: String,
    text: Box<dyn Again>,
}

/// Opens the lists, `arguments` as the first of them. What cannot be read twice, as a pipe, is first copied to where
/// the system keeps files that have no name.
fn open(arguments: String, lists: &[PathBuf]) -> anyhow::Result<Vec<List>> {
    let mut all = vec![List {
        name: "arguments".to_owned(),
        text: Box::new(Cursor::new(arguments)),
    }];
    for path in lists {
        let stdin = path.as_os_str() == "-";
        let name = if stdin {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        let open = || -> io::Result<Box<dyn Again>> {
            if !stdin {
                let file = File::open(path)?;
                if file.metadata()?.is_file() {
                    return Ok(Box::new(file));
                }
                return copied(file);
            }
            copied(io::stdin().lock())
        };
        let text = open().with_context(|| format!("reading the list `{name}`"))?;
        all.push(List { name, text });
    }
    Ok(all)
}

fn copied(mut from: impl Read) -> io::Result<Box<dyn Again>> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut from, &mut file)?;
    Ok(Box::new(file))
}

/// The longest line that is looked at; what is longer is no address that any server takes.
const LONGEST_LINE: usize = 16 * 1024;

/// How much of a line is told that cannot be read.
const TOLD: usize = 100;

impl List {
    /// Hands every address to `take` with the number of its line, or what stands there and why it is none, until it
    /// breaks off. Empty lines, and those that begin with `#`, are passed over.
    fn each(
        &mut self,
        mut take: impl FnMut(usize, Result<String, (String, String)>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.text.rewind()?;
        let mut text = BufReader::new(&mut self.text);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if (&mut text)
                .take(LONGEST_LINE as u64)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            let cut = line.len() == LONGEST_LINE && line.last() != Some(&b'\n');
            if cut {
                text.skip_until(b'\n')?;
            }
            let bytes = if number == 1 {
                line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line)
            } else {
                &line
            };
            let written = match std::str::from_utf8(bytes) {
                Ok(written) if !cut => Ok(written.trim()),
                Ok(_) => Err(format!("it is longer than {LONGEST_LINE} bytes")),
                Err(_) if number == 1 && bytes.starts_with(b"\xff\xfe") => {
                    Err("the list is not UTF-8".to_owned())
                }
                Err(_) => Err("it is not UTF-8".to_owned()),
            };
            let given = match written {
                Ok("") => continue,
                Ok(comment) if comment.starts_with('#') => continue,
                Ok(written) => Ok(written.to_owned()),
                Err(why) => Err((
                    String::from_utf8_lossy(&bytes[..bytes.len().min(TOLD)])
                        .trim()
                        .to_owned(),
                    why,
                )),
            };
            if take(number, given).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(usize, Result<String, String>)> {
        let mut list = List {
            name: "list".to_owned(),
            text: Box::new(Cursor::new(text.to_vec())),
        };
        let mut lines = Vec::new();
        for _twice in 0..2 {
            lines.clear();
            let take = |number, line: Result<String, (String, String)>| {
                lines.push((number, line.map_err(|(_, why)| why)));
                ControlFlow::Continue(())
            };
            list.each(take).unwrap();
        }
        lines
    }

    #[test]
    fn a_list_is_read_as_editors_of_every_system_write_it() {
        let text = b"\xef\xbb\xbf# mine\r\nhttps://a.invalid/1.png\r\n\r\n  \thttps://a.invalid/2.png \n #x\nhttps://a.invalid/3.png";
        let address = |number| Ok(format!("https://a.invalid/{number}.png"));
        assert_eq!(
            read(text),
            [(2, address(1)), (4, address(2)), (6, address(3))]
        );
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n\n# nothing\n"), []);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_and_does_not_hide_the_next() {
        let long = [
            b"https://a.invalid/".as_slice(),
            &vec![b'a'; 3 * LONGEST_LINE],
            b"\nnext\n",
        ]
        .concat();
        assert_eq!(
            read(&long),
            [
                (1, Err("it is longer than 16384 bytes".to_owned())),
                (2, Ok("next".to_owned()))
            ]
        );
        assert_eq!(
            read(b"\xffx\nnext"),
            [
                (1, Err("it is not UTF-8".to_owned())),
                (2, Ok("next".to_owned()))
            ]
        );
        assert_eq!(
            read(b"\xff\xfeh\0")[0],
            (1, Err("the list is not UTF-8".to_owned()))
        );
    }
}
