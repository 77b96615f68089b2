//! From a parsed command to the application: merges its options with the configuration file and starts it.

use anyhow::Context as _;
use clap::CommandFactory as _;
use wallhaul::app::{
    self, Environment, NewOptions, PurgeTarget, QueueTask, RecordOptions, TestOptions,
    VerifyOptions,
};
use wallhaul::config::file::ConfigSource;
use wallhaul::config::options::{LocationArgs, SelectionArgs};
use wallhaul::config::{AnyHostSites, HumanDuration, NetworkArgs, Options};
use wallhaul::exit::Exit;

use crate::cli::{
    Cli, CollectionArgs, Command, LedgerCommand, QueueCommand, SitesCommand, WhichQueue, WorkArgs,
};

/// Runs `command`.
///
/// # Errors
///
/// When the options are wrong or the command fails; the error decides the exit code.
pub(crate) fn run(command: Command, env: &Environment) -> anyhow::Result<Exit> {
    let config_file = env.config_file.as_deref();
    match command {
        Command::Fetch {
            sites,
            options,
            config,
        } => {
            let options = config.with_file_defaults(*options, config_file)?;
            app::block_on(env, |shutdown| app::fetch(sites, options, env, shutdown))
        }
        Command::Scan {
            sites,
            follow,
            options,
            config,
        } => {
            let options = config.with_file_defaults(*options, config_file)?;
            app::block_on(env, |shutdown| {
                app::scan(sites, follow, options, env, shutdown)
            })
        }
        Command::Work {
            until_idle,
            options,
            config,
        } => work(until_idle, *options, &config, env),
        Command::Queue { command } => queue(command, env),
        Command::Urls {
            sites,
            paging,
            network,
            archive,
            config,
        } => {
            let given = Options {
                paging,
                network: *network,
                archive: *archive,
                ..Options::default()
            };
            let options = config.with_file_defaults(given, config_file)?;
            app::block_on(env, |shutdown| app::urls(sites, options, env, shutdown))
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
            archive,
            config,
        } => {
            let selection = SelectionArgs {
                jobs,
                ..SelectionArgs::default()
            };
            let (network, archive) = (*network, *archive);
            let given = Options {
                location,
                lock,
                storage,
                selection,
                output,
                network,
                archive,
                ..Options::default()
            };
            let options = config.with_file_defaults(given, config_file)?;
            let wanted = VerifyOptions {
                repair,
                decode,
                sums: sha256sums,
                threads: jobs,
            };
            app::block_on(env, |shutdown| {
                app::verify(site, wanted, options, env, shutdown)
            })
        }
        Command::Sites { command } => {
            sites(command.unwrap_or(SitesCommand::List { json: false }), env)
        }
        Command::Ledger { command } => ledger(command, env),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wallhaul", &mut script);
            app::print(&script)
        }
        Command::Man { command } => manual(&command),
    }
}

fn queue(command: QueueCommand, env: &Environment) -> anyhow::Result<Exit> {
    let (task, WhichQueue { queue, config }) = queue_task(command);
    let given = Options {
        queue: *queue,
        ..Options::default()
    };
    let options = config.with_file_defaults(given, env.config_file.as_deref())?;
    app::block_on(env, |shutdown| app::queue(task, options, env, shutdown))
}

fn queue_task(command: QueueCommand) -> (QueueTask, WhichQueue) {
    match command {
        QueueCommand::Status { watch, json, which } => (QueueTask::Status { watch, json }, which),
        QueueCommand::Dead { json, which } => (QueueTask::Dead { json }, which),
        QueueCommand::Retry {
            numbers,
            all: _,
            which,
        } => (QueueTask::Retry(numbers), which),
        QueueCommand::Purge {
            all: _,
            host,
            dead,
            which,
        } => {
            let target = match host {
                Some(host) => PurgeTarget::Host(host),
                None if dead => PurgeTarget::Dead,
                None => PurgeTarget::Jobs,
            };
            (QueueTask::Purge(target), which)
        }
        QueueCommand::Pause {
            host,
            pause: HumanDuration(pause),
            which,
        } => (QueueTask::Pause { host, pause }, which),
    }
}

fn work(
    until_idle: Option<HumanDuration>,
    given: WorkArgs,
    config: &ConfigSource,
    env: &Environment,
) -> anyhow::Result<Exit> {
    let options = config.with_file_defaults(worker_options(given), env.config_file.as_deref())?;
    let until_idle = until_idle.map(|HumanDuration(time)| time);
    app::block_on(env, |shutdown| {
        app::work(until_idle, options, env, shutdown)
    })
}

fn worker_options(given: WorkArgs) -> Options {
    let WorkArgs {
        queue,
        location,
        storage,
        jobs,
        max_time,
        output,
        network,
        archive,
    } = given;
    let selection = SelectionArgs {
        jobs,
        max_time,
        ..SelectionArgs::default()
    };
    Options {
        queue,
        location,
        storage,
        selection,
        output,
        network,
        archive,
        ..Options::default()
    }
}

fn sites(command: SitesCommand, env: &Environment) -> anyhow::Result<Exit> {
    let options = |network: Box<NetworkArgs>, config: ConfigSource| {
        let given = Options {
            network: *network,
            ..Options::default()
        };
        config.with_file_defaults(given, env.config_file.as_deref())
    };
    match command {
        SitesCommand::List { json } => app::list_sites(json, env),
        SitesCommand::Schema => app::print_schema(),
        SitesCommand::Show { site, facts } => app::show_site(&site, facts, env),
        SitesCommand::Test {
            site,
            page,
            page_url,
            detail,
            expect,
            variable,
            allow_any_host,
            json,
        } => {
            let any_host = allow_any_host.then_some(AnyHostSites::All);
            let options = Options {
                network: NetworkArgs {
                    variable,
                    allow_any_host: any_host.into_iter().collect(),
                    ..NetworkArgs::default()
                },
                ..Options::default()
            };
            options.network.check_variables()?;
            let wanted = TestOptions {
                page,
                page_url,
                details: detail,
                expect,
                json,
            };
            app::test_site(&site, &wanted, options, env)
        }
        SitesCommand::Check {
            site,
            network,
            config,
        } => {
            let options = options(network, config)?;
            app::block_on(env, |shutdown| {
                app::check_site(site, options, env, shutdown)
            })
        }
        SitesCommand::Record {
            site,
            directory,
            pages,
            images,
            network,
            config,
        } => {
            let options = options(network, config)?;
            let wanted = RecordOptions {
                folder: directory,
                pages,
                images,
            };
            app::block_on(env, |shutdown| {
                app::record_site(&site, wanted, options, env, shutdown)
            })
        }
        SitesCommand::New {
            url,
            original,
            name,
            output,
            network,
            config,
        } => {
            let options = options(network, config)?;
            let wanted = NewOptions {
                url,
                original,
                name,
                output,
            };
            app::block_on(env, |shutdown| {
                app::new_site(wanted, options, env, shutdown)
            })
        }
    }
}

fn ledger(command: LedgerCommand, env: &Environment) -> anyhow::Result<Exit> {
    match command {
        LedgerCommand::List { which, state, json } => {
            let (site, location) = collection(which, env)?;
            app::list_ledger(&site, &location, state.map(Into::into), json)
        }
        LedgerCommand::Show { text, which, json } => {
            let (site, location) = collection(which, env)?;
            app::show_ledger(&site, &location, text, json)
        }
        LedgerCommand::Rebuild {
            which:
                CollectionArgs {
                    location,
                    site,
                    config,
                },
            lock,
        } => {
            let given = Options {
                location,
                lock,
                ..Options::default()
            };
            let merged = config.with_file_defaults(given, env.config_file.as_deref())?;
            let Options { location, lock, .. } = merged;
            let options = Options {
                location,
                lock,
                ..Options::default()
            };
            app::block_on(env, |shutdown| {
                app::rebuild_ledger(&site, options, env, shutdown)
            })
        }
        LedgerCommand::Stats { which, json } => {
            let (site, location) = collection(which, env)?;
            app::count_ledger(&site, &location, json)
        }
    }
}

/// The site and the place of the collection that `which` names.
fn collection(which: CollectionArgs, env: &Environment) -> anyhow::Result<(String, LocationArgs)> {
    let CollectionArgs {
        location,
        site,
        config,
    } = which;
    let given = Options {
        location,
        ..Options::default()
    };
    let options = config.with_file_defaults(given, env.config_file.as_deref())?;
    Ok((site, options.location))
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
            "no such command: `{}`; see `wallhaul --help`",
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
