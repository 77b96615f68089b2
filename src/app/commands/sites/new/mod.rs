//! `wallhaul sites new`: drafts a definition from a page, and holds it against a page that was not used for it.

mod way;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use url::Url;

use super::items::{TriedPage, failure_text, try_page};
use super::live::{LoadFailure, load_original};
use crate::app::blocking::blocking;
use crate::app::console::{print, print_note};
use crate::app::environment::Environment;
use crate::app::run::use_environment;
use crate::app::targets::{
    Definition, DefinitionPlace, Definitions, SelectedSite, SelectedSource, SiteSession,
    direct_origins,
};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::Exit;
use crate::fetch::{Fetcher, Page};
use crate::job::SiteId;
use crate::mask::{Masks, hide_user_info};
use crate::report::escape;
use crate::site::learn::{self, DataDraft, Draft, PagingGuess};
use crate::site::{ImageSource, PageText};
use crate::units::plural;

/// What `wallhaul sites new` is to do.
#[derive(Debug, Clone)]
pub struct NewOptions {
    /// A listing page.
    pub url: Url,
    /// The original of one of its images, where the user knows it.
    pub original: Option<Url>,
    /// The site's name, where not its host's.
    pub name: Option<String>,
    /// The file to write; standard output without it.
    pub output: Option<PathBuf>,
}

/// Prints a drafted definition, and on stderr what it rests on. Exit code 3 when no gallery is found on the page, no
/// way to its originals, or the draft does not hold on the second page.
///
/// # Errors
///
/// When an option is wrong, or the output cannot be written to.
pub async fn new_site(
    wanted: NewOptions,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    tokio::select! {
        biased;
        // Nothing is written before the draft is whole.
        () = shutdown.stopping() => Ok(Exit::Done),
        exit = draft_site(wanted, options, environment) => exit,
    }
}

async fn draft_site(
    wanted: NewOptions,
    options: Options,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_environment(&mut settings, environment)?;
    if settings.base_url.is_some() {
        bail!("--base-url is the mirror of a known site: give the mirror's page as URL");
    }
    let name = wanted
        .name
        .clone()
        .unwrap_or_else(|| learn::site_name(&wanted.url));
    SiteId::new(name.as_str())?;
    if let Some(path) = wanted.output.as_deref().filter(|path| path.exists()) {
        bail!("`{}` exists: name another file with -o", path.display());
    }
    let fetcher = Fetcher::anywhere(&settings.fetch, &direct_origins()?)?;
    let mut page = match fetcher.given_page(&wanted.url).await {
        Ok(page) => page,
        Err(error) => {
            let shown = hide_user_info(wanted.url.as_str());
            say(&format!("cannot read {shown}: {error}"));
            return Ok(Exit::Listing);
        }
    };
    // No definition has them, and no output shows them. Both are refused only where there is no host.
    let _ = page.url.set_username("");
    let _ = page.url.set_password(None);
    let author = Author {
        settings: &settings,
        wanted: &wanted,
        definitions: Definitions::new(environment, &settings),
        name,
    };
    let Some((draft, paging)) = Box::pin(author.draft(&page)).await? else {
        return Ok(Exit::Listing);
    };
    let text = draft.to_toml();
    let mut exit = author.prove(&text, &page, paging.as_ref()).await?;
    if draft.full.is_empty() {
        say(
            "the draft lacks the way to the originals, and takes what the items show: write it, or show one with \
             --original URL",
        );
        exit = Exit::Listing;
    } else if draft.misses_example {
        exit = exit.max_severity(Exit::Listing);
    }
    match &wanted.output {
        None => {
            print(text.as_bytes())?;
        }
        Some(path) => write_new(path, &text)?,
    }
    Ok(exit)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = File::options();
    options
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing `{}`", path.display()))
}

fn page_text(page: &Page) -> PageText<'_> {
    PageText {
        text: &page.text,
        encoding: page.encoding,
        is_xml: page.is_xml,
    }
}

/// Prints a line of the report.
fn say(line: &str) {
    print_note(&escape(line));
}

/// Writes a draft.
struct Author<'a> {
    settings: &'a Settings,
    wanted: &'a NewOptions,
    definitions: Definitions,
    name: String,
}

impl Author<'_> {
    /// The draft for a page and how further pages are reached; `None`, and why in the report, where nothing is found.
    async fn draft(&self, page: &Page) -> anyhow::Result<Option<(Draft, Option<PagingGuess>)>> {
        let header = page.next.as_deref();
        let header = header.and_then(|target| PagingGuess::from_header(&page.url, target));
        let (name, shown) = (self.name.clone(), page.clone());
        let (paging, original) = (header.clone(), self.wanted.original.clone());
        let data = blocking(move || {
            let (paging, original) = (paging.as_ref(), original.as_ref());
            learn::data_draft(&name, &shown.url, &shown.text, paging, original)
        });
        if let Some(data) = data.await {
            return Ok(Some(self.of_data(data, header, page).await));
        }
        if page.text.trim_start().starts_with(['{', '[']) {
            let text = page.text.clone();
            let list = blocking(move || learn::longest_list(&text)).await;
            let list = list.unwrap_or_else(|| "no list of objects".to_owned());
            say(&format!(
                "{}: JSON in which no list of items has the address of an image. It has {list}. Where the address is made \
                 of parts, or in a text, write `item.select`, `fields` and a `template` yourself: the reference of \
                 definitions has an example",
                page.url
            ));
            return Ok(None);
        }
        let shown = page.clone();
        let guess = blocking(move || learn::page(&shown.url, page_text(&shown)));
        let guess = match guess.await {
            Ok(guess) => guess,
            Err(failure) => {
                print_note(&format!(
                    "{}: {}",
                    escape(page.url.as_str()),
                    failure_text(&failure)
                ));
                return Ok(None);
            }
        };
        let paging = guess.paging.or(header);
        let mut without_way = None;
        for block in &guess.blocks {
            say(&format!(
                "{}: {} of `{}`",
                page.url,
                plural(block.items.len(), "item", "items"),
                block.select
            ));
            let mut draft = Draft::html(self.name.clone(), &page.url, block, paging.as_ref());
            if Box::pin(self.find_way(&mut draft, block, page)).await? {
                return Ok(Some((draft, paging)));
            }
            say("no way to the originals of these was found");
            without_way.get_or_insert(draft);
        }
        if let Some(data) = self.embedded(page).await {
            say(&format!("{}: JSON in a script", page.url));
            let known = data.paging.clone();
            return Ok(Some(self.of_data(data, known, page).await));
        }
        if without_way.is_none() {
            say(&format!(
                "{}: no repeated block with images, and no JSON with their addresses in a script. A page that scripts \
                 build from elsewhere has neither: look for the address of its data in the browser's network view, and \
                 give that",
                page.url
            ));
        }
        Ok(without_way.map(|draft| (draft, paging)))
    }

    /// The draft for a page that is data, by the user's example where there is one.
    async fn of_data(
        &self,
        data: DataDraft,
        paging: Option<PagingGuess>,
        page: &Page,
    ) -> (Draft, Option<PagingGuess>) {
        let items = plural(data.items, "item", "items");
        say(&format!("{}: data with {items}", page.url));
        let mut draft = data.draft;
        let Some(original) = self.wanted.original.clone() else {
            return (draft, paging);
        };
        let shown = page.clone();
        let (mut draft, is_led) = blocking(move || {
            let is_led = draft.lead_to(page_text(&shown), &original);
            (draft, is_led)
        })
        .await;
        if is_led {
            for full in draft.full.iter().take(1) {
                say(&format!("originals: {}", full.because()));
            }
        } else {
            say(
                "no rule leads from an address in an item to your original: the draft goes by the names of its members",
            );
            draft.misses_example = true;
        }
        (draft, paging)
    }

    /// The draft for a page with JSON in a script.
    async fn embedded(&self, page: &Page) -> Option<DataDraft> {
        let (name, shown) = (self.name.clone(), page.clone());
        let original = self.wanted.original.clone();
        let draft = blocking(move || {
            learn::embedded_draft(&name, &shown.url, page_text(&shown), original.as_ref())
        });
        draft.await.ok().flatten()
    }

    /// Compiles the draft, and holds it against the page it was made from and the next one.
    async fn prove(
        &self,
        text: &str,
        first: &Page,
        paging: Option<&PagingGuess>,
    ) -> anyhow::Result<Exit> {
        let definition = Definition {
            text: text.to_owned(),
            place: DefinitionPlace::Own("draft.toml".into()),
        };
        let site = match SelectedSite::new(&definition, &self.definitions) {
            Ok(site) => site,
            Err(error) => {
                // The draft is printed for all that: most of it is right.
                print_note(&format!("the draft does not compile:\n{error:#}"));
                return Ok(Exit::Listing);
            }
        };
        let session = SiteSession::open(SelectedSource::Site(site), self.settings, false).await?;
        let ImageSource::Site(site) = &session.source else {
            return Ok(Exit::Listing);
        };
        let read = |page: &Page| {
            let (site, page) = (Arc::clone(site), page.clone());
            blocking(move || try_page(&site, &page, true, &Masks::default(), |_images| {}))
        };
        let Some(tried) = told(first, read(first).await) else {
            return Ok(Exit::Listing);
        };
        let Some(paging) = paging else {
            say(
                "no second page was found: the draft was held only against the page it was made from",
            );
            return self.prove_image(&session.fetcher, &tried).await;
        };
        let second = match session.fetcher.page(paging.second()).await {
            Ok(second) => second,
            Err(error) => {
                say(&format!("second page {}: {error}", paging.second()));
                return Ok(Exit::Listing);
            }
        };
        let Some(tried) = told(&second, read(&second).await) else {
            return Ok(Exit::Listing);
        };
        self.prove_image(&session.fetcher, &tried).await
    }

    /// Fetches an original that the draft was not made from: the last of a page.
    async fn prove_image(&self, fetcher: &Fetcher, tried: &TriedPage) -> anyhow::Result<Exit> {
        let Some(resolved) = tried.resolved().last() else {
            return Ok(Exit::Listing);
        };
        let limits = self.settings.limits;
        match load_original(fetcher, resolved, limits, &mut Vec::new()).await {
            Ok(image) => {
                say(&format!("an original: {}: {}", image.url, image.facts()));
                Ok(Exit::Done)
            }
            Err(failures) => {
                for LoadFailure { url, reason, .. } in failures {
                    say(&format!("an original: {url}: {reason}"));
                }
                Ok(Exit::Listing)
            }
        }
    }
}

/// Reports what the draft makes of a page; `None` if it does not fit it.
fn told(page: &Page, tried: Result<TriedPage, crate::event::ListingFailure>) -> Option<TriedPage> {
    let shown = escape(page.url.as_str());
    let failure = match &tried {
        Ok(tried) => {
            print_note(&format!("draft on {shown}: {}", tried.summary()));
            tried.failure()
        }
        Err(failure) => Some(failure_text(failure)),
    };
    if let Some(failure) = &failure {
        print_note(&format!("draft on {shown}: {failure}"));
    }
    tried.ok().filter(|_| failure.is_none())
}
