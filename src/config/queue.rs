//! The queue of a run on several machines.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;

use super::HumanDuration;
use crate::mask::hide_user_info;
use crate::queue::{Broker, Login, QueueError};

/// Where jobs are queued for workers on other machines, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Queue")]
pub struct QueueArgs {
    /// Queue jobs at the broker at URL, for workers on this and other machines: `nats://HOST`, `tls://HOST`. Give a
    /// password in it by the variable or the configuration file only: arguments can be seen by every user
    #[arg(long, value_name = "URL", env = "WALLHAUL_QUEUE", hide_env = true)]
    pub queue: Option<BrokerUrl>,
    /// Log in to the broker by the credentials in FILE (a JWT and a seed)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "queue_nkey",
        env = "WALLHAUL_QUEUE_CREDENTIALS",
        hide_env = true
    )]
    pub queue_credentials: Option<PathBuf>,
    /// Log in to the broker by the nkey whose seed is in FILE
    #[arg(
        long,
        value_name = "FILE",
        env = "WALLHAUL_QUEUE_NKEY",
        hide_env = true
    )]
    pub queue_nkey: Option<PathBuf>,
    /// Trust the authorities in FILE (PEM) for the broker's certificate, in place of the system's
    #[arg(long, value_name = "FILE", env = "WALLHAUL_QUEUE_CA", hide_env = true)]
    pub queue_ca: Option<PathBuf>,
    /// Show the broker the certificate in FILE (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "WALLHAUL_QUEUE_CERTIFICATE",
        hide_env = true
    )]
    pub queue_certificate: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", env = "WALLHAUL_QUEUE_KEY", hide_env = true)]
    pub queue_key: Option<PathBuf>,
    /// Speak to a broker that is not on this machine without TLS
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, env = "WALLHAUL_INSECURE_BROKER", hide_env = true)]
    pub insecure_broker: Option<bool>,
    /// Let all workers together have at most N jobs of one host at a time; with `--wait` at most one [default: 8]
    #[arg(long, value_name = "N", env = "WALLHAUL_HOST_JOBS", hide_env = true)]
    pub host_jobs: Option<NonZeroUsize>,
    /// Hold at most N jobs in the queue; past that, listing pages wait [default: 100000]
    #[arg(long, value_name = "N", env = "WALLHAUL_MAX_QUEUED", hide_env = true)]
    pub max_queued: Option<NonZeroU64>,
    /// Give the job of a worker that says nothing for TIME to another one [default: 30s]
    #[arg(long, value_name = "TIME", env = "WALLHAUL_LEASE", hide_env = true)]
    pub lease: Option<HumanDuration>,
}

/// The shortest lease: it is renewed three times in its time.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

impl QueueArgs {
    pub(super) fn merge(self, defaults: Self) -> Self {
        let Self {
            queue,
            queue_credentials,
            queue_nkey,
            queue_ca,
            queue_certificate,
            queue_key,
            insecure_broker,
            host_jobs,
            max_queued,
            lease,
        } = self;
        Self {
            queue: queue.or(defaults.queue),
            queue_credentials: queue_credentials.or(defaults.queue_credentials),
            queue_nkey: queue_nkey.or(defaults.queue_nkey),
            queue_ca: queue_ca.or(defaults.queue_ca),
            queue_certificate: queue_certificate.or(defaults.queue_certificate),
            queue_key: queue_key.or(defaults.queue_key),
            insecure_broker: insecure_broker.or(defaults.insecure_broker),
            host_jobs: host_jobs.or(defaults.host_jobs),
            max_queued: max_queued.or(defaults.max_queued),
            lease: lease.or(defaults.lease),
        }
    }

    /// How the broker is reached; `None` where none is named.
    ///
    /// # Errors
    ///
    /// When the options contradict each other.
    pub fn broker(&self) -> Result<Option<Broker>, QueueError> {
        let Some(BrokerUrl(given)) = &self.queue else {
            return Ok(None);
        };
        let mut url = given.clone();
        // Neither fails for an address with a host, and there is no other.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let bad = |reason: &str| QueueError::BadBroker {
            url: url.to_string(),
            reason: reason.to_owned(),
        };
        let insecure = self.insecure_broker.unwrap_or(false);
        if url.scheme() == "nats" && !is_on_this_machine(&url) && !insecure {
            return Err(bad(
                "a broker that is not on this machine is used with TLS only: write it as `tls://HOST`, or allow it with --insecure-broker",
            ));
        }
        let of_url = login_of(given);
        let logins = [
            of_url,
            self.queue_credentials.clone().map(Login::Credentials),
            self.queue_nkey.clone().map(Login::Nkey),
        ];
        let mut logins = logins.into_iter().flatten();
        let login = logins.next().unwrap_or(Login::Anonymous);
        if logins.next().is_some() {
            return Err(bad(
                "there are two ways to log in: leave out the user in the address, or --queue-credentials and --queue-nkey",
            ));
        }
        let client_certificate = match (&self.queue_certificate, &self.queue_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(bad("--queue-certificate needs --queue-key")),
            (None, Some(_)) => return Err(bad("--queue-key needs --queue-certificate")),
        };
        Ok(Some(Broker {
            url,
            login,
            ca: self.queue_ca.clone(),
            client_certificate,
            insecure,
        }))
    }

    /// How long a worker keeps a job that says nothing.
    pub fn lease(&self) -> Duration {
        let given = self.lease.map(|HumanDuration(lease)| lease);
        given.map_or(Duration::from_secs(30), |lease| lease.max(SHORTEST_LEASE))
    }
}

/// Whether the address is one of this machine's own.
fn is_on_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || bare.parse().is_ok_and(is_loopback)
}

/// Who the user part of an address says that we are: `USER:PASSWORD@`, or `TOKEN@`.
fn login_of(url: &Url) -> Option<Login> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decoded(url.username());
    match url.password() {
        Some(password) => Some(Login::Password {
            user,
            password: decoded(password),
        }),
        None if user.is_empty() => None,
        None => Some(Login::Token(user)),
    }
}

/// The address of a broker, perhaps with a password or a token.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(Url);

impl BrokerUrl {
    /// Whether it holds a password or a token.
    pub fn has_secret(&self) -> bool {
        login_of(&self.0).is_some()
    }
}

/// A text that is no address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}: write it as `nats://HOST` or `nats://HOST:PORT`")]
pub struct BadBrokerUrl(&'static str);

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        let url = Url::parse(text).map_err(|_| BadBrokerUrl("not an address"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(BadBrokerUrl("no host in it"));
        }
        let has_more = !matches!(url.path(), "" | "/") || url.query().is_some();
        if has_more || url.fragment().is_some() {
            return Err(BadBrokerUrl("there is something behind the host"));
        }
        Ok(Self(url))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide_user_info(self.0.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str) -> QueueArgs {
        QueueArgs {
            queue: Some(url.parse().unwrap()),
            ..QueueArgs::default()
        }
    }

    #[test]
    fn password_and_token_are_taken_out_of_the_brokers_address() {
        let login = |url: &str| {
            let broker = args(url).broker().unwrap().unwrap();
            assert!(!broker.url.as_str().contains('@'), "{}", broker.url);
            broker.login
        };
        assert!(matches!(login("nats://localhost:4222"), Login::Anonymous));
        assert!(
            matches!(login("nats://me:s%40crt@[::1]"), Login::Password { user, password } if user == "me" && password == "s@crt")
        );
        assert!(matches!(login("tls://t0ken@host"), Login::Token(token) if token == "t0ken"));
        assert!(!format!("{:?}", args("nats://me:s3cr3t@host")).contains("s3cr3t"));
    }

    #[test]
    fn broker_options_that_contradict_each_other_are_refused() {
        let two_logins = QueueArgs {
            queue_nkey: Some("seed".into()),
            ..args("tls://me:s3cr3t@host")
        };
        let no_key = QueueArgs {
            queue_certificate: Some("cert".into()),
            ..args("tls://host")
        };
        for bad in [two_logins, no_key, args("nats://host")] {
            let error = bad.broker().unwrap_err().to_string();
            assert!(
                error.contains("://host") && !error.contains("s3cr3t"),
                "{error}"
            );
        }
        for bad in ["host", "nats:", "nats://host/jobs", "nats://host?a=b"] {
            assert!(bad.parse::<BrokerUrl>().is_err(), "{bad}");
        }
    }
}
