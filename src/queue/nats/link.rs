//! The connection to a broker: what goes over it, and what its silence means.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event, HeaderMap, Message, Request, RequestErrorKind, ServerError};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::super::QueueError;
use super::subject::NEW_HOSTS;
use crate::event::{WaitReason, WeakEvents};

/// How long the broker has for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// How long a broker may be out of reach before the run ends.
pub(super) const OUT_OF_REACH: Duration = Duration::from_secs(300);

/// How many answers in a row may be missing while the connection is alive. A broker that stands still is taken for
/// dead sooner: its connection answers no pings.
const SILENT: u32 = 3;

/// A connection that is made again by itself.
pub(super) struct Link {
    pub(super) client: Client,
    /// The address, without secrets.
    pub(super) url: String,
    health: watch::Receiver<Health>,
    events: WeakEvents,
}

/// What the connection's events say.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    /// How often the connection was lost.
    pub(super) losses: u64,
    /// Whether it is lost now.
    lost: bool,
    /// What the broker does not let us do: nothing answers then, so this is all that is ever heard of it.
    denied: Option<String>,
}

/// Takes in the connection's events.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) health: watch::Sender<Health>,
    pub(super) events: WeakEvents,
    pub(super) url: String,
}

impl Listener {
    pub(super) fn on_event(&self, event: &Event) {
        match event {
            Event::Disconnected => {
                self.health.send_modify(|health| {
                    health.losses += 1;
                    health.lost = true;
                });
                self.waiting(|queue| WaitReason::QueueLost { queue });
            }
            Event::Connected => {
                let mut back = false;
                self.health
                    .send_modify(|health| back = std::mem::take(&mut health.lost));
                if back {
                    self.waiting(|queue| WaitReason::QueueBack { queue });
                }
            }
            Event::ServerError(ServerError::Other(text)) if is_denial(text) => {
                self.health
                    .send_modify(|health| health.denied = Some(text.clone()));
            }
            _ => {}
        }
    }

    fn waiting(&self, reason: impl FnOnce(String) -> WaitReason) {
        if let Some(events) = self.events.upgrade() {
            events.waiting(reason(self.url.clone()));
        }
    }
}

/// Whether the broker says that a subject is not for us, and we cannot do without. It has no number for it: the protocol's
/// documentation gives the words.
fn is_denial(text: &str) -> bool {
    text.to_ascii_lowercase()
        .starts_with("permissions violation")
        // Without it new hosts are found a second later.
        && !text.contains(NEW_HOSTS)
}

/// What the broker's API says instead of an answer.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

impl ApiError {
    /// There is no such stream.
    pub(super) const NO_STREAM: u32 = 10059;
    /// There is no such consumer.
    pub(super) const NO_CONSUMER: u32 = 10014;
    /// A consumer of that name is there, and is another.
    pub(super) const OTHER_CONSUMER: u32 = 10148;
    /// The same, as some servers say it.
    pub(super) const CONSUMER_EXISTS: u32 = 10105;
    /// A stream of that name is there, and is another.
    pub(super) const OTHER_STREAM: u32 = 10058;
    /// The server keeps no more, in whichever stream.
    pub(super) const NO_RESOURCES: u32 = 10023;
    /// The stream does not take the message: it is full, or cannot be written to.
    pub(super) const NOT_STORED: u32 = 10077;
    /// There is no such message, as one call says it and as another does.
    pub(super) const GONE: [u32; 2] = [10037, 10057];
}

/// A message on its way into a stream.
pub(super) struct Letter {
    pub(super) subject: String,
    /// The broker takes no two with one name within its window.
    pub(super) id: String,
    pub(super) payload: Bytes,
}

/// An answer of the API.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Refused { error: ApiError },
    Done(T),
}

impl Link {
    pub(super) fn new(
        client: Client,
        url: String,
        health: watch::Receiver<Health>,
        events: WeakEvents,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            url,
            health,
            events,
        })
    }

    /// The error that says so of this broker.
    pub(super) fn error(&self, doing: &'static str, reason: impl Into<String>) -> QueueError {
        QueueError::Broker {
            doing,
            url: self.url.clone(),
            reason: reason.into(),
        }
    }

    /// The error for options that do not fit what is there.
    pub(super) fn misfit(&self, reason: String) -> QueueError {
        QueueError::BadBroker {
            url: self.url.clone(),
            reason,
        }
    }

    pub(super) fn waiting(&self, reason: WaitReason) {
        if let Some(events) = self.events.upgrade() {
            events.waiting(reason);
        }
    }

    pub(super) async fn warn(&self, warning: crate::event::Warning) {
        if let Some(events) = self.events.upgrade() {
            events.warn(warning).await;
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often the connection was lost.
    pub(super) fn losses(&self) -> u64 {
        self.health.borrow().losses
    }

    /// Returns when the connection was lost more often than that, and is there again.
    pub(super) async fn lost_since(&self, losses: u64) {
        let mut health = self.health.clone();
        // Its sender lives as long as the connection, and so as we do.
        let _ = health
            .wait_for(|health| health.losses > losses && !health.lost)
            .await;
    }

    /// Why nothing more is to be expected, if so.
    fn denial(&self) -> Option<QueueError> {
        let denied = self.health.borrow().denied.clone()?;
        Some(self.error(
            "asking",
            format!("{denied}; give the user that right, as `docs/nats-server.conf` does"),
        ))
    }

    /// Returns when there is a reason to give up: a right is missing, or the broker has been out of reach for too long.
    pub(super) async fn broken(&self) -> QueueError {
        let mut health = self.health.clone();
        loop {
            if let Some(denial) = self.denial() {
                return denial;
            }
            let lost = health.borrow_and_update().lost;
            if !lost {
                if health.changed().await.is_err() {
                    return self.error("asking", "the connection is closed");
                }
                continue;
            }
            match timeout(OUT_OF_REACH, health.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return self.error("asking", "the connection is closed"),
                Err(_) => return self.error("asking", "it has been out of reach for 5 minutes"),
            }
        }
    }

    /// Waits until the connection is there.
    async fn connected(&self) -> Result<(), QueueError> {
        let start = Instant::now();
        loop {
            if let Some(denial) = self.denial() {
                return Err(denial);
            }
            if self.is_connected() {
                return Ok(());
            }
            if start.elapsed() > OUT_OF_REACH {
                return Err(self.error("asking", "it has been out of reach for 5 minutes"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a request until it is answered; `None` when nobody serves the subject. What is sent twice must do no harm.
    /// Returns how often it was sent, too. `silence` says what to make of a broker that lives and does not answer.
    pub(super) async fn request(
        &self,
        letter: &Letter,
        silence: &str,
    ) -> Result<(Option<Message>, u32), QueueError> {
        let answer = self.try_request(letter, SILENT).await?;
        answer.ok_or_else(|| self.error("asking", silence))
    }

    /// The same; `None` when the broker lives and was silent this often.
    async fn try_request(
        &self,
        letter: &Letter,
        tries: u32,
    ) -> Result<Option<(Option<Message>, u32)>, QueueError> {
        let (mut sent, mut silent) = (0, 0);
        loop {
            self.connected().await?;
            let losses = self.losses();
            let mut request = Request::new()
                .payload(letter.payload.clone())
                .timeout(Some(ANSWER));
            if !letter.id.is_empty() {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", letter.id.as_str());
                request = request.headers(headers);
            }
            sent += 1;
            let answer = self.client.send_request(letter.subject.clone(), request);
            let error = match answer.await {
                Ok(message) => return Ok(Some((Some(message), sent))),
                Err(error) => error,
            };
            match error.kind() {
                RequestErrorKind::NoResponders => return Ok(Some((None, sent))),
                RequestErrorKind::TimedOut if self.is_connected() && self.losses() == losses => {
                    silent += 1;
                }
                RequestErrorKind::TimedOut => silent = 0,
                RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                    return Err(self.error("asking", error.to_string()));
                }
                RequestErrorKind::Other => sleep(Duration::from_millis(100)).await,
            }
            if let Some(denial) = self.denial() {
                return Err(denial);
            }
            if silent == tries {
                return Ok(None);
            }
            if silent == SILENT - 1 {
                self.waiting(WaitReason::QueueSilent {
                    queue: self.url.clone(),
                });
            }
        }
    }

    /// Tells a lease's subject what became of it, until the broker says that it has heard. A subject that nobody serves
    /// is a lease that the queue no longer has; and one of which it hears nothing is a delivery that a killed server has
    /// forgotten. Both come again.
    pub(super) async fn confirm(&self, subject: &str, word: Bytes) -> Result<(), QueueError> {
        let letter = Letter {
            subject: subject.to_owned(),
            id: String::new(),
            payload: word,
        };
        self.try_request(&letter, SILENT - 1).await.map(|_| ())
    }

    /// Asks the API below `$JS.API.`; the inner error is the broker's refusal.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        api: &str,
        body: &impl Serialize,
    ) -> Result<Result<T, ApiError>, QueueError> {
        let letter = Letter {
            subject: format!("$JS.API.{api}"),
            id: String::new(),
            payload: to_json(body),
        };
        let silence = format!("no answer to `{}`", letter.subject);
        let start = Instant::now();
        loop {
            let answer = tokio::select! {
                answer = self.request(&letter, &silence) => answer?.0,
                broken = self.broken() => return Err(broken),
            };
            let Some(answer) = answer else {
                // A server that is starting takes connections before it knows its streams.
                if start.elapsed() > ANSWER {
                    return Err(self.error("asking", "it has no JetStream: start it with `-js`"));
                }
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let parsed = serde_json::from_slice(&answer.payload).map_err(|error| {
                self.error("asking", format!("unreadable answer to `{api}`: {error}"))
            })?;
            return Ok(match parsed {
                Answer::Refused { error } => Err(error),
                Answer::Done(answer) => Ok(answer),
            });
        }
    }

    /// Asks the API, and takes a refusal for an error.
    pub(super) async fn must<T: DeserializeOwned>(
        &self,
        api: &str,
        body: &impl Serialize,
    ) -> Result<T, QueueError> {
        self.ask(api, body)
            .await?
            .map_err(|error| self.refused(api, &error))
    }

    pub(super) fn refused(&self, api: &str, error: &ApiError) -> QueueError {
        let ApiError {
            err_code,
            description,
        } = error;
        self.error(
            "asking",
            format!("{description} (error {err_code} of `{api}`)"),
        )
    }
}

pub(super) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("our own types have string keys and no failing fields")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permissions_violation_is_known_by_its_words() {
        assert!(is_denial(
            "Permissions Violation for Publish to \"wallhaul.job.x\""
        ));
        assert!(!is_denial("Stale Connection"));
        assert!(!is_denial(
            "Permissions Violation for Subscription to \"$JS.EVENT.ADVISORY.CONSUMER.CREATED.JOBS.*\""
        ));
    }
}
