//! The hosts of a run: the state of each between requests to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use super::rate::HostRate;
use super::retry::Retry;
use super::stall::{StallError, StallTimer};
use crate::fetch::access::{RobotRules, host_of, origin_of};
use crate::fetch::error::{FetchError, FetchErrorKind};

/// One origin.
#[derive(Debug)]
pub(crate) struct Host {
    /// For messages.
    pub(crate) name: String,
    pub(crate) rate: HostRate,
    /// The rules of its robots.txt, or why they could not be read. A cell that is initialised once:
    /// all first requests to the host wait for the same request, and a failure is kept too, or each
    /// image would repeat it.
    pub(crate) rules: OnceCell<Result<RobotRules, Arc<FetchError>>>,
    /// When it was met first.
    since: Instant,
}

/// How long it is held against a host that it was given up, or that its robots.txt could not be read: a process may
/// run for weeks.
const HELD_AGAINST: Duration = Duration::from_secs(600);

impl Host {
    /// Whether what is known of it is a fault that may be over.
    fn is_outdated(&self) -> bool {
        let has_no_rules = || matches!(self.rules.get(), Some(Err(_)));
        self.since.elapsed() >= HELD_AGAINST
            && (self.rate.is_given_up_for(HELD_AGAINST) || has_no_rules())
    }
}

/// The least time between two requests to one host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Intervals {
    /// To the host of the site's pages.
    pub(crate) pages: Duration,
    /// To every other one.
    pub(crate) others: Duration,
}

/// Every origin that was requested from so far; the policy bounds how many there can be.
#[derive(Debug)]
pub(crate) struct Hosts {
    intervals: Intervals,
    /// The origin of the site's pages.
    pages: String,
    cooldowns: Retry,
    /// Locked for one look-up a request; the wait for a host's rate happens outside.
    known: Mutex<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    /// `pages` is an address on the host of the pages; `cooldowns` as in [`HostRate::new`].
    pub(crate) fn new(intervals: Intervals, pages: &Url, cooldowns: Retry) -> Self {
        Self {
            intervals,
            pages: origin_of(pages).into_owned(),
            cooldowns,
            known: Mutex::default(),
        }
    }

    /// The host of an address.
    pub(crate) fn of(&self, address: &Url) -> Arc<Host> {
        let origin = origin_of(address);
        let mut known = self.known.lock();
        if let Some(host) = known.get(&*origin).filter(|host| !host.is_outdated()) {
            return Arc::clone(host);
        }
        let interval = if *origin == *self.pages {
            self.intervals.pages
        } else {
            self.intervals.others
        };
        let host = Arc::new(Host {
            name: host_of(address),
            rate: HostRate::new(interval, self.cooldowns),
            rules: OnceCell::new(),
            since: Instant::now(),
        });
        known.insert(origin.into_owned(), Arc::clone(&host));
        host
    }
}

/// One request to a host, from the moment it may be sent to the last byte of the response.
#[derive(Debug)]
pub(crate) struct Exchange {
    host: Arc<Host>,
    started: Instant,
    pub(crate) stall: StallTimer,
}

impl Exchange {
    /// Waits until a request may be sent to the host.
    pub(crate) async fn start(host: Arc<Host>, stall: StallTimer) -> Result<Self, FetchError> {
        match host.rate.acquire().await {
            Ok(started) => Ok(Self {
                host,
                started,
                stall,
            }),
            Err(failures) => {
                let kind = FetchErrorKind::GivenUp { failures };
                Err(FetchError::new(&*host.name, kind))
            }
        }
    }

    /// What went wrong with this host; nothing is recorded yet.
    pub(crate) fn error(&self, kind: FetchErrorKind) -> FetchError {
        FetchError::new(&*self.host.name, kind)
    }

    pub(crate) fn stall_error(&self, error: StallError) -> FetchError {
        let StallTimer { limit, floor, .. } = self.stall;
        self.error(match error {
            StallError::Idle => FetchErrorKind::Timeout { limit },
            StallError::TooSlow => FetchErrorKind::TooSlow { floor, over: limit },
        })
    }

    /// The host takes no more requests for so long.
    pub(crate) fn pause_host(&self, pause: Duration) {
        self.host.rate.pause(pause);
    }

    /// Counts for the host: its next failure is the first in a row again.
    pub(crate) fn record_success(&self) {
        self.host.rate.record_success();
    }

    /// Counts against the host, if the error is the host's fault.
    pub(crate) fn record_failure(&self, error: &FetchError) {
        self.host.rate.record_failure(self.started, error);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn hosts() -> Hosts {
        let cooldowns = Retry::new(0, Duration::from_secs(1));
        Hosts::new(Intervals::default(), &address(), cooldowns)
    }

    fn address() -> Url {
        Url::parse("https://gallery.test/1.png").unwrap()
    }

    fn answered(status: u16) -> FetchError {
        let kind = FetchErrorKind::Status {
            status,
            retry_after: None,
        };
        FetchError::new("gallery.test", kind)
    }

    /// Lets requests fail until the host is given up.
    async fn give_up(hosts: &Hosts) {
        let host = hosts.of(&address());
        while let Ok(started) = host.rate.acquire().await {
            host.rate.record_failure(started, &answered(500));
        }
    }

    async fn is_given_up(hosts: &Hosts) -> bool {
        hosts.of(&address()).rate.acquire().await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_given_up_is_requested_again_after_10_minutes() {
        let hosts = hosts();
        hosts.of(&address());
        // From when it was given up, and not from when it was met.
        advance(60 * MINUTE).await;
        give_up(&hosts).await;
        advance(9 * MINUTE).await;
        assert!(is_given_up(&hosts).await);
        advance(MINUTE).await;
        assert!(!is_given_up(&hosts).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_robots_txt_that_could_not_be_read_is_requested_again_after_10_minutes() {
        let hosts = hosts();
        let unreadable = Err(Arc::new(answered(503)));
        hosts.of(&address()).rules.set(unreadable).unwrap();
        advance(9 * MINUTE).await;
        assert!(hosts.of(&address()).rules.initialized());
        advance(MINUTE).await;
        assert!(!hosts.of(&address()).rules.initialized());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_without_a_fault_keeps_its_robots_txt_and_its_pace() {
        let hosts = hosts();
        let host = hosts.of(&address());
        host.rules.set(Ok(RobotRules::parse(b""))).unwrap();
        advance(60 * MINUTE).await;
        assert!(Arc::ptr_eq(&host, &hosts.of(&address())));
    }
}
