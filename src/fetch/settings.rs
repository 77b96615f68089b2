//! How the network is used: what the user's options come down to.

use std::io::{self, Read as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::proxies::Proxies;
use crate::user_path;

/// How the network is used.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// For DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// How long to wait for a response, or for its next bytes.
    pub stall_timeout: Duration,
    /// In bytes a second, measured over the stall time-out; slower transfers are given up.
    pub min_speed: u64,
    /// Further tries after the first.
    pub retries: u32,
    /// The pause before the first of them; it doubles each time.
    pub retry_wait: Duration,
    /// The longest page in bytes, after decompression.
    pub max_page_bytes: u64,
    /// The longest image in bytes.
    pub max_image_bytes: u64,
    /// PEM files with certificates to trust beside the system's.
    pub ca_certificates: Vec<PathBuf>,
    /// Accept any certificate.
    pub insecure: bool,
    /// Offer HTTP/2.
    pub http2: bool,
    /// Whether robots.txt is obeyed.
    pub robots: Robots,
    /// Idle connections kept for each host.
    pub connections: usize,
    /// Further headers, sent to the origin of the first request and never to another one that it
    /// redirects to.
    pub headers: Vec<(String, String)>,
    /// A cookie file in Netscape's format; its cookies are sent to the hosts it names alone.
    pub cookies: Option<CookieSource>,
    /// The least time between two requests to one host.
    pub wait: Duration,
    /// In bytes a second, for all bodies together.
    pub limit_rate: Option<NonZeroU64>,
    /// The proxies that the environment names.
    pub proxies: Proxies,
    /// The web archive as a second source, or the only one.
    pub archive: Option<ArchiveSettings>,
}

/// How the web archive is used.
#[derive(Debug, Clone)]
pub struct ArchiveSettings {
    /// Whether the sites themselves are asked.
    pub mode: ArchiveMode,
    /// Which captures are wanted.
    pub wanted: WantedCaptures,
    /// Where the archive is: the index is below it at `cdx/search/cdx`, the captures at `web/`.
    pub base: Url,
    /// Whether the user named it: it may be on a private network then.
    pub is_own: bool,
}

/// Whether the sites themselves are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveMode {
    /// The archive is asked for an image that its site no longer has.
    Fallback,
    /// Nothing but the archive is asked.
    Only,
}

/// Which captures are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedCaptures {
    /// The day, month or year that the user named, from its first to its last second; otherwise the latest capture
    /// is wanted.
    pub period: Option<(Timestamp, Timestamp)>,
    /// How far a capture may be from the period, or, without one, from the capture that was asked for.
    pub window: SignedDuration,
}

impl Default for WantedCaptures {
    fn default() -> Self {
        Self {
            period: None,
            window: SignedDuration::from_hours(365 * 24),
        }
    }
}

impl WantedCaptures {
    /// How far a capture is from what is wanted: less is better.
    pub(super) fn distance(&self, at: Timestamp) -> SignedDuration {
        let Some((first, last)) = self.period else {
            return Timestamp::MAX.duration_since(at);
        };
        first
            .duration_since(at)
            .max(at.duration_since(last))
            .max(SignedDuration::ZERO)
    }

    /// Whether a capture that was got in place of the one of the time `asked` is within the window.
    pub(super) fn is_near(&self, at: Timestamp, asked: Timestamp) -> bool {
        let apart = match self.period {
            Some(_) => self.distance(at),
            None => at.duration_since(asked).abs(),
        };
        apart <= self.window
    }
}

/// The user's cookie file, which is read once: it may be a pipe, as in `--cookies <(command)`, and
/// each site of a run has its own fetcher.
#[derive(Debug, Clone)]
pub struct CookieSource {
    path: PathBuf,
    bytes: Arc<OnceLock<Result<Vec<u8>, String>>>,
}

impl CookieSource {
    /// The file at `path`; it is not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            bytes: Arc::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    ///
    /// # Errors
    ///
    /// When it cannot be read: what the system said.
    pub(super) fn bytes(&self) -> Result<&[u8], String> {
        let read = || {
            let mut bytes = Vec::new();
            user_path::open(&self.path)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = |error: io::Error| error.to_string();
        let bytes = self.bytes.get_or_init(|| read().map_err(text));
        bytes.as_deref().map_err(Clone::clone)
    }
}

/// Whether robots.txt is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Robots {
    /// It is fetched once a host and obeyed.
    #[default]
    Obey,
    /// It is not even fetched.
    Ignore,
}
