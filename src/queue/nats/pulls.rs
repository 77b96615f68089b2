//! The requests for jobs: one job each, parked at the hosts' consumers until one is there.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::super::{Lease, QueueError};
use super::clock;
use super::host::Host;
use super::keeper;
use super::lease::{Desk, NatsAck, bury};
use super::link::{ANSWER, to_json};
use super::message::{QueuedJob, read_job};
use super::scout::Sighting;
use super::streams::{self, ConsumerInfo};
use super::subject::{Delivery, NOBODY};
use super::worker::Ready;

/// How long a request is parked where nothing is known to be.
const EXPIRES: Duration = Duration::from_secs(30);

/// The same where jobs are, or where hosts take turns: a host that has no more must not keep the slots from others.
const SHORT_EXPIRES: Duration = Duration::from_secs(2);

/// How long after its end a request is taken for lost.
const LATE: Duration = Duration::from_secs(1);

/// How long a host is left alone that refused a request.
const REST: Duration = Duration::from_secs(1);

const TICK: Duration = Duration::from_millis(250);

/// Parked requests for each free slot. More than one, because a host may have no job for them; and few, because those
/// that bring more jobs than slots are free keep them from other workers.
const PULLS_PER_SLOT: usize = 2;

pub(super) struct Pulls {
    desk: Arc<Desk>,
    ready: Arc<Ready>,
    inbox: String,
    messages: Subscriber,
    slots: Arc<Semaphore>,
    free: Vec<OwnedSemaphorePermit>,
    /// Jobs that came when no slot was free.
    held: VecDeque<Lease>,
    hosts: Vec<Host>,
    numbers: HashMap<String, usize>,
    parked: usize,
    /// The two kinds of requests.
    long: Bytes,
    short: Bytes,
    /// Where the next round begins, so that no host is always the first.
    turn: usize,
    losses: u64,
    looked: Duration,
    /// Answered when what came while this process was frozen is all here.
    distrust: Option<oneshot::Receiver<()>>,
}

impl Pulls {
    pub(super) async fn new(
        desk: Arc<Desk>,
        slots: usize,
        ready: Arc<Ready>,
    ) -> Result<Self, QueueError> {
        let inbox = desk.link.client.new_inbox();
        let messages = keeper::subscribe(&desk.link, &inbox).await?;
        Ok(Self {
            losses: desk.link.losses(),
            desk,
            ready,
            inbox,
            messages,
            slots: Arc::new(Semaphore::new(slots)),
            free: Vec::new(),
            held: VecDeque::new(),
            hosts: Vec::new(),
            numbers: HashMap::new(),
            parked: 0,
            long: request(EXPIRES),
            short: request(SHORT_EXPIRES),
            turn: 0,
            looked: clock::now(),
            distrust: None,
        })
    }

    /// Hands out jobs until the queue was idle for long enough, something fails, or the end is asked for; then returns
    /// the jobs that nobody has taken.
    pub(super) async fn run(
        mut self,
        sightings: mpsc::Receiver<Sighting>,
        ending: &CancellationToken,
    ) -> Result<(), QueueError> {
        let link = Arc::clone(&self.desk.link);
        let end = tokio::select! {
            end = self.serve(sightings) => end,
            broken = link.broken() => Err(broken),
            () = ending.cancelled() => Ok(()),
        };
        if link.is_connected() {
            self.leave().await;
        }
        end
    }

    /// Takes what is on its way, so that it goes back at once and not when its lease ends.
    async fn leave(&mut self) {
        if self.messages.drain().await.is_ok() {
            while let Ok(Some(message)) = timeout(ANSWER, self.messages.next()).await {
                self.on_message(message);
            }
        }
    }

    async fn serve(&mut self, mut sightings: mpsc::Receiver<Sighting>) -> Result<(), QueueError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.messages.next() => {
                    let Some(message) = message else {
                        return Err(self.desk.link.error("asking", "the connection is closed"));
                    };
                    self.look_at_clock();
                    self.on_message(message);
                    self.take_messages();
                }
                permit = Arc::clone(&self.slots).acquire_owned() => {
                    // It is never closed.
                    self.free.extend(permit.ok());
                }
                sighting = sightings.recv() => match sighting {
                    Some(Sighting::Hosts(hosts, losses)) => {
                        self.on_hosts(hosts);
                        // Leases that were lost with their queue are known now.
                        self.desk.seen.send_replace(losses);
                    }
                    Some(Sighting::Failed(error)) => return Err(error),
                    Some(Sighting::Idle) | None => return Ok(()),
                },
                _ = ticks.tick() => self.on_tick(),
                () = answered(&mut self.distrust) => {
                    // All of it is in line by now.
                    self.take_messages();
                    self.distrust = None;
                }
            }
            self.take_slots();
            self.hand_out();
            self.fill().await;
        }
    }

    fn take_messages(&mut self) {
        while let Some(Some(message)) = self.messages.next().now_or_never() {
            self.on_message(message);
        }
    }

    fn take_slots(&mut self) {
        while let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            self.free.push(permit);
        }
    }

    /// A process that was frozen finds jobs that came in the meantime, perhaps too long ago.
    fn look_at_clock(&mut self) {
        let now = clock::now();
        let shortest = self.hosts.iter().map(|host| host.ack_wait).min();
        let gap = now.saturating_sub(std::mem::replace(&mut self.looked, now));
        if self.distrust.is_none() && shortest.is_some_and(|ack_wait| gap > ack_wait / 2) {
            let (done, distrust) = oneshot::channel();
            let desk = Arc::clone(&self.desk);
            // Answered behind all that the broker sent before.
            tokio::spawn(async move {
                let _ = streams::hosts(&desk.link).await;
                let _ = done.send(());
            });
            self.distrust = Some(distrust);
        }
    }

    fn on_tick(&mut self) {
        self.look_at_clock();
        let losses = self.desk.link.losses();
        let all_gone = std::mem::replace(&mut self.losses, losses) != losses;
        let now = clock::now();
        for host in &mut self.hosts {
            let is_lost = |ends: &Duration| all_gone || *ends + LATE < now;
            while host.parked.front().is_some_and(is_lost) {
                host.parked.pop_front();
                self.parked -= 1;
            }
        }
    }

    fn on_hosts(&mut self, found: Vec<ConsumerInfo>) {
        for host in &mut self.hosts {
            host.missed += 1;
        }
        for consumer in found {
            let number = match self.numbers.get(&consumer.name) {
                Some(number) => *number,
                None => self.add_host(&consumer),
            };
            if self.hosts[number].is_another_after(&consumer) {
                self.desk.leases.lose_consumer(&consumer.name);
            }
        }
        for (name, number) in &self.numbers {
            if self.hosts[*number].missed == 2 {
                self.desk.leases.lose_consumer(name);
            }
        }
    }

    fn add_host(&mut self, consumer: &ConsumerInfo) -> usize {
        let number = self.hosts.len();
        let inbox = format!("{}.{number}", self.inbox);
        self.hosts.push(Host::new(consumer, inbox));
        self.numbers.insert(consumer.name.clone(), number);
        number
    }

    fn on_message(&mut self, message: Message) {
        if let Some(status) = message.status {
            self.on_refusal(&message, status);
            return;
        }
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let Some(delivery) = Delivery::parse(&reply) else {
            return;
        };
        let Some(number) = self.numbers.get(delivery.consumer).copied() else {
            return;
        };
        let host = &mut self.hosts[number];
        host.has_jobs = true;
        if host.parked.pop_front().is_some() {
            self.parked -= 1;
        }
        if self.distrust.is_some() {
            return;
        }
        let (sequence, attempt) = (delivery.sequence, delivery.attempt);
        let lost = self
            .desk
            .leases
            .open(sequence, reply.clone(), host.ack_wait);
        let mut handle = NatsAck {
            desk: Arc::clone(&self.desk),
            sequence,
            reply: reply.clone(),
            lost,
            collection: String::new(),
            delivery: attempt,
            losses: self.losses,
        };
        match read_job(&message.payload) {
            Ok(QueuedJob {
                collection, job, ..
            }) => {
                handle.collection = collection;
                self.held
                    .push_back(Lease::new(job, attempt, Arc::new(handle)));
            }
            Err((reason, collection)) => {
                handle.collection = collection.unwrap_or_else(|| NOBODY.to_owned());
                tokio::spawn(bury(handle, reason, message.payload, attempt));
            }
        }
    }

    /// A request that ended without a job.
    fn on_refusal(&mut self, message: &Message, status: StatusCode) {
        let number = keeper::number(message).and_then(|number| usize::try_from(number).ok());
        let Some(host) = number.and_then(|number| self.hosts.get_mut(number)) else {
            return;
        };
        if host.parked.pop_front().is_some() {
            self.parked -= 1;
        }
        host.has_jobs = false;
        if status != StatusCode::TIMEOUT && status != StatusCode::NOT_FOUND {
            // The consumer is gone, the server ends, or too many wait there.
            host.rests_until = clock::now() + REST;
        }
    }

    fn hand_out(&mut self) {
        while !self.held.is_empty() {
            let Some(permit) = self.free.pop() else {
                return;
            };
            if let Some(mut lease) = self.held.pop_front() {
                lease.slot = Some(permit);
                self.ready.push(lease);
            }
        }
    }

    /// Parks requests for the free slots: where jobs are one for each slot, elsewhere one a host.
    async fn fill(&mut self) {
        let free = self.free.len();
        let most = free * PULLS_PER_SLOT;
        if self.parked >= most || self.distrust.is_some() || !self.desk.link.is_connected() {
            return;
        }
        let now = clock::now();
        let count = self.hosts.len();
        let order = (0..count).map(|step| (self.turn + step) % count);
        let order: Vec<usize> = order.filter(|at| self.hosts[*at].may_ask(now)).collect();
        let busy: Vec<usize> = order
            .iter()
            .copied()
            .filter(|at| self.hosts[*at].has_jobs)
            .collect();
        // Level by level, so that no host takes all slots of another.
        let mut level = 1;
        let mut grows = !busy.is_empty();
        while grows && self.parked < most {
            grows = false;
            for at in &busy {
                let limit = self.hosts[*at].cap.min(free);
                if self.hosts[*at].parked.len() < level.min(limit) && self.parked < most {
                    self.park(*at, now, SHORT_EXPIRES).await;
                }
                grows |= level < limit;
            }
            level += 1;
        }
        let expires = if order.len() > most {
            SHORT_EXPIRES
        } else {
            EXPIRES
        };
        for at in order {
            if self.parked >= most {
                self.turn = at;
                break;
            }
            if self.hosts[at].parked.is_empty() {
                self.park(at, now, expires).await;
            }
        }
    }

    async fn park(&mut self, at: usize, now: Duration, expires: Duration) {
        let host = &mut self.hosts[at];
        let ends = now + expires;
        let place = host.parked.partition_point(|other| *other <= ends);
        host.parked.insert(place, ends);
        self.parked += 1;
        let (next, inbox) = (host.next.clone(), host.inbox.clone());
        let request = if expires == EXPIRES {
            &self.long
        } else {
            &self.short
        };
        // It fails only when the connection is closed, which the messages' end says.
        let sent = self
            .desk
            .link
            .client
            .publish_with_reply(next, inbox, request.clone());
        let _ = sent.await;
    }
}

/// Asks for one job.
fn request(expires: Duration) -> Bytes {
    to_json(&json!({"batch": 1, "expires": streams::nanos(expires)}))
}

/// Returns when the answer is there; never when none is awaited.
async fn answered(answer: &mut Option<oneshot::Receiver<()>>) {
    match answer {
        // Its sender always answers, or is gone with the runtime.
        Some(answer) => drop(answer.await),
        None => std::future::pending().await,
    }
}
