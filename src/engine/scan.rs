//! The first half of a run whose images are fetched elsewhere: finds images, queues their jobs, and follows these to
//! their results: `wallhaul scan`.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::collector::Collector;
use super::hooks::HookRunner;
use super::unfinished::{TrackedSender, Unfinished};
use super::{
    DiscoverOptions, EngineError, LedgerRecorder, Quota, Run, Source, discover, joined, recover,
    stage,
};
use crate::event::Event;
use crate::hooks::Hooks;
use crate::ledger::Ledger;
use crate::queue::{JobSender, ResultReceiver};
use crate::sink::Sink;

/// The parts that a run connects whose images are fetched elsewhere.
pub struct Scan {
    /// Where images are looked for.
    pub source: Source,
    /// Where their jobs go.
    pub jobs: Box<dyn JobSender>,
    /// Where their results come from.
    pub results: Box<dyn ResultReceiver>,
    /// Where workers store the images.
    pub sink: Arc<dyn Sink>,
    /// Remembers what was stored.
    pub ledger: Arc<dyn Ledger>,
    /// The user's commands, if there are any.
    pub hooks: Option<Hooks>,
    /// How images are looked for.
    pub discover: DiscoverOptions,
    /// How much more may be saved.
    pub quota: Quota,
    /// Whether results are waited for.
    pub waits: bool,
    /// Cancelled when no more results are waited for than those that have come.
    pub ended: CancellationToken,
}

/// Queues a job for every new image of the source, and records results.
///
/// # Errors
///
/// The first stage that broke; the others have ended by then.
pub async fn scan(run: Run, scan: Scan) -> Result<(), EngineError> {
    let Scan {
        source,
        jobs,
        results,
        sink,
        ledger,
        hooks,
        discover: discover_options,
        quota,
        waits,
        ended,
    } = scan;
    recover(&*ledger, &*sink, hooks.as_ref()).await?;
    let (shutdown, events) = (run.shutdown.clone(), run.events.clone());
    let mut stages = JoinSet::new();
    let mut hook_sender = None;
    if let Some(hooks) = hooks {
        let (runner, sender) = HookRunner::open(&run, Arc::clone(&ledger), hooks).await?;
        stages.spawn(stage(shutdown.clone(), runner.run()));
        hook_sender = Some(sender);
    }
    let masks = run.fetcher.masks().clone();
    let recorder = Arc::new(LedgerRecorder::new(Arc::clone(&ledger), masks, hook_sender));
    let unfinished = Arc::new(Unfinished::default());
    let collector = Collector {
        run: run.clone(),
        site: source.site().clone(),
        ledger: Arc::clone(&ledger),
        recorder,
        results,
        unfinished: Arc::clone(&unfinished),
        quota: quota.clone(),
        waits,
        ended,
    };
    // What earlier runs have queued and workers have stored since must not be queued again.
    collector.drain().await?;
    let jobs = Box::new(TrackedSender {
        run: run.clone(),
        jobs,
        unfinished,
        quota,
        waits,
        gathered: Mutex::default(),
    });
    stages.spawn(stage(shutdown.clone(), collector.run()));
    let discovering = discover(run, ledger, source, discover_options, jobs);
    stages.spawn(stage(shutdown.clone(), discovering));
    let mut result = Ok(());
    while let Some(ended) = stages.join_next().await.map(joined) {
        result = result.and(ended);
    }
    if let Some(limit) = shutdown.limit().filter(|_| result.is_ok()) {
        events.emit(Event::LimitReached { limit }).await;
    }
    result
}
