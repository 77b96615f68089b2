//! What the two halves of a run's side share: hosts and jobs on the broker.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_nats::StatusCode;
use async_trait::async_trait;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::super::{CoordinatorOptions, JobSender, QueueError, Sent};
use super::link::{ANSWER, ApiError, Letter, Link, OUT_OF_REACH, to_json};
use super::message::{Envelope, MAX_JOB_BYTES, read_collection};
use super::publish::Published;
use super::streams;
use super::subject::{self, HostToken, JOBS, KeyHash};
use crate::event::Warning;
use crate::job::Job;

/// Messages that one request brings when the queue is read.
const READ_AT_ONCE: usize = 512;

pub(super) struct Coordinator {
    pub(super) link: Arc<Link>,
    pub(super) options: CoordinatorOptions,
    /// Hosts whose consumers this run has made or found.
    hosts: Mutex<HashSet<HostToken>>,
    /// Held while a consumer is made.
    making: tokio::sync::Mutex<()>,
    /// Hosts that this run has queued jobs for, or found jobs of its collection of.
    queued: Mutex<HashSet<HostToken>>,
    /// What was in the queue when the run began, and whether it was this collection's.
    pub(super) present: Mutex<HashMap<KeyHash, bool>>,
}

impl Coordinator {
    /// Opens the queue: its streams, and what lies in it. That is read before any result is taken out, so that a job
    /// that ends meanwhile has a result that is still to come.
    pub(super) async fn open(
        link: Arc<Link>,
        options: CoordinatorOptions,
    ) -> Result<Arc<Self>, QueueError> {
        let new = Self::unread(link, options)?;
        streams::ensure(&new.link, &new.options).await?;
        new.look().await?;
        Ok(Arc::new(new))
    }

    /// The same without a look at what is there.
    pub(super) fn unread(link: Arc<Link>, options: CoordinatorOptions) -> Result<Self, QueueError> {
        if !subject::is_collection(&options.collection) {
            return Err(link.misfit(format!(
                "`{}` names no collection: it has 1 to 32 of the characters 0-9 and a-z",
                options.collection
            )));
        }
        Ok(Self {
            link,
            options,
            hosts: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            queued: Mutex::default(),
            present: Mutex::default(),
        })
    }

    /// Notes the keys of all jobs in the queue, and the hosts of those that are this collection's: a job may have gone on
    /// to another host than the first of its candidates.
    async fn look(&self) -> Result<(), QueueError> {
        let (mut next, last) = match streams::info(&self.link, JOBS).await? {
            Some(info) if info.state.messages > 0 => (1, info.state.last_seq),
            _ => return Ok(()),
        };
        while next <= last {
            let messages = read(&self.link, JOBS, "wallhaul.job.*", next).await?;
            let last_read = messages.iter().map(|message| message.sequence).max();
            let Some(read_to) = last_read.filter(|read_to| *read_to >= next) else {
                break;
            };
            next = read_to + 1;
            for message in messages {
                let Some(key) = message.id.as_deref().and_then(KeyHash::from_id) else {
                    continue;
                };
                let collection = read_collection(&message.payload);
                let ours = collection.as_deref() == Some(self.options.collection.as_str());
                self.present.lock().insert(key, ours);
                if ours
                    && let Some(host) = message.subject.as_deref().and_then(subject::host_of_job)
                {
                    self.queued.lock().insert(host);
                }
            }
        }
        Ok(())
    }

    /// Queues a job under this name, and waits while the queue is full.
    pub(super) async fn put(
        &self,
        collection: &str,
        job: &Job,
        id: String,
    ) -> Result<Published, QueueError> {
        let host = HostToken::new(&job.host());
        let letter = Letter {
            subject: subject::job(&host),
            id,
            payload: to_json(&Envelope::new(collection, job)),
        };
        if letter.payload.len() > MAX_JOB_BYTES {
            let cause = format!("a job has {} bytes", letter.payload.len());
            let queue = self.link.url.clone();
            self.link.warn(Warning::QueueMessage { queue, cause }).await;
            // As if it were in the queue for another: nothing is to be expected of it.
            return Ok(Published::Duplicate);
        }
        self.queued.lock().insert(host.clone());
        // The consumer first: a job without one would lie where no worker looks.
        self.ensure_host(&host, job.wait).await?;
        for _ in 0..OUT_OF_REACH.as_secs() {
            match self.link.publish(&letter).await? {
                Published::NoStream => {
                    sleep(Duration::from_secs(1)).await;
                    self.rebuild().await?;
                    self.ensure_host(&host, job.wait).await?;
                }
                published => return Ok(published),
            }
        }
        Err(self.link.error(
            "filling",
            "it takes no jobs, though it has streams for them",
        ))
    }

    async fn ensure_host(&self, host: &HostToken, wait: Duration) -> Result<(), QueueError> {
        if self.hosts.lock().contains(host) {
            return Ok(());
        }
        // The jobs of a page come at the same time, and one of them makes it.
        let _making = self.making.lock().await;
        if self.hosts.lock().contains(host) {
            return Ok(());
        }
        let mut options = self.options.clone();
        if !wait.is_zero() {
            // One that is asked once in a while has one job at a time, whoever queues it.
            options.host_cap = NonZeroUsize::MIN;
        }
        streams::ensure_host(&self.link, host, &options).await?;
        self.hosts.lock().insert(host.clone());
        Ok(())
    }

    /// How many jobs are in the queue of the hosts that this run has queued jobs for. Those of other runs that are for
    /// other hosts must not keep it waiting for jobs that are lost.
    pub(super) async fn jobs(&self) -> Result<u64, QueueError> {
        let there = streams::counts(&self.link, JOBS, "wallhaul.job.*").await?;
        let queued = self.queued.lock();
        let ours = queued.iter().map(subject::job);
        Ok(ours.filter_map(|subject| there.get(&subject)).sum())
    }

    /// Makes the streams again: the broker lost its store.
    pub(super) async fn rebuild(&self) -> Result<(), QueueError> {
        self.hosts.lock().clear();
        streams::ensure(&self.link, &self.options).await
    }

    /// Publishes a dead letter.
    pub(super) async fn bury(&self, letter: &Letter) -> Result<(), QueueError> {
        for _ in 0..OUT_OF_REACH.as_secs() {
            if self.link.publish(letter).await? != Published::NoStream {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
            self.rebuild().await?;
        }
        Err(self.link.error("filling", "it takes no dead letters"))
    }

    /// Takes the hosts' consumers as they are: who looks after a queue changes no settings of its runs.
    pub(super) async fn accept_hosts(&self) -> Result<(), QueueError> {
        let there = streams::hosts(&self.link).await?;
        let there = there
            .iter()
            .map(|consumer| HostToken::from_name(&consumer.name));
        self.hosts.lock().extend(there);
        Ok(())
    }

    /// Makes the consumers of this run's hosts again that somebody has deleted: another run that had ended, or a person.
    pub(super) async fn restore_hosts(&self) -> Result<(), QueueError> {
        let there = streams::hosts(&self.link).await?;
        let there: HashSet<HostToken> = there
            .iter()
            .map(|consumer| HostToken::from_name(&consumer.name))
            .collect();
        let missing: Vec<HostToken> = self.hosts.lock().difference(&there).cloned().collect();
        for host in &missing {
            match streams::ensure_host(&self.link, host, &self.options).await {
                Ok(()) => {}
                // The stream is gone: whoever publishes or reads results makes it again.
                Err(QueueError::Broker { .. })
                    if streams::info(&self.link, JOBS).await?.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Deletes the consumers of this run's hosts that have no job left: each costs the broker time when it ends. One
    /// with jobs that were delivered too often stays, because a new one would deliver them again.
    pub(super) async fn remove_idle_hosts(&self) -> Result<(), QueueError> {
        let hosts = std::mem::take(&mut *self.hosts.lock());
        for host in hosts {
            if streams::count(&self.link, JOBS, &subject::job(&host)).await? == 0 {
                let api = format!("CONSUMER.DELETE.{JOBS}.{host}");
                // Gone already is as good.
                let _: Result<Value, ApiError> = self.link.ask(&api, &json!({})).await?;
            }
        }
        Ok(())
    }
}

/// A message as it lies in a stream.
pub(super) struct StoredMessage {
    pub(super) sequence: u64,
    pub(super) id: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) payload: bytes::Bytes,
}

impl StoredMessage {
    fn new(message: &async_nats::Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        Some(Self {
            sequence: header("Nats-Sequence")?.parse().ok()?,
            id: header("Nats-Msg-Id"),
            subject: header("Nats-Subject"),
            payload: message.payload.clone(),
        })
    }
}

/// Some messages of a stream, from this number on; empty at the end.
pub(super) async fn read(
    link: &Link,
    stream: &str,
    filter: &str,
    from: u64,
) -> Result<Vec<StoredMessage>, QueueError> {
    let request = json!({"batch": READ_AT_ONCE, "seq": from, "next_by_subj": filter});
    direct_get(link, stream, &request).await
}

/// One message of a stream; `None` where it is no more.
pub(super) async fn read_one(
    link: &Link,
    stream: &str,
    sequence: u64,
) -> Result<Option<StoredMessage>, QueueError> {
    Ok(direct_get(link, stream, &json!({"seq": sequence}))
        .await?
        .pop())
}

/// Asks for messages as they are stored (NATS ADR-31): each is an answer of its own, and a batch ends with a status.
async fn direct_get(
    link: &Link,
    stream: &str,
    request: &Value,
) -> Result<Vec<StoredMessage>, QueueError> {
    let is_batch = request.get("batch").is_some();
    let fault = |error: String| link.error("reading", error);
    for _ in 0..3 {
        let inbox = link.client.new_inbox();
        let subscribed = link.client.subscribe(inbox.clone()).await;
        let mut answers = subscribed.map_err(|error| fault(error.to_string()))?;
        let api = format!("$JS.API.DIRECT.GET.{stream}");
        let asked = link
            .client
            .publish_with_reply(api, inbox, to_json(request))
            .await;
        asked.map_err(|error| fault(error.to_string()))?;
        let mut messages = Vec::new();
        loop {
            let answer = tokio::select! {
                answer = timeout(ANSWER, answers.next()) => answer,
                broken = link.broken() => return Err(broken),
            };
            match answer {
                // Nobody serves it: the broker is starting, or the stream is gone.
                Ok(Some(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                    sleep(Duration::from_secs(1)).await;
                    break;
                }
                Ok(Some(answer)) if answer.status.is_some() => {
                    // The end of a batch, or that there is nothing.
                    return Ok(messages);
                }
                Ok(Some(answer)) => {
                    messages.extend(StoredMessage::new(&answer));
                    if !is_batch {
                        return Ok(messages);
                    }
                }
                Ok(None) | Err(_) => break,
            }
        }
    }
    Err(fault(format!("no answer to `$JS.API.DIRECT.GET.{stream}`")))
}

pub(super) struct NatsSender(pub(super) Arc<Coordinator>);

#[async_trait]
impl JobSender for NatsSender {
    async fn send(&self, job: Job) -> Result<Sent, QueueError> {
        let Self(coordinator) = self;
        let key = KeyHash::of(&job.key);
        let present = coordinator.present.lock().get(&key).copied();
        match present {
            Some(true) => {
                // Another run may have taken the host for one without jobs.
                let host = HostToken::new(&job.host());
                coordinator.queued.lock().insert(host.clone());
                coordinator.ensure_host(&host, job.wait).await?;
                return Ok(Sent::Waiting);
            }
            Some(false) => return Ok(Sent::Refused),
            None => {}
        }
        let collection = &coordinator.options.collection;
        match coordinator.put(collection, &job, key.to_string()).await? {
            Published::New => Ok(Sent::New),
            Published::Duplicate | Published::NoStream => Ok(Sent::Refused),
        }
    }
}
