//! A queue's jobs, handed on to the workers of one site.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};

use super::{JobReceiver, Lease, QueueError};

/// A receiver of what is sent, for whoever sorts the jobs of another one. It holds as many as that gives out at a time.
pub fn forwarded(
    capacity: usize,
    origin: Arc<dyn JobReceiver>,
) -> (mpsc::Sender<Lease>, impl JobReceiver) {
    let (sender, receiver) = mpsc::channel(capacity);
    let jobs = Mutex::new(receiver);
    (sender, Forwarded { jobs, origin })
}

struct Forwarded {
    /// The lock is held while a worker waits, and the others wait for the lock: one job wakes one worker.
    jobs: Mutex<mpsc::Receiver<Lease>>,
    /// Where the jobs come from.
    origin: Arc<dyn JobReceiver>,
}

#[async_trait]
impl JobReceiver for Forwarded {
    async fn next(&self) -> Result<Option<Lease>, QueueError> {
        Ok(self.jobs.lock().await.recv().await)
    }

    async fn pause_host(&self, host: &str, pause: Duration) -> Result<(), QueueError> {
        self.origin.pause_host(host, pause).await
    }
}
