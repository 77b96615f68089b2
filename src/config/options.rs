//! The options as given by flag, environment or file. A flag wins over the variable, the variable over the file.
//!
//! Every long flag is also the variable `WALLHAUL_FLAG_NAME` and the key `flag-name` of the file.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use super::archive::ArchiveArgs;
pub use super::choice::{ColorChoice, NamesMode, ProgressMode, SyncMode};
use super::network::NetworkArgs;
pub use super::place::LocationArgs;
use super::{ByteSize, HumanDuration, OnLocked, PageRange, QueueArgs};
use crate::hooks::CommandTemplate;

/// Every option of a run; `None` or empty means not given.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Options {
    /// Where the collection is stored.
    #[command(flatten)]
    pub location: LocationArgs,
    /// What to do when another run holds it.
    #[command(flatten)]
    pub lock: LockArgs,
    /// How images are stored there.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Which listing pages are read.
    #[command(flatten)]
    pub paging: PagingArgs,
    /// Which images are fetched.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Which commands run for new images.
    #[command(flatten)]
    pub hooks: HookArgs,
    /// How results and progress are shown.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How requests are made.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// How the web archive is used.
    #[command(flatten)]
    pub archive: ArchiveArgs,
    /// The queue of a run on several machines.
    #[command(flatten)]
    pub queue: QueueArgs,
}

/// What to do when another run holds the collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Collection")]
pub struct LockArgs {
    /// If another run holds the collection: `fail`, `skip` it, `wait`, or `wait=TIME` at most [default: fail]
    #[arg(long, value_name = "HOW", env = "WALLHAUL_LOCK", hide_env = true)]
    pub lock: Option<OnLocked>,
}

/// How images are stored on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Collection")]
pub struct StorageArgs {
    /// Flush each group of images to disk before it counts as saved, or leave that to the system [default: group]
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        env = "WALLHAUL_SYNC",
        hide_env = true
    )]
    pub sync: Option<SyncMode>,
    /// Name files by their URL, or as the server's Content-Disposition header says [default: url]
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        env = "WALLHAUL_NAMES",
        hide_env = true
    )]
    pub names: Option<NamesMode>,
    /// Stop before free space falls below SIZE (0: no limit) [default: 1Gi, or 5 % of a small disk]
    #[arg(
        long,
        value_name = "SIZE",
        env = "WALLHAUL_MIN_FREE_SPACE",
        hide_env = true
    )]
    pub min_free_space: Option<ByteSize>,
}

/// Which listing pages are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "What to fetch")]
pub struct PagingArgs {
    /// Read only these listing pages: `3`, `3-7`, `3-` or `-7` [default: all]
    #[arg(
        short,
        long,
        value_name = "PAGES",
        allow_hyphen_values = true,
        env = "WALLHAUL_PAGES",
        hide_env = true
    )]
    pub pages: Option<PageRange>,
}

/// Which images are fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "What to fetch")]
pub struct SelectionArgs {
    /// Fetch the images at the URLs in FILE, one a line; `-` reads standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "WALLHAUL_INPUT_FILE",
        hide_env = true
    )]
    pub input_file: Vec<PathBuf>,
    /// Fetch N images at a time [default: 8]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096), env = "WALLHAUL_JOBS", hide_env = true)]
    pub jobs: Option<u16>,
    /// Stop after N new images; this counts as success
    #[arg(
        long,
        value_name = "N",
        env = "WALLHAUL_MAX_DOWNLOADS",
        hide_env = true
    )]
    pub max_downloads: Option<u64>,
    /// Start no new image once SIZE bytes were saved; this counts as success
    #[arg(
        short = 'Q',
        long,
        value_name = "SIZE",
        env = "WALLHAUL_QUOTA",
        hide_env = true
    )]
    pub quota: Option<ByteSize>,
    /// Start no new image after TIME; this counts as success
    #[arg(long, value_name = "TIME", env = "WALLHAUL_MAX_TIME", hide_env = true)]
    pub max_time: Option<HumanDuration>,
    /// Show what would be fetched, and write nothing
    #[arg(short = 'n', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_DRY_RUN", hide_env = true)]
    pub dry_run: Option<bool>,
    /// Request again images that were gone (404, 410) or skipped lately
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_RETRY_GONE", hide_env = true)]
    pub retry_gone: Option<bool>,
    /// Refuse images larger than SIZE [default: 100M]
    #[arg(long, value_name = "SIZE", env = "WALLHAUL_MAX_SIZE", hide_env = true)]
    pub max_size: Option<ByteSize>,
    /// Refuse images of more than N pixels [default: 200000000]
    #[arg(long, value_name = "N", env = "WALLHAUL_MAX_PIXELS", hide_env = true)]
    pub max_pixels: Option<u64>,
    /// Refuse images less than N pixels wide [default: as the site's definition says]
    #[arg(long, value_name = "N", env = "WALLHAUL_MIN_WIDTH", hide_env = true)]
    pub min_width: Option<u32>,
    /// Refuse images less than N pixels high [default: as the site's definition says]
    #[arg(long, value_name = "N", env = "WALLHAUL_MIN_HEIGHT", hide_env = true)]
    pub min_height: Option<u32>,
}

/// Which commands run for new images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Hooks")]
pub struct HookArgs {
    /// Run CMD for each saved image. `end:CMD` runs once, after a run that saved something. No shell
    #[arg(
        long,
        value_name = "[WHEN:]CMD",
        env = "WALLHAUL_EXEC",
        hide_env = true
    )]
    pub exec: Vec<CommandTemplate>,
    /// End a command that runs longer than TIME (0: no limit) [default: 60s]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_EXEC_TIMEOUT",
        hide_env = true
    )]
    pub exec_timeout: Option<HumanDuration>,
    /// Pass the variable NAME to commands although it looks like a secret
    #[arg(long, value_name = "NAME", env = "WALLHAUL_EXEC_ENV", hide_env = true)]
    pub exec_env: Vec<String>,
}

/// How results and progress are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print one JSON object per event to standard output
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_JSON", hide_env = true)]
    pub json: Option<bool>,
    /// Show progress as bars or as lines [default: auto]
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        env = "WALLHAUL_PROGRESS",
        hide_env = true
    )]
    pub progress: Option<ProgressMode>,
    /// Use colors [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        env = "WALLHAUL_COLOR",
        hide_env = true
    )]
    pub color: Option<ColorChoice>,
    /// Print only errors
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_QUIET", hide_env = true)]
    pub quiet: Option<bool>,
    /// Print a line for each page, image and retry; `-vv` prints everything
    #[arg(short, long, action = ArgAction::Count, env = "WALLHAUL_VERBOSE", hide_env = true)]
    pub verbose: u8,
}

impl Options {
    /// Merges option by option; `chosen` wins over `defaults`.
    pub fn merge(chosen: Self, defaults: Self) -> Self {
        let Self {
            location,
            lock,
            storage,
            paging,
            selection,
            hooks,
            output,
            network,
            archive,
            queue,
        } = chosen;
        Self {
            location: location.merge(defaults.location),
            lock: LockArgs {
                lock: lock.lock.or(defaults.lock.lock),
            },
            storage: storage.merge(defaults.storage),
            paging: PagingArgs {
                pages: paging.pages.or(defaults.paging.pages),
            },
            selection: selection.merge(defaults.selection),
            hooks: hooks.merge(defaults.hooks),
            output: output.merge(defaults.output),
            network: network.merge(defaults.network),
            archive: archive.merge(defaults.archive),
            queue: queue.merge(defaults.queue),
        }
    }
}

impl StorageArgs {
    fn merge(self, defaults: Self) -> Self {
        let Self {
            sync,
            names,
            min_free_space,
        } = self;
        Self {
            sync: sync.or(defaults.sync),
            names: names.or(defaults.names),
            min_free_space: min_free_space.or(defaults.min_free_space),
        }
    }
}

impl SelectionArgs {
    fn merge(self, defaults: Self) -> Self {
        let Self {
            input_file,
            jobs,
            max_downloads,
            quota,
            max_time,
            dry_run,
            retry_gone,
            max_size,
            max_pixels,
            min_width,
            min_height,
        } = self;
        Self {
            input_file: replace_if_empty(input_file, defaults.input_file),
            jobs: jobs.or(defaults.jobs),
            max_downloads: max_downloads.or(defaults.max_downloads),
            quota: quota.or(defaults.quota),
            max_time: max_time.or(defaults.max_time),
            dry_run: dry_run.or(defaults.dry_run),
            retry_gone: retry_gone.or(defaults.retry_gone),
            max_size: max_size.or(defaults.max_size),
            max_pixels: max_pixels.or(defaults.max_pixels),
            min_width: min_width.or(defaults.min_width),
            min_height: min_height.or(defaults.min_height),
        }
    }
}

impl HookArgs {
    fn merge(self, defaults: Self) -> Self {
        let Self {
            exec,
            exec_timeout,
            exec_env,
        } = self;
        Self {
            exec: replace_if_empty(exec, defaults.exec),
            exec_timeout: exec_timeout.or(defaults.exec_timeout),
            exec_env: replace_if_empty(exec_env, defaults.exec_env),
        }
    }
}

impl OutputArgs {
    fn merge(self, defaults: Self) -> Self {
        let Self {
            json,
            progress,
            color,
            quiet,
            verbose,
        } = self;
        Self {
            json: json.or(defaults.json),
            progress: progress.or(defaults.progress),
            color: color.or(defaults.color),
            quiet: quiet.or(defaults.quiet),
            verbose: if verbose > 0 {
                verbose
            } else {
                defaults.verbose
            },
        }
    }
}

/// A list from a stronger source replaces the weaker one; lists are not joined.
pub(super) fn replace_if_empty<T>(chosen: Vec<T>, defaults: Vec<T>) -> Vec<T> {
    if chosen.is_empty() { defaults } else { chosen }
}
