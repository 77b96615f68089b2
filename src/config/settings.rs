//! What holds: every option answered, by what was said or by its default.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::options::{
    ColorWhen, HookArgs, LocationArgs, LockArgs, NetworkArgs, OutputArgs, PagingArgs, ProgressHow,
    RobotsHow, SelectionArgs, StorageArgs, SyncWhen,
};
use super::{ByteSize, Header, HumanDuration, OnLocked, Options, PageRange};
use crate::fetch::{FetchSettings, Robots};
use crate::hooks::HookSettings;
use crate::report::{self, ColorMode, Progress, Stderr};
use crate::sink::{Durability, MinFree};
use crate::verify::Limits;

/// What a run goes by. No setting is absent but where absence means something.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where collections lie.
    pub place: LocationArgs,
    /// What to do when another run holds one.
    pub lock: OnLocked,
    /// Whether what is placed is made durable.
    pub durability: Durability,
    /// What stays free on the collection's disk.
    pub min_free: MinFree,
    /// Images at a time.
    pub jobs: NonZeroUsize,
    /// Which listing pages; all, where none are said.
    pub pages: PageRange,
    /// Lists of addresses.
    pub input_files: Vec<PathBuf>,
    /// After how many new images to stop.
    pub max_downloads: Option<u64>,
    /// After how many saved bytes to begin no new image.
    pub quota: Option<u64>,
    /// After what time to begin no new image.
    pub max_time: Option<Duration>,
    /// Whether to only say what would be fetched.
    pub dry_run: bool,
    /// What an image may declare.
    pub limits: Limits,
    /// The user's commands.
    pub hooks: HookSettings,
    /// How the run is told.
    pub telling: report::OutputSettings,
    /// A mirror of the site.
    pub base_url: Option<Url>,
    /// A site definition of the user's own.
    pub site_file: Option<PathBuf>,
    /// A configuration file with headers in it that others can read.
    pub world_readable_config: Option<PathBuf>,
    /// How servers are asked.
    pub fetch: FetchSettings,
}

/// What the program calls itself where the user says nothing else.
const USER_AGENT: &str = concat!(
    "wallhaul/",
    env!("CARGO_PKG_VERSION"),
    " (+",
    env!("CARGO_PKG_REPOSITORY"),
    ")"
);

const JOBS: u16 = 8;

impl Settings {
    /// Answers every option that was not said. `stderr` and `clock` are the world's.
    pub fn new(options: Options, stderr: Stderr, clock: fn() -> Timestamp) -> Self {
        let Options {
            place,
            claim: LockArgs { lock },
            keeping,
            paging: PagingArgs { pages },
            choice,
            hooking,
            telling,
            network,
        } = options;
        let SelectionArgs {
            input_file,
            jobs,
            max_downloads,
            quota,
            max_time,
            dry_run,
            max_size,
            max_pixels,
        } = choice;
        let StorageArgs {
            sync,
            min_free_space,
        } = keeping;
        let jobs = NonZeroUsize::from(
            std::num::NonZeroU16::new(jobs.unwrap_or(JOBS)).unwrap_or(std::num::NonZeroU16::MIN),
        );
        Self {
            place,
            lock: lock.unwrap_or(OnLocked::Fail),
            durability: match sync.unwrap_or(SyncWhen::Group) {
                SyncWhen::Group => Durability::Group,
                SyncWhen::Off => Durability::Off,
            },
            min_free: min_free_space.map_or(MinFree::Usual, |least| MinFree::Bytes(least.0)),
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
            limits: Limits {
                max_pixels: max_pixels.unwrap_or(Limits::default().max_pixels),
            },
            hooks: hooked(hooking),
            telling: told(telling, stderr, clock),
            base_url: network.base_url.clone(),
            site_file: network.site_file.clone(),
            world_readable_config: network.world_readable_config.clone(),
            fetch: asked(network, jobs, max_size),
        }
    }
}

fn hooked(hooking: HookArgs) -> HookSettings {
    let HookArgs {
        exec,
        exec_timeout,
        exec_env,
    } = hooking;
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

fn told(telling: OutputArgs, stderr: Stderr, clock: fn() -> Timestamp) -> report::OutputSettings {
    let OutputArgs {
        json,
        progress,
        color,
        quiet,
        verbose,
    } = telling;
    report::OutputSettings {
        progress: match progress.unwrap_or(ProgressHow::Auto) {
            ProgressHow::Auto => Progress::Auto,
            ProgressHow::Bars => Progress::Bars,
            ProgressHow::Plain => Progress::Plain,
            ProgressHow::None => Progress::None,
        },
        json: json.unwrap_or(false),
        quiet: quiet.unwrap_or(false),
        verbose,
        color: match color.unwrap_or(ColorWhen::Auto) {
            ColorWhen::Auto => ColorMode::Auto,
            ColorWhen::Always => ColorMode::Always,
            ColorWhen::Never => ColorMode::Never,
        },
        stderr,
        clock,
    }
}

fn asked(
    network: NetworkArgs,
    connections: NonZeroUsize,
    max_size: Option<ByteSize>,
) -> FetchSettings {
    let NetworkArgs {
        base_url: _,
        site_file: _,
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
        robots: match robots.unwrap_or(RobotsHow::Obey) {
            RobotsHow::Obey => Robots::Obey,
            RobotsHow::Ignore => Robots::Ignore,
        },
        connections: connections.get(),
        headers: header
            .into_iter()
            .map(|Header { name, value }| (name, value))
            .collect(),
        wait: period(wait, Duration::ZERO),
        limit_rate: limit_rate.and_then(|ByteSize(bytes)| NonZeroU64::new(bytes)),
        proxies: true,
    }
}
