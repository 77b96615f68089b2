//! `wallhaul`: arguments in, exit code out, signals to the shutdown.

mod allocator;
mod cli;

use std::any::Any;
use std::cell::OnceCell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use tokio::signal::unix::{SignalKind, signal};
use wallhaul::app::{self, Environment, Inspection};
use wallhaul::config::Options;
use wallhaul::config::options::SelectionArgs;
use wallhaul::engine::Shutdown;
use wallhaul::exit::{Exit, Signal, ThreadError};

use crate::cli::{Cli, CollectionArgs, Command, LedgerCommand, SitesCommand};

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(told) => {
            // Help and the version are told this way too; where nobody listens nothing can be said.
            let _ = told.print();
            return if told.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    finish(run(command, &Environment::read()))
}

fn run(command: Command, world: &Environment) -> anyhow::Result<Exit> {
    match command {
        Command::Fetch {
            sites,
            options,
            config,
        } => {
            let options = config.with_file_defaults(*options, world.config_file.as_deref())?;
            in_motion(world, |shutdown| {
                app::fetch(sites, options, world, shutdown)
            })
        }
        Command::Urls {
            sites,
            paging,
            network,
            config,
        } => {
            let said = Options {
                paging,
                network: *network,
                ..Options::default()
            };
            let options = config.with_file_defaults(said, world.config_file.as_deref())?;
            in_motion(world, |shutdown| app::urls(sites, options, world, shutdown))
        }
        Command::Verify {
            site,
            repair,
            decode,
            sha256sums,
            jobs,
            location,
            lock,
            storage,
            output,
            network,
            config,
        } => {
            let selection = SelectionArgs {
                jobs,
                ..SelectionArgs::default()
            };
            let said = Options {
                location,
                lock,
                storage,
                selection,
                output,
                network: *network,
                ..Options::default()
            };
            let options = config.with_file_defaults(said, world.config_file.as_deref())?;
            let wanted = Inspection {
                repair,
                decode,
                sums: sha256sums,
                threads: jobs,
            };
            in_motion(world, |shutdown| {
                app::verify(site, wanted, options, world, shutdown)
            })
        }
        Command::Sites {
            command: None | Some(SitesCommand::List),
        } => app::list_sites(),
        Command::Sites {
            command: Some(SitesCommand::Show { site }),
        } => app::show_site(&site),
        Command::Ledger { command } => ledger(command, world),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wallhaul", &mut script);
            app::print(&script)
        }
        Command::Man { command } => manual(&command),
    }
}

fn ledger(command: LedgerCommand, world: &Environment) -> anyhow::Result<Exit> {
    let folder = |which: CollectionArgs| -> anyhow::Result<_> {
        let said = Options {
            location: which.location,
            ..Options::default()
        };
        Ok((
            which.site,
            which
                .config
                .with_file_defaults(said, world.config_file.as_deref())?
                .location,
        ))
    };
    match command {
        LedgerCommand::List { which, state, json } => {
            let (site, location) = folder(which)?;
            app::list_ledger(&site, &location, state.map(Into::into), json)
        }
        LedgerCommand::Show { text, which, json } => {
            let (site, location) = folder(which)?;
            app::show_ledger(&site, &location, text, json)
        }
        LedgerCommand::Rebuild { which, lock } => {
            let said = Options {
                location: which.location,
                lock,
                ..Options::default()
            };
            let Options { location, lock, .. } = which
                .config
                .with_file_defaults(said, world.config_file.as_deref())?;
            let options = Options {
                location,
                lock,
                ..Options::default()
            };
            in_motion(world, |shutdown| {
                app::rebuild_ledger(&which.site, options, world, shutdown)
            })
        }
        LedgerCommand::Stats { which, json } => {
            let (site, location) = folder(which)?;
            app::count_ledger(&site, &location, json)
        }
    }
}

/// Prints the manual page of the program, or of the command at the end of `path`.
fn manual(path: &[String]) -> anyhow::Result<Exit> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let command = path
        .iter()
        .try_fold(&program, |command, name| command.find_subcommand(name));
    let unknown = || {
        format!(
            "there is no command `{}`: see `wallhaul --help`",
            path.join(" ")
        )
    };
    let mut page = Vec::new();
    let manual = clap_mangen::Man::new(command.with_context(unknown)?.clone());
    manual
        .render(&mut page)
        .context("writing the manual page")?;
    app::print(&page)
}

/// How long images in hand may take to finish after a first signal.
const GRACE: Duration = Duration::from_secs(3);

/// How long the end of a run that drops what is in hand may take: a flush, a summary.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Runs what waits for the network, until it ends or a signal ends it.
fn in_motion<F: Future<Output = anyhow::Result<Exit>>>(
    world: &Environment,
    work: impl FnOnce(Shutdown) -> F,
) -> anyhow::Result<Exit> {
    raise_descriptor_limit();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Few threads, for work waits for the network. Those that block are the look-ups of names, each of which can hang
    // for half a minute and keep no other waiting.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = build(
        runtime
            .worker_threads(cores.min(4))
            .max_blocking_threads(64)
            .enable_all(),
    )?;
    let told = OnceCell::new();
    let shutdown = Shutdown::default();
    let ended = runtime.block_on(async {
        let ended = signalled(world, shutdown.clone(), &told).context("listening for signals")?;
        tokio::select! {
            ended = work(shutdown) => ended,
            // The signal says how it ended.
            () = ended => Ok(Exit::Done),
        }
    });
    // A page cache write or a flush that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match told.get() {
        Some(&signal) => Ok(ended
            .unwrap_or_else(|error| app::tell(&error))
            .max_severity(Exit::Signal(signal))),
        None => ended,
    }
}

/// Starts the runtime, which panics where the system lets no further thread begin: that is an error like others.
fn build(runtime: &mut tokio::runtime::Builder) -> anyhow::Result<tokio::runtime::Runtime> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let built = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.build()));
    std::panic::set_hook(hook);
    let refused = |told: Box<dyn Any + Send>| {
        let why = told
            .downcast_ref::<String>()
            .map_or("no reason given", String::as_str);
        Err(io::Error::other(why))
    };
    Ok(built.unwrap_or_else(refused).map_err(ThreadError::from)?)
}

/// The first signal stops the run, the second, or the end of the grace, drops what is in hand. Returns when a run
/// that was aborted has not ended soon after: whoever reads what it tells has stopped reading, or a disk hangs.
/// It may be left at any moment, and the next one goes on.
fn signalled<'a>(
    world: &Environment,
    shutdown: Shutdown,
    told: &'a OnceCell<Signal>,
) -> anyhow::Result<impl Future<Output = ()> + 'a> {
    let heeded = |kind: SignalKind| {
        world
            .heeds(kind.as_raw_value())
            .then(|| signal(kind))
            .transpose()
    };
    let mut hangup = heeded(SignalKind::hangup())?;
    let mut interrupt = heeded(SignalKind::interrupt())?;
    let mut terminate = heeded(SignalKind::terminate())?;
    // Listened to, it does not end the program: a file that grows too large is an error of the write, and told.
    let too_large = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    Ok(async move {
        let _listening = too_large;
        let mut next = async || {
            tokio::select! {
                () = received(&mut hangup) => Signal::Hangup,
                () = received(&mut interrupt) => Signal::Interrupt,
                () = received(&mut terminate) => Signal::Terminate,
            }
        };
        let first = next().await;
        told.get_or_init(|| first);
        shutdown.interrupt();
        let _ = tokio::time::timeout(GRACE, next()).await;
        shutdown.abort();
        tokio::time::sleep(LAST_WORDS).await;
    })
}

/// Returns when the signal arrived; never for one that is not listened to. Cancel-safe.
async fn received(listener: &mut Option<tokio::signal::unix::Signal>) {
    match listener {
        Some(listener) => {
            listener.recv().await;
        }
        None => std::future::pending().await,
    }
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
    ended.unwrap_or_else(|error| app::tell(&error)).into()
}
