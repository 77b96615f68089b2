//! What somebody who looks after the queue sees of it and does to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{DeadJob, HostStatus, Purge, QueueAdmin, QueueError, QueueStatus};
use super::coordinator::{self, Coordinator};
use super::link::ApiError;
use super::message::DeadLetter;
use super::publish::Published;
use super::streams;
use super::subject::{self, DEAD, HostToken, JOBS, KeyHash, RESULTS};

pub(super) struct NatsAdmin(pub(super) Arc<Coordinator>);

#[async_trait]
impl QueueAdmin for NatsAdmin {
    async fn status(&self) -> Result<QueueStatus, QueueError> {
        let link = &self.0.link;
        let mut counts = [0; 3];
        let mut queued = 0;
        for (count, stream) in counts.iter_mut().zip([JOBS, RESULTS, DEAD]) {
            if let Some(info) = streams::info(link, stream).await? {
                *count = info.state.messages;
                // Numbers are never given twice.
                if stream == JOBS {
                    queued = info.state.last_seq;
                }
            }
        }
        let [jobs, results, dead] = counts;
        let consumers = streams::hosts(link).await?;
        let mut hosts: Vec<HostStatus> = consumers
            .iter()
            .map(|consumer| HostStatus {
                host: HostToken::from_name(&consumer.name).host(),
                waiting: consumer.num_pending,
                in_flight: consumer.num_ack_pending,
                redelivered: consumer.num_redelivered,
                cap: consumer.max_ack_pending(),
                paused_until: paused_until(consumer.pause_remaining),
            })
            .collect();
        hosts.sort_unstable_by(|one, other| one.host.cmp(&other.host));
        Ok(QueueStatus {
            jobs,
            finished: queued.saturating_sub(jobs),
            results,
            dead,
            hosts,
        })
    }

    async fn dead(&self, after: u64) -> Result<Vec<DeadJob>, QueueError> {
        let link = &self.0.link;
        if streams::info(link, DEAD).await?.is_none() {
            return Ok(Vec::new());
        }
        let messages = coordinator::read(link, DEAD, "wallhaul.dead.*", after + 1).await?;
        let letters = messages.into_iter().map(|message| {
            let number = message.sequence;
            match DeadLetter::read(&message.payload) {
                Some(DeadLetter {
                    at,
                    collection,
                    job,
                    reason,
                    ..
                }) => DeadJob {
                    number,
                    at,
                    collection,
                    job,
                    reason,
                },
                None => DeadJob {
                    number,
                    at: Timestamp::UNIX_EPOCH,
                    collection: String::new(),
                    job: None,
                    reason: "the letter cannot be read".to_owned(),
                },
            }
        });
        Ok(letters.collect())
    }

    async fn retry(&self, number: u64) -> Result<bool, QueueError> {
        let Some(message) = coordinator::read_one(&self.0.link, DEAD, number).await? else {
            return Ok(false);
        };
        let letter = DeadLetter::read(&message.payload);
        let Some((collection, mut job)) =
            letter.and_then(|letter| Some((letter.collection, letter.job?)))
        else {
            return Ok(false);
        };
        job.tried.addresses = 0;
        self.0.accept_hosts().await?;
        // Under another name: the old one may be one that the queue remembers.
        let id = KeyHash::of(&job.key).again(format_args!("dead{number}"));
        match self.0.put(&collection, &job, id).await? {
            Published::New | Published::Duplicate => self.remove(number).await,
            Published::NoStream => Ok(false),
        }
    }

    async fn purge(&self, what: Purge<'_>) -> Result<u64, QueueError> {
        #[derive(Deserialize)]
        struct Purged {
            purged: u64,
        }
        let (stream, request) = match what {
            Purge::Jobs => (JOBS, json!({})),
            Purge::Host(host) => (JOBS, json!({"filter": subject::job(&HostToken::new(host))})),
            Purge::Dead => (DEAD, json!({})),
        };
        let api = format!("STREAM.PURGE.{stream}");
        match self.0.link.ask(&api, &request).await? {
            Ok(Purged { purged }) => Ok(purged),
            Err(error) if error.err_code == ApiError::NO_STREAM => Ok(0),
            Err(error) => Err(self.0.link.refused(&api, &error)),
        }
    }

    async fn pause(&self, host: &str, pause: Duration) -> Result<bool, QueueError> {
        streams::pause(&self.0.link, &HostToken::new(host), pause).await
    }
}

impl NatsAdmin {
    async fn remove(&self, number: u64) -> Result<bool, QueueError> {
        let api = format!("STREAM.MSG.DELETE.{DEAD}");
        let request = json!({"seq": number, "no_erase": true});
        match self.0.link.ask::<Value>(&api, &request).await? {
            Ok(_) => Ok(true),
            Err(error) if ApiError::GONE.contains(&error.err_code) => Ok(true),
            Err(error) => Err(self.0.link.refused(&api, &error)),
        }
    }
}

fn paused_until(remaining: u64) -> Option<Timestamp> {
    if remaining == 0 {
        return None;
    }
    Timestamp::now()
        .checked_add(Duration::from_nanos(remaining))
        .ok()
}
