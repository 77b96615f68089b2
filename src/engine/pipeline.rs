//! Both halves in one process, with the user's hooks behind them: `wallhaul fetch`.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::hooks::HookRunner;
use super::{
    DiscoverOptions, DownloadOptions, EngineError, LedgerRecorder, Run, Source, discover, download,
    joined, recover, stage,
};
use crate::event::Event;
use crate::hooks::Hooks;
use crate::ledger::Ledger;
use crate::queue::Queue;
use crate::sink::{Sink, Staging};

/// The parts that a run connects to one pipeline.
pub struct Pipeline {
    /// Where images are looked for.
    pub source: Source,
    /// Carries jobs from discovery to download.
    pub queue: Queue,
    /// Where images go.
    pub sink: Arc<dyn Sink>,
    /// The local folder where they are prepared; its disk must keep some space free.
    pub staging: Arc<Staging>,
    /// Remembers what was fetched.
    pub ledger: Arc<dyn Ledger>,
    /// The user's commands, if there are any.
    pub hooks: Option<Hooks>,
    /// How images are looked for.
    pub discover: DiscoverOptions,
    /// How they are fetched.
    pub download: DownloadOptions,
}

/// Saves every new image of the source, until all is done or the shutdown says so.
///
/// # Errors
///
/// The first stage that broke; the others have ended by then.
pub async fn run(run: Run, pipeline: Pipeline) -> Result<(), EngineError> {
    let Pipeline {
        source,
        queue,
        sink,
        staging,
        ledger,
        hooks,
        discover: discover_options,
        download: download_options,
    } = pipeline;
    // Before anything else, so that the producer knows what a killed run had placed, and requests none of it.
    recover(&*ledger, &*sink, hooks.as_ref()).await?;
    let (shutdown, events) = (run.shutdown.clone(), run.events.clone());
    // A set of tasks, and not `join!` of futures: the stages run on several threads, and end in any order.
    let mut stages = JoinSet::new();
    let mut hook_sender = None;
    if let Some(hooks) = hooks {
        let (runner, sender) = HookRunner::open(&run, Arc::clone(&ledger), hooks).await?;
        stages.spawn(stage(shutdown.clone(), runner.run()));
        hook_sender = Some(sender);
    }
    let masks = run.fetcher.masks().clone();
    let recorder = Arc::new(LedgerRecorder::new(Arc::clone(&ledger), masks, hook_sender));
    let discovering = discover(run.clone(), ledger, source, discover_options, queue.sender);
    stages.spawn(stage(shutdown.clone(), discovering));
    let receiver = Arc::from(queue.receiver);
    let downloading = download(run, receiver, sink, staging, recorder, download_options);
    stages.spawn(stage(shutdown.clone(), downloading));
    // Each stage now owns the only sender of the next one: the end travels along as they are dropped, and nobody
    // has to announce it.
    let mut result = Ok(());
    while let Some(ended) = stages.join_next().await.map(joined) {
        result = result.and(ended);
    }
    if let Some(limit) = shutdown.limit().filter(|_| result.is_ok()) {
        events.emit(Event::LimitReached { limit }).await;
    }
    result
}
