//! Settings: every option resolved, to the user's value or the default.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::network::{NetworkArgs, RobotsMode};
use super::options::{
    ColorChoice, HookArgs, LocationArgs, LockArgs, NamesMode, OutputArgs, PagingArgs, ProgressMode,
    SelectionArgs, StorageArgs, SyncMode,
};
use super::{
    AnyHostSites, ByteSize, Header, HumanDuration, OnLocked, Options, PageRange, QueueArgs,
    SecretSource, VariableValue,
};
use crate::engine;
use crate::fetch::{CookieSource, FetchSettings, Proxies, Robots};
use crate::hooks::HookSettings;
use crate::report::{self, ColorMode, Progress, Stderr};
use crate::sink::{Durability, MinFree};
use crate::verify::Limits;

/// The settings of a run. `None` always means something (no limit, no mirror), never "not given".
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where collections are stored.
    pub place: LocationArgs,
    /// What to do when another run holds the collection.
    pub lock: OnLocked,
    /// Whether placed images are flushed to disk.
    pub durability: Durability,
    /// Whether files are named as the server's Content-Disposition header says.
    pub names_from_header: bool,
    /// Free space to leave on the collection's disk.
    pub min_free: MinFree,
    /// How many images are fetched at a time.
    pub jobs: NonZeroUsize,
    /// Which listing pages; all by default.
    pub pages: PageRange,
    /// Files with URLs, one a line; `-` is standard input.
    pub input_files: Vec<PathBuf>,
    /// Stop after this many new images.
    pub max_downloads: Option<u64>,
    /// Start no new image once this many bytes were saved.
    pub quota: Option<u64>,
    /// Start no new image after this time.
    pub max_time: Option<Duration>,
    /// Request again what sites said lately is gone.
    pub retry_gone: bool,
    /// Only report what would be fetched.
    pub dry_run: bool,
    /// Limits on what an image may declare.
    pub limits: Limits,
    /// The least width of an image in pixels, where not the definition's own counts.
    pub min_width: Option<u32>,
    /// The least height of an image in pixels, where not the definition's own counts.
    pub min_height: Option<u32>,
    /// The user's commands.
    pub hooks: HookSettings,
    /// How results and progress are shown.
    pub output: report::OutputSettings,
    /// Fetch from this mirror of the site.
    pub base_url: Option<Url>,
    /// The user's own site definition.
    pub site_file: Option<PathBuf>,
    /// Values for the variables of definitions.
    pub variables: BTreeMap<String, String>,
    /// The variables of the environment that the user's own definition may have as secrets.
    pub secret_env: Vec<String>,
    /// Where secrets come from. What the environment holds is put here by the commands that use the network.
    pub secrets: SecretSource,
    /// The sites whose images may be on any host.
    pub allow_any_host: Vec<AnyHostSites>,
    /// The sites that are off and that the user has turned on.
    pub opt_in: Vec<String>,
    /// The `User-Agent` that the user has chosen: a definition's own then does not count.
    pub chosen_user_agent: Option<String>,
    /// A configuration file that holds headers and is readable by every user.
    pub world_readable_config: Option<PathBuf>,
    /// How requests are made.
    pub fetch: FetchSettings,
    /// The queue of a run on several machines.
    pub queue: QueueArgs,
}

/// The default User-Agent.
const USER_AGENT: &str = concat!(
    "wallhaul/",
    env!("CARGO_PKG_VERSION"),
    " (+",
    env!("CARGO_PKG_REPOSITORY"),
    ")"
);

const JOBS: u16 = 8;

impl Settings {
    /// Resolves every option. `stderr` and `clock` come from the environment.
    pub fn new(options: Options, stderr: Stderr, clock: fn() -> Timestamp) -> Self {
        let Options {
            location,
            lock: LockArgs { lock },
            storage,
            paging: PagingArgs { pages },
            selection,
            hooks,
            output,
            network,
            archive,
            queue,
        } = options;
        let SelectionArgs {
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
        } = selection;
        let StorageArgs {
            sync,
            names,
            min_free_space,
        } = storage;
        let jobs = NonZeroUsize::from(
            std::num::NonZeroU16::new(jobs.unwrap_or(JOBS)).unwrap_or(std::num::NonZeroU16::MIN),
        );
        Self {
            place: location,
            lock: lock.unwrap_or(OnLocked::Fail),
            durability: match sync.unwrap_or(SyncMode::Group) {
                SyncMode::Group => Durability::Group,
                SyncMode::Off => Durability::Off,
            },
            names_from_header: names.unwrap_or(NamesMode::Url) == NamesMode::Header,
            min_free: min_free_space.map_or(MinFree::Default, |least| MinFree::Bytes(least.0)),
            jobs,
            pages: pages.unwrap_or(PageRange {
                first: None,
                last: None,
            }),
            input_files: input_file,
            max_downloads,
            quota: quota.map(|ByteSize(bytes)| bytes),
            max_time: max_time.map(|HumanDuration(limit)| limit),
            dry_run: dry_run.unwrap_or(false),
            retry_gone: retry_gone.unwrap_or(false),
            limits: Limits {
                max_pixels: max_pixels.unwrap_or(Limits::default().max_pixels),
            },
            min_width,
            min_height,
            hooks: hook_settings(hooks),
            output: output_settings(output, stderr, clock),
            base_url: network.base_url.clone(),
            site_file: network.site_file.clone(),
            variables: network
                .variable
                .iter()
                .map(|VariableValue { name, value }| (name.clone(), value.clone()))
                .collect(),
            secret_env: network.secret_env.clone(),
            secrets: SecretSource::default(),
            allow_any_host: network.allow_any_host.clone(),
            opt_in: network.opt_in.clone(),
            chosen_user_agent: network.user_agent.clone(),
            world_readable_config: network.world_readable_config.clone(),
            fetch: FetchSettings {
                archive: archive.settings(),
                ..fetch_settings(network, jobs, max_size)
            },
            queue,
        }
    }
}

fn hook_settings(args: HookArgs) -> HookSettings {
    let HookArgs {
        exec,
        exec_timeout,
        exec_env,
    } = args;
    let limit = exec_timeout.map_or(Duration::from_secs(60), |HumanDuration(limit)| limit);
    let limit = if limit.is_zero() {
        Duration::MAX
    } else {
        limit
    };
    HookSettings {
        commands: exec,
        limit,
        shared: exec_env,
    }
}

fn output_settings(
    args: OutputArgs,
    stderr: Stderr,
    clock: fn() -> Timestamp,
) -> report::OutputSettings {
    let OutputArgs {
        json,
        progress,
        color,
        quiet,
        verbose,
    } = args;
    report::OutputSettings {
        progress: match progress.unwrap_or(ProgressMode::Auto) {
            ProgressMode::Auto => Progress::Auto,
            ProgressMode::Bars => Progress::Bars,
            ProgressMode::Plain => Progress::Plain,
            ProgressMode::None => Progress::None,
        },
        json: json.unwrap_or(false),
        quiet: quiet.unwrap_or(false),
        verbose,
        color: match color.unwrap_or(ColorChoice::Auto) {
            ColorChoice::Auto => ColorMode::Auto,
            ColorChoice::Always => ColorMode::Always,
            ColorChoice::Never => ColorMode::Never,
        },
        stderr,
        clock,
    }
}

fn fetch_settings(
    network: NetworkArgs,
    jobs: NonZeroUsize,
    max_size: Option<ByteSize>,
) -> FetchSettings {
    let NetworkArgs {
        base_url: _,
        site_file: _,
        variable: _,
        secret_env: _,
        allow_any_host: _,
        opt_in: _,
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
        cookies,
        world_readable_config: _,
    } = network;
    let period = |said: Option<HumanDuration>, default: Duration| {
        said.map_or(default, |HumanDuration(period)| period)
    };
    let size = |said: Option<ByteSize>, default: u64| said.map_or(default, |ByteSize(bytes)| bytes);
    FetchSettings {
        user_agent: user_agent.unwrap_or_else(|| USER_AGENT.to_owned()),
        connect_timeout: period(connect_timeout, Duration::from_secs(10)),
        stall_timeout: period(stall_timeout, Duration::from_secs(30)),
        min_speed: size(min_speed, 100),
        retries: retries.unwrap_or(4),
        retry_wait: period(retry_wait, Duration::from_millis(500)),
        max_page_bytes: size(max_page_size, 16_000_000),
        max_image_bytes: size(max_size, 100_000_000),
        ca_certificates: ca_certificate,
        insecure: insecure.unwrap_or(false),
        http2: http2.unwrap_or(false),
        robots: match robots.unwrap_or(RobotsMode::Obey) {
            RobotsMode::Obey => Robots::Obey,
            RobotsMode::Ignore => Robots::Ignore,
        },
        // Each job and each listing page in flight has one: the page that is waited for, and those ahead of it.
        connections: jobs.get() + engine::pages_at_start(jobs).get() + 1,
        headers: header
            .into_iter()
            .map(|Header { name, value }| (name, value))
            .collect(),
        cookies: cookies.map(CookieSource::new),
        wait: period(wait, Duration::ZERO),
        limit_rate: limit_rate.and_then(|ByteSize(bytes)| NonZeroU64::new(bytes)),
        // What the environment names is read by the commands that use the network.
        proxies: Proxies::default(),
        archive: None,
    }
}
