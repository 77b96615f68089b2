//! `wallhaul sites check`: whether a definition still fits its site, by one page and one image.

use crate::app::console::{print, write_flushed};
use crate::app::environment::Environment;
use crate::app::run::use_proxies;
use crate::app::targets::{Definitions, SelectedSite, SelectedSource, SiteSession};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::{Exit, OutputError};
use crate::report::escape;
use crate::site::{ImageSource, NextPage, Pages};

use super::items::{failure_text, try_page};
use super::live::load_original;

/// Requests the robots.txt, the first page and one image of a site, and prints how each turned out; nothing is stored.
/// Exit code 3 when the definition does not fit the site, 1 when only the image failed.
///
/// # Errors
///
/// When the definition is wrong, or standard output cannot be written to.
pub async fn check_site(
    definition: Option<String>,
    options: Options,
    environment: &Environment,
    _shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_proxies(&mut settings, environment)?;
    let definitions = Definitions::new(environment, &settings.output);
    let names = match definition {
        Some(definition) => vec![definition],
        None => definitions.names()?,
    };
    let several = names.len() > 1;
    let mut exit = Exit::Done;
    for name in names {
        let found = definitions.find_or_read(&name)?;
        let site = SelectedSite::new(&found, &definitions)?;
        if several {
            print(format!("{}\n", site.id()).as_bytes())?;
        }
        exit = exit.max_severity(check(site, &settings).await?);
    }
    Ok(exit)
}

async fn check(site: SelectedSite, settings: &Settings) -> anyhow::Result<Exit> {
    let session = SiteSession::open(SelectedSource::Site(site), settings, false).await?;
    let ImageSource::Site(site) = &session.source else {
        return Ok(Exit::Done);
    };
    let fetcher = &session.fetcher;
    let NextPage::Request(request) = site.pager(Pages::default()).next_page() else {
        return failed("page", "the definition names no first page", Exit::Listing);
    };
    let shown = fetcher.request_url(&request.url);
    let shown = escape(shown.as_str());
    let page = match fetcher.page(&request.url).await {
        Ok(page) => page,
        Err(error) => return failed("page", &format!("{shown}: {error}"), Exit::Listing),
    };
    let tried = try_page(site, &page, true, |images| fetcher.canonicalize(images));
    let tried = match tried {
        Ok(tried) => tried,
        Err(failure) => {
            let why = failure_text(&failure);
            return failed("page", &format!("{shown}: {why}"), Exit::Listing);
        }
    };
    if let Some(why) = tried.failure() {
        let what = format!("{shown}: {}; {why}", tried.summary());
        return failed("page", &what, Exit::Listing);
    }
    line("page", "ok", &format!("{shown}: {}", tried.summary()))?;
    let Some(resolved) = tried.resolved().next() else {
        return failed("image", "no item has an original", Exit::Listing);
    };
    match load_original(fetcher, resolved, settings.limits, &mut |_, _| Ok(())).await? {
        Ok(image) => {
            let shown = fetcher.request_url(&image.url);
            let shown = escape(shown.as_str());
            line("image", "ok", &format!("{shown}: {}", image.facts()))?;
            Ok(Exit::Done)
        }
        Err(reasons) => {
            let mut exit = Exit::Done;
            for (url, reason) in reasons {
                let what = format!("{}: {reason}", fetcher.request_url(&url));
                exit = failed("image", &what, Exit::Incomplete)?;
            }
            Ok(exit)
        }
    }
}

fn failed(step: &str, what: &str, exit: Exit) -> anyhow::Result<Exit> {
    line(step, "failed", what)?;
    Ok(exit)
}

fn line(step: &str, result: &str, what: &str) -> anyhow::Result<()> {
    let line = format!("{step:<6} {result:<7} {}\n", escape(what));
    Ok(write_flushed(line.as_bytes()).map_err(OutputError::from)?)
}
