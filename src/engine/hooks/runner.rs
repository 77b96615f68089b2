//! The stage that runs hooks: those that earlier runs left, those of this run, and those for its end.

use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::HookSender;
use super::backlog::Backlog;
use crate::engine::{EngineError, Run, Shutdown, joined};
use crate::event::{Event, Events, WaitReason, Warning};
use crate::hooks::{End, HookImage, HookResult, Hooks, Trigger};
use crate::job::ImageKey;
use crate::ledger::{Ledger, PendingHooks, Record};

/// Images that may wait in memory for their hooks; past that the committer waits, and every stage before it. That
/// keeps a slow hook from being thousands of images behind when the run ends.
const IMAGES_WAITING: usize = 64;

/// A hook that failed in this many runs is not tried again, or one image would hold up every run for ever.
const MAX_RUNS: u32 = 3;

/// This many failures in a row mean that it is not the images' fault: no more hooks are begun in this run.
const MAX_FAILURES_IN_A_ROW: u32 = 10;

/// A wait for nothing but hooks is explained after this long: most hooks have ended by then.
const EXPLAIN_AFTER: Duration = Duration::from_secs(1);

/// Runs hooks, at most as many at a time as there are cores.
pub(in crate::engine) struct HookRunner {
    hooks: Hooks,
    ledger: Arc<dyn Ledger>,
    events: Events,
    shutdown: Shutdown,
    at_once: NonZeroUsize,
    /// Images that this run saved.
    images: mpsc::Receiver<HookImage>,
    /// Cancelled when this run saves no more.
    all_saved: CancellationToken,
    /// How many hooks earlier runs left in the ledger, without those that were begun since.
    waiting: PendingHooks,
    /// The images of these hooks.
    backlog: Backlog,
    /// Images taken from the channel, for the hooks at the end.
    saved: u64,
    failures_in_a_row: u32,
    gave_up: bool,
}

/// An image whose hooks ended.
struct CompletedHooks {
    image: HookImage,
    /// In how many runs they failed before.
    failed: u32,
    results: Vec<HookResult>,
}

/// Returns once nothing but hooks has been waited for long enough to be explained.
async fn explain_after(all_saved: CancellationToken) {
    all_saved.cancelled().await;
    sleep(EXPLAIN_AFTER).await;
}

impl HookRunner {
    /// The stage, and the recorder's end of the channel to it.
    pub(in crate::engine) async fn open(
        run: &Run,
        ledger: Arc<dyn Ledger>,
        hooks: Hooks,
    ) -> Result<(Self, HookSender), EngineError> {
        let waiting = ledger.pending_hooks().await?;
        let backlog = Backlog::open(Arc::clone(&ledger), hooks.any(Trigger::Image)).await?;
        let (sender, images) = mpsc::channel(IMAGES_WAITING);
        let all_saved = CancellationToken::new();
        let sender = HookSender {
            images: sender,
            hooks: hooks.clone(),
            _all_saved: all_saved.clone().drop_guard(),
        };
        let runner = Self {
            hooks,
            ledger,
            events: run.events.clone(),
            shutdown: run.shutdown.clone(),
            at_once: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            images,
            all_saved,
            waiting,
            backlog,
            saved: 0,
            failures_in_a_row: 0,
            gave_up: false,
        };
        Ok((runner, sender))
    }

    /// Runs the hooks of the backlog and of this run's images until none is left or none may begin; then the hooks for
    /// the end.
    pub(in crate::engine) async fn run(mut self) -> Result<(), EngineError> {
        let shutdown = self.shutdown.clone();
        // Dropped when this stage is, and every running hook with it.
        let mut running = JoinSet::new();
        // Whether no more hooks are begun, whether the run was asked to end, and whether the wait was explained.
        let (mut closed, mut terminating, mut explained) = (false, false, false);
        // Pinned out here, because a timer that was made in the loop would begin again with every hook that ends.
        let mut explain = pin!(explain_after(self.all_saved.clone()));
        while !closed || !running.is_empty() {
            let has_slot = running.len() < self.at_once.get();
            // In this order: the end of the run first, and a hook that ended before another one is begun, so that
            // failures in a row are counted before they grow. Every branch is cancel-safe.
            tokio::select! {
                biased;
                () = shutdown.terminating(), if !terminating => {
                    (closed, terminating, explained) = (true, true, true);
                    self.explain_running(running.len());
                }
                () = &mut explain, if !explained => {
                    explained = true;
                    self.explain_waiting(running.len());
                }
                Some(completed) = running.join_next() => {
                    let mut group = vec![joined(completed)];
                    // One transaction for all that have ended meanwhile.
                    group.extend(std::iter::from_fn(|| running.try_join_next()).map(joined));
                    self.record(group).await?;
                }
                next = self.next(), if has_slot && !closed => match next? {
                    Some((image, failed)) => {
                        let (hooks, shutdown) = (self.hooks.clone(), self.shutdown.clone());
                        running.spawn(async move {
                            let results = hooks.image(&image, shutdown.abort_token()).await;
                            CompletedHooks { image, failed, results }
                        });
                    }
                    None => closed = true,
                },
            }
            closed |= self.gave_up;
            if closed {
                // A committer that waits for a slot in the channel would wait for ever.
                self.images.close();
            }
        }
        self.end((!explained).then_some(explain)).await
    }

    /// Says why a run that was asked to end has not ended.
    fn explain_running(&self, hooks: usize) {
        if hooks > 0 && !self.shutdown.is_aborting() {
            self.events.waiting(WaitReason::HooksInFlight { hooks });
        }
    }

    /// Says why a run that has saved everything has not ended.
    fn explain_waiting(&self, running: usize) {
        let backlog = usize::try_from(self.waiting.images).unwrap_or(usize::MAX);
        let end = self.hooks.any(Trigger::End)
            && (self.saved > 0 || !self.images.is_empty() || self.waiting.end.is_some());
        let hooks = (running + self.images.len() + usize::from(end)).saturating_add(backlog);
        if hooks > 0 {
            let limit = Some(self.hooks.limit()).filter(|limit| *limit < Duration::MAX);
            self.events.waiting(WaitReason::HooksLeft { hooks, limit });
        }
    }

    /// The next image, and in how many runs its hooks have failed; the backlog's first. Cancel-safe.
    async fn next(&mut self) -> Result<Option<(HookImage, u32)>, EngineError> {
        if let Some(image) = self.backlog.next().await? {
            self.waiting.images = self.waiting.images.saturating_sub(1);
            return Ok(Some(image));
        }
        let image = self.images.recv().await;
        self.saved += u64::from(image.is_some());
        Ok(image.map(|image| (image, 0)))
    }

    /// Reports how hooks of images ended, and records which of them are still pending.
    async fn record(&mut self, group: Vec<CompletedHooks>) -> Result<(), EngineError> {
        let mut records = Vec::new();
        for CompletedHooks {
            image,
            failed,
            results,
        } in group
        {
            records.extend(self.report(Some(&image), failed, results).await);
        }
        Ok(self.ledger.record(records).await?)
    }

    /// Reports how hooks ended; answers with what is to be recorded about them. `image` is missing for those at the
    /// end of a run.
    async fn report(
        &mut self,
        image: Option<&HookImage>,
        failed: u32,
        results: Vec<HookResult>,
    ) -> Option<Record> {
        let of: Option<ImageKey> = image.map(|image| image.key.clone());
        let mut record = Record::Hooks {
            of: of.clone(),
            failed: None,
        };
        for HookResult {
            command,
            end,
            output,
            took,
        } in results
        {
            let cause = match end {
                // Killed by the end of the run, which says nothing about the hook: it stays pending as it was.
                End::Cancelled => return None,
                End::Done => None,
                End::Failed(cause) => Some(cause),
            };
            let will_retry = cause.is_some() && failed + 1 < MAX_RUNS;
            if will_retry {
                record = Record::Hooks {
                    of: of.clone(),
                    failed: Some(failed + 1),
                };
            }
            self.failures_in_a_row = if cause.is_some() {
                self.failures_in_a_row + 1
            } else {
                0
            };
            if self.failures_in_a_row == MAX_FAILURES_IN_A_ROW && !self.gave_up {
                self.gave_up = true;
                let failures = MAX_FAILURES_IN_A_ROW;
                self.events.warn(Warning::HooksGivenUp { failures }).await;
            }
            self.events
                .emit(Event::HookFinished {
                    command,
                    name: image.map(|image| image.name.clone()),
                    cause,
                    will_retry,
                    output,
                    took,
                })
                .await;
        }
        Some(record)
    }

    /// Runs the hooks for the end of the run, explaining the wait for them as for the others.
    async fn run_end(
        &self,
        mut explain: Option<Pin<&mut impl Future<Output = ()>>>,
    ) -> Vec<HookResult> {
        let mut ending = pin!(self.hooks.end(self.saved, self.shutdown.abort_token()));
        let mut terminating = false;
        loop {
            tokio::select! {
                biased;
                results = &mut ending => return results,
                () = self.shutdown.terminating(), if !terminating => {
                    (terminating, explain) = (true, None);
                    self.explain_running(1);
                }
                () = async { if let Some(explain) = &mut explain { explain.await } }, if explain.is_some() => {
                    explain = None;
                    self.explain_waiting(0);
                }
            }
        }
    }

    /// After the last image: runs the hooks for the end of the run, and reports how many are left to the next one.
    async fn end(
        mut self,
        explain: Option<Pin<&mut impl Future<Output = ()>>>,
    ) -> Result<(), EngineError> {
        let due = self.hooks.any(Trigger::End) && (self.saved > 0 || self.waiting.end.is_some());
        if due && !self.shutdown.is_terminating() && !self.gave_up {
            let results = self.run_end(explain).await;
            // New images give them a full number of runs again.
            let failed = if self.saved > 0 {
                0
            } else {
                self.waiting.end.unwrap_or(0)
            };
            let record = self.report(None, failed, results).await;
            self.ledger.record(record.into_iter().collect()).await?;
        }
        // Counted again: hooks that could not be begun are now pending as well. A run that gave up on its hooks, or was
        // asked to end, goes on to save images after the last hook, and theirs count too.
        self.all_saved.cancelled().await;
        let PendingHooks { images, end } = self.ledger.pending_hooks().await?;
        let of = |when, number| if self.hooks.any(when) { number } else { 0 };
        let number = of(Trigger::Image, images) + of(Trigger::End, u64::from(end.is_some()));
        if number > 0 {
            self.events.emit(Event::HooksLeft { number }).await;
        }
        Ok(())
    }
}
