//! A queue on a NATS server with `JetStream`, for runs on several machines.
//!
//! Jobs, results and dead letters are streams of the broker, and each host has a consumer of its own, whose limit of
//! unacknowledged jobs is the host's cap for all workers together. We speak the broker's protocol ourselves, above its
//! client's connection: the client's own streams take more jobs than there are workers, and its confirmed
//! acknowledgement is confirmed by a queue that is not there, too.

mod admin;
mod clock;
mod connect;
mod coordinator;
mod host;
mod keeper;
mod lease;
mod link;
mod message;
mod odd;
mod outbox;
mod publish;
mod pulls;
mod results;
mod scout;
mod streams;
mod subject;
mod worker;

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{
    Broker, Coordination, CoordinatorOptions, JobReceiver, QueueAdmin, QueueError, WorkerOptions,
};
use crate::event::Events;

use self::admin::NatsAdmin;
use self::connect::{Role, connect};
use self::coordinator::{Coordinator, NatsSender};
use self::results::NatsResults;

pub(super) async fn coordinate(
    broker: &Broker,
    options: &CoordinatorOptions,
    events: &Events,
) -> Result<Coordination, QueueError> {
    let link = connect(broker, Role::Coordinator, events).await?;
    let coordinator = Coordinator::open(link, options.clone()).await?;
    let results = NatsResults::open(Arc::clone(&coordinator)).await?;
    Ok(Coordination {
        sender: Box::new(NatsSender(coordinator)),
        results: Box::new(results),
    })
}

pub(super) async fn work(
    broker: &Broker,
    options: &WorkerOptions,
    events: &Events,
) -> Result<Arc<dyn JobReceiver>, QueueError> {
    let link = connect(broker, Role::Worker, events).await?;
    worker::start(link, options).await
}

pub(super) async fn administer(
    broker: &Broker,
    options: &CoordinatorOptions,
    events: &Events,
) -> Result<Box<dyn QueueAdmin>, QueueError> {
    let link = connect(broker, Role::Coordinator, events).await?;
    let coordinator = Coordinator::unread(link, options.clone())?;
    Ok(Box::new(NatsAdmin(Arc::new(coordinator))))
}

/// The same error for somebody else whom it concerns.
fn again(error: &QueueError) -> QueueError {
    match error {
        QueueError::Broker { doing, url, reason } => QueueError::Broker {
            doing,
            url: url.clone(),
            reason: reason.clone(),
        },
        QueueError::BadBroker { url, reason } => QueueError::BadBroker {
            url: url.clone(),
            reason: reason.clone(),
        },
        QueueError::UnknownScheme(_) | QueueError::Closed | QueueError::Lost { .. } => {
            QueueError::Closed
        }
    }
}
