//! The hooks: runs the user's commands behind the keeper, on a line of their own, a few at a time. What waits is
//! written down before it waits, so that nothing is forgotten when the run ends first.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{EngineError, Haul, Shutdown, joined, warn};
use crate::event::{Event, Events};
use crate::hooks::{End, HookImage, HookResult, Hooks, Trigger};
use crate::job::{ImageKey, ImageName};
use crate::ledger::{Ledger, PendingHooks, PendingImageHooks, Record};
use crate::units::{HumanDuration, plural};

/// Images that may wait for their commands in memory; past that the keeper waits, and with it everybody.
const PICTURES_WAITING: usize = 64;

/// So many of an earlier run's are read at a time.
const READ_AT_ONCE: usize = 64;

/// Commands that failed in so many runs are not tried again: they must not hold up every run for ever.
const RUNS: u32 = 3;

/// So many failures one after the other mean that it is not the image's fault: no more are tried in this run.
const FAILURES_IN_A_ROW: u32 = 10;

/// When nothing but hooks is waited for, that is told after so long: most have ended by then.
const NOTICEABLE: Duration = Duration::from_secs(1);

/// The keeper's end of the line.
pub(super) struct HookSender {
    pictures: mpsc::Sender<HookImage>,
    hooks: Hooks,
    /// Says when it is dropped that every image has its name.
    _all_named: DropGuard,
}

impl HookSender {
    /// What is to be written down together with these images.
    pub(super) fn due(&self, pictures: &[HookImage]) -> Vec<Record> {
        due(&self.hooks, pictures.iter().map(|picture| &picture.key))
    }

    /// Hands over what was written down; waits for room. Where no more are run, they wait for the next run.
    pub(super) async fn hand_over(&self, pictures: Vec<HookImage>) {
        for picture in pictures {
            if self.pictures.send(picture).await.is_err() {
                break;
            }
        }
    }
}

/// The commands that wait once these images are saved.
pub(super) fn due<'a>(hooks: &Hooks, saved: impl Iterator<Item = &'a ImageKey>) -> Vec<Record> {
    let waits = |of| Record::Hooks {
        of,
        failed: Some(0),
    };
    let mut saved = saved.peekable();
    let end = (hooks.any(Trigger::End) && saved.peek().is_some()).then(|| waits(None));
    let images = saved
        .filter(|_| hooks.any(Trigger::Image))
        .map(|key| waits(Some(key.clone())));
    images.chain(end).collect()
}

/// Returns when nothing but hooks has been waited for long enough to be noticed.
async fn noticed(all_named: CancellationToken) {
    all_named.cancelled().await;
    sleep(NOTICEABLE).await;
}

/// Runs the commands, those that an earlier run left first.
pub(super) struct HookRunner {
    hooks: Hooks,
    ledger: Arc<dyn Ledger>,
    events: Events,
    shutdown: Shutdown,
    at_once: NonZeroUsize,
    pictures: mpsc::Receiver<HookImage>,
    /// Cancelled when no more can come.
    all_named: CancellationToken,
    waiting: PendingHooks,
    left: Backlog,
    saved: u64,
    /// Failures since the last success.
    failures: u32,
    gave_up: bool,
}

/// What an earlier run left, read a few at a time, the newest first.
struct Backlog {
    read: VecDeque<PendingImageHooks>,
    /// What is not read yet has lower numbers.
    below: i64,
    over: bool,
}

/// An image whose commands ended; the picture, how many runs they failed in before, and what was run.
type Finished = (HookImage, u32, Vec<HookResult>);

impl HookRunner {
    /// The station and the keeper's end of the line to it. What an earlier run left is read now: what this run adds
    /// comes by the line alone.
    pub(super) async fn open(haul: &Haul, hooks: Hooks) -> Result<(Self, HookSender), EngineError> {
        let waiting = haul.ledger.pending_hooks().await?;
        let (sender, pictures) = mpsc::channel(PICTURES_WAITING);
        let all_named = CancellationToken::new();
        let wanted = HookSender {
            pictures: sender,
            hooks: hooks.clone(),
            _all_named: all_named.clone().drop_guard(),
        };
        let mut station = Self {
            left: Backlog {
                read: VecDeque::new(),
                below: i64::MAX,
                over: !hooks.any(Trigger::Image),
            },
            hooks,
            ledger: Arc::clone(&haul.ledger),
            events: haul.events.clone(),
            shutdown: haul.shutdown.clone(),
            at_once: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            pictures,
            all_named,
            waiting,
            saved: 0,
            failures: 0,
            gave_up: false,
        };
        station.read_on().await?;
        Ok((station, wanted))
    }

    /// Runs what is left and what comes, until nothing more can come or nothing more may begin.
    pub(super) async fn run(mut self) -> Result<(), EngineError> {
        let shutdown = self.shutdown.clone();
        let mut running = JoinSet::new();
        let (mut over, mut leaving, mut told) = (false, false, false);
        let mut noticed = pin!(noticed(self.all_named.clone()));
        while !over || !running.is_empty() {
            let room = running.len() < self.at_once.get();
            tokio::select! {
                biased;
                () = shutdown.leaving(), if !leaving => {
                    (over, leaving, told) = (true, true, true);
                    self.tell_of_leaving(running.len());
                }
                () = &mut noticed, if !told => {
                    told = true;
                    self.tell_of_waiting(running.len());
                }
                Some(finished) = running.join_next() => {
                    let mut group = vec![joined(finished)];
                    // Whatever else has ended meanwhile is written down with it.
                    group.extend(std::iter::from_fn(|| running.try_join_next()).map(joined));
                    self.settle(group).await?;
                }
                next = self.next(), if room && !over => match next? {
                    Some((picture, failed)) => {
                        let (hooks, shutdown) = (self.hooks.clone(), self.shutdown.clone());
                        running.spawn(async move {
                            let ran = hooks.image(&picture, shutdown.cancel()).await;
                            (picture, failed, ran)
                        });
                    }
                    None => over = true,
                },
            }
            over |= self.gave_up;
            if over {
                // The keeper must not wait for room that never comes.
                self.pictures.close();
            }
        }
        self.end((!told).then_some(noticed)).await
    }

    /// Says why a run that somebody ends is not over at once.
    fn tell_of_leaving(&self, running: usize) {
        if running > 0 && !self.shutdown.is_aborting() {
            let hooks = plural(running, "hook has", "hooks have");
            self.events.note(format!(
                "{hooks} a moment to finish; a second Ctrl-C ends what is left"
            ));
        }
    }

    /// Says why a run that has brought everything is not over.
    fn tell_of_waiting(&self, running: usize) {
        let left = usize::try_from(self.waiting.images).unwrap_or(usize::MAX);
        let end = self.hooks.any(Trigger::End)
            && (self.saved > 0 || !self.pictures.is_empty() || self.waiting.end.is_some());
        let hooks = (running + self.pictures.len() + usize::from(end)).saturating_add(left);
        if hooks > 0 {
            let limit = Some(self.hooks.limit()).filter(|limit| *limit < Duration::MAX);
            let limit = limit.map_or_else(String::new, |limit| {
                format!(", each at most {}", HumanDuration(limit))
            });
            self.events.note(format!(
                "waiting for {}{limit}; Ctrl-C ends them",
                plural(hooks, "hook", "hooks")
            ));
        }
    }

    /// The next image, and how many runs its commands failed in; an earlier run's first. Cancel-safe.
    async fn next(&mut self) -> Result<Option<(HookImage, u32)>, EngineError> {
        while self.left.read.is_empty() && !self.left.over {
            self.read_on().await?;
        }
        if let Some(PendingImageHooks {
            number: _,
            failed,
            image,
        }) = self.left.read.pop_front()
            && let (Some(name), Some(content)) = (image.name, image.content)
        {
            self.waiting.images = self.waiting.images.saturating_sub(1);
            let (name, page, title) = (ImageName::from_stored(&name), image.page, image.title);
            return Ok(Some((
                HookImage {
                    key: image.key,
                    name,
                    content,
                    page,
                    title,
                },
                failed,
            )));
        }
        let picture = self.pictures.recv().await;
        self.saved += u64::from(picture.is_some());
        Ok(picture.map(|picture| (picture, 0)))
    }

    async fn read_on(&mut self) -> Result<(), EngineError> {
        if self.left.over {
            return Ok(());
        }
        let read = self
            .ledger
            .pending_image_hooks(self.left.below, READ_AT_ONCE)
            .await?;
        self.left.over = read.len() < READ_AT_ONCE;
        self.left.below = read.last().map_or(self.left.below, |last| last.number);
        self.left.read.extend(read);
        Ok(())
    }

    /// Tells how commands for images ended, and writes down which of them still wait.
    async fn settle(&mut self, group: Vec<Finished>) -> Result<(), EngineError> {
        let mut records = Vec::new();
        for (picture, failed, ran) in group {
            if let Some(record) = self.told(Some(&picture), failed, ran).await {
                records.push(record);
            }
        }
        Ok(self.ledger.record(records).await?)
    }

    /// Tells how commands ended; answers with what is to be written down about them.
    async fn told(
        &mut self,
        picture: Option<&HookImage>,
        failed: u32,
        ran: Vec<HookResult>,
    ) -> Option<Record> {
        let of: Option<ImageKey> = picture.map(|picture| picture.key.clone());
        let mut record = Record::Hooks {
            of: of.clone(),
            failed: None,
        };
        for HookResult {
            command,
            end,
            output,
            took,
        } in ran
        {
            let cause = match end {
                End::Cancelled => return None,
                End::Done => None,
                End::Failed(cause) => Some(cause),
            };
            let again = cause.is_some() && failed + 1 < RUNS;
            if again {
                record = Record::Hooks {
                    of: of.clone(),
                    failed: Some(failed + 1),
                };
            }
            self.failures = if cause.is_some() {
                self.failures + 1
            } else {
                0
            };
            if self.failures == FAILURES_IN_A_ROW && !self.gave_up {
                self.gave_up = true;
                let message = format!(
                    "{FAILURES_IN_A_ROW} hooks failed one after the other: no more are run"
                );
                warn(&self.events, message).await;
            }
            let name = picture.map(|picture| picture.name.clone());
            self.events
                .emit(Event::HookFinished {
                    command,
                    name,
                    cause,
                    will_retry: again,
                    output,
                    took,
                })
                .await;
        }
        Some(record)
    }

    /// Runs the commands for the end of the run, and says that they are waited for.
    async fn run_end(
        &self,
        mut noticed: Option<Pin<&mut impl Future<Output = ()>>>,
    ) -> Vec<HookResult> {
        let mut ending = pin!(self.hooks.end(self.saved, self.shutdown.cancel()));
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                ran = &mut ending => return ran,
                () = self.shutdown.leaving(), if !leaving => {
                    (leaving, noticed) = (true, None);
                    self.tell_of_leaving(1);
                }
                () = async { if let Some(noticed) = &mut noticed { noticed.await } }, if noticed.is_some() => {
                    noticed = None;
                    self.tell_of_waiting(0);
                }
            }
        }
    }

    /// Behind the last image: the commands for the end of the run, and how many wait for the next one.
    async fn end(
        mut self,
        noticed: Option<Pin<&mut impl Future<Output = ()>>>,
    ) -> Result<(), EngineError> {
        let due = self.hooks.any(Trigger::End) && (self.saved > 0 || self.waiting.end.is_some());
        if due && !self.shutdown.is_leaving() && !self.gave_up {
            let ran = self.run_end(noticed).await;
            // With new images it begins anew.
            let failed = if self.saved > 0 {
                0
            } else {
                self.waiting.end.unwrap_or(0)
            };
            let record = self.told(None, failed, ran).await;
            self.ledger.record(record.into_iter().collect()).await?;
        }
        let PendingHooks { images, end } = self.ledger.pending_hooks().await?;
        let of = |when, number| if self.hooks.any(when) { number } else { 0 };
        let number = of(Trigger::Image, images) + of(Trigger::End, u64::from(end.is_some()));
        if number > 0 {
            self.events.emit(Event::HooksLeft { number }).await;
        }
        Ok(())
    }
}
