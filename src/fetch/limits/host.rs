//! The hosts of a run: what is remembered of each while it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use url::Url;

use crate::fetch::access::policy::{host_of, origin_of};
use crate::fetch::access::robots::Rules;
use crate::fetch::error::FetchError;
use crate::fetch::limits::rate::Pace;
use crate::fetch::limits::retry::Retry;

/// One origin, and what holds for asking it.
#[derive(Debug)]
pub(crate) struct Host {
    /// How errors name it.
    pub(crate) name: String,
    /// How fast it may be asked.
    pub(crate) pace: Pace,
    /// What its robots.txt says, once that was read; or why it could not be.
    pub(crate) rules: OnceCell<Result<Rules, Arc<FetchError>>>,
}

/// Every origin asked so far; no more than the policy lets through.
#[derive(Debug)]
pub(crate) struct Hosts {
    interval: Duration,
    rests: Retry,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    /// Nobody was asked yet; see [`Pace::new`].
    pub(crate) fn new(interval: Duration, rests: Retry) -> Self {
        Self {
            interval,
            rests,
            known: Mutex::default(),
        }
    }

    /// The host of an address.
    pub(crate) fn of(&self, address: &Url) -> Arc<Host> {
        let origin = origin_of(address);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.get(&*origin) {
            return Arc::clone(host);
        }
        let pace = Pace::new(self.interval, self.rests);
        let host = Arc::new(Host {
            name: host_of(address),
            pace,
            rules: OnceCell::new(),
        });
        known.insert(origin.into_owned(), Arc::clone(&host));
        host
    }
}
