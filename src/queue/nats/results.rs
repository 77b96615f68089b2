//! The results of a run's jobs, as they come in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Message, Subject, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::super::results::ResultHandle;
use super::super::{Depth, QueueError, RESULTS_AT_ONCE, ReceivedResult, ResultReceiver};
use super::coordinator::Coordinator;
use super::keeper;
use super::link::{ApiError, Letter, to_json};
use super::message::DeadLetter;
use super::odd::{Odd, bury_result, exhausted, read_result};
use super::outbox::{MAX_RESULTS, split_line};
use super::streams;
use super::subject::{
    self, ADVISORY, Delivery, EXHAUSTED, HostToken, JOBS, KeyHash, NOBODY, RESULTS,
};
use crate::job::Job;
use crate::outcome::{JobEnd, JobResult};

/// How long a request for results is parked.
const EXPIRES: Duration = Duration::from_secs(5);

/// How often somebody looks after the hosts' consumers.
const TENDED: Duration = Duration::from_secs(5);

pub(super) struct NatsResults {
    coordinator: Arc<Coordinator>,
    // Held across awaits: one reader at a time, as the run has.
    intake: Mutex<Intake>,
}

struct Intake {
    inbox: String,
    messages: Subscriber,
    sources: [Source; 3],
    /// What needs more than a look. The first stays until it is done, so that a reader that is dropped loses nothing.
    odd: VecDeque<Odd>,
    /// The results of each message. They are handed out together, so that none is acknowledged in part for long.
    ready: VecDeque<Vec<ReceivedResult>>,
    tended: Instant,
    /// How often the connection had been lost: requests do not outlive it.
    losses: u64,
}

/// A consumer that results come from.
struct Source {
    /// Where requests go.
    next: String,
    /// How many messages one request is for.
    batch: usize,
    /// How many the last requests may still bring, and when the last of them ends.
    open: usize,
    ends: Instant,
    /// Whether the broker does not know it.
    missing: bool,
}

impl NatsResults {
    pub(super) async fn open(coordinator: Arc<Coordinator>) -> Result<Self, QueueError> {
        let inbox = coordinator.link.client.new_inbox();
        let messages = keeper::subscribe(&coordinator.link, &inbox).await?;
        let now = Instant::now();
        let source = |stream: &str, consumer: &str, batch| Source {
            next: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            batch,
            open: 0,
            ends: now,
            missing: false,
        };
        let sources = [
            source(RESULTS, &coordinator.options.collection, 16),
            source(RESULTS, NOBODY, 8),
            source(ADVISORY, EXHAUSTED, 8),
        ];
        let losses = coordinator.link.losses();
        Ok(Self {
            coordinator,
            intake: Mutex::new(Intake {
                inbox,
                messages,
                sources,
                odd: VecDeque::new(),
                ready: VecDeque::new(),
                tended: now,
                losses,
            }),
        })
    }
}

#[async_trait]
impl ResultReceiver for NatsResults {
    async fn next(&self) -> Result<Vec<ReceivedResult>, QueueError> {
        let Self {
            coordinator,
            intake,
        } = self;
        let mut intake = intake.lock().await;
        let mut broken = std::pin::pin!(coordinator.link.broken());
        loop {
            intake.settle_odd(coordinator).await?;
            let mut results = Vec::new();
            while results.len() < RESULTS_AT_ONCE
                && let Some(more) = intake.ready.pop_front()
            {
                results.extend(more);
            }
            if !results.is_empty() {
                return Ok(results);
            }
            intake.ask(coordinator).await?;
            let wake = Instant::now() + Duration::from_secs(1);
            tokio::select! {
                message = intake.messages.next() => {
                    let Some(message) = message else {
                        return Err(coordinator.link.error("asking", "the connection is closed"));
                    };
                    intake.take(message, coordinator);
                    while intake.ready.len() < RESULTS_AT_ONCE
                        && let Some(Some(message)) = intake.messages.next().now_or_never()
                    {
                        intake.take(message, coordinator);
                    }
                }
                () = sleep_until(wake) => {}
                broken = &mut broken => return Err(broken),
            }
        }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let Coordinator { link, options, .. } = &*self.coordinator;
        let results = subject::result(&options.collection);
        Ok(Depth {
            jobs: self.coordinator.jobs().await?,
            results: streams::count(link, RESULTS, &results).await?,
        })
    }

    async fn close(&self) -> Result<(), QueueError> {
        self.coordinator.remove_idle_hosts().await
    }
}

impl Intake {
    /// Keeps requests parked, and looks after what they need.
    async fn ask(&mut self, coordinator: &Coordinator) -> Result<(), QueueError> {
        let link = &coordinator.link;
        if !link.is_connected() {
            return Ok(());
        }
        let now = Instant::now();
        let losses = link.losses();
        if std::mem::replace(&mut self.losses, losses) != losses {
            for source in &mut self.sources {
                source.open = 0;
            }
        }
        if self
            .sources
            .iter()
            .any(|source| source.missing && source.ends <= now)
        {
            coordinator.rebuild().await?;
            for source in &mut self.sources {
                source.missing = false;
            }
        }
        if now >= self.tended + TENDED {
            coordinator.restore_hosts().await?;
            self.tended = now;
        }
        for (number, source) in self.sources.iter_mut().enumerate() {
            if source.missing || (source.open > 0 && now < source.ends) {
                continue;
            }
            let request = json!({"batch": source.batch, "expires": streams::nanos(EXPIRES)});
            let inbox = format!("{}.{number}", self.inbox);
            let sent =
                link.client
                    .publish_with_reply(source.next.clone(), inbox, to_json(&request));
            sent.await
                .map_err(|error| link.error("asking", error.to_string()))?;
            source.open = source.batch;
            source.ends = now + EXPIRES + Duration::from_secs(1);
        }
        Ok(())
    }

    /// Takes in a message, without waiting.
    fn take(&mut self, message: Message, coordinator: &Arc<Coordinator>) {
        if let Some(status) = message.status {
            let number = keeper::number(&message).and_then(|number| usize::try_from(number).ok());
            if let Some(source) = number.and_then(|number| self.sources.get_mut(number)) {
                source.open = 0;
                let over = [
                    async_nats::StatusCode::TIMEOUT,
                    async_nats::StatusCode::NOT_FOUND,
                ];
                source.missing = !over.contains(&status);
                if source.missing {
                    source.ends = Instant::now() + Duration::from_secs(1);
                }
            }
            return;
        }
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let Some(delivery) = Delivery::parse(&reply) else {
            return;
        };
        let number = match delivery.consumer {
            EXHAUSTED => 2,
            NOBODY => 1,
            _ => 0,
        };
        self.sources[number].open = self.sources[number].open.saturating_sub(1);
        if number == 2 {
            self.odd.push_back(Odd::Advisory(message));
            return;
        }
        let lines: Vec<_> = message
            .payload
            .splitn(MAX_RESULTS, |byte| *byte == b'\n')
            .collect();
        let mut results = Vec::with_capacity(lines.len());
        let unfinished = Arc::new(AtomicU64::new(u64::MAX >> (MAX_RESULTS - lines.len())));
        for (number, line) in lines.into_iter().enumerate() {
            let (id, text) = split_line(line);
            let handle = ResultAck {
                coordinator: Arc::clone(coordinator),
                sequence: delivery.sequence,
                job: id.and_then(subject::job_of_result),
                line: number,
                unfinished: Arc::clone(&unfinished),
                reply: reply.clone(),
                exhausted: None,
            };
            let Some(result) = read_result(text, &coordinator.options.collection) else {
                let line = message.payload.slice_ref(line);
                self.odd.push_back(Odd::NoResult(line, handle));
                continue;
            };
            // It is in the queue no more, whatever was seen there when the run began.
            coordinator
                .present
                .lock()
                .remove(&KeyHash::of(&result.job.key));
            results.push(ReceivedResult {
                result,
                handle: Box::new(handle),
            });
        }
        self.ready.push_back(results);
    }

    /// Does what is to be done about messages that are no results.
    async fn settle_odd(&mut self, coordinator: &Arc<Coordinator>) -> Result<(), QueueError> {
        while let Some(odd) = self.odd.front() {
            match odd {
                Odd::Advisory(message) => {
                    if let Some(reply) = &message.reply
                        && let Some(given_up) = exhausted(coordinator, message, reply).await?
                    {
                        self.ready.push_back(vec![given_up]);
                    }
                }
                Odd::NoResult(line, ack) => bury_result(coordinator, line, ack).await?,
            }
            self.odd.pop_front();
        }
        Ok(())
    }
}

pub(super) struct ResultAck {
    pub(super) coordinator: Arc<Coordinator>,
    /// The number of the result's message; of the job's where there is no result.
    pub(super) sequence: u64,
    /// The number of the job's message.
    pub(super) job: Option<u64>,
    /// The number of its line in the message.
    pub(super) line: usize,
    /// A bit for each line of the message that nothing was done about: the last one acknowledges it. Where one is dropped,
    /// all of them come again.
    pub(super) unfinished: Arc<AtomicU64>,
    pub(super) reply: Subject,
    /// The number of the job's message, which nobody else removes.
    pub(super) exhausted: Option<u64>,
}

impl ResultAck {
    pub(super) async fn finish(&self) -> Result<(), QueueError> {
        let link = &self.coordinator.link;
        if let Some(sequence) = self.exhausted {
            let api = format!("STREAM.MSG.DELETE.{JOBS}");
            let request = json!({"seq": sequence, "no_erase": true});
            match link.ask::<Value>(&api, &request).await? {
                Err(error) if !ApiError::GONE.contains(&error.err_code) => {
                    return Err(link.refused(&api, &error));
                }
                Ok(_) | Err(_) => {}
            }
        }
        // A bit and no count: what was dropped half-way is done once more.
        let done = !(1 << self.line);
        if self.unfinished.fetch_and(done, Ordering::SeqCst) & done != 0 {
            return Ok(());
        }
        link.confirm(&self.reply, Bytes::from_static(b"+ACK")).await
    }
}

#[async_trait]
impl ResultHandle for ResultAck {
    async fn ack(&self, dead: Option<JobResult>) -> Result<(), QueueError> {
        if let Some(result) = dead
            && let JobEnd::Failed(failure) = &result.end
        {
            let collection = &self.coordinator.options.collection;
            let of = if self.exhausted.is_some() {
                "job"
            } else {
                "result"
            };
            let letter = Letter {
                subject: subject::dead(&HostToken::new(&result.job.host())),
                id: KeyHash::of(&result.job.key).again(format_args!("{of}{}", self.sequence)),
                payload: to_json(&DeadLetter::of_job(collection, &result, &failure.cause)),
            };
            self.coordinator.bury(&letter).await?;
        }
        self.finish().await
    }

    async fn forward(&self, job: Job) -> Result<(), QueueError> {
        let from = match self.job {
            Some(number) => number.to_string(),
            None => format!("result{}", self.sequence),
        };
        // The same for each delivery of the job and of its result: the broker takes the first.
        let id = KeyHash::of(&job.key).again(format_args!("{from}.{}", job.host()));
        let collection = &self.coordinator.options.collection;
        self.coordinator.put(collection, &job, id).await.map(|_| ())
    }
}
