//! What can be said, by flag, environment or file, and who wins: a flag over the environment over the file.
//!
//! Every long flag is also the variable `WALLHAUL_FLAG_NAME` and the key `flag-name` of the file.

use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use url::Url;

use super::{ByteSize, Header, HumanDuration, OnLocked, PageRange};
use crate::hooks::CommandTemplate;

/// Everything that can be said about a run; whatever was not said is absent.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Options {
    /// Where the collection lies.
    #[command(flatten)]
    pub place: LocationArgs,
    /// How it is taken for this run alone.
    #[command(flatten)]
    pub claim: LockArgs,
    /// How images are kept there.
    #[command(flatten)]
    pub keeping: StorageArgs,
    /// Which pages are read.
    #[command(flatten)]
    pub paging: PagingArgs,
    /// What is fetched.
    #[command(flatten)]
    pub choice: SelectionArgs,
    /// What is run.
    #[command(flatten)]
    pub hooking: HookArgs,
    /// What is told.
    #[command(flatten)]
    pub telling: OutputArgs,
    /// How servers are asked.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Where the collection lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Collection")]
pub struct LocationArgs {
    /// Where the collection lies [default: ./wallpapers/SITE]
    #[arg(
        short,
        long,
        value_name = "DIR",
        env = "WALLHAUL_DIRECTORY",
        hide_env = true
    )]
    pub directory: Option<PathBuf>,
}

/// How a collection is taken for one run alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Collection")]
pub struct LockArgs {
    /// When another run holds the collection: `fail`, `skip` this run, `wait`, or `wait=TIME` at most [default: fail]
    #[arg(long, value_name = "HOW", env = "WALLHAUL_LOCK", hide_env = true)]
    pub lock: Option<OnLocked>,
}

/// How images are kept on its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Collection")]
pub struct StorageArgs {
    /// Make images durable a group at a time, or leave that to the system [default: group]
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        env = "WALLHAUL_SYNC",
        hide_env = true
    )]
    pub sync: Option<SyncWhen>,
    /// End the run while at least this much is free on the disk, 0 for never [default: 1Gi, or 5 % of a small disk]
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
    /// Which listing pages: `3`, `3-7`, `3-` or `-7` [default: all]
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

/// What is fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "What to fetch")]
pub struct SelectionArgs {
    /// Fetch the images whose addresses this file has, one a line; `-` is standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "WALLHAUL_INPUT_FILE",
        hide_env = true
    )]
    pub input_file: Vec<PathBuf>,
    /// Images at a time [default: 8]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096), env = "WALLHAUL_JOBS", hide_env = true)]
    pub jobs: Option<u16>,
    /// Stop, successfully, after this many new images
    #[arg(
        long,
        value_name = "N",
        env = "WALLHAUL_MAX_DOWNLOADS",
        hide_env = true
    )]
    pub max_downloads: Option<u64>,
    /// Begin no new image, successfully, once so many bytes were saved
    #[arg(
        short = 'Q',
        long,
        value_name = "SIZE",
        env = "WALLHAUL_QUOTA",
        hide_env = true
    )]
    pub quota: Option<ByteSize>,
    /// Begin no new image, successfully, after this time
    #[arg(long, value_name = "TIME", env = "WALLHAUL_MAX_TIME", hide_env = true)]
    pub max_time: Option<HumanDuration>,
    /// Say what would be fetched, and write nothing
    #[arg(short = 'n', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_DRY_RUN", hide_env = true)]
    pub dry_run: Option<bool>,
    /// Refuse images of more bytes [default: 100M]
    #[arg(long, value_name = "SIZE", env = "WALLHAUL_MAX_SIZE", hide_env = true)]
    pub max_size: Option<ByteSize>,
    /// Refuse images that declare more pixels [default: 200000000]
    #[arg(long, value_name = "N", env = "WALLHAUL_MAX_PIXELS", hide_env = true)]
    pub max_pixels: Option<u64>,
}

/// Which commands are run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Hooks")]
pub struct HookArgs {
    /// Run a command for each saved image, or with `end:` before it once behind a run that saved any; no shell
    #[arg(
        long,
        value_name = "[WHEN:]CMD",
        env = "WALLHAUL_EXEC",
        hide_env = true
    )]
    pub exec: Vec<CommandTemplate>,
    /// How long a command may take before it is ended; 0 for as long as it likes [default: 60s]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_EXEC_TIMEOUT",
        hide_env = true
    )]
    pub exec_timeout: Option<HumanDuration>,
    /// Let commands have this variable although it looks like a secret
    #[arg(long, value_name = "NAME", env = "WALLHAUL_EXEC_ENV", hide_env = true)]
    pub exec_env: Vec<String>,
}

/// How much is told, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// One JSON event a line on standard output
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_JSON", hide_env = true)]
    pub json: Option<bool>,
    /// How progress is shown [default: auto]
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        env = "WALLHAUL_PROGRESS",
        hide_env = true
    )]
    pub progress: Option<ProgressHow>,
    /// When colors are used [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        env = "WALLHAUL_COLOR",
        hide_env = true
    )]
    pub color: Option<ColorWhen>,
    /// Say nothing but errors
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_QUIET", hide_env = true)]
    pub quiet: Option<bool>,
    /// Say more: a line for each page, image and retry; twice, everything
    #[arg(short, long, action = ArgAction::Count, env = "WALLHAUL_VERBOSE", hide_env = true)]
    pub verbose: u8,
}

/// How servers are asked.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Fetch the site's pages and images from a mirror at this address
    #[arg(long, value_name = "URL", env = "WALLHAUL_BASE_URL", hide_env = true)]
    pub base_url: Option<Url>,
    /// Read a site definition of your own
    #[arg(long, value_name = "FILE", env = "WALLHAUL_SITE_FILE", hide_env = true)]
    pub site_file: Option<PathBuf>,
    /// How often to try again [default: 4]
    #[arg(
        short = 'R',
        long,
        value_name = "N",
        env = "WALLHAUL_RETRIES",
        hide_env = true
    )]
    pub retries: Option<u32>,
    /// The pause before the first retry; it doubles each time [default: 500ms]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_RETRY_WAIT",
        hide_env = true
    )]
    pub retry_wait: Option<HumanDuration>,
    /// How long a connection may take to open [default: 10s]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_CONNECT_TIMEOUT",
        hide_env = true
    )]
    pub connect_timeout: Option<HumanDuration>,
    /// How long a server may send nothing [default: 30s]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_STALL_TIMEOUT",
        hide_env = true
    )]
    pub stall_timeout: Option<HumanDuration>,
    /// Give up on a transfer slower than this, in bytes a second over the stall time-out [default: 100]
    #[arg(long, value_name = "SIZE", env = "WALLHAUL_MIN_SPEED", hide_env = true)]
    pub min_speed: Option<ByteSize>,
    /// The least time between two requests to one host [default: 0]
    #[arg(
        short,
        long,
        value_name = "TIME",
        env = "WALLHAUL_WAIT",
        hide_env = true
    )]
    pub wait: Option<HumanDuration>,
    /// The most bytes a second that are read, all images together [default: no limit]
    #[arg(
        short = 'r',
        long,
        value_name = "SIZE",
        env = "WALLHAUL_LIMIT_RATE",
        hide_env = true
    )]
    pub limit_rate: Option<ByteSize>,
    /// Whether robots.txt is obeyed [default: obey]
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        env = "WALLHAUL_ROBOTS",
        hide_env = true
    )]
    pub robots: Option<RobotsHow>,
    /// Refuse listing pages of more bytes, unpacked [default: 16M]
    #[arg(
        long,
        value_name = "SIZE",
        env = "WALLHAUL_MAX_PAGE_SIZE",
        hide_env = true
    )]
    pub max_page_size: Option<ByteSize>,
    /// Trust the certificates in this PEM file too
    #[arg(
        long,
        value_name = "FILE",
        env = "WALLHAUL_CA_CERTIFICATE",
        hide_env = true
    )]
    pub ca_certificate: Vec<PathBuf>,
    /// Check no certificates at all
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_INSECURE", hide_env = true)]
    pub insecure: Option<bool>,
    /// Let pages and images come over HTTP/2 where a server offers it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_HTTP2", hide_env = true)]
    pub http2: Option<bool>,
    /// What the program calls itself [default: wallhaul/VERSION (+homepage)]
    #[arg(
        long,
        value_name = "TEXT",
        env = "WALLHAUL_USER_AGENT",
        hide_env = true
    )]
    pub user_agent: Option<String>,
    /// A further header for the site's hosts, `Name: value`
    #[arg(long, value_name = "HEADER", env = "WALLHAUL_HEADER", hide_env = true)]
    pub header: Vec<Header>,
    /// The configuration file that holds headers, where others can read it: they may be secrets.
    #[arg(skip)]
    pub world_readable_config: Option<PathBuf>,
}

/// `--sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SyncWhen {
    /// A group of images is on the disk before any of them gets its name.
    Group,
    /// Left to the system: quicker on slow disks, and a power cut may cost the newest images.
    Off,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressHow {
    /// Bars on a terminal; elsewhere trouble and a summary, and nothing when there is no news.
    Auto,
    /// Bars, if there is a terminal that can show them.
    Bars,
    /// A line for each image, and a summary.
    Plain,
    /// Trouble and a summary.
    None,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set or it is a dumb one.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `--robots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RobotsHow {
    /// Ask for robots.txt once a host, and do as it says.
    Obey,
    /// Do not ask.
    Ignore,
}

impl Options {
    /// What holds when both were said: `said` wins over `below`, option by option.
    pub fn over(said: Self, below: Self) -> Self {
        let Self {
            place,
            claim,
            keeping,
            paging,
            choice,
            hooking,
            telling,
            network,
        } = said;
        Self {
            place: place.over(below.place),
            claim: LockArgs {
                lock: claim.lock.or(below.claim.lock),
            },
            keeping: keeping.over(below.keeping),
            paging: PagingArgs {
                pages: paging.pages.or(below.paging.pages),
            },
            choice: choice.over(below.choice),
            hooking: hooking.over(below.hooking),
            telling: telling.over(below.telling),
            network: network.over(below.network),
        }
    }
}

impl LocationArgs {
    /// The folder of `site`'s collection; one of `several` has a folder of its own inside what the user said.
    pub fn collection(&self, site: &str, several: bool) -> PathBuf {
        match &self.directory {
            Some(directory) if several => directory.join(site),
            Some(directory) => directory.clone(),
            None => Path::new("wallpapers").join(site),
        }
    }

    fn over(self, below: Self) -> Self {
        let Self { directory } = self;
        Self {
            directory: directory.or(below.directory),
        }
    }
}

impl StorageArgs {
    fn over(self, below: Self) -> Self {
        let Self {
            sync,
            min_free_space,
        } = self;
        Self {
            sync: sync.or(below.sync),
            min_free_space: min_free_space.or(below.min_free_space),
        }
    }
}

impl SelectionArgs {
    fn over(self, below: Self) -> Self {
        let Self {
            input_file,
            jobs,
            max_downloads,
            quota,
            max_time,
            dry_run,
            max_size,
            max_pixels,
        } = self;
        Self {
            input_file: said_or(input_file, below.input_file),
            jobs: jobs.or(below.jobs),
            max_downloads: max_downloads.or(below.max_downloads),
            quota: quota.or(below.quota),
            max_time: max_time.or(below.max_time),
            dry_run: dry_run.or(below.dry_run),
            max_size: max_size.or(below.max_size),
            max_pixels: max_pixels.or(below.max_pixels),
        }
    }
}

impl HookArgs {
    fn over(self, below: Self) -> Self {
        let Self {
            exec,
            exec_timeout,
            exec_env,
        } = self;
        Self {
            exec: said_or(exec, below.exec),
            exec_timeout: exec_timeout.or(below.exec_timeout),
            exec_env: said_or(exec_env, below.exec_env),
        }
    }
}

impl OutputArgs {
    fn over(self, below: Self) -> Self {
        let Self {
            json,
            progress,
            color,
            quiet,
            verbose,
        } = self;
        Self {
            json: json.or(below.json),
            progress: progress.or(below.progress),
            color: color.or(below.color),
            quiet: quiet.or(below.quiet),
            verbose: if verbose > 0 { verbose } else { below.verbose },
        }
    }
}

impl NetworkArgs {
    fn over(self, below: Self) -> Self {
        let Self {
            base_url,
            site_file,
            retries,
            retry_wait,
            connect_timeout,
            stall_timeout,
            min_speed,
            wait,
            limit_rate,
            robots,
            max_page_size,
            ca_certificate,
            insecure,
            http2,
            user_agent,
            header,
            world_readable_config,
        } = self;
        Self {
            base_url: base_url.or(below.base_url),
            site_file: site_file.or(below.site_file),
            retries: retries.or(below.retries),
            retry_wait: retry_wait.or(below.retry_wait),
            connect_timeout: connect_timeout.or(below.connect_timeout),
            stall_timeout: stall_timeout.or(below.stall_timeout),
            min_speed: min_speed.or(below.min_speed),
            wait: wait.or(below.wait),
            limit_rate: limit_rate.or(below.limit_rate),
            robots: robots.or(below.robots),
            max_page_size: max_page_size.or(below.max_page_size),
            ca_certificate: said_or(ca_certificate, below.ca_certificate),
            insecure: insecure.or(below.insecure),
            http2: http2.or(below.http2),
            user_agent: user_agent.or(below.user_agent),
            header: said_or(header, below.header),
            world_readable_config: world_readable_config.or(below.world_readable_config),
        }
    }
}

/// A list that was said replaces the one below it; it does not grow it.
fn said_or<T>(said: Vec<T>, below: Vec<T>) -> Vec<T> {
    if said.is_empty() { below } else { said }
}
