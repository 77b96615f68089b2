//! `wallhaul urls`: the addresses of the originals, for other download programs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use url::Url;

use crate::app::console::write_flushed;
use crate::app::environment::Environment;
use crate::app::run::{check_archive, discover_options, new_run, use_environment};
use crate::app::targets::{Definitions, SelectedSource, SiteSession, select_sites, wanted_pages};
use crate::config::{Options, Settings};
use crate::engine::{self, Run, Shutdown, Source};
use crate::event::{Event, Events};
use crate::exit::{Exit, OutputError, ThreadError};
use crate::job::{Candidate, ImageName, Job};
use crate::ledger;
use crate::outcome::{Failure, Outcome, Stage};
use crate::queue::{JobSender, QueueError, Sent};
use crate::report::{self, OutputSettings, Progress};

/// How long a run that a signal ends waits for the reader of its output.
const LAST_WRITE: Duration = Duration::from_millis(100);

/// Prints the address of every original on the sites of these names, one a line.
///
/// # Errors
///
/// When a definition is wrong, or standard output cannot be written to.
pub async fn urls(
    names: Vec<String>,
    options: Options,
    environment: &Environment,
    shutdown: Shutdown,
) -> anyhow::Result<Exit> {
    check_archive(&options)?;
    let mut settings = Settings::new(options, environment.stderr, environment.clock);
    use_environment(&mut settings, environment)?;
    // The addresses are the output; beside them stands what is wrong, and what is left out.
    let output = OutputSettings {
        progress: Progress::None,
        json: false,
        ..settings.output
    };
    let mut exit = Exit::Done;
    let definitions = Definitions::new(environment, &settings);
    let sites = select_sites(&names, &settings, &definitions)?;
    for site in &sites {
        SelectedSource::Site(site.clone()).check(&settings)?;
    }
    for site in sites {
        let source = Source::Listing(Arc::clone(&site.site), wanted_pages(&settings, &site.site)?);
        let session = SiteSession::open(SelectedSource::Site(site), &settings, false).await?;
        let (events, receiver) = Events::channel(output.watches_images());
        let reporters = report::open_log(&output, Box::new(io::stderr()));
        let dispatch = report::dispatch(receiver, reporters).map_err(ThreadError::from)?;
        let lines = Arc::new(Lines::default());
        let run = new_run(&session, environment, events, &shutdown).await;
        let jobs = Printer {
            run: run.clone(),
            lines: Arc::clone(&lines),
        };
        let result = engine::discover(
            run,
            Arc::from(ledger::empty()),
            source,
            discover_options(&settings, ImageName::MAX_BYTES),
            Box::new(jobs),
        )
        .await;
        let tally = dispatch.await;
        // Also what a run that was stopped within a page had found there; but nobody may ever read it.
        let written = tokio::select! {
            biased;
            written = lines.finish() => written,
            () = long_after_signal(&shutdown) => Ok(()),
        };
        result?;
        written.map_err(OutputError::from)?;
        exit = exit.max_severity(Exit::from_tally(&tally));
    }
    Ok(exit)
}

/// Returns when a signal asked for the end so long ago that whoever reads the output had time for the last of it.
async fn long_after_signal(shutdown: &Shutdown) {
    shutdown.terminating().await;
    sleep(LAST_WRITE).await;
}

/// Takes jobs and prints the addresses of their originals, a listing page at a time; where a page leads to one, the page
/// is read. Once printing fails it takes no more.
struct Printer {
    run: Run,
    lines: Arc<Lines>,
}

/// The lines of standard output.
#[derive(Default)]
struct Lines {
    /// What was not written yet: complete lines. A thread hop and a flush for each address, in place of one of each for a
    /// listing page, were 70,000 context switches for 20,000 addresses, and are 6,400 now. Whoever reads the pipe gets
    /// the first addresses no later.
    waiting: Mutex<String>,
    /// The page before, which is written while the next one is read.
    writing: tokio::sync::Mutex<Option<JoinHandle<io::Result<()>>>>,
    /// The first error, for the caller: the engine only learns that the queue is closed.
    failed: Mutex<Option<io::Error>>,
}

impl Lines {
    fn push(&self, line: &str) {
        let mut waiting = self.waiting.lock();
        waiting.push_str(line);
        waiting.push('\n');
    }

    /// Begins to write what waits, once what was begun before is written; false when that failed. Cancel-safe: nothing is
    /// taken before it can be begun.
    async fn write(&self) -> bool {
        let mut writing = self.writing.lock().await;
        if let Some(before) = writing.as_mut() {
            let written = before.await;
            *writing = None;
            if let Err(error) = written.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
                self.failed.lock().get_or_insert(error);
            }
        }
        if self.failed.lock().is_some() {
            return false;
        }
        let lines = std::mem::take(&mut *self.waiting.lock());
        if !lines.is_empty() {
            // Blocks while nothing reads the pipe, so it runs on its own thread: signals are handled meanwhile.
            *writing = Some(spawn_blocking(move || write_flushed(lines.as_bytes())));
        }
        true
    }

    /// Writes the rest.
    async fn finish(&self) -> io::Result<()> {
        // The second time waits for what the first one began.
        let _ = self.write().await && self.write().await;
        self.failed.lock().take().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl JobSender for Printer {
    async fn send(&self, job: Job) -> Result<Sent, QueueError> {
        // The addresses before this one do not wait for its page, nor does this one for the page of the next.
        let is_followed = matches!(job.candidates.first(), Some(Candidate::Follow(_)));
        if is_followed {
            self.flush().await?;
        }
        // A run that was asked to stop waits for no page.
        let found = tokio::select! {
            biased;
            () = self.run.shutdown.stopping() => return Err(QueueError::Closed),
            found = engine::first_original(&self.run, &job.candidates) => found,
        };
        let has_secret = |original: &Url| {
            let masks = self.run.fetcher.masks();
            masks.matches(original.as_str())
        };
        let found = match found {
            // With a mask in its place the address would be of no use.
            Ok(Some(original)) if has_secret(&original) => Err(Outcome::Failed(Failure {
                stage: Stage::Rewrite,
                address: self.run.shown(&original).into(),
                cause: "its address holds a secret, which is not printed".to_owned(),
                attempts: 0,
                gone: false,
            })),
            found => found,
        };
        let original = match found {
            Ok(Some(original)) => original,
            Ok(None) => return Ok(Sent::New),
            Err(outcome) => {
                let finished = Event::ImageFinished {
                    key: job.key,
                    outcome,
                };
                self.run.events.emit(finished).await;
                return Ok(Sent::New);
            }
        };
        self.lines.push(self.run.shown(&original).as_str());
        if is_followed {
            self.flush().await?;
        }
        Ok(Sent::New)
    }

    async fn flush(&self) -> Result<(), QueueError> {
        if self.lines.write().await {
            Ok(())
        } else {
            Err(QueueError::Closed)
        }
    }
}
