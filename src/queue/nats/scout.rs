//! Looks where jobs are: hosts come and go with the runs that queue them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::QueueError;
use super::keeper::Leases;
use super::link::Link;
use super::streams::{self, ConsumerInfo};
use super::subject::JOBS;

/// How often the hosts are asked for.
const PERIOD: Duration = Duration::from_secs(5);

/// The same while they fit into one answer, of as many as this.
const SHORT_PERIOD: Duration = Duration::from_secs(1);
const FEW: usize = 256;

/// The same while no host is known: a run should not wait for its first job.
const EAGER_PERIOD: Duration = Duration::from_millis(100);

/// What was found.
pub(super) enum Sighting {
    /// The hosts, as they were when the connection had been lost this often.
    Hosts(Vec<ConsumerInfo>, u64),
    /// The queue has been empty for as long as the worker was to wait.
    Idle,
    Failed(QueueError),
}

/// Looks until something fails, nobody listens any more, or the queue was idle for long enough.
pub(super) async fn scout(
    link: Arc<Link>,
    first: Vec<ConsumerInfo>,
    found: mpsc::Sender<Sighting>,
    until_idle: Option<Duration>,
    leases: Arc<Leases>,
) {
    let mut hosts = first;
    let mut losses = link.losses();
    loop {
        let mut period = match hosts.len() {
            0 => EAGER_PERIOD,
            1..FEW => SHORT_PERIOD,
            _ => PERIOD,
        };
        if let Some(until_idle) = until_idle {
            period = period.min((until_idle / 2).max(Duration::from_millis(50)));
        }
        if found.send(Sighting::Hosts(hosts, losses)).await.is_err() {
            return;
        }
        pause(&link, period, losses).await;
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

/// Waits, but not when the connection was lost: who comes back may find another queue.
async fn pause(link: &Link, period: Duration, losses: u64) {
    tokio::select! {
        () = sleep(period) => {}
        () = link.lost_since(losses) => {}
    }
}
