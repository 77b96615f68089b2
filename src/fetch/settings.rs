//! How the network is used: what the user's options come down to.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::proxies::Proxies;

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
        let bytes = self
            .bytes
            .get_or_init(|| fs::read(&self.path).map_err(|error| error.to_string()));
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
