//! Results on their way out: those that are reported at the same time share a message. A worker's group of images costs the
//! broker, and the run that reads the results, a message or two in the place of hundreds.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::super::QueueError;
use super::again;
use super::lease::publish_result;
use super::link::{Letter, Link};
use super::subject;

/// The most results of a message: there is a bit for each,
pub(super) const MAX_RESULTS: usize = 64;

/// and the most bytes, unless one alone has more. A server takes a megabyte when nobody says otherwise.
const MAX_BYTES: usize = 128 << 10;

/// The messages that still take results, by collection. Each belongs to the one who began it, and ends with it.
#[derive(Default)]
pub(super) struct Outbox(Mutex<HashMap<String, Weak<Mutex<Message>>>>);

/// A message that is being put together.
#[derive(Default)]
struct Message {
    ids: Vec<String>,
    /// A line for each result: its name, a blank, and the result.
    text: Vec<u8>,
    /// Whether it is on its way.
    closed: bool,
    /// Those who wait for it, but for the one who sends it.
    waiting: Vec<oneshot::Sender<Result<(), QueueError>>>,
}

impl Outbox {
    /// Sends a result, with others that are being sent; `id` is its name. Durable when it returns.
    pub(super) async fn send(
        &self,
        link: &Arc<Link>,
        collection: &str,
        id: &str,
        result: &[u8],
    ) -> Result<(), QueueError> {
        loop {
            let message = match self.join(collection, id, result) {
                Joined::Mine(message) => message,
                Joined::Others(sent) => match sent.await {
                    Ok(sent) => return sent,
                    // Whoever was to send it does not want to any more.
                    Err(_) => continue,
                },
            };
            // Whoever reports now joins it meanwhile.
            yield_now().await;
            let mut message = {
                let closed = Message {
                    closed: true,
                    ..Message::default()
                };
                std::mem::replace(&mut *message.lock(), closed)
            };
            let waiting = std::mem::take(&mut message.waiting);
            let letter = message.into_letter(collection);
            let link = Arc::clone(link);
            // A task of its own: whoever loses his lease now must not take along the results of the others, which would
            // come twice.
            let sending = tokio::spawn(async move {
                let sent = publish_result(&link, &letter).await;
                for other in waiting {
                    // Who has gone does not want to know.
                    let _ = other.send(sent.as_ref().copied().map_err(again));
                }
                sent
            });
            return match sending.await {
                Ok(sent) => sent,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            };
        }
    }

    fn join(&self, collection: &str, id: &str, result: &[u8]) -> Joined {
        let mut open = self.0.lock();
        if let Some(message) = open.get(collection).and_then(Weak::upgrade) {
            let mut message = message.lock();
            if message.takes(result.len()) {
                let (sender, sent) = oneshot::channel();
                message.add(id, result);
                message.waiting.push(sender);
                return Joined::Others(sent);
            }
        }
        let mut message = Message::default();
        message.add(id, result);
        let message = Arc::new(Mutex::new(message));
        open.insert(collection.to_owned(), Arc::downgrade(&message));
        Joined::Mine(message)
    }
}

enum Joined {
    /// To be sent by the one who asks.
    Mine(Arc<Mutex<Message>>),
    /// Says when it is sent.
    Others(oneshot::Receiver<Result<(), QueueError>>),
}

impl Message {
    fn takes(&self, more: usize) -> bool {
        !self.closed && self.ids.len() < MAX_RESULTS && self.text.len() + more <= MAX_BYTES
    }

    fn add(&mut self, id: &str, result: &[u8]) {
        if !self.text.is_empty() {
            self.text.push(b'\n');
        }
        for part in [id.as_bytes(), b" ", result] {
            self.text.extend_from_slice(part);
        }
        self.ids.push(id.to_owned());
    }

    fn into_letter(self, collection: &str) -> Letter {
        let id = match &self.ids[..] {
            [id] => id.clone(),
            ids => format!(
                "results#{}",
                blake3::hash(ids.join(" ").as_bytes()).to_hex()
            ),
        };
        Letter {
            subject: subject::result(collection),
            id,
            payload: self.text.into(),
        }
    }
}

/// A line as it arrives: the name, where it has one, and the result.
pub(super) fn split_line(line: &[u8]) -> (Option<&str>, &[u8]) {
    let blank = line.iter().position(|byte| *byte == b' ');
    let parts = blank.map(|blank| (&line[..blank], &line[blank + 1..]));
    match parts {
        Some((id, result)) if !id.starts_with(b"{") => (std::str::from_utf8(id).ok(), result),
        _ => (None, line),
    }
}
