//! Connecting: who we are, and whether the way is safe.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use url::{Host, Url};

use super::super::{Broker, Login, QueueError};
use super::link::{Health, Link, Listener};
use crate::event::Events;

/// The broker's own port.
const PORT: u16 = 4222;

/// How often the broker is asked whether it lives: one that stands still is given up after three of these, sooner than
/// three answers can be missing.
const PING: Duration = Duration::from_secs(4);

/// What a process is to the broker: each has answers that the other must not be able to listen to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Coordinator,
    Worker,
}

impl Role {
    fn inbox(self) -> &'static str {
        match self {
            Self::Coordinator => "_INBOX_c",
            Self::Worker => "_INBOX_w",
        }
    }
}

/// Connects and logs in.
pub(super) async fn connect(
    broker: &Broker,
    role: Role,
    events: &Events,
) -> Result<Arc<Link>, QueueError> {
    let url = without_login(&broker.url);
    let shown = url.to_string();
    let bad = |reason: String| QueueError::BadBroker {
        url: shown.clone(),
        reason,
    };
    let Some(host) = url.host() else {
        return Err(bad("it names no host: write `nats://HOST:PORT`".to_owned()));
    };
    let secure =
        url.scheme() == "tls" || broker.ca.is_some() || !(broker.insecure || is_loopback(&host));
    let (health, health_seen) = watch::channel(Health::default());
    let listener = Listener {
        health,
        events: events.downgrade(),
        url: shown.clone(),
    };
    let options = log_in(ConnectOptions::new(), &broker.login)
        .and_then(|options| with_files(options, broker))
        .map_err(bad)?
        .name(concat!("wallhaul ", env!("CARGO_PKG_VERSION")))
        .require_tls(secure)
        .custom_inbox_prefix(role.inbox())
        .ping_interval(PING)
        .ignore_discovered_servers()
        .skip_subject_validation(true)
        .event_callback(move |event| {
            listener.on_event(&event);
            std::future::ready(())
        });
    let address = ServerAddr::from_url(url.clone()).map_err(|error| bad(error.to_string()))?;
    match options.connect(address).await {
        Ok(client) => Ok(Link::new(client, shown, health_seen, events.downgrade())),
        Err(error) => Err(refusal(&error, &url, broker, secure).await),
    }
}

/// Why the broker did not take us.
async fn refusal(error: &ConnectError, url: &Url, broker: &Broker, secure: bool) -> QueueError {
    let bad = |reason: String| QueueError::BadBroker {
        url: url.to_string(),
        reason,
    };
    let failed = |reason: String| QueueError::Broker {
        doing: "connecting to",
        url: url.to_string(),
        reason,
    };
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => {
            failed("the broker refuses this login".to_owned())
        }
        ConnectErrorKind::Authentication => match &broker.login {
            Login::Nkey(file) => bad(format!("`{}` holds no nkey's seed", file.display())),
            Login::Credentials(file) => bad(format!("`{}` has no usable seed", file.display())),
            Login::Anonymous | Login::Password { .. } | Login::Token(_) => {
                failed("the broker refuses this login".to_owned())
            }
        },
        ConnectErrorKind::Tls | ConnectErrorKind::Io
            if secure && offers_tls(url).await == Some(false) =>
        {
            bad(
                "the broker offers no TLS: configure it there, or use `--insecure-broker`"
                    .to_owned(),
            )
        }
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => failed(innermost(error)),
    }
}

/// The cause of a failed connection, without the words that each layer adds.
fn innermost(error: &ConnectError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Whether the broker's greeting offers TLS; `None` where it does not greet.
async fn offers_tls(url: &Url) -> Option<bool> {
    let greeting = async {
        let host = url.host_str()?.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, url.port().unwrap_or(PORT)))
            .await
            .ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.ok()?;
        let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ")?).ok()?;
        Some(
            ["tls_required", "tls_available"]
                .iter()
                .any(|key| info[key] == true),
        )
    };
    timeout(Duration::from_secs(2), greeting)
        .await
        .ok()
        .flatten()
}

fn log_in(options: ConnectOptions, login: &Login) -> Result<ConnectOptions, String> {
    Ok(match login {
        Login::Anonymous => options,
        Login::Password { user, password } => {
            options.user_and_password(user.clone(), password.clone())
        }
        Login::Token(token) => options.token(token.clone()),
        Login::Nkey(file) => options.nkey(read(file)?.trim().to_owned()),
        Login::Credentials(file) => options
            .credentials(&read(file)?)
            .map_err(|_| format!("`{}` is no credentials file", file.display()))?,
    })
}

fn with_files(mut options: ConnectOptions, broker: &Broker) -> Result<ConnectOptions, String> {
    if let Some(ca) = &broker.ca {
        holds(ca, "CERTIFICATE")?;
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &broker.client_certificate {
        holds(certificate, "CERTIFICATE")?;
        holds(key, "PRIVATE KEY")?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))
}

/// Looks whether there is such a PEM section in the file: the client's own error does not name it.
fn holds(file: &Path, section: &str) -> Result<(), String> {
    if read(file)?.contains(&format!("{section}-----")) {
        Ok(())
    } else {
        Err(format!("`{}` holds no {section} in PEM", file.display()))
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => match name.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        },
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// The address that may be shown.
fn without_login(url: &Url) -> Url {
    let mut url = url.clone();
    // An address that cannot have them has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}
