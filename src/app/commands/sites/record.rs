//! `wallhaul sites record`: pages and a few images of a site as a fixture folder.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use url::Url;

use super::fixture::{Fixture, RecordedKind};
use super::live::{LoadFailure, load_original};
use super::walk::{Walk, WalkedPage};
use crate::app::console::print_note;
use crate::app::environment::Environment;
use crate::app::run::use_environment;
use crate::app::targets::{Definitions, SelectedSite, SelectedSource, SiteSession};
use crate::config::{Options, Settings};
use crate::engine::Shutdown;
use crate::exit::Exit;
use crate::fetch::RawPage;
use crate::outcome::Format;
use crate::report::escape;
use crate::site::ImageSource;
use crate::units::plural;

/// What `wallhaul sites record` is to do.
#[derive(Debug, Clone)]
pub struct RecordOptions {
    /// The folder, which must be empty or not be there.
    pub folder: PathBuf,
    /// Listing pages at most.
    pub pages: u32,
    /// Images at most.
    pub images: u32,
}

/// Records listing pages and images of a site. Exit code 3 when a page cannot be read, 1 when an image cannot.
///
/// # Errors
///
/// When the definition is wrong, or the folder is not empty or cannot be written to.
pub async fn record_site(
    definition: &str,
    wanted: RecordOptions,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_environment(&mut settings, environment)?;
    let definitions = Definitions::new(environment, &settings);
    let found = definitions.find_or_read(definition)?;
    let site = SelectedSite::new(&found, &definitions)?;
    let session = SiteSession::open(SelectedSource::Site(site), &settings, false).await?;
    let ImageSource::Site(site) = &session.source else {
        return Ok(Exit::Done);
    };
    let fetcher = &session.fetcher;
    let masks = fetcher.masks();
    let mut fixture = Fixture::create(&wanted.folder, masks)?;
    let note = |line: &str| print_note(&masks.apply(line));
    let today = (environment.clock)().to_zoned(TimeZone::UTC).date();
    let mut walk = Walk::new(site, fetcher, today);
    let (mut pages, mut images, mut attempts) = (0, 0, 0);
    let mut exit = Exit::Done;
    while pages < wanted.pages {
        let next = tokio::select! {
            biased;
            () = shutdown.stopping() => break,
            next = walk.next() => next,
        };
        let page = match next {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err((url, why)) => {
                note(&format!("error: {}", escape(&format!("{url}: {why}"))));
                exit = exit.max_severity(Exit::Listing);
                break;
            }
        };
        let WalkedPage {
            url, raw, tried, ..
        } = page;
        add_page(&mut fixture, &url, RecordedKind::Page, raw, &note)?;
        pages += 1;
        let tried = match tried {
            Ok(tried) => tried,
            Err(why) => {
                note(&format!("error: {}: {why}", escape(url.as_str())));
                exit = exit.max_severity(Exit::Listing);
                break;
            }
        };
        for resolved in tried.resolved() {
            if attempts >= wanted.images {
                break;
            }
            let mut details = Vec::new();
            let loaded = tokio::select! {
                biased;
                () = shutdown.stopping() => break,
                loaded = load_original(fetcher, resolved, settings.limits, &mut details) => loaded,
            };
            for (url, detail) in details {
                add_page(&mut fixture, &url, RecordedKind::Detail, detail, &note)?;
            }
            match loaded {
                Ok(image) if fixture.has(&image.url) => {}
                Ok(image) => {
                    let kind = RecordedKind::Image;
                    let media_type = media_type(image.content.format);
                    let file =
                        fixture.add(&image.url, kind, 200, Some(&media_type), &image.bytes)?;
                    (images, attempts) = (images + 1, attempts + 1);
                    let shown = escape(image.url.as_str());
                    note(&format!("image {shown} -> {}", escape(&file)));
                }
                Err(failures) => {
                    for LoadFailure { url, reason, .. } in failures {
                        note(&format!("error: {}", escape(&format!("{url}: {reason}"))));
                    }
                    exit = exit.max_severity(Exit::Incomplete);
                    attempts += 1;
                }
            }
        }
    }
    note(&format!(
        "recorded {} and {} in {}; serve it with `python3 -m http.server -d {}` and read it with --base-url \
         'http://127.0.0.1:8000/{{host}}/'",
        plural(pages as usize, "page", "pages"),
        plural(images, "image", "images"),
        escape(&wanted.folder.display().to_string()),
        escape(&wanted.folder.display().to_string()),
    ));
    Ok(exit)
}

/// Adds a page to the fixture, once, and tells so.
fn add_page(
    fixture: &mut Fixture,
    url: &Url,
    kind: RecordedKind,
    page: RawPage,
    note: &dyn Fn(&str),
) -> anyhow::Result<()> {
    if kind == RecordedKind::Detail && fixture.has(url) {
        return Ok(());
    }
    let file = fixture.add_page(url, kind, page)?;
    let shown = escape(url.as_str());
    note(&format!("page  {shown} -> {}", escape(&file)));
    Ok(())
}

/// `image/png` and so on.
fn media_type(format: Format) -> String {
    let name = match format {
        Format::Jpeg => "jpeg",
        Format::Png | Format::Gif | Format::Webp | Format::Avif | Format::Jxl => format.extension(),
    };
    format!("image/{name}")
}
