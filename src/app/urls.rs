//! `wallhaul urls`: the addresses of the originals, for whatever else downloads.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use url::Url;

use super::Environment;
use super::visit::{ListingPages, SelectedSource, SiteSession, sites, wanted_pages};
use crate::config::{Options, Settings};
use crate::engine::{self, Shutdown, Source};
use crate::event::Events;
use crate::exit::{Exit, OutputError, ThreadError};
use crate::fetch::Fetcher;
use crate::job::Job;
use crate::ledger;
use crate::queue::{JobSender, QueueError};
use crate::report::{self, OutputSettings, Progress};

/// Prints the address of every original on the sites of these names, one a line.
///
/// # Errors
///
/// When a definition is wrong, or standard output cannot be written to.
pub async fn urls(
    names: Vec<String>,
    options: Options,
    world: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    let settings = Settings::new(options, world.stderr, world.clock);
    // The addresses are the news; beside them only trouble is told.
    let telling = OutputSettings {
        progress: Progress::None,
        json: false,
        quiet: true,
        ..settings.output
    };
    let mut exit = Exit::Done;
    for site in sites(&names, &settings)? {
        let listing = ListingPages {
            site: Arc::clone(&site.site),
            pages: wanted_pages(&settings),
        };
        let visit = SiteSession::open(SelectedSource::Site(site), &settings, false).await?;
        let (events, told) = Events::line(settings.output.watches_images());
        let reporters = report::open(&telling, Box::new(io::sink()), Box::new(io::stderr()));
        let dispatch = report::dispatch(told, reporters).map_err(ThreadError::from)?;
        let broken = Arc::new(Mutex::new(None));
        let jobs = Printer {
            fetcher: Arc::clone(&visit.fetcher),
            broken: Arc::clone(&broken),
        };
        let scan = visit.scan(
            listing,
            &settings,
            world,
            Arc::from(ledger::empty()),
            events,
            &shutdown,
        );
        let listed = engine::scan(Source::Listing(scan), Box::new(jobs)).await;
        let tally = dispatch.await;
        listed?;
        if let Some(error) = broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(OutputError::from(error).into());
        }
        exit = exit.max_severity(Exit::from_tally(&tally));
    }
    Ok(exit)
}

/// Takes jobs and prints where their images lie. Once that fails it takes no more.
struct Printer {
    fetcher: Arc<Fetcher>,
    broken: Arc<Mutex<Option<io::Error>>>,
}

#[async_trait]
impl JobSender for Printer {
    async fn send(&self, job: Job) -> Result<(), QueueError> {
        let candidates = job.resolved.map(|resolved| resolved.candidates);
        let Some(original) = candidates.iter().flatten().next() else {
            return Ok(());
        };
        let address = self.fetcher.request_url(original.url());
        // A reader that stopped reading makes this wait, and signals are served meanwhile.
        let written = tokio::task::spawn_blocking(move || print(&address)).await;
        written
            .unwrap_or_else(|lost| Err(io::Error::other(lost)))
            .map_err(|error| {
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                QueueError::Closed
            })
    }
}

fn print(address: &Url) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()
}
