//! A worker: takes a job, finds the original, streams it into a part, and sends the verified image to the committer.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use super::attempt::{AttemptError, AttemptErrorKind};
use super::bad_images::{DoubtedImages, RetriedOnce};
use super::batch::{CommitQueue, FinishedJob, WorkerResult};
use super::candidates::Candidates;
use super::free_space::FreeSpaceGuard;
use super::in_progress::{COMES_AGAIN, InProgress};
use super::original::{doubt, verify_original};
use super::resume::resume_info;
use super::shared_host::Tries;
use super::{EngineError, Quota, Reports, Run};
use crate::event::Event;
use crate::fetch::Retry;
use crate::job::{Candidate, ImageKey, Job, Tried};
use crate::ledger::Origin;
use crate::outcome::Outcome;
use crate::part::ResumeInfo;
use crate::queue::{Ack, JobReceiver, Lease};
use crate::sink::{SinkError, Staging};
use crate::site;
use crate::verify::{Defect, Limits, VerifiedImage};

/// One of the `--jobs` workers. Each has a clone, and they share what the fields point to.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) run: Run,
    pub(super) receiver: Arc<dyn JobReceiver>,
    pub(super) staging: Arc<Staging>,
    pub(super) commits: CommitQueue,
    pub(super) retry: Retry,
    pub(super) limits: Limits,
    pub(super) names_from_header: bool,
    pub(super) quota: Quota,
    pub(super) retried: RetriedOnce,
    pub(super) doubted: DoubtedImages,
    pub(super) free_space: FreeSpaceGuard,
    pub(super) reports: Reports,
    /// Whether the queue is one of many machines: then a job is for one host, whose pace the lease keeps.
    pub(super) shares_hosts: bool,
    pub(super) tries: Tries,
    pub(super) in_progress: InProgress,
}

/// An image, where it came from, and the stem of its file, where the server names it.
pub(super) type Fetched = (VerifiedImage, Origin, Option<String>);

/// The least time between two hints of an image's progress: no eye sees more.
const HINT_EVERY: Duration = Duration::from_millis(100);

impl Worker {
    /// Works until no job will come any more, or no new image may begin.
    pub(super) async fn run(self) -> Result<(), EngineError> {
        // Both are made once and polled for every image: to register with a cancellation token takes a lock that
        // all workers share. Each ends the loop, so none is polled after it is done.
        let mut stopping = pin!(self.run.shutdown.stopping());
        let mut aborting = pin!(self.run.shutdown.aborting());
        loop {
            // A receiver's next job is cancel-safe.
            let lease = tokio::select! {
                biased;
                () = stopping.as_mut() => break,
                lease = self.receiver.next() => lease?,
            };
            let Some(mut lease) = lease else { break };
            // While it waited for a worker, or this process was frozen.
            if lease.is_lost() {
                continue;
            }
            if self.shares_hosts {
                let Some(guard) = self.in_progress.begin(&lease.job.key) else {
                    lease.ack(Ack::Retry { after: COMES_AGAIN }).await?;
                    continue;
                };
                lease.keep(guard);
                lease.attempt = self.tries.next(&lease.job.key);
            }
            // Taking from the quota is cancel-safe too. A lease that is dropped here returns its job to the queue.
            tokio::select! {
                biased;
                () = stopping.as_mut() => break,
                () = self.quota.take() => {}
            }
            if !self.free_space.allows_new() {
                self.quota.give_back();
                break;
            }
            let in_flight = self.commits.begin();
            let attempt = tokio::select! {
                biased;
                () = aborting.as_mut() => {
                    self.abandon(lease).await;
                    return Ok(());
                }
                () = lease.lost() => {
                    // Another worker may have the job now, and nothing is said to the queue.
                    self.quota.give_back();
                    self.abandon(lease).await;
                    continue;
                }
                attempt = self.attempt(&lease) => attempt,
            };
            if self.shares_hosts {
                self.keep_pace(&lease).await;
            }
            self.finish(lease, attempt).await?;
            // Not earlier: the committer waits for images in flight, so this one must be in its queue before it no
            // longer counts as one.
            drop(in_flight);
        }
        Ok(())
    }

    async fn attempt(&self, lease: &Lease) -> Result<Fetched, AttemptError> {
        if self.shares_hosts {
            self.fetch_twice(lease).await
        } else {
            self.fetch_or_recover(lease).await
        }
    }

    /// The host that is asked for the job first, as errors name it.
    fn requested_host(&self, job: &Job) -> String {
        Candidate::Direct(self.run.shown(job.first_url())).host()
    }

    /// Leaves an image to the next run: its part stays, and the dropped lease returns its job to the queue.
    async fn abandon(&self, lease: Lease) {
        let key = lease.job.key.clone();
        self.reports.finished(key, Outcome::Interrupted).await;
    }

    /// Forwards the result of an attempt: to the committer, or back to the queue for another attempt.
    async fn finish(
        &self,
        mut lease: Lease,
        attempt: Result<Fetched, AttemptError>,
    ) -> Result<(), EngineError> {
        let error = match attempt {
            Ok((image, origin, stem)) => {
                if let Some(stem) = stem {
                    lease.job.stem = stem;
                }
                if let Some(limit) = self.quota.spend_bytes(image.content().bytes) {
                    self.run.shutdown.stop_at(limit);
                }
                let result = WorkerResult::VerifiedImage(Box::new((image, origin)));
                self.commit(lease, result).await;
                return Ok(());
            }
            Err(error) => error,
        };
        self.quota.give_back();
        if let Some(fatal) = error.fatal(self.staging.parts()) {
            return Err(fatal.into());
        }
        if let AttemptError::OtherHost(candidates, tried) = error {
            return self.forward(lease, candidates, tried).await;
        }
        if self.shares_hosts {
            if let Some(pause) = error.host_pause(&self.requested_host(&lease.job)) {
                self.receiver.pause_host(&lease.job.host(), pause).await?;
            }
            if error.is_of_the_host() {
                return self.postpone(lease).await;
            }
        }
        match self.retry_after(&lease, &error) {
            Some(_) if self.run.shutdown.is_stopping() => self.abandon(lease).await,
            Some((address, wait, cause)) => {
                let retried = Event::FetchRetried {
                    key: lease.job.key.clone(),
                    address: self.run.shown(&address).into(),
                    attempt: lease.attempt,
                    cause,
                    wait,
                };
                self.run.events.emit(retried).await;
                // The queue keeps the job until then, so that no worker sleeps with it.
                lease.ack(Ack::Retry { after: wait }).await?;
            }
            None => {
                let mut outcome = error.into_outcome(&lease);
                if self.shares_hosts && outcome == Outcome::Interrupted {
                    return self.postpone(lease).await;
                }
                outcome.mask(self.run.fetcher.masks());
                self.commit(lease, WorkerResult::NoImage(outcome)).await;
            }
        }
        Ok(())
    }

    /// Sends a finished job to the committer. A committer that has ended has reported why; nothing can be saved then.
    pub(super) async fn commit(&self, mut lease: Lease, result: WorkerResult) {
        if self.shares_hosts {
            self.tries.forget(&lease.job.key);
        }
        lease.free_slot();
        if !self.commits.send(FinishedJob { lease, result }).await {
            self.run.shutdown.abort();
        }
    }

    /// What failed, how long to wait before another attempt, and what for; nothing where none would help.
    pub(super) fn retry_after(
        &self,
        lease: &Lease,
        error: &AttemptError,
    ) -> Option<(Url, Duration, String)> {
        let attempt = lease.attempt;
        let (address, kind) = error.candidate()?;
        let wait = match kind {
            AttemptErrorKind::Fetch(error) => self.retry.pause(attempt, error),
            AttemptErrorKind::Defect(defect)
                if defect.is_not_an_image() || !self.retried.is_first(&lease.job.key) =>
            {
                None
            }
            AttemptErrorKind::Defect(_) => self.retry.backoff(attempt),
            AttemptErrorKind::Write(error) if SinkError::is_transient(error) => {
                self.retry.backoff(attempt)
            }
            AttemptErrorKind::Write(_)
            | AttemptErrorKind::NoOriginal(_)
            | AttemptErrorKind::NotFollowed(_)
            | AttemptErrorKind::OtherHost => None,
        };
        wait.map(|wait| (address.clone(), wait, kind.to_string()))
    }

    /// Tries one candidate after the other until one is an image; with the stem of its file, where the server names it.
    ///
    /// A job that came from another machine is as untrusted as a page, and nothing here relies on its producer: the
    /// fetcher requests only hosts that its own policy allows, a part is named by a hash of the key, and the worker's
    /// own pixel limit holds beside the job's. A stem that came from elsewhere was made safe when its job was taken.
    pub(super) async fn fetch(&self, lease: &Lease) -> Result<Fetched, AttemptError> {
        let job = &lease.job;
        self.run.events.hint(|| Event::FetchStarted {
            key: job.key.clone(),
            attempt: lease.attempt,
        });
        let mut absent: Option<(Url, AttemptErrorKind)> = None;
        let mut candidates = Candidates::new(&self.run.fetcher, &job.candidates);
        if self.shares_hosts {
            candidates.stay_on(job.host(), job.tried.addresses);
        }
        while let Some(next) = candidates.next().await {
            let (address, streamed) = match next {
                Ok(address) => {
                    let streamed = self.stream(job, &address, candidates.has_next()).await;
                    (address, streamed)
                }
                Err((page, kind)) => (page, Err(kind)),
            };
            match streamed {
                Ok((image, served)) => return Ok(self.fetched(job, &address, image, served)),
                Err(kind) if kind.is_absence() => {
                    absent = match absent {
                        Some(before) if kind.is_gone() && !before.1.is_gone() => Some(before),
                        Some(_) | None => Some((address, kind)),
                    };
                }
                Err(AttemptErrorKind::OtherHost) => {
                    let is_absent = absent.is_some_and(|(_, kind)| !kind.is_gone());
                    let tried = Tried {
                        addresses: candidates.tried(),
                        may_come_back: job.tried.may_come_back || is_absent,
                    };
                    return Err(AttemptError::OtherHost(candidates.left(), tried));
                }
                Err(kind) => return Err(AttemptError::Candidate { address, kind }),
            }
        }
        Err(absent.map_or(AttemptError::NoCandidate, |(address, kind)| {
            AttemptError::Candidate { address, kind }
        }))
    }

    /// The image that `address` brought, with what its server said of it.
    pub(super) fn fetched(
        &self,
        job: &Job,
        address: &Url,
        image: VerifiedImage,
        served: ResumeInfo,
    ) -> Fetched {
        // What is stored has no secrets.
        let masks = self.run.fetcher.masks();
        let origin = Origin {
            page: masks.apply_shared(&job.page),
            address: masks.apply_url(address).into_owned(),
            title: job.title.clone(),
            etag: served.etag,
            last_modified: served.last_modified,
            capture: served.capture,
        };
        let file_name = served.file_name.filter(|_| self.names_from_header);
        let stem = file_name.and_then(|file_name| site::served_stem(&file_name));
        (image, origin, stem)
    }

    /// Streams the original at `address` into a part and verifies it. With `has_next`, another candidate follows.
    pub(super) async fn stream(
        &self,
        job: &Job,
        address: &Url,
        has_next: bool,
    ) -> Result<(VerifiedImage, ResumeInfo), AttemptErrorKind> {
        let key = &job.key;
        let (mut part, mut resume) = self.begin(job, address)?;
        if let Some(info) = resume.take_if(|info| info.length == part.received()) {
            // A run was killed between the last byte and the name: no request is needed.
            match verify_original(job, part, Some(info.length)) {
                // What is doubtful is no less so for having been on disk.
                Ok(image) if doubt(&image).is_some() => image.into_file().discard(),
                Ok(image) => return Ok((image, info)),
                Err(_) => {}
            }
            (part, resume) = self.begin(job, address)?;
        }
        let mut body = self
            .request((address, &job.page), &mut part, resume.as_ref(), has_next)
            .await?;
        let declared = job.declared.as_ref().and_then(|declared| declared.bytes);
        if let (Some(declared), Some(length)) = (declared, body.length())
            && declared != length
        {
            part.restart()?;
            return Err(AttemptErrorKind::Defect(Defect::wrong_length(
                length, declared,
            )));
        }
        let masks = self.run.fetcher.masks();
        let (mut info, resumable) = resume_info(&masks.apply_url(address), &body);
        let mut hinted = Instant::now();
        while let Some(written) = body
            .show(|bytes| part.write(bytes).map(|()| bytes.len()))
            .await?
        {
            self.free_space.reserve(written?);
            if let Some(defect) = part.observer().defect().cloned() {
                // A later attempt must not resume bytes that are known to be bad.
                part.restart()?;
                return Err(AttemptErrorKind::Defect(defect));
            }
            if resumable {
                part.save_resume_info(&info)?;
            }
            if hinted.elapsed() >= HINT_EVERY {
                hinted = Instant::now();
                self.hint_progress(key, part.received(), body.length());
            }
        }
        self.hint_progress(key, part.received(), Some(part.received()));
        let mut image = verify_original(job, part, body.length())
            .map_err(|kind| kind.or_cut_transfer(&body))?;
        body.accept_end();
        if let Some(defect) = doubt(&image)
            && !self.doubted.confirm(key, image.content().hash)
        {
            // The next attempt must ask for every byte: these would confirm themselves.
            image.into_file().discard();
            return Err(AttemptErrorKind::Defect(defect));
        }
        info.length = image.content().bytes;
        image.mark_pending(&info);
        Ok((image, info))
    }

    fn hint_progress(&self, key: &ImageKey, bytes: u64, total_bytes: Option<u64>) {
        self.run.events.hint(|| Event::FetchProgressed {
            key: key.clone(),
            bytes,
            total_bytes,
        });
    }
}
