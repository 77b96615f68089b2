//! How fast requests are sent to a host, and how long it may take: rate, pauses and retries, the
//! stall time-out, and the bandwidth of the whole run.

mod bandwidth;
mod host;
mod quota;
mod rate;
mod retry;
mod stall;

pub(super) use self::bandwidth::Throttle;
pub(super) use self::host::{Exchange, Host, Hosts, Intervals};
pub(super) use self::quota::exhausted_for;
pub(super) use self::rate::HostRate;
pub use self::retry::{Retry, parse_retry_after};
pub(super) use self::stall::{StallError, StallTimer};
