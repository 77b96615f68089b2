//! The network options.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use url::Url;

use super::options::replace_if_empty;
use super::value::parse_server_url;
use super::{AnyHostSites, ByteSize, Header, HumanDuration, VariableValue};

/// How requests are made.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Fetch the site's pages and images from the mirror at URL; `{host}` in it is the host that each is on
    #[arg(long, value_name = "URL", value_parser = parse_server_url, env = "WALLHAUL_BASE_URL", hide_env = true)]
    pub base_url: Option<Url>,
    /// Use the site definition in FILE
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Definitions",
        env = "WALLHAUL_SITE_FILE",
        hide_env = true
    )]
    pub site_file: Option<PathBuf>,
    /// Give the site definition's variable NAME this value; once for each variable
    #[arg(
        short = 'V',
        long,
        value_name = "NAME=VALUE",
        help_heading = "Definitions",
        env = "WALLHAUL_VARIABLE",
        hide_env = true
    )]
    pub variable: Vec<VariableValue>,
    /// Let the definition in the site file have the variable NAME of the environment, as a secret
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Definitions",
        env = "WALLHAUL_SECRET_ENV",
        hide_env = true
    )]
    pub secret_env: Vec<String>,
    /// Also take images on hosts that the site's definition does not name, if it offers that; for SITE alone, or all
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "SITE",
        help_heading = "Definitions",
        env = "WALLHAUL_ALLOW_ANY_HOST",
        hide_env = true
    )]
    pub allow_any_host: Vec<AnyHostSites>,
    /// Turn on SITE, which is off for the reason that `wallhaul sites show` names
    #[arg(
        long,
        value_name = "SITE",
        help_heading = "Definitions",
        env = "WALLHAUL_OPT_IN",
        hide_env = true
    )]
    pub opt_in: Vec<String>,
    /// Retry a failed request N times [default: 4]
    #[arg(
        short = 'R',
        long,
        value_name = "N",
        env = "WALLHAUL_RETRIES",
        hide_env = true
    )]
    pub retries: Option<u32>,
    /// Wait TIME before the first retry; the wait doubles each time [default: 500ms]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_RETRY_WAIT",
        hide_env = true
    )]
    pub retry_wait: Option<HumanDuration>,
    /// Give up connecting after TIME [default: 10s]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_CONNECT_TIMEOUT",
        hide_env = true
    )]
    pub connect_timeout: Option<HumanDuration>,
    /// Give up when a server sends nothing for TIME [default: 30s]
    #[arg(
        long,
        value_name = "TIME",
        env = "WALLHAUL_STALL_TIMEOUT",
        hide_env = true
    )]
    pub stall_timeout: Option<HumanDuration>,
    /// Give up when a transfer stays below SIZE bytes per second for the stall timeout [default: 100]
    #[arg(long, value_name = "SIZE", env = "WALLHAUL_MIN_SPEED", hide_env = true)]
    pub min_speed: Option<ByteSize>,
    /// Wait at least TIME between two requests to one host [default: 0]
    #[arg(
        short,
        long,
        value_name = "TIME",
        env = "WALLHAUL_WAIT",
        hide_env = true
    )]
    pub wait: Option<HumanDuration>,
    /// Limit the download rate of all images together to SIZE bytes per second [default: no limit]
    #[arg(
        short = 'r',
        long,
        value_name = "SIZE",
        env = "WALLHAUL_LIMIT_RATE",
        hide_env = true
    )]
    pub limit_rate: Option<ByteSize>,
    /// Obey or ignore robots.txt [default: obey]
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        env = "WALLHAUL_ROBOTS",
        hide_env = true
    )]
    pub robots: Option<RobotsMode>,
    /// Refuse listing pages larger than SIZE when decompressed [default: 16M]
    #[arg(
        long,
        value_name = "SIZE",
        env = "WALLHAUL_MAX_PAGE_SIZE",
        hide_env = true
    )]
    pub max_page_size: Option<ByteSize>,
    /// Also trust the certificates in this PEM file
    #[arg(
        long,
        value_name = "FILE",
        env = "WALLHAUL_CA_CERTIFICATE",
        hide_env = true
    )]
    pub ca_certificate: Vec<PathBuf>,
    /// Do not verify TLS certificates
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_INSECURE", hide_env = true)]
    pub insecure: Option<bool>,
    /// Use HTTP/2 where a server offers it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_HTTP2", hide_env = true)]
    pub http2: Option<bool>,
    /// Send TEXT as the User-Agent [default: wallhaul/VERSION (+homepage)]
    #[arg(
        long,
        value_name = "TEXT",
        env = "WALLHAUL_USER_AGENT",
        hide_env = true
    )]
    pub user_agent: Option<String>,
    /// Send this header, `Name: value`, to the site's hosts
    #[arg(long, value_name = "HEADER", env = "WALLHAUL_HEADER", hide_env = true)]
    pub header: Vec<Header>,
    /// Send the cookies in FILE (Netscape format) to the hosts it names
    #[arg(long, value_name = "FILE", env = "WALLHAUL_COOKIES", hide_env = true)]
    pub cookies: Option<PathBuf>,
    /// Set when the configuration file holds headers, which may be secrets, and every user can read it.
    #[arg(skip)]
    pub world_readable_config: Option<PathBuf>,
}

/// `--robots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RobotsMode {
    /// Fetch robots.txt once per host and follow it
    Obey,
    /// Do not fetch it
    Ignore,
}

impl NetworkArgs {
    pub(super) fn merge(self, defaults: Self) -> Self {
        let Self {
            base_url,
            site_file,
            variable,
            secret_env,
            allow_any_host,
            opt_in,
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
            world_readable_config,
        } = self;
        Self {
            base_url: base_url.or(defaults.base_url),
            site_file: site_file.or(defaults.site_file),
            variable: merge_variables(variable, defaults.variable),
            secret_env: replace_if_empty(secret_env, defaults.secret_env),
            allow_any_host: replace_if_empty(allow_any_host, defaults.allow_any_host),
            opt_in: replace_if_empty(opt_in, defaults.opt_in),
            retries: retries.or(defaults.retries),
            retry_wait: retry_wait.or(defaults.retry_wait),
            connect_timeout: connect_timeout.or(defaults.connect_timeout),
            stall_timeout: stall_timeout.or(defaults.stall_timeout),
            min_speed: min_speed.or(defaults.min_speed),
            wait: wait.or(defaults.wait),
            limit_rate: limit_rate.or(defaults.limit_rate),
            robots: robots.or(defaults.robots),
            max_page_size: max_page_size.or(defaults.max_page_size),
            ca_certificate: replace_if_empty(ca_certificate, defaults.ca_certificate),
            insecure: insecure.or(defaults.insecure),
            http2: http2.or(defaults.http2),
            user_agent: user_agent.or(defaults.user_agent),
            header: replace_if_empty(header, defaults.header),
            cookies: cookies.or(defaults.cookies),
            world_readable_config: world_readable_config.or(defaults.world_readable_config),
        }
    }
}

impl NetworkArgs {
    /// Refuses two values for one variable: neither is meant more than the other.
    ///
    /// # Errors
    ///
    /// When a variable of a definition has two values.
    pub fn check_variables(&self) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        let mut variables = self.variable.iter();
        match variables.find(|variable| !names.insert(&variable.name)) {
            Some(twice) => anyhow::bail!("the variable `{}` is given two values", twice.name),
            None => Ok(()),
        }
    }
}

/// Unlike other lists, these are joined: each variable has its own value.
fn merge_variables(
    chosen: Vec<VariableValue>,
    mut defaults: Vec<VariableValue>,
) -> Vec<VariableValue> {
    defaults.retain(|default| chosen.iter().all(|one| one.name != default.name));
    defaults.extend(chosen);
    defaults
}
