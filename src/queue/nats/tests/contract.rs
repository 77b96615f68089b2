//! What every queue keeps, with both halves in one process.

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;

use super::super::server::{NEW, Server};
use super::{broker, events, options, slots};
use crate::queue::contract::{Kind, contract};
use crate::queue::{
    Coordination, CoordinatorOptions, JobReceiver, Lease, Queue, QueueError, WorkerOptions,
    coordinate, work,
};

const NATS: Kind = Kind {
    lease_makes_room: false,
    counts_deliveries: true,
};

/// A receiver with the server that it belongs to.
struct WithServer {
    receiver: std::sync::Arc<dyn JobReceiver>,
    _server: Server,
}

#[async_trait]
impl JobReceiver for WithServer {
    async fn next(&self) -> Result<Option<Lease>, QueueError> {
        self.receiver.next().await
    }
}

async fn open(capacity: NonZeroUsize) -> Queue {
    let server = Server::start(NEW);
    let (events, _) = events();
    let broker = broker(&server.url());
    let options = CoordinatorOptions {
        max_jobs: capacity.get() as u64,
        ..options(64)
    };
    let Coordination { sender, .. } = coordinate(&broker, &options, &events).await.unwrap();
    // Its end is an empty queue, because no worker knows who sends.
    let options = WorkerOptions {
        until_idle: Some(Duration::from_millis(1_500)),
        ..slots(64)
    };
    let receiver = work(&broker, &options, &events).await.unwrap();
    Queue {
        sender,
        receiver: Box::new(WithServer {
            receiver,
            _server: server,
        }),
    }
}

contract!(nats, tokio::test(flavor = "multi_thread"), NATS, open);
