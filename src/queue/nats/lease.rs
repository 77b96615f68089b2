//! What a worker says of a job that it has.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::lease::AckHandle;
use super::super::{Ack, QueueError};
use super::keeper::Leases;
use super::link::{ANSWER, Letter, Link, OUT_OF_REACH, to_json};
use super::message::{Buried, Unreadable};
use super::outbox::Outbox;
use super::publish::Published;
use super::streams::nanos;
use super::subject::{self, KeyHash};
use crate::job::Job;
use crate::outcome::JobResult;

/// What all leases of a process need.
pub(super) struct Desk {
    pub(super) link: Arc<Link>,
    pub(super) leases: Arc<Leases>,
    pub(super) outbox: Outbox,
    /// Takes the subjects of jobs that go back.
    pub(super) returned: mpsc::UnboundedSender<Subject>,
    /// How often the connection had been lost when the hosts were seen last.
    pub(super) seen: watch::Sender<u64>,
}

pub(super) struct NatsAck {
    pub(super) desk: Arc<Desk>,
    pub(super) sequence: u64,
    pub(super) reply: Subject,
    pub(super) lost: CancellationToken,
    pub(super) collection: String,
    /// How often the job was delivered, this time included.
    pub(super) delivery: u32,
    /// How often the connection had been lost at the delivery.
    pub(super) losses: u64,
}

impl NatsAck {
    /// Runs `work`, unless the lease is lost or gets lost: nothing is said any more then.
    async fn while_kept<T>(
        &self,
        work: impl Future<Output = Result<T, QueueError>>,
    ) -> Option<Result<T, QueueError>> {
        if self.is_lost() {
            return None;
        }
        let when_known = async {
            self.same_queue().await;
            work.await
        };
        tokio::select! {
            biased;
            done = when_known => Some(done),
            () = self.lost.cancelled() => None,
        }
    }

    /// Waits until it is known whether a connection that was lost leads to the same queue again: in another one the
    /// numbers of our leases may be those of other jobs.
    async fn same_queue(&self) {
        let losses = self.desk.link.losses();
        if losses != self.losses {
            let mut seen = self.desk.seen.subscribe();
            // A process that ends looks for hosts no more; its renewals find out as well, only later.
            let _ = timeout(ANSWER, seen.wait_for(|seen| *seen >= losses)).await;
        }
    }

    /// Says what becomes of the job, and ends the lease.
    pub(super) async fn say(&self, ack: Ack) -> Result<(), QueueError> {
        let word = match ack {
            Ack::Done => Bytes::from_static(b"+ACK"),
            Ack::Retry { after } if after.is_zero() => Bytes::from_static(b"-NAK"),
            Ack::Retry { after } => format!("-NAK {}", json!({"delay": nanos(after)})).into(),
            Ack::Dead { reason } => format!("+TERM {reason}").into(),
        };
        let confirmed = self.while_kept(self.desk.link.confirm(&self.reply, word));
        let confirmed = confirmed.await.unwrap_or(Ok(()));
        self.desk.leases.close(self.sequence, &self.reply);
        confirmed
    }
}

#[async_trait]
impl AckHandle for NatsAck {
    async fn ack(&self, _job: &Job, _attempt: u32, ack: Ack) -> Result<(), QueueError> {
        self.say(ack).await
    }

    fn nack(&self, _job: &Job, _attempt: u32) {
        if !self.is_lost() {
            // The keeper is gone only after the connection is: nobody would hear it.
            let _ = self.desk.returned.send(self.reply.clone());
        }
        self.desk.leases.close(self.sequence, &self.reply);
    }

    fn lost(&self) -> Option<&CancellationToken> {
        Some(&self.lost)
    }

    fn is_lost(&self) -> bool {
        self.desk.leases.is_lost(self.sequence, &self.lost)
    }

    async fn report(&self, result: &JobResult) -> Result<(), QueueError> {
        let id = subject::result_id(KeyHash::of(&result.job.key), self.sequence, self.delivery);
        let Desk { link, outbox, .. } = &*self.desk;
        let result = to_json(result);
        let sent = self.while_kept(outbox.send(link, &self.collection, &id, &result));
        sent.await.unwrap_or(Ok(()))
    }
}

/// Publishes a result. Where no stream takes it, the run that made the streams may make them again.
pub(super) async fn publish_result(link: &Link, letter: &Letter) -> Result<(), QueueError> {
    const PAUSE: Duration = Duration::from_secs(1);
    for _ in 0..OUT_OF_REACH.as_secs() {
        if link.publish(letter).await? != Published::NoStream {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(link.error(
        "reporting to",
        "it has had no stream for results for 5 minutes",
    ))
}

/// Reports a message that is no job, and removes it from the queue. What fails comes again.
pub(super) async fn bury(handle: NatsAck, reason: Unreadable, message: Bytes, attempt: u32) {
    let reason = reason.to_string();
    let letter = Letter {
        subject: subject::result(&handle.collection),
        id: format!("buried#{}", handle.sequence),
        payload: to_json(&Buried::new(reason.clone(), &message, attempt)),
    };
    let ack = match publish_result(&handle.desk.link, &letter).await {
        Ok(()) => Ack::Dead { reason },
        Err(_) => Ack::Retry {
            after: Duration::from_secs(1),
        },
    };
    let _ = handle.say(ack).await;
}
