//! Looks where jobs are: hosts come and go with the runs that queue them.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::QueueError;
use super::keeper::Leases;
use super::link::Link;
use super::streams::{self, ConsumerInfo};
use super::subject::{JOBS, NEW_HOSTS};

/// How often the hosts are asked for.
const PERIOD: Duration = Duration::from_secs(5);

/// The same while they fit into one answer, of as many as this.
const SHORT_PERIOD: Duration = Duration::from_secs(1);
const FEW: usize = 256;

/// How soon they are asked for again when a host is said to be new.
const NEWS_PERIOD: Duration = Duration::from_millis(5);

/// What was found.
pub(super) enum Sighting {
    /// The hosts, as they were when the connection had been lost this often.
    Hosts(Vec<ConsumerInfo>, u64),
    /// The queue has been empty for as long as the worker was to wait.
    Idle,
    Failed(QueueError),
}

/// What the broker says of hosts that are new.
///
/// # Errors
///
/// When the connection is closed.
pub(super) async fn news(link: &Link) -> Result<Subscriber, QueueError> {
    let news = link.client.subscribe(NEW_HOSTS).await;
    news.map_err(|error| link.error("asking", error.to_string()))
}

/// Looks until something fails, nobody listens any more, or the queue was idle for long enough.
pub(super) async fn scout(
    link: Arc<Link>,
    mut news: Subscriber,
    first: Vec<ConsumerInfo>,
    found: mpsc::Sender<Sighting>,
    until_idle: Option<Duration>,
    leases: Arc<Leases>,
) {
    let mut hosts = first;
    let mut losses = link.losses();
    let mut looked = Instant::now();
    loop {
        let (mut period, news_period) = match hosts.len() {
            0..FEW => (SHORT_PERIOD, NEWS_PERIOD),
            _ => (PERIOD, SHORT_PERIOD),
        };
        if let Some(until_idle) = until_idle {
            period = period.min((until_idle / 2).max(Duration::from_millis(50)));
        }
        if found.send(Sighting::Hosts(hosts, losses)).await.is_err() {
            return;
        }
        // Not when the connection was lost: who comes back may find another queue.
        tokio::select! {
            () = sleep(period) => {}
            () = link.lost_since(losses) => {}
            Some(_) = news.next() => sleep_until(looked + news_period).await,
        }
        // Of what was said until now one look is enough.
        while let Some(Some(_)) = news.next().now_or_never() {}
        looked = Instant::now();
        if until_idle.is_some_and(|until_idle| leases.idle() >= until_idle) {
            match streams::info(&link, JOBS).await {
                Ok(info) => {
                    if info.is_none_or(|info| info.state.messages == 0) {
                        let _ = found.send(Sighting::Idle).await;
                        return;
                    }
                }
                Err(error) => {
                    let _ = found.send(Sighting::Failed(error)).await;
                    return;
                }
            }
        }
        losses = link.losses();
        hosts = match streams::hosts(&link).await {
            Ok(hosts) => hosts,
            Err(error) => {
                let _ = found.send(Sighting::Failed(error)).await;
                return;
            }
        };
    }
}
