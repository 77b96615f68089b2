//! `wallhaul sites check`: whether a definition still fits its site, by one page and one image.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::live::{LoadFailure, load_original};
use super::walk::Walk;
use crate::app::console::{print, print_note, write_flushed};
use crate::app::environment::Environment;
use crate::app::run::use_environment;
use crate::app::targets::{Definitions, SelectedSite, SelectedSource, SiteSession};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::{Exit, OutputError};
use crate::report::escape;
use crate::site::{ImageSource, Site};

/// Pages that are read at most: a listing of listings begins with pages that show no image.
const MAX_PAGES: usize = 5;

/// Requests the robots.txt, the first page and one image of a site, and prints how each turned out; nothing is stored.
/// Exit code 3 when the definition does not fit the site: its page, or the image that it leads to.
///
/// # Errors
///
/// When the definition is wrong, or standard output cannot be written to.
pub async fn check_site(
    definition: Option<String>,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    tokio::select! {
        biased;
        // Nothing is stored, so there is nothing to finish.
        () = shutdown.stopping() => Ok(Exit::Done),
        exit = check_sites(definition, options, environment) => exit,
    }
}

async fn check_sites(
    definition: Option<String>,
    options: Options,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_environment(&mut settings, environment)?;
    let definitions = Definitions::new(environment, &settings);
    let names = match definition {
        Some(definition) => vec![definition],
        None => definitions.names()?,
    };
    let today = (environment.clock)().to_zoned(TimeZone::UTC).date();
    let several = names.len() > 1;
    let mut exit = Exit::Done;
    for name in names {
        let found = definitions.find_or_read(&name)?;
        let site = match SelectedSite::new(&found, &definitions) {
            Ok(site) => site,
            // One that is wrong says nothing of the others; one that is off, or lacks a key, is not wrong.
            Err(error) if several => {
                print_note(&format!("{name} is not checked: {error:#}"));
                if Site::to_show(&found.text).is_err() {
                    exit = exit.max_severity(Exit::Usage);
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        if several {
            print(format!("{}\n", site.id()).as_bytes())?;
        }
        exit = exit.max_severity(check(site, &settings, today).await?);
    }
    Ok(exit)
}

async fn check(site: SelectedSite, settings: &Settings, today: Date) -> anyhow::Result<Exit> {
    let session = SiteSession::open(SelectedSource::Site(site), settings, false).await?;
    let ImageSource::Site(site) = &session.source else {
        return Ok(Exit::Done);
    };
    let fetcher = &session.fetcher;
    // What is said of pages and images may quote them.
    let line =
        |step: &str, result: &str, what: &str| line(step, result, &fetcher.masks().apply(what));
    let failed = |step: &str, what: &str, exit: Exit| {
        line(step, "failed", what)?;
        anyhow::Ok(exit)
    };
    let mut walk = Walk::new(site, fetcher, today);
    let mut left = MAX_PAGES;
    let tried = loop {
        let page = match walk.next().await {
            Ok(Some(page)) if left > 0 => page,
            Ok(_) => return failed("page", "no page shows an image", Exit::Listing),
            Err((url, why)) => {
                let what = format!("{}: {why}", fetcher.shown_url(&url));
                return failed("page", &what, Exit::Listing);
            }
        };
        left -= 1;
        let shown = fetcher.shown_url(&page.url);
        match page.tried {
            Err(why) => return failed("page", &format!("{shown}: {why}"), Exit::Listing),
            Ok(tried) if tried.finds_nothing() => {
                let what = format!("{shown}: its list of items is empty");
                return failed("page", &what, Exit::Listing);
            }
            Ok(_) if !page.has_items => line("page", "ok", &format!("{shown}: links"))?,
            Ok(tried) => {
                let what = format!("{shown}: {}", tried.summary());
                if let Some(why) = tried.failure() {
                    return failed("page", &format!("{what}; {why}"), Exit::Listing);
                }
                line("page", "ok", &what)?;
                break tried;
            }
        }
    };
    let items = tried.items.iter();
    let mut with = items.filter_map(|item| Some((item, item.resolved.as_ref().ok()?)));
    let Some((item, resolved)) = with.next() else {
        let reason = tried
            .items
            .iter()
            .find_map(|item| item.resolved.as_ref().err());
        let reason = reason.map(|why| format!(": {why}")).unwrap_or_default();
        let what = format!("no item has an original{reason}");
        return failed("image", &what, Exit::Listing);
    };
    match load_original(fetcher, resolved, settings.limits, &mut Vec::new()).await {
        Ok(image) => {
            let shown = fetcher.shown_url(&image.url);
            line("image", "ok", &format!("{shown}: {}", image.facts()))?;
            Ok(Exit::Done)
        }
        Err(failures) => {
            for LoadFailure {
                candidate,
                url,
                reason,
            } in failures
            {
                let candidate = resolved.candidates.get(candidate);
                let rule = candidate.and_then(|candidate| item.rule_of(candidate));
                let rule = rule
                    .map(|rule| format!("full {rule}: "))
                    .unwrap_or_default();
                let what = format!("{rule}{}: {reason}", fetcher.shown_url(&url));
                failed("image", &what, Exit::Listing)?;
            }
            Ok(Exit::Listing)
        }
    }
}

fn line(step: &str, result: &str, what: &str) -> anyhow::Result<()> {
    let line = format!("{step:<6} {result:<7} {}\n", escape(what));
    Ok(write_flushed(line.as_bytes()).map_err(OutputError::from)?)
}
