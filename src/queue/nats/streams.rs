//! The streams and consumers on the broker: made where they are missing, compared where they are there, never changed.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{CoordinatorOptions, QueueError};
use super::link::{ApiError, Link};
use super::subject::{self, ADVISORY, DEAD, EXHAUSTED, HostToken, JOBS, NOBODY, RESULTS};

/// How often a job is delivered at most: a guard against jobs that end their workers, nothing else.
pub(super) const MAX_DELIVER: u32 = 20;

/// As long as the broker must remember names for an answer that was lost; a name that it remembers cannot be queued
/// again.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// More than the broker can serve. Without a number it takes 1,000 and does not say so.
const MAX_CONSUMERS: u32 = 20_000;

/// Requests for a job that may wait at a host: one for each free slot of each worker.
const MAX_WAITING: u32 = 10_000;

/// Results that a run may have and not have acknowledged.
const MAX_RESULTS_PENDING: u32 = 1_024;

/// How long a run may have a result before it gets it again.
const RESULT_WAIT: Duration = Duration::from_secs(30);

const DAY: Duration = Duration::from_secs(86_400);

const ADVISORY_BYTES: u64 = 16 << 20;

/// What the API says of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    config: Value,
    pub(super) state: StreamState,
}

/// How much is in a stream.
#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    #[serde(default)]
    pub(super) last_seq: u64,
    /// Messages by subject, where that was asked for.
    #[serde(default)]
    pub(super) subjects: Option<HashMap<String, u64>>,
}

/// What the API says of a consumer.
#[derive(Debug, Deserialize)]
pub(super) struct ConsumerInfo {
    pub(super) name: String,
    pub(super) created: String,
    config: Value,
    #[serde(default)]
    pub(super) num_ack_pending: u64,
    #[serde(default)]
    pub(super) num_redelivered: u64,
    #[serde(default)]
    pub(super) num_pending: u64,
    /// Nanoseconds until deliveries go on, where they are paused.
    #[serde(default)]
    pub(super) pause_remaining: u64,
    /// The broker's clock.
    #[serde(default)]
    pub(super) ts: Option<jiff::Timestamp>,
}

impl ConsumerInfo {
    pub(super) fn max_ack_pending(&self) -> u64 {
        self.config["max_ack_pending"].as_u64().unwrap_or(1)
    }

    pub(super) fn ack_wait(&self) -> Duration {
        let nanos = self.config["ack_wait"].as_u64();
        nanos.map_or(CoordinatorOptions::ACK_WAIT, Duration::from_nanos)
    }
}

/// The number of nanoseconds, as the API counts time.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn streams(options: &CoordinatorOptions) -> [Value; 4] {
    let work_queue = |name: &str, subjects: &str, bytes: u64| {
        json!({
            "name": name, "subjects": [subjects], "retention": "workqueue", "storage": "file",
            "discard": "new", "max_bytes": bytes, "duplicate_window": nanos(DUPLICATE_WINDOW),
        })
    };
    let mut jobs = work_queue(JOBS, "wallhaul.job.*", options.max_bytes);
    jobs["max_msgs"] = options.max_jobs.into();
    jobs["max_consumers"] = MAX_CONSUMERS.into();
    // To see what is there already, and what was delivered too often.
    jobs["allow_direct"] = true.into();
    let mut results = work_queue(RESULTS, "wallhaul.result.*", options.max_bytes);
    results["max_consumers"] = MAX_CONSUMERS.into();
    let advisories = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{JOBS}.*");
    let mut advisory = work_queue(ADVISORY, &advisories, ADVISORY_BYTES);
    advisory["discard"] = "old".into();
    advisory["max_age"] = nanos(7 * DAY).into();
    let dead = json!({
        "name": DEAD, "subjects": ["wallhaul.dead.*"], "retention": "limits", "storage": "file",
        "discard": "old", "max_bytes": options.max_bytes, "max_age": nanos(30 * DAY),
        "duplicate_window": nanos(DUPLICATE_WINDOW), "allow_direct": true,
    });
    [jobs, results, advisory, dead]
}

/// Makes the streams and the run's own consumers, or finds that they are there as they should be.
///
/// # Errors
///
/// When they are there and differ: the error says in what.
pub(super) async fn ensure(link: &Link, options: &CoordinatorOptions) -> Result<(), QueueError> {
    for stream in streams(options) {
        let name = stream["name"].as_str().unwrap_or_default().to_owned();
        let info = match info(link, &name).await? {
            Some(info) => info,
            None => match link.ask(&format!("STREAM.CREATE.{name}"), &stream).await? {
                Ok(info) => info,
                // Another run was faster.
                Err(error) if error.err_code == ApiError::OTHER_STREAM => {
                    link.must(&format!("STREAM.INFO.{name}"), &json!({}))
                        .await?
                }
                Err(error) => return Err(link.refused(&format!("STREAM.CREATE.{name}"), &error)),
            },
        };
        let differing = differences(&stream, &info.config);
        if !differing.is_empty() {
            return Err(link.misfit(format!(
                "its stream {name} has {differing}: use the same settings, or delete the stream while it is empty"
            )));
        }
    }
    for collection in [&options.collection, NOBODY] {
        let consumer = json!({
            "durable_name": collection, "filter_subject": subject::result(collection),
            "ack_policy": "explicit", "ack_wait": nanos(RESULT_WAIT), "max_deliver": -1,
            "max_ack_pending": MAX_RESULTS_PENDING,
        });
        ensure_consumer(link, RESULTS, collection, &consumer).await?;
    }
    let consumer = json!({
        "durable_name": EXHAUSTED, "ack_policy": "explicit", "ack_wait": nanos(RESULT_WAIT),
        // Those of other collections are held for a while, and must not keep ours from being heard.
        "max_deliver": -1, "max_ack_pending": -1,
    });
    ensure_consumer(link, ADVISORY, EXHAUSTED, &consumer).await
}

/// Makes a host's consumer, or finds that it is there as it should be. One that differs is made anew where the host has
/// no jobs: a run that was killed has left it.
///
/// # Errors
///
/// As [`ensure`].
pub(super) async fn ensure_host(
    link: &Link,
    host: &HostToken,
    options: &CoordinatorOptions,
) -> Result<(), QueueError> {
    let consumer = json!({
        "durable_name": host.as_str(), "filter_subject": subject::job(host),
        "ack_policy": "explicit", "ack_wait": nanos(options.ack_wait),
        "max_deliver": MAX_DELIVER, "max_ack_pending": options.host_cap,
        "max_waiting": MAX_WAITING,
    });
    let ensured = ensure_consumer(link, JOBS, host.as_str(), &consumer).await;
    // A job that a worker has counts as well: it is in the stream until it is acknowledged.
    let is_misfit = matches!(ensured, Err(QueueError::BadBroker { .. }));
    if !is_misfit || count(link, JOBS, &subject::job(host)).await? > 0 {
        return ensured;
    }
    let api = format!("CONSUMER.DELETE.{JOBS}.{host}");
    let _: Value = link.must(&api, &json!({})).await?;
    ensure_consumer(link, JOBS, host.as_str(), &consumer).await
}

async fn ensure_consumer(
    link: &Link,
    stream: &str,
    name: &str,
    consumer: &Value,
) -> Result<(), QueueError> {
    let filter = consumer["filter_subject"].as_str();
    let api = match filter {
        Some(filter) => format!("CONSUMER.CREATE.{stream}.{name}.{filter}"),
        None => format!("CONSUMER.CREATE.{stream}.{name}"),
    };
    // "create" refuses what differs; without it the consumer of a running cluster would be changed.
    let request = json!({"stream_name": stream, "config": consumer, "action": "create"});
    let info: ConsumerInfo = match link.ask(&api, &request).await? {
        Ok(info) => info,
        Err(error)
            if matches!(
                error.err_code,
                ApiError::OTHER_CONSUMER | ApiError::CONSUMER_EXISTS
            ) =>
        {
            link.must(&format!("CONSUMER.INFO.{stream}.{name}"), &json!({}))
                .await?
        }
        Err(error) => return Err(link.refused(&api, &error)),
    };
    let differing = differences(consumer, &info.config);
    if differing.is_empty() {
        return Ok(());
    }
    Err(link.misfit(format!(
        "its consumer `{}` of {stream} has {differing}: use the same settings, or wait until it is empty",
        HostToken::from_name(name).host()
    )))
}

/// In what a configuration differs from ours, as `NAME 5 instead of 2`; empty where it does not.
fn differences(ours: &Value, theirs: &Value) -> String {
    let fields = ours.as_object().into_iter().flatten();
    let differing = fields.filter(|(name, value)| {
        let absent = Value::Bool(false);
        let there = theirs.get(name.as_str()).unwrap_or(&absent);
        there != *value
    });
    let words: Vec<String> = differing
        .map(|(name, value)| {
            let there = theirs.get(name.as_str()).unwrap_or(&Value::Null);
            format!(
                "`{name}` {} instead of {}",
                shown(name, there),
                shown(name, value)
            )
        })
        .collect();
    words.join(", ")
}

/// A value as people write it: the API counts time in nanoseconds.
fn shown(name: &str, value: &Value) -> String {
    match (name, value.as_u64()) {
        ("ack_wait" | "max_age" | "duplicate_window", Some(nanos)) => {
            format!("{:?}", Duration::from_nanos(nanos))
        }
        _ => value.to_string(),
    }
}

/// What is in a stream; `None` where there is no such stream.
pub(super) async fn info(link: &Link, stream: &str) -> Result<Option<StreamInfo>, QueueError> {
    let api = format!("STREAM.INFO.{stream}");
    match link.ask(&api, &json!({})).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.err_code == ApiError::NO_STREAM => Ok(None),
        Err(error) => Err(link.refused(&api, &error)),
    }
}

/// How many messages of a subject are in a stream.
pub(super) async fn count(link: &Link, stream: &str, subject: &str) -> Result<u64, QueueError> {
    let counts = counts(link, stream, subject).await?;
    Ok(counts.into_values().sum())
}

/// How many messages of each subject are in a stream that fit the filter.
pub(super) async fn counts(
    link: &Link,
    stream: &str,
    filter: &str,
) -> Result<HashMap<String, u64>, QueueError> {
    let api = format!("STREAM.INFO.{stream}");
    match link
        .ask::<StreamInfo>(&api, &json!({"subjects_filter": filter}))
        .await?
    {
        Ok(info) => Ok(info.state.subjects.unwrap_or_default()),
        Err(error) if error.err_code == ApiError::NO_STREAM => Ok(HashMap::new()),
        Err(error) => Err(link.refused(&api, &error)),
    }
}

/// The hosts that have consumers.
pub(super) async fn hosts(link: &Link) -> Result<Vec<ConsumerInfo>, QueueError> {
    #[derive(Deserialize)]
    struct Page {
        total: usize,
        #[serde(default)]
        consumers: Vec<ConsumerInfo>,
    }
    let api = format!("CONSUMER.LIST.{JOBS}");
    let mut all = Vec::new();
    loop {
        match link
            .ask::<Page>(&api, &json!({"offset": all.len()}))
            .await?
        {
            Ok(page) => {
                let is_last =
                    page.consumers.is_empty() || all.len() + page.consumers.len() >= page.total;
                all.extend(page.consumers);
                if is_last {
                    return Ok(all);
                }
            }
            // Nobody has queued anything yet.
            Err(error) if error.err_code == ApiError::NO_STREAM => return Ok(Vec::new()),
            Err(error) => return Err(link.refused(&api, &error)),
        }
    }
}

/// Delivers nothing of a host for this long, unless a longer pause is there. `false` where there is no such host.
pub(super) async fn pause(
    link: &Link,
    host: &HostToken,
    pause: Duration,
) -> Result<bool, QueueError> {
    let api = format!("CONSUMER.INFO.{JOBS}.{host}");
    let info: ConsumerInfo = match link.ask(&api, &json!({})).await? {
        Ok(info) => info,
        Err(error) if matches!(error.err_code, ApiError::NO_CONSUMER | ApiError::NO_STREAM) => {
            return Ok(false);
        }
        Err(error) => return Err(link.refused(&api, &error)),
    };
    if Duration::from_nanos(info.pause_remaining) >= pause {
        return Ok(true);
    }
    // By the broker's clock: ours may be another.
    let now = info.ts.unwrap_or_else(jiff::Timestamp::now);
    let until = now.checked_add(pause).unwrap_or(now);
    let api = format!("CONSUMER.PAUSE.{JOBS}.{host}");
    let _: Value = link.must(&api, &json!({"pause_until": until})).await?;
    Ok(true)
}
