//! `wallhaul`: arguments in, exit code out, signals to the shutdown.

mod cli;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use tokio::signal::unix::{SignalKind, signal};
use wallhaul::app::{self, World};
use wallhaul::config::options::Choice;
use wallhaul::config::{Options, file};
use wallhaul::engine::Shutdown;
use wallhaul::exit::{Exit, Signal};
use wallhaul::report;

use crate::cli::{Cli, Command, ConfigFile, LedgerCommand, SitesCommand};

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(told) => {
            // Help and the version are told this way too; where nobody listens nothing can be said.
            let _ = told.print();
            return if told.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    finish(run(command, &World::read()))
}

fn run(command: Command, world: &World) -> anyhow::Result<Exit> {
    match command {
        Command::Fetch { sites, options, config } => {
            let options = with_file(*options, &config, world)?;
            in_motion(|shutdown| app::fetch(sites, options, world, shutdown))
        }
        Command::Urls { sites, pages, network, config } => {
            let choice = Choice { pages, ..Choice::default() };
            let said = Options { choice, network: *network, ..Options::default() };
            let options = with_file(said, &config, world)?;
            in_motion(|shutdown| app::urls(sites, options, world, shutdown))
        }
        Command::Sites { command: None | Some(SitesCommand::List) } => app::list_sites(),
        Command::Sites { command: Some(SitesCommand::Show { site }) } => app::show_site(&site),
        Command::Ledger { command } => ledger(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wallhaul", &mut script);
            app::print(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).context("writing the manual page")?;
            app::print(&page)
        }
    }
}

fn ledger(command: LedgerCommand) -> anyhow::Result<Exit> {
    match command {
        LedgerCommand::List { which, state, json } => {
            app::list_ledger(&which.site, which.place, None, state.map(Into::into), json)
        }
        LedgerCommand::Show { text, which, json } => app::show_ledger(&which.site, which.place, text, json),
        LedgerCommand::Stats { which, json } => app::count_ledger(&which.site, which.place, json),
    }
}

/// What was said by flag or variable, over what the configuration file says.
fn with_file(said: Options, config: &ConfigFile, world: &World) -> anyhow::Result<Options> {
    let path = match &config.config {
        Some(path) => path.clone(),
        None if config.no_config => return Ok(said),
        None => match &world.config_file {
            Some(path) if path.exists() => path.clone(),
            Some(_) | None => return Ok(said),
        },
    };
    let reading = || format!("reading the configuration file `{}`", path.display());
    let text = std::fs::read_to_string(&path).with_context(reading)?;
    let below = file::read(&text).with_context(reading)?;
    Ok(Options::over(said, below))
}

/// How long images in hand may take to finish after a first signal.
const GRACE: Duration = Duration::from_secs(3);

/// How long the end of a run that drops what is in hand may take: a flush, a summary.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Runs what waits for the network, until it ends or a signal ends it.
fn in_motion<F: Future<Output = anyhow::Result<Exit>>>(work: impl FnOnce(Shutdown) -> F) -> anyhow::Result<Exit> {
    raise_descriptor_limit();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Few threads: work waits for the network, and disk work that blocks comes in groups.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(4))
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let told = Arc::new(OnceLock::new());
    let shutdown = Shutdown::default();
    let ended = runtime.block_on(async {
        tokio::spawn(listen(shutdown.clone(), Arc::clone(&told)).context("listening for signals")?);
        tokio::select! {
            ended = work(shutdown.clone()) => ended,
            // The signal says how it ended.
            () = overdue(&shutdown) => Ok(Exit::Done),
        }
    });
    // A page cache write or a flush that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match told.get() {
        Some(&signal) => ended.map(|exit| exit.or_worse(Exit::Signal(signal))),
        None => ended,
    }
}

/// The first signal stops the run, the second, or the end of the grace, drops what is in hand.
fn listen(shutdown: Shutdown, told: Arc<OnceLock<Signal>>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let mut next = async || {
            tokio::select! {
                _ = hangup.recv() => Signal::Hangup,
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
            }
        };
        let first = next().await;
        told.get_or_init(|| first);
        shutdown.stop();
        let _ = tokio::time::timeout(GRACE, next()).await;
        shutdown.abort();
    })
}

/// Returns when a run that was aborted has not ended soon after: whoever reads what it tells has stopped
/// reading, or a disk hangs. It may be left at any moment, and the next one goes on.
async fn overdue(shutdown: &Shutdown) {
    shutdown.aborting().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Each worker holds a socket and a file: what the system allows at most is taken.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, the soft limit holds and too many jobs are told of when they fail.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn finish(ended: anyhow::Result<Exit>) -> ExitCode {
    let exit = match ended {
        Ok(exit) => exit,
        Err(error) => {
            let exit = Exit::of_error(&error);
            if exit != Exit::Closed {
                let told = report::escape(&format!("{error:#}")).into_owned();
                // Where nobody listens nothing can be said.
                let _ = writeln!(std::io::stderr(), "error: {told}");
            }
            exit
        }
    };
    exit.into()
}
