//! A worker's side: one task that asks for jobs, as many as there are free slots, and hands them out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::{JobReceiver, Lease, QueueError, WorkerOptions};
use super::again;
use super::keeper::{self, Leases};
use super::lease::Desk;
use super::link::{ANSWER, Link};
use super::outbox::Outbox;
use super::pulls::Pulls;
use super::scout;
use super::streams;
use super::subject::HostToken;

/// The longest pause of a host that a worker may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(120);

/// Jobs that were delivered and that nobody has taken.
pub(super) struct Ready {
    jobs: Mutex<VecDeque<Lease>>,
    /// A permit for each of them; closed at the end. A channel would have one reader at a time, and wake a second task
    /// for each job.
    number: Semaphore,
    failure: Mutex<Option<QueueError>>,
}

impl Ready {
    pub(super) fn push(&self, lease: Lease) {
        self.jobs.lock().push_back(lease);
        self.number.add_permits(1);
    }

    /// Ends the deliveries; the jobs that are left go back.
    pub(super) fn end(&self, failure: Option<QueueError>) {
        *self.failure.lock() = failure;
        self.number.close();
        let left = std::mem::take(&mut *self.jobs.lock());
        drop(left);
    }
}

struct NatsReceiver {
    link: Arc<Link>,
    ready: Arc<Ready>,
    /// Asks the tasks to end.
    ending: CancellationToken,
    /// Cancelled when the last word is sent.
    ended: CancellationToken,
}

/// Starts the tasks of a worker process.
pub(super) async fn start(
    link: Arc<Link>,
    options: &WorkerOptions,
) -> Result<Arc<dyn JobReceiver>, QueueError> {
    let leases = Arc::new(Leases::default());
    leases.touch();
    let (returned, to_return) = mpsc::unbounded_channel();
    let desk = Arc::new(Desk {
        link: Arc::clone(&link),
        leases: Arc::clone(&leases),
        outbox: Outbox::default(),
        returned,
        seen: watch::Sender::new(0),
    });
    let ready = Arc::new(Ready {
        jobs: Mutex::default(),
        number: Semaphore::new(0),
        failure: Mutex::default(),
    });
    let ending = CancellationToken::new();
    // Cancelled when no more jobs come, and when the last word on those that came is sent.
    let left = CancellationToken::new();
    let ended = CancellationToken::new();
    // Before the first look: what comes behind it is said.
    let news = scout::news(&link).await?;
    // Asked here, so that a broker that refuses is an error of the opening.
    let first = streams::hosts(&link).await?;
    let (found, sightings) = mpsc::channel(1);
    let scouting = scout::scout(
        Arc::clone(&link),
        news,
        first,
        found,
        options.until_idle,
        Arc::clone(&leases),
    );
    tokio::spawn({
        let ending = ending.clone();
        async move {
            tokio::select! {
                () = scouting => {}
                () = ending.cancelled() => {}
            }
        }
    });
    let pulls = Pulls::new(desk, options.slots.get(), Arc::clone(&ready)).await?;
    tokio::spawn({
        let (ready, ending, left) = (Arc::clone(&ready), ending.clone(), left.clone());
        async move {
            ready.end(pulls.run(sightings, &ending).await.err());
            ending.cancel();
            left.cancel();
        }
    });
    tokio::spawn({
        let (link, ended) = (Arc::clone(&link), ended.clone());
        async move {
            // Its only error is that the connection is closed, which the others have met.
            let _ = keeper::keep(link, leases, to_return, left).await;
            ended.cancel();
        }
    });
    Ok(Arc::new(NatsReceiver {
        link,
        ready,
        ending,
        ended,
    }))
}

#[async_trait]
impl JobReceiver for NatsReceiver {
    async fn next(&self) -> Result<Option<Lease>, QueueError> {
        loop {
            // Cancel-safe: a permit that was not received stays where it is.
            match self.ready.number.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_ended) => {
                    return match &*self.ready.failure.lock() {
                        Some(failure) => Err(again(failure)),
                        None => Ok(None),
                    };
                }
            }
            let lease = self.ready.jobs.lock().pop_front();
            // One that was lost while nobody took it is another worker's.
            if let Some(lease) = lease
                && !lease.is_lost()
            {
                return Ok(Some(lease));
            }
        }
    }

    async fn pause_host(&self, host: &str, pause: Duration) -> Result<(), QueueError> {
        streams::pause(&self.link, &HostToken::new(host), pause.min(MAX_PAUSE))
            .await
            .map(|_| ())
    }

    async fn close(&self) {
        self.ending.cancel();
        let _ = timeout(ANSWER, self.ended.cancelled()).await;
    }
}

impl Drop for NatsReceiver {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}
