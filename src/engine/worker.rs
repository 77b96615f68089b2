//! A worker: takes a job, finds the original, streams it into a part, and hands what is sound to the keeper.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

use super::batch::{CommitQueue, Finished, WorkerResult};
use super::free_space::FreeSpaceGuard;
use super::{EngineError, Haul};
use crate::event::Event;
use crate::fetch::{Body, FetchError};
use crate::job::{ImageKey, Job};
use crate::ledger::Origin;
use crate::outcome::{Content, Failure, Outcome, SkipReason, Stage};
use crate::part::{Part, Parts, ResumeInfo};
use crate::queue::{Ack, JobReceiver, Lease};
use crate::sink::SinkError;
use crate::verify::{Defect, Inspector, RejectedImage, VerifiedImage, verify};

pub(super) struct Worker {
    haul: Haul,
    receiver: Arc<dyn JobReceiver>,
    line: CommitQueue,
    doubts: RetriedOnce,
    room: FreeSpaceGuard,
}

/// The images whose bytes were bad once, shared by all workers. Each gets one more try, for it may have been the
/// transfer.
#[derive(Clone, Default)]
pub(super) struct RetriedOnce(Arc<Mutex<HashSet<ImageKey>>>);

impl RetriedOnce {
    /// Whether an image's bytes are bad for the first time.
    fn is_first(&self, key: &ImageKey) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone())
    }
}

/// Progress is told no more often than it can be seen.
const HINT_EVERY: Duration = Duration::from_millis(100);

impl Worker {
    pub(super) fn new(
        haul: Haul,
        receiver: Arc<dyn JobReceiver>,
        line: CommitQueue,
        doubts: RetriedOnce,
        room: FreeSpaceGuard,
    ) -> Self {
        Self {
            haul,
            receiver,
            line,
            doubts,
            room,
        }
    }

    /// Works until there is nothing more to do, or nothing more may begin.
    pub(super) async fn run(self) -> Result<(), EngineError> {
        // Waited for once, not anew with every image; each ends the loop.
        let mut stopping = pin!(self.haul.shutdown.stopping());
        let mut aborting = pin!(self.haul.shutdown.aborting());
        loop {
            // A receiver's next job is cancel-safe.
            let lease = tokio::select! {
                biased;
                () = stopping.as_mut() => break,
                lease = self.receiver.next() => lease?,
            };
            let Some(lease) = lease else { break };
            // So is what is taken of a quota. Whoever ends here gives the job back.
            tokio::select! {
                biased;
                () = stopping.as_mut() => break,
                () = self.haul.quota.take() => {}
            }
            if !self.room.admits() {
                self.haul.quota.give_back();
                break;
            }
            let in_hand = self.line.in_hand();
            let ended = tokio::select! {
                biased;
                () = aborting.as_mut() => {
                    self.leave(lease).await;
                    return Ok(());
                }
                ended = self.fetch(&lease) => ended,
            };
            self.hand_on(lease, ended).await?;
            drop(in_hand);
        }
        Ok(())
    }

    /// Leaves an image to the next run: its part stays, its lease goes back.
    async fn leave(&self, lease: Lease) {
        let key = lease.job.key.clone();
        self.haul
            .events
            .emit(Event::ImageFinished {
                key,
                outcome: Outcome::Interrupted,
            })
            .await;
    }

    /// Hands the end of a job on: to the keeper, or back to the queue for another try.
    async fn hand_on(
        &self,
        lease: Lease,
        ended: Result<(VerifiedImage, Origin), AttemptError>,
    ) -> Result<(), EngineError> {
        let miss = match ended {
            Ok((sound, origin)) => {
                if let Some(limit) = self.haul.quota.spend_bytes(sound.content().bytes) {
                    self.haul.shutdown.stop_at(limit);
                }
                return self
                    .hand_over(
                        lease,
                        WorkerResult::VerifiedImage(Box::new((sound, origin))),
                    )
                    .await;
            }
            Err(miss) => miss,
        };
        self.haul.quota.give_back();
        if let Some(broken) = miss.breaks_the_run(self.haul.sink.parts()) {
            return Err(broken.into());
        }
        match self.pause(&lease, &miss) {
            Some(_) if self.haul.shutdown.is_stopping() => {
                self.leave(lease).await;
                Ok(())
            }
            Some(after) => {
                let (key, cause) = (lease.job.key.clone(), miss.cause.to_string());
                let retried = Event::FetchRetried {
                    key,
                    attempt: lease.attempt,
                    cause,
                    wait: after,
                };
                self.haul.events.emit(retried).await;
                Ok(lease.ack(Ack::Retry { after }).await?)
            }
            None => {
                let outcome = miss.outcome(&lease);
                self.hand_over(lease, WorkerResult::Not(outcome)).await
            }
        }
    }

    /// Hands over to the keeper. One that is gone has told why; then nothing can be kept any more.
    async fn hand_over(&self, lease: Lease, kept: WorkerResult) -> Result<(), EngineError> {
        if !self.line.hand_over(Finished { lease, kept }).await {
            self.haul.shutdown.abort();
        }
        Ok(())
    }

    /// How long until another try is worth it.
    fn pause(&self, lease: &Lease, miss: &AttemptError) -> Option<Duration> {
        let attempt = lease.attempt;
        match &miss.cause {
            AttemptErrorKind::Fetch(error) => self.haul.retry.pause(attempt, error),
            AttemptErrorKind::Defect(defect)
                if defect.is_not_an_image() || !self.doubts.is_first(&lease.job.key) =>
            {
                None
            }
            AttemptErrorKind::Defect(_) => self.haul.retry.backoff(attempt),
            AttemptErrorKind::Write(error) if SinkError::passes(error) => {
                self.haul.retry.backoff(attempt)
            }
            AttemptErrorKind::Rewrite(_) | AttemptErrorKind::Write(_) => None,
        }
    }

    /// Tries one candidate after the other until one is an image.
    async fn fetch(&self, lease: &Lease) -> Result<(VerifiedImage, Origin), AttemptError> {
        let Job {
            key,
            image,
            resolved,
        } = &lease.job;
        self.haul.events.hint(|| Event::FetchStarted {
            key: key.clone(),
            attempt: lease.attempt,
        });
        let anew;
        let candidates = if let Some(resolved) = resolved {
            &resolved.candidates
        } else {
            let resolved = self.haul.site.resolve(image);
            anew = resolved
                .map_err(|why| AttemptError::new(&image.thumb, AttemptErrorKind::Rewrite(why)))?;
            &anew.candidates
        };
        let mut missed = None;
        for candidate in candidates {
            let address = candidate.url();
            match self.stream(key, address).await {
                Ok((
                    sound,
                    ResumeInfo {
                        address: _,
                        etag,
                        last_modified,
                        length: _,
                    },
                )) => {
                    let (page, title, address) =
                        (image.page.clone(), image.title.clone(), address.clone());
                    return Ok((
                        sound,
                        Origin {
                            page,
                            address,
                            title,
                            etag,
                            last_modified,
                        },
                    ));
                }
                Err(cause) if cause.is_absence() => {
                    missed = Some(AttemptError::new(address, cause))
                }
                Err(cause) => return Err(AttemptError::new(address, cause)),
            }
        }
        Err(missed.unwrap_or_else(|| {
            AttemptError::new(&image.thumb, AttemptErrorKind::Rewrite(SkipReason::NoRule))
        }))
    }

    /// Streams the original at `address` into a part and has it judged.
    async fn stream(
        &self,
        key: &ImageKey,
        address: &Url,
    ) -> Result<(VerifiedImage, ResumeInfo), AttemptErrorKind> {
        let (mut part, mut left) = self.begin(key, address)?;
        if let Some(note) = left.take_if(|note| note.length == part.received()) {
            // A run was killed between the last byte and the name: nothing needs to be asked for.
            if let Ok(sound) = self.judge(part, Some(note.length)) {
                return Ok((sound, note));
            }
            (part, left) = self.begin(key, address)?;
        }
        let mut body = self.ask(address, &mut part, left.as_ref()).await?;
        let (mut note, may_go_on) = note(address, &body);
        let mut hinted = Instant::now();
        while let Some(chunk) = body.chunk().await? {
            part.write(&chunk)?;
            self.room.take(chunk.len());
            if let Some(defect) = part.observer().defect().cloned() {
                // Nobody may go on with what is wrong.
                part.restart()?;
                return Err(AttemptErrorKind::Defect(defect));
            }
            if may_go_on {
                part.save_resume_info(&note)?;
            }
            if hinted.elapsed() >= HINT_EVERY {
                hinted = Instant::now();
                self.progressed(key, part.received(), body.length());
            }
        }
        self.progressed(key, part.received(), Some(part.received()));
        let mut sound = self.judge(part, body.length())?;
        note.length = sound.content().bytes;
        sound.mark_pending(&note);
        Ok((sound, note))
    }

    /// Judges the bytes, and whether they are an original's.
    fn judge(
        &self,
        part: Part<Inspector>,
        want: Option<u64>,
    ) -> Result<VerifiedImage, AttemptErrorKind> {
        let sound = verify(part.finish()?, want)
            .map_err(|RejectedImage { defect, .. }| AttemptErrorKind::Defect(defect))?;
        let (min_width, min_height) = self.haul.site.min_size();
        let Content { width, height, .. } = *sound.content();
        if width < min_width || height < min_height {
            return Err(AttemptErrorKind::Defect(Defect::TooSmall {
                width,
                height,
                min_width,
                min_height,
            }));
        }
        Ok(sound)
    }

    fn progressed(&self, key: &ImageKey, bytes: u64, total_bytes: Option<u64>) {
        self.haul.events.hint(|| Event::FetchProgressed {
            key: key.clone(),
            bytes,
            total_bytes,
        });
    }

    /// Begins the image's part; with what must hold to go on, if an earlier try left one of this very address.
    fn begin(
        &self,
        key: &ImageKey,
        address: &Url,
    ) -> Result<(Part<Inspector>, Option<ResumeInfo>), AttemptErrorKind> {
        let (part, left) = self
            .haul
            .sink
            .parts()
            .begin(key, Inspector::new(self.haul.limits))?;
        Ok((part, left.filter(|note| note.address == address.as_str())))
    }

    /// Asks for the image: for what `part` lacks, if the server still has what `left` says, else for all of it.
    async fn ask(
        &self,
        address: &Url,
        part: &mut Part<Inspector>,
        left: Option<&ResumeInfo>,
    ) -> Result<Body, AttemptErrorKind> {
        let fetcher = &self.haul.fetcher;
        let body = match fetcher
            .image(address, left.map(|note| (note, part.received())))
            .await
        {
            Err(error) if error.is_stale_part() => Box::pin(fetcher.image(address, None)).await?,
            asked => asked?,
        };
        if body.from() != part.received() {
            part.restart()?;
        }
        Ok(body)
    }
}

/// What a server says of the image beside its bytes, and whether a later run may go on with a part of it.
fn note(address: &Url, body: &Body) -> (ResumeInfo, bool) {
    let (etag, last_modified) = (
        body.etag().map(str::to_owned),
        body.last_modified().map(str::to_owned),
    );
    let note = ResumeInfo {
        address: address.to_string(),
        etag,
        last_modified,
        length: body.length().unwrap_or_default(),
    };
    (
        note,
        body.strong_etag().is_some() && body.length().is_some(),
    )
}

/// A try that brought no image.
struct AttemptError {
    address: Url,
    cause: AttemptErrorKind,
}

/// Why a try brought no image.
#[derive(Debug, thiserror::Error)]
enum AttemptErrorKind {
    #[error("{0}")]
    Rewrite(SkipReason),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("writing it: {0}")]
    Write(#[from] std::io::Error),
    #[error(transparent)]
    Defect(Defect),
}

impl AttemptErrorKind {
    /// Whether the image may lie at the next candidate's address instead.
    fn is_absence(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_gone(),
            Self::Defect(defect) => defect.is_not_an_image(),
            Self::Rewrite(_) | Self::Write(_) => false,
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Rewrite(_) => Stage::Rewrite,
            Self::Fetch(_) => Stage::Fetch,
            Self::Write(_) => Stage::Write,
            Self::Defect(_) => Stage::Verify,
        }
    }
}

impl AttemptError {
    fn new(address: &Url, cause: AttemptErrorKind) -> Self {
        Self {
            address: address.clone(),
            cause,
        }
    }

    fn breaks_the_run(&self, parts: &Parts) -> Option<SinkError> {
        match &self.cause {
            AttemptErrorKind::Write(error) => SinkError::of_part(parts, error),
            AttemptErrorKind::Rewrite(_)
            | AttemptErrorKind::Fetch(_)
            | AttemptErrorKind::Defect(_) => None,
        }
    }

    fn outcome(self, lease: &Lease) -> Outcome {
        let Self { address, cause } = self;
        if let AttemptErrorKind::Rewrite(why) = cause {
            return Outcome::Skipped(why.into());
        }
        let gone = matches!(&cause, AttemptErrorKind::Fetch(error) if error.is_gone());
        let (stage, cause) = (cause.stage(), cause.to_string());
        Outcome::Failed(Failure {
            stage,
            address: address.to_string(),
            cause,
            attempts: lease.attempt,
            gone,
        })
    }
}
