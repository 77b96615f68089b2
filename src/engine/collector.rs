//! The half of a run that queues jobs for workers elsewhere: it follows them to their results, and records these.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::committer::acknowledge;
use super::shared_host::{MAX_FORWARDED, TOO_MANY_ADDRESSES};
use super::unfinished::Unfinished;
use super::{CompletedJob, EngineError, Quota, Recorder, Run};
use crate::event::Event;
use crate::job::{ImageKey, Job, RulesHash, SiteId};
use crate::ledger::{Intent, KnownState, Ledger, Origin, Placement};
use crate::outcome::{Duplicate, Failure, JobEnd, Outcome, Saved, Stage, StoredImage};
use crate::queue::{QueueError, RESULTS_AT_ONCE, ReceivedResult, ResultReceiver};

/// How often it is looked whether the jobs still exist whose results are waited for.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// For how long the queue must be empty while results are missing, before the jobs count as lost.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// How long a result waits for others at most. Too short to be seen, and at 20,000 results a second it is a full group.
const GATHER_FOR: Duration = Duration::from_millis(15);

/// For how long results are waited for that are in the queue, when nothing else is waited for.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Records results until every job has one.
pub(super) struct Collector {
    pub(super) run: Run,
    pub(super) site: SiteId,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) recorder: Arc<dyn Recorder>,
    pub(super) results: Box<dyn ResultReceiver>,
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) quota: Quota,
    /// Whether results are waited for.
    pub(super) waits: bool,
    /// Cancelled when no more is to be waited for than what is on its way.
    pub(super) ended: CancellationToken,
}

impl Collector {
    /// Collects until every job has its result, or no more is to be waited for.
    pub(super) async fn run(self) -> Result<(), EngineError> {
        let mut check = interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut empty_since = None;
        while !self.unfinished.is_over() {
            // Every branch is cancel-safe.
            tokio::select! {
                biased;
                () = self.ended.cancelled() => break,
                group = self.results.next() => {
                    empty_since = None;
                    let group = self.gather(group?).await?;
                    self.collect(group).await?;
                }
                () = self.unfinished.changed() => {}
                _ = check.tick() => self.check_lost(&mut empty_since).await?,
            }
        }
        if self.waits {
            self.drain().await?;
        }
        for key in self.unfinished.take_all() {
            let outcome = Outcome::Queued;
            let finished = Event::ImageFinished { key, outcome };
            self.run.events.emit(finished).await;
        }
        Ok(self.results.close().await?)
    }

    /// Records what is there.
    ///
    /// # Errors
    ///
    /// When the queue or the ledger breaks.
    pub(super) async fn drain(&self) -> Result<(), EngineError> {
        let mut left = self.results.depth().await?.results;
        // What another run of this collection has taken does not come.
        while left > 0
            && let Ok(group) = timeout(LAST_WAIT, self.results.next()).await
        {
            self.collect(group?).await?;
            // Of what comes meanwhile there may be no end.
            left = (left - 1).min(self.results.depth().await?.results);
        }
        Ok(())
    }

    /// Waits a moment for more results: each group is a transaction of the ledger.
    async fn gather(
        &self,
        mut group: Vec<ReceivedResult>,
    ) -> Result<Vec<ReceivedResult>, EngineError> {
        let due = Instant::now() + GATHER_FOR;
        while group.len() < RESULTS_AT_ONCE
            // None come behind the last.
            && !self.unfinished.is_over_after(group.len())
            && let Ok(more) = timeout_at(due, self.results.next()).await
        {
            group.extend(more?);
        }
        Ok(group)
    }

    async fn check_lost(&self, empty_since: &mut Option<Instant>) -> Result<(), EngineError> {
        let missing = self.unfinished.count();
        let depth = self.results.depth().await?;
        // Never from what a consumer says is pending: that was seen to lag, and leaves out what is delayed.
        if missing == 0 || depth.jobs + depth.results > 0 {
            *empty_since = None;
            return Ok(());
        }
        let since = *empty_since.get_or_insert_with(Instant::now);
        if since.elapsed() < LOST_AFTER {
            return Ok(());
        }
        Err(QueueError::Lost { jobs: missing }.into())
    }

    /// Records a group of results: rows, acknowledgements, hooks, in this order. A kill between any two of them repeats
    /// work and loses none.
    async fn collect(&self, group: Vec<ReceivedResult>) -> Result<(), EngineError> {
        let now = (self.run.clock)();
        let mut group = self.forward(group).await?;
        // Of two results of a job, the one that has an image counts.
        group.sort_by_key(|received| !matches!(received.result.end, JobEnd::Stored(_)));
        let keys = group.iter().map(|received| received.result.job.key.clone());
        let known = self
            .ledger
            .known(keys.collect(), RulesHash::default(), now)
            .await?
            .states;
        let mut seen = HashSet::new();
        let (mut others, mut intents, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        for (received, known) in group.into_iter().zip(known) {
            let (lease, end, at) = received.into_lease();
            let job = &lease.job;
            let is_saved = matches!(known, Some(KnownState::Saved));
            let outcome = match end {
                // A job that was worked on twice, or a result that came twice.
                _ if is_saved || !seen.insert(job.key.clone()) || job.site != self.site => {
                    Outcome::AlreadyThere
                }
                JobEnd::Stored(image) => {
                    intents.push(intent(job, &image, at));
                    stored.push((lease, *image));
                    continue;
                }
                JobEnd::Skipped(skip) => Outcome::Skipped(skip),
                JobEnd::Failed(failure) => Outcome::Failed(failure),
                JobEnd::Elsewhere(_) => Outcome::Queued,
            };
            others.push(CompletedJob { lease, outcome });
        }
        let placements = self.recorder.placing(intents).await?;
        let stored = stored.into_iter().zip(placements);
        let stored = stored.map(|((lease, image), placement)| CompletedJob {
            lease,
            outcome: outcome(image, &placement),
        });
        // These first: a second result of such a job is none that the run waits for.
        let completed: Vec<_> = stored.chain(others).collect();
        let saved = self.recorder.record(&completed, now).await?;
        for (key, outcome) in acknowledge(completed).await? {
            self.report(key, outcome).await;
        }
        if !saved.is_empty() {
            self.recorder.acknowledged(saved).await;
        }
        Ok(())
    }

    /// Queues jobs again whose next candidate is on another host; the other results are left.
    async fn forward(
        &self,
        group: Vec<ReceivedResult>,
    ) -> Result<Vec<ReceivedResult>, EngineError> {
        let mut left = Vec::with_capacity(group.len());
        let mut forwarded = Vec::new();
        for received in group {
            let JobEnd::Elsewhere(candidates) = &received.result.end else {
                left.push(received);
                continue;
            };
            let job = Job {
                candidates: candidates.clone(),
                ..received.result.job.clone()
            };
            let mut received = received;
            if serde_json::to_string(&job).is_ok_and(|json| json.len() > MAX_FORWARDED) {
                received.result.end = JobEnd::Failed(Failure {
                    stage: Stage::Rewrite,
                    address: job.page.to_string(),
                    cause: TOO_MANY_ADDRESSES.to_owned(),
                    attempts: received.result.attempt,
                    gone: false,
                });
                left.push(received);
                continue;
            }
            received.forward(job).await?;
            let (lease, _, _) = received.into_lease();
            let outcome = Outcome::Queued;
            forwarded.push(CompletedJob { lease, outcome });
        }
        acknowledge(forwarded).await?;
        Ok(left)
    }

    /// Reports how an image ended, if this run waits for it.
    async fn report(&self, key: ImageKey, mut outcome: Outcome) {
        let is_ours = self.unfinished.take(&key);
        match &outcome {
            Outcome::Saved(_) | Outcome::Duplicate(_) if is_ours => {
                if let Some(limit) = self.quota.spend() {
                    self.run.shutdown.stop_at(limit);
                }
            }
            _ if is_ours => self.quota.give_back(),
            // Of an earlier run: what it saved is news, and counts as found.
            Outcome::Saved(_) | Outcome::Duplicate(_) | Outcome::Failed(_) => {
                let found = Event::AddressesRead {
                    found: 1,
                    already_there: 0,
                    gone: 0,
                    repeated: 0,
                };
                self.run.events.emit(found).await;
            }
            _ => return,
        }
        if let Outcome::Saved(Saved { content, .. }) = &outcome
            && let Some(limit) = self.quota.spend_bytes(content.bytes)
        {
            self.run.shutdown.stop_at(limit);
        }
        outcome.mask(self.run.fetcher.masks());
        let finished = Event::ImageFinished { key, outcome };
        self.run.events.emit(finished).await;
    }
}

fn intent(job: &Job, image: &StoredImage, at: jiff::Timestamp) -> Intent {
    Intent {
        key: job.key.clone(),
        site: job.site.clone(),
        origin: Origin {
            page: Arc::clone(&job.page),
            address: image.address.clone(),
            title: job.title.clone(),
            etag: image.etag.clone(),
            last_modified: image.last_modified.clone(),
            capture: image.capture.clone(),
        },
        name: image.name.clone(),
        content: image.content,
        at,
    }
}

/// The outcome of an image that a worker has stored. The name is the worker's: the sink has decided it.
fn outcome(image: StoredImage, placement: &Placement) -> Outcome {
    let StoredImage {
        name,
        address,
        content,
        etag: _,
        last_modified: _,
        capture,
    } = image;
    let (address, capture) = (Box::new(address), capture.map(Box::new));
    match placement {
        Placement::New(_) => Outcome::Saved(Saved {
            name,
            address,
            content,
            capture,
        }),
        Placement::Duplicate(shared) => Outcome::Duplicate(Duplicate {
            name: shared.clone(),
            address,
            content,
            capture,
        }),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::engine::batch::tests::leases;
    use crate::engine::{LedgerRecorder, Shutdown};
    use crate::event::Events;
    use crate::fetch::scripted::{Reply, Server};
    use crate::job::{ContentHash, ImageName};
    use crate::ledger;
    use crate::mask::Masks;
    use crate::outcome::{Content, Format, JobResult, ResultVersion};
    use crate::queue::Depth;

    /// No result comes by itself.
    struct NoResults;

    #[async_trait]
    impl ResultReceiver for NoResults {
        async fn next(&self) -> Result<Vec<ReceivedResult>, QueueError> {
            std::future::pending().await
        }

        async fn depth(&self) -> Result<Depth, QueueError> {
            Ok(Depth {
                jobs: 0,
                results: 0,
            })
        }
    }

    fn result(job: &Job, end: JobEnd) -> ReceivedResult {
        ReceivedResult::without_queue(JobResult {
            version: ResultVersion,
            job: job.clone(),
            attempt: 1,
            at: Timestamp::UNIX_EPOCH,
            end,
        })
    }

    #[tokio::test]
    async fn an_image_that_one_worker_failed_to_fetch_and_another_one_stored_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let ledger: Arc<dyn Ledger> = ledger::open(folder.path(), false).unwrap().into();
        let server = Server::start(|_| Reply::ok("")).await;
        let (events, mut received) = Events::channel(false);
        let job = leases(1).await.remove(0).job.clone();
        let unfinished = Arc::new(Unfinished::default());
        unfinished.add(job.key.clone());
        let collector = Collector {
            run: Run {
                fetcher: Arc::new(server.fetcher()),
                clock: Timestamp::now,
                events,
                shutdown: Shutdown::default(),
            },
            site: job.site.clone(),
            recorder: Arc::new(LedgerRecorder::new(
                Arc::clone(&ledger),
                Masks::default(),
                None,
            )),
            ledger: Arc::clone(&ledger),
            results: Box::new(NoResults),
            unfinished,
            quota: Quota::new(None, None),
            waits: true,
            ended: CancellationToken::new(),
        };
        let failure = Failure {
            stage: Stage::Fetch,
            address: job.page.to_string(),
            cause: "answered 500".to_owned(),
            attempts: 1,
            gone: false,
        };
        let stored = StoredImage {
            name: ImageName::from_stored("0.png"),
            address: job.first_url().clone(),
            content: Content {
                bytes: 1,
                hash: ContentHash::from_bytes([1; 32]),
                format: Format::Png,
                width: 1,
                height: 1,
                stored: None,
                warning: None,
            },
            etag: None,
            last_modified: None,
            capture: None,
        };
        let ends = [JobEnd::Failed(failure), JobEnd::Stored(Box::new(stored))];
        let group = ends.map(|end| result(&job, end));
        collector.collect(group.into()).await.unwrap();
        drop(collector);
        let mut outcomes = Vec::new();
        while let Some(event) = received.recv().await {
            if let Event::ImageFinished { outcome, .. } = event {
                outcomes.push(outcome);
            }
        }
        assert!(matches!(outcomes[..], [Outcome::Saved(_)]), "{outcomes:?}");
        let keys = vec![job.key.clone()];
        let known = ledger.known(keys, RulesHash::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(known.await.unwrap().states, [Some(KnownState::Saved)]);
    }
}
