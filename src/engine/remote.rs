//! The recorder of a worker that has no ledger: it sends how images ended to the run that queued their jobs.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{CompletedJob, EngineError, Recorder};
use crate::hooks::HookImage;
use crate::job::{ImageKey, ImageName};
use crate::ledger::{Intent, Origin, Placement};
use crate::outcome::{Content, Duplicate, JobEnd, Outcome, Saved, StoredImage};

/// Results that are sent at a time: those of a group, which share messages.
const SENT_AT_ONCE: usize = 256;

/// Sends results. Names are decided by the sink, which never overwrites: no worker knows what others have placed.
#[derive(Default)]
pub struct RemoteRecorder {
    /// Where the images of the group came from that is being placed.
    origins: Mutex<HashMap<ImageKey, Origin>>,
}

#[async_trait]
impl Recorder for RemoteRecorder {
    async fn placing(&self, group: Vec<Intent>) -> Result<Vec<Placement>, EngineError> {
        let mut origins = self.origins.lock();
        origins.clear();
        let mut names = HashMap::with_capacity(group.len());
        let placements = group.into_iter().map(|intent| {
            let Intent {
                key,
                site: _,
                origin,
                name,
                content,
                at: _,
            } = intent;
            origins.insert(key, origin);
            placement(&mut names, &name, content)
        });
        Ok(placements.collect())
    }

    async fn record(
        &self,
        group: &[CompletedJob],
        at: Timestamp,
    ) -> Result<Vec<HookImage>, EngineError> {
        let origins = std::mem::take(&mut *self.origins.lock());
        let mut sent = Vec::with_capacity(group.len());
        for CompletedJob { lease, outcome } in group {
            // Whoever has a lost job now says how it ended.
            if lease.is_lost() {
                continue;
            }
            if let Some(end) = job_end(outcome, origins.get(&lease.job.key)) {
                sent.push(lease.report(at, end));
            }
        }
        stream::iter(sent)
            .buffer_unordered(SENT_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(Vec::new())
    }

    async fn acknowledged(&self, _saved: Vec<HookImage>) {}
}

/// The name for an image of a group in which `names` have been given: no two files of a group may want the same.
fn placement(
    names: &mut HashMap<String, Content>,
    wanted: &ImageName,
    content: Content,
) -> Placement {
    let mut name = wanted.clone();
    loop {
        match names.get(&name.normalized()) {
            None => {
                names.insert(name.normalized(), content);
                return Placement::New(name);
            }
            Some(other) if other.hash == content.hash => return Placement::Duplicate(name),
            Some(_) if name == *wanted => name = wanted.with_hash_suffix(&content.hash),
            // Two contents with the same first digits: the sink sorts them out.
            Some(_) => return Placement::New(name),
        }
    }
}

/// What the run that queued the job learns of the outcome.
fn job_end(outcome: &Outcome, origin: Option<&Origin>) -> Option<JobEnd> {
    match outcome {
        Outcome::Saved(Saved {
            name,
            address,
            content,
            capture,
        })
        | Outcome::Duplicate(Duplicate {
            name,
            address,
            content,
            capture,
        }) => Some(JobEnd::Stored(Box::new(StoredImage {
            name: name.clone(),
            address: address.as_ref().clone(),
            content: *content,
            etag: origin.and_then(|origin| origin.etag.clone()),
            last_modified: origin.and_then(|origin| origin.last_modified.clone()),
            capture: capture.as_deref().cloned(),
        }))),
        Outcome::Skipped(skip) => Some(JobEnd::Skipped(skip.clone())),
        Outcome::Failed(failure) => Some(JobEnd::Failed(failure.clone())),
        Outcome::AlreadyThere | Outcome::Gone(_) | Outcome::Queued | Outcome::Interrupted => None,
    }
}
