//! The second half of a run: fetches the originals that jobs name, and saves them. It knows no site and no ledger.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::bad_images::{DoubtedImages, RetriedOnce};
use super::batch::commit_queue;
use super::committer::Committer;
use super::free_space::FreeSpaceGuard;
use super::worker::Worker;
use super::{EngineError, Quota, Recorder, Run, joined, stage};
use crate::event::WaitReason;
use crate::fetch::Retry;
use crate::queue::JobReceiver;
use crate::sink::{Sink, Staging};
use crate::verify::Limits;

/// How images are fetched.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// Images fetched at a time.
    pub jobs: NonZeroUsize,
    /// When to request an image again.
    pub retry: Retry,
    /// What an image may declare on this machine; a job may set a lower limit.
    pub limits: Limits,
    /// Whether files are named as the server's Content-Disposition header says.
    pub names_from_header: bool,
    /// How much more may be saved.
    pub quota: Quota,
}

/// Fetches and saves the image of every job until the queue ends or the shutdown says so.
///
/// # Errors
///
/// The first stage that broke, or that the disk is nearly full; the other stages have ended by then.
pub async fn download(
    run: Run,
    receiver: Arc<dyn JobReceiver>,
    sink: Arc<dyn Sink>,
    staging: Arc<Staging>,
    recorder: Arc<dyn Recorder>,
    options: DownloadOptions,
) -> Result<(), EngineError> {
    let DownloadOptions {
        jobs,
        retry,
        limits,
        names_from_header,
        quota,
    } = options;
    staging.parts().set_concurrency(jobs);
    let (shutdown, events) = (run.shutdown.clone(), run.events.clone());
    let free_space = FreeSpaceGuard::new(&staging, &shutdown);
    let (commits, batches) = commit_queue();
    let mut stages = JoinSet::new();
    let committer = Committer {
        run: run.clone(),
        sink,
        recorder,
        quota: quota.clone(),
        free_space: free_space.clone(),
    };
    stages.spawn(stage(shutdown.clone(), committer.run(batches)));
    let active = commits.active();
    let worker = Worker {
        run,
        receiver,
        staging,
        commits,
        retry,
        limits,
        names_from_header,
        quota,
        retried: RetriedOnce::default(),
        doubted: DoubtedImages::default(),
        free_space: free_space.clone(),
    };
    for _ in 0..jobs.get() {
        stages.spawn(stage(shutdown.clone(), worker.clone().run()));
    }
    // The stages hold the last senders of both queues: each stage ends when those before it have ended. One kept
    // here would keep the run alive for ever.
    drop(worker);
    let mut result = Ok(());
    let mut interrupted = false;
    loop {
        // Both are cancel-safe.
        let ended = tokio::select! {
            ended = stages.join_next() => ended,
            () = shutdown.interrupted(), if !interrupted => {
                interrupted = true;
                match active.count() {
                    0 => {}
                    images => events.waiting(WaitReason::ImagesInFlight { images }),
                }
                continue;
            }
        };
        let Some(ended) = ended.map(joined) else {
            break;
        };
        result = result.and(ended);
    }
    result.and(free_space.result().map_err(EngineError::from))
}
