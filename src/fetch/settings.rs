//! How the network is used: what the user's options come down to.

use std::num::NonZeroU64;
use std::path::PathBuf;
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
    /// The least time between two requests to one host.
    pub wait: Duration,
    /// In bytes a second, for all bodies together.
    pub limit_rate: Option<NonZeroU64>,
    /// The proxies that the environment names.
    pub proxies: Proxies,
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
